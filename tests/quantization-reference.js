// SPDX-License-Identifier: Apache-2.0
/**
 * @file quantization-reference.js - product quantisation of keys in double precision, as src/product_quantization.c
 * describes it. Throws where two centroids are so near that float32 may decide otherwise, unless they are equal.
 */
import { philox } from './oracle.js';
import { dot } from './masker-references.js';

const SAMPLES = 4096;
const GAP = 1e-6;

/** Distinct samples, by a shuffle of which the head is used. */
function drawSamples(samples, count, seed, b, head, sub) {
  const order = Array.from({ length: samples }, (_, n) => n);
  for (let n = 0; n < count; n++) {
    const words = philox([Math.floor(n / 4), (0x50510000 ^ sub) >>> 0, head, ~b >>> 0], seed);
    const other = n + Math.floor((words[n % 4] * (samples - n)) / 2 ** 32);
    [order[n], order[other]] = [order[other], order[n]];
  }
  return order.slice(0, count);
}

function nearest(vector, centroids, metric) {
  const scores = centroids.map((c) => dot(vector, c) - (metric === 'ip' ? 0 : dot(c, c) / 2));
  const best = Math.max(...scores);
  const gap = best - Math.max(-Infinity, ...scores.filter((score) => score !== best));
  if (gap < GAP) throw new Error('two centroids are too near to each other for a test: draw other keys');
  return scores.indexOf(best);
}

function cluster(vectors, count, { iterations, metric, seed }, b, head, sub) {
  const centroids = drawSamples(vectors.length, count, seed, b, head, sub).map((n) => Float64Array.from(vectors[n]));
  for (let round = 0; round < iterations; round++) {
    const codes = vectors.map((vector) => nearest(vector, centroids, metric));
    centroids.forEach((centroid, c) => {
      const own = vectors.filter((_, n) => codes[n] === c);
      if (own.length === 0) return;
      centroid.forEach((_, d) => {
        centroid[d] = own.reduce((sum, vector) => sum + vector[d], 0) / own.length;
      });
    });
  }
  return centroids;
}

/**
 * Quantised keys of one head: key j as the centroids it has become, [dim] numbers. `ends` says how many keys there are
 * after each append.
 */
export function quantize(problem, b, head, ends, options) {
  const { groupFactor = 8, bits = 6, iterations = 10, initOffset = 0, metric = 'euclidean', seed = [0, 0] } = options;
  const count = 2 ** bits;
  const part = (j, sub) => problem.key(b, head, j).slice(sub * groupFactor, (sub + 1) * groupFactor);
  const subVectors = problem.dim / groupFactor;
  const books = Array.from({ length: subVectors }, () => []);
  const quantized = [];
  let begin = 0;
  for (const end of ends) {
    const from = Math.max(begin, initOffset);
    if (end - from > count && books[0].length === 0) {
      const samples = Math.min(SAMPLES, end - from);
      const places = Array.from({ length: samples }, (_, n) => from + Math.floor((n * (end - from)) / samples));
      books.forEach((book, sub) =>
        book.push(...cluster(places.map((j) => part(j, sub)), count, { iterations, metric, seed }, b, head, sub)),
      );
    }
    for (let j = from; j < end; j++) {
      const isFree = books[0].length < count;
      quantized[j] = books.flatMap((book, sub) => {
        if (isFree) book.push(part(j, sub));
        return [...book[isFree ? book.length - 1 : nearest(part(j, sub), book, metric)]];
      });
    }
    begin = end;
  }
  return quantized;
}

/** Quantised keys of all heads that an index has: quantized[b][head][j]. */
export function quantizeAll(problem, ends, options) {
  const endsOf = (b) => ends ?? [problem.options.keyLengths?.[b] ?? problem.sk];
  const heads = (b) =>
    Array.from({ length: problem.keyHeads }, (_, head) => quantize(problem, b, head, endsOf(b), options));
  return Array.from({ length: problem.batch }, (_, b) => heads(b));
}
