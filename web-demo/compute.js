// SPDX-License-Identifier: Apache-2.0
/** Everything numeric on the page: attention through the package, and how far a masked result is from the dense one. */
import { createAttention, Mask } from '../js/index.js';
import { isKept } from './masking.js';

const TIMING_MS = 12;

/** @returns {Promise<object>} an engine of the package, best variant for this browser */
export function openEngine() {
  return createAttention();
}

/**
 * Attention of one block under a masking.
 * @param {object} engine
 * @param {import('./sample.js').Sample} sample
 * @param {number} block index
 * @param {import('./masking.js').Masking} [masking] dense without
 * @returns {{ weights: Float32Array, output: Float32Array, milliseconds: () => number }}
 *   weights [heads, steps, steps], output [heads, steps, dim]; milliseconds() measures one call without weights
 */
export function attend(engine, sample, block, masking) {
  const { queries, keys, values } = sample.blocks[block];
  const problem = { queries, keys, values, scaling: sample.scaling, outputLayout: 'bhsd', ...maskOptions(masking, sample.steps) };
  const { output, weights } = engine.getMaskedAttentionOutput({ ...problem, returnAttentionWeights: true });
  return {
    output: output.data,
    weights: weights.data,
    milliseconds: () => measure(() => engine.getMaskedAttentionOutput(problem)),
  };
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
    if (weights[n] !== 0 && !isKept(masking, Math.floor(n / steps) % steps, n % steps)) largest = Math.max(largest, weights[n]);
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
  const mask = Mask.fromIndices([1, 1, steps, steps], { ptr: Uint32Array.from(ptr), indices: Uint32Array.from(indices) });
  return { causal, sparseAttentionMask: mask };
}

function measure(run) {
  run();
  const start = performance.now();
  let calls = 0;
  let elapsed;
  do {
    run();
    calls++;
    elapsed = performance.now() - start;
  } while (elapsed < TIMING_MS);
  return elapsed / calls;
}
