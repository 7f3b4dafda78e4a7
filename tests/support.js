// SPDX-License-Identifier: Apache-2.0
/**
 * @file support.js - what several test files need, in Node and in browsers: building package inputs from the oracle's
 * form, and comparing results with the oracle's under the error bound of the specification.
 */
import { Mask } from '../js/index.js';
import { product } from './random.js';

/** A Mask from the oracle's plain form: the one that comes with it, or one built the way `representation` says. */
export function buildMask({ shape, flag, weights, representation = 'dense', mask }) {
  if (mask) return mask;
  if (flag) return Mask[flag](shape);
  if (representation === 'dense') return Mask.fromDense(shape, weights);
  const { ptr, indices, values } = sparse({ shape, weights });
  if (representation === 'indices') return Mask.fromIndices(shape, { ptr, indices, weights: values });
  const columns = shape.at(-1);
  if (representation === 'upstream') {
    const flat = [];
    for (let row = 0; row + 1 < ptr.length; row++)
      for (let n = ptr[row]; n < ptr[row + 1]; n++) flat.push(row * columns + indices[n]);
    return Mask.fromUpstreamIndices(shape, Int32Array.from(flat), ptr, values);
  }
  const width = Math.max(0, ...Array.from(ptr.subarray(1), (end, row) => end - ptr[row]));
  const rows = ptr.length - 1;
  const padded = new Int32Array(rows * width).fill(-1);
  const paddedWeights = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++)
    for (let n = ptr[row]; n < ptr[row + 1]; n++) {
      padded[row * width + n - ptr[row]] = indices[n];
      paddedWeights[row * width + n - ptr[row]] = values[n];
    }
  return Mask.fromRowWiseIndices(shape, padded, paddedWeights);
}

/** CSR of a dense mask. */
export function sparse({ shape, weights }) {
  const columns = shape.at(-1);
  const rows = product(shape.slice(0, -1));
  const ptr = new Uint32Array(rows + 1);
  const indices = [];
  const values = [];
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < columns; j++) {
      const weight = weights[row * columns + j];
      if (weight === 0) continue;
      indices.push(j);
      values.push(weight);
    }
    ptr[row + 1] = indices.length;
  }
  return { ptr, indices: Uint32Array.from(indices), values: Float32Array.from(values) };
}

/** The oracle's options as the package takes them. */
export function inputs(options) {
  const { sparseAttentionMask } = options;
  return sparseAttentionMask ? { ...options, sparseAttentionMask: buildMask(sparseAttentionMask) } : options;
}

/** [batch, heads, queryLength, keyLength, dim, valueDim] of a problem. */
export function sizes({ queries, keys, values, inputLayout }) {
  const [heads, length] = inputLayout === 'bshd' ? [2, 1] : [1, 2];
  return {
    batch: queries.dims[0],
    heads: queries.dims[heads],
    keyHeads: keys.dims[heads],
    valueHeads: values.dims[heads],
    queryLength: queries.dims[length],
    keyLength: keys.dims[length],
    dim: queries.dims[3],
    valueDim: values.dims[3],
  };
}

const epsilon = 2 ** -22;

/**
 * Largest error of `actual` and of `naive` against `exact`, each element in units of `scale(n)`; a message where
 * the non-finite values are not the same ones.
 */
function errors(what, actual, exact, naive, scale) {
  const found = { ours: 0, naive: 0, message: undefined };
  if (actual.length !== exact.length) {
    found.message = `${what}: ${actual.length} elements, expected ${exact.length}`;
    return found;
  }
  for (let n = 0; n < exact.length; n++) {
    const e = exact[n];
    if (!Number.isFinite(e) || !Number.isFinite(actual[n])) {
      if (!Object.is(actual[n], e)) {
        found.message = `${what}[${n}]: ${actual[n]}, expected ${e}`;
        return found;
      }
      continue;
    }
    const unit = scale(n);
    const ours = Math.abs(actual[n] - e);
    if (ours > 0) found.ours = Math.max(found.ours, ours / unit); // 0 / 0 of an all-zero row is no error
    if (unit > 0 && naive) found.naive = Math.max(found.naive, Math.abs(naive[n] - e) / unit);
  }
  return found;
}

/**
 * Compares one result with the exact one. `naive` is the float32 loop's. Errors are in units of what the bound is
 * proportional to: the largest value, times (1 + the largest logit).
 * @returns {{ ours: number, naive: number, message?: string }} message where the bound is exceeded
 */
export function compare(what, actual, exact, naive, options) {
  const survivors = options.training && options.dropout < 1 ? 1 / (1 - (options.dropout ?? 0)) : 1;
  const logit = 1 + exact.maxLogit;
  const { valueDim } = sizes(options);
  const pick = (result) => (what.startsWith('scores.') ? result.scores[what.slice(7)] : result[what]);
  const scales = {
    output: () => exact.maxValue * survivors * logit,
    weights: () => survivors * logit,
    // relative to the row's sum; what float32 cannot hold at all may be 0
    denominator: (n) => exact.denominator[n] * logit + 1e-30,
    numerator: (n) => exact.maxValue * survivors * exact.sum[Math.floor(n / valueDim)] * logit + 1e-30,
    // beyond all scores where the weights of a sparse mask are tiny
    logSumExp: (n) => Math.max(1 + exact.maxScore, Math.abs(exact.logSumExp[n])),
  };
  const scale = scales[what] ?? (() => 1 + exact.maxScore); // rowMax, scores: large before a softcap
  const found = errors(what, actual, pick(exact), pick(naive), scale);
  const bound = 1.5 * found.naive + epsilon;
  if (!found.message && !(found.ours <= bound))
    found.message = `${what}: error ${found.ours} over the bound ${bound}; naive float32 ${found.naive}`;
  return found;
}

/** Whether two arrays hold the same bits, all NaNs being equal; the index of the first difference, or -1. */
export function differsAt(a, b) {
  if (a.length !== b.length) return Math.min(a.length, b.length);
  for (let n = 0; n < a.length; n++) if (!Object.is(a[n], b[n])) return n;
  return -1;
}
