// SPDX-License-Identifier: Apache-2.0
/** @file analysis-predicate.test.js - masks from text: against evaluation pair by pair, and what is refused. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { parsePredicate } from '../web-demo/analysis/predicate.js';
import { cases, Random, seed } from './random.js';

const runs = Math.min(cases, 400);

/** A random number and condition, each as text and as a function of (q, k, h): nothing of the package is used. */
function drawNumber(random, depth) {
  const kind =
    depth <= 0 ? random.pick(['name', 'number']) : random.pick(['name', 'number', 'pair', 'pair', 'call', 'negative']);
  if (kind === 'name') {
    const name = random.pick(['q', 'k', 'q', 'k', 'h']);
    return { text: name, f: { q: (q) => q, k: (q, k) => k, h: (q, k, h) => h }[name] };
  }
  if (kind === 'number') {
    const value = random.chance(0.2) ? random.integer(0, 9) / 4 : random.integer(0, 9);
    return { text: String(value), f: () => value };
  }
  const a = drawNumber(random, depth - 1);
  if (kind === 'negative') return { text: `-(${a.text})`, f: (...at) => -a.f(...at) };
  const b = drawNumber(random, depth - 1);
  if (kind === 'call') {
    const name = random.pick(['abs', 'floor', 'min', 'max']);
    if (name === 'abs' || name === 'floor') return { text: `${name}(${a.text})`, f: (...at) => Math[name](a.f(...at)) };
    return { text: `${name}(${a.text}, ${b.text})`, f: (...at) => Math[name](a.f(...at), b.f(...at)) };
  }
  const operator = random.pick(['+', '-', '-', '*', '/', '%']);
  const apply = {
    '+': (x, y) => x + y,
    '-': (x, y) => x - y,
    '*': (x, y) => x * y,
    '/': (x, y) => x / y,
    '%': (x, y) => x % y,
  };
  return { text: `(${a.text} ${operator} ${b.text})`, f: (...at) => apply[operator](a.f(...at), b.f(...at)) };
}

function drawCondition(random, depth) {
  const kind = depth <= 0 ? 'compare' : random.pick(['compare', 'compare', '&&', '||', '!', 'true']);
  if (kind === 'true') {
    const value = random.chance(0.5);
    return { text: String(value), f: () => value };
  }
  if (kind === '!') {
    const a = drawCondition(random, depth - 1);
    return { text: `!(${a.text})`, f: (...at) => !a.f(...at) };
  }
  if (kind === '&&' || kind === '||') {
    const [a, b] = [drawCondition(random, depth - 1), drawCondition(random, depth - 1)];
    const f = kind === '&&' ? (...at) => a.f(...at) && b.f(...at) : (...at) => a.f(...at) || b.f(...at);
    return { text: `(${a.text} ${kind} ${b.text})`, f };
  }
  const operator = random.pick(['<', '<=', '>', '>=', '==', '!=']);
  const apply = {
    '<': (x, y) => x < y,
    '<=': (x, y) => x <= y,
    '>': (x, y) => x > y,
    '>=': (x, y) => x >= y,
    '==': (x, y) => x === y,
    '!=': (x, y) => x !== y,
  };
  // Half of them are distances, which become masks of structure.
  const distance = { text: 'q - k', f: (q, k) => q - k };
  const size = { text: 'abs(k - q)', f: (q, k) => Math.abs(k - q) };
  const [a, b] = random.chance(0.5)
    ? random.shuffled([random.pick([distance, size]), drawNumber(random, 0)])
    : [drawNumber(random, 2), drawNumber(random, 2)];
  return { text: `${a.text} ${operator} ${b.text}`, f: (...at) => apply[operator](a.f(...at), b.f(...at)) };
}

function assertMask(predicate, f, shape, offset, where) {
  const [, heads, queries, keys] = shape;
  const mask = predicate.mask(shape, offset === keys - queries ? undefined : { offset });
  assert.equal(mask.shape[0], 1, where);
  assert.ok(mask.shape[1] === 1 || mask.shape[1] === heads, where);
  const dense = mask.toDense();
  for (let h = 0; h < heads; h++) {
    const own = mask.shape[1] === 1 ? 0 : h;
    for (let i = 0; i < queries; i++) {
      for (let j = 0; j < keys; j++) {
        const expected = f(i + offset, j, h);
        const at = `${where} at q ${i + offset}, k ${j}, h ${h}`;
        assert.equal(dense[(own * queries + i) * keys + j], expected ? 1 : 0, at);
        assert.equal(predicate.test(i + offset, j, h), expected, `test() of ${at}`);
      }
    }
  }
}

test('random conditions keep the pairs that they hold for', (t) => {
  t.diagnostic(`seed ${seed}`);
  for (let n = 0; n < runs; n++) {
    const random = new Random(seed, 910, n);
    const { text, f } = drawCondition(random, 2);
    if (text.length > 500) continue;
    const shape = [random.integer(1, 2), random.integer(1, 3), random.integer(1, 9), random.integer(1, 13)];
    const offset = random.chance(0.6) ? shape[3] - shape[2] : random.integer(-5, 20);
    assertMask(parsePredicate(text), f, shape, offset, `case ${n}: ${text}, ${shape} from ${offset}`);
  }
});

const structured = [
  ['q >= k && q - k < 64', (q, k) => q >= k && q - k < 64],
  ['k < 4 || abs(q - k) <= 10', (q, k) => k < 4 || Math.abs(q - k) <= 10],
  ['2 * q - 2 * k < 7', (q, k) => 2 * q - 2 * k < 7],
  ['k - q > -2.5', (q, k) => k - q > -2.5],
  ['floor(q / 100) == floor(k / 100)', (q, k) => Math.floor(q / 100) === Math.floor(k / 100)],
  ['q != k', (q, k) => q !== k],
  ['k % 1000 == 0 && q >= k', (q, k) => k % 1000 === 0 && q >= k],
  ['!(q < 50000) && k >= 99000', (q, k) => q >= 50000 && k >= 99000],
  ['h == 1 || q - k < 8 * (h + 1)', (q, k, h) => h === 1 || q - k < 8 * (h + 1)],
  ['abs(q - k) == 5', (q, k) => Math.abs(q - k) === 5],
  ['abs(q - k) < -1', () => false],
  ['q - k < 0 / 0', () => false],
  ['k < 1 / 0', () => true],
];

test('what compares distances and groups has structure: any size', (t) => {
  t.diagnostic(`seed ${seed}`);
  const length = 100_000;
  for (const [n, [text, f]] of structured.entries()) {
    const random = new Random(seed, 911, n);
    const mask = parsePredicate(text).mask([1, 2, length, length]);
    for (let draw = 0; draw < 300; draw++) {
      const i = random.integer(0, length - 1);
      const j = random.chance(0.5)
        ? random.integer(0, length - 1)
        : Math.min(length - 1, Math.max(0, i + random.integer(-70, 70)));
      const h = random.integer(0, 1);
      const own = mask.shape[1] === 1 ? 0 : h;
      assert.equal(mask.get(0, own, i, j), f(i, j, h) ? 1 : 0, `${text} at ${i}, ${j}, ${h}`);
    }
  }
});

test('what is computed pair by pair is refused where that takes long', () => {
  const shape = [1, 2, 100_000, 100_000];
  for (const text of ['q * k > 3', '(q - k) % 4 == 0', 'q > 2 * k', 'k % 2 == 0']) {
    const parsed = parsePredicate(text);
    parsed.mask([1, 2, 100, 100]);
    assert.throws(
      () => parsed.mask(shape),
      (error) => {
        return error instanceof RangeError && error.message.includes(text) && /4096 x 4096/.test(error.message);
      },
      text,
    );
  }
  const many = Array.from({ length: 40 }, (_, n) => `q-k==${n}`).join('||');
  assert.throws(() => parsePredicate(many).mask(shape), /40 comparisons/);
});

const refused = [
  ['', /nothing/],
  ['q <', /character 4/],
  ['q = 3', /character 3/],
  ['(q > 1', /Unclosed/],
  ['q > 1)', /character/],
  ['0 < q < 5', /a < b && b < c.*character 1/],
  ['k % 2', /expected a condition.*character 1/],
  ['q && k > 1', /expected a condition.*character 1/],
  ['!q', /condition after !.*character 2/],
  ['q > 1 && x < 2', /got x, at character 10/],
  ['max > 1', /max\(\.\.\.\)/],
  ['q and k', /character 3/],
  ['q > 1 k < 2', /character 7/],
  ['q > "a"', /character 5/],
  ['abs(q, k) > 1', /1 number in abs/],
  ['max(q) > 1', /2 to 8 numbers in max/],
  ['max(q, k > 1) > 1', /got a condition.*character 8/],
  ['sqrt(q) > 1', /abs, floor, min, max/],
  ['constructor(q) > 1', /abs, floor, min, max/],
  ['constructor > 1', /got constructor/],
  ['__proto__ > 1', /got __proto__/],
  ['this > 1', /character 1/],
  ['q.constructor > 1', /character 1/],
  ['q["a"] > 1', /character 1/],
  ['abs.call(q) > 1', /character 1/],
  ['q ** 2 > 3', /got \*\*/],
  ['q & 1 > 0', /got &/],
  ['q + (k > 1) > 2', /got a condition/],
  ['~q > 1', /got ~/],
  ['null > 1', /character 1/],
  ['q > 1 ? true : false', /character 1/],
  ['[q] > 1', /character 1/],
  ['q > 1; k > 1', /character/],
  ['q > 1, k > 1', /character/],
  ['abs() > 1', /abs/],
  ['q > 1e', /character/],
  [`q > ${'1'.repeat(600)}`, /at most 500 characters, got 604/],
  [`${'('.repeat(400)}q`, /character/],
  ['q >= k // all', /character/],
];

for (const [text, message] of refused) {
  test(`refused: ${text.slice(0, 40)}`, () => {
    assert.throws(
      () => parsePredicate(text),
      (error) => {
        assert.equal(error.constructor, RangeError, error.stack);
        assert.match(error.message, /^predicate: /);
        assert.match(error.message, message);
        return true;
      },
    );
  });
}

test('what is no text is a TypeError', () => {
  for (const value of [undefined, null, 3, {}, ['q > k'], () => true]) {
    assert.throws(() => parsePredicate(value), { name: 'TypeError', message: /^predicate: expected text/ });
  }
});
