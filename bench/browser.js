// SPDX-License-Identifier: Apache-2.0
/** The suite in a page of headless Chromium: the same rows, run from here one at a time. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';
import { serve } from '../tools/serve.mjs';

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

function findChromium() {
  const folders = (process.env.PATH ?? '').split(':');
  const names = ['chromium', 'chromium-browser', 'google-chrome'];
  const path = process.env.CHROMIUM || names.flatMap((name) => folders.map((folder) => join(folder, name))).find(existsSync);
  if (!path) throw new Error('--browser needs a Chromium on the PATH, or named in CHROMIUM');
  return path;
}

/**
 * @param {object} settings for createSuite
 * @returns {Promise<{ agent: string, run: (id: string) => Promise<object>, close: () => Promise<void> }>}
 */
export async function startBrowser(settings) {
  const here = (path) => fileURLToPath(new URL(path, import.meta.url));
  await build({
    entryPoints: [here('page.js')],
    outdir: here('../build/bench/page'),
    bundle: true,
    splitting: true,
    format: 'esm',
    logLevel: 'error',
  });
  const server = await serve();
  const browser = await chromium.launch({ executablePath: findChromium(), args: FLAGS });
  const page = await browser.newPage();
  page.on('pageerror', (error) => console.error(error));
  page.setDefaultTimeout(0);
  await page.goto(`http://localhost:${server.address().port}/bench/page.html`);
  await page.waitForFunction('globalThis.startSuite');
  await page.evaluate((given) => globalThis.startSuite(given), settings);
  return {
    agent: `Chromium ${browser.version()}`,
    run: (id) => page.evaluate((row) => globalThis.runRow(row), id),
    async close() {
      await browser.close();
      server.close();
      server.closeAllConnections();
    },
  };
}
