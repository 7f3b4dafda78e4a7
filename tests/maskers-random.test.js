// SPDX-License-Identifier: Apache-2.0
// randomSampling: its draws are those of the formulas, and their frequencies the weights.
import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';

import { Mask, createAttention, maskers } from '../js/index.js';
import { draw as problemOf, engine } from './calls.js';
import { assertMean, assertRefuses, draw, maskOf, rowsOf, words } from './sampling.js';
import { variants } from './variants.js';

let attention;
before(async () => void (attention = await engine()));
after(() => attention.dispose());

const probability = (total, count, replacement) => (replacement ? 1 - (1 - 1 / total) ** count : count / total);

/** What the row must keep, of the keys that it may choose. */
function expected(keys, { rate, seed, replacement = false }, position, { head, batch }) {
  if (keys.length === 0) return [];
  const count = Math.max(1, Math.floor(rate * keys.length));
  const weight = Math.fround(probability(keys.length, count, replacement));
  return draw(keys, count, replacement, words('random', seed, [position, head, batch])).map(([key]) => [key, weight]);
}

function check(mask, problem, options, eligible, previous = () => false) {
  const [, heads, queryLength] = problem.queries.dims;
  const keyLength = problem.keys.dims[2];
  for (const row of rowsOf(mask, heads)) {
    const all = Array.from({ length: keyLength }, (_, j) => j).filter((j) => eligible(row, j));
    const kept = all.filter((j) => previous(row, j));
    const chosen = expected(all.filter((j) => !previous(row, j)), options, keyLength - queryLength + row.query, row);
    const entries = [...kept.map((j) => [j, 1]), ...chosen].sort(([a], [b]) => a - b);
    assert.deepEqual([row.columns, row.weights], [entries.map(([j]) => j), entries.map(([, weight]) => weight)]);
  }
}

for (const replacement of [false, true]) {
  for (const rate of [0.01, 0.3, 0.5, 0.8, 1]) {
    test(`rate ${rate}, replacement ${replacement}: the draws of the formulas`, async () => {
      const options = { rate, seed: 2 ** 40 + 5, replacement };
      const problem = problemOf(3, [2, 4, 2, 3, 150, 8, 6]);
      check(await maskOf([maskers.randomSampling(options)], problem, attention), problem, options, () => true);
    });
  }
}

test('causal order, key lengths, masks and earlier maskers leave what may be drawn', async () => {
  const options = { rate: 0.4, seed: 11 };
  const list = [maskers.randomSampling(options)];
  for (const dtype of ['float32', 'float16', 'bfloat16']) {
    const problem = problemOf(4, [2, 4, 2, 70, 140, 8, 6], dtype);
    check(await maskOf(list, { ...problem, causal: true }, attention), problem, options, ({ query }, j) => j <= 70 + query);
    const keyLengths = Int32Array.of(100, 33);
    check(await maskOf(list, { ...problem, keyLengths }, attention), problem, options, ({ batch }, j) => j < keyLengths[batch]);
    const data = Uint8Array.from({ length: 70 * 140 }, (_, n) => (n * 7919) % 5 < 3);
    const attentionMask = { data, dims: [70, 140], dtype: 'bool' };
    check(await maskOf(list, { ...problem, attentionMask }, attention), problem, options, ({ query }, j) => data[query * 140 + j]);
    const after = [maskers.sink({ size: 3 }), maskers.local({ size: 9 }), ...list];
    const isKept = ({ query }, j) => j < 3 || (j > 61 + query && j <= 70 + query);
    check(await maskOf(after, problem, attention), problem, options, () => true, isKept);
  }
});

test('a row that has nothing to choose keeps what it has', async () => {
  const problem = problemOf(5, [1, 2, 1, 2, 9, 8, 6]);
  const mask = await maskOf([maskers.sink({ size: 9 }), maskers.randomSampling({ rate: 0.5, seed: 1 })], problem, attention);
  assert.deepEqual(rowsOf(mask, 2).map(({ columns }) => columns.length), [9, 9, 9, 9]);
  const keyLengths = Int32Array.of(0);
  const none = await maskOf([maskers.randomSampling({ rate: 0.5, seed: 1 })], { ...problem, keyLengths }, attention);
  assert.deepEqual(rowsOf(none, 2).map(({ columns }) => columns.length), [0, 0, 0, 0]);
});

for (const replacement of [false, true]) {
  test(`frequencies over 10,240 rows are the weights, replacement ${replacement}`, async () => {
    const [rowsAtOnce, seeds, total, rate] = [256, 40, 24, 0.3];
    const count = Math.floor(rate * total);
    const p = probability(total, count, replacement);
    const pair = replacement
      ? 1 - 2 * (1 - 1 / total) ** count + (1 - 2 / total) ** count
      : (count * (count - 1)) / (total * (total - 1));
    const problem = problemOf(6, [1, 4, 2, rowsAtOnce / 4, total, 4, 4]);
    const hits = Array.from({ length: total }, () => new Array(total).fill(0));
    for (let seed = 0; seed < seeds; seed++) {
      const mask = await maskOf([maskers.randomSampling({ rate, seed, replacement })], problem, attention);
      for (const { columns, weights } of rowsOf(mask, 4)) {
        for (const weight of weights) assert.equal(weight, Math.fround(p));
        for (const a of columns) for (const b of columns) hits[a][b]++;
      }
    }
    const rows = rowsAtOnce * seeds;
    let chiSquare = 0;
    for (let a = 0; a < total; a++) {
      chiSquare += (hits[a][a] - rows * p) ** 2 / (rows * p * (1 - p));
      for (let b = 0; b < a; b++) assertMean(hits[a][b] / rows, pair, pair * (1 - pair), rows, `keys ${a} and ${b}`);
    }
    // 23 degrees of freedom, 99.9 %: 49.7; correlations of the keys' counts are of the order of 1 / total
    assert.ok(chiSquare < 1.1 * 49.7, `chi-square ${chiSquare}`);
  });

  test(`sums over what is drawn are unbiased, replacement ${replacement}`, async () => {
    const problem = problemOf(7, [1, 4, 2, 64, 40, 4, 4]);
    const values = Array.from({ length: 40 }, (_, j) => Math.exp(Math.sin(9 * j)));
    const truth = values.reduce((a, b) => a + b);
    let [sum, squares, rows] = [0, 0, 0];
    for (let seed = 0; seed < 20; seed++) {
      const mask = await maskOf([maskers.randomSampling({ rate: 0.2, seed, replacement })], problem, attention);
      for (const { columns, weights } of rowsOf(mask, 4)) {
        const estimate = columns.reduce((total, j, n) => total + values[j] / weights[n], 0);
        sum += estimate;
        squares += (estimate - truth) ** 2;
        rows++;
      }
    }
    assertMean(sum / rows, truth, squares / rows, rows, 'sum');
  });
}

test('a seed gives the same mask in any engine and variant, and another position another', async () => {
  const problem = problemOf(8, [1, 2, 1, 4, 200, 8, 6]);
  const list = (seed) => [maskers.randomSampling({ rate: 0.1, seed })];
  const columns = async (options, seed = 3, where = attention) => rowsOf(await maskOf(list(seed), options, where), 2).map((row) => row.columns);
  const first = await columns(problem);
  assert.deepEqual(await columns(problem), first);
  for (const variant of variants) {
    const other = await createAttention({ variant });
    assert.deepEqual(await columns(problem, 3, other), first);
    other.dispose();
  }
  assert.notDeepEqual(await columns(problem, 4), first);
  assert.notDeepEqual(await columns(problem, 3 + 2 ** 32), first);
  assert.equal(new Set(first.map(String)).size, 8, 'rows differ');
  const moved = await columns({ ...problem, queryOffset: 197 });
  assert.deepEqual([moved.slice(0, 3), moved.slice(4, 7)], [first.slice(1, 4), first.slice(5, 8)]);
});

test('the pipeline divides by the weights, and inputs stay as they are', async () => {
  const problem = problemOf(9, [2, 4, 2, 3, 60, 8, 6]);
  const before = structuredClone(problem);
  const previous = Mask.sinks([1, 1, 3, 60], 2);
  const pipeline = attention.createSparseAttention([maskers.randomSampling({ rate: 0.5, seed: 1 })]);
  const { output, mask } = pipeline.forward({ ...problem, sparseAttentionMask: previous });
  const again = attention.getMaskedAttentionOutput({ ...problem, sparseAttentionMask: mask, maskWeighting: 'inverse' });
  assert.deepEqual(output.data, again.output.data);
  assert.deepEqual(problem, before);
  pipeline.dispose();
});

test('options', () => {
  const bad = {
    rate: [undefined, '0.5', 0, -0.1, 1.1, NaN],
    seed: [undefined, -1, 1.5, 'x', null],
    replacement: [0, 'yes', null],
  };
  assertRefuses(maskers.randomSampling, { rate: 0.5, seed: 1 }, bad);
  const list = [maskers.randomSampling({ rate: 0.25, seed: 7, replacement: true })];
  const json = JSON.parse(JSON.stringify(attention.createSparseAttention(list).toJSON()));
  assert.deepEqual(json, { maskers: [{ name: 'randomSampling', rate: 0.25, seed: 7, replacement: true }] });
  const problem = problemOf(10, [1, 2, 1, 2, 50, 8, 6]);
  const [a, b] = [list, json].map((maskList) => attention.createSparseAttention(maskList).buildMask(problem).toIndices());
  assert.deepEqual(a, b);
  assert.throws(() => attention.createSparseAttention([...list, ...list]), /at most one that samples/);
});
