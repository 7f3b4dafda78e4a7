// SPDX-License-Identifier: Apache-2.0

/** Arrays of files as tensors that the package takes: own memory, types narrowed, axes in order. */

import { floatsOf } from '../../js/widen.js';
import { DataError } from './errors.js';

const FLOATS = ['float32', 'float16', 'bfloat16'];
const MAX_FLOAT32 = 3.4028234663852886e38;

/** The bits of the exponent, all of which are set in NaN and infinities. */
const EXPONENTS = { float16: 0x7c00, bfloat16: 0x7f80 };

export function countOf(dims) {
  return dims.reduce((product, size) => product * size, 1);
}

/**
 * A tensor of floats in memory of its own, so that it can be transferred; float64 becomes float32.
 * @param {{ label: string, data: ArrayBufferView, dims: number[], dtype: string }} array `label` is for messages
 * @param {string[]} notes gets what was converted, and how many numbers are not finite
 * @throws DataError for other types
 */
export function toFloats({ label, data, dims, dtype }, notes) {
  if (dtype !== 'float64' && !FLOATS.includes(dtype)) {
    throw new DataError(
      `${label}: expected float32, float16, bfloat16 or float64, got ${dtype}; save array.astype(numpy.float32)`,
    );
  }
  const tensor = dtype === 'float64'
    ? { data: Float32Array.from(data), dims, dtype: 'float32' }
    : { data: data.slice(), dims, dtype };
  if (dtype === 'float64') notes.push(`${label}: float64 was narrowed to float32.`);
  const wild = countWild(tensor);
  if (wild > 0) notes.push(`${label}: ${wild} of ${data.length} numbers are NaN or infinite.`);
  return tensor;
}

function countWild({ data, dtype }) {
  let count = 0;
  const exponent = EXPONENTS[dtype];
  if (exponent === undefined) {
    for (let n = 0; n < data.length; n++) if (!(Math.abs(data[n]) <= MAX_FLOAT32)) count++;
  } else {
    for (let n = 0; n < data.length; n++) if ((data[n] & exponent) === exponent) count++;
  }
  return count;
}

/** The same as float32, whatever the type of floats. */
export function widened(tensor) {
  return { data: floatsOf(tensor), dims: tensor.dims, dtype: 'float32' };
}

/** A tensor [batch, tokens, heads, dim] as [batch, heads, tokens, dim], in a new array. */
export function headsFirst({ data, dims: [batch, tokens, heads, dim], dtype }) {
  const moved = new data.constructor(data.length);
  for (let b = 0, at = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let t = 0; t < tokens; t++, at += dim) {
        const from = ((b * tokens + t) * heads + h) * dim;
        moved.set(data.subarray(from, from + dim), at);
      }
    }
  }
  return { data: moved, dims: [batch, heads, tokens, dim], dtype };
}

/** Part n of an array along its first axis. */
export function partOf({ label, data, dims, dtype }, n) {
  const size = data.length / dims[0];
  return { label: `${label}[${n}]`, data: data.subarray(n * size, (n + 1) * size), dims: dims.slice(1), dtype };
}
