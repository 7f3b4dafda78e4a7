// SPDX-License-Identifier: Apache-2.0
// Pictures served to another thread: calls over a port with errors, aborting and the latest first; sources by id; tiles
// as pixels, from the mask first where that is asked for.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Cache } from '../attention-map/cache.js';
import { MapServer } from '../attention-map/map-server.js';
import { packMask, unpackMask } from '../attention-map/mask-message.js';
import { connect, expose } from '../attention-map/remote.js';
import { MapSource } from '../attention-map/source.js';
import { Tasks } from '../attention-map/tasks.js';
import { TILE_SIZE, tileSteps } from '../attention-map/tiles.js';
import { AttentionError, createAttention, Mask } from '../js/index.js';
import { hasCode } from './calls.js';
import { Random, seed, tensor } from './random.js';

const theme = { masked: [200, 200, 200], hatch: [0, 0, 0], skipped: [100, 100, 100] };
const drawing = { ramp: 'viridis', theme };

let attention;
before(async () => void (attention = await createAttention({ variant: 'base' })));
after(() => attention.dispose());

function problem([heads, queries, keys] = [1, 300, 300], more = {}) {
  const random = new Random(seed);
  return { queries: tensor(random, [1, heads, queries, 8]), keys: tensor(random, [1, heads, keys, 8]), ...more };
}

/** Both ends of a channel, with `object` at the other one. */
function channel(object, t) {
  const { port1, port2 } = new MessageChannel();
  const served = expose(port1, object);
  const remote = connect(port2);
  t.after(() => {
    served.close();
    port1.close();
    port2.close();
  });
  return remote;
}

function finish(steps) {
  for (let turn = steps.next(); ; turn = steps.next()) if (turn.done) return turn.value;
}

// ---------------------------------------------------------------------------------------------------------------- calls

test('calls: results, errors with name and code, methods that are not there', async (t) => {
  const remote = channel({
    sum: (a, b) => a + b,
    later: async (value) => ({ value, array: Float32Array.of(1, 2) }),
    refuse() {
      throw new RangeError('level: expected 0..3, got 4');
    },
    fail: () => Promise.reject(new AttentionError('out-of-memory', 'no room')),
    uncopied: () => () => 0,
  }, t); // prettier-ignore
  assert.equal(await remote.call('sum', [2, 3]), 5);
  assert.deepEqual(await remote.call('later', [7]), { value: 7, array: Float32Array.of(1, 2) });
  await assert.rejects(remote.call('refuse'), (error) => error instanceof RangeError && /got 4/.test(error.message));
  await assert.rejects(remote.call('fail'), { name: 'AttentionError', message: 'no room', code: 'out-of-memory' });
  for (const method of ['nothing', 'toString', 'constructor', '__proto__'])
    await assert.rejects(remote.call(method), { name: 'TypeError', message: /method/ });
  await assert.rejects(remote.call('uncopied'), { name: 'DataCloneError' });
  await assert.rejects(remote.call('sum', [() => 0, 1]), { name: 'DataCloneError' });
  assert.equal(await remote.call('sum', [1, 1]), 2, 'none of this harms later calls');
});

test('calls: transferred arrays are gone; closing rejects what is under way', async (t) => {
  const remote = channel({ length: (array) => array.length, never: () => new Promise(() => {}) }, t);
  const array = new Float32Array(8);
  assert.equal(await remote.call('length', [array], { transfer: [array.buffer] }), 8);
  assert.equal(array.length, 0);
  const waiting = remote.call('never');
  remote.close();
  await assert.rejects(waiting, /closed/);
  await assert.rejects(remote.call('length', [[]]), /closed/);
});

test('calls: aborting rejects at once, and tells the other end', async (t) => {
  let told;
  const remote = channel({
    wait: (_, { signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve((told = true)))),
    ping: () => 1,
  }, t); // prettier-ignore
  const controller = new AbortController();
  const waiting = remote.call('wait', [0], { signal: controller.signal });
  controller.abort(new Error('not needed'));
  await assert.rejects(waiting, /not needed/);
  await remote.call('ping');
  assert.equal(told, true);
  await assert.rejects(remote.call('ping', [], { signal: controller.signal }), /not needed/);
});

test('tasks: the latest first, in slices, and what is aborted is dropped', async () => {
  const tasks = new Tasks();
  const order = [];
  const work = function* (name, steps) {
    for (let n = 0; n < steps; n++) {
      const until = performance.now() + 3;
      while (performance.now() < until);
      order.push(name);
      yield;
    }
    return name;
  };
  const controller = new AbortController();
  const dropped = tasks.run(work('dropped', 3), controller.signal);
  const first = tasks.run(work('first', 9));
  let timer = false;
  setTimeout(() => (timer = true), 0);
  const second = tasks.run(work('second', 2));
  controller.abort(new Error('gone'));
  await assert.rejects(dropped, /gone/);
  assert.equal(await second, 'second');
  assert.equal(await first, 'first');
  assert.ok(timer, 'the event loop turned');
  assert.deepEqual(order, [...new Array(2).fill('second'), ...new Array(9).fill('first')]);
  await assert.rejects(tasks.run(work('never', 1), controller.signal), /gone/);
  const broken = work('broken', 1);
  broken.next = () => {
    throw new Error('broken');
  };
  await assert.rejects(tasks.run(broken), /broken/);
  assert.equal(await tasks.run(work('after', 1)), 'after');
});

// -------------------------------------------------------------------------------------------------------------- sources

test('masks in messages: of structure without their pairs, or as lists', () => {
  const shape = [1, 1, 100_000, 100_000];
  const mask = Mask.slidingWindow(shape, { left: 9 }).or(Mask.sinks(shape, 2)).and(Mask.causal(shape));
  const copy = unpackMask(structuredClone(packMask(mask)));
  assert.deepEqual(copy.rows(50_000, 50_002), mask.rows(50_000, 50_002));
  assert.deepEqual([...copy.shape], shape);
  assert.ok(unpackMask(structuredClone(packMask(Mask.empty(shape)))).isEmpty());
  const small = Mask.fromDense([1, 1, 2, 2], Float32Array.of(0, 0.5, 1, 0));
  for (const message of [packMask(small), { shape: [1, 1, 2, 2], ...small.toIndices() }])
    assert.deepEqual(unpackMask(structuredClone(message)).toDense(), small.toDense());
});

test('a server opens tensors, masks, pipelines and weights, over a port', async (t) => {
  const server = new MapServer(attention);
  const remote = channel(server, t);
  const given = problem([2, 40, 60]);
  const mask = Mask.slidingWindow([1, 1, 40, 60], { left: 5 });
  const maskers = [{ name: 'sink', size: 2 }, { name: 'oracleTopK', heavySize: 3 }];
  const causal = { ...given, causal: true };
  assert.deepEqual(await remote.call('open', ['plain', causal]), { shape: [1, 2, 40, 60], maxLevel: 6 });
  await remote.call('open', ['masked', { ...causal, mask: packMask(mask) }]);
  await remote.call('open', ['list', { ...causal, mask: { shape: [1, 1, 40, 60], ...mask.toIndices() } }]);
  await remote.call('open', ['pipeline', { ...causal, maskers }]);
  const pipeline = attention.createSparseAttention(maskers);
  const expected = {
    plain: new MapSource(attention, causal),
    masked: new MapSource(attention, { ...causal, sparseAttentionMask: mask }),
    list: new MapSource(attention, { ...causal, sparseAttentionMask: mask }),
    pipeline: new MapSource(attention, { ...causal, sparseAttentionMask: pipeline.buildMask({ ...causal, values: given.keys }) }),
  };
  const { weights } = attention.getMaskedAttentionOutput({ ...causal, values: given.keys, returnAttentionWeights: true });
  await remote.call('open', ['weights', { weights }]);
  expected.weights = MapSource.ofWeights(weights);
  for (const [id, source] of Object.entries(expected)) {
    const request = { head: 1, level: 1, rows: [3, 20], columns: [0, 30] };
    assert.deepEqual(await remote.call('read', [id, request]), source.read(request), id);
    assert.deepEqual(await remote.call('statistics', [id, { skipKeys: 1 }]), source.statistics({ skipKeys: 1 }), id);
    assert.deepEqual(await remote.call('rowStatistics', [id, {}]), source.rowStatistics({}), id);
    assert.deepEqual(await remote.call('strongest', [id, { count: 4 }]), source.strongest({ count: 4 }), id);
    if (id !== 'weights') assert.deepEqual(await remote.call('dense', [id, {}]), source.dense({}), id);
  }
  await assert.rejects(remote.call('read', ['plain', { level: 9 }]), { name: 'RangeError', message: /level.*0\.\.6.*9/ });
  await assert.rejects(remote.call('open', ['bad', { keys: given.keys }]), { name: 'TypeError', message: /queries/ });
  await assert.rejects(remote.call('open', ['bad', { weights, causal: true }]), { name: 'TypeError', message: /causal/ });
  await assert.rejects(remote.call('open', ['bad', 3]), { name: 'TypeError', message: /data/ });
  await assert.rejects(remote.call('read', ['bad', {}]), { name: 'RangeError', message: /id/ });
  await remote.call('close', ['plain']);
  await assert.rejects(remote.call('read', ['plain', {}]), { name: 'RangeError', message: /id.*'plain'/ });
  await remote.call('close', ['plain']);
  await server.dispose();
  assert.equal(typeof attention.info().usedBytes, 'number', 'the engine is not its own');
});

test('a server serves sources of others, and closes what it replaces', async () => {
  const server = new MapServer(attention);
  let disposed = 0;
  const source = { shape: [1, 1, 2, 2], read: () => ({ rows: 2, columns: 2 }), dispose: () => void disposed++ };
  server.add('own', source);
  assert.deepEqual(await server.read('own', {}), { rows: 2, columns: 2 });
  server.add('own', source);
  assert.equal(disposed, 1);
  await server.dispose();
  assert.equal(disposed, 2);
});

// ---------------------------------------------------------------------------------------------------------------- tiles

const pixelAt = ({ rgba, width }, row, column) => [...rgba.subarray(4 * (row * width + column), 4 * (row * width + column) + 3)];

test('tiles: of 256 pixels, fewer at the end, in the colours of the ramp and the theme', () => {
  const mask = Mask.slidingWindow([1, 1, 300, 300], { left: 100, right: 0 });
  const source = new MapSource(attention, problem([1, 300, 300], { sparseAttentionMask: mask }));
  const cache = new Cache(2 ** 26);
  const draw = (options) => finish(tileSteps(source, cache, '0:', { level: 0, ...drawing, ...options }));
  const tile = draw({ row: 1, column: 0, scale: { kind: 'linear' } });
  assert.deepEqual([tile.width, tile.height, tile.rgba.length], [256, 44, 4 * 256 * 44]);
  assert.deepEqual([tile.sampled, tile.provisional], [false, false]);
  assert.deepEqual(pixelAt(tile, 0, 0), theme.skipped);
  assert.deepEqual(pixelAt(tile, 0, 140), theme.masked);
  assert.notDeepEqual(pixelAt(tile, 0, 200), theme.masked);
  const cells = source.read({ rows: [256, 300], columns: [0, 256] });
  const strongest = cells.values.reduce((best, value, n) => (value > (cells.values[best] ?? -1) ? n : best), -1);
  const { max } = source.statistics();
  const brightest = draw({ row: 1, column: 0, scale: { kind: 'linear', min: 0, max: cells.values[strongest] } });
  assert.deepEqual(pixelAt(brightest, Math.floor(strongest / 256), strongest % 256), [253, 231, 37], 'the end of viridis');
  assert.ok(max >= cells.values[strongest]);
  const byRow = draw({ row: 1, column: 0, range: 'row', scale: { kind: 'linear' } });
  const rowMax = cells.values.subarray(0, 256).reduce((best, value, n, row) => (value > (row[best] ?? -1) ? n : best), -1);
  if (cells.values[rowMax] === source.rowStatistics({ rows: [256, 257] }).max[0])
    assert.deepEqual(pixelAt(byRow, 0, rowMax), [253, 231, 37]);
  assert.notDeepEqual(byRow.rgba, tile.rgba);
  assert.deepEqual(pixelAt(draw({ row: 1, column: 0, show: 'mask' }), 0, 200), [253, 231, 37], 'kept altogether');
  assert.deepEqual([draw({ level: 9, row: 0, column: 0 }).width, draw({ level: 1, row: 0, column: 0 }).width], [1, 150]);
  source.dispose();
});

test('tiles: quick ones come from the mask until values are known; other colours compute nothing', () => {
  const own = new MapSource(attention, problem([1, 300, 5000], { causal: true }));
  const asked = [];
  const source = {
    shape: own.shape,
    maxLevel: own.maxLevel,
    peek: (options) => own.peek(options),
    steps(method, options) {
      asked.push(`${method} ${options.show}`);
      return own.steps(method, options);
    },
  };
  const cache = new Cache(2 ** 26);
  const draw = (options) => finish(tileSteps(source, cache, '0:', { level: 3, row: 0, column: 0, ...drawing, ...options }));
  const quick = draw({ quick: true });
  assert.equal(quick.provisional, true);
  assert.deepEqual(asked.splice(0), ['read mask']);
  const whole = draw({});
  assert.equal(whole.provisional, false);
  assert.deepEqual(asked.splice(0), ['read weights', 'statistics weights']);
  assert.deepEqual(draw({ quick: true }), whole);
  assert.notDeepEqual(draw({ ramp: 'magma', scale: { kind: 'log', decades: 3 } }).rgba, whole.rgba);
  assert.deepEqual(asked.splice(0), []);
  draw({ range: 'row' });
  assert.deepEqual(asked.splice(0), ['rowStatistics weights']);
  draw({ skipKeys: 1 });
  assert.deepEqual(asked.splice(0), ['statistics weights']);
  assert.equal(draw({ quick: true, show: 'mask' }).provisional, false);
  own.dispose();
});

test('tiles: errors', () => {
  const source = new MapSource(attention, problem([1, 300, 300]));
  const cache = new Cache(0);
  const draw = (options) => () => finish(tileSteps(source, cache, '0:', { level: 0, row: 0, column: 0, ...drawing, ...options }));
  assert.throws(draw({ row: 2 }), { name: 'RangeError', message: /row.*0\.\.1.*2/ });
  assert.throws(draw({ level: 1, column: 1 }), { name: 'RangeError', message: /column.*0\.\.0/ });
  assert.throws(draw({ level: 10 }), { name: 'RangeError', message: /level.*0\.\.9/ });
  assert.throws(draw({ row: undefined }), { name: 'TypeError', message: /row/ });
  assert.throws(draw({ range: 'column' }), { name: 'RangeError', message: /range/ });
  assert.throws(draw({ quick: 1 }), { name: 'TypeError', message: /quick/ });
  assert.throws(draw({ rows: [0, 1] }), { name: 'TypeError', message: /rows/ });
  assert.throws(draw({ ramp: 'rainbow' }), { name: 'RangeError', message: /ramp/ });
  source.dispose();
  assert.throws(draw({}), hasCode('disposed'));
  assert.equal(TILE_SIZE, 256);
});
