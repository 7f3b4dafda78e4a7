// SPDX-License-Identifier: Apache-2.0
// The page in a real browser: what a reader does with it, part by part, against what the package computes in Node; at a
// desktop's and a phone's size, by keyboard alone, and without a complaint in the console.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

import { createAttention, Mask } from '../../js/index.js';
import { readNpy, writeNpy } from '../../js/npy.js';
import { buildDemo } from '../../tools/build-demo.mjs';
import { serve } from '../../tools/serve.mjs';
import { readSample } from '../../web-demo/files/sample.js';
import { percent } from '../../web-demo/format.js';
import { formatState } from '../../web-demo/state.js';
import { args, executablePath, skip } from './chromium.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const axe = readFileSync(join(root, 'node_modules/axe-core/axe.min.js'), 'utf8');
const sizes = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };
const sample = readSample(readFileSync(join(root, 'samples/attention.safetensors')));
const steps = sample.layers[0].problem.queries.dims[2];
const chosen = Math.round(steps / 8); // keys of the mask that the page begins with
const band = { maskers: [], predicate: 'abs(q - k) <= 3' };
let folder;
let browser;
let server;
let attention;

before(async () => {
  if (skip) return;
  attention = await createAttention({ variant: 'base' });
  folder = mkdtempSync(join(tmpdir(), 'attn-demo-'));
  await buildDemo(folder);
  server = await serve({ root: folder });
  browser = await chromium.launch({ executablePath, args });
});

after(async () => {
  await browser?.close();
  server?.closeAllConnections();
  server?.close();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

/** Opens the page with a state, waits until everything is computed, and runs `use`; it complains of nothing. */
async function visit({ state = {}, search = formatState(state), expected = 'ready', ...options }, use) {
  const context = await browser.newContext({ viewport: sizes.desktop, reducedMotion: 'reduce', ...options });
  try {
    const page = await context.newPage();
    const complaints = [];
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.goto(`http://127.0.0.1:${server.address().port}/${search}`);
    await settled(page, expected);
    await use(page);
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

/** What was changed takes a moment to be asked for: ready twice, with a pause between, is ready. */
async function settled(page, expected = 'ready') {
  for (let n = 0; n < 2; n++) {
    await page.waitForSelector('body[data-state="ready"], body[data-state="error"]');
    await page.waitForTimeout(60);
  }
  await page.waitForSelector('body[data-state="ready"], body[data-state="error"]');
  assert.equal(await page.getAttribute('body', 'data-state'), expected);
}

const check = (name, options, use) => test(`page: ${name}`, { skip }, () => visit(options, use));

const number = async (page, label, slot = 0) => {
  const texts = await page.locator(`[data-number="${label}"]`).allTextContents();
  return texts[slot].trim();
};
const stage = (page, slot = 'a') => page.locator(`attention-map[data-slot="${slot}"] .stage`);
const get = (page, slot, name) => page.locator(`attention-map[data-slot="${slot}"]`).evaluate((map, key) => map[key], name);
const picture = (page, slot) => page.locator(`attention-map[data-slot="${slot}"]`).evaluate((map) =>
  map.shadowRoot.querySelector('canvas').toDataURL());

/** The place of a cell's middle on the screen. */
async function placeOf(page, slot, { query, key }) {
  return page.locator(`attention-map[data-slot="${slot}"]`).evaluate((map, cell) => {
    const { left, top, width, height } = map.cellRect(cell);
    return { x: left + width / 2, y: top + height / 2 };
  }, { query, key });
}

/** Output of a layer under a mask, and dense. */
function outputs(layer, keeps) {
  const { problem } = sample.layers[layer];
  const run = (sparseAttentionMask) =>
    attention.getMaskedAttentionOutput({ ...problem, sparseAttentionMask, outputLayout: 'bhsd', returnAttentionWeights: true });
  const mask = Mask.fromFunction([1, 1, steps, steps], (_, h, q, k) => keeps(q, k));
  return { masked: run(mask), dense: run(undefined), mask };
}

const norm = (data) => Math.sqrt(data.reduce((sum, value) => sum + value ** 2, 0));

function relativeError(a, b) {
  return norm(a.map((value, n) => value - b[n])) / norm(b);
}

const near = (text, share) => {
  const shown = Number.parseFloat(text) / 100;
  assert.ok(Math.abs(shown - share) <= 0.006 * share + 1e-9, `${text} is not ${percent(share)}`);
};

for (const [size, viewport] of Object.entries(sizes)) {
  check(`opens on a recorded sample, computed (${size})`, { viewport }, async (page) => {
    assert.equal(await page.inputValue('[name="sample"]'), 'attention');
    assert.ok(Number(await page.textContent('#difference')) <= 5e-7);
    const heads = await page.$$eval('.head canvas', (all) => all.map((canvas) => canvas.toDataURL()));
    assert.equal(new Set(heads).size, 16, 'every head looks different');
    assert.equal(await page.evaluate('document.documentElement.scrollWidth'), viewport.width, 'nothing sticks out');
    assert.match(await number(page, 'Time dense'), / (µs|ms)$/);
  });
}

check('numbers are those that the package computes', { state: { a: band } }, async (page) => {
  const { masked, dense, mask } = outputs(0, (q, k) => Math.abs(q - k) <= 3);
  near(await number(page, 'Cells kept'), mask.density());
  near(await number(page, 'Output error'), relativeError(masked.output.data, dense.output.data));
  const size = masked.output.data.length / 8;
  const first = ({ output }) => output.data.subarray(0, size);
  near(await number(page, '… of this head'), relativeError(first(masked), first(dense)));
  let kept = 0;
  dense.weights.data.subarray(0, steps ** 2).forEach((weight, n) =>
    (kept += Math.abs(Math.floor(n / steps) - (n % steps)) <= 3 ? weight : 0));
  near(await number(page, 'Mass recall'), kept / steps);
  assert.equal(await number(page, 'Rows without a key'), '0');
  assert.match(await page.textContent('.verdict'), /as dense|Dense is faster here/);
});

check('a slider changes the mask and what it costs, undo and redo take it back', {}, async (page) => {
  const dense = await picture(page, 'a');
  await page.focus('[name="a.0.heavySize"]');
  await page.keyboard.press('Home');
  await settled(page);
  near(await number(page, 'Cells kept'), 1 / steps);
  assert.notEqual(await picture(page, 'a'), dense);
  for (let n = 0; n < 2; n++) await page.keyboard.press('ArrowRight');
  await settled(page);
  near(await number(page, 'Cells kept'), 3 / steps);
  await page.click('[name="undo"]');
  await settled(page);
  near(await number(page, 'Cells kept'), 2 / steps);
  await page.keyboard.press('Control+z');
  await page.keyboard.press('Control+z');
  await settled(page);
  near(await number(page, 'Cells kept'), chosen / steps);
  assert.equal(await page.isDisabled('[name="undo"]'), true);
  for (let n = 0; n < 3; n++) await page.keyboard.press('Control+Shift+z');
  await settled(page);
  near(await number(page, 'Cells kept'), 3 / steps);
  assert.equal(await page.isDisabled('[name="redo"]'), true);
});

check('a predicate is a mask; a wrong one says what is wrong', {}, async (page) => {
  const type = async (text) => {
    await page.fill('[name="predicate"]', text);
    await page.keyboard.press('Enter');
    await settled(page);
  };
  await page.selectOption('[name="preset"]', { label: 'Dense' });
  await settled(page);
  assert.equal(await number(page, 'Cells kept'), '100 %');
  await type('q >= k && q - k < 5');
  near(await number(page, 'Cells kept'), (5 * steps - 10) / steps ** 2);
  await type('q >= x');
  assert.match(await page.textContent('#panel-masks .bad'), /predicate: expected q, k or h, got x/);
  await type('k % 2 == 0');
  near(await number(page, 'Cells kept'), Math.ceil(steps / 2) / steps);
  assert.equal(await page.locator('#panel-masks .bad').count(), 0);
});

check('maskers are added, moved and removed', { state: { a: { maskers: [] } } }, async (page) => {
  await page.selectOption('[name="add"]', 'sink');
  await page.selectOption('[name="add"]', 'quest');
  await settled(page);
  const names = () => page.$$eval('.maskers li', (all) => all.map(({ dataset }) => dataset.masker));
  assert.deepEqual(await names(), ['sink', 'quest']);
  await page.click('[aria-label="Move Quest up"]');
  assert.deepEqual(await names(), ['quest', 'sink']);
  await page.click('[aria-label^="Remove Quest"]');
  await settled(page);
  assert.deepEqual(await names(), ['sink']);
});

check('blocks are erased and drawn on the picture', { state: { a: { maskers: [] } } }, async (page) => {
  await page.click('[data-tool="erase"]');
  const [from, to] = [await placeOf(page, 'a', { query: 1, key: 1 }), await placeOf(page, 'a', { query: 6, key: 2 })];
  await page.mouse.move(from.x, from.y);
  await page.mouse.down();
  await page.mouse.move(to.x, to.y, { steps: 4 });
  await page.mouse.up();
  await settled(page);
  near(await number(page, 'Cells kept'), 1 - (8 * 4) / steps ** 2); // blocks of 4 x 4
  await page.click('[data-tool="draw"]');
  await page.mouse.click(from.x, from.y);
  await settled(page);
  near(await number(page, 'Cells kept'), 1 - (4 * 4) / steps ** 2);
  assert.match(await page.textContent('.edits'), /2 blocks drawn or erased/);
  await page.click('.edits button');
  await settled(page);
  assert.equal(await number(page, 'Cells kept'), '100 %');
});

check('the window and the sinks are dragged, also by keys', { state: { a: { maskers: [] } } }, async (page) => {
  await page.click('[data-tool="window"]');
  await stage(page).focus();
  for (const key of [']', ']', ']']) await page.keyboard.press(key);
  await settled(page);
  near(await number(page, 'Cells kept'), (4 * steps - 6) / steps ** 2);
  await page.click('[data-tool="sinks"]');
  const [from, to] = [await placeOf(page, 'a', { query: 20, key: -0.5 }), await placeOf(page, 'a', { query: 20, key: 1.5 })];
  await page.mouse.move(from.x + 1, from.y);
  await page.mouse.down();
  await page.mouse.move(to.x, to.y, { steps: 5 });
  await page.mouse.up();
  await settled(page);
  assert.deepEqual(await page.$$eval('.maskers li', (all) => all.map(({ dataset }) => dataset.masker).sort()), ['local', 'sink']);
  assert.equal(await page.inputValue('.maskers [data-masker="sink"] input[type="number"]'), '2');
});

check('a cell says why it is kept, and what a dropped one would have weighed', {}, async (page) => {
  const { weights } = outputs(0, () => true).dense;
  const row = [...weights.data.subarray(5 * steps, 6 * steps)];
  const best = row.indexOf(Math.max(...row));
  const least = row.indexOf(Math.min(...row));
  const sentence = async (key) => {
    const { x, y } = await placeOf(page, 'a', { query: 5, key });
    await page.mouse.move(x, y);
    await page.waitForFunction((wanted) => document.querySelector('attention-map').shadowRoot.querySelector('.sentence')
      .textContent.includes(wanted), `key ${key} `);
    return page.locator('attention-map .sentence').textContent();
  };
  assert.match(await sentence(best), new RegExp(`Kept: Exact top-k: rank 1 of ${chosen} `));
  assert.match(await sentence(least), new RegExp(`loses ${percent(row[least]).slice(0, 3).replace('.', '\\.')}.*rank ${steps}`));
});

check('a dot of the curve loads its setting', {}, async (page) => {
  const dots = page.locator('.curve circle');
  assert.ok((await dots.count()) >= 6);
  assert.equal(await page.locator('.curve circle.current').count(), 1);
  await dots.first().focus();
  await page.keyboard.press('Enter');
  await settled(page);
  near(await number(page, 'Cells kept'), 1 / steps);
});

check('heads are previewed, chosen, sorted, filtered and found by likeness', {}, async (page) => {
  await page.hover('.head[data-layer="1"][data-head="2"]');
  assert.equal(await get(page, 'a', 'head'), 2);
  assert.match(await page.textContent('#panel-heads .note:last-child'), /^Preview: layer 2, head 3: entropy/);
  await settled(page);
  const previewed = await page.locator('attention-map').evaluate((map) => map.source.name);
  assert.equal(JSON.parse(previewed).layer, 1, 'the map shows the layer of the head under the pointer');
  await page.hover('h1');
  assert.equal(await get(page, 'a', 'head'), 0);
  await page.click('.head[data-layer="1"][data-head="2"]');
  await settled(page);
  assert.match(await page.textContent('#title-stage'), /Layer 2, head 3/);
  await page.selectOption('[name="sort"]', 'entropy');
  const values = await page.$$eval('.head span', (all) => all.map(({ textContent }) => Number(textContent.split('·')[1])));
  assert.equal(values.length, 16);
  assert.deepEqual(values, [...values].sort((a, b) => b - a));
  const { weights } = attention.getMaskedAttentionOutput({ ...sample.layers[1].problem, returnAttentionWeights: true });
  const own = weights.data.subarray(2 * steps ** 2, 3 * steps ** 2);
  const entropy = own.reduce((sum, weight) => sum - (weight > 0 ? weight * Math.log2(weight) : 0), 0) / steps;
  const shown = await page.textContent('.head[data-layer="1"][data-head="2"] span');
  assert.ok(Math.abs(Number(shown.split('·')[1]) - entropy) < 0.06, `${shown}, ${entropy}`);
  await page.selectOption('[name="sort"]', 'similarity');
  assert.equal(await page.getAttribute('.head:first-child', 'data-head'), '2', 'a head is most like itself');
  await settled(page);
  await page.fill('[name="from"]', '0.5');
  assert.ok((await page.locator('.head').count()) < 16);
});

check('two masks side by side, linked, and where they differ', { state: { compare: true, b: band } }, async (page) => {
  assert.equal(await page.locator('attention-map').count(), 3);
  const text = await page.textContent('#regions-counts');
  const [both, onlyA, onlyB, neither] = text.match(/\d[\d,]*(?!\S)|\d[\d,]*(?=[,.])/g).map((part) => Number(part.replaceAll(',', '')));
  const banded = 7 * steps - 12;
  assert.equal(both + onlyB, banded);
  assert.equal(both + onlyA, chosen * steps);
  assert.equal(both + onlyA + onlyB + neither, steps ** 2);
  await stage(page, 'a').focus();
  await page.keyboard.press('+');
  await page.keyboard.press('Control+Home');
  await page.keyboard.press('ArrowDown');
  await settled(page);
  for (const name of ['view', 'cursor']) {
    const shown = await Promise.all(['a', 'b', 'regions'].map((slot) => get(page, slot, name)));
    assert.deepEqual(shown[1], shown[0]);
    assert.deepEqual(shown[2], shown[0]);
  }
  await page.click('.segments button:has-text("Mask B")');
  assert.equal(await page.inputValue('[name="predicate"]'), band.predicate);
});

check('a link gives back the view', { state: { a: band } }, async (page) => {
  await stage(page).focus();
  await page.keyboard.press('+');
  await page.keyboard.press('ArrowDown');
  await page.click('summary:has-text("Colours")');
  await page.selectOption('[name="scale"]', 'log');
  await page.selectOption('[name="colors"]', 'magma');
  await settled(page);
  await page.waitForURL(/colors=magma/);
  const first = { view: await get(page, 'a', 'view'), cursor: await get(page, 'a', 'cursor'), url: page.url() };
  await visit({ search: new URL(first.url).search }, async (other) => {
    const view = await get(other, 'a', 'view');
    for (const name of ['x', 'y', 'zoom']) assert.ok(Math.abs(view[name] - first.view[name]) < 1e-4, name);
    assert.deepEqual(await get(other, 'a', 'cursor'), first.cursor);
    assert.equal(await get(other, 'a', 'scale'), 'log');
    assert.equal(await picture(other, 'a'), await picture(page, 'a'));
  });
});

check('a link of a newer page opens, and tells', { search: '?v=9&head=3&lens=2' }, async (page) => {
  assert.match(await page.textContent('#message'), /does not know: v, lens/);
  assert.equal(await get(page, 'a', 'head'), 2);
});

const npy = (dims, seed) => {
  const data = Float32Array.from({ length: dims.reduce((a, b) => a * b) }, (_, n) => Math.sin(seed + 1.7 * n));
  return { buffer: Buffer.from(writeNpy('<f4', dims, data)), data };
};

check('own files are read; hostile ones get a message and change nothing', {}, async (page) => {
  const open = async (files) => {
    await page.setInputFiles('[name="files"]', files.map(([name, buffer]) => ({ name, buffer, mimeType: '' })));
  };
  const [q, k, v] = [npy([1, 4, 20, 8], 1), npy([1, 2, 24, 8], 2), npy([1, 2, 24, 8], 3)];
  await open([['q.npy', q.buffer.subarray(0, 200)], ['k.npy', k.buffer]]);
  await page.waitForSelector('#message');
  assert.match(await page.textContent('#message'), /q\.npy/);
  assert.equal(await page.inputValue('[name="sample"]'), 'attention');
  await open([['q.npy', q.buffer], ['k.npy', k.buffer], ['v.npy', v.buffer]]);
  await page.waitForFunction(() => document.querySelectorAll('.head').length === 4);
  await settled(page);
  assert.equal(await page.locator('.key-head').count(), 2, 'query heads stand under their key heads');
  assert.equal(await page.locator('#message').count(), 0);
  await page.selectOption('[name="preset"]', { label: 'Oracle top-k' });
  await settled(page);
  near(await number(page, 'Cells kept'), 3 / 24);
});

check('a mask that files bring along is one more masker', {}, async (page) => {
  const [q, k] = [npy([12, 8], 1), npy([12, 8], 2)];
  const mask = Mask.slidingWindow([1, 1, 12, 12], { left: 1, right: 0 });
  const files = [['q.npy', q.buffer], ['k.npy', k.buffer], ['sparse_mask.npz', Buffer.from(mask.toNpz())]];
  await page.setInputFiles('[name="files"]', files.map(([name, buffer]) => ({ name, buffer, mimeType: '' })));
  await page.waitForSelector('[data-masker="given"]');
  await settled(page);
  near(await number(page, 'Cells kept'), 23 / 144);
  await page.click('[name="decode"]');
  await settled(page);
  assert.match(await page.textContent('#decode-sentence'), /Reads 2 of 12 keys/);
});

check('weights alone are shown', {}, async (page) => {
  const weights = npy([1, 2, 6, 6], 5);
  const buffer = Buffer.from(writeNpy('<f4', [1, 2, 6, 6], weights.data.map(Math.abs)));
  await page.setInputFiles('[name="files"]', [{ name: 'weights.npy', buffer, mimeType: '' }]);
  await page.waitForFunction(() => document.querySelectorAll('.head').length === 2);
  await settled(page);
  assert.equal(await page.locator('#panel-numbers').count(), 0);
  await stage(page).focus();
  await page.waitForFunction(() => document.querySelector('attention-map').shadowRoot.querySelector('.sentence').textContent !== '');
});

check('an unclear layout is asked about', {}, async (page) => {
  const [q, k] = [npy([8, 8, 4], 1), npy([8, 8, 4], 2)];
  await page.setInputFiles('[name="files"]', [q, k].map(({ buffer }, n) => ({ name: `${'qk'[n]}.npy`, buffer, mimeType: '' })));
  await page.waitForSelector('[role="dialog"]');
  await page.click('[role="dialog"] button:first-child');
  await page.waitForFunction(() => document.querySelectorAll('.head').length === 8);
  await settled(page);
});

check('masks, cells, figures and recipes are saved', { state: { a: band } }, async (page) => {
  const save = async (label, count = 1) => {
    const downloads = [];
    page.on('download', (download) => downloads.push(download));
    await page.locator('.menu:has-text("Save")').evaluate((menu) => (menu.open = true));
    await page.click(`.menu button:text-is("${label}")`);
    await page.waitForFunction(() => document.querySelector('.saved').textContent !== '');
    assert.match(await page.textContent('.saved'), /^Saved/);
    while (downloads.length < count) await page.waitForEvent('download');
    page.removeAllListeners('download');
    return Promise.all(downloads.map(async (download) =>
      ({ name: download.suggestedFilename(), content: readFileSync(await download.path()) })));
  };
  const kept = (q, k) => (Math.abs(q - k) <= 3 ? 1 : 0);
  const [mask] = await save('Mask, .npy');
  assert.match(mask.name, /layer-1-head-1-mask\.npy$/);
  const { dims, data } = readNpy(mask.content, mask.name, ['b1']);
  assert.deepEqual(dims, [1, 1, steps, steps]);
  data.forEach((bit, n) => assert.equal(bit, kept(Math.floor(n / steps), n % steps)));
  const [csr] = await save('Mask, CSR .npz');
  assert.equal((await Mask.fromNpz(csr.content)).density(), data.reduce((a, b) => a + b) / steps ** 2);
  const flex = await save('Mask, FlexAttention blocks', 2);
  assert.deepEqual(flex.map(({ name }) => name.split('.').at(-1)).sort(), ['npz', 'py']);
  const [csv] = await save('Weights in view, CSV');
  const lines = csv.content.toString().trim().split('\r\n');
  assert.equal(lines.length, steps ** 2 + 1);
  const { weights } = outputs(0, (q, k) => Math.abs(q - k) <= 3).masked;
  const [first, far] = [lines[1], lines[steps]].map((line) => line.split(',').at(-1));
  assert.ok(Math.abs(Number(first) - weights.data[0]) < 1e-6);
  assert.equal(far, '');
  const [recipe] = await save('Recipe, JSON');
  assert.equal(JSON.parse(recipe.content).predicate, band.predicate);
  const [svg] = await save('Figure, SVG');
  assert.match(svg.content.toString(), /^<(\?xml|svg)[\s\S]*<metadata>[\s\S]*abs\(q - k\)[\s\S]*<\/svg>\s*$/);
  const widths = [];
  for (const label of ['Figure, PNG', 'Figure, PNG at 2x', 'Figure, PNG at 4x']) {
    const [png] = await save(label);
    assert.equal(png.content.subarray(1, 4).toString(), 'PNG');
    widths.push(png.content.readUInt32BE(16));
  }
  assert.deepEqual(widths.map((width) => width / widths[0]), [1, 2, 4]);
});

check('decoding steps through time', { state: { a: { maskers: [{ name: 'sink', size: 1 }, { name: 'local', size: 3 }] } } }, async (page) => {
  await page.click('[name="decode"]');
  await settled(page);
  const sentence = () => page.textContent('#decode-sentence');
  assert.match(await sentence(), new RegExp(`Reads 4 of ${steps} keys in 3 of ${Math.ceil(steps / 4)} pages`));
  await page.fill('.slider input[aria-label="Query, as a number"]', '1');
  await page.keyboard.press('Enter');
  await settled(page);
  assert.match(await sentence(), /Reads 2 of 2 keys in 1 of 1 pages/);
  await page.click('[name="play"]');
  await page.waitForFunction(() => document.querySelector('[name="step"]').value === '3');
  await page.click('[name="play"]');
});

check('everything is reached by keys alone', {}, async (page) => {
  const reached = new Set();
  for (let n = 0; n < 60; n++) {
    await page.keyboard.press('Tab');
    reached.add(await page.evaluate(() => {
      const { activeElement } = document;
      const inner = activeElement.shadowRoot?.activeElement;
      return inner ? `map ${inner.className || inner.tagName}` : activeElement.name || activeElement.className || activeElement.tagName;
    }));
  }
  for (const wanted of ['sample', 'files', 'compare', 'SUMMARY', 'sort', 'head', 'map stage fitted', 'preset', 'add', 'predicate', 'decode']) {
    assert.ok(reached.has(wanted), `${wanted} among ${[...reached].join(', ')}`);
  }
  await stage(page).focus();
  await page.keyboard.press('ArrowRight');
  await page.waitForFunction(() => /^Query 0/.test(document.querySelector('attention-map').shadowRoot.querySelector('.sentence').textContent));
  await page.keyboard.press('t');
  await page.waitForFunction(() => document.querySelector('attention-map').shadowRoot.querySelectorAll('tbody tr').length > 5);
});

for (const [size, viewport] of Object.entries(sizes)) {
  for (const look of [{ colorScheme: 'light' }, { colorScheme: 'dark' }, { forcedColors: 'active' }]) {
    const name = `no accessibility violation (${size}, ${Object.values(look)[0]})`;
    check(name, { viewport, ...look, bypassCSP: true, state: { compare: true, step: 20, cursor: { query: 3, key: 2 } } }, async (page) => {
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join('; ')}`);
      assert.deepEqual(found, []);
    });
  }
}

check('100,000 tokens open, are looked into, and their mask is changed', { state: { sample: 'synthetic-100000' } }, async (page) => {
  assert.match(await number(page, 'Cells kept'), /^\d\.\d+ %$/);
  assert.match(await page.textContent('footer'), /Synthetic: no model made these/);
  await page.evaluate(() => Object.assign(document.querySelector('attention-map'), { view: { x: 50_000, y: 50_000, zoom: 40 } }));
  await page.waitForFunction(() => document.querySelector('attention-map').visible().rows[0] >= 49_000);
  await page.fill('[name="predicate"]', 'q >= k && q - k < 100');
  await page.keyboard.press('Enter');
  await settled(page);
  near(await number(page, 'Most in one row'), 100 / 100_000);
});
