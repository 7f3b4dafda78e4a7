// SPDX-License-Identifier: Apache-2.0
/**
 * @file sampling.js - the draws of src/sampling.h written once more, and what the tests of sampling maskers share.
 */
import assert from 'node:assert/strict';

import { createAttention } from '../js/index.js';
import { philox, widen } from './oracle.js';

const TWO_32 = 2n ** 32n;
const TAGS = { random: 0x72616e64, base: 0x62617365, adaptive: 0x64726177, projections: 0x70726f6a };

/** Words of a row's stream, or without a row of the masker's. */
export function* words(use, seed, [position, head, batch] = [0, 0, 0]) {
  const key = [seed % 2 ** 32, (Math.floor(seed / 2 ** 32) ^ TAGS[use]) >>> 0];
  for (let n = 0; ; n++) yield* philox([n, position >>> 0, head, batch], key);
}

function below(stream, bound) {
  const limit = BigInt(bound);
  for (;;) {
    const product = BigInt(stream.next().value) * limit;
    if (product % TWO_32 >= TWO_32 % limit) return Number(product / TWO_32);
  }
}

/** Draws from a list: [[key, times]], ascending. */
export function draw(keys, count, replacement, stream) {
  const times = new Map();
  if (replacement) {
    for (let n = 0; n < count; n++) {
      const rank = below(stream, keys.length);
      times.set(rank, (times.get(rank) ?? 0) + 1);
    }
    return keys.flatMap((key, rank) => (times.has(rank) ? [[key, times.get(rank)]] : []));
  }
  const total = keys.length;
  const byRest = count > Math.floor(total / 2);
  const drawn = byRest ? total - count : count;
  for (let j = total - drawn; j < total; j++) {
    const rank = below(stream, j + 1);
    times.set(times.has(rank) ? j : rank, 1);
  }
  return keys.flatMap((key, rank) => (times.has(rank) !== byRest ? [[key, 1]] : []));
}

/** Rows of a mask: [{ batch, head, query, columns, weights }] for all query heads. */
export function rowsOf(mask, heads) {
  const { ptr, indices, weights } = mask.toIndices();
  const [batch, maskHeads, queries] = mask.shape;
  const rows = [];
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < queries; i++) {
        const row = (b * maskHeads + Math.floor((h * maskHeads) / heads)) * queries + i;
        const [begin, end] = [ptr[row], ptr[row + 1]];
        const columns = [...indices.subarray(begin, end)];
        rows.push({ batch: b, head: h, query: i, columns, weights: weights ? [...weights.subarray(begin, end)] : columns.map(() => 1) });
      }
    }
  }
  return rows;
}

/** q.k of a row with all keys, exactly. */
export function dotsOf({ queries, keys }, { batch, head, query }) {
  const [q, k] = [widen(queries), widen(keys)];
  const [, heads, queryLength, dim] = queries.dims;
  const [, keyHeads, keyLength] = keys.dims;
  const from = ((batch * heads + head) * queryLength + query) * dim;
  const group = Math.floor(head / (heads / keyHeads));
  return Array.from({ length: keyLength }, (_, j) => {
    const at = ((batch * keyHeads + group) * keyLength + j) * dim;
    let sum = 0;
    for (let d = 0; d < dim; d++) sum += q[from + d] * k[at + d];
    return sum;
  });
}

/** The mask of a pipeline in an engine of its own, or in `attention`. */
export async function maskOf(list, problem, attention) {
  const engine = attention ?? (await createAttention({ variant: 'base' }));
  const pipeline = engine.createSparseAttention(list);
  const mask = pipeline.buildMask(problem);
  pipeline.dispose();
  if (!attention) engine.dispose();
  return mask;
}

/** Every option that a factory must refuse: [options, type, pattern]. */
export function assertRefuses(factory, good, bad) {
  factory(good);
  for (const [name, values] of Object.entries(bad)) {
    for (const value of values) {
      assert.throws(
        () => factory({ ...good, [name]: value }),
        (error) => (error instanceof TypeError || error instanceof RangeError) && error.message.startsWith(`${name}: `),
        `${name}: ${String(value)}`,
      );
    }
  }
  assert.throws(() => factory({ ...good, unheardOf: 1 }), /unheardOf: unknown option/);
}

/** Whether a mean of `count` terms, of variance `variance` each, is what is expected, within five standard errors. */
export function assertMean(actual, expected, variance, count, what) {
  const error = Math.sqrt(variance / count);
  assert.ok(Math.abs(actual - expected) <= 5 * error + 1e-9, `${what}: ${actual}, expected ${expected} +- ${5 * error}`);
}
