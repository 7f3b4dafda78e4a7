// SPDX-License-Identifier: Apache-2.0
/** What a view needs of a source, and what of it has come: tiles, single cells, statistics. */
import { rectanglesOf } from './hatching.js';
import { Jobs } from './jobs.js';
import { CHUNK, HATCH_ZOOM } from './marks.js';
import { Pages } from './pages.js';
import { CellState } from './states.js';
import { TILE, levelFor, pagesOf, topLevel } from './view.js';

const TILES_KEPT = 160; // of 256 KiB each
const CHUNKS_KEPT = 128; // of 40 KiB each

/**
 * @typedef {object} Wanted
 * @property {object} source
 * @property {number} generation of the source: a new number for a new one
 * @property {object} options of the element
 * @property {[number, number]} shape [sq, sk]
 * @property {import('./theme.js').Theme} theme
 * @property {{ rows: [number, number], columns: [number, number] }} visible
 * @property {number} zoom CSS pixels per cell
 * @property {number} ratio device pixels per CSS pixel
 */

export class Loading {
  #tiles;
  #chunks;
  #jobs;
  #onload;
  #wanted; // the last
  #statistics; // { version, value, isCurrent }

  /**
   * @param {object} options
   * @param {() => void} options.onload after anything has come
   * @param {(error: unknown) => void} options.onerror
   */
  constructor({ onload, onerror }) {
    this.#onload = onload;
    this.#tiles = new Pages({
      load: (page, signal, shown) => this.#loadTile(page, signal, shown), onload, onerror,
      discard: (bitmap) => bitmap.close(),
    });
    this.#chunks = new Pages({ load: (page, signal) => this.#loadChunk(page, signal), onload, onerror });
    this.#jobs = new Jobs(onerror);
  }

  /**
   * Asks for what is missing, and gives up what is not wanted any more.
   * @param {Wanted} wanted
   * @returns {{ tiles: object[], top: number, chunks: object[], statistics: object | undefined, version: string,
   *   isBusy: boolean, hasPicture: boolean }} `tiles` cover what is visible, at the level that fits; `chunks` are the
   * squares of single cells that have come, if they are large enough to be told apart; `version` changes with colours
   */
  want(wanted) {
    const { source, generation, options, shape, theme, visible, zoom, ratio } = wanted;
    const { batch, head, show, scale, exponent, decades, range, skipKeys, colors } = options;
    const shown = [generation, batch, head, show];
    const version = JSON.stringify([shown, scale, exponent, decades, range, skipKeys, colors, theme.cells]);
    const chunkVersion = JSON.stringify([shown, range, range === 'row' && skipKeys]);
    const top = topLevel(shape);
    const level = levelFor(zoom, ratio, top);
    const tiles = pagesOf(visible, level, TILE);
    const chunkPages = zoom >= HATCH_ZOOM ? pagesOf(visible, 0, CHUNK) : [];
    const whole = { level: top, row: 0, column: 0 };
    if (source) {
      this.#wanted = wanted;
      // A source that answers the latest first begins with the tiles, and of these with the coarsest, which is always
      // there, so that no place is ever empty.
      this.#wantStatistics(JSON.stringify([shown, skipKeys]));
      this.#chunks.want(chunkPages, chunkVersion, CHUNKS_KEPT);
      this.#tiles.want(level === top ? tiles : [...tiles, whole], version, TILES_KEPT);
    }
    return {
      tiles,
      top,
      chunks: chunkPages.map((page) => ({ ...page, value: this.#chunks.current(page, chunkVersion) }))
        .filter(({ value }) => value),
      statistics: this.#statistics?.value,
      version: JSON.stringify([version, this.#statistics?.version, this.#statistics?.isCurrent]),
      isBusy: !source || this.#tiles.pending + this.#chunks.pending > 0 || !this.#statistics.isCurrent,
      hasPicture: this.#tiles.current(whole, version) !== undefined,
    };
  }

  /** @returns {ImageBitmap | undefined} what there is of a tile */
  get(tile) {
    return this.#tiles.get(tile);
  }

  /** Gives up whatever is being loaded; what has come stays. */
  stop() {
    this.#jobs.clear();
    this.#tiles.want([], undefined, TILES_KEPT);
    this.#chunks.want([], undefined, CHUNKS_KEPT);
  }

  /** Gives up and frees everything. */
  clear() {
    this.#jobs.clear();
    this.#tiles.clear();
    this.#chunks.clear();
    this.#statistics = undefined;
  }

  async #loadTile({ level, row, column }, signal, shown) {
    const { source, options, theme } = this.#wanted;
    const { batch, head, show, scale: kind, exponent, decades, range, skipKeys, colors } = options;
    const { bitmap, provisional } = await source.tile({
      batch, head, level, row, column, show, scale: { kind, exponent, decades }, range, skipKeys, ramp: colors,
      theme: theme.cells,
      quick: shown === undefined, // where nothing is to be seen yet
    }, { signal });
    return { value: bitmap, isProvisional: Boolean(provisional) };
  }

  async #loadChunk({ row, column }, signal) {
    const { source, options: { batch, head, show, range, skipKeys }, shape } = this.#wanted;
    const span = (index, count) => [index * CHUNK, Math.min(count, (index + 1) * CHUNK)];
    const [rows, columns] = [span(row, shape[0]), span(column, shape[1])];
    const isByRow = range === 'row' && show !== 'mask';
    const [cells, maxima] = await Promise.all([
      source.read({ batch, head, level: 0, rows, columns, show }, { signal }),
      isByRow ? source.rowStatistics({ batch, head, show, skipKeys, rows }, { signal }) : undefined,
    ]);
    const rectangles = (state) => rectanglesOf(cells.states, cells.rows, cells.columns, state);
    return {
      value: {
        ...cells,
        rowMax: maxima?.max,
        rowMin: show === 'scores' ? maxima?.min : undefined,
        masked: rectangles(CellState.MASKED),
        skipped: rectangles(CellState.SKIPPED),
      },
      isProvisional: false,
    };
  }

  /** Older ones stay in use until the new ones come. */
  #wantStatistics(version) {
    if (this.#statistics?.version === version) return;
    this.#statistics = { version, value: this.#statistics?.value, isCurrent: false };
    const { source, options: { batch, head, show, skipKeys } } = this.#wanted;
    if (show === 'mask') { // parts of pixels, whatever the head
      this.#statistics = { version, value: {}, isCurrent: true };
      return;
    }
    this.#jobs.start('statistics', 0, async (signal) => {
      const value = await source.statistics({ batch, head, show, skipKeys }, { signal });
      if (signal.aborted) return;
      this.#statistics = { version, value, isCurrent: true };
      this.#onload();
    });
  }
}
