// SPDX-License-Identifier: Apache-2.0

/** Masks from and to one number per pair, and their rows in compressed form. */

import { formatDims, rangeError, typeError } from './checks.js';
import { AttentionError } from './errors.js';
import { countKept } from './mask-counts.js';
import { expandRow, rowReader } from './mask-rows.js';
import { allocate } from './tensor.js';

const MAX_ENTRIES = 2 ** 32 - 1; // what the pointers of a Uint32Array reach

/** The leaf for weights that are checked and nobody else's: a bit per pair where all are 0 or 1. */
export function formOfWeights(shape, weights) {
  const [batch, heads, , keys] = shape;
  if (!weights.every((weight) => weight === 0 || weight === 1)) {
    return { kind: 'dense', batch, heads, weights };
  }
  const wordsPerRow = 4 * Math.ceil(keys / 128);
  const rows = keys === 0 ? 0 : weights.length / keys;
  const words = allocate(Uint32Array, rows * wordsPerRow);
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < keys; j++) {
      if (weights[row * keys + j] !== 0) words[row * wordsPerRow + (j >>> 5)] |= 1 << (j & 31);
    }
  }
  return { kind: 'bits', batch, heads, words, wordsPerRow };
}

/** What a caller's function says of each pair. */
export function weightsOfFunction(shape, f) {
  const [batch, heads, queries, keys] = shape;
  const weights = allocate(Float32Array, batch * heads * queries * keys);
  let at = 0;
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < queries; i++) {
        for (let j = 0; j < keys; j++) {
          const weight = f(b, h, i, j);
          if (typeof weight !== 'boolean') checkReturned(weight, b, h, i, j);
          weights[at++] = weight + 0; // false and -0 become 0
        }
      }
    }
  }
  return weights;
}

function checkReturned(weight, ...position) {
  const name = `f(${position.join(', ')})`;
  const expectation = 'true, false or a finite weight >= 0';
  if (typeof weight !== 'number') throw typeError(name, expectation, weight);
  if (!(weight >= 0 && Math.fround(weight) < Infinity)) throw rangeError(name, expectation, weight);
}

export function toDense(shape, form) {
  const [batch, heads, queries, keys] = shape;
  const dense = allocate(Float32Array, batch * heads * queries * keys);
  forEachRow(shape, form, (row, _, first) => {
    for (let n = 0; n < row.count; n++) dense.fill(row.weights[n], first + row.begins[n], first + row.ends[n]);
  });
  return dense;
}

export function toIndices(shape, form) {
  const ptr = allocate(Uint32Array, shape[0] * shape[1] * shape[2] + 1);
  const { indices, weights } = allocateEntries(countKept(shape, form));
  let end = 0;
  forEachRow(shape, form, (row, at) => {
    end = expandRow(row, indices, weights, end);
    ptr[at + 1] = end;
  });
  return { ptr, indices, weights };
}

/** Queries i0 .. i1 - 1 of one head. */
export function toRows(shape, form, batch, head, i0, i1) {
  const read = rowReader(shape, form);
  const ptr = allocate(Uint32Array, i1 - i0 + 1);
  let kept = 0;
  for (let i = i0; i < i1; i++) {
    kept += read(batch, head, i).kept;
    ptr[i - i0 + 1] = kept;
  }
  const { indices, weights } = allocateEntries(kept);
  for (let i = i0; i < i1; i++) expandRow(read(batch, head, i), indices, weights, ptr[i - i0]);
  return { ptr, indices, weights };
}

/** change(x, weight) of the elements of `data` (of these dims) that the mask keeps, 0 elsewhere. */
export function mapKept(shape, form, data, dims, change) {
  const [batch, heads, queries, keys] = shape;
  const fits =
    dims.length === 4 &&
    (batch === 1 || batch === dims[0]) &&
    (heads === dims[1] || (heads > 0 && dims[1] % heads === 0)) &&
    queries === dims[2] &&
    keys === dims[3];
  if (!fits) throw new RangeError(`x: ${formatDims(dims)} does not fit a mask of shape ${formatDims(shape)}`);
  const result = allocate(Float32Array, data.length);
  // A form of fewer heads is one of more heads, too: each is repeated.
  forEachRow(dims, form, (row, _, first) => {
    for (let n = 0; n < row.count; n++) {
      const weight = row.weights[n];
      for (let at = first + row.begins[n]; at < first + row.ends[n]; at++) result[at] = change(data[at], weight);
    }
  });
  return result;
}

/** visit(row, its number, the number of its first pair) for each row of the shape. */
function forEachRow(shape, form, visit) {
  const [batch, heads, queries, keys] = shape;
  const read = rowReader(shape, form);
  let at = 0;
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < queries; i++, at++) visit(read(b, h, i), at, at * keys);
    }
  }
}

function allocateEntries(kept) {
  if (kept > MAX_ENTRIES) throw new AttentionError('out-of-memory', `no room for ${kept} entries of a mask`);
  return { indices: allocate(Uint32Array, kept), weights: allocate(Float32Array, kept) };
}
