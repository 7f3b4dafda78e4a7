// SPDX-License-Identifier: Apache-2.0

/** From dropped files to arrays whose role is known, tokens, and what was left out. */

import { ARRAY_FILES, openArrays } from '../../js/array-files.js';
import { eitherOf, formatDims } from '../../js/checks.js';
import { DataError } from './errors.js';
import { readName, sideOf, stemOf } from './names.js';
import { partOf } from './tensors.js';

const MAX_BYTES = 2 ** 30; // that arrays may take together once they are inflated
const MAX_LAYERS = 1024;
const MATRIX_MEMBERS = ['indices', 'indptr', 'format', 'shape']; // of scipy.sparse.save_npz
const IN_ORDER = ['queries', 'keys', 'values']; // of arrays that numpy.savez was given without names
const STACKED = new Set([...IN_ORDER, 'weights']);
const TOKEN_FILES = ['.json', '.txt'];
const LISTED = 6;

/** What to do about files of other programs. */
const HINTS = {
  '.pt': 'save with safetensors.torch.save_file',
  '.pth': 'save with safetensors.torch.save_file',
  '.bin': 'save with safetensors.torch.save_file',
  '.pkl': 'save with numpy.savez',
  '.csv': 'save with numpy.save',
  '.gguf': 'it holds a model; record queries and keys while it runs',
};

/**
 * @typedef {object} NamedArray an array, or, with `bytes` in place of data, a matrix of scipy.sparse
 * @property {string} file @property {string} label for messages
 * @property {import('./names.js').Role} role @property {string[]} words @property {number[]} numbers of its name
 * @property {ArrayBufferView} [data] @property {number[]} [dims] @property {string} [dtype]
 * @property {Uint8Array} [bytes]
 *
 * @typedef {object} Parts
 * @property {string} name of all of it @property {NamedArray[]} arrays @property {string[]} notes
 * @property {{ label: string, side?: 'queries' | 'keys', list: string[] }[]} tokens
 * @property {number} [scaling]
 */

/**
 * @param {{ name: string, bytes: Uint8Array }[]} files
 * @returns {Promise<Parts>}
 * @throws DataError
 */
export async function readParts(files) {
  if (files.length === 0) throw new DataError('Expected files .npy, .npz or .safetensors, got none');
  const parts = { name: nameOf(files), arrays: [], notes: [], tokens: [] };
  const budget = { left: MAX_BYTES };
  for (const file of files) {
    const type = /\.[a-z0-9]+$/i.exec(file.name)?.[0].toLowerCase() ?? '';
    if (TOKEN_FILES.includes(type)) parts.tokens.push(...readTokens(file, type));
    else await readArrays(file, type, parts, budget);
  }
  parts.arrays = parts.arrays.flatMap(unstacked);
  return parts;
}

function nameOf(files) {
  const names = files.map(({ name }) => stemOf(name));
  return names.length > 3 ? `${names[0]} and ${names.length - 1} more files` : names.join(', ');
}

async function readArrays({ name: file, bytes }, type, parts, budget) {
  if (!ARRAY_FILES.includes(type)) {
    const hint = HINTS[type] === undefined ? '' : `; ${HINTS[type]}`;
    throw new DataError(`${file}: expected a file ${eitherOf([...ARRAY_FILES, ...TOKEN_FILES])}${hint}`);
  }
  const opened = await told(file, () => openArrays(bytes, type, file));
  const { names, metadata } = opened;
  if (MATRIX_MEMBERS.every((name) => names.includes(name))) {
    for (const name of names) spend(opened.sizeOf(name), file, budget);
    const { role = 'sparseMask', ...named } = readName(stemOf(file));
    const isWeights = role === 'weights';
    parts.arrays.push({ file, label: file, role: isWeights ? role : 'sparseMask', ...named, bytes });
    return;
  }
  readMetadata(metadata, file, parts);
  const found = names.length === 0 ? [[undefined, readName(stemOf(file))]] : nameArrays(names, file, parts);
  const leftOut = [];
  for (const [name, { role, words, numbers }] of found) {
    const label = name === undefined ? file : `${file}: ${name}`;
    if (role === 'tokens' || role === undefined) {
      leftOut.push(name ?? file);
      continue;
    }
    if (role === 'parameters') {
      parts.arrays.push({ file, label, role, words, numbers });
      continue;
    }
    spend(opened.sizeOf(name), label, budget);
    const { data, dims, dtype } = await told(file, () => opened.read(name, file));
    if (data.length === 0) throw new DataError(`${label}: expected some elements, got ${formatDims(dims)}`);
    parts.arrays.push({ file, label, role, words, numbers, data, dims, dtype });
  }
  if (leftOut.length > 0) {
    const shown = leftOut.slice(0, LISTED).join(', ');
    const more = leftOut.length > LISTED ? ` and ${leftOut.length - LISTED} more` : '';
    parts.notes.push(`${file}: left out ${shown}${more}, by name neither queries, keys, values, masks nor weights.`);
  }
}

/** [name, what it is] of each array of a file. */
function nameArrays(names, file, parts) {
  const found = names.map((name) => [name, readName(name)]);
  if (found.some(([, { role }]) => role !== undefined)) return found;
  if (names.length === 1) return [[names[0], readName(stemOf(file))]];
  if (names.length > IN_ORDER.length) return found;
  const { words, numbers } = readName(stemOf(file));
  const roles = IN_ORDER.slice(0, names.length);
  parts.notes.push(`${file}: ${names.join(', ')} read as ${roles.join(', ')}, in this order.`);
  return names.map((name, n) => [name, { role: IN_ORDER[n], words, numbers }]);
}

function readMetadata(metadata, file, parts) {
  const scaling = metadata.get('scaling') ?? metadata.get('scale');
  if (scaling !== undefined) {
    if (scaling.trim() === '' || !Number.isFinite(Math.fround(scaling))) {
      throw new DataError(`${file}: expected metadata scaling to be a finite number, got '${scaling.slice(0, 40)}'`);
    }
    parts.scaling = Number(scaling);
    parts.notes.push(`${file}: scores are scaled by ${Number(scaling)}, as its metadata says.`);
  }
  for (const key of ['tokens', 'query_tokens', 'key_tokens']) {
    if (!metadata.has(key)) continue;
    parts.tokens.push(...tokensOf(parseJson(metadata.get(key), `${file}: ${key}`), `${file}: ${key}`, sideOf(key)));
  }
}

/** Takes from what may still be read. */
function spend(bytes, label, budget) {
  budget.left -= bytes;
  if (budget.left < 0) {
    throw new DataError(
      `${label}: expected arrays of at most ${MAX_BYTES / 2 ** 20} MB altogether, got more; pass fewer heads or layers`,
    );
  }
}

/** Layers that stand one behind the other along the first of five axes. */
function unstacked(array) {
  if (!STACKED.has(array.role) || array.dims?.length !== 5) return [array];
  const [layers] = array.dims;
  if (layers > MAX_LAYERS) {
    throw new DataError(`${array.label}: expected at most ${MAX_LAYERS} layers, got ${formatDims(array.dims)}`);
  }
  return Array.from({ length: layers }, (_, n) => ({
    ...array, ...partOf(array, n), numbers: [...array.numbers, n],
  }));
}

function readTokens({ name: file, bytes }, type) {
  const text = decode(bytes, file);
  const side = sideOf(stemOf(file));
  if (type === '.json') return tokensOf(parseJson(text, file), file, side);
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  return [{ label: file, side, list: lines }];
}

function decode(bytes, file) {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DataError(`${file}: expected text in UTF-8, got other bytes`, { cause });
  }
}

function parseJson(text, label) {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DataError(`${label}: not valid JSON: ${cause.message}`, { cause });
  }
}

/** An array of strings, or { tokens }, { queries, keys } of such. */
function tokensOf(value, label, side) {
  if (Array.isArray(value)) {
    const wrong = value.findIndex((token) => typeof token !== 'string');
    if (wrong === -1) return [{ label, side, list: value }];
    throw new DataError(`${label}: expected an array of strings, got ${typeof value[wrong]} at ${wrong}`);
  }
  const lists = [['tokens', side], ['queries', 'queries'], ['keys', 'keys']]
    .filter(([key]) => Array.isArray(value?.[key]))
    .flatMap(([key, own]) => tokensOf(value[key], `${label}: ${key}`, own));
  if (lists.length > 0) return lists;
  throw new DataError(`${label}: expected an array of strings, one per token, or { "queries": [...], "keys": [...] }`);
}

/** What a reader throws, as a DataError that names the file. */
async function told(file, read) {
  try {
    return await read();
  } catch (cause) {
    const { message } = cause;
    throw new DataError(message.startsWith(file) ? message : `${file}: ${message}`, { cause });
  }
}
