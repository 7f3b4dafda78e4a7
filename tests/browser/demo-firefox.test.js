// SPDX-License-Identifier: Apache-2.0
// The page in Firefox: it computes, draws and answers, under its own content security policy.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { buildDemo } from '../../tools/build-demo.mjs';
import { inFirefox, skip } from './firefox.js';

const POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; " +
  "connect-src 'self'; worker-src 'self'";

/** Runs beside the page: waits until everything is there, and posts what a reader sees. */
const probe = `
  const complaints = [];
  addEventListener('error', ({ message }) => complaints.push(message));
  addEventListener('unhandledrejection', ({ reason }) => complaints.push(String(reason)));
  const isReady = () => ['ready', 'error'].includes(document.body.dataset.state);
  const look = () => {
    if (!isReady()) return void setTimeout(look, 100);
    const map = document.querySelector('attention-map');
    const canvas = map.shadowRoot.querySelector('canvas');
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const colors = new Set();
    for (let at = 0; at < data.length; at += 404) colors.add(data.slice(at, at + 4).join());
    if (colors.size < 10 && performance.now() < 15_000) return void setTimeout(look, 200); // tiles come after numbers
    fetch('/result', { method: 'POST', body: JSON.stringify({
      complaints,
      state: document.body.dataset.state,
      colors: colors.size,
      difference: document.querySelector('#difference')?.textContent,
      kept: document.querySelector('[data-number="Cells kept"]')?.textContent.trim(),
    }) });
  };
  setTimeout(look, 500);
`;

test('page: in Firefox', { skip }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'attn-demo-'));
  try {
    await buildDemo(folder);
    writeFileSync(join(folder, 'probe.js'), probe);
    const html = readFileSync(join(folder, 'index.html'), 'utf8');
    writeFileSync(join(folder, 'index.html'), html.replace('</head>', '<script type="module" src="probe.js"></script></head>'));
    const { complaints, state, colors, difference, kept } = await inFirefox('/', { folder, policy: POLICY });
    assert.deepEqual([complaints, state], [[], 'ready']);
    assert.ok(colors >= 10, `${colors} colours in the map`);
    assert.ok(Number(difference) <= 5e-7, difference);
    assert.match(kept, /^\d+(\.\d+)? %$/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
