// SPDX-License-Identifier: Apache-2.0
// PQCache: masks are those of double-precision scores, from centroids and codes that are found once more here.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { maskers } from '../js/index.js';
import { enginesByVariant } from './calls.js';
import {
  assertLargest, bias, capped, describe, dot, drawProblem, maskOf, shortened, testCases,
} from './masker-references.js';
import { quantizeAll } from './quantization-reference.js';
import { variants } from './variants.js';

const instances = enginesByVariant();

const quantization = { groupFactor: 4, bits: 3, iterations: 4, seed: 5 };
const seedOf = ({ seed = 0 }) => [seed % 2 ** 32, Math.floor(seed / 2 ** 32)];

/** Checks a mask against scores of keys that were appended as `ends` says. */
function check(problem, list, mask, count, options, ends) {
  const quantized = quantizeAll(problem, ends, { ...options, seed: seedOf(options) });
  const group = problem.heads / problem.keyHeads;
  const score = (b, h, i, j) => {
    const product = dot(problem.query(b, h, i), quantized[b][Math.floor(h / group)][j]);
    return capped(problem.scaling * product, problem.options) + bias(problem, b, h, i, j);
  };
  assertLargest(problem, list, mask, count, score, { isEligible: (j) => j >= (options.initOffset ?? 0) });
}

for (const variant of variants) {
  testCases(variant, instances, maskers.pqCache({ heavySize: 9, ...quantization }), (problem, given, mask) =>
    check(problem, given, mask, 9, quantization));

  test(`${variant}: options`, () => {
    const attention = instances.get(variant);
    const problem = drawProblem(2, { heads: 4, keyHeads: 2, sk: 120, dim: 24 });
    for (const options of [
      { groupFactor: 3, bits: 2, iterations: 3 },
      { groupFactor: 24, bits: 4, iterations: 1 },
      { groupFactor: 8, bits: 1, iterations: 2 },
      { bits: 6, iterations: 0 },
      { groupFactor: 8, bits: 3, iterations: 3, initOffset: 11 },
      { groupFactor: 8, bits: 3, iterations: 3, metric: 'ip' },
      { groupFactor: 8, bits: 8, initOffset: 119 },
      { groupFactor: 8, bits: 3, initOffset: 500 },
      { groupFactor: 8, bits: 3, iterations: 3, seed: 2 ** 40 + 7 },
    ]) {
      const mask = maskOf(attention, [maskers.pqCache({ heavySize: 0.1, ...options })], problem.options);
      check(problem, undefined, mask, 12, options);
    }
  });

  test(`${variant}: a sample of many keys`, () => {
    const problem = drawProblem(32, { heads: 2, keyHeads: 1, sk: 5001, dim: 4 });
    const options = { groupFactor: 2, bits: 2, iterations: 2 };
    const list = [maskers.pqCache({ heavySize: 50, ...options })];
    check(problem, undefined, maskOf(instances.get(variant), list, problem.options), 50, options);
  });

  test(`${variant}: keys that are few different ones leave clusters empty, and the lowest index goes first`, () => {
    const problem = drawProblem(4, { heads: 2, keyHeads: 1, sk: 60, dim: 4 });
    const { options } = problem;
    options.keys.data.forEach((_, n) => void (options.keys.data[n] = ((n >> 2) * 7) % 3));
    const own = describe(options);
    const mask = maskOf(instances.get(variant), [maskers.pqCache({ heavySize: 13, groupFactor: 2, bits: 3 })], options);
    check(own, undefined, mask, 13, { groupFactor: 2, bits: 3 });
  });

  test(`${variant}: keys are appended, and nothing is made again`, () => {
    const attention = instances.get(variant);
    const problem = drawProblem(9, { batch: 2, heads: 4, keyHeads: 2, sk: 90, dim: 8 });
    const steps = (ends, options) => {
      const pipeline = attention.createSparseAttention([maskers.pqCache({ heavySize: 7, ...options })]);
      const masks = ends.map((sk) => pipeline.buildMask(shortened(problem, sk).options));
      pipeline.dispose();
      return masks;
    };
    const oneByOne = Array.from({ length: 51 }, (_, n) => 40 + n);
    for (const [first, options] of [
      [40, quantization],
      [3, { ...quantization, bits: 5 }], // fewer keys than centroids
      [1, { ...quantization, initOffset: 4 }],
    ]) {
      const ends = [first, ...oneByOne];
      const masks = steps(ends, options);
      masks.forEach((mask, n) => {
        if (n % 10 === 0) check(shortened(problem, ends[n]), undefined, mask, 7, options, ends.slice(0, n + 1));
      });
      assert.deepEqual(steps(ends, options).at(-1).toDense(), masks.at(-1).toDense(), 'the same again');
    }
    const all = (ends) => steps(ends, quantization).at(-1).toDense();
    assert.deepEqual(all([40, 90]), all([40, ...oneByOne]), 'no matter in how many steps');
  });

  test(`${variant}: seeds`, () => {
    const attention = instances.get(variant);
    const { options } = drawProblem(10, { heads: 4, keyHeads: 2, sk: 200, dim: 16 });
    const of = (seed) => maskOf(attention, [maskers.pqCache({ heavySize: 20, bits: 3, seed })], options).toDense();
    assert.deepEqual(of(1), of(1));
    assert.deepEqual(of(0), of(undefined));
    assert.notDeepEqual(of(1), of(2));
    assert.notDeepEqual(of(1), of(1n + (1n << 40n)));
  });

  test(`${variant}: what is not finite spoils nothing else`, () => {
    const attention = instances.get(variant);
    const { options } = drawProblem(11, { heads: 2, keyHeads: 1, sk: 100, dim: 8 });
    options.keys.data.fill(NaN, 0, 8);
    options.keys.data.fill(Infinity, 80, 88);
    const masker = maskers.pqCache({ heavySize: 10, ...quantization });
    const changed = maskOf(attention, [masker], options).toDense();
    options.keys.data.fill(0, 0, 8);
    options.keys.data.fill(0, 80, 88);
    assert.deepEqual(changed, maskOf(attention, [masker], options).toDense());
    options.queries.data.fill(NaN);
    assert.ok(maskOf(attention, [masker], options).toDense().every((w) => w === 0), 'NaN is never chosen');
  });
}

test('every option is checked, and comes back from JSON', () => {
  const attention = instances.get('base');
  for (const [name, value] of [
    ['heavySize', undefined], ['heavySize', 0], ['heavySize', 1.5], ['heavySize', '8'],
    ['groupFactor', 0], ['groupFactor', 1.5], ['bits', 0], ['bits', 9], ['bits', '6'], ['iterations', -1],
    ['iterations', 1001], ['initOffset', -1], ['initOffset', 0.5], ['metric', 'cosine'], ['metric', 1], ['seed', -1],
    ['seed', 'x'], ['seeds', 1],
  ]) {
    const options = { heavySize: 8, [name]: value };
    assert.throws(() => maskers.pqCache(options), new RegExp(`^(TypeError|RangeError): ${name}: `), `${name} ${value}`);
  }
  const { options } = drawProblem(1, { heads: 2, keyHeads: 1, sk: 40, dim: 12 });
  const build = (list) => maskOf(attention, list, options);
  const message = /^RangeError: maskers\[0\] \(pqCache\): groupFactor: expected a divisor .*\(12\), got 8/;
  assert.throws(() => build([maskers.pqCache({ heavySize: 8 })]), message);
  const given = { heavySize: 8, groupFactor: 4, bits: 2, iterations: 3, initOffset: 1, metric: 'ip', seed: 9 };
  const pipeline = attention.createSparseAttention([maskers.pqCache(given)]);
  const json = JSON.parse(JSON.stringify(pipeline.toJSON()));
  assert.deepEqual(json, { maskers: [{ name: 'pqCache', ...given }] });
  assert.deepEqual(build(json).toDense(), pipeline.buildMask(options).toDense());
  assert.ok(!pipeline.maskers[0].isSampling);
});
