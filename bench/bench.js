// SPDX-License-Identifier: Apache-2.0
/**
 * node bench.js: ours beside onnxruntime-web and a plain loop, one thread, plain typed arrays in and out.
 * The contestants of a row take turns, so that a machine that slows down slows them all; see README.md for the units.
 */
import { writeFileSync } from 'node:fs';
import { createAttention } from '../js/index.js';
import { createOperator } from './onnx.js';
import { plainAttention } from './plain.js';

const ROUNDS = 15;

/* GFLOPS count 4 * heads * q_len * k_len * dim, whatever a mask skipped. */
const ROWS = [
  { name: 'dense, 12 heads, 512 x 512, dim 64', heads: 12, keyHeads: 12, qLen: 512, kLen: 512, dim: 64 },
  { name: 'the same, weights returned', heads: 12, keyHeads: 12, qLen: 512, kLen: 512, dim: 64, weights: true },
  { name: 'causal, 8 heads on 2, 1024 x 1024, dim 64', heads: 8, keyHeads: 2, qLen: 1024, kLen: 1024, dim: 64, causal: true },
  { name: 'decode, 32 heads on 8, 1 x 4096, dim 128', heads: 32, keyHeads: 8, qLen: 1, kLen: 4096, dim: 128 },
];

function randomTensor(dims) {
  return { data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => Math.random() * 2 - 1), dims };
}

/** Every way to compute a row: name -> async () => output as Float32Array. */
async function contestants({ heads, keyHeads, qLen, kLen, dim, causal = false, weights = false }, engines) {
  const queries = randomTensor([1, heads, qLen, dim]);
  const keys = randomTensor([1, keyHeads, kLen, dim]);
  const values = randomTensor([1, keyHeads, kLen, dim]);
  const run = {};
  for (const engine of engines) {
    run[engine.info().variant] = () =>
      engine.getMaskedAttentionOutput({ queries, keys, values, causal, returnAttentionWeights: weights, outputLayout: 'bhsd' }).output.data;
  }
  const operator = await createOperator(
    'Attention',
    { Q: queries.dims, K: keys.dims, V: values.dims },
    weights ? ['Y', '', '', 'QK'] : ['Y'],
    { is_causal: Number(causal), ...(weights && { qk_matmul_output_mode: 3 }) },
  );
  const feeds = { Q: queries.data, K: keys.data, V: values.data };
  run['onnxruntime-web'] = async () => (await operator(feeds)).Y.data;
  run['plain loop'] = () => plainAttention(queries, keys, values, causal);
  return run;
}

const largestDifference = (a, b) => a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i])), 0);
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

async function measure(row, engines) {
  const run = await contestants(row, engines);
  const reference = run['plain loop']();
  const times = {};
  for (const [name, compute] of Object.entries(run)) {
    const difference = largestDifference(await compute(), reference);
    if (!(difference < 1e-4)) throw new Error(`${row.name}: ${name} differs from the plain loop by ${difference}`);
    times[name] = [];
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, compute] of Object.entries(run)) {
      if (name === 'plain loop' && round >= 3) continue;
      const start = performance.now();
      await compute();
      times[name].push(performance.now() - start);
    }
  }
  return Object.fromEntries(
    Object.entries(times).map(([name, samples]) => [name, { median: median(samples), min: Math.min(...samples), max: Math.max(...samples) }]),
  );
}

const engines = [await createAttention({ variant: 'base' })];
try {
  engines.push(await createAttention({ variant: 'relaxed' }));
} catch (error) {
  console.log(`relaxed variant left out: ${error.message}`);
}

const results = [];
for (const row of ROWS) {
  const times = await measure(row, engines);
  const flops = 4 * row.heads * row.qLen * row.kLen * row.dim;
  results.push({ ...row, flops, times });
  console.log(row.name);
  for (const [name, { median: milliseconds, min, max }] of Object.entries(times)) {
    const ratio = milliseconds / times.base.median;
    console.log(
      `  ${name.padEnd(16)} ${milliseconds.toFixed(2).padStart(9)} ms (${min.toFixed(2)} - ${max.toFixed(2)})` +
        ` ${(flops / milliseconds / 1e6).toFixed(1).padStart(6)} GFLOPS   ${ratio.toFixed(2)}x the time of base`,
    );
  }
}
for (const engine of engines) engine.dispose();
writeFileSync(new URL('results.json', import.meta.url), `${JSON.stringify({ node: process.version, rounds: ROUNDS, results }, null, 2)}\n`);
