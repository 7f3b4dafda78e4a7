// SPDX-License-Identifier: Apache-2.0

/**
 * Grouped-query attention from shapes: how many query heads share a key-value head, and keys or values repeated for
 * those who need one head each (the core never does).
 */

import { checkInteger } from './checks.js';
import { allocate, DTYPES, readTensor } from './tensor.js';

/** Throws unless `heads` query heads can share `keyValueHeads` evenly; `prefix` names the argument. */
export function checkGroups(heads, keyValueHeads, prefix = '') {
  if (heads === 0 || (keyValueHeads > 0 && heads % keyValueHeads === 0)) return;
  throw new RangeError(
    `${prefix}num_attention_heads (${heads}) must be divisible by num_key_value_heads (${keyValueHeads})`,
  );
}

export function getNumKeyValueGroups(queries, keys) {
  const heads = read4d(queries, 'queries').dims[1];
  const keyValueHeads = read4d(keys, 'keys').dims[1];
  checkGroups(heads, keyValueHeads);
  return keyValueHeads === 0 ? 1 : heads / keyValueHeads;
}

export function repeatKv(tensor, groups) {
  const { data, dims, dtype } = read4d(tensor, 'tensor');
  checkInteger(groups, 'groups', 1, 2 ** 31 - 1);
  const [batch, heads, length, dim] = dims;
  const size = length * dim;
  const repeated = allocate(data.constructor, data.length * groups);
  for (let head = 0, end = 0; head < batch * heads && size > 0; head++) {
    const one = data.subarray(head * size, (head + 1) * size);
    for (let copy = 0; copy < groups; copy++, end += size) repeated.set(one, end);
  }
  return { data: repeated, dims: [batch, heads * groups, length, dim], dtype };
}

function read4d(tensor, name) {
  const operand = readTensor(tensor, name, DTYPES);
  if (operand.dims.length !== 4) {
    throw new RangeError(`${name}: expected 4 dimensions (batch, heads, length, dim), got ${operand.dims.length}`);
  }
  return operand;
}
