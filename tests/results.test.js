// SPDX-License-Identifier: Apache-2.0
// What a call reads and what it hands out: ownership, shapes, element types, positions, `out`.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { assertSameBits, draw, engine, hasCode } from './calls.js';
import { fromBfloat16, fromFloat16, philox, toBfloat16, toFloat16, widen } from './oracle.js';
import { Random, narrow, product, tensor } from './random.js';

// ---------------------------------------------------------------------------------------------- results and inputs

test('results are new arrays of their own, and inputs stay as they were', async () => {
  const attention = await engine();
  const resident = attention.tensor([1]);
  const options = draw();
  const copies = Object.values(options).map(({ data }) => data.slice());
  const first = attention.getMaskedAttentionOutput({
    ...options,
    returnAttentionWeights: true,
    returnLogSumExp: true,
    returnScores: 'raw',
    returnDropoutMask: true,
  });
  const kept = Object.values(first).map(({ data }) => data.slice());
  const second = attention.getMaskedAttentionOutput({
    ...draw(2),
    returnAttentionWeights: true,
    returnLogSumExp: true,
    returnScores: 'raw',
    returnDropoutMask: true,
  });
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
    ...draw(),
    returnAttentionWeights: true,
    returnLogSumExp: true,
    returnScores: 'biased',
    returnDropoutMask: true,
  });
  assert.deepEqual([output.dims, output.dtype], [[2, 5, 4, 6], 'float32']);
  assert.deepEqual([weights.dims, weights.dtype], [[2, 4, 5, 9], 'float32']);
  assert.deepEqual([scores.dims, scores.dtype], [[2, 4, 5, 9], 'float32']);
  assert.deepEqual([logSumExp.dims, logSumExp.dtype], [[2, 4, 5], 'float32']);
  assert.deepEqual([dropoutMask.dims, dropoutMask.dtype], [[2, 4, 5, 9], 'bool']);
  assert.ok(
    dropoutMask.data.every((keep) => keep === 1),
    'without dropout everything is kept',
  );
  const partials = attention.getAttentionPartials(draw());
  assert.deepEqual(
    [partials.numerator.dims, partials.denominator.dims, partials.rowMax.dims],
    [
      [2, 4, 5, 6],
      [2, 4, 5, 1],
      [2, 4, 5],
    ],
  );
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
  const boolean = attention.getMaskedAttentionOutput({ ...options, attentionMask: { data: keep, dims: [5, 9] } }).output
    .data;
  const additive = { data: Float32Array.from(keep, (bit) => (bit ? 0 : -Infinity)), dims: [5, 9] };
  assertSameBits(attention.getMaskedAttentionOutput({ ...options, attentionMask: additive }).output.data, boolean);
  const offsets = [2, [2, 2], Int32Array.of(2, 2)].map(
    (queryOffset) => attention.getMaskedAttentionOutput({ ...options, causal: true, queryOffset }).output.data,
  );
  assertSameBits(offsets[1], offsets[0]);
  assertSameBits(offsets[2], offsets[0]);
  const seeds = [5, 5n].map(
    (seed) => attention.getMaskedAttentionOutput({ ...options, dropout: 0.5, training: true, seed }).output.data,
  );
  assertSameBits(seeds[1], seeds[0]);
  const undefinedOptions = {
    attentionMask: undefined,
    window: undefined,
    seed: undefined,
    out: undefined,
    sinks: undefined,
    returnScores: undefined,
  };
  assertSameBits(
    attention.getMaskedAttentionOutput({ ...options, ...undefinedOptions }).output.data,
    attention.getMaskedAttentionOutput(options).output.data,
  );
  attention.dispose();
});

test('positions near the end of int32 are positions', async () => {
  const attention = await engine();
  const options = {
    ...draw(),
    causal: true,
    window: { left: 3, right: 0 },
    alibiSlopes: Float32Array.of(0.1, 0.2, 0.3, 0.4),
  };
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
  const shapes = [
    [0, 4, 2, 5, 9, 8, 6],
    [2, 0, 1, 5, 9, 8, 6],
    [2, 4, 2, 0, 9, 8, 6],
    [2, 4, 2, 5, 0, 8, 6],
    [2, 4, 2, 5, 9, 0, 6],
    [2, 4, 2, 5, 9, 8, 0],
    [0, 0, 0, 0, 0, 0, 0],
  ];
  for (const shape of shapes) {
    const [b, h, , sq, sk, , dv] = shape;
    const { output, weights, logSumExp } = attention.getMaskedAttentionOutput({
      ...draw(1, shape),
      returnAttentionWeights: true,
      returnLogSumExp: true,
    });
    assert.deepEqual(
      [output.dims, weights.dims, logSumExp.dims],
      [
        [b, sq, h, dv],
        [b, h, sq, sk],
        [b, h, sq],
      ],
    );
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

test('a masked key stays out, whatever ALiBi would add to it', async () => {
  const attention = await engine();
  const tensorOf = (dims, ...numbers) => ({ data: Float32Array.from(numbers), dims });
  const { output } = attention.getMaskedAttentionOutput({
    queries: tensorOf([1, 1, 1, 1], 1),
    keys: tensorOf([1, 1, 3, 1], 0, 0, 0),
    values: tensorOf([1, 1, 3, 1], 5, 6, 7),
    attentionMask: tensorOf([3], -Infinity, 0, 0),
    alibiSlopes: Float32Array.of(-3e38), // twice that, at the masked key, is beyond float32
  });
  assert.equal(output.data[0], 6);
  attention.dispose();
});

test('a masked value does not even show in the sign of a zero', async () => {
  const attention = await engine();
  // What the first 64 keys add underflows to -0 when the next one turns out to weigh e^50 times as much.
  const column = (number) => ({ data: Float32Array.from({ length: 66 }, (_, j) => number(j)), dims: [1, 1, 66, 1] });
  const output = (masked) =>
    attention.getMaskedAttentionOutput({
      queries: { data: Float32Array.of(1), dims: [1, 1, 1, 1] },
      keys: column((j) => (j === 64 ? 50 : 0)),
      values: column((j) => (j < 64 ? -1e-45 : j === 64 ? -0 : masked)),
      keyLengths: Int32Array.of(65),
    }).output.data;
  for (const masked of [-1, 0, NaN, Infinity]) assertSameBits(output(masked), output(1), `output beside ${masked}`);
  attention.dispose();
});

// ---------------------------------------------------------------------------------------------- element types

test('float16 and bfloat16 inputs are what they widen to', async () => {
  const attention = await engine();
  for (const dtype of ['float16', 'bfloat16'])
    for (const which of ['queries', 'keys', 'values', 'attentionMask', 'all']) {
      const options = { ...draw(), attentionMask: tensor(new Random(4), [4, 5, 12]) };
      for (const name of Object.keys(options))
        if (which === name || which === 'all') options[name] = narrow(options[name], dtype);
      const wide = Object.fromEntries(
        Object.entries(options).map(([name, value]) => [
          name,
          { data: Float32Array.from(widen(value)), dims: value.dims },
        ]),
      );
      assertSameBits(
        attention.getMaskedAttentionOutput(options).output.data,
        attention.getMaskedAttentionOutput(wide).output.data,
        `${dtype} ${which}`,
      );
    }
  attention.dispose();
});

test('every float16 and bfloat16 value is read exactly', async () => {
  const attention = await engine();
  // One key per row and a softmax of one: the output is the value.
  for (const [dtype, widenHalf] of [
    ['float16', fromFloat16],
    ['bfloat16', fromBfloat16],
  ]) {
    const data = Uint16Array.from({ length: 65536 }, (_, n) => n);
    const dims = [1, 1, 1, 65536];
    const one = { data: new Float32Array(1), dims: [1, 1, 1, 1] };
    const { output } = attention.getMaskedAttentionOutput({ queries: one, keys: one, values: { data, dims, dtype } });
    for (let n = 0; n < 65536; n++) {
      const expected = widenHalf(n);
      if (output.data[n] !== expected)
        assert.ok(Object.is(output.data[n], expected), `${dtype} ${n}: ${output.data[n]}, expected ${expected}`);
    }
  }
  attention.dispose();
});

test('outputDtype narrows output and weights, nearest even, and nothing else', async () => {
  const attention = await engine();
  for (const [dtype, toHalf] of [
    ['float16', toFloat16],
    ['bfloat16', toBfloat16],
  ])
    for (const valueScale of [1, 1e-6, 1e4, 1e30]) {
      // ordinary, subnormal in float16, around its largest, far beyond it
      const options = draw();
      options.values.data.forEach((value, n, data) => {
        data[n] = value * valueScale;
      });
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
  const ties = Float32Array.of(
    1 + 2 ** -11,
    1 + 3 * 2 ** -11,
    65519.99,
    65520,
    2 ** -25,
    3 * 2 ** -25,
    -(2 ** -24),
    NaN,
    1 + 2 ** -8,
    1 + 3 * 2 ** -8,
    3.4028234e38,
  );
  for (const [dtype, toHalf] of [
    ['float16', toFloat16],
    ['bfloat16', toBfloat16],
  ]) {
    const { output } = attention.getMaskedAttentionOutput({
      queries: one,
      keys: one,
      values: { data: ties, dims: [1, 1, 1, ties.length] },
      outputDtype: dtype,
    });
    const back = dtype === 'float16' ? fromFloat16 : fromBfloat16;
    assertSameBits(
      Array.from(output.data, back),
      Array.from(ties, (value) => back(toHalf(value))),
      dtype,
    );
  }
  attention.dispose();
});

test('Float16Array in, Float16Array out', async (t) => {
  if (typeof Float16Array === 'undefined') return t.skip('this engine has no Float16Array');
  const attention = await engine();
  const options = draw(1, undefined, 'float16');
  const native = {
    ...options,
    values: { dims: options.values.dims, data: new Float16Array(options.values.data.buffer) },
  };
  const expected = attention.getMaskedAttentionOutput({ ...options, outputDtype: 'float16' }).output;
  const actual = attention.getMaskedAttentionOutput({ ...native, outputDtype: 'float16' }).output;
  assert.ok(expected.data instanceof Uint16Array);
  assert.ok(actual.data instanceof Float16Array);
  assertSameBits(new Uint16Array(actual.data.buffer), expected.data);
  assert.ok(
    attention.getMaskedAttentionOutput({ ...native, outputDtype: 'bfloat16' }).output.data instanceof Uint16Array,
  );
  const out = { output: { data: new Float16Array(expected.data.length), dims: expected.dims } };
  assert.equal(
    attention.getMaskedAttentionOutput({ ...options, outputDtype: 'float16', out }).output.data,
    out.output.data,
  );
  assertSameBits(new Uint16Array(out.output.data.buffer), expected.data);
  attention.dispose();
});

// ---------------------------------------------------------------------------------------------- out

test("out: results go into the caller's arrays and nowhere else", async () => {
  const attention = await engine();
  const options = { ...draw(), returnAttentionWeights: true, returnLogSumExp: true };
  for (const outputDtype of ['float32', 'float16', 'bfloat16']) {
    const expected = attention.getMaskedAttentionOutput({ ...options, outputDtype });
    const Arrays = outputDtype === 'float32' ? Float32Array : Uint16Array;
    const buffer = new ArrayBuffer(1 << 14);
    const guard = new Uint8Array(buffer).fill(0xa5);
    const place = (at, Type, { dims, dtype }) => ({ data: new Type(buffer, at, product(dims)), dims, dtype });
    const out = {
      output: place(64, Arrays, expected.output),
      weights: place(4096, Arrays, expected.weights),
      logSumExp: place(8192, Float32Array, expected.logSumExp),
    };
    const results = attention.getMaskedAttentionOutput({ ...options, outputDtype, out });
    for (const name of Object.keys(expected)) {
      assert.equal(results[name].data, out[name].data, `${name} is the caller's array`);
      assertSameBits(out[name].data, expected[name].data, `${name} ${outputDtype}`);
      new Uint8Array(buffer, out[name].data.byteOffset, out[name].data.byteLength).fill(0xa5);
    }
    assert.ok(
      guard.every((byte) => byte === 0xa5),
      'bytes around them stay',
    );
  }
  attention.dispose();
});

test('out: a resident tensor becomes the result', async () => {
  const attention = await engine();
  const options = { ...draw(), returnAttentionWeights: true };
  for (const outputDtype of ['float32', 'float16', 'bfloat16']) {
    const expected = attention.getMaskedAttentionOutput({ ...options, outputDtype });
    const out = {
      output: attention.tensor([2, 5, 4, 6], outputDtype),
      weights: attention.tensor([2, 4, 5, 9], outputDtype),
    };
    const results = attention.getMaskedAttentionOutput({ ...options, outputDtype, out });
    for (const name of ['output', 'weights']) {
      assert.equal(results[name], out[name]);
      assertSameBits(out[name].data, expected[name].data, `${name} ${outputDtype}`);
    }
    // The result of one call feeds the next without a copy; in and out may not be the same.
    if (outputDtype === 'float32') {
      const { values, keys } = draw();
      const reshaped = {
        queries: out.output,
        keys: { data: keys.data.slice(0, 2 * 2 * 5 * 6), dims: [2, 5, 2, 6] },
        values: { data: values.data.slice(0, 2 * 2 * 5 * 6), dims: [2, 5, 2, 6] },
      };
      attention.getMaskedAttentionOutput({ ...reshaped, inputLayout: 'bshd' });
      assert.throws(
        () => attention.getMaskedAttentionOutput({ ...reshaped, inputLayout: 'bshd', out: { output: out.output } }),
        /out\.output: overlaps queries/,
      );
    }
    out.output.dispose();
    assert.throws(() => attention.getMaskedAttentionOutput({ ...options, outputDtype, out }), hasCode('disposed'));
    out.weights.dispose();
  }
  const resident = attention.tensor([2, 5, 4, 6]);
  const view = { data: resident.data, dims: [2, 5, 4, 6] };
  assert.throws(
    () => attention.getMaskedAttentionOutput({ ...draw(), out: { output: view } }),
    (error) => error instanceof TypeError && /out\.output/.test(error.message),
  );
  attention.dispose();
});

// ---------------------------------------------------------------------------------------------- dropout

test('dropout keeps an entry iff its word is at least floor(p * 2^32)', async () => {
  const attention = await engine();
  const seed = 0x123456789abcdn;
  const key = [0x6789abcd, 0x12345];
  const keyOffset = 6;
  const [b, h, i, j] = [1, 2, 3, 4];
  const word = philox([(keyOffset + j) >> 2, i, h, b], key)[(keyOffset + j) & 3];
  const { queries, keys, values } = draw();
  const kept = (dropout) => {
    const { dropoutMask } = attention.getMaskedAttentionOutput({
      queries,
      keys,
      values,
      keyOffset,
      dropout,
      training: true,
      seed,
      returnDropoutMask: true,
    });
    return dropoutMask.data[((b * 4 + h) * 5 + i) * 9 + j];
  };
  assert.deepEqual([kept(word / 2 ** 32), kept((word + 0.99) / 2 ** 32), kept((word + 1) / 2 ** 32)], [1, 1, 0]);
  assert.equal(kept((word - 1) / 2 ** 32), 1);
  attention.dispose();
});

test('dropout of everything, and dropout that does not act', async () => {
  const attention = await engine();
  const extra = { returnAttentionWeights: true, returnLogSumExp: true, returnDropoutMask: true };
  const plain = attention.getMaskedAttentionOutput({ ...draw(), ...extra });
  for (const options of [{ dropout: 0.5 }, { dropout: 0, training: true }, { dropout: 1, training: false, seed: 1 }])
    for (const [name, { data }] of Object.entries(
      attention.getMaskedAttentionOutput({ ...draw(), ...extra, ...options }),
    ))
      assertSameBits(data, plain[name].data, name);
  for (const dropoutPlacement of ['before-normalization', 'after-normalization'])
    for (const emptyRows of ['zero', 'nan']) {
      const all = { dropout: 1, training: true, seed: 1, dropoutPlacement, emptyRows };
      const results = attention.getMaskedAttentionOutput({ ...draw(), ...extra, ...all });
      const isNaNRow = dropoutPlacement === 'before-normalization' && emptyRows === 'nan';
      for (const name of ['output', 'weights'])
        assert.ok(
          results[name].data.every((value) => (isNaNRow ? Number.isNaN(value) : value === 0)),
          `${name}, ${dropoutPlacement}, ${emptyRows}`,
        );
      assertSameBits(results.logSumExp.data, plain.logSumExp.data, 'logSumExp stays');
      assert.ok(results.dropoutMask.data.every((keep) => keep === 0));
    }
  attention.dispose();
});
