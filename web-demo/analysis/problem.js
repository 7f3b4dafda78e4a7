// SPDX-License-Identifier: Apache-2.0
/**
 * Sizes of a problem (the inputs of getMaskedAttentionOutput, layout bhsd), parts of it as problems of their own, and
 * which of its rows an analysis looks at. A part gives what the whole gives there: positions, masks, slopes and sinks
 * are cut with it.
 */
import { Mask } from '../../js/index.js';

const LEFT_OUT = ['sparseAttentionMask', 'dropout', 'training', 'seed', 'dropoutMask', 'dropoutPlacement'];

/**
 * @typedef {object} Sizes
 * @property {number} batch
 * @property {number} heads query heads
 * @property {number} keyHeads
 * @property {number} valueHeads
 * @property {number} queries
 * @property {number} keys
 * @property {number} dim
 * @property {number} valueDim 0 where the problem has no values
 */

/** @returns {Sizes} */
export function sizesOf({ queries, keys, values }) {
  return {
    batch: queries.dims[0],
    heads: queries.dims[1],
    keyHeads: keys.dims[1],
    valueHeads: values?.dims[1] ?? 1,
    queries: queries.dims[2],
    keys: keys.dims[2],
    dim: queries.dims[3],
    valueDim: values?.dims[3] ?? 0,
  };
}

/** Where the first query of a batch stands, counted in keys. */
export function positionOf(problem, batch = 0) {
  const { queryOffset, keyOffset = 0 } = problem;
  const { queries, keys } = sizesOf(problem);
  if (queryOffset === undefined) return keys - queries;
  return (typeof queryOffset === 'number' ? queryOffset : queryOffset[batch]) - keyOffset;
}

/** The problem for an engine: without dropout and sparse mask, and with values, of dimension 0 where there are none. */
export function denseProblem(problem) {
  const rest = Object.fromEntries(Object.entries(problem).filter(([name]) => !LEFT_OUT.includes(name)));
  return rest.values === undefined ? withoutValues(rest) : rest;
}

/** The problem with values of dimension 0, for calls of which only weights or sums are looked at. */
export function withoutValues(problem) {
  const { batch, keys } = sizesOf(problem);
  return { ...problem, values: { data: new Float32Array(0), dims: [batch, 1, keys, 0] } };
}

/**
 * A part of a problem as a problem of its own.
 * @param {object} part
 * @param {number} [part.batch] one batch; default all
 * @param {[number, number]} [part.heads] query heads: one, or whole groups that share key and value heads
 * @param {[number, number]} [part.rows] queries
 * @param {number} [part.keys] how many of the first keys
 */
export function sliceProblem(problem, { batch, heads, rows, keys }) {
  const whole = denseProblem(problem);
  const size = sizesOf(whole);
  const b = batch === undefined ? [0, size.batch] : [batch, batch + 1];
  const [h0, h1] = heads ?? [0, size.heads];
  const r = rows ?? [0, size.queries];
  const k = [0, keys ?? size.keys];
  const ofHeads = (count) => {
    const group = size.heads / count;
    return [Math.floor(h0 / group), Math.floor((h1 - 1) / group) + 1];
  };
  const batches = Array.from({ length: b[1] - b[0] }, (_, n) => b[0] + n);
  const { keyOffset = 0 } = whole;
  const part = {
    ...whole,
    queries: cut(whole.queries, [b, [h0, h1], r, [0, size.dim]]),
    keys: cut(whole.keys, [b, ofHeads(size.keyHeads), k, [0, size.dim]]),
    values: cut(whole.values, [b, ofHeads(size.valueHeads), k, [0, size.valueDim]]),
    queryOffset: batches.map((n) => positionOf(whole, n) + keyOffset + r[0]),
  };
  if (whole.keyLengths) part.keyLengths = Int32Array.from(batches, (n) => Math.min(whole.keyLengths[n], k[1]));
  if (whole.attentionMask) part.attentionMask = cutBroadcast(whole.attentionMask, [b, [h0, h1], r, k]);
  for (const name of ['alibiSlopes', 'sinks']) {
    if (whole[name]) part[name] = (whole[name].data ?? whole[name]).slice(h0, h1);
  }
  return part;
}

/**
 * Calls `use` with the problem whose keys and values lie in the engine's memory: calls for many rows then copy none.
 */
export function withResidentKeys(attention, problem, use) {
  const own = [];
  try {
    const staged = { ...problem };
    for (const name of ['keys', 'values']) {
      const { data, dims, dtype } = problem[name];
      if (typeof problem[name].dispose === 'function' || data.length === 0) continue;
      const tensor = attention.tensor(dims, dtype ?? (data instanceof Float32Array ? 'float32' : 'float16'));
      own.push(tensor);
      const { buffer, byteOffset, byteLength } = tensor.data;
      new Uint8Array(buffer, byteOffset, byteLength).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      staged[name] = tensor;
    }
    return use(staged);
  } finally {
    for (const tensor of own) tensor.dispose();
  }
}

/** A part of a mask of a problem with that many heads, as a mask of its own; the same keys, or the first of them. */
export function sliceMask(
  mask,
  size,
  { batch = 0, heads = [0, size.heads], rows = [0, size.queries], keys = size.keys },
) {
  const [i0, i1] = rows;
  if (mask.isEmpty()) return Mask.empty([1, 1, i1 - i0, keys]);
  const [first, end] = ownHeads(mask, size, heads);
  const parts = [];
  for (let head = first; head < end; head++) {
    parts.push(mask.rows(i0, i1, { batch: mask.shape[0] === 1 ? 0 : batch, head }));
  }
  const ptr = [0];
  for (const part of parts)
    for (let n = 1; n < part.ptr.length; n++) ptr.push(ptr.at(-1) + part.ptr[n] - part.ptr[n - 1]);
  const joined = (name, Type) => {
    const all = new Type(ptr.at(-1));
    let at = 0;
    for (const part of parts) {
      all.set(part[name], at);
      at += part[name].length;
    }
    return all;
  };
  const arrays = {
    ptr: Uint32Array.from(ptr),
    indices: joined('indices', Uint32Array),
    weights: joined('weights', Float32Array),
  };
  const whole = Mask.fromIndices([1, parts.length, i1 - i0, mask.shape[3]], arrays);
  return keys === mask.shape[3] ? whole : firstKeys(whole, keys);
}

/** The weight that a mask gives a pair of a problem; 1 where it is empty. */
export function weightAt(mask, { heads }, { batch, head, query, key }) {
  if (mask.isEmpty()) return 1;
  const [batches, own] = mask.shape;
  return mask.get(batches === 1 ? 0 : batch, Math.floor((head * own) / heads), query, key);
}

/**
 * What a mask keeps of each block of one head.
 * @returns {{ counts: Uint32Array, kinds: Uint8Array, rows: number, columns: number }} as Mask.blockMap has them
 */
export function headBlocks(mask, size, { batch = 0, head = 0 }, blockSize) {
  const { counts, kinds, dims } = mask.blockMap(blockSize);
  const [batches, heads, rows, columns] = dims;
  const place = (batches === 1 ? 0 : batch) * heads + Math.floor((head * heads) / size.heads);
  const own = (array) => array.subarray(place * rows * columns, (place + 1) * rows * columns);
  return { counts: own(counts), kinds: own(kinds), rows, columns };
}

/** `count` of `length` rows, spread evenly, or all of them. */
export function spreadRows(length, count) {
  if (count >= length) return Array.from({ length }, (_, row) => row);
  return Array.from({ length: count }, (_, n) => Math.floor(((n + 0.5) * length) / count));
}

/** Rows as ranges of neighbours, none longer than `longest`. */
export function rangesOf(rows, longest) {
  const ranges = [];
  for (const row of rows) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === row && row - last[0] < longest) last[1]++;
    else ranges.push([row, row + 1]);
  }
  return ranges;
}

function ownHeads({ shape }, size, [h0, h1]) {
  const own = (head) => Math.floor((head * shape[1]) / size.heads);
  return [own(h0), own(h1 - 1) + 1];
}

function firstKeys(mask, keys) {
  const { ptr, indices, weights } = mask.and(Mask.sinks([1, 1, ...mask.shape.slice(2)], keys)).toIndices();
  return Mask.fromIndices([...mask.shape.slice(0, 3), keys], { ptr, indices, weights });
}

/** A range of each of four dimensions: a view where what is left stands in one piece, else a copy. */
function cut(whole, ranges) {
  const { dims, dtype } = whole;
  const size = ranges.map(([begin, end]) => end - begin);
  if (size.every((length, axis) => length === dims[axis])) return whole;
  const isResident = typeof whole.dispose === 'function';
  const data = isResident ? whole.data.slice() : whole.data; // views of wasm memory die when it grows
  const strides = [dims[1] * dims[2] * dims[3], dims[2] * dims[3], dims[3], 1];
  const at = (n) => n.reduce((sum, index, axis) => sum + (ranges[axis][0] + index) * strides[axis], 0);
  const tensor = (part) => ({ data: part, dims: size, ...(dtype === undefined ? {} : { dtype }) });
  const count = size.reduce((a, b) => a * b, 1);
  if (count === 0) return tensor(data.subarray(0, 0));
  const wide = size.findIndex((length) => length > 1); // the first dimension of which more than one is left
  const isOnePiece = wide < 0 || size.slice(wide + 1).every((length, n) => length === dims[wide + 1 + n]);
  const first = at([0, 0, 0, 0]);
  if (isOnePiece) return tensor(data.subarray(first, first + count));
  const copy = new data.constructor(count);
  const run = size[3] === dims[3] ? size[2] * size[3] : size[3];
  const runs = size[3] === dims[3] ? 1 : size[2];
  let to = 0;
  for (let b = 0; b < size[0]; b++) {
    for (let h = 0; h < size[1]; h++) {
      for (let i = 0; i < runs; i++, to += run) {
        const from = at([b, h, i, 0]);
        copy.set(data.subarray(from, from + run), to);
      }
    }
  }
  return tensor(copy);
}

/** The same of a mask that is aligned on the right and broadcast: dimensions of 1 stay. */
function cutBroadcast(mask, ranges) {
  const dims = [1, 1, 1, 1, ...mask.dims].slice(-4);
  const own = ranges.map((range, axis) => (dims[axis] === 1 ? [0, 1] : range));
  return cut({ data: mask.data, dtype: mask.dtype, dims }, own);
}
