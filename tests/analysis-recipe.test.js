// SPDX-License-Identifier: Apache-2.0
/** @file analysis-recipe.test.js - recipes: what they keep, pair by pair, and which are refused. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';

import { createAttention, Mask } from '../js/index.js';
import { allowedMask } from '../attention-map/kept.js';
import { notAllowed } from '../web-demo/analysis/allowed.js';
import { decodeStep } from '../web-demo/analysis/decode.js';
import { addEdit, applyEdits } from '../web-demo/analysis/edits.js';
import { parsePredicate } from '../web-demo/analysis/predicate.js';
import { positionOf, sizesOf, sliceProblem } from '../web-demo/analysis/problem.js';
import {
  buildMask,
  checkRecipe,
  completed,
  defaultMasker,
  MASKER_FORMS,
  presets,
  recipeMaskers,
} from '../web-demo/analysis/recipe.js';
import { readSample } from '../web-demo/files/sample.js';
import { drawEdits, drawProblem, drawRecipe, exact, isAligned, weightsOf } from './analysis-problems.js';
import { cases, Random, seed } from './random.js';

const attention = await createAttention({ variant: 'base' });
const runs = Math.min(cases, 100);

test('what a problem allows, and why not', (t) => {
  t.diagnostic(`seed ${seed}`);
  for (let n = 0; n < runs; n++) {
    const problem = drawProblem(new Random(seed, 920, n));
    const { allowed } = exact(problem, Mask.empty([1, 1, 1, 1]));
    const mask = weightsOf(allowedMask(problem), problem);
    const { batch, heads, queries, keys } = sizesOf(problem);
    for (let at = 0; at < batch * heads * queries * keys; at++) {
      const row = Math.floor(at / keys);
      const cell = {
        batch: Math.floor(row / queries / heads),
        head: Math.floor(row / queries) % heads,
        query: row % queries,
        key: at % keys,
      };
      assert.equal(mask[at] > 0, allowed[at], `case ${n}, ${JSON.stringify(cell)}`);
      assert.equal(notAllowed(problem, cell) === undefined, allowed[at], `case ${n}, ${JSON.stringify(cell)}`);
    }
  }
});

test('edits: the last one of a pair decides', (t) => {
  t.diagnostic(`seed ${seed}`);
  for (let n = 0; n < runs; n++) {
    const random = new Random(seed, 921, n);
    const [sq, sk] = [random.integer(1, 40), random.integer(1, 40)];
    const edits = drawEdits(random, random.integer(0, 12), sq + 4, sk);
    const firstRow = random.pick([0, 0, 3]);
    const shape = [1, 1, sq, sk];
    const given = random.pick([Mask.empty(shape), Mask.full(shape), Mask.fromDense(shape, random.bytes(sq * sk, 0.5))]);
    const mask = applyEdits(given, edits, [sq, sk], firstRow);
    const merged = applyEdits(given, edits.reduce(addEdit, []), [sq, sk], firstRow);
    for (let i = 0; i < sq; i++) {
      for (let j = 0; j < sk; j++) {
        const inside = ({ rows, columns }) => {
          return rows[0] <= i + firstRow && i + firstRow < rows[1] && columns[0] <= j && j < columns[1];
        };
        const last = edits.findLast(inside);
        const before = given.isEmpty() ? 1 : given.get(0, 0, i, j);
        const expected = last === undefined ? before : Number(last.keep);
        assert.equal(mask.isEmpty() ? 1 : mask.get(0, 0, i, j), expected, `case ${n} at ${i}, ${j}`);
        assert.equal(merged.isEmpty() ? 1 : merged.get(0, 0, i, j), expected, `case ${n}, merged, at ${i}, ${j}`);
      }
    }
  }
});

test('edits of a large mask are whole blocks, and too many blocks are refused', () => {
  const size = [100_000, 100_000];
  const shape = [1, 1, ...size];
  const all = applyEdits(Mask.full(shape), [{ rows: [0, 100_000], columns: [0, 100_000], keep: false }], size);
  assert.equal(all.get(0, 0, 99_999, 99_999), 0);
  const block = applyEdits(Mask.full(shape), [{ rows: [640, 704], columns: [64, 128], keep: false }], size);
  assert.deepEqual([block.get(0, 0, 640, 64), block.get(0, 0, 703, 127), block.get(0, 0, 704, 64)], [0, 0, 1]);
  const fine = [{ rows: [1, 100_000], columns: [1, 99_999], keep: false }];
  assert.throws(() => applyEdits(Mask.full(shape), fine, size), /^RangeError: edits: expected at most 16777216 blocks/);
});

test('a recipe is its maskers, and its predicate, and its edits', (t) => {
  t.diagnostic(`seed ${seed}`);
  for (let n = 0; n < runs; n++) {
    const random = new Random(seed, 922, n);
    const problem = drawProblem(random);
    const recipe = drawRecipe(random, problem);
    assert.deepEqual(checkRecipe(JSON.parse(JSON.stringify(recipe))), recipe, `case ${n}`);
    const { mask, effective, stages } = buildMask(attention, problem, recipe);
    const pipeline = attention.createSparseAttention(recipe.maskers);
    const chosen = weightsOf(pipeline.buildMask(problem), problem);
    const { batch, heads, queries, keys } = sizesOf(problem);
    const first = positionOf(problem, 0);
    const condition = recipe.predicate && parsePredicate(recipe.predicate);
    const expected = chosen.map((weight, at) => {
      const [row, key] = [Math.floor(at / keys), at % keys];
      const [head, query] = [Math.floor(row / queries) % heads, row % queries];
      const inside = ({ rows, columns }) =>
        rows[0] <= query && query < rows[1] && columns[0] <= key && key < columns[1];
      const last = recipe.edits?.findLast(inside);
      if (last !== undefined) return Number(last.keep);
      return condition && !condition.test(first + query, key, head) ? 0 : weight;
    });
    const where = `case ${n}: ${JSON.stringify(recipe)}`;
    assert.deepEqual(weightsOf(mask, problem), expected, where);
    const parts = [recipe.predicate, recipe.edits].filter((part) => part !== undefined).length;
    assert.equal(stages.length, recipe.maskers.length + parts, where);
    const { kept } = exact(problem, mask);
    assert.deepEqual(
      Array.from(weightsOf(effective, problem), (weight) => weight > 0),
      kept,
      where,
    );
    const whole = attention.createSparseAttention(recipeMaskers(problem, recipe)).buildMask(problem);
    assert.deepEqual(weightsOf(whole, problem), expected, `${where}, as one pipeline`);
    assert.equal(batch * heads * queries * keys, expected.length);
  }
});

test('a predicate needs queries at one position', () => {
  const random = new Random(seed, 923);
  const problem = { ...drawProblem(random, { batch: 2, masks: false }), queryOffset: [0, 3] };
  assert.ok(!isAligned(problem));
  const recipe = { maskers: [], predicate: 'q >= k' };
  assert.throws(() => buildMask(attention, problem, recipe), /^RangeError: recipe.predicate: .*one position.*0,3/);
});

test('all presets and all forms work on the samples, on one key, and on longer problems', () => {
  const problems = ['hello', 'mixed'].map((name) => {
    const { layers } = readSample(readFileSync(new URL(`../samples/${name}.safetensors`, import.meta.url)));
    return layers[0].problem;
  });
  const random = new Random(seed, 924);
  problems.push(drawProblem(random, { most: 1, masks: false }));
  const rows = { data: random.floats(2 * 300 * 16), dims: [1, 2, 300, 16] };
  problems.push({ queries: rows, keys: rows, values: rows, causal: true });
  for (const problem of problems) {
    const ids = presets(problem).map(({ id, label, text, recipe }) => {
      assert.ok(label.length > 0 && text.length > 0, id);
      assert.deepEqual(checkRecipe(recipe), recipe, id);
      buildMask(attention, problem, recipe);
      return id;
    });
    assert.equal(new Set(ids).size, ids.length);
    for (const [name, form] of Object.entries(MASKER_FORMS)) {
      const sizes = sizesOf(problem);
      const recipe = { maskers: [defaultMasker(name, sizes)] };
      checkRecipe(recipe);
      const sparseAttentionMask = Mask.full([1, 1, sizes.queries, sizes.keys]);
      buildMask(attention, { ...problem, sparseAttentionMask }, recipe);
      for (const slider of form.sliders(sizes)) {
        const where = `${name}.${slider.name}`;
        const ends = slider.kind === 'choice' ? slider.choices : [slider.min, slider.max];
        assert.ok(
          ends.length > 0 &&
            (slider.kind === 'choice'
              ? ends.includes(slider.default)
              : slider.default >= slider.min && slider.default <= slider.max),
          where,
        );
        for (const value of ends) checkRecipe({ maskers: [{ ...recipe.maskers[0], [slider.name]: value }] });
      }
    }
  }
});

test('a mask that data bring along is a masker like others, also of the last rows and of one batch', () => {
  const shape = [2, 2, 6, 8];
  const given = Mask.fromFunction(shape, (b, h, q, k) => (b + 2 * h + q + k) % 3 === 0);
  const random = new Random(seed, 31);
  const tensorOf = (dims) => ({ data: random.floats(dims.reduce((a, b) => a * b)), dims });
  const problem = {
    queries: tensorOf([2, 2, 6, 4]), keys: tensorOf([2, 2, 8, 4]), values: tensorOf([2, 2, 8, 4]), sparseAttentionMask: given,
  };
  const recipe = checkRecipe({ maskers: [{ name: 'sink', size: 1 }, { name: 'given' }] });
  const { mask, stages } = buildMask(attention, problem, recipe);
  assert.equal(stages.length, 2);
  const keeps = (b, h, q, k) => k < 1 || given.get(b, h, q, k) > 0;
  const expected = Mask.fromFunction(shape, keeps);
  assert.deepEqual(mask.toIndices(), expected.toIndices());

  const rows = sliceProblem(problem, { rows: [4, 6] });
  const ofRows = attention.createSparseAttention(recipeMaskers(rows, completed(problem, recipe), 4)).buildMask(rows);
  assert.deepEqual(ofRows.toIndices(), Mask.fromFunction([2, 2, 2, 8], (b, h, q, k) => keeps(b, h, q + 4, k)).toIndices());

  const step = decodeStep(attention, problem, recipe, { query: 3, batch: 1, head: 1, pageSize: 2 });
  assert.deepEqual([...step.keys], [0, 1, 2, 3, 4, 5].filter((k) => keeps(1, 1, 3, k)));

  const without = { ...problem, sparseAttentionMask: undefined };
  assert.throws(() => buildMask(attention, without, recipe), /^RangeError: given: the data have no sparse mask$/);
  assert.throws(() => checkRecipe({ maskers: [{ name: 'given', size: 1 }] }), /recipe\.maskers\[0\] \(given\): options/);
});

test('maskers that look at keys are refused where they would take minutes', () => {
  const rows = { data: new Float32Array(100_000), dims: [1, 1, 100_000, 1] };
  const problem = { queries: rows, keys: rows, values: rows };
  for (const name of ['oracleTopK', 'randomSampling']) {
    const recipe = { maskers: [{ name: 'sink', size: 4 }, defaultMasker(name, sizesOf(problem))] };
    assert.throws(
      () => buildMask(attention, problem, recipe),
      (error) => {
        return error instanceof RangeError && error.message.startsWith(`recipe.maskers[1] (${name}): expected at most`);
      },
    );
  }
  const { mask } = buildMask(attention, problem, {
    maskers: [
      { name: 'sink', size: 4 },
      { name: 'local', size: 64 },
    ],
  });
  assert.equal(mask.get(0, 0, 99_999, 99_999), 1);
});

test('what is wrong of any masker is told before one is carried out', () => {
  const problem = drawProblem(new Random(seed, 925));
  const recipe = { maskers: [{ name: 'sink', size: 2 }, { name: 'oracleTopK' }] };
  assert.throws(() => buildMask(attention, problem, recipe), /maskers\[1\] \(oracleTopK\)/);
});

const cycle = { name: 'sink', size: 1 };
cycle.self = cycle;
const edit = { rows: [0, 1], columns: [0, 1], keep: true };
const hostile = [
  [undefined, TypeError, /^recipe: expected an object/],
  [null, TypeError, /^recipe: .*null/],
  ['dense', TypeError, /^recipe: /],
  [[], TypeError, /^recipe: /],
  [{}, TypeError, /^recipe.maskers: expected an array of maskers, got nothing/],
  [{ maskers: {} }, TypeError, /^recipe.maskers: /],
  [{ maskers: [], color: 1 }, RangeError, /^recipe: .*got color/],
  [JSON.parse('{ "maskers": [], "__proto__": { "edits": 1 } }'), RangeError, /__proto__/],
  [{ maskers: [null] }, TypeError, /^recipe.maskers\[0\]: /],
  [{ maskers: new Array(2) }, TypeError, /^recipe.maskers\[0\]: /],
  [{ maskers: [[]] }, TypeError, /^recipe.maskers\[0\]: /],
  [{ maskers: ['sink'] }, TypeError, /^recipe.maskers\[0\]: /],
  [{ maskers: [{ name: 'toString' }] }, RangeError, /^recipe.maskers\[0\].name: .*got toString/],
  [{ maskers: [{ name: '__proto__' }] }, RangeError, /^recipe.maskers\[0\].name: /],
  [{ maskers: [{ size: 3 }] }, RangeError, /^recipe.maskers\[0\].name: .*got nothing/],
  [{ maskers: [{ name: ['sink'] }] }, RangeError, /^recipe.maskers\[0\].name: /],
  [{ maskers: [{ name: 'sink' }] }, TypeError, /^recipe.maskers\[0\] \(sink\): .*size/],
  [{ maskers: [{ name: 'sink', size: -1 }] }, RangeError, /^recipe.maskers\[0\] \(sink\): .*size.*-1/],
  [{ maskers: [{ name: 'sink', size: NaN }] }, TypeError, /size/],
  [{ maskers: [{ name: 'sink', size: '4' }] }, TypeError, /size/],
  [{ maskers: [{ name: 'sink', size: { valueOf: 3 } }] }, TypeError, /size/],
  [{ maskers: [{ name: 'sink', size: 4, sise: 3 }] }, TypeError, /sise/],
  [{ maskers: [{ name: 'sink', size: 4n }] }, TypeError, /recipe.maskers\[0\]/],
  [{ maskers: [cycle] }, TypeError, /recipe.maskers\[0\].*JSON/],
  [{ maskers: [{ name: 'randomSampling', rate: 0.5 }] }, TypeError, /seed/],
  [{ maskers: Array.from({ length: 9 }, () => ({ name: 'causal' })) }, RangeError, /at most 8 maskers, got 9/],
  [
    { maskers: ['randomSampling', 'magicPig'].map((name) => defaultMasker(name, { keys: 9, dim: 4 })) },
    RangeError,
    /at most one that samples, got randomSampling and magicPig/,
  ],
  [{ maskers: [], predicate: 5 }, TypeError, /^recipe: predicate: expected text/],
  [{ maskers: [], predicate: 'q >' }, RangeError, /^recipe: predicate: .*character/],
  [{ maskers: [], predicate: null }, TypeError, /^recipe: predicate: /],
  [{ maskers: [], edits: {} }, TypeError, /^recipe.edits: /],
  [{ maskers: [], edits: [edit, 3] }, TypeError, /^recipe.edits\[1\]: /],
  [{ maskers: [], edits: [{ ...edit, head: 1 }] }, RangeError, /^recipe.edits\[0\]: .*head/],
  [{ maskers: [], edits: [{ ...edit, keep: 1 }] }, TypeError, /^recipe.edits\[0\].keep: /],
  [{ maskers: [], edits: [{ ...edit, rows: [2, 1] }] }, RangeError, /^recipe.edits\[0\].rows: /],
  [{ maskers: [], edits: [{ ...edit, rows: [0, 1.5] }] }, RangeError, /rows/],
  [{ maskers: [], edits: [{ ...edit, columns: [-1, 1] }] }, RangeError, /columns/],
  [{ maskers: [], edits: [{ ...edit, columns: [0, 1e300] }] }, RangeError, /columns/],
  [{ maskers: [], edits: [{ ...edit, columns: ['0', 1] }] }, RangeError, /columns/],
  [{ maskers: [], edits: [{ ...edit, columns: 3 }] }, TypeError, /columns/],
  [{ maskers: [], edits: Array.from({ length: 1001 }, () => edit) }, RangeError, /at most 1000 edits, got 1001/],
];

for (const [n, [value, type, message]] of hostile.entries()) {
  test(`refused: recipe ${n}, ${message.source}`, () => {
    assert.throws(
      () => checkRecipe(value),
      (error) => {
        assert.equal(error.constructor, type, error.stack);
        assert.match(error.message, message);
        return true;
      },
    );
  });
}

test('a checked recipe is a copy', () => {
  const given = { maskers: [{ name: 'doubleSparsity', heavySize: 2, groupFactor: 2 }], edits: [structuredClone(edit)] };
  const recipe = checkRecipe(given);
  given.maskers[0].heavySize = 99;
  given.edits[0].rows[0] = 99;
  assert.deepEqual(recipe, { maskers: [{ name: 'doubleSparsity', heavySize: 2, groupFactor: 2 }], edits: [edit] });
});
