/* SPDX-License-Identifier: Apache-2.0
 *
 * vec_scalar.h - vec.h in plain C. Lane for lane the same operations, in the same order, as vec_wasm.h.
 */
#ifndef ATTN_VEC_SCALAR_H
#define ATTN_VEC_SCALAR_H

typedef union {
    float lane[4];
    uint32_t bits[4];
    uint8_t bytes[16];
} vec;

#define VEC_LANES(expression)                                                                                          \
    vec r;                                                                                                             \
    for (int i = 0; i < 4; i++) expression;                                                                            \
    return r

static inline vec vec_load(const float *p) { VEC_LANES(r.lane[i] = p[i]); }
static inline void vec_store(float *p, vec v) {
    for (int i = 0; i < 4; i++) p[i] = v.lane[i];
}
static inline vec vec_splat(float x) { VEC_LANES(r.lane[i] = x); }
static inline vec vec_constant(float x) { return vec_splat(x); }
static inline void vec_settle(vec *a, vec *b) { (void)a, (void)b; }
static inline const void *vec_base(const void *p) { return p; }
static inline vec vec_load_bfloat16(const uint16_t *p) { VEC_LANES(r.bits[i] = (uint32_t)p[i] << 16); }
static inline vec vec_load_float16(const uint16_t *p) {
    vec r;
    for (int i = 0; i < 4; i++) {
        r.bits[i] = (uint32_t)(p[i] & 0x8000) << 16 | (uint32_t)(p[i] & 0x7fff) << 13;
        r.lane[i] *= 0x1p112f;
    }
    return r;
}
static inline vec vec_largest_float16(const uint16_t *p, vec largest) {
    for (int i = 0; i < 8; i++) {
        uint32_t magnitude = p[i] & 0x7fff;
        if (largest.bits[i % 4] < magnitude) largest.bits[i % 4] = magnitude;
    }
    return largest;
}
static inline int vec_is_finite_float16(vec largest) {
    for (int i = 0; i < 4; i++) {
        if (largest.bits[i] >= 0x7c00) return 0;
    }
    return 1;
}
static inline vec vec_load_bool(const uint8_t *p) { VEC_LANES(r.bits[i] = p[i] ? UINT32_MAX : 0); }
static inline vec vec_not(vec mask) { VEC_LANES(r.bits[i] = ~mask.bits[i]); }
static inline vec vec_or(vec a, vec b) { VEC_LANES(r.bits[i] = a.bits[i] | b.bits[i]); }
static inline vec vec_and(vec a, vec b) { VEC_LANES(r.bits[i] = a.bits[i] & b.bits[i]); }
static inline vec vec_from_bits(uint32_t bits) { VEC_LANES(r.bits[i] = bits >> i & 1 ? UINT32_MAX : 0); }
static inline uint32_t vec_zeros(const float *p) {
    uint32_t bits = 0;
    for (int i = 0; i < 16; i++) bits |= (uint32_t)(p[i] == 0) << i;
    return bits;
}
static inline uint32_t vec_bits(vec mask) {
    return (mask.bits[0] & 1) | (mask.bits[1] & 2) | (mask.bits[2] & 4) | (mask.bits[3] & 8);
}
static inline int vec_all(vec mask) { return mask.bits[0] && mask.bits[1] && mask.bits[2] && mask.bits[3]; }
static inline vec vec_add(vec a, vec b) { VEC_LANES(r.lane[i] = a.lane[i] + b.lane[i]); }
static inline vec vec_sub(vec a, vec b) { VEC_LANES(r.lane[i] = a.lane[i] - b.lane[i]); }
static inline vec vec_mul(vec a, vec b) { VEC_LANES(r.lane[i] = a.lane[i] * b.lane[i]); }
static inline vec vec_div(vec a, vec b) { VEC_LANES(r.lane[i] = a.lane[i] / b.lane[i]); }
static inline vec vec_max(vec a, vec b) { VEC_LANES(r.lane[i] = a.lane[i] < b.lane[i] ? b.lane[i] : a.lane[i]); }
static inline vec vec_min(vec a, vec b) { VEC_LANES(r.lane[i] = b.lane[i] < a.lane[i] ? b.lane[i] : a.lane[i]); }
static inline vec vec_less(vec a, vec b) { VEC_LANES(r.bits[i] = a.lane[i] < b.lane[i] ? UINT32_MAX : 0); }
static inline vec vec_equal(vec a, vec b) { VEC_LANES(r.bits[i] = a.lane[i] == b.lane[i] ? UINT32_MAX : 0); }
static inline vec vec_at_least(vec a, vec b) { VEC_LANES(r.bits[i] = a.lane[i] >= b.lane[i] ? UINT32_MAX : 0); }
static inline vec vec_select(vec mask, vec a, vec b) {
    VEC_LANES(r.bits[i] = (a.bits[i] & mask.bits[i]) | (b.bits[i] & ~mask.bits[i]));
}
static inline vec vec_abs(vec v) { VEC_LANES(r.bits[i] = v.bits[i] & 0x7fffffffu); }
static inline vec vec_copysign(vec magnitude, vec sign) {
    VEC_LANES(r.bits[i] = (magnitude.bits[i] & 0x7fffffffu) | (sign.bits[i] & 0x80000000u));
}
static inline vec vec_exponent(vec y, vec one) { VEC_LANES(r.bits[i] = (y.bits[i] << 23) + one.bits[i]); }
static inline vec vec_load_u32(const uint32_t *p) { VEC_LANES(r.bits[i] = p[i]); }
static inline void vec_store_u32(uint32_t *p, vec v) {
    for (int i = 0; i < 4; i++) p[i] = v.bits[i];
}
static inline vec vec_splat_u32(uint32_t x) { VEC_LANES(r.bits[i] = x); }
static inline vec vec_add_u32(vec a, vec b) { VEC_LANES(r.bits[i] = a.bits[i] + b.bits[i]); }
static inline vec vec_xor(vec a, vec b) { VEC_LANES(r.bits[i] = a.bits[i] ^ b.bits[i]); }
static inline vec vec_multiply_u32(vec a, vec b, vec *high) {
    vec r;
    for (int i = 0; i < 4; i++) {
        uint64_t product = (uint64_t)a.bits[i] * b.bits[i];
        high->bits[i] = (uint32_t)(product >> 32), r.bits[i] = (uint32_t)product;
    }
    return r;
}
static inline vec vec_at_least_u32(vec a, vec b) { VEC_LANES(r.bits[i] = a.bits[i] >= b.bits[i] ? UINT32_MAX : 0); }

static inline vec vec_dot_bytes(vec sum, const int8_t *bytes, const int16_t *words) {
    for (int i = 0; i < 16; i++) sum.bits[i / 2 % 4] += (uint32_t)(bytes[i] * words[i]);
    return sum;
}
static inline vec vec_sum_each_i32(const vec v[4]) {
    VEC_LANES(r.bits[i] = v[i].bits[0] + v[i].bits[1] + v[i].bits[2] + v[i].bits[3]);
}
static inline vec vec_from_i32(vec v) { VEC_LANES(r.lane[i] = (float)(int32_t)v.bits[i]); }
static inline vec vec_popcount_u32(vec v) { VEC_LANES(r.bits[i] = (uint32_t)__builtin_popcount(v.bits[i])); }
static inline vec vec_load_wide(const uint8_t *p) { VEC_LANES(r.bits[i] = p[2 * i] | (uint32_t)p[2 * i + 1] << 16); }
static inline vec vec_dot_u16(vec a, vec b) {
    VEC_LANES(r.bits[i] = (a.bits[i] & 0xffff) * (b.bits[i] & 0xffff) + (a.bits[i] >> 16) * (b.bits[i] >> 16));
}
static inline vec vec_load_bytes(const uint8_t *p) {
    vec r;
    for (int i = 0; i < 16; i++) r.bytes[i] = p[i];
    return r;
}
static inline vec vec_equal_bytes(vec a, vec b) {
    vec r;
    for (int i = 0; i < 16; i++) r.bytes[i] = a.bytes[i] == b.bytes[i] ? UINT8_MAX : 0;
    return r;
}
static inline uint32_t vec_bits_bytes(vec mask) {
    uint32_t bits = 0;
    for (int i = 0; i < 16; i++) bits |= (uint32_t)(mask.bytes[i] >> 7) << i;
    return bits;
}

static inline float vec_first(vec v) { return v.lane[0]; }
static inline float vec_sum(vec v) { return (v.lane[0] + v.lane[2]) + (v.lane[1] + v.lane[3]); }
static inline vec vec_sum_each(const vec v[4]) { VEC_LANES(r.lane[i] = vec_sum(v[i])); }
static inline void vec_transpose(vec v[4]) {
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < i; j++) {
            float swap = v[i].lane[j];
            v[i].lane[j] = v[j].lane[i];
            v[j].lane[i] = swap;
        }
    }
}

#endif
