// SPDX-License-Identifier: Apache-2.0
/**
 * Attention as one would write it without a library: loops over typed arrays. A contestant, and row by row the
 * reference that every other contestant is compared with.
 */
import { keyRange } from './problem.js';

/**
 * One row of the output.
 * @param {Float32Array} weights scratch for kLen numbers: what multiplied the values
 * @param {Float32Array} output of the whole problem, [batch, heads, qLen, valueDim]; the row is written
 */
export function attendRow({ shape, data, options }, batch, head, query, weights, output) {
  const { queries, keys, values } = data;
  const { heads, keyHeads, qLen, kLen, dim, valueDim } = shape;
  const { softcap, alibiSlopes, sinks, attentionMask, dropoutMask, sparseAttentionMask: mask } = options;
  const [begin, end] = keyRange(shape, options, batch, query);
  const group = heads / keyHeads;
  const row = (batch * heads + head) * qLen + query;
  const keyBase = (batch * keyHeads + Math.floor(head / group)) * kLen;
  const scaling = 1 / Math.sqrt(dim);
  const weightOf = mask && ((key) => mask.get(0, Math.floor((head * mask.shape[1]) / heads), query, key));
  let max = -Infinity;
  weights.fill(0);
  for (let key = begin; key < end; key++) {
    if (mask && weightOf(key) === 0) {
      weights[key] = -Infinity;
      continue;
    }
    let score = 0;
    for (let x = 0; x < dim; x++) score += queries[row * dim + x] * keys[(keyBase + key) * dim + x];
    score *= scaling;
    if (softcap) score = softcap * Math.tanh(score / softcap);
    if (alibiSlopes) score -= alibiSlopes[head] * Math.abs(kLen - qLen + query - key);
    if (attentionMask) {
      const masked = attentionMask.data[query * kLen + key]; // [1, 1, qLen, kLen]
      score += attentionMask.dtype === 'bool' ? (masked ? 0 : -Infinity) : masked;
    }
    weights[key] = score;
    if (score > max) max = score;
  }
  const out = output.subarray(row * valueDim, (row + 1) * valueDim).fill(0);
  if (max === -Infinity) { // a row that keeps nothing
    weights.fill(0);
    return;
  }
  if (sinks) max = Math.max(max, sinks[head]);
  let sum = sinks ? Math.exp(sinks[head] - max) : 0;
  for (let key = begin; key < end; key++) {
    const isKept = !dropoutMask || dropoutMask.data[row * kLen + key];
    weights[key] = isKept ? Math.exp(weights[key] - max) * (mask ? weightOf(key) : 1) : 0;
    sum += weights[key];
  }
  for (let key = begin; key < end; key++) {
    weights[key] /= sum;
    const value = (keyBase + key) * valueDim;
    for (let x = 0; x < valueDim; x++) out[x] += weights[key] * values[value + x];
  }
}

/** @returns a contestant that computes all rows */
export function createPlainLoop(problem) {
  const { batch, heads, qLen, kLen, valueDim } = problem.shape;
  const weights = new Float32Array(kLen);
  return {
    run() {
      const output = new Float32Array(batch * heads * qLen * valueDim);
      for (let b = 0; b < batch; b++) {
        for (let head = 0; head < heads; head++) {
          for (let query = 0; query < qLen; query++) attendRow(problem, b, head, query, weights, output);
        }
      }
      return output;
    },
    read: (output) => ({ output, layout: 'bhsd' }),
  };
}
