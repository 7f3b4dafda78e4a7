// SPDX-License-Identifier: Apache-2.0

/**
 * Masks in files: NumPy's .npy (a number per pair) and the .npz of scipy.sparse.save_npz (compressed sparse rows, one
 * for each batch, head and query).
 */

import { formatDims, typeError } from './checks.js';
import { isUnit } from './mask-forms.js';
import { toDense, toIndices } from './mask-pairs.js';
import { readNpy, readNpyHeader, writeNpy } from './npy.js';
import { checkAttached } from './tensor.js';
import { readMember, readZip, writeZip } from './zip.js';

const PAIR_TYPES = ['b1', 'f2', 'f4', 'f8'];
const INDEX_TYPES = ['i4', 'i8'];
const VALUE_TYPES = ['b1', 'i1', 'u1', 'i2', 'u2', 'i4', 'u4', 'i8', 'u8', 'f2', 'f4', 'f8'];
const HEADER_BYTES = 2 ** 16 + 12; // of a .npy file, at most
const MAX_SIZE = 2 ** 31 - 1;

export function writeNpyMask(shape, form) {
  const weights = toDense(shape, form);
  const ones = isUnit(form) || weights.every((weight) => weight === 0 || weight === 1);
  return ones ? writeNpy('|b1', shape, Uint8Array.from(weights)) : writeNpy('<f4', shape, weights);
}

/** The shape, that of the file or the one given, and the weights. */
export function readNpyMask(bytes, shape) {
  const { dims: own, data, descr } = readNpy(asBytes(bytes), 'bytes', PAIR_TYPES);
  if (shape === undefined && (own.length < 2 || own.length > 4)) {
    throw new RangeError(`bytes: expected 2 to 4 dimensions ([batch, heads,] queries, keys), got ${formatDims(own)}`);
  }
  const dims = shape ?? [...Array(4 - own.length).fill(1), ...own];
  const count = dims.reduce((product, size) => product * size, 1);
  if (count !== data.length || own.at(-1) !== dims[3]) {
    throw new RangeError(`bytes: ${formatDims(own)} are not the pairs of a mask of shape ${formatDims(dims)}`);
  }
  return { dims, weights: descr.endsWith('b1') || data instanceof Float32Array ? data : Float32Array.from(data) };
}

export function writeNpzMask(shape, form) {
  const { ptr, indices, weights } = toIndices(shape, form);
  const [rows, kept] = [ptr.length - 1, indices.length];
  if (Math.max(rows, kept) > MAX_SIZE) {
    throw new RangeError(`mask: expected at most ${MAX_SIZE} rows and entries, as indices have 32 bits, got ${kept}`);
  }
  const ones = weights.every((weight) => weight === 1);
  return writeZip([
    ['indices.npy', writeNpy('<i4', [kept], indices)],
    ['indptr.npy', writeNpy('<i4', [rows + 1], ptr)],
    ['format.npy', writeNpy('|S3', [], new TextEncoder().encode('csr'))],
    ['shape.npy', writeNpy('<i4', [2], Int32Array.of(rows, shape[3]))],
    ['data.npy', ones ? writeNpy('|b1', [kept], new Uint8Array(kept).fill(1)) : writeNpy('<f4', [kept], weights)],
  ]);
}

/**
 * The shape, that of the file or the one given, and arrays as Mask.fromIndices takes them. Members are read in the
 * order in which one says how long the next may be, so that none inflates without bound.
 */
export async function readNpzMask(bytes, shape) {
  const members = readZip(asBytes(bytes), 'bytes');
  const readContent = (name, maxBytes) => {
    const member = members.get(`${name}.npy`);
    if (member !== undefined) return readMember(member, maxBytes);
    throw new RangeError(`bytes: expected a file of scipy.sparse.save_npz, got one without ${name}.npy`);
  };
  const readVector = async (name, types, length) => {
    const content = await readContent(name, HEADER_BYTES + 8 * length);
    const { dims, data } = readNpy(content, `bytes: ${name}.npy`, types);
    if (dims.length === 1 && data.length === length) return data;
    throw new RangeError(`bytes: ${name}.npy: expected ${length} elements, got ${formatDims(dims)}`);
  };
  const format = textOf(await readContent('format', HEADER_BYTES + 64));
  if (format !== 'csr') throw new RangeError(`bytes: expected format 'csr', got '${format}'; save matrix.tocsr()`);
  const [rows, columns] = await readVector('shape', INDEX_TYPES, 2);
  const dims = shape ?? [1, 1, rows, columns];
  const fits = rows === dims[0] * dims[1] * dims[2] && columns === dims[3];
  if (!fits || !isSize(rows) || !isSize(columns)) {
    throw new RangeError(`bytes: a matrix ${formatDims([rows, columns])} does not fit a mask ${formatDims(dims)}`);
  }
  const ptr = await readVector('indptr', INDEX_TYPES, rows + 1);
  const kept = ptr[rows];
  if (!isSize(kept)) throw new RangeError(`bytes: indptr.npy: expected an end in 0..${MAX_SIZE}, got ${kept}`);
  const indices = await readVector('indices', INDEX_TYPES, kept);
  const data = await readVector('data', VALUE_TYPES, kept);
  return { dims, arrays: { ptr: asIntegers(ptr), indices: asIntegers(indices), weights: Float32Array.from(data) } };
}

function isSize(value) {
  return value >= 0 && value <= MAX_SIZE;
}

/** What stands behind the header, for messages at most 8 characters of it. */
function textOf(content) {
  const header = readNpyHeader(content, 'bytes: format.npy');
  const text = header === undefined ? '' : new TextDecoder().decode(content.subarray(header.offset));
  return text.replaceAll('\0', '').slice(0, 8);
}

/** 64-bit integers come as a Float64Array. */
function asIntegers(data) {
  return data instanceof Int32Array ? data : Array.from(data);
}

function asBytes(value) {
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (!ArrayBuffer.isView(value) || value[Symbol.toStringTag] !== 'Uint8Array') {
    throw typeError('bytes', 'a Uint8Array or an ArrayBuffer', value);
  }
  checkAttached(value, 'bytes');
  return value;
}
