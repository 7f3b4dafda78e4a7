// SPDX-License-Identifier: Apache-2.0

/** NumPy's .npy format: one array behind a header in Python's notation. Sizes are checked before any allocation. */

import { eitherOf, formatDims } from './checks.js';
import { allocate } from './tensor.js';
import { fromFloat16 } from './widen.js';

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY
const ALIGNMENT = 64;
const MAX_HEADER = 2 ** 16;
const MAX_RANK = 32;
const IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

const toFloat64 = (data) => Float64Array.from(data, Number);
const toFloat32 = (data) => Float32Array.from(data, fromFloat16);

/** The array that holds the elements of a type, the getter of a DataView for them, and what to make of the array. */
const TYPES = {
  b1: [Uint8Array],
  u1: [Uint8Array],
  i1: [Int8Array],
  i2: [Int16Array, 'getInt16'],
  u2: [Uint16Array, 'getUint16'],
  i4: [Int32Array, 'getInt32'],
  u4: [Uint32Array, 'getUint32'],
  i8: [BigInt64Array, 'getBigInt64', toFloat64],
  u8: [BigUint64Array, 'getBigUint64', toFloat64],
  f2: [Uint16Array, 'getUint16', toFloat32],
  f4: [Float32Array, 'getFloat32'],
  f8: [Float64Array, 'getFloat64'],
};

/** An array of little-endian numbers or bytes as a file; `descr` is NumPy's name of the type. */
export function writeNpy(descr, dims, data) {
  const shape = dims.length === 1 ? `(${dims[0]},)` : `(${dims.join(', ')})`;
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`;
  const headerBytes = Math.ceil((10 + text.length + 1) / ALIGNMENT) * ALIGNMENT;
  const file = allocate(Uint8Array, headerBytes + data.byteLength);
  file.set([...MAGIC, 1, 0, (headerBytes - 10) & 255, (headerBytes - 10) >>> 8]);
  file.set(new TextEncoder().encode(`${text.padEnd(headerBytes - 11)}\n`), 10);
  if (IS_LITTLE_ENDIAN || data.BYTES_PER_ELEMENT === 1) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), headerBytes);
  } else {
    const view = new DataView(file.buffer, headerBytes);
    const set = data instanceof Float32Array ? view.setFloat32 : view.setInt32;
    data.forEach((value, n) => set.call(view, 4 * n, value, true));
  }
  return file;
}

/**
 * Reads the header.
 * @param name how messages call the file
 * @returns {{ descr: string, dims: number[], offset: number, byteLength: number }} where the elements begin, and how
 * long a file with such a header is; undefined if `bytes`, the beginning of a file, do not hold the whole header yet
 */
export function readNpyHeader(bytes, name) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let n = 0; n < Math.min(MAGIC.length, bytes.length); n++) {
    if (bytes[n] !== MAGIC[n]) throw new RangeError(`${name}: expected a .npy file, got other bytes at its start`);
  }
  if (bytes.length < 12) return undefined;
  const version = bytes[6];
  if (version < 1 || version > 3) throw new RangeError(`${name}: expected .npy version 1 to 3, got ${version}`);
  const start = version === 1 ? 10 : 12;
  const length = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (length > MAX_HEADER) {
    throw new RangeError(`${name}: expected a header of at most ${MAX_HEADER} bytes, got ${length}`);
  }
  const offset = start + length;
  if (bytes.length < offset) return undefined;
  const header = new TextDecoder().decode(bytes.subarray(start, offset));
  const descr = find(header, name, 'descr', /["']descr["']\s*:\s*["']([^"']{0,16})["']/);
  const order = find(header, name, 'fortran_order', /["']fortran_order["']\s*:\s*(True|False)/);
  const dims = readDims(find(header, name, 'shape', /["']shape["']\s*:\s*\(([^()]*)\)/), name);
  if (order === 'True' && dims.length > 1) {
    throw new RangeError(`${name}: expected C order, got Fortran order; save numpy.ascontiguousarray(array)`);
  }
  const [size] = /\d+$/.exec(descr) ?? [];
  if (size === undefined) throw new RangeError(`${name}: expected an array of numbers, got elements of type ${descr}`);
  const byteLength = dims.reduce((product, dim) => product * dim, Number(size)) + offset;
  if (!(byteLength <= Number.MAX_SAFE_INTEGER) || dims.some((dim) => dim >= 2 ** 31)) {
    throw new RangeError(`${name}: shape ${formatDims(dims)} of ${descr} is larger than any array`);
  }
  return { descr, dims, offset, byteLength };
}

function find(header, name, key, pattern) {
  const found = pattern.exec(header);
  if (found === null) throw new RangeError(`${name}: no valid ${key} in its header`);
  return found[1];
}

function readDims(text, name) {
  const parts = text.split(',').map((part) => part.trim());
  if (parts.at(-1) === '') parts.pop(); // (3,) and ()
  for (const part of parts) {
    if (!/^\d{1,16}$/.test(part)) {
      throw new RangeError(`${name}: expected a shape of integers >= 0, got (${text.slice(0, 40)})`);
    }
  }
  if (parts.length > MAX_RANK) {
    throw new RangeError(`${name}: expected at most ${MAX_RANK} dimensions, got ${parts.length}`);
  }
  return parts.map(Number);
}

/**
 * Reads a whole file of one of these types (`f4`, `i8`...).
 * @returns {{ descr: string, dims: number[], data: TypedArray }}
 */
export function readNpy(bytes, name, types) {
  const header = readNpyHeader(bytes, name);
  if (header === undefined) {
    throw new RangeError(`${name}: expected a .npy file, got ${bytes.length} bytes, a part of one (truncated?)`);
  }
  const { descr, dims, offset, byteLength } = header;
  const type = descr.slice(1);
  if (!/^[<>|]/.test(descr) || !types.includes(type)) {
    throw new TypeError(`${name}: expected elements of type ${eitherOf(types)}, got ${descr}`);
  }
  if (bytes.length !== byteLength) {
    throw new RangeError(
      `${name}: expected ${byteLength} bytes (${formatDims(dims)} of ${descr} and the header), got ${bytes.length}`,
    );
  }
  return { descr, dims, data: readElements(bytes.subarray(offset), type, descr[0] !== '>') };
}

function readElements(bytes, type, littleEndian) {
  const [ArrayType, getter, convert = (elements) => elements] = TYPES[type];
  const size = ArrayType.BYTES_PER_ELEMENT;
  const data = allocate(ArrayType, bytes.length / size);
  if (size === 1 || littleEndian === IS_LITTLE_ENDIAN) new Uint8Array(data.buffer).set(bytes);
  else {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let n = 0; n < data.length; n++) data[n] = view[getter](n * size, littleEndian);
  }
  return convert(data);
}
