// SPDX-License-Identifier: Apache-2.0

/**
 * A finished figure of attention as a list of shapes, which svg.js and png.js draw: title, cells, axes, legend. It
 * needs no browser; text is measured by font.js.
 *
 * @typedef {number[]} Color [red, green, blue], 0..255
 * @typedef {{ type: 'rect', x: number, y: number, width: number, height: number, fill: Color }} Rect
 * @typedef {{ type: 'polygon', points: [number, number][], fill: Color }} Polygon
 * @typedef {{ type: 'line', x1: number, y1: number, x2: number, y2: number, width: number, color: Color }} Line
 *   horizontal or vertical
 * @typedef {{ type: 'image', x: number, y: number, width: number, height: number, rows: number, columns: number,
 *   pixels: Uint8ClampedArray }} Image cells as RGBA [rows, columns], to be drawn with sharp edges
 * @typedef {{ type: 'hatch', rects: [number, number, number, number][], period: number, width: number, color: Color
 *   }} Hatch lines rising at 45 degrees, `period` apart along x, clipped to rectangles [x, y, width, height]
 * @typedef {{ type: 'text', x: number, y: number, text: string, size: number, anchor: 'start' | 'middle' | 'end',
 *   rotate: number, color: Color }} Text at a baseline; `rotate` in degrees about x, y
 * @typedef {Rect | Polygon | Line | Image | Hatch | Text} Shape
 * @typedef {{ width: number, height: number, title: string, description: string, shapes: Shape[] }} Figure sizes in
 *   CSS pixels
 */

import { checkOptions } from '../js/checks.js';
import { AXIS_TITLES, axisOf, horizontalAxis, verticalAxis, widestLabel } from './figure-axes.js';
import { cellShapes } from './figure-cells.js';
import { legendShapes } from './figure-legend.js';
import { wrapText } from './figure-text.js';
import { textWidth } from './font.js';
import { THEMES } from './themes.js';

const KNOWN = new Set([
  ...['cells', 'level', 'rows', 'columns', 'tokens', 'title', 'subtitle', 'show', 'scale', 'ramp', 'range', 'rowMax'],
  ...['rowMin', 'theme', 'numbers', 'legend', 'highlight', 'cursor', 'width'],
]);
const SHOWN = { weights: 'Attention weights', scores: 'Attention scores', mask: 'Attention mask' };
const MARGIN = 16;
const SIZES = { title: 14, subtitle: 11, axis: 11 };
const LEAST_WIDTH = 240;
const LARGEST_CELL = 64;
const LEAST_SIDE = 64; // of the picture of one row or column
const LEAST_LEGEND = 420; // where there is less room beside the plot's left edge it begins at the figure's

/**
 * @param {object} options
 * @param {object} options.cells what `MapSource.read` gives
 * @param {number} [options.level] a pixel is 2^level x 2^level cells; default 0
 * @param {[number, number]} options.rows queries that the cells show, begin and end
 * @param {[number, number]} options.columns keys
 * @param {{ queries: string[], keys: string[] }} [options.tokens] of all positions, from 0 on
 * @param {string} [options.title]
 * @param {string} [options.subtitle]
 * @param {'weights' | 'scores' | 'mask'} [options.show] what the values are; default weights
 * @param {import('./scale.js').Scale} options.scale
 * @param {string} [options.ramp] default viridis
 * @param {'head' | 'row'} [options.range] with `row` the scale is over 0..1, a part of each row's largest value
 * @param {ArrayLike<number>} [options.rowMax] of each row of pixels; needed with range row
 * @param {ArrayLike<number>} [options.rowMin] default 0
 * @param {'light' | 'dark'} [options.theme] default light
 * @param {boolean} [options.numbers] write values into cells that are large enough; default false
 * @param {boolean} [options.legend] default true
 * @param {{ rows: [number, number], columns: [number, number] }[]} [options.highlight] queries and keys to outline
 * @param {{ query: number, key: number }} [options.cursor] a cell to outline
 * @param {number} [options.width] default 640
 * @returns {Figure}
 * @throws {TypeError | RangeError} naming the option
 */
export function figure(options) {
  const settings = readOptions(options);
  const { title, subtitle, show, rows, columns, width, colors } = settings;
  const shapes = [];
  let y = MARGIN;
  const heading = (text, size, color, count) => {
    for (const line of wrapText(text, size, width - 2 * MARGIN, count)) {
      y += size;
      shapes.push({ type: 'text', x: width / 2, y, text: line, size, anchor: 'middle', rotate: 0, color });
      y += Math.round(0.4 * size);
    }
  };
  heading(title, SIZES.title, colors.text, 2);
  heading(subtitle, SIZES.subtitle, colors.muted, 3);
  if (shapes.length > 0) y += 6;

  const plot = plotOf(settings, y);
  shapes.push(...cellShapes(settings, plot), ...frame(plot, colors));
  const vertical = verticalAxis(axisOf(settings, 'queries', plot), plot, colors);
  const horizontal = horizontalAxis(axisOf(settings, 'keys', plot), plot, colors);
  shapes.push(...vertical.shapes, ...horizontal.shapes);
  y = Math.max(horizontal.bottom, plot.bottom);
  if (settings.legend) {
    const right = width - MARGIN;
    const left = right - plot.left >= LEAST_LEGEND ? plot.left : MARGIN;
    const legend = legendShapes(settings, { left, right, top: y + 14 });
    shapes.push(...legend.shapes);
    y = legend.bottom;
  }
  const height = Math.ceil(y + MARGIN);
  const page = { type: 'rect', x: 0, y: 0, width, height, fill: colors.page };
  const [queries, keys] = [rows, columns].map(([from, to]) => `${from} to ${to - 1}`);
  const description = `${SHOWN[show]} of queries ${queries} (rows) and keys ${keys} (columns).`;
  return { width, height, title: title || SHOWN[show], description, shapes: [page, ...shapes] };
}

function readOptions(options) {
  checkOptions(options, 'options', KNOWN);
  const settings = {
    ...{ level: 0, title: '', subtitle: '', show: 'weights', ramp: 'viridis', range: 'head', theme: 'light' },
    ...{ numbers: false, legend: true, highlight: [], width: 640 },
    ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
  };
  const { cells, level, rows, columns, show, scale, range, rowMax, theme, width } = settings;
  checkOneOf(show, 'show', Object.keys(SHOWN));
  checkOneOf(theme, 'theme', Object.keys(THEMES));
  checkOneOf(range, 'range', ['head', 'row']);
  if (!(Number.isInteger(width) && width >= LEAST_WIDTH)) {
    throw new RangeError(`width: expected an integer >= ${LEAST_WIDTH}, got ${String(width)}`);
  }
  if (typeof scale?.position !== 'function') throw new TypeError('scale: expected what makeScale returns');
  for (const [name, list, count] of [
    ['rows', rows, cells?.rows],
    ['columns', columns, cells?.columns],
  ]) {
    const pixels = Math.ceil(list?.[1] / 2 ** level) - Math.floor(list?.[0] / 2 ** level);
    if (!(count >= 1 && pixels === count)) {
      throw new RangeError(`${name}: expected the ${name} of cells, ${String(count)} at level ${level}, got ${list}`);
    }
  }
  if (range === 'row' && rowMax?.length !== cells.rows) {
    throw new RangeError(`rowMax: expected ${cells.rows} values with range row, got ${String(rowMax?.length)}`);
  }
  return { ...settings, colors: THEMES[theme] };
}

function checkOneOf(value, name, choices) {
  if (!choices.includes(value)) throw new RangeError(`${name}: expected ${choices.join(' or ')}, got ${String(value)}`);
}

/**
 * Where the cells go: as large as fits, square unless there are but a few rows or columns, of whole pixels from two on.
 * @returns {{ left: number, top: number, right: number, bottom: number, cellWidth: number, cellHeight: number,
 *   center: number, middle: number }}
 */
function plotOf(settings, top) {
  const { cells, width } = settings;
  const before = MARGIN + SIZES.axis + 8 + widestLabel(settings) + 6;
  const room = width - before - MARGIN - 8;
  const fit = (side) => (side >= 2 ? Math.floor(side) : side >= 1 ? Math.floor(4 * side) / 4 : side);
  const cell = fit(Math.min(LARGEST_CELL, room / cells.columns, width / cells.rows));
  const sideOf = (count) => Math.max(cell, Math.min(LARGEST_CELL, fit(LEAST_SIDE / count)));
  const [cellWidth, cellHeight] = [sideOf(cells.columns), sideOf(cells.rows)];
  const [plotWidth, plotHeight] = [cellWidth * cells.columns, cellHeight * cells.rows];
  const left = Math.round(before + (room - plotWidth) / 2);
  // The title of the axis may be longer than the axis.
  const over = Math.max(0, Math.ceil((textWidth(AXIS_TITLES.queries, SIZES.axis) - plotHeight) / 2));
  const y = top + over;
  return {
    ...{ left, top: y, right: left + plotWidth, bottom: y + plotHeight, cellWidth, cellHeight, over },
    ...{ center: left + plotWidth / 2, middle: y + plotHeight / 2, size: SIZES.axis },
  };
}

function frame({ left, top, right, bottom }, { line }) {
  const side = (x1, y1, x2, y2) => ({ type: 'line', x1, y1, x2, y2, width: 1, color: line });
  return [
    side(left - 1, top - 0.5, right + 1, top - 0.5),
    side(left - 1, bottom + 0.5, right + 1, bottom + 0.5),
    side(left - 0.5, top, left - 0.5, bottom),
    side(right + 0.5, top, right + 0.5, bottom),
  ];
}
