/* SPDX-License-Identifier: Apache-2.0
 *
 * vec_math.h - exponential and hyperbolic tangent of four floats. Their constants are fetched once, before a loop.
 */
#ifndef ATTN_VEC_MATH_H
#define ATTN_VEC_MATH_H

#include "vec.h"

struct vec_exp_constants {
    vec lowest, log2e, magic, ln2_high, ln2_low, p5, p4, p3, p2, p1, one, half_range, undo;
};

static inline struct vec_exp_constants vec_exp_constants(void) {
    return (struct vec_exp_constants){
        .lowest = vec_constant(-104.0f), /* e^-104 rounds to 0 */
        .log2e = vec_constant(0x1.715476p+0f),
        .magic = vec_constant(0x1.8p23f),
        .ln2_high = vec_constant(-0x1.62e4p-1f),
        .ln2_low = vec_constant(-0x1.7f7d1cp-20f),
        .p5 = vec_constant(0.001381459878757596f),
        .p4 = vec_constant(0.008368716575205326f),
        .p3 = vec_constant(0.04166838899254799f),
        .p2 = vec_constant(0.1666652113199234f),
        .p1 = vec_constant(0.4999999403953552f),
        .one = vec_constant(1.0f),
        .half_range = vec_constant(64.0f),
        .undo = vec_constant(0x1p-64f),
    };
}

/* e^x, x <= 0, relative error below 1.5e-7; NaN stays NaN. Cody-Waite reduction x = n ln 2 + r, then 1 + r P(r) with a
 * minimax P of degree 5. Rounding to the nearest n is an addition of 1.5 * 2^23, which leaves n in the low bits. */
static inline vec vec_exp(vec x, const struct vec_exp_constants *k) {
    vec is_above = vec_less(k->lowest, x);
    x = vec_max(x, k->lowest);
    vec y = vec_madd(x, k->log2e, k->magic);
    vec n = vec_sub(y, k->magic);
    vec r = vec_madd(n, k->ln2_high, x);
    r = vec_madd(n, k->ln2_low, r);
    vec p = vec_madd(k->p5, r, k->p4);
    p = vec_madd(p, r, k->p3);
    p = vec_madd(p, r, k->p2);
    p = vec_madd(p, r, k->p1);
    p = vec_madd(p, r, k->one);
    /* results below 2^-126 are subnormal: 2^n comes in two factors, and the last multiplication rounds */
    vec scale = vec_exponent(vec_add(y, k->half_range), k->one);
    scale = vec_and(scale, is_above); /* or CPUs would take long to find that the result is 0 */
    return vec_mul(vec_madd(vec_mul(r, scale), p, scale), k->undo);
}

struct vec_exp2_constants {
    vec lowest, magic, p5, p4, p3, p2, p1, p0, one, half_range, undo;
};

static inline struct vec_exp2_constants vec_exp2_constants(void) {
    return (struct vec_exp2_constants){
        .lowest = vec_constant(-150.0f), /* 2^-150 rounds to 0 */
        .magic = vec_constant(0x1.8p23f),
        .p5 = vec_constant(0.0001532113819848746f),
        .p4 = vec_constant(0.0013390171807259321f),
        .p3 = vec_constant(0.009618526324629784f),
        .p2 = vec_constant(0.05550362542271614f),
        .p1 = vec_constant(0.24022647738456726f),
        .p0 = vec_constant(0.6931471824645996f),
        .one = vec_constant(1.0f),
        .half_range = vec_constant(64.0f),
        .undo = vec_constant(0x1p-64f),
    };
}

/* 2^x, x <= 0, with the same bound: x = n + f without any rounding, then 1 + f P(f). */
static inline vec vec_exp2(vec x, const struct vec_exp2_constants *k) {
    vec is_above = vec_less(k->lowest, x);
    x = vec_max(x, k->lowest);
    vec y = vec_add(x, k->magic);
    vec f = vec_sub(x, vec_sub(y, k->magic));
    vec p = vec_madd(k->p5, f, k->p4);
    p = vec_madd(p, f, k->p3);
    p = vec_madd(p, f, k->p2);
    p = vec_madd(p, f, k->p1);
    p = vec_madd(p, f, k->p0);
    vec scale = vec_and(vec_exponent(vec_add(y, k->half_range), k->one), is_above);
    return vec_mul(vec_madd(vec_mul(f, scale), p, scale), k->undo);
}

struct vec_tanh_constants {
    vec p4, p3, p2, p1, p0, minus_two, near;
};

static inline struct vec_tanh_constants vec_tanh_constants(void) {
    return (struct vec_tanh_constants){
        .p4 = vec_constant(-0.005704984068870544f),
        .p3 = vec_constant(0.0206390842795372f),
        .p2 = vec_constant(-0.05373971536755562f),
        .p1 = vec_constant(0.13331441581249237f),
        .p0 = vec_constant(-0.3333328068256378f),
        .minus_two = vec_constant(-2.0f),
        .near = vec_constant(0.625f),
    };
}

/* tanh x: x + x^3 P(x^2) near 0, (1 - e^-2|x|) / (1 + e^-2|x|) elsewhere. */
static inline vec vec_tanh(vec x, const struct vec_tanh_constants *k, const struct vec_exp_constants *exp_constants) {
    vec z = vec_mul(x, x);
    vec p = vec_madd(k->p4, z, k->p3);
    p = vec_madd(p, z, k->p2);
    p = vec_madd(p, z, k->p1);
    p = vec_madd(p, z, k->p0);
    vec near = vec_madd(vec_mul(p, z), x, x);
    vec magnitude = vec_abs(x), is_near = vec_less(magnitude, k->near);
    if (vec_all(is_near)) return near; /* the rule, where the cap is far above the scores */
    vec e = vec_exp(vec_mul(magnitude, k->minus_two), exp_constants);
    vec far = vec_div(vec_sub(exp_constants->one, e), vec_add(exp_constants->one, e));
    return vec_select(is_near, near, vec_copysign(far, x));
}

#endif
