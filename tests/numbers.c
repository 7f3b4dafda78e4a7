/* SPDX-License-Identifier: Apache-2.0
 *
 * numbers.c - numbers by themselves: the generator and its threshold, exponential and tanh, 16-bit floats.
 */
#include <math.h>
#include <stdlib.h>

#include "attn.h"
#include "cases.h"
#include "rng.h"
#include "softmax.h"
#include "test.h"

/* ---- Philox ---- */

static void test_philox(void) {
    static const struct {
        uint32_t counter[4], key[2], words[4];
    } vectors[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t n = 0; n < sizeof vectors / sizeof *vectors; n++) {
        uint32_t words[16], next[16], counter[4];
        attn_philox4x32_four(words, vectors[n].counter, vectors[n].key);
        CHECK(memcmp(words, vectors[n].words, sizeof vectors[n].words) == 0);
        memcpy(counter, vectors[n].counter, sizeof counter);
        counter[0]++;
        attn_philox4x32_four(next, counter, vectors[n].key);
        CHECK(memcmp(words + 4, next, 12 * sizeof *next) == 0);
    }
}

/* The rate is an exact threshold on the words: at a word's own value it stays, one step above it goes. */
static void test_dropout_threshold(void) {
    const float zeros[8] = {0};
    struct attn_problem p;
    struct attn_result r;
    struct attn_plan plan;
    attn_problem_init(&p, 1, 1, 1, 1, 1, 8, 1, 1);
    p.queries.data = p.keys.data = p.values.data = zeros;
    p.dropout.training = 1;
    p.dropout.seed_low = 5;
    p.key_offset = 6;
    attn_result_init(&r, &p);
    uint8_t keep[8];
    r.dropout_mask = keep;
    for (uint32_t j = 0; j < 8; j++) {
        const uint32_t position = 6 + j, counter[4] = {position >> 2, 0, 0, 0}, key[2] = {5, 0};
        uint32_t words[16];
        attn_philox4x32_four(words, counter, key);
        for (uint32_t above = 0; above < 2; above++) {
            p.dropout.rate = ((double)words[position & 3] + above) * 0x1p-32;
            if (!CHECK(attn_plan_init(&plan, &p, &r) == ATTN_OK)) return;
            void *workspace = allocate_aligned(plan.workspace_bytes);
            CHECK(attn_run(&plan, &p, &r, workspace, plan.workspace_bytes, 0, plan.jobs) == ATTN_OK);
            CHECK(keep[j] == !above);
            free(workspace);
        }
    }
}

/* ---- exponential and tanh ---- */

static double exact_exp(float x) { return exp((double)x); }
static double exact_exp2(float x) { return exp2((double)x); }

/* The largest relative error from `lowest`, the logarithm of the smallest normal number, to 0. */
static void test_power(const char *name, float (*power)(float), double (*exact)(float), float lowest) {
    double worst = 0;
    int falls = 0;
    float at = 0;
    for (uint32_t bits = bits_of(lowest); bits > 0x80000000;
         bits -= bits < 997 + 0x80000000 ? bits - 0x80000000 : 997) {
        const float x = float_of(bits), e = power(x);
        const double error = fabs((double)e / exact(x) - 1);
        if (error > worst) worst = error, at = x;
        falls += e > 1;
    }
    check(worst <= 1.5e-7 && !falls, "%s: relative error %.3g at %.9g, above 1: %d times", name, worst, (double)at,
          falls);
    CHECK(power(0) == 1 && power(-0.0f) == 1);
    for (float x = lowest; x > 2 * lowest; x -= 0.25f) /* subnormal, then 0 */
        check(fabs((double)power(x) - exact(x)) <= 0x1p-149, "%s(%g) = %g", name, (double)x, (double)power(x));
    CHECK(power(-1e30f) == 0 && power(-INFINITY) == 0);
    CHECK(isnan(power(NAN)));
}

/* tanh is not exported: a query of 1 against keys x gives it as softcapped scores. */
static void test_tanh(void) {
    enum { COUNT = 20000 };
    const float one = 1;
    struct attn_problem p;
    struct attn_result r;
    struct attn_plan plan;
    float *x = allocate(COUNT * sizeof *x), *scores = allocate(COUNT * sizeof *scores);
    struct case_random random = case_random_init(3, 0);
    for (size_t n = 0; n < COUNT; n++) /* magnitudes from 2^-22 to 2^10 */
        x[n] = float_of((105 + case_random_below(&random, 32)) << 23 | (case_random_next(&random) & 0x807fffff));
    attn_problem_init(&p, 1, 1, 1, 1, 1, COUNT, 1, 1);
    p.queries.data = &one;
    p.keys.data = p.values.data = x;
    p.softcap = 1;
    attn_result_init(&r, &p);
    r.scores = scores;
    r.score_stage = ATTN_SCORES_SOFTCAPPED;
    if (!CHECK(attn_plan_init(&plan, &p, &r) == ATTN_OK)) return;
    void *workspace = allocate_aligned(plan.workspace_bytes);
    CHECK(attn_run(&plan, &p, &r, workspace, plan.workspace_bytes, 0, plan.jobs) == ATTN_OK);
    double worst = 0;
    for (size_t n = 0; n < COUNT; n++) worst = fmax(worst, fabs((double)scores[n] / tanh((double)x[n]) - 1));
    check(worst <= 2e-7, "tanh: relative error %.3g", worst);
    free(workspace);
    free(x);
    free(scores);
}

/* ---- 16-bit floats ---- */

/* Nearest value of a 16-bit format by its definition: round to a multiple of the quantum of x's binade. */
static double narrowed(double x, int mantissa_bits, int exponent_min, double limit) {
    if (isnan(x) || isinf(x)) return x;
    int exponent;
    frexp(x, &exponent); /* x = m 2^exponent, m in [0.5, 1) */
    if (x == 0 || exponent - 1 < exponent_min) exponent = exponent_min + 1;
    const double quantum = ldexp(1, exponent - 1 - mantissa_bits), rounded = nearbyint(x / quantum) * quantum;
    return fabs(rounded) > limit ? copysign((double)INFINITY, x) : rounded;
}

static void test_narrowing(float x, enum attn_dtype dtype) {
    uint16_t half = 0x1234;
    float back = 1;
    const int ok = attn_convert(&half, dtype, &x, ATTN_FLOAT32, 1) == ATTN_OK &&
                   attn_convert(&back, ATTN_FLOAT32, &half, dtype, 1) == ATTN_OK;
    const float want = (float)(dtype == ATTN_FLOAT16 ? narrowed((double)x, 10, -14, 65504)
                                                     : narrowed((double)x, 7, -126, (double)float_of(0x7f7f0000)));
    if (!ok || !same_bits(back, want)) /* counted by the callers: there are too many to count each */
        check(0, "%a became %a, expected %a (dtype %d)", (double)x, (double)back, (double)want, dtype);
}

/* The value of a 16-bit float by its definition. */
static double value_of(uint16_t half, int exponent_bits, int mantissa_bits) {
    const int exponent_max = (1 << exponent_bits) - 1, bias = exponent_max >> 1;
    const int exponent = half >> mantissa_bits & exponent_max, mantissa = half & ((1 << mantissa_bits) - 1);
    double magnitude =
        ldexp(mantissa + (exponent ? 1 << mantissa_bits : 0), (exponent ? exponent : 1) - bias - mantissa_bits);
    if (exponent == exponent_max) magnitude = mantissa ? (double)NAN : (double)INFINITY;
    return half & 0x8000 ? -magnitude : magnitude;
}

/* Every value, in runs of each length up to two vectors and from each place in a vector, so that all of them go
 * through the vectors and through what is left over. */
static void test_widening(enum attn_dtype dtype) {
    unsigned wrong = 0, outside = 0;
    for (size_t length = 1; length <= 9; length++) {
        for (uint32_t first = 0; first < 65536; first += (uint32_t)length) {
            const size_t count = first + length <= 65536 ? length : 65536 - first;
            uint16_t *half = allocate(count * sizeof *half);
            float wide[10];
            for (size_t n = 0; n < count; n++) half[n] = (uint16_t)(first + n);
            wide[count] = 7;
            wrong += attn_convert(wide, ATTN_FLOAT32, half, dtype, count) != ATTN_OK;
            for (size_t n = 0; n < count; n++)
                wrong += !same_bits(
                    wide[n], (float)(dtype == ATTN_FLOAT16 ? value_of(half[n], 5, 10) : value_of(half[n], 8, 7)));
            outside += wide[count] != 7;
            free(half);
        }
    }
    check(wrong == 0, "dtype %d: %u values are widened wrongly", dtype, wrong);
    check(outside == 0, "dtype %d: widening wrote beyond its end %u times", dtype, outside);
}

static void test_convert_dtype(enum attn_dtype dtype, uint32_t infinity) {
    const int shift = dtype == ATTN_FLOAT16 ? 13 : 16;
    const unsigned before = checks_failed();
    unsigned wrong = 0;
    uint16_t *all = allocate(65536 * sizeof *all), *back = allocate(65536 * sizeof *back);
    float *wide = allocate(65536 * sizeof *wide);
    for (uint32_t n = 0; n < 65536; n++) all[n] = (uint16_t)n;
    CHECK(attn_convert(wide, ATTN_FLOAT32, all, dtype, 65536) == ATTN_OK);
    CHECK(attn_convert(back, dtype, wide, ATTN_FLOAT32, 65536) == ATTN_OK);
    for (uint32_t n = 0; n < 65536; n++) {
        const double want = dtype == ATTN_FLOAT16 ? value_of((uint16_t)n, 5, 10) : value_of((uint16_t)n, 8, 7);
        const int is_nan = (n & 0x7fff) > infinity;
        wrong += !same_bits(wide[n], (float)want) || is_nan != (wide[n] != wide[n]);
        wrong += is_nan ? (back[n] & 0x7fff) <= infinity : back[n] != n;
    }
    check(wrong == 0, "dtype %d: %u of 65536 values do not survive widening and narrowing", dtype, wrong);
    /* the midpoints between neighbours, and the floats next to them */
    for (uint32_t n = 0; n < 65535; n++) {
        if ((n & 0x7fff) >= infinity) continue;
        const double middle = ((double)wide[n] + ((n & 0x7fff) + 1 == infinity
                                                      ? copysign(ldexp(1, dtype == ATTN_FLOAT16 ? 16 : 128), wide[n])
                                                      : (double)wide[n + 1])) /
                              2;
        const float x = (float)middle;
        test_narrowing(x, dtype);
        test_narrowing(nextafterf(x, INFINITY), dtype);
        test_narrowing(nextafterf(x, -INFINITY), dtype);
    }
    struct case_random random = case_random_init(7, (uint32_t)shift);
    for (uint32_t n = 0; n < 200000; n++) test_narrowing(float_of(case_random_next(&random)), dtype);
    const float edges[] = {0,
                           -0.0f,
                           INFINITY,
                           -INFINITY,
                           NAN,
                           -NAN,
                           65504,
                           65519.996f,
                           65520,
                           -65520,
                           0x1p-24f,
                           0x1p-25f,
                           0x1.000002p-25f,
                           0x1p-149f,
                           0x1.fffffep+127f,
                           0x1.fefffep+127f,
                           0x1.ffp+127f,
                           0x1p-133f,
                           0x1p-134f};
    for (size_t n = 0; n < sizeof edges / sizeof *edges; n++) test_narrowing(edges[n], dtype);
    check(checks_failed() == before, "dtype %d: narrowing", dtype);
    free(all), free(back), free(wide);
}

static void test_convert(void) {
    float wide[4] = {1, 2, 3, 4};
    uint16_t half[4] = {0xaaaa, 0xaaaa, 0xaaaa, 0xaaaa};
    test_widening(ATTN_FLOAT16);
    test_widening(ATTN_BFLOAT16);
    test_convert_dtype(ATTN_FLOAT16, 0x7c00);
    test_convert_dtype(ATTN_BFLOAT16, 0x7f80);
    CHECK(attn_convert(NULL, ATTN_FLOAT16, wide, ATTN_FLOAT32, 4) == ATTN_ERROR_NULL);
    CHECK(attn_convert(half, ATTN_FLOAT16, NULL, ATTN_FLOAT32, 4) == ATTN_ERROR_NULL);
    CHECK(attn_convert(NULL, ATTN_FLOAT16, NULL, ATTN_FLOAT32, 0) == ATTN_OK);
    CHECK(attn_convert(half, ATTN_BOOL, wide, ATTN_FLOAT32, 4) == ATTN_ERROR_DTYPE);
    CHECK(attn_convert(half, ATTN_FLOAT16, wide, ATTN_BOOL, 4) == ATTN_ERROR_DTYPE);
    CHECK(attn_convert(half, (enum attn_dtype)9, wide, ATTN_FLOAT32, 4) == ATTN_ERROR_DTYPE);
    CHECK(attn_convert(half, ATTN_FLOAT16, wide, (enum attn_dtype) - 1, 4) == ATTN_ERROR_DTYPE);
    for (size_t n = 0; n < 4; n++) CHECK(half[n] == 0xaaaa);
    CHECK(attn_convert(half, ATTN_FLOAT16, wide, ATTN_FLOAT32, 3) == ATTN_OK);
    CHECK(half[0] == 0x3c00 && half[1] == 0x4000 && half[2] == 0x4200 && half[3] == 0xaaaa);
}

void test_numbers(void) {
    test_philox();
    test_dropout_threshold();
    test_power("exp", attn_exp, exact_exp, -87.33f);
    test_power("exp2", attn_exp2, exact_exp2, -126);
    test_tanh();
    test_convert();
}
