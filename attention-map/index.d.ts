// SPDX-License-Identifier: Apache-2.0
/// <reference lib="dom" />

import type { AttentionInputs, SparseWeights, TensorLike, Tensor } from '../js/index.js';

/** A range [begin, end). */
export type Range = readonly [number, number];

/** A cell: query i looks at key j, both counted from 0. */
export interface Cell {
  query: number;
  key: number;
}

/** What is seen: cell coordinates of the plot's top left corner, and CSS pixels per cell. */
export interface View {
  x: number;
  y: number;
  zoom: number;
}

/** Labels along both axes: of all keys, of which the last are those of the queries; or of each axis. */
export type Tokens = string[] | { queries?: string[]; keys?: string[] };

/** What the cells are: weights, logits after every mask but the sparse one, or whether they are kept. */
export type Show = 'weights' | 'scores' | 'mask';

/** What is drawn. Arrays are copied when the element opens its worker, the first time that it is in a document. */
export type MapData =
  | (Omit<AttentionInputs, 'values' | 'inputLayout'> & {
      values?: AttentionInputs['values'];
      /** A pipeline, as `createSparseAttention` takes it by name; its mask is built in the worker. */
      maskers?: readonly { name: string; [option: string]: unknown }[];
      tokens?: Tokens;
    })
  | {
      /** Of a result: dense [b, h, sq, sk], or sparse. */
      weights: TensorLike | Tensor | SparseWeights<any>;
      tokens?: Tokens;
    };

/** Pixels of one level: each is a block of 2^level x 2^level cells. Row-major. */
export interface Cells {
  /** How many pixels. */
  rows: number;
  columns: number;
  /** The largest value of what is kept of a pixel, NaN where nothing is. */
  values: Float32Array;
  /** 0: something is kept. 1: nothing, but something of the 64 x 64 cells around it. 2: nothing of these. */
  states: Uint8Array;
  /** The part of a pixel's cells that is kept, 0..1. */
  kept: Float32Array;
}

/** Range and distribution of what is kept. */
export interface MapStatistics {
  min: number;
  max: number;
  /** 101 percentiles. */
  quantiles: ArrayLike<number>;
}

/** What a call may be given up by: a source that ignores it works too. */
export interface Control {
  signal: AbortSignal;
}

interface HeadOptions {
  batch: number;
  head: number;
}

export interface TileOptions extends HeadOptions {
  level: number;
  /** Of the tile: it has 256 x 256 pixels of the level, fewer at the right and the bottom. */
  row: number;
  column: number;
  show: Show;
  scale: { kind: 'linear' | 'power' | 'log' | 'percentile'; exponent: number; decades: number };
  range: 'head' | 'row';
  skipKeys: number;
  /** Name of the colour map. */
  ramp: string;
  /** Red, green and blue, 0..255. */
  theme: { masked: number[]; skipped: number[]; hatch: number[] };
  /** Nothing is shown there yet: an answer that comes at once and is marked `provisional` is welcome. */
  quick: boolean;
}

/** Where the element asks for cells, instead of computing them from `data`. All methods may return promises. */
export interface MapSource {
  /** [b, h, sq, sk] */
  readonly shape: readonly number[];
  readonly tokens?: Tokens;
  /** Whether sentences may say that a key comes later. With `queryOffset` and `keyOffset` as in a call. */
  readonly causal?: boolean;
  readonly queryOffset?: number | ArrayLike<number>;
  readonly keyOffset?: number;
  /** The element owns the bitmap, and closes it. A provisional tile is asked for again. */
  tile(options: TileOptions, control: Control): Promise<{ bitmap: ImageBitmap; provisional?: boolean }>;
  /** `rows` and `columns` in pixels of the level. */
  read(
    options: HeadOptions & { level: number; rows: Range; columns: Range; show: Show },
    control?: Control,
  ): Promise<Cells> | Cells;
  statistics(
    options: HeadOptions & { show: Show; skipKeys: number },
    control?: Control,
  ): Promise<MapStatistics> | MapStatistics;
  /** Of each row of pixels of the level, 0 by default. */
  rowStatistics(
    options: HeadOptions & { show: Show; skipKeys: number; level?: number; rows: Range },
    control?: Control,
  ): Promise<{ max: Float32Array; min: Float32Array }> | { max: Float32Array; min: Float32Array };
  /** Strongest first. What it throws is shown in place of the table. */
  strongest(
    options: HeadOptions & { count: number; rows: Range; columns: Range },
    control?: Control,
  ): Promise<(Cell & { weight: number })[]> | (Cell & { weight: number })[];
}

/** A cell as {@link AttentionMap.describe} gets it. */
export interface DescribedCell extends Cell {
  batch: number;
  head: number;
  show: Show;
  /** As in {@link Cells}. */
  state: 0 | 1 | 2;
  /** NaN where not kept. */
  value: number;
  queryToken: string | undefined;
  keyToken: string | undefined;
  /** The key comes after the query, and the order is causal. */
  isLater: boolean;
  isLocked: boolean;
}

/**
 * `<attention-map>`: a heat map of one head. Importing this module defines the element.
 *
 * Events bubble, and tell only what the user does: setting a property tells nothing, so that two maps that follow each
 * other do not echo. `attention-ready` and `attention-error` are the exceptions.
 */
export class AttentionMap extends HTMLElement {
  /**
   * What is drawn. The element starts a worker of its own for it, which ends when the element leaves the document. What
   * the worker refuses comes as `attention-error`.
   * @throws TypeError where it is neither inputs nor a result
   */
  get data(): MapData | undefined;
  set data(data: MapData | undefined);
  /**
   * The other way: where cells come from. If its shape is that of the last one, view and cursor stay.
   * @throws TypeError naming what it lacks
   */
  get source(): MapSource | undefined;
  set source(source: MapSource | undefined);
  /** Labels. Those of `data` or `source`, until others are set. @throws TypeError, RangeError */
  tokens: Tokens | undefined;

  /** Which head is drawn. Attributes of the same names. Default 0. @throws RangeError outside the shape */
  batch: number;
  head: number;
  /** Attribute `show`. Default `weights`. */
  show: Show;
  /** Attribute `scale`. Default `power`. */
  scale: 'linear' | 'power' | 'log' | 'percentile';
  /** Of the power scale. Default 0.5. */
  exponent: number;
  /** Of the log scale: how many powers of ten below the largest value. Default 4. */
  decades: number;
  /** Whether colours range over the head or over each row. Attribute `range`. Default `head`. */
  range: 'head' | 'row';
  /** How many keys at the beginning the range leaves out, such as a sink. Default 0. */
  skipKeys: number;
  /** Attribute `colors`. Default `viridis`. */
  colors: 'viridis' | 'magma' | 'inferno' | 'cividis' | 'blues' | 'greys';
  /** Name for assistive technology, and title of the figure. Default `Attention map`. */
  label: string;

  /** The cell under the cross-hair. Locked, it does not follow the pointer. */
  get cursor(): (Cell & { locked: boolean }) | undefined;
  set cursor(cursor: (Cell & { locked?: boolean }) | undefined);
  /** Kept inside the picture. Setting undefined shows all of it. */
  get view(): View | undefined;
  set view(view: View | undefined);

  /** What a drag does. Default `look`. While it draws, the space bar or a second finger pans. */
  tool: 'look' | 'draw' | 'erase' | 'window' | 'sinks';
  /** Cells along each side of the blocks that are drawn. Default 64. */
  blockSize: number;
  /** Where the handle of the tool `window` stands. Default undefined: keys are not limited. */
  get window(): { left: number } | undefined;
  set window(window: { left?: number } | undefined);
  /** Where the handle of the tool `sinks` stands. Default 0. */
  sinks: number;
  /** Rectangles to outline, ranges of cells; those of kind `drop` are dashed. */
  highlight: readonly { rows: Range; columns: Range; kind?: string }[];
  /** Makes the sentence about the cell under the cursor, instead of the element's own. */
  describe: ((cell: DescribedCell) => string | Promise<string>) | undefined;

  /** What is visible, in cells; undefined before there is a picture. */
  visible(): { rows: [number, number]; columns: [number, number] } | undefined;
  /** Where a cell stands in the window, in CSS pixels. */
  cellRect(cell: Cell): DOMRect | undefined;
  /** Options of `figure` that draw what is visible. @throws Error (rejects) before there is a picture */
  figure(): Promise<Record<string, unknown>>;

  addEventListener<K extends keyof AttentionMapEvents>(
    type: K,
    listener: (this: AttentionMap, event: AttentionMapEvents[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

/** By type. */
export interface AttentionMapEvents extends HTMLElementEventMap {
  /** The cursor was moved, locked or unlocked. */
  'attention-cursor': CustomEvent<Cell & { locked: boolean }>;
  /** The user panned or zoomed; at most once per frame. */
  'attention-view': CustomEvent<View & { user: true }>;
  /** A rectangle of whole blocks was drawn (`keep`) or erased. */
  'attention-draw': CustomEvent<{ rows: [number, number]; columns: [number, number]; keep: boolean }>;
  /** A handle was moved; `done` when it is let go. */
  'attention-drag': CustomEvent<{ handle: 'window' | 'sinks'; value: number; done: boolean }>;
  /** The picture of a source is there for the first time. */
  'attention-ready': CustomEvent<{ shape: number[] }>;
  /** What was asked for could not be computed; the message is also shown in the element. */
  'attention-error': CustomEvent<{ error: unknown }>;
}

declare global {
  interface HTMLElementTagNameMap {
    'attention-map': AttentionMap;
  }
}
