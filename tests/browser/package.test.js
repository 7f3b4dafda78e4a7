// SPDX-License-Identifier: Apache-2.0
// The package as it is, unbundled, in browsers: in a page and in a module worker, under a content security policy that
// forbids inline script and eval. In the base variant a browser computes the same bits as Node.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { chromium } from 'playwright-core';

import { args, executablePath, skip } from './chromium.js';
import { inFirefox, skip as withoutFirefox } from './firefox.js';
import { solve } from './problems.js';
import { serve } from './server.js';

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

test('package in Chromium, page and module worker', { skip }, async (t) => {
  const server = await serve();
  const browser = await chromium.launch({ executablePath, args });
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

test('package in Firefox, page and module worker', { skip: withoutFirefox }, async (t) => {
  await check(await inFirefox('/tests/browser/page.html?post'), t);
});
