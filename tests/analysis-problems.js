// SPDX-License-Identifier: Apache-2.0
/**
 * @file analysis-problems.js - random problems for the analyses, with grouped heads and every mask there is, and what
 * they come to in double precision: which pairs are allowed, dense and masked attention.
 */
import { attend } from './oracle.js';
import { tensor } from './random.js';

export function drawProblem(random, { most = 24, batch = random.pick([1, 1, 2]), masks = true } = {}) {
  const keyHeads = random.pick([1, 2]);
  const heads = keyHeads * random.pick([1, 2, 3]);
  const sq = random.integer(1, most);
  const sk = random.integer(1, most);
  const dim = random.pick([4, 8]);
  const problem = {
    queries: tensor(random, [batch, heads, sq, dim], 2),
    keys: tensor(random, [batch, keyHeads, sk, dim]),
    values: tensor(random, [batch, random.pick([1, keyHeads]), sk, 5]),
    scaling: 0.5,
  };
  if (!masks) return problem;
  if (random.chance(0.5)) problem.causal = true;
  if (random.chance(0.3)) problem.window = { left: random.integer(0, sk), right: random.integer(0, sk) };
  if (random.chance(0.3)) problem.keyLengths = Int32Array.from({ length: batch }, () => random.integer(0, sk));
  const place = () => random.integer(-2, sk);
  problem.queryOffset = random.pick([undefined, undefined, place(), Array.from({ length: batch }, place)]);
  if (problem.queryOffset === undefined) delete problem.queryOffset;
  if (random.chance(0.2)) problem.alibiSlopes = Float32Array.from({ length: heads }, () => random.uniform() / 4);
  if (random.chance(0.2)) problem.softcap = 2;
  if (random.chance(0.4)) {
    const dims = [random.pick([1, batch]), random.pick([1, heads]), random.pick([1, sq]), random.pick([1, sk])];
    const size = dims.reduce((a, b) => a * b);
    problem.attentionMask = random.chance(0.5)
      ? { data: random.bytes(size, 0.7), dims, dtype: 'bool' }
      : { data: random.floats(size).map((value) => (random.chance(0.2) ? -Infinity : value)), dims, dtype: 'float32' };
  }
  return problem;
}

/** Whether queries stand at one position in all batches, which predicates need. */
export function isAligned({ queryOffset }) {
  return !Array.isArray(queryOffset) || queryOffset.every((offset) => offset === queryOffset[0]);
}

/** A recipe that fits a problem, with and without each of its parts. */
export function drawRecipe(random, problem, { sampling = true, predicate = isAligned(problem) } = {}) {
  const [, , sq] = problem.queries.dims;
  const [, , sk] = problem.keys.dims;
  const size = () => random.integer(1, Math.max(1, Math.ceil(sk / 3)));
  const choosers = [
    () => ({ name: 'oracleTopK', heavySize: size() }),
    () => ({ name: 'oracleTopP', topP: random.pick([0.3, 0.7]) }),
    () => ({ name: 'groupTopK', heavySize: size() }),
    () => ({ name: 'quest', heavySize: size(), pageSize: random.pick([1, 2, 4]) }),
  ];
  if (sampling) choosers.push(() => ({ name: 'randomSampling', rate: 0.4, seed: random.integer(0, 99) }));
  const maskers = [];
  if (random.chance(0.5)) maskers.push({ name: 'sink', size: size() });
  if (random.chance(0.5)) maskers.push({ name: 'local', size: size() });
  if (random.chance(0.3)) maskers.push({ name: 'causal' });
  if (random.chance(0.7)) maskers.push(random.pick(choosers)());
  const recipe = { maskers };
  if (predicate && random.chance(0.4))
    recipe.predicate = random.pick(['q >= k', 'abs(q - k) < 6 || h == 0', 'k % 3 != 1']);
  if (random.chance(0.4)) recipe.edits = drawEdits(random, random.integer(1, 5), sq, sk);
  return recipe;
}

export function drawEdits(random, count, sq, sk) {
  const range = (length) => [random.integer(0, length + 2), random.integer(0, length + 2)].sort((a, b) => a - b);
  return Array.from({ length: count }, () => ({ rows: range(sq), columns: range(sk), keep: random.chance(0.5) }));
}

/** Weights of a mask for each pair of a problem: [batch, heads, sq, sk], 1 where it is empty. */
export function weightsOf(mask, problem) {
  const [batch, heads, sq] = problem.queries.dims;
  const sk = problem.keys.dims[2];
  const all = new Float64Array(batch * heads * sq * sk).fill(1);
  if (mask.isEmpty()) return all;
  const [b, h] = mask.shape;
  let at = 0;
  for (let n = 0; n < batch; n++)
    for (let m = 0; m < heads; m++)
      for (let i = 0; i < sq; i++)
        for (let j = 0; j < sk; j++) all[at++] = mask.get(b === 1 ? 0 : n, Math.floor((m * h) / heads), i, j);
  return all;
}

/** Attention in double precision: without a sparse mask, with one, and with its entries as ones. */
export function exact(problem, mask) {
  const [batch, heads, sq] = problem.queries.dims;
  const shape = [batch, heads, sq, problem.keys.dims[2]];
  const weights = weightsOf(mask, problem);
  const isWeighted = weights.some((weight) => weight !== 0 && weight !== 1);
  const options = { ...problem, outputLayout: 'bhsd' };
  const sparse = (own) => ({ shape, weights: own });
  const dense = attend(options);
  const masked = attend({
    ...options,
    sparseAttentionMask: sparse(weights),
    maskWeighting: isWeighted ? 'inverse' : 'multiply',
  });
  const allowed = Array.from(dense.scores.biased, (score) => score > -Infinity);
  return { weights, dense, masked, allowed, kept: allowed.map((is, n) => is && weights[n] > 0) };
}
