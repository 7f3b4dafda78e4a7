// SPDX-License-Identifier: Apache-2.0
/**
 * node bench.js [options]: this package beside its rivals and the limits of the machine. See README.md for the units.
 *
 *     --browser      in headless Chromium (CHROMIUM=path names one) instead of Node
 *     --only=W1,W4   some of the rows
 *     --rounds=N     default 11
 *     --quick        three rounds, and of the rivals only the fastest
 *     --readme       also write the table of ../README.md
 */
import { readFile, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { formatReadme, formatRow, header, replaceBetweenMarkers } from './report.js';
import { ROWS } from './rows.js';

const here = (path) => new URL(path, import.meta.url);

const { values: options } = parseArgs({
  options: {
    browser: { type: 'boolean' },
    only: { type: 'string' },
    rounds: { type: 'string' },
    quick: { type: 'boolean' },
    readme: { type: 'boolean' },
  },
});
const known = ROWS.map(({ id }) => id);
const ids = options.only?.split(',') ?? known;
const unknown = ids.filter((id) => !known.includes(id));
if (unknown.length > 0) throw new RangeError(`--only: no row ${unknown}; there are ${known}`);

const rounds = Number(options.rounds ?? (options.quick ? 3 : 11));
if (!(Number.isInteger(rounds) && rounds > 0)) throw new RangeError(`--rounds: expected an integer >= 1, got ${options.rounds}`);
const settings = {
  rounds,
  budget: options.quick ? 1000 : 7000, // milliseconds for one contestant of a case
  ...(options.quick && { rivals: ['ort Attention'] }),
};

async function startNode() {
  const { createSuite } = await import('./suite.js');
  const run = await createSuite({
    ...settings,
    readFile: (name) => readFile(here(`../build/bench/${name}`)),
    tfjsFolder: fileURLToPath(here('node_modules/@tensorflow/tfjs-backend-wasm/dist/')),
  });
  return { agent: `Node ${process.version}`, run, close() {} };
}

async function startPage() {
  const { startBrowser } = await import('./browser.js');
  return startBrowser(settings);
}

const { agent, run, close } = await (options.browser ? startPage() : startNode());
const rows = [];
try {
  console.log(`${agent}\n${header()}`);
  for (const id of ids) {
    const [start, startCpu] = [performance.now(), process.cpuUsage()];
    const row = await run(id);
    const { user, system } = process.cpuUsage(startCpu);
    const share = (user + system) / 1000 / (performance.now() - start);
    rows.push(row);
    console.log(formatRow(row));
    if (!options.browser && share < 0.95) console.log(`  Busy machine: ${(share * 100).toFixed(0)} % of a core. Measure again.`);
  }
} finally {
  await close();
}
const date = new Date().toISOString().slice(0, 10);
const results = { agent, cpu: cpus()[0].model, date, ...settings, rows };
await writeFile(here('results.json'), `${JSON.stringify(results, null, 2)}\n`);
if (options.readme) {
  const path = here('../README.md');
  await writeFile(path, replaceBetweenMarkers(await readFile(path, 'utf8'), formatReadme(results)));
}
