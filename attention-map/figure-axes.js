// SPDX-License-Identifier: Apache-2.0

/** Axes of figures: tokens where they fit, positions otherwise. */

import { ASCENT, textWidth } from './font.js';
import { tokenLabel } from './figure-text.js';

export const AXIS_TITLES = Object.freeze({ queries: 'query (who looks)', keys: 'key (what is looked at)' });

const LARGEST = 10; // font sizes
const LEAST = 6.5;
const LEADING = 1.15; // of the font size, between baselines
const GAP = 4; // between the frame and labels
const MARK = 3; // length of a tick
const WIDEST_PART = 0.17; // of the figure's width, for a token

/** The room that labels of queries may take, before it is known which fit. */
export function widestLabel(settings) {
  const { rows, tokens, width } = settings;
  const positions = textWidth(String(rows[1] - 1), LARGEST) + MARK;
  if (tokens === undefined) return Math.ceil(positions);
  const labels = labelsOf(tokens.queries, rows, LARGEST, WIDEST_PART * width);
  return Math.ceil(Math.max(positions, ...labels.map((label) => textWidth(label, LARGEST))));
}

/**
 * The labels of an axis.
 * @param {'queries' | 'keys'} name
 * @returns {{ title: string, size: number, isRotated: boolean, hasMarks: boolean,
 *   labels: { at: number, text: string }[] }} `at`: pixels from the begin of the axis
 */
export function axisOf(settings, name, plot) {
  const { rows, columns, level, tokens, width } = settings;
  const isVertical = name === 'queries';
  const [from, to] = isVertical ? rows : columns;
  const cell = isVertical ? plot.cellHeight : plot.cellWidth;
  const title = AXIS_TITLES[name];
  const place = (index) => ((index + 0.5) / 2 ** level - Math.floor(from / 2 ** level)) * cell;
  const size = Math.min(LARGEST, Math.floor((2 * cell) / LEADING) / 2);
  if (tokens?.[name] !== undefined && level === 0 && size >= LEAST) {
    const labels = labelsOf(tokens[name], [from, to], size, WIDEST_PART * width);
    const isRotated = !isVertical && labels.some((label) => textWidth(label, size) > cell - 3);
    return {
      ...{ title, size, isRotated, hasMarks: false },
      labels: labels.map((text, n) => ({ at: place(from + n), text })),
    };
  }
  const room = isVertical ? LARGEST * 1.9 : textWidth(String(to - 1), LARGEST) + 12;
  const step = niceStep((room * 2 ** level) / cell);
  const labels = [];
  for (let index = Math.ceil(from / step) * step; index < to; index += step) {
    labels.push({ at: place(index), text: String(index) });
  }
  if (labels.length === 0) labels.push({ at: place(from), text: String(from) });
  return { title, size: LARGEST, isRotated: false, hasMarks: true, labels };
}

/** @returns {{ shapes: object[] }} */
export function verticalAxis({ title, size, hasMarks, labels }, plot, colors) {
  const shapes = [];
  let widest = 0;
  for (const { at, text } of labels) {
    const y = plot.top + at;
    if (hasMarks) shapes.push(mark(plot.left - 1 - MARK, y, plot.left - 1, y, colors));
    const x = plot.left - 1 - GAP - (hasMarks ? MARK : 0);
    shapes.push(label(text, x, y + middleOf(size), size, 'end', 0, colors.text));
    widest = Math.max(widest, textWidth(text, size) + (hasMarks ? MARK : 0));
  }
  const x = Math.round(plot.left - 1 - GAP - widest - 8);
  shapes.push(label(title, x, plot.middle, plot.size, 'middle', -90, colors.muted));
  return { shapes };
}

/** @returns {{ shapes: object[], bottom: number }} */
export function horizontalAxis({ title, size, isRotated, hasMarks, labels }, plot, colors) {
  const shapes = [];
  let deepest = size;
  const top = plot.bottom + 1;
  for (const { at, text } of labels) {
    const x = plot.left + at;
    if (hasMarks) shapes.push(mark(x, top, x, top + MARK, colors));
    if (isRotated) {
      shapes.push(label(text, x + middleOf(size), top + GAP, size, 'end', -90, colors.text));
      deepest = Math.max(deepest, textWidth(text, size));
    } else {
      const y = top + GAP + (hasMarks ? MARK - 1 : 0) + ASCENT * size;
      shapes.push(label(text, x, Math.round(y), size, 'middle', 0, colors.text));
    }
  }
  const y = Math.ceil(Math.max(top + GAP + MARK + deepest, plot.bottom + plot.over) + 6 + plot.size);
  const half = textWidth(title, plot.size) / 2;
  shapes.push(label(title, Math.max(plot.center, half + 16), y, plot.size, 'middle', 0, colors.muted));
  return { shapes, bottom: y + 3 };
}

function labelsOf(tokens, [from, to], size, width) {
  return Array.from({ length: to - from }, (_, n) => tokenLabel(tokens?.[from + n] ?? '', size, width));
}

/** How far below its middle the baseline of text is: half the height of a letter between x and X. */
function middleOf(size) {
  return 0.34 * size;
}

function label(text, x, y, size, anchor, rotate, color) {
  return { type: 'text', x, y, text, size, anchor, rotate, color };
}

function mark(x1, y1, x2, y2, { line }) {
  return { type: 'line', x1, y1, x2, y2, width: 1, color: line };
}

/** The least of 1, 2, 5, 10, 20, 50 .. that is no less. */
function niceStep(least) {
  for (let power = 1; ; power *= 10) {
    const factor = [1, 2, 5].find((one) => one * power >= least);
    if (factor !== undefined) return factor * power;
  }
}
