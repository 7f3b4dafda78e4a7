// SPDX-License-Identifier: Apache-2.0

/**
 * Compressed sparse rows: reads a caller's index arrays, checked by value, into
 *   { kind: 'csr', ptr, indices, weights, kept }
 * with columns ascending in each row (of repeated ones the last counts), no zero weights, and `weights` null where all
 * are 1.
 */

import { describe, rangeError, typeError } from './checks.js';
import { allocate, checkAttached } from './tensor.js';

/** From a pointer per row and columns. */
export function csrFromIndices(rows, columns, ptr, indices, weights) {
  checkIntegers(indices, 'indices');
  checkPointers(ptr, rows, indices.length, 'indices');
  checkWeights(weights, indices.length);
  for (let at = 0; at < indices.length; at++) {
    if (!isIndex(indices[at], columns)) {
      throw rangeError(`indices[${at}]`, `a column in 0..${columns - 1}`, indices[at]);
    }
  }
  return normalize(rows, ptr, indices, weights);
}

/** From upstream's flat indices over all rows: row * columns + column. */
export function csrFromFlatIndices(rows, columns, flatIndices, ptr, weights) {
  checkIntegers(flatIndices, 'flatIndices');
  checkPointers(ptr, rows, flatIndices.length, 'flatIndices');
  checkWeights(weights, flatIndices.length);
  const indices = new Uint32Array(flatIndices.length);
  for (let row = 0; row < rows; row++) {
    const first = row * columns;
    for (let at = ptr[row]; at < ptr[row + 1]; at++) {
      const column = flatIndices[at] - first;
      if (!isIndex(column, columns)) {
        const range = `${first}..${first + columns - 1}`;
        throw rangeError(`flatIndices[${at}]`, `an index of row ${row}, in ${range}`, flatIndices[at]);
      }
      indices[at] = column;
    }
  }
  return normalize(rows, ptr, indices, weights);
}

/** From the same number of columns for every row, -1 standing for none. */
export function csrFromRowIndices(rows, columns, rowIndices, weights) {
  checkIntegers(rowIndices, 'indices');
  checkWeights(weights, rowIndices.length, (at) => rowIndices[at] !== -1);
  const perRow = rows === 0 ? 0 : rowIndices.length / rows;
  if (perRow * rows !== rowIndices.length || !Number.isInteger(perRow)) {
    throw rangeError('indices', `equally many columns for each of ${rows} rows`, rowIndices);
  }
  const ptr = allocate(Uint32Array, rows + 1);
  const indices = new Uint32Array(rowIndices.length);
  const kept = weights === undefined ? undefined : new Float32Array(rowIndices.length);
  let end = 0;
  for (let row = 0, at = 0; row < rows; row++) {
    for (const stop = at + perRow; at < stop; at++) {
      if (rowIndices[at] === -1) continue;
      if (!isIndex(rowIndices[at], columns)) {
        throw rangeError(`indices[${at}]`, `a column in 0..${columns - 1}, or -1 for none`, rowIndices[at]);
      }
      if (kept) kept[end] = weights[at];
      indices[end++] = rowIndices[at];
    }
    ptr[row + 1] = end;
  }
  return normalize(rows, ptr, indices.subarray(0, end), kept?.subarray(0, end));
}

/** clamp(a + b, 0, 1), entry by entry. */
export function mergeCsr(rows, a, b) {
  const length = a.kept + b.kept;
  const ptr = allocate(Uint32Array, rows + 1);
  const indices = allocate(Uint32Array, length);
  const weights = allocate(Float32Array, length);
  let end = 0;
  for (let row = 0; row < rows; row++) {
    let i = a.ptr[row];
    let j = b.ptr[row];
    while (i < a.ptr[row + 1] || j < b.ptr[row + 1]) {
      const left = i < a.ptr[row + 1] ? a.indices[i] : Infinity;
      const right = j < b.ptr[row + 1] ? b.indices[j] : Infinity;
      const sum = (left <= right ? weightAt(a, i++) : 0) + (right <= left ? weightAt(b, j++) : 0);
      indices[end] = Math.min(left, right);
      weights[end++] = Math.min(sum, 1);
    }
    ptr[row + 1] = end;
  }
  return finish(ptr, indices, weights, end);
}

export function weightAt(csr, at) {
  return csr.weights === null ? 1 : csr.weights[at];
}

/** Where `column` stands in a row, or -1. */
export function findColumn(csr, row, column) {
  let low = csr.ptr[row];
  let high = csr.ptr[row + 1];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (csr.indices[middle] < column) low = middle + 1;
    else high = middle;
  }
  return low < csr.ptr[row + 1] && csr.indices[low] === column ? low : -1;
}

/** Copies checked arrays, with the columns of each row sorted and the entries that keep nothing left out. */
function normalize(rows, ptr, indices, weights) {
  const outPtr = allocate(Uint32Array, rows + 1);
  const outIndices = new Uint32Array(indices.length);
  const outWeights = new Float32Array(indices.length);
  let end = 0;
  const push = (at) => {
    const weight = weights === undefined ? 1 : Math.fround(weights[at]);
    if (weight === 0) return;
    outIndices[end] = indices[at];
    outWeights[end++] = weight;
  };
  for (let row = 0; row < rows; row++) {
    const begin = ptr[row];
    const stop = ptr[row + 1];
    let ascending = true;
    for (let at = begin + 1; ascending && at < stop; at++) ascending = indices[at - 1] < indices[at];
    if (ascending) {
      for (let at = begin; at < stop; at++) push(at);
    } else {
      const order = Array.from({ length: stop - begin }, (_, place) => begin + place);
      order.sort((a, b) => indices[a] - indices[b] || a - b);
      order.forEach((at, place) => {
        if (indices[order[place + 1]] !== indices[at]) push(at); // a later entry for the same column replaces it
      });
    }
    outPtr[row + 1] = end;
  }
  return finish(outPtr, outIndices, outWeights, end);
}

function finish(ptr, indices, weights, kept) {
  const used = weights.subarray(0, kept);
  const ones = used.every((weight) => weight === 1);
  return { kind: 'csr', ptr, indices: indices.slice(0, kept), weights: ones ? null : used.slice(), kept };
}

function isIndex(value, length) {
  return Number.isInteger(value) && value >= 0 && value < length;
}

function checkIntegers(array, name) {
  const tag = ArrayBuffer.isView(array) ? array[Symbol.toStringTag] : undefined;
  if (!Array.isArray(array) && tag !== 'Int32Array' && tag !== 'Uint32Array') {
    throw typeError(name, 'an Int32Array, a Uint32Array or an array of integers', array);
  }
  if (tag !== undefined) checkAttached(array, name);
}

function checkPointers(ptr, rows, entries, entriesName) {
  checkIntegers(ptr, 'ptr');
  if (ptr.length !== rows + 1) {
    throw new RangeError(
      `ptr: expected ${rows + 1} entries (one per row of the shape, and the end), got ${ptr.length}`,
    );
  }
  if (ptr[0] !== 0) throw rangeError('ptr[0]', '0', ptr[0]);
  for (let row = 1; row <= rows; row++) {
    if (!Number.isInteger(ptr[row]) || ptr[row] < ptr[row - 1] || ptr[row] > entries) {
      const range = `${ptr[row - 1]}..${entries}`;
      throw rangeError(
        `ptr[${row}]`,
        `an integer in ${range} (not below the one before, within ${entriesName})`,
        ptr[row],
      );
    }
  }
  if (ptr[rows] !== entries) {
    throw new RangeError(`${entriesName}: expected ${ptr[rows]} entries (the last of ptr), got ${entries}`);
  }
}

function checkWeights(weights, length, isUsed = () => true) {
  if (weights === undefined) return;
  if (!Array.isArray(weights) && !(ArrayBuffer.isView(weights) && weights[Symbol.toStringTag] === 'Float32Array')) {
    throw typeError('weights', 'a Float32Array, an array of numbers, or undefined for all 1', weights);
  }
  if (!Array.isArray(weights)) checkAttached(weights, 'weights');
  if (weights.length !== length) {
    throw new RangeError(`weights: expected ${length} entries (one per index), got ${weights.length}`);
  }
  for (let at = 0; at < length; at++) {
    if (isUsed(at)) checkWeight(weights[at], at);
  }
}

/** A weight of a mask: finite as a float32 and not negative. */
export function checkWeight(weight, at) {
  if (typeof weight === 'number' && weight >= 0 && Math.fround(weight) < Infinity) return;
  throw new RangeError(`weights[${at}]: expected a finite number >= 0, got ${describe(weight)}`);
}
