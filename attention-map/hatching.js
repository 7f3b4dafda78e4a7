// SPDX-License-Identifier: Apache-2.0
/** What sets masked cells and skipped blocks apart without colour: rising lines, and a lattice of dots. */
import { cssOf } from './theme.js';

/**
 * Cells that belong together as few rectangles, so that hatching thousands of them is one short path.
 * @param {Uint8Array} states [rows, columns]
 * @param {number} rows
 * @param {number} columns
 * @param {number} state
 * @returns {number[][]} [row, column, height, width] of rectangles that cover the cells in this state, and no other
 */
export function rectanglesOf(states, rows, columns, state) {
  const done = [];
  let open = new Map(); // "from to" of a stretch of the row above => its rectangle
  for (let i = 0; i < rows; i++) {
    const next = new Map();
    for (let j = 0; j < columns; j++) {
      if (states[i * columns + j] !== state) continue;
      const from = j;
      while (j < columns && states[i * columns + j] === state) j++;
      const key = `${from} ${j}`;
      const rectangle = open.get(key) ?? [i, from, 0, j - from];
      rectangle[2]++;
      next.set(key, rectangle);
      open.delete(key);
    }
    done.push(...open.values());
    open = next;
  }
  done.push(...open.values());
  return done;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {import('./theme.js').Theme} theme
 * @param {number} ratio device pixels per CSS pixel
 * @param {'masked' | 'skipped'} kind
 * @returns {CanvasPattern} in device pixels
 */
export function hatchPattern(context, theme, ratio, kind) {
  const size = Math.round(6 * ratio);
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = size;
  const pen = canvas.getContext('2d');
  pen.fillStyle = cssOf(theme.cells[kind]);
  pen.fillRect(0, 0, size, size);
  pen.fillStyle = pen.strokeStyle = cssOf(theme.cells.hatch);
  if (kind === 'masked') {
    pen.lineWidth = ratio;
    pen.beginPath();
    for (const shift of [-size, 0, size]) { // the corners too, where the next one goes on
      pen.moveTo(shift, size);
      pen.lineTo(shift + size, 0);
    }
    pen.stroke();
  } else {
    const dot = Math.max(1, Math.round(1.3 * ratio));
    pen.fillRect(Math.round(size / 2 - dot / 2), Math.round(size / 2 - dot / 2), dot, dot);
  }
  return context.createPattern(canvas, 'repeat');
}
