// SPDX-License-Identifier: Apache-2.0
// hashAttention and its weights against their definitions in double precision. ATTN_SEED chooses other problems.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { createAttention, maskers, readHashWeights } from '../js/index.js';
import { formatSafetensors } from '../js/safetensors.js';
import { draw, engine } from './calls.js';
import { addedTo, drawMasked } from './masker-references.js';
import { fromBfloat16, widen } from './oracle.js';
import { Random, narrow, product, seed, tensor } from './random.js';
import { variants } from './variants.js';

const { hashAttention, local, sink } = maskers;
const NEAR = 1e-4; // signs of sums that are nearer to 0 are anybody's guess
let attention;
before(async () => void (attention = await engine()));
after(() => attention.dispose());

/** The error function: its Maclaurin series, or a continued fraction of its complement. */
function erf(x) {
  const z = Math.abs(x);
  if (z < 3) {
    let [sum, term] = [z, z];
    for (let n = 1; n < 100; n++) {
      term *= (-z * z) / n;
      sum += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * sum) / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (z + fraction);
  return Math.sign(x) * (1 - Math.exp(-z * z) / (Math.sqrt(Math.PI) * (z + fraction)));
}

const activations = {
  relu: (x) => Math.max(0, x),
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu: (x) => (x / 2) * (1 + erf(x / Math.SQRT2)),
  tanh: Math.tanh,
};

/** What a network of a head makes of a row, before signs are taken. */
function outputsOf(row, weights, side, head, activate) {
  let values = [...row];
  weights[`${side}_matrix`].forEach((matrix, layer, { length }) => {
    const [, inputs, outputs] = matrix.dims;
    const bias = weights[`${side}_bias`][layer];
    values = Array.from({ length: outputs }, (_, e) =>
      values.reduce((sum, x, d) => sum + x * matrix.data[(head * inputs + d) * outputs + e],
        bias.data[head * outputs + e]));
    if (layer + 1 < length) values = values.map(activate);
  });
  return values;
}

function drawWeights(random, heads, widths) {
  const weights = { query_matrix: [], query_bias: [], key_matrix: [], key_bias: [] };
  for (let n = 0; n + 1 < widths.length; n++) {
    for (const side of ['query', 'key']) {
      weights[`${side}_matrix`].push(tensor(random, [heads, widths[n], widths[n + 1]]));
      weights[`${side}_bias`].push(tensor(random, [heads, widths[n + 1]], 0.3));
    }
  }
  return weights;
}

function drawProblem(random) {
  const options = drawMasked(random, {
    dims: [1, 3, 8, 12],
    keyLengths: [1, 5, 16, 33, 70],
    dtypes: ['float32', 'float16', 'bfloat16'],
    biasOf: (value) => random.pick([0, 1, value]), // scores are integers: others must be able to catch up
  });
  const [, heads, , dim] = options.queries.dims;
  const widths = random.pick([[4], [33], [32], [7, 5], [9, 12, 16], [40, 70]]);
  return {
    options,
    weights: drawWeights(random, heads, [dim, ...widths]),
    activation: random.pick([undefined, 'silu', 'relu', 'gelu', 'tanh']),
    heavySize: random.pick([1, 3, 10, 100]),
    fixed: random.chance(0.5) ? [sink({ size: 2 }), local({ size: 3 })] : [],
  };
}

/** What a row chooses, or undefined where a sign is in doubt. */
function chosen({ options, weights, activation = 'silu', heavySize }, b, h, i, isBefore) {
  const { queries, keys } = options;
  const [, heads, queryLength, dim] = queries.dims;
  const [, keyHeads, keyLength] = keys.dims;
  const code = (tensor, row, side) => outputsOf(widen(tensor).slice(row * dim, (row + 1) * dim), weights, side, h,
    activations[activation]);
  const q = code(queries, (b * heads + h) * queryLength + i, 'query');
  const group = Math.floor((h * keyHeads) / heads);
  const eligible = [];
  let isSure = q.every((x) => Math.abs(x) > NEAR);
  for (let j = 0; j < keyLength; j++) {
    const bias = addedTo(options, b, h, i, j);
    if (bias === -Infinity || isBefore(j)) continue;
    const k = code(keys, (b * keyHeads + group) * keyLength + j, 'key');
    isSure &&= k.every((x) => Math.abs(x) > NEAR);
    const score = q.reduce((sum, x, n) => sum + (x > 0 ? 1 : -1) * (k[n] > 0 ? 1 : -1), 0);
    eligible.push({ j, score: Math.fround(score + bias) });
  }
  eligible.sort((a, b) => b.score - a.score || a.j - b.j);
  return isSure ? eligible.slice(0, heavySize).map(({ j }) => j).sort((a, b) => a - b) : undefined;
}

for (const variant of variants) {
  test(`chooses the nearest codes, of equals the lowest: ${variant}`, async () => {
    const own = await createAttention({ variant });
    let compared = 0;
    for (let number = 0; number < 120; number++) {
      const problem = drawProblem(new Random(seed, 1, number));
      const { options, weights, activation, heavySize, fixed } = problem;
      const earlier = own.createSparseAttention(fixed).buildMask(options).toDense();
      const masker = hashAttention({ heavySize, weights: { 5: weights }, layer: 5, activation });
      const mask = own.createSparseAttention([...fixed, masker]).buildMask(options);
      const kept = mask.toDense();
      const [batch, heads, queryLength, keyLength] = mask.shape;
      for (let b = 0; b < batch; b++)
        for (let h = 0; h < heads; h++)
          for (let i = 0; i < queryLength; i++) {
            const at = ((b * heads + h) * queryLength + i) * keyLength;
            const expected = chosen(problem, b, h, i, (j) => earlier[at + j] !== 0);
            if (expected === undefined) continue;
            compared++;
            const found = [...kept.subarray(at, at + keyLength).keys()].filter((j) => kept[at + j] !== 0
              && earlier[at + j] === 0);
            assert.deepEqual(found, expected, `problem ${number}, row ${b} ${h} ${i}`);
          }
    }
    assert.ok(compared > 200, `${compared} rows`);
    own.dispose();
  });
}

test('activations are within 2e-6', () => {
  // Head n is told whether its activation of x is within the bounds by two thresholds: with +1 and -1 the key of x has a
  // higher score than the one before it, NaN, both of whose bits are -1.
  const points = Float32Array.from({ length: 400 }, (_, n) => (n < 300 ? (n - 150) / 20 : (n - 350) / 2.5));
  const heads = points.length;
  const ones = (...dims) => ({ data: new Float32Array(product(dims)).fill(1), dims });
  const zeros = (...dims) => ({ data: new Float32Array(product(dims)), dims });
  const repeated = (...values) => ({ data: Float32Array.from({ length: 2 * heads }, (_, n) => values[n % 2]),
    dims: [heads, 2] });
  const keys = { data: Float32Array.from({ length: 2 * heads }, (_, n) => (n % 2 ? points[n >> 1] : NaN)),
    dims: [1, heads, 2, 1] };
  const inputs = { queries: zeros(1, heads, 1, 1), keys, values: zeros(1, heads, 2, 1) };
  for (const [activation, f] of Object.entries(activations)) {
    const thresholds = Float32Array.from({ length: 2 * heads }, (_, n) =>
      -(f(points[n >> 1]) + (n % 2 ? 2e-6 : -2e-6) * Math.max(1, Math.abs(points[n >> 1]))));
    const weights = {
      query_matrix: [zeros(heads, 1, 1), zeros(heads, 1, 2)],
      query_bias: [zeros(heads, 1), repeated(1, -1)],
      key_matrix: [ones(heads, 1, 1), ones(heads, 1, 2)],
      key_bias: [zeros(heads, 1), { data: thresholds, dims: [heads, 2] }],
    };
    const mask = attention.createSparseAttention([hashAttention({ heavySize: 1, weights: [weights],
      activation })]).buildMask(inputs);
    const kept = mask.toDense();
    points.forEach((x, head) => assert.equal(kept[2 * head + 1], 1, `${activation}(${x})`));
  }
});

test('codes of many bits', () => {
  for (const bits of [31, 64, 65, 1000, 1024]) {
    const random = new Random(seed, 2, bits);
    const problem = { options: draw(bits, [1, 2, 1, 1, 20, 6, 2]), weights: drawWeights(random, 2, [6, bits]),
      heavySize: 6 };
    const mask = attention.createSparseAttention([hashAttention({ heavySize: 6,
      weights: [problem.weights] })]).buildMask(problem.options);
    const kept = mask.toDense();
    for (let h = 0; h < 2; h++) {
      const expected = chosen(problem, 0, h, 0, () => false);
      if (expected !== undefined) assert.deepEqual([...Array(20).keys()].filter((j) => kept[h * 20 + j] !== 0),
        expected);
    }
  }
});

test('keys appended one by one give the mask of all at once', async () => {
  for (const variant of variants) {
    const own = await createAttention({ variant });
    const random = new Random(seed, 3);
    const [length, dim] = [37, 10];
    const weights = [drawWeights(random, 4, [dim, 45, 38])];
    const keys = tensor(random, [2, 2, length, dim], 1, 'float16');
    const values = tensor(random, [2, 2, length, 4]);
    const first = ({ data, dims: [b, h, , d], dtype }, count) => {
      const rows = Array.from({ length: b * h }, (_, n) =>
        Array.from(data.subarray(n * length * d, (n * length + count) * d))).flat();
      return { data: data.constructor.from(rows), dims: [b, h, count, d], dtype };
    };
    const make = () => own.createSparseAttention([sink({ size: 1 }), hashAttention({ heavySize: 5, weights })]);
    const growing = make();
    for (let count = 1; count <= length; count++) {
      const options = { queries: tensor(random, [2, 4, 1, dim]), keys: first(keys, count),
        values: first(values, count), causal: true };
      assert.deepEqual(growing.buildMask(options).toDense(), make().buildMask(options).toDense(), `${count} keys`);
    }
    own.dispose();
  }
});

test('weights: nested arrays, tensors, files and JSON are the same', () => {
  const inputs = draw(4, [1, 4, 2, 1, 60, 6, 4]);
  const random = new Random(seed, 4);
  const halves = (tensor) => narrow({ ...tensor, data: tensor.data.map((x) => fromBfloat16(narrow({ data: [x],
    dims: [1] }, 'bfloat16').data[0])) }, 'float32');
  const weights = Object.fromEntries(Object.entries(drawWeights(random, 4, [6, 9, 20])).map(([role, list]) =>
    [role, list.map(halves)]));
  const maskOf = (list) => attention.createSparseAttention(list).buildMask(inputs).toDense();
  const expected = maskOf([hashAttention({ heavySize: 7, weights: { 2: weights }, layer: 2 })]);
  assert.equal(expected.reduce((a, b) => a + b), 4 * 7);

  const nested = ({ data, dims: [size, ...rest] }) =>
    rest.length === 0 ? [...data] : Array.from({ length: size }, (_, n) =>
      nested({ data: data.subarray((n * data.length) / size, ((n + 1) * data.length) / size), dims: rest }));
  const lists = Object.fromEntries(Object.entries(weights).map(([role, list]) => [role, list.map(nested)]));
  assert.deepEqual(maskOf([hashAttention({ heavySize: 7, weights: [lists] })]), expected);

  for (const dtype of ['float32', 'bfloat16']) {
    const named = Object.entries(weights).flatMap(([role, list]) =>
      list.map((tensor, n) => [`layers.12.${role}.${n}`, { dtype: 'float32', ...narrow(tensor, dtype) }]));
    const bytes = formatSafetensors([...named, ['other', { data: Float32Array.of(1), dims: [1] }]]);
    const read = readHashWeights(bytes);
    assert.deepEqual(maskOf([hashAttention({ heavySize: 7, weights: read, layer: 12 })]), expected);
    const sparse = attention.createSparseAttention([hashAttention({ heavySize: 7, weights: read, layer: 12 })]);
    assert.deepEqual(maskOf(sparse.toJSON()), expected);
    assert.deepEqual(maskOf(JSON.parse(JSON.stringify(sparse.toJSON()))), expected);
  }
  const sparse = attention.createSparseAttention([hashAttention({ heavySize: 7, weights: [lists] })]);
  assert.deepEqual(maskOf(JSON.parse(JSON.stringify(sparse.toJSON()))), expected);
});

test('files that are refused', () => {
  assert.throws(() => readHashWeights('x'), /^TypeError: bytes: /);
  assert.throws(() => readHashWeights(new Uint8Array(3)), /^SafetensorsError: /);
  const file = (names) => formatSafetensors(names.map((name) => [name, { data: new Float32Array(2), dims: [1, 1,
    2] }]));
  assert.throws(() => readHashWeights(file(['layer.0.key_matrix.0'])), /^RangeError: bytes: expected tensors layers/);
  const half = readHashWeights(file(['layers.0.key_matrix.0']));
  assert.throws(() => hashAttention({ heavySize: 1, weights: half }),
    /^RangeError: weights\[0\]\.query_matrix: expected at least one layer/);
  const gap = readHashWeights(file(['layers.0.query_matrix.1']));
  assert.throws(() => hashAttention({ heavySize: 1, weights: gap }), /^TypeError: weights\[0\]\.query_matrix\[0\]: /);
});

test('parameters that are refused', () => {
  const random = new Random(seed, 5);
  const good = drawWeights(random, 2, [6, 5, 8]);
  const bad = (options, message) => assert.throws(() => hashAttention({ heavySize: 4, weights: [good], ...options }),
    message);
  const changed = (role, ...list) => ({ weights: [{ ...good, [role]: list }] });
  const other = (...dims) => tensor(random, dims);
  bad({ heavySize: 0 }, /^RangeError: heavySize: /);
  bad({ layer: 1 }, /^RangeError: weights\[1\]: there is no such entry/);
  bad({ layer: -1 }, /^RangeError: layer: /);
  bad({ activation: 'elu' }, /^RangeError: activation: expected 'silu', 'relu', 'gelu' or 'tanh', got 'elu'/);
  bad({ weights: undefined }, /^TypeError: weights: /);
  bad({ weights: 3 }, /^TypeError: weights: /);
  bad({ weights: [3] }, /^TypeError: weights\[0\]: /);
  bad({ weights: [{ ...good, key_bias: undefined }] }, /^TypeError: weights\[0\]\.key_bias: /);
  bad({ weight: 3 }, /^TypeError: weight: unknown option; did you mean weights\?/);
  bad(changed('key_bias', good.key_bias[0]), /^RangeError: weights\[0\]\.key_bias: expected 2 layers/);
  bad(changed('query_matrix'), /^RangeError: weights\[0\]\.query_matrix: expected at least one layer/);
  bad(changed('query_matrix', good.query_matrix[0], other(2, 4, 8)),
    /^RangeError: weights\[0\]\.key_matrix\[1\]: expected 2 x 4 x 8, got 2 x 5 x 8/);
  bad({ weights: [{ ...good, query_matrix: [good.query_matrix[0], other(2, 4, 8)],
    key_matrix: [good.key_matrix[0], other(2, 4, 8)] }] },
    /^RangeError: weights\[0\]\.query_matrix\[1\]: expected 2 x 5 x 8, got 2 x 4 x 8/);
  bad(changed('query_bias', good.query_bias[0], other(2, 7)),
    /^RangeError: weights\[0\]\.query_bias\[1\]: expected 2 x 8, got 2 x 7/);
  bad(changed('query_bias', good.query_bias[0], other(3, 8)),
    /^RangeError: weights\[0\]\.query_bias\[1\]: expected 2 x 8, got 3 x 8/);
  bad(changed('query_bias', good.query_bias[0], other(16)),
    /^RangeError: weights\[0\]\.query_bias\[1\]: expected 2 dimensions, got 16/);
  bad(changed('query_bias', [[1, 2, 3], [4, 5]], good.query_bias[1]),
    /^RangeError: weights\[0\]\.query_bias\[0\]: expected arrays of equal lengths, 2 x 3/);
  bad(changed('query_bias', [[1, 2, 3, 4, 5], [4, 5, 6, 7, '8']], good.query_bias[1]),
    /^TypeError: weights\[0\]\.query_bias\[0\]: expected numbers, got '8'/);
  bad(changed('query_bias', [[1, 2, 3, 4, 5], [4, 5, 6, 7, NaN]], good.query_bias[1]),
    /^RangeError: weights\[0\]\.query_bias\[0\], element 9: expected a finite number, got NaN/);
  bad(
    changed('query_bias', [[1, 2, 3, 4, 5], '12345'], good.query_bias[1]),
    /^RangeError: weights\[0\]\.query_bias\[0\]: expected arrays of equal lengths/,
  );
  bad(changed('query_bias', { data: new Float32Array(9), dims: [2, 5] }, good.query_bias[1]),
    /^RangeError: weights\[0\]\.query_bias\[0\]: expected 10 elements/);
  bad({ weights: [drawWeights(random, 2, [6, 1025])] },
    /^RangeError: weights\[0\]\.query_matrix\[0\]: expected 1\.\.1024 outputs/);
  bad({ weights: [drawWeights(random, 0, [6, 5])] },
    /^RangeError: weights\[0\]\.query_matrix\[0\]: expected at least one head/);

  const inputs = draw(1, [1, 2, 2, 1, 9, 6, 4]);
  const misfit = (weights, message) => {
    const sparse = attention.createSparseAttention([hashAttention({ heavySize: 4, weights: [weights] })]);
    assert.throws(() => sparse.buildMask(inputs), message);
  };
  misfit(drawWeights(random, 4, [6, 5]), /^RangeError: maskers\[0\] \(hashAttention\): weights\[0\]: expected 2 query heads, got 4/);
  misfit(drawWeights(random, 2, [8, 5]), /^RangeError: maskers\[0\] \(hashAttention\): weights\[0\]: expected 6 inputs, the dim of keys, got 8/);
});
