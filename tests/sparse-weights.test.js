// SPDX-License-Identifier: Apache-2.0
// Weights as compressed sparse rows: the entries are those of the sparse mask, or without one those that the other
// masks allow, and the values are those of the dense weights. ATTN_SEED chooses other problems.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Mask, createAttention } from '../js/index.js';
import { assertSameBits, draw, engine, hasCode } from './calls.js';
import { drawMasked } from './masked-problems.js';
import { attend, fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from './oracle.js';
import { Random, describe, families, seed } from './random.js';
import { inputs, sizes } from './support.js';
import { variants } from './variants.js';

const sparsely = { returnAttentionWeights: true, weightsFormat: 'sparse' };

/** What `columns` says of each row of each head, within a window, as compressed sparse rows. */
function listOf({ batch, heads }, [rowBegin, rowEnd], [columnBegin, columnEnd], columns) {
  const ptr = [0];
  const indices = [];
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < heads; h++)
      for (let i = rowBegin; i < rowEnd; i++) {
        for (const j of columns(b, h, i)) if (j >= columnBegin && j < columnEnd) indices.push(j - columnBegin);
        ptr.push(indices.length);
      }
  return { ptr: Uint32Array.from(ptr), indices: Uint32Array.from(indices) };
}

/** The entries of a mask's own list, repeated over batch and heads. */
function maskColumns(mask, { heads }) {
  const { ptr, indices } = mask.toIndices();
  const [batch, own, queries] = mask.shape;
  return (b, h, i) => {
    const row = ((batch === 1 ? 0 : b) * own + Math.trunc(h / (heads / own))) * queries + i;
    return indices.subarray(ptr[row], ptr[row + 1]);
  };
}

/** The columns that are allowed by the oracle's scores. */
function allowedColumns(exact, { heads, queryLength, keyLength }) {
  return (b, h, i) => {
    const at = ((b * heads + h) * queryLength + i) * keyLength;
    return [...exact.scores.biased.subarray(at, at + keyLength).keys()].filter(
      (j) => exact.scores.biased[at + j] > -Infinity,
    );
  };
}

const span = (random, length) => {
  const begin = random.integer(0, length);
  return [begin, random.integer(begin, length)];
};

for (const variant of variants) {
  let attention;
  before(async () => {
    attention = await createAttention({ variant });
  });
  after(() => attention.dispose());

  /** All that can be said of the sparse weights of one problem. */
  function assertAgrees(options, random) {
    const size = sizes(options);
    const { heads, queryLength, keyLength } = size;
    const call = inputs(options);
    const mask = call.sparseAttentionMask;
    const exact = attend(options);
    const isListed = mask && !mask.isEmpty() && !mask.isFull();
    const columns = isListed ? maskColumns(mask, size) : allowedColumns(exact, size);

    const window = random.chance(0.4)
      ? { rows: span(random, queryLength), columns: span(random, keyLength) }
      : undefined;
    const [rows, columnRange] = [window?.rows ?? [0, queryLength], window?.columns ?? [0, keyLength]];
    const expected = listOf(size, rows, columnRange, columns);
    const { output, weights } = attention.getMaskedAttentionOutput({ ...call, ...sparsely, weightsWindow: window });
    assert.deepEqual(Object.keys(weights), ['ptr', 'indices', 'values', 'dims', 'dtype']);
    assert.equal(weights.dtype, 'float32');
    assert.deepEqual(weights.dims, [size.batch, heads, rows[1] - rows[0], columnRange[1] - columnRange[0]]);
    assert.deepEqual(weights.ptr, expected.ptr, 'ptr');
    assert.deepEqual(weights.indices, expected.indices, 'indices');
    assert.equal(weights.values.length, expected.indices.length);

    const dense = attention.getMaskedAttentionOutput({
      ...call,
      returnAttentionWeights: true,
      returnDropoutMask: true,
    });
    assertSameBits(output.data, dense.output.data);
    const survivors = options.training && options.dropout < 1 ? 1 / (1 - (options.dropout ?? 0)) : 1;
    const rest = dense.weights.data.slice(); // what is not listed
    for (let row = 0; row + 1 < weights.ptr.length; row++) {
      const length = rows[1] - rows[0];
      const at = (Math.trunc(row / length) * queryLength + rows[0] + (row % length)) * keyLength + columnRange[0];
      for (let n = weights.ptr[row]; n < weights.ptr[row + 1]; n++) {
        const place = at + weights.indices[n];
        const [value, wanted] = [weights.values[n], dense.weights.data[place]];
        const isClose = Object.is(value, wanted) || Math.abs(value - wanted) <= 1e-6 * survivors;
        assert.ok(isClose, `row ${row}, column ${weights.indices[n]}: ${value}, dense ${wanted}`);
        const isOut = exact.scores.biased[place] === -Infinity || dense.dropoutMask.data[place] === 0;
        if (isOut && !Number.isNaN(value)) assert.ok(Object.is(value, 0), `row ${row}: ${value} where nothing is kept`);
        rest[place] = 0;
      }
    }
    if (!window)
      assert.ok(
        rest.every((weight) => weight === 0 || Number.isNaN(weight)),
        'what is not listed is not kept',
      );

    for (const [outputDtype, narrow] of [
      ['float16', toFloat16],
      ['bfloat16', toBfloat16],
    ]) {
      // prettier-ignore
      const half = attention.getMaskedAttentionOutput({ ...call, ...sparsely, weightsWindow: window, outputDtype });
      assert.equal(half.weights.dtype, outputDtype);
      assert.ok(half.weights.values instanceof Uint16Array);
      const wide = Array.from(half.weights.values, outputDtype === 'float16' ? fromFloat16 : fromBfloat16);
      weights.values.forEach((value, n) => {
        if (Number.isNaN(value)) assert.ok(Number.isNaN(wide[n]));
        else assert.equal(half.weights.values[n], narrow(value), `${outputDtype} of ${value}`);
      });
      assert.deepEqual([half.weights.ptr, half.weights.indices], [weights.ptr, weights.indices]);
    }
  }

  const problems = (count, stream, drawProblem) => () => {
    for (let n = 0; n < count; n++) {
      const options = drawProblem(new Random(seed, stream, n));
      try {
        assertAgrees(options, new Random(seed, stream, n, 1));
      } catch (error) {
        error.message = `problem ${n}: ${error.message}\n${describe(options)}`;
        throw error;
      }
    }
  };

  test(
    `${variant}: the entries of the mask with the dense weights (ATTN_SEED=${seed})`,
    problems(variant === 'base' ? 100 : 40, 4, (random) => drawMasked(random)),
  );

  test(
    `${variant}: without a mask, the entries that are allowed (ATTN_SEED=${seed})`,
    problems(variant === 'base' ? 60 : 30, 5, (random) => {
      const { sparseAttentionMask, ...options } = families[random.pick(['positions', 'masks', 'everything'])](random);
      if (sparseAttentionMask && random.chance(0.2))
        options.sparseAttentionMask = { shape: sparseAttentionMask.shape, flag: random.pick(['empty', 'full']) };
      return options;
    }),
  );
}

test('a row that keeps nothing has zeros, or NaN if asked for', async () => {
  const attention = await engine();
  const mask = Mask.fromIndices([1, 1, 5, 9], { ptr: [0, 2, 2, 3, 5, 6], indices: [0, 8, 7, 1, 2, 8] });
  const options = { ...draw(), sparseAttentionMask: mask, keyLengths: Int32Array.of(7, 0), ...sparsely };
  for (const [emptyRows, fill] of [
    ['zero', 0],
    ['nan', NaN],
  ]) {
    // prettier-ignore
    const { ptr, indices, values } = attention.getMaskedAttentionOutput({ ...options, emptyRows }).weights;
    assert.deepEqual([...ptr.subarray(0, 6)], [0, 2, 2, 3, 5, 6]);
    assert.equal(ptr.length, 2 * 4 * 5 + 1);
    assert.equal(indices.length, 2 * 4 * 6, 'entries that other masks take out are still listed');
    assert.deepEqual([...values.subarray(0, 3)], [1, 0, fill]); // key 8 is beyond the first length, key 7 as well
    assert.ok(
      values.subarray(4 * 6).every((value) => Object.is(value, fill)),
      'no keys at all',
    );
  }
  attention.dispose();
});

test('dropout takes entries out, on either side of the division', async () => {
  const attention = await engine();
  const mask = Mask.slidingWindow([1, 1, 5, 9], { left: 3, right: 0 });
  const options = { ...draw(), sparseAttentionMask: mask, dropout: 0.5, training: true, seed: 1, ...sparsely };
  for (const dropoutPlacement of ['before-normalization', 'after-normalization']) {
    const call = { ...options, dropoutPlacement, returnDropoutMask: true };
    const { weights, dropoutMask } = attention.getMaskedAttentionOutput(call);
    let dropped = 0;
    for (let row = 0; row + 1 < weights.ptr.length; row++)
      for (let n = weights.ptr[row]; n < weights.ptr[row + 1]; n++) {
        const isKept = dropoutMask.data[row * 9 + weights.indices[n]] === 1;
        if (!isKept) dropped++;
        assert.equal(weights.values[n] > 0, isKept);
      }
    assert.ok(dropped > 20 && dropped < 140, `${dropped} of 160`);
  }
  attention.dispose();
});

test('no queries, keys, heads or batches: no entries', async () => {
  const attention = await engine();
  const shapes = [
    [0, 4, 2, 5, 9, 8, 6],
    [2, 0, 1, 5, 9, 8, 6],
    [2, 4, 2, 0, 9, 8, 6],
    [2, 4, 2, 5, 0, 8, 6],
  ];
  for (const shape of shapes) {
    const [b, h, , sq, sk] = shape;
    const masks = [undefined, Mask.causal([b, 1, sq, sk]), Mask.full([1, 1, sq, sk]), Mask.full([1, 1, sq, sk]).not()];
    for (const sparseAttentionMask of masks) {
      const { weights } = attention.getMaskedAttentionOutput({ ...draw(1, shape), sparseAttentionMask, ...sparsely });
      assert.deepEqual(weights.dims, [b, h, sq, sk]);
      assert.deepEqual(weights.ptr, new Uint32Array(b * h * sq + 1));
      assert.deepEqual([weights.indices.length, weights.values.length], [0, 0]);
    }
  }
  // No dimensions, and so the same score everywhere.
  const { weights } = attention.getMaskedAttentionOutput({ ...draw(1, [1, 1, 1, 2, 4, 0, 6]), ...sparsely });
  assertSameBits(weights.values, new Float32Array(8).fill(0.25), 'weights');
  const window = { rows: [2, 2], columns: [1, 3] };
  const none = attention.getMaskedAttentionOutput({ ...draw(), ...sparsely, weightsWindow: window }).weights;
  assert.deepEqual([none.dims, none.ptr], [[2, 4, 0, 2], Uint32Array.of(0)]);
  attention.dispose();
});

test('new arrays of their own, and only if asked for', async () => {
  const attention = await engine();
  const resident = attention.tensor([1]);
  const options = { ...draw(), causal: true };
  assert.deepEqual(Object.keys(attention.getMaskedAttentionOutput({ ...options, weightsFormat: 'sparse' })), [
    'output',
  ]);
  const used = attention.info().usedBytes;
  const first = attention.getMaskedAttentionOutput({ ...options, ...sparsely }).weights;
  const copy = { ...first, values: first.values.slice() };
  const second = attention.getMaskedAttentionOutput({ ...draw(2), causal: true, ...sparsely }).weights;
  assert.equal(attention.info().usedBytes, used);
  for (const name of ['ptr', 'indices', 'values']) {
    assert.equal(first[name].byteLength, first[name].buffer.byteLength, 'nothing else is kept alive');
    assert.notEqual(first[name].buffer, resident.data.buffer);
    assert.notEqual(first[name].buffer, second[name].buffer);
  }
  assertSameBits(first.values, copy.values, 'an earlier result');
  attention.dispose();
});

test('Float16Array in, Float16Array out', async (t) => {
  if (typeof Float16Array === 'undefined') return t.skip('this engine has no Float16Array');
  const attention = await engine();
  const { values, ...options } = draw(1, undefined, 'float16');
  const native = { ...options, values: { dims: values.dims, data: new Float16Array(values.data.buffer) }, ...sparsely };
  const bits = attention.getMaskedAttentionOutput({ ...options, values, ...sparsely, outputDtype: 'float16' }).weights;
  const { weights } = attention.getMaskedAttentionOutput({ ...native, outputDtype: 'float16' });
  assert.ok(weights.values instanceof Float16Array);
  assertSameBits(new Uint16Array(weights.values.buffer), bits.values);
  assert.ok(
    attention.getMaskedAttentionOutput({ ...native, outputDtype: 'bfloat16' }).weights.values instanceof Uint16Array,
  );
  attention.dispose();
});

test('many slices: the same entries, also of a mask that is disposed of meanwhile', async (t) => {
  let now = 0;
  t.mock.method(performance, 'now', () => (now += 1000));
  const attention = await engine();
  const used = attention.info().usedBytes;
  const shape = [1, 4, 150, 400];
  const columns = new Random(3);
  const indices = Int32Array.from({ length: 600 * 9 }, () => columns.integer(-1, 399));
  const list = Mask.fromRowWiseIndices(shape, indices);
  const masks = [undefined, list, Mask.slidingWindow(shape, { left: 60 }).or(list)];
  for (const sparseAttentionMask of masks)
    for (const outputDtype of ['float32', 'float16']) {
      const window = { rows: [3, 150], columns: [0, 333] };
      const options = { ...draw(9, [2, 4, 2, 150, 400, 24, 8]), causal: true, sparseAttentionMask, outputDtype };
      const call = { ...options, ...sparsely, weightsWindow: window };
      const expected = attention.getMaskedAttentionOutput(call).weights;
      let slices = 0;
      const pending = attention.getMaskedAttentionOutputAsync(call, { onProgress: () => slices++ });
      if (outputDtype === 'float16') sparseAttentionMask?.dispose();
      assert.deepEqual((await pending).weights, expected);
      assert.ok(slices >= 5, `${slices} slices`);
    }
  assert.equal(attention.info().usedBytes, used);
  attention.dispose();
});

test('what does not fit is refused, and leaves nothing behind', async () => {
  const attention = await engine({ maxMemoryBytes: 3 << 20 });
  const options = draw(1, [1, 1, 1, 512, 2048, 4, 4]);
  const { usedBytes } = attention.info();
  const expected = attention.getMaskedAttentionOutput(options).output.data;
  assert.throws(() => attention.getMaskedAttentionOutput({ ...options, ...sparsely }), hasCode('out-of-memory'));
  assert.equal(attention.info().usedBytes, usedBytes);
  await assert.rejects(attention.getMaskedAttentionOutputAsync({ ...options, ...sparsely }), hasCode('out-of-memory'));
  assert.equal(attention.info().usedBytes, usedBytes);
  const part = { ...options, ...sparsely, weightsWindow: { rows: [0, 100] } };
  assert.equal(attention.getMaskedAttentionOutput(part).weights.indices.length, 204_800);
  const few = {
    ...options,
    ...sparsely,
    sparseAttentionMask: Mask.slidingWindow([1, 1, 512, 2048], { left: 9, right: 0 }),
  };
  assert.equal(attention.getMaskedAttentionOutput(few).weights.indices.length, 5120);
  assertSameBits(attention.getMaskedAttentionOutput(options).output.data, expected);
  attention.dispose();
});

test('a mask whose matrix would be larger than memory', async () => {
  const attention = await engine();
  const length = 40_000; // 6.4 GB of weights, if they were dense
  const { usedBytes } = attention.info();
  const none = (dim) => ({ data: new Float32Array(length * dim), dims: [1, 1, length, dim] });
  const shape = [1, 1, length, length];
  const options = { queries: none(0), keys: none(0), values: none(1), ...sparsely };
  const mask = Mask.slidingWindow(shape, { left: 3, right: 0 });
  const { weights } = attention.getMaskedAttentionOutput({ ...options, sparseAttentionMask: mask });
  assert.equal(weights.indices.length, 4 * length - 6);
  assert.equal(weights.values[0], 1);
  assert.ok(weights.values.subarray(6).every((value) => value === 0.25));
  assert.throws(
    () => attention.getMaskedAttentionOutput({ ...options, weightsFormat: 'dense', sparseAttentionMask: mask }),
    (error) => error instanceof RangeError || hasCode('out-of-memory')(error),
  );
  assert.equal(attention.info().usedBytes, usedBytes);
  attention.dispose();
});
