// SPDX-License-Identifier: Apache-2.0
// The demo page in a real browser, at a desktop's and a phone's size: it computes the model's own weights, its masks
// show, it works from the keyboard and from a URL, and says in plain words what is wrong.
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

import { serve } from '../../tools/serve.mjs';
import { readSample } from '../../web-demo/sample.js';
import { percent } from '../../web-demo/view.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const executablePath = process.env.CHROMIUM || ['chromium', 'chromium-browser', 'google-chrome']
  .flatMap((name) => (process.env.PATH ?? '').split(':').map((folder) => join(folder, name))).find(existsSync);
const required = Boolean(process.env.CI) && process.env.CI !== 'false';
if (!executablePath && required) throw new Error('CI needs a Chromium (install one, or name it in CHROMIUM)');
const skip = executablePath ? false : 'no Chromium found: the demo was not tested (name one in CHROMIUM)';

const sampleOf = (name) => readSample(readFileSync(join(root, 'samples', `${name}.safetensors`)));
const sizes = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };
let browser;
let server;

before(async () => {
  if (skip) return;
  server = await serve();
  browser = await chromium.launch({
    executablePath,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
    ],
  });
});

after(async () => {
  await browser?.close();
  await stop(server);
});

function stop(running) {
  running?.closeAllConnections();
  return new Promise((resolve) => (running ? running.close(resolve) : resolve()));
}

const addressOf = (running) => `http://127.0.0.1:${running.address().port}/web-demo/`;

/** Opens the page, waits until it has computed or failed, and runs `use`; a page that works complains of nothing. */
async function visit({ search = '', state = 'ready', base = addressOf(server), prepare, ...options }, use) {
  const context = await browser.newContext({ viewport: sizes.desktop, ...options });
  try {
    const page = await context.newPage();
    const complaints = [];
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(String(error)));
    await prepare?.(page);
    await page.goto(base + search);
    await page.waitForSelector('body[data-state="ready"], body[data-state="error"]');
    assert.equal(await page.getAttribute('body', 'data-state'), state, await page.textContent('#message'));
    await use(page);
    if (state === 'ready') assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

const facts = (page) => page.evaluate(() => ({ ...document.body.dataset }));
const picture = (page, selector = '#large') => page.evaluate((id) => document.querySelector(id).toDataURL(), selector);
const heads = (page) =>
  page.evaluate(() => Array.from(document.querySelectorAll('#heads canvas'), (canvas) => canvas.toDataURL()));

/** Share of the cells with i - left <= j <= i + right or j < sinks, and j <= i if causal. */
function expectedDensity(steps, { left = Infinity, right = Infinity, sinks = 0, causal = false }) {
  let kept = 0;
  for (let i = 0; i < steps; i++) {
    for (let j = 0; j < steps; j++) {
      if (((j >= i - left && j <= i + right) || j < sinks) && (!causal || j <= i)) kept++;
    }
  }
  return kept / steps ** 2;
}

for (const [size, viewport] of Object.entries(sizes)) {
  test(`${size}: every head drawn, with the model's own weights`, { skip }, () => visit({ viewport }, async (page) => {
    const { sample, density, error, modelDifference, maskedWeight, variant } = await facts(page);
    assert.equal(sample, 'attention');
    assert.ok(Number(modelDifference) <= 5e-7, modelDifference);
    assert.deepEqual([density, error, maskedWeight].map(Number), [1, 0, 0]);
    assert.ok(['base', 'relaxed'].includes(variant), variant);
    assert.equal(await page.textContent('#fact-variant'), variant);
    const pictures = await heads(page);
    assert.equal(pictures.length, 16);
    assert.equal(new Set(pictures).size, 16, 'every head looks different');
    const pageWidth = await page.evaluate('document.documentElement.scrollWidth');
    assert.equal(pageWidth, viewport.width, 'nothing sticks out sideways');
    await page.waitForFunction(() => / (µs|ms)$/.test(document.querySelector('#fact-masked-time').textContent));
  }));

  test(`${size}: a window changes density and picture, and back`, { skip }, () => visit({ viewport }, async (page) => {
    const steps = sampleOf('attention').steps;
    const dense = { large: await picture(page), heads: await heads(page) };
    await page.focus('#left');
    await page.keyboard.press('Home');
    await page.focus('#right');
    await page.keyboard.press('Home');
    for (let n = 0; n < 3; n++) await page.keyboard.press('ArrowRight');
    assert.equal(await page.textContent('#left-value'), '0');
    assert.equal(await page.textContent('#right-value'), '3');
    const narrow = await facts(page);
    assert.equal(Number(narrow.density), expectedDensity(steps, { left: 0, right: 3 }));
    assert.ok(Number(narrow.error) > 0);
    assert.equal(Number(narrow.maskedWeight), 0, 'no weight where the picture says masked out');
    assert.notEqual(await picture(page), dense.large);
    (await heads(page)).forEach((image, head) => assert.notEqual(image, dense.heads[head]));
    await page.waitForURL(/[?&]left=0&right=3\b/);
    await page.getByRole('button', { name: 'None' }).click();
    assert.equal(Number((await facts(page)).error), 0);
    assert.equal(await picture(page), dense.large);
    assert.deepEqual(await heads(page), dense.heads);
  }));
}

test('the brighter a cell, the larger its weight, in every head', { skip }, () => visit({}, async (page) => {
  const { steps, blocks } = sampleOf('attention');
  const brightness = await page.evaluate((size) => Array.from(document.querySelectorAll('#heads canvas'), (canvas) => {
    const cell = canvas.width / size;
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.width);
    return Array.from({ length: size * size }, (_, n) => {
      const pixel = 4 * ((Math.floor(n / size) * canvas.width + (n % size)) * cell);
      return 0.2126 * data[pixel] + 0.7152 * data[pixel + 1] + 0.0722 * data[pixel + 2];
    });
  }), steps);
  brightness.forEach((cells, index) => {
    const weights = blocks[Math.floor(index / 8)].weights.data.subarray((index % 8) * steps ** 2);
    const order = cells.map((_, n) => n).sort((a, b) => weights[a] - weights[b]);
    order.slice(1).forEach((n, rank) => {
      assert.ok(cells[n] >= cells[order[rank]] - 2, `picture ${index + 1}, cell ${n}`); // 2 for rounding
    });
    assert.ok(cells[order.at(-1)] - cells[order[0]] > 100, `picture ${index + 1} uses the ramp`);
  });
}));

test('masked out is hatched in grey, a tiny weight is not', { skip }, () =>
  visit({ search: '?layer=2&head=4&causal=1' }, async (page) => {
    const { steps, blocks } = sampleOf('attention');
    // The smallest weight the causal mask keeps, in a row of some length.
    const head = blocks[1].weights.data.subarray(3 * steps * steps, 4 * steps * steps);
    let tiny = steps * (steps - 1);
    for (let n = tiny; n < steps * steps; n++) if (head[n] < head[tiny]) tiny = n;
    assert.ok(head[tiny] < 1e-3, 'the sample has a tiny weight in its last row');
    const colors = await page.evaluate(([key, size]) => {
      const canvas = document.querySelectorAll('#heads canvas')[11];
      const cell = canvas.width / size;
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.width);
      const at = (i, j) => Array.from({ length: cell * cell }, (_, n) => {
        const pixel = (i * cell + Math.floor(n / cell)) * canvas.width + j * cell + (n % cell);
        return [...data.slice(4 * pixel, 4 * pixel + 3)];
      });
      return { masked: at(0, size - 1), tiny: at(size - 1, key) };
    }, [tiny % steps, steps]);
    const isGrey = ([red, green, blue]) => Math.max(red, green, blue) - Math.min(red, green, blue) <= 16;
    assert.ok(colors.masked.every(isGrey), `grey: ${colors.masked[0]}`);
    assert.ok(!colors.tiny.some(isGrey), `not grey: ${colors.tiny[0]}`);
  }));

test('the keyboard reaches heads and cells, the sentence tells the weight', { skip }, () => visit({}, async (page) => {
  await page.focus('#heads [aria-checked="true"]');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowDown');
  const chosen = await page.evaluate(() => document.activeElement.getAttribute('aria-label'));
  assert.equal(chosen, 'Layer 2, head 2');
  assert.equal(await page.getAttribute('#heads [aria-checked="true"]', 'aria-label'), chosen);
  assert.equal(await page.textContent('#detail-title'), chosen);
  assert.equal(await page.evaluate(() => document.querySelectorAll('#heads [tabindex="0"]').length), 1);
  assert.equal(await page.isChecked('input[name="layer"][value="1"]'), true);

  const unmarked = await picture(page);
  await page.focus('#large');
  for (const key of ['ArrowDown', 'ArrowDown', 'ArrowRight']) await page.keyboard.press(key);
  assert.notEqual(await picture(page), unmarked, 'the cursor shows');
  const { steps, blocks } = sampleOf('attention');
  const sentence = await page.textContent('#sentence');
  const said = /^Layer 2, head 2: step 3 of 38 .* gives ([\d.]+) % of its attention to step 2 of 38/.exec(sentence);
  assert.ok(said, sentence);
  const weight = blocks[1].weights.data[(steps + 2) * steps + 1];
  assert.ok(Math.abs(Number(said[1]) - 100 * weight) <= 0.006 * said[1], `${sentence}, where the model has ${weight}`);
  await page.keyboard.press('End');
  await page.waitForURL(/[?&]query=3&key=38\b/);
  await page.focus('#causal');
  await page.keyboard.press('Space');
  assert.match(await page.textContent('#sentence'), /masked out.* does not see step 38 .* because it comes after/);
}));

const maskersReady = (page) => page.waitForFunction(() => document.body.dataset.maskers === 'ready');
const maskerRows = (page) => page.evaluate(() => Object.fromEntries(Array.from(
  document.querySelectorAll('#maskers tbody tr'),
  (row) => [row.dataset.masker, Array.from(row.querySelectorAll('td'), ({ textContent }) => Number.parseFloat(textContent))],
)));

test('maskers side by side, and the curve of one of them', { skip }, () => visit({ search: '?causal=1' }, async (page) => {
  await maskersReady(page);
  const few = await maskerRows(page);
  const names = ['oracleTopK', 'local', 'quest', 'doubleSparsity', 'pqCache', 'socket', 'importanceSampling', 'randomSampling'];
  assert.deepEqual(Object.keys(few), names);
  for (const [kept, recall, worst, error] of Object.values(few)) {
    assert.ok(kept > 0 && kept < 100 && worst <= recall && recall <= 100 && error > 0, `${[kept, recall, worst, error]}`);
  }
  for (const name of ['local', 'doubleSparsity', 'pqCache', 'socket']) {
    assert.ok(few.oracleTopK[1] >= few[name][1], `${name}: no choice of as many keeps more`);
  }
  const { steps } = sampleOf('attention');
  assert.equal(await page.locator('#curve circle').count(), Math.ceil(Math.log2(steps)) + 1);
  const curve = await page.innerHTML('#curve');
  await page.focus('#keys');
  await page.keyboard.press('End');
  await maskersReady(page);
  const [, ...all] = (await maskerRows(page)).oracleTopK;
  assert.deepEqual(all.slice(0, 2), [100, 100]);
  assert.ok(all[2] < 1e-4, `all keys, dense attention: error ${all[2]} %`);
  await page.getByLabel('SOCKET').check();
  await page.waitForURL(new RegExp(`[?&]keys=${steps}&masker=socket\\b`));
  await maskersReady(page);
  assert.notEqual(await page.innerHTML('#curve'), curve);
  assert.match(await page.textContent('#curve-title'), /^SOCKET/);
}));

test('the pointer moves the cursor', { skip }, () => visit({}, async (page) => {
  const { width } = await page.locator('#large').boundingBox();
  await page.locator('#large').hover({ position: { x: 0.9 * width, y: 20 } });
  assert.match(await page.textContent('#sentence'), /^Layer 1, head 1: step [12] of 38 .* to step 3[678] of 38/);
}));

test('the URL holds the whole state', { skip }, () => {
  const search = '?sample=hello&layer=2&head=3&causal=1&left=4&sinks=2&scale=log&shared=1&query=20&key=2';
  return visit({ search }, async (page) => {
    await page.waitForFunction(() => document.querySelector('#fact-dense-time').textContent); // the page has settled
    assert.equal(new URL(page.url()).search, search);
    assert.equal(await page.inputValue('#sample'), 'hello');
    assert.equal(await page.inputValue('#scale'), 'log');
    for (const id of ['causal', 'shared']) assert.equal(await page.isChecked(`#${id}`), true, id);
    assert.equal(await page.textContent('#detail-title'), 'Layer 2, head 3');
    assert.match(await page.textContent('#sentence'), /step 20 of 23 .* gives .* to step 2 of 23/);
    const { density, maskedWeight, modelDifference } = await facts(page);
    assert.equal(Number(density), expectedDensity(23, { causal: true, left: 4, sinks: 2 }));
    assert.equal(Number(maskedWeight), 0);
    assert.ok(Number(modelDifference) <= 5e-7);
    assert.equal(await page.textContent('#fact-density'), percent(Number(density)));
  });
});

test('nonsense in the URL is the default, sizes are brought back inside', { skip }, () =>
  visit({
    search: '?sample=%00&layer=9&head=99&left=-3&right=1e9&sinks=x&scale=constructor&query=0&key=',
  }, async (page) => {
    assert.equal(await page.textContent('#detail-title'), 'Layer 2, head 8');
    await page.waitForURL((url) => url.search === '?sample=attention&layer=2&head=8');
    assert.equal(Number((await facts(page)).density), 1);
  }));

test('another line of text, chosen on the page', { skip }, () => visit({ search: '?left=4&right=4' }, async (page) => {
  for (const name of ['date', 'mixed', 'hello', 'attention']) {
    await page.selectOption('#sample', name);
    await page.waitForSelector(`body[data-state="ready"][data-sample="${name}"]`);
    const { density, modelDifference } = await facts(page);
    assert.ok(Number(modelDifference) <= 5e-7, `${name}: ${modelDifference}`);
    assert.equal(Number(density), expectedDensity(sampleOf(name).steps, { left: 4, right: 4 }));
  }
}));

test('a dark page', { skip }, () => visit({ colorScheme: 'dark' }, async (page) => {
  const [background, ink] = await page.evaluate(() =>
    ['backgroundColor', 'color'].map((name) => getComputedStyle(document.body)[name]));
  const brightness = (color) => color.match(/\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part) / 3, 0);
  assert.ok(brightness(background) < 64 && brightness(ink) > 192, `${ink} on ${background}`);
  const dark = await picture(page);
  await page.emulateMedia({ colorScheme: 'light' });
  await page.waitForFunction((before) => document.querySelector('#large').toDataURL() !== before, dark);
}));

test('a damaged sample is refused in plain words', { skip }, () => visit({
  state: 'error',
  prepare: (page) => page.route('**/attention.safetensors', (route) =>
    route.fulfill({ body: readFileSync(join(root, 'samples/attention.safetensors')).subarray(0, 200_000) })),
}, async (page) => {
  assert.match(await page.textContent('#message[role="alert"]'), /safetensors: .* but the file holds \d+ bytes/);
}));

test('a missing sample is told by name', { skip }, () => visit({
  state: 'error',
  prepare: (page) => page.route('**/attention.safetensors', (route) => route.fulfill({ status: 404 })),
}, async (page) => {
  assert.match(await page.textContent('#message[role="alert"]'), /“attention.safetensors” could not be loaded/);
}));

test('a browser without WebAssembly is told so', { skip }, () => visit({
  state: 'error',
  prepare: (page) => page.addInitScript('delete globalThis.WebAssembly'),
}, async (page) => {
  assert.match(await page.textContent('#message[role="alert"]'), /cannot run the package: WebAssembly/);
}));

test('a package that was not built is told so', { skip }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'attn-demo-'));
  const ramp = 'node_modules/d3-scale-chromatic/src';
  const isBuilt = (path) => /js.(abi\.js|binary-\w+\.js|\w+\.wasm)$/.test(path);
  for (const path of ['web-demo', 'samples', 'js', ramp]) {
    cpSync(join(root, path), join(folder, path), { recursive: true, filter: (source) => !isBuilt(source) });
  }
  const bare = await serve({ root: folder });
  try {
    await visit({ base: addressOf(bare), state: 'error' }, async (page) => {
      assert.match(await page.textContent('#message[role="alert"]'), /Build it with “make”/);
    });
  } finally {
    await stop(bare);
    rmSync(folder, { recursive: true });
  }
});
