// SPDX-License-Identifier: Apache-2.0
/** What tells the heads of a layer apart, which are alike, and small pictures of them. */
import { ENTRIES, WEIGHTS } from './limits.js';
import { positionOf, rangesOf, sizesOf, sliceProblem, spreadRows, withResidentKeys, withoutValues } from './problem.js';

const MOST_ROWS = 64; // where not all are looked at
const SINKS = 4;

/**
 * @typedef {object} HeadStatistics all of them means over rows that have a key, of dense attention
 * @property {number} head query head
 * @property {number} keyHead
 * @property {number} entropy in bits: 0 where a row looks at one key, log2 n where at n alike
 * @property {number} sinkMass weight of the first `sinkKeys` keys
 * @property {number} locality weight of keys at most `nearKeys` from the query
 * @property {number | undefined} recall weight of what the mask keeps; undefined without a mask
 * @property {number} sinkKeys
 * @property {number} nearKeys
 * @property {number} rows how many rows were looked at
 * @property {boolean} sampled whether these are not all
 */

/**
 * @param {object} attention
 * @param {object} problem
 * @param {import('../../js/index.js').Mask} [mask]
 * @param {{ batch?: number, sinkKeys?: number, nearKeys?: number }} [options] by default 4 keys, and 1/16 of all
 * @returns {HeadStatistics[]} by head
 */
export function headStatistics(attention, problem, mask, options = {}) {
  const size = sizesOf(problem);
  const {
    batch = 0,
    sinkKeys = Math.min(SINKS, size.keys),
    nearKeys = Math.max(1, Math.ceil(size.keys / 16)),
  } = options;
  const first = positionOf(problem, batch);
  const sums = Array.from({ length: size.heads }, () => ({
    entropy: 0,
    sinkMass: 0,
    locality: 0,
    recall: 0,
    count: 0,
  }));
  const { rows, sampled } = eachRow(attention, problem, batch, (weights, { head, query }) => {
    const own = sums[head];
    const position = first + query;
    let [total, entropy, sinkMass, locality] = [0, 0, 0, 0];
    for (let j = 0; j < weights.length; j++) {
      const weight = weights[j];
      if (!(weight > 0)) continue;
      total += weight;
      entropy -= weight * Math.log2(weight);
      if (j < sinkKeys) sinkMass += weight;
      if (Math.abs(position - j) <= nearKeys) locality += weight;
    }
    if (total === 0) return;
    own.count++;
    own.entropy += entropy;
    own.sinkMass += sinkMass;
    own.locality += locality;
    if (mask !== undefined) own.recall += keptMass(mask, size, { batch, head, query }, weights);
  });
  const group = size.heads / size.keyHeads;
  return sums.map(({ count, ...own }, head) => {
    const mean = (sum) => (count === 0 ? 0 : sum / count);
    return {
      head,
      keyHead: Math.floor(head / group),
      entropy: mean(own.entropy),
      sinkMass: mean(own.sinkMass),
      locality: mean(own.locality),
      recall: mask === undefined ? undefined : count === 0 ? 1 : own.recall / count,
      sinkKeys,
      nearKeys,
      rows,
      sampled,
    };
  });
}

/**
 * The other heads by how little their dense attention differs from that of one.
 * @param {{ batch?: number, among?: object[] }} [options] among: problems whose heads are compared, of as many queries
 *   and keys (the layers of a model); by default the problem itself
 * @returns {{ layer: number, head: number, distance: number }[]} nearest first; layer is the place in `among`, distance
 *   the total variation, 0 (the same) to 1 (nothing in common), mean over rows
 */
export function similarHeads(attention, problem, head, { batch = 0, among = [problem] } = {}) {
  const size = sizesOf(problem);
  if (!Number.isInteger(head) || head < 0 || head >= size.heads) {
    throw new RangeError(`head: expected an integer in 0..${size.heads - 1}, got ${head}`);
  }
  among.forEach((other, n) => {
    const { queries, keys } = sizesOf(other);
    if (queries === size.queries && keys === size.keys) return;
    const [expected, got] = [`${size.queries} x ${size.keys}`, `${queries} x ${keys}`];
    throw new RangeError(`among[${n}]: expected ${expected} queries and keys, got ${got}`);
  });
  const mostHeads = Math.max(size.heads, ...among.map((other) => sizesOf(other).heads));
  const rows = spreadRows(
    size.queries,
    Math.min(MOST_ROWS, Math.max(1, Math.floor(ENTRIES / Math.max(1, size.keys * mostHeads)))),
  );
  const own = new Map();
  eachRow(
    attention,
    problem,
    batch,
    (weights, at) => void (at.head === head && own.set(at.query, weights.slice())),
    rows,
  );
  const found = among.flatMap((other, layer) => {
    const sums = new Float64Array(sizesOf(other).heads);
    eachRow(
      attention,
      other,
      batch,
      (weights, at) => {
        const mine = own.get(at.query);
        let sum = 0;
        for (let j = 0; j < weights.length; j++) sum += Math.abs(weights[j] - mine[j]);
        sums[at.head] += sum / 2;
      },
      rows,
    );
    const isSelf = (n) => other === problem && n === head;
    return Array.from(sums, (sum, n) => ({
      layer,
      head: n,
      distance: rows.length === 0 ? 0 : sum / rows.length,
    })).filter((_, n) => !isSelf(n));
  });
  return found.sort((a, b) => a.distance - b.distance);
}

/**
 * A small picture of a head.
 * @param {{ shape: number[], read: Function }} source a MapSource, or anything that reads like one
 * @param {{ batch?: number, head: number, size?: number, show?: string }} options size is the most pixels of a side
 * @returns what `read` returns, or a promise of it, of the whole head, at the finest level that fits
 */
export function thumbnail(source, { batch = 0, head, size = 48, show = 'weights' }) {
  const [, , queries, keys] = source.shape;
  const level = Math.max(0, Math.ceil(Math.log2(Math.max(1, queries, keys) / size)));
  const pixels = (length) => [0, Math.ceil(length / 2 ** level)];
  return source.read({ batch, head, level, rows: pixels(queries), columns: pixels(keys), show });
}

/**
 * Calls visit(weights, { head, query }) with the dense weights of rows of all heads of a batch; the array is good until
 * the next call.
 * @returns {{ rows: number, sampled: boolean }}
 */
function eachRow(attention, problem, batch, visit, given) {
  const { heads, queries, keys } = sizesOf(problem);
  const all = heads * queries * keys <= WEIGHTS;
  const rows = given ?? spreadRows(queries, all ? queries : MOST_ROWS);
  const longest = Math.max(1, Math.floor(ENTRIES / Math.max(1, heads * keys)));
  withResidentKeys(attention, withoutValues(sliceProblem(problem, { batch })), (staged) => {
    for (const [begin, end] of rangesOf(rows, longest)) {
      const part = sliceProblem(staged, { rows: [begin, end] });
      const { weights } = attention.getMaskedAttentionOutput({ ...part, returnAttentionWeights: true });
      for (let head = 0; head < heads; head++) {
        for (let query = begin; query < end; query++) {
          const first = (head * (end - begin) + query - begin) * keys;
          visit(weights.data.subarray(first, first + keys), { head, query });
        }
      }
    }
  });
  return { rows: rows.length, sampled: rows.length < queries };
}

/** The sum of the weights of a row that a mask keeps. */
function keptMass(mask, size, { batch, head, query }, weights) {
  if (mask.isEmpty()) return weights.reduce((sum, weight) => sum + weight, 0);
  const [batches, own] = mask.shape;
  const at = { batch: batches === 1 ? 0 : batch, head: Math.floor((head * own) / size.heads) };
  const { indices } = mask.rows(query, query + 1, at);
  return indices.reduce((sum, key) => sum + weights[key], 0);
}
