// SPDX-License-Identifier: Apache-2.0

/**
 * Rows of one head that have been computed before: weights as a call returned them. The same interface as EngineRows.
 */

import { rangeError, typeError } from '../js/checks.js';
import { formOf, Mask } from '../js/mask.js';
import { rowReader } from '../js/mask-rows.js';
import { FLOAT_DTYPES, readTensor } from '../js/tensor.js';
import { floatsOf } from '../js/widen.js';
import { maskOfBits } from './kept.js';

const MOST_ROWS = 1024;

export class GivenRows {
  isExact = true;
  shows = ['weights', 'mask'];
  #values;
  #ptr; // of sparse weights
  #kept;
  #read;

  /**
   * @param weights a tensor [b, h, sq, sk], of which everything but 0 is kept, or SparseWeights, of which every entry
   * is
   */
  constructor(weights) {
    if (typeof weights !== 'object' || weights === null) throw typeError('weights', 'weights of a result', weights);
    const isSparse = weights.ptr !== undefined;
    const dims = isSparse ? weights.dims : readTensor(weights, 'weights', FLOAT_DTYPES).dims;
    if (dims?.length !== 4) throw rangeError('weights.dims', '4 dimensions [b, h, sq, sk]', dims);
    this.shape = [...dims];
    if (isSparse) {
      const { ptr, indices, values, dtype } = weights;
      this.#kept = Mask.fromIndices(this.shape, { ptr, indices });
      this.#ptr = ptr;
      const entries = readTensor({ data: values, dims: [indices.length], dtype }, 'weights.values', FLOAT_DTYPES);
      this.#values = floatsOf(entries);
    } else {
      this.#values = floatsOf(weights);
    }
  }

  /** What is kept; made when it is first asked for. */
  get kept() {
    const [, , queries, keys] = this.shape;
    const values = this.#values;
    this.#kept ??= maskOfBits(this.shape, (head, i, j) => values[(head * queries + i) * keys + j] !== 0);
    return this.#kept;
  }

  /** As `next` of EngineRows. */
  next({ batch, head, rows, columns: [from, to] }, first, visit) {
    const [, heads, queries, keys] = this.shape;
    this.#read ??= rowReader(this.shape, formOf(this.kept, 'weights'));
    const end = Math.min(rows.length, first + MOST_ROWS);
    for (let n = first; n < end; n++) {
      const number = (batch * heads + head) * queries + rows[n];
      const row = this.#read(batch, head, rows[n]);
      let next = this.#ptr?.[number];
      for (let s = 0; s < row.count; s++) {
        const [begin, stop] = [row.begins[s], row.ends[s]];
        const left = Math.max(begin, from);
        const right = Math.min(stop, to);
        const start = next === undefined ? number * keys + begin : next;
        if (left < right) visit(n, left, right, this.#values, start + left - begin);
        if (next !== undefined) next += stop - begin;
      }
    }
    return end;
  }

  dispose() {
    this.#kept?.dispose();
  }
}
