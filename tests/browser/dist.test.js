// SPDX-License-Identifier: Apache-2.0
// The static build in a real browser: from a sub-path of a host that sends the strict policy, with every other host out
// of reach.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

import { buildDemo } from '../../tools/build-demo.mjs';
import { args, executablePath, skip } from './chromium.js';
import { serve } from './server.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const PREFIX = '/some/where/deep/';
const POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; " +
  "connect-src 'self'; worker-src 'self'";

let folder;
let server;
let browser;

before(async () => {
  if (skip) return;
  folder = mkdtempSync(join(tmpdir(), 'attn-dist-'));
  await buildDemo(folder);
  server = await serve(undefined, { folder, prefix: PREFIX, policy: POLICY });
  const elsewhere = '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1';
  browser = await chromium.launch({ executablePath, args: [...args, elsewhere] });
});

after(async () => {
  await browser?.close();
  await server?.close();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

/** Opens a page, waits for body[data-state], and returns it with what it asked for; it complains of nothing. */
async function visit(url) {
  const page = await browser.newPage();
  const complaints = [];
  const requests = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(url);
  await page.waitForSelector('body[data-state="ready"], body[data-state="error"]', { state: 'attached' });
  assert.equal(await page.getAttribute('body', 'data-state'), 'ready');
  assert.deepEqual(complaints, []);
  const outside = requests.filter((request) => !request.startsWith(url) && !/^(data|blob):/.test(request));
  assert.deepEqual(outside, []);
  return { page, requests };
}

test('dist: computes from a sub-path, under a strict policy, without any other host', { skip }, async () => {
  const { requests } = await visit(server.url + PREFIX);
  assert.ok(requests.some((url) => url.endsWith('.safetensors')), 'a sample was read');
  assert.equal(requests.filter((url) => url.endsWith('/app.js')).length, 1);
});

test('dist: a worker of a page computes under the same conditions', { skip }, async () => {
  const source = mkdtempSync(join(tmpdir(), 'attn-page-'));
  const write = (name, text) => writeFileSync(join(source, name), text);
  write('index.html', '<!doctype html><link rel="icon" href="data:,"><script type="module" src="app.js"></script><body>');
  write('app.js', `
    const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    worker.onmessage = ({ data }) => Object.assign(document.body.dataset, { output: data, state: 'ready' });`);
  write('worker.js', `
    import { createAttention } from ${JSON.stringify(join(root, 'js/index.js'))};
    const one = { data: Float32Array.of(3), dims: [1, 1, 1, 1] };
    const attention = await createAttention();
    postMessage(attention.getMaskedAttentionOutput({ queries: one, keys: one, values: one }).output.data.join());`);
  const out = join(source, 'out');
  await buildDemo(out, source);
  const host = await serve(undefined, { folder: out, prefix: PREFIX, policy: POLICY });
  try {
    const { page, requests } = await visit(host.url + PREFIX);
    assert.equal(await page.getAttribute('body', 'data-output'), '3');
    assert.equal(requests.filter((url) => url.endsWith('/worker.js')).length, 1);
  } finally {
    await host.close();
    rmSync(source, { recursive: true });
  }
});
