// SPDX-License-Identifier: Apache-2.0
// Figures in a real browser, under a strict policy: the pixels that Node draws, and SVG that it can show.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { chromium } from 'playwright-core';
import { PNG } from 'pngjs';

import { serve } from '../../tools/serve.mjs';
import { figures } from '../figures.js';

const executablePath =
  process.env.CHROMIUM ||
  ['chromium', 'chromium-browser', 'google-chrome']
    .flatMap((name) => (process.env.PATH ?? '').split(':').map((folder) => join(folder, name)))
    .find(existsSync);
const required = Boolean(process.env.CI) && process.env.CI !== 'false';
if (!executablePath && required) throw new Error('CI needs a Chromium (install one, or name it in CHROMIUM)');
const skip = executablePath ? false : 'no Chromium found: figures were not tested (name one in CHROMIUM)';
const POLICY = "default-src 'none'; script-src 'self'; img-src data: blob:; connect-src 'self'";
const names = Object.keys(figures(readFileSync(new URL('../../samples/attention.safetensors', import.meta.url))));

let browser, server, page;
const complaints = [];

before(async () => {
  if (skip) return;
  server = await serve();
  const args = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'];
  browser = await chromium.launch({ executablePath, args });
  page = await browser.newPage();
  page.on('console', (message) => complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  const empty = { contentType: 'text/html', body: '<!doctype html>', headers: { 'content-security-policy': POLICY } };
  await page.route('**/empty.html', (route) => route.fulfill(empty));
  await page.goto(`http://127.0.0.1:${server.address().port}/empty.html`);
});
after(async () => {
  await browser?.close();
  server?.closeAllConnections();
  await new Promise((resolve) => (server ? server.close(resolve) : resolve()));
});

test('figures: the pixels that Node draws, SVG without an error', { skip }, async () => {
  const drawn = await page.evaluate(async () => {
    const load = (path) => import(path);
    const { figures } = await load('/tests/figures.js');
    const { figure } = await load('/attention-map/figure.js');
    const { toPng, readPngMetadata } = await load('/attention-map/png.js');
    const { toSvg } = await load('/attention-map/svg.js');
    const { toBase64 } = await load('/attention-map/base64.js');
    const file = await (await fetch('/samples/attention.safetensors')).arrayBuffer();
    const results = {};
    for (const [name, options] of Object.entries(figures(file))) {
      const made = figure(options);
      const png = await toPng(made, { metadata: { name } });
      const svg = await toSvg(made, { metadata: { name } });
      const parsed = new DOMParser().parseFromString(svg, 'image/svg+xml');
      const image = new Image();
      image.src = URL.createObjectURL(new Blob([svg], { type: 'image/svg+xml' }));
      await image.decode();
      const size = [image.naturalWidth, image.naturalHeight];
      const errors = parsed.querySelectorAll('parsererror').length;
      const metadata = [readPngMetadata(png), JSON.parse(parsed.querySelector('metadata').textContent)];
      results[name] = { png: toBase64(png), size, expected: [made.width, made.height], errors, metadata };
    }
    return results;
  });
  assert.deepEqual(Object.keys(drawn), names);
  for (const [name, { png, size, expected, errors, metadata }] of Object.entries(drawn)) {
    const golden = PNG.sync.read(readFileSync(new URL(`../vectors/figures/${name}.png`, import.meta.url)));
    const { width, data } = PNG.sync.read(Buffer.from(png, 'base64'));
    assert.equal(width, golden.width, name);
    const off = data.reduce((most, value, n) => Math.max(most, Math.abs(value - golden.data[n])), 0);
    assert.ok(off <= 1, `${name}: a channel is off by ${off}`);
    assert.deepEqual([size, errors, metadata], [expected, 0, [{ name }, { name }]], name);
  }
  assert.deepEqual(complaints, []);
});
