// SPDX-License-Identifier: Apache-2.0
/**
 * @file mask-expressions.js - random masks of every kind, combined at random, each with the same algebra on a plain
 * array: a table { shape, weights } of a number for each pair.
 */
import { Mask } from '../js/index.js';
import { product } from './random.js';
import { buildMask } from './support.js';

// ------------------------------------------------------------------------------- the oracle: one number for each pair

/** The weights that `f` gives, over a shape. */
export function table(shape, f) {
  const weights = new Float32Array(product(shape));
  let at = 0;
  for (let b = 0; b < shape[0]; b++)
    for (let h = 0; h < shape[1]; h++)
      for (let i = 0; i < shape[2]; i++) for (let j = 0; j < shape[3]; j++) weights[at++] = f(b, h, i, j);
  return { shape, weights };
}

/** Of a table over a shape that broadcasts to `shape`. */
export function lookup(own, shape, b, h, i, j) {
  const [batch, heads, queries, keys] = own.shape;
  const head = heads === shape[1] ? h : Math.trunc(h / (shape[1] / heads));
  return own.weights[(((batch === 1 ? 0 : b) * heads + head) * queries + i) * keys + j];
}

const OPERATIONS = {
  and: (x, y) => Math.fround(x * y),
  or: (x, y) => (x > y ? x : y),
  merge: (x, y) => Math.fround(x + y > 1 ? 1 : x + y),
};

export function combine(name, left, right) {
  const shape = left.shape.map((size, axis) => Math.max(size, right.shape[axis]));
  return table(shape, (...at) => OPERATIONS[name](lookup(left, shape, ...at), lookup(right, shape, ...at)));
}

// ------------------------------------------------------------------------------------------------------ random masks

export const LEAVES = {
  full: (shape) => [Mask.full(shape), table(shape, () => 1)],

  causal(shape, random) {
    const offset = random.chance(0.5) ? shape[3] - shape[2] : random.integer(-4, shape[3]);
    const isDefault = offset === shape[3] - shape[2];
    const mask = isDefault ? Mask.causal(shape) : Mask.causal(shape, { offset });
    return [mask, table(shape, (b, h, i, j) => j <= i + offset)];
  },

  window(shape, random) {
    const left = random.pick([0, 1, 3, 40, 130, Infinity, undefined]);
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
    const size = random.pick([3, 3, 50]);
    const draw = (length) =>
      Int32Array.from({ length: own * length }, (_, n) =>
        inOrder ? Math.trunc((n % length) / size) : random.integer(-1, 3),
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
    const size = [random.pick([1, 2, 3, 4, 5, 12]), random.pick([1, 7, 16, 32, 40, 128])];
    const [rows, columns] = [Math.ceil(shape[2] / size[0]), Math.ceil(shape[3] / size[1])];
    const ptr = [0];
    const indices = [];
    const kept = new Set();
    for (let row = 0; row < shape[0] * shape[1] * rows; row++) {
      while (columns > 0 && random.chance(0.5)) {
        indices.push(random.integer(0, columns - 1));
        kept.add(row * columns + indices.at(-1));
      }
      ptr.push(indices.length);
    }
    return [
      Mask.blockSparse({ shape, blockSize: size, ptr, indices }),
      table(shape, (b, h, i, j) => {
        const row = (b * shape[1] + h) * rows + Math.trunc(i / size[0]);
        return kept.has(row * columns + Math.trunc(j / size[1]));
      }),
    ];
  },

  bits(shape, random) {
    const keep = random.bytes(product(shape), random.pick([0, 0.1, 0.5, 0.95, 1]));
    return [Mask.fromDense(shape, keep), { shape, weights: Float32Array.from(keep) }];
  },

  weighted(shape, random) {
    const values = random.pick([
      [0, 1],
      [0, 0.5],
      [0, 0.25, 1],
      [0, 3, 0.1],
      [0, 1e-30, 0.7, 1],
    ]);
    const weights = Float32Array.from({ length: product(shape) }, () => random.pick(values));
    const representation = random.pick(['dense', 'indices', 'row-wise', 'upstream']);
    return [buildMask({ shape, weights, representation }), { shape, weights }];
  },

  scattered(shape, random) {
    const width = random.integer(0, Math.min(5, shape[3]));
    const indices = Int32Array.from({ length: product(shape.slice(0, 3)) * width }, () =>
      random.integer(-1, shape[3] - 1),
    );
    const given = random.chance(0.5) ? undefined : Float32Array.from(indices, () => random.pick([0.25, 0.5, 1, 2]));
    const weights = new Float32Array(product(shape));
    indices.forEach((column, n) => {
      if (column >= 0) weights[Math.trunc(n / width) * shape[3] + column] = given?.[n] ?? 1;
    });
    return [Mask.fromRowWiseIndices(shape, indices, given), { shape, weights }];
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
export function expression(shape, depth, random) {
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
