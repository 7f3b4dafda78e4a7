// SPDX-License-Identifier: Apache-2.0
// Importance sampling: weights are inclusion probabilities of double-precision attention over quantised keys, keys are
// drawn as often as these say, and estimates with them are unbiased.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { maskers } from '../js/index.js';
import { enginesByVariant } from './calls.js';
import { bias, capped, describe, dot, drawProblem, eachRow, maskOf, shortened, testCases } from './masker-references.js';
import { quantizeAll } from './quantization-reference.js';
import { variants } from './variants.js';

const instances = enginesByVariant();

const quantization = { groupFactor: 4, bits: 3, iterations: 4, seed: 5 };

/** Of every row: its logits by quantised keys, and their softmax over what may be drawn, by key. */
function eachSoftmax(problem, given, mask, { initOffset = 0, localOffset = 0, seed, ...options }, ends, use) {
  const quantized = quantizeAll(problem, ends, { ...options, initOffset, seed: [seed, 0] });
  const group = problem.heads / problem.keyHeads;
  eachRow(problem, given, mask, (row) => {
    const { b, h, i, eligible } = row;
    const end = problem.sk - (localOffset < 1 ? Math.floor(localOffset * problem.sk) : localOffset);
    const own = eligible.filter((j) => j >= initOffset && j < end);
    const logits = own.map((j) => {
      const product = dot(problem.query(b, h, i), quantized[b][Math.floor(h / group)][j]);
      return capped(problem.scaling * product, problem.options) + bias(problem, b, h, i, j);
    });
    const largest = Math.max(...logits);
    const exponentials = logits.map((logit) => Math.exp(logit - largest));
    const sum = exponentials.reduce((a, e) => a + e, 0);
    use({ ...row, own, exponentials, p: new Map(own.map((j, n) => [j, exponentials[n] / sum])) });
  });
}

const inclusion = (p, draws) => -Math.expm1(draws * Math.log1p(-p));

function check(problem, given, mask, draws, options, ends) {
  eachSoftmax(problem, given, mask, options, ends, ({ b, h, i, kept, eligible, own, p }) => {
    const where = `batch ${b} head ${h} query ${i}`;
    const chosen = eligible.filter((j) => kept[j] !== 0);
    if (own.length <= draws) {
      assert.deepEqual(chosen, own, where);
      for (const j of chosen) assert.equal(kept[j], 1, where);
      return;
    }
    assert.ok(chosen.length > 0 && chosen.length <= draws, where);
    for (const j of chosen) {
      const expected = inclusion(p.get(j), draws);
      const error = Math.abs(kept[j] - expected) / expected;
      assert.ok(error <= 2e-5, `${where} key ${j}: ${kept[j]} instead of ${expected}`);
    }
  });
}

for (const variant of variants) {
  testCases(variant, instances, maskers.importanceSampling({ draws: 12, ...quantization }), (problem, given, mask) =>
    check(problem, given, mask, 12, quantization));

  test(`${variant}: offsets, and draws as a fraction`, () => {
    const attention = instances.get(variant);
    const problem = drawProblem(2, { heads: 4, keyHeads: 2, sq: 3, sk: 120, dim: 8 }, { causal: true });
    const list = [{ initOffset: 7, localOffset: 20 }, { localOffset: 120 }, { initOffset: 300 }, { localOffset: 110 }, { localOffset: 0.3 }];
    for (const offsets of list) {
      const masker = maskers.importanceSampling({ draws: 0.2, ...quantization, ...offsets });
      check(problem, undefined, maskOf(attention, [masker], problem.options), 24, { ...quantization, ...offsets });
    }
  });

  test(`${variant}: keys that are appended`, () => {
    const attention = instances.get(variant);
    const problem = drawProblem(9, { batch: 2, heads: 4, keyHeads: 2, sk: 70, dim: 8 });
    const pipeline = attention.createSparseAttention([maskers.importanceSampling({ draws: 10, ...quantization })]);
    const ends = [];
    for (let sk = 40; sk <= 70; sk++) {
      ends.push(sk);
      const part = shortened(problem, sk);
      check(part, undefined, pipeline.buildMask(part.options), 10, quantization, ends);
    }
    pipeline.dispose();
  });

  test(`${variant}: seeds, and the draws of a query belong to its position`, () => {
    const attention = instances.get(variant);
    const problem = drawProblem(10, { batch: 2, heads: 4, keyHeads: 2, sq: 6, sk: 200, dim: 8 });
    const of = (seed, more) =>
      maskOf(attention, [maskers.importanceSampling({ draws: 20, bits: 8, seed })], { ...problem.options, ...more });
    assert.deepEqual(of(1).toDense(), of(1).toDense());
    assert.notDeepEqual(of(1).toDense(), of(2).toDense());
    assert.notDeepEqual(of(1).toDense(), of(2n ** 32n + 1n).toDense());
    const uniform = of(1, { scaling: 0 }).toDense(); // rows of equal probabilities differ all the same
    const texts = new Set(Array.from({ length: 48 }, (_, row) => uniform.subarray(row * 200, (row + 1) * 200).join()));
    assert.equal(texts.size, 48);
    const { data } = problem.options.queries;
    const last = new Float32Array(2 * 4 * 8);
    for (let row = 0; row < 8; row++) last.set(data.subarray((row * 6 + 5) * 8, (row * 6 + 6) * 8), row * 8);
    const alone = of(1, { queries: { data: last, dims: [2, 4, 1, 8] } }).toDense();
    const all = of(1).toDense();
    for (let row = 0; row < 8; row++) {
      const expected = all.subarray((row * 6 + 5) * 200, (row * 6 + 6) * 200);
      assert.deepEqual(alone.subarray(row * 200, (row + 1) * 200), expected);
    }
  });

  test(`${variant}: frequencies are the weights, and estimates are unbiased`, () => {
    const attention = instances.get(variant);
    const [sk, sq, draws] = [60, 2000, 12];
    // Centroids for all keys: one index for all seeds. The same query everywhere: many rows of one distribution.
    const { options: drawn } = drawProblem(12, { heads: 2, keyHeads: 1, sq, sk, dim: 4, valueDim: 1 }, { scaling: 1 });
    for (let row = 1; row < 2 * sq; row++) drawn.queries.data.copyWithin(row * 4, 0, 4);
    const problem = describe(drawn);
    const options = { groupFactor: 4, bits: 6 };
    const counts = new Float64Array(sk);
    const estimates = [[], []]; // of the denominator, and of the numerator
    let expected;
    for (const seed of [1, 2]) {
      const mask = maskOf(attention, [maskers.importanceSampling({ draws, ...options, seed })], problem.options);
      eachSoftmax(problem, undefined, mask, { ...options, seed }, undefined, ({ kept, own, exponentials, p }) => {
        const totals = [0, 0];
        const exact = [0, 0];
        own.forEach((j, n) => {
          const [e, value] = [exponentials[n], problem.value(0, 0, j)[0]];
          exact[0] += e;
          exact[1] += e * value;
          if (kept[j] === 0) return;
          counts[j]++;
          totals[0] += e / kept[j];
          totals[1] += (e * value) / kept[j];
        });
        expected = { exact, p };
        totals.forEach((total, n) => estimates[n].push(total));
      });
    }
    const rows = estimates[0].length;
    assert.equal(rows, 2 * 2 * sq);
    let statistic = 0;
    for (const [j, p] of expected.p) {
      const pi = inclusion(p, draws);
      statistic += (counts[j] - rows * pi) ** 2 / (rows * pi * (1 - pi));
    }
    assert.ok(statistic < sk + 5 * Math.sqrt(2 * sk), `chi-square ${statistic} of ${sk} keys`);
    assert.ok(statistic > sk / 3, `chi-square ${statistic} of ${sk} keys: too regular`);
    estimates.forEach((list, n) => {
      const mean = list.reduce((sum, x) => sum + x, 0) / rows;
      const deviation = Math.sqrt(list.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (rows - 1) / rows);
      const exact = expected.exact[n];
      assert.ok(Math.abs(mean - exact) < 4 * deviation, `${mean} +- ${deviation}, exact ${exact}`);
    });
  });

  test(`${variant}: forward divides by the weights`, () => {
    const attention = instances.get(variant);
    const { options } = drawProblem(13, { heads: 4, keyHeads: 2, sk: 400, dim: 8 });
    const list = [maskers.sink({ size: 4 }), maskers.importanceSampling({ draws: 50, seed: 1 })];
    const pipeline = attention.createSparseAttention(list);
    const { output, mask } = pipeline.forward(options);
    const masked = { ...options, sparseAttentionMask: mask, maskWeighting: 'inverse' };
    assert.deepEqual(output.data, attention.getMaskedAttentionOutput(masked).output.data);
    assert.ok(mask.toDense().some((w) => w > 0 && w < 1));
    pipeline.dispose();
  });

  test(`${variant}: extreme logits`, () => {
    const attention = instances.get(variant);
    const problem = drawProblem(14, { heads: 2, keyHeads: 1, sk: 64, dim: 4 }, { scaling: 1e4 });
    const list = [maskers.importanceSampling({ draws: 8, groupFactor: 4, bits: 6, seed: 1 })];
    eachRow(problem, undefined, maskOf(attention, list, problem.options), ({ kept }) => {
      assert.equal(kept.filter((w) => w !== 0).length, 1);
      assert.ok(kept.includes(1));
    });
    problem.options.queries.data.fill(NaN);
    assert.ok(maskOf(attention, list, problem.options).toDense().every((w) => w === 0), 'NaN is never chosen');
  });
}

test('every option is checked, and comes back from JSON', () => {
  const attention = instances.get('base');
  for (const [name, value] of [
    ['draws', undefined], ['draws', 0], ['draws', 1.5], ['groupFactor', 0], ['bits', 9], ['iterations', -1],
    ['initOffset', -1], ['localOffset', -1], ['localOffset', 1.5], ['initOffset', 0.5], ['metric', 'cosine'], ['seed', undefined],
    ['seed', -1], ['heavySize', 1],
  ]) {
    const options = { draws: 8, seed: 1, [name]: value };
    const message = new RegExp(`^(TypeError|RangeError): ${name}: `);
    assert.throws(() => maskers.importanceSampling(options), message, `${name} ${value}`);
  }
  const { options } = drawProblem(1, { heads: 2, keyHeads: 1, sk: 40, dim: 12 });
  const build = (list) => maskOf(attention, list, options);
  assert.throws(() => build([maskers.importanceSampling({ draws: 8, seed: 1 })]), /^RangeError: maskers\[0\] \(importanceSampling\): groupFactor: /);
  const offsets = { initOffset: 1, localOffset: 2 };
  const given = { draws: 8, groupFactor: 4, bits: 2, iterations: 3, ...offsets, metric: 'ip', seed: 9 };
  const pipeline = attention.createSparseAttention([maskers.importanceSampling(given)]);
  const json = JSON.parse(JSON.stringify(pipeline.toJSON()));
  assert.deepEqual(json, { maskers: [{ name: 'importanceSampling', ...given }] });
  assert.deepEqual(build(json).toDense(), pipeline.buildMask(options).toDense());
  assert.ok(pipeline.maskers[0].isSampling);
  const two = [maskers.importanceSampling(given), maskers.importanceSampling(given)];
  assert.throws(() => attention.createSparseAttention(two), /at most one that samples/);
});
