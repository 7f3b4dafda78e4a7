// SPDX-License-Identifier: Apache-2.0

/** Arrays in files (.npy, .npz, .safetensors) as the tensors that the package takes, and results as such files. */

import { closeSync, existsSync, fstatSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { dirname, extname } from 'node:path';

import { ARRAY_FILES, openArrays } from '../js/array-files.js';
import { eitherOf, formatDims } from '../js/checks.js';
import { writeNpy } from '../js/npy.js';
import { formatSafetensors } from '../js/safetensors.js';
import { writeZip } from '../js/zip.js';
import { FileError, UsageError } from './errors.js';

const CHUNK = 2 ** 30; // what the system reads or writes at once has a limit
const DESCRS = { float32: '<f4', float16: '<f2', bool: '|b1', uint32: '<u4' };
const REASONS = {
  ENOENT: 'no such file',
  EISDIR: 'it is a folder',
  EACCES: 'no permission',
  ENOSPC: 'the disk is full',
};

/** What to do about elements that no tensor has, by what is expected. */
const HINTS = {
  float64: 'save array.astype(numpy.float32)',
  integer: 'save array.astype(bool) or .astype(numpy.float32)',
};

/** The content of a file. `name` is for messages, here and below. */
export function readBytes(path, name) {
  return withFile(path, 'r', name, (file) => {
    const { size } = fstatSync(file);
    const bytes = new Uint8Array(size);
    let at = 0;
    for (let count = -1; at < size && count !== 0; at += count) {
      count = readSync(file, bytes, at, Math.min(CHUNK, size - at), null);
    }
    return bytes.subarray(0, at);
  });
}

export function writeBytes(path, bytes, name) {
  withFile(path, 'w', name, (file) => {
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at, Math.min(CHUNK, bytes.length - at));
  });
}

function withFile(path, mode, name, use) {
  let file;
  try {
    file = openSync(path, mode);
    return use(file);
  } catch (cause) {
    if (cause.code === undefined || cause.syscall === undefined) throw cause;
    const reason = REASONS[cause.code] ?? cause.message;
    throw new FileError(`${name}: cannot ${mode === 'r' ? 'read' : 'write'} ${path}: ${reason}`, { cause });
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** Files that have been opened, by path: one file may hold several tensors. */
export class Arrays {
  #files = new Map();

  /** The arrays of a file, as openArrays gives them. */
  open(path, name) {
    if (!this.#files.has(path)) this.#files.set(path, openFile(path, name));
    return this.#files.get(path);
  }

  /**
   * One array of a file as { data, dims, dtype }.
   * @param called names it may have, best first; a file's only array may have any
   * @param isMapped whether somebody said so, and no other will do
   */
  async read(path, name, called, isMapped) {
    const { names, read } = this.open(path, name);
    const found = called.find((one) => names.includes(one)) ?? (!isMapped && names.length === 1 ? names[0] : undefined);
    if (found !== undefined || names.length === 0) {
      return read(found, `${name}: ${path}`).catch((cause) => {
        throw new FileError(cause.message, { cause });
      });
    }
    const [first] = called;
    const others = `only ${listed(names)}; say which with --names ${name}=...`;
    throw new FileError(`${name}: ${path} has no array '${first}', ${others}`);
  }
}

function listed(names) {
  return names.length > 12 ? `${names.slice(0, 12).join(', ')} and ${names.length - 12} more` : names.join(', ');
}

function openFile(path, name) {
  const type = extname(path).toLowerCase();
  if (!ARRAY_FILES.includes(type)) {
    throw new UsageError(`${name}: expected a file ${eitherOf(ARRAY_FILES)}, got ${path}`);
  }
  const bytes = readBytes(path, name);
  const where = `${name}: ${path}`;
  try {
    return openArrays(bytes, type, where);
  } catch (cause) {
    throw new FileError(cause.message.startsWith(where) ? cause.message : `${where}: ${cause.message}`, { cause });
  }
}

/** Throws unless a tensor has one of these dtypes, with a hint at what would help. */
export function checkDtype({ dtype }, dtypes, name) {
  if (dtypes.includes(dtype)) return;
  const hint = HINTS[dtype] ?? (dtypes.includes('bool') ? HINTS.integer : HINTS.float64);
  throw new FileError(`${name}: expected ${eitherOf(dtypes)}, got ${dtype}; ${hint}`);
}

/** What kind of file results go to; throws before anything is computed where they could not. */
export function checkOutput(path, name, types) {
  const type = extname(path).toLowerCase();
  if (!types.includes(type)) throw new UsageError(`${name}: expected a file ${eitherOf(types)}, got ${path}`);
  const folder = dirname(path);
  if (!existsSync(folder) || !statSync(folder).isDirectory()) {
    throw new FileError(`${name}: cannot write ${path}: there is no folder ${folder}`);
  }
  return type;
}

/** Writes tensors { data, dims, dtype }, by name; a .npy file takes the only one. */
export function writeTensors(path, tensors, name) {
  const type = extname(path).toLowerCase();
  const entries = Object.entries(tensors);
  if (type === '.safetensors') {
    const plain = entries.map(([key, { data, dims, dtype }]) => [key, { data, dims, dtype }]);
    return writeBytes(path, formatSafetensors(plain), name);
  }
  const arrays = entries.map(([key, { data, dims, dtype }]) => [`${key}.npy`, writeNpy(DESCRS[dtype], dims, data)]);
  return writeBytes(path, type === '.npy' ? arrays[0][1] : writeZip(arrays), name);
}

/** `1 x 8 x 128 x 64 float32` */
export function describeTensor({ dims, dtype }) {
  return `${formatDims(dims)} ${dtype}`;
}
