// SPDX-License-Identifier: Apache-2.0

/**
 * Files of one's own as what the page shows: layers of queries, keys and values, their masks and tokens.
 *
 *     files ─▶ parts.js ─▶ layers.js ─▶ layouts.js ─▶ Dataset, or a Choice of readings
 */

import { DataError } from './errors.js';
import { groupLayers } from './layers.js';
import { applyLayout, findReadings, isClear } from './layouts.js';
import { openMatrix, readAttentionMask, readDenseMask, readMatrixMask, readWeights } from './masks.js';
import { readParts } from './parts.js';
import { toFloats } from './tensors.js';

/**
 * @typedef {object} Layer
 * @property {string} label `Layer 3`, by the number in the names
 * @property {object} [problem] AttentionInputs in the order bhsd: queries, keys, values?, attentionMask?,
 *   sparseAttentionMask? (a Mask), scaling?; each tensor has memory of its own
 * @property {object} [weights] recorded ones, float32 [b, h, sq, sk], for a check or where there is nothing else
 *
 * @typedef {object} Dataset
 * @property {string} name
 * @property {Layer[]} layers with a problem each, unless there is `weightsOnly`
 * @property {{ queries: string[], keys: string[] }} [tokens] as many as there are
 * @property {string[]} notes what was assumed, converted or left out, a sentence each
 * @property {object[]} [weightsOnly] where only weights were given, those of each layer: a tensor, or compressed sparse
 *   rows (SparseWeights) from a matrix of scipy.sparse
 *
 * @typedef {object} Choice
 * @property {string} name
 * @property {string} question
 * @property {{ sentence: string, layout: object }[]} readings best first
 * @property {object} parts what applyChoice needs
 */

/**
 * Reads files that were dropped together.
 * @param {{ name: string, bytes: Uint8Array }[]} files .npy, .npz, .safetensors; .json and .txt for tokens
 * @returns {Promise<Dataset | Choice>} a Choice, which has `readings`, where the axes could mean several things
 * @throws DataError which names the file, what is wrong and what is expected; nothing else
 */
export async function readFiles(files) {
  const parts = await readParts(files);
  const has = (role) => parts.arrays.some((array) => array.role === role);
  if (!has('queries') && !has('keys')) {
    if (has('weights')) return readWeightsOnly(parts);
    throw new DataError(whyNothing(parts));
  }
  const layers = groupLayers(parts.arrays, ['queries', 'keys'], ['values'], parts.notes);
  const { readings, problems } = findReadings(layers, parts.tokens.map(({ list }) => list.length));
  if (readings.length === 0) throw new DataError(problems[0]);
  if (isClear(readings)) return build(parts, layers, readings[0]);
  return {
    name: parts.name,
    question: `What are the axes of ${layers[0].queries.label}, ${layers[0].queries.dims.join(' x ')}?`,
    readings: readings.map(({ sentence, layout }) => ({ sentence, layout })),
    parts: { ...parts, layers },
  };
}

/**
 * @param {Choice} choice
 * @param {number} index of its readings
 * @returns {Promise<Dataset>}
 * @throws RangeError for an index beyond the readings; DataError as readFiles
 */
export async function applyChoice({ readings, parts }, index) {
  if (readings[index] === undefined) {
    throw new RangeError(`index: expected an integer in 0..${readings.length - 1}, got ${index}`);
  }
  return build(parts, parts.layers, readings[index]);
}

function whyNothing({ arrays, notes }) {
  const parameter = arrays.find(({ role }) => role === 'parameters');
  if (parameter !== undefined) {
    return `${parameter.label}: parameters of a model; expected the queries and keys that they make of a text`;
  }
  const expected = 'No queries and keys found; expected arrays called q and k (or queries and keys), or weights.';
  return [expected, ...notes].join(' ');
}

async function build({ name, notes: told, tokens, scaling }, layers, { sentence, layout }) {
  const notes = [...told, `Read as ${sentence}.`];
  const done = [];
  for (const layer of layers) {
    const floats = (array) => applyLayout(toFloats(array, notes), layout);
    const queries = floats(layer.queries);
    const keys = floats(layer.keys);
    const shape = [queries.dims[0], queries.dims[1], queries.dims[2], keys.dims[2]];
    const problem = { queries, keys };
    if (layer.values !== undefined) problem.values = floats(layer.values);
    if (layer.attentionMask !== undefined) {
      problem.attentionMask = readAttentionMask(layer.attentionMask, shape, notes);
    }
    if (layer.sparseMask !== undefined) {
      problem.sparseAttentionMask = await readSparseMask(layer.sparseMask, shape, keys.dims[1], notes);
    }
    if (scaling !== undefined) problem.scaling = scaling;
    const built = { label: layer.label, problem };
    if (layer.weights?.bytes !== undefined) notes.push(`${layer.weights.label}: left out, queries and keys say more.`);
    else if (layer.weights !== undefined) built.weights = readWeights(layer.weights, shape, notes);
    done.push(built);
  }
  const { queries, keys } = done[0].problem;
  const found = fitTokens(tokens, queries.dims[2], keys.dims[2], notes);
  return { name, layers: done, ...(found && { tokens: found }), notes: [...new Set(notes)] };
}

function readSparseMask(mask, shape, keyHeads, notes) {
  return mask.bytes === undefined
    ? readDenseMask(mask, shape, keyHeads, notes)
    : readMatrixMask(mask, shape, keyHeads, notes);
}

async function readWeightsOnly({ name, arrays, tokens, notes: told }) {
  const notes = [...told, 'Only weights: masks can be looked at, but not what they do to the output.'];
  const layers = groupLayers(arrays, ['weights'], [], notes);
  const weightsOnly = [];
  for (const { weights } of layers) {
    weightsOnly.push(weights.bytes === undefined
      ? readWeights(weights, undefined, notes)
      : await sparseWeights(weights));
  }
  const [, , queries, keys] = weightsOnly[0].dims;
  const found = fitTokens(tokens, queries, keys, notes);
  return {
    name,
    layers: layers.map(({ label }) => ({ label })),
    weightsOnly,
    ...(found && { tokens: found }),
    notes: [...new Set(notes)],
  };
}

async function sparseWeights(matrix) {
  const mask = await openMatrix(matrix);
  const { ptr, indices, weights } = mask.toIndices();
  return { ptr, indices, values: weights, dims: [...mask.shape], dtype: 'float32' };
}

/** A list for keys serves queries too, which are the last of them. Lists of other lengths are left out. */
function fitTokens(tokens, queries, keys, notes) {
  const found = {};
  for (const { label, side, list } of tokens) {
    const takers = [['queries', queries], ['keys', keys]].filter(
      ([name, count]) => (side ?? name) === name && list.length === count && found[name] === undefined,
    );
    if (takers.length === 0) {
      notes.push(`${label}: left out, ${list.length} tokens where there are ${queries} queries and ${keys} keys.`);
    }
    for (const [name] of takers) found[name] = list;
  }
  if (found.queries === undefined && found.keys !== undefined && queries <= keys) {
    found.queries = found.keys.slice(keys - queries);
  }
  if (found.queries === undefined && found.keys === undefined) return undefined;
  const numbers = (count) => Array.from({ length: count }, (_, n) => `${n}`);
  return { queries: found.queries ?? numbers(queries), keys: found.keys ?? numbers(keys) };
}
