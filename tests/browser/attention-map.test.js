// SPDX-License-Identifier: Apache-2.0
// <attention-map> in a real browser: it shows the weights of the package, is worked with mouse, finger and keys, says
// what it shows, keeps 100,000 x 100,000 cells within bounds, and is as readable in the dark and in forced colours.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

import { createAttention } from '../../js/index.js';
import { serve } from '../../tools/serve.mjs';
import { args, executablePath, skip } from './chromium.js';

const axe = readFileSync(fileURLToPath(new URL('../../node_modules/axe-core/axe.min.js', import.meta.url)), 'utf8');

let browser;
let server;

before(async () => {
  if (skip) return;
  server = await serve();
  browser = await chromium.launch({ executablePath, args });
});

after(async () => {
  await browser?.close();
  server?.closeAllConnections();
  server?.close();
});

/** A page of its own for `use`; whatever it complains of on its console fails the test. */
async function visit(options, use, path = '/tests/browser/attention-map.html') {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce', ...options,
  });
  try {
    const page = await context.newPage();
    const complaints = [];
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.goto(`http://127.0.0.1:${server.address().port}${path}`);
    await use(page);
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

const check = (name, use, options = {}) => test(name, { skip }, () => visit(options, async (page) => {
  await page.waitForFunction('window.isReady');
  await use(page);
}));

/** Adds a map of a synthetic source, waits until it has come, and names it window.map. */
const addSynthetic = (page, shape, properties = {}, className = 'sized') =>
  page.evaluate(async ([size, more, name]) => {
    window.map = window.addMap({ source: await window.synthetic(size), ...more }, name);
    await window.settled(window.map);
  }, [shape, properties, className]);

const settled = (page) => page.evaluate('settled(map)');
const get = (page, name) => page.evaluate((key) => window.map[key], name);
const set = (page, properties) => page.evaluate(async (values) => {
  Object.assign(window.map, values);
  await window.settled(window.map);
}, properties);
const said = (page, type) => page.evaluate((wanted) =>
  window.map.log.filter(([name]) => name === wanted).map(([, detail]) => detail), type);
const sentence = (page) => page.textContent('attention-map .sentence');
const waitForSentence = (page, pattern) => page.waitForFunction(
  (source) => new RegExp(source).test(window.map.shadowRoot.querySelector('.sentence').textContent), pattern.source);

/** Of a cell's middle in the window. */
const pointOf = (page, query, key) => page.evaluate((cell) => {
  const { x, y, width } = window.map.cellRect(cell);
  return [x + width / 2, y + width / 2];
}, { query, key });

/** Red, green, blue of the picture at a cell's middle, or so many CSS pixels beside it. */
const colorAt = (page, query, key, beside = [0, 0]) => page.evaluate(([cell, [dx, dy]]) => {
  const [canvas] = window.map.shadowRoot.querySelectorAll('canvas');
  const { left, top, width } = canvas.getBoundingClientRect();
  const ratio = canvas.width / width;
  const { x, y, width: size } = window.map.cellRect(cell);
  const at = [x + size / 2 + dx - left, y + size / 2 + dy - top].map((place) => Math.floor(place * ratio));
  return [...window.pixelsOf(canvas, ...at, 1, 1)].slice(0, 3);
}, [{ query, key }, beside]);

const distance = (a, b) => Math.hypot(...a.map((value, n) => value - b[n]));

check('data: the weights are the package\'s, said and in the table', async (page) => {
  const [heads, length, dim] = [4, 40, 8];
  const tensorOf = (count, phase) => ({
    data: Float32Array.from({ length: count * length * dim }, (_, n) => Math.sin(n * 0.7 + phase) * 1.5),
    dims: [1, count, length, dim],
  });
  const attention = await createAttention();
  const inputs = { queries: tensorOf(heads, 0), keys: tensorOf(2, 1), causal: true, window: { left: 9 } };
  const { weights } = attention.getMaskedAttentionOutput({
    ...inputs, values: { data: new Float32Array(2 * length), dims: [1, 2, length, 1] }, returnAttentionWeights: true,
  });
  attention.dispose();
  const weightOf = (head, query, key) => weights.data[(head * length + query) * length + key];
  await page.evaluate(async ([count, size, width]) => {
    window.map = window.addMap({
      data: {
        queries: window.tensor(count, size, width, 0), keys: window.tensor(2, size, width, 1), causal: true,
        window: { left: 9 }, tokens: Array.from({ length: size }, (_, n) => `word ${n}`),
      },
      head: 3,
    });
    await window.settled(window.map);
  }, [heads, length, dim]);
  assert.deepEqual(await said(page, 'attention-ready'), [{ shape: [1, heads, length, length] }]);
  await set(page, { cursor: { query: 20, key: 15 } });
  await waitForSentence(page, /^Query 20 “word 20” gives key 15 “word 15”/);
  const text = await sentence(page);
  const told = Number(/weight of ([\d.e-]+)\.$/.exec(text)[1]);
  const expected = weightOf(3, 20, 15);
  assert.ok(Math.abs(told - expected) <= 0.006 * expected, `${told}, the package says ${expected}`);
  await set(page, { cursor: { query: 20, key: 5 } });
  await waitForSentence(page, /does not see key 5 “word 5”: it is masked out\.$/);
  await set(page, { cursor: { query: 20, key: 21 } });
  await waitForSentence(page, /it comes later, and the order is causal\.$/);

  await page.locator('attention-map summary').first().click();
  await page.waitForSelector('attention-map tbody tr');
  const rows = await page.locator('attention-map tbody tr').allTextContents();
  const all = Array.from({ length: length * length }, (_, n) => [Math.floor(n / length), n % length])
    .sort((a, b) => weightOf(3, ...b) - weightOf(3, ...a));
  assert.equal(rows.length, 12);
  rows.forEach((row, n) => {
    const [query, key] = all[n];
    assert.ok(row.startsWith(`${query} “word ${query}”${key} “word ${key}”`), `${n}: ${row}`);
  });
  const byHead = await page.evaluate(async () => {
    window.map.cursor = { query: 20, key: 15 };
    window.map.head = 0;
    await window.settled(window.map);
    return window.map.getAttribute('head');
  });
  assert.equal(byHead, '0');
  await page.waitForFunction((value) => {
    const match = /weight of ([\d.e-]+)\.$/.exec(window.map.shadowRoot.querySelector('.sentence').textContent);
    return match && Math.abs(Number(match[1]) - value) <= 0.006 * value;
  }, weightOf(0, 20, 15));
});

check('data: a result with dense weights is drawn too, and the worker ends with the element', async (page) => {
  await page.evaluate(async () => {
    const weights = { data: Float32Array.of(1, 0, 0.25, 0.75), dims: [1, 1, 2, 2], dtype: 'float32' };
    window.map = window.addMap({ data: { output: weights, weights } }, 'sized');
    await window.settled(window.map);
  });
  assert.equal(page.workers().length, 1);
  await set(page, { cursor: { query: 1, key: 1 } });
  await waitForSentence(page, /75 % of its attention/);
  assert.ok(distance(await colorAt(page, 1, 1, [0, -60]), await colorAt(page, 1, 0, [0, -60])) > 60);
  // Moved to another place it goes on; taken out it does not.
  await page.evaluate(() => document.querySelector('main').prepend(window.map));
  assert.equal(page.workers().length, 1);
  await page.evaluate(() => window.map.remove());
  while (page.workers().length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  await page.evaluate(async () => {
    document.querySelector('main').append(window.map);
    await window.settled(window.map);
  });
  assert.equal(page.workers().length, 1);
  assert.deepEqual(await page.evaluate(() => window.map.visible()), { rows: [0, 2], columns: [0, 2] });
});

check('keys: the cursor moves, the view follows, and every move is said', async (page) => {
  await addSynthetic(page, [1, 1, 1000, 800]);
  await set(page, { view: { x: 0, y: 0, zoom: 20 } });
  await page.keyboard.press('Tab');
  assert.deepEqual(await get(page, 'cursor'), { query: 0, key: 0, locked: false }, 'with the focus comes a cell');
  const at = async (key, query, column) => {
    await page.keyboard.press(key);
    const { query: i, key: j } = await get(page, 'cursor');
    assert.deepEqual([i, j], [query, column], key);
    const { rows, columns } = await page.evaluate(() => window.map.visible());
    assert.ok(rows[0] <= i && i < rows[1] && columns[0] <= j && j < columns[1], `${key}: the cell is in sight`);
  };
  await at('ArrowDown', 1, 0);
  await at('ArrowRight', 1, 1);
  await at('Shift+ArrowDown', 11, 1);
  await at('Control+ArrowDown', 75, 1);
  await at('Alt+ArrowRight', 75, 65);
  await at('End', 75, 799);
  await at('Home', 75, 0);
  await at('Control+End', 999, 799);
  await at('Control+Home', 0, 0);
  await at('ArrowUp', 0, 0);
  await page.keyboard.press('PageDown');
  assert.ok((await get(page, 'cursor')).query > 5);
  await page.keyboard.press('Control+Home');
  await waitForSentence(page, /^Query 0 gives key 0 40 % of its attention/);
  assert.equal(await page.getAttribute('attention-map .sentence', 'aria-live'), 'polite');

  const { zoom } = await get(page, 'view');
  await page.keyboard.press('+');
  assert.equal((await get(page, 'view')).zoom, 2 * zoom);
  await page.keyboard.press('-');
  assert.equal((await get(page, 'view')).zoom, zoom);
  await page.keyboard.press('0');
  assert.deepEqual(await page.evaluate(() => window.map.visible()), { rows: [0, 1000], columns: [0, 800] });
  await page.keyboard.press('Enter');
  assert.equal((await get(page, 'cursor')).locked, true);
  await waitForSentence(page, /\(locked\)\.$/);
  await page.keyboard.press('Escape');
  assert.equal((await get(page, 'cursor')).locked, false);
  await page.keyboard.press('t');
  assert.ok(await page.evaluate(() => window.map.shadowRoot.querySelector('details').open));
  assert.equal(await page.evaluate(() => window.map.shadowRoot.activeElement.localName), 'summary');
  const events = await said(page, 'attention-cursor');
  assert.deepEqual(events.at(-1), { query: 0, key: 0, locked: false });
  await settled(page);
  assert.ok((await said(page, 'attention-view')).every(({ user }) => user === true));
});

check('mouse: pointing reads, a click locks, dragging moves, the wheel zooms where it points', async (page) => {
  await addSynthetic(page, [1, 1, 1000, 1000]);
  await set(page, { view: { x: 300, y: 310, zoom: 10 } });
  await page.mouse.move(...await pointOf(page, 320, 310));
  assert.deepEqual(await get(page, 'cursor'), { query: 320, key: 310, locked: false });
  await page.mouse.click(...await pointOf(page, 321, 312));
  assert.deepEqual(await get(page, 'cursor'), { query: 321, key: 312, locked: true });
  await page.mouse.move(...await pointOf(page, 325, 325));
  assert.deepEqual(await get(page, 'cursor'), { query: 321, key: 312, locked: true }, 'locked');
  await page.mouse.click(...await pointOf(page, 321, 312));
  assert.equal((await get(page, 'cursor')).locked, false);

  const earlier = await get(page, 'view');
  const [x, y] = await pointOf(page, 325, 325);
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.move(x - 50, y - 30, { steps: 5 });
  await page.mouse.move(x - 100, y - 60, { steps: 5 });
  await page.mouse.up();
  await settled(page);
  const dragged = await get(page, 'view');
  assert.ok(Math.abs(dragged.x - earlier.x - 10) < 1e-6 && Math.abs(dragged.y - earlier.y - 6) < 1e-6);
  assert.equal((await get(page, 'cursor')).locked, false, 'a drag is no click');
  assert.deepEqual((await said(page, 'attention-view')).at(-1), { ...dragged, user: true });

  const [px, py] = await pointOf(page, 330, 330);
  await page.mouse.move(px, py);
  await page.mouse.wheel(0, -200);
  await page.waitForFunction((zoom) => window.map.view.zoom > zoom, dragged.zoom);
  await page.mouse.move(...await pointOf(page, 330, 330));
  const [qx, qy] = await pointOf(page, 330, 330);
  assert.ok(Math.hypot(qx - px, qy - py) < 1, 'what is under the pointer stays there');

  // Nothing empty beside the picture, however far it is dragged; and seen as a whole, it leaves the wheel to the page.
  await set(page, { view: { x: -500, y: 5000, zoom: 10 } });
  const { rows, columns } = await page.evaluate(() => window.map.visible());
  assert.deepEqual([rows[1], columns[0]], [1000, 0]);
  await set(page, { view: undefined });
  const prevented = await page.evaluate(() => {
    const wheel = (deltaY) => !window.map.shadowRoot.querySelector('.stage').dispatchEvent(
      new WheelEvent('wheel', { deltaY, bubbles: true, cancelable: true, clientX: 300, clientY: 200 }));
    return [wheel(100), wheel(-100)];
  });
  assert.deepEqual(prevented, [false, true]);
  for (const [name, grows] of [['Zoom in', true], ['Zoom out', false]]) {
    const { zoom } = await get(page, 'view');
    await page.getByRole('button', { name }).click();
    assert.equal((await get(page, 'view')).zoom > zoom, grows, name);
  }
});

check('tools: blocks are drawn and erased, by mouse and by keys', async (page) => {
  await addSynthetic(page, [1, 1, 1000, 1000], { tool: 'draw', blockSize: 16 });
  await set(page, { view: { x: 100, y: 100, zoom: 4 } });
  const [from, to] = [await pointOf(page, 130, 135), await pointOf(page, 150, 120)];
  const view = await get(page, 'view');
  await page.mouse.move(...from);
  await page.mouse.down();
  await page.mouse.move(...to, { steps: 4 });
  await page.mouse.up();
  assert.deepEqual(await said(page, 'attention-draw'), [{ rows: [128, 160], columns: [112, 144], keep: true }]);
  assert.deepEqual(await get(page, 'view'), view, 'the picture stays');
  await set(page, { tool: 'erase', cursor: { query: 200, key: 33 } });
  await page.locator('attention-map .stage').focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Control+ArrowRight');
  await page.keyboard.press('Enter');
  assert.deepEqual((await said(page, 'attention-draw')).at(-1), { rows: [192, 208], columns: [32, 112], keep: false });
  await page.keyboard.press('Enter');
  await page.keyboard.press('Escape');
  await page.keyboard.press('Escape');
  assert.equal((await said(page, 'attention-draw')).length, 2, 'given up');

  await page.keyboard.down(' ');
  await page.mouse.move(...from);
  await page.mouse.down();
  await page.mouse.move(from[0] - 40, from[1], { steps: 4 });
  await page.mouse.up();
  await page.keyboard.up(' ');
  assert.equal((await said(page, 'attention-draw')).length, 2, 'with the space bar it pans');
  assert.notDeepEqual(await get(page, 'view'), view);
});

check('tools: the window\'s edge and the sinks are dragged, and moved by keys', async (page) => {
  await addSynthetic(page, [1, 1, 200, 240], { tool: 'window', window: { left: 20 } });
  const [x, y] = await pointOf(page, 100, 119.5); // column = row + 240 - 200 - 20
  const { zoom } = await get(page, 'view');
  await page.mouse.move(x, y - zoom / 2);
  await page.mouse.down();
  await page.mouse.move(x - 10 * zoom, y - zoom / 2, { steps: 3 });
  assert.deepEqual((await said(page, 'attention-drag')).at(-1), { handle: 'window', value: 30, done: false });
  await page.mouse.up();
  assert.deepEqual((await said(page, 'attention-drag')).at(-1), { handle: 'window', value: 30, done: true });
  assert.deepEqual(await get(page, 'window'), { left: 30 });
  assert.equal((await get(page, 'cursor'))?.locked ?? false, false, 'a drag is no click');
  await page.keyboard.press('[');
  await page.keyboard.press('}');
  assert.deepEqual(await get(page, 'window'), { left: 39 });
  await set(page, { tool: 'sinks', sinks: 0 });
  await page.keyboard.press(']');
  assert.deepEqual((await said(page, 'attention-drag')).at(-1), { handle: 'sinks', value: 1, done: true });
  await page.keyboard.press('{');
  assert.equal(await get(page, 'sinks'), 0);
});

check('linked: two maps follow each other without echo', async (page) => {
  await page.evaluate(async () => {
    const maps = [];
    for (let n = 0; n < 2; n++) maps.push(window.addMap({ source: await window.synthetic([1, 1, 500, 500]) }, 'sized'));
    for (const [from, to] of [maps, [...maps].reverse()]) {
      from.addEventListener('attention-view', ({ detail: { x, y, zoom } }) => (to.view = { x, y, zoom }));
      from.addEventListener('attention-cursor', ({ detail }) => (to.cursor = detail));
    }
    for (const map of maps) await window.settled(map);
    [window.map, window.other] = maps;
  });
  await page.mouse.move(...await pointOf(page, 250, 250));
  const { zoom } = await get(page, 'view');
  await page.mouse.wheel(0, -600);
  await page.waitForFunction((fit) => {
    const [a, b] = [window.map.view.zoom, window.other.view.zoom];
    return a > 2 * fit && a === b;
  }, zoom);
  await settled(page);
  const result = await page.evaluate(() => ({
    views: [window.map.view, window.other.view],
    cursors: [window.map.cursor, window.other.cursor],
    echoes: window.other.log.filter(([type]) => type !== 'attention-ready'),
  }));
  assert.deepEqual(result.views[0], result.views[1]);
  assert.deepEqual(result.cursors[0], result.cursors[1]);
  assert.deepEqual(result.echoes, []);
});

check('100,000 x 100,000: only what is seen is asked for, and only single cells are read', async (page) => {
  await addSynthetic(page, [1, 1, 100_000, 100_000]);
  const asked = () => page.evaluate(() => window.map.source.asked());
  const first = await asked();
  assert.ok(first.tile <= 12, `${first.tile} tiles for the whole picture`);
  const reads = async () => {
    const { read = 0, tile } = await asked();
    return read - tile; // each tile reads once
  };
  assert.equal(await reads(), 0, 'no cells');
  await page.evaluate(async () => {
    const frame = () => new Promise(requestAnimationFrame);
    for (let n = 0; n <= 60; n++) {
      window.map.view = { x: 40_000 + 100 * n, y: 40_000 + 100 * n, zoom: 0.05 };
      await frame();
    }
    await window.settled(window.map);
  });
  const panned = await asked();
  assert.ok(panned.tile - first.tile <= 60, `${panned.tile - first.tile} tiles for 6000 cells of way`);
  assert.equal(await reads(), 0, 'no cells while they are too small to be told apart');
  await set(page, { view: { x: 50_000, y: 50_010, zoom: 40 } });
  assert.ok(await reads() > 0 && await reads() <= 4, 'the chunks in sight');
  // What is too much to list is said to be.
  await set(page, { view: undefined });
  await page.locator('attention-map summary').first().click();
  await page.waitForFunction(() =>
    /at most 1000 by 1000/.test(window.map.shadowRoot.querySelector('.scroll p').textContent));
  assert.deepEqual(await said(page, 'attention-error'), []);
});

check('picture: kept, masked and skipped differ, small and large', async (page) => {
  await addSynthetic(page, [1, 1, 4096, 4096]);
  const spots = { kept: [2000, 1700], masked: [2000, 970], skipped: [2000, 600] };
  await set(page, { view: { x: 0, y: 0, zoom: 0.1 } });
  for (const view of [{ x: 500, y: 1900, zoom: 0.3 }, undefined]) {
    await set(page, { view });
    const [kept, masked, skipped] = await Promise.all(Object.values(spots).map((spot) => colorAt(page, ...spot)));
    assert.ok(distance(kept, masked) > 60 && distance(kept, skipped) > 60, `${kept}, ${masked}, ${skipped}`);
    if (view) assert.ok(distance(masked, skipped) > 15, `${masked}, ${skipped}`);
  }
  // Close up without any colour: lines over the masked ones, dots over the skipped ones, neither over those kept.
  const marks = (query, key) => page.evaluate(async ([i, j]) => {
    window.map.view = { x: j - 10, y: i - 10, zoom: 12 };
    await window.settled(window.map);
    const [canvas] = window.map.shadowRoot.querySelectorAll('canvas');
    const { left, top } = canvas.getBoundingClientRect();
    const { x, y } = window.map.cellRect({ query: i, key: j });
    const data = window.pixelsOf(canvas, Math.ceil(x - left), Math.ceil(y - top), 24, 24);
    const counts = new Map();
    for (let n = 0; n < data.length; n += 4) {
      const color = `${data[n]} ${data[n + 1]} ${data[n + 2]}`;
      counts.set(color, (counts.get(color) ?? 0) + 1);
    }
    return 1 - Math.max(...counts.values()) / (24 * 24);
  }, [query, key]);
  const [masked, skipped] = [await marks(...spots.masked), await marks(...spots.skipped)];
  assert.ok(masked > 0.15, `lines over ${masked}`);
  assert.ok(skipped > 0.01 && skipped < 0.15, `dots over ${skipped}`);
});

check('picture: what a tile shows, the cells show too, in every scale and colour', async (page) => {
  await addSynthetic(page, [1, 1, 300, 300]);
  await set(page, { view: { x: 0, y: 290, zoom: 30 } });
  const seen = new Set();
  for (const colors of ['viridis', 'magma', 'greys']) {
    for (const scale of ['linear', 'log']) {
      await set(page, { colors, scale });
      const strong = await colorAt(page, 295, 0, [8, 8]);
      const weak = await colorAt(page, 295, 3, [8, 8]);
      assert.ok(distance(strong, weak) > 30, `${colors}, ${scale}: ${strong}, ${weak}`);
      seen.add(`${strong} ${weak}`);
    }
  }
  assert.equal(seen.size, 6);
  assert.equal(await page.getAttribute('attention-map', 'colors'), 'greys');
  const legends = [];
  for (const scale of ['linear', 'log']) {
    await set(page, { scale });
    legends.push(await page.textContent('attention-map .legend'));
  }
  assert.notEqual(legends[0], legends[1]);
  assert.match(legends[0], /weight.*masked out.*block of 64 × 64 skipped/);
  await set(page, { range: 'row', skipKeys: 1 });
  assert.match(await page.textContent('attention-map .legend'), /as a part of its row's largest; range without key 0/);
});

check('properties: wrong values are refused by name, and change nothing', async (page) => {
  await addSynthetic(page, [1, 2, 30, 30]);
  const errors = await page.evaluate(async () => {
    const tries = [
      ['head', 2], ['head', 1.5], ['scale', 'none'], ['view', { x: 0, y: 0, zoom: 0 }],
      ['cursor', { query: 30, key: 0 }], ['source', { shape: [1, 1, 3] }], ['data', {}], ['tokens', ['a']],
    ];
    return tries.map(([name, value]) => {
      try {
        window.map[name] = value;
        return 'taken';
      } catch (error) {
        return `${error.name}: ${error.message}`;
      }
    });
  });
  [
    /^RangeError: head must be in 0\.\.1, got 2/, /^RangeError: head must be an integer >= 0, got 1\.5/,
    /^RangeError: scale must be one of/, /^RangeError: view must be/,
    /^RangeError: cursor\.query must be an integer in 0\.\.29, got 30/, /^TypeError: source\.shape must be/,
    /^TypeError: data must have queries and keys/, /^RangeError: tokens of (queries|keys) must be 30, got/,
  ].forEach((pattern, n) => assert.match(errors[n], pattern));
  const now = () => page.evaluate(() => [window.map.head, window.map.scale, window.map.range]);
  assert.deepEqual(await now(), [0, 'power', 'head']);
  assert.equal(await page.evaluate(() => window.map.source.shape.length), 4);
  await page.evaluate(() => {
    window.map.setAttribute('head', '1');
    window.map.setAttribute('scale', 'nonsense');
    window.map.setAttribute('range', 'row');
  });
  assert.deepEqual(await now(), [1, 'power', 'row']);
  assert.equal(await page.evaluate(async () => {
    const early = document.createElement('div');
    early.innerHTML = '<attention-map head="1" colors="magma"></attention-map>';
    return `${early.firstChild.head} ${early.firstChild.colors}`;
  }), '1 magma');
});

check('errors: what the worker refuses is shown, and the next data is drawn', async (page) => {
  const message = await page.evaluate(async () => {
    const wrong = { queries: window.tensor(3, 8, 4, 0), keys: window.tensor(2, 8, 4, 1), tokens: ['one'] };
    window.map = window.addMap({ data: wrong }, 'sized');
    return new Promise((resolve) => {
      window.map.addEventListener('attention-error', ({ detail: { error } }) => resolve(error.message), { once: true });
    });
  });
  assert.equal(await page.locator('attention-map [role="alert"]').textContent(), message);
  await page.evaluate(async () => {
    window.map.data = { queries: window.tensor(2, 8, 4, 0), keys: window.tensor(2, 8, 4, 1) };
    await window.settled(window.map);
  });
  assert.ok(await page.locator('attention-map .message').isHidden());
  assert.equal((await said(page, 'attention-ready')).length, 1);
});

check('a new source of the same size keeps view and cursor; another size does not', async (page) => {
  await addSynthetic(page, [1, 1, 500, 500]);
  await set(page, { view: { x: 50, y: 60, zoom: 5 }, cursor: { query: 70, key: 60 } });
  const view = await get(page, 'view');
  const renew = (shape) => page.evaluate(async (size) => {
    window.map.source = await window.synthetic(size);
    await window.settled(window.map);
    return { view: window.map.view, cursor: window.map.cursor, visible: window.map.visible() };
  }, shape);
  assert.deepEqual(await renew([1, 1, 500, 500]).then(({ view: v, cursor }) => [v, cursor]),
    [view, { query: 70, key: 60, locked: false }]);
  const other = await renew([1, 1, 400, 300]);
  assert.deepEqual([other.cursor, other.visible], [undefined, { rows: [0, 400], columns: [0, 300] }]);
  assert.equal((await said(page, 'attention-ready')).length, 3);
});

check('figure: what is visible, as figure.js takes it', async (page) => {
  await addSynthetic(page, [1, 1, 5000, 5000], { label: 'a head', range: 'row' });
  const figureOf = () => page.evaluate(async () => {
    const { cells, scale, rowMax, ...rest } = await window.map.figure();
    return { ...rest, size: [cells.rows, cells.columns], top: scale.position(1), maxima: rowMax.length };
  });
  const whole = await figureOf();
  assert.deepEqual(
    [whole.level, whole.rows, whole.columns, whole.size, whole.title, whole.theme, whole.maxima, whole.top],
    [3, [0, 5000], [0, 5000], [625, 625], 'a head', 'light', 625, 1],
  );
  await set(page, { view: { x: 10, y: 20, zoom: 40 } });
  const close = await figureOf();
  assert.deepEqual([close.level, close.rows[0], close.columns[0], close.numbers], [0, 20, 10, true]);
  const kinds = await page.evaluate(async () => {
    const { figure } = await import('/attention-map/figure.js');
    window.map.tokens = Array.from({ length: 5000 }, (_, n) => `t${n}`);
    return figure(await window.map.figure()).shapes.map(({ type }) => type);
  });
  assert.ok(kinds.includes('text') && kinds.length > 10, `${kinds}`);
});

for (const [name, options] of Object.entries({
  light: { colorScheme: 'light' },
  dark: { colorScheme: 'dark' },
  'forced colours': { forcedColors: 'active' },
  phone: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true },
})) {
  check(`${name}: axe finds nothing, nothing sticks out`, async (page) => {
    const highlight = [{ rows: [0, 9], columns: [0, 9] }];
    await addSynthetic(page, [1, 1, 200, 200], { cursor: { query: 20, key: 10 }, highlight }, '');
    await set(page, { view: { x: 0, y: 0, zoom: 12 } });
    for (const summary of await page.locator('attention-map summary').all()) await summary.click();
    await page.waitForSelector('attention-map tbody tr');
    await page.evaluate(axe);
    const violations = await page.evaluate(async () => {
      const found = (await window.axe.run(document)).violations;
      return found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(', ')}`);
    });
    assert.deepEqual(violations, []);
    const width = await page.evaluate('document.documentElement.scrollWidth');
    assert.equal(width, page.viewportSize().width);
  }, options);
}

check('colours: a page\'s own, and its change to dark, reach the picture', async (page) => {
  await addSynthetic(page, [1, 1, 4096, 4096]);
  const masked = () => colorAt(page, 2000, 3000);
  await set(page, { view: { x: 2900, y: 1900, zoom: 0.3 } });
  const light = await masked();
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.waitForFunction((bright) => {
    const [canvas] = window.map.shadowRoot.querySelectorAll('canvas');
    return window.pixelsOf(canvas, canvas.width - 60, 60, 1, 1)[0] < bright - 100;
  }, light[0]);
  const dark = await masked();
  assert.ok(distance(light, dark) > 200, `${light}, ${dark}`);
  await page.evaluate(() => window.map.style.setProperty('--attention-map-skipped', 'rgb(200 30 30)'));
  await page.waitForFunction(() => {
    const [canvas] = window.map.shadowRoot.querySelectorAll('canvas');
    return window.pixelsOf(canvas, canvas.width - 60, 60, 1, 1)[0] === 200;
  });
  assert.deepEqual(await masked(), [200, 30, 30]);
});

check('touch: a tap locks, seen as a whole a finger scrolls the page, two zoom', async (page) => {
  await addSynthetic(page, [1, 1, 60, 60], {}, '');
  const action = () => page.evaluate(() => getComputedStyle(window.map.shadowRoot.querySelector('.stage')).touchAction);
  assert.equal(await action(), 'pan-x pan-y');
  await page.touchscreen.tap(...await pointOf(page, 30, 20));
  assert.deepEqual(await get(page, 'cursor'), { query: 30, key: 20, locked: true });
  const earlier = await get(page, 'view');
  const [x, y] = await pointOf(page, 30, 30);
  const session = await page.context().newCDPSession(page);
  const touch = (type, ...points) => session.send('Input.dispatchTouchEvent', {
    type, touchPoints: points.map(([px, py], id) => ({ x: px, y: py, id })),
  });
  await touch('touchStart', [x - 20, y]);
  await touch('touchStart', [x - 20, y], [x + 20, y]);
  for (const spread of [30, 40, 60, 80]) await touch('touchMove', [x - spread, y], [x + spread, y]);
  await touch('touchEnd');
  await settled(page);
  assert.ok((await get(page, 'view')).zoom > 2 * earlier.zoom);
  assert.equal(await action(), 'none');
  await set(page, { tool: 'draw' });
  const drawn = await get(page, 'view');
  await touch('touchStart', [x, y]);
  await touch('touchMove', [x + 30, y + 30]);
  await touch('touchEnd');
  assert.equal((await said(page, 'attention-draw')).length, 1);
  assert.deepEqual(await get(page, 'view'), drawn);
}, { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true });

test('examples/attention-map.html shows its map', { skip }, () => visit({}, async (page) => {
  await page.waitForFunction(() =>
    document.querySelector('attention-map').shadowRoot?.querySelector('.stage').ariaBusy === 'false');
  await page.locator('attention-map .stage').hover();
  await page.waitForFunction(() => /→/.test(document.querySelector('#event').textContent));
  const [shown, told] = await Promise.all([page.textContent('#event'), page.textContent('attention-map .sentence')]);
  assert.ok(shown && told !== undefined);
}, '/examples/attention-map.html'));
