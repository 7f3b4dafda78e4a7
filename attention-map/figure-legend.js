// SPDX-License-Identifier: Apache-2.0

/** Legends of figures: the ramp with its ticks, what is beyond its ends, and what has no value. */

import { ASCENT, textWidth } from './font.js';
import { HATCH, hatchedRuns } from './figure-cells.js';
import { wrapText } from './figure-text.js';
import { rampColors } from './raster.js';
import { CellState } from './states.js';

const SIZE = 10;
const BAR = { width: 220, height: 10 };
const END = 7; // length of the triangles at the ends of the bar
const SWATCH = { width: 16, height: 10 };
const GAP = 6; // between a swatch and its text
const BETWEEN = 16; // two items
const TICK = 3;

const VALUES = {
  weights: { head: 'attention weight', row: 'attention weight / largest of its query' },
  scores: { head: 'score (logit)', row: 'score (logit), from least to largest of its query' },
  mask: { head: 'part of a block that is kept', row: 'part of a block that is kept' },
};

/** @returns {{ shapes: object[], bottom: number }} */
export function legendShapes(settings, { left, right, top }) {
  const { level, show, scale, range, colors } = settings;
  const shapes = [];
  const write = (text, x, y, color, anchor = 'start') =>
    shapes.push({ type: 'text', x, y, text, size: SIZE, anchor, rotate: 0, color });
  const hasRamp = show !== 'mask' || level > 0;
  const items = itemsOf(settings, hasRamp);
  let y = top;
  let x = left;
  if (hasRamp) {
    const name = [VALUES[show][range], scale.name].filter((part) => part !== '').join(', ');
    for (const line of wrapText(name, SIZE, right - left, 2)) {
      y += SIZE;
      write(line, left, y, colors.muted);
      y += 4;
    }
    const width = Math.min(BAR.width, right - left);
    shapes.push(...barShapes(settings, left, y + 2, width));
    x = left + width + BETWEEN;
    y += 2;
  }
  // Items stand beside the bar, then below it and its ticks.
  let bottom = y + (hasRamp ? BAR.height + TICK + 3 + SIZE : SWATCH.height);
  for (const { draw, text } of items) {
    const width = SWATCH.width + GAP + textWidth(text, SIZE);
    if (x > left && x + width > right) {
      [x, y] = [left, bottom + 8];
      bottom = y + SWATCH.height + 2;
    }
    shapes.push(...draw(x, y));
    write(text, x + SWATCH.width + GAP, y + SWATCH.height - 1, colors.text);
    x += width + BETWEEN;
  }
  y = bottom;
  for (const line of noteOf(settings, right - left)) {
    y += SIZE + 5;
    write(line, left, y, colors.muted);
  }
  return { shapes, bottom: y + 2 };
}

function barShapes({ scale, ramp, colors }, left, y, width) {
  const shapes = [];
  const ink = rampColors(ramp);
  const { below, above } = scale.clipped ?? {};
  const x = left + (below === undefined ? 0 : END);
  const length = width - (x - left) - (above === undefined ? 0 : END);
  const colorAt = (position) => [...ink.subarray(3 * Math.round(255 * position)).subarray(0, 3)];
  const pixels = new Uint8ClampedArray(4 * length).fill(255);
  for (let column = 0; column < length; column++) pixels.set(colorAt(column / (length - 1)), 4 * column);
  shapes.push({ type: 'image', x, y, width: length, height: BAR.height, rows: 1, columns: length, pixels });
  const middle = y + BAR.height / 2;
  const end = (at, to, fill) => ({
    type: 'polygon',
    points: [
      [at, y],
      [to, middle],
      [at, y + BAR.height],
    ],
    fill,
  });
  if (below !== undefined) shapes.push(end(x, left, colorAt(0)));
  if (above !== undefined) shapes.push(end(x + length, x + length + END, colorAt(1)));
  const bottom = y + BAR.height;
  let free = -Infinity;
  for (const { position, label } of scale.ticks) {
    const at = x + position * length;
    shapes.push({ type: 'line', x1: at, y1: bottom, x2: at, y2: bottom + TICK, width: 1, color: colors.line });
    const half = textWidth(label, SIZE) / 2;
    const center = Math.min(Math.max(at, left - END + half), left + width + END - half);
    if (center - half < free) continue;
    free = center + half + 6;
    const baseline = Math.round(bottom + TICK + 2 + ASCENT * SIZE);
    const place = { x: center, y: baseline, anchor: 'middle', rotate: 0 };
    shapes.push({ type: 'text', ...place, text: label, size: SIZE, color: colors.text });
  }
  return shapes;
}

/** What stands beside the ramp: its ends where they stand for more, and each kind of cell that there is. */
function itemsOf({ cells, scale, ramp, colors }, hasRamp) {
  const items = [];
  const ink = rampColors(ramp);
  const [lowest, highest] = [[...ink.subarray(0, 3)], [...ink.subarray(-3)]];
  const swatch = (fill, isHatched) => (x, y) => [
    { type: 'rect', x, y, ...SWATCH, fill: colors.line },
    { type: 'rect', x: x + 1, y: y + 1, width: SWATCH.width - 2, height: SWATCH.height - 2, fill },
    ...(isHatched
      ? [{ type: 'hatch', ...HATCH, color: colors.hatch, rects: [[x + 1, y + 1, SWATCH.width - 2, SWATCH.height - 2]] }]
      : []),
  ];
  const { below, above } = hasRamp ? (scale.clipped ?? {}) : {};
  if (below !== undefined) items.push({ text: below, draw: swatch(lowest) });
  if (above !== undefined) items.push({ text: above, draw: swatch(highest) });
  const has = (state) => cells.states.includes(state);
  if (!hasRamp && has(CellState.KEPT)) items.push({ text: 'kept', draw: swatch(highest) });
  const isHatched = hatchedRuns(cells).length > 0;
  if (has(CellState.MASKED)) items.push({ text: 'masked out', draw: swatch(colors.masked, isHatched) });
  if (has(CellState.SKIPPED)) items.push({ text: 'skipped block of 64 × 64', draw: swatch(colors.skipped) });
  const isOdd = (value, at) => Number.isNaN(value) && cells.states[at] === CellState.KEPT;
  if (cells.values.some(isOdd)) items.push({ text: 'not a number', draw: swatch(colors.page) });
  return items;
}

function noteOf({ cells, level, show }, width) {
  if (level === 0) return [];
  const side = 2 ** level;
  const values = show === 'mask' ? '' : `: the largest value in it${cells.sampled ? ', of sampled queries' : ''}`;
  const isPartial = cells.kept.some((part, at) => part < 1 && cells.states[at] === CellState.KEPT);
  const paler = '; closer to the colour of what is masked out the less of it is kept';
  return wrapText(
    `A pixel is a block of ${side} × ${side} cells${values}${isPartial && show !== 'mask' ? paler : ''}.`,
    SIZE,
    width,
    3,
  );
}
