// SPDX-License-Identifier: Apache-2.0
// magicPig: what it chooses and its weights are those of the formulas (src/magic_pig.c), in double precision here.
import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';

import { createAttention, maskers } from '../js/index.js';
import { draw as problemOf, engine } from './calls.js';
import { toFloat16, widen } from './oracle.js';
import { assertMean, assertRefuses, maskOf, rowsOf, words } from './sampling.js';
import { variants } from './variants.js';

let attention;
before(async () => void (attention = await engine()));
after(() => attention.dispose());

const dot = (a, b) => a.reduce((sum, x, d) => sum + x * b[d], 0);

function projectionsOf(seed, count, width) {
  const stream = words('projections', seed);
  const numbers = [];
  while (numbers.length < count * width) {
    const u = (stream.next().value + 0.5) / 2 ** 32;
    const v = stream.next().value / 2 ** 32;
    const radius = Math.sqrt(-2 * Math.log(u));
    numbers.push(Math.fround(radius * Math.cos(2 * Math.PI * v)), Math.fround(radius * Math.sin(2 * Math.PI * v)));
  }
  return Array.from({ length: count }, (_, n) => numbers.slice(n * width, (n + 1) * width));
}

/** What the masker knows of a head's keys, appended in parts that end at `ends`. */
function indexOf(rows, ends, { center = true, tables, bits, seed }) {
  const dim = rows[0].length;
  const projections = projectionsOf(seed, tables * bits, dim + 1);
  const first = rows.slice(0, ends[0]);
  const mean = rows[0].map((_, d) => (center ? Math.fround(first.reduce((sum, row) => sum + row[d], 0) / first.length) : 0));
  const centred = (row) => row.map((x, d) => x - mean[d]);
  const keys = [];
  let largest = 0;
  for (const end of ends) {
    const added = rows.slice(keys.length, end).map(centred);
    largest = Math.max(largest, ...added.map((row) => dot(row, row)));
    for (const row of added) {
      const lifted = [...row, Math.sqrt(Math.max(0, largest - dot(row, row)))];
      keys.push({ row, length: Math.sqrt(largest), bits: projections.map((projection) => dot(projection, lifted) / Math.sqrt(largest)) });
    }
  }
  return { keys, query: (row) => ({ row: centred(row), bits: projections.map((p) => dot(p, [...centred(row), 0])) }) };
}

const BORDER = 2e-5; // projections closer to 0 than that may have either sign

/** Whether one of the tables matches: true, false, or undefined where rounding decides. */
function isMatch(a, b, tables, bits) {
  let found = false;
  for (let t = 0; t < tables && found !== true; t++) {
    let [differs, isUnsure] = [false, false];
    for (let n = t * bits; n < (t + 1) * bits; n++) {
      if (Math.abs(a[n]) < BORDER || Math.abs(b[n]) < BORDER) isUnsure = true;
      else if (a[n] > 0 !== b[n] > 0) differs = true;
    }
    if (!differs) found = isUnsure ? undefined : true;
  }
  return found;
}

const weightOf = (cosine, tables, bits) => 1 - (1 - (1 - Math.acos(Math.max(-1, Math.min(1, cosine))) / Math.PI) ** bits) ** tables;

/** Checks a mask; `ends` are how many keys there were at each call. Returns how many entries it compared. */
function check(mask, problem, options, { ends = [problem.keys.dims[2]], isAllowed = () => true, previous = () => false, lengths } = {}) {
  const { tables, bits } = options;
  const [, heads, queryLength, dim] = problem.queries.dims;
  const [, keyHeads, keyLength] = problem.keys.dims;
  const rowOf = (data, at) => Array.from(data.subarray(at * dim, (at + 1) * dim));
  const [q, k] = [widen(problem.queries), widen(problem.keys)];
  const indices = new Map();
  let [compared, chosen] = [0, 0];
  for (const row of rowsOf(mask, heads)) {
    const part = row.batch * keyHeads + Math.floor(row.head / (heads / keyHeads));
    if (!indices.has(part)) {
      const rows = Array.from({ length: keyLength }, (_, j) => rowOf(k, part * keyLength + j));
      indices.set(part, indexOf(rows, lengths ? [lengths[row.batch]] : ends, options));
    }
    const index = indices.get(part);
    const query = index.query(rowOf(q, (row.batch * heads + row.head) * queryLength + row.query));
    const length = Math.sqrt(dot(query.row, query.row));
    const kept = new Map(row.columns.map((j, n) => [j, row.weights[n]]));
    for (let j = 0; j < keyLength; j++) {
      const where = `batch ${row.batch} head ${row.head} query ${row.query} key ${j}`;
      if (!isAllowed(row, j) || previous(row, j)) {
        assert.equal(kept.get(j), previous(row, j) && isAllowed(row, j) ? 1 : undefined, where);
        continue;
      }
      const key = index.keys[j];
      const match = isMatch(query.bits.map((x) => x / length), key.bits, tables, bits);
      if (match === undefined) continue;
      assert.equal(kept.has(j), match, where);
      compared++;
      if (!match) continue;
      const weight = weightOf(dot(query.row, key.row) / (length * key.length), tables, bits);
      assert.ok(Math.abs(kept.get(j) - weight) <= 2e-5 * weight, `${where}: ${kept.get(j)}, expected ${weight}`);
      chosen++;
    }
  }
  assert.ok(chosen > 0 && chosen < compared, `${chosen} of ${compared}`);
}

const sizes = [[1, 1], [3, 2], [8, 4], [5, 8], [20, 9], [40, 17], [30, 3]];
for (const center of [true, false]) {
  for (const [tables, bits] of sizes) {
    test(`${tables} tables of ${bits} bits, center ${center}: the formulas`, async () => {
      const options = { tables, bits, center, seed: 2 ** 33 + tables };
      const problem = problemOf(3, [2, 4, 2, 3, 70, 7, 6]);
      // keys and queries alike, or long hashes never match
      const pull = bits > 8 ? 4 : 0.3;
      for (const name of ['queries', 'keys']) problem[name].data.forEach((x, n, data) => void (data[n] = x + (n % 7 === 0 ? pull : 0)));
      if (bits > 8) problem.queries.data.set(problem.keys.data.subarray(0, 7 * 12).map((x) => x * 1.1));
      check(await maskOf([maskers.magicPig(options)], problem, attention), problem, options);
    });
  }
}

test('masks, key lengths, earlier maskers, element types', async () => {
  const options = { tables: 6, bits: 3, seed: 5 };
  const list = [maskers.magicPig(options)];
  for (const dtype of ['float32', 'float16', 'bfloat16']) {
    const problem = problemOf(4, [2, 6, 2, 20, 70, 8, 6], dtype);
    const run = (more) => maskOf(list, { ...problem, ...more }, attention);
    check(await run({ causal: true }), problem, options, { isAllowed: ({ query }, j) => j <= 50 + query });
    check(await run({ window: { left: 9, right: 3 } }), problem, options, { isAllowed: ({ query }, j) => Math.abs(j - 47 - query) <= 6 });
    const lengths = Int32Array.of(70, 33);
    check(await run({ keyLengths: lengths }), problem, options, { lengths, isAllowed: ({ batch }, j) => j < lengths[batch] });
    const data = Uint8Array.from({ length: 20 * 70 }, (_, n) => (n * 7919) % 5 < 3);
    check(await run({ attentionMask: { data, dims: [20, 70], dtype: 'bool' } }), problem, options, { isAllowed: ({ query }, j) => data[query * 70 + j] });
    const previous = ({ query }, j) => j < 3 || (j > 40 + query && j <= 50 + query);
    check(await maskOf([maskers.sink({ size: 3 }), maskers.local({ size: 10 }), ...list], problem, attention), problem, options, { previous });
  }
});

test('keys that are appended later: the mean stays, the largest length grows', async () => {
  const options = { tables: 6, bits: 3, seed: 6 };
  const problem = problemOf(5, [2, 4, 2, 1, 90, 8, 6]);
  problem.keys.data.forEach((x, n, data) => void (data[n] = x * (1 + (Math.floor(n / 8) % 90) / 30)));
  const upTo = (count) => {
    const cut = ({ data, dims: [b, h, , d] }) => ({
      dims: [b, h, count, d],
      data: Float32Array.from({ length: b * h * count * d }, (_, n) => data[Math.floor(n / (count * d)) * 90 * d + (n % (count * d))]),
    });
    return { ...problem, keys: cut(problem.keys), values: cut(problem.values) };
  };
  const pipeline = attention.createSparseAttention([maskers.magicPig(options)]);
  const ends = [21, 22, 39, 64, 65, 90];
  for (const [n, end] of ends.entries()) {
    check(pipeline.buildMask(upTo(end)), upTo(end), options, { ends: ends.slice(0, n + 1) });
  }
  pipeline.reset();
  check(pipeline.buildMask(problem), problem, options);
  pipeline.dispose();
});

test('frequencies over 10,000 seeds are the weights, and sums are unbiased', () => {
  const [seeds, total] = [10000, 24];
  const problem = problemOf(6, [1, 1, 1, 1, total, 4, 4]);
  const hits = new Array(total).fill(0);
  const weights = new Array(total).fill(0);
  const values = Array.from({ length: total }, (_, j) => Math.exp(Math.sin(9 * j)));
  const truth = values.reduce((a, b) => a + b);
  let [sum, squares] = [0, 0];
  for (let seed = 0; seed < seeds; seed++) {
    const pipeline = attention.createSparseAttention([maskers.magicPig({ tables: 3, bits: 2, seed })]);
    const [{ columns, weights: own }] = rowsOf(pipeline.buildMask(problem), 1);
    pipeline.dispose();
    let estimate = 0;
    columns.forEach((j, n) => {
      hits[j]++;
      weights[j] = own[n];
      estimate += values[j] / own[n];
    });
    sum += estimate;
    squares += (estimate - truth) ** 2;
  }
  let chiSquare = 0;
  for (let j = 0; j < total; j++) {
    assertMean(hits[j] / seeds, weights[j], weights[j] * (1 - weights[j]), seeds, `key ${j}`);
    chiSquare += (hits[j] - seeds * weights[j]) ** 2 / (seeds * weights[j] * (1 - weights[j]));
  }
  assert.ok(chiSquare < 2 * total, `chi-square ${chiSquare}`); // keys near each other go together
  assertMean(sum / seeds, truth, squares / seeds, seeds, 'sum');
});

test('a seed gives the same mask in any engine', async () => {
  const problem = problemOf(7, [1, 4, 2, 3, 200, 8, 6]);
  const list = (seed) => [maskers.magicPig({ tables: 4, bits: 4, seed })];
  const first = (await maskOf(list(1), problem, attention)).toIndices();
  assert.deepEqual((await maskOf(list(1), problem, attention)).toIndices(), first);
  assert.deepEqual((await maskOf(list(1), problem)).toIndices(), first);
  assert.notDeepEqual((await maskOf(list(2), problem, attention)).toIndices(), first);
  for (const variant of variants) {
    const other = await createAttention({ variant });
    check(await maskOf(list(1), problem, other), problem, { tables: 4, bits: 4, seed: 1 });
    other.dispose();
  }
});

test('vectors of zeros, alone, not finite', async () => {
  const options = { tables: 4, bits: 1, seed: 1 };
  const list = [maskers.magicPig(options)];
  const weight = Math.fround(1 - 0.5 ** 4);
  const one = problemOf(8, [1, 2, 1, 2, 1, 8, 6]); // a key less its own mean
  for (const { weights } of rowsOf(await maskOf(list, one, attention), 2)) for (const w of weights) assert.equal(w, weight);
  const problem = problemOf(8, [1, 2, 1, 2, 60, 8, 6]);
  const zeros = { ...problem.queries, data: new Float32Array(32) };
  const plain = [maskers.magicPig({ ...options, center: false })];
  for (const { weights, columns } of rowsOf(await maskOf(plain, { ...problem, queries: zeros }, attention), 2)) {
    assert.ok(columns.length > 0);
    for (const w of weights) assert.equal(w, weight);
  }
  const clean = rowsOf(await maskOf(list, problem, attention), 2);
  const garbage = [NaN, Infinity, -Infinity, 1e30];
  const spoil = (dtype, convert) => {
    const data = dtype.from([...problem.keys.data], convert);
    data.set(dtype.from(garbage, convert), 8 * 20);
    return { ...problem.keys, data, ...(dtype === Uint16Array ? { dtype: 'float16' } : {}) };
  };
  for (const keys of [spoil(Float32Array, (x) => x), spoil(Uint16Array, toFloat16)]) {
    for (const { columns } of rowsOf(await maskOf(list, { ...problem, keys }, attention), 2)) {
      assert.ok(!columns.includes(20) && columns.length > 10, `${columns}`);
    }
  }
  assert.ok(clean.some(({ columns }) => columns.length > 10));
  const broken = { ...problem.queries, data: new Float32Array(32).fill(NaN) };
  for (const { columns } of rowsOf(await maskOf(list, { ...problem, queries: broken }, attention), 2)) assert.deepEqual(columns, []);
});

test('options', () => {
  const bad = {
    tables: [undefined, '1', 0, 1025, 1.5, NaN],
    bits: [undefined, '1', 0, 33, 1.5, NaN],
    center: [0, 'yes', null],
    seed: [undefined, -1, 1.5, 'x', null],
  };
  const good = { tables: 4, bits: 2, center: false, seed: 1 };
  assertRefuses(maskers.magicPig, good, bad);
  const pipeline = attention.createSparseAttention([maskers.magicPig(good)]);
  const json = JSON.parse(JSON.stringify(pipeline.toJSON()));
  assert.deepEqual(json, { maskers: [{ name: 'magicPig', ...good }] });
  const problem = problemOf(9, [1, 2, 1, 2, 50, 8, 6]);
  assert.deepEqual(attention.createSparseAttention(json).buildMask(problem).toIndices(), pipeline.buildMask(problem).toIndices());
  const wide = { tables: 1024, bits: 32, seed: 1 };
  const dims = [1, 1, 1, 2 ** 20];
  const data = new Float32Array(2 ** 20);
  const huge = { queries: { data, dims }, keys: { data, dims }, values: { data: new Float32Array(1), dims: [1, 1, 1, 1] } };
  assert.throws(() => attention.createSparseAttention([maskers.magicPig(wide)]).buildMask(huge), Error);
});
