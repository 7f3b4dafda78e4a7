// SPDX-License-Identifier: Apache-2.0

/**
 * Sparse masks: which (query, key) pairs are kept, and with what weight. A Mask is immutable, owns copies of its
 * arrays, is validated once, when it is made, and knows no engine. Its form is one of
 *   { kind: 'empty' }                                   no sparse masking at all
 *   { kind: 'full' }                                    every pair, with weight 1
 *   { kind: 'dense', weights, kept }                    a float32 per pair
 *   { kind: 'csr', ptr, indices, weights, kept }        see csr.js
 * where kept counts the pairs. What turns out full is stored as 'full', whichever way it was made.
 */

import { checkDims, checkOptions, formatDims, rangeError, sameDims, typeError } from './checks.js';
import {
  checkWeight,
  csrFromFlatIndices,
  csrFromIndices,
  csrFromRowIndices,
  findColumn,
  mergeCsr,
  weightAt,
} from './csr.js';
import { AttentionError } from './errors.js';
import { allocate, FLOAT32_ONLY, readTensor, readTensorOf } from './tensor.js';

const EMPTY = Object.freeze({ kind: 'empty' });
const FULL = Object.freeze({ kind: 'full' });
const WEIGHT_DTYPES = ['float32', 'bool'];
const INDEX_ARRAYS = new Set(['ptr', 'indices', 'weights']);
const FROM_STATIC_METHOD = Symbol('made by a static method');

/** For the package: the stored form of a mask, for reading only. `name` is how messages call it. */
export let formOf;

/** For the package: has `cache`, a WeakRef, told when the mask is disposed. */
export let tellWhenDisposed;

export class Mask {
  #form;
  #caches = new Set();

  static {
    formOf = (mask, name) => mask.#open(name);
    tellWhenDisposed = (mask, cache) => mask.#caches.add(cache);
  }

  constructor(token, shape, form) {
    if (token !== FROM_STATIC_METHOD) {
      throw new TypeError('Mask: use Mask.empty, Mask.full, Mask.fromDense or another of its static methods');
    }
    this.shape = shape;
    this.#form = form;
    Object.freeze(this);
  }

  static empty(shape) {
    return make(readShape(shape), EMPTY);
  }

  static full(shape) {
    return make(readShape(shape), FULL);
  }

  static fromDense(shape, weights) {
    const dims = readShape(shape);
    const { data, dtype } = readTensorOf(asTensor(weights, 'weights', dims), 'weights', WEIGHT_DTYPES, dims);
    if (dtype === 'bool') return make(dims, denseForm(Float32Array.from(data, (keep) => (keep === 0 ? 0 : 1))));
    for (let at = 0; at < data.length; at++) checkWeight(data[at], at);
    return make(dims, denseForm(data.slice()));
  }

  static fromIndices(shape, arrays) {
    const dims = readShape(shape);
    checkOptions(arrays, 'arrays', INDEX_ARRAYS);
    return make(dims, csrFromIndices(rowsOf(dims), dims[3], arrays.ptr, arrays.indices, arrays.weights));
  }

  static fromRowWiseIndices(shape, indices, weights) {
    const dims = readShape(shape);
    return make(dims, csrFromRowIndices(rowsOf(dims), dims[3], indices, weights));
  }

  static fromUpstreamIndices(shape, flatIndices, ptr, weights) {
    const dims = readShape(shape);
    return make(dims, csrFromFlatIndices(rowsOf(dims), dims[3], flatIndices, ptr, weights));
  }

  isEmpty() {
    return this.#open().kind === 'empty';
  }

  isFull() {
    return this.#open().kind === 'full';
  }

  density() {
    const { kept } = this.#open();
    return kept === undefined ? 1 : kept / cellsOf(this.shape);
  }

  get(batch, head, query, key) {
    const form = this.#open();
    const position = [batch, head, query, key];
    for (let axis = 0; axis < 4; axis++) {
      if (!Number.isInteger(position[axis]) || position[axis] < 0 || position[axis] >= this.shape[axis]) {
        throw rangeError('get', `a position inside ${formatDims(this.shape)}`, position);
      }
    }
    const row = (batch * this.shape[1] + head) * this.shape[2] + query;
    switch (form.kind) {
      case 'empty':
        return 0;
      case 'full':
        return 1;
      case 'dense':
        return form.weights[row * this.shape[3] + key];
      default: {
        const at = findColumn(form, row, key);
        return at < 0 ? 0 : weightAt(form, at);
      }
    }
  }

  merge(other) {
    if (!(other instanceof Mask)) throw typeError('other', 'a Mask', other);
    const form = this.#open();
    const otherForm = other.#open('other');
    const { shape } = this;
    if (!sameDims(shape, other.shape)) {
      throw new RangeError(`other: expected shape ${formatDims(shape)}, got ${formatDims(other.shape)}`);
    }
    if (form.kind === 'empty' && otherForm.kind === 'empty') return this;
    if (form.kind === 'full' || otherForm.kind === 'full') return make(shape, FULL);
    if (form.kind !== 'dense' && otherForm.kind !== 'dense') {
      const rows = rowsOf(shape);
      return make(shape, mergeCsr(rows, asCsr(form, rows), asCsr(otherForm, rows)));
    }
    const sum = this.toDense();
    forEachKept(otherForm, shape, 0, rowsOf(shape), (row, column, weight) => {
      sum[row * shape[3] + column] += weight;
    });
    return make(shape, denseForm(sum.map((weight) => Math.min(weight, 1))));
  }

  apply(x) {
    return this.#map(x, (value, weight) => value * weight);
  }

  applyInverse(x) {
    return this.#map(x, (value, weight) => value / weight);
  }

  toDense() {
    const form = this.#open();
    if (form.kind === 'dense') return form.weights.slice();
    const dense = allocate(Float32Array, cellsOf(this.shape));
    if (form.kind === 'full') return dense.fill(1);
    forEachKept(form, this.shape, 0, rowsOf(this.shape), (row, column, weight) => {
      dense[row * this.shape[3] + column] = weight;
    });
    return dense;
  }

  toIndices() {
    const form = this.#open();
    const rows = rowsOf(this.shape);
    const kept = form.kind === 'empty' ? 0 : (form.kept ?? cellsOf(this.shape));
    const ptr = allocate(Uint32Array, rows + 1);
    const indices = allocate(Uint32Array, kept);
    const weights = allocate(Float32Array, kept);
    let end = 0;
    for (let row = 0; row < rows; row++) {
      forEachKept(form, this.shape, row, row + 1, (_, column, weight) => {
        indices[end] = column;
        weights[end++] = weight;
      });
      ptr[row + 1] = end;
    }
    return { ptr, indices, weights };
  }

  dispose() {
    this.#form = null;
    for (const cache of this.#caches) cache.deref()?.release(this);
    this.#caches.clear();
  }

  [Symbol.dispose ?? Symbol.for('Symbol.dispose')]() {
    this.dispose();
  }

  #open(name = 'mask') {
    if (this.#form === null) throw new AttentionError('disposed', `${name}: this mask has been disposed`);
    return this.#form;
  }

  /** `change` of each element that the mask keeps, 0 elsewhere. */
  #map(x, change) {
    const form = this.#open();
    if (form.kind === 'empty') return x;
    const [batch, heads, queries, keys] = this.shape;
    const { data, dims } = readTensor(asTensor(x, 'x', this.shape), 'x', FLOAT32_ONLY);
    const fits =
      dims.length === 4 &&
      (batch === 1 || batch === dims[0]) &&
      (heads === dims[1] || (heads > 0 && dims[1] % heads === 0)) &&
      queries === dims[2] &&
      keys === dims[3];
    if (!fits) {
      throw new RangeError(`x: ${formatDims(dims)} does not fit a mask of shape ${formatDims(this.shape)}`);
    }
    const result = allocate(Float32Array, data.length);
    for (let b = 0; b < dims[0] && data.length > 0; b++) {
      for (let h = 0; h < dims[1]; h++) {
        const maskRow = ((batch === 1 ? 0 : b) * heads + Math.floor((h * heads) / dims[1])) * queries;
        const shift = ((b * dims[1] + h) * queries - maskRow) * keys;
        forEachKept(form, this.shape, maskRow, maskRow + queries, (row, column, weight) => {
          const at = shift + row * keys + column;
          result[at] = change(data[at], weight);
        });
      }
    }
    return x === data ? result : { data: result, dims: [...dims], dtype: 'float32' };
  }
}

function make(shape, form) {
  const isFull =
    form.kept === cellsOf(shape) && (form.weights === null || form.weights.every((weight) => weight === 1));
  return new Mask(FROM_STATIC_METHOD, shape, isFull ? FULL : form);
}

/** A flat array as a tensor of that shape; a tensor as it is. */
function asTensor(value, name, shape) {
  if (ArrayBuffer.isView(value)) return { data: value, dims: [...shape] };
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw typeError(name, 'a typed array or a tensor { data, dims, dtype? }', value);
}

function readShape(shape) {
  checkDims(shape, 'shape');
  if (shape.length !== 4) throw rangeError('shape', '4 dimensions [batch, heads, queries, keys]', shape);
  return Object.freeze([...shape]);
}

function rowsOf(shape) {
  return shape[0] * shape[1] * shape[2];
}

function cellsOf(shape) {
  return rowsOf(shape) * shape[3];
}

function denseForm(weights) {
  let kept = 0;
  for (let at = 0; at < weights.length; at++) if (weights[at] !== 0) kept++;
  return { kind: 'dense', weights, kept };
}

function asCsr(form, rows) {
  if (form.kind === 'csr') return form;
  return { kind: 'csr', ptr: allocate(Uint32Array, rows + 1), indices: new Uint32Array(0), weights: null, kept: 0 };
}

/** Calls visit(row, column, weight) for what rows [begin, end) keep, in order. */
function forEachKept(form, shape, begin, end, visit) {
  const columns = shape[3];
  for (let row = begin; row < end; row++) {
    if (form.kind === 'csr') {
      for (let at = form.ptr[row]; at < form.ptr[row + 1]; at++) visit(row, form.indices[at], weightAt(form, at));
    } else if (form.kind !== 'empty') {
      for (let column = 0; column < columns; column++) {
        const weight = form.kind === 'full' ? 1 : form.weights[row * columns + column];
        if (weight !== 0) visit(row, column, weight);
      }
    }
  }
}
