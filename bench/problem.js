// SPDX-License-Identifier: Apache-2.0
/** A case of rows.js with its data, and what can be counted about it. */
import { MASKS } from './masks.js';

/**
 * Random numbers that float16 and bfloat16 hold exactly, so that one reference serves every dtype. Large arrays repeat
 * one block.
 */
function randomArray(count) {
  const draw = () => Math.floor(Math.random() * 256 - 128) / 128;
  const block = Float32Array.from({ length: Math.min(count, 1 << 16) }, draw);
  const array = new Float32Array(count);
  for (let at = 0; at < count; at += block.length) array.set(block.subarray(0, count - at), at);
  return array;
}

/** Bit patterns of numbers that the dtype holds exactly. */
function narrow(array, dtype) {
  if (dtype === 'float32') return array;
  const bits = new Uint32Array(array.buffer);
  const narrowed = new Uint16Array(array.length);
  for (let i = 0; i < bits.length; i++) {
    const exponentAndFraction = Math.max(0, ((bits[i] & 0x7fffffff) >>> 13) - (112 << 10)); // 0 stays 0
    narrowed[i] = dtype === 'bfloat16' ? bits[i] >>> 16 : ((bits[i] >>> 16) & 0x8000) | exponentAndFraction;
  }
  return narrowed;
}

/** Masks and parameters of a case that are too large to write down: name -> from the shape to the option's value. */
const GENERATED = {
  additiveMask: ({ qLen, kLen }) => ({
    attentionMask: { data: randomArray(qLen * kLen), dims: [1, 1, qLen, kLen], dtype: 'float32' },
  }),
  // Seven of eight kept, at random: every tile is partial.
  booleanMask: ({ qLen, kLen }) => ({
    attentionMask: {
      data: Uint8Array.from({ length: qLen * kLen }, () => Number(Math.random() < 7 / 8)),
      dims: [1, 1, qLen, kLen],
      dtype: 'bool',
    },
  }),
  alibi: ({ heads }) => ({
    alibiSlopes: Float32Array.from({ length: heads }, (_, head) => 2 ** ((-8 * (head + 1)) / heads)),
  }),
  sinks: ({ heads }) => ({ sinks: randomArray(heads) }),
};

/**
 * @param {object} item of rows.js
 * @param {Map<string, Float32Array>} arrays those of earlier cases of the row: equal shapes share their data
 * @returns shape, options of getMaskedAttentionOutput, `data` as float32, `tensors` as they are passed in, and where there
 * is one `makeMask`, which makes the sparse mask of each call
 */
export function createProblem({ shape: given, options = {}, generated = [], mask, dtype = 'float32' }, arrays) {
  const shape = { batch: 1, keyHeads: given.heads, valueDim: given.dim, ...given };
  const { batch, heads, keyHeads, qLen, kLen, dim, valueDim } = shape;
  const shared = (key, make) => arrays.get(key) ?? arrays.set(key, make()).get(key);
  const tensor = (name, dims, type) => {
    const key = `${name} ${dims}`;
    const array = shared(key, () => randomArray(dims.reduce((a, b) => a * b)));
    return { float32: array, tensor: { data: shared(`${key} ${type}`, () => narrow(array, type)), dims, dtype: type } };
  };
  const queries = tensor('queries', [batch, heads, qLen, dim], 'float32');
  const keys = tensor('keys', [batch, keyHeads, kLen, dim], dtype);
  const values = tensor('values', [batch, keyHeads, kLen, valueDim], dtype);
  const made = mask && MASKS[mask[0]](shape, mask[1]);
  const makeMask = typeof made === 'function' ? made : undefined;
  const sparseAttentionMask = makeMask ? makeMask() : made; // of the first call
  return {
    shape,
    makeMask,
    options: Object.assign({ ...options, sparseAttentionMask }, ...generated.map((name) => GENERATED[name](shape))),
    data: { queries: queries.float32, keys: keys.float32, values: values.float32 },
    tensors: { queries: queries.tensor, keys: keys.tensor, values: values.tensor },
  };
}

/** The range of keys that a row may see, as masks of position leave it: [begin, end). */
export function keyRange({ qLen, kLen }, { causal = false, window = {}, keyLengths }, batch, query) {
  const { left = Infinity, right = Infinity } = window;
  const position = kLen - qLen + query;
  const begin = Math.max(0, position - left);
  const end = Math.min(keyLengths?.[batch] ?? kLen, position + (causal ? Math.min(right, 0) : right) + 1);
  return [begin, Math.max(begin, end)];
}

/** Pairs of a query and a key that are kept, over all batches and heads. */
function countKept({ shape, options }) {
  const { batch, heads, qLen, kLen } = shape;
  if (options.sparseAttentionMask) return options.sparseAttentionMask.density() * batch * heads * qLen * kLen;
  const mask = options.attentionMask?.dtype === 'bool' ? options.attentionMask.data : undefined;
  let kept = 0;
  for (let b = 0; b < batch; b++) {
    for (let query = 0; query < qLen; query++) {
      const [begin, end] = keyRange(shape, options, b, query);
      const row = mask?.subarray(query * kLen + begin, query * kLen + end);
      kept += row ? row.reduce((sum, bit) => sum + bit, 0) : end - begin;
    }
  }
  return kept * heads;
}

/** What the least work is: multiplications and additions on kept pairs, and bytes that pass through memory once. */
export function countWork(problem) {
  const { shape, options, tensors } = problem;
  const { batch, heads, qLen, kLen, dim, valueDim } = shape;
  const keyValueBytes = tensors.keys.data.byteLength + tensors.values.data.byteLength;
  const weights = options.returnAttentionWeights ? kLen : 0;
  return {
    flops: 2 * (dim + valueDim) * countKept(problem),
    keyValueBytes,
    bytes: tensors.queries.data.byteLength + keyValueBytes + batch * heads * qLen * (valueDim + weights) * 4,
  };
}
