// SPDX-License-Identifier: Apache-2.0
/**
 * @file masked-problems.js - random problems with sparse masks of every kind, around the edges of what the core counts
 * in: units of 12 queries and tiles of 128 keys. In the form the oracle takes; the mask comes along as
 * `sparseAttentionMask.mask`.
 */
import { Mask } from '../js/index.js';
import { combine, expression, table } from './mask-expressions.js';
import { drawAttentionMask, drawDropout, drawInputs, drawPositions, drawScores, emptyRows } from './random.js';
import { sparse } from './support.js';

const work = 400_000; // multiplications of one problem, at most

/** Sizes: a few queries that are decoded, or many. */
export function drawSizes(random) {
  const keyHeads = random.pick([1, 1, 2]);
  const heads = keyHeads * random.pick([1, 2, 4, 6]);
  const shape = {
    batch: random.pick([1, 1, 2]),
    heads,
    keyHeads,
    valueHeads: random.chance(0.7) ? keyHeads : random.pick([1, heads]),
    queryLength: random.chance(0.5) ? random.integer(1, 8) : random.pick([1, 11, 12, 13, 25, 127, 129, 300]),
    keyLength: random.pick([1, 11, 13, 127, 128, 129, 300, 300]),
    dim: random.pick([1, 8, 16, 32, 33, 40]),
    valueDim: random.pick([1, 4, 8, 20, 33]),
  };
  const size = () => shape.batch * shape.heads * shape.queryLength * shape.keyLength * (shape.dim + shape.valueDim);
  while (size() > work) {
    const name = random.pick(['batch', 'heads', 'queryLength', 'keyLength', 'dim', 'valueDim']);
    if (name === 'batch') shape.batch = 1;
    else if (name === 'heads') shape.heads = shape.keyHeads = shape.valueHeads = 1;
    else if (name === 'queryLength') shape.queryLength = Math.min(shape.queryLength, random.pick([1, 5, 11, 13, 25]));
    else if (name === 'keyLength') shape.keyLength = Math.min(shape.keyLength, random.pick([127, 129, 300]));
    else shape[name] = Math.min(shape[name], random.pick([1, 8, 32]));
  }
  return shape;
}

/** A mask of a shape that serves the problem, as { shape, weights, mask }. */
export function drawMask(random, { batch, heads, keyHeads, queryLength, keyLength }) {
  const [mask, own] = expression([batch, heads, queryLength, keyLength], random.pick([0, 0, 1, 1, 2, 3]), random);
  if ([1, keyHeads, heads].includes(own.shape[1])) return { ...own, mask };
  const all = [1, heads, queryLength, keyLength];
  return {
    ...combine(
      'and',
      own,
      table(all, () => 1),
    ),
    mask: mask.and(Mask.full(all)),
  };
}

/** A problem with a mask and, at random, everything else. */
export function drawMasked(random, shape = drawSizes(random)) {
  const options = {
    ...drawInputs(random, shape),
    ...emptyRows(random),
    sparseAttentionMask: drawMask(random, shape),
    maskWeighting: random.pick([undefined, 'multiply', 'inverse']),
  };
  if (random.chance(0.4)) Object.assign(options, drawPositions(random, shape));
  if (random.chance(0.3)) options.attentionMask = drawAttentionMask(random, shape);
  if (random.chance(0.3)) Object.assign(options, drawScores(random, shape));
  if (random.chance(0.3)) Object.assign(options, drawDropout(random, shape));
  return options;
}

/** The same pairs and weights made in other ways, by name. */
export function representations({ shape, weights, mask }) {
  const { ptr, indices, values } = sparse({ shape, weights });
  let at = 0;
  const made = {
    composite: mask,
    weights: Mask.fromDense(shape, weights),
    list: Mask.fromIndices(shape, { ptr, indices, weights: values }),
    function: Mask.fromFunction(shape, () => weights[at++]),
    'negated twice': mask.not().not(),
    file: Mask.fromNpy(mask.toNpy()),
  };
  if (!weights.every((weight) => weight === 0 || weight === 1)) {
    delete made['negated twice'];
    return made;
  }
  made.bits = Mask.fromDense(shape, Uint8Array.from(weights));
  for (const blockSize of [
    [4, 32],
    [12, 128],
    [1, 8],
  ]) {
    const blocks = mask.blockMap(blockSize);
    if (blocks.partial > 0) continue;
    const kept = sparse({ shape: blocks.dims, weights: Float32Array.from(blocks.kinds) });
    made[`blocks of ${blockSize}`] = Mask.blockSparse({ shape, blockSize, ptr: kept.ptr, indices: kept.indices });
  }
  made['blocks and a rest'] = Mask.fromFlexBlocks(shape, mask.toFlexBlocks([4, 64]), { partial: mask });
  return made;
}

/** One row for each query of each head, whether each key is kept: by the mask's weights and the oracle's scores. */
export function keptPairs({ sparseAttentionMask: mask }, exact, [batch, heads, queries, keys]) {
  return table([batch, heads, queries, keys], (b, h, i, j) => {
    const isAllowed = exact.scores.biased[((b * heads + h) * queries + i) * keys + j] > -Infinity;
    return isAllowed && weightAt(mask, heads, b, h, i, j) > 0;
  }).weights;
}

/** Of a mask as { shape, weights } that repeats over `heads` heads; 1 without one. */
export function weightAt(mask, heads, b, h, i, j) {
  if (!mask || mask.flag) return 1;
  const [batch, own, queries, keys] = mask.shape;
  return mask.weights[(((batch === 1 ? 0 : b) * own + Math.trunc(h / (heads / own))) * queries + i) * keys + j];
}
