/* SPDX-License-Identifier: Apache-2.0
 *
 * softmax.c - see softmax.h. Two passes over a row of a tile: scores to logits and their maximum, then
 * logits to exponentials and their sums.
 */
#include "softmax.h"

#include "vec.h"

#define MINUS_INFINITY (-__builtin_inff())

/* e^x, x <= 0. Cody-Waite reduction x = n ln 2 + r, then 1 + r P(r) with a minimax P of degree 5. Rounding to the
 * nearest n is an addition of 1.5 * 2^23, which leaves n in the low bits. */
static inline vec exp_vec(vec x) {
    const float magic = 12582912.0f;
    vec y = vec_madd(x, vec_splat(0x1.715476p+0f), vec_splat(magic));
    vec n = vec_sub(y, vec_splat(magic));
    vec r = vec_madd(n, vec_splat(-0x1.62e4p-1f), x);
    r = vec_madd(n, vec_splat(-0x1.7f7d1cp-20f), r);
    vec p = vec_splat(0.001381459878757596f);
    p = vec_madd(p, r, vec_splat(0.008368716575205326f));
    p = vec_madd(p, r, vec_splat(0.04166838899254799f));
    p = vec_madd(p, r, vec_splat(0.1666652113199234f));
    p = vec_madd(p, r, vec_splat(0.4999999403953552f));
    p = vec_madd(p, r, vec_splat(1.0f));
    /* results below 2^-126 are subnormal: 2^n comes in two factors, and the last multiplication rounds */
    vec scale = vec_exponent(vec_add(y, vec_splat(64.0f)));
    vec e = vec_mul(vec_madd(vec_mul(r, scale), p, scale), vec_splat(0x1p-64f));
    return vec_select(vec_less(x, vec_splat(-104.0f)), vec_splat(0.0f), e);
}

float attn_exp(float x) { return vec_first(exp_vec(vec_splat(x))); }

/* tanh: x + x^3 P(x^2) near 0, (1 - e^-2|x|) / (1 + e^-2|x|) elsewhere. */
static inline vec tanh_vec(vec x) {
    vec z = vec_mul(x, x);
    vec p = vec_splat(-0.005704984068870544f);
    p = vec_madd(p, z, vec_splat(0.0206390842795372f));
    p = vec_madd(p, z, vec_splat(-0.05373971536755562f));
    p = vec_madd(p, z, vec_splat(0.13331441581249237f));
    p = vec_madd(p, z, vec_splat(-0.3333328068256378f));
    vec near = vec_madd(vec_mul(p, z), x, x);
    vec magnitude = vec_abs(x);
    vec e = exp_vec(vec_mul(magnitude, vec_splat(-2.0f)));
    vec far = vec_div(vec_sub(vec_splat(1.0f), e), vec_add(vec_splat(1.0f), e));
    return vec_select(vec_less(magnitude, vec_splat(0.625f)), near, vec_copysign(far, x));
}

/* ln x in double, for x >= 0 that came from a float: x = m 2^n, ln m = 2 artanh((m - 1) / (m + 1)). */
static double log_double(double x) {
    if (!(x > 0)) return x == 0 ? -__builtin_inf() : x; /* NaN */
    if (x > 1e300) return x;                            /* infinity */
    union {
        double value;
        uint64_t bits;
    } m = {x};
    int n = (int)(m.bits >> 52) - 1023;
    m.bits = (m.bits & 0xfffffffffffffull) | 0x3ff0000000000000ull;
    if (m.value > 1.4142135623730951) m.value *= 0.5, n++;
    double s = (m.value - 1) / (m.value + 1), z = s * s, series = 0;
    for (int k = 21; k >= 1; k -= 2) series = series * z + 1.0 / k;
    return n * 0.6931471805599453 + 2 * s * series;
}

void attn_softmax_init(struct attn_softmax *row) {
    row->max = MINUS_INFINITY;
    row->sum = row->dropped_sum = 0;
}

/* Lanes at or beyond `count` of the vector that starts at column j take no part. */
static inline vec take_out_tail(vec logit, size_t j, size_t count) {
    if (j + 4 <= count) return logit;
    vec lane = vec_load((const float[4]){0, 1, 2, 3});
    return vec_select(vec_less(lane, vec_splat((float)(count - j))), logit, vec_splat(MINUS_INFINITY));
}

/* What rounding took from sum = a + b (Knuth's two-sum). A bias that swamps the scores, as finfo.min does, keeps
 * the meaning that float32 gives it, all logits equal: hence the limit. */
static inline vec lost_in_sum(vec a, vec b, vec sum) {
    vec b_part = vec_sub(sum, a), a_part = vec_sub(sum, b_part);
    vec lost = vec_add(vec_sub(a, a_part), vec_sub(b, b_part));
    return vec_select(vec_less(vec_abs(lost), vec_splat(0x1p-6f)), lost, vec_splat(0));
}

/* Scores to logits, in place, and what rounding took from them, where there is a bias; returns their maximum.
 * `plain` is a constant at each call. */
static inline float logits(float *scores, float *lost, size_t count, const struct attn_softmax_inputs *in, int plain) {
    const vec out = vec_splat(MINUS_INFINITY), scaling = vec_splat(in->scaling);
    vec max = out;
    for (size_t j = 0; j < count; j += 4) {
        vec s = vec_mul(vec_load(scores + j), scaling);
        if (!plain) {
            if (in->scores && in->stage == ATTN_SCORES_RAW) vec_store(in->scores + j, s);
            if (in->softcap != 0) {
                s = vec_mul(tanh_vec(vec_div(s, vec_splat(in->softcap))), vec_splat(in->softcap));
            }
            if (in->scores && in->stage == ATTN_SCORES_SOFTCAPPED) vec_store(in->scores + j, s);
            if (in->bias) {
                vec bias = vec_load(in->bias + j), sum = vec_add(s, bias);
                vec_store(lost + j, lost_in_sum(s, bias, sum));
                s = vec_select(vec_equal(bias, out), out, sum);
            }
            if (in->scores && in->stage == ATTN_SCORES_BIASED) vec_store(in->scores + j, s);
            s = take_out_tail(s, j, count);
            if (in->weight) {
                if (in->max_over == ATTN_ROW_MAX_ALLOWED) max = vec_max(max, s);
                s = vec_select(vec_equal(vec_load(in->weight + j), vec_splat(0)), out, s);
            }
        } else {
            s = take_out_tail(s, j, count);
        }
        max = vec_max(max, s);
        vec_store(scores + j, s);
    }
    return vec_max_lane(max);
}

float attn_softmax_tile(struct attn_softmax *row, float *scores, size_t count,
                        const struct attn_softmax_inputs *inputs) {
    int plain = !inputs->bias && !inputs->weight && !inputs->scores && inputs->softcap == 0;
    float lost[ATTN_TILE_KEYS];
    float tile_max = plain ? logits(scores, lost, count, inputs, 1) : logits(scores, lost, count, inputs, 0);
    float old_max = row->max, new_max = old_max < tile_max ? tile_max : old_max;
    float rescale = new_max == old_max ? 1.0f : attn_exp(old_max - new_max);

    /* a row without a key yet has no maximum to subtract */
    vec shift = vec_splat(new_max == MINUS_INFINITY ? 0.0f : new_max), sum = vec_splat(0), dropped_sum = vec_splat(0);
    for (size_t j = 0; j < count; j += 4) {
        vec x = vec_sub(vec_load(scores + j), shift);
        if (inputs->bias) x = vec_add(x, vec_load(lost + j));
        vec e = exp_vec(x);
        /* beyond `count` the weights are whatever lies there: those lanes stay 0 */
        if (inputs->weight) e = vec_select(vec_equal(e, vec_splat(0)), e, vec_mul(e, vec_load(inputs->weight + j)));
        sum = vec_add(sum, e);
        if (inputs->dropout) {
            e = vec_select(vec_equal(e, vec_splat(0)), e, vec_mul(e, vec_load(inputs->dropout + j)));
            dropped_sum = vec_add(dropped_sum, e);
        }
        vec_store(scores + j, e);
    }
    row->max = new_max;
    row->sum = row->sum * rescale + vec_sum(sum);
    row->dropped_sum = row->dropped_sum * rescale + vec_sum(inputs->dropout ? dropped_sum : sum);
    return rescale;
}

struct attn_softmax_result attn_softmax_finish(float max, float sum, float denominator, const float *sink,
                                               enum attn_empty_rows empty_rows) {
    struct attn_softmax_result result = {.scale = 1, .denominator = denominator};
    result.log_sum_exp = (float)(max + log_double(sum));
    if (sum == 0) result.log_sum_exp = MINUS_INFINITY;
    int has_sink = sink && *sink > MINUS_INFINITY;
    if (has_sink) {
        float total_max = max < *sink ? *sink : max;
        result.scale = attn_exp(max - total_max);
        result.denominator = denominator * result.scale + attn_exp(*sink - total_max);
    }
    result.empty = result.denominator == 0;
    result.fill = empty_rows == ATTN_EMPTY_ROWS_NAN && !has_sink ? __builtin_nanf("") : 0.0f;
    return result;
}

void attn_softmax_normalize(float *attention, const float *numerator, size_t count,
                            const struct attn_softmax_result *row) {
    size_t i = 0;
    if (!row->empty) {
        vec scale = vec_splat(row->scale), denominator = vec_splat(row->denominator);
        for (; i + 4 <= count; i += 4) {
            vec_store(attention + i, vec_div(vec_mul(vec_load(numerator + i), scale), denominator));
        }
    }
    for (; i < count; i++) attention[i] = row->empty ? row->fill : numerator[i] * row->scale / row->denominator;
}
