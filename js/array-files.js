// SPDX-License-Identifier: Apache-2.0

/** Files of arrays (.npy, .npz, .safetensors): which ones a file has, and each as { data, dims, dtype }. */

import { readNpy, readNpyHeader } from './npy.js';
import { parseSafetensors } from './safetensors.js';
import { readMember, readZip } from './zip.js';

export const ARRAY_FILES = ['.npy', '.npz', '.safetensors'];

const NPY_TYPES = ['b1', 'i1', 'u1', 'i2', 'u2', 'i4', 'u4', 'i8', 'u8', 'f2', 'f4', 'f8'];
const NPY_NAMES = {
  b1: 'bool',
  i1: 'int8',
  u1: 'uint8',
  i2: 'int16',
  u2: 'uint16',
  i4: 'int32',
  u4: 'uint32',
  i8: 'int64',
  u8: 'uint64',
  f4: 'float32',
  f8: 'float64',
};

/**
 * What a file holds. Nothing is inflated before it is read, and no array is larger than the bytes that are there.
 * @param {Uint8Array} bytes
 * @param {string} type one of ARRAY_FILES
 * @param {string} where how messages call the file
 * @returns {{ names: string[], metadata: Map<string, string>, sizeOf: (name?: string) => number,
 *   read: (name?: string, where?: string) => object | Promise<object> }} the array of a .npy file has no name; sizeOf
 *   says how many bytes reading an array takes, at most; integers of 64 bits come out of .npy files as a Float64Array,
 *   out of .safetensors as bigints; 16-bit floats stay bits
 * @throws RangeError, TypeError for files that are truncated, damaged or of another kind
 */
export function openArrays(bytes, type, where) {
  if (type === '.npy') {
    const read = async (_, called = where) => readArray(bytes, called);
    return { names: [], metadata: new Map(), sizeOf: () => bytes.length, read };
  }
  if (type === '.safetensors') {
    const { metadata, tensors } = parseSafetensors(bytes);
    const sizeOf = (name) => tensors.get(name).data.byteLength;
    return { names: [...tensors.keys()], metadata, sizeOf, read: async (name) => tensors.get(name) };
  }
  const members = readZip(bytes, where);
  const memberOf = (name) => members.get(`${name}.npy`);
  return {
    names: [...members.keys()].filter((member) => member.endsWith('.npy')).map((member) => member.slice(0, -4)),
    metadata: new Map(),
    sizeOf: (name) => memberOf(name).length,
    read: async (name, called = where) => {
      const member = memberOf(name);
      return readArray(await readMember(member, member.length), `${called}: ${name}`);
    },
  };
}

/** A .npy file as { data, dims, dtype }. */
function readArray(bytes, where) {
  const header = readNpyHeader(bytes, where);
  if (header?.descr === '<f2' && bytes.length === header.byteLength) {
    return { data: new Uint16Array(bytes.slice(header.offset).buffer), dims: header.dims, dtype: 'float16' };
  }
  const { descr, dims, data } = readNpy(bytes, where, NPY_TYPES);
  return { data, dims, dtype: NPY_NAMES[descr.slice(1)] ?? 'float32' };
}
