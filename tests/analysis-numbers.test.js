// SPDX-License-Identifier: Apache-2.0
/**
 * @file analysis-numbers.test.js - numbers, heads, curves and decoding steps against double precision, over random
 * problems; and that problems of 100,000 tokens are sampled, and say so.
 */
import assert from 'node:assert/strict';
import test from 'node:test';

import { createAttention } from '../js/index.js';
import { curve, defaultAxis } from '../web-demo/analysis/curve.js';
import { decodeStep } from '../web-demo/analysis/decode.js';
import { headStatistics, similarHeads, thumbnail } from '../web-demo/analysis/heads.js';
import { numbers, times } from '../web-demo/analysis/numbers.js';
import { positionOf, sizesOf, sliceMask, sliceProblem } from '../web-demo/analysis/problem.js';
import { buildMask, recipeMaskers } from '../web-demo/analysis/recipe.js';
import { drawProblem, drawRecipe, exact, weightsOf } from './analysis-problems.js';
import { cases, Random, seed } from './random.js';

const attention = await createAttention({ variant: 'base' });
const runs = Math.min(cases, 60);

const near = (actual, expected, where, tolerance = 2e-5) => {
  assert.ok(
    Math.abs(actual - expected) <= tolerance * (1 + Math.abs(expected)),
    `${where}: ${actual}, expected ${expected}`,
  );
};
const sum = (values) => values.reduce((a, b) => a + b, 0);
const norm = (values) => Math.sqrt(sum(Array.from(values, (value) => value ** 2)));

function drawn(n, stream, options) {
  const random = new Random(seed, stream, n);
  const problem = drawProblem(random, options);
  const recipe = drawRecipe(random, problem, options);
  const size = sizesOf(problem);
  const at = { batch: random.integer(0, size.batch - 1), head: random.integer(0, size.heads - 1) };
  const built = buildMask(attention, problem, recipe);
  return {
    random,
    problem,
    recipe,
    size,
    at,
    built,
    where: `case ${n}: ${JSON.stringify(recipe)} at ${JSON.stringify(at)}`,
  };
}

test('numbers of a head are those of double precision', (t) => {
  t.diagnostic(`seed ${seed}`);
  for (let n = 0; n < runs; n++) {
    const { random, problem, size, at, built, where } = drawn(n, 930);
    const { queries, keys, heads, valueDim } = size;
    const { kept, allowed, dense, masked } = exact(problem, built.mask);
    const blockSize = random.integer(1, 9);
    const found = numbers(attention, problem, built, { ...at, blockSize });
    const first = (at.batch * heads + at.head) * queries;
    const rows = Array.from({ length: queries }, (_, i) => first + i);
    const rowOf = (values, row) => values.slice(row * keys, (row + 1) * keys);
    const counts = rows.map((row) => sum(rowOf(kept, row).map(Number)));
    const open = sum(rows.map((row) => sum(rowOf(allowed, row).map(Number))));
    near(found.density, sum(counts) / (queries * keys), where);
    near(found.densityOfAllowed, open === 0 ? 1 : sum(counts) / open, where);
    assert.equal(found.emptyRows, counts.filter((count) => count === 0).length, where);
    near(found.worstRowDensity, Math.max(...counts) / keys, where);
    assert.equal(counts[found.worstDensityRow], Math.max(...counts), where);

    const tally = { skipped: 0, partial: 0, full: 0 };
    for (let i = 0; i < queries; i += blockSize) {
      for (let j = 0; j < keys; j += blockSize) {
        const cells = rows.slice(i, i + blockSize).flatMap((row) => {
          return Array.from(
            weightsOf(built.mask, problem).slice(row * keys + j, row * keys + Math.min(keys, j + blockSize)),
            (weight, k) => (kept[row * keys + j + k] ? weight : 0),
          );
        });
        tally[
          cells.every((weight) => weight === 0) ? 'skipped' : cells.every((weight) => weight === 1) ? 'full' : 'partial'
        ]++;
      }
    }
    const { size: own, density, ...blocks } = found.blocks;
    assert.deepEqual(blocks, tally, where);
    assert.equal(own, blockSize);
    near(density, (tally.partial + tally.full) / (tally.skipped + tally.partial + tally.full), where);

    const recalls = rows.flatMap((row) => {
      const weights = Array.from(rowOf(dense.weights, row));
      return sum(weights) === 0 ? [] : [sum(weights.filter((_, j) => kept[row * keys + j]))];
    });
    const sorted = recalls.toSorted((a, b) => a - b);
    near(found.recall.mean, recalls.length === 0 ? 1 : sum(recalls) / recalls.length, where);
    near(found.recall.worst, sorted[0] ?? 1, where);
    near(found.recall.p5, sorted[Math.floor(0.05 * (sorted.length - 1))] ?? 1, where);
    if (recalls.length > 0) {
      const row = rowOf(dense.weights, first + found.recall.worstRow);
      near(sum(Array.from(row).filter((_, j) => kept[(first + found.recall.worstRow) * keys + j])), sorted[0], where);
    } else assert.equal(found.recall.worstRow, undefined);

    const outputOf = (result, head, count = 1) => {
      const begin = (at.batch * heads + head) * queries * valueDim;
      return Array.from(result.output.slice(begin, begin + count * queries * valueDim));
    };
    const relative = (head, count) => {
      const [a, b] = [masked, dense].map((result) => outputOf(result, head, count));
      const difference = norm(a.map((value, d) => value - b[d]));
      return difference === 0 ? 0 : difference / norm(b);
    };
    const [a, b] = [masked, dense].map((result) => outputOf(result, at.head));
    const tolerance = 1e-4;
    near(found.error.relative, relative(at.head), where, tolerance);
    near(found.error.layer, relative(0, heads), where, tolerance);
    near(found.error.max, Math.max(...a.map((value, d) => Math.abs(value - b[d]))), where, tolerance);
    found.error.perHead.forEach((error, head) => near(error, relative(head), where, tolerance));
    assert.deepEqual([found.sampled, found.rows, found.sampledCost, found.missing], [false, queries, false, {}], where);
  }
});

test('numbers agree with compare', (t) => {
  t.diagnostic(`seed ${seed}`);
  for (let n = 0; n < 20; n++) {
    const { problem, recipe, size, built, where } = drawn(n, 931, { batch: 1 });
    const [row] = attention.compare(problem, [recipeMaskers(problem, recipe)]);
    const all = Array.from({ length: size.heads }, (_, head) => numbers(attention, problem, built, { head }));
    near(all[0].error.layer, row.outputError, where);
    near(Math.min(...all.map(({ recall }) => recall.worst)), row.massRecall.worst, where);
    assert.deepEqual([all[0].flops, all[0].flopsDense], [row.flops, row.flopsDense], where);
    const { bytes } = attention.explain({ ...problem, sparseAttentionMask: built.mask });
    assert.equal(all[0].bytes, bytes, where);
  }
});

test('without values there is no error, and it is said why', () => {
  const { problem, recipe, built } = drawn(1, 932);
  const { values, ...rest } = problem;
  assert.ok(values);
  const found = numbers(attention, rest, built);
  assert.equal(found.error, undefined);
  assert.match(found.missing.error, /no values/);
  assert.ok(curve(attention, rest, recipe).every(({ error, recall }) => error === undefined && recall >= 0));
  near(found.recall.mean, numbers(attention, problem, built).recall.mean, 'recall');
  assert.deepEqual(weightsOf(buildMask(attention, rest, recipe).mask, problem), weightsOf(built.mask, problem));
});

test('times are of the whole problem, mask and attention apart', () => {
  for (let n = 0; n < 3; n++) {
    const { problem, recipe, size, where } = drawn(n, 933);
    const found = times(attention, problem, recipe);
    for (const name of ['setup', 'mask', 'attention', 'dense', 'speedup'])
      assert.ok(found[name] >= 0, `${where} ${name}`);
    assert.equal(found.denseIsFaster, !(found.dense > found.mask + found.attention), where);
    assert.deepEqual([found.rows, found.sampled], [[0, size.queries], false], where);
  }
});

test('a part of a problem gives what the whole gives there', (t) => {
  t.diagnostic(`seed ${seed}`);
  for (let n = 0; n < runs; n++) {
    const { random, problem, size, at, built, where } = drawn(n, 934);
    const i0 = random.integer(0, size.queries - 1);
    const rows = [i0, random.integer(i0 + 1, size.queries)];
    const group = size.heads / size.keyHeads;
    const heads = random.chance(0.5) ? [at.head, at.head + 1] : [0, size.heads];
    assert.ok(group >= 1);
    const part = sliceProblem(problem, { batch: at.batch, heads, rows });
    const own = sliceMask(built.mask, size, { batch: at.batch, heads, rows });
    const options = { returnAttentionWeights: true, outputLayout: 'bhsd' };
    const weighting = { maskWeighting: 'inverse' };
    const whole = attention.getMaskedAttentionOutput({
      ...problem,
      ...options,
      ...weighting,
      sparseAttentionMask: built.mask,
    });
    const found = attention.getMaskedAttentionOutput({ ...part, ...options, ...weighting, sparseAttentionMask: own });
    const count = rows[1] - rows[0];
    for (let head = heads[0], to = 0; head < heads[1]; head++) {
      for (let i = rows[0]; i < rows[1]; i++, to++) {
        const from = (at.batch * size.heads + head) * size.queries + i;
        for (const [name, width] of [
          ['weights', size.keys],
          ['output', size.valueDim],
        ]) {
          for (let d = 0; d < width; d++) {
            near(found[name].data[to * width + d], whole[name].data[from * width + d], `${where} ${name}`);
          }
        }
      }
    }
    assert.deepEqual(found.weights.dims, [1, heads[1] - heads[0], count, size.keys]);
  }
});

test('statistics of heads are those of double precision', (t) => {
  t.diagnostic(`seed ${seed}`);
  for (let n = 0; n < runs; n++) {
    const { problem, size, at, built, random, where } = drawn(n, 935);
    const { heads, queries, keys } = size;
    const { dense, kept } = exact(problem, built.mask);
    const options = { batch: at.batch, sinkKeys: random.integer(0, 4), nearKeys: random.integer(0, 5) };
    const found = headStatistics(attention, problem, built.effective, options);
    assert.equal(found.length, heads);
    for (const own of found) {
      const sums = { entropy: [], sinkMass: [], locality: [], recall: [] };
      for (let i = 0; i < queries; i++) {
        const first = ((at.batch * heads + own.head) * queries + i) * keys;
        const row = Array.from(dense.weights.slice(first, first + keys));
        if (sum(row) === 0) continue;
        const position = positionOf(problem, at.batch) + i;
        sums.entropy.push(sum(row.map((weight) => (weight > 0 ? -weight * Math.log2(weight) : 0))));
        sums.sinkMass.push(sum(row.slice(0, options.sinkKeys)));
        sums.locality.push(sum(row.filter((_, j) => Math.abs(position - j) <= options.nearKeys)));
        sums.recall.push(sum(row.filter((_, j) => kept[first + j])));
      }
      for (const [name, values] of Object.entries(sums)) {
        const expected = values.length === 0 ? Number(name === 'recall') : sum(values) / values.length;
        near(own[name], expected, `${where} ${name}`, 1e-4);
      }
      assert.equal(own.keyHead, Math.floor(own.head / (heads / size.keyHeads)), where);
      assert.deepEqual([own.rows, own.sampled], [queries, false], where);
    }
    assert.equal(headStatistics(attention, problem)[0].recall, undefined);
  }
});

test('heads like one: the total variation of their weights', (t) => {
  t.diagnostic(`seed ${seed}`);
  for (let n = 0; n < 40; n++) {
    const { problem, size, at, where } = drawn(n, 936);
    const { heads, queries, keys } = size;
    const other = { ...problem, queries: { ...problem.queries, data: problem.queries.data.map((value) => value / 2) } };
    const weights = [problem, other].map((own) => exact(own, { isEmpty: () => true }).dense.weights);
    const rowsOf = (layer, head) => {
      const first = (at.batch * heads + head) * queries * keys;
      return weights[layer].slice(first, first + queries * keys);
    };
    const mine = rowsOf(0, at.head);
    const found = similarHeads(attention, problem, at.head, { batch: at.batch, among: [problem, other] });
    assert.equal(found.length, 2 * heads - 1, where);
    found.forEach(({ layer, head, distance }, place) => {
      assert.ok(layer !== 0 || head !== at.head, where);
      const own = rowsOf(layer, head);
      near(distance, sum(Array.from(own, (weight, k) => Math.abs(weight - mine[k]))) / 2 / queries, where);
      if (place > 0) assert.ok(distance >= found[place - 1].distance, where);
    });
    assert.equal(similarHeads(attention, problem, at.head, { batch: at.batch }).length, heads - 1);
  }
  const { problem } = drawn(0, 936);
  assert.throws(() => similarHeads(attention, problem, 99), /^RangeError: head: expected an integer in 0\.\./);
  const short = sliceProblem(problem, { keys: problem.keys.dims[2] - 1 });
  assert.throws(() => similarHeads(attention, problem, 0, { among: [short] }), /^RangeError: among\[0\]: /);
});

test('a thumbnail asks for the finest level that fits', () => {
  const asked = [];
  const sourceOf = (queries, keys) => ({ shape: [1, 2, queries, keys], read: (options) => asked.push(options) });
  const sizes = [
    [23, 23, 0],
    [48, 48, 0],
    [49, 3, 1],
    [3, 97, 2],
    [4096, 4096, 7],
    [100_000, 100_000, 12],
  ];
  for (const [queries, keys, level] of sizes) {
    thumbnail(sourceOf(queries, keys), { head: 1, size: 48 });
    const rows = [0, Math.ceil(queries / 2 ** level)];
    const columns = [0, Math.ceil(keys / 2 ** level)];
    assert.deepEqual(asked.pop(), { batch: 0, head: 1, level, rows, columns, show: 'weights' });
    assert.ok(rows[1] <= 48 && columns[1] <= 48);
  }
});

test('a curve has a dot for each size, and one for the recipe itself', (t) => {
  t.diagnostic(`seed ${seed}`);
  for (let n = 0; n < 8; n++) {
    const { problem, recipe, where } = drawn(n, 937, { batch: 1 });
    const axis = defaultAxis(recipe);
    const dots = curve(attention, problem, recipe);
    assert.deepEqual(
      dots.filter(({ current }) => current).map((dot) => dot.recipe),
      [recipe],
      where,
    );
    if (axis === -1) assert.equal(dots.length, 1, where);
    dots.forEach((dot, place) => {
      const { mask, effective } = buildMask(attention, problem, dot.recipe);
      const pairs = weightsOf(effective, problem);
      near(dot.density, pairs.filter((weight) => weight > 0).length / pairs.length, where);
      const [row] = attention.compare(problem, [recipeMaskers(problem, dot.recipe)]);
      near(dot.error, row.outputError, where);
      near(dot.recall, row.massRecall.mean, where);
      assert.ok(mask.shape.length === 4 && !dot.sampled, where);
      if (place > 0) assert.ok(dot.density >= dots[place - 1].density, where);
      const others = dot.recipe.maskers.filter((_, m) => m !== axis);
      assert.deepEqual(
        others,
        recipe.maskers.filter((_, m) => m !== axis),
        where,
      );
    });
  }
});

test('a curve of a large problem has 8 to 12 dots that span the sizes', () => {
  const rows = { data: new Random(seed, 938).floats(2 * 256 * 8), dims: [1, 2, 256, 8] };
  const problem = { queries: rows, keys: rows, values: rows, causal: true };
  const recipes = [
    [
      {
        maskers: [
          { name: 'sink', size: 2 },
          { name: 'oracleTopK', heavySize: 7 },
        ],
      },
      undefined,
    ],
    [{ maskers: [{ name: 'local', size: 0.1 }, { name: 'causal' }] }, undefined],
    [{ maskers: [{ name: 'oracleTopP', topP: 0.8 }] }, undefined],
    [{ maskers: [{ name: 'randomSampling', rate: 0.3, seed: 1 }] }, undefined],
    [{ maskers: [{ name: 'adaptiveSampling', epsilon: 0.3, delta: 0.2, baseRate: 0.1, seed: 1 }] }, undefined],
    [
      {
        maskers: [
          { name: 'sink', size: 2 },
          { name: 'quest', heavySize: 32, pageSize: 4 },
        ],
      },
      0,
    ],
  ];
  for (const [recipe, axis] of recipes) {
    const dots = curve(attention, problem, recipe, { axis });
    const where = JSON.stringify(recipe);
    assert.ok(dots.length >= 8 && dots.length <= 12, `${where}: ${dots.length} dots`);
    assert.ok(dots.at(-1).density > 2 * dots[0].density, where);
    assert.ok(dots.at(-1).recall > 0.9, where);
  }
  assert.throws(() => curve(attention, problem, recipes[1][0], { axis: 1 }), /^RangeError: axis: /);
  assert.throws(() => curve(attention, problem, recipes[1][0], { axis: 7 }), /^RangeError: axis: /);
});

test('a decoding step reads what a decoder would', (t) => {
  t.diagnostic(`seed ${seed}`);
  for (let n = 0; n < runs; n++) {
    const { random, problem, recipe, size, at, where } = drawn(n, 939, { batch: 1, sampling: false });
    const query = random.integer(0, size.queries - 1);
    const pageSize = random.integer(1, 7);
    const length = Math.max(0, Math.min(size.keys, positionOf(problem) + query + 1));
    const found = decodeStep(attention, problem, recipe, { query, head: at.head, pageSize });
    assert.equal(found.length, length, where);
    const bytes = 4 * (size.dim + size.valueDim);
    assert.deepEqual([found.read, found.of], [found.keys.length * bytes, length * bytes], where);
    if (length === 0) continue;
    const step = sliceProblem(problem, { rows: [query, query + 1], keys: length });
    const clip = ([begin, end], limit) => [Math.min(begin, limit), Math.min(end, limit)];
    const edits = recipe.edits?.map(({ rows, columns, keep }) => {
      return { rows: rows[0] <= query && query < rows[1] ? [0, 1] : [0, 0], columns: clip(columns, length), keep };
    });
    const { mask } = buildMask(attention, step, edits ? { ...recipe, edits } : recipe);
    const { masked, kept } = exact(step, mask);
    const own = (values) => Array.from(values.slice(at.head * length, (at.head + 1) * length));
    const expected = own(kept).flatMap((is, j) => (is ? [j] : []));
    assert.deepEqual([...found.keys], expected, where);
    expected.forEach((key, place) => near(found.weights[place], own(masked.weights)[key], where));
    found.pages.forEach(({ page, begin, end, kept: count, mass }) => {
      assert.deepEqual([begin, end], [page * pageSize, Math.min(length, (page + 1) * pageSize)], where);
      const inside = expected.filter((key) => key >= begin && key < end);
      assert.equal(count, inside.length, where);
      near(mass, sum(inside.map((key) => own(masked.weights)[key])), where, 1e-4);
    });
    assert.equal(found.pages.length, Math.ceil(length / pageSize), where);
  }
  const { problem, recipe } = drawn(0, 939, { batch: 1 });
  assert.throws(() => decodeStep(attention, problem, recipe, { query: 99 }), /^RangeError: query: /);
  assert.throws(() => decodeStep(attention, problem, recipe, { query: 0, pageSize: 0 }), /^RangeError: pageSize: /);
});

test('100,000 tokens are sampled, and say so', () => {
  const length = 100_000;
  const random = new Random(seed, 940);
  const tensorOf = () => ({ data: random.floats(length * 4), dims: [1, 1, length, 4] });
  const problem = { queries: tensorOf(), keys: tensorOf(), values: tensorOf(), causal: true };
  const recipe = {
    maskers: [
      { name: 'sink', size: 16 },
      { name: 'local', size: 1000 },
    ],
    predicate: 'floor(q / 4) != 7',
  };
  const built = buildMask(attention, problem, recipe);
  const found = numbers(attention, problem, built);
  let kept = 0;
  for (let i = 0; i < length; i++) {
    if (Math.floor(i / 4) !== 7) kept += Math.min(i + 1, 1000) + Math.max(0, Math.min(16, i + 1 - 1000));
  }
  assert.equal(Math.round(found.density * length * length), kept);
  assert.equal(found.emptyRows, 4);
  assert.ok(found.sampled && found.sampledCost && found.rows >= 8 && found.rows < 1000);
  assert.match(found.missing.bytes, /pairs/);
  assert.equal(found.bytes, undefined);
  assert.ok(found.recall.mean > 0 && found.recall.mean < 1 && found.error.relative > 0);
  assert.ok(found.flops < found.flopsDense);
  const heads = headStatistics(attention, problem, built.effective);
  assert.ok(heads[0].sampled && heads[0].rows < length && heads[0].recall > 0 && heads[0].recall < 1);
  const step = decodeStep(attention, problem, recipe, { query: length - 1 });
  assert.equal(step.keys.length, 1016);
  const measured = times(attention, problem, recipe);
  assert.ok(measured.sampled && measured.rows[1] === length && measured.rows[0] > 0);
});
