/* SPDX-License-Identifier: Apache-2.0
 *
 * vec.h - the one place that knows the target: a vector of four floats and the few operations the kernels
 * need. Plain C and base SIMD128 give the same bits; relaxed SIMD fuses the multiply-add.
 *
 *     vec_load(p) vec_store(p, v) vec_splat(x)      unaligned
 *     vec_add vec_sub vec_mul vec_div
 *     vec_madd(a, b, c)                             a * b + c
 *     vec_max(a, b)                                 a < b ? b : a, so a NaN in b is ignored, one in a kept
 *     vec_less(a, b) vec_equal(a, b)                lane masks, all bits set where true
 *     vec_select(mask, a, b)                        mask ? a : b
 *     vec_abs vec_copysign(magnitude, sign)
 *     vec_exponent(y)                               2^n for y = n + 1.5 * 2^23, n in -126 .. 127
 *     vec_first(v)                                  lane 0
 *     vec_sum(v) vec_max_lane(v)                    (l0 + l2) + (l1 + l3), and likewise for the maximum
 *     vec_transpose(v)                              4 x 4, in place
 */
#ifndef ATTN_VEC_H
#define ATTN_VEC_H

#include <stddef.h>
#include <stdint.h>

#if defined(__wasm_simd128__)
#include "vec_wasm.h"
#else
#include "vec_scalar.h"
#endif

#if defined(__wasm_relaxed_simd__)
#include "vec_wasm_relaxed.h"
#else
static inline vec vec_madd(vec a, vec b, vec c) { return vec_add(vec_mul(a, b), c); }
#endif

#endif
