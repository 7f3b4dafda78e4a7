// SPDX-License-Identifier: Apache-2.0
// compare() and sweep(): rows against what forward() and plain computations give, names, times, and bad input by name.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { createAttention, Mask, maskers } from '../js/index.js';

const METRICS = [
  'density', 'outputError', 'massRecall', 'setupMilliseconds', 'maskMilliseconds', 'attentionMilliseconds',
  'denseMilliseconds', 'speedup', 'flops', 'flopsDense',
]; // prettier-ignore
const { sink, local, oracleTopK, quest } = maskers;

let attention, problem;

before(async () => {
  attention = await createAttention({ variant: 'base' });
  problem = problemOf(4, 200, (n) => 3 * Math.sin(1.7 * n * n));
});
after(() => attention.dispose());

function tensor(dims, f) {
  return { data: Float32Array.from({ length: dims.reduce((a, b) => a * b) }, (_, n) => f(n)), dims };
}

function problemOf(queries, keys, f) {
  return {
    queries: tensor([2, 4, queries, 16], f),
    keys: tensor([2, 2, keys, 16], (n) => f(n + 0.5)),
    values: tensor([2, 2, keys, 8], (n) => Math.cos(n)),
    causal: true,
  };
}

/** What can be predicted of a row. */
function plain({ density, outputError, massRecall, flops, flopsDense }) {
  return { density, outputError, massRecall, flops, flopsDense };
}

test('compare: rows are what forward measures', () => {
  const pipelines = {
    window: [sink({ size: 4 }), local({ size: 16 })],
    quest: { maskers: [{ name: 'quest', heavySize: 64 }] },
    oracle: attention.createSparseAttention([oracleTopK({ heavySize: 0.2 })]),
    everything: [],
  };
  const rows = attention.compare(problem, pipelines);
  assert.deepEqual(rows.map(({ name }) => name), Object.keys(pipelines));
  for (const row of rows) {
    assert.deepEqual(Object.keys(row).sort(), ['name', ...METRICS].sort());
    const pipeline = attention.createSparseAttention(pipelines[row.name].maskers ?? pipelines[row.name]);
    assert.deepEqual(plain(row), plain(pipeline.forward({ ...problem, metrics: true }).metrics), row.name);
    pipeline.dispose();
  }
});

test('compare: what pipelines of an array are called', () => {
  const list = [sink({ size: 4 }), local({ size: 16 })];
  const made = attention.createSparseAttention(list);
  const pipelines = [list, { name: 'window', maskers: list }, { maskers: list }, made, [], { name: '', maskers: [] }];
  const names = (of) => attention.compare(problem, of).map(({ name }) => name);
  assert.deepEqual(names(pipelines), ['sink + local', 'window', 'sink + local', 'sink + local', 'dense', '']);
  assert.deepEqual(names({ key: { name: 'own', maskers: list } }), ['key'], 'the key counts');
  assert.throws(() => names([list, { name: 3, maskers: list }]), /^TypeError: pipelines\[1\]\.name: expected a string, got 3/);
  made.dispose();
});

test('compare: errors and recall are those of plain computation', () => {
  const [{ outputError, massRecall, density }] = attention.compare(problem, [[sink({ size: 10 })]]);
  const { output: dense, weights } = attention.getMaskedAttentionOutput({ ...problem, returnAttentionWeights: true });
  const mask = Mask.sinks([1, 1, 4, 200], 10);
  const { output } = attention.getMaskedAttentionOutput({ ...problem, sparseAttentionMask: mask });
  const norm = (f) => Math.hypot(...dense.data.map((_, n) => f(n)));
  const wanted = norm((n) => output.data[n] - dense.data[n]) / norm((n) => dense.data[n]);
  assert.ok(Math.abs(outputError - wanted) < 1e-5 * wanted, `${outputError}, expected ${wanted}`);
  const recalls = Array.from({ length: 32 }, (_, row) => weights.data.subarray(200 * row, 200 * row + 10).reduce((a, b) => a + b));
  assert.ok(Math.abs(massRecall.worst - Math.min(...recalls)) < 1e-5);
  assert.ok(Math.abs(massRecall.mean - recalls.reduce((a, b) => a + b) / 32) < 1e-5);
  const { batch, head, query } = massRecall.worstRow;
  assert.equal(recalls.indexOf(Math.min(...recalls)), (batch * 4 + head) * 4 + query);
  assert.equal(density, mask.density());
});

test('compare: everything kept is dense attention', () => {
  const [row] = attention.compare(problem, { all: [] });
  assert.equal(row.outputError, 0);
  assert.deepEqual([row.density, row.massRecall.mean, row.massRecall.worst], [1, 1, 1]);
  assert.equal(row.flops, row.flopsDense);
});

test('compare: pipelines without names are called by their maskers', () => {
  const rows = attention.compare(problem, [[sink({ size: 4 }), local({ size: 8 })], [], [quest({ heavySize: 64 })]]);
  assert.deepEqual(rows.map(({ name }) => name), ['sink + local', 'dense', 'quest']);
});

test('compare: times are positive, dense is timed once, speedup is their quotient', () => {
  const rows = attention.compare(problem, { a: [quest({ heavySize: 64 })], b: [sink({ size: 4 })] });
  for (const row of rows) {
    for (const name of METRICS.filter((key) => key.endsWith('Milliseconds'))) assert.ok(row[name] >= 0, name);
    assert.equal(row.denseMilliseconds, rows[0].denseMilliseconds);
    assert.equal(row.speedup, row.denseMilliseconds / (row.maskMilliseconds + row.attentionMilliseconds));
  }
});

test('compare: the state is built once, and each timed run makes a mask with it', () => {
  const states = [];
  let runs = 0;
  const counting = {
    name: 'counting',
    apply(_, previous, state) {
      states.push((state.built ??= ++runs));
      return previous;
    },
  };
  attention.compare(problem, [[counting]]);
  assert.ok(states.length >= 2 && states.length <= 52, `${states.length} runs`);
  assert.deepEqual(new Set(states), new Set([1]));
});

test('compare: changes no input, and gives back its memory', () => {
  const long = problemOf(1, 4096, Math.sin);
  const pipeline = [quest({ heavySize: 64, pageSize: 1 })]; // an index of 2 MB
  const copy = long.keys.data.slice();
  const before = attention.info().usedBytes;
  attention.compare(long, { own: pipeline });
  assert.ok(attention.info().usedBytes - before < 2 ** 20, 'copies of small masks, which go by themselves');
  assert.deepEqual(long.keys.data, copy);
  const failing = { name: 'failing', apply: () => assert.fail('on purpose') };
  assert.throws(() => attention.compare(long, { own: pipeline, failing: [failing] }), /on purpose/);
  assert.ok(attention.info().usedBytes - before < 2 ** 20);
});

test('compare: other inputs: 16-bit, another layout, a mask to begin with, no keys', () => {
  const half = (dims) => ({ data: new Uint16Array(dims.reduce((a, b) => a * b)).fill(0x3c00), dims, dtype: 'float16' });
  const sixteen = { queries: half([1, 2, 4, 8]), keys: half([1, 64, 2, 8]), values: half([1, 64, 2, 8]), inputLayout: 'bshd' };
  sixteen.queries = half([1, 4, 2, 8]);
  const [row] = attention.compare(sixteen, [[sink({ size: 16 })]]);
  assert.equal(row.density, 0.25);
  assert.ok(Math.abs(row.massRecall.mean - 0.25) < 1e-6);
  const sparseAttentionMask = Mask.sinks([1, 1, 4, 200], 10);
  const [given] = attention.compare({ ...problem, sparseAttentionMask }, [[]]);
  assert.equal(given.density, 0.05);
  assert.ok(given.outputError > 0, 'dense means without the mask');
  const [none] = attention.compare(problemOf(3, 0, Math.sin), [[sink({ size: 2 })]]);
  assert.deepEqual([none.outputError, none.massRecall.mean, none.massRecall.worstRow], [0, 1, undefined]);
});

test('forward: metrics of 16-bit output and of empty rows that are NaN', () => {
  const pipeline = attention.createSparseAttention([sink({ size: 10 })]);
  const { metrics: exact } = pipeline.forward({ ...problem, metrics: true });
  for (const outputDtype of ['float16', 'bfloat16']) {
    const { metrics } = pipeline.forward({ ...problem, outputDtype, metrics: true });
    assert.ok(Math.abs(metrics.outputError - exact.outputError) < 0.01 * exact.outputError, `${metrics.outputError}`);
  }
  const options = { ...problem, causal: true, queryOffset: -2, emptyRows: 'nan', metrics: true };
  assert.equal(pipeline.forward(options).metrics.outputError, 0);
});

test('sweep: a row for each value, as compare gives', () => {
  const values = [16, 64, 0.5];
  const rows = attention.sweep(problem, [sink({ size: 4 }), quest({ heavySize: 0.9 })], 'heavySize', values);
  assert.deepEqual(rows.map(({ value }) => value), values);
  const wanted = attention.compare(problem, values.map((heavySize) => [sink({ size: 4 }), quest({ heavySize })]));
  rows.forEach((row, n) => assert.deepEqual(plain(row), plain(wanted[n])));
  assert.deepEqual(Object.keys(rows[0]).sort(), ['value', ...METRICS].sort());
});

test('sweep: takes a masker, its JSON, a pipeline, and registered maskers', () => {
  const density = (masker) => attention.sweep(problem, masker, 'size', [20]).map((row) => row.density);
  assert.deepEqual(density(sink({ size: 1 })), [0.1]);
  assert.deepEqual(density({ name: 'sink', size: 1 }), [0.1]);
  assert.deepEqual(density(attention.createSparseAttention([sink({ size: 1 })])), [0.1]);
  attention.registerMasker('prefix', ({ size }) => ({
    name: 'prefix',
    apply: ({ shape }, previous) => previous.merge(Mask.sinks(shape, size)),
    toJSON: () => ({ name: 'prefix', size }),
  }));
  assert.deepEqual(density({ name: 'prefix', size: 1 }), [0.1]);
});

test('bad input is refused by name', () => {
  const refused = (call, kind, message) => assert.throws(call, (error) => error instanceof kind && message.test(error.message));
  const { compare, sweep } = { compare: (...args) => attention.compare(...args), sweep: (...args) => attention.sweep(...args) };
  const masker = quest({ heavySize: 0.1 });
  refused(() => compare(undefined, [[]]), TypeError, /^problem: expected an object, got undefined/);
  refused(() => compare({ ...problem, casual: true }, [[]]), TypeError, /^problem\.casual: unknown option; did you mean causal/);
  refused(() => compare({ ...problem, returnLogSumExp: true }, [[]]), TypeError, /^problem\.returnLogSumExp: .* compare/);
  refused(() => compare({ ...problem, keys: undefined }, [[]]), TypeError, /^keys: /);
  refused(() => compare(problem), TypeError, /^pipelines: expected an object .*, got undefined/);
  refused(() => compare(problem, []), RangeError, /^pipelines: expected at least one/);
  refused(() => compare(problem, attention.createSparseAttention([masker])), TypeError, /^pipelines: .* got a SparseAttention/);
  refused(() => compare(problem, [masker]), TypeError, /^pipelines\[0\]: maskers: expected an array/);
  refused(() => compare(problem, { near: [{ name: 'qest' }] }), RangeError, /^pipelines\.near: maskers\[0\].*did you mean quest/);
  refused(() => compare(problem, { near: [{ name: 'quest' }] }), TypeError, /^pipelines\.near: maskers\[0\] \(quest\): heavySize/);
  refused(() => sweep(problem, [], 'size', [1]), TypeError, /^masker: /);
  refused(() => sweep(problem, undefined, 'size', [1]), TypeError, /^masker: /);
  refused(() => sweep(problem, { name: 'x', apply: (_, mask) => mask }, 'size', [1]), TypeError, /^masker: expected one with toJSON/);
  refused(() => sweep(problem, masker, '', [1]), TypeError, /^parameter: /);
  refused(() => sweep(problem, masker, 'heavySize', []), TypeError, /^values: expected an array with at least one value/);
  refused(() => sweep(problem, masker, 'heavySise', [1]), TypeError, /^values\[0\]: .*did you mean heavySize/);
  refused(() => sweep(problem, masker, 'heavySize', [4, -1]), RangeError, /^values\[1\]: .* heavySize: expected .* got -1/);
});
