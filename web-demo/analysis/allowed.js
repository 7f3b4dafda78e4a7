// SPDX-License-Identifier: Apache-2.0
/** Why a problem does not allow a pair, whatever a sparse mask says. */
import { floatsOf } from '../../js/widen.js';
import { positionOf } from './problem.js';

const LEAST = -1e38; // what is added below that is -Infinity

/** Why a pair may not take part, as a few words; undefined where it may. */
export function notAllowed(problem, { batch, head, query, key }) {
  const position = positionOf(problem, batch) + query;
  const { causal, window = {}, keyLengths, attentionMask } = problem;
  if (causal && key > position) return 'causal order: the key comes after the query';
  if (key < position - (window.left ?? Infinity)) return `window: more than ${window.left} keys before the query`;
  if (key > position + (window.right ?? Infinity)) return `window: more than ${window.right} keys after the query`;
  if (keyLengths && key >= keyLengths[batch]) return `key lengths: only the first ${keyLengths[batch]} keys count`;
  if (attentionMask && !(addedBy(attentionMask, [batch, head, query, key]) > LEAST)) return 'the attention mask';
  return undefined;
}

function dimsOf({ dims }) {
  return [1, 1, 1, 1, ...dims].slice(-4);
}

function addedBy(mask, position) {
  const dims = dimsOf(mask);
  const at = position.reduce((sum, index, axis) => sum * dims[axis] + (dims[axis] === 1 ? 0 : index), 0);
  const one = mask.data.subarray(at, at + 1);
  if (one instanceof Uint8Array) return one[0] === 0 ? -Infinity : 0;
  return floatsOf({ data: one, dtype: mask.dtype ?? 'float32' })[0];
}
