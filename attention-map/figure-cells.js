// SPDX-License-Identifier: Apache-2.0

/** The cells of figures: their colours, hatching of what is masked, numbers and outlines. */

import { textWidth } from './font.js';
import { raster } from './raster.js';
import { mergeRuns } from './runs.js';
import { CellState } from './states.js';
import { luminanceOf } from './themes.js';

export const HATCH = Object.freeze({ period: 8, width: 1 });

const MOST_HATCHED = 4000; // rectangles; with more it is noise, and makes files large
const LARGEST_NUMBER = 11; // font sizes
const LEAST_NUMBER = 6.5;
const HALF_DIGIT = 0.365; // of the font size
const EVEN_CONTRAST = 0.18; // the luminance that black and white stand out from alike

/** Shapes of the cells, and what lies on them. */
export function cellShapes(settings, plot) {
  const { cells, colors, cursor, highlight, numbers, level, show } = settings;
  const pixels = raster(cells, { ...settings, theme: colors });
  const image = { ...boxOf(plot), type: 'image', rows: cells.rows, columns: cells.columns, pixels };
  const shapes = [image];
  const hatched = hatchedRuns(cells);
  if (hatched.length > 0) shapes.push({ type: 'hatch', ...HATCH, color: colors.hatch, rects: rectsOf(hatched, plot) });
  if (numbers && level === 0 && show !== 'mask') shapes.push(...numberShapes(settings, plot, pixels));
  for (const { rows, columns } of highlight) shapes.push(...outline(settings, plot, rows, columns));
  if (cursor !== undefined) {
    const { query, key } = cursor;
    shapes.push(...outline(settings, plot, [query, query + 1], [key, key + 1]));
  }
  return shapes;
}

/** Rectangles of what is masked, to be hatched; none where there are too many. */
export function hatchedRuns({ rows, columns, states }) {
  const runs = mergeRuns(rows, columns, (at) => (states[at] === CellState.MASKED ? 1 : undefined));
  return runs.length > MOST_HATCHED ? [] : runs;
}

function boxOf({ left, top, right, bottom }) {
  return { x: left, y: top, width: right - left, height: bottom - top };
}

function rectsOf(runs, { left, top, cellWidth, cellHeight }) {
  return runs.map(({ row, column, rows, columns }) => [
    left + column * cellWidth,
    top + row * cellHeight,
    columns * cellWidth,
    rows * cellHeight,
  ]);
}

function numberShapes({ cells, show, colors }, plot, pixels) {
  const { rows, columns, values, states } = cells;
  const at = Array.from({ length: rows * columns }, (_, n) => n).filter(
    (n) => states[n] === CellState.KEPT && Number.isFinite(values[n]),
  );
  for (const digits of [3, 2]) {
    const texts = at.map((n) => numberText(values[n], show, digits));
    const widest = Math.max(...texts.map((text) => textWidth(text, 1)));
    const size = Math.floor(2 * Math.min(LARGEST_NUMBER, (plot.cellWidth - 3) / widest, 0.7 * plot.cellHeight)) / 2;
    if (size < (digits === 3 ? LARGEST_NUMBER - 2 : LEAST_NUMBER)) continue;
    return texts.map((text, n) => {
      const [row, column] = [Math.floor(at[n] / columns), at[n] % columns];
      const isBright = luminanceOf([...pixels.subarray(4 * at[n], 4 * at[n] + 3)]) > EVEN_CONTRAST;
      const x = plot.left + (column + 0.5) * plot.cellWidth;
      const y = plot.top + (row + 0.5) * plot.cellHeight + HALF_DIGIT * size;
      const color = isBright ? colors.ink : colors.chalk;
      return { type: 'text', x, y, text, size, anchor: 'middle', rotate: 0, color };
    });
  }
  return [];
}

/** A weight without the 0 before its point, a score with a digit less. */
function numberText(value, show, digits) {
  if (show === 'scores') return value.toFixed(digits - 1).replace(/^-/, '−');
  const text = value.toFixed(digits).replace(/^0\./, '.');
  if (Number(text) === 0) return value === 0 ? '0' : '≈0';
  return text === `1.${'0'.repeat(digits)}` ? '1' : text;
}

/** Queries and keys framed in two colours, one of which differs from whatever is below; nothing if out of sight. */
function outline({ rows: [top, bottom], columns: [left, right], level, colors }, plot, rows, columns) {
  const clamp = (value, least, most) => Math.min(most, Math.max(least, value));
  const [i0, i1] = rows.map((row) => clamp(row, top, bottom));
  const [j0, j1] = columns.map((column) => clamp(column, left, right));
  if (i0 >= i1 || j0 >= j1) return [];
  const xOf = (key) => plot.left + (key / 2 ** level - Math.floor(left / 2 ** level)) * plot.cellWidth;
  const yOf = (query) => plot.top + (query / 2 ** level - Math.floor(top / 2 ** level)) * plot.cellHeight;
  const [x1, y1, x2, y2] = [xOf(j0), yOf(i0), xOf(j1), yOf(i1)];
  const frame = (width, color) => [
    ...[y1, y2].map((y) => ({ type: 'line', x1: x1 - width / 2, y1: y, x2: x2 + width / 2, y2: y, width, color })),
    ...[x1, x2].map((x) => ({ type: 'line', x1: x, y1, x2: x, y2, width, color })),
  ];
  return [...frame(4, colors.page), ...frame(2, colors.text)];
}
