// SPDX-License-Identifier: Apache-2.0
/**
 * node maskers.js [options]: pipelines of maskers beside dense attention, and what their parts cost. See README.md.
 *
 *     --only=quest,pqCache   some of the pipelines
 *     --rounds=N             default 11
 *     --keys=N               keys of the decode rows, default 32768
 *     --readme               also write the table of maskers of ../README.md
 */
import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { createAttention, maskers } from '../js/index.js';
import { measure, ratio, summarize, warmUp } from './measure.js';
import { replaceBetweenMarkers } from './report.js';

const { values: flags } = parseArgs({
  options: { only: { type: 'string' }, rounds: { type: 'string' }, keys: { type: 'string' }, readme: { type: 'boolean' } },
});
const rounds = Number(flags.rounds ?? 11);
const keyLength = Number(flags.keys ?? 32768);
const settings = { rounds, budget: 5000 };
const [heads, keyHeads, dim, heavySize] = [32, 8, 128, 1024];
const CLUSTERS = 256;

/** Normally distributed numbers from a seed: mulberry32, Box and Muller. */
function normals(seed) {
  let state = seed;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** Keys in clusters, runs of which are scattered, and of which each head's query looks for one. */
function fillProblem(attention, length) {
  const normal = normals(1);
  const [queries, keys, values] = [[1, heads, 1, dim], [1, keyHeads, length, dim], [1, keyHeads, length, dim]].map((dims) =>
    attention.tensor(dims));
  const centres = Float32Array.from({ length: CLUSTERS * dim }, normal);
  const clusterOf = (key) => Math.imul((key >>> 5) + 1, 0x9e3779b1) >>> 24; // runs of 32 keys, scattered
  keys.data.forEach((_, at, data) => {
    data[at] = 0.7 * centres[clusterOf(Math.floor(at / dim)) * dim + (at % dim)] + 0.7 * normal();
  });
  queries.data.forEach((_, at, data) => {
    data[at] = 0.7 * centres[((Math.floor(at / dim) * 37) % CLUSTERS) * dim + (at % dim)] + 0.7 * normal();
  });
  values.data.forEach((_, at, data) => { data[at] = normal(); });
  return { queries, keys, values };
}

const channels = Array.from({ length: heads }, (_, head) => Array.from({ length: dim }, (_, n) => (n * 5 + head) % dim));
const hashWeights = () => {
  const normal = normals(2);
  const matrix = () => Array.from({ length: heads }, () => Array.from({ length: dim }, () => Array.from({ length: 32 }, normal)));
  const one = matrix();
  const bias = Array.from({ length: heads }, () => new Array(32).fill(0));
  return { 0: { query_matrix: [one], query_bias: [bias], key_matrix: [one], key_bias: [bias] } };
};

const PIPELINES = {
  'quest, pages of 16': () => [maskers.quest({ heavySize, pageSize: 16 })],
  'quest, pages of 64': () => [maskers.quest({ heavySize, pageSize: 64 })],
  groupTopK: () => [maskers.groupTopK({ heavySize })],
  doubleSparsity: () => [maskers.doubleSparsity({ heavySize, channels })],
  hashAttention: () => [maskers.hashAttention({ heavySize, weights: hashWeights() })],
  pqCache: () => [maskers.pqCache({ heavySize, seed: 1 })],
  socket: () => [maskers.socket({ heavySize, bits: 6, tables: 8, seed: 1 })],
  oracleTopK: () => [maskers.oracleTopK({ heavySize })],
  adaptiveSampling: () => [
    maskers.quest({ heavySize: 512, pageSize: 64 }),
    maskers.adaptiveSampling({ baseRate: 0.01, epsilon: 0.1, delta: 0.1, seed: 1 }),
  ],
  importanceSampling: () => [maskers.importanceSampling({ draws: heavySize, seed: 1 })],
  magicPig: () => [maskers.magicPig({ tables: 40, bits: 8, seed: 1 })],
};

const only = flags.only?.split(',');
const isWanted = (name) => only === undefined || only.some((part) => name.includes(part));
const figure = (value, digits = 2) => (value === undefined ? '-' : value.toFixed(digits)).padStart(9);

/** Decoding with each pipeline; keys arrive one by one. Returns a row of figures for each. */
async function decode(attention, variant) {
  const rows = [];
  console.log(`\n${variant}: decode, ${heads} heads on ${keyHeads}, 1 x ${keyLength}, dim ${dim}, heavy ${heavySize}, sink 4, local 256`);
  console.log('  pipeline              speed-up  dense ms  total ms   mask ms  append ms  first ms     error    recall     worst   density');
  const room = keyLength + 4 * rounds + 16;
  const { queries, keys, values } = fillProblem(attention, room);
  const at = (length) => ({
    queries, keys, values, causal: true, keyLengths: Int32Array.of(length), queryOffset: length - 1,
  });
  for (const [name, make] of Object.entries(PIPELINES)) {
    if (!isWanted(name)) continue;
    const pipeline = attention.createSparseAttention([maskers.sink({ size: 4 }), maskers.local({ size: 256 }), ...make()]);
    const started = performance.now();
    const { metrics } = pipeline.forward({ ...at(keyLength), metrics: true });
    const first = performance.now() - started - metrics.attentionMilliseconds;
    let length = keyLength;
    const contestants = [
      () => attention.getMaskedAttentionOutput(at(keyLength)),
      () => pipeline.forward(at(length)),
      () => pipeline.buildMask(at(length)),
      () => pipeline.buildMask(at((length = Math.min(length + 1, room)))),
    ];
    const warm = [];
    for (const run of contestants.slice(0, 3)) warm.push({ run, ...(await warmUp(run)) });
    warm.push({ run: contestants[3], milliseconds: warm[2].milliseconds });
    const samples = await measure(warm.map((each) => ({ ...each, milliseconds: Math.max(each.milliseconds, 5) })), settings);
    const [dense, total, mask, grown] = samples.map((each) => summarize(each).median);
    const speedUp = ratio(samples[0], samples[1]);
    rows.push({ name, speedUp, total, mask, first, recall: metrics.massRecall.mean });
    console.log(
      `  ${name.padEnd(20)}${figure(speedUp)}${figure(dense)}${figure(total)}${figure(mask)}` +
        `${figure(grown - mask, 3)}  ${figure(first, 0)}${figure(metrics.outputError, 4)}${figure(metrics.massRecall.mean, 4)}` +
        `${figure(metrics.massRecall.worst, 4)}${figure(metrics.density, 4)}`,
    );
    pipeline.dispose();
  }
  return rows;
}

/** The table of the project's README. */
function formatReadme([base, relaxed = []]) {
  const cells = ({ total, mask, speedUp } = {}) =>
    total === undefined ? '- | -' : `${total.toFixed(1)} ms, ${mask.toFixed(1)} | ${speedUp.toFixed(1)}`;
  const lines = base.map((row) =>
    `| ${row.name} | ${cells(row)} | ${cells(relaxed.find(({ name }) => name === row.name))} | ${row.recall.toFixed(2)} |`);
  return [
    `Node ${process.version}, ${new Date().toISOString().slice(0, 10)}, medians.`,
    '',
    '| masker | base: all, choosing | × dense | relaxed: all, choosing | × dense | recall |',
    '|---|---|---|---|---|---|',
    ...lines,
  ].join('\n');
}

/** The part of a long prefill with sinks and a window that building the mask takes. */
function prefill(attention, variant) {
  const dims = [1, 4, 16384, 64];
  const [queries, keys, values] = [0, 1, 2].map((n) => {
    const tensor = attention.tensor(dims);
    const normal = normals(n + 3);
    tensor.data.forEach((_, at, data) => { data[at] = normal(); });
    return tensor;
  });
  const pipeline = attention.createSparseAttention([maskers.sink({ size: 4 }), maskers.local({ size: 256 })]);
  pipeline.forward({ queries, keys, values, causal: true });
  const started = performance.now();
  pipeline.buildMask({ queries, keys, values, causal: true });
  const built = performance.now();
  pipeline.forward({ queries, keys, values, causal: true });
  const ended = performance.now();
  const share = (100 * (built - started)) / (ended - built);
  console.log(`\n${variant}: prefill of 16384 with sink 4 and local 256, 4 heads, dim 64: ` +
    `${(ended - built).toFixed(1)} ms, of which building the mask ${(built - started).toFixed(3)} ms (${share.toFixed(3)} %)`);
}

/** Choosing the largest of a row of scores, beside computing them. */
async function selection(variant) {
  const { instance } = await WebAssembly.instantiate(await readFile(new URL(`../build/bench/select-${variant}.wasm`, import.meta.url)));
  const { memory, bench_score: score, bench_select: select, __heap_base: base } = instance.exports;
  const count = 32768;
  memory.grow(Math.ceil((4 * count * (dim + 8)) / 65536));
  const place = (bytes) => { const address = place.next; place.next += Math.ceil(bytes / 64) * 64; return address; };
  place.next = Math.ceil(base.value / 64) * 64;
  const [scores, query, keys, chosen, scratch] = [4 * count + 64, 4 * dim, 4 * count * dim, count / 8, 16 * count].map(place);
  const normal = normals(9);
  new Float32Array(memory.buffer, query, dim).forEach((_, at, data) => { data[at] = normal(); });
  new Float32Array(memory.buffer, keys, count * dim).forEach((_, at, data) => { data[at] = normal(); });
  const runs = [() => score(scores, query, keys, count, dim), ...[64, 1024, 8192].map((k) => () => select(chosen, scores, count, k, scratch))];
  const warm = [];
  for (const run of runs) warm.push({ run, ...(await warmUp(run)) });
  const samples = await measure(warm, settings);
  const shares = [1, 2, 3].map((n) => `${(100 / ratio(samples[0], samples[n])).toFixed(1)} %`);
  console.log(`\n${variant}: a row of ${count} scores of dim ${dim} takes ${summarize(samples[0]).median.toFixed(3)} ms; ` +
    `choosing the largest 64, 1024 and 8192 of it ${shares.join(', ')} of that`);
}

console.log(`Node ${process.version}`);
const tables = [];
for (const variant of ['base', 'relaxed']) {
  if (only === undefined) await selection(variant);
  let attention;
  try {
    attention = await createAttention({ variant });
  } catch (error) {
    console.log(`${variant}: ${error.message}`);
    continue;
  }
  if (only === undefined) prefill(attention, variant);
  tables.push(await decode(attention, variant));
  attention.dispose();
}
if (flags.readme) {
  const readme = new URL('../README.md', import.meta.url);
  await writeFile(readme, replaceBetweenMarkers(await readFile(readme, 'utf8'), formatReadme(tables), 'maskers'));
}
