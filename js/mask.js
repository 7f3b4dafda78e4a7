// SPDX-License-Identifier: Apache-2.0

/**
 * Masks: which (query, key) pairs are kept, and with what weight. A Mask is immutable, owns copies of its arrays, is
 * validated once, when it is made, and knows no engine. It is a shape and a form (mask-forms.js); combining masks makes
 * a form that refers to theirs, and the rows of any form are evaluated when they are asked for (mask-rows.js).
 */

import { checkDims, checkInteger, checkOptions, formatDims, rangeError, sameDims, typeError } from './checks.js';
import { checkWeight, csrFromFlatIndices, csrFromIndices, csrFromRowIndices } from './csr.js';
import { AttentionError } from './errors.js';
import { readFlexBlocks, writeFlexBlocks } from './flex-blocks.js';
import { countBlocks, countKept, keepsAll } from './mask-counts.js';
import { andForms, broadcastShapes, EMPTY, FULL, mergeForms, notForm, orForms } from './mask-forms.js';
import { formOfWeights, mapKept, toDense, toIndices, toRows, weightsOfFunction } from './mask-pairs.js';
import { readNpyMask, readNpzMask, writeNpyMask, writeNpzMask } from './mask-files.js';
import { weightOf } from './mask-rows.js';
import { blocksForm, causalForm, documentsForm, firstKeysForm, prefixForm, windowForm } from './mask-structures.js';
import { FLOAT32_ONLY, readTensor, readTensorOf } from './tensor.js';

const WEIGHT_DTYPES = ['float32', 'bool'];
const INDEX_ARRAYS = new Set(['ptr', 'indices', 'weights']);
const BLOCK_OPTIONS = new Set(['shape', 'blockSize', 'ptr', 'indices']);
const FLEX_OPTIONS = new Set(['partial']);
const ROW_OPTIONS = new Set(['batch', 'head']);
const FROM_STATIC_METHOD = Symbol('made by a static method');

/** For the package: the form of a mask, for reading only; 'full' whenever it keeps all. `name` is for messages. */
export let formOf;

/** For the package: the mask of a form that is right by construction. */
export let maskOfForm;

/** For the package: has `cache`, a WeakRef, told when the mask is disposed. */
export let tellWhenDisposed;

export class Mask {
  #form;
  #isFull; // these two once they have been asked for
  #density;
  #caches = new Set();

  static {
    formOf = (mask, name) => {
      const form = mask.#open(name);
      return mask.isFull() ? FULL : form;
    };
    maskOfForm = (shape, form) => make(Object.freeze([...shape]), form);
    tellWhenDisposed = (mask, cache) => mask.#caches.add(cache);
  }

  constructor(token, shape, form) {
    if (token !== FROM_STATIC_METHOD) {
      throw new TypeError('Mask: use Mask.empty, Mask.full, Mask.fromDense or another of its static methods');
    }
    this.shape = shape;
    this.#form = Object.freeze(form);
    Object.freeze(this);
  }

  static empty(shape) {
    return make(readShape(shape), EMPTY);
  }

  static full(shape) {
    return make(readShape(shape), FULL);
  }

  static causal(shape, options = {}) {
    const dims = readShape(shape);
    return make(dims, causalForm(dims, options));
  }

  static slidingWindow(shape, options) {
    const dims = readShape(shape);
    return make(dims, windowForm(dims, options));
  }

  static sinks(shape, n) {
    const dims = readShape(shape);
    return make(dims, firstKeysForm(dims, n));
  }

  static prefix(shape, n) {
    const dims = readShape(shape);
    return make(dims, prefixForm(dims, n));
  }

  static documents(shape, ids) {
    const dims = readShape(shape);
    return make(dims, documentsForm(dims, ids));
  }

  static blockSparse(options) {
    checkOptions(options, 'options', BLOCK_OPTIONS);
    const dims = readShape(options.shape);
    return make(dims, blocksForm(dims, options.blockSize, options.ptr, options.indices));
  }

  static fromFunction(shape, f) {
    const dims = readShape(shape);
    if (typeof f !== 'function') throw typeError('f', 'a function of (batch, head, query, key)', f);
    return make(dims, formOfWeights(dims, weightsOfFunction(dims, f)));
  }

  static fromDense(shape, weights) {
    const dims = readShape(shape);
    const { data, dtype } = readTensorOf(asTensor(weights, 'weights', dims), 'weights', WEIGHT_DTYPES, dims);
    if (dtype === 'bool') return make(dims, formOfWeights(dims, data.map((keep) => (keep === 0 ? 0 : 1))));
    const copy = data.slice();
    for (let at = 0; at < copy.length; at++) {
      checkWeight(copy[at], at);
      copy[at] += 0; // -0 becomes 0
    }
    return make(dims, formOfWeights(dims, copy));
  }

  static fromIndices(shape, arrays) {
    const dims = readShape(shape);
    checkOptions(arrays, 'arrays', INDEX_ARRAYS);
    return make(dims, csrForm(dims, csrFromIndices(rowsOf(dims), dims[3], arrays.ptr, arrays.indices, arrays.weights)));
  }

  static fromRowWiseIndices(shape, indices, weights) {
    const dims = readShape(shape);
    return make(dims, csrForm(dims, csrFromRowIndices(rowsOf(dims), dims[3], indices, weights)));
  }

  static fromUpstreamIndices(shape, flatIndices, ptr, weights) {
    const dims = readShape(shape);
    return make(dims, csrForm(dims, csrFromFlatIndices(rowsOf(dims), dims[3], flatIndices, ptr, weights)));
  }

  static fromFlexBlocks(shape, tables, options = {}) {
    const dims = readShape(shape);
    checkOptions(options, 'options', FLEX_OPTIONS);
    const { full, partial } = readFlexBlocks(dims, tables);
    const { partial: kept = Mask.full(dims) } = options;
    const inPartial = make(dims, partial).#combine(kept, andForms, 'partial');
    if (!sameDims(inPartial.shape, dims)) {
      throw new RangeError(
        `partial: expected a mask that broadcasts to ${formatDims(dims)}, got ${formatDims(kept.shape)}`,
      );
    }
    return make(dims, full).or(inPartial);
  }

  static fromNpy(bytes, shape) {
    const { dims, weights } = readNpyMask(bytes, shape === undefined ? undefined : readShape(shape));
    return Mask.fromDense(dims, weights);
  }

  static async fromNpz(bytes, shape) {
    const { dims, arrays } = await readNpzMask(bytes, shape === undefined ? undefined : readShape(shape));
    return Mask.fromIndices(dims, arrays);
  }

  isEmpty() {
    return this.#open().kind === 'empty';
  }

  isFull() {
    const form = this.#open();
    return (this.#isFull ??= keepsAll(this.shape, form));
  }

  density() {
    const form = this.#open();
    if (form.kind === 'empty' || cellsOf(this.shape) === 0) return 1;
    return (this.#density ??= countKept(this.shape, form) / cellsOf(this.shape));
  }

  get(batch, head, query, key) {
    const form = this.#open();
    const position = [batch, head, query, key];
    for (let axis = 0; axis < 4; axis++) {
      if (!Number.isInteger(position[axis]) || position[axis] < 0 || position[axis] >= this.shape[axis]) {
        throw rangeError('get', `a position inside ${formatDims(this.shape)}`, position);
      }
    }
    return weightOf(this.shape, form, batch, head, query, key);
  }

  and(other) {
    return this.#combine(other, andForms);
  }

  or(other) {
    return this.#combine(other, orForms);
  }

  merge(other) {
    return this.#combine(other, mergeForms);
  }

  not() {
    return make(this.shape, notForm(this.#open()));
  }

  apply(x) {
    return this.#map(x, (value, weight) => value * weight);
  }

  applyInverse(x) {
    return this.#map(x, (value, weight) => value / weight);
  }

  blockMap(blockSize, options) {
    const form = this.#open();
    return countBlocks(this.shape, form.kind === 'empty' ? FULL : form, blockSize, options);
  }

  rows(i0, i1, options = {}) {
    const form = this.#open();
    const [batches, heads, queries] = this.shape;
    checkOptions(options, 'options', ROW_OPTIONS);
    const { batch = 0, head = 0 } = options;
    checkInteger(i0, 'i0', 0, queries);
    checkInteger(i1, 'i1', i0, queries);
    checkInteger(batch, 'batch', 0, batches - 1);
    checkInteger(head, 'head', 0, heads - 1);
    return toRows(this.shape, form, batch, head, i0, i1);
  }

  toDense() {
    return toDense(this.shape, this.#open());
  }

  toIndices() {
    return toIndices(this.shape, this.#open());
  }

  toFlexBlocks(blockSize = 128) {
    return writeFlexBlocks(this.shape, this.blockMap(blockSize));
  }

  toNpy() {
    return writeNpyMask(this.shape, this.#openForFile());
  }

  toNpz() {
    return writeNpzMask(this.shape, this.#openForFile());
  }

  dispose() {
    if (this.#form === null) return;
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

  #openForFile() {
    const form = this.#open();
    if (form.kind !== 'empty') return form;
    throw new RangeError('mask: an empty mask means "no sparse masking", which no file says; use Mask.full');
  }

  #combine(other, combineForms, name = 'other') {
    if (!(other instanceof Mask)) throw typeError(name, 'a Mask', other);
    const form = this.#open();
    const otherForm = other.#open(name);
    return make(broadcastShapes(this.shape, other.shape, name), combineForms(form, otherForm));
  }

  /** `change` of each element that the mask keeps, 0 elsewhere. */
  #map(x, change) {
    const form = this.#open();
    if (form.kind === 'empty') return x;
    const { data, dims } = readTensor(asTensor(x, 'x', this.shape), 'x', FLOAT32_ONLY);
    const result = mapKept(this.shape, form, data, dims, change);
    return x === data ? result : { data: result, dims: [...dims], dtype: 'float32' };
  }
}

function make(shape, form) {
  return new Mask(FROM_STATIC_METHOD, shape, form);
}

function csrForm([batch, heads], csr) {
  return { kind: 'csr', batch, heads, ...csr };
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
