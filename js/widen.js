// SPDX-License-Identifier: Apache-2.0

/** 16-bit floats as numbers. */

export function fromFloat16(bits) {
  const exponent = (bits >>> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits >>> 15 === 0 ? 1 : -1;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

/** The elements of a float tensor as a Float32Array: its own where it has one. */
export function floatsOf({ data, dtype }) {
  if (dtype === 'float32') return data;
  if (data[Symbol.toStringTag] === 'Float16Array') return Float32Array.from(data);
  if (dtype === 'float16') return Float32Array.from(data, fromFloat16);
  return new Float32Array(Uint32Array.from(data, (bits) => bits << 16).buffer);
}
