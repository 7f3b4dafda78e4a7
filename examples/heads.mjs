// SPDX-License-Identifier: Apache-2.0
/**
 * What the heads of a real model look at: recomputes the attention of a text recogniser from a recorded sample,
 * compares it with the model's own weights, and says of each head how far and how widely it looks.
 *
 *     node examples/heads.mjs [samples/attention.safetensors]
 */
import { readFileSync } from 'node:fs';
import { createAttention } from '../js/index.js';
import { readSample } from '../web-demo/files/sample.js';

const file = process.argv[2] ?? new URL('../samples/attention.safetensors', import.meta.url);
const { text, tokens, layers } = readSample(readFileSync(file));
const characters = tokens.keys;
const steps = characters.length;
const attention = await createAttention();
console.log(`"${text}", ${steps} steps, ${attention.info().variant} variant`);

for (const [layer, { problem, weights: model }] of layers.entries()) {
  const { weights } = attention.getMaskedAttentionOutput({ ...problem, returnAttentionWeights: true });
  const off = weights.data.reduce((most, weight, n) => Math.max(most, Math.abs(weight - model.data[n])), 0);
  console.log(`\nlayer ${layer + 1}: at most ${off.toExponential(1)} off the model's own weights`);
  console.log('head  mean distance  keys in use  looked at most');
  for (let head = 0; head < weights.dims[1]; head++) {
    const rows = weights.data.subarray(head * steps ** 2, (head + 1) * steps ** 2);
    const mean = (f) => rows.reduce((sum, weight, n) => sum + f(weight, Math.floor(n / steps), n % steps), 0) / steps;
    const distance = mean((weight, i, j) => weight * Math.abs(i - j));
    const inUse = Math.exp(mean((weight) => (weight > 0 ? -weight * Math.log(weight) : 0))); // perplexity of a row
    const received = Array.from({ length: steps }, (_, key) => mean((weight, i, j) => (j === key ? weight : 0)));
    const favourite = received.indexOf(Math.max(...received));
    console.log(`${String(head + 1).padStart(4)}${distance.toFixed(1).padStart(15)}${inUse.toFixed(1).padStart(13)}` +
      `  step ${favourite + 1} "${characters[favourite]}", ${(100 * received[favourite]).toFixed(1)} %`);
  }
}
attention.dispose();
