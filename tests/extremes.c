/* SPDX-License-Identifier: Apache-2.0
 *
 * extremes.c - numbers at the ends of what float32 holds, in problems so small that the result is known.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "attn.h"
#include "cases.h"
#include "test.h"

enum { MOST_KEYS = 200 };

/* One query of dimension 1, which is 1: the logits are the keys. */
struct row {
    size_t count;
    float keys[MOST_KEYS], values[MOST_KEYS];
    const float *mask, *alibi;
    float softcap;
    float output, log_sum_exp, numerator, denominator, row_max, scores[MOST_KEYS];
};

static void solve(struct row *row, float scaling) {
    static const float one = 1;
    struct attn_problem p;
    struct attn_result r;
    struct attn_plan plan;
    attn_problem_init(&p, 1, 1, 1, 1, 1, row->count, 1, 1);
    p.queries.data = &one, p.keys.data = row->keys, p.values.data = row->values;
    p.scaling = scaling, p.softcap = row->softcap, p.alibi_slopes = row->alibi;
    if (row->mask) {
        p.attention_mask = (struct attn_tensor){
            .data = row->mask, .dtype = ATTN_FLOAT32, .column_stride = 1, .row_stride = row->count};
        p.attention_mask.capacity = p.attention_mask.head_stride = p.attention_mask.batch_stride = row->count;
    }
    attn_result_init(&r, &p);
    r.output = &row->output, r.log_sum_exp = &row->log_sum_exp, r.numerator = &row->numerator;
    r.denominator = &row->denominator, r.row_max = &row->row_max, r.scores = row->scores;
    if (!CHECK(attn_plan_init(&plan, &p, &r) == ATTN_OK)) return;
    void *workspace = allocate_aligned(plan.workspace_bytes);
    CHECK(attn_run(&plan, &p, &r, workspace, plan.workspace_bytes, 0, plan.jobs) == ATTN_OK);
    free(workspace);
}

/* Logits that are finite, though not what they are times log2 e. */
static void test_largest_logits(void) {
    static const float no_slope = 0;
    for (int base_e = 0; base_e < 2; base_e++) {
        struct row up = {.count = 2, .keys = {3e38f, 1}, .values = {5, 7}, .alibi = base_e ? &no_slope : NULL};
        struct row down = {.count = 2, .keys = {-3e38f, -3.2e38f}, .values = {5, 7}, .alibi = up.alibi};
        struct row apart = {.count = 2, .keys = {-3.4e38f, 3.4e38f}, .values = {5, 7}, .alibi = up.alibi};
        solve(&up, 1), solve(&down, 1), solve(&apart, 1);
        CHECK(up.output == 5 && up.row_max == 3e38f && up.log_sum_exp == 3e38f);
        CHECK(down.output == 5 && down.row_max == -3e38f && down.log_sum_exp == -3e38f);
        CHECK(apart.output == 7 && apart.row_max == 3.4e38f && apart.denominator == 1);
    }
}

/* A mask of finfo.min swamps every score alike: the mean of the values. */
static void test_swamped(void) {
    float mask[MOST_KEYS];
    for (size_t j = 0; j < MOST_KEYS; j++) mask[j] = -FLT_MAX;
    static const float scores[] = {1e-30f, 0.005f, 0.015f, 0.02f, 1, 100, 1e30f};
    for (size_t n = 0; n < sizeof scores / sizeof *scores; n++) {
        struct row row = {.count = MOST_KEYS, .mask = mask};
        for (size_t j = 0; j < MOST_KEYS; j++) row.keys[j] = j % 2 ? scores[n] : -scores[n], row.values[j] = j % 2;
        solve(&row, 1);
        check(row.output == 0.5f, "scores of %g under finfo.min: output %.9g", (double)scores[n], (double)row.output);
    }
}

/* A cap whose reciprocal overflows: all logits are nearly 0. */
static void test_least_softcap(void) {
    static const float caps[] = {1e-45f, 1e-39f, FLT_MIN};
    for (size_t n = 0; n < sizeof caps / sizeof *caps; n++) {
        struct row row = {.count = 4, .keys = {0, 1, -1, 1e-42f}, .values = {1, 2, 3, 4}, .softcap = caps[n]};
        solve(&row, 1);
        check(row.output == 2.5f, "softcap %g: output %.9g", (double)caps[n], (double)row.output);
    }
}

/* The maximum of a row is the largest of its scores, bit for bit. */
static void test_row_max(void) {
    struct case_random random = case_random_init(11, 0);
    for (int n = 0; n < 2000; n++) {
        struct row row = {.count = 1 + case_random_below(&random, MOST_KEYS)};
        for (size_t j = 0; j < row.count; j++) row.keys[j] = 8 * case_random_float(&random);
        solve(&row, 0.1f + fabsf(case_random_float(&random)));
        float largest = row.scores[0];
        for (size_t j = 1; j < row.count; j++) largest = row.scores[j] > largest ? row.scores[j] : largest;
        check(row.row_max == largest, "row %d: maximum %.9g, largest score %.9g", n, (double)row.row_max,
              (double)largest);
    }
}

/* A range whose only logit is NaN still spoils what it is merged with. */
static void test_merged_nan(void) {
    struct row sides[] = {{.count = 1, .keys = {NAN}, .values = {1}}, {.count = 1, .keys = {1}, .values = {7}}};
    struct attn_partials parts[2];
    for (size_t n = 0; n < 2; n++) {
        solve(&sides[n], 1);
        parts[n] = (struct attn_partials){&sides[n].numerator, &sides[n].denominator, &sides[n].row_max};
    }
    for (size_t n = 0; n < 2; n++) {
        float sums[2] = {*parts[n].numerator, *parts[n].denominator}, max = *parts[n].row_max;
        struct attn_partials merged = {&sums[0], &sums[1], &max};
        CHECK(attn_partials_merge(merged, parts[1 - n], 1, 1) == ATTN_OK);
        CHECK(isnan(sums[0]) && isnan(sums[1]));
    }
}

/* A side without keys contributes nothing, whatever stands in it. */
static void test_merged_nothing(void) {
    for (int swapped = 0; swapped < 2; swapped++) {
        float numerators[2] = {6, NAN}, denominators[2] = {2, 5}, maxima[2] = {-3, -INFINITY};
        struct attn_partials parts[2];
        for (size_t n = 0; n < 2; n++) parts[n] = (struct attn_partials){&numerators[n], &denominators[n], &maxima[n]};
        CHECK(attn_partials_merge(parts[swapped], parts[1 - swapped], 1, 1) == ATTN_OK);
        CHECK(numerators[swapped] == 6 && denominators[swapped] == 2 && maxima[swapped] == -3);
    }
}

void test_extremes(void) {
    test_largest_logits();
    test_swamped();
    test_least_softcap();
    test_row_max();
    test_merged_nan();
    test_merged_nothing();
}
