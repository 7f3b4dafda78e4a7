// SPDX-License-Identifier: Apache-2.0
// adaptiveSampling: its budgets and draws are those of the formulas, and what it promises holds.
import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';

import { Mask, createAttention, maskers } from '../js/index.js';
import { draw as problemOf, engine } from './calls.js';
import { toFloat16 } from './oracle.js';
import { assertMean, assertRefuses, dotsOf, draw, maskOf, rowsOf, words } from './sampling.js';
import { variants } from './variants.js';

let attention;
before(async () => void (attention = await engine()));
after(() => attention.dispose());

const QUANTILES = new Map([[0.1, 1.6448536269514722], [0.2, 1.2815515655446004], [0.05, 1.959963984540054], [0.01, 2.5758293035489004]]);

/** How many draws the row needs: [rounded down, rounded up] from a number with the error of float32 exponentials. */
function budget(total, base, { epsilon, delta, replacement }, logits, active, looked) {
  const z = QUANTILES.get(delta);
  const largest = Math.max(...active.map(([j]) => logits[j]), ...looked.map(([j]) => logits[j]));
  const e = (j) => Math.exp(logits[j] - largest);
  const sum = (list, of) => list.reduce((total, [j, times]) => total + of(j, times), 0);
  const mean = sum(looked, (j, times) => times * e(j)) / base;
  const moment = (power) => sum(looked, (j, times) => times * (e(j) - mean) ** power);
  const variance = moment(2) / (base - 1);
  const error = Math.sqrt(Math.max(0, moment(4) / base - variance ** 2) / base);
  const deviation = Math.max(1e-8, Math.sqrt(variance + z * error));
  const denominator = sum(active, (j, weight) => e(j) / (weight + 1e-6)) + total * mean;
  const t = (z * deviation * total) / Math.max(1e-8, epsilon * denominator);
  const needed = replacement ? t * t : (t * t) / (1 + (t * t) / total);
  return [1 - 1e-5, 1 + 1e-5].map((factor) => Math.min(total, Math.max(base, Math.ceil(needed * factor))));
}

/** Checks all rows; `logit` makes one of a dot product, `previous` tells the weight with which a key is active. */
function check(mask, problem, options, { isAllowed = () => true, previous = () => 0, logit = (dot) => dot / Math.sqrt(8) } = {}) {
  const { baseRate, initOffset = 0, localOffset = 0, replacement = false, seed } = options;
  const [, heads, queryLength] = problem.queries.dims;
  const keyLength = problem.keys.dims[2];
  const budgets = [];
  for (const row of rowsOf(mask, heads)) {
    const all = Array.from({ length: keyLength }, (_, j) => j).filter((j) => isAllowed(row, j));
    const active = all.filter((j) => previous(row, j)).map((j) => [j, Math.fround(previous(row, j))]);
    const keys = all.filter((j) => !previous(row, j) && j >= initOffset && j < keyLength - localOffset);
    const at = [keyLength - queryLength + row.query, row.head, row.batch];
    const base = Math.max(2, baseRate < 1 ? Math.floor(baseRate * keys.length) : baseRate);
    let counts = [keys.length];
    if (base < keys.length) {
      const logits = dotsOf(problem, row).map((dot, j) => logit(dot, row, j));
      const looked = draw(keys, base, replacement, words('base', seed, at));
      counts = budget(keys.length, base, options, logits, active, looked);
    }
    const fits = counts.some((count) => {
      const chosen = draw(keys, count, replacement, words('adaptive', seed, at)).map(([j, times]) => [j, Math.fround(count / keys.length / times)]);
      const entries = [...active, ...chosen].sort(([a], [b]) => a - b);
      return String(entries) === String(row.columns.map((j, n) => [j, row.weights[n]]));
    });
    assert.ok(fits, `batch ${row.batch} head ${row.head} query ${row.query}: not ${counts} of ${keys.length}`);
    budgets.push(counts[0] / keys.length);
  }
  return budgets;
}

for (const replacement of [false, true]) {
  for (const [baseRate, epsilon, delta] of [[0.1, 0.3, 0.2], [20, 0.1, 0.1], [2, 0.5, 0.05], [0.05, 0.02, 0.01], [0.5, 0.9, 0.2]]) {
    test(`baseRate ${baseRate}, epsilon ${epsilon}, delta ${delta}, replacement ${replacement}: the formulas`, async () => {
      const options = { baseRate, epsilon, delta, seed: 2 ** 35 + 9, replacement };
      const problem = problemOf(3, [2, 4, 2, 3, 300, 8, 6]);
      check(await maskOf([maskers.adaptiveSampling(options)], problem, attention), problem, options);
    });
  }
}

test('budgets lie between the base and all, and follow epsilon', async () => {
  const problem = problemOf(4, [1, 4, 2, 4, 500, 8, 6]);
  const means = [];
  for (const epsilon of [0.4, 0.2, 0.1]) {
    const options = { baseRate: 0.04, epsilon, delta: 0.1, seed: 1 };
    const budgets = check(await maskOf([maskers.adaptiveSampling(options)], problem, attention), problem, options);
    assert.ok(budgets.every((part) => part >= 0.04 && part <= 1));
    means.push(budgets.reduce((a, b) => a + b) / budgets.length);
  }
  assert.ok(means[0] < means[1] && means[1] < means[2], `${means}`);
});

test('logits have scaling, cap, ALiBi and attention mask; only allowed keys count', async () => {
  const options = { baseRate: 0.2, epsilon: 0.2, delta: 0.1, initOffset: 5, localOffset: 10, seed: 4 };
  const list = [maskers.adaptiveSampling(options)];
  const problem = problemOf(5, [2, 4, 2, 30, 160, 8, 6]);
  const run = (more) => maskOf(list, { ...problem, ...more }, attention);
  check(await run({ causal: true }), problem, options, { isAllowed: ({ query }, j) => j <= 130 + query });
  const keyLengths = Int32Array.of(160, 21);
  check(await run({ keyLengths }), problem, options, { isAllowed: ({ batch }, j) => j < keyLengths[batch] });
  check(await run({ scaling: 1.5, softcap: 2 }), problem, options, { logit: (dot) => 2 * Math.tanh((1.5 * dot) / 2) });
  const alibiSlopes = Float32Array.of(0.5, 0.25, 0.125, 0.0625);
  check(await run({ alibiSlopes }), problem, options, {
    logit: (dot, { head, query }, j) => dot / Math.sqrt(8) - alibiSlopes[head] * Math.abs(130 + query - j),
  });
  const bias = Float32Array.from({ length: 30 * 160 }, (_, n) => ((n * 7919) % 11 === 0 ? -Infinity : Math.sin(n)));
  check(await run({ attentionMask: { data: bias, dims: [30, 160] } }), problem, options, {
    isAllowed: ({ query }, j) => bias[query * 160 + j] > -Infinity,
    logit: (dot, { query }, j) => dot / Math.sqrt(8) + bias[query * 160 + j],
  });
  const keptBefore = [maskers.sink({ size: 3 }), maskers.local({ size: 20 }), ...list];
  const previous = ({ query }, j) => (j < 3 || (j > 110 + query && j <= 130 + query) ? 1 : 0);
  check(await maskOf(keptBefore, problem, attention), problem, options, { previous });
  for (const dtype of ['float16', 'bfloat16']) {
    const narrow = problemOf(6, [1, 4, 2, 3, 160, 8, 6], dtype);
    check(await maskOf(list, narrow, attention), narrow, options);
  }
});

test('weights of earlier entries divide their exponentials', async () => {
  const problem = problemOf(7, [1, 2, 1, 4, 200, 8, 6]);
  const weights = Float32Array.from({ length: 4 * 200 }, (_, n) => (n % 9 === 0 ? 0.25 + (n % 3) / 4 : 0));
  const previous = Mask.fromDense([1, 1, 4, 200], weights);
  const options = { baseRate: 0.1, epsilon: 0.1, delta: 0.1, seed: 4 };
  const mask = await maskOf([maskers.adaptiveSampling(options)], { ...problem, sparseAttentionMask: previous }, attention);
  check(mask, problem, options, { previous: ({ query }, j) => weights[query * 200 + j] });
});

test('rows of less than two keys to draw from get all that is left', async () => {
  const problem = problemOf(8, [1, 2, 1, 12, 12, 8, 6]);
  const options = { baseRate: 0.1, epsilon: 0.1, delta: 0.1, initOffset: 4, localOffset: 4, seed: 4 };
  const mask = await maskOf([maskers.adaptiveSampling(options)], { ...problem, causal: true }, attention);
  for (const { query, columns, weights } of rowsOf(mask, 2).filter(({ query: i }) => i < 5)) {
    assert.deepEqual([columns, weights], [Array.from({ length: query + 1 }, (_, j) => j), columns.map(() => 1)]);
  }
});

test('logits that are equal, huge, infinite or NaN', async () => {
  const options = { baseRate: 0.1, epsilon: 0.1, delta: 0.1, seed: 4 };
  const list = [maskers.adaptiveSampling(options)];
  const problem = problemOf(9, [1, 2, 1, 2, 100, 8, 6]);
  const counts = async (change, dtype = Float32Array) => {
    const data = dtype.from(problem.keys.data, change);
    const keys = { ...problem.keys, data };
    return rowsOf(await maskOf(list, { ...problem, keys }, attention), 2).map(({ columns }) => columns.length);
  };
  assert.deepEqual(await counts(() => 0), [10, 10, 10, 10]);
  for (const change of [(x) => 1e30 * x, () => NaN, (x, n) => (n % 40 < 8 ? NaN : x), (x, n) => (n % 40 < 8 ? Infinity : x), (x) => -Infinity * x]) {
    for (const count of await counts(change)) assert.ok(count >= 10 && count <= 100);
  }
  const half = { ...problem.keys, dtype: 'float16', data: Uint16Array.from(problem.keys.data, (x, n) => toFloat16(n % 40 < 8 ? Infinity : x)) };
  for (const { columns } of rowsOf(await maskOf(list, { ...problem, keys: half }, attention), 2)) assert.ok(columns.length >= 10);
});

test('a seed gives the same mask in any engine, and another position another', async () => {
  const problem = problemOf(10, [1, 2, 1, 4, 300, 8, 6]);
  const columns = async (seed, where) => rowsOf(await maskOf([maskers.adaptiveSampling({ baseRate: 0.1, epsilon: 0.3, delta: 0.1, seed })], problem, where), 2).map((row) => row.columns);
  const first = await columns(1, attention);
  assert.deepEqual(await columns(1, attention), first);
  assert.deepEqual(await columns(1), first);
  assert.notDeepEqual(await columns(2, attention), first);
  assert.equal(new Set(first.map(String)).size, 8);
  for (const variant of variants) {
    const other = await createAttention({ variant });
    check(await maskOf([maskers.adaptiveSampling({ baseRate: 0.1, epsilon: 0.3, delta: 0.1, seed: 1 })], problem, other), problem, { baseRate: 0.1, epsilon: 0.3, delta: 0.1, seed: 1 });
    other.dispose();
  }
});

for (const replacement of [false, true]) {
  test(`frequencies over 10,240 rows are the weights, replacement ${replacement}`, async () => {
    const [seeds, total] = [40, 24];
    const problem = problemOf(11, [1, 4, 2, 64, total, 4, 4]);
    const sums = Array.from({ length: total }, () => ({ inverse: 0, squares: 0, hits: 0, expected: 0, variance: 0 }));
    for (let seed = 0; seed < seeds; seed++) {
      const list = [maskers.adaptiveSampling({ baseRate: 4, epsilon: 0.3, delta: 0.2, seed, replacement })];
      for (const { columns, weights } of rowsOf(await maskOf(list, problem, attention), 4)) {
        columns.forEach((j, n) => {
          sums[j].inverse += 1 / weights[n];
          sums[j].squares += (1 / weights[n]) ** 2;
          sums[j].hits++;
        });
        for (const sum of sums) {
          sum.expected += weights[0]; // without replacement all have the same
          sum.variance += weights[0] * (1 - weights[0]);
        }
      }
    }
    const rows = 256 * seeds;
    let chiSquare = 0;
    for (const [j, { inverse, squares, hits, expected, variance }] of sums.entries()) {
      assertMean(inverse / rows, 1, squares / rows - 1, rows, `key ${j}`);
      chiSquare += (hits - expected) ** 2 / variance;
    }
    assert.ok(replacement || chiSquare < 1.1 * 49.7, `chi-square ${chiSquare}`); // 23 degrees of freedom, 99.9 %: 49.7
  });
}

// What it is for: |estimate - denominator| <= epsilon * denominator in 1 - delta of all draws.
const promises = [
  { epsilon: 0.1, delta: 0.1, baseRate: 0.05, replacement: false, amplitude: 1, top: 20 },
  { epsilon: 0.2, delta: 0.05, baseRate: 0.05, replacement: true, amplitude: 1.5, top: 20 },
  { epsilon: 0.05, delta: 0.2, baseRate: 60, replacement: false, amplitude: 1, top: 10 },
  { epsilon: 0.1, delta: 0.1, baseRate: 0.1, replacement: false, amplitude: 1, top: 0 },
];
for (const { amplitude, top, ...options } of promises) {
  test(`the promise over 1,000 seeds: ${JSON.stringify(options)} after ${top} of the heaviest`, async (t) => {
    const [heads, keyLength] = [8, 1000];
    const problem = problemOf(12, [1, heads, 2, 1, keyLength, 16, 4]);
    for (const name of ['queries', 'keys']) problem[name].data.forEach((x, n, data) => void (data[n] = amplitude * x));
    const earlier = [maskers.sink({ size: 4 }), ...(top ? [maskers.oracleTopK({ heavySize: top })] : [])];
    const previous = await maskOf(earlier, problem, attention);
    const exponentials = [];
    for (let head = 0; head < heads; head++) exponentials.push(dotsOf(problem, { batch: 0, head, query: 0 }).map((dot) => Math.exp(dot / 4)));
    const truth = exponentials.map((row) => row.reduce((a, b) => a + b));
    const within = new Array(heads).fill(0);
    const relative = new Array(heads).fill(0);
    let kept = 0;
    for (let seed = 0; seed < 1000; seed++) {
      const mask = await maskOf([maskers.adaptiveSampling({ ...options, seed })], { ...problem, sparseAttentionMask: previous }, attention);
      for (const { head, columns, weights } of rowsOf(mask, heads)) {
        const estimate = columns.reduce((sum, j, n) => sum + exponentials[head][j] / (weights[n] + 1e-6), 0);
        const error = estimate / truth[head] - 1;
        within[head] += Math.abs(error) <= options.epsilon ? 1 : 0;
        relative[head] += error;
        kept += columns.length;
      }
    }
    const frequency = within.reduce((a, b) => a + b) / (1000 * heads);
    t.diagnostic(`${frequency} within epsilon (worst row ${Math.min(...within) / 1000}), ${kept / (1000 * heads)} of ${keyLength} keys`);
    assert.ok(frequency >= 1 - options.delta, `${frequency}`);
    assert.ok(kept < 0.8 * 1000 * heads * keyLength);
    for (const sum of relative) assertMean(sum / 1000, 0, options.epsilon ** 2, 1000, 'bias');
  });
}

test('options', () => {
  const bad = {
    baseRate: [undefined, '0.5', 0, 1, -0.1, 2.5, NaN, 2 ** 32],
    epsilon: [undefined, '0.5', 0, 1, NaN],
    delta: [undefined, '0.5', 0, 1, NaN],
    initOffset: ['1', -1, 1.5, NaN],
    localOffset: ['1', -1, 1.5, NaN],
    seed: [undefined, -1, 1.5, 'x', null],
    replacement: [0, 'yes', null],
  };
  const good = { baseRate: 0.1, epsilon: 0.1, delta: 0.1, initOffset: 0, localOffset: 0.25, seed: 1, replacement: true };
  assertRefuses(maskers.adaptiveSampling, good, bad);
  const pipeline = attention.createSparseAttention([maskers.adaptiveSampling(good)]);
  const json = JSON.parse(JSON.stringify(pipeline.toJSON()));
  assert.deepEqual(json, { maskers: [{ name: 'adaptiveSampling', ...good }] });
  const problem = problemOf(13, [1, 2, 1, 2, 90, 8, 6]);
  assert.deepEqual(attention.createSparseAttention(json).buildMask(problem).toIndices(), pipeline.buildMask(problem).toIndices());
});

test('rates, epsilon and delta that make no sense are refused by name', () => {
  const given = { baseRate: 0.1, epsilon: 0.1, delta: 0.1, seed: 1 };
  for (const [name, value] of [
    ['baseRate', 0], ['baseRate', 1], ['baseRate', 1.5], ['baseRate', NaN], ['baseRate', '2'], ['epsilon', 0], ['epsilon', 1],
    ['delta', 0], ['delta', 1], ['delta', 5e-324], ['delta', undefined], ['seed', undefined],
  ]) {
    const pattern = new RegExp(`^(TypeError|RangeError): ${name}: `);
    assert.throws(() => maskers.adaptiveSampling({ ...given, [name]: value }), pattern, `${name} ${value}`);
  }
});
