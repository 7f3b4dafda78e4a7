// SPDX-License-Identifier: Apache-2.0
// Pipelines of maskers: over the steps of decoding, with maskers of the caller's, as JSON, with metrics, and what they
// leave behind in memory.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { Mask, createAttention, maskers } from '../js/index.js';
import { assertSameBits, draw, engine, hasCode } from './calls.js';
import { Random, tensor } from './random.js';

let attention;
before(async () => {
  attention = await engine();
});
after(() => attention.dispose());

const everyMasker = () => [
  maskers.sink({ size: 2 }),
  maskers.local({ size: 3 }),
  maskers.oracleTopK({ heavySize: 4 }),
  maskers.quest({ heavySize: 9, pageSize: 3, labelBits: 4 }),
  maskers.quest({ heavySize: 8, pageSize: 2 }),
  maskers.oracleTopP({ topP: 0.2 }),
];

const sizes = ({ batch = 1, heads = 4, keyHeads = 2, queries = 3, keys = 40, dim = 8, valueDim = 8 } = {}) => [
  batch, heads, keyHeads, queries, keys, dim, valueDim,
];
const inputsOf = (numbers, options) => draw(numbers, sizes(options));

/** The first `length` keys of a tensor [b, h, s, d]. */
function firstKeys({ data, dims, dtype }, length) {
  const [batch, heads, keys, dim] = dims;
  const result = new data.constructor(batch * heads * length * dim);
  for (let n = 0; n < batch * heads; n++) {
    result.set(data.subarray(n * keys * dim, (n * keys + length) * dim), n * length * dim);
  }
  return { data: result, dims: [batch, heads, length, dim], dtype };
}

function assertSameMask(actual, expected, what) {
  assert.deepEqual(actual.shape, expected.shape, what);
  assert.deepEqual(actual.toIndices(), expected.toIndices(), what);
}

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc');

/** Bytes in use once the engine has let go of its copies of masks that nobody has any more. */
async function settledBytes(on) {
  let least = Infinity;
  for (let n = 0; n < 5; n++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
    least = Math.min(least, on.info().usedBytes);
  }
  return least;
}

/** `call` throws an error of `kind` whose message matches, and `next` works. */
function refuses(call, kind, pattern, next) {
  assert.throws(call, (error) => {
    assert.equal(error.constructor, kind, String(error.stack));
    assert.match(error.message, pattern);
    return true;
  });
  next?.();
}

// ---------------------------------------------------------------------------------------------------- decoding

for (const dtype of ['float32', 'float16', 'bfloat16']) {
  test(`${dtype}: step by step a pipeline builds the masks of a new one`, () => {
    const all = draw(3, sizes({ batch: 2, keys: 90 }), dtype);
    const decoding = attention.createSparseAttention(everyMasker());
    for (const length of [5, 6, 7, 30, 31, 64, 65, 90]) {
      const [keys, values] = [firstKeys(all.keys, length), firstKeys(all.values, length)];
      const queries = draw(length, sizes({ batch: 2, queries: 1 }), dtype).queries;
      const fresh = attention.createSparseAttention(everyMasker());
      const inputs = { queries, keys, values };
      assertSameMask(decoding.buildMask(inputs), fresh.buildMask(inputs), `${length} keys`);
      assertSameMask(decoding.buildMask(inputs), fresh.buildMask(inputs), `${length} keys again`);
      assertSameBits(decoding.forward(inputs).output.data, fresh.forward(inputs).output.data, `${length} keys`);
      fresh.dispose();
    }
    decoding.dispose();
  });
}

test('resident caches that are filled up, with key lengths of each batch', () => {
  const room = 50;
  const all = inputsOf(5, { batch: 2, keys: room });
  const [keys, values] = ['keys', 'values'].map((name) => attention.tensor(all[name].dims));
  const decoding = attention.createSparseAttention(everyMasker());
  const width = 8;
  const before = [0, 0];
  for (const lengths of [[4, 0], [5, 7], [5, 8], [20, 8], [50, 33], [50, 50]]) {
    lengths.forEach((length, b) => {
      for (let h = 0; h < 2; h++) {
        const at = (b * 2 + h) * room * width;
        for (const [cache, { data }] of [[keys, all.keys], [values, all.values]]) {
          const [first, last] = [at + before[b] * width, at + length * width];
          cache.data.set(data.subarray(first, last), first);
        }
      }
      before[b] = length;
    });
    const { queries } = inputsOf(lengths[0], { batch: 2, queries: 2 });
    const inputs = { queries, keys, values, keyLengths: Int32Array.from(lengths), queryOffset: lengths.map((n) => n - 2) };
    const fresh = attention.createSparseAttention(everyMasker());
    assertSameMask(decoding.buildMask(inputs), fresh.buildMask(inputs), `lengths ${lengths}`);
    const whole = { ...inputs, keys: all.keys, values: all.values }; // what is beyond the lengths does not matter
    assertSameMask(decoding.buildMask(inputs), fresh.buildMask(whole), `lengths ${lengths}, all keys`);
    fresh.dispose();
  }
  decoding.dispose();
  keys.dispose();
  values.dispose();
});

test('another sequence needs reset(): fewer keys, or other dimensions', () => {
  const sparse = attention.createSparseAttention([maskers.quest({ heavySize: 8, pageSize: 2 })]);
  const long = inputsOf(1, { keys: 40 });
  const short = { ...long, keys: firstKeys(long.keys, 39), values: firstKeys(long.values, 39) };
  sparse.buildMask(long);
  const works = () => sparse.buildMask(long);
  refuses(() => sparse.buildMask(short), RangeError, /^maskers\[\d\] \(\w+\): keys: expected at least the 40 .* of batch 0, got 39; call reset\(\)/, works);
  const lengths = { ...long, keyLengths: Int32Array.of(12) };
  refuses(() => sparse.buildMask(lengths), RangeError, /^maskers\[0\] \(quest\): keys: .* 40 .*got 12; call reset\(\)/, works);
  for (const options of [{ batch: 2 }, { keyHeads: 1 }, { dim: 4 }]) {
    refuses(() => sparse.buildMask(inputsOf(2, { ...options, keys: 41 })), RangeError, /^maskers\[\d\] \(\w+\): keys: expected batch, key heads, value heads and dim 1 x 2 x 2 x 8, .*call reset\(\)/, works);
  }
  sparse.buildMask(inputsOf(2, { heads: 8, valueDim: 3 })); // of queries and values it knows nothing
  sparse.reset();
  const fresh = attention.createSparseAttention([maskers.quest({ heavySize: 8, pageSize: 2 })]);
  assertSameMask(sparse.buildMask(short), fresh.buildMask(short), 'after reset()');
  sparse.reset();
  sparse.buildMask(inputsOf(2, { batch: 2, dim: 4 }));
  sparse.dispose();
  sparse.dispose();
  fresh[Symbol.dispose]();
});

test('pipelines and layers know nothing of each other', () => {
  const masker = maskers.quest({ heavySize: 8, pageSize: 2 }); // one object, two layers
  const [a, b] = [1, 2].map(() => attention.createSparseAttention([masker]));
  const [first, second] = [inputsOf(1), inputsOf(2, { keys: 30, dim: 4 })];
  const expected = a.buildMask(first);
  b.buildMask(second);
  assertSameMask(a.buildMask(first), expected, 'after another layer');
  const twice = attention.createSparseAttention([masker, masker]);
  twice.buildMask(first);
  for (const each of [a, b, twice]) each.dispose();
});

// ---------------------------------------------------------------------------------------------------- composing

test('maskers of the caller compose with ours', () => {
  const inputs = inputsOf(4);
  const calls = [];
  const own = {
    name: 'evens',
    apply(problem, previous, state) {
      calls.push([problem, previous, state]);
      return previous.merge(Mask.fromFunction(problem.shape, (b, h, i, j) => j % 2 === 0));
    },
  };
  const list = [maskers.sink({ size: 3 }), own, maskers.oracleTopK({ heavySize: 5 })];
  const sparse = attention.createSparseAttention(list);
  const mask = sparse.buildMask(inputs);
  sparse.buildMask(inputs);
  const [[problem, previous, state], [, , again]] = calls;
  assert.deepEqual([...problem.shape], [1, 4, 3, 40]);
  const { batch, heads, keyHeads, valueHeads, queryLength, keyLength, dim, valueDim } = problem;
  assert.deepEqual([batch, heads, keyHeads, valueHeads, queryLength, keyLength, dim, valueDim], [1, 4, 2, 2, 3, 40, 8, 8]);
  assert.deepEqual([...problem.queryPositions], [37]);
  assert.equal(problem.attention, attention);
  assert.equal(previous.get(0, 0, 0, 2), 1);
  assert.equal(previous.get(0, 0, 0, 3), 0);
  assert.equal(state, again, 'its state is kept');
  for (let i = 0; i < 3; i++) {
    const { indices } = mask.rows(i, i + 1);
    assert.equal(indices.length, 21 + 5); // 0, 1, 2 and the evens, and five more
    for (let j = 0; j < 40; j += 2) assert.ok(indices.includes(j));
  }
  assert.deepEqual(sparse.maskers, list);
  sparse.dispose();
});

test('what a masker returns is checked, by name', () => {
  const inputs = inputsOf(4);
  for (const value of [undefined, null, 4, [], new Float32Array(3), { shape: [1, 1, 1, 1] }]) {
    const sparse = attention.createSparseAttention([maskers.sink({ size: 1 }), { name: 'mine', apply: () => value }]);
    refuses(() => sparse.buildMask(inputs), TypeError, /maskers\[1\] \(mine\).*expected a Mask, got/);
    refuses(() => sparse.forward(inputs), TypeError, /maskers\[1\] \(mine\).*expected a Mask, got/);
  }
  const wrong = attention.createSparseAttention([{ name: 'mine', apply: () => Mask.full([1, 1, 2, 2]).and(Mask.sinks([1, 1, 2, 2], 1)) }]);
  refuses(() => wrong.forward(inputs), RangeError, /expected .* 3 queries and 40 keys/);
  const failing = attention.createSparseAttention([maskers.quest({ heavySize: 4 }), { name: 'mine', apply() { throw new SyntaxError('mine') } }]);
  assert.throws(() => failing.forward(inputs), /^SyntaxError: mine$/);
  failing.dispose();
});

test('a pipeline of no maskers is dense attention, and a mask to begin with is kept', () => {
  const inputs = inputsOf(6);
  const none = attention.createSparseAttention([]);
  assert.ok(none.buildMask(inputs).isEmpty());
  const { output, mask } = none.forward(inputs);
  assertSameBits(output.data, attention.getMaskedAttentionOutput(inputs).output.data);
  assert.ok(mask.isEmpty());
  const begun = Mask.fromFunction([1, 1, 3, 40], (b, h, i, j) => (j === 7 ? 0.5 : 0));
  const sparse = attention.createSparseAttention([maskers.sink({ size: 1 }), maskers.oracleTopK({ heavySize: 2 })]);
  const built = sparse.buildMask({ ...inputs, sparseAttentionMask: begun });
  assert.equal(built.get(0, 0, 0, 7), 0.5);
  assert.equal(built.rows(0, 1).indices.length, 4);
  sparse.dispose();
});

test('a mask to begin with that is none', () => {
  const sparse = attention.createSparseAttention([maskers.sink({ size: 1 })]);
  refuses(() => sparse.buildMask({ ...inputsOf(6), sparseAttentionMask: [1] }), TypeError, /^sparseAttentionMask: expected a Mask, got/);
  sparse.dispose();
});

test('maskers as JSON, there and back', () => {
  const list = [...everyMasker(), maskers.causal()];
  const sparse = attention.createSparseAttention(list);
  const text = JSON.stringify(sparse);
  assert.deepEqual(JSON.parse(text).maskers.slice(0, 3), [
    { name: 'sink', size: 2 },
    { name: 'local', size: 3 },
    { name: 'oracleTopK', heavySize: 4 },
  ]);
  const inputs = inputsOf(7);
  for (const again of [JSON.parse(text), JSON.parse(text).maskers]) {
    const copy = attention.createSparseAttention(again);
    assert.equal(JSON.stringify(copy), text);
    assertSameMask(copy.buildMask(inputs), sparse.buildMask(inputs), 'from JSON');
    copy.dispose();
  }
  sparse.dispose();
});

test('registered maskers have names in JSON, in one instance alone', async () => {
  const own = await createAttention({ variant: 'base' });
  own.registerMasker('everyNth', ({ n }) => ({
    name: 'everyNth',
    apply: ({ shape }, previous) => previous.merge(Mask.fromFunction(shape, (b, h, i, j) => j % n === 0)),
    toJSON: () => ({ name: 'everyNth', n }),
  }));
  const list = [{ name: 'sink', size: 1 }, { name: 'everyNth', n: 10 }];
  const sparse = own.createSparseAttention(list);
  assert.deepEqual(JSON.parse(JSON.stringify(sparse)), { maskers: list });
  assert.deepEqual([...sparse.buildMask(inputsOf(1)).rows(0, 1).indices], [0, 10, 20, 30]);
  assert.throws(() => attention.createSparseAttention(list), /maskers\[1\]\.name.*everyNth/);
  assert.throws(() => own.registerMasker('sink', () => ({})), /^RangeError: name: expected one that is not registered yet, got 'sink'/);
  assert.throws(() => own.registerMasker('', () => ({})), /^TypeError: name: /);
  assert.throws(() => own.registerMasker('other', {}), /^TypeError: factory: expected a function/);
  sparse.dispose();
  own.dispose();
});

test('what a registered factory returns is checked', async () => {
  const own = await engine();
  own.registerMasker('broken', () => 4);
  assert.throws(() => own.createSparseAttention([{ name: 'broken' }]), /^TypeError: maskers\[0\].*broken/);
  own.dispose();
});

test('lists that are no pipeline', () => {
  const make = (list) => () => attention.createSparseAttention(list);
  for (const list of [undefined, null, 4, 'sink', {}, { maskers: 4 }]) {
    assert.throws(make(list), /^TypeError: maskers: expected an array of maskers, or \{ maskers \}, got /);
  }
  for (const one of [null, 4, 'sink', []]) {
    assert.throws(make([maskers.causal(), one]), /^TypeError: maskers\[1\]: expected a masker, or \{ name, \.\.\.options \}, got /);
  }
  assert.throws(make([{ apply() {} }]), /^TypeError: maskers\[0\]\.name: expected a string/);
  assert.throws(make([{ name: 'oracleTopk', heavySize: 4 }]), /^RangeError: maskers\[0\]\.name: expected a registered masker \(did you mean oracleTopK\?\), got 'oracleTopk'/);
  assert.throws(make([{ size: 4 }]), /maskers\[0\]\.name/);
  assert.throws(make([{ name: 'sink', size: -1 }]), /^RangeError: maskers\[0\] \(sink\): size: expected an integer >= 1/);
  assert.throws(make([{ name: 'sink', sice: 1 }]), /^TypeError: maskers\[0\] \(sink\): sice: unknown option; did you mean size\?/);
  for (const name of ['toString', '__proto__', 'constructor']) assert.throws(make([{ name }]), RangeError, name);
  const sampling = (name) => ({ name, isSampling: true, apply: (problem, previous) => previous });
  attention.createSparseAttention([sampling('one'), maskers.causal()]);
  assert.throws(make([sampling('one'), maskers.causal(), sampling('two')]), /^RangeError: maskers: expected at most one that samples, got one and two/);
});

// ---------------------------------------------------------------------------------------------------- forward

const close = (actual, expected, tolerance, what) =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${what}: ${actual}, expected ${expected}`);

test('forward takes every option of getMaskedAttentionOutput', () => {
  const random = new Random(11);
  const inputs = { ...inputsOf(8), causal: true, softcap: 3, scaling: 0.5, sinks: random.floats(4), alibiSlopes: random.floats(4, 0.1) };
  const { data, dims } = inputs.queries;
  const bshd = (t) => {
    const [b, h, s, d] = t.dims;
    const moved = new Float32Array(t.data.length);
    for (let n = 0; n < moved.length; n++) {
      const [x, i, y] = [n % d, Math.floor(n / d) % s, Math.floor(n / d / s)];
      moved[((Math.floor(y / h) * s + i) * h + (y % h)) * d + x] = t.data[n];
    }
    return { data: moved, dims: [b, s, h, d] };
  };
  assert.equal(data.length, dims.reduce((a, b) => a * b));
  const swapped = { ...inputs, queries: bshd(inputs.queries), keys: bshd(inputs.keys), values: bshd(inputs.values), inputLayout: 'bshd' };
  const all = {
    plain: inputs,
    layouts: { ...swapped, outputLayout: 'bhsd' },
    dropout: { ...inputs, dropout: 0.4, training: true, seed: 5, returnDropoutMask: true, dropoutPlacement: 'after-normalization' },
    everything: { ...inputs, returnAttentionWeights: true, returnLogSumExp: true, returnScores: 'softcapped' },
    entries: { ...inputs, returnAttentionWeights: true, weightsFormat: 'sparse' },
    narrow: { ...inputs, outputDtype: 'float16' },
    window: { ...inputs, window: { left: 20, right: 0 }, returnAttentionWeights: true, weightsWindow: { rows: [1, 2], columns: [3, 30] } },
    rows: { ...inputs, keyLengths: Int32Array.of(0), emptyRows: 'nan', sinks: undefined },
    multiply: { ...inputs, maskWeighting: 'multiply' },
    masked: { ...inputs, attentionMask: { data: random.bytes(120, 0.7), dims: [3, 40] } },
  };
  for (const [name, options] of Object.entries(all)) {
    const sparse = attention.createSparseAttention(everyMasker().slice(0, 4));
    const { mask, ...results } = sparse.forward(options);
    const expected = attention.getMaskedAttentionOutput({ ...options, sparseAttentionMask: mask });
    assert.deepEqual(Object.keys(results), Object.keys(expected), name);
    for (const [key, value] of Object.entries(expected)) {
      if (key !== 'weights' || options.weightsFormat !== 'sparse') {
        assert.deepEqual([results[key].dims, results[key].dtype], [value.dims, value.dtype], `${name}: ${key}`);
        assertSameBits(results[key].data, value.data, `${name}: ${key}`);
      } else assert.deepEqual(results[key], value, name);
    }
    sparse.dispose();
  }
  const sparse = attention.createSparseAttention(everyMasker().slice(0, 3));
  const out = { output: { data: new Float32Array(96), dims: [1, 3, 4, 8] } };
  const { output } = sparse.forward({ ...inputs, out });
  assert.equal(output.data, out.output.data);
  assertSameBits(output.data, sparse.forward(inputs).output.data);
  const resident = attention.tensor([1, 3, 4, 8]);
  assert.equal(sparse.forward({ ...inputs, out: { output: resident } }).output, resident);
  assertSameBits(resident.data, output.data);
  resident.dispose();
  sparse.dispose();
});

test('probabilities are divided by, unless told otherwise', () => {
  const inputs = inputsOf(9);
  const weights = Mask.fromFunction([1, 1, 3, 40], (b, h, i, j) => (j % 3 === 0 ? 0.25 + (j % 4) / 8 : 0));
  const sparse = attention.createSparseAttention([{ name: 'mine', apply: () => weights }]);
  const dense = (maskWeighting) => attention.getMaskedAttentionOutput({ ...inputs, sparseAttentionMask: weights, maskWeighting }).output.data;
  assertSameBits(sparse.forward(inputs).output.data, dense('inverse'));
  for (const maskWeighting of ['inverse', 'multiply']) {
    assertSameBits(sparse.forward({ ...inputs, maskWeighting }).output.data, dense(maskWeighting), maskWeighting);
  }
  refuses(() => sparse.forward({ ...inputs, maskWeighting: 'none' }), RangeError, /maskWeighting/);
});

// ---------------------------------------------------------------------------------------------------- metrics

test('metrics: nothing is lost where everything is kept', () => {
  const inputs = inputsOf(10);
  const full = { name: 'full', apply: ({ shape }) => Mask.full(shape) };
  for (const list of [[], [full], [maskers.oracleTopP({ topP: 1 })], [maskers.sink({ size: 1 }), maskers.oracleTopP({ topP: 1 })]]) {
    const sparse = attention.createSparseAttention(list);
    const { metrics } = sparse.forward({ ...inputs, metrics: true });
    const what = list.map(({ name }) => name).join();
    assert.equal(metrics.density, 1, what);
    close(metrics.outputError, 0, 1e-6, `output error of ${what}`);
    if (list.length < 2) assert.ok(list[0]?.name === 'oracleTopP' || metrics.outputError === 0, what);
    for (const key of ['mean', 'p5', 'worst']) close(metrics.massRecall[key], 1, 1e-5, `${key} of ${what}`);
    assert.equal(metrics.flops, metrics.flopsDense, what);
    assert.ok(metrics.maskMilliseconds >= 0 && metrics.attentionMilliseconds >= 0);
    sparse.dispose();
  }
});

test('metrics are those of dense weights', () => {
  for (const [numbers, extra] of [[12, {}], [13, { causal: true, softcap: 4 }], [14, { attentionMask: { data: new Random(3).bytes(120, 0.5), dims: [3, 40] } }]]) {
    const inputs = { ...inputsOf(numbers, { batch: 2 }), ...extra };
    const sparse = attention.createSparseAttention(everyMasker().slice(0, 3));
    const { metrics, mask, output } = sparse.forward({ ...inputs, metrics: true });
    const dense = attention.getMaskedAttentionOutput({ ...inputs, returnAttentionWeights: true });
    const [batch, heads, queryLength, keyLength] = dense.weights.dims;
    const recalls = [];
    for (let row = 0; row < batch * heads * queryLength; row++) {
      const [b, h, i] = [Math.floor(row / heads / queryLength), Math.floor(row / queryLength) % heads, row % queryLength];
      let recall = 0;
      let sum = 0;
      for (let j = 0; j < keyLength; j++) {
        const weight = dense.weights.data[row * keyLength + j];
        const kept = mask.get(b % mask.shape[0], Math.floor((h * mask.shape[1]) / heads), i, j) > 0;
        sum += weight;
        if (kept) recall += weight;
      }
      if (sum > 0) recalls.push([recall, { batch: b, head: h, query: i }]);
    }
    recalls.sort(([a], [b]) => a - b);
    const { massRecall } = metrics;
    close(massRecall.mean, recalls.reduce((sum, [x]) => sum + x, 0) / recalls.length, 1e-5, 'mean');
    close(massRecall.p5, recalls[Math.floor(0.05 * (recalls.length - 1))][0], 1e-5, 'p5');
    close(massRecall.worst, recalls[0][0], 1e-5, 'worst');
    assert.deepEqual(massRecall.worstRow, recalls[0][1]);
    let [difference, norm] = [0, 0];
    dense.output.data.forEach((x, n) => {
      difference += (x - output.data[n]) ** 2;
      norm += x ** 2;
    });
    close(metrics.outputError, Math.sqrt(difference / norm), 1e-6, 'output error');
    assert.equal(metrics.density, mask.density());
    assert.equal(metrics.flops, attention.explain({ ...inputs, sparseAttentionMask: mask }).flops);
    assert.equal(metrics.flopsDense, attention.explain(inputs).flops);
    assert.ok(metrics.flops < metrics.flopsDense);
    sparse.dispose();
  }
});

test('metrics do not depend on how the output is handed out', () => {
  const inputs = inputsOf(15);
  const measured = (options) => {
    const sparse = attention.createSparseAttention(everyMasker().slice(0, 3));
    const { metrics } = sparse.forward({ ...inputs, metrics: true, ...options });
    sparse.dispose();
    return metrics;
  };
  const expected = measured({});
  assert.ok(expected.outputError > 0.01);
  for (const options of [
    { outputLayout: 'bhsd' },
    { out: { output: { data: new Float32Array(96), dims: [1, 3, 4, 8] } } },
    { returnAttentionWeights: true, weightsFormat: 'sparse' },
    { returnAttentionWeights: true, out: { weights: { data: new Float32Array(480), dims: [1, 4, 3, 40] } } },
    { outputDtype: 'float16' },
    { outputDtype: 'bfloat16' },
  ]) {
    const what = JSON.stringify(options).slice(0, 60);
    const { outputError, massRecall, density } = measured(options);
    close(outputError, expected.outputError, options.outputDtype ? 0.02 : 1e-12, `output error, ${what}`);
    assert.deepEqual([massRecall, density], [expected.massRecall, expected.density], what);
  }
  const half = Object.fromEntries(Object.entries(draw(15, sizes(), 'float16')));
  const sparse = attention.createSparseAttention(everyMasker().slice(0, 3));
  const { metrics } = sparse.forward({ ...half, metrics: true });
  close(metrics.outputError, expected.outputError, 0.01, 'inputs of float16');
  sparse.dispose();
  refuses(() => measured({ metrics: 1 }), TypeError, /^metrics: expected true or false, got 1/);
});

// ---------------------------------------------------------------------------------------------------- memory

test('what a pipeline takes it gives back', async () => {
  const own = await engine();
  const start = own.info().usedBytes;
  const inputs = inputsOf(16);
  const sparse = own.createSparseAttention(everyMasker());
  assert.equal(own.info().usedBytes, start, 'nothing before it is used');
  sparse.forward(inputs).mask.dispose();
  assert.ok(own.info().usedBytes > start, 'an index');
  sparse.reset();
  assert.equal(await settledBytes(own), start, 'after reset()');
  sparse.forward(inputs).mask.dispose();
  sparse.dispose();
  assert.equal(await settledBytes(own), start, 'after dispose()');
  own.dispose();
});

test('a thousand forwards take no more than the first few', async () => {
  const own = await engine();
  const inputs = inputsOf(17, { keys: 30 });
  const sparse = own.createSparseAttention(everyMasker());
  const used = async () => {
    for (let n = 0; n < 100; n++) sparse.forward(inputs).mask.dispose();
    return settledBytes(own);
  };
  const first = await used();
  const { memoryBytes } = own.info();
  for (let n = 2; n <= 10; n++) assert.equal(await used(), first, `${n} hundred`);
  assert.ok(own.info().memoryBytes <= memoryBytes + 65536, 'wasm memory');
  own.dispose();
});

test('views of wasm memory are inputs too, whatever memory does meanwhile', async () => {
  const own = await engine();
  const inputs = inputsOf(18, { keys: 3000, dim: 32 });
  const resident = own.tensor(inputs.queries.dims);
  resident.data.set(inputs.queries.data);
  const sparse = own.createSparseAttention([maskers.oracleTopK({ heavySize: 5 })]);
  const expected = attention.createSparseAttention([maskers.oracleTopK({ heavySize: 5 })]).forward(inputs).output.data;
  const view = { data: resident.data, dims: inputs.queries.dims };
  const before = own.info().memoryBytes;
  assertSameBits(sparse.forward({ ...inputs, queries: view }).output.data, expected);
  assert.ok(own.info().memoryBytes > before, 'memory has grown');
  own.dispose();
});

// ---------------------------------------------------------------------------------------------------- errors

test('errors name what is wrong, and leave the pipeline as it was', () => {
  const sparse = attention.createSparseAttention(everyMasker());
  const inputs = inputsOf(19);
  const expected = sparse.forward(inputs);
  const next = () => {
    const { output, mask } = sparse.forward(inputs);
    assertSameBits(output.data, expected.output.data);
    assertSameMask(mask, expected.mask);
    mask.dispose();
  };
  next();
  const detached = new Float32Array(96);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  for (const [options, kind, pattern] of [
    [{ queries: undefined }, TypeError, /^queries: /],
    [{ keys: { data: new Float32Array(3), dims: [1, 1, 1, 4] } }, RangeError, /^keys: /],
    [{ queries: { data: detached, dims: [1, 4, 3, 8] } }, TypeError, /^queries: .*detached/],
    [{ values: tensor(new Random(1), [1, 2, 39, 8]) }, RangeError, /^values: /],
    [{ keyLengths: Int32Array.of(41) }, RangeError, /^keyLengths/],
    [{ causal: 1 }, TypeError, /^causal: /],
    [{ scaling: NaN }, RangeError, /^scaling: /],
    [{ attentionMask: { data: new Uint8Array(4), dims: [4] } }, RangeError, /^attentionMask: /],
    [{ softCap: 3 }, TypeError, /^softCap: unknown option; did you mean softcap\?/],
    [{ returnWeights: true }, TypeError, /^returnWeights: unknown option/],
    [{ dropout: 0.5, training: true }, TypeError, /^seed: /],
    [{ outputLayout: 'bdsh' }, RangeError, /^outputLayout: /],
    [{ inputLayout: 'bdsh' }, RangeError, /^inputLayout: /],
    [{ out: { output: { data: new Float32Array(5), dims: [5] } } }, RangeError, /^out\.output: /],
    [{ out: { output: new Float32Array(5) } }, TypeError, /^out\.output: /],
    [{ metrics: 'yes' }, TypeError, /^metrics: /],
    [{ sinks: new Float32Array(1) }, RangeError, /^sinks: /],
  ]) {
    refuses(() => sparse.forward({ ...inputs, ...options }), kind, pattern, next);
  }
  expected.mask.dispose();
  sparse.dispose();
});

test('calls with something that is no object of known options', () => {
  const sparse = attention.createSparseAttention(everyMasker());
  for (const value of [undefined, null, 4]) {
    refuses(() => sparse.forward(value), TypeError, /^(options|inputs): expected an object, got /);
    refuses(() => sparse.buildMask(value), TypeError, /^(options|inputs): expected an object, got /);
  }
  refuses(() => sparse.buildMask({ ...inputsOf(19), softCap: 3 }), TypeError, /^softCap: unknown option/);
  sparse.dispose();
});

test('a first call that fails has taken no notice of its keys', () => {
  const inputs = inputsOf(20);
  const sparse = attention.createSparseAttention([maskers.quest({ heavySize: 4, pageSize: 2 })]);
  refuses(() => sparse.forward({ ...inputsOf(20, { dim: 4 }), keyLengths: Int32Array.of(99) }), RangeError, /keyLengths/);
  sparse.forward(inputs).mask.dispose();
  sparse.dispose();
});

/** Maskers that fit only some problems, and what they say of one that they do not fit. */
const channels = [0, 1, 2, 3].map((head) => [head, 7]);
const tensorOf = (...dims) => tensor(new Random(5), dims, 1, 'float32');
const pair = [[tensorOf(4, 8, 32)], [tensorOf(4, 32)]];
const networks = { query_matrix: pair[0], query_bias: pair[1], key_matrix: pair[0], key_bias: pair[1] };
const particular = [
  [maskers.doubleSparsity({ heavySize: 4, channels, groupFactor: 4 }), { heads: 8 }, /^maskers\[\d\] \(\w+\): channels: expected a list per query head \(8\)/],
  [maskers.doubleSparsity({ heavySize: 4, channels, groupFactor: 4 }), { dim: 4 }, /^maskers\[\d\] \(\w+\): channels\[0\]: expected channels below 4/],
  [maskers.hashAttention({ heavySize: 4, weights: [networks] }), { heads: 2 }, /^maskers\[\d\] \(\w+\): weights\[0\]: expected 2 query heads/],
  [maskers.hashAttention({ heavySize: 4, weights: [networks] }), { dim: 12 }, /^maskers\[\d\] \(\w+\): weights\[0\]: expected 12 inputs/],
  [maskers.pqCache({ heavySize: 4, bits: 2 }), { dim: 12 }, /^maskers\[\d\] \(\w+\): groupFactor: expected a divisor of the dimension/],
  [maskers.importanceSampling({ draws: 4, bits: 2, seed: 1 }), { dim: 4 }, /^maskers\[\d\] \(\w+\): groupFactor: expected a divisor/],
];

test('what does not fit one masker of a pipeline is refused before any learns of the keys', async () => {
  const own = await engine();
  const start = own.info().usedBytes;
  for (const [masker, misfit, message] of particular) {
    const list = [maskers.quest({ heavySize: 4, pageSize: 2 }), maskers.socket({ heavySize: 2 }), masker];
    const sparse = own.createSparseAttention(list);
    const expected = (problem) => {
      const fresh = own.createSparseAttention(list);
      const mask = fresh.buildMask(problem);
      fresh.dispose();
      return mask;
    };
    const usedBefore = await settledBytes(own);
    for (const call of ['buildMask', 'forward']) {
      refuses(() => sparse[call](inputsOf(30, { ...misfit, keys: 50 })), RangeError, message);
      assert.equal(await settledBytes(own), usedBefore, `${masker.name}: nothing is kept of a first call`);
    }
    const first = inputsOf(31, { keys: 40 });
    assertSameMask(sparse.buildMask(first), expected(first), `${masker.name}: another problem`);
    const longer = inputsOf(31, { ...misfit, keys: 50 });
    refuses(() => sparse.forward(longer), RangeError, /^maskers\[\d\] \(\w+\): (channels|weights|groupFactor|keys)\b/);
    assertSameMask(sparse.buildMask(first), expected(first), `${masker.name}: nobody has entered the 50 keys`);
    sparse.dispose();
  }
  assert.equal(await settledBytes(own), start);
  own.dispose();
});

test("a caller's masker can refuse as early", () => {
  let calls = 0;
  const fussy = {
    name: 'fussy',
    check({ keyLength }, state) {
      assert.deepEqual(state, {});
      if (keyLength > 40) throw new RangeError(`fussy: expected at most 40 keys, got ${keyLength}`);
    },
    apply: (problem, mask) => (calls++, mask),
  };
  const sparse = attention.createSparseAttention([maskers.quest({ heavySize: 4, pageSize: 2 }), fussy]);
  refuses(() => sparse.buildMask(inputsOf(32, { keys: 41 })), RangeError, /^maskers\[\d\] \(\w+\): fussy: /);
  assert.equal(calls, 0);
  sparse.buildMask(inputsOf(33, { keys: 12 }));
  assert.equal(calls, 1);
  sparse.dispose();
});

test('a later masker for which there is no room takes nothing with it', async () => {
  const own = await engine({ maxMemoryBytes: 4 * 2 ** 20 });
  const start = own.info().usedBytes;
  const sparse = own.createSparseAttention([
    maskers.quest({ heavySize: 8, pageSize: 4 }),
    maskers.magicPig({ tables: 1024, bits: 32, seed: 1 }),
  ]);
  const inputs = inputsOf(36, { keys: 61, heads: 6, keyHeads: 2, dim: 20 });
  let first;
  for (let n = 0; n < 20; n++) {
    assert.throws(() => sparse.forward(inputs), hasCode('out-of-memory'));
    first ??= own.info().usedBytes;
    assert.equal(own.info().usedBytes, first);
  }
  sparse.dispose();
  assert.equal(await settledBytes(own), start);
  own.dispose();
});

test('what is no masker is refused, and what a masker keeps in its state is its own business', () => {
  const make = (list) => () => attention.createSparseAttention(list);
  refuses(make([maskers.sink]), TypeError, /^maskers\[0\]: expected a masker, not the function that makes one/, make([]));
  const own = { name: 'own', apply: (problem, mask, state) => ((state.index = {}), mask) };
  const sparse = attention.createSparseAttention([own, maskers.quest({ heavySize: 4, pageSize: 2 })]);
  const start = attention.info().usedBytes;
  sparse.buildMask(inputsOf(37)).dispose();
  sparse.reset();
  assert.equal(attention.info().usedBytes, start);
});

test('sizes beyond the keys stand for all of them', () => {
  const inputs = inputsOf(38, { keys: 12 });
  for (const list of [[maskers.sink({ size: 2 ** 32 - 1 })], [maskers.local({ size: 2 ** 32 - 1 }), maskers.sink({ size: 99 })]]) {
    const mask = attention.createSparseAttention(list).buildMask({ ...inputs, causal: true });
    assertSameMask(mask.and(Mask.causal(mask.shape)), Mask.causal(mask.shape), 'all keys');
  }
});

test('a masker for whose index there is no room is as it was', async () => {
  const probe = await engine();
  const least = probe.info().memoryBytes;
  probe.dispose();
  const large = inputsOf(34, { keys: 20000, keyHeads: 4, dim: 8, queries: 1 });
  const small = inputsOf(35, { keys: 20, heads: 4, dim: 16, valueDim: 4 });
  const list = [
    maskers.quest({ heavySize: 4, pageSize: 1 }),
    maskers.pqCache({ heavySize: 4, groupFactor: 1, bits: 8, iterations: 0 }),
    maskers.doubleSparsity({ heavySize: 4, channels, groupFactor: 8 }),
  ];
  for (const masker of list) {
    let refused = 0;
    for (let extra = 60; extra < 120; extra += 6) {
      const own = await engine({ maxMemoryBytes: least + extra * 65536 });
      const start = own.info().usedBytes;
      const sparse = own.createSparseAttention([masker]);
      const isDone = (() => {
        try {
          sparse.buildMask(large).dispose();
          return true;
        } catch (error) {
          assert.ok(hasCode('out-of-memory')(error), String(error.stack));
          return false;
        }
      })();
      if (!isDone) {
        refused++;
        assert.equal(await settledBytes(own), start, `${masker.name}, ${extra} pages more`);
        const fresh = attention.createSparseAttention([masker]);
        assertSameMask(sparse.buildMask(small), fresh.buildMask(small), `${masker.name}: other dimensions, no reset()`);
        fresh.dispose();
      }
      own.dispose();
    }
    assert.ok(refused > 0, masker.name);
  }
});

test('where memory ends, everything stays as it was', async () => {
  const probe = await engine();
  const least = probe.info().memoryBytes;
  probe.dispose();
  const small = inputsOf(21, { keys: 20 });
  for (let extra = 0; extra < 24; extra += 3) {
    const own = await engine({ maxMemoryBytes: least + extra * 65536 });
    const sparse = own.createSparseAttention(everyMasker());
    const large = inputsOf(21, { keys: 2600, queries: 40, keyHeads: 2, dim: 16 });
    const start = own.info().usedBytes;
    try {
      sparse.forward(large).mask.dispose();
    } catch (error) {
      assert.ok(hasCode('out-of-memory')(error), String(error.stack));
    }
    sparse.reset();
    assert.equal(await settledBytes(own), start, `${extra} pages more: bytes in use after reset()`);
    sparse.forward(small).mask.dispose();
    sparse.dispose();
    assert.equal(await settledBytes(own), start, `${extra} pages more: bytes in use after dispose()`);
    own.dispose();
  }
});

test('a disposed engine', async () => {
  const own = await engine();
  const sparse = own.createSparseAttention(everyMasker());
  const inputs = inputsOf(22);
  sparse.forward(inputs);
  own.dispose();
  for (const call of [() => sparse.forward(inputs), () => sparse.buildMask(inputs), () => own.createSparseAttention([])]) {
    assert.throws(call, hasCode('disposed'));
  }
  sparse.reset();
  sparse.dispose();
});
