/* SPDX-License-Identifier: Apache-2.0
 *
 * masks.c - sparse masks of several nodes: random ones as whole problems, every way to say the same mask, combinations
 * by hand, and what structure takes of memory.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cells.h"
#include "programs.h"
#include "properties.h"
#include "test.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define PICK(random, array) (array)[case_random_below(random, COUNT(array))]

/* ---- random programs ---- */

static unsigned draw_parts(struct case_random *random) {
    static const unsigned parts[] = {CELL_CAUSAL, CELL_WINDOW, CELL_LENGTHS, CELL_ALIBI};
    unsigned drawn = CELL_PROGRAM;
    for (size_t n = 0; n < COUNT(parts); n++)
        if (case_random_below(random, 4) == 0) drawn |= parts[n];
    switch (case_random_below(random, 6)) {
    case 0: return drawn | CELL_ADDITIVE;
    case 1: return drawn | CELL_BOOLEAN;
    default: return drawn;
    }
}

/* Another number is another problem; many queries are more than one job, and few of them enough. */
static void make_program(struct subject *s, uint32_t number, struct case_arena *arena) {
    static const uint16_t q_lens[] = {1, 1, 2, 8, 9, 11, 12, 13, 13, 24, 25, 25, 60};
    static const uint16_t k_lens[] = {1, 127, 128, 129, 256, 300, 300};
    static const enum attn_dtype dtypes[] = {ATTN_FLOAT32, ATTN_FLOAT32, ATTN_FLOAT16, ATTN_BFLOAT16};
    struct case_random random = case_random_init(number, 97);
    const size_t q_len = number % 64 == 63 ? 600 : PICK(&random, q_lens), k_len = PICK(&random, k_lens);
    *s = (struct subject){.arena = arena};
    snprintf(s->name, sizeof s->name, "program %u", number);
    arena->used = 0;
    cell_make(&s->c, number, q_len, k_len, PICK(&random, dtypes), draw_parts(&random), arena);
    subject_init(s);
}

static void test_programs(struct case_arena *arena, uint32_t count) {
    for (uint32_t number = 0; number < count; number++) {
        struct subject s;
        struct case_random random = case_random_init(number, 96);
        make_program(&s, number, arena);
        test_problem(&s, &random, number % 2 == 0, NULL);
        subject_free(&s);
    }
}

/* ---- the same mask in other words ---- */

static int run(const struct attn_problem *p, const struct attn_result *r) {
    struct attn_plan plan;
    if (attn_plan_init(&plan, p, r) != ATTN_OK) return 0;
    void *workspace = memset(allocate_aligned(plan.workspace_bytes), 0xff, plan.workspace_bytes);
    const enum attn_status status = attn_run(&plan, p, r, workspace, plan.workspace_bytes, 0, plan.jobs);
    free(workspace);
    return status == ATTN_OK;
}

/* The weight of every cell; *ones says whether there is no other than 1 and 0. */
static float *spell_out(const struct attn_problem *p, int *ones, struct case_arena *arena) {
    const size_t cells = subject_rows(p) * p->k_len;
    float *weights = case_alloc(arena, cells * sizeof *weights);
    if (!CHECK(weights != NULL)) abort();
    *ones = 1;
    for (size_t cell = 0; cell < cells; cell++) {
        const size_t n = cell / p->k_len, head = n / p->q_len;
        weights[cell] = subject_weight(p, head / p->heads, head % p->heads, n % p->q_len, cell % p->k_len);
        *ones &= weights[cell] == 0 || weights[cell] == 1;
    }
    return weights;
}

/* Runs the subject with its mask said by one leaf, which must give the bits of its program. */
static void test_leaf(const struct subject *s, const struct attn_problem *p, const struct attn_result *all,
                      struct attn_mask mask, const char *why) {
    const struct case_arena mark = *s->arena;
    struct attn_problem said = *p;
    struct attn_result r;
    said.sparse_mask = mask;
    if (check(case_results(&s->c, &r, s->arena) == 0, "%s: the arena is too small", s->name) &&
        check(run(&said, &r), "%s: %s: status", s->name, why))
        subject_same(s, all, &r, why);
    *s->arena = mark;
}

static void test_words(const struct subject *s, const struct attn_problem *p, const struct attn_result *all,
                       const float *weights, int ones) {
    static const char *const names[][2] = {{"", ""},
                                           {"dense in tiles", "dense in rows"},
                                           {"CSR in tiles", "CSR in rows"},
                                           {"ones in tiles", "ones in rows"},
                                           {"bits in tiles", "bits in rows"}};
    const struct case_arena mark = *s->arena;
    const int row = p->route == ATTN_ROUTE_ROWS;
    test_leaf(s, p, all, program_leaf(p, ATTN_MASK_DENSE, weights, 1, s->arena), names[1][row]);
    test_leaf(s, p, all, program_leaf(p, ATTN_MASK_CSR, weights, 1, s->arena), names[2][row]);
    if (ones) test_leaf(s, p, all, program_leaf(p, ATTN_MASK_CSR, weights, 0, s->arena), names[3][row]);
    if (ones) test_leaf(s, p, all, program_leaf(p, ATTN_MASK_BITS, weights, 0, s->arena), names[4][row]);
    *s->arena = mark;
}

/* The routes differ in rounding alone. */
static void compare_routes(const struct subject *s, const float *a, const float *b, const char *names) {
    const struct attn_problem *p = &s->c.problem;
    const struct attn_result *w = &s->c.wanted;
    const double bound = 2e-6 * s->value_max * s->amplify;
    double off = 0;
    for (size_t n = 0; n < subject_rows(p); n++) {
        const size_t b_ = n / p->q_len / p->heads, h = n / p->q_len % p->heads, i = n % p->q_len;
        const size_t at = b_ * w->output_batch_stride + h * w->output_head_stride + i * w->output_row_stride;
        for (size_t x = at; !s->underflows[n] && x < at + p->value_dim; x++)
            if (!same_bits(a[x], b[x])) off = fmax(off, isnan(a[x] - b[x]) ? 1e300 : fabs((double)a[x] - (double)b[x]));
    }
    if (!check(off <= bound, "%s: %s differ by %.3g, bound %.3g", s->name, names, off, bound)) subject_describe(s);
}

static void test_routes(struct case_arena *arena, uint32_t count) {
    for (uint32_t number = 1000000; number < 1000000 + count; number++) {
        struct subject s;
        struct attn_result r[3]; /* by route */
        int ones, ok = 1;
        make_program(&s, number, arena);
        s.c.wanted.scores = NULL; /* they take every tile */
        s.c.problem.row_max_over = ATTN_ROW_MAX_KEPT;
        const float *weights = spell_out(&s.c.problem, &ones, arena);
        for (int route = ATTN_ROUTE_AUTO; route <= ATTN_ROUTE_ROWS; route++) {
            s.c.problem.route = (enum attn_route)route;
            ok &= case_results(&s.c, &r[route], arena) == 0 && run(&s.c.problem, &r[route]);
            if (!check(ok, "%s: route %d", s.name, route)) break;
            if (route != ATTN_ROUTE_AUTO) test_words(&s, &s.c.problem, &r[route], weights, ones);
        }
        if (ok) compare_routes(&s, r[0].output, r[1].output, "AUTO and tiles");
        if (ok) compare_routes(&s, r[0].output, r[2].output, "AUTO and rows");
        if (ok) compare_routes(&s, r[1].output, r[2].output, "tiles and rows");
        subject_free(&s);
    }
}

/* ---- combinations by hand ---- */

enum { KEYS = 6 };
static const float left[KEYS] = {0, -0.0f, 0.25f, 0.75f, 3, 1e-30f}, right[KEYS] = {0.5f, 0, 0.5f, 0.5f, 0.5f, 1e-30f};

/* One row of equal scores: the weights are those of the mask over their sum, and the entries those that are not 0. */
static void test_combination(const char *name, const struct attn_mask_node *nodes, size_t count,
                             const float want[KEYS]) {
    static const float query[1], keys[KEYS], values[KEYS];
    struct attn_problem p;
    struct attn_result r;
    float weights[KEYS], entries[KEYS] = {0};
    uint32_t ptr[2] = {0, 0}, indices[KEYS], kept = 0;
    attn_problem_init(&p, 1, 1, 1, 1, 1, KEYS, 1, 1);
    p.queries.data = query, p.keys.data = keys, p.values.data = values;
    p.sparse_mask = (struct attn_mask){nodes, count};
    attn_result_init(&r, &p);
    r.weights = weights;
    double sum = 0;
    for (size_t j = 0; j < KEYS; j++) sum += (double)want[j];
    for (int route = ATTN_ROUTE_AUTO; route <= ATTN_ROUTE_ROWS; route++) {
        p.route = (enum attn_route)route;
        r.entry_weights = NULL;
        int ok = attn_list_entries(&p, &r, ptr, NULL) == ATTN_OK && ptr[1] <= KEYS;
        ok = ok && attn_list_entries(&p, &r, ptr, indices) == ATTN_OK;
        r.entry_weights = entries, r.entry_ptr = ptr;
        ok = check(ok && run(&p, &r), "%s: status", name);
        kept = 0;
        for (size_t j = 0; ok && j < KEYS; j++) {
            const double weight = sum > 0 ? (double)want[j] / sum : 0;
            check(fabs((double)weights[j] - weight) <= 1e-6 * weight, "%s: weight %zu is %g, expected %g", name, j,
                  (double)weights[j], weight);
            if (want[j] == 0) continue;
            check(kept < ptr[1] && indices[kept] == j && fabs((double)entries[kept] - weight) <= 1e-6 * weight,
                  "%s: entry of key %zu", name, j);
            kept++;
        }
        check(!ok || ptr[1] == kept, "%s: %u entries, expected %u", name, ptr[1], kept);
    }
}

/* Two weighted leaves, and what is made of them; a node may be read by any number of later ones. */
static void test_combinations(void) {
    const struct attn_mask_node a = {.kind = ATTN_MASK_DENSE, .batch = 1, .heads = 1, .weights = left};
    const struct attn_mask_node b = {.kind = ATTN_MASK_DENSE, .batch = 1, .heads = 1, .weights = right};
#define COMBINATION(name, last, ...)                                                                                   \
    do {                                                                                                               \
        const struct attn_mask_node nodes[] = {a, b, __VA_ARGS__};                                                     \
        test_combination(name, nodes, COUNT(nodes), last);                                                             \
    } while (0)
#define NODE(name, l, r) {.kind = ATTN_MASK_##name, .left = l, .right = r}
#define WANT(...) ((const float[KEYS]){__VA_ARGS__})
    COMBINATION("AND", WANT(0, 0, 0.125f, 0.375f, 1.5f, 0), NODE(AND, 0, 1)); /* the last one underflows */
    COMBINATION("OR", WANT(0.5f, 0, 0.5f, 0.75f, 3, 1e-30f), NODE(OR, 0, 1));
    COMBINATION("MERGE", WANT(0.5f, 0, 0.75f, 1, 1, 2e-30f), NODE(MERGE, 0, 1));
    COMBINATION("NOT", WANT(1, 1, 0, 0, 0, 0), NODE(NOT, 0, 31)); /* its right is not looked at */
    COMBINATION("NOT NOT", WANT(0, 0, 1, 1, 1, 1), NODE(NOT, 0, 0), NODE(NOT, 2, 0));
    COMBINATION("NOT of an AND that underflows", WANT(1, 1, 0, 0, 0, 1), NODE(AND, 0, 1), NODE(NOT, 2, 0));
    COMBINATION("AND of a node with itself", WANT(0, 0, 0.0625f, 0.5625f, 9, 0), NODE(AND, 0, 0));
    COMBINATION("OR of a node with itself", WANT(0, 0, 0.25f, 0.75f, 3, 1e-30f), NODE(OR, 0, 0));
    COMBINATION("MERGE of a node with itself", WANT(0, 0, 0.5f, 1, 1, 2e-30f), NODE(MERGE, 0, 0));
    COMBINATION("a node and its opposite", WANT(0, 0, 0, 0, 0, 0), NODE(NOT, 0, 0), NODE(AND, 0, 2));
    COMBINATION("a node or its opposite", WANT(1, 1, 0.25f, 0.75f, 3, 1e-30f), NODE(NOT, 0, 0), NODE(OR, 0, 2));
    COMBINATION("a node read by three", WANT(0.5f, 0, 0.25f, 0.75f, 1, 1e-30f), NODE(AND, 0, 1), NODE(NOT, 0, 0),
                NODE(AND, 1, 3), NODE(OR, 2, 4), NODE(MERGE, 2, 2), NODE(MERGE, 5, 2), NODE(NOT, 0, 0), NODE(AND, 7, 8),
                NODE(NOT, 8, 0), NODE(AND, 10, 0), NODE(MERGE, 9, 11));
#undef COMBINATION
#undef NODE
#undef WANT
}

/* ---- what structure takes of memory ---- */

static size_t workspace_bytes(size_t heads, size_t key_heads, size_t q_len, size_t k_len, struct attn_mask mask) {
    static const float nothing[1];
    struct attn_problem p;
    struct attn_result r;
    struct attn_plan plan;
    attn_problem_init(&p, 1, heads, key_heads, key_heads, q_len, k_len, 64, 64);
    struct attn_tensor *const tensors[] = {&p.queries, &p.keys, &p.values};
    /* planned, not run: every stride is 0, so that what they claim fits 32 bits */
    for (size_t n = 0; n < COUNT(tensors); n++)
        *tensors[n] = (struct attn_tensor){.data = nothing, .column_stride = 1, .capacity = 64};
    p.sparse_mask = mask;
    attn_result_init(&r, &p);
    r.output = (float *)nothing;
    r.output_batch_stride = r.output_head_stride = r.output_row_stride = 0;
    CHECK(attn_plan_init(&plan, &p, &r) == ATTN_OK);
    return plan.workspace_bytes;
}

/* Blocks of queries are as large as they may be where they divide q_len: then more of them cost nothing, and of keys a
 * few dozen bytes for each tile of them. */
static void test_workspace(void) {
    static const uint32_t ends[1] = {4};
    const struct attn_mask_node nodes[] = {
        {.kind = ATTN_MASK_BAND, .before = 1023, .after = 0},
        {.kind = ATTN_MASK_COLUMNS, .batch = 1, .heads = 1, .ends = ends},
        {.kind = ATTN_MASK_OR, .left = 0, .right = 1},
    };
    const struct attn_mask mask = {nodes, COUNT(nodes)}, none = {NULL, 0};
    static const size_t heads[][2] = {{1, 1}, {2, 2}, {8, 2}, {12, 1}, {16, 1}};
    for (size_t n = 0; n < COUNT(heads); n++) {
        const size_t h = heads[n][0], key_heads = heads[n][1], block = 576 / (h / key_heads) / 12 * 12;
        const size_t one = workspace_bytes(h, key_heads, block, 1 << 14, mask);
        for (size_t blocks = 2; blocks < 200; blocks = 3 * blocks - 1) {
            const size_t more = workspace_bytes(h, key_heads, blocks * block, 1 << 14, mask);
            const size_t uneven = workspace_bytes(h, key_heads, blocks * block + 1, 1 << 14, mask);
            check(more == one && uneven <= one, "heads %zu: %zu bytes for a block, %zu for %zu, %zu for one query more",
                  h, one, more, blocks, uneven);
        }
        for (size_t tiles = 256; tiles <= 1 << 16; tiles *= 4) {
            const size_t bytes = workspace_bytes(h, key_heads, block, tiles * ATTN_TILE_KEYS, mask);
            const size_t bare = workspace_bytes(h, key_heads, block, tiles * ATTN_TILE_KEYS, none);
            check(bytes <= bare + 96 * tiles + 256, "heads %zu, %zu tiles: %zu bytes, %zu without a mask", h, tiles,
                  bytes, bare);
        }
        const size_t bare = workspace_bytes(h, key_heads, block, 128, none);
        check(workspace_bytes(h, key_heads, block, 1 << 22, none) == bare, "heads %zu: keys take room without a mask",
              h);
    }
}

/* ---- all of it ---- */

void test_masks(struct case_arena *arena) {
    test_programs(arena, 400);
    test_routes(arena, 200);
    test_combinations();
    test_workspace();
}
