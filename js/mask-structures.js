// SPDX-License-Identifier: Apache-2.0

/** Reads the arguments of structured masks into leaves (mask-forms.js); none takes memory for queries * keys. */

import { checkInteger, checkOptions, rangeError, typeError } from './checks.js';
import { csrFromIndices } from './csr.js';
import { readBlockSize } from './mask-counts.js';
import { allocate, checkAttached } from './tensor.js';

const MAX_INT32 = 2 ** 31 - 1;
const MIN_INT32 = -(2 ** 31);
const CAUSAL_OPTIONS = new Set(['offset']);
const WINDOW_OPTIONS = new Set(['left', 'right', 'offset']);
const ID_OPTIONS = new Set(['queries', 'keys', 'offsets']);

export function causalForm(shape, options) {
  checkOptions(options, 'options', CAUSAL_OPTIONS);
  return bandForm(shape, Infinity, 0, options.offset);
}

export function windowForm(shape, options) {
  checkOptions(options, 'options', WINDOW_OPTIONS);
  return bandForm(shape, readSide(options.left, 'left'), readSide(options.right, 'right'), options.offset);
}

function bandForm([, , queries, keys], before, after, offset = keys - queries) {
  return { kind: 'band', before, after, offset: checkInteger(offset, 'offset', MIN_INT32, MAX_INT32) };
}

function readSide(value, name) {
  if (value === undefined || value === Infinity) return Infinity;
  if (typeof value !== 'number') throw typeError(name, 'an integer >= 0, or Infinity', value);
  if (!Number.isInteger(value) || value < 0) throw rangeError(name, 'an integer >= 0, or Infinity', value);
  return value;
}

/** The first n keys. */
export function firstKeysForm([, , , keys], n) {
  return { kind: 'columns', batch: 1, counts: Uint32Array.of(Math.min(checkInteger(n, 'n', 0, MAX_INT32), keys)) };
}

/** The same, or one n per batch. */
export function prefixForm(shape, n) {
  if (typeof n === 'number') return firstKeysForm(shape, n);
  const [batch, , , keys] = shape;
  const counts = copyIntegers(n, 'n', 0, MAX_INT32, 'an integer, or an array with one per batch');
  if (counts.length !== batch) throw new RangeError(`n: expected one per batch (${batch}), got ${counts.length}`);
  return { kind: 'columns', batch, counts: Uint32Array.from(counts, (count) => Math.min(count, keys)) };
}

export function blocksForm([batch, heads, queries, keys], blockSize, ptr, indices) {
  const [blockRows, blockColumns] = readBlockSize(blockSize, 'blockSize');
  const rows = batch * heads * Math.ceil(queries / blockRows);
  const csr = csrFromIndices(rows, Math.ceil(keys / blockColumns), ptr, indices);
  return { kind: 'blocks', batch, heads, blockRows, blockColumns, ptr: csr.ptr, indices: csr.indices };
}

/** ids: those of the keys, or { queries, keys }, or { offsets } of the sequences that stand one after the other. */
export function documentsForm(shape, ids) {
  const [batch, , queries, keys] = shape;
  let keyIds;
  let queryIds;
  if (Array.isArray(ids) || ArrayBuffer.isView(ids)) keyIds = readIds(ids, 'ids', batch, keys);
  else {
    checkOptions(ids, 'ids', ID_OPTIONS);
    if (ids.offsets !== undefined) {
      if (ids.keys !== undefined || ids.queries !== undefined) {
        throw new TypeError('ids: expected either offsets or queries and keys, got both');
      }
      keyIds = idsOfOffsets(ids.offsets, keys);
    } else {
      keyIds = readIds(ids.keys, 'ids.keys', batch, keys);
      queryIds = readIds(ids.queries, 'ids.queries', batch, queries);
    }
  }
  queryIds ??= lastIds(keyIds, queries, keys);
  const count = Math.max(keyIds.batch, queryIds.batch);
  return rangesOf(count, repeat(queryIds, count), repeat(keyIds, count), queries, keys);
}

function readIds(value, name, batch, length) {
  const ids = copyIntegers(value, name, MIN_INT32, MAX_INT32, 'an Int32Array or an array of integers');
  if (ids.length === length) return { ids, batch: 1 };
  if (ids.length === batch * length) return { ids, batch };
  const expected = batch === 1 ? `${length} ids` : `${length} ids, or ${batch} x ${length} for each batch its own`;
  throw new RangeError(`${name}: expected ${expected}, got ${ids.length}`);
}

function idsOfOffsets(value, keys) {
  const name = 'ids.offsets';
  const offsets = copyIntegers(value, name, 0, keys, 'an Int32Array or an array of integers');
  if (offsets.length === 0 || offsets[0] !== 0) throw rangeError(`${name}[0]`, '0', offsets[0]);
  const ids = allocate(Int32Array, keys).fill(-1);
  for (let n = 1; n < offsets.length; n++) {
    checkInteger(offsets[n], `${name}[${n}]`, offsets[n - 1], keys);
    ids.fill(n - 1, offsets[n - 1], offsets[n]);
  }
  return { ids, batch: 1 };
}

/** The queries are the last of the keys. */
function lastIds({ ids, batch }, queries, keys) {
  if (queries > keys) {
    throw new RangeError(`ids: expected { queries, keys }, as there are more queries (${queries}) than keys (${keys})`);
  }
  const last = allocate(Int32Array, batch * queries);
  for (let b = 0; b < batch; b++) last.set(ids.subarray((b + 1) * keys - queries, (b + 1) * keys), b * queries);
  return { ids: last, batch };
}

function repeat({ ids, batch }, count) {
  if (batch === count) return ids;
  const copies = allocate(Int32Array, ids.length * count);
  for (let b = 0; b < count; b++) copies.set(ids, b * ids.length);
  return copies;
}

/** For each query where its document begins and ends; the ids are kept only where some document is in pieces. */
function rangesOf(batch, queryIds, keyIds, queries, keys) {
  const begins = allocate(Uint32Array, batch * queries);
  const ends = allocate(Uint32Array, batch * queries);
  let inPieces = false;
  for (let b = 0; b < batch; b++) {
    const documents = new Map(); // id -> [begin, end]
    for (let j = 0, range, last; j < keys; j++) {
      const id = keyIds[b * keys + j];
      if (id !== last) {
        range = documents.get(id);
        if (range !== undefined && id >= 0) inPieces = true;
        if (range === undefined) documents.set(id, (range = [j, j]));
        last = id;
      }
      range[1] = j + 1;
    }
    for (let i = b * queries; i < (b + 1) * queries; i++) {
      const range = queryIds[i] < 0 ? undefined : documents.get(queryIds[i]);
      if (range !== undefined) [begins[i], ends[i]] = range;
    }
  }
  const ids = inPieces ? { queryIds, keyIds } : { queryIds: null, keyIds: null };
  return { kind: 'documents', batch, begins, ends, ...ids };
}

/** A checked copy of integers in low..high, which 32 bits hold. */
function copyIntegers(value, name, low, high, expectation) {
  const tag = ArrayBuffer.isView(value) ? value[Symbol.toStringTag] : undefined;
  if (!Array.isArray(value) && tag !== 'Int32Array' && tag !== 'Uint32Array') throw typeError(name, expectation, value);
  if (tag !== undefined) checkAttached(value, name);
  const copy = allocate(Int32Array, value.length);
  for (let at = 0; at < copy.length; at++) copy[at] = checkInteger(value[at], `${name}[${at}]`, low, high);
  return copy;
}
