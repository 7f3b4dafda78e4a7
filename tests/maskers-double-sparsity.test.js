// SPDX-License-Identifier: Apache-2.0
// doubleSparsity and its calibration against their definitions in double precision. ATTN_SEED chooses other problems.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { calibrateChannels, createAttention, Mask, maskers } from '../js/index.js';
import { draw, engine } from './calls.js';
import { addedTo, drawMasked } from './masker-references.js';
import { widen } from './oracle.js';
import { Random, narrow, seed, tensor } from './random.js';
import { variants } from './variants.js';

const { doubleSparsity, local, sink } = maskers;
let attention;
before(async () => void (attention = await engine()));
after(() => attention.dispose());

/** The original's pseudo-quantisation, in float32 as there, of numbers that stay doubles. */
function rounded(values, bits) {
  if (bits === 16) return values;
  const f = Math.fround;
  const steps = 2 ** bits - 1;
  const least = Math.min(...values);
  const range = f(Math.max(...values) - least) || 1;
  const scale = f(steps / range);
  return values.map((value) => {
    const x = f(f(value - least) * scale);
    const low = Math.floor(x);
    const code = x - low > 0.5 || (x - low === 0.5 && low % 2 === 1) ? low + 1 : low;
    return Math.min(code, steps) / scale + least;
  });
}

/** Scores of one row in double precision, and how far float32 may be from them. */
function scoresOf({ queries, keys }, channels, bits, b, h, i) {
  const [, heads, queryLength, dim] = queries.dims;
  const [, keyHeads, keyLength] = keys.dims;
  const row = (floats, at) => rounded(channels[h].map((channel) => floats[at * dim + channel]), bits);
  const q = row(widen(queries), (b * heads + h) * queryLength + i);
  const group = Math.floor((h * keyHeads) / heads);
  const values = widen(keys);
  let size = 0;
  const scores = Array.from({ length: keyLength }, (_, j) => {
    const k = row(values, (b * keyHeads + group) * keyLength + j);
    size = Math.max(size, Math.hypot(...q) * Math.hypot(...k));
    return q.reduce((sum, x, c) => sum + x * k[c], 0) / Math.sqrt(q.length);
  });
  return { scores, tolerance: size * 2e-6 };
}

/** Asserts that a row got the `count` best of what it may get, up to the tolerance. */
function assertLargest(kept, before, allowed, scores, count, tolerance, what) {
  const eligible = scores.map((_, j) => j).filter((j) => allowed(j) && !before(j));
  const chosen = eligible.filter((j) => kept(j));
  scores.forEach((_, j) => assert.ok(!kept(j) || before(j) || allowed(j), `${what}: key ${j} is not allowed`));
  scores.forEach((_, j) => assert.ok(!(before(j) && allowed(j)) || kept(j), `${what}: key ${j} was kept`));
  assert.equal(chosen.length, Math.min(count, eligible.length), what);
  const least = Math.min(...chosen.map((j) => scores[j]));
  for (const j of eligible) {
    if (!kept(j)) assert.ok(scores[j] <= least + tolerance, `${what}: key ${j} scores ${scores[j]}, one kept ${least}`);
  }
}

function drawProblem(random) {
  const options = drawMasked(random, {
    dims: [3, 8, 17, 32],
    keyLengths: [1, 5, 16, 33, 70, 150],
    dtypes: ['float32', 'float32', 'float16', 'bfloat16'],
  });
  const [, heads, , dim] = options.queries.dims;
  const groupFactor = random.integer(1, dim);
  const permutation = () => random.shuffled(Array.from({ length: dim }, (_, d) => d));
  return {
    options,
    count: Math.floor(dim / groupFactor),
    parameters: {
      heavySize: random.pick([1, 4, 20, 200]),
      groupFactor,
      labelBits: random.pick([1, 4, 4, 7, 8, 9, 12, 16]),
      channels: Array.from({ length: heads }, permutation),
    },
    fixed: random.chance(0.5) ? [sink({ size: 2 }), local({ size: 3 })] : [],
  };
}

for (const variant of variants) {
  test(`chooses the largest scores over few channels: ${variant}`, async () => {
    const own = await createAttention({ variant });
    for (let number = 0; number < 150; number++) {
      const random = new Random(seed, 1, number);
      const { options, parameters, count, fixed } = drawProblem(random);
      const before = own.createSparseAttention(fixed).buildMask(options);
      const mask = own.createSparseAttention([...fixed, doubleSparsity(parameters)]).buildMask(options);
      const kept = mask.toDense();
      const earlier = before.toDense();
      const [batch, heads, queryLength, keyLength] = mask.shape;
      const channels = parameters.channels.map((list) => list.slice(0, count));
      for (let b = 0; b < batch; b++)
        for (let h = 0; h < heads; h++)
          for (let i = 0; i < queryLength; i++) {
            const { scores, tolerance } = scoresOf(options, channels, parameters.labelBits, b, h, i);
            const biases = scores.map((_, j) => addedTo(options, b, h, i, j));
            const isIn = (data) => (j) => data[((b * heads + h) * queryLength + i) * keyLength + j] !== 0;
            const total = scores.map((score, j) => score + biases[j]);
            assertLargest(isIn(kept), isIn(earlier), (j) => biases[j] > -Infinity, total, parameters.heavySize,
              tolerance + 1e-6, `problem ${number}, row ${b} ${h} ${i}`);
          }
    }
    own.dispose();
  });
}

test('keys appended one by one give the mask of all at once', () => {
  for (const labelBits of [4, 8, 11, 16]) {
    const random = new Random(seed, 2, labelBits);
    const [length, dim] = [37, 16];
    const keys = tensor(random, [2, 2, length, dim], 1, random.pick(['float32', 'float16']));
    const values = tensor(random, [2, 2, length, 4]);
    const channels = Array.from({ length: 4 }, () => random.shuffled(Array.from({ length: dim }, (_, d) => d)));
    const make = () => attention.createSparseAttention([sink({ size: 1 }), doubleSparsity({ heavySize: 5, channels,
      groupFactor: 3, labelBits })]);
    const growing = make();
    const first = ({ data, dims, dtype }, count) => {
      const [b, h, , d] = dims;
      const rows = Array.from({ length: b * h }, (_, n) =>
        Array.from(data.subarray(n * length * d, (n * length + count) * d))).flat();
      return { data: data.constructor.from(rows), dims: [b, h, count, d], dtype };
    };
    for (let count = 1; count <= length; count++) {
      const options = { queries: tensor(random, [2, 4, 1, dim]), keys: first(keys, count),
        values: first(values, count), causal: true };
      assert.deepEqual(growing.buildMask(options).toDense(), make().buildMask(options).toDense(), `${count} keys`);
    }
    growing.dispose();
  }
});

test('equal keys and labels: the lowest index goes first, and NaN is not chosen', () => {
  const queries = { data: Float32Array.of(1, 2), dims: [1, 1, 1, 2], dtype: 'float32' };
  const values = { data: new Float32Array(5), dims: [1, 1, 5, 1], dtype: 'float32' };
  const keys = { data: Float32Array.of(NaN, 1, 3, 3, 3, 3, 1, NaN, 3, 3), dims: [1, 1, 5, 2], dtype: 'float32' };
  for (const labelBits of [4, 12, 16]) {
    const masker = doubleSparsity({ heavySize: 2, channels: [[1, 0]], groupFactor: 1, labelBits });
    const mask = attention.createSparseAttention([masker]).buildMask({ queries, keys, values });
    assert.deepEqual([...mask.toDense()], [0, 1, 1, 0, 0]);
  }
});

test('of many keys exactly those of a full sort, whatever their scores have in common', () => {
  const random = new Random(seed, 5);
  const [length, dim] = [9000, 4]; // one channel: scores are exact
  const kinds = [() => random.integer(-3, 3), () => random.integer(-2000, 2000), () => 1, () => (random.chance(0.999)
    ? 0 : random.integer(-9, 9)),
    () => random.pick([1, -1]) * 2 ** random.integer(-60, 60), () => random.pick([1, 2, Infinity, -Infinity, 0, -1])];
  for (const kind of kinds) {
    const keys = { data: Float32Array.from({ length: length * dim }, kind), dims: [1, 1, length, dim],
      dtype: 'float32' };
    const queries = { data: Float32Array.of(3, 2, 3, 3), dims: [1, 1, 1, dim], dtype: 'float32' };
    const values = { data: new Float32Array(length), dims: [1, 1, length, 1], dtype: 'float32' };
    const scores = Array.from({ length }, (_, j) => keys.data[j * dim + 1]);
    const order = scores.map((_, j) => j).sort((a, b) => (scores[a] === scores[b] ? a - b : scores[b] - scores[a]));
    for (const heavySize of [1, 7, 300, 4000, 8999]) {
      const masker = doubleSparsity({ heavySize, channels: [[1]], groupFactor: dim, labelBits: 16 });
      const kept = attention.createSparseAttention([masker]).buildMask({ queries, keys, values }).toDense();
      const expected = order.slice(0, heavySize).filter((j) => scores[j] > -Infinity).sort((a, b) => a - b);
      assert.deepEqual([...kept.keys()].filter((j) => kept[j] !== 0), expected);
    }
  }
});

test('labels of rows that leave floats are those of equal values', () => {
  const tiny = 1e-44; // 15 / tiny is infinite
  const queries = { data: Float32Array.of(1, 1), dims: [1, 1, 1, 2], dtype: 'float32' };
  const values = { data: new Float32Array(3), dims: [1, 1, 3, 1], dtype: 'float32' };
  const keys = { data: Float32Array.of(0, tiny, 1, 2, -1, 0), dims: [1, 1, 3, 2], dtype: 'float32' };
  const masker = doubleSparsity({ heavySize: 2, channels: [[0, 1]], groupFactor: 1 });
  const mask = attention.createSparseAttention([masker]).buildMask({ queries, keys, values });
  assert.deepEqual([...mask.toDense()], [1, 1, 0]);
});

test('a file of channels: layers, selections, and the way through JSON', () => {
  const inputs = draw(3, [1, 4, 2, 1, 40, 8, 4]);
  const random = new Random(seed, 3);
  const lists = () => Array.from({ length: 4 }, () => random.shuffled([0, 1, 2, 3, 4, 5, 6, 7]));
  const channels = { 'model.layers.0.self_attn.qk_proj': lists(), 'model.layers.7.self_attn.q_proj': lists() };
  const maskOf = (list) => attention.createSparseAttention(list).buildMask(inputs).toDense();
  const options = { heavySize: 6, groupFactor: 4, channels };
  assert.deepEqual(
    maskOf([doubleSparsity({ ...options, layer: 7, channelSelection: 'q_proj' })]),
    maskOf([doubleSparsity({ ...options, channels: channels['model.layers.7.self_attn.q_proj'] })]),
  );
  const sparse = attention.createSparseAttention([doubleSparsity(options)]);
  assert.deepEqual(maskOf(JSON.parse(JSON.stringify(sparse.toJSON()))), sparse.buildMask(inputs).toDense());
});

test('calibration sorts channels by their products', () => {
  const random = new Random(seed, 4);
  const queries = tensor(random, [2, 4, 5, 6]);
  const keys = narrow(tensor(random, [2, 2, 9, 6]), 'bfloat16');
  const [q, k] = [widen(queries), widen(keys)];
  const at = ([, heads, rows, dim], b, h, i, d) => ((b * heads + h) * rows + i) * dim + d;
  const order = (weight) => [0, 1, 2, 3, 4, 5].sort((x, y) => weight(y) - weight(x));
  const weightOf = (head) => (d) => {
    let sum = 0;
    for (let b = 0; b < 2; b++)
      for (let i = 0; i < 5; i++)
        for (let j = 0; j < 9; j++) sum += Math.abs(q[at(queries.dims, b, head, i, d)] * k[at(keys.dims, b, head >> 1,
          j, d)]);
    return sum;
  };
  const calibrated = calibrateChannels({ queries, keys, layer: 3 });
  assert.deepEqual(calibrated, { 'model.layers.3.self_attn.qk_proj': [0, 1, 2, 3].map((head) =>
    order(weightOf(head))) });

  const alone = { data: Float32Array.of(1, -3, 2, 0, 0, 0, 1, 1, -1, 2, 1, 0), dims: [1, 2, 2, 3], dtype: 'float32' };
  assert.deepEqual(calibrateChannels({ keys: alone }), { 'model.layers.0.self_attn.k_proj': [[1, 2, 0], [0, 1, 2]] });
  const inputs = { queries, keys, values: tensor(random, [2, 2, 9, 1]) };
  const masker = doubleSparsity({ heavySize: 2, channels: calibrated, layer: 3, groupFactor: 2 });
  assert.equal(attention.createSparseAttention([masker]).buildMask(inputs).density(), 2 / 9);

  assert.throws(() => calibrateChannels({}), /^TypeError: keys: /);
  assert.throws(() => calibrateChannels({ keys: tensor(random, [2, 3, 4]) }), /^RangeError: keys: /);
  assert.throws(() => calibrateChannels({ keys, queries: tensor(random, [1, 4, 5, 6]) }),
    /^RangeError: queries: expected the batch/);
  assert.throws(() => calibrateChannels({ keys, queries: tensor(random, [2, 4, 5, 7]) }),
    /^RangeError: queries: expected the dim/);
  assert.throws(() => calibrateChannels({ keys, queries: tensor(random, [2, 3, 5, 6]) }), /must be divisible/);
  assert.throws(() => calibrateChannels({ keys, layer: -1 }), /^RangeError: layer: /);
  assert.throws(() => calibrateChannels({ keys, heads: 2 }), /^TypeError: heads: unknown option/);
});

test('parameters that are refused', () => {
  const channels = [[0, 1], [1, 0]];
  const bad = (options, message) => assert.throws(() => doubleSparsity({ heavySize: 4, channels, ...options }),
    message);
  bad({ heavySize: 0 }, /^RangeError: heavySize: /);
  bad({ heavySize: '4' }, /^TypeError: heavySize: /);
  bad({ labelBits: 0 }, /^RangeError: labelBits: expected an integer in 1\.\.16, got 0/);
  bad({ labelBits: 17 }, /^RangeError: labelBits: /);
  bad({ groupFactor: 0 }, /^RangeError: groupFactor: /);
  bad({ groupFactor: 1.5 }, /^RangeError: groupFactor: /);
  bad({ layer: -1 }, /^RangeError: layer: /);
  bad({ channelSelection: 'v_proj' }, /^RangeError: channelSelection: /);
  bad({ channels: undefined }, /^TypeError: channels: /);
  bad({ channels: '[[0]]' }, /^TypeError: channels: /);
  bad({ channels: {} }, /^RangeError: channels\['model\.layers\.0\.self_attn\.qk_proj'\]: /);
  bad({ channels: { 'model.layers.0.self_attn.qk_proj': 3 } },
    /^TypeError: channels\['model.layers.0.self_attn.qk_proj'\]: /);
  bad({ channels: [0, 1] }, /^TypeError: channels\[0\]: /);
  bad({ channels: [[0], ['1']] }, /^TypeError: channels\[1\]\[0\]: /);
  bad({ channels: [[0], [-1]] }, /^RangeError: channels\[1\]\[0\]: /);
  bad({ channels: [[0], [0.5]] }, /^RangeError: channels\[1\]\[0\]: /);
  bad({ channels: [[0], [2, 3, 2]] }, /^RangeError: channels\[1\]\[2\]: expected channels without repetition, got 2/);
  bad({ channels: [[0, , 1], [1, 0]] }, /^TypeError: channels\[0\]\[1\]: /); // eslint-disable-line no-sparse-arrays
  bad({ channels: [, [1]] }, /^TypeError: channels\[0\]: /); // eslint-disable-line no-sparse-arrays
  bad({ channel: [] }, /^TypeError: channel: unknown option; did you mean channels\?/);

  const inputs = draw(1, [1, 2, 2, 1, 9, 8, 4]);
  const misfit = (options, message) => {
    const sparse = attention.createSparseAttention([doubleSparsity({ heavySize: 4, channels, groupFactor: 4,
      ...options })]);
    assert.throws(() => sparse.buildMask(inputs), message);
  };
  misfit({ channels: [[0, 1]] }, /^RangeError: maskers\[0\] \(doubleSparsity\): channels: expected a list per query head \(2\), got 1/);
  misfit({ channels: [[0, 1], [1, 8]] },
    /^RangeError: maskers\[0\] \(doubleSparsity\): channels\[1\]: expected channels below 8, the dim of keys, got 8/);
  misfit({ groupFactor: 2 }, /^RangeError: maskers\[0\] \(doubleSparsity\): channels\[0\]: expected at least 4 channels, got 2/);
  misfit({ groupFactor: 9 }, /^RangeError: maskers\[0\] \(doubleSparsity\): groupFactor: expected an integer in 1\.\.8, the dim of keys, got 9/);
});

test('a mask that is full stays full', () => {
  const inputs = draw(1, [1, 2, 2, 1, 9, 8, 4]);
  const sparse = attention.createSparseAttention([doubleSparsity({ heavySize: 1, channels: [[0], [0]],
    groupFactor: 8 })]);
  const sparseAttentionMask = Mask.full([1, 2, 1, 9]);
  assert.equal(sparse.buildMask({ ...inputs, sparseAttentionMask }).isFull(), true);
});
