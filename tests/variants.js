// SPDX-License-Identifier: Apache-2.0
/** @file variants.js - the variants of the wasm that this Node can run. */
import { setFlagsFromString } from 'node:v8';

// One function made of an f32x4.relaxed_madd: the smallest module that needs relaxed SIMD.
// prettier-ignore
const probe = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 19, 1, 17, 0,
  65, 1, 253, 17, 65, 2, 253, 17, 65, 3, 253, 17, 253, 133, 2, 11,
);

// Node 20 has relaxed SIMD behind a flag that can still be set at run time.
if (!WebAssembly.validate(probe)) setFlagsFromString('--experimental-wasm-relaxed-simd');

export const variants = WebAssembly.validate(probe) ? ['base', 'relaxed'] : ['base'];
