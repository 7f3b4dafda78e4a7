// SPDX-License-Identifier: Apache-2.0
// Random expressions over all kinds of masks and shapes that broadcast agree with the same algebra on plain arrays,
// whichever way they are asked; so do all representations of one mask. A failure prints the seed and the smallest case;
// ATTN_SEED chooses where to look, ATTN_RUNS how long.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { Mask } from '../js/index.js';
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

// ------------------------------------------------------------------------------- the oracle: one number for each pair

/** The weights that `f` gives, over a shape. */
function table(shape, f) {
  const weights = new Float32Array(product(shape));
  let at = 0;
  for (let b = 0; b < shape[0]; b++)
    for (let h = 0; h < shape[1]; h++)
      for (let i = 0; i < shape[2]; i++) for (let j = 0; j < shape[3]; j++) weights[at++] = f(b, h, i, j);
  return { shape, weights };
}

/** Of a table over a shape that broadcasts to `shape`. */
function lookup(own, shape, b, h, i, j) {
  const [batch, heads, queries, keys] = own.shape;
  const head = heads === shape[1] ? h : Math.trunc(h / (shape[1] / heads));
  return own.weights[(((batch === 1 ? 0 : b) * heads + head) * queries + i) * keys + j];
}

const OPERATIONS = {
  and: (x, y) => Math.fround(x * y),
  or: (x, y) => (x > y ? x : y),
  merge: (x, y) => Math.fround(x + y > 1 ? 1 : x + y),
};

function combine(name, left, right) {
  const shape = left.shape.map((size, axis) => Math.max(size, right.shape[axis]));
  return table(shape, (...at) => OPERATIONS[name](lookup(left, shape, ...at), lookup(right, shape, ...at)));
}

// ------------------------------------------------------------------------------------------------------ random masks

const LEAVES = {
  full: (shape) => [Mask.full(shape), table(shape, () => 1)],

  causal(shape, random) {
    const offset = random.chance(0.5) ? shape[3] - shape[2] : random.integer(-4, shape[3]);
    const isDefault = offset === shape[3] - shape[2];
    const mask = isDefault ? Mask.causal(shape) : Mask.causal(shape, { offset });
    return [mask, table(shape, (b, h, i, j) => j <= i + offset)];
  },

  window(shape, random) {
    const left = random.pick([0, 1, 3, 40, Infinity, undefined]);
    const right = random.pick([0, 2, 40, Infinity, undefined]);
    const offset = random.integer(-3, shape[3]);
    return [
      Mask.slidingWindow(shape, { left, right, offset }),
      table(shape, (b, h, i, j) => j >= i + offset - (left ?? Infinity) && j <= i + offset + (right ?? Infinity)),
    ];
  },

  sinks(shape, random) {
    const n = random.pick([0, 1, 3, shape[3], 1000]);
    return [Mask.sinks(shape, n), table(shape, (b, h, i, j) => j < n)];
  },

  prefix(shape, random) {
    const counts = Array.from({ length: shape[0] }, () => random.integer(0, shape[3] + 2));
    const given = random.pick([counts, Int32Array.from(counts)]);
    return [Mask.prefix(shape, given), table(shape, (b, h, i, j) => j < counts[b])];
  },

  documents(shape, random) {
    const [batch, , queries, keys] = shape;
    const own = random.chance(0.5) ? batch : 1;
    const inOrder = random.chance(0.5);
    const draw = (length) =>
      Int32Array.from({ length: own * length }, (_, n) =>
        inOrder ? Math.trunc((n % length) / 3) : random.integer(-1, 3),
      );
    const ids = { queries: draw(queries), keys: draw(keys) };
    const isPlain = queries <= keys && random.chance(0.5);
    const of = (list, length, b, n) => list[(own === 1 ? 0 : b) * length + n];
    return [
      Mask.documents(shape, isPlain ? ids.keys : ids),
      table(shape, (b, h, i, j) => {
        const query = isPlain ? of(ids.keys, keys, b, keys - queries + i) : of(ids.queries, queries, b, i);
        return query >= 0 && query === of(ids.keys, keys, b, j);
      }),
    ];
  },

  offsets(shape, random) {
    const ends = [0];
    while (random.chance(0.7)) ends.push(Math.min(shape[3], ends.at(-1) + random.integer(0, 9)));
    const queries = Math.min(shape[2], shape[3]);
    const isOf = (n, doc) => n >= ends[doc] && n < ends[doc + 1];
    const at = (i) => shape[3] - queries + i;
    if (queries < shape[2]) return LEAVES.full(shape);
    return [
      Mask.documents(shape, { offsets: ends }),
      table(shape, (b, h, i, j) => ends.some((_, doc) => isOf(at(i), doc) && isOf(j, doc))),
    ];
  },

  blocks(shape, random) {
    const size = [random.integer(1, 5), random.integer(1, 40)];
    const [rows, columns] = [Math.ceil(shape[2] / size[0]), Math.ceil(shape[3] / size[1])];
    const ptr = [0];
    const indices = [];
    for (let row = 0; row < shape[0] * shape[1] * rows; row++) {
      while (random.chance(0.5)) indices.push(random.integer(0, columns - 1));
      ptr.push(indices.length);
    }
    return [
      Mask.blockSparse({ shape, blockSize: size, ptr, indices }),
      table(shape, (b, h, i, j) => {
        const row = (b * shape[1] + h) * rows + Math.trunc(i / size[0]);
        return indices.slice(ptr[row], ptr[row + 1]).includes(Math.trunc(j / size[1]));
      }),
    ];
  },

  bits(shape, random) {
    const keep = random.bytes(product(shape), random.pick([0, 0.1, 0.5, 0.95, 1]));
    return [Mask.fromDense(shape, keep), { shape, weights: Float32Array.from(keep) }];
  },

  weighted(shape, random) {
    const values = random.pick([[0, 1], [0, 0.5], [0, 0.25, 1], [0, 3, 0.1], [0, 1e-30, 0.7, 1]]);
    const weights = Float32Array.from({ length: product(shape) }, () => random.pick(values));
    const representation = random.pick(['dense', 'indices', 'row-wise', 'upstream']);
    return [buildMask({ shape, weights, representation }), { shape, weights }];
  },

  byFunction(shape, random) {
    const phase = random.integer(0, 5);
    const f = (b, h, i, j) => (b + 2 * h + 3 * i + j + phase) % 5 === 0;
    return [Mask.fromFunction(shape, f), table(shape, f)];
  },
};

/** A shape that broadcasts to this one. */
function smaller([batch, heads, queries, keys], random) {
  const divisors = [1, 2, 3, 4, 6].filter((n) => heads % n === 0);
  return [random.chance(0.6) ? 1 : batch, random.chance(0.3) ? heads : random.pick(divisors), queries, keys];
}

const divides = (a, b) => Math.max(a, b) % Math.min(a, b) === 0;

/** A mask and its table, of a shape that broadcasts to `shape`; operands are disposed of, which must not matter. */
function expression(shape, depth, random) {
  if (depth === 0) return LEAVES[random.pick(Object.keys(LEAVES))](smaller(shape, random), random);
  const [left, leftTable] = expression(shape, depth - 1, random);
  if (random.chance(0.2)) {
    const result = left.not();
    if (random.chance(0.5)) left.dispose();
    return [result, table(leftTable.shape, (...at) => (lookup(leftTable, leftTable.shape, ...at) === 0 ? 1 : 0))];
  }
  const isSame = random.chance(0.15); // one node as both operands
  const [right, rightTable] = isSame ? [left, leftTable] : expression(shape, random.integer(0, depth - 1), random);
  if (!divides(left.shape[1], right.shape[1])) return [left, leftTable];
  const operation = random.pick(Object.keys(OPERATIONS));
  const result = left[operation](right);
  if (random.chance(0.5)) for (const mask of [left, right]) mask.dispose();
  return [result, combine(operation, leftTable, rightTable)];
}

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
  assert.deepEqual(mask.blockMap(blockSize), blockMapOf({ shape, weights }, blockSize), `blockMap ${blockSize}`);
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
