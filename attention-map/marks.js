// SPDX-License-Identifier: Apache-2.0
/** What is drawn on the cells: hatches, numbers, the cross-hair, outlined rectangles, handles. */
import { luminance } from './theme.js';

/** CSS pixels per cell from which masked cells and skipped blocks are hatched. */
export const HATCH_ZOOM = 6;
/** CSS pixels per cell from which numbers are written. */
export const NUMBER_ZOOM = 36;
/** Cells along each side of what is read at once; skipped blocks are such squares. */
export const CHUNK = 64;

/**
 * @param {CanvasRenderingContext2D} context in device pixels
 * @param {object} scene
 * @param {{ row: number, column: number, value: object }[]} scene.chunks of CHUNK cells, with the rectangles of
 * masked and skipped cells
 * @param {{ masked: CanvasPattern, skipped: CanvasPattern }} scene.patterns
 */
export function drawHatches(context, { chunks, patterns, transform: { x, y, k }, ratio }) {
  const shift = new DOMMatrix().translate(Math.round(ratio * x), Math.round(ratio * y)); // they move with the cells
  for (const kind of ['masked', 'skipped']) {
    context.beginPath();
    for (const { row, column, value } of chunks) {
      for (const [i, j, height, width] of value[kind]) {
        const [j0, i0] = [column * CHUNK + j, row * CHUNK + i];
        const [x0, y0] = [Math.round(ratio * (x + k * j0)), Math.round(ratio * (y + k * i0))];
        const [x1, y1] = [Math.round(ratio * (x + k * (j0 + width))), Math.round(ratio * (y + k * (i0 + height)))];
        context.rect(x0, y0, x1 - x0, y1 - y0);
      }
    }
    patterns[kind].setTransform(shift);
    context.fillStyle = patterns[kind];
    context.fill();
  }
}

/** Outlines of the squares of which nothing is kept. */
export function drawSkippedOutlines(context, { chunks, transform: { x, y, k }, theme }) {
  context.strokeStyle = theme.muted;
  context.lineWidth = 1;
  context.setLineDash([2, 3]);
  context.beginPath();
  for (const { row, column, value } of chunks) {
    for (const [i, j, height, width] of value.skipped) {
      context.rect(x + k * (column * CHUNK + j) + 0.5, y + k * (row * CHUNK + i) + 0.5, k * width - 1, k * height - 1);
    }
  }
  context.stroke();
  context.setLineDash([]);
}

/** @returns {string} a value in a few characters */
export function shortNumber(value) {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e4 || size < 1e-3) return value.toExponential(0).replace('e+', 'e');
  return String(Number(value.toPrecision(2))).replace(/^(-?)0\./, '$1.');
}

/**
 * @param {CanvasRenderingContext2D} context scaled to CSS pixels
 * @param {object} scene
 * @param {{ rows: [number, number], columns: [number, number] }} scene.visible
 * @param {(value: number, low: number, high: number) => number[]} scene.colorOf red, green and
 * blue; low and high are the ends of the row's range, where rows have their own
 */
export function drawNumbers(context, { chunks, visible, transform: { x, y, k }, theme, colorOf }) {
  context.font = `${Math.min(13, k / 3.4)}px ${theme.font}`;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  for (const { row, column, value: { rows, columns, values, states, rowMin, rowMax } } of chunks) {
    const [i0, j0] = [row * CHUNK, column * CHUNK];
    for (let i = Math.max(0, visible.rows[0] - i0); i < Math.min(rows, visible.rows[1] - i0); i++) {
      for (let j = Math.max(0, visible.columns[0] - j0); j < Math.min(columns, visible.columns[1] - j0); j++) {
        const n = i * columns + j;
        if (states[n] !== 0) continue;
        context.fillStyle = luminance(colorOf(values[n], rowMin?.[i] ?? 0, rowMax?.[i])) < 0.5 ? '#fff' : '#000';
        context.fillText(shortNumber(values[n]), x + k * (j0 + j + 0.5), y + k * (i0 + i + 0.5));
      }
    }
  }
}

/** Strokes a path dark and light, so that it shows on every colour. */
function strokeTwice(context, color, width, casing = 'rgb(255 255 255 / 85%)') {
  context.strokeStyle = casing;
  context.lineWidth = width + 2;
  context.stroke();
  context.strokeStyle = color;
  context.lineWidth = width;
  context.stroke();
}

/** Lines along the cursor's row and column, and a frame around its cell. */
export function drawCursor(context, { cursor, isLocked, transform: { x, y, k }, plot }) {
  const [x0, y0] = [x + k * cursor.key, y + k * cursor.query];
  const size = Math.max(k, 1);
  const line = (px, py, width, height) => {
    context.fillStyle = 'rgb(0 0 0 / 60%)';
    context.fillRect(px, py, width, height);
  };
  context.fillStyle = 'rgb(255 255 255 / 75%)';
  for (const [px, py, width, height] of [
    [plot.left, y0 - 2, plot.width, 1], [plot.left, y0 + size + 1, plot.width, 1],
    [x0 - 2, plot.top, 1, plot.height], [x0 + size + 1, plot.top, 1, plot.height],
  ]) context.fillRect(px, py, width, height);
  line(plot.left, y0 - 1, plot.width, 1);
  line(plot.left, y0 + size, plot.width, 1);
  line(x0 - 1, plot.top, 1, plot.height);
  line(x0 + size, plot.top, 1, plot.height);
  context.beginPath();
  const side = Math.max(size, 5);
  context.rect(x0 + size / 2 - side / 2 - 1, y0 + size / 2 - side / 2 - 1, side + 2, side + 2);
  strokeTwice(context, '#000', isLocked ? 4 : 2, '#fff');
  if (isLocked) strokeTwice(context, '#fff', 1, '#000');
}

/** Rectangles of cells; those of the kind `drop` are dashed. */
export function drawHighlights(context, { highlight, transform: { x, y, k }, theme }) {
  for (const { rows, columns, kind } of highlight) {
    context.setLineDash(kind === 'drop' ? [5, 4] : []);
    context.beginPath();
    context.rect(x + k * columns[0], y + k * rows[0], k * (columns[1] - columns[0]), k * (rows[1] - rows[0]));
    strokeTwice(context, theme.accent, 2, theme.page);
  }
  context.setLineDash([]);
}

/** A handle's line with its grip and its value. `handle` comes from handles.js. */
export function drawHandle(context, { handle, transform: { x, y, k }, plot, theme }) {
  const point = ([column, row]) => [x + k * column, y + k * row];
  const [from, to] = [point(handle.from), point(handle.to)];
  context.beginPath();
  context.moveTo(...from);
  context.lineTo(...to);
  strokeTwice(context, theme.accent, 3, theme.page);
  const grip = point(handle.grip);
  context.beginPath();
  context.arc(...grip, 8, 0, 2 * Math.PI);
  strokeTwice(context, theme.accent, 3, theme.page);
  context.fillStyle = theme.page;
  context.fill();
  context.font = `600 12px ${theme.font}`;
  const width = context.measureText(handle.label).width + 10;
  const isLeft = grip[0] + 14 + width > plot.left + plot.width;
  const left = isLeft ? grip[0] - 14 - width : grip[0] + 14;
  context.fillStyle = theme.accent;
  context.fillRect(left, grip[1] - 10, width, 20);
  context.fillStyle = theme.page;
  context.textAlign = 'left';
  context.textBaseline = 'middle';
  context.fillText(handle.label, left + 5, grip[1]);
}

