// SPDX-License-Identifier: Apache-2.0
//
// The visualizer in Chromium: how soon its first picture is there, how soon that of 100,000 x 100,000 cells, and how
// many frames a second it draws while it is dragged.
//
//     node bench/page.js        (CHROMIUM=path names a browser)
//
// A picture is there when <attention-map> says so, counted from the start of navigation: one from the element's first
// tiles, coloured by what is kept, and "done" when nothing more is computed.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { chromium } from 'playwright-core';

import { args, executablePath } from '../tests/browser/chromium.js';
import { buildDemo } from '../tools/build-demo.mjs';
import { serve } from '../tools/serve.mjs';

const RUNS = 5;
const FRAMES = 180;
const LONG = '?v=1&sample=synthetic-100000';
const ZOOMS = [0.02, 0.5, 8, 40]; // CSS pixels per cell

/** Notes when a map first had a picture. */
const watch = `addEventListener('attention-ready', () => { window.pictureAt ??= performance.now(); }, true);`;

async function open(browser, url) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  await page.addInitScript(watch);
  await page.goto(url);
  await page.waitForFunction(() => globalThis.pictureAt);
  const picture = await page.evaluate(() => globalThis.pictureAt);
  await page.waitForSelector('body[data-state="ready"]', { timeout: 60_000 });
  return { page, picture, ready: await page.evaluate(() => performance.now()), close: () => context.close() };
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const round = (milliseconds) => `${Math.round(milliseconds)} ms`;

async function opening(browser, name, url) {
  const times = [];
  for (let run = 0; run < RUNS; run++) {
    const { picture, ready, close } = await open(browser, url);
    times.push({ picture, ready });
    await close();
  }
  const [picture, ready] = ['picture', 'ready'].map((key) => times.map((time) => time[key]));
  console.log(`${name}: first picture ${round(median(picture))} (${round(Math.min(...picture))} to ${
    round(Math.max(...picture))}), all numbers ${round(median(ready))}`);
}

/** Drags the map for some frames, there and back, and counts those that were drawn. */
async function dragging(browser, url) {
  const { page, close } = await open(browser, url);
  for (const zoom of ZOOMS) {
    await page.evaluate((k) => {
      const map = document.querySelector('attention-map');
      map.view = { x: 50_000 - 250 / k, y: 50_000 - 250 / k, zoom: k };
    }, zoom);
    await page.waitForTimeout(1500);
    const { x, y, width, height } = await page.locator('attention-map .stage').boundingBox();
    await page.mouse.move(x + width / 2, y + height / 2);
    await page.mouse.down();
    await page.evaluate(() => {
      const frames = (globalThis.frameTimes = []);
      const note = (at) => {
        frames.push(at);
        globalThis.noting = requestAnimationFrame(note);
      };
      requestAnimationFrame(note);
    });
    for (let frame = 0; frame < FRAMES; frame++) {
      const way = 150 * Math.sin((2 * Math.PI * frame) / FRAMES);
      await page.mouse.move(x + width / 2 + way, y + height / 2 + way);
      await page.evaluate(() => new Promise(requestAnimationFrame));
    }
    await page.mouse.up();
    const frames = await page.evaluate(() => {
      cancelAnimationFrame(globalThis.noting);
      return globalThis.frameTimes;
    });
    const gaps = frames.slice(2).map((at, n) => at - frames[n + 1]);
    const rate = (1000 * gaps.length) / gaps.reduce((sum, gap) => sum + gap, 0);
    console.log(`100,000 x 100,000 dragged at ${zoom} pixels a cell: ${rate.toFixed(1)} frames a second, longest ${
      Math.max(...gaps).toFixed(0)} ms`);
  }
  await close();
}

if (!executablePath) throw new Error('there is no Chromium: name one in CHROMIUM');
const folder = mkdtempSync(join(tmpdir(), 'attn-page-'));
await buildDemo(folder);
const server = await serve({ root: folder });
const browser = await chromium.launch({ executablePath, args });
try {
  const url = `http://127.0.0.1:${server.address().port}/`;
  await opening(browser, 'recorded sample', url);
  await opening(browser, '100,000 x 100,000', url + LONG);
  await dragging(browser, url + LONG);
} finally {
  await browser.close();
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true, force: true });
}
