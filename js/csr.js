// SPDX-License-Identifier: Apache-2.0

/**
 * Compressed sparse rows: reads a caller's index arrays, checked by value, into
 *   { ptr, indices, weights, kept }
 * with columns ascending in each row (of repeated ones the last counts), no zero weights, and `weights` null where all
 * are 1. Arrays are copied first and checked afterwards: a decode step makes such a mask anew for every token.
 */

import { describe, rangeError, typeError } from './checks.js';
import { allocate, checkAttached } from './tensor.js';

const NONE = 2 ** 32 - 1; // what -1 becomes in a Uint32Array
const INVALID = 2 ** 32 - 2; // what becomes of an element of an array that is no such integer; no column is as large
const DIGIT_BITS = 8;
const DIGITS = 1 << DIGIT_BITS;

/** From a pointer per row and columns. */
export function csrFromIndices(rows, columns, ptr, indices, weights) {
  const ownIndices = copyIntegers(indices, 'indices');
  const ownPtr = copyPointers(ptr, rows, ownIndices.length, 'indices');
  const ownWeights = copyWeights(weights, ownIndices.length);
  for (let at = 0; at < ownIndices.length; at++) {
    if (ownIndices[at] >= columns) throw rangeError(`indices[${at}]`, `a column in 0..${columns - 1}`, indices[at]);
  }
  return normalize(rows, columns, ownPtr, ownIndices, ownWeights);
}

/** From upstream's flat indices over all rows: row * columns + column. */
export function csrFromFlatIndices(rows, columns, flatIndices, ptr, weights) {
  const indices = copyIntegers(flatIndices, 'flatIndices');
  const ownPtr = copyPointers(ptr, rows, indices.length, 'flatIndices');
  const ownWeights = copyWeights(weights, indices.length);
  for (let row = 0; row < rows; row++) {
    const first = row * columns;
    for (let at = ownPtr[row]; at < ownPtr[row + 1]; at++) {
      const flat = flatIndices[at]; // an array may hold more than 32 bits
      const column = flat - first;
      if (!Number.isInteger(flat) || !(column >= 0 && column < columns)) {
        const range = `${first}..${first + columns - 1}`;
        throw rangeError(`flatIndices[${at}]`, `an index of row ${row}, in ${range}`, flat);
      }
      indices[at] = column;
    }
  }
  return normalize(rows, columns, ownPtr, indices, ownWeights);
}

/** From the same number of columns for every row, -1 standing for none. */
export function csrFromRowIndices(rows, columns, rowIndices, weights) {
  const indices = copyIntegers(rowIndices, 'indices');
  const ownWeights = copyWeights(weights, indices.length, (at) => indices[at] !== NONE);
  const perRow = rows === 0 ? 0 : indices.length / rows;
  if (perRow * rows !== indices.length || !Number.isInteger(perRow)) {
    throw rangeError('indices', `equally many columns for each of ${rows} rows`, rowIndices);
  }
  const ptr = allocate(Uint32Array, rows + 1);
  let end = 0;
  for (let row = 0, at = 0; row < rows; row++) {
    for (const stop = at + perRow; at < stop; at++) {
      const column = indices[at];
      if (column === NONE && rowIndices[at] === -1) continue;
      if (column >= columns) {
        throw rangeError(`indices[${at}]`, `a column in 0..${columns - 1}, or -1 for none`, rowIndices[at]);
      }
      indices[end] = column;
      if (ownWeights !== null) ownWeights[end] = ownWeights[at];
      end++;
    }
    ptr[row + 1] = end;
  }
  return normalize(rows, columns, ptr, indices, ownWeights);
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

/** Sorts the columns of each row and leaves out the entries that keep nothing, in the arrays that it is given. */
function normalize(rows, columns, ptr, indices, weights) {
  let sorter;
  let begin = 0;
  let end = 0;
  for (let row = 0; row < rows; row++) {
    const stop = ptr[row + 1];
    if (!ascends(indices, begin, stop)) (sorter ??= new Sorter(columns)).sort(indices, weights, begin, stop);
    for (let at = begin; at < stop; at++) {
      if (at + 1 < stop && indices[at + 1] === indices[at]) continue; // a later entry for the same column replaces it
      if (weights !== null) {
        if (weights[at] === 0) continue;
        weights[end] = weights[at];
      }
      indices[end++] = indices[at];
    }
    begin = stop;
    ptr[row + 1] = end;
  }
  const kept = weights?.subarray(0, end) ?? null;
  const ones = kept === null || kept.every((weight) => weight === 1);
  return { ptr, indices: shortened(indices, end), weights: ones ? null : shortened(weights, end), kept: end };
}

function ascends(indices, begin, stop) {
  for (let at = begin + 1; at < stop; at++) if (indices[at - 1] >= indices[at]) return false;
  return true;
}

function shortened(array, length) {
  return array.length === length ? array : array.slice(0, length);
}

/** Sorts columns and their weights by radix: repeated columns stay in the order they came in. */
class Sorter {
  #passes;
  #starts = new Uint32Array(DIGITS);
  #places = new Uint32Array(0); // where each entry came from
  #other = new Uint32Array(0);
  #columns = new Uint32Array(0);
  #weights = new Float32Array(0);

  constructor(columns) {
    this.#passes = Math.ceil(Math.log2(columns) / DIGIT_BITS);
  }

  sort(indices, weights, begin, stop) {
    const length = stop - begin;
    if (this.#places.length < length) {
      this.#places = new Uint32Array(length);
      this.#other = new Uint32Array(length);
      this.#columns = new Uint32Array(length);
      this.#weights = new Float32Array(length);
    }
    const columns = this.#columns;
    columns.set(indices.subarray(begin, stop));
    for (let n = 0; n < length; n++) this.#places[n] = n;
    for (let pass = 0; pass < this.#passes; pass++) this.#distribute(length, pass * DIGIT_BITS);
    const places = this.#places;
    for (let n = 0; n < length; n++) indices[begin + n] = columns[places[n]];
    if (weights === null) return;
    this.#weights.set(weights.subarray(begin, stop));
    for (let n = 0; n < length; n++) weights[begin + n] = this.#weights[places[n]];
  }

  /** One pass: orders the places by one digit of their columns. */
  #distribute(length, shift) {
    const columns = this.#columns;
    const from = this.#places;
    const to = this.#other;
    const starts = this.#starts.fill(0);
    for (let n = 0; n < length; n++) starts[(columns[n] >>> shift) & (DIGITS - 1)]++;
    for (let digit = 0, start = 0; digit < DIGITS; digit++) {
      const count = starts[digit];
      starts[digit] = start;
      start += count;
    }
    for (let n = 0; n < length; n++) to[starts[(columns[from[n]] >>> shift) & (DIGITS - 1)]++] = from[n];
    this.#places = to;
    this.#other = from;
  }
}

/** A copy of integers as a Uint32Array, in which negative ones and whatever is no integer exceed every column. */
function copyIntegers(array, name) {
  const tag = ArrayBuffer.isView(array) ? array[Symbol.toStringTag] : undefined;
  if (!Array.isArray(array) && tag !== 'Int32Array' && tag !== 'Uint32Array') {
    throw typeError(name, 'an Int32Array, a Uint32Array or an array of integers', array);
  }
  if (tag !== undefined) {
    checkAttached(array, name);
    return allocate(Uint32Array, new Uint32Array(array.buffer, array.byteOffset, array.length));
  }
  const copy = allocate(Uint32Array, array.length);
  for (let at = 0; at < copy.length; at++) {
    const value = array[at];
    if (value === -1) copy[at] = NONE;
    else copy[at] = value >>> 0 === value || Object.is(value, -0) ? value : INVALID;
  }
  return copy;
}

function copyPointers(ptr, rows, entries, entriesName) {
  const copy = copyIntegers(ptr, 'ptr');
  if (copy.length !== rows + 1) {
    throw new RangeError(
      `ptr: expected ${rows + 1} entries (one per row of the shape, and the end), got ${copy.length}`,
    );
  }
  if (copy[0] !== 0) throw rangeError('ptr[0]', '0', ptr[0]);
  for (let row = 1; row <= rows; row++) {
    if (copy[row] < copy[row - 1] || copy[row] > entries) {
      const range = `${copy[row - 1]}..${entries}`;
      throw rangeError(
        `ptr[${row}]`,
        `an integer in ${range} (not below the one before, within ${entriesName})`,
        ptr[row],
      );
    }
  }
  if (copy[rows] !== entries) {
    throw new RangeError(`${entriesName}: expected ${copy[rows]} entries (the last of ptr), got ${entries}`);
  }
  return copy;
}

/** A checked copy as float32, or null. */
function copyWeights(weights, length, isUsed = () => true) {
  if (weights === undefined) return null;
  if (!Array.isArray(weights) && !(ArrayBuffer.isView(weights) && weights[Symbol.toStringTag] === 'Float32Array')) {
    throw typeError('weights', 'a Float32Array, an array of numbers, or undefined for all 1', weights);
  }
  if (!Array.isArray(weights)) checkAttached(weights, 'weights');
  if (weights.length !== length) {
    throw new RangeError(`weights: expected ${length} entries (one per index), got ${weights.length}`);
  }
  const copy = allocate(Float32Array, length);
  for (let at = 0; at < length; at++) {
    if (!isUsed(at)) continue;
    const weight = weights[at];
    checkWeight(weight, at);
    copy[at] = weight;
  }
  return copy;
}

/** A weight of a mask: finite as a float32 and not negative. */
export function checkWeight(weight, at) {
  if (typeof weight === 'number' && weight >= 0 && Math.fround(weight) < Infinity) return;
  throw new RangeError(`weights[${at}]: expected a finite number >= 0, got ${describe(weight)}`);
}
