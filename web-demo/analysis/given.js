// SPDX-License-Identifier: Apache-2.0
/** The sparse mask that data bring along, as one more masker: it adds what the mask keeps to what is kept already. */
import { Mask } from '../../js/index.js';
import { sizesOf, sliceMask } from './problem.js';

/** Of a problem, or of one batch of it. @throws {RangeError} where it has none */
export function givenMask({ sparseAttentionMask: mask, ...problem }, batch) {
  if (mask === undefined) throw new RangeError('given: the data have no sparse mask');
  return batch === undefined || mask.shape[0] === 1 ? mask : sliceMask(mask, sizesOf(problem), { batch });
}

/**
 * @param {Mask} mask of a whole problem
 * @param {number} firstRow the query of it that is the first of the problem that the masker is applied to, whose keys
 *   are the first ones
 */
export function givenMasker(mask, firstRow) {
  return {
    name: 'given',
    apply({ shape: [, heads, queries, keys] }, previous) {
      const own = partOf(mask, heads, [firstRow, firstRow + queries], keys);
      return previous.isEmpty() ? own : previous.or(own);
    },
  };
}

function partOf(mask, heads, rows, keys) {
  const [batch, ownHeads, queries, ownKeys] = mask.shape;
  if (rows[0] === 0 && rows[1] === queries && keys === ownKeys) return mask;
  const size = { heads, queries, keys: ownKeys };
  const parts = Array.from({ length: batch }, (_, b) => sliceMask(mask, size, { batch: b, rows, keys }));
  if (batch === 1) return parts[0];
  const lists = parts.map((part) => part.toIndices());
  const join = (name) => lists.flatMap((list) => [...list[name]]);
  const ptr = [0];
  for (const list of lists) for (const end of list.ptr.subarray(1)) ptr.push(end);
  let [before, at] = [0, 1];
  for (const list of lists) {
    for (let n = 1; n < list.ptr.length; n++) ptr[at++] += before;
    before += list.indices.length;
  }
  const shape = [batch, ownHeads, rows[1] - rows[0], keys];
  return Mask.fromIndices(shape, { ptr, indices: join('indices'), weights: join('weights') });
}
