// SPDX-License-Identifier: Apache-2.0

/** The form of a mask as the core takes it: a program of few enough nodes. */

import { MASK_NODES } from './abi.js';
import { countKept } from './mask-counts.js';
import { isUnit, nodesOf } from './mask-forms.js';
import { toIndices } from './mask-pairs.js';
import { rowReader } from './mask-rows.js';
import { allocate } from './tensor.js';

const compacted = new WeakMap(); // form -> one leaf that keeps the same

/** A form of at most MASK_NODES nodes that keeps the same: itself, or, of long chains, one leaf, made once. */
export function programOf(shape, form) {
  if (nodesOf(form).length <= MASK_NODES) return form;
  if (!compacted.has(form)) compacted.set(form, compact(shape, form));
  return compacted.get(form);
}

/** A list of what is kept, or bits where those take less memory. */
function compact(shape, form) {
  const [batch, heads, queries, keys] = shape;
  const kept = countKept(shape, form);
  const wordsPerRow = 4 * Math.ceil(keys / 128);
  if (isUnit(form) && batch * heads * queries * wordsPerRow < kept) {
    return Object.freeze({ kind: 'bits', batch, heads, words: toWords(shape, form, wordsPerRow), wordsPerRow });
  }
  const { ptr, indices, weights } = toIndices(shape, form);
  return Object.freeze({ kind: 'csr', batch, heads, ptr, indices, weights: isUnit(form) ? null : weights, kept });
}

function toWords(shape, form, wordsPerRow) {
  const [batch, heads, queries] = shape;
  const words = allocate(Uint32Array, batch * heads * queries * wordsPerRow);
  const read = rowReader(shape, form);
  for (let row = 0; row < batch * heads * queries; row++) {
    const head = Math.floor(row / queries);
    const { count, begins, ends } = read(Math.floor(head / heads), head % heads, row % queries);
    for (let n = 0; n < count; n++) {
      for (let j = begins[n]; j < ends[n]; j++) words[row * wordsPerRow + (j >>> 5)] |= 1 << (j & 31);
    }
  }
  return words;
}
