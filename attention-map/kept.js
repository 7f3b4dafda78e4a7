// SPDX-License-Identifier: Apache-2.0

/**
 * Which cells a problem keeps, as one mask: everything that says so becomes a part of it, none of which takes memory
 * for pairs but an attention mask that has a number for each. And what a mask keeps of the pixels of a picture.
 */

import { Mask, maskOfForm } from '../js/mask.js';
import { readOutputCall } from '../js/options.js';
import { floatsOf } from '../js/widen.js';
import { CellState } from './states.js';

const SKIP_SIZE = 64; // of the blocks that CellState.SKIPPED speaks of
const LOWEST = -1e38; // additive masks at or below it take an entry out
const MAX_INT32 = 2 ** 31 - 1;
const MAX_BLOCK = 2 ** 16 - 1;

/**
 * What causal order, window, key lengths and attention mask leave: weight 1, over (1 | b, 1 | h, sq, sk).
 * @param problem options of attention; values may be missing
 * @param call what the package reads from them
 */
export function allowedMask(problem, call = readCall(problem)) {
  const { window } = problem;
  const { batch, heads, queryLength, keyLength, attentionMask, keyLengths } = call;
  const one = [1, 1, queryLength, keyLength];
  let mask = positionMask(call, window, one);
  if (keyLengths !== undefined) mask = mask.and(Mask.prefix([batch, ...one.slice(1)], keyLengths.data.slice()));
  if (attentionMask !== undefined) {
    attentionMask.locate();
    mask = mask.and(maskOfTensor(attentionMask, [batch, heads, queryLength, keyLength]));
  }
  return mask;
}

/** The options as the package reads them; of pictures values do not matter. @throws what getMaskedAttentionOutput throws */
export function readCall(problem) {
  return readOutputCall({ ...problem, values: problem?.values ?? problem?.keys });
}

/** Causal order and window, of each batch at its own offset. */
function positionMask({ batch, queryLength, keyLength, keyOffset, queryOffsets, causal }, window, one) {
  const at = (offset) => {
    const order = causal ? Mask.causal(one, { offset }) : Mask.full(one);
    return window === undefined ? order : order.and(Mask.slidingWindow(one, { ...window, offset }));
  };
  if (queryOffsets === undefined) return at(keyLength - queryLength);
  const offsets = Array.from(queryOffsets.data, (offset) => Math.max(-MAX_INT32, offset - keyOffset));
  const distinct = [...new Set(offsets)];
  if (distinct.length <= 1) return at(distinct[0] ?? 0);
  const shape = [batch, ...one.slice(1)];
  return distinct
    .map((offset) => Mask.prefix(shape, offsets.map((own) => (own === offset ? keyLength : 0))).and(at(offset)))
    .reduce((all, part) => all.or(part));
}

/** Where a mask of numbers or booleans does not take an entry out. */
function maskOfTensor(operand, [batch, heads, queries, keys]) {
  const { batchStride, headStride, rowStride, columnStride, dtype, data } = operand;
  const own = [batchStride === 0 ? 1 : batch, headStride === 0 ? 1 : heads];
  const isKept = dtype === 'bool' ? (at) => data[at] !== 0 : keepsNumber(floatsOf(operand));
  const startOf = (head) => Math.floor(head / own[1]) * batchStride + (head % own[1]) * headStride;
  const shape = [...own, queries, keys];
  if (rowStride !== 0 && columnStride !== 0) {
    return maskOfBits(shape, (head, i, j) => isKept(startOf(head) + i * rowStride + j));
  }
  // The same for all queries, or for all keys: blocks as high or as wide as can be.
  const height = rowStride === 0 ? Math.max(1, Math.min(queries, MAX_BLOCK)) : 1;
  const width = columnStride === 0 ? Math.max(1, Math.min(keys, MAX_BLOCK)) : 1;
  const ptr = [0];
  const indices = [];
  for (let head = 0; head < own[0] * own[1]; head++) {
    for (let i = 0; i < queries; i += height) {
      const start = startOf(head) + i * rowStride;
      for (let j = 0; j < keys; j += width) if (isKept(start + j * columnStride)) indices.push(j / width);
      ptr.push(indices.length);
    }
  }
  return Mask.blockSparse({ shape, blockSize: [height, width], ptr, indices });
}

function keepsNumber(numbers) {
  return (at) => !(numbers[at] <= LOWEST); // NaN takes nothing out
}

/** A bit for each pair: isKept(batch * heads + head, query, key). */
export function maskOfBits(shape, isKept) {
  const [batch, heads, queries, keys] = shape;
  const wordsPerRow = 4 * Math.ceil(keys / 128);
  const words = new Uint32Array(batch * heads * queries * wordsPerRow);
  for (let head = 0, row = 0; head < batch * heads; head++) {
    for (let i = 0; i < queries; i++, row++) {
      for (let j = 0; j < keys; j++) {
        if (isKept(head, i, j)) words[row * wordsPerRow + (j >>> 5)] |= 1 << (j & 31);
      }
    }
  }
  return maskOfForm(shape, { kind: 'bits', batch, heads, words, wordsPerRow });
}

/** Batch and head of a mask that a batch and a head of `shape` read. */
export function placeIn(mask, shape, batch, head) {
  return {
    batch: mask.shape[0] === 1 ? 0 : batch,
    head: Math.floor((head * mask.shape[1]) / shape[1]),
  };
}

/**
 * What is kept of each pixel, exactly.
 * @param place { batch, head } of the mask
 * @param rows, columns ranges of pixels of that level
 * @returns { kept: Float32Array, the part of each pixel's cells; states: Uint8Array }
 */
export function keptOf(mask, place, level, rows, columns) {
  const size = 2 ** level;
  const [, , queries, keys] = mask.shape;
  const { counts } = mask.blockMap(size, { ...place, rows, columns });
  const kept = new Float32Array(counts.length);
  const states = new Uint8Array(counts.length);
  const isSkipped = level < Math.log2(SKIP_SIZE) ? skippedAround(mask, place, size, rows, columns) : () => true;
  for (let row = rows[0], at = 0; row < rows[1]; row++) {
    const height = Math.min(size, queries - row * size);
    for (let column = columns[0]; column < columns[1]; column++, at++) {
      kept[at] = counts[at] / (height * Math.min(size, keys - column * size));
      if (counts[at] === 0) states[at] = isSkipped(row, column) ? CellState.SKIPPED : CellState.MASKED;
    }
  }
  return { kept, states };
}

/** Whether nothing is kept of the block that a smaller pixel is in. */
function skippedAround(mask, place, size, rows, columns) {
  const perBlock = SKIP_SIZE / size;
  const [blockRows, blockColumns] = [rows, columns].map(([begin, end]) => [
    Math.floor(begin / perBlock),
    Math.max(Math.floor(begin / perBlock), Math.ceil(end / perBlock)),
  ]);
  const { counts, dims } = mask.blockMap(SKIP_SIZE, { ...place, rows: blockRows, columns: blockColumns });
  return (row, column) => {
    const blockRow = Math.floor(row / perBlock) - blockRows[0];
    return counts[blockRow * dims[3] + Math.floor(column / perBlock) - blockColumns[0]] === 0;
  };
}
