// SPDX-License-Identifier: Apache-2.0

/** What can be counted about a form of a mask: kept pairs, whether those are all, and how they lie in blocks. */

import { checkInteger, checkOptions, checkRange, typeError } from './checks.js';
import { extentOf } from './mask-forms.js';
import { rowReader } from './mask-rows.js';
import { allocate } from './tensor.js';

const MAX_BLOCK = 2 ** 16 - 1; // so that a block's count fits 32 bits
const BLOCK_MAP_OPTIONS = new Set(['rows', 'columns', 'batch', 'head']);

export const BlockKind = Object.freeze({ SKIPPED: 0, PARTIAL: 1, FULL: 2 });

/** How many pairs are kept, over the whole shape. */
export function countKept(shape, form) {
  const [batch, heads] = extentOf(form);
  let kept = 0;
  if (form.kind === 'csr') ({ kept } = form);
  else if (form.kind === 'bits') for (const word of form.words) kept += countBits(word);
  else forEachDistinctRow(shape, form, (row) => void (kept += row.kept));
  return batch * heads === 0 ? 0 : (kept * shape[0] * shape[1]) / (batch * heads);
}

/** Whether every pair is kept with weight 1. */
export function keepsAll(shape, form) {
  if (form.kind === 'full' || form.kind === 'empty') return form.kind === 'full';
  const keys = shape[3];
  if (shape.includes(0)) return true;
  return !forEachDistinctRow(
    shape,
    form,
    (row) => row.count !== 1 || row.begins[0] !== 0 || row.ends[0] !== keys || row.weights[0] !== 1,
  );
}

/**
 * Kept pairs per block, and what kind of block that makes it: of all blocks, or of those in ranges of `rows` and
 * `columns` of blocks, of one batch, of one head. Nothing else is read.
 */
export function countBlocks(shape, form, blockSize, options = {}) {
  const [blockRows, blockColumns] = readBlockSize(blockSize, 'blockSize');
  const [batch, heads, queries, keys] = shape;
  checkOptions(options, 'options', BLOCK_MAP_OPTIONS);
  const [rowBegin, rowEnd] = checkRange(options.rows, 'rows', Math.ceil(queries / blockRows));
  const [columnBegin, columnEnd] = checkRange(options.columns, 'columns', Math.ceil(keys / blockColumns));
  const [batchBegin, batchEnd] = oneOrAll(options.batch, 'batch', batch);
  const [headBegin, headEnd] = oneOrAll(options.head, 'head', heads);
  const dims = [batchEnd - batchBegin, headEnd - headBegin, rowEnd - rowBegin, columnEnd - columnBegin];
  const perHead = dims[2] * dims[3];
  const counts = allocate(Uint32Array, dims[0] * dims[1] * perHead);
  const kinds = allocate(Uint8Array, counts.length);
  const [ownBatch, ownHeads] = extentOf(form);
  const step = heads / ownHeads;
  const counted = new Map(); // what batch and head a form has of its own -> where its counts stand
  const tally = new Tally(columnBegin, columnEnd, blockColumns, keys);
  const read = rowReader(shape, form);
  let first = 0;
  for (let b = batchBegin; b < batchEnd; b++) {
    for (let h = headBegin; h < headEnd; h++, first += perHead) {
      const own = (ownBatch === 1 ? 0 : b) * ownHeads + Math.floor(h / step);
      const same = counted.get(own);
      if (same !== undefined) {
        counts.copyWithin(first, same, same + perHead);
        kinds.copyWithin(first, same, same + perHead);
        continue;
      }
      counted.set(own, first);
      for (let blockRow = rowBegin; blockRow < rowEnd; blockRow++) {
        const begin = blockRow * blockRows;
        const end = Math.min(queries, begin + blockRows);
        tally.reset();
        for (let i = begin; i < end; i++) tally.add(read(b, h, i));
        tally.write(counts, kinds, first + (blockRow - rowBegin) * dims[3], end - begin);
      }
    }
  }
  const totals = [0, 0, 0];
  for (const kind of kinds) totals[kind]++;
  const [skipped, partial, full] = totals;
  return { blockSize: [blockRows, blockColumns], dims, counts, kinds, skipped, partial, full };
}

/** [begin, end) of the one that is asked for, or of all. */
function oneOrAll(value, name, count) {
  if (value === undefined) return [0, count];
  checkInteger(value, name, 0, count - 1);
  return [value, value + 1];
}

/** An integer, or [rows, columns]. */
export function readBlockSize(value, name) {
  if (typeof value === 'number') return [value, value].map((size) => checkInteger(size, name, 1, MAX_BLOCK));
  if (!Array.isArray(value) || value.length !== 2) throw typeError(name, 'an integer or [rows, columns]', value);
  return value.map((size, axis) => checkInteger(size, `${name}[${axis}]`, 1, MAX_BLOCK));
}

/**
 * Counts the blocks `first` .. `end` - 1 of one row of blocks. A stretch costs the same however many blocks it spans:
 * those that it covers altogether are the sum of `steps` up to them.
 */
class Tally {
  constructor(first, end, width, keys) {
    this.width = width;
    this.begin = first * width; // of the keys that are counted
    this.end = Math.min(keys, end * width);
    this.kept = new Float64Array(end - first); // pairs at the ends of stretches
    this.steps = new Float64Array(end - first + 1); // change of how many rows cover a whole block
    this.others = new Uint8Array(end - first); // has a weight other than 1
  }

  reset() {
    this.kept.fill(0);
    this.steps.fill(0);
    this.others.fill(0);
  }

  add(row) {
    const { width, kept, steps } = this;
    for (let n = firstAfter(row, this.begin); n < row.count && row.begins[n] < this.end; n++) {
      const begin = Math.max(row.begins[n], this.begin) - this.begin;
      const end = Math.min(row.ends[n], this.end) - this.begin;
      const first = Math.floor(begin / width);
      const last = Math.floor((end - 1) / width);
      if (first === last) kept[first] += end - begin;
      else {
        kept[first] += (first + 1) * width - begin;
        kept[last] += end - last * width;
        steps[first + 1]++;
        steps[last]--;
      }
      if (row.weights[n] !== 1) this.others.fill(1, first, last + 1);
    }
  }

  /** Stores the counts of a row of blocks that are `height` queries high. */
  write(counts, kinds, at, height) {
    const { width, kept, steps, others } = this;
    const keys = this.end - this.begin;
    let covering = 0;
    for (let column = 0; column < kept.length; column++) {
      covering += steps[column];
      const count = kept[column] + covering * width;
      const area = height * Math.min(width, keys - column * width);
      counts[at + column] = count;
      if (count > 0) kinds[at + column] = count === area && others[column] === 0 ? BlockKind.FULL : BlockKind.PARTIAL;
    }
  }
}

/** The first stretch of a row that ends after `key`. */
function firstAfter(row, key) {
  let low = 0;
  let high = row.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (row.ends[middle] <= key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Visits each row that can differ from the others; stops, and returns true, once `visit` does. */
function forEachDistinctRow(shape, form, visit) {
  const [batch, heads] = extentOf(form);
  const step = shape[1] / heads;
  const read = rowReader(shape, form);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < shape[2]; i++) if (visit(read(b, h * step, i)) === true) return true;
    }
  }
  return false;
}

function countBits(word) {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
