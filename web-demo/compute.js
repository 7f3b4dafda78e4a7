// SPDX-License-Identifier: Apache-2.0
/** Everything numeric on the page: attention through the package, and how far a masked result is from the dense one. */
import { createAttention, Mask } from '../js/index.js';
import { isKept } from './masking.js';

const BATCHES = 4;
const BATCH_MS = 4;

/** @returns {Promise<object>} an engine of the package, best variant for this browser */
export function openEngine() {
  return createAttention();
}

/**
 * Attention of one layer under a masking.
 * @param {object} engine
 * @param {import('./sample.js').Sample} sample
 * @param {number} layer
 * @param {import('./masking.js').Masking} [masking] dense without
 * @returns {{ weights: Float32Array, output: Float32Array, milliseconds: () => number, dispose: () => void }}
 *   weights [heads, steps, steps], output [heads, steps, dim]; milliseconds() measures one call without weights
 */
export function attend(engine, sample, layer, masking) {
  const { queries, keys, values } = sample.blocks[layer];
  const { scaling, steps } = sample;
  const problem = { queries, keys, values, scaling, outputLayout: 'bhsd', ...maskOptions(masking, steps) };
  const { output, weights } = engine.getMaskedAttentionOutput({ ...problem, returnAttentionWeights: true });
  return {
    output: output.data,
    weights: weights.data,
    milliseconds: () => measure(() => engine.getMaskedAttentionOutput(problem)),
    dispose: () => problem.sparseAttentionMask?.dispose(),
  };
}

/** What the package takes of one layer, for maskers to choose from. */
export function layerProblem({ blocks, scaling }, layer, causal) {
  const { queries, keys, values } = blocks[layer];
  return { queries, keys, values, scaling, causal };
}

/** @returns {number} the largest |a - b|; NaN if any is */
export function maxDifference(a, b) {
  let largest = 0;
  for (let n = 0; n < a.length; n++) {
    const difference = Math.abs(a[n] - b[n]);
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

/** @returns {number} ||a - b|| / ||b|| */
export function relativeError(a, b) {
  let error = 0;
  let norm = 0;
  for (let n = 0; n < a.length; n++) {
    error += (a[n] - b[n]) ** 2;
    norm += b[n] ** 2;
  }
  return Math.sqrt(error / norm);
}

/** @returns {number} the largest weight on a masked-out cell: 0, or the package is wrong */
export function maxMaskedWeight(weights, steps, masking) {
  let largest = 0;
  for (let n = 0; n < weights.length; n++) {
    const kept = isKept(masking, Math.floor(n / steps) % steps, n % steps);
    if (!kept && !(weights[n] <= largest)) largest = weights[n];
  }
  return largest;
}

/** Window and causal order are options of the package; a window with sinks beside it is a sparse mask. */
function maskOptions(masking, steps) {
  if (!masking) return {};
  const { causal, left, right, sinks } = masking;
  const window = left < steps - 1 || right < steps - 1 ? { left, right } : undefined;
  if (!window || sinks === 0) return { causal, window };
  const ptr = [0];
  const indices = [];
  for (let i = 0; i < steps; i++) {
    for (let j = 0; j < steps; j++) if (isKept(masking, i, j)) indices.push(j);
    ptr.push(indices.length);
  }
  const arrays = { ptr: Uint32Array.from(ptr), indices: Uint32Array.from(indices) };
  return { causal, sparseAttentionMask: Mask.fromIndices([1, 1, steps, steps], arrays) };
}

/** Milliseconds of one run: the mean of the fastest batch, which other work on the machine disturbed least. */
function measure(run) {
  let fastest = Infinity;
  for (let batch = 0; batch < BATCHES; batch++) {
    const start = performance.now();
    let runs = 0;
    let elapsed;
    do {
      run();
      runs++;
      elapsed = performance.now() - start;
    } while (elapsed < BATCH_MS);
    fastest = Math.min(fastest, elapsed / runs);
  }
  return fastest;
}
