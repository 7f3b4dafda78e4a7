// SPDX-License-Identifier: Apache-2.0

/** The form of a mask as the core takes it: a program of few enough nodes, and lists only where they are short. */

import { MASK_NODES } from './abi.js';
import { countKept } from './mask-counts.js';
import { extentOf, isUnit, nodesOf } from './mask-forms.js';
import { toDense, toIndices } from './mask-pairs.js';
import { rowReader } from './mask-rows.js';
import { allocate } from './tensor.js';

const BITS_DENSITY = 1 / 4; // from which on a list of keys is read faster, and kept smaller, as bits,
const WEIGHTS_DENSITY = 1 / 3; // and one of weights as a weight for each pair
const compacted = new WeakMap(); // form -> the one leaf that keeps the same

/** A form of at most MASK_NODES nodes that keeps the same: itself, or, of long chains and long lists, one leaf. */
export function programOf(shape, form) {
  if (nodesOf(form).length <= MASK_NODES && !isLong(shape, form)) return form;
  if (!compacted.has(form)) compacted.set(form, Object.freeze(compact(shape, form)));
  return compacted.get(form);
}

function isLong([batch, heads, queries, keys], { kind, weights, kept }) {
  return kind === 'csr' && kept > (weights === null ? BITS_DENSITY : WEIGHTS_DENSITY) * batch * heads * queries * keys;
}

function compact([, , queries, keys], form) {
  const [batch, heads] = extentOf(form); // the others repeat these
  const shape = [batch, heads, queries, keys];
  const kept = countKept(shape, form);
  const density = kept / (batch * heads * queries * keys);
  if (isUnit(form) && density > BITS_DENSITY) {
    const wordsPerRow = 4 * Math.ceil(keys / 128);
    return { kind: 'bits', batch, heads, words: toWords(shape, form, wordsPerRow), wordsPerRow };
  }
  if (density > WEIGHTS_DENSITY) return { kind: 'dense', batch, heads, weights: toDense(shape, form) };
  const { ptr, indices, weights } = toIndices(shape, form);
  return { kind: 'csr', batch, heads, ptr, indices, weights: isUnit(form) ? null : weights, kept };
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
