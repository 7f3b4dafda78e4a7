/* SPDX-License-Identifier: Apache-2.0
 *
 * vec_wasm_relaxed.h - the multiply-add of relaxed SIMD: fused where the CPU can. It needs no register for the
 * product, which leaves room for a larger tile, and has a latency that wants one.
 */
#ifndef ATTN_VEC_WASM_RELAXED_H
#define ATTN_VEC_WASM_RELAXED_H

#define VEC_TILE_ROWS 6
static inline vec vec_madd(vec a, vec b, vec c) { return wasm_f32x4_relaxed_madd(a, b, c); }

#endif
