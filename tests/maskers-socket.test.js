// SPDX-License-Identifier: Apache-2.0
// SOCKET: masks are those of double-precision scores, from projections and buckets that are found once more here.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { maskers } from '../js/index.js';
import { enginesByVariant } from './calls.js';
import { assertLargest, describe, dot, drawProblem, maskOf, shortened, testCases } from './masker-references.js';
import { philox } from './oracle.js';
import { variants } from './variants.js';

const instances = enginesByVariant();

/** [tables][bits] projections of `dim` numbers: sums of eight uniform numbers, centred, of variance 1. */
function projectionsOf({ tables = 1, bits = 4, seed = 0 }, dim) {
  const key = [((seed % 2 ** 32) ^ 0x534b0000) >>> 0, Math.floor(seed / 2 ** 32)];
  const element = (n) => {
    const halves = philox([n, 0, 0, 0], key).flatMap((word) => [word & 0xffff, word >>> 16]);
    return (halves.reduce((a, b) => a + b, 0) - 4 * 65535) / (65536 * Math.sqrt(8 / 12));
  };
  return Array.from({ length: tables }, (_, t) =>
    Array.from({ length: bits }, (__, i) => {
      const begin = (t * bits + i) * dim;
      return Float64Array.from({ length: dim }, (___, d) => element(begin + d));
    }),
  );
}

const norm = (x) => Math.sqrt(dot(x, x));
const sigmoid = (x) => 1 / (1 + Math.exp(-x));

/** score(b, h, i, j), from the definition. */
function scoreOf(problem, options) {
  const { temperature = 0.3 } = options;
  const projections = projectionsOf(options, problem.dim);
  const keyGroup = problem.heads / problem.keyHeads;
  const valueGroup = problem.heads / problem.valueHeads;
  return (b, h, i, j) => {
    const q = problem.query(b, h, i);
    const k = problem.key(b, Math.floor(h / keyGroup), j);
    const length = norm(q);
    let sum = 0;
    for (const table of projections) {
      sum += table.reduce((p, r) => {
        const projected = dot(k, r);
        assert.ok(projected === 0 || Math.abs(projected) > 1e-6, 'a key on the border of a bucket: draw others');
        const x = length === 0 ? 0 : dot(q, r) / length / temperature;
        return p * sigmoid(projected >= 0 ? x : -x);
      }, 1);
    }
    return sum * norm(problem.value(b, Math.floor(h / valueGroup), j));
  };
}

function check(problem, given, mask, count, options) {
  assertLargest(problem, given, mask, count, scoreOf(problem, options), { tolerance: 3e-5 });
}

for (const variant of variants) {
  const options = { tables: 3, seed: 4 };
  testCases(variant, instances, maskers.socket({ heavySize: 9, ...options }), (problem, given, mask) =>
    check(problem, given, mask, 9, options));

  test(`${variant}: options`, () => {
    const attention = instances.get(variant);
    const problem = drawProblem(2, { heads: 6, keyHeads: 3, valueHeads: 2, sk: 200, dim: 7, valueDim: 3 });
    for (const options of [
      {},
      { bits: 1 },
      { bits: 8, tables: 2 },
      { bits: 3, tables: 17, temperature: 2 },
      { temperature: 0.01, tables: 4 },
      { temperature: 1e6, tables: 2 }, // all buckets alike: the norms decide
      { seed: 2 ** 40 + 3, tables: 2 },
    ]) {
      const mask = maskOf(attention, [maskers.socket({ heavySize: 0.1, ...options })], problem.options);
      check(problem, undefined, mask, 20, options);
    }
    problem.options.queries.data.fill(0);
    const mask = maskOf(attention, [maskers.socket({ heavySize: 20 })], problem.options);
    check(describe(problem.options), undefined, mask, 20, {});
  });

  test(`${variant}: keys are appended, and nothing is made again`, () => {
    const attention = instances.get(variant);
    const problem = drawProblem(9, { batch: 2, heads: 4, keyHeads: 2, valueHeads: 4, sk: 300, dim: 8 });
    const options = { tables: 4, seed: 3 };
    const steps = (ends) => {
      const pipeline = attention.createSparseAttention([maskers.socket({ heavySize: 7, ...options })]);
      const masks = ends.map((sk) => pipeline.buildMask(shortened(problem, sk).options));
      pipeline.dispose();
      return masks;
    };
    const ends = [130, ...Array.from({ length: 30 }, (_, n) => 131 + n), 300];
    steps(ends).forEach((mask, n) => {
      if (n % 8 === 0 || ends[n] === 300) check(shortened(problem, ends[n]), undefined, mask, 7, options);
    });
    const [all] = steps([300]);
    assert.deepEqual(all.toDense(), steps([1, 2, 3, 9, 300]).at(-1).toDense(), 'no matter in how many steps');
  });

  test(`${variant}: seeds, and what is not finite`, () => {
    const attention = instances.get(variant);
    const { options } = drawProblem(10, { heads: 4, keyHeads: 2, sk: 200, dim: 16 });
    const of = (seed) => maskOf(attention, [maskers.socket({ heavySize: 20, tables: 2, seed })], options).toDense();
    assert.deepEqual(of(1), of(1));
    assert.deepEqual(of(0), of(undefined));
    assert.notDeepEqual(of(1), of(2));
    assert.notDeepEqual(of(1), of(1n + (1n << 40n)));
    options.values.data.fill(NaN, 0, 5);
    assert.ok(of(1)[0] === 0, 'NaN is never chosen');
  });

  test(`${variant}: values of another number of heads are another sequence`, () => {
    const attention = instances.get(variant);
    const four = drawProblem(1, { heads: 4, keyHeads: 1, valueHeads: 4, sk: 20, dim: 4 });
    const one = drawProblem(1, { heads: 4, keyHeads: 1, valueHeads: 1, sk: 20, dim: 4 });
    const pipeline = attention.createSparseAttention([maskers.socket({ heavySize: 4 })]);
    pipeline.buildMask(one.options);
    assert.throws(() => pipeline.buildMask(four.options), /^RangeError: .*reset\(\)/);
    pipeline.reset();
    check(four, undefined, pipeline.buildMask(four.options), 4, {});
    pipeline.dispose();
  });
}

test('every option is checked, and comes back from JSON', () => {
  const attention = instances.get('base');
  for (const [name, value] of [
    ['heavySize', undefined], ['heavySize', 0], ['bits', 0], ['bits', 9], ['bits', '4'], ['tables', 0], ['tables', 257],
    ['temperature', 0], ['temperature', -1], ['temperature', '1'], ['temperature', Infinity], ['temperature', 1e-60], ['seed', -1],
    ['seed', 'x'], ['table', 1],
  ]) {
    const options = { heavySize: 8, [name]: value };
    assert.throws(() => maskers.socket(options), new RegExp(`^(TypeError|RangeError): ${name}: `), `${name} ${value}`);
  }
  const { options } = drawProblem(1, { heads: 2, keyHeads: 1, sk: 40, dim: 12 });
  const given = { heavySize: 8, bits: 3, tables: 2, temperature: 0.5, seed: 9 };
  const pipeline = attention.createSparseAttention([maskers.socket(given)]);
  const json = JSON.parse(JSON.stringify(pipeline.toJSON()));
  assert.deepEqual(json, { maskers: [{ name: 'socket', ...given }] });
  assert.deepEqual(maskOf(attention, json, options).toDense(), pipeline.buildMask(options).toDense());
  assert.ok(!pipeline.maskers[0].isSampling);
});
