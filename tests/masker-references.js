// SPDX-License-Identifier: Apache-2.0
/**
 * @file masker-references.js - small problems for maskers that score keys, which keys they may choose, and whether a
 * mask keeps those whose scores, computed in double precision, are largest.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { maskers } from '../js/index.js';
import { widen } from './oracle.js';
import { Random, product, tensor } from './random.js';

/** A problem: `options` for the package, and its inputs as doubles, by row. */
export function drawProblem(stream, sizes, extra = {}) {
  const { batch = 1, heads, keyHeads, valueHeads = keyHeads, sq = 1, sk, dim, valueDim = 5, dtype = 'float32' } = sizes;
  const random = new Random(77, stream);
  const queries = tensor(random, [batch, heads, sq, dim], 1, dtype);
  const keys = tensor(random, [batch, keyHeads, sk, dim], 1, dtype);
  const values = tensor(random, [batch, valueHeads, sk, valueDim], 1, dtype);
  const options = { queries, keys, values, ...(typeof extra === 'function' ? extra(random, sizes) : extra) };
  return describe(options);
}

export function describe(options) {
  const { queries, keys, values } = options;
  const [batch, heads, sq, dim] = queries.dims;
  const [, keyHeads, sk] = keys.dims;
  const [, valueHeads, , valueDim] = values.dims;
  const rowsOf = (source, width) => {
    const all = widen(source);
    const [, count, length] = source.dims;
    const at = (b, h, i) => ((b * count + h) * length + i) * width;
    return (b, h, i) => all.subarray(at(b, h, i), at(b, h, i) + width);
  };
  return {
    options,
    batch, heads, keyHeads, valueHeads, sq, sk, dim, valueDim,
    query: rowsOf(queries, dim),
    key: rowsOf(keys, dim),
    value: rowsOf(values, valueDim),
    scaling: options.scaling ?? Math.fround(1 / Math.sqrt(dim)),
  };
}

/** The same problem with its first `sk` keys. */
export function shortened({ options, batch, keyHeads, valueHeads, sk: all, dim, valueDim }, sk) {
  const cut = ({ data, ...rest }, heads, width) => {
    const part = new data.constructor(batch * heads * sk * width);
    for (let n = 0; n < batch * heads; n++) {
      part.set(data.subarray(n * all * width, (n * all + sk) * width), n * sk * width);
    }
    return { ...rest, data: part, dims: [batch, heads, sk, width] };
  };
  const keys = cut(options.keys, keyHeads, dim);
  return describe({ ...options, keys, values: cut(options.values, valueHeads, valueDim) });
}

/**
 * Options of a problem with causal order, key lengths and attention masks, each now and then; `biasOf` changes what a
 * float mask adds.
 */
export function drawMasked(random, { dims, keyLengths, dtypes, biasOf = (value) => value }) {
  const keyHeads = random.pick([1, 2]);
  const heads = keyHeads * random.pick([1, 2, 3]);
  const batch = random.pick([1, 2]);
  const dim = random.pick(dims);
  const keyLength = random.pick(keyLengths);
  const queryLength = random.chance(0.6) ? 1 : random.integer(1, 4);
  const dtype = random.pick(dtypes);
  const options = {
    queries: tensor(random, [batch, heads, queryLength, dim], 1, dtype),
    keys: tensor(random, [batch, keyHeads, keyLength, dim], 1, random.pick([dtype, 'float32'])),
    values: tensor(random, [batch, keyHeads, keyLength, 2]),
  };
  if (random.chance(0.5)) options.causal = true;
  if (random.chance(0.3)) options.keyLengths = Int32Array.from({ length: batch }, () => random.integer(0, keyLength));
  const maskDims = [random.pick([1, batch]), random.pick([1, heads]), queryLength, keyLength];
  const size = product(maskDims);
  const kind = random.pick(['none', 'bool', 'float']);
  if (kind === 'bool') options.attentionMask = { data: random.bytes(size, 0.6), dims: maskDims, dtype: 'bool' };
  if (kind === 'float') {
    const data = random.floats(size).map((value) => (random.chance(0.2) ? -Infinity : biasOf(value)));
    options.attentionMask = { data, dims: maskDims, dtype: 'float32' };
  }
  return options;
}

/** What the masks of such a problem, besides the sparse one, add to a score; -Infinity where they forbid the key. */
export function addedTo({ causal, keyLengths, attentionMask, queries, keys }, b, h, i, j) {
  if (causal && j > keys.dims[2] - queries.dims[2] + i) return -Infinity;
  if (keyLengths && j >= keyLengths[b]) return -Infinity;
  if (!attentionMask) return 0;
  const [batch, heads, rows, columns] = attentionMask.dims;
  const value = attentionMask.data[(((b % batch) * heads + (h % heads)) * rows + i) * columns + j];
  if (attentionMask.dtype === 'bool') return value ? 0 : -Infinity;
  return value;
}

const positionOf = ({ options, sq, sk }, i) => i + (options.queryOffset ?? sk - sq);

function maskValue({ attentionMask }, b, i, j) {
  if (attentionMask === undefined) return 0;
  const [batch, , queries, columns] = attentionMask.dims; // heads share it
  const row = (batch === 1 ? 0 : b) * queries + (queries === 1 ? 0 : i);
  const value = attentionMask.data[row * columns + j];
  if (attentionMask.data instanceof Uint8Array) return value ? 0 : -Infinity;
  return value;
}

/** What is added to the logit of a pair; -Infinity where the problem's masks leave it out. */
export function bias(problem, b, h, i, j) {
  const { options } = problem;
  if (options.causal && j > positionOf(problem, i)) return -Infinity;
  if (options.keyLengths && j >= options.keyLengths[b]) return -Infinity;
  const alibi = options.alibiSlopes ? options.alibiSlopes[h] * Math.abs(positionOf(problem, i) - j) : 0;
  return maskValue(options, b, i, j) - alibi;
}

export function capped(score, { softcap }) {
  return softcap ? softcap * Math.tanh(score / softcap) : score;
}

/** Calls `check` with every row: what may be chosen of it, and the weights that `before` and `mask` have there. */
export function eachRow(problem, before, mask, check) {
  const { batch, heads, sq, sk } = problem;
  const all = mask.toDense();
  const earlier = before === undefined || before.isEmpty() ? new Float32Array(all.length) : before.toDense();
  assert.equal(all.length, batch * heads * sq * sk);
  for (let b = 0, row = 0; b < batch; b++)
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < sq; i++, row++) {
        const kept = all.subarray(row * sk, (row + 1) * sk);
        const active = earlier.subarray(row * sk, (row + 1) * sk);
        const allowed = Array.from({ length: sk }, (_, j) => bias(problem, b, h, i, j) > -Infinity);
        check({ b, h, i, kept, active, eligible: allowed.flatMap((is, j) => (is && !active[j] ? [j] : [])) });
        for (let j = 0; j < sk; j++) {
          if (active[j] && allowed[j]) assert.equal(kept[j], active[j], 'what was kept before stays');
          if (!allowed[j]) assert.equal(kept[j], 0, 'nothing is kept that other masks leave out');
        }
      }
}

/**
 * Of every row the `count` largest scores are kept, but where two are within `tolerance`; where they are the same
 * number, the lowest index. `score(b, h, i, j)` is in double precision, `isEligible(j)` says what may be chosen besides.
 */
export function assertLargest(problem, before, mask, count, score, { tolerance = 1e-5, isEligible = () => true } = {}) {
  eachRow(problem, before, mask, ({ b, h, i, kept, eligible }) => {
    const own = eligible.filter(isEligible);
    const scores = new Map(own.map((j) => [j, score(b, h, i, j)]));
    const chosen = own.filter((j) => kept[j] !== 0);
    const where = `batch ${b} head ${h} query ${i}`;
    assert.equal(chosen.length, Math.min(count, own.length), where);
    const least = Math.min(...chosen.map((j) => scores.get(j)));
    for (const j of chosen) assert.equal(kept[j], 1, where);
    for (const j of own) {
      if (kept[j]) continue;
      const most = least + tolerance * (1 + Math.abs(least));
      assert.ok(scores.get(j) <= most, `${where} key ${j}: ${scores.get(j)} > ${least}`);
      const twins = chosen.filter((other) => scores.get(other) === scores.get(j));
      for (const twin of twins) assert.ok(twin < j, `${where}: of equals the lowest index goes first`);
    }
    for (const j of eligible) assert.ok(isEligible(j) || kept[j] === 0, where);
  });
}

/** What sinks and a window keep. */
export const fixed = () => [maskers.sink({ size: 2 }), maskers.local({ size: 3 })];

/** The mask of a list of maskers. */
export function maskOf(attention, list, options) {
  const pipeline = attention.createSparseAttention(list);
  const mask = pipeline.buildMask(options);
  pipeline.dispose();
  return mask;
}

export function dot(a, b) {
  let sum = 0;
  for (let n = 0; n < a.length; n++) sum += a[n] * b[n];
  return sum;
}

const alibi = { alibiSlopes: Float32Array.of(0.05, 0.1), scaling: -0.5 };
const boolean = (random, { batch = 1, sk }) => ({
  attentionMask: { data: random.bytes(batch * sk, 0.6), dims: [batch, 1, 1, sk], dtype: 'bool' },
});
const additive = (random, { sq = 1, sk }) => ({
  attentionMask: { data: random.floats(sq * sk, 1), dims: [1, 1, sq, sk] },
  softcap: 2,
});

/** Problems that differ in what may be chosen, in heads and in types: name, sizes, further options, maskers before. */
const cases = [
  ['decoding, heads in groups', { heads: 8, keyHeads: 2, sk: 150, dim: 16 }],
  ['a group of six, two batches', { batch: 2, heads: 6, keyHeads: 1, sk: 90, dim: 12 }],
  ['no groups, value heads in groups', { heads: 4, keyHeads: 4, valueHeads: 2, sk: 70, dim: 8 }],
  ['more value heads than key heads', { heads: 6, keyHeads: 2, valueHeads: 3, sk: 70, dim: 8 }],
  ['causal prefill of two batches', { batch: 2, heads: 4, keyHeads: 2, sq: 40, sk: 64, dim: 8 }, { causal: true }],
  ['a boolean mask', { batch: 2, heads: 4, keyHeads: 2, sq: 3, sk: 133, dim: 8 }, boolean],
  ['an additive mask and a soft cap', { heads: 4, keyHeads: 2, sq: 3, sk: 120, dim: 8 }, additive],
  ['ALiBi, a negative scaling', { heads: 2, keyHeads: 1, sk: 90, dim: 8 }, alibi],
  ['masks before it', { heads: 4, keyHeads: 2, sq: 5, sk: 100, dim: 8 }, { causal: true }, fixed],
  ['float16', { heads: 4, keyHeads: 2, sk: 100, dim: 8, dtype: 'float16' }],
  ['bfloat16', { heads: 4, keyHeads: 2, sk: 100, dim: 8, dtype: 'bfloat16' }],
  ['key lengths', { batch: 3, heads: 4, keyHeads: 2, sq: 2, sk: 80, dim: 8 }, { keyLengths: Int32Array.of(80, 31, 0) }],
  ['no keys', { heads: 4, keyHeads: 2, sk: 0, dim: 8 }],
];

/** A test for each case on one engine: check(problem, mask before, mask after the masker). */
export function testCases(variant, instances, masker, check) {
  cases.forEach(([name, sizes, extra, earlier], n) => {
    test(`${variant}: ${name}`, () => {
      const attention = instances.get(variant);
      const problem = drawProblem(1000 + n, sizes, extra);
      const given = earlier && maskOf(attention, earlier(), problem.options);
      const list = [...(earlier?.() ?? []), masker];
      check(problem, given, maskOf(attention, list, problem.options));
    });
  });
}
