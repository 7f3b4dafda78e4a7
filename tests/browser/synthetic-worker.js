// SPDX-License-Identifier: Apache-2.0
// A source of any size that holds nothing: cell (i, j) is kept where j is one of the first four keys, or at most 1023
// before i; its weight follows from i, j and head alone. Behind messages, so that the page's own thread stays free.
import { raster } from '../../attention-map/raster.js';
import { expose } from '../../attention-map/remote.js';
import { makeScale } from '../../attention-map/scale.js';
import { CellState } from '../../attention-map/states.js';

const [WINDOW, SINKS, BLOCK, TILE] = [1024, 4, 64, 256];

const keeps = (i, j) => j <= i && (j < SINKS || i - j < WINDOW);
const weightOf = (head, i, j) => (j === 0 ? 0.4 : (1 + Math.sin(i * 12.9898 + j * 78.233 + head)) / (4 * WINDOW));

/** Whether the block of a cell keeps anything: its cell nearest to the diagonal, or its first sink. */
function isSkipped(i, j) {
  const [i0, j0] = [Math.floor(i / BLOCK) * BLOCK, Math.floor(j / BLOCK) * BLOCK];
  const [i1, j1] = [i0 + BLOCK - 1, j0 + BLOCK - 1];
  return j0 > i1 || (j0 >= SINKS && i0 - j1 >= WINDOW);
}

class Synthetic {
  calls = {};

  open(shape) {
    this.shape = shape;
  }

  read({ head, level, rows: [r0, r1], columns: [c0, c1], show }) {
    const [rows, columns, size] = [r1 - r0, c1 - c0, 2 ** level];
    const cells = {
      rows, columns,
      values: new Float32Array(rows * columns).fill(NaN),
      states: new Uint8Array(rows * columns),
      kept: new Float32Array(rows * columns),
    };
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        const n = i * columns + j;
        const [query, first] = [(r0 + i) * size + size - 1, (c0 + j) * size]; // the corner nearest to the diagonal
        const key = first < SINKS ? first : Math.min(first + size - 1, Math.max(first, query - size));
        if (keeps(query, key)) {
          cells.kept[n] = 1;
          cells.values[n] = show === 'mask' ? 1 : weightOf(head, query, key);
        } else {
          cells.states[n] = isSkipped(query, key) ? CellState.SKIPPED : CellState.MASKED;
        }
      }
    }
    return this.#count('read', cells);
  }

  async tile({ level, row, column, scale, range, ramp, theme, ...asked }) {
    const [, , queries, keys] = this.shape;
    const span = (index, count) => [index * TILE, Math.min(Math.ceil(count / 2 ** level), (index + 1) * TILE)];
    const cells = this.read({ ...asked, level, rows: span(row, queries), columns: span(column, keys) });
    const made = makeScale({ ...scale, ...(range === 'row' ? { min: 0, max: 1 } : this.statistics()) });
    const rgba = raster(cells, { scale: made, ramp, theme });
    const bitmap = await createImageBitmap(new ImageData(rgba, cells.columns, cells.rows));
    return this.#count('tile', { bitmap, sampled: false });
  }

  statistics() {
    return { min: 1e-6, max: 0.4, quantiles: Float32Array.from({ length: 101 }, (_, n) => (0.4 * n) / 100) };
  }

  rowStatistics({ rows: [i0, i1] }) {
    return { max: new Float32Array(i1 - i0).fill(0.4), min: new Float32Array(i1 - i0).fill(1e-6) };
  }

  strongest({ head, count, rows: [i0, i1], columns: [j0, j1] }) {
    if ((i1 - i0) * (j1 - j0) > 1e6) throw new RangeError('rows and columns must be at most 1000 by 1000 cells');
    const cells = [];
    for (let query = i0; query < i1; query++) {
      for (let key = j0; key < j1; key++) {
        if (keeps(query, key)) cells.push({ query, key, weight: weightOf(head, query, key) });
      }
    }
    return cells.sort((a, b) => b.weight - a.weight).slice(0, count);
  }

  asked() {
    return this.calls;
  }

  #count(method, value) {
    this.calls[method] = (this.calls[method] ?? 0) + 1;
    return value;
  }
}

expose(self, new Synthetic());
