// SPDX-License-Identifier: Apache-2.0

/**
 * Rows of one head, computed by the engine: a problem of its own for some rows at a time, gathered from wherever they
 * are, so that no more is computed than is asked for. Keys of the heads looked at last stay in wasm memory.
 */

import { AttentionError } from '../js/errors.js';
import { formOf, maskOfForm } from '../js/mask.js';
import { expandRow, rowReader } from '../js/mask-rows.js';
import { allowedMask, placeIn, readCall } from './kept.js';

const MOST_CELLS = 2 ** 21; // computed in one go: some 20 milliseconds
const MOST_ROWS = 256;
const KEY_BYTES = 64 * 2 ** 20; // of the keys that stay in wasm memory, or one head's
const DENSE_PART = 1 / 4; // of the cells, from which on all their weights are returned, not those of kept ones

export class EngineRows {
  /** Whether all rows of a block are worth looking at, or a few of them. */
  isExact = false;
  shows = ['weights', 'scores', 'mask'];
  #attention;
  #call;
  #options;
  #keys = new Map(); // 'batch/head' -> Tensor [1, 1, sk, d], in the order of use
  #values;
  #readers = new Map(); // mask -> its reader of rows
  #isDisposed = false;

  /**
   * @param attention an engine
   * @param problem what getMaskedAttentionOutput takes; values are not looked at, nor is dropout
   * @throws what getMaskedAttentionOutput throws
   */
  constructor(attention, problem) {
    const call = readCall(problem);
    this.#attention = attention;
    this.#call = call;
    const { scaling, softcap, maskWeighting, sparseAttentionMask } = problem;
    this.#options = { scaling, softcap, maskWeighting };
    this.shape = [call.batch, call.heads, call.queryLength, call.keyLength];
    /** Everything that keeps or drops a cell, but for the sparse mask. */
    this.allowed = allowedMask(problem, call);
    this.kept = sparseAttentionMask === undefined ? this.allowed : sparseAttentionMask.and(this.allowed);
  }

  /**
   * Computes the next of `rows`, as many as are done in a moment.
   * @param request { batch, head, show, mask: kept or allowed, rows: query numbers, columns: [begin, end) of keys }
   * @param first which of `rows` is next
   * @param visit called with (n, begin, end, values, at) for each stretch of keys begin .. end - 1 that row rows[n]
   * keeps inside of `columns`, ascending; the value of key begin stands at values[at]
   * @returns which of `rows` is next
   */
  next(request, first, visit) {
    if (this.#isDisposed) throw new AttentionError('disposed', 'source: it has been disposed');
    const { batch, head, mask, rows, show } = request;
    const place = placeIn(mask, this.shape, batch, head);
    const readRow = this.#readerOf(mask);
    const read = (n) => readRow(place.batch, place.head, rows[n]);
    const part = this.#nextPart(request, first, read);
    if (part.kept > 0) {
      const computed = show === 'scores' ? this.#scores(request, part) : this.#weights(request, part, read);
      visitKept(computed, request.columns, part, read, visit);
    }
    return part.end;
  }

  dispose() {
    this.#isDisposed = true;
    for (const tensor of this.#keys.values()) tensor.dispose();
    this.#keys.clear();
    this.#values?.dispose();
    this.#values = undefined;
  }

  #readerOf(mask) {
    if (!this.#readers.has(mask)) this.#readers.set(mask, rowReader(mask.shape, formOf(mask, 'mask')));
    return this.#readers.get(mask);
  }

  /** Which rows come next: { first, end, kept pairs, isUnit: whether all of their weights are 1 }. */
  #nextPart({ rows, columns, show }, first, read) {
    const width = columns[1] - columns[0];
    const hasSlopes = this.#call.alibiSlopes !== undefined; // positions of queries have to follow one another
    const part = { first, end: first, kept: 0, isUnit: true };
    for (let cost = 0; part.end < rows.length && part.end - first < MOST_ROWS; part.end++) {
      const row = read(part.end);
      cost += show === 'scores' ? width : row.kept;
      const isApart = hasSlopes && part.end > first && rows[part.end] !== rows[part.end - 1] + 1;
      if (part.end > first && (cost > MOST_CELLS || isApart)) break;
      part.kept += row.kept;
      for (let n = 0; n < row.count; n++) if (row.weights[n] !== 1) part.isUnit = false;
    }
    return part;
  }

  #weights({ columns, rows, batch, head }, part, read) {
    const [, , , keys] = this.shape;
    const count = part.end - part.first;
    const width = columns[1] - columns[0];
    const isSparse = part.kept < DENSE_PART * count * width;
    const mask = maskOfRows(count, keys, part, read);
    try {
      const { weights } = this.#attention.getMaskedAttentionOutput({
        ...this.#problemOf(batch, head, rows.slice(part.first, part.end), [0, keys]),
        keys: this.#keysOf(batch, head),
        values: (this.#values ??= this.#attention.tensor([1, 1, keys, 1])),
        sparseAttentionMask: mask,
        returnAttentionWeights: true,
        weightsFormat: isSparse ? 'sparse' : 'dense',
        weightsWindow: { columns },
      });
      return { isSparse, values: isSparse ? weights.values : weights.data };
    } finally {
      mask.dispose();
    }
  }

  #scores({ columns, rows, batch, head }, part) {
    const width = columns[1] - columns[0];
    const isWhole = width === this.shape[3];
    const { scores } = this.#attention.getMaskedAttentionOutput({
      ...this.#problemOf(batch, head, rows.slice(part.first, part.end), columns),
      keys: isWhole ? this.#keysOf(batch, head) : this.#copyOfKeys(batch, head, columns),
      values: { data: new Float32Array(width), dims: [1, 1, width, 1] },
      returnScores: 'biased',
    });
    return { isSparse: false, values: scores.data };
  }

  /** The options of some rows against a range of keys, but for keys, values and sparse mask. */
  #problemOf(batch, head, rows, [begin, end]) {
    const { queries, attentionMask, alibiSlopes, sinks, queryOffsets, keyOffset } = this.#call;
    const options = { ...this.#options, keyOffset: keyOffset + begin };
    options.queries = gather(queries, batch, head, rows, [0, queries.columns]);
    if (alibiSlopes !== undefined) {
      const [, , queryLength, keyLength] = this.shape;
      options.queryOffset = (queryOffsets?.data[batch] ?? keyOffset + keyLength - queryLength) + rows[0];
      options.alibiSlopes = vectorOf(alibiSlopes, head);
    }
    if (sinks !== undefined) options.sinks = vectorOf(sinks, head);
    if (attentionMask !== undefined && attentionMask.dtype !== 'bool') {
      const own = attentionMask.rowStride === 0 ? [0] : rows;
      const columns = attentionMask.columnStride === 0 ? [0, 1] : [begin, end];
      options.attentionMask = gather(attentionMask, batch, head, own, columns);
    }
    return options;
  }

  #keysOf(batch, head) {
    const keyHead = this.#keyHeadOf(head);
    const name = `${batch}/${keyHead}`;
    const tensor = this.#keys.get(name) ?? this.#stage(batch, keyHead);
    this.#keys.delete(name);
    this.#keys.set(name, tensor);
    return tensor;
  }

  /** A key head in wasm memory, where those used longest ago make room for it. */
  #stage(batch, keyHead) {
    const { keys } = this.#call;
    const bytes = keys.bytes / (keys.batch * keys.heads);
    for (const [name, tensor] of this.#keys) {
      if ((this.#keys.size + 1) * bytes <= KEY_BYTES) break;
      tensor.dispose();
      this.#keys.delete(name);
    }
    const tensor = this.#attention.tensor([1, 1, keys.rows, keys.columns], keys.dtype);
    copyRows(tensor.data, keys, batch, keyHead, [0, keys.rows]);
    return tensor;
  }

  #copyOfKeys(batch, head, range) {
    const { keys } = this.#call;
    const count = range[1] - range[0];
    const data = new keys.data.constructor(count * keys.columns);
    copyRows(data, keys, batch, this.#keyHeadOf(head), range);
    return { data, dims: [1, 1, count, keys.columns], dtype: keys.dtype };
  }

  #keyHeadOf(head) {
    const { heads, keyHeads } = this.#call;
    return Math.floor((head * keyHeads) / heads);
  }
}

/** Some rows of a head, in new arrays: a tensor [1, 1, rows, columns]. */
function gather(operand, batch, head, rows, [begin, end]) {
  operand.locate();
  const { data, dtype, batchStride, headStride, rowStride } = operand;
  const first = batch * batchStride + head * headStride;
  const width = end - begin;
  const copy = new data.constructor(rows.length * width);
  for (let n = 0; n < rows.length; n++) {
    const start = first + rows[n] * rowStride;
    copy.set(data.subarray(start + begin, start + end), n * width);
  }
  return { data: copy, dims: [1, 1, rows.length, width], dtype };
}

/** Copies rows begin .. end - 1 of a head: at once where they stand in one piece. */
function copyRows(target, operand, batch, head, [begin, end]) {
  operand.locate();
  const { batchStride, headStride, rowStride, columns } = operand;
  const [from, to] = [bitsOf(operand.data), bitsOf(target)];
  const first = batch * batchStride + head * headStride;
  const atOnce = rowStride === columns ? end - begin : 1;
  for (let row = begin; row < end; row += atOnce) {
    const start = first + row * rowStride;
    to.set(from.subarray(start, start + atOnce * columns), (row - begin) * columns);
  }
}

/** Numbers of 16 bits as they are, since not every array takes them for numbers. */
function bitsOf(data) {
  return data.BYTES_PER_ELEMENT === 2 ? new Uint16Array(data.buffer, data.byteOffset, data.length) : data;
}

/** The number of one head. */
function vectorOf(operand, head) {
  operand.locate();
  return operand.data.slice(head, head + 1);
}

/** The mask of the rows of a part, one after the other. */
function maskOfRows(count, keys, part, read) {
  const form = part.isUnit ? bitsOfRows(count, keys, part, read) : listOfRows(count, part, read);
  return maskOfForm([1, 1, count, keys], { batch: 1, heads: 1, ...form });
}

function bitsOfRows(count, keys, { first }, read) {
  const wordsPerRow = 4 * Math.ceil(keys / 128);
  const words = new Uint32Array(count * wordsPerRow);
  for (let n = 0; n < count; n++) {
    const row = read(first + n);
    for (let s = 0; s < row.count; s++) setBits(words, n * wordsPerRow * 32, row.begins[s], row.ends[s]);
  }
  return { kind: 'bits', words, wordsPerRow };
}

/** Sets the bits begin .. end - 1, counted from a bit that begins a word. */
function setBits(words, from, begin, end) {
  const first = (from + begin) / 32 | 0;
  const last = (from + end - 1) / 32 | 0;
  const head = -1 << (begin & 31);
  const tail = -1 >>> (31 - ((end - 1) & 31));
  if (first === last) words[first] |= head & tail;
  else {
    words[first] |= head;
    words.fill(-1, first + 1, last);
    words[last] |= tail;
  }
}

function listOfRows(count, { first, kept }, read) {
  const ptr = new Uint32Array(count + 1);
  const indices = new Uint32Array(kept);
  const weights = new Float32Array(kept);
  for (let n = 0; n < count; n++) ptr[n + 1] = expandRow(read(first + n), indices, weights, ptr[n]);
  return { kind: 'csr', ptr, indices, weights, kept };
}

/** Visits what is kept in order; values are those of all columns, or of what is kept of them. */
function visitKept({ isSparse, values }, [from, to], { first, end }, read, visit) {
  let next = 0;
  for (let n = first; n < end; n++) {
    const row = read(n);
    const start = (n - first) * (to - from) - from;
    for (let s = 0; s < row.count; s++) {
      const left = Math.max(row.begins[s], from);
      const right = Math.min(row.ends[s], to);
      if (left >= right) continue;
      visit(n, left, right, values, isSparse ? next : start + left);
      next += right - left;
    }
  }
}
