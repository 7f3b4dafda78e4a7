// SPDX-License-Identifier: Apache-2.0
/**
 * The sparse masks that are measured: name -> from the shape and a parameter to a Mask, or to a function that makes a new
 * one for each call.
 */
import { Mask } from '../js/index.js';

/** Random lists: each key is kept with that probability, for `heads` heads. */
function lists({ qLen, kLen }, heads, density, weigh) {
  const [ptr, indices, weights] = [[0], [], []];
  for (let row = 0; row < heads * qLen; row++) {
    for (let key = 0; key < kLen; key++) {
      if (Math.random() >= density) continue;
      indices.push(key);
      if (weigh) weights.push(1 / 16 + Math.random());
    }
    ptr.push(indices.length);
  }
  return Mask.fromIndices([1, heads, qLen, kLen], { ptr, indices, ...(weigh && { weights }) });
}

/** Whole lengths of `count` documents that make up `length`. */
function documentOffsets(length, count) {
  const cuts = new Set([0, length]);
  while (cuts.size <= count) cuts.add(1 + Math.floor(Math.random() * (length - 1)));
  return [...cuts].sort((a, b) => a - b);
}

/** `count` keys for each of `heads` heads. */
function drawKeys({ kLen }, heads, count) {
  const drawOne = () => {
    const keys = new Set();
    while (keys.size < count) keys.add(Math.floor(Math.random() * kLen));
    return [...keys].sort((a, b) => a - b);
  };
  return Int32Array.from(Array.from({ length: heads }, drawOne).flat());
}

/** Numbers of which that part is not 0. */
function draw(array, density, number = () => 1) {
  for (let at = 0; at < array.length; at++) if (Math.random() < density) array[at] = number();
  return array;
}

const weight = () => 0.5 + Math.random();

export const MASKS = {
  blocks({ qLen, kLen }, density) {
    const [rows, columns] = [qLen / 64, kLen / 64];
    const [ptr, indices] = [[0], []];
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) if (Math.random() < density) indices.push(column);
      ptr.push(indices.length);
    }
    return Mask.blockSparse({ shape: [1, 1, qLen, kLen], blockSize: 64, ptr, indices });
  },
  lists: (shape, density) => lists(shape, 1, density),
  listsPerHead: (shape, density) => lists(shape, shape.heads, density),
  weightedListsPerHead: (shape, density) => lists(shape, shape.heads, density, true),
  bits: ({ qLen, kLen }, density) =>
    Mask.fromDense([1, 1, qLen, kLen], draw(new Uint8Array(qLen * kLen), density)),
  weights: ({ qLen, kLen }, density) =>
    Mask.fromDense([1, 1, qLen, kLen], draw(new Float32Array(qLen * kLen), density, weight)),
  weightsPerHead: ({ heads, qLen, kLen }, density) =>
    Mask.fromDense([1, heads, qLen, kLen], draw(new Float32Array(heads * qLen * kLen), density, weight)),
  sinksAndWindow({ qLen, kLen }, left) {
    const shape = [1, 1, qLen, kLen];
    return Mask.slidingWindow(shape, { left, right: 0 }).or(Mask.sinks(shape, 4)).and(Mask.causal(shape));
  },
  documents: ({ qLen, kLen }, count) => Mask.documents([1, 1, qLen, kLen], { offsets: documentOffsets(kLen, count) }),
  newKeysPerHead(shape, count) {
    const drawn = Array.from({ length: 16 }, () => drawKeys(shape, shape.heads, count));
    let next = 0;
    return () => Mask.fromRowWiseIndices([1, shape.heads, 1, shape.kLen], drawn[next++ % drawn.length]);
  },
  keysPerHead: (shape, count) => Mask.fromRowWiseIndices([1, shape.heads, 1, shape.kLen], drawKeys(shape, shape.heads, count)),
  keysPerKeyHead: (shape, count) =>
    Mask.fromRowWiseIndices([1, shape.keyHeads, 1, shape.kLen], drawKeys(shape, shape.keyHeads, count)),
};
