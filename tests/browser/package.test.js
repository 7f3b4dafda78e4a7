// SPDX-License-Identifier: Apache-2.0
// The package as it is, unbundled, in browsers: in a page and in a module worker, under a content security policy that
// forbids inline script and eval. In the base variant a browser computes the same bits as Node.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { chromium } from 'playwright-core';

import { solve } from './problems.js';
import { serve } from './server.js';

const onPath = (...names) =>
  names.flatMap((name) => (process.env.PATH ?? '').split(':').map((folder) => join(folder, name))).find(existsSync);

const chromiumPath = process.env.CHROMIUM || onPath('chromium', 'chromium-browser', 'google-chrome');
const firefoxPath = process.env.FIREFOX || onPath('firefox-esr', 'firefox');
const required = Boolean(process.env.CI) && process.env.CI !== 'false';

/** Compares what a browser computed with what Node computes. */
async function check(results, t) {
  assert.equal(results.error, undefined);
  const base = await solve('base');
  for (const variant of ['base', 'relaxed', 'auto'])
    for (const [place, found] of Object.entries(results[variant])) {
      const where = `${variant} in the ${place}`;
      assert.equal(found.error, undefined, where);
      if (found.unavailable) {
        assert.equal(variant, 'relaxed', `${where}: ${found.unavailable}`);
        continue;
      }
      if (variant !== 'auto') assert.equal(found.info.variant, variant, where);
      assert.equal(found.info.reproducible, found.info.variant === 'base', where);
      if (found.info.variant === 'base') assert.deepEqual(found.hashes, base.hashes, where);
      else
        found.dense.forEach((output, n) => {
          const scale = Math.max(...base.dense[n].map(Math.abs));
          output.forEach((value, m) => {
            const expected = base.dense[n][m];
            assert.ok(Math.abs(value - expected) <= 1e-4 * scale, `${where}: ${value}, base ${expected}`);
          });
        });
    }
  t.diagnostic(`${results.agent}: auto is ${results.auto.page.info.variant}`);
}

test('package in Chromium, page and module worker', async (t) => {
  if (!chromiumPath) {
    assert.ok(!required, 'CI needs a Chromium (install one, or name it in CHROMIUM)');
    return t.skip('no Chromium found: browser tests did not run (name one in CHROMIUM)');
  }
  const server = await serve();
  const browser = await chromium.launch({
    executablePath: chromiumPath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  try {
    const page = await browser.newPage();
    const complaints = [];
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.goto(`${server.url}/tests/browser/page.html`);
    const results = await page.evaluate('window.results');
    assert.deepEqual(complaints, []);
    await check(results, t);
    const fetched = server.requests.filter((path) => path.endsWith('.wasm'));
    assert.deepEqual(fetched, [], 'the wasm is embedded: nothing is fetched');
  } finally {
    await browser.close();
    await server.close();
  }
});

test('package in Firefox, page and module worker', async (t) => {
  if (!firefoxPath) return t.skip('no Firefox found: its smoke test did not run (name one in FIREFOX)');
  let lastError;
  for (let attempt = 0; attempt < 2; attempt++) {
    // its first start sometimes hangs on a busy machine
    try {
      return await check(JSON.parse(await inFirefox()), t);
    } catch (error) {
      if (error.code !== 'no answer') throw error;
      lastError = error;
    }
  }
  throw lastError;
});

/** What the page posts when Firefox shows it. */
async function inFirefox() {
  let answer;
  const answered = new Promise((resolve) => {
    answer = resolve;
  });
  const server = await serve(answer);
  const home = mkdtempSync(join(tmpdir(), 'attn-firefox-'));
  const url = `${server.url}/tests/browser/page.html?post`;
  const child = spawn(firefoxPath, ['--headless', '--no-remote', '--profile', home, url], {
    env: { ...process.env, HOME: home },
    stdio: 'ignore',
    detached: true,
  });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  let timer;
  const silence = new Promise((_, reject) => {
    timer = setTimeout(
      () => reject(Object.assign(new Error('Firefox did not answer within 60 s'), { code: 'no answer' })),
      60_000,
    );
  });
  try {
    return await Promise.race([answered, silence]);
  } finally {
    clearTimeout(timer);
    try {
      process.kill(-child.pid, 'SIGKILL'); // its group: the content processes as well
    } catch {
      // it is gone already
    }
    await exited;
    await server.close();
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  }
}
