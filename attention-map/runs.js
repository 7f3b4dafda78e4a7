// SPDX-License-Identifier: Apache-2.0

/** A grid of cells as few rectangles. */

/**
 * Rectangles of cells that are alike: runs within a row, and runs of the same columns in rows that follow.
 * @param {number} rows
 * @param {number} columns
 * @param {(at: number) => number | undefined} keyOf of the cell at row * columns + column; undefined: in no rectangle
 * @returns {{ row: number, column: number, rows: number, columns: number, key: number }[]} by first row, then column
 */
export function mergeRuns(rows, columns, keyOf) {
  const merged = [];
  let above = new Map(); // first column -> rectangle that ends in the row above
  for (let row = 0; row < rows; row++) {
    const here = new Map();
    for (let column = 0; column < columns;) {
      const key = keyOf(row * columns + column);
      const start = column++;
      while (column < columns && keyOf(row * columns + column) === key) column++;
      if (key === undefined) continue;
      let run = above.get(start);
      if (run !== undefined && run.key === key && run.columns === column - start) run.rows++;
      else merged.push((run = { row, column: start, rows: 1, columns: column - start, key }));
      here.set(start, run);
    }
    above = here;
  }
  return merged;
}
