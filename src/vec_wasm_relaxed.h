/* SPDX-License-Identifier: Apache-2.0
 *
 * vec_wasm_relaxed.h - the multiply-add of relaxed SIMD: fused where the CPU can.
 */
#ifndef ATTN_VEC_WASM_RELAXED_H
#define ATTN_VEC_WASM_RELAXED_H

static inline vec vec_madd(vec a, vec b, vec c) { return wasm_f32x4_relaxed_madd(a, b, c); }

#endif
