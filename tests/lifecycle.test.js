// SPDX-License-Identifier: Apache-2.0
// Everything about calls that is not the numbers: who owns which memory and for how long, element types, `out`, limits,
// disposal, several engines, and starting up.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { AttentionError, Mask, createAttention } from '../js/index.js';
import { attend, fromBfloat16, fromFloat16, toBfloat16, toFloat16, widen } from './oracle.js';
import { Random, families, narrow, product, tensor } from './random.js';
import { compare, differsAt, inputs } from './support.js';

const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const engine = (options) => createAttention({ variant: 'base', ...options });

const draw = (numbers = 1, [b, h, hk, sq, sk, d, dv] = [2, 4, 2, 5, 9, 8, 6], dtype = 'float32') => {
  const random = new Random(numbers);
  return {
    queries: tensor(random, [b, h, sq, d], 1, dtype), keys: tensor(random, [b, hk, sk, d], 1, dtype), values: tensor(random, [b, hk, sk, dv], 1, dtype),
  };
};

function assertSameBits(actual, expected, what = 'output') {
  const n = differsAt(actual, expected);
  assert.equal(n, -1, `${what}[${n}]: ${actual[n]} and ${expected[n]}`);
}

const hasCode = (code) => (error) => error instanceof AttentionError && error.name === 'AttentionError' && error.code === code;

// ---------------------------------------------------------------------------------------------- results and inputs

test('results are new arrays of their own, and inputs stay as they were', async () => {
  const attention = await engine();
  const resident = attention.tensor([1]);
  const options = draw();
  const copies = Object.values(options).map(({ data }) => data.slice());
  const first = attention.getMaskedAttentionOutput({ ...options, returnAttentionWeights: true, returnLogSumExp: true, returnScores: 'raw', returnDropoutMask: true });
  const kept = Object.values(first).map(({ data }) => data.slice());
  const second = attention.getMaskedAttentionOutput({ ...draw(2), returnAttentionWeights: true, returnLogSumExp: true, returnScores: 'raw', returnDropoutMask: true });
  Object.values(first).forEach((result, n) => {
    assertSameBits(result.data, kept[n], 'an earlier result');
    assert.notEqual(result.data.buffer, resident.data.buffer, 'a view of wasm memory');
    assert.notEqual(result.data.buffer, Object.values(second)[n].data.buffer);
    assert.equal(result.data.byteLength, result.data.buffer.byteLength, 'nothing else is kept alive');
  });
  Object.values(options).forEach(({ data }, n) => assertSameBits(data, copies[n], 'an input'));
  assert.deepEqual(Object.keys(attention.getMaskedAttentionOutput(options)), ['output'], 'only what is asked for');
  attention.dispose();
});

test('only what is asked for is handed out, with dims and dtypes', async () => {
  const attention = await engine();
  const { output, weights, scores, logSumExp, dropoutMask } = attention.getMaskedAttentionOutput({
    ...draw(), returnAttentionWeights: true, returnLogSumExp: true, returnScores: 'biased', returnDropoutMask: true,
  });
  assert.deepEqual([output.dims, output.dtype], [[2, 5, 4, 6], 'float32']);
  assert.deepEqual([weights.dims, weights.dtype], [[2, 4, 5, 9], 'float32']);
  assert.deepEqual([scores.dims, scores.dtype], [[2, 4, 5, 9], 'float32']);
  assert.deepEqual([logSumExp.dims, logSumExp.dtype], [[2, 4, 5], 'float32']);
  assert.deepEqual([dropoutMask.dims, dropoutMask.dtype], [[2, 4, 5, 9], 'bool']);
  assert.ok(dropoutMask.data.every((keep) => keep === 1), 'without dropout everything is kept');
  const partials = attention.getAttentionPartials(draw());
  assert.deepEqual([partials.numerator.dims, partials.denominator.dims, partials.rowMax.dims], [[2, 4, 5, 6], [2, 4, 5, 1], [2, 4, 5]]);
  assert.deepEqual(Object.keys(attention.getAttentionNumerator(draw())).sort(), ['numerator', 'rowMax']);
  assert.deepEqual(Object.keys(attention.getAttentionDenominator(draw())).sort(), ['denominator', 'rowMax']);
  assert.deepEqual(Object.keys(attention.finishPartials(partials)).sort(), ['logSumExp', 'output']);
  attention.dispose();
});

test('views into larger arrays, and arrays on shared memory, are read in place', async () => {
  const attention = await engine();
  const options = draw();
  const expected = attention.getMaskedAttentionOutput(options).output.data;
  const embed = ({ data, dims }, Buffer) => {
    const buffer = new Buffer(data.byteLength + 48);
    new Float32Array(buffer).fill(NaN);
    const view = new Float32Array(buffer, 12, data.length);
    view.set(data);
    return { data: view, dims };
  };
  for (const Buffer of [ArrayBuffer, SharedArrayBuffer]) {
    const embedded = Object.fromEntries(Object.entries(options).map(([name, value]) => [name, embed(value, Buffer)]));
    assertSameBits(attention.getMaskedAttentionOutput(embedded).output.data, expected);
  }
  attention.dispose();
});

test('boolean and float masks, scalars of numbers and of arrays mean the same', async () => {
  const attention = await engine();
  const options = draw();
  const keep = new Random(3).bytes(45, 0.6);
  const boolean = attention.getMaskedAttentionOutput({ ...options, attentionMask: { data: keep, dims: [5, 9] } }).output.data;
  const additive = { data: Float32Array.from(keep, (bit) => (bit ? 0 : -Infinity)), dims: [5, 9] };
  assertSameBits(attention.getMaskedAttentionOutput({ ...options, attentionMask: additive }).output.data, boolean);
  const offsets = [2, [2, 2], Int32Array.of(2, 2)].map((queryOffset) =>
    attention.getMaskedAttentionOutput({ ...options, causal: true, queryOffset }).output.data);
  assertSameBits(offsets[1], offsets[0]);
  assertSameBits(offsets[2], offsets[0]);
  const seeds = [5, 5n].map((seed) => attention.getMaskedAttentionOutput({ ...options, dropout: 0.5, training: true, seed }).output.data);
  assertSameBits(seeds[1], seeds[0]);
  const undefinedOptions = { attentionMask: undefined, window: undefined, seed: undefined, out: undefined, sinks: undefined, returnScores: undefined };
  assertSameBits(attention.getMaskedAttentionOutput({ ...options, ...undefinedOptions }).output.data, attention.getMaskedAttentionOutput(options).output.data);
  attention.dispose();
});

test('positions near the end of int32 are positions', async () => {
  const attention = await engine();
  const options = { ...draw(), causal: true, window: { left: 3, right: 0 }, alibiSlopes: Float32Array.of(0.1, 0.2, 0.3, 0.4) };
  const expected = attention.getMaskedAttentionOutput(options).output.data;
  for (const keyOffset of [2 ** 30, 2 ** 31 - 20, 2 ** 31 - 1]) {
    let output;
    try {
      ({ output } = attention.getMaskedAttentionOutput({ ...options, keyOffset }));
    } catch (error) {
      assert.ok(error instanceof RangeError, error.stack); // where positions do not fit, saying so is right as well
      assert.match(error.message, /keyOffset/);
      assert.equal(keyOffset, 2 ** 31 - 1);
      continue;
    }
    assertSameBits(output.data, expected, `output at keyOffset ${keyOffset}`);
  }
  // Queries before and after all keys.
  const far = (queryOffset) => attention.getMaskedAttentionOutput({ ...draw(), causal: true, queryOffset }).output.data;
  assert.ok(far(-(2 ** 31)).every((value) => value === 0));
  assertSameBits(far(2 ** 31 - 1), attention.getMaskedAttentionOutput(draw()).output.data);
  attention.dispose();
});

test('empty problems have empty results', async () => {
  const attention = await engine();
  const shapes = [[0, 4, 2, 5, 9, 8, 6], [2, 0, 1, 5, 9, 8, 6], [2, 4, 2, 0, 9, 8, 6], [2, 4, 2, 5, 0, 8, 6], [2, 4, 2, 5, 9, 0, 6], [2, 4, 2, 5, 9, 8, 0], [0, 0, 0, 0, 0, 0, 0]];
  for (const shape of shapes) {
    const [b, h, , sq, sk, , dv] = shape;
    const { output, weights, logSumExp } = attention.getMaskedAttentionOutput({ ...draw(1, shape), returnAttentionWeights: true, returnLogSumExp: true });
    assert.deepEqual([output.dims, weights.dims, logSumExp.dims], [[b, sq, h, dv], [b, h, sq, sk], [b, h, sq]]);
    if (sk === 0) {
      assert.ok(output.data.every((value) => value === 0));
      assert.ok(logSumExp.data.every((value) => value === -Infinity));
      const nan = attention.getMaskedAttentionOutput({ ...draw(1, shape), emptyRows: 'nan' });
      assert.ok(nan.output.data.every(Number.isNaN));
    }
    const partials = attention.getAttentionPartials(draw(1, shape));
    assertSameBits(attention.finishPartials(attention.mergePartials([partials, partials])).output.dims, output.dims);
  }
  attention.dispose();
});

// ---------------------------------------------------------------------------------------------- element types

test('float16 and bfloat16 inputs are what they widen to', async () => {
  const attention = await engine();
  for (const dtype of ['float16', 'bfloat16'])
    for (const which of ['queries', 'keys', 'values', 'attentionMask', 'all']) {
      const options = { ...draw(), attentionMask: tensor(new Random(4), [4, 5, 12]) };
      for (const name of Object.keys(options)) if (which === name || which === 'all') options[name] = narrow(options[name], dtype);
      const wide = Object.fromEntries(Object.entries(options).map(([name, value]) => [name, { data: Float32Array.from(widen(value)), dims: value.dims }]));
      assertSameBits(attention.getMaskedAttentionOutput(options).output.data, attention.getMaskedAttentionOutput(wide).output.data, `${dtype} ${which}`);
    }
  attention.dispose();
});

test('every float16 and bfloat16 value is read exactly', async () => {
  const attention = await engine();
  // One key per row and a softmax of one: the output is the value.
  for (const [dtype, widenHalf] of [['float16', fromFloat16], ['bfloat16', fromBfloat16]]) {
    const data = Uint16Array.from({ length: 65536 }, (_, n) => n);
    const dims = [1, 1, 1, 65536];
    const one = { data: new Float32Array(1), dims: [1, 1, 1, 1] };
    const { output } = attention.getMaskedAttentionOutput({ queries: one, keys: one, values: { data, dims, dtype } });
    for (let n = 0; n < 65536; n++) {
      const expected = widenHalf(n);
      if (output.data[n] !== expected) assert.ok(Object.is(output.data[n], expected), `${dtype} ${n}: ${output.data[n]}, expected ${expected}`);
    }
  }
  attention.dispose();
});

test('outputDtype narrows output and weights, nearest even, and nothing else', async () => {
  const attention = await engine();
  for (const [dtype, toHalf] of [['float16', toFloat16], ['bfloat16', toBfloat16]])
    for (const valueScale of [1, 1e-6, 1e4, 1e30]) { // ordinary, subnormal in float16, around its largest, far beyond it
      const options = draw();
      options.values.data.forEach((value, n, data) => { data[n] = value * valueScale; });
      const extra = { returnAttentionWeights: true, returnLogSumExp: true, returnScores: 'raw' };
      const wide = attention.getMaskedAttentionOutput({ ...options, ...extra });
      const half = attention.getMaskedAttentionOutput({ ...options, ...extra, outputDtype: dtype });
      for (const name of ['output', 'weights']) {
        assert.equal(half[name].dtype, dtype);
        assert.ok(half[name].data instanceof Uint16Array);
        assertSameBits(half[name].data, Uint16Array.from(wide[name].data, toHalf), `${dtype} ${name} at ${valueScale}`);
      }
      for (const name of ['logSumExp', 'scores']) {
        assert.equal(half[name].dtype, 'float32');
        assertSameBits(half[name].data, wide[name].data, name);
      }
    }
  // Ties and NaN: the output of one key is its value.
  const one = { data: new Float32Array(1), dims: [1, 1, 1, 1] };
  const ties = Float32Array.of(1 + 2 ** -11, 1 + 3 * 2 ** -11, 65519.99, 65520, 2 ** -25, 3 * 2 ** -25, -(2 ** -24), NaN, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 3.4028234e38);
  for (const [dtype, toHalf] of [['float16', toFloat16], ['bfloat16', toBfloat16]]) {
    const { output } = attention.getMaskedAttentionOutput({ queries: one, keys: one, values: { data: ties, dims: [1, 1, 1, ties.length] }, outputDtype: dtype });
    const back = dtype === 'float16' ? fromFloat16 : fromBfloat16;
    assertSameBits(Array.from(output.data, back), Array.from(ties, (value) => back(toHalf(value))), dtype);
  }
  attention.dispose();
});

test('Float16Array in, Float16Array out', async (t) => {
  if (typeof Float16Array === 'undefined') return t.skip('this engine has no Float16Array');
  const attention = await engine();
  const options = draw(1, undefined, 'float16');
  const native = { ...options, values: { dims: options.values.dims, data: new Float16Array(options.values.data.buffer) } };
  const expected = attention.getMaskedAttentionOutput({ ...options, outputDtype: 'float16' }).output;
  const actual = attention.getMaskedAttentionOutput({ ...native, outputDtype: 'float16' }).output;
  assert.ok(expected.data instanceof Uint16Array);
  assert.ok(actual.data instanceof Float16Array);
  assertSameBits(new Uint16Array(actual.data.buffer), expected.data);
  assert.ok(attention.getMaskedAttentionOutput({ ...native, outputDtype: 'bfloat16' }).output.data instanceof Uint16Array);
  const out = { output: { data: new Float16Array(expected.data.length), dims: expected.dims } };
  assert.equal(attention.getMaskedAttentionOutput({ ...options, outputDtype: 'float16', out }).output.data, out.output.data);
  assertSameBits(new Uint16Array(out.output.data.buffer), expected.data);
  attention.dispose();
});

// ---------------------------------------------------------------------------------------------- out

test('out: results go into the caller\'s arrays and nowhere else', async () => {
  const attention = await engine();
  const options = { ...draw(), returnAttentionWeights: true, returnLogSumExp: true };
  for (const outputDtype of ['float32', 'float16', 'bfloat16']) {
    const expected = attention.getMaskedAttentionOutput({ ...options, outputDtype });
    const Arrays = outputDtype === 'float32' ? Float32Array : Uint16Array;
    const buffer = new ArrayBuffer(1 << 14);
    const guard = new Uint8Array(buffer).fill(0xa5);
    const place = (at, Type, { dims, dtype }) => ({ data: new Type(buffer, at, product(dims)), dims, dtype });
    const out = { output: place(64, Arrays, expected.output), weights: place(4096, Arrays, expected.weights), logSumExp: place(8192, Float32Array, expected.logSumExp) };
    const results = attention.getMaskedAttentionOutput({ ...options, outputDtype, out });
    for (const name of Object.keys(expected)) {
      assert.equal(results[name].data, out[name].data, `${name} is the caller's array`);
      assertSameBits(out[name].data, expected[name].data, `${name} ${outputDtype}`);
      new Uint8Array(buffer, out[name].data.byteOffset, out[name].data.byteLength).fill(0xa5);
    }
    assert.ok(guard.every((byte) => byte === 0xa5), 'bytes around them stay');
  }
  attention.dispose();
});

test('out: a resident tensor becomes the result', async () => {
  const attention = await engine();
  const options = { ...draw(), returnAttentionWeights: true };
  for (const outputDtype of ['float32', 'float16', 'bfloat16']) {
    const expected = attention.getMaskedAttentionOutput({ ...options, outputDtype });
    const out = { output: attention.tensor([2, 5, 4, 6], outputDtype), weights: attention.tensor([2, 4, 5, 9], outputDtype) };
    const results = attention.getMaskedAttentionOutput({ ...options, outputDtype, out });
    for (const name of ['output', 'weights']) {
      assert.equal(results[name], out[name]);
      assertSameBits(out[name].data, expected[name].data, `${name} ${outputDtype}`);
    }
    // The result of one call feeds the next without a copy; in and out may not be the same.
    if (outputDtype === 'float32') {
      const { values, keys } = draw();
      const reshaped = { queries: out.output, keys: { data: keys.data.slice(0, 2 * 2 * 5 * 6), dims: [2, 5, 2, 6] }, values: { data: values.data.slice(0, 2 * 2 * 5 * 6), dims: [2, 5, 2, 6] } };
      attention.getMaskedAttentionOutput({ ...reshaped, inputLayout: 'bshd' });
      assert.throws(() => attention.getMaskedAttentionOutput({ ...reshaped, inputLayout: 'bshd', out: { output: out.output } }), /out\.output: overlaps queries/);
    }
    out.output.dispose();
    assert.throws(() => attention.getMaskedAttentionOutput({ ...options, outputDtype, out }), hasCode('disposed'));
    out.weights.dispose();
  }
  const resident = attention.tensor([2, 5, 4, 6]);
  const view = { data: resident.data, dims: [2, 5, 4, 6] };
  assert.throws(() => attention.getMaskedAttentionOutput({ ...draw(), out: { output: view } }), (error) => error instanceof TypeError && /out\.output/.test(error.message));
  attention.dispose();
});

// ---------------------------------------------------------------------------------------------- resident tensors

test('resident tensors: the same numbers without copies, across growth of memory', async () => {
  const attention = await engine();
  const options = { ...draw(), attentionMask: { data: new Random(5).bytes(45, 0.7), dims: [5, 9] } };
  const expected = attention.getMaskedAttentionOutput(options).output.data;
  const resident = Object.fromEntries(Object.entries(options).map(([name, { data, dims, dtype }]) => {
    const made = attention.tensor(dims, dtype ?? (data instanceof Uint8Array ? 'bool' : 'float32'));
    assert.ok(made.data.every((value) => value === 0), 'a new tensor is zero');
    made.data.set(data);
    return [name, made];
  }));
  const stale = resident.keys.data;
  assertSameBits(attention.getMaskedAttentionOutput(resident).output.data, expected);
  const before = attention.info().memoryBytes;
  const large = attention.tensor([1 << 20]); // forces growth
  assert.ok(attention.info().memoryBytes > before);
  assert.equal(stale.length, 0, 'views from before growth are detached');
  for (const [name, { data }] of Object.entries(options)) assertSameBits(resident[name].data, data, name);
  assertSameBits(attention.getMaskedAttentionOutput(resident).output.data, expected);
  assert.throws(() => attention.getMaskedAttentionOutput({ ...options, keys: { data: stale, dims: options.keys.dims } }), (error) => error instanceof TypeError && /keys.*detached/.test(error.message));

  // Growth in the middle of a call whose inputs are resident, or views of wasm memory.
  large.dispose();
  const big = draw(7, [1, 2, 2, 300, 3000, 64, 64]);
  const bigExpected = attention.getMaskedAttentionOutput(big).output.data;
  for (const wrap of [(made) => made, (made) => ({ data: made.data, dims: [...made.dims] })]) {
    const small = await engine();
    const tensors = Object.fromEntries(Object.entries(big).map(([name, { data, dims }]) => {
      const made = small.tensor(dims);
      made.data.set(data);
      return [name, made];
    }));
    const start = small.info().memoryBytes;
    const wrapped = Object.fromEntries(Object.entries(tensors).map(([name, made]) => [name, wrap(made)]));
    const { output, weights } = small.getMaskedAttentionOutput({ ...wrapped, returnAttentionWeights: true });
    assert.ok(small.info().memoryBytes > start, 'the call grew memory');
    assertSameBits(output.data, bigExpected, 'output of a call that grew memory');
    assert.ok(weights.data.every((weight) => weight >= 0 && weight <= 1));
    for (const [name, { data }] of Object.entries(big)) assertSameBits(tensors[name].data, data, `${name} after growth`);
    small.dispose();
  }
  attention.dispose();
});

test('resident tensors: results for them are not views, disposal is final and harmless', async () => {
  const attention = await engine();
  const made = attention.tensor([1, 1, 3, 4]);
  made.data.set(Float32Array.from({ length: 12 }, (_, n) => n));
  const { output } = attention.getMaskedAttentionOutput({ queries: made, keys: made, values: made });
  assert.notEqual(output.data.buffer, made.data.buffer);
  const used = attention.info().usedBytes;
  const other = attention.tensor([100]);
  assert.ok(attention.info().usedBytes > used);
  other.dispose();
  other.dispose();
  assert.equal(attention.info().usedBytes, used);
  assert.throws(() => other.data, hasCode('disposed'));
  assert.throws(() => attention.getMaskedAttentionOutput({ queries: other, keys: made, values: made }), (error) => hasCode('disposed')(error) && /queries/.test(error.message));
  assertSameBits(attention.getMaskedAttentionOutput({ queries: made, keys: made, values: made }).output.data, output.data);
  assert.throws(() => { made.dims[0] = 2; }, TypeError);
  attention.dispose();
  assert.throws(() => made.data, hasCode('disposed'));
  made.dispose();
});

test('options that do harm while they are read', async () => {
  const attention = await engine();
  const expected = attention.getMaskedAttentionOutput(draw()).output.data;
  const works = () => assertSameBits(attention.getMaskedAttentionOutput(draw()).output.data, expected, 'output of the call after');
  const tolerate = (call) => {
    try {
      call();
    } catch (error) {
      assert.ok(error instanceof TypeError || error instanceof RangeError || hasCode('disposed')(error), error.stack);
    }
  };
  // Taking away what has been read already.
  for (const name of ['queries', 'keys', 'out']) {
    const options = draw();
    const victim = attention.tensor(name === 'out' ? [2, 5, 4, 6] : options[name].dims);
    const evil = name === 'out' ? { ...options, out: { output: victim } } : { ...options, [name]: victim };
    const late = attention.tensor([64]);
    Object.defineProperty(evil, 'returnDropoutMask', { enumerable: true, get() { victim.dispose(); late.dispose(); return true; } });
    tolerate(() => attention.getMaskedAttentionOutput(evil));
    works();
  }
  const options = draw();
  Object.defineProperty(options, 'returnScores', { enumerable: true, get() { structuredClone(options.keys.data.buffer, { transfer: [options.keys.data.buffer] }); return 'raw'; } });
  const used = attention.info().usedBytes;
  tolerate(() => attention.getMaskedAttentionOutput(options));
  assert.equal(attention.info().usedBytes, used);
  works();
  // A mask disposed, an engine disposed.
  const mask = Mask.fromDense([1, 1, 5, 9], new Float32Array(45).fill(0.5));
  const withMask = { ...draw(), sparseAttentionMask: mask, get returnLogSumExp() { mask.dispose(); return true; } };
  tolerate(() => attention.getMaskedAttentionOutput(withMask));
  works();
  const suicidal = { ...draw(), get returnLogSumExp() { attention.dispose(); return true; } };
  assert.throws(() => attention.getMaskedAttentionOutput(suicidal), hasCode('disposed'));
});

// ---------------------------------------------------------------------------------------------- masks

test('masks: an engine keeps a copy until the mask is disposed', async () => {
  const attention = await engine();
  const options = draw();
  const weights = Float32Array.from({ length: 2 * 4 * 45 }, (_, n) => (n % 3 ? 0.5 : 0));
  attention.getMaskedAttentionOutput(options);
  const used = attention.info().usedBytes;
  const mask = Mask.fromDense([2, 4, 5, 9], weights);
  const first = attention.getMaskedAttentionOutput({ ...options, sparseAttentionMask: mask }).output.data;
  const cached = attention.info().usedBytes;
  assertSameBits(attention.getMaskedAttentionOutput({ ...options, sparseAttentionMask: mask }).output.data, first);
  assert.equal(attention.info().usedBytes, cached, 'one copy for all calls');
  const other = await engine();
  assertSameBits(other.getMaskedAttentionOutput({ ...options, sparseAttentionMask: mask }).output.data, first, 'another engine');
  other.dispose();
  assertSameBits(attention.getMaskedAttentionOutput({ ...options, sparseAttentionMask: mask }).output.data, first);
  mask.dispose();
  mask.dispose();
  assert.equal(attention.info().usedBytes, used, 'the copy is gone');
  assert.throws(() => attention.getMaskedAttentionOutput({ ...options, sparseAttentionMask: mask }), (error) => hasCode('disposed')(error) && /sparseAttentionMask/.test(error.message));
  for (const method of ['toDense', 'toIndices', 'isEmpty', 'isFull', 'density']) assert.throws(() => mask[method](), hasCode('disposed'), method);
  assert.throws(() => Mask.full([1, 1, 1, 1]).merge(mask), hasCode('disposed'));
  attention.dispose();
});

test('masks: never disposed, they do not fill memory', async () => {
  const attention = await engine();
  const options = draw(1, [1, 1, 1, 64, 512, 4, 4]);
  const weights = new Float32Array(64 * 512).fill(0.5);
  for (let n = 0; n < 1500; n++) // 196 MB of copies
    attention.getMaskedAttentionOutput({ ...options, sparseAttentionMask: Mask.fromDense([1, 1, 64, 512], weights) });
  const { memoryBytes } = attention.info();
  assert.ok(memoryBytes < 110e6, `memory has grown to ${memoryBytes}`);
  attention.dispose();
});

test('masks: copies make room when memory is short', async () => {
  const attention = await engine({ maxMemoryBytes: 4 << 20 });
  const options = draw(1, [1, 1, 1, 64, 512, 4, 4]);
  const masks = Array.from({ length: 60 }, (_, n) => Mask.fromDense([1, 1, 64, 512], new Float32Array(64 * 512).fill((n + 1) / 64)));
  const weighted = (mask) => attention.getMaskedAttentionOutput({ ...options, sparseAttentionMask: mask, returnLogSumExp: true }).logSumExp.data;
  const once = masks.map(weighted); // 60 x 128 kB: not all fit
  masks.forEach((mask, n) => assertSameBits(weighted(mask), once[n], `mask ${n}`));
  attention.dispose();
});

// ---------------------------------------------------------------------------------------------- limits

test('maxMemoryBytes: calls that need more are refused, whatever part of them it is, and leave nothing behind', async () => {
  const maxMemoryBytes = 3 << 20;
  const attention = await engine({ maxMemoryBytes });
  assert.equal(attention.info().maxMemoryBytes, maxMemoryBytes);
  const small = draw();
  const expected = attention.getMaskedAttentionOutput(small).output.data;
  const used = attention.info().usedBytes;
  const outcomes = new Set();
  for (let keyLength = 500; keyLength < 40_000; keyLength = Math.floor(keyLength * 1.13)) {
    const options = draw(1, [1, 1, 1, 4, keyLength, 16, 16]);
    const out = { output: { data: new Float32Array(64).fill(7), dims: [1, 4, 1, 16] } };
    for (const extra of [{}, { returnAttentionWeights: true }, { sparseAttentionMask: Mask.fromDense([1, 1, 4, keyLength], new Float32Array(4 * keyLength).fill(0.5)) }]) {
      out.output.data.fill(7);
      try {
        attention.getMaskedAttentionOutput({ ...options, ...extra, out });
        outcomes.add('served');
      } catch (error) {
        assert.ok(hasCode('out-of-memory')(error), error.stack);
        assert.match(error.message, /maxMemoryBytes/);
        assert.ok(out.output.data.every((value) => value === 7), 'out is untouched');
        outcomes.add('refused');
      }
      extra.sparseAttentionMask?.dispose();
      assert.equal(attention.info().usedBytes, used);
      assert.ok(attention.info().memoryBytes <= maxMemoryBytes);
      assertSameBits(attention.getMaskedAttentionOutput(small).output.data, expected);
    }
  }
  assert.deepEqual([...outcomes].sort(), ['refused', 'served']);
  assert.throws(() => attention.tensor([1 << 20]), hasCode('out-of-memory'));
  assert.throws(() => attention.tensor([2 ** 31 - 1, 2 ** 20]), hasCode('out-of-memory'));
  const fitting = attention.tensor([1 << 18]);
  fitting.data.fill(1);
  assertSameBits(attention.getMaskedAttentionOutput(small).output.data, expected);
  attention.dispose();
});

test('requests beyond any memory are refused', async () => {
  const attention = await engine();
  const none = (dims) => ({ data: new Float32Array(0), dims });
  const one = (dims) => ({ data: new Float32Array(product(dims)), dims });
  const expected = attention.getMaskedAttentionOutput(draw()).output.data;
  const huge = [
    // Rows without elements: their results would still be larger than memory.
    { queries: none([60000, 60000, 1, 0]), keys: none([60000, 1, 1, 0]), values: one([60000, 1, 1, 1]) },
    { queries: none([1, 1, 2 ** 31 - 1, 0]), keys: none([1, 1, 1, 0]), values: one([1, 1, 1, 1]), returnAttentionWeights: true },
    { queries: none([2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1, 0]), keys: none([2 ** 31 - 1, 1, 1, 0]), values: none([2 ** 31 - 1, 1, 1, 0]), returnLogSumExp: true },
    { queries: none([1, 1, 1 << 20, 0]), keys: none([1, 1, 1 << 20, 0]), values: none([1, 1, 1 << 20, 0]), returnAttentionWeights: true },
  ];
  for (const options of huge) {
    assert.throws(() => attention.getMaskedAttentionOutput(options), (error) => error instanceof RangeError || hasCode('out-of-memory')(error));
    assertSameBits(attention.getMaskedAttentionOutput(draw()).output.data, expected);
  }
  attention.dispose();
});

test('memory stays where it was over 100,000 calls of mixed shapes', async () => {
  const attention = await engine();
  const problems = [];
  for (let n = 0; problems.length < 48; n++) {
    const [name] = new Random(11, n).shuffled(Object.keys(families));
    const options = families[name](new Random(12, n));
    if (product(options.queries.dims) + product(options.keys.dims) < 600) problems.push(options);
  }
  const shared = problems.map(inputs);
  const masked = problems.filter((options) => options.sparseAttentionMask && !options.sparseAttentionMask.flag);
  assert.ok(masked.length >= 5);
  let live = [];
  let random;
  const step = (n) => {
    const options = shared[n % shared.length];
    switch (n % 10) {
      case 1: return attention.getMaskedAttentionOutput({ ...options, returnAttentionWeights: true, returnLogSumExp: true, outputDtype: 'float16' });
      case 3: { // tensors come and go in any order
        live.push(attention.tensor([random.integer(0, 3000)]));
        if (live.length > 8) live.splice(random.integer(0, 7), 1)[0].dispose();
        return undefined;
      }
      case 5: { // a mask of its own
        const fresh = inputs(masked[n % masked.length]);
        attention.getMaskedAttentionOutput(fresh);
        return fresh.sparseAttentionMask.dispose();
      }
      case 7: { // a refusal
        try {
          return attention.getMaskedAttentionOutput({ ...options, softcap: -1 });
        } catch {
          return undefined;
        }
      }
      case 9: {
        const { sinks, emptyRows, outputLayout, ...rest } = options;
        const partials = attention.getAttentionPartials(rest);
        return attention.finishPartials(attention.mergePartials([partials, partials]));
      }
      default: return attention.getMaskedAttentionOutput(options);
    }
  };
  const pass = () => {
    random = new Random(13); // the same requests each time, so that a peak of memory is not a matter of luck
    for (let n = 0; n < 5_000; n++) step(n);
    live.forEach((made) => made.dispose());
    live = [];
    const { memoryBytes, usedBytes } = attention.info();
    return { memoryBytes, usedBytes };
  };
  pass(); // makes the copies of shared masks
  const before = pass();
  for (let calls = 0; calls < 100_000; calls += 5_000) assert.deepEqual(pass(), before, `after ${calls} calls`);
  attention.dispose();
});

// ---------------------------------------------------------------------------------------------- engines

test('two engines side by side, and one that outlives the other', async () => {
  const [a, b] = [await engine(), await engine()];
  const problems = Array.from({ length: 20 }, (_, n) => draw(n, [1, 2, 1, 1 + n, 3 * n + 1, 8, 8]));
  const expected = problems.map((options) => a.getMaskedAttentionOutput(options).output.data);
  const mine = a.tensor([1, 2, 1, 8]);
  mine.data.fill(0.5);
  problems.forEach((options, n) => {
    assertSameBits(b.getMaskedAttentionOutput(options).output.data, expected[n]);
    assertSameBits(a.getMaskedAttentionOutput(options).output.data, expected[n]);
  });
  // A tensor of one engine is an ordinary array to the other, also as out.
  const [, , three] = problems;
  const query = { ...three, queries: mine };
  assertSameBits(b.getMaskedAttentionOutput(query).output.data, a.getMaskedAttentionOutput(query).output.data);
  const out = { output: a.tensor([1, 1, 2, 8]) };
  const result = b.getMaskedAttentionOutput({ ...query, out }).output;
  assert.equal(result, out.output);
  assertSameBits(out.output.data, a.getMaskedAttentionOutput(query).output.data);
  a.dispose();
  a.dispose();
  problems.forEach((options, n) => assertSameBits(b.getMaskedAttentionOutput(options).output.data, expected[n]));
  for (const method of ['getMaskedAttentionOutput', 'getAttentionPartials', 'getAttentionNumerator', 'getAttentionDenominator', 'mergePartials', 'finishPartials', 'tensor', 'info'])
    assert.throws(() => a[method](three), hasCode('disposed'), method);
  if (Symbol.dispose) {
    b[Symbol.dispose]();
    assert.throws(() => b.info(), hasCode('disposed'));
  }
});

test('info() says what runs', async () => {
  const attention = await createAttention();
  const info = attention.info();
  assert.equal(info.version, manifest.version);
  assert.ok(['base', 'relaxed'].includes(info.variant));
  assert.equal(info.reproducible, info.variant === 'base');
  assert.match(info.why, /\S/);
  assert.ok(info.memoryBytes > 0 && info.memoryBytes % 65536 === 0);
  assert.ok(info.usedBytes > 0 && info.usedBytes < info.memoryBytes);
  attention.dispose();
});

test('wasm: a Module, bytes, a view, a Response, a URL', async () => {
  const file = new URL('../js/base.wasm', import.meta.url);
  const bytes = new Uint8Array(readFileSync(file));
  const padded = new Uint8Array(bytes.length + 7);
  padded.set(bytes, 7);
  const expected = (await engine()).getMaskedAttentionOutput(draw()).output.data;
  const sources = [
    await WebAssembly.compile(bytes), bytes, bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length), padded.subarray(7),
    new Response(bytes, { headers: { 'content-type': 'application/wasm' } }), new Response(bytes), // whatever the server calls it
  ];
  if (process.getBuiltinModule) sources.push(file);
  for (const wasm of sources) {
    const attention = await createAttention({ wasm, variant: 'base' });
    assert.equal(attention.info().variant, 'base');
    assertSameBits(attention.getMaskedAttentionOutput(draw()).output.data, expected);
    attention.dispose();
  }
});

test('a failed start does not poison the next one', async () => {
  const failures = [
    { wasm: new Uint8Array(4) }, { wasm: new Response('not found', { status: 404 }) }, { maxMemoryBytes: 65536 },
    { wasm: trapping().subarray(0, 30) }, { variant: 'none' },
  ];
  for (const options of failures) {
    await assert.rejects(createAttention(options));
    const attention = await createAttention();
    const options2 = draw();
    const failure = compare('output', attention.getMaskedAttentionOutput(options2).output.data, attend(options2), attend(options2, Math.fround), options2).message;
    assert.equal(failure, undefined);
    attention.dispose();
  }
});

/** A module with the core's exports whose computations trap. */
function trapping() {
  const text = (string) => [string.length, ...Buffer.from(string)];
  const section = (id, content) => [id, content.length % 128 + (content.length > 127 ? 128 : 0), ...(content.length > 127 ? [content.length >> 7] : []), ...content];
  const address = ['attn_memory_base', 'attn_heap_init', 'attn_heap_alloc', 'attn_heap_used', 'attn_heap_shortfall', 'attn_heap_extend', 'attn_heap_free'];
  const traps = ['attn_plan_init', 'attn_run', 'attn_partials_merge', 'attn_partials_finish', 'attn_convert'];
  const exported = [...address.map((name) => [name, 0]), ...traps.map((name) => [name, 1])];
  return Uint8Array.from([
    0, 97, 115, 109, 1, 0, 0, 0,
    ...section(1, [1, 0x60, 0, 1, 0x7f]), // () -> i32
    ...section(2, [1, ...text('env'), ...text('memory'), 2, 0, 1]),
    ...section(3, [2, 0, 0]),
    ...section(7, [exported.length, ...exported.flatMap(([name, index]) => [...text(name), 0, index])]),
    ...section(10, [2, 6, 0, 0x41, 0x80, 0x80, 0x04, 0x0b, 3, 0, 0x00, 0x0b]), // i32.const 65536; unreachable
  ]);
}

test('a trap ends the instance, and only that one', async () => {
  const attention = await createAttention({ wasm: trapping(), variant: 'base' });
  const made = attention.tensor([1]);
  assert.throws(() => attention.getMaskedAttentionOutput(draw()), (error) => hasCode('internal')(error) && error.cause instanceof WebAssembly.RuntimeError);
  assert.throws(() => attention.getMaskedAttentionOutput(draw()), hasCode('disposed'));
  assert.throws(() => attention.info(), hasCode('disposed'));
  assert.throws(() => made.data, hasCode('disposed'));
  attention.dispose();
  const next = await engine();
  next.getMaskedAttentionOutput(draw());
  next.dispose();
});
