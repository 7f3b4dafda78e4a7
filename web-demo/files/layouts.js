// SPDX-License-Identifier: Apache-2.0

/**
 * Which axes of queries, keys and values are what: [heads, tokens, dim] and [tokens, heads, dim] have equally many
 * numbers, so a reading must fit all tensors, and those that fit are ordered by how likely they are.
 */

import { formatDims } from '../../js/checks.js';
import { broadcasts } from './masks.js';
import { headsFirst } from './tensors.js';

/** Dimensions that heads commonly have, where those of all heads lie side by side; the likeliest first. */
const HEAD_DIMS = [128, 64, 96, 80, 256, 32];
const MERGED_FROM = 512; // a last axis this long may hold several heads

const MANY_HEADS = 256;
const DECISIVE = 4; // a reading this much less doubtful than all others is taken without asking

/** What makes a reading doubtful, and how much. */
const DOUBTS = {
  moreQueriesThanKeys: 8,
  otherTokens: 8,
  otherMask: 16,
  manyHeads: 4,
  moreHeadsThanTokens: 2,
  wideHead: 4,
};

/**
 * @typedef {{ order: 'heads-first' | 'tokens-first' | 'merged', dim?: number }} Layout `dim` is that of one head where
 * heads are merged
 * @typedef {{ sentence: string, layout: Layout, doubts: number }} Reading
 */

/**
 * Readings that fit every layer, best first.
 * @param {object[]} layers of groupLayers
 * @param {number[]} tokenCounts how many tokens lists have
 * @returns {{ readings: Reading[], problems: string[] }} problems: why the others do not fit
 */
export function findReadings(layers, tokenCounts) {
  const readings = [];
  const problems = [];
  for (const layout of candidates(layers[0])) {
    const fits = layers.map((layer) => fit(layer, layout, tokenCounts));
    const bad = fits.find(({ problem }) => problem !== undefined);
    if (bad !== undefined) {
      problems.push(bad.problem);
      continue;
    }
    const doubts = Math.max(...fits.map((one) => one.doubts));
    readings.push({ sentence: describe(fits[0], layout), layout, doubts });
  }
  return { readings: readings.sort((a, b) => a.doubts - b.doubts), problems: [...new Set(problems)] };
}

/** Whether the first reading needs no question. */
export function isClear([first, second]) {
  return second === undefined || first.doubts + DECISIVE <= second.doubts;
}

function candidates({ queries, keys }) {
  const width = queries.dims.at(-1);
  const other = keys.dims.at(-1);
  const areMerged = width !== other || width >= MERGED_FROM;
  const dims = areMerged ? HEAD_DIMS.filter((dim) => width % dim === 0 && other % dim === 0 && width > dim) : [];
  return [
    { order: 'heads-first' },
    ...(queries.dims.length > 2 || keys.dims.length > 2 ? [{ order: 'tokens-first' }] : []),
    ...dims.map((dim) => ({ order: 'merged', dim })),
  ];
}

/** The dims of a tensor as [batch, heads, tokens, dim]; undefined where it has another rank. */
function dimsOf(dims, { order, dim }) {
  const rank = dims.length;
  if (order === 'merged') {
    const [batch, tokens, width] = [...Array(Math.max(0, 3 - rank)).fill(1), ...dims];
    return (rank === 2 || rank === 3) && width % dim === 0 ? [batch, width / dim, tokens, dim] : undefined;
  }
  if (rank === 2) return [1, 1, ...dims];
  if (rank !== 3 && rank !== 4) return undefined;
  const [batch, a, b, last] = [...Array(4 - rank).fill(1), ...dims];
  return order === 'heads-first' ? [batch, a, b, last] : [batch, b, a, last];
}

function fit(layer, layout, tokenCounts) {
  const { queries, keys, values } = layer;
  const q = dimsOf(queries.dims, layout);
  const k = dimsOf(keys.dims, layout);
  const v = values === undefined ? k : dimsOf(values.dims, layout);
  const tell = (what) => ({ problem: what });
  if (q === undefined || k === undefined || v === undefined) {
    const wrong = [queries, keys, values].find((array) => array && dimsOf(array.dims, layout) === undefined);
    return tell(`${wrong.label}: expected 2 to 4 dimensions (heads x tokens x dim), got ${formatDims(wrong.dims)}`);
  }
  const [batch, heads, sq, dim] = q;
  const [, keyHeads, sk] = k;
  const pair = `${queries.label} ${formatDims(queries.dims)} and ${keys.label} ${formatDims(keys.dims)}`;
  if (k[3] !== dim) return tell(`${pair}: expected equal last dimensions, got ${dim} and ${k[3]}`);
  if (k[0] !== batch) return tell(`${pair}: expected equally many sequences, got ${batch} and ${k[0]}`);
  if (heads % keyHeads !== 0) {
    return tell(`${pair}: expected the heads of the keys to divide those of the queries, got ${keyHeads} and ${heads}`);
  }
  if (v[0] !== batch || v[2] !== sk || heads % v[1] !== 0) {
    return tell(
      `${values.label}: expected values for ${batch} x ${sk} keys (sequences x tokens), and heads that divide ` +
        `${heads}, got ${formatDims(values.dims)}`,
    );
  }
  const shape = [batch, heads, sq, sk];
  const doubts = [
    [sq > sk, DOUBTS.moreQueriesThanKeys],
    [heads > MANY_HEADS, DOUBTS.manyHeads],
    [heads > sk, DOUBTS.moreHeadsThanTokens],
    [layout.order !== 'merged' && dim >= MERGED_FROM, DOUBTS.wideHead],
    [tokenCounts.length > 0 && !tokenCounts.some((count) => count === sk || count === sq), DOUBTS.otherTokens],
    [!fitsMask(layer, shape), DOUBTS.otherMask],
  ];
  const rank = layout.order === 'merged' ? HEAD_DIMS.indexOf(layout.dim) : 0;
  return { shape, keyHeads, dim, doubts: doubts.reduce((sum, [holds, weight]) => sum + (holds ? weight : 0), rank) };
}

function fitsMask({ attentionMask, weights }, shape) {
  const [batch, heads, queries, keys] = shape;
  const asPadding = [[batch, keys], [batch, queries, keys]];
  const isSame = (dims, other) => dims.length === other.length && dims.every((size, axis) => size === other[axis]);
  const mask = attentionMask === undefined || broadcasts(attentionMask.dims, shape) ||
    asPadding.some((dims) => isSame(attentionMask.dims, dims));
  const recorded = weights?.dims === undefined ||
    isSame([...Array(Math.max(0, 4 - weights.dims.length)).fill(1), ...weights.dims], [batch, heads, queries, keys]);
  return mask && recorded;
}

function describe({ shape: [batch, heads, sq, sk], keyHeads, dim }, { order }) {
  const many = (count, word) => `${count} ${word}${count === 1 ? '' : 's'}`;
  const headsText = heads === keyHeads
    ? many(heads, 'head')
    : `${many(heads, 'query head')} and ${many(keyHeads, 'key head')}`;
  const tokens = sq === sk ? many(sk, 'token') : `${sq === 1 ? '1 query' : `${sq} queries`} and ${many(sk, 'key')}`;
  const sequences = batch === 1 ? '' : `${batch} sequences of `;
  const merged = order === 'merged' ? ', heads side by side' : '';
  return `${sequences}${headsText} of ${tokens} x ${dim}${merged}`;
}

/** A tensor in the order [batch, heads, tokens, dim]. */
export function applyLayout(tensor, layout) {
  const dims = dimsOf(tensor.dims, layout);
  if (layout.order === 'heads-first') return { ...tensor, dims };
  const [batch, heads, tokens, dim] = dims;
  return headsFirst({ ...tensor, dims: [batch, tokens, heads, dim] });
}
