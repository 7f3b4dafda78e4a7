// SPDX-License-Identifier: Apache-2.0
// Laws that attention obeys whatever the numbers are, searched for counterexamples by fast-check. A failure prints the
// seed and the smallest counterexample found; ATTN_SEED chooses where to look, ATTN_RUNS how long.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import fc from 'fast-check';

import { Mask, createAttention, getNumKeyValueGroups, repeatKv } from '../js/index.js';
import { attend, swap } from './oracle.js';
import { Random, product, seed, tensor } from './random.js';
import { buildMask, differsAt } from './support.js';
import { variants } from './variants.js';

const runs = Number(process.env.ATTN_RUNS ?? 150);

/** Runs a property; the seed stands in the test's name and, on failure, in fast-check's report. */
const law = (name, arbitrary, check) =>
  test(`${name} (ATTN_SEED=${seed})`, () => fc.assert(fc.property(arbitrary, check), { seed, numRuns: runs }));

const edge = (...sizes) => fc.constantFrom(...sizes);

/** Sizes of a problem and the seed of its numbers. */
const problems = fc.record({
  batch: edge(1, 1, 2, 3),
  keyHeads: edge(1, 1, 2, 3),
  groups: edge(1, 2, 4),
  queryLength: edge(1, 3, 4, 5, 8, 9, 17, 33),
  keyLength: edge(1, 2, 5, 8, 9, 31, 63, 64, 65, 130),
  dim: edge(1, 4, 7, 16, 33),
  valueDim: edge(1, 4, 5, 16, 40),
  numbers: fc.nat(),
});

/** Queries, keys and values of these sizes. */
function draw(p, random = new Random(p.numbers)) {
  return {
    queries: tensor(random, [p.batch, p.keyHeads * p.groups, p.queryLength, p.dim], 2),
    keys: tensor(random, [p.batch, p.keyHeads, p.keyLength, p.dim]),
    values: tensor(random, [p.batch, p.keyHeads, p.keyLength, p.valueDim]),
  };
}

const heads = (p) => p.keyHeads * p.groups;

/** Random options that act on single (query, key) pairs, so that they survive any rearrangement of keys. */
function drawPairwise(p, random) {
  const options = {};
  const shape = [p.batch, heads(p), p.queryLength, p.keyLength];
  if (random.chance(0.5)) options.softcap = random.pick([1, 20]);
  if (random.chance(0.5)) options.sinks = random.floats(heads(p));
  if (random.chance(0.4)) {
    const data = random.floats(product(shape), 2);
    data.forEach((_, n) => {
      if (random.chance(0.3)) data[n] = -Infinity;
    });
    options.attentionMask = { data, dims: shape };
  } else if (random.chance(0.5)) options.attentionMask = { data: random.bytes(product(shape), 0.6), dims: shape };
  if (random.chance(0.4)) {
    const weights = Float32Array.from({ length: product(shape) }, () =>
      random.chance(0.4) ? random.uniform() + 0.01 : 0,
    );
    options.sparseAttentionMask = { shape, weights, representation: random.pick(['dense', 'indices']) };
    options.maskWeighting = random.pick(['multiply', 'inverse']);
  }
  return options;
}

/** Keys `order` of a [.., .., length, width] tensor, in that order. */
function gather({ data, dims, dtype }, order) {
  const [a, b, length, width] = dims;
  const result = new data.constructor(a * b * order.length * width);
  for (let outer = 0; outer < a * b; outer++)
    order.forEach((from, to) => {
      for (let d = 0; d < width; d++)
        result[(outer * order.length + to) * width + d] = data[(outer * length + from) * width + d];
    });
  return { data: result, dims: [a, b, order.length, width], dtype };
}

/** Columns `order` of a tensor [..., length]. */
function gatherColumns({ data, dims, dtype }, order) {
  const length = dims.at(-1);
  const rows = product(dims.slice(0, -1));
  const result = new data.constructor(rows * order.length);
  for (let row = 0; row < rows; row++)
    order.forEach((from, to) => {
      result[row * order.length + to] = data[row * length + from];
    });
  return { data: result, dims: [...dims.slice(0, -1), order.length], dtype };
}

/** The same problem over keys `order`. */
function gatherProblem(options, order) {
  const result = { ...options, keys: gather(options.keys, order), values: gather(options.values, order) };
  for (const name of ['attentionMask', 'dropoutMask'])
    if (options[name]) result[name] = gatherColumns(options[name], order);
  if (options.sparseAttentionMask) {
    const { shape, weights, representation } = options.sparseAttentionMask;
    const gathered = gatherColumns({ data: weights, dims: shape }, order);
    result.sparseAttentionMask = { shape: gathered.dims, weights: gathered.data, representation };
  }
  return result;
}

const range = (begin, end) => Array.from({ length: Math.max(0, end - begin) }, (_, n) => begin + n);

/** What two computations of one problem may differ by. */
function rounding(options) {
  const { maxLogit, maxValue } = attend(options);
  return { output: 4 * 2 ** -22 * (1 + maxLogit) * (maxValue + 1e-30), logit: 4 * 2 ** -22 * (1 + maxLogit) };
}

function assertClose(actual, expected, tolerance, what) {
  assert.equal(actual.length, expected.length, what);
  for (let n = 0; n < expected.length; n++) {
    if (Object.is(actual[n], expected[n])) continue;
    assert.ok(
      Math.abs(actual[n] - expected[n]) <= tolerance,
      `${what}[${n}]: ${actual[n]}, expected ${expected[n]} +- ${tolerance}`,
    );
  }
}

function assertSameBits(actual, expected, what) {
  const n = differsAt(actual, expected);
  assert.equal(n, -1, `${what}[${n}]: ${actual[n]} and ${expected[n]}`);
}

for (const variant of variants) {
  let attention;
  before(async () => {
    attention = await createAttention({ variant });
  });
  after(() => attention.dispose());

  const call = (options, extra) => {
    const { sparseAttentionMask: mask, ...rest } = options;
    return attention.getMaskedAttentionOutput({ ...rest, ...extra, sparseAttentionMask: mask && buildMask(mask) });
  };

  law(`${variant}: rows of weights sum to 1, or to 0 where nothing is kept`, problems, (p) => {
    const random = new Random(p.numbers, 1);
    const { sinks, ...pairwise } = drawPairwise(p, random);
    const dropout = random.chance(0.5) ? { dropout: 0.4, training: true, seed: p.numbers } : {};
    const { weights, dropoutMask } = call(
      { ...draw(p), ...pairwise, ...dropout },
      { returnAttentionWeights: true, returnDropoutMask: true },
    );
    assert.ok(weights.data.every((weight) => weight >= 0 && weight <= 1 + 2 ** -20));
    for (let row = 0; row < weights.data.length; row += p.keyLength) {
      const sum = weights.data.subarray(row, row + p.keyLength).reduce((a, b) => a + b, 0);
      assert.ok(Math.abs(sum - 1) <= 2 ** -19 || sum === 0, `row ${row / p.keyLength} sums to ${sum}`);
      for (let j = row; j < row + p.keyLength; j++) if (!dropoutMask.data[j]) assert.equal(weights.data[j], 0);
    }
  });

  law(`${variant}: permuting keys with their mask changes nothing beyond rounding`, problems, (p) => {
    const random = new Random(p.numbers, 2);
    const options = { ...draw(p), ...drawPairwise(p, random) };
    const order = random.shuffled(range(0, p.keyLength));
    const extra = { returnAttentionWeights: true, returnLogSumExp: true };
    const straight = call(options, extra);
    const permuted = call(gatherProblem(options, order), extra);
    const tolerance = rounding(options);
    assertClose(permuted.output.data, straight.output.data, tolerance.output, 'output');
    assertClose(permuted.logSumExp.data, straight.logSumExp.data, tolerance.logit, 'logSumExp');
    assertClose(permuted.weights.data, gatherColumns(straight.weights, order).data, tolerance.logit, 'weights');
  });

  law(
    `${variant}: partials over key ranges merge into the whole`,
    fc.record({ p: problems, cuts: fc.array(fc.nat(130), { maxLength: 4 }) }),
    ({ p, cuts }) => {
      const random = new Random(p.numbers, 3);
      const options = { ...draw(p), ...drawPairwise(p, random) };
      // Positions are absolute: they say the same of a range as of the whole, once keyOffset says where it stands.
      options.keyOffset = random.pick([0, 3, 64, 101]);
      options.queryOffset = options.keyOffset + random.integer(-2, p.keyLength);
      options.causal = random.chance(0.3);
      if (random.chance(0.3)) options.window = { left: random.integer(0, 20), right: random.integer(0, 20) };
      if (random.chance(0.3)) options.alibiSlopes = random.floats(heads(p), 0.1);
      if (random.chance(0.3))
        Object.assign(options, {
          dropout: 0.3,
          training: true,
          seed: p.numbers,
          dropoutPlacement: random.pick(['before-normalization', 'after-normalization']),
        });
      if (random.chance(0.3))
        options.keyLengths = Int32Array.from({ length: p.batch }, () => random.integer(0, p.keyLength));
      const { sinks, ...rest } = options;

      const bounds = [0, ...cuts.map((cut) => Math.min(cut, p.keyLength)).sort((a, b) => a - b), p.keyLength];
      const parts = range(0, bounds.length - 1).map((n) => {
        const [begin, end] = [bounds[n], bounds[n + 1]];
        const part = gatherProblem(rest, range(begin, end));
        part.keyOffset = options.keyOffset + begin;
        if (options.keyLengths)
          part.keyLengths = options.keyLengths.map((length) => Math.max(0, Math.min(length - begin, end - begin)));
        return attention.getAttentionPartials({
          ...part,
          sparseAttentionMask: part.sparseAttentionMask && buildMask(part.sparseAttentionMask),
        });
      });
      const before = parts.map((part) => part.numerator.data.slice());
      const merged = attention.mergePartials(random.shuffled(parts));
      parts.forEach((part, n) => assertSameBits(part.numerator.data, before[n], 'a merged input'));

      const whole = call(options, { returnLogSumExp: true });
      const finished = attention.finishPartials(merged, { sinks });
      const tolerance = rounding(options);
      const scale = options.dropout ? 1 / 0.7 : 1;
      assert.deepEqual(finished.output.dims, whole.output.dims);
      assertClose(finished.output.data, whole.output.data, 2 * scale * tolerance.output, 'output');
      if (!options.dropout || options.dropoutPlacement === 'after-normalization')
        assertClose(finished.logSumExp.data, whole.logSumExp.data, 2 * tolerance.logit, 'logSumExp');
    },
  );

  law(`${variant}: one seed gives one dropout, for output, numerator and denominator`, problems, (p) => {
    const random = new Random(p.numbers, 4);
    const dropoutPlacement = random.pick(['before-normalization', 'after-normalization']);
    const options = {
      ...draw(p),
      dropout: random.pick([0.1, 0.5, 0.9]),
      training: true,
      seed: random.word(),
      dropoutPlacement,
    };
    const { output, weights, dropoutMask } = call(options, {
      returnAttentionWeights: true,
      returnDropoutMask: true,
      outputLayout: 'bhsd',
    });
    const { numerator } = attention.getAttentionNumerator(options);
    const { denominator } = attention.getAttentionDenominator(options);
    const tolerance = rounding(options);
    const ratio = numerator.data.map((value, n) => {
      const divisor = denominator.data[Math.floor(n / p.valueDim)];
      return divisor === 0 ? 0 : value / divisor;
    });
    assertClose(output.data, ratio, tolerance.output / (1 - options.dropout), 'numerator / denominator');
    // The mask handed out, handed in again without a seed, is the same dropout to the bit.
    const again = call(
      { ...options, seed: undefined, dropoutMask },
      { returnAttentionWeights: true, outputLayout: 'bhsd' },
    );
    assertSameBits(again.output.data, output.data, 'output with the mask handed in');
    assertSameBits(again.weights.data, weights.data, 'weights with the mask handed in');
    if (dropoutMask.data.length >= 256) {
      const other = call({ ...options, seed: options.seed + 1 }, { returnDropoutMask: true }).dropoutMask;
      assert.notDeepEqual(other.data, dropoutMask.data, 'another seed drops other entries');
    }
  });

  law(`${variant}: masking a key equals deleting it`, problems, (p) => {
    const random = new Random(p.numbers, 5);
    const { attentionMask, ...pairwise } = drawPairwise(p, random);
    const options = { ...draw(p), ...pairwise };
    const keep = random.bytes(p.keyLength, 0.6);
    const order = range(0, p.keyLength).filter((j) => keep[j]);
    const deleted = call(gatherProblem(options, order), { returnLogSumExp: true });
    const masks = [
      { attentionMask: { data: keep, dims: [1, 1, 1, p.keyLength] } },
      { attentionMask: { data: Float32Array.from(keep, (bit) => (bit ? 0 : -Infinity)), dims: [p.keyLength] } },
    ];
    if (!options.sparseAttentionMask) {
      const shape = [1, 1, p.queryLength, p.keyLength];
      const weights = Float32Array.from({ length: p.queryLength * p.keyLength }, (_, n) => keep[n % p.keyLength]);
      if (weights.some((weight) => weight === 0)) masks.push({ sparseAttentionMask: { shape, weights } });
    }
    const tolerance = rounding(options);
    for (const mask of masks) {
      const masked = call({ ...options, ...mask }, { returnLogSumExp: true });
      assertClose(masked.output.data, deleted.output.data, tolerance.output, 'output');
      assertClose(masked.logSumExp.data, deleted.logSumExp.data, tolerance.logit, 'logSumExp');
    }
    // Trailing keys can also be cut by keyLengths, as long as positions do not move.
    const length = random.integer(0, p.keyLength);
    const queryOffset = p.keyLength - p.queryLength;
    const cut = call({ ...options, queryOffset, causal: true, keyLengths: new Int32Array(p.batch).fill(length) });
    const short = call({ ...gatherProblem(options, range(0, length)), queryOffset, causal: true });
    assertClose(cut.output.data, short.output.data, tolerance.output, 'output under keyLengths');
  });

  law(`${variant}: NaN and infinity behind masks change no bit`, problems, (p) => {
    const random = new Random(p.numbers, 6);
    const options = { ...draw(p) };
    // Where numbers are so small that accumulators underflow, even the sign of a zero must not tell.
    if (random.chance(0.2)) options.values.data.forEach((value, n, data) => (data[n] = value * 1e-38));
    if (random.chance(0.2)) options.queries.data.forEach((value, n, data) => (data[n] = value * 40));
    const shared = random.bytes(p.keyLength, 0.6); // keys that some row keeps
    const kind = random.pick(['boolean', 'additive', 'sparse', 'indices', 'keyLengths', 'causal', 'window']);
    const pairs = Uint8Array.from({ length: p.queryLength * p.keyLength }, (_, n) =>
      shared[n % p.keyLength] && random.chance(0.8) ? 1 : 0,
    );
    const shape = [1, 1, p.queryLength, p.keyLength];
    let dead = (j) => !shared[j];
    if (kind === 'boolean') options.attentionMask = { data: pairs, dims: shape };
    if (kind === 'additive')
      options.attentionMask = { data: Float32Array.from(pairs, (bit) => (bit ? 0.5 : -Infinity)), dims: shape };
    if (kind === 'sparse' || kind === 'indices')
      options.sparseAttentionMask = {
        shape,
        weights: Float32Array.from(pairs, (bit) => bit * 0.5),
        representation: kind === 'sparse' ? 'dense' : 'indices',
      };
    if (kind === 'keyLengths') {
      const length = random.integer(0, p.keyLength);
      options.keyLengths = new Int32Array(p.batch).fill(length);
      dead = (j) => j >= length;
    }
    if (kind === 'causal') {
      const last = random.integer(-2, p.keyLength);
      options.causal = true;
      options.queryOffset = last - p.queryLength + 1;
      dead = (j) => j > last;
    }
    if (kind === 'window') {
      const first = random.integer(0, p.keyLength);
      options.queryOffset = first;
      options.window = { left: 0, right: 5 };
      dead = (j) => j < first || j > first + p.queryLength + 4;
    }
    if (random.chance(0.3)) options.softcap = 5;
    if (random.chance(0.3)) options.sinks = random.floats(heads(p));
    const plant = ({ data, dims, ...rest }) => {
      const poisoned = data.slice();
      const [a, b, length, width] = dims;
      for (let row = 0; row < a * b * length; row++)
        if (dead(row % length))
          for (let d = 0; d < width; d++)
            if (random.chance(0.7)) poisoned[row * width + d] = random.pick([NaN, Infinity, -Infinity, 3e38]);
      return { data: poisoned, dims, ...rest };
    };
    const poisoned = { ...options, keys: plant(options.keys), values: plant(options.values) };
    for (const extra of [{}, { returnAttentionWeights: true, returnLogSumExp: true }]) {
      const clean = call(options, extra);
      const dirty = call(poisoned, extra);
      assert.ok(clean.output.data.every(Number.isFinite));
      for (const name of Object.keys(clean)) assertSameBits(dirty[name].data, clean[name].data, `${name}, ${kind}`);
    }
  });

  law(`${variant}: NaN in a kept key reaches the rows that keep it and no other`, problems, (p) => {
    const random = new Random(p.numbers, 7);
    const options = draw(p);
    const shape = [1, 1, p.queryLength, p.keyLength];
    const pairs = random.bytes(p.queryLength * p.keyLength, 0.5);
    options.attentionMask = { data: pairs, dims: shape };
    const clean = call(options, { outputLayout: 'bhsd', returnLogSumExp: true });
    const victim = random.integer(0, p.keyLength - 1);
    const [b, h] = [random.integer(0, p.batch - 1), random.integer(0, p.keyHeads - 1)];
    const keys = { ...options.keys, data: options.keys.data.slice() };
    keys.data[((b * p.keyHeads + h) * p.keyLength + victim) * p.dim + random.integer(0, p.dim - 1)] = NaN;
    const dirty = call({ ...options, keys }, { outputLayout: 'bhsd', returnLogSumExp: true });
    for (let row = 0; row < p.batch * heads(p) * p.queryLength; row++) {
      const [rowBatch, rowHead, i] = [
        Math.floor(row / (heads(p) * p.queryLength)),
        Math.floor(row / p.queryLength) % heads(p),
        row % p.queryLength,
      ];
      const hit = rowBatch === b && Math.floor(rowHead / p.groups) === h && pairs[i * p.keyLength + victim];
      const slice = dirty.output.data.subarray(row * p.valueDim, (row + 1) * p.valueDim);
      if (hit) {
        assert.ok(slice.every(Number.isNaN), 'the whole row is NaN');
        assert.ok(Number.isNaN(dirty.logSumExp.data[row]));
      } else assertSameBits(slice, clean.output.data.subarray(row * p.valueDim, (row + 1) * p.valueDim), 'another row');
    }
  });

  law(`${variant}: batch neighbours do not matter`, problems, (p) => {
    const random = new Random(p.numbers, 8);
    const options = { ...draw(p), ...drawPairwise(p, random), causal: random.chance(0.3), outputLayout: 'bhsd' };
    const extra = { returnAttentionWeights: true };
    const together = call(options, extra);
    for (let b = 0; b < p.batch; b++) {
      const one = ({ data, dims, ...rest }) => {
        const each = data.length / dims[0];
        return { data: data.slice(b * each, (b + 1) * each), dims: [1, ...dims.slice(1)], ...rest };
      };
      const single = {
        ...options,
        queries: one(options.queries),
        keys: one(options.keys),
        values: one(options.values),
      };
      if (options.attentionMask) single.attentionMask = one(options.attentionMask);
      if (options.sparseAttentionMask) {
        const { shape, weights, representation } = options.sparseAttentionMask;
        const sliced = one({ data: weights, dims: shape });
        single.sparseAttentionMask = { shape: sliced.dims, weights: sliced.data, representation };
      }
      const alone = call(single, extra);
      assertSameBits(alone.output.data, one(together.output).data, 'output');
      assertSameBits(alone.weights.data, one(together.weights).data, 'weights');
    }
  });

  law(`${variant}: layouts agree to the bit`, problems, (p) => {
    const options = { ...draw(p), causal: true };
    const turned = ({ data, dims: [b, h, s, d], ...rest }) => ({
      data: swap(data, b, h, s, d),
      dims: [b, s, h, d],
      ...rest,
    });
    const expected = call(options, { outputLayout: 'bhsd' }).output;
    const bshd = {
      ...options,
      queries: turned(options.queries),
      keys: turned(options.keys),
      values: turned(options.values),
      inputLayout: 'bshd',
    };
    for (const inputs of [options, bshd])
      for (const outputLayout of [undefined, 'bshd', 'bhsd']) {
        const { output } = call(inputs, { outputLayout });
        const wanted = outputLayout === 'bhsd' ? expected : turned(expected);
        assert.deepEqual(output.dims, wanted.dims);
        assertSameBits(output.data, wanted.data, `output ${outputLayout}`);
      }
  });

  law(`${variant}: repeating key-value heads equals grouped heads`, problems, (p) => {
    const random = new Random(p.numbers, 9);
    const options = { ...draw(p), ...drawPairwise(p, random) };
    assert.equal(getNumKeyValueGroups(options.queries, options.keys), p.groups);
    const repeated = { ...options, keys: repeatKv(options.keys, p.groups), values: repeatKv(options.values, p.groups) };
    assert.deepEqual(repeated.keys.dims, [p.batch, heads(p), p.keyLength, p.dim]);
    const [grouped, flat] = [call(options), call(repeated)];
    // How keys of a sparse mask are reached depends on how many heads share them.
    if (variant === 'base' && !options.sparseAttentionMask)
      assertSameBits(flat.output.data, grouped.output.data, 'output');
    else assertClose(flat.output.data, grouped.output.data, rounding(options).output, 'output');
  });

  law(`${variant}: what else is asked for does not change the output`, problems, (p) => {
    const random = new Random(p.numbers, 10);
    const options = { ...draw(p), ...drawPairwise(p, random), causal: random.chance(0.5) };
    const plain = call(options);
    const extra = { returnAttentionWeights: true, returnLogSumExp: true, returnDropoutMask: true };
    const same = (full, isExact, what) => {
      if (isExact) assertSameBits(full.output.data, plain.output.data, `output, with ${what}`);
      else assertClose(full.output.data, plain.output.data, rounding(options).output, `output, with ${what}`);
    };
    for (const weightsFormat of ['dense', 'sparse'])
      same(call(options, { ...extra, weightsFormat }), variant === 'base', `${weightsFormat} weights`);
    // Scores take every tile, also those of whose keys a sparse mask would otherwise gather a few.
    const scored = call(options, { ...extra, returnScores: random.pick(['raw', 'softcapped', 'biased']) });
    same(scored, variant === 'base' && !options.sparseAttentionMask, 'scores');
  });

  law(`${variant}: a window of weights and scores is a window of all of them`, problems, (p) => {
    const random = new Random(p.numbers, 11);
    const options = { ...draw(p), ...drawPairwise(p, random), causal: random.chance(0.5) };
    const extra = { returnAttentionWeights: true, returnScores: random.pick(['raw', 'softcapped', 'biased']) };
    const span = (length) => {
      const begin = random.integer(0, length);
      return [begin, random.integer(begin, length)];
    };
    const [rows, columns] = [span(p.queryLength), span(p.keyLength)];
    const all = call(options, extra);
    const part = call(options, { ...extra, weightsWindow: { rows, columns } });
    assertSameBits(part.output.data, all.output.data, 'output');
    for (const name of ['weights', 'scores']) {
      assert.deepEqual(part[name].dims, [p.batch, heads(p), rows[1] - rows[0], columns[1] - columns[0]]);
      const wanted = gather(gatherColumns(all[name], range(...columns)), range(...rows));
      assertSameBits(part[name].data, wanted.data, name);
    }
  });

  law(`${variant}: mask representations agree`, problems, (p) => {
    const random = new Random(p.numbers, 12);
    const shape = [random.pick([1, p.batch]), random.pick([1, p.keyHeads, heads(p)]), p.queryLength, p.keyLength];
    const density = random.pick([0, 0.1, 0.5]);
    const weights = Float32Array.from({ length: product(shape) }, () =>
      random.chance(density) ? random.uniform() + 0.01 : 0,
    );
    const options = { ...draw(p), maskWeighting: random.pick(['multiply', 'inverse']) };
    const attended = (representation) =>
      call({ ...options, sparseAttentionMask: { shape, weights, representation } }, { returnAttentionWeights: true });
    const expected = attended('indices');
    for (const representation of ['rows', 'upstream']) {
      const actual = attended(representation);
      assertSameBits(actual.output.data, expected.output.data, `output, ${representation}`);
      assertSameBits(actual.weights.data, expected.weights.data, `weights, ${representation}`);
    }
    // A list of keys and a weight for each pair may be computed by different routes.
    const { output, logit } = rounding({ ...options, sparseAttentionMask: { shape, weights } });
    const dense = attended('dense');
    assertClose(dense.output.data, expected.output.data, output, 'output, dense');
    assertClose(dense.weights.data, expected.weights.data, logit, 'weights, dense');
  });
}

// ---------------------------------------------------------------------------------------------- masks alone

const masks = fc.record({
  batch: edge(1, 2),
  heads: edge(1, 3),
  rows: edge(0, 1, 5),
  columns: edge(0, 1, 7, 65),
  density: edge(0, 0.1, 0.5, 1),
  numbers: fc.nat(),
});

function drawMask(m, stream = 0) {
  const random = new Random(m.numbers, stream);
  const shape = [m.batch, m.heads, m.rows, m.columns];
  const weights = Float32Array.from({ length: product(shape) }, () =>
    random.chance(m.density) ? random.pick([1, 0.25, 0.5, 1.5]) : 0,
  );
  return { shape, weights };
}

law('mask: every representation gives back the same entries', masks, (m) => {
  const { shape, weights } = drawMask(m);
  const count = weights.filter((weight) => weight > 0).length;
  for (const representation of ['dense', 'indices', 'rows', 'upstream']) {
    const mask = buildMask({ shape, weights, representation });
    assert.deepEqual(mask.shape, shape);
    assertSameBits(mask.toDense(), weights, `${representation}.toDense`);
    assert.equal(mask.isEmpty(), false);
    if (weights.length) assert.equal(mask.density(), count / weights.length, representation);
    const random = new Random(m.numbers, 1);
    for (let n = 0; n < 5 && weights.length; n++) {
      const index = shape.map((size) => random.integer(0, size - 1));
      const flat = index.reduce((at, i, axis) => at * shape[axis] + i, 0);
      assert.equal(mask.get(...index), weights[flat], `${representation}.get(${index})`);
    }
    const { ptr, indices, weights: values } = mask.toIndices();
    assert.equal(ptr.length, product(shape.slice(0, 3)) + 1);
    assert.equal(indices.length, count);
    const again = Mask.fromIndices(shape, { ptr, indices, weights: values });
    assertSameBits(again.toDense(), weights, `${representation}.toIndices`);
  }
});

law('mask: merge, apply and applyInverse are those of dense masks', masks, (m) => {
  const [a, b] = [drawMask(m, 1), drawMask(m, 2)];
  const random = new Random(m.numbers, 3);
  const pick = () => random.pick(['dense', 'indices', 'rows', 'upstream']);
  const [maskA, maskB] = [buildMask({ ...a, representation: pick() }), buildMask({ ...b, representation: pick() })];
  const merged = a.weights.map((weight, n) => Math.min(1, Math.max(0, weight + b.weights[n])));
  assertSameBits(maskA.merge(maskB).toDense(), merged, 'merge');
  assertSameBits(maskB.merge(maskA).toDense(), merged, 'merge, the other way round');
  // Merging with the empty mask clamps, from either side, and the flag is gone.
  const clamped = a.weights.map((weight) => Math.min(1, weight));
  for (const mask of [maskA.merge(Mask.empty(a.shape)), Mask.empty(a.shape).merge(maskA)]) {
    assertSameBits(mask.toDense(), clamped, 'merge with empty');
    assert.equal(mask.isEmpty(), false);
  }
  assert.equal(Mask.empty(a.shape).merge(Mask.empty(a.shape)).isEmpty(), true);
  const x = { data: random.floats(a.weights.length), dims: a.shape };
  assertSameBits(
    maskA.apply(x).data,
    x.data.map((value, n) => (a.weights[n] ? value * a.weights[n] : 0)),
    'apply',
  );
  assertSameBits(
    maskA.applyInverse(x).data,
    x.data.map((value, n) => (a.weights[n] ? value / a.weights[n] : 0)),
    'applyInverse',
  );
  assertSameBits(maskA.apply(x.data), maskA.apply(x).data, 'apply to an array');
  // A mask of one batch and few heads applies to all batches, and to the query heads of each of its heads.
  const [batch, groups] = [random.integer(1, 3), random.integer(1, 3)];
  const plane = m.rows * m.columns;
  const wideDims = [m.batch * batch, m.heads * groups, m.rows, m.columns];
  if (m.batch === 1) {
    const wide = { data: random.floats(product(wideDims)), dims: wideDims };
    const weightAt = (n) => a.weights[Math.floor((Math.floor(n / plane) % wideDims[1]) / groups) * plane + (n % plane)];
    const expected = wide.data.map((value, n) => (weightAt(n) ? value * weightAt(n) : 0));
    assert.deepEqual(maskA.apply(wide).dims, wideDims);
    assertSameBits(maskA.apply(wide).data, expected, 'apply, broadcast');
  }
});

law('mask: empty and full are flags', masks, (m) => {
  const shape = [m.batch, m.heads, m.rows, m.columns];
  const empty = Mask.empty(shape);
  const full = Mask.full(shape);
  const x = { data: new Random(m.numbers).floats(product(shape)), dims: shape };
  assert.deepEqual([empty.isEmpty(), empty.isFull(), full.isEmpty(), full.isFull()], [true, false, false, true]);
  assert.equal(empty.density(), 1);
  assert.equal(full.density(), 1);
  assert.ok(empty.toDense().every((weight) => weight === 0));
  assert.ok(full.toDense().every((weight) => weight === 1));
  if (product(shape)) assert.deepEqual([empty.get(0, 0, 0, 0), full.get(0, 0, 0, 0)], [0, 1]);
  assertSameBits(empty.apply(x).data, x.data, 'empty.apply');
  assertSameBits(full.apply(x).data, x.data, 'full.apply');
  assert.equal(
    Mask.fromDense(shape, new Float32Array(product(shape))).isEmpty(),
    false,
    'a mask that keeps nothing is not empty',
  );
});
