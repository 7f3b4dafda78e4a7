/* SPDX-License-Identifier: Apache-2.0
 *
 * vec_math.h - exponential and hyperbolic tangent of four floats. Their constants are fetched once, before a loop.
 */
#ifndef ATTN_VEC_MATH_H
#define ATTN_VEC_MATH_H

#include "vec.h"

/* What e^x and 2^x share. */
struct vec_power_constants {
    vec lowest; /* what is below rounds to 0 */
    vec normal; /* what is not below is no subnormal number */
    vec magic, one, half_range, undo;
};

static inline struct vec_power_constants vec_power_constants(float lowest, float normal) {
    return (struct vec_power_constants){
        .lowest = vec_constant(lowest),
        .normal = vec_constant(normal),
        .magic = vec_constant(0x1.8p23f),
        .one = vec_constant(1.0f),
        .half_range = vec_constant(64.0f),
        .undo = vec_constant(0x1p-64f),
    };
}

/* A power (1 + r P) 2^n; n stands in the low bits of y, as adding 1.5 * 2^23 rounds to an integer and leaves it. */
struct vec_power {
    vec y, r, p;
};

/* The result, where it is a normal number. */
static inline vec vec_power_normal(struct vec_power of, const struct vec_power_constants *k) {
    return vec_mul(vec_madd(of.r, of.p, k->one), vec_exponent(of.y, k->one));
}

/* The same bits, and any other result: 2^n comes in two factors, and the last multiplication rounds. Zero where
 * `is_above` is not set, or CPUs would take long to find that the result is 0. */
static inline vec vec_power_any(struct vec_power of, vec is_above, const struct vec_power_constants *k) {
    vec scale = vec_and(vec_exponent(vec_add(of.y, k->half_range), k->one), is_above);
    return vec_mul(vec_madd(vec_mul(of.r, scale), of.p, scale), k->undo);
}

struct vec_exp_constants {
    struct vec_power_constants power;
    vec log2e, ln2_high, ln2_low, p5, p4, p3, p2, p1;
};

static inline struct vec_exp_constants vec_exp_constants(void) {
    return (struct vec_exp_constants){
        .power = vec_power_constants(-104.0f, -87.0f),
        .log2e = vec_constant(0x1.715476p+0f),
        .ln2_high = vec_constant(-0x1.62e4p-1f),
        .ln2_low = vec_constant(-0x1.7f7d1cp-20f),
        .p5 = vec_constant(0.001381459878757596f),
        .p4 = vec_constant(0.008368716575205326f),
        .p3 = vec_constant(0.04166838899254799f),
        .p2 = vec_constant(0.1666652113199234f),
        .p1 = vec_constant(0.4999999403953552f),
    };
}

/* Cody-Waite reduction x = n ln 2 + r, then a minimax P of degree 5. */
static inline struct vec_power vec_exp_power(vec x, const struct vec_exp_constants *k) {
    vec y = vec_madd(x, k->log2e, k->power.magic);
    vec n = vec_sub(y, k->power.magic);
    vec r = vec_madd(n, k->ln2_high, x);
    r = vec_madd(n, k->ln2_low, r);
    vec p = vec_madd(k->p5, r, k->p4);
    p = vec_madd(p, r, k->p3);
    p = vec_madd(p, r, k->p2);
    p = vec_madd(p, r, k->p1);
    p = vec_madd(p, r, k->power.one);
    return (struct vec_power){y, r, p};
}

/* e^x, x <= 0, relative error below 1.5e-7; NaN stays NaN. */
static inline vec vec_exp(vec x, const struct vec_exp_constants *k) {
    return vec_power_any(vec_exp_power(vec_max(x, k->power.lowest), k), vec_less(k->power.lowest, x), &k->power);
}

/* The same for x in power.normal .. 0. */
static inline vec vec_exp_normal(vec x, const struct vec_exp_constants *k) {
    return vec_power_normal(vec_exp_power(x, k), &k->power);
}

struct vec_exp2_constants {
    struct vec_power_constants power;
    vec p5, p4, p3, p2, p1, p0;
};

static inline struct vec_exp2_constants vec_exp2_constants(void) {
    return (struct vec_exp2_constants){
        .power = vec_power_constants(-150.0f, -126.0f),
        .p5 = vec_constant(0.0001532113819848746f),
        .p4 = vec_constant(0.0013390171807259321f),
        .p3 = vec_constant(0.009618526324629784f),
        .p2 = vec_constant(0.05550362542271614f),
        .p1 = vec_constant(0.24022647738456726f),
        .p0 = vec_constant(0.6931471824645996f),
    };
}

/* x = n + r without any rounding. */
static inline struct vec_power vec_exp2_power(vec x, const struct vec_exp2_constants *k) {
    vec y = vec_add(x, k->power.magic);
    vec r = vec_sub(x, vec_sub(y, k->power.magic));
    vec p = vec_madd(k->p5, r, k->p4);
    p = vec_madd(p, r, k->p3);
    p = vec_madd(p, r, k->p2);
    p = vec_madd(p, r, k->p1);
    p = vec_madd(p, r, k->p0);
    return (struct vec_power){y, r, p};
}

/* 2^x, likewise. */
static inline vec vec_exp2(vec x, const struct vec_exp2_constants *k) {
    return vec_power_any(vec_exp2_power(vec_max(x, k->power.lowest), k), vec_less(k->power.lowest, x), &k->power);
}

static inline vec vec_exp2_normal(vec x, const struct vec_exp2_constants *k) {
    return vec_power_normal(vec_exp2_power(x, k), &k->power);
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
    vec far = vec_div(vec_sub(exp_constants->power.one, e), vec_add(exp_constants->power.one, e));
    return vec_select(is_near, near, vec_copysign(far, x));
}

#endif
