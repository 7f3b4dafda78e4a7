// SPDX-License-Identifier: Apache-2.0
/**
 * The numbers beside the picture: how much of a head is kept, how much attention that has, how far off the output is,
 * and what it costs. Above the sizes in limits.js some rows speak for all, and `sampled` says so.
 */
import { weightingOf } from '../../js/sparse-attention.js';
import { COUNTED_PAIRS, WORK } from './limits.js';
import {
  denseProblem,
  headBlocks,
  rangesOf,
  sizesOf,
  sliceMask,
  sliceProblem,
  spreadRows,
  withoutValues,
  withResidentKeys,
} from './problem.js';
import { completed, recipeMaskers } from './recipe.js';

const MAX_BLOCK = 2 ** 16 - 1;
const PERCENTILE = 0.05;
const FEWEST_ROWS = 8;
const MOST_ROWS = 256; // where not all are looked at
const BAND = 12; // queries that attention takes at a time
const BANDS = 16;
const LARGE = 512; // keys from which on blocks are those of kernels

/**
 * @typedef {object} Numbers
 * @property {number} density part of the head's pairs that take part after every mask
 * @property {number} densityOfAllowed of those that take part without the sparse mask
 * @property {{ size: number, skipped: number, partial: number, full: number, density: number }} blocks density is the
 *   part of blocks that keep something
 * @property {number} worstRowDensity of the row that keeps most
 * @property {number} worstDensityRow which that is; -1 where there is no row
 * @property {{ mean: number, p5: number, worst: number, worstRow: number | undefined }} recall of the head: the part of
 *   each row's dense attention that is kept
 * @property {{ relative: number, max: number, perHead: Float32Array, layer: number } | undefined} error of the output:
 *   ||difference|| / ||dense|| of the head and of all heads of the batch (layer), the largest difference of the head;
 *   undefined where the problem has no values
 * @property {number} emptyRows rows of the head that keep no key
 * @property {number} flops of the whole problem, with the mask
 * @property {number} flopsDense
 * @property {number | undefined} bytes undefined where they are not counted (see `missing`)
 * @property {number | undefined} bytesDense
 * @property {boolean} sampled whether recall and error are those of some rows
 * @property {number} rows how many these are
 * @property {boolean} sampledCost whether flops are those of some rows, times how many there are
 * @property {Record<string, string>} missing why a number is undefined
 */

/**
 * @param {object} attention
 * @param {object} problem
 * @param {ReturnType<typeof import('./recipe.js').buildMask>} built
 * @param {{ batch?: number, head?: number, blockSize?: number }} [at] blocks of 64, or 8 where there are few keys
 * @returns {Numbers}
 */
export function numbers(attention, problem, built, { batch = 0, head = 0, blockSize } = {}) {
  const size = sizesOf(problem);
  const dense = denseProblem(problem);
  const at = { batch, head };
  const missing = {};
  if (size.valueDim === 0) missing.error = 'the problem has no values';
  return {
    ...keptOf(built, size, at, blockSize ?? (size.keys >= LARGE ? 64 : 8)),
    ...qualityOf(attention, dense, built.mask, size, at),
    ...costOf(attention, dense, built.mask, size, missing),
    missing,
  };
}

/**
 * What a recipe takes here, against dense attention, in milliseconds: making the mask apart from attention with it.
 * @returns {{ setup: number, mask: number, attention: number, dense: number, speedup: number, denseIsFaster: boolean,
 *   rows: [number, number], sampled: boolean }} setup is the first mask, with what maskers have to know of all keys;
 *   rows are the queries that were computed: all, or the last ones, as many as do not take long
 */
export function times(attention, problem, recipe) {
  const { part, rows, sampled } = lastRows(problem, WORK);
  const maskers = recipeMaskers(part, completed(problem, recipe), rows[0]);
  const [row] = attention.compare(part, [{ name: 'recipe', maskers }]);
  const { setupMilliseconds, maskMilliseconds, attentionMilliseconds, denseMilliseconds, speedup } = row;
  return {
    setup: setupMilliseconds,
    mask: maskMilliseconds,
    attention: attentionMilliseconds,
    dense: denseMilliseconds,
    speedup,
    denseIsFaster: !(denseMilliseconds > maskMilliseconds + attentionMilliseconds),
    rows,
    sampled,
  };
}

/** As many of the last queries as dense attention does not take more multiplications and additions for than `work`. */
export function lastRows(problem, work) {
  const { batch, heads, queries, keys, dim, valueDim } = sizesOf(problem);
  const count = Math.max(1, Math.floor(work / Math.max(1, 2 * batch * heads * keys * (dim + valueDim))));
  if (count >= queries) return { part: denseProblem(problem), rows: [0, queries], sampled: false };
  const rows = [queries - count, queries];
  return { part: sliceProblem(problem, { rows }), rows, sampled: true };
}

/** What is counted of the head's own mask. */
function keptOf({ effective, allowed }, size, at, blockSize) {
  const { queries, keys } = size;
  const perRow = rowCounts(effective, size, at);
  const sum = (counts) => counts.reduce((total, count) => total + count, 0);
  const [kept, open] = [sum(perRow), sum(rowCounts(allowed, size, at))];
  const { counts, kinds } = headBlocks(effective, size, at, blockSize);
  const tally = [0, 0, 0];
  for (const kind of kinds) tally[kind]++;
  const [skipped, partial, full] = tally;
  const blockDensity = counts.length === 0 ? 1 : (partial + full) / counts.length;
  const worstDensityRow = perRow.reduce((best, count, i) => (best < 0 || count > perRow[best] ? i : best), -1);
  return {
    density: queries * keys === 0 ? 1 : kept / (queries * keys),
    densityOfAllowed: open === 0 ? 1 : kept / open,
    blocks: { size: blockSize, skipped, partial, full, density: blockDensity },
    worstRowDensity: worstDensityRow < 0 || keys === 0 ? 0 : perRow[worstDensityRow] / keys,
    worstDensityRow,
    emptyRows: perRow.reduce((total, count) => total + (count === 0), 0),
  };
}

/** How many keys each row of a head keeps. */
function rowCounts(mask, size, at) {
  const { counts, columns } = headBlocks(mask, size, at, [1, MAX_BLOCK]);
  const perRow = new Float64Array(size.queries);
  counts.forEach((count, n) => void (perRow[Math.floor(n / columns)] += count));
  return perRow;
}

/** Recall and error: of all rows, or of some that are spread evenly. */
function qualityOf(attention, problem, mask, size, { batch, head }) {
  const perRow = 2 * size.heads * size.keys * (size.dim + size.valueDim);
  const all = perRow * size.queries <= WORK;
  const count = all ? size.queries : Math.max(FEWEST_ROWS, Math.min(MOST_ROWS, Math.floor(WORK / 4 / perRow)));
  const ranges = all ? [[0, size.queries]] : rangesOf(spreadRows(size.queries, count), 1);
  const sums = new Errors(size.heads, head);
  const recalls = [];
  withResidentKeys(attention, sliceProblem(problem, { batch }), (staged) => {
    for (const rows of ranges) {
      const part = all ? staged : sliceProblem(staged, { rows });
      const isWhole = all && (mask.shape[0] === 1 || size.batch === 1);
      const own = isWhole ? mask : sliceMask(mask, size, { batch, rows });
      const options = { ...part, outputLayout: 'bhsd' };
      const dense = attention.getMaskedAttentionOutput({ ...options, returnLogSumExp: true });
      const masked = attention.getMaskedAttentionOutput({
        ...options,
        sparseAttentionMask: own,
        maskWeighting: weightingOf(own, problem),
      });
      const kept = attention.getMaskedAttentionOutput({
        ...withoutValues(part),
        sparseAttentionMask: own.isEmpty() ? own : own.not().not(), // with weights of 1
        maskWeighting: 'multiply',
        returnLogSumExp: true,
      });
      sums.add(masked.output.data, dense.output.data);
      const length = rows[1] - rows[0];
      for (let i = 0; i < length; i++) {
        const whole = dense.logSumExp.data[head * length + i];
        if (whole === -Infinity) continue; // a row without keys has nothing to lose
        const recall = Math.min(1, Math.exp(kept.logSumExp.data[head * length + i] - whole));
        recalls.push({ recall, row: rows[0] + i });
      }
    }
  });
  const error = size.valueDim === 0 ? undefined : sums.result();
  return { recall: summary(recalls), error, sampled: !all, rows: count };
}

/** Sums of squares of differences, by head. */
class Errors {
  constructor(heads, head) {
    this.head = head;
    this.differences = new Float64Array(heads);
    this.norms = new Float64Array(heads);
    this.max = 0;
  }

  /** Adds outputs [1, heads, rows, dim]; where neither is a number (empty rows), there is no difference. */
  add(output, dense) {
    const length = output.length / this.norms.length;
    for (let n = 0; n < output.length; n++) {
      if (Number.isNaN(output[n]) && Number.isNaN(dense[n])) continue;
      const head = Math.floor(n / length);
      const difference = Math.abs(output[n] - dense[n]);
      this.differences[head] += difference ** 2;
      this.norms[head] += dense[n] ** 2;
      if (head === this.head && !(difference <= this.max)) this.max = difference;
    }
  }

  result() {
    const relative = (difference, norm) => (difference === 0 ? 0 : Math.sqrt(difference / norm));
    const perHead = Float32Array.from(this.differences, (difference, head) => relative(difference, this.norms[head]));
    const sum = (values) => values.reduce((a, b) => a + b, 0);
    const layer = relative(sum(this.differences), sum(this.norms));
    return { relative: perHead[this.head], max: this.max, perHead, layer };
  }
}

function summary(recalls) {
  if (recalls.length === 0) return { mean: 1, p5: 1, worst: 1, worstRow: undefined };
  const sorted = recalls.toSorted((a, b) => a.recall - b.recall);
  return {
    mean: sorted.reduce((sum, { recall }) => sum + recall, 0) / sorted.length,
    p5: sorted[Math.floor(PERCENTILE * (sorted.length - 1))].recall,
    worst: sorted[0].recall,
    worstRow: sorted[0].row,
  };
}

/** What explain counts: of the whole call, or of some bands of queries where reading the masks takes long. */
function costOf(attention, problem, mask, size, missing) {
  const { batch, heads, queries, keys } = size;
  const masked = { sparseAttentionMask: mask, maskWeighting: weightingOf(mask, problem) };
  if (batch * heads * queries * keys <= COUNTED_PAIRS) {
    const own = attention.explain({ ...problem, ...masked });
    const dense = attention.explain(problem);
    return { flops: own.flops, flopsDense: dense.flops, bytes: own.bytes, bytesDense: dense.bytes, sampledCost: false };
  }
  missing.bytes = `bytes are counted up to ${COUNTED_PAIRS} pairs of queries and keys`;
  let [flops, flopsDense, rows] = [0, 0, 0];
  for (const begin of spreadRows(queries, BANDS)) {
    const range = [begin, Math.min(queries, begin + BAND)];
    rows += range[1] - range[0];
    for (let b = 0; b < batch; b++) {
      const part = sliceProblem(problem, { batch: b, rows: range });
      const own = sliceMask(mask, size, { batch: b, rows: range });
      flops += attention.explain({ ...part, ...masked, sparseAttentionMask: own }).flops;
      flopsDense += attention.explain(part).flops;
    }
  }
  const all = queries / rows;
  return {
    flops: flops * all,
    flopsDense: flopsDense * all,
    bytes: undefined,
    bytesDense: undefined,
    sampledCost: true,
  };
}
