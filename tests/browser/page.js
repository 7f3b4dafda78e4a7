// SPDX-License-Identifier: Apache-2.0
// Runs the problems in the page and in a module worker; leaves the results in window.results, and posts them to the
// server where the address asks for it (for browsers that nobody drives).
import { solve } from './problems.js';

/** Settles with what the worker answers. */
function inWorker(variant) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message ?? 'the worker failed'));
    worker.postMessage(variant);
  });
}

async function run() {
  const results = { agent: navigator.userAgent };
  for (const variant of ['base', 'relaxed', 'auto']) {
    results[variant] = { page: await solve(variant), worker: await inWorker(variant) };
  }
  return results;
}

window.results = run().catch((error) => ({ error: String(error?.stack ?? error) }));
const results = await window.results;
if (location.search === '?post') await fetch('/result', { method: 'POST', body: JSON.stringify(results) });
