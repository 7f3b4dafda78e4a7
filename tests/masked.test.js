// SPDX-License-Identifier: Apache-2.0
// Sparse masks of every kind in the engine: random expressions agree with the double-precision oracle, in slices and in
// parts as well, and it does not matter how a mask was made. ATTN_SEED chooses other problems.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Mask, createAttention } from '../js/index.js';
import { check } from './agreement.js';
import { assertSameBits, draw } from './calls.js';
import { drawMasked, keptPairs, representations } from './masked-problems.js';
import { attend, widen } from './oracle.js';
import { Random, describe, seed } from './random.js';
import { buildMask, compare, inputs, sizes } from './support.js';
import { variants } from './variants.js';

const everything = { returnAttentionWeights: true, returnLogSumExp: true, returnDropoutMask: true };

/** Same results, bit for bit: tensors, and weights as lists. */
function assertSameResults(actual, expected, what) {
  assert.deepEqual(Object.keys(actual), Object.keys(expected), what);
  for (const [key, { data, dims, dtype, ...rest }] of Object.entries(expected)) {
    assert.deepEqual([actual[key].dims, actual[key].dtype], [dims, dtype], `${key} ${what}`);
    if (data) assertSameBits(actual[key].data, data, `${key} ${what}`);
    else for (const [name, array] of Object.entries(rest)) assertSameBits(actual[key][name], array, `${name} ${what}`);
  }
}

/** Elements [begin, end) of one axis of a tensor; all of those that broadcast. */
function slice({ data, dims, ...rest }, axis, begin, end) {
  const length = dims[axis];
  if (length === 1) return { data, dims, ...rest };
  const inner = dims.slice(axis + 1).reduce((a, b) => a * b, 1);
  const kept = data.filter((_, n) => {
    const at = Math.trunc(n / inner) % length;
    return begin <= at && at < end;
  });
  return { data: kept, dims: dims.with(axis, end - begin), ...rest };
}

/** The problem over keys [begin, end), with a mask of its own, made in any way. */
function rangeOf(options, begin, end, random) {
  const { keyLength, queryLength } = sizes(options);
  const axis = options.inputLayout === 'bshd' ? 1 : 2;
  const { keyOffset = 0, queryOffset = keyOffset + keyLength - queryLength, sparseAttentionMask: mask } = options;
  const { data, dims } = slice({ data: mask.weights, dims: mask.shape }, 3, begin, end);
  const part = { ...options, keyOffset: keyOffset + begin, queryOffset };
  part.sparseAttentionMask = buildMask({
    shape: [...mask.shape.slice(0, 3), end - begin],
    weights: dims[3] === end - begin ? data : assert.fail('a mask has all keys'),
    representation: random.pick(['dense', 'indices', 'rows']),
  });
  for (const name of ['keys', 'values']) part[name] = slice(options[name], axis, begin, end);
  for (const name of ['attentionMask', 'dropoutMask'])
    if (options[name]) part[name] = slice(options[name], options[name].dims.length - 1, begin, end);
  part.keyLengths = options.keyLengths?.map((length) => Math.max(0, Math.min(length - begin, end - begin)));
  return part;
}

for (const variant of variants) {
  let attention;
  before(async () => {
    attention = await createAttention({ variant });
  });
  after(() => attention.dispose());

  const problems = (count, stream, use, drawSizes) => async () => {
    for (let n = 0; n < count; n++) {
      const random = new Random(seed, stream, n);
      const options = drawMasked(random, drawSizes?.(random));
      try {
        await use(options, new Random(seed, stream, n, 1));
      } catch (error) {
        error.message = `problem ${n}: ${error.message}\n${describe(options)}`;
        throw error;
      }
    }
  };

  test(
    `${variant}: random masks, in one go, in slices and in all that can be asked for (ATTN_SEED=${seed})`,
    problems(variant === 'base' ? 200 : 80, 1, async (options, random) => {
      const errors = { plain: { ours: 0, naive: 0 }, relative: { ours: 0, naive: 0 } };
      assert.deepEqual(check(attention, options, random, errors), []);
      const call = {
        ...inputs(options),
        ...everything,
        weightsFormat: random.pick(['dense', 'sparse']),
        outputDtype: random.pick([undefined, 'float16']),
      };
      assertSameResults(
        await attention.getMaskedAttentionOutputAsync(call),
        attention.getMaskedAttentionOutput(call),
        'in slices',
      );
    }),
  );

  test(
    `${variant}: random masks of many tiles (ATTN_SEED=${seed})`,
    problems(
      variant === 'base' ? 8 : 4,
      9,
      (options, random) => {
        const errors = { plain: { ours: 0, naive: 0 }, relative: { ours: 0, naive: 0 } };
        assert.deepEqual(check(attention, options, random, errors), []);
      },
      (random) => {
        const [queryLength, keyLength] = random.pick([[3, 5000], [40, 1500], [160, 400]]); // prettier-ignore
        const [keyHeads, heads] = random.pick([[1, 3], [2, 4], [2, 2]]); // prettier-ignore
        return {
          batch: 1,
          heads,
          keyHeads,
          valueHeads: keyHeads,
          queryLength,
          keyLength,
          dim: random.pick([4, 32]),
          valueDim: 4,
        };
      },
    ),
  );

  test(`${variant}: a key counts once where rows of blocks go on from one unit of queries to the next`, () => {
    // A unit is 12 queries, and each may take tiles or gather keys.
    for (const queries of [13, 14, 18, 25, 127])
      for (const width of [1, 4, 7, 13])
        for (const [heads, maskHeads] of [
          [1, 1],
          [2, 1],
          [2, 2],
        ]) {
          // prettier-ignore
          const shape = [1, maskHeads, queries, 13];
          const rows = maskHeads * Math.ceil(queries / 5);
          const kept = Array.from({ length: rows }, (_, row) => [[0], row % 2 ? [0] : [], [0, 1]][row % 3]);
          const columns = kept.map((list) => list.filter((column) => column * width < 13));
          const ptr = [0];
          for (const list of columns) ptr.push(ptr.at(-1) + list.length);
          const blocks = Mask.blockSparse({ shape, blockSize: [5, width], ptr, indices: columns.flat() });
          const options = draw(1, [1, heads, 1, queries, 13, 8, 4]);
          for (const mask of [
            blocks,
            blocks.not(),
            blocks.or(Mask.sinks(shape, 2)),
            blocks.and(Mask.sinks(shape, 5)),
          ]) {
            const problem = { ...options, sparseAttentionMask: { shape, weights: mask.toDense() } };
            const call = { ...options, sparseAttentionMask: mask, returnAttentionWeights: true };
            const { weights } = attention.getMaskedAttentionOutput(call);
            const found = compare('weights', weights.data, attend(problem), attend(problem, Math.fround), problem);
            assert.equal(found.message, undefined, `${queries} queries, ${heads} heads, blocks of ${width} keys`);
          }
        }
  });

  test(
    `${variant}: what a row does not keep has no influence, whatever it is (ATTN_SEED=${seed})`,
    problems(variant === 'base' ? 80 : 30, 8, (options, random) => {
      const { batch, heads, keyHeads, valueHeads, queryLength, keyLength } = sizes(options);
      const call = { ...inputs(options), outputLayout: 'bhsd', ...everything };
      // A few keys with values of anything; rows that keep one of them are not looked at.
      const kept = keptPairs(options, attend(options), [batch, heads, queryLength, keyLength]);
      const bad = new Set(Array.from({ length: 3 }, () => random.integer(0, keyLength - 1)));
      const garbage = random.pick([NaN, Infinity, -Infinity, 3e38]);
      const poisoned = (tensor, ownHeads) => {
        const width = tensor.dims[3];
        const data = tensor.dtype === 'float32' ? tensor.data.slice() : Float32Array.from(widen(tensor));
        for (let at = 0; at < data.length; at++) {
          const row = Math.trunc(at / width);
          const key = options.inputLayout === 'bshd' ? Math.trunc(row / ownHeads) % keyLength : row % keyLength;
          if (bad.has(key)) data[at] = garbage;
        }
        return { data, dims: tensor.dims };
      };
      const dirty = attention.getMaskedAttentionOutput({
        ...call,
        keys: poisoned(options.keys, keyHeads),
        values: poisoned(options.values, valueHeads),
      });
      const clean = attention.getMaskedAttentionOutput({
        ...call,
        keys: { data: Float32Array.from(widen(options.keys)), dims: options.keys.dims },
        values: { data: Float32Array.from(widen(options.values)), dims: options.values.dims },
      });
      for (let row = 0; row < batch * heads * queryLength; row++) {
        if ([...bad].some((key) => kept[row * keyLength + key])) continue;
        for (const [name, width] of [
          ['output', options.values.dims[3]],
          ['weights', keyLength],
          ['logSumExp', 1],
        ]) {
          // prettier-ignore
          const of = ({ [name]: { data } }) => data.subarray(row * width, (row + 1) * width);
          assertSameBits(of(dirty), of(clean), `${garbage} in keys ${[...bad]}: ${name} of row ${row}`);
        }
      }
    }),
  );

  test(
    `${variant}: masks of ranges of keys, merged (ATTN_SEED=${seed})`,
    problems(variant === 'base' ? 80 : 40, 2, (options, random) => {
      const { keyLength } = sizes(options);
      const { attentionMask } = options;
      // Without a sparse mask, or with one that keeps all of a range, the lowest float32 is a number like others.
      if (attentionMask?.data instanceof Float32Array)
        attentionMask.data.forEach((value, n, data) => (data[n] = value < -1e38 ? -Infinity : value));
      const { sinks, emptyRows, outputLayout, ...rest } = options;
      const cuts = [0, random.integer(0, keyLength), random.integer(0, keyLength), keyLength].sort((a, b) => a - b);
      const parts = [0, 1, 2]
        .filter((n) => cuts[n] < cuts[n + 1])
        .map((n) => attention.getAttentionPartials(rangeOf(rest, cuts[n], cuts[n + 1], random)));
      const merged = attention.mergePartials(random.shuffled(parts));
      const { output } = attention.finishPartials(merged, { sinks, emptyRows, outputLayout });
      const found = compare('output', output.data, attend(options), attend(options, Math.fround), options);
      // Merging rounds once more for each range.
      assert.ok(!found.message || found.ours <= 1.5 * found.naive + 4 * 2 ** -22, found.message);
    }),
  );

  test(
    `${variant}: one mask, made in other ways (ATTN_SEED=${seed})`,
    problems(variant === 'base' ? 100 : 40, 3, (options) => {
      const { sparseAttentionMask, ...rest } = options;
      const made = representations(sparseAttentionMask);
      const results = {};
      let isGathered = false;
      for (const [name, mask] of Object.entries(made)) {
        const call = { ...rest, sparseAttentionMask: mask };
        isGathered ||= attention.explain(call).rowsByGather > 0;
        results[name] = attention.getMaskedAttentionOutput({ ...call, ...everything });
        mask.dispose();
      }
      const { composite: expected, ...others } = results;
      const { maxLogit, maxValue } = attend(options);
      const survivors = options.training && options.dropout < 1 ? 1 / (1 - (options.dropout ?? 0)) : 1;
      const logit = 2e-6 * Math.max(1, maxLogit / 20);
      const units = { output: logit * survivors * Math.max(1, maxValue / 4), weights: logit * survivors };
      Object.assign(units, { logSumExp: logit * 5, dropoutMask: 0 });
      for (const [name, actual] of Object.entries(others))
        for (const [key, { data }] of Object.entries(expected)) {
          if (variant === 'base' && !isGathered) assertSameBits(actual[key].data, data, `${key}, ${name}`);
          data.forEach((value, n) => {
            const isClose =
              Object.is(actual[key].data[n], value) || Math.abs(actual[key].data[n] - value) <= units[key];
            assert.ok(isClose, `${key}[${n}], ${name}: ${actual[key].data[n]}, composite ${value}`);
          });
        }
    }),
  );
}
