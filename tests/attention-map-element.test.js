// SPDX-License-Identifier: Apache-2.0
// What <attention-map> computes without a page: where cells stand, what keys mean, sentences, pages of a large picture.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { tickStep, tokenLabel } from '../attention-map/axes.js';
import { checkData, messageOf, tokensOf } from '../attention-map/data.js';
import { describeCell } from '../attention-map/describe.js';
import { blocksBetween, handleDistance, handleLine, handleValue } from '../attention-map/handles.js';
import { rectanglesOf } from '../attention-map/hatching.js';
import { Jobs } from '../attention-map/jobs.js';
import { actionOf } from '../attention-map/keyboard.js';
import { shortNumber } from '../attention-map/marks.js';
import { unpackMask } from '../attention-map/mask-message.js';
import { OPTIONS } from '../attention-map/options.js';
import { Pages } from '../attention-map/pages.js';
import { CellState } from '../attention-map/states.js';
import {
  MAX_ZOOM, TILE, cellAt, fitZoom, levelFor, pagesOf, reveal, topLevel, transformOf, viewOf, visibleCells,
} from '../attention-map/view.js';
import { Mask } from '../js/index.js';

const plot = { left: 40, top: 5, width: 600, height: 400 };
const shapes = fc.tuple(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 1, max: 100_000 }));
const views = fc.record({
  x: fc.double({ min: -1e5, max: 2e5, noNaN: true }),
  y: fc.double({ min: -1e5, max: 2e5, noNaN: true }),
  zoom: fc.double({ min: 1e-4, max: 1e3, noNaN: true }),
});

test('view: kept inside the picture, and the same again when asked for', () => {
  fc.assert(fc.property(shapes, views, (shape, view) => {
    const transform = transformOf(view, plot, shape);
    const [queries, keys] = shape;
    assert.ok(transform.k >= fitZoom(plot, shape) && transform.k <= Math.max(MAX_ZOOM, fitZoom(plot, shape)));
    for (const [start, size, offset, count] of [
      [plot.left, plot.width, transform.x, keys], [plot.top, plot.height, transform.y, queries],
    ]) {
      const end = offset + transform.k * count;
      const slack = 1e-6 * (1 + Math.abs(offset) + Math.abs(end));
      if (transform.k * count < size) assert.ok(Math.abs(offset - start - (start + size - end)) <= slack, 'centred');
      else assert.ok(offset <= start + slack && end >= start + size - slack, 'nothing empty at the edges');
    }
    const again = transformOf(viewOf(transform, plot), plot, shape);
    for (const name of ['x', 'y', 'k']) {
      assert.ok(Math.abs(again[name] - transform[name]) <= 1e-6 * (1 + Math.abs(transform[name])), name);
    }
  }));
});

test('view: tiles of the level that fits cover what is visible, the ones in the middle last', () => {
  fc.assert(fc.property(shapes, views, fc.constantFrom(1, 2, 3), (shape, view, ratio) => {
    const transform = transformOf(view, plot, shape);
    const visible = visibleCells(transform, plot, shape);
    const top = topLevel(shape);
    const level = levelFor(transform.k, ratio, top);
    if (level < top) assert.ok(transform.k * ratio * 2 ** level >= 1 - 1e-6, 'a pixel takes at least a device pixel');
    if (level > 0) assert.ok(transform.k * ratio * 2 ** (level - 1) < 1, 'and no finer level does');
    const tiles = pagesOf(visible, level, TILE);
    const step = TILE * 2 ** level;
    const has = new Set(tiles.map(({ row, column }) => `${row} ${column}`));
    for (const query of [visible.rows[0], visible.rows[1] - 1]) {
      for (const key of [visible.columns[0], visible.columns[1] - 1]) {
        assert.ok(has.has(`${Math.floor(query / step)} ${Math.floor(key / step)}`));
      }
    }
    assert.equal(has.size, tiles.length);
    const most = (Math.ceil(600 * ratio / TILE) + 1) * (Math.ceil(400 * ratio / TILE) + 1);
    assert.ok(tiles.length <= most, `${tiles.length}`);
    assert.ok(tiles.every((tile) => tile.level === level));
  }));
  const pages = pagesOf({ rows: [0, 768], columns: [0, 768] }, 0, TILE);
  assert.deepEqual(pages.at(-1), { level: 0, row: 1, column: 1 });
  assert.equal(topLevel([256, 256]), 0);
  assert.equal(topLevel([1, 257]), 1);
  assert.equal(topLevel([100_000, 100_000]), 9);
});

test('view: a cell that is revealed is inside, and one that is seen does not move', () => {
  const parts = fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.double({ min: 0, max: 0.999, noNaN: true }));
  fc.assert(fc.property(shapes, views, parts,
    (shape, view, [a, b]) => {
      const transform = transformOf(view, plot, shape);
      const cell = { query: Math.floor(a * shape[0]), key: Math.floor(b * shape[1]) };
      const moved = transformOf(viewOf(reveal(cell, transform, plot), plot), plot, shape);
      const { rows, columns } = visibleCells(moved, plot, shape);
      assert.ok(cell.query >= rows[0] && cell.query < rows[1] && cell.key >= columns[0] && cell.key < columns[1]);
    }));
  const inside = transformOf({ x: 100, y: 100, zoom: 10 }, plot, [1000, 1000]);
  assert.deepEqual(reveal({ query: 120, key: 120 }, inside, plot), inside);
  assert.deepEqual(cellAt(plot.left + 5, plot.top + 25, inside, plot, [1000, 1000]), { query: 102, key: 100 });
  assert.equal(cellAt(plot.left - 1, plot.top + 25, inside, plot, [1000, 1000]), undefined);
});

test('hatching: the rectangles of a state cover its cells once and no others', () => {
  const cells = fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 12 })).chain(([rows, columns]) =>
    fc.tuple(fc.constant(rows), fc.constant(columns),
      fc.uint8Array({ min: 0, max: 2, minLength: rows * columns, maxLength: rows * columns })));
  fc.assert(fc.property(cells, ([rows, columns, states]) => {
    const covered = new Uint8Array(rows * columns);
    for (const [i, j, height, width] of rectanglesOf(states, rows, columns, CellState.MASKED)) {
      for (let a = i; a < i + height; a++) for (let b = j; b < j + width; b++) covered[a * columns + b]++;
    }
    assert.deepEqual(covered, states.map((state) => Number(state === CellState.MASKED)));
  }));
  const triangle = Uint8Array.from({ length: 64 * 64 }, (_, n) => Number(n % 64 > Math.floor(n / 64)));
  assert.equal(rectanglesOf(triangle, 64, 64, 1).length, 63);
  assert.deepEqual(rectanglesOf(new Uint8Array(64 * 64).fill(2), 64, 64, 2), [[0, 0, 64, 64]]);
});

test('keyboard: every key does what the help says, and no others are taken', () => {
  const at = { shape: [1000, 500], visible: { rows: [100, 140] }, cursor: { query: 100, key: 200 } };
  const press = (key, modifiers = {}) => actionOf({
    key, shiftKey: false, ctrlKey: false, altKey: false, metaKey: false, ...modifiers,
  }, at);
  const to = (query, key) => ({ type: 'move', query, key });
  assert.deepEqual(press('ArrowUp'), to(99, 200));
  assert.deepEqual(press('ArrowRight', { shiftKey: true }), to(100, 210));
  assert.deepEqual(press('ArrowDown', { ctrlKey: true }), to(164, 200));
  assert.deepEqual(press('ArrowLeft', { altKey: true }), to(100, 136));
  assert.deepEqual(press('Home'), to(100, 0));
  assert.deepEqual(press('End'), to(100, 499));
  assert.deepEqual(press('Home', { ctrlKey: true }), to(0, 0));
  assert.deepEqual(press('End', { ctrlKey: true }), to(999, 499));
  assert.deepEqual(press('PageDown'), to(139, 200));
  assert.deepEqual(press('PageUp'), to(61, 200));
  assert.deepEqual(press('+'), { type: 'zoom', factor: 2 });
  assert.deepEqual(press('-'), { type: 'zoom', factor: 0.5 });
  assert.deepEqual(press('0'), { type: 'fit' });
  assert.deepEqual(press(']'), { type: 'handle', by: 1 });
  assert.deepEqual(press('{', { shiftKey: true }), { type: 'handle', by: -10 });
  for (const [key, type] of [['Enter', 'enter'], ['Escape', 'escape'], ['t', 'table'], [' ', 'hold']]) {
    assert.deepEqual(press(key), { type });
  }
  for (const [key, modifiers] of [
    ['c', { ctrlKey: true }], ['+', { ctrlKey: true }], ['0', { metaKey: true }], ['Tab'], ['F5'],
    ['t', { altKey: true }], ['PageDown', { ctrlKey: true }], ['ArrowLeft', { metaKey: true }], ['Home', { altKey: true }],
  ]) assert.equal(press(key, modifiers), undefined, key);
});

test('sentences: each state in its own words, tokens named', () => {
  const cell = { query: 12, key: 3, show: 'weights', state: CellState.KEPT, value: 0.0421 };
  assert.equal(describeCell(cell), 'Query 12 gives key 3 4.21 % of its attention, a weight of 0.0421.');
  assert.equal(describeCell({ ...cell, queryToken: 'the', keyToken: ' \n', isLocked: true }),
    'Query 12 “the” gives key 3 “↵” 4.21 % of its attention, a weight of 0.0421 (locked).');
  assert.equal(describeCell({ ...cell, show: 'scores', value: -1.2345 }), 'Query 12 scores key 3 with -1.23.');
  assert.equal(describeCell({ ...cell, show: 'mask', value: 1 }), 'Query 12 sees key 3.');
  assert.equal(describeCell({ ...cell, state: CellState.MASKED }), 'Query 12 does not see key 3: it is masked out.');
  assert.match(describeCell({ ...cell, state: CellState.SKIPPED }), /its whole block of 64 by 64 cells is skipped/);
  assert.match(describeCell({ ...cell, state: CellState.SKIPPED, isLater: true }), /it comes later/);
  assert.match(describeCell({ ...cell, value: 3e-9 }), /3\.0e-7 % of its attention, a weight of 3\.00e-9/);
});

test('labels: tokens can be seen, ticks are round, numbers short', () => {
  assert.deepEqual(['the', ' of', '\n', ' ', '', '\t\tx'].map(tokenLabel), ['the', 'of', '↵', '␣', '', '⇥⇥x']);
  assert.deepEqual([1, 3, 7, 12, 100, 30_000].map((cells) => tickStep(1, cells)), [1, 5, 10, 20, 100, 50_000]);
  assert.equal(tickStep(100, 50), 1);
  assert.deepEqual([0, 1, 0.5, 0.0421, 0.00012, -2.25, 12_345].map(shortNumber),
    ['0', '1', '.5', '.042', '1e-4', '-2.3', '1e4']);
});

test('handles: the value at a point of the line is the line\'s', () => {
  const shape = [40, 50];
  const visible = { rows: [0, 40], columns: [0, 50] };
  const line = handleLine('window', 8, shape, visible);
  assert.deepEqual([line.from, line.to], [[2, 0], [42, 40]]); // the last query stands at position 49, and sees 41 to 49
  assert.equal(handleValue('window', line.grip[0], line.grip[1], shape), 8);
  assert.equal(handleDistance('window', 8, ...line.grip, shape), 0);
  assert.equal(handleValue('sinks', 3.4, 20, shape), 3);
  assert.equal(handleValue('sinks', -5, 20, shape), 0);
  assert.equal(handleValue('window', -500, 20, shape), 49);
  assert.deepEqual(handleLine('sinks', 4, shape, { rows: [10, 20], columns: [0, 9] }).grip, [4, 15]);
});

test('drawing: rectangles are whole blocks, cut at the edge', () => {
  assert.deepEqual(blocksBetween({ query: 70, key: 10 }, { query: 3, key: 63 }, 64, [100, 100]),
    { rows: [0, 100], columns: [0, 64] });
  assert.deepEqual(blocksBetween({ query: 5, key: 6 }, { query: 5, key: 6 }, 1, [9, 9]),
    { rows: [5, 6], columns: [6, 7] });
});

test('tokens: of both axes, their number checked', () => {
  assert.deepEqual(tokensOf(['a', 'b', 'c'], [2, 3]), { keys: ['a', 'b', 'c'], queries: ['b', 'c'] });
  assert.deepEqual(tokensOf({ queries: ['x'] }, [1, 3]), { queries: ['x'], keys: undefined });
  assert.deepEqual(tokensOf(undefined, [1, 3]), {});
  assert.throws(() => tokensOf(['a'], [2, 3]), /^RangeError: tokens of queries must be 2, got 0/);
  assert.throws(() => tokensOf({ keys: [1, 2, 3] }, [1, 3]), /TypeError: tokens of keys must be strings/);
});

test('data: arrays are copied and nothing else of their buffers, masks go along', () => {
  const shared = new Float32Array(100).fill(7);
  const queries = { data: shared.subarray(4, 12), dims: [1, 1, 4, 2] };
  const given = {
    queries, keys: queries, causal: true, window: { left: 2 }, tokens: ['a', 'b', 'c', 'd'],
    sparseAttentionMask: Mask.sinks([1, 1, 4, 4], 1),
  };
  const { data, transfer } = messageOf(given);
  assert.deepEqual(data.queries.data, new Float32Array(8).fill(7));
  assert.equal(data.queries.data.buffer.byteLength, 32);
  assert.notEqual(data.queries.data.buffer, shared.buffer);
  assert.deepEqual([data.causal, data.window, data.tokens], [true, { left: 2 }, undefined]);
  const { mask } = structuredClone(data, { transfer });
  assert.deepEqual(unpackMask(mask).toDense(), given.sparseAttentionMask.toDense());
  const weights = { data: new Float32Array(4), dims: [1, 1, 2, 2], dtype: 'float32' };
  assert.deepEqual(Object.keys(messageOf({ output: weights, weights }).data), ['weights']);
  for (const bad of [undefined, 3, {}, { queries }, { weights: [1, 2] }]) {
    assert.throws(() => checkData(bad), /^TypeError: data/);
  }
});

test('options: what a property may not be is refused by name and value', () => {
  const set = (name, value) => OPTIONS[name].check(name, value);
  for (const [name, value, message] of [
    ['scale', 'cubic', /^RangeError: scale must be one of 'linear'.*got cubic/],
    ['head', -1, /^RangeError: head must be an integer >= 0, got -1/],
    ['head', '1', /^TypeError: head must be a number/],
    ['exponent', 0, /^RangeError: exponent must be a number > 0, got 0/],
    ['colors', 'jet', /^RangeError: colors must be one of .*'viridis'/],
    ['highlight', [{ rows: [1, 0], columns: [0, 1] }], /^RangeError: highlight\[0\]\.rows/],
    ['window', { left: 1.5 }, /^RangeError: window\.left must be an integer >= 0, got 1\.5/],
    ['label', 3, /^TypeError: label/],
    ['describe', 'x', /^TypeError: describe/],
  ]) assert.throws(() => set(name, value), message);
  assert.deepEqual(set('window', {}), { left: Infinity });
  assert.equal(set('window', undefined), undefined);
});

/** Loads that are answered by hand. */
function byHand() {
  const asked = [];
  const load = (page, signal, shown) => new Promise((resolve, reject) => {
    asked.push({ page, signal, shown, resolve, reject });
  });
  return { asked, load };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const page = (column) => ({ level: 0, row: 0, column });

test('pages: asked for once, given up when out of sight, shown until newer ones come', async () => {
  const { asked, load } = byHand();
  const [discarded, errors] = [[], []];
  const pages = new Pages({
    load, onload: () => {}, onerror: (error) => errors.push(error), discard: (value) => discarded.push(value),
  });
  pages.want([page(0), page(1)], 'a', 10);
  pages.want([page(0), page(1)], 'a', 10);
  assert.equal(asked.length, 2);
  asked[0].resolve({ value: 'zero', isProvisional: false });
  await turn();
  assert.equal(pages.get(page(0)), 'zero');
  assert.equal(pages.pending, 1);

  pages.want([page(0)], 'a', 10);
  assert.ok(asked[1].signal.aborted && !asked[0].signal.aborted);
  asked[1].resolve({ value: 'one', isProvisional: false });
  await turn();
  assert.equal(pages.get(page(1)), undefined);
  assert.deepEqual(discarded, ['one']);
  assert.equal(pages.pending, 0);

  pages.want([page(0)], 'b', 10);
  assert.equal(pages.get(page(0)), 'zero', 'the old one until the new one comes');

  assert.equal(asked[2].shown, 'zero');
  asked[2].resolve({ value: 'new', isProvisional: false });
  await turn();
  assert.equal(pages.current(page(0), 'b'), 'new');
  assert.deepEqual(discarded, ['one', 'zero']);

  pages.want([page(0), page(2)], 'b', 10);
  asked[3].reject(new Error('no'));
  await turn();
  pages.want([page(0), page(2)], 'b', 10);
  assert.deepEqual([asked.length, errors.length, pages.pending], [4, 1, 0], 'what failed is not asked for for ever');
});

test('pages: a provisional one is shown and asked for again; the oldest go', async () => {
  const { asked, load } = byHand();
  let loads = 0;
  const discarded = [];
  const pages = new Pages({
    load, onload: () => loads++, onerror: assert.fail, discard: (value) => discarded.push(value),
  });
  pages.want([page(0)], 'a', 2);
  asked[0].resolve({ value: 'quick', isProvisional: true });
  await turn();
  assert.deepEqual([pages.get(page(0)), asked.length, pages.pending, loads], ['quick', 2, 1, 1]);
  asked[1].resolve({ value: 'slow', isProvisional: false });
  await turn();
  assert.deepEqual([pages.get(page(0)), discarded, pages.pending], ['slow', ['quick'], 0]);
  for (const column of [1, 2]) {
    pages.want([page(column)], 'a', 2);
    asked.at(-1).resolve({ value: `at ${column}`, isProvisional: false });
    await turn();
  }
  assert.equal(pages.get(page(0)), undefined);
  assert.equal(pages.get(page(1)), 'at 1');
  pages.clear();
  assert.deepEqual(discarded, ['quick', 'slow', 'at 1', 'at 2']);
});

test('pages: what is provisional waits until something can be seen everywhere', async () => {
  const { asked, load } = byHand();
  const pages = new Pages({ load, onload: () => {}, onerror: assert.fail });
  pages.want([page(0), page(1)], 'a', 10);
  asked[0].resolve({ value: 'quick', isProvisional: true });
  await turn();
  assert.equal(asked.length, 2);
  asked[1].resolve({ value: 'quick too', isProvisional: true });
  await turn();
  const again = asked.slice(2).map(({ page: { column }, shown }) => [column, shown]);
  assert.deepEqual(again, [[0, 'quick'], [1, 'quick too']]);
});

test('jobs: a newer one takes the place of an older one', async () => {
  const errors = [];
  const jobs = new Jobs((error) => errors.push(error.message));
  const done = [];
  const job = (name) => async (signal) => {
    await turn();
    if (!signal.aborted) done.push(name);
  };
  jobs.start('a', 0, job('first'));
  jobs.start('a', 0, job('second'));
  jobs.start('b', 0, () => Promise.reject(new Error('wrong')));
  await turn();
  await turn();
  assert.deepEqual([done, errors], [['second'], ['wrong']]);
});
