// SPDX-License-Identifier: Apache-2.0
//
// How long tiles of pictures take, level by level: node bench/attention-map.js [length ...]. A tile lies on the
// diagonal, at 7/10 of it; its longest step is what anything else waits for; `again` is reading it once more.

import { MapSource } from '../attention-map/source.js';
import { createAttention, Mask } from '../js/index.js';

const TILE = 256;
const DIM = 64;
const lengths = process.argv.slice(2).map(Number);
const attention = await createAttention();

for (const length of lengths.length > 0 ? lengths : [4096, 100_000]) {
  const [queries, keys] = [tensor(length), tensor(length)];
  const shape = [1, 1, length, length];
  const window = Mask.slidingWindow(shape, { left: 1023, right: 0 }).or(Mask.sinks(shape, 4)).and(Mask.causal(shape));
  const masks = { window: { sparseAttentionMask: window }, causal: { causal: true } };
  for (const [name, options] of Object.entries(masks)) {
    for (const show of ['weights', 'scores']) measure(`${length}, ${name}, ${show}`, { queries, keys, ...options }, show);
  }
}

function measure(title, problem, show) {
  const source = new MapSource(attention, problem);
  const [, , length] = source.shape;
  console.log(`\n${title}`);
  print('statistics', timed(() => source.steps('statistics', { show })));
  for (let level = Math.ceil(Math.log2(length / TILE)); level >= 0; level--) {
    const pixels = Math.ceil(length / 2 ** level);
    const first = Math.floor((0.7 * pixels) / TILE) * TILE;
    const range = [first, Math.min(pixels, first + TILE)];
    const read = () => source.steps('read', { level, show, rows: range, columns: range });
    print(`level ${level}`, timed(read), timed(read));
  }
  const { memoryBytes } = attention.info();
  const { arrayBuffers, external, heapUsed } = process.memoryUsage();
  const [wasm, arrays, heap] = [memoryBytes, Math.max(arrayBuffers, external - memoryBytes), heapUsed].map(megabytes);
  console.log(`  wasm ${wasm} MB, arrays ${arrays} MB (queries and keys among them), other objects ${heap} MB`);
  source.dispose();
}

function timed(make) {
  const start = performance.now();
  let [longest, last] = [0, start];
  for (const steps = make(); !steps.next().done;) {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }
  const end = performance.now();
  return { whole: end - start, longest: Math.max(longest, end - last) };
}

function print(what, { whole, longest }, again) {
  const rest = again === undefined ? '' : `, again ${again.whole.toFixed(0)}`;
  console.log(`  ${what}: ${whole.toFixed(0)} ms, longest step ${longest.toFixed(0)}${rest}`);
}

function megabytes(bytes) {
  return (bytes / 2 ** 20).toFixed(0);
}

function tensor(length) {
  return { data: Float32Array.from({ length: length * DIM }, () => 2 * Math.random() - 1), dims: [1, 1, length, DIM] };
}
