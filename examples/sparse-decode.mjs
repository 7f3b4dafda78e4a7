// SPDX-License-Identifier: Apache-2.0
/**
 * Decoding with a pipeline of maskers: each new token looks at four sinks, the last 64 keys and the pages that Quest
 * bounds highest, and metrics say how much of dense attention that is. The keys are made up: topics that come and go,
 * and queries that ask for one of them.
 *
 *     node examples/sparse-decode.mjs
 */
import { createAttention, maskers } from 'masked-attention';

const [heads, keyHeads, dim, prompt, tokens] = [8, 2, 64, 2048, 5];
const width = keyHeads * dim;

let seed = 1;
const uniform = () => ((seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) + 0.5) / 2 ** 32;
const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
const vector = (count, mean = () => 0, spread = 1) =>
  Float32Array.from({ length: count }, (_, i) => mean(i) + spread * normal());

const topics = Array.from({ length: 32 }, () => vector(dim));
const topicAt = (position) => topics[Math.floor(position / 24) % topics.length]; // 24 tokens about one thing

const attention = await createAttention();
const pipeline = attention.createSparseAttention([
  maskers.sink({ size: 4 }),
  maskers.local({ size: 64 }),
  maskers.quest({ heavySize: 256, pageSize: 16 }),
]);

// A cache with room for all tokens, in wasm memory: [batch, token, head, dim]. How many there are, keyLengths says.
const room = [1, prompt + tokens, keyHeads, dim];
const keys = attention.tensor(room);
const values = attention.tensor(room);
const write = (position) => {
  keys.data.set(vector(width, (i) => topicAt(position)[i % dim], 0.5), position * width);
  values.data.set(vector(width), position * width);
};
for (let position = 0; position < prompt; position++) write(position);

console.log('keys   kept   recall  worst   error   mask ms  attention ms');
for (let count = prompt + 1; count <= prompt + tokens; count++) {
  write(count - 1);
  const topic = topics[count % topics.length];
  const { metrics } = pipeline.forward({
    inputLayout: 'bshd',
    queries: { data: vector(heads * dim, (i) => topic[i % dim], 0.5), dims: [1, 1, heads, dim] },
    keys,
    values,
    keyLengths: Int32Array.of(count),
    queryOffset: count - 1,
    causal: true,
    metrics: true,
  });
  const { density, massRecall, outputError, maskMilliseconds, attentionMilliseconds } = metrics;
  console.log(
    String(count).padEnd(6),
    `${(100 * density).toFixed(1)} %`.padEnd(7),
    massRecall.mean.toFixed(3).padEnd(7),
    massRecall.worst.toFixed(3).padEnd(7),
    outputError.toFixed(3).padEnd(7),
    maskMilliseconds.toFixed(2).padEnd(8),
    attentionMilliseconds.toFixed(2),
  );
}
attention.dispose();
