// SPDX-License-Identifier: Apache-2.0
// The worker of attention-map in Chromium, under a strict content security policy: tiles as bitmaps have the pixels that
// Node computes; a picture of 100,000 x 100,000 cells opens, and stays open to other requests. Times are told, not
// tested.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { chromium } from 'playwright-core';

import { Cache } from '../../attention-map/cache.js';
import { unpackMask } from '../../attention-map/mask-message.js';
import { MapSource } from '../../attention-map/source.js';
import { tileSteps } from '../../attention-map/tiles.js';
import { createAttention } from '../../js/index.js';
import { args, executablePath, skip } from './chromium.js';
import { problem } from './map-problem.js';
import { serve } from './server.js';

const theme = { masked: [200, 200, 200], hatch: [0, 0, 0], skipped: [100, 100, 100] };

let server, browser, page, attention;
const complaints = [];
before(async () => {
  if (skip) return;
  attention = await createAttention({ variant: 'base' });
  server = await serve();
  browser = await chromium.launch({ executablePath, args });
  page = await browser.newPage();
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(`${server.url}/tests/browser/map.html`);
  await page.waitForFunction('window.map');
});
after(async () => {
  await browser?.close();
  await server?.close();
  attention?.dispose();
});

const bytesOf = ({ rgba }) => Buffer.from(rgba, 'base64');

test('tiles in a worker have the pixels that Node computes', { skip }, async () => {
  const [n, dim] = [700, 8];
  const { mask, ...given } = problem(n, dim, 'window');
  const source = new MapSource(attention, { ...given, sparseAttentionMask: unpackMask(mask) });
  const cache = new Cache(2 ** 24);
  const { opened, quick, whole } = await page.evaluate(([n, dim]) => window.map.open(n, dim, 'window'), [n, dim]);
  assert.deepEqual(opened, { shape: [1, 1, n, n], maxLevel: 10 });
  assert.deepEqual([quick.provisional, whole.provisional, whole.sampled], [true, false, false]);
  for (const options of [
    { level: 2, row: 0, column: 0 },
    { level: 0, row: 2, column: 1 },
    { level: 0, row: 0, column: 0, range: 'row', ramp: 'magma', scale: { kind: 'power', exponent: 0.5 } },
    { level: 1, row: 1, column: 1, show: 'scores' },
    { level: 1, row: 1, column: 0, show: 'mask' },
  ]) {
    const drawing = { ramp: 'viridis', theme, scale: { kind: 'linear' }, ...options };
    const steps = tileSteps(source, cache, '0:', drawing);
    let turn = steps.next();
    while (!turn.done) turn = steps.next();
    const found = await page.evaluate((options) => window.map.pixels(options), options);
    assert.deepEqual(found.size, [turn.value.width, turn.value.height]);
    // Engines round differently, where the browser's is another variant: a value next to a step of the ramp may cross it.
    const bytes = bytesOf(found);
    const off = bytes.filter((value, at) => Math.abs(value - turn.value.rgba[at]) > 3).length;
    assert.ok(off <= bytes.length / 1000, `${JSON.stringify(options)}: ${off} of ${bytes.length} differ`);
  }
  source.dispose();
});

for (const kind of ['window', 'causal'])
  test(`100,000 x 100,000 cells, ${kind}`, { skip }, async (t) => {
    const { opened, quick, whole, times } = await page.evaluate((kind) => window.map.open(100_000, 64, kind), kind);
    assert.deepEqual(opened, { shape: [1, 1, 100_000, 100_000], maxLevel: 15 });
    assert.deepEqual(whole.size, [196, 196]);
    assert.deepEqual([quick.provisional, whole.provisional, whole.sampled], [true, false, true]);
    for (const picture of [quick, whole]) {
      const bytes = bytesOf(picture);
      const isSkipped = (row, column) => theme.skipped.every((part, n) => bytes[4 * (196 * row + column) + n] === part);
      assert.deepEqual([isSkipped(0, 195), isSkipped(100, 99), isSkipped(150, 50)], [true, false, kind === 'window']);
    }
    const told = Object.entries(times).map(([name, ms]) => `${name} ${ms.toFixed(0)}`);
    t.diagnostic(`milliseconds from opening on: ${told.join(', ')}`);
    for (const level of [8, 4, 0]) {
      const at = Math.floor((0.7 * 100_000) / 2 ** level / 256);
      const { cold, wait, warm } = await page.evaluate(([level, at]) => window.map.measure(level, at, at), [level, at]);
      const round = (ms) => ms.toFixed(0);
      t.diagnostic(`level ${level}: tile ${round(cold)}, others waited ${round(wait)}, again ${round(warm)}`);
    }
    const given = await page.evaluate(() => window.map.giveUp());
    assert.deepEqual(given, { name: 'AbortError', size: [256, 256] });
  });

test('errors cross with name and message; nothing is complained about', { skip }, async () => {
  const error = await page.evaluate(() => window.map.errorOf('tile', ['map', { level: 16, row: 0, column: 0 }]));
  assert.deepEqual(error, { name: 'RangeError', message: 'level: expected an integer in 0..15, got 16', code: undefined });
  assert.equal((await page.evaluate(() => window.map.errorOf('open', ['other', {}]))).name, 'TypeError');
  assert.deepEqual(complaints, []);
  const fetched = server.requests.filter((path) => path.endsWith('.wasm'));
  assert.deepEqual(fetched, [], 'the wasm is embedded');
});
