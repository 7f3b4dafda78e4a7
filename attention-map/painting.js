// SPDX-License-Identifier: Apache-2.0
/** The picture itself: the tiles of a level, and coarser ones in place of those that have not come. */
import { TILE } from './view.js';

/**
 * @param {CanvasRenderingContext2D} context in device pixels
 * @param {object} scene
 * @param {{ x: number, y: number, k: number }} scene.transform see view.js
 * @param {{ left: number, top: number, width: number, height: number }} scene.plot
 * @param {number} scene.ratio device pixels per CSS pixel
 * @param {[number, number]} scene.shape [sq, sk]
 * @param {{ level: number, row: number, column: number }[]} scene.tiles those that cover the plot
 * @param {number} scene.top the coarsest level
 * @param {(tile: { level: number, row: number, column: number }) => ImageBitmap | undefined} scene.get
 */
export function paintTiles(context, { transform: { x, y, k }, plot, ratio, shape: [queries, keys], tiles, top, get }) {
  const { canvas } = context;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false;
  const screenX = (column) => Math.round(ratio * (x + k * column));
  const screenY = (row) => Math.round(ratio * (y + k * row));
  const left = Math.max(Math.round(ratio * plot.left), screenX(0));
  const upper = Math.max(Math.round(ratio * plot.top), screenY(0));
  const right = Math.min(Math.round(ratio * (plot.left + plot.width)), screenX(keys));
  const lower = Math.min(Math.round(ratio * (plot.top + plot.height)), screenY(queries));
  context.save();
  context.beginPath();
  context.rect(left, upper, right - left, lower - upper);
  context.clip();
  // Edges are rounded to device pixels, so that neighbouring tiles leave no seam.
  const draw = (bitmap, level, row, column, part) => {
    const cells = 2 ** level;
    const [i0, j0] = [(row * TILE + part.y) * cells, (column * TILE + part.x) * cells];
    const [x0, y0] = [screenX(j0), screenY(i0)];
    const [x1, y1] = [screenX(j0 + part.width * cells), screenY(i0 + part.height * cells)];
    context.drawImage(bitmap, part.x, part.y, part.width, part.height, x0, y0, x1 - x0, y1 - y0);
  };
  const whole = ({ width, height }) => ({ x: 0, y: 0, width, height });
  for (const { level, row, column } of tiles) {
    const bitmap = get({ level, row, column });
    if (bitmap) {
      draw(bitmap, level, row, column, whole(bitmap));
      continue;
    }
    for (let above = level + 1; above <= top; above++) {
      const scale = 2 ** (above - level);
      const parent = { level: above, row: Math.floor(row / scale), column: Math.floor(column / scale) };
      const coarse = get(parent);
      if (!coarse) continue;
      const size = TILE / scale;
      const part = { x: (column % scale) * size, y: (row % scale) * size };
      part.width = Math.min(size, coarse.width - part.x);
      part.height = Math.min(size, coarse.height - part.y);
      draw(coarse, parent.level, parent.row, parent.column, part);
      break;
    }
    for (let child = 0; level > 0 && child < 4; child++) { // zooming out: what was seen in more detail before
      const fine = { level: level - 1, row: 2 * row + (child >> 1), column: 2 * column + (child & 1) };
      const detail = get(fine);
      if (detail) draw(detail, fine.level, fine.row, fine.column, whole(detail));
    }
  }
  context.restore();
}
