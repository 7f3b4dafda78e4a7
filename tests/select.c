/* SPDX-License-Identifier: Apache-2.0
 *
 * select.c - the largest of many scores against a sort: ties, infinities and NaN, and orders that mislead a sample or a
 * pivot.
 */
#include "select.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cases.h"
#include "test.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define PICK(random, array) (array)[case_random_below(random, COUNT(array))]

enum { MOST = 5000 };

/* How scores are drawn: which numbers, and in which order. */
enum values { ORDINARY, FEW, CONSTANT, SPECIAL, SPREAD, VALUES };
enum order { SHUFFLED, DESCENDING, ASCENDING, STRIDED, ORGAN_PIPES, ORDERS };

struct selection {
    char name[96];
    size_t count, words;
    float *scores; /* readable up to a multiple of 16; what is beyond `count` is larger than all others */
    double *sorted;
    uint64_t *chosen;
    void *scratch;
};

static int descending(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

static int descending_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

static float draw_value(enum values values, struct case_random *random) {
    static const float special[] = {INFINITY, -INFINITY, NAN, -NAN, 3.4e38f, -3.4e38f, 0, -0.0f, 1e-45f, 1, -1};
    switch (values) {
    case ORDINARY: return case_random_float(random);
    case FEW: return (float)(int)case_random_below(random, 9) - 4;
    case CONSTANT: return 0.5f;
    case SPECIAL: return case_random_below(random, 2) ? PICK(random, special) : case_random_float(random);
    default: return ldexpf(case_random_float(random), (int)case_random_below(random, 200) - 100);
    }
}

/* Sorted scores in an order that an algorithm may trip over. STRIDED has the smallest where a sample of every n-th one
 * looks, and ORGAN_PIPES has the largest in the middle. */
static void arrange(float *scores, size_t count, enum order order, struct case_random *random) {
    if (order == SHUFFLED) return;
    float *sorted = allocate(count * sizeof *sorted);
    qsort(scores, count, sizeof *scores, descending);
    memcpy(sorted, scores, count * sizeof *sorted);
    const size_t stride = 2 + case_random_below(random, 5);
    size_t large = 0, small = count;
    for (size_t n = 0; n < count; n++) {
        if (order == ASCENDING) scores[n] = sorted[count - 1 - n];
        if (order == STRIDED) scores[n] = n % stride == 0 ? sorted[--small] : sorted[large++];
        if (order == ORGAN_PIPES) scores[n < count / 2 ? n : count - 1 - (n - count / 2)] = sorted[count - 1 - n];
    }
    free(sorted);
}

static struct selection selection_begin(size_t count, enum values values, enum order order,
                                        struct case_random *random) {
    const size_t padded = (count + 15) / 16 * 16;
    struct selection s = {.count = count, .words = (count + 63) / 64};
    snprintf(s.name, sizeof s.name, "%zu scores, values %d, order %d", count, (int)values, (int)order);
    s.scores = allocate(padded * sizeof *s.scores);
    s.sorted = allocate(count * sizeof *s.sorted);
    s.chosen = allocate(s.words * sizeof *s.chosen);
    s.scratch = memset(allocate_aligned(attn_select_bytes(count)), 0xff, attn_select_bytes(count));
    for (size_t n = 0; n < count; n++) s.scores[n] = draw_value(values, random);
    if (values != SPECIAL) arrange(s.scores, count, order, random); /* NaN has no order */
    for (size_t n = count; n < padded; n++) s.scores[n] = n % 2 ? INFINITY : NAN;
    memset(s.chosen, 0, s.words * sizeof *s.chosen);
    return s;
}

static void selection_end(struct selection *s) { free(s->scores), free(s->sorted), free(s->chosen), free(s->scratch); }

static int is_chosen(const struct selection *s, size_t n) { return s->chosen[n / 64] >> n % 64 & 1; }

/* Sorts what a selection may choose, in double; returns how much that is. */
static size_t sort_scores(struct selection *s, double least) {
    size_t count = 0;
    for (size_t n = 0; n < s->count; n++)
        if ((double)s->scores[n] >= least) s->sorted[count++] = (double)s->scores[n];
    qsort(s->sorted, count, sizeof *s->sorted, descending_doubles);
    return count;
}

static int beyond_is_clear(const struct selection *s) {
    for (size_t n = s->count; n < 64 * s->words; n++)
        if (is_chosen(s, n)) return 0;
    return 1;
}

/* ---- the k largest ---- */

static void test_largest_of(struct selection *s, size_t k) {
    float *before = memcpy(allocate(s->count * sizeof *before), s->scores, s->count * sizeof *before);
    const size_t some = sort_scores(s, -3.5e38), taken = k < some ? k : some; /* all but -infinity and NaN */
    const double least = taken ? s->sorted[taken - 1] : (double)INFINITY;
    size_t equals = 0, wrong = 0;
    for (size_t n = 0; n < taken; n++) equals += s->sorted[n] <= least;
    memset(s->chosen, 0, s->words * sizeof *s->chosen);
    attn_select_largest(s->chosen, s->scores, s->count, k, s->scratch);
    for (size_t n = 0; n < s->count; n++) {
        const double score = (double)s->scores[n];
        const int expected = taken && (score > least || (score == least && equals && equals--));
        wrong += expected != is_chosen(s, n);
    }
    check(!wrong && beyond_is_clear(s), "largest %zu of %s: %zu are wrong", k, s->name, wrong);
    check(memcmp(before, s->scores, s->count * sizeof *before) == 0, "largest %zu of %s: scores changed", k, s->name);
    free(before);
}

static size_t draw_count(struct case_random *random) {
    static const uint16_t counts[] = {0, 1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 129, 1023, 2047, 2048, 2049, 4096};
    switch (case_random_below(random, 3)) {
    case 0: return PICK(random, counts);
    case 1: return case_random_below(random, 300);
    default: return case_random_below(random, MOST + 1);
    }
}

static void test_largest(void) {
    for (uint32_t number = 0; number < 400; number++) {
        struct case_random random = case_random_init(number, 300);
        const size_t count = draw_count(&random);
        struct selection s =
            selection_begin(count, (enum values)(number % VALUES), (enum order)(number / VALUES % ORDERS), &random);
        const size_t ks[] = {0,         1,         2,     count / 50, case_random_below(&random, (uint32_t)count + 1),
                             count / 2, count - 1, count, count + 1,  SIZE_MAX};
        for (size_t n = 0; n < COUNT(ks); n++)
            if (count || ks[n] != count - 1) test_largest_of(&s, ks[n]);
        selection_end(&s);
    }
}

/* What is set stays set. */
static void test_added(void) {
    struct case_random random = case_random_init(1, 301);
    struct selection s = selection_begin(100, ORDINARY, SHUFFLED, &random);
    uint64_t before[2];
    attn_select_largest(s.chosen, s.scores, s.count, 40, s.scratch);
    memcpy(before, s.chosen, sizeof before);
    attn_select_largest(s.chosen, s.scores, s.count, 10, s.scratch);
    CHECK(memcmp(before, s.chosen, sizeof before) == 0);
    attn_select_mass(s.chosen, s.scores, s.count, 0, s.scratch);
    CHECK(memcmp(before, s.chosen, sizeof before) == 0);
    selection_end(&s);
}

/* ---- the fewest of a mass ---- */

/* Sums may be taken in any order: `slack` is what that may cost. */
static void test_mass_of(struct selection *s, double mass, double slack) {
    const size_t some = sort_scores(s, 0);
    double total = 0, kept = 0, least = (double)INFINITY, above = 0;
    size_t chosen = 0, wrong = 0;
    for (size_t n = some; n > 0; n--) total += s->sorted[n - 1];
    memset(s->chosen, 0, s->words * sizeof *s->chosen);
    attn_select_mass(s->chosen, s->scores, s->count, mass, s->scratch);
    for (size_t n = 0; n < s->count; n++)
        if (is_chosen(s, n)) chosen++, least = fmin(least, (double)s->scores[n]);
    for (size_t n = 0; n < s->count; n++) {
        const double score = (double)s->scores[n];
        wrong += is_chosen(s, n) != (score >= least && score >= 0);
        if (score >= least) kept += score;
        if (score > least) above += score;
    }
    const double wanted = mass * total;
    check(!wrong && beyond_is_clear(s) && (chosen > 0) == (some > 0), "%g of %s: %zu are wrong", mass, s->name, wrong);
    check(chosen == some || kept > wanted - slack * total, "%g of %s: only %g of %g", mass, s->name, kept, total);
    check(chosen == 0 || above <= wanted + slack * total, "%g of %s: more than the fewest", mass, s->name);
}

static void test_mass(void) {
    static const double masses[] = {0, 1e-9, 0.1, 0.5, 0.9, 0.99, 0.999999, 1};
    for (uint32_t number = 0; number < 300; number++) {
        struct case_random random = case_random_init(number, 302);
        const enum values values = (enum values)(number % VALUES);
        struct selection s =
            selection_begin(draw_count(&random), values, (enum order)(number / VALUES % ORDERS), &random);
        for (size_t n = 0; n < s.count; n++) {
            float *x = &s.scores[n];
            if (*x == INFINITY) *x = 1; /* exponentials are not larger */
            if (*x < 0 && case_random_below(&random, 4)) *x = values == SPREAD ? -*x : -1; /* what is out has -1 */
        }
        const double slack = values == FEW || values == CONSTANT ? 0 : 1e-12; /* of whole numbers sums are exact */
        for (size_t n = 0; n < COUNT(masses); n++) test_mass_of(&s, masses[n], masses[n] < 1 ? slack : 1e-12);
        selection_end(&s);
    }
}

void test_select(void) {
    test_largest();
    test_added();
    test_mass();
}
