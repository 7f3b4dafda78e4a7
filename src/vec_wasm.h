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
static inline vec vec_add(vec a, vec b) { return wasm_f32x4_add(a, b); }
static inline vec vec_sub(vec a, vec b) { return wasm_f32x4_sub(a, b); }
static inline vec vec_mul(vec a, vec b) { return wasm_f32x4_mul(a, b); }
static inline vec vec_div(vec a, vec b) { return wasm_f32x4_div(a, b); }
static inline vec vec_max(vec a, vec b) { return wasm_f32x4_pmax(a, b); }
static inline vec vec_less(vec a, vec b) { return wasm_f32x4_lt(a, b); }
static inline vec vec_equal(vec a, vec b) { return wasm_f32x4_eq(a, b); }
static inline vec vec_select(vec mask, vec a, vec b) { return wasm_v128_bitselect(a, b, mask); }
static inline vec vec_abs(vec v) { return wasm_f32x4_abs(v); }
static inline vec vec_copysign(vec magnitude, vec sign) {
    return wasm_v128_bitselect(sign, magnitude, wasm_f32x4_const_splat(-0.0f));
}
static inline vec vec_exponent(vec y) {
    return wasm_i32x4_add(wasm_i32x4_shl(y, 23), wasm_i32x4_const_splat(127 << 23));
}

static inline float vec_first(vec v) { return wasm_f32x4_extract_lane(v, 0); }
static inline float vec_sum(vec v) {
    v = wasm_f32x4_add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
    return wasm_f32x4_extract_lane(v, 0) + wasm_f32x4_extract_lane(v, 1);
}
static inline float vec_max_lane(vec v) {
    v = wasm_f32x4_pmax(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
    v = wasm_f32x4_pmax(v, wasm_i32x4_shuffle(v, v, 1, 0, 3, 2));
    return wasm_f32x4_extract_lane(v, 0);
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
