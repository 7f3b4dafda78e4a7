// SPDX-License-Identifier: Apache-2.0
/** What the element is given, as what can be posted to its worker. */
import { packMask } from './mask-message.js';

/**
 * @param {object} data tensors and options of getMaskedAttentionOutput, or a result with weights; see index.d.ts
 * @throws {TypeError} where it is neither
 */
export function checkData(data) {
  if (typeof data !== 'object' || data === null) throw new TypeError(`data must be an object, got ${String(data)}`);
  const { weights, queries, keys } = data;
  if (weights === undefined && !(isTensor(queries) && isTensor(keys))) {
    throw new TypeError('data must have queries and keys, each { data, dims }, or weights');
  }
  if (weights !== undefined && !isTensor(weights) && !isSparse(weights)) {
    throw new TypeError('data.weights must be { data, dims } or { ptr, indices, values, dims }');
  }
}

/**
 * @param {object} data that `checkData` lets through
 * @returns {{ data: object, transfer: ArrayBuffer[] }} arrays are copies that belong to the worker
 */
export function messageOf(data) {
  const { weights } = data;
  const transfer = [];
  const own = (array) => {
    const copied = array.slice(); // of a view nothing but what it shows
    transfer.push(copied.buffer);
    return copied;
  };
  const copy = (value) => {
    if (ArrayBuffer.isView(value)) return own(value);
    if (isTensor(value)) return { data: own(value.data), dims: [...value.dims], dtype: value.dtype };
    return value;
  };
  if (weights !== undefined) {
    const { ptr, indices, values, dims, dtype } = weights;
    const posted = isTensor(weights) ? copy(weights)
      : { ptr: own(ptr), indices: own(indices), values: own(values), dims: [...dims], dtype };
    return { data: { weights: posted }, transfer };
  }
  const { tokens, sparseAttentionMask: mask, ...options } = data;
  const posted = Object.fromEntries(Object.entries(options).map(([name, value]) => [name, copy(value)]));
  if (mask !== undefined) posted.mask = packMask(mask);
  return { data: posted, transfer };
}

const isTensor = (value) => ArrayBuffer.isView(value?.data) && Array.isArray(value.dims);
const isSparse = (value) => ['ptr', 'indices', 'values'].every((name) => ArrayBuffer.isView(value?.[name]));

/**
 * Labels along both axes.
 * @param {undefined | string[] | { queries?: string[], keys?: string[] }} tokens of the keys, of which the last are
 * those of the queries; or of each
 * @param {[number, number]} shape [sq, sk]
 * @returns {{ queries?: string[], keys?: string[] }}
 * @throws {TypeError} for anything but strings
 * @throws {RangeError} for another number of them than there are queries or keys
 */
export function tokensOf(tokens, [queries, keys]) {
  if (tokens === undefined) return {};
  const labels = Array.isArray(tokens)
    ? { keys: tokens, queries: queries <= keys ? tokens.slice(keys - queries) : undefined } : tokens;
  for (const [name, count] of [['queries', queries], ['keys', keys]]) {
    const list = labels[name];
    if (list === undefined) continue;
    if (!Array.isArray(list) || list.some((label) => typeof label !== 'string')) {
      throw new TypeError(`tokens of ${name} must be strings`);
    }
    if (list.length !== count) throw new RangeError(`tokens of ${name} must be ${count}, got ${list.length}`);
  }
  return { queries: labels.queries, keys: labels.keys };
}
