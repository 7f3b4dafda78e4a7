// SPDX-License-Identifier: Apache-2.0
// What each masker keeps, against references in double precision written here from the definitions. Numbers are small
// integers, of which float32 loses nothing: equal logits are frequent, and the lowest key has to go first. A failure
// prints the seed and the smallest counterexample; ATTN_SEED chooses where to look, ATTN_RUNS how long.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { createAttention, maskers } from '../js/index.js';
import { enginesByVariant } from './calls.js';
import { attend, toBfloat16, toFloat16, widen } from './oracle.js';
import { Random, describe, narrow, product, seed } from './random.js';
import { buildMask } from './support.js';

const runs = Number(process.env.ATTN_RUNS ?? 150);

const engines = enginesByVariant();
const base = () => engines.get('base');

/** Runs a property of a random problem. */
function law(name, check) {
  test(`${name} (ATTN_SEED=${seed})`, () =>
    fc.assert(
      fc.property(fc.nat(), (numbers) => check(new Random(numbers, 7))),
      { seed, numRuns: runs },
    ));
}

// ---------------------------------------------------------------------------------------------------- problems

const dtypes = ['float32', 'float32', 'float16', 'bfloat16'];

function integers(random, dims, dtype, low = -2, high = 2) {
  const data = Float32Array.from({ length: product(dims) }, () => random.integer(low, high));
  return narrow({ data, dims, dtype: 'float32' }, dtype);
}

function drawShape(random) {
  const keyHeads = random.pick([1, 1, 2, 3]);
  return {
    batch: random.pick([1, 1, 2, 3]),
    heads: keyHeads * random.pick([1, 2, 4]),
    keyHeads,
    queryLength: random.pick([1, 1, 2, 5, 13]),
    keyLength: random.pick([1, 2, 3, 7, 16, 63, 64, 65, 130, 200]),
    dim: random.pick([1, 3, 4, 8, 17]),
  };
}

/** Where queries and keys stand. */
function drawPositions(random, { batch, queryLength, keyLength }) {
  const options = {};
  if (random.chance(0.4)) options.causal = true;
  if (random.chance(0.3)) options.keyOffset = random.pick([1, 5, 100]);
  const offset = () => (options.keyOffset ?? 0) + random.integer(-queryLength - 2, keyLength + 2);
  if (random.chance(0.4)) options.queryOffset = random.pick([offset(), Int32Array.from({ length: batch }, offset)]);
  if (random.chance(0.3)) options.window = { left: random.pick([0, 3, 50]), right: random.pick([0, 2, Infinity]) };
  if (random.chance(0.3)) {
    options.keyLengths = Int32Array.from({ length: batch }, () => random.integer(0, keyLength));
  }
  return options;
}

function drawAttentionMask(random, { batch, heads, queryLength, keyLength }) {
  const dims = [random.pick([1, batch]), random.pick([1, heads]), random.pick([1, queryLength]), keyLength];
  if (random.chance(0.5)) return { data: random.bytes(product(dims), 0.6), dims };
  const data = Float32Array.from({ length: product(dims) }, () => random.pick([0, 0, 1, -2, -Infinity]));
  return narrow({ data, dims, dtype: 'float32' }, random.pick(dtypes));
}

/** A problem whose logits are whole numbers. */
function drawProblem(random, shape = drawShape(random)) {
  const { batch, heads, keyHeads, queryLength, keyLength, dim } = shape;
  const options = {
    queries: integers(random, [batch, heads, queryLength, dim], random.pick(dtypes)),
    keys: integers(random, [batch, keyHeads, keyLength, dim], random.pick(dtypes)),
    values: integers(random, [batch, keyHeads, keyLength, 2], 'float32'),
    scaling: random.pick([1, 1, 0.5, -1]),
    ...drawPositions(random, shape),
  };
  if (random.chance(0.4)) options.attentionMask = drawAttentionMask(random, shape);
  return options;
}

/** A mask that some earlier masker has made, in the oracle's form; undefined if there is none. */
function drawPrevious(random, { queries: { dims: [batch, heads, queryLength] }, keys: { dims } }) {
  if (random.chance(0.4)) return undefined;
  const shape = [random.pick([1, batch]), random.pick([1, dims[1], heads]), queryLength, dims[2]];
  const density = random.pick([0.05, 0.3, 0.9]);
  const isWeighted = random.chance(0.3);
  const weights = Float32Array.from({ length: product(shape) }, () => {
    if (!random.chance(density)) return 0;
    return isWeighted ? random.integer(1, 6) / 4 : 1;
  });
  return { shape, weights, representation: random.pick(['dense', 'indices']) };
}

/** Calls `each` with [batch, head, query] of every row. */
function forRows({ queries: { dims: [batch, heads, queryLength] } }, each) {
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < heads; h++) for (let i = 0; i < queryLength; i++) each([b, h, i]);
}

const rowNumber = ({ queries: { dims } }, [b, h, i]) => (b * dims[1] + h) * dims[2] + i;

/** Of a dense array [batch, heads, queries, keys], which batch and heads may repeat over, one row. */
function rowOf({ shape, weights }, options, [b, h, i]) {
  const [batch, heads, queryLength, keyLength] = shape;
  const head = (batch === 1 ? 0 : b) * heads + Math.floor((h * heads) / options.queries.dims[1]);
  const at = (head * queryLength + i) * keyLength;
  return weights.subarray(at, at + keyLength);
}

const dense = (mask) => ({ shape: mask.shape, weights: mask.toDense() });

/** What a masker may choose from: of each row its logits, and which keys it has already. */
function rowsOf(options, previous) {
  const { scores } = attend({ ...options, sparseAttentionMask: previous });
  const keyLength = options.keys.dims[2];
  return (row) => {
    const at = rowNumber(options, row) * keyLength;
    const logits = scores.biased.subarray(at, at + keyLength);
    const before = previous ? rowOf(previous, options, row) : new Float32Array(keyLength);
    const isAllowed = (j) => logits[j] > -Infinity;
    const keys = Array.from({ length: keyLength }, (_, j) => j);
    return { logits, before, isAllowed, eligible: keys.filter((j) => isAllowed(j) && before[j] === 0) };
  };
}

/** The keys that a row of a mask has and had not before; asserts that it has lost none, nor a weight. */
function chosenOf(mask, options, row, { before, isAllowed }, what) {
  const weights = rowOf(mask, options, row);
  const chosen = [];
  weights.forEach((weight, j) => {
    if (before[j] !== 0) {
      if (isAllowed(j)) assert.equal(weight, before[j], `${what}: weight of key ${j}`); // others count no more
      return;
    }
    if (weight === 0) return;
    assert.ok(isAllowed(j), `${what}: key ${j} is not allowed`);
    assert.equal(weight, 1, `${what}: weight of key ${j}`);
    chosen.push(j);
  });
  return chosen;
}

/** A mask from each engine, which must all be the same. */
function buildEverywhere(masker, options, previous) {
  const masks = [...engines.values()].map((attention) => {
    const sparse = attention.createSparseAttention([masker]);
    try {
      return sparse.buildMask({ ...options, sparseAttentionMask: previous && buildMask(previous) });
    } finally {
      sparse.dispose();
    }
  });
  const [first, ...others] = masks.map(dense);
  for (const other of others) assert.deepEqual(other, first, `${masker.name}: variants differ, ${describe(options)}`);
  return first;
}

/** Checks what each row of a random problem chooses: `choose` tells it from the row's logits and what is eligible. */
function choices(name, drawMasker, choose) {
  law(name, (random) => {
    const options = drawProblem(random);
    const previous = drawPrevious(random, options);
    const [masker, ...parameters] = drawMasker(random, options);
    const mask = buildEverywhere(masker, options, previous);
    const rows = rowsOf(options, previous);
    forRows(options, (row) => {
      const what = `${JSON.stringify(masker)}, row ${row}`;
      const about = rows(row);
      const chosen = chosenOf(mask, options, row, about, what);
      choose({ chosen, what, row, options, ...about }, ...parameters);
    });
  });
}

// ---------------------------------------------------------------------------------------------------- the oracles

/** Largest first; among equals the lowest index. */
const ranked = (list, scores) => [...list].sort((a, b) => scores[b] - scores[a] || a - b);
const ascending = (list) => [...list].sort((a, b) => a - b);
const countOf = (size, keyLength) => (size < 1 ? Math.floor(size * keyLength) : size);

const drawSize = (random, keyLength) =>
  random.pick([0.01, 0.1, 0.5, 0.99, 1, 2, 3, random.integer(1, keyLength), keyLength, keyLength + 5]);

choices(
  'oracleTopK: the k largest logits of those that are allowed and not there yet, lowest first among equals',
  (random, { keys }) => {
    const heavySize = drawSize(random, keys.dims[2]);
    return [maskers.oracleTopK({ heavySize }), countOf(heavySize, keys.dims[2])];
  },
  ({ chosen, what, logits, eligible }, count) => {
    assert.deepEqual(chosen, ascending(ranked(eligible, logits).slice(0, count)), what);
  },
);

choices(
  'oracleTopP: the fewest largest logits of more than the mass, and the equals of the last one',
  (random) => {
    const topP = random.pick([0, 0.05, 0.3, 0.5, 0.77, 0.9, 0.99, 1]);
    return [maskers.oracleTopP({ topP }), topP];
  },
  ({ chosen, what, logits, eligible }, topP) => {
    const order = ranked(eligible, logits);
    const exponentials = order.map((j) => Math.exp(logits[j] - logits[order[0]]));
    const total = exponentials.reduce((sum, e) => sum + e, 0);
    const expected = (mass) => {
      let sum = 0;
      let n = 0;
      while (n < order.length && sum <= mass) sum += exponentials[n++];
      while (n < order.length && logits[order[n]] === logits[order[n - 1]]) n++;
      return ascending(order.slice(0, n));
    };
    if (topP === 1) return assert.deepEqual(chosen, eligible, what);
    // A sum that is the mass itself may fall on either side of it.
    const either = [topP * total * (1 - 1e-6), topP * total * (1 + 1e-6)].map(expected);
    if (topP === 0 || either[0].length === either[1].length) assert.deepEqual(chosen, expected(topP * total), what);
    else assert.ok(either.some((list) => list.length === chosen.length && list.every((j, n) => j === chosen[n])), what);
  },
);

// ---------------------------------------------------------------------------------------------------- quest

const rint = (x) => {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
};

/** Rounds labels to 2^bits equal steps between the smallest and the largest, in float32. */
function rounded(labels, bits) {
  if (bits === 16) return labels;
  const f = Math.fround;
  const [least, largest] = [Math.min(...labels), Math.max(...labels)];
  const scale = f((2 ** bits - 1) / (largest - least || 1));
  return labels.map((x) => f(f(rint(f(f(x - least) * scale)) / scale) + least));
}

/** Of each page what bounds the dot products with its keys: sum of max(q * least, q * largest). */
function bounds({ queries, keys, keyLengths }, [b, h, i], pageSize, bits) {
  const [, heads, queryLength, dim] = queries.dims;
  const [, keyHeads, keyLength] = keys.dims;
  const q = widen(queries).subarray(((b * heads + h) * queryLength + i) * dim).subarray(0, dim);
  const k = widen(keys).subarray((b * keyHeads + Math.floor((h * keyHeads) / heads)) * keyLength * dim);
  const known = keyLengths ? keyLengths[b] : keyLength;
  return Array.from({ length: Math.ceil(keyLength / pageSize) }, (_, page) => {
    const rows = [];
    for (let j = page * pageSize; j < Math.min((page + 1) * pageSize, known); j++) {
      rows.push([...k.subarray(j * dim, (j + 1) * dim)]);
    }
    if (rows.length === 0) return 0;
    const channels = Array.from(q, (_, d) => rows.map((row) => row[d]));
    const largest = rounded(channels.map((channel) => Math.max(...channel)), bits);
    const least = rounded(channels.map((channel) => Math.min(...channel)), bits);
    const bound = q.reduce((sum, x, d) => sum + Math.max(x * largest[d], x * least[d]), 0);
    const dots = rows.map((row) => q.reduce((sum, x, d) => sum + x * row[d], 0));
    if (bits === 16) assert.ok(dots.every((dot) => dot <= bound), 'a bound is one');
    return bound;
  });
}

const drawQuest = (random, keyLength, bits) => {
  const heavySize = drawSize(random, keyLength);
  const pageSize = random.pick([1, 2, 5, 16, 64, 300]);
  const count = Math.max(3, Math.floor(countOf(heavySize, keyLength) / pageSize));
  const labelBits = bits === 16 ? random.pick([undefined, 16]) : bits;
  return [maskers.quest({ heavySize, pageSize, labelBits }), { count, pageSize, bits }];
};

function checkQuest({ chosen, what, row, options, isAllowed, eligible }, { count, pageSize, bits }) {
  const scores = bounds(options, row, pageSize, bits);
  const pageOf = (j) => Math.floor(j / pageSize);
  const pages = [...scores.keys()].filter((page) => {
    for (let j = page * pageSize; j < (page + 1) * pageSize; j++) if (isAllowed(j)) return true;
    return false;
  });
  const wanted = new Set(ranked(pages, scores).slice(0, count));
  if (bits === 16) return assert.deepEqual(chosen, eligible.filter((j) => wanted.has(pageOf(j))), what);
  // Rounded labels are no whole numbers: what is as good as the last one may take its place.
  const taken = new Set(chosen.map(pageOf));
  assert.deepEqual(chosen, eligible.filter((j) => taken.has(pageOf(j))), `${what}: pages are taken whole`);
  const last = Math.min(...[...wanted].map((page) => scores[page]));
  for (const page of new Set(eligible.map(pageOf))) {
    if (scores[page] > last + 1e-4) assert.ok(taken.has(page), `${what}: page ${page} of ${scores[page]}, ${last}`);
    if (scores[page] < last - 1e-4) assert.ok(!taken.has(page), `${what}: page ${page} of ${scores[page]}, ${last}`);
  }
}

choices(
  'quest: whole pages, those that bound the dot product highest',
  (random, { keys }) => drawQuest(random, keys.dims[2], 16),
  checkQuest,
);

choices(
  'quest with rounded labels',
  (random, { keys }) => drawQuest(random, keys.dims[2], random.pick([1, 2, 4, 8, 15])),
  checkQuest,
);

test('quest takes three pages at least, as the original does', () => {
  const options = drawProblem(new Random(1), { batch: 1, heads: 1, keyHeads: 1, queryLength: 1, keyLength: 64, dim: 4 });
  const kept = (heavySize) => {
    const sparse = base().createSparseAttention([maskers.quest({ heavySize, pageSize: 8 })]);
    const { queries, keys, values } = options;
    const mask = sparse.buildMask({ queries, keys, values });
    sparse.dispose();
    return mask.toDense().reduce((sum, weight) => sum + weight, 0);
  };
  assert.deepEqual([1, 24, 32, 39, 40, 0.75, 64].map(kept), [24, 24, 32, 32, 40, 48, 64]);
});

// ---------------------------------------------------------------------------------------------------- fixed ones

/** Position of a query, counted in keys of the problem. */
function positionOf({ queries, keys, queryOffset, keyOffset = 0 }, [b, , i]) {
  const offset = queryOffset ?? keyOffset + keys.dims[2] - queries.dims[2];
  return (typeof offset === 'number' ? offset : offset[b]) - keyOffset + i;
}

/** Checks the weights that a masker of a structure gives: keeps(row position, j, weight before) => weight. */
function structures(name, drawMasker, weightOf) {
  law(name, (random) => {
    const options = drawProblem(random);
    const previous = drawPrevious(random, options);
    const [masker, ...parameters] = drawMasker(random, options);
    const mask = buildEverywhere(masker, options, previous);
    forRows(options, (row) => {
      const before = previous ? rowOf(previous, options, row) : undefined;
      const weights = rowOf(mask, options, row);
      const position = positionOf(options, row);
      weights.forEach((weight, j) => {
        const expected = weightOf({ position, j, before: before?.[j] }, ...parameters);
        assert.equal(weight, Math.fround(expected), `${JSON.stringify(masker)}, row ${row}, key ${j}`);
      });
    });
  });
}

const merged = (before, weight) => Math.min(1, (before ?? 0) + weight);

structures(
  'sink: the first keys, besides what is there',
  (random, { keys }) => {
    const size = drawSize(random, keys.dims[2]);
    return [maskers.sink({ size }), countOf(size, keys.dims[2])];
  },
  ({ j, before }, count) => merged(before, j < count ? 1 : 0),
);

structures(
  "local: the last keys up to the query's own, wherever it stands",
  (random, { keys }) => {
    const size = random.pick([drawSize(random, keys.dims[2]), 1000, 2 ** 31, 2 ** 32 - 1]);
    return [maskers.local({ size }), countOf(size, keys.dims[2])];
  },
  ({ position, j, before }, count) => merged(before, j <= position && j > position - count ? 1 : 0),
);

structures(
  'causal: of what is there the keys up to the query; all of them if nothing is',
  () => [maskers.causal()],
  ({ position, j, before }) => (j <= position ? (before ?? 1) : 0),
);

test('masks of a structure take no memory for queries x keys', async () => {
  const attention = await createAttention({ variant: 'base' });
  const length = 2 ** 20; // a mask of bits would take 128 GiB
  const one = (batch) => ({ data: new Float32Array(batch * length), dims: [batch, 1, length, 1] });
  for (const queryOffset of [undefined, Int32Array.of(3, -5)]) {
    const batch = queryOffset?.length ?? 1;
    const inputs = { queries: one(batch), keys: one(batch), values: one(batch), queryOffset };
    const before = process.memoryUsage().arrayBuffers;
    const list = [maskers.sink({ size: 4 }), maskers.local({ size: 0.25 }), maskers.causal()];
    const mask = attention.createSparseAttention(list).buildMask(inputs);
    assert.ok(process.memoryUsage().arrayBuffers - before < 64 * 2 ** 20, 'what is made');
    assert.ok(attention.info().memoryBytes < 128 * 2 ** 20, 'wasm memory');
    const first = queryOffset ? queryOffset[0] : 0;
    for (const [i, j, kept] of [
      [10, 3, 1],
      [length - 10, 2, 1],
      [length - 10, length - 10 + first, 1],
      [length - 10, length - 9 + first, 0],
      [length - 10, length - 10 + first - length / 4, 0],
      [length - 10, length - 10 + first - length / 4 + 1, 1],
      [10, 10 + first + 1, 0],
    ]) {
      assert.equal(mask.get(0, 0, i, j), kept, `query ${i}, key ${j}`);
    }
  }
  attention.dispose();
});

// ---------------------------------------------------------------------------------------------------- all of them

const samples = [
  maskers.sink({ size: 3 }),
  maskers.local({ size: 4 }),
  maskers.causal(),
  maskers.oracleTopK({ heavySize: 3 }),
  maskers.oracleTopP({ topP: 0.6 }),
  maskers.quest({ heavySize: 8, pageSize: 2 }),
  maskers.quest({ heavySize: 8, pageSize: 2, labelBits: 4 }),
];

law('no masker changes its inputs, and none clears what was there', (random) => {
  const options = drawProblem(random);
  const arrays = Object.entries(options).flatMap(([name, value]) => {
    const data = value?.data ?? value;
    return ArrayBuffer.isView(data) ? [[name, data, data.slice()]] : [];
  });
  const previous = drawPrevious(random, options);
  for (const masker of samples) {
    const sparse = base().createSparseAttention([masker]);
    const given = previous && buildMask(previous);
    const mask = sparse.buildMask({ ...options, sparseAttentionMask: given });
    for (const [name, data, copy] of arrays) assert.deepEqual(data, copy, `${masker.name}: ${name}`);
    if (given) assert.deepEqual(given.toDense(), Float32Array.from(previous.weights), `${masker.name}: the mask`);
    sparse.dispose();
    if (!previous || masker.name === 'causal') continue;
    const { scores } = attend({ ...options, sparseAttentionMask: previous });
    forRows(options, (row) => {
      const own = rowOf(dense(mask), options, row);
      const at = rowNumber(options, row) * own.length;
      rowOf(previous, options, row).forEach((weight, j) => {
        const isAllowed = scores.biased[at + j] > -Infinity;
        if (isAllowed && weight > 0) assert.ok(own[j] >= Math.min(weight, 1), `${masker.name}: key ${j}`);
      });
    });
  }
});

law('a masker adds as many as it says, and never what is there already', (random) => {
  const { queries, keys, values } = drawProblem(random);
  const [, , queryLength] = queries.dims;
  const keyLength = keys.dims[2];
  const [first, count] = [random.integer(1, 5), random.integer(1, 9)];
  const list = [maskers.sink({ size: first }), maskers.oracleTopK({ heavySize: count }), maskers.oracleTopK({ heavySize: 2 })];
  const sparse = base().createSparseAttention(list);
  const mask = sparse.buildMask({ queries, keys, values });
  const expected = Math.min(keyLength, first + count + 2) * queryLength;
  for (let b = 0; b < mask.shape[0]; b++) {
    for (let head = 0; head < mask.shape[1]; head++) {
      assert.equal(mask.rows(0, queryLength, { batch: b, head }).indices.length, expected);
    }
  }
  sparse.dispose();
});

test('a size is a fraction of the keys below 1, and a number of them from 1 on', () => {
  const keyLength = 10;
  const options = drawProblem(new Random(4), { batch: 1, heads: 2, keyHeads: 1, queryLength: 1, keyLength, dim: 4 });
  const { queries, keys, values } = options;
  const kept = (masker) => {
    const mask = base().createSparseAttention([masker]).buildMask({ queries, keys, values });
    return mask.isEmpty() ? 'empty' : rowOf(dense(mask), options, [0, 0, 0]).reduce((sum, weight) => sum + weight, 0);
  };
  for (const [size, count] of [[0.5, 5], [0.19, 1], [0.99, 9], [0.3, 3], [1, 1], [7, 7], [10, 10], [99, 10]]) {
    assert.equal(kept(maskers.sink({ size })), count, `sink of ${size}`);
    assert.equal(kept(maskers.local({ size })), count, `local of ${size}`);
    assert.equal(kept(maskers.oracleTopK({ heavySize: size })), count, `oracleTopK of ${size}`);
  }
});

test('a fraction that is less than one key keeps none, which is not the empty mask: that is no masking', () => {
  const { queries, keys, values } = drawProblem(new Random(5), {
    batch: 1, heads: 2, keyHeads: 1, queryLength: 3, keyLength: 10, dim: 4,
  });
  for (const masker of [maskers.sink({ size: 0.01 }), maskers.oracleTopK({ heavySize: 0.01 }), maskers.local({ size: 0.01 })]) {
    const mask = base().createSparseAttention([masker]).buildMask({ queries, keys, values });
    assert.equal(mask.density(), 0, masker.name);
    const { output } = base().createSparseAttention([masker]).forward({ queries, keys, values });
    assert.ok(output.data.every((x) => x === 0), masker.name);
  }
});

for (const [dtype, convert] of Object.entries({ float32: Number, float16: toFloat16, bfloat16: toBfloat16 })) {
  test(`${dtype}: NaN is never chosen while there is something else`, () => {
    const ArrayType = dtype === 'float32' ? Float32Array : Uint16Array;
    for (const dim of [1, 4, 5, 8]) {
      const keyLength = 12;
      const row = (value) => Array.from({ length: dim }, () => convert(value));
      const numbers = Array.from({ length: keyLength }, (_, j) => row([0, 4, 5, 11].includes(j) ? NaN : j / 4 - 1));
      const options = {
        queries: { data: ArrayType.from(row(1)), dims: [1, 1, 1, dim], dtype },
        keys: { data: ArrayType.from(numbers.flat()), dims: [1, 1, keyLength, dim], dtype },
        values: { data: new Float32Array(keyLength), dims: [1, 1, keyLength, 1] },
      };
      for (const [masker, expected] of [
        [maskers.oracleTopK({ heavySize: 3 }), [8, 9, 10]],
        [maskers.oracleTopP({ topP: 0 }), [10]],
        [maskers.quest({ heavySize: 3, pageSize: 1 }), [8, 9, 10]],
      ]) {
        for (const [variant, attention] of engines) {
          const mask = attention.createSparseAttention([masker]).buildMask(options);
          const { indices } = mask.toIndices();
          assert.deepEqual([...indices], expected, `${variant}, ${masker.name}, dim ${dim}`);
        }
      }
    }
  });
}

// ---------------------------------------------------------------------------------------------------- parameters

test('parameters that are refused, by name', () => {
  const size = /expected an integer >= 1 \(a count of keys\) or a fraction of them in \(0, 1\)/;
  const refused = [];
  for (const [factory, name] of [
    ['sink', 'size'],
    ['local', 'size'],
    ['oracleTopK', 'heavySize'],
    ['quest', 'heavySize'],
  ]) {
    for (const value of [undefined, null, '4', 4n, true, [4]]) refused.push([factory, { [name]: value }, TypeError, size, name]);
    for (const value of [0, -1, 1.5, NaN, Infinity, -0.5, 2 ** 32]) refused.push([factory, { [name]: value }, RangeError, size, name]);
  }
  const fraction = /expected a number in \[0, 1\]/;
  for (const topP of [undefined, null, '0.5', {}]) refused.push(['oracleTopP', { topP }, TypeError, fraction, 'topP']);
  for (const topP of [-0.1, 1.1, NaN, Infinity]) refused.push(['oracleTopP', { topP }, RangeError, fraction, 'topP']);
  for (const pageSize of ['16', null, {}]) refused.push(['quest', { heavySize: 4, pageSize }, TypeError, /integer in 1\.\./, 'pageSize']);
  for (const pageSize of [0, -2, 1.5, NaN, 2 ** 32]) {
    refused.push(['quest', { heavySize: 4, pageSize }, RangeError, /integer in 1\.\./, 'pageSize']);
  }
  for (const labelBits of ['4', null]) refused.push(['quest', { heavySize: 4, labelBits }, TypeError, /integer in 1\.\.16/, 'labelBits']);
  for (const labelBits of [0, 17, 2.5, NaN]) refused.push(['quest', { heavySize: 4, labelBits }, RangeError, /integer in 1\.\.16/, 'labelBits']);
  for (const [factory, options, kind, message, name] of refused) {
    assert.throws(
      () => maskers[factory](options),
      (error) => error.constructor === kind && error.message.startsWith(`${name}: `) && message.test(error.message),
      `${factory}(${describe(options)})`,
    );
  }
  for (const factory of Object.keys(maskers)) {
    for (const options of [null, 4, 'size', [1]]) {
      assert.throws(() => maskers[factory](options), /^TypeError: options: expected an object, got /, factory);
    }
  }
  assert.throws(() => maskers.sink({ sise: 4 }), /^TypeError: sise: unknown option; did you mean size\?/);
  assert.throws(() => maskers.quest({ heavySize: 4, page_size: 4 }), /^TypeError: page_size: unknown option; did you mean pageSize\?/);
  assert.throws(() => maskers.oracleTopK({ heavy_size: 4 }), /^TypeError: heavy_size: unknown option; did you mean heavySize\?/);
  assert.throws(() => maskers.causal({ size: 4 }), /^TypeError: size: unknown option/);
});

test('what a masker is made from is read once, and cannot be changed later', () => {
  const options = { size: 4 };
  const masker = maskers.sink(options);
  options.size = 9;
  assert.deepEqual(JSON.parse(JSON.stringify(masker)), { name: 'sink', size: 4 });
  assert.ok(Object.isFrozen(masker) && Object.isFrozen(maskers));
  assert.throws(() => (masker.name = 'other'), TypeError);
});

test('every masker says what its options are called, and one rule holds for seeds', () => {
  const required = {
    pqCache: { heavySize: 4 },
    socket: { heavySize: 4 },
    randomSampling: { rate: 0.5 },
    adaptiveSampling: { baseRate: 4, epsilon: 0.1, delta: 0.1 },
    importanceSampling: { draws: 4 },
    magicPig: { tables: 2, bits: 2 },
  };
  const seeded = Object.keys(maskers).filter((name) => maskers[name].parameters.includes('seed'));
  assert.deepEqual(seeded.sort(), Object.keys(required).sort());
  for (const name of seeded) {
    const { isSampling } = maskers[name]({ ...required[name], seed: 1n });
    if (isSampling) assert.throws(() => maskers[name](required[name]), /^TypeError: seed: /, name);
    else maskers[name](required[name]);
  }
  for (const [name, { parameters }] of Object.entries(maskers)) {
    assert.ok(Object.isFrozen(parameters), name);
    assert.throws(() => maskers[name]({ unheardOf: 1 }), /^TypeError: unheardOf: unknown option/, name);
  }
  assert.deepEqual(maskers.hashAttention.parameters, ['heavySize', 'weights', 'layer', 'activation']);
});
