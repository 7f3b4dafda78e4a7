/* SPDX-License-Identifier: Apache-2.0
 *
 * vec.h - the one place that knows the target: a vector of four floats and the few operations the kernels
 * need. Plain C and base SIMD128 give the same bits; relaxed SIMD fuses the multiply-add.
 *
 *     vec_load(p) vec_store(p, v) vec_splat(x)      unaligned
 *     vec_load_bfloat16(p)                          four 16-bit floats, widened exactly
 *     vec_load_float16(p)                           the same, but for infinities and NaNs, which come out finite
 *     vec_largest_float16(p, largest)               largest magnitudes so far, with those of eight more, in 16-bit lanes
 *     vec_is_finite_float16(largest)                whether none of them was infinite or NaN
 *     vec_load_bool(p)                              four bytes as a lane mask: set where a byte is not 0
 *     vec_add vec_sub vec_mul vec_div
 *     vec_madd(a, b, c)                             a * b + c
 *     vec_max(a, b)                                 a < b ? b : a, so a NaN in b is ignored, one in a kept
 *     vec_min(a, b)                                 b < a ? b : a
 *     vec_less(a, b) vec_equal(a, b) vec_at_least(a, b)   lane masks, all bits set where true
 *     vec_select(mask, a, b)                        mask ? a : b
 *     vec_and(a, mask)                              a where the mask is set, 0 elsewhere
 *     vec_or(mask, mask) vec_not(mask)              of lane masks
 *     vec_zeros(p)                                  bit i is set where p[i] is 0, of sixteen
 *     vec_abs vec_copysign(magnitude, sign)
 *     vec_exponent(y, one)                          2^n for y = n + 1.5 * 2^23, n in -126 .. 127; one = 1.0
 *     vec_first(v)                                  lane 0
 *     vec_sum(v)                                    (l0 + l2) + (l1 + l3)
 *     vec_sum_each(v)                               vec_sum of each of v[0] .. v[3]
 *     vec_transpose(v)                              4 x 4, in place
 *     vec_all(mask)                                 whether a lane mask is set in all lanes
 *     vec_bits(mask) vec_from_bits(bits)            bit l is lane l's
 *
 * Four unsigned integers of 32 bits in the same type:
 *     vec_load_u32(p) vec_store_u32(p, v) vec_splat_u32(x)
 *     vec_add_u32 vec_xor
 *     vec_multiply_u32(a, b, &high)                 the low halves of the products, and the high ones
 *     vec_at_least_u32(a, b)                        lane mask of a >= b
 *
 * Four signed integers of 32 bits in the same type:
 *     vec_dot_bytes(sum, bytes, words)              sum with the products of 16 signed bytes and 16 words of 16 bits added,
 *                                                   four to a lane
 *     vec_sum_each_i32(v)                           the sums of the lanes of v[0] .. v[3]
 *     vec_from_i32(v)                               as floats
 *     vec_popcount_u32(v)                           how many bits of each lane are set
 *
 * Eight integers of 16 bits in the same type, lane n in the low half of 32-bit lane n / 2 where n is even:
 *     vec_load_wide(p)                              eight unsigned bytes
 *     vec_dot_u16(a, b)                             lane l is a[2 l] b[2 l] + a[2 l + 1] b[2 l + 1], all < 2^15
 *
 * Sixteen bytes, likewise:
 *     vec_load_bytes(p)
 *     vec_equal_bytes(a, b)                         bytes with all bits set where equal
 *     vec_bits_bytes(mask)                          bit i is byte i's
 *
 * Engines place constants and instructions where the compiler put them, and the compiler takes registers for
 * plentiful. Hints that change no value:
 *     vec_constant(x)                               a splat that stays out of the loop it is used in
 *     vec_settle(&a, &b)                            both are computed here, before what follows
 *     vec_base(p)                                   p, from which offsets are taken as they are written: constant ones
 *                                                   cost no instruction, unless the compiler rewrites them
 * VEC_TILE_ROWS: rows of the largest register tile (rows x 8) that does not spill.
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
#define VEC_TILE_ROWS 4
static inline vec vec_madd(vec a, vec b, vec c) { return vec_add(vec_mul(a, b), c); }
#endif

#endif
