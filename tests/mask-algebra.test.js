// SPDX-License-Identifier: Apache-2.0
// Random expressions over all kinds of masks and shapes that broadcast agree with the same algebra on plain arrays,
// whichever way they are asked; so do all representations of one mask. A failure prints the seed and the smallest case;
// ATTN_SEED chooses where to look, ATTN_RUNS how long.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { Mask } from '../js/index.js';
import { expression, lookup, table } from './mask-expressions.js';
import { Random, product, seed } from './random.js';
import { buildMask } from './support.js';

const runs = Number(process.env.ATTN_RUNS ?? 150);
const law = (name, arbitrary, check) =>
  test(`${name} (ATTN_SEED=${seed})`, () => fc.assert(fc.property(arbitrary, check), { seed, numRuns: runs }));

const edge = (...sizes) => fc.constantFrom(...sizes);
const cases = fc.record({
  batch: edge(1, 2, 3),
  heads: edge(1, 2, 4, 6),
  queries: edge(1, 2, 3, 5, 9),
  keys: edge(1, 4, 7, 31, 32, 33, 70),
  depth: edge(0, 1, 1, 2, 3, 4),
  numbers: fc.nat(),
});

function draw({ batch, heads, queries, keys, depth, numbers }) {
  const random = new Random(numbers);
  return [...expression([batch, heads, queries, keys], depth, random), random];
}

// -------------------------------------------------------------------------------------------------------------- laws

/** Everything that a mask can be asked agrees with its table. */
function assertAgrees(mask, { shape, weights }, random) {
  assert.deepEqual(mask.shape, shape);
  assert.deepEqual(mask.toDense(), weights, 'toDense');
  const kept = weights.reduce((count, weight) => count + (weight > 0), 0);
  assert.equal(mask.density(), kept / weights.length, 'density');
  assert.equal(mask.isFull(), weights.every((weight) => weight === 1), 'isFull');
  assert.equal(mask.isEmpty(), false);
  const sparse = mask.toIndices();
  assert.deepEqual(buildMask({ shape, weights }).toIndices(), sparse, 'toIndices');
  const restored = new Float32Array(weights.length);
  for (let row = 0; row + 1 < sparse.ptr.length; row++)
    for (let n = sparse.ptr[row]; n < sparse.ptr[row + 1]; n++)
      restored[row * shape[3] + sparse.indices[n]] = sparse.weights[n];
  assert.deepEqual(restored, weights, 'toIndices, put back');

  const [batch, head, query, key] = shape.map((size) => random.integer(0, size - 1));
  assert.equal(mask.get(batch, head, query, key), lookup({ shape, weights }, shape, batch, head, query, key), 'get');
  const end = random.integer(query, shape[2]);
  const rows = mask.rows(query, end, { batch, head });
  const first = (batch * shape[1] + head) * shape[2];
  const [from, to] = [sparse.ptr[first + query], sparse.ptr[first + end]];
  assert.deepEqual(rows.ptr, sparse.ptr.slice(first + query, first + end + 1).map((at) => at - from), 'rows: ptr');
  assert.deepEqual(rows.indices, sparse.indices.slice(from, to), 'rows: indices');
  assert.deepEqual(rows.weights, sparse.weights.slice(from, to), 'rows: weights');

  const blockSize = random.pick([1, 2, 4, 64, [3, 5], [2, 33], [1000, 32]]);
  const whole = blockMapOf({ shape, weights }, blockSize);
  assert.deepEqual(mask.blockMap(blockSize), whole, `blockMap ${blockSize}`);
  const window = drawWindow(whole.dims, random);
  assert.deepEqual(mask.blockMap(blockSize, window), windowOf(whole, window), `blockMap ${blockSize}, part of it`);
}

/** Ranges of blocks, one head and one batch, each of them perhaps. */
function drawWindow([batches, heads, rows, columns], random) {
  const range = (length) => {
    const begin = random.integer(0, length);
    return [begin, random.integer(begin, length)];
  };
  const window = {};
  if (random.chance(0.7)) window.rows = range(rows);
  if (random.chance(0.7)) window.columns = range(columns);
  if (random.chance(0.5)) window.batch = random.integer(0, batches - 1);
  if (random.chance(0.5)) window.head = random.integer(0, heads - 1);
  return window;
}

/** The part of a whole block map that a window is. */
function windowOf(whole, { rows, columns, batch, head }) {
  const one = (at, length) => (at === undefined ? [0, length] : [at, at + 1]);
  const ranges = [
    one(batch, whole.dims[0]),
    one(head, whole.dims[1]),
    rows ?? [0, whole.dims[2]],
    columns ?? [0, whole.dims[3]],
  ];
  const [, heads, height, width] = whole.dims;
  const places = ranges.reduce(
    (places, [begin, end]) => places.flatMap((place) => Array.from({ length: end - begin }, (_, n) => [...place, begin + n])),
    [[]],
  ).map(([b, h, i, j]) => ((b * heads + h) * height + i) * width + j);
  const kinds = Uint8Array.from(places, (at) => whole.kinds[at]);
  const total = (kind) => kinds.filter((each) => each === kind).length;
  return {
    blockSize: whole.blockSize,
    dims: ranges.map(([begin, end]) => end - begin),
    counts: Uint32Array.from(places, (at) => whole.counts[at]),
    kinds,
    skipped: total(0),
    partial: total(1),
    full: total(2),
  };
}

function blockMapOf({ shape, weights }, blockSize) {
  const size = typeof blockSize === 'number' ? [blockSize, blockSize] : blockSize;
  const dims = [shape[0], shape[1], Math.ceil(shape[2] / size[0]), Math.ceil(shape[3] / size[1])];
  const counts = new Uint32Array(product(dims));
  const areas = new Uint32Array(counts.length);
  const ones = new Uint32Array(counts.length);
  table(shape, (b, h, i, j) => {
    const block = ((b * dims[1] + h) * dims[2] + Math.trunc(i / size[0])) * dims[3] + Math.trunc(j / size[1]);
    const weight = lookup({ shape, weights }, shape, b, h, i, j);
    areas[block]++;
    if (weight > 0) counts[block]++;
    if (weight === 1) ones[block]++;
  });
  const kinds = Uint8Array.from(counts, (count, n) => (count === 0 ? 0 : ones[n] === areas[n] ? 2 : 1));
  const total = (kind) => kinds.filter((each) => each === kind).length;
  return { blockSize: size, dims, counts, kinds, skipped: total(0), partial: total(1), full: total(2) };
}

law('expressions agree with the algebra on arrays', cases, (sizes) => {
  const [mask, expected, random] = draw(sizes);
  assertAgrees(mask, expected, random);
});

law('every representation of a mask agrees', cases, (sizes) => {
  const [mask, { shape, weights }, random] = draw(sizes);
  for (const representation of ['dense', 'indices', 'row-wise', 'upstream'])
    assertAgrees(buildMask({ shape, weights, representation }), { shape, weights }, random);
  let at = 0;
  assertAgrees(Mask.fromFunction(shape, () => weights[at++]), { shape, weights }, random);
  assertAgrees(Mask.fromNpy(mask.toNpy()), { shape, weights }, random);
  const blockSize = random.pick([1, 3, [2, 16]]);
  assertAgrees(Mask.fromFlexBlocks(shape, mask.toFlexBlocks(blockSize), { partial: mask }), { shape, weights }, random);
});

law('apply and applyInverse repeat a mask over batch and heads', cases, (sizes) => {
  const [mask, own, random] = draw(sizes);
  const dims = [own.shape[0] === 1 ? 2 : own.shape[0], own.shape[1] * 2, own.shape[2], own.shape[3]];
  const data = random.floats(product(dims));
  const expected = (change) => {
    let at = 0;
    return table(dims, (...position) => {
      const weight = lookup(own, dims, ...position);
      return weight === 0 ? (at++, 0) : change(data[at++], weight);
    }).weights;
  };
  assert.deepEqual(mask.apply({ data, dims }).data, expected((x, weight) => x * weight));
  assert.deepEqual(mask.applyInverse({ data, dims }).data, expected((x, weight) => x / weight));
});

law('the laws of the algebra hold', cases, (sizes) => {
  const [mask, { shape, weights }] = draw(sizes);
  const same = (other, what) => assert.deepEqual(other.toDense(), weights, what);
  const [empty, full] = [Mask.empty(shape), Mask.full(shape)];
  same(mask.and(full), 'and full');
  same(full.and(mask), 'full and');
  same(mask.and(empty), 'and empty');
  same(empty.and(mask), 'empty and');
  same(mask.or(empty), 'or empty');
  same(empty.or(mask), 'empty or');
  same(mask.or(mask), 'or itself');
  same(mask.or(mask.and(mask.not())), 'or nothing');
  assert.deepEqual(mask.not().not().toDense(), weights.map((weight) => (weight > 0 ? 1 : 0)));
  assert.deepEqual(empty.merge(mask).toDense(), weights.map((weight) => Math.min(1, weight)));
  assert.deepEqual(mask.merge(empty).toDense(), weights.map((weight) => Math.min(1, weight)));
  assert.ok(mask.merge(full).isFull());
  assert.equal(mask.and(mask.not()).density(), 0);
  assert.ok(mask.merge(mask.not()).or(full).density() === 1);
});
