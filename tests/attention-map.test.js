// SPDX-License-Identifier: Apache-2.0
// Cells of pictures agree with weights, scores and masks in full, whatever part of them is asked for and at whatever
// level. A failure prints the seed and the smallest case; ATTN_SEED chooses where to look, ATTN_RUNS how long.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import fc from 'fast-check';

import { Cache } from '../attention-map/cache.js';
import { EngineRows } from '../attention-map/engine-rows.js';
import { MapSource } from '../attention-map/source.js';
import { CellState } from '../attention-map/states.js';
import { Distribution, spread, Strongest } from '../attention-map/summaries.js';
import { createAttention, Mask } from '../js/index.js';
import { hasCode } from './calls.js';
import { drawMasked, drawSizes, keptPairs } from './masked-problems.js';
import { attend } from './oracle.js';
import { Random, describe, seed, tensor } from './random.js';
import { inputs, sizes } from './support.js';

const runs = Number(process.env.ATTN_RUNS ?? 40);
const law = (name, numRuns, check) =>
  test(`${name} (ATTN_SEED=${seed})`, () =>
    fc.assert(fc.property(fc.nat(), (numbers) => check(new Random(numbers))), { seed, numRuns, endOnFailure: true }));

let attention;
before(async () => void (attention = await createAttention({ variant: 'base' })));
after(() => attention.dispose());

// ----------------------------------------------------------------------------------------------------------- the oracle

/** Everything about one problem, in full: shape, what is kept, and the values of each kind, [b, h, sq, sk]. */
function inFull(options) {
  const { batch, heads, queryLength, keyLength } = sizes(options);
  const shape = [batch, heads, queryLength, keyLength];
  const plain = { ...inputs(options), dropout: 0, emptyRows: 'zero', outputDtype: 'float32' };
  const ask = { returnAttentionWeights: true, returnScores: 'biased' };
  const { weights, scores } = attention.getMaskedAttentionOutput({ ...plain, ...ask });
  const without = { ...plain, sparseAttentionMask: undefined };
  const { scores: { biased } } = attend({ ...options, dropout: 0, sparseAttentionMask: undefined }); // prettier-ignore
  const allowed = biased.map((score) => (score > -1e38 ? 1 : 0));
  const inMask = keptPairs(options, { scores: { biased: allowed.map((one) => (one ? 0 : -Infinity)) } }, shape);
  return {
    shape,
    kept: inMask,
    allowed,
    values: { weights: weights.data, scores: scores.data },
    dense: attention.getMaskedAttentionOutput({ ...without, ...ask }),
  };
}

/** What a read is to say, from everything: the largest of each block, what is kept of it, and its state. */
function expectedCells({ shape: [, heads, queries, keys] }, values, kept, { batch, head, level, rows, columns }) {
  const size = 2 ** level;
  const first = (batch * heads + head) * queries * keys;
  const count = (top, left, high, wide, visit) => {
    for (let i = top; i < Math.min(queries, top + high); i++)
      for (let j = left; j < Math.min(keys, left + wide); j++) visit(first + i * keys + j);
  };
  const keptOf = (top, left, high, wide) => {
    let [cells, ones] = [0, 0];
    count(top, left, high, wide, (at) => {
      cells++;
      ones += kept[at] > 0 ? 1 : 0;
    });
    return [cells, ones];
  };
  const expected = { values: [], states: [], kept: [] };
  for (let row = rows[0]; row < rows[1]; row++)
    for (let column = columns[0]; column < columns[1]; column++) {
      const [cells, ones] = keptOf(row * size, column * size, size, size);
      let largest = NaN;
      count(row * size, column * size, size, size, (at) => {
        if (kept[at] > 0 && !(largest >= values[at])) largest = values[at];
      });
      const around = 64 * Math.max(1, size / 64);
      const start = (pixel) => Math.floor((pixel * size) / around) * around;
      const isSkipped = keptOf(start(row), start(column), around, around)[1] === 0;
      expected.values.push(largest);
      expected.kept.push(Math.fround(ones / cells));
      expected.states.push(ones > 0 ? CellState.KEPT : isSkipped ? CellState.SKIPPED : CellState.MASKED);
    }
  return expected;
}

const tolerance = (value) => 2e-6 + 2e-5 * Math.abs(value);

function assertClose(actual, expected, what) {
  assert.equal(actual.length, expected.length, what);
  for (let n = 0; n < expected.length; n++) {
    const isSame = Number.isNaN(expected[n]) ? Number.isNaN(actual[n]) : Math.abs(actual[n] - expected[n]) <= tolerance(expected[n]);
    if (!isSame) assert.fail(`${what}: element ${n} is ${actual[n]}, expected ${expected[n]}`);
  }
}

function drawRead(random, source, show) {
  const [batch, heads, queries, keys] = source.shape;
  const level = random.integer(0, Math.min(8, source.maxLevel));
  const range = (length) => {
    const pixels = Math.ceil(length / 2 ** level);
    const begin = random.integer(0, pixels - 1);
    return random.chance(0.3) ? [0, pixels] : [begin, random.integer(begin, Math.min(pixels, begin + 300))];
  };
  const place = { batch: random.integer(0, batch - 1), head: random.integer(0, heads - 1) };
  return { ...place, level, show, rows: range(queries), columns: range(keys) };
}

function assertCells(cells, expected, { rows, columns, show }, what) {
  assert.deepEqual([cells.rows, cells.columns], [rows[1] - rows[0], columns[1] - columns[0]], what);
  assert.deepEqual([...cells.states], expected.states, `${what}: states`);
  assert.deepEqual([...cells.kept], expected.kept, `${what}: kept`);
  if (show === 'mask') assertClose(cells.values, expected.kept.map((part) => (part > 0 ? part : NaN)), `${what}: values`);
  else if (!cells.sampled) assertClose(cells.values, expected.values, `${what}: values`);
  else
    cells.values.forEach((value, n) => {
      const largest = expected.values[n];
      assert.equal(Number.isNaN(value), Number.isNaN(largest), `${what}: each pixel that keeps something has a value`);
      assert.ok(Number.isNaN(value) || value <= largest + tolerance(largest), `${what}: ${value}, at most ${largest}`);
    });
}

/** Reads of several kinds, and summaries, of one problem. */
function assertAgrees(options, random) {
  const whole = inFull(options);
  const source = new MapSource(attention, inputs(options));
  assert.deepEqual([...source.shape], whole.shape);
  for (const show of ['weights', 'scores', 'mask', 'weights']) {
    const request = drawRead(random, source, show);
    const what = `${JSON.stringify(request)} of ${describe(options)}`;
    const cells = source.read(request);
    assertCells(cells, expectedCells(whole, whole.values[show] ?? whole.kept, whole.kept, request), request, what);
    assert.equal(cells.sampled && !(Math.max(...whole.shape.slice(2)) > 4096), false, what);
    const dense = expectedCells(whole, whole.dense[show]?.data ?? whole.kept, whole.allowed, request);
    assertCells(source.dense(request), dense, request, `dense: ${what}`);
  }
  assertSummaries(source, whole, random, describe(options));
  source.dispose();
}

function assertSummaries(source, whole, random, what) {
  const [batches, heads, queries, keys] = whole.shape;
  const [batch, head] = [random.integer(0, batches - 1), random.integer(0, heads - 1)];
  const first = (batch * heads + head) * queries * keys;
  const show = random.pick(['weights', 'scores']);
  const skipKeys = random.pick([0, 0, 1, keys]);
  const begin = random.integer(0, queries);
  const rows = [begin, random.integer(begin, Math.min(queries, begin + 4096))];
  const cells = []; // of all rows
  for (let i = 0; i < queries; i++)
    for (let j = 0; j < keys; j++)
      if (whole.kept[first + i * keys + j] > 0) cells.push({ query: i, key: j, value: whole.values[show][first + i * keys + j] });
  const counted = cells.filter(({ key }) => key >= skipKeys);
  const range = (list) => {
    const values = list.map(({ value }) => value);
    const positive = show === 'weights' ? values.filter((value) => value > 0) : values;
    return { max: values.reduce((a, b) => Math.max(a, b), -Infinity), min: positive.reduce((a, b) => Math.min(a, b), Infinity) };
  };
  const orZero = (value) => (Number.isFinite(value) ? value : 0);

  const statistics = source.statistics({ batch, head, show, skipKeys });
  const { max, min } = range(counted);
  assert.equal(statistics.quantiles.length, 101);
  assert.ok(statistics.quantiles.every((value, n, all) => n === 0 || value >= all[n - 1]), what);
  if (!statistics.sampled) {
    assert.equal(statistics.count, counted.length, what);
    assertClose([statistics.max, statistics.min], [orZero(max), orZero(min)], `range of ${what}`);
    if (counted.length < 2 ** 18) {
      const sorted = counted.map(({ value }) => value).sort((a, b) => a - b);
      const at = [0, 1, 50, 99, 100].map((n) => sorted[Math.round((n / 100) * (sorted.length - 1))] ?? 0);
      assertClose([0, 1, 50, 99, 100].map((n) => statistics.quantiles[n]), at, `quantiles of ${what}`);
    }
  }

  const ofRows = source.rowStatistics({ batch, head, show, skipKeys, rows });
  const byRow = Array.from({ length: rows[1] - rows[0] }, (_, n) => counted.filter(({ query }) => query === rows[0] + n)).map(range);
  assertClose(ofRows.max, byRow.map((row) => orZero(row.max)), `largest of rows of ${what}`);
  assertClose(ofRows.min, byRow.map((row) => orZero(row.min)), `smallest of rows of ${what}`);

  if (show === 'scores') return;
  const count = random.integer(0, 12);
  const columns = [skipKeys, random.integer(skipKeys, keys)];
  const strongest = source.strongest({ batch, head, count, rows, columns });
  const inside = cells.filter(({ query, key }) => rows[0] <= query && query < rows[1] && columns[0] <= key && key < columns[1]);
  const sorted = inside.sort((a, b) => b.value - a.value).slice(0, count);
  assertClose(strongest.map(({ weight }) => weight), sorted.map(({ value }) => value), `strongest of ${what}`);
  for (const { query, key, weight } of strongest)
    assertClose([weight], [whole.values.weights[first + query * keys + key]], `strongest, ${query}, ${key}, of ${what}`);
}

// ------------------------------------------------------------------------------------------------------------ agreement

law('small matrices agree with weights and masks in full', runs, (random) => assertAgrees(drawMasked(random), random));

law('rows of any number, gathered, against a range of keys agree too', 5 * runs, (random) => {
  const options = drawMasked(random);
  const whole = inFull(options);
  const [, heads, queries, keys] = whole.shape;
  const rows = new EngineRows(attention, inputs(options));
  const what = describe(options);
  for (const [mask, kept] of [[rows.kept, whole.kept], [rows.allowed, whole.allowed]]) // prettier-ignore
    assert.deepEqual(mask.and(Mask.full(whole.shape)).toDense().map(Math.sign), Float32Array.from(kept).map(Math.sign), what);
  for (const show of ['weights', 'scores']) {
    const numbers = Array.from({ length: queries }, (_, n) => n).filter(() => random.chance(0.4));
    const begin = random.integer(0, keys - 1);
    const columns = random.chance(0.3) ? [0, keys] : [begin, random.integer(begin + 1, keys)];
    const [batch, head] = [random.integer(0, whole.shape[0] - 1), random.integer(0, heads - 1)];
    const found = [];
    const visit = (n, begin, end, values, at) => {
      for (let key = begin; key < end; key++) found.push([numbers[n], key, values[at + key - begin]]);
    };
    const request = { batch, head, show, mask: rows.kept, rows: numbers, columns };
    for (let first = 0; first < numbers.length;) first = rows.next(request, first, visit);
    const expected = [];
    for (const row of numbers)
      for (let key = columns[0]; key < columns[1]; key++) {
        const at = ((batch * heads + head) * queries + row) * keys + key;
        if (whole.kept[at] > 0) expected.push([row, key, whole.values[show][at]]);
      }
    assert.deepEqual(found.map(([row, key]) => [row, key]), expected.map(([row, key]) => [row, key]), what);
    assertClose(found.map(([, , value]) => value), expected.map(([, , value]) => value), `${show} of ${what}`);
  }
  rows.dispose();
});

law('so do those of more than 4096 queries or keys, where they are not sampled', Math.ceil(runs / 4), (random) => {
  const shape = { ...drawSizes(random), batch: 1, dim: 8, valueDim: 1, keyHeads: 1, valueHeads: 1 };
  shape.heads = random.pick([1, 2]);
  const [long, short] = [random.pick([4097, 5003]), random.pick([1, 7, 20, 65])];
  [shape.queryLength, shape.keyLength] = random.chance(0.5) ? [long, short] : [short, long];
  assertAgrees(drawMasked(random, shape), random);
});

test('a matrix that is large both ways: exact cells, and blocks that show every part that is kept', () => {
  const random = new Random(seed);
  const [queries, keys] = [4700, 5100];
  const shape = [1, 1, queries, keys];
  const scattered = Mask.fromRowWiseIndices([1, 1, queries, keys], Int32Array.from({ length: 3 * queries }, () => random.integer(0, keys - 1)));
  const mask = Mask.slidingWindow(shape, { left: 40 }).or(Mask.sinks(shape, 3)).or(scattered).and(Mask.causal(shape));
  const problem = {
    queries: tensor(random, [1, 1, queries, 8]),
    keys: tensor(random, [1, 1, keys, 8]),
    sparseAttentionMask: mask,
  };
  const source = new MapSource(attention, problem);
  const { weights } = attention.getMaskedAttentionOutput({ ...problem, values: problem.keys, returnAttentionWeights: true });
  const whole = { shape, kept: mask.toDense(), values: { weights: weights.data } };
  const requests = [
    { level: 0, rows: [4000, 4100], columns: [4090, 4500] },
    { level: 5, rows: [0, 147], columns: [0, 160] },
    { level: 3, rows: [250, 300], columns: [200, 330] },
  ];
  for (const given of requests) {
    const request = { batch: 0, head: 0, show: 'weights', ...given };
    const cells = source.read(request);
    assert.equal(cells.sampled, given.level > 0);
    assertCells(cells, expectedCells(whole, whole.values.weights, whole.kept, request), request, `level ${given.level}`);
  }
  assert.ok(source.statistics().sampled);
  source.dispose();
});

test('heads of a mask that has one for each key head, and batches at their own offsets', () => {
  const random = new Random(seed);
  const shape = [2, 2, 7, 11];
  const problem = {
    queries: tensor(random, [2, 4, 7, 4]),
    keys: tensor(random, [2, 2, 11, 4]),
    sparseAttentionMask: Mask.fromFunction(shape, (b, h, i, j) => (b + h + i + j) % 3 !== 0),
    causal: true,
    queryOffset: [1, 4],
  };
  const source = new MapSource(attention, problem);
  const { weights } = attention.getMaskedAttentionOutput({ ...problem, values: problem.keys, returnAttentionWeights: true });
  for (let batch = 0; batch < 2; batch++)
    for (let head = 0; head < 4; head++) {
      const first = (batch * 4 + head) * 77;
      const isKept = (i, j) => (batch + (head >> 1) + i + j) % 3 !== 0 && j <= i + [1, 4][batch];
      const expected = Array.from({ length: 77 }, (_, n) => (isKept(Math.floor(n / 11), n % 11) ? weights.data[first + n] : NaN));
      assertClose(source.read({ batch, head }).values, expected, `batch ${batch}, head ${head}`);
    }
});

test('weights of a result, dense and sparse', () => {
  const random = new Random(seed);
  const shape = [2, 4, 37, 150];
  const mask = Mask.slidingWindow([1, 1, 37, 150], { left: 9 }).and(Mask.causal([1, 1, 37, 150]));
  const problem = {
    queries: tensor(random, [2, 4, 37, 8]),
    keys: tensor(random, [2, 2, 150, 8]),
    values: tensor(random, [2, 2, 150, 4]),
    sparseAttentionMask: mask,
    returnAttentionWeights: true,
  };
  const { weights } = attention.getMaskedAttentionOutput(problem);
  const kept = weights.data.map((weight) => (weight === 0 ? 0 : 1));
  const whole = { shape, kept, values: { weights: weights.data } };
  for (const weightsFormat of ['dense', 'sparse'])
    for (const outputDtype of ['float32', 'float16']) {
      const result = attention.getMaskedAttentionOutput({ ...problem, weightsFormat, outputDtype });
      const source = MapSource.ofWeights(result.weights);
      assert.deepEqual([...source.shape], shape);
      assert.deepEqual(source.mask.toDense(), Float32Array.from(kept));
      for (let n = 0; n < 10; n++) {
        const request = drawRead(random, source, random.pick(['weights', 'mask']));
        const cells = source.read(request);
        const expected = expectedCells(whole, weights.data, kept, request);
        if (outputDtype === 'float16' && request.show === 'weights') cells.values.forEach((value, at) => {
          assert.ok(Number.isNaN(value) || Math.abs(value - expected.values[at]) <= 1e-3); // prettier-ignore
        });
        else assertCells(cells, expected, request, `${weightsFormat} ${JSON.stringify(request)}`);
      }
      assert.throws(() => source.read({ show: 'scores' }), { name: 'RangeError', message: /show.*'weights' or 'mask'/ });
      assert.throws(() => source.dense(), { name: 'RangeError', message: /dense/ });
      source.dispose();
    }
});

test('values may be missing, and so may everything be kept, or nothing', () => {
  const random = new Random(seed);
  const problem = { queries: tensor(random, [1, 1, 5, 4]), keys: tensor(random, [1, 1, 9, 4]) };
  const source = new MapSource(attention, problem);
  assert.ok(source.mask.isFull());
  assert.deepEqual([...source.read().states], new Array(45).fill(CellState.KEPT));
  const nothing = new MapSource(attention, { ...problem, sparseAttentionMask: Mask.sinks([1, 1, 5, 9], 0) });
  assert.deepEqual([...nothing.read().states], new Array(45).fill(CellState.SKIPPED));
  assert.ok(nothing.read().values.every(Number.isNaN));
  assert.deepEqual(nothing.statistics(), { max: 0, min: 0, quantiles: new Float32Array(101), sampled: false, count: 0 });
  assert.deepEqual(nothing.rowStatistics({ rows: [1, 3] }), { max: new Float32Array(2), min: new Float32Array(2) });
  assert.deepEqual(nothing.strongest(), []);
  assert.ok(nothing.dense().values.every((value) => value > 0));
  const empty = new MapSource(attention, { ...problem, queries: tensor(random, [1, 1, 0, 4]) });
  assert.deepEqual([empty.read().values.length, empty.statistics().count, empty.strongest()], [0, 0, []]);
});

// ---------------------------------------------------------------------------------------------------------- what is kept

test('steps may be interleaved, and given up; what has been computed is not computed again', () => {
  const random = new Random(seed);
  const problem = { queries: tensor(random, [1, 2, 300, 8]), keys: tensor(random, [1, 1, 5000, 8]), causal: true };
  const source = new MapSource(attention, problem);
  const requests = [
    { head: 0, level: 0, rows: [10, 290], columns: [100, 200] },
    { head: 0, level: 0, rows: [0, 300], columns: [150, 250] },
    { head: 1, level: 2, rows: [0, 75], columns: [0, 1250] },
  ];
  source.steps('read', requests[1]).next(); // and never again
  const results = [];
  const running = requests.map((request) => source.steps('read', request));
  assert.equal(source.peek(requests[2]), undefined);
  for (let left = running.length; left > 0;)
    for (const [n, steps] of running.entries()) {
      if (results[n]) continue;
      const { done, value } = steps.next();
      if (done) left -= 1;
      if (done) results[n] = value;
    }
  const other = new MapSource(attention, problem);
  for (const [n, request] of requests.entries()) {
    assert.deepEqual(results[n], other.read(request));
    assert.deepEqual(source.peek(request), results[n]);
    let steps = 0;
    for (const running = source.steps('read', request); !running.next().done;) steps++;
    assert.ok(steps <= 1, 'nothing is computed twice');
  }
  source.dispose();
  other.dispose();
});

test('wasm memory is given back, and keys of no more heads than fit stay in it', () => {
  const random = new Random(seed);
  const heads = 12;
  const problem = { queries: tensor(random, [1, heads, 2, 64]), keys: { data: new Float32Array(heads * 40_000 * 64), dims: [1, heads, 40_000, 64] } };
  const used = attention.info().usedBytes;
  const source = new MapSource(attention, problem);
  for (let head = 0; head < heads; head++) source.read({ head, rows: [0, 1], columns: [0, 64] });
  const most = 64 * 2 ** 20 + 40_000 * 4 + 2 ** 16; // keys, values of one number each, and some room
  assert.ok(attention.info().usedBytes - used <= most, `${attention.info().usedBytes - used} bytes`);
  const underWay = source.steps('read', { head: 1, rows: [1, 2], columns: [0, 64] });
  underWay.next();
  source.dispose();
  assert.throws(() => underWay.next(), hasCode('disposed'));
  assert.equal(attention.info().usedBytes, used);
  assert.throws(() => source.read({}), hasCode('disposed'));
  assert.throws(() => source.mask, hasCode('disposed'));
  source.dispose();
});

test('a cache keeps what was used last', () => {
  const cache = new Cache(100);
  const [own, other] = [cache.owner(), cache.owner()];
  cache.set(`${own}a`, 1, 40);
  cache.set(`${own}b`, 2, 40);
  assert.equal(cache.get(`${own}a`), 1);
  cache.set(`${other}c`, 3, 40);
  assert.deepEqual([cache.get(`${own}a`), cache.get(`${own}b`), cache.get(`${other}c`), cache.bytes], [1, undefined, 3, 80]);
  cache.set(`${other}c`, 4, 50);
  assert.deepEqual([cache.get(`${other}c`), cache.bytes], [4, 90]);
  cache.forget(own);
  assert.deepEqual([cache.get(`${own}a`), cache.get(`${other}c`), cache.bytes], [undefined, 4, 50]);
  cache.set(`${own}large`, 5, 101);
  assert.deepEqual([cache.get(`${own}large`), cache.bytes], [undefined, 0]);
});

test('distributions and the strongest of cells', () => {
  const numbers = new Distribution(true);
  for (const number of [3, NaN, 0, 1, Infinity, 2]) numbers.add(number);
  assert.deepEqual([numbers.max, numbers.min, numbers.count], [3, 1, 4]);
  const many = new Distribution(false);
  for (let n = 0; n < 1_000_000; n++) many.add(((n * 7919) % 1_000_000) - 500_000);
  assert.deepEqual([many.max, many.min, many.count], [499_999, -500_000, 1_000_000]);
  many.quantiles().forEach((value, n) => assert.ok(Math.abs(value - (n * 10_000 - 500_000)) < 2000, `${n}%: ${value}`));
  const strongest = new Strongest(3);
  [1, 5, NaN, 5, 2, 5, 5].forEach((weight, key) => strongest.add(0, key, weight));
  assert.deepEqual(strongest.cells.map(({ key }) => key), [1, 3, 5], 'of equal ones the first');
  assert.deepEqual(spread(5, 8), [0, 1, 2, 3, 4]);
  assert.deepEqual(spread(100, 4), [12, 37, 62, 87]);
});

// --------------------------------------------------------------------------------------------------------------- errors

test('errors name the argument, the value and what was expected', () => {
  const random = new Random(seed);
  const problem = { queries: tensor(random, [1, 2, 5, 4]), keys: tensor(random, [1, 1, 9, 4]) };
  const source = new MapSource(attention, problem);
  const refuses = (call, name, ...patterns) => {
    assert.throws(call, (error) => {
      assert.equal(error.name, name);
      for (const pattern of patterns) assert.match(error.message, pattern);
      return true;
    });
  };
  refuses(() => new MapSource(attention, { ...problem, keys: undefined }), 'TypeError', /keys/, /undefined/);
  refuses(() => new MapSource(attention, { ...problem, window: { lefty: 1 } }), 'TypeError', /window\.lefty/);
  refuses(() => new MapSource(attention, { ...problem, keys: tensor(random, [1, 1, 9, 5]) }), 'RangeError', /keys/, /dim/);
  refuses(() => new MapSource(attention, { ...problem, sparseAttentionMask: Mask.full([1, 1, 5, 8]) }), 'RangeError', /sparseAttentionMask/);
  refuses(() => source.read({ level: 5 }), 'RangeError', /level/, /0\.\.4/, /5/);
  refuses(() => source.read({ level: -1 }), 'RangeError', /level/);
  refuses(() => source.read({ rows: [0, 6] }), 'RangeError', /rows\[1\]/, /0\.\.5/, /6/);
  refuses(() => source.read({ level: 1, columns: [0, 6] }), 'RangeError', /columns\[1\]/, /0\.\.5/);
  refuses(() => source.read({ columns: [3, 2] }), 'RangeError', /columns\[1\]/, /3\.\.9/);
  refuses(() => source.read({ rows: 3 }), 'TypeError', /rows/, /\[begin, end\]/);
  refuses(() => source.read({ head: 2 }), 'RangeError', /head/, /0\.\.1/, /2/);
  refuses(() => source.read({ batch: 1 }), 'RangeError', /batch/);
  refuses(() => source.read({ show: 'weight' }), 'RangeError', /show/, /'weight'/);
  refuses(() => source.read({ heads: 0 }), 'TypeError', /heads/, /head\?/);
  refuses(() => source.statistics({ skipKeys: 10 }), 'RangeError', /skipKeys/, /0\.\.9/);
  refuses(() => source.statistics({ show: 'mask' }), 'RangeError', /show/, /'mask'/);
  refuses(() => source.rowStatistics({ rows: [0, 7] }), 'RangeError', /rows\[1\]/);
  refuses(() => source.strongest({ count: -1 }), 'RangeError', /count/);
  refuses(() => source.steps('draw'), 'RangeError', /method/, /'draw'/);
  refuses(() => MapSource.ofWeights(undefined), 'TypeError', /weights/);
  refuses(() => MapSource.ofWeights({ data: new Float32Array(4), dims: [2, 2] }), 'RangeError', /weights\.dims/);
  const long = new MapSource(attention, { queries: tensor(random, [1, 1, 5000, 1]), keys: tensor(random, [1, 1, 5000, 1]) });
  refuses(() => long.read({}), 'RangeError', /rows and columns/, /16777216/, /25000000/);
  refuses(() => long.strongest({}), 'RangeError', /rows/, /4096/, /5000/);
});
