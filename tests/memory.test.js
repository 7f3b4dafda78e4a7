// SPDX-License-Identifier: Apache-2.0
// What lives in wasm memory and for how long: resident tensors across growth, copies of masks, limits, and no leak.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Mask } from '../js/index.js';
import { assertSameBits, draw, engine, hasCode } from './calls.js';
import { Random, families, product } from './random.js';
import { inputs } from './support.js';

// ---------------------------------------------------------------------------------------------- resident tensors

test('resident tensors: the same numbers without copies, across growth of memory', async () => {
  const attention = await engine();
  const options = { ...draw(), attentionMask: { data: new Random(5).bytes(45, 0.7), dims: [5, 9] } };
  const expected = attention.getMaskedAttentionOutput(options).output.data;
  const resident = Object.fromEntries(
    Object.entries(options).map(([name, { data, dims, dtype }]) => {
      const made = attention.tensor(dims, dtype ?? (data instanceof Uint8Array ? 'bool' : 'float32'));
      assert.ok(
        made.data.every((value) => value === 0),
        'a new tensor is zero',
      );
      made.data.set(data);
      return [name, made];
    }),
  );
  const stale = resident.keys.data;
  assertSameBits(attention.getMaskedAttentionOutput(resident).output.data, expected);
  const before = attention.info().memoryBytes;
  const large = attention.tensor([1 << 20]); // forces growth
  assert.ok(attention.info().memoryBytes > before);
  assert.equal(stale.length, 0, 'views from before growth are detached');
  for (const [name, { data }] of Object.entries(options)) assertSameBits(resident[name].data, data, name);
  assertSameBits(attention.getMaskedAttentionOutput(resident).output.data, expected);
  assert.throws(
    () => attention.getMaskedAttentionOutput({ ...options, keys: { data: stale, dims: options.keys.dims } }),
    (error) => error instanceof TypeError && /keys.*detached/.test(error.message),
  );

  // Growth in the middle of a call whose inputs are resident, or views of wasm memory.
  large.dispose();
  const big = draw(7, [1, 2, 2, 300, 3000, 64, 64]);
  const bigExpected = attention.getMaskedAttentionOutput(big).output.data;
  for (const wrap of [(made) => made, (made) => ({ data: made.data, dims: [...made.dims] })]) {
    const small = await engine();
    const tensors = Object.fromEntries(
      Object.entries(big).map(([name, { data, dims }]) => {
        const made = small.tensor(dims);
        made.data.set(data);
        return [name, made];
      }),
    );
    const start = small.info().memoryBytes;
    const wrapped = Object.fromEntries(Object.entries(tensors).map(([name, made]) => [name, wrap(made)]));
    const { output, weights } = small.getMaskedAttentionOutput({ ...wrapped, returnAttentionWeights: true });
    assert.ok(small.info().memoryBytes > start, 'the call grew memory');
    assertSameBits(output.data, bigExpected, 'output of a call that grew memory');
    assert.ok(weights.data.every((weight) => weight >= 0 && weight <= 1));
    for (const [name, { data }] of Object.entries(big))
      assertSameBits(tensors[name].data, data, `${name} after growth`);
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
  assert.throws(
    () => attention.getMaskedAttentionOutput({ queries: other, keys: made, values: made }),
    (error) => hasCode('disposed')(error) && /queries/.test(error.message),
  );
  assertSameBits(
    attention.getMaskedAttentionOutput({ queries: made, keys: made, values: made }).output.data,
    output.data,
  );
  assert.throws(() => {
    made.dims[0] = 2;
  }, TypeError);
  attention.dispose();
  assert.throws(() => made.data, hasCode('disposed'));
  made.dispose();
});

test('options that do harm while they are read', async () => {
  const attention = await engine();
  const expected = attention.getMaskedAttentionOutput(draw()).output.data;
  const works = () =>
    assertSameBits(attention.getMaskedAttentionOutput(draw()).output.data, expected, 'output of the call after');
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
    Object.defineProperty(evil, 'returnDropoutMask', {
      enumerable: true,
      get() {
        victim.dispose();
        late.dispose();
        return true;
      },
    });
    tolerate(() => attention.getMaskedAttentionOutput(evil));
    works();
  }
  const options = draw();
  Object.defineProperty(options, 'returnScores', {
    enumerable: true,
    get() {
      structuredClone(options.keys.data.buffer, { transfer: [options.keys.data.buffer] });
      return 'raw';
    },
  });
  const used = attention.info().usedBytes;
  tolerate(() => attention.getMaskedAttentionOutput(options));
  assert.equal(attention.info().usedBytes, used);
  works();
  // A mask disposed, an engine disposed.
  const mask = Mask.fromDense([1, 1, 5, 9], new Float32Array(45).fill(0.5));
  const withMask = {
    ...draw(),
    sparseAttentionMask: mask,
    get returnLogSumExp() {
      mask.dispose();
      return true;
    },
  };
  tolerate(() => attention.getMaskedAttentionOutput(withMask));
  works();
  const suicidal = {
    ...draw(),
    get returnLogSumExp() {
      attention.dispose();
      return true;
    },
  };
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
  assertSameBits(
    other.getMaskedAttentionOutput({ ...options, sparseAttentionMask: mask }).output.data,
    first,
    'another engine',
  );
  other.dispose();
  assertSameBits(attention.getMaskedAttentionOutput({ ...options, sparseAttentionMask: mask }).output.data, first);
  mask.dispose();
  mask.dispose();
  assert.equal(attention.info().usedBytes, used, 'the copy is gone');
  assert.throws(
    () => attention.getMaskedAttentionOutput({ ...options, sparseAttentionMask: mask }),
    (error) => hasCode('disposed')(error) && /sparseAttentionMask/.test(error.message),
  );
  for (const method of ['toDense', 'toIndices', 'isEmpty', 'isFull', 'density'])
    assert.throws(() => mask[method](), hasCode('disposed'), method);
  assert.throws(() => Mask.full([1, 1, 1, 1]).merge(mask), hasCode('disposed'));
  attention.dispose();
});

test('masks: never disposed, they do not fill memory', async () => {
  const attention = await engine();
  const options = draw(1, [1, 1, 1, 64, 512, 4, 4]);
  const weights = new Float32Array(64 * 512).fill(0.5);
  for (let n = 0; n < 1500; n++)
    // 196 MB of copies
    attention.getMaskedAttentionOutput({ ...options, sparseAttentionMask: Mask.fromDense([1, 1, 64, 512], weights) });
  const { memoryBytes } = attention.info();
  assert.ok(memoryBytes < 110e6, `memory has grown to ${memoryBytes}`);
  attention.dispose();
});

test('masks: copies make room when memory is short', async () => {
  const attention = await engine({ maxMemoryBytes: 4 << 20 });
  const options = draw(1, [1, 1, 1, 64, 512, 4, 4]);
  const masks = Array.from({ length: 60 }, (_, n) =>
    Mask.fromDense([1, 1, 64, 512], new Float32Array(64 * 512).fill((n + 1) / 64)),
  );
  const weighted = (mask) =>
    attention.getMaskedAttentionOutput({ ...options, sparseAttentionMask: mask, returnLogSumExp: true }).logSumExp.data;
  const once = masks.map(weighted); // 60 x 128 kB: not all fit
  masks.forEach((mask, n) => assertSameBits(weighted(mask), once[n], `mask ${n}`));
  attention.dispose();
});

// ---------------------------------------------------------------------------------------------- limits

test('maxMemoryBytes: calls that need more are refused, whichever part it is, and leave nothing behind', async () => {
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
    for (const extra of [
      {},
      { returnAttentionWeights: true },
      { sparseAttentionMask: Mask.fromDense([1, 1, 4, keyLength], new Float32Array(4 * keyLength).fill(0.5)) },
    ]) {
      out.output.data.fill(7);
      try {
        attention.getMaskedAttentionOutput({ ...options, ...extra, out });
        outcomes.add('served');
      } catch (error) {
        assert.ok(hasCode('out-of-memory')(error), error.stack);
        assert.match(error.message, /maxMemoryBytes/);
        assert.ok(
          out.output.data.every((value) => value === 7),
          'out is untouched',
        );
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

test('requests of exactly 2 ** 32 bytes do not wrap', async () => {
  const attention = await engine();
  const expected = attention.getMaskedAttentionOutput(draw()).output.data;
  const length = 32768;
  const [queries, keys, values, output] = Array.from({ length: 4 }, () => attention.tensor([1, 1, length, 1]));
  const rows = [0, 12288];
  assert.equal(2 * 4 * rows[1] * length + length ** 2, 2 ** 32, 'bytes of weights, scores and dropout mask');
  const before = attention.info().usedBytes;
  assert.throws(
    () =>
      attention.getMaskedAttentionOutput({
        queries,
        keys,
        values,
        inputLayout: 'bhsd',
        outputLayout: 'bhsd',
        out: { output },
        weightsWindow: { rows },
        returnAttentionWeights: true,
        returnScores: 'raw',
        returnDropoutMask: true,
      }),
    hasCode('out-of-memory'),
  );
  assert.throws(() => attention.tensor([2 ** 30]), hasCode('out-of-memory'));
  assert.equal(attention.info().usedBytes, before);
  assertSameBits(attention.getMaskedAttentionOutput(draw()).output.data, expected);
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
    {
      queries: none([1, 1, 2 ** 31 - 1, 0]),
      keys: none([1, 1, 1, 0]),
      values: one([1, 1, 1, 1]),
      returnAttentionWeights: true,
    },
    {
      queries: none([2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1, 0]),
      keys: none([2 ** 31 - 1, 1, 1, 0]),
      values: none([2 ** 31 - 1, 1, 1, 0]),
      returnLogSumExp: true,
    },
    {
      queries: none([1, 1, 1 << 20, 0]),
      keys: none([1, 1, 1 << 20, 0]),
      values: none([1, 1, 1 << 20, 0]),
      returnAttentionWeights: true,
    },
  ];
  for (const options of huge) {
    assert.throws(
      () => attention.getMaskedAttentionOutput(options),
      (error) => error instanceof RangeError || hasCode('out-of-memory')(error),
    );
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
      case 1:
        return attention.getMaskedAttentionOutput({
          ...options,
          returnAttentionWeights: true,
          returnLogSumExp: true,
          outputDtype: 'float16',
        });
      case 3: {
        // tensors come and go in any order
        live.push(attention.tensor([random.integer(0, 3000)]));
        if (live.length > 8) live.splice(random.integer(0, 7), 1)[0].dispose();
        return undefined;
      }
      case 5: {
        // a mask of its own
        const fresh = inputs(masked[n % masked.length]);
        attention.getMaskedAttentionOutput(fresh);
        return fresh.sparseAttentionMask.dispose();
      }
      case 7: {
        // a refusal
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
      default:
        return attention.getMaskedAttentionOutput(options);
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
