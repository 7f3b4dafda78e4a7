/* SPDX-License-Identifier: Apache-2.0
 *
 * random_problems.c - random problems of cases.h: each against the reference, all together against the naive loop.
 */
#include <math.h>
#include <stdio.h>

#include "properties.h"
#include "test.h"

/* The largest errors of a family of problems. */
struct statistics {
    double ours, naive;
    unsigned cases;
};

/* Whether the logits are as large as the family's are meant to be: masks and ALiBi can make larger ones. */
static int is_typical(const struct subject *s) {
    static const double largest[CASE_FAMILIES] = {30, 300, 5e4};
    for (size_t n = 0; n < subject_rows(&s->c.problem); n++)
        if (s->magnitude[n] > largest[s->c.family]) return 0;
    return 1;
}

static void test_case(struct case_arena *arena, uint32_t seed, struct statistics statistics[][SUBJECT_ERRORS]) {
    struct subject s = {.arena = arena};
    struct subject_error errors[SUBJECT_ERRORS] = {{0}};
    struct case_random random = case_random_init(seed, 99);
    arena->used = 0;
    snprintf(s.name, sizeof s.name, "seed %u", seed);
    if (!check(case_make(&s.c, seed, arena) == 0, "%s: the arena is too small", s.name)) return;
    check(arena->used <= CASE_ARENA_BYTES, "%s: inputs of %zu bytes", s.name, arena->used);
    subject_init(&s);
    test_problem(&s, &random, 1, errors);
    for (int kind = 0; kind < SUBJECT_ERRORS; kind++) {
        struct statistics *sum = &statistics[s.c.family][kind];
        if (!errors[kind].measured || !is_typical(&s)) continue;
        sum->ours = fmax(sum->ours, errors[kind].ours);
        sum->naive = fmax(sum->naive, errors[kind].naive);
        sum->cases++;
    }
    subject_free(&s);
}

/* Over a family the largest error may not exceed 1.5 times the naive loop's. */
void test_random_problems(struct case_arena *arena, uint32_t cases, uint32_t first_seed) {
    static const char *const families[] = {"ordinary", "large", "huge"};
    static const char *const kinds[] = {"output", "log_sum_exp", "weights"};
    struct statistics statistics[CASE_FAMILIES][SUBJECT_ERRORS] = {{{0}}};
    for (uint32_t n = 0; n < cases; n++) test_case(arena, first_seed + n, statistics);
    for (int family = 0; family < CASE_FAMILIES; family++)
        for (int kind = 0; kind < SUBJECT_ERRORS; kind++) {
            const struct statistics *sum = &statistics[family][kind];
            if (sum->cases < 1000) continue; /* too few to say anything */
            printf("%-8s logits, %-11s: largest error %.3g, naive float32 %.3g, ratio %.2f (%u cases)\n",
                   families[family], kinds[kind], sum->ours, sum->naive, sum->ours / sum->naive, sum->cases);
            check(sum->ours <= 1.5 * sum->naive, "%s logits: error of %s", families[family], kinds[kind]);
        }
}
