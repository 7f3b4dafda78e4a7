// SPDX-License-Identifier: Apache-2.0
/** Decoding, one step: what is read of the keys when a query is the last token so far. */
import { weightingOf } from '../../js/sparse-attention.js';
import { positionOf, sizesOf, sliceMask, sliceProblem, withoutValues } from './problem.js';
import { completed, recipeMaskers } from './recipe.js';

const BYTES = { float16: 2, bfloat16: 2, float32: 4 };

/**
 * @typedef {object} DecodeStep
 * @property {number} length keys that there are at this step
 * @property {Uint32Array} keys those that are read, ascending
 * @property {Float32Array} weights of these
 * @property {{ page: number, begin: number, end: number, kept: number, mass: number }[]} pages of `pageSize` keys: how
 *   many of each are read, and what they weigh together
 * @property {number} read bytes of keys and values that are read for this head
 * @property {number} of bytes of all that there are
 */

/**
 * The recipe is carried out as a decoder would: by this one query, with the keys up to its position and no others.
 * (Maskers that cluster keys do so with those that there are, as after a prompt.)
 * @param {object} attention
 * @param {object} problem
 * @param {import('./recipe.js').Recipe} recipe
 * @param {{ query: number, batch?: number, head?: number, pageSize?: number }} at
 * @returns {DecodeStep}
 * @throws {RangeError} for a query or head that there is not
 */
export function decodeStep(attention, problem, recipe, { query, batch = 0, head = 0, pageSize = 16 }) {
  const size = sizesOf(problem);
  const check = (name, value, low, high) => {
    if (Number.isInteger(value) && value >= low && value <= high) return;
    throw new RangeError(`${name}: expected an integer in ${low}..${high}, got ${value}`);
  };
  check('query', query, 0, size.queries - 1);
  check('batch', batch, 0, size.batch - 1);
  check('head', head, 0, size.heads - 1);
  check('pageSize', pageSize, 1, 2 ** 20);
  const length = Math.max(0, Math.min(size.keys, positionOf(problem, batch) + query + 1));
  const step = sliceProblem(problem, { batch, rows: [query, query + 1], keys: length });
  const pipeline = attention.createSparseAttention(recipeMaskers(step, completed(problem, recipe, batch), query));
  let mask;
  try {
    mask = pipeline.buildMask(step);
  } finally {
    pipeline.dispose();
  }
  const own = sliceMask(mask, sizesOf(step), { heads: [head, head + 1] });
  const one = withoutValues(sliceProblem(step, { heads: [head, head + 1] }));
  const { weights } = attention.getMaskedAttentionOutput({
    ...one,
    sparseAttentionMask: own,
    maskWeighting: weightingOf(own, problem),
    returnAttentionWeights: true,
    weightsFormat: 'sparse',
  });
  const allowed = attention.getMaskedAttentionOutput({ ...one, returnAttentionWeights: true, weightsFormat: 'sparse' });
  const open = new Set(allowed.weights.indices); // the other list still has what causal order takes out
  const places = Array.from(weights.indices, (_, n) => n).filter((n) => open.has(weights.indices[n]));
  const keys = Uint32Array.from(places, (n) => weights.indices[n]);
  const values = Float32Array.from(places, (n) => weights.values[n]);
  const bytesOf = ({ dtype, data }, width) => width * (BYTES[dtype] ?? data.BYTES_PER_ELEMENT);
  const perKey = bytesOf(problem.keys, size.dim) + (problem.values ? bytesOf(problem.values, size.valueDim) : 0);
  return {
    length,
    keys,
    weights: values,
    pages: pagesOf(keys, values, length, pageSize),
    read: keys.length * perKey,
    of: length * perKey,
  };
}

function pagesOf(keys, weights, length, pageSize) {
  const pages = Array.from({ length: Math.ceil(length / pageSize) }, (_, page) => {
    return { page, begin: page * pageSize, end: Math.min(length, (page + 1) * pageSize), kept: 0, mass: 0 };
  });
  keys.forEach((key, n) => {
    const page = pages[Math.floor(key / pageSize)];
    page.kept++;
    page.mass += weights[n];
  });
  return pages;
}
