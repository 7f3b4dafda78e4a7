// SPDX-License-Identifier: Apache-2.0

/** How far attention over what a mask keeps is from attention over everything, and what both cost. */

import { FINISH_OPTIONS } from './options.js';
import { PROBLEM_OPTIONS } from './problem.js';
import { floatsOf } from './widen.js';

const PERCENTILE = 0.05;
const SPARSE_OPTIONS = new Set(['sparseAttentionMask', 'maskWeighting']);

/**
 * @param masked options of getMaskedAttentionOutput with the mask
 * @param result what they gave
 * @param dense what the same gives without the mask
 */
export function measure(attention, masked, result, mask, dense = measureDense(attention, masked)) {
  const { logSumExp: kept } = attention.getMaskedAttentionOutput({
    ...denseOptions(masked),
    sparseAttentionMask: mask.isEmpty() ? mask : mask.not().not(),
    returnLogSumExp: true,
  });
  return {
    density: mask.density(),
    outputError: relativeError(floatsOf(result.output), dense.output.data),
    massRecall: recallOf(kept.data, dense.logSumExp),
    flops: attention.explain(masked).flops,
    flopsDense: dense.flops,
  };
}

/** Attention without a sparse mask, once for all masks that are compared with it: { output, logSumExp, flops }. */
export function measureDense(attention, masked) {
  const options = denseOptions(masked);
  const { output, logSumExp } = attention.getMaskedAttentionOutput({ ...options, returnLogSumExp: true });
  return { output, logSumExp, flops: attention.explain(options).flops };
}

/** The problem without a sparse mask, and without results that nobody looks at. */
export function denseOptions(masked) {
  const names = [...PROBLEM_OPTIONS, ...FINISH_OPTIONS].filter((name) => !SPARSE_OPTIONS.has(name));
  return Object.fromEntries(names.map((name) => [name, masked[name]]));
}

/** ||a - b|| / ||b||, Euclidean norms; where neither has a number (empty rows that are NaN), there is no difference. */
function relativeError(a, b) {
  let [difference, norm] = [0, 0];
  for (let n = 0; n < a.length; n++) {
    if (Number.isNaN(a[n]) && Number.isNaN(b[n])) continue;
    difference += (a[n] - b[n]) ** 2;
    norm += b[n] ** 2;
  }
  return difference === 0 ? 0 : Math.sqrt(difference / norm);
}

/** Of each row the part of its dense attention that is kept: mean, 5th percentile, and the worst row. */
function recallOf(kept, { data: dense, dims: [, heads, queries] }) {
  const recalls = [];
  let worst = 1;
  let worstRow;
  for (let row = 0; row < dense.length; row++) {
    if (dense[row] === -Infinity) continue; // a row without keys has nothing to lose
    const recall = Math.min(1, Math.exp(kept[row] - dense[row]));
    recalls.push(recall);
    if (recall < worst || worstRow === undefined) [worst, worstRow] = [recall, row];
  }
  if (recalls.length === 0) return { mean: 1, p5: 1, worst: 1, worstRow: undefined };
  recalls.sort((a, b) => a - b);
  const head = Math.floor(worstRow / queries);
  return {
    mean: recalls.reduce((sum, recall) => sum + recall, 0) / recalls.length,
    p5: recalls[Math.floor(PERCENTILE * (recalls.length - 1))],
    worst,
    worstRow: { batch: Math.floor(head / heads), head: head % heads, query: worstRow % queries },
  };
}
