// SPDX-License-Identifier: Apache-2.0
/**
 * Handles on the picture: the left edge of a window, which runs along the diagonal, and the edge of the sinks, which is
 * upright. A row's query has the position row + sk - sq, so that the last query sees the last key.
 */

/** @returns {number} the largest value of a handle */
export function handleLimit(handle, [queries, keys]) {
  return handle === 'window' ? Math.max(queries, keys) - 1 : keys;
}

/**
 * @param {'window' | 'sinks'} handle
 * @param {number} value keys before the query that a window keeps, or sinks
 * @param {[number, number]} shape [sq, sk]
 * @param {{ rows: [number, number], columns: [number, number] }} visible
 * @returns {{ from: number[], to: number[], grip: number[], label: string }} points as [column, row] in cells; the grip
 * is where the line can be seen, if it can
 */
export function handleLine(handle, value, [queries, keys], { rows, columns }) {
  if (handle === 'sinks') {
    return { from: [value, 0], to: [value, queries], grip: [value, (rows[0] + rows[1]) / 2], label: `sinks ${value}` };
  }
  const shift = keys - queries - value; // column = row + shift
  const first = Math.max(rows[0], columns[0] - shift);
  const last = Math.min(rows[1], columns[1] - shift);
  const row = first <= last ? (first + last) / 2 : (rows[0] + rows[1]) / 2;
  return { from: [shift, 0], to: [shift + queries, queries], grip: [row + shift, row], label: `window ${value}` };
}

/** @returns {number} the value at which the handle's line goes through a point in cells */
export function handleValue(handle, column, row, shape) {
  const [queries, keys] = shape;
  const value = Math.round(handle === 'sinks' ? column : row + keys - queries - column);
  return Math.min(handleLimit(handle, shape), Math.max(0, value));
}

/** @returns {number} distance in cells of a point from the line */
export function handleDistance(handle, value, column, row, [queries, keys]) {
  return handle === 'sinks' ? Math.abs(column - value) : Math.abs(row + keys - queries - value - column) / Math.SQRT2;
}

/**
 * The blocks that a drag covers.
 * @param {{ query: number, key: number }} a
 * @param {{ query: number, key: number }} b
 * @returns {{ rows: [number, number], columns: [number, number] }} ranges [begin, end) of cells
 */
export function blocksBetween(a, b, blockSize, [queries, keys]) {
  const span = (from, to, count) => [
    Math.floor(Math.min(from, to) / blockSize) * blockSize,
    Math.min(count, (Math.floor(Math.max(from, to) / blockSize) + 1) * blockSize),
  ];
  return { rows: span(a.query, b.query, queries), columns: span(a.key, b.key, keys) };
}
