// SPDX-License-Identifier: Apache-2.0
// What a link of the page carries, what undo goes back to, and which answers count.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { changeByDrag, changeByDrawing, handlesOf } from '../web-demo/gestures.js';
import { History } from '../web-demo/history.js';
import { CHOICES, clampState, DEFAULTS, formatState, parseState } from '../web-demo/state.js';
import { Wanted } from '../web-demo/wanted.js';
import { seed } from './random.js';

const ordinal = fc.nat(10_000);
const optional = (arbitrary) => fc.option(arbitrary, { nil: undefined });
const plain = (fields) => fc.record(fields, { noNullPrototype: true });
const recipe = plain({
  maskers: fc.array(plain({ name: fc.string(), size: fc.nat() }), { maxLength: 3 }),
  predicate: fc.string(),
});
const states = plain({
  sample: fc.string(),
  ...Object.fromEntries(['layer', 'batch', 'head', 'skipKeys'].map((name) => [name, ordinal])),
  step: optional(ordinal),
  ...Object.fromEntries(Object.entries(CHOICES).map(([name, values]) => [name, fc.constantFrom(...values)])),
  cursor: optional(plain({ query: ordinal, key: ordinal })),
  causal: fc.boolean(),
  compare: fc.boolean(),
  a: optional(recipe),
  b: optional(recipe),
  exponent: fc.integer({ min: 1, max: 1000 }).map((n) => n / 1000),
  from: fc.integer({ min: 0, max: 1000 }).map((n) => n / 1000),
  to: fc.integer({ min: 0, max: 1000 }).map((n) => n / 1000),
  view: optional(plain({ x: fc.integer(), y: fc.integer(), zoom: fc.integer({ min: 1, max: 99 }) })
    .map(({ x, y, zoom }) => ({ x: x % 1e6, y: y % 1e6, zoom }))),
});

test(`a link gives back every state (ATTN_SEED=${seed})`, () => {
  fc.assert(fc.property(states, (state) => {
    const read = parseState(formatState(state));
    assert.deepEqual(read, { state: { ...state }, ignored: [] });
  }), { seed });
});

test('a link without anything is the default, and carries its version', () => {
  assert.equal(formatState(DEFAULTS), '?v=1');
  assert.deepEqual(parseState(''), { state: { ...DEFAULTS }, ignored: [] });
});

test('what a link says wrongly is the default, and told', () => {
  const search = '?v=2&head=0&scale=cubic&a={"maskers":3}&view=1,2,-1&exponent=2&tensor=1&layer=-1&from=7&cursor=1';
  const { state, ignored } = parseState(search);
  assert.deepEqual(state, { ...DEFAULTS });
  assert.deepEqual(ignored, ['v', 'head', 'scale', 'a', 'view', 'exponent', 'tensor', 'layer', 'from', 'cursor']);
});

test(`no text makes parsing a link throw (ATTN_SEED=${seed})`, () => {
  fc.assert(fc.property(fc.string(), fc.constantFrom(...Object.keys(DEFAULTS)), (text, name) => {
    parseState(text);
    parseState(`?${new URLSearchParams({ [name]: text })}`);
  }), { seed });
});

test('a state is brought inside the data', () => {
  const far = { ...DEFAULTS, layer: 9, batch: 9, head: 9, cursor: { query: 99, key: 99 }, step: 99, skipKeys: 99 };
  const sizes = { layers: 2, shape: [1, 4, 10, 20] };
  const { layer, batch, head, cursor: { query, key }, step, skipKeys } = clampState(far, sizes);
  assert.deepEqual([layer, batch, head, query, key, step, skipKeys], [1, 0, 3, 9, 19, 9, 19]);
  assert.equal(clampState(DEFAULTS, sizes).cursor, undefined);
});

test('undo and redo give back values in order; a gesture is one entry; a change ends what could be redone', () => {
  const history = new History();
  let value = 0;
  const change = (next, gesture) => {
    history.record(value, gesture);
    value = next;
  };
  change(1);
  change(2, 'drag');
  change(3, 'drag');
  history.endGesture();
  change(4, 'drag');
  assert.deepEqual([value, history.canUndo, history.canRedo], [4, true, false]);
  const back = Array.from({ length: 4 }, () => (value = history.undo(value)));
  assert.deepEqual(back, [3, 1, 0, 0]);
  const forth = Array.from({ length: 4 }, () => (value = history.redo(value)));
  assert.deepEqual(forth, [1, 3, 4, 4]);
  value = history.undo(value);
  change(9);
  assert.equal(history.canRedo, false);
});

test('an answer to an older question is thrown away, an older result stays meanwhile', async () => {
  const answers = new Map();
  const changes = [];
  const wanted = new Wanted(() => changes.push(wanted.get('x').value));
  const ask = (question) => wanted.ask('x', [question], () => new Promise((resolve, reject) => {
    answers.set(question, { resolve, reject });
  }));
  const turn = () => new Promise((resolve) => setTimeout(resolve, 5));
  ask('one');
  await turn();
  ask('two');
  await turn();
  answers.get('two').resolve(2);
  await turn();
  answers.get('one').resolve(1);
  await turn();
  assert.deepEqual(changes, [2]);
  ask('three');
  assert.deepEqual(wanted.get('x'), { value: 2, error: undefined, pending: true });
  await turn();
  answers.get('three').reject(new Error('no'));
  await turn();
  assert.equal(wanted.get('x').error.message, 'no');
  assert.equal(wanted.pending, false);
});

test('gestures change the recipe that they are shown by', () => {
  const recipe = { maskers: [{ name: 'sink', size: 2 }, { name: 'oracleTopK', heavySize: 3 }] };
  const windowed = changeByDrag(recipe, 'window', 7);
  assert.deepEqual(windowed.maskers, [{ name: 'local', size: 8 }, ...recipe.maskers]);
  assert.deepEqual(handlesOf(windowed), { window: { left: 7 }, sinks: 2 });
  assert.deepEqual(changeByDrag(windowed, 'sinks', 0).maskers.map(({ name }) => name), ['local', 'oracleTopK']);
  assert.deepEqual(changeByDrag(windowed, 'sinks', 5).maskers[1], { name: 'sink', size: 5 });
  const rectangle = { rows: [0, 4], columns: [4, 8], keep: true };
  const other = { rows: [2, 3], columns: [0, 9], keep: false };
  const drawn = changeByDrawing(changeByDrawing(recipe, rectangle), other);
  assert.deepEqual(drawn.edits, [rectangle, other]);
  assert.equal(recipe.edits, undefined);
});
