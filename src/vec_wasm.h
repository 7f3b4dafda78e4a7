/* SPDX-License-Identifier: Apache-2.0
 *
 * vec_wasm.h - vec.h on WebAssembly SIMD128.
 */
#ifndef ATTN_VEC_WASM_H
#define ATTN_VEC_WASM_H

#include <wasm_simd128.h>

typedef v128_t vec;

static inline vec vec_load(const float *p) { return wasm_v128_load(p); }
static inline void vec_store(float *p, vec v) { wasm_v128_store(p, v); }
static inline vec vec_splat(float x) { return wasm_f32x4_splat(x); }
static inline vec vec_constant(float x) {
    vec v = wasm_f32x4_splat(x);
    __asm__("" : "+r"(v));
    return v;
}
static inline vec vec_constant_bits(uint32_t bits) {
    vec v = wasm_u32x4_splat(bits);
    __asm__("" : "+r"(v));
    return v;
}
static inline void vec_settle(vec *a, vec *b) { __asm__ volatile("" : "+r"(*a), "+r"(*b)); }
static inline const void *vec_base(const void *p) {
    __asm__("" : "+r"(p));
    return p;
}
static inline vec vec_load_bfloat16(const uint16_t *p) {
    return wasm_i16x8_shuffle(wasm_i32x4_const_splat(0), wasm_v128_load64_zero(p), 0, 8, 1, 9, 2, 10, 3, 11);
}
static inline vec vec_load_float16(const uint16_t *p) {
    /* sign to bit 31, exponent and mantissa below it; the product corrects the bias, also of subnormals */
    const vec mask = vec_constant_bits(0x8fffe000), correction = vec_constant(0x1p112f);
    return wasm_f32x4_mul(wasm_v128_and(wasm_i32x4_shl(wasm_i32x4_load16x4(p), 13), mask), correction);
}
static inline vec vec_largest_float16(const uint16_t *p, vec largest) {
    return wasm_u16x8_max(largest, wasm_i16x8_shl(wasm_v128_load(p), 1));
}
static inline int vec_is_finite_float16(vec largest) {
    return !wasm_v128_any_true(wasm_u16x8_ge(largest, wasm_i16x8_const_splat((short)0xf800)));
}
static inline vec vec_load_bool(const uint8_t *p) {
    vec bytes = wasm_u32x4_extend_low_u16x8(wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(p)));
    return wasm_i32x4_ne(bytes, wasm_i32x4_const_splat(0));
}
static inline vec vec_not(vec mask) { return wasm_v128_not(mask); }
static inline vec vec_or(vec a, vec b) { return wasm_v128_or(a, b); }
static inline vec vec_and(vec a, vec b) { return wasm_v128_and(a, b); }
static inline vec vec_from_bits(uint32_t bits) {
    const vec places = wasm_u32x4_const(1, 2, 4, 8);
    return wasm_i32x4_eq(wasm_v128_and(wasm_u32x4_splat(bits), places), places);
}
static inline uint32_t vec_zeros(const float *p) {
    const vec zero = wasm_f32x4_const_splat(0);
    vec a = wasm_i16x8_narrow_i32x4(wasm_f32x4_eq(vec_load(p), zero), wasm_f32x4_eq(vec_load(p + 4), zero));
    vec b = wasm_i16x8_narrow_i32x4(wasm_f32x4_eq(vec_load(p + 8), zero), wasm_f32x4_eq(vec_load(p + 12), zero));
    return wasm_i8x16_bitmask(wasm_i8x16_narrow_i16x8(a, b));
}
static inline uint32_t vec_bits(vec mask) { return wasm_i32x4_bitmask(mask); }
static inline int vec_all(vec mask) { return wasm_i32x4_all_true(mask); }
static inline vec vec_add(vec a, vec b) { return wasm_f32x4_add(a, b); }
static inline vec vec_sub(vec a, vec b) { return wasm_f32x4_sub(a, b); }
static inline vec vec_mul(vec a, vec b) { return wasm_f32x4_mul(a, b); }
static inline vec vec_div(vec a, vec b) { return wasm_f32x4_div(a, b); }
static inline vec vec_max(vec a, vec b) { return wasm_f32x4_pmax(a, b); }
static inline vec vec_min(vec a, vec b) { return wasm_f32x4_pmin(a, b); }
static inline vec vec_less(vec a, vec b) { return wasm_f32x4_lt(a, b); }
static inline vec vec_equal(vec a, vec b) { return wasm_f32x4_eq(a, b); }
static inline vec vec_at_least(vec a, vec b) { return wasm_f32x4_ge(a, b); }
static inline vec vec_select(vec mask, vec a, vec b) { return wasm_v128_bitselect(a, b, mask); }
static inline vec vec_abs(vec v) { return wasm_f32x4_abs(v); }
static inline vec vec_copysign(vec magnitude, vec sign) {
    return wasm_v128_bitselect(sign, magnitude, wasm_f32x4_const_splat(-0.0f));
}
static inline vec vec_exponent(vec y, vec one) { return wasm_i32x4_add(wasm_i32x4_shl(y, 23), one); }

static inline vec vec_load_u32(const uint32_t *p) { return wasm_v128_load(p); }
static inline void vec_store_u32(uint32_t *p, vec v) { wasm_v128_store(p, v); }
static inline vec vec_splat_u32(uint32_t x) { return wasm_u32x4_splat(x); }
static inline vec vec_add_u32(vec a, vec b) { return wasm_i32x4_add(a, b); }
static inline vec vec_xor(vec a, vec b) { return wasm_v128_xor(a, b); }
static inline vec vec_multiply_u32(vec a, vec b, vec *high) {
    vec first = wasm_u64x2_extmul_low_u32x4(a, b), last = wasm_u64x2_extmul_high_u32x4(a, b);
    *high = wasm_i32x4_shuffle(first, last, 1, 3, 5, 7);
    return wasm_i32x4_shuffle(first, last, 0, 2, 4, 6);
}
static inline vec vec_at_least_u32(vec a, vec b) { return wasm_u32x4_ge(a, b); }

static inline vec vec_dot_bytes(vec sum, const int8_t *bytes, const int16_t *words) {
    sum = wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_i16x8_load8x8(bytes), wasm_v128_load(words)));
    return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(wasm_i16x8_load8x8(bytes + 8), wasm_v128_load(words + 8)));
}
static inline vec vec_sum_each_i32(const vec v[4]) {
    vec a = wasm_i32x4_add(wasm_i64x2_shuffle(v[0], v[1], 0, 2), wasm_i64x2_shuffle(v[0], v[1], 1, 3));
    vec b = wasm_i32x4_add(wasm_i64x2_shuffle(v[2], v[3], 0, 2), wasm_i64x2_shuffle(v[2], v[3], 1, 3));
    return wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 2, 4, 6), wasm_i32x4_shuffle(a, b, 1, 3, 5, 7));
}
static inline vec vec_from_i32(vec v) { return wasm_f32x4_convert_i32x4(v); }
static inline vec vec_popcount_u32(vec v) {
    return wasm_u32x4_extadd_pairwise_u16x8(wasm_u16x8_extadd_pairwise_u8x16(wasm_i8x16_popcnt(v)));
}
static inline vec vec_load_wide(const uint8_t *p) { return wasm_u16x8_load8x8(p); }
static inline vec vec_dot_u16(vec a, vec b) { return wasm_i32x4_dot_i16x8(a, b); }
static inline vec vec_load_bytes(const uint8_t *p) { return wasm_v128_load(p); }
static inline vec vec_equal_bytes(vec a, vec b) { return wasm_i8x16_eq(a, b); }
static inline uint32_t vec_bits_bytes(vec mask) { return wasm_i8x16_bitmask(mask); }

static inline float vec_first(vec v) { return wasm_f32x4_extract_lane(v, 0); }
static inline float vec_sum(vec v) {
    v = wasm_f32x4_add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
    return wasm_f32x4_extract_lane(v, 0) + wasm_f32x4_extract_lane(v, 1);
}
static inline vec vec_sum_each(const vec v[4]) {
    vec a = wasm_f32x4_add(wasm_i64x2_shuffle(v[0], v[1], 0, 2), wasm_i64x2_shuffle(v[0], v[1], 1, 3));
    vec b = wasm_f32x4_add(wasm_i64x2_shuffle(v[2], v[3], 0, 2), wasm_i64x2_shuffle(v[2], v[3], 1, 3));
    return wasm_f32x4_add(wasm_i32x4_shuffle(a, b, 0, 2, 4, 6), wasm_i32x4_shuffle(a, b, 1, 3, 5, 7));
}
static inline void vec_transpose(vec v[4]) {
    vec a = wasm_i32x4_shuffle(v[0], v[1], 0, 4, 1, 5), b = wasm_i32x4_shuffle(v[0], v[1], 2, 6, 3, 7);
    vec c = wasm_i32x4_shuffle(v[2], v[3], 0, 4, 1, 5), d = wasm_i32x4_shuffle(v[2], v[3], 2, 6, 3, 7);
    v[0] = wasm_i64x2_shuffle(a, c, 0, 2);
    v[1] = wasm_i64x2_shuffle(a, c, 1, 3);
    v[2] = wasm_i64x2_shuffle(b, d, 0, 2);
    v[3] = wasm_i64x2_shuffle(b, d, 1, 3);
}

#endif
