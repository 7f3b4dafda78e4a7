// SPDX-License-Identifier: Apache-2.0
/**
 * Where cells stand on the screen. A view is { x, y, zoom }: the cell coordinates of the plot's top left corner, and
 * CSS pixels per cell. A transform is d3-zoom's { x, y, k } with k = zoom: column j begins at x + k * j, and row i at
 * y + k * i, in CSS pixels of the stage, axes included. A plot is { left, top, width, height } in the same pixels.
 */

/** Pixels along each side of a tile. */
export const TILE = 256;

/** The largest CSS size of a cell, whatever the size of the matrix. */
export const MAX_ZOOM = 96;

/** @returns {number} the level at which the whole matrix [sq, sk] is one tile */
export function topLevel([queries, keys]) {
  return Math.max(0, Math.ceil(Math.log2(Math.max(queries, keys) / TILE)));
}

/**
 * @param {number} zoom CSS pixels per cell
 * @param {number} ratio device pixels per CSS pixel
 * @param {number} top the coarsest level
 * @returns {number} the finest level of which a pixel takes at least one device pixel
 */
export function levelFor(zoom, ratio, top) {
  const level = Math.ceil(-Math.log2(zoom * ratio) - 1e-9);
  return Math.min(top, Math.max(0, level));
}

/** @returns {number} the zoom at which the whole matrix just fits */
export function fitZoom({ width, height }, [queries, keys]) {
  return Math.min(width / keys, height / queries);
}

/** @returns {{ x: number, y: number, zoom: number }} */
export function viewOf({ x, y, k }, { left, top }) {
  return { x: (left - x) / k, y: (top - y) / k, zoom: k };
}

/** The transform of a view, kept inside: what is smaller than the plot is centred in it, as d3-zoom does. */
export function transformOf(view, plot, [queries, keys]) {
  const k = Math.min(Math.max(view.zoom, fitZoom(plot, [queries, keys])), maxZoom(plot, [queries, keys]));
  const place = (start, size, from, count) => {
    const spare = size - k * count;
    return spare > 0 ? start + spare / 2 : Math.min(start, Math.max(start + spare, start - k * from));
  };
  return { x: place(plot.left, plot.width, view.x, keys), y: place(plot.top, plot.height, view.y, queries), k };
}

/** @returns {number} the largest zoom: a matrix of a few cells may fill the plot */
export function maxZoom(plot, shape) {
  return Math.max(MAX_ZOOM, fitZoom(plot, shape));
}

/**
 * @returns {{ rows: [number, number], columns: [number, number] }} the cells of which something is inside the plot
 */
export function visibleCells({ x, y, k }, { left, top, width, height }, [queries, keys]) {
  const range = (from, to, count) => {
    const begin = Math.min(count - 1, Math.max(0, Math.floor(from + 1e-6)));
    return [begin, Math.max(begin + 1, Math.min(count, Math.ceil(to - 1e-6)))];
  };
  return {
    rows: range((top - y) / k, (top + height - y) / k, queries),
    columns: range((left - x) / k, (left + width - x) / k, keys),
  };
}

/** @returns {{ query: number, key: number } | undefined} the cell at a point of the stage */
export function cellAt(px, py, { x, y, k }, plot, [queries, keys]) {
  const inside = px >= plot.left && px < plot.left + plot.width && py >= plot.top && py < plot.top + plot.height;
  const key = Math.floor((px - x) / k);
  const query = Math.floor((py - y) / k);
  return inside && key >= 0 && key < keys && query >= 0 && query < queries ? { query, key } : undefined;
}

/**
 * Squares of `size` pixels of one level that cover a range of cells.
 * @returns {{ level: number, row: number, column: number }[]} those in the middle last: they are asked for last, and
 * answered first
 */
export function pagesOf({ rows, columns }, level, size) {
  const step = size * 2 ** level;
  const [top, left] = [Math.floor(rows[0] / step), Math.floor(columns[0] / step)];
  const [bottom, right] = [Math.ceil(rows[1] / step), Math.ceil(columns[1] / step)];
  const pages = [];
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) pages.push({ level, row, column });
  }
  const distance = ({ row, column }) => (2 * row + 1 - top - bottom) ** 2 + (2 * column + 1 - left - right) ** 2;
  return pages.sort((a, b) => distance(b) - distance(a));
}

/** The view that shows a cell, moved as little as possible and with a neighbour to be seen on each side. */
export function reveal({ query, key }, { x, y, k }, plot) {
  const along = (start, offset, size, index) => {
    const margin = Math.min(k, (size - k) / 2);
    const begin = offset + k * index;
    if (begin < start + margin) return offset + (start + margin - begin);
    return Math.min(offset, offset + (start + size - margin) - (begin + k));
  };
  return { x: along(plot.left, x, plot.width, key), y: along(plot.top, y, plot.height, query), k };
}
