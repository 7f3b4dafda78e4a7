// SPDX-License-Identifier: Apache-2.0

/**
 * Which channels matter most in samples of queries and keys: what doubleSparsity takes, for one layer, in the form of
 * the files of channels. Objects of several layers are merged by { ...one, ...other }.
 */

import { checkOptions, formatDims } from './checks.js';
import { checkCount } from './masker-options.js';
import { channelsName } from './maskers-double-sparsity.js';
import { checkGroups } from './shapes.js';
import { FLOAT_DTYPES, readTensor } from './tensor.js';
import { floatsOf } from './widen.js';

const OPTIONS = new Set(['queries', 'keys', 'layer']);

/**
 * Channels of each query head, those first whose products matter most: sum over batches, queries i and keys j of
 * |q_id k_jd|. Without queries, of each key head and by the sum of k_jd^2, as `k_proj`.
 * @param options queries [batch, heads, length, dim], keys [batch, keyHeads, length, dim], layer
 */
export function calibrateChannels(options) {
  checkOptions(options, 'options', OPTIONS);
  const layer = checkCount(options.layer ?? 0, 'layer', 0);
  const keys = readSample(options.keys, 'keys');
  if (options.queries === undefined) {
    const squares = sumsOf(keys, (value) => value * value);
    return { [channelsName(layer, 'k_proj')]: squares.map((ofBatches) => sorted(keys.dims[3], ofBatches)) };
  }
  const queries = readSample(options.queries, 'queries');
  for (const axis of [0, 3]) {
    if (queries.dims[axis] === keys.dims[axis]) continue;
    const what = axis === 0 ? 'batch' : 'dim';
    throw new RangeError(`queries: expected the ${what} of keys (${keys.dims[axis]}), got ${queries.dims[axis]}`);
  }
  const [heads, keyHeads] = [queries.dims[1], keys.dims[1]];
  checkGroups(heads, keyHeads);
  const [queryNorms, keyNorms] = [sumsOf(queries, Math.abs), sumsOf(keys, Math.abs)];
  const lists = queryNorms.map((ofBatches, head) => {
    const others = keyNorms[Math.floor((head * keyHeads) / heads)];
    return sorted(keys.dims[3], ofBatches.map((norms, b) => norms.map((norm, d) => norm * others[b][d])));
  });
  return { [channelsName(layer, 'qk_proj')]: lists };
}

function readSample(value, name) {
  const { data, dims, dtype } = readTensor(value, name, FLOAT_DTYPES);
  if (dims.length !== 4 || dims[1] === 0) {
    const expectation = 'batch x heads x length x dim with at least one head';
    throw new RangeError(`${name}: expected ${expectation}, got ${formatDims(dims)}`);
  }
  return { floats: floatsOf({ data, dtype }), dims };
}

/** Of each head and batch the sums over rows of f(value), one per channel. */
function sumsOf({ floats, dims: [batch, heads, rows, dim] }, f) {
  return Array.from({ length: heads }, (_, head) =>
    Array.from({ length: batch }, (_, b) => {
      const sums = new Float64Array(dim);
      let at = (b * heads + head) * rows * dim;
      for (let row = 0; row < rows; row++) for (let d = 0; d < dim; d++) sums[d] += f(floats[at++]);
      return sums;
    }),
  );
}

/** Channels by their sum over batches, the largest first; of equals the lowest. */
function sorted(dim, ofBatches) {
  const totals = Array.from({ length: dim }, (_, d) => ofBatches.reduce((sum, sums) => sum + sums[d], 0));
  return totals.map((_, d) => d).sort((a, b) => totals[b] - totals[a] || a - b);
}
