// SPDX-License-Identifier: Apache-2.0

/**
 * Tensors: what a caller may pass ({ data, dims, dtype? } or a resident Tensor), and what a call makes of it, an
 * Operand: checked once, with strides, and with an address once it stands in wasm memory.
 */

import { checkDims, describe, eitherOf, formatDims, sameDims, typeError } from './checks.js';
import { AttentionError } from './errors.js';

export const DTYPES = ['float32', 'float16', 'bfloat16', 'bool'];
export const FLOAT_DTYPES = ['float32', 'float16', 'bfloat16'];
export const FLOAT32_ONLY = ['float32'];
export const BYTES_PER_ELEMENT = { float32: 4, float16: 2, bfloat16: 2, bool: 1, int32: 4 }; // int32: offsets, lengths

/** The dtypes that an array of each class may hold; where there are two, the caller has to name one. */
const DTYPES_OF_ARRAY = {
  Float32Array: ['float32'],
  Float16Array: ['float16'],
  Uint16Array: ['float16', 'bfloat16'],
  Uint8Array: ['bool'],
};

/** new ArrayType(source), of a length or an array; what no engine can serve is reported as out of memory. */
export function allocate(ArrayType, source) {
  try {
    return new ArrayType(source);
  } catch (cause) {
    throw new AttentionError('out-of-memory', `no room for an array of ${source.length ?? source} elements`, { cause });
  }
}

/** A checked tensor of one call. Strides are in elements, 0 repeats an element. */
export class Operand {
  isResident = false; // the data stands in the memory of this engine
  isInPlace = false; // and the core reads it there
  address = 0; // in that memory
  offset = 0; // where in the block of the call it is copied to, unless it is read in place
  batch = 0;
  heads = 0;
  rows = 0;
  columns = 0;
  batchStride = 0;
  headStride = 0;
  rowStride = 0;
  columnStride = 1;

  /** @param tensor the Tensor that the data belongs to, if any */
  constructor(name, data, dims, dtype, count, tensor = undefined) {
    this.name = name;
    this.data = data;
    this.dims = dims;
    this.dtype = dtype;
    this.count = count;
    this.bytes = count * BYTES_PER_ELEMENT[dtype];
    this.tensor = tensor;
  }

  /** Looks the data up as it is now: it may have been disposed, moved or detached since it was read. */
  locate() {
    if (this.tensor?.disposed) throw disposedError(this.name);
    if (this.tensor !== undefined) this.data = this.tensor.data;
    if (this.data.length !== this.count) {
      throw new TypeError(`${this.name}: its ArrayBuffer has been detached or resized since it was passed`);
    }
  }

  /** Reads [batch, heads, rows, columns] and their contiguous strides out of dims that stand in a layout. */
  setLayout(layout) {
    const { dims } = this;
    const headsFirst = layout === 'bhsd';
    this.batch = dims[0];
    this.heads = dims[headsFirst ? 1 : 2];
    this.rows = dims[headsFirst ? 2 : 1];
    this.columns = dims[3];
    if (this.count === 0) return; // nothing is read, and a product of the other dimensions may not fit a stride
    this.batchStride = this.heads * this.rows * this.columns;
    this.headStride = headsFirst ? this.rows * this.columns : this.columns;
    this.rowStride = headsFirst ? this.columns : this.heads * this.columns;
  }

  /** Sets strides that repeat this tensor, right-aligned, over `target` = [batch, heads, rows, columns]. */
  setBroadcast(target) {
    const { dims } = this;
    const strides = [0, 0, 0, 0];
    let stride = 1;
    for (let axis = 3, own = dims.length - 1; own >= 0; axis--, own--) {
      const size = dims[own];
      const wanted = target[axis];
      if (size !== 1 && size !== wanted && !(axis === 3 && size > wanted)) {
        const expected = axis === 3 ? `1 or at least ${wanted}` : eitherOf([...new Set([1, wanted])]);
        throw new RangeError(
          `${this.name}: ${formatDims(dims)} does not broadcast to batch x heads x queries x keys, ` +
            `${formatDims(target)}: expected dims[${own}] to be ${expected}, got ${size}`,
        );
      }
      if (size !== 1) strides[axis] = stride;
      stride *= size;
    }
    if (this.count === 0) strides.fill(0);
    [this.batchStride, this.headStride, this.rowStride, this.columnStride] = strides;
  }
}

/** A tensor that a call hands out: in a new array, or in the caller's `out`. */
export class Slot {
  isInPlace = false; // `out` is a tensor of this engine, and the result is written there
  data = undefined; // the array that the caller gets
  address = 0; // of what the core computes, float32 or bool
  offset = 0; // where in the block that is, unless it is written in place
  finalAddress = 0; // of the result: the same, or what it is narrowed to
  finalOffset = 0;

  /**
   * @param key the property of the result, and the core's name for it
   * @param target the Operand of `out`, or undefined
   */
  constructor(key, dims, dtype, target) {
    let count = 1;
    for (const size of dims) count *= size;
    this.key = key;
    this.dims = dims;
    this.dtype = dtype;
    this.count = count;
    this.bytes = count * BYTES_PER_ELEMENT[dtype];
    this.isNarrow = dtype === 'float16' || dtype === 'bfloat16';
    this.coreBytes = this.isNarrow ? count * BYTES_PER_ELEMENT.float32 : this.bytes;
    this.target = target;
  }

  /** Looks up the caller's own array, if any. */
  locate() {
    if (this.target === undefined) return;
    this.target.locate();
    this.data = this.target.data;
  }

  /** The result as the caller gets it. */
  get value() {
    return this.target?.tensor ?? { data: this.data, dims: this.dims, dtype: this.dtype };
  }
}

/**
 * Checks a tensor argument.
 * @param value what the caller passed: a Tensor or { data, dims, dtype? }
 * @param name how messages call it
 * @param dtypes those allowed
 * @returns {Operand}
 */
export function readTensor(value, name, dtypes) {
  if (value instanceof Tensor) {
    if (value.disposed) throw disposedError(name);
    checkDtype(value.dtype, name, dtypes);
    return new Operand(name, value.data, value.dims, value.dtype, value.count, value);
  }
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || Array.isArray(value)) {
    throw typeError(name, 'a tensor { data, dims, dtype? }', value);
  }
  const { data, dims: given, dtype: named } = value;
  const count = checkDims(given, `${name}.dims`);
  const dtype = readDtype(data, named, name, `${name}.data`, dtypes);
  checkAttached(data, name);
  if (data.length !== count) {
    throw new RangeError(`${name}: expected ${count} elements (${formatDims(given)}), got ${data.length}`);
  }
  return new Operand(name, data, given.slice(), dtype, count);
}

/** The same, of one exact shape. */
export function readTensorOf(value, name, dtypes, dims) {
  const operand = readTensor(value, name, dtypes);
  if (!sameDims(operand.dims, dims)) {
    throw new RangeError(`${name}: expected dims ${formatDims(dims)}, got ${formatDims(operand.dims)}`);
  }
  return operand;
}

/** One float32 per `what`: a Float32Array, or a tensor [length]. */
export function readVector(value, name, length, what) {
  let operand;
  if (ArrayBuffer.isView(value) || Array.isArray(value)) {
    readDtype(value, undefined, name, name, FLOAT32_ONLY);
    checkAttached(value, name);
    operand = new Operand(name, value, [value.length], 'float32', value.length);
  } else {
    if (typeof value !== 'object' || value === null) {
      throw typeError(name, `a Float32Array or a tensor [${length}]`, value);
    }
    operand = readTensor(value, name, FLOAT32_ONLY);
  }
  if (operand.dims.length !== 1 || operand.count !== length) {
    throw new RangeError(`${name}: expected one element per ${what} (${length}), got ${formatDims(operand.dims)}`);
  }
  return operand;
}

/** An Int32Array with one element per batch; `expectation` is the beginning of what messages say. */
export function readOffsets(value, name, batch, expectation) {
  if (!ArrayBuffer.isView(value) || value[Symbol.toStringTag] !== 'Int32Array') {
    throw typeError(name, `${expectation} per batch`, value);
  }
  checkAttached(value, name);
  if (value.length !== batch) {
    throw new RangeError(`${name}: expected one element per batch (${batch}), got ${value.length}`);
  }
  return new Operand(name, value, [batch], 'int32', batch);
}

/** The dtype of an array, by its class and the name given to it. */
function readDtype(data, named, name, dataName, dtypes) {
  // The tag also recognises arrays of another realm (an iframe, a test runner's sandbox).
  const tag = ArrayBuffer.isView(data) ? data[Symbol.toStringTag] : undefined;
  const held = DTYPES_OF_ARRAY[tag];
  if (held === undefined) {
    if (tag?.includes('Int') && dtypes.includes('bool') && dtypes.includes('float32')) {
      throw new TypeError(
        `${name}: an ${tag} is neither boolean nor float; pass a Uint8Array (bool) or a Float32Array`,
      );
    }
    throw typeError(dataName, arraysFor(dtypes), data);
  }
  if (named === undefined && held.length > 1) {
    throw new TypeError(`${name}: a ${tag} needs dtype: ${eitherOf(held.map(describe))}`);
  }
  const dtype = named === undefined ? held[0] : named;
  if (!held.includes(dtype)) {
    throw typeError(`${name}.dtype`, `${eitherOf(held.map(describe))} for a ${tag}`, dtype);
  }
  checkDtype(dtype, name, dtypes);
  return dtype;
}

function checkDtype(dtype, name, dtypes) {
  if (!dtypes.includes(dtype)) throw typeError(name, `dtype ${eitherOf(dtypes.map(describe))}`, dtype);
}

/** The array classes that hold any of these dtypes, for messages. */
function arraysFor(dtypes) {
  const names = [];
  if (dtypes.includes('float32')) names.push('a Float32Array');
  if (dtypes.includes('float16')) names.push('Float16Array', 'Uint16Array with a dtype');
  if (dtypes.includes('bool')) names.push(names.length > 0 ? 'Uint8Array (bool)' : 'a Uint8Array (bool)');
  return eitherOf(names);
}

function disposedError(name) {
  return new AttentionError('disposed', `${name}: this tensor has been disposed`);
}

/** Arrays over a detached buffer have length 0, which would only be called a wrong length. */
export function checkAttached(data, name) {
  if (data.length === 0 && isDetached(data.buffer)) {
    throw new TypeError(
      `${name}: its ArrayBuffer is detached (transferred, or a view of wasm memory that has grown since)`,
    );
  }
}

function isDetached(buffer) {
  if (buffer.byteLength > 0) return false;
  try {
    new Uint8Array(buffer); // throws where it is; older engines have no ArrayBuffer.prototype.detached
    return false;
  } catch {
    return true;
  }
}

/**
 * A tensor that lives in the engine's wasm memory: calls read and write it in place, and those in slices hold its block
 * until they end. Made by attention.tensor().
 */
export class Tensor {
  #heap;
  #address;
  #view;

  constructor(heap, { dims, dtype, count, bytes }) {
    this.dims = Object.freeze(dims);
    this.dtype = dtype;
    this.count = count;
    this.#heap = heap;
    this.#address = heap.alloc(bytes);
    this.#view = this.#newView().fill(0);
    Object.freeze(this);
  }

  get disposed() {
    return this.#address === 0 || !this.#heap.open;
  }

  /** The elements, as a view that is valid until wasm memory grows: read it again after each call. */
  get data() {
    if (this.disposed) throw new AttentionError('disposed', 'this tensor has been disposed');
    if (this.#view.buffer !== this.#heap.buffer) this.#view = this.#newView();
    return this.#view;
  }

  dispose() {
    if (!this.disposed) this.#heap.free(this.#address);
    this.#address = 0;
    this.#view = null;
  }

  [Symbol.dispose ?? Symbol.for('Symbol.dispose')]() {
    this.dispose();
  }

  #newView() {
    const View = this.dtype === 'float32' ? Float32Array : this.dtype === 'bool' ? Uint8Array : Uint16Array;
    return new View(this.#heap.buffer, this.#address, this.count);
  }
}

/** The class of a new array for results; Float16Array only for those who already use it. */
export function arrayFor(dtype, inputs) {
  if (dtype === 'float32') return Float32Array;
  if (dtype === 'bool') return Uint8Array;
  const usesFloat16Array =
    dtype === 'float16' && inputs.some(({ data }) => data[Symbol.toStringTag] === 'Float16Array');
  return usesFloat16Array ? globalThis.Float16Array : Uint16Array;
}
