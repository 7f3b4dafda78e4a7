/* SPDX-License-Identifier: Apache-2.0
 *
 * entries.c - weights of listed entries: which are listed, what they weigh, and that nothing is written beside them.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cells.h"
#include "subject.h"
#include "test.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define PICK(random, array) (array)[case_random_below(random, COUNT(array))]

static const float UNWRITTEN = 12345;

/* A problem, and its entries in arrays of exactly their length. */
struct listing {
    struct subject s;
    struct attn_result window; /* rows and columns, no pointers */
    size_t rows;               /* of the window, of all heads */
    uint32_t *ptr, *indices, count;
};

static float *floats(size_t count) {
    float *array = allocate(count * sizeof *array);
    for (size_t n = 0; n < count; n++) array[n] = UNWRITTEN;
    return array;
}

/* At once, or in slices of `row_tiles`. */
static int run(const struct attn_problem *p, const struct attn_result *r, size_t row_tiles) {
    struct attn_plan plan;
    struct attn_progress progress = {0};
    enum attn_status status = attn_plan_init(&plan, p, r);
    if (status != ATTN_OK) return 0;
    void *workspace = memset(allocate_aligned(plan.workspace_bytes), 0xff, plan.workspace_bytes);
    if (!row_tiles) status = attn_run(&plan, p, r, workspace, plan.workspace_bytes, 0, plan.jobs);
    while (row_tiles && status == ATTN_OK && progress.job < plan.jobs)
        status = attn_run_slice(&plan, p, r, workspace, plan.workspace_bytes, &progress, row_tiles);
    free(workspace);
    return status == ATTN_OK;
}

/* ---- which are listed ---- */

/* Whether cell (head of the batch, query, key) is an entry: of the sparse mask, or what the other masks leave. */
static int is_entry(const struct attn_problem *p, size_t head, size_t query, size_t key) {
    const size_t b = head / p->heads, h = head % p->heads;
    return p->sparse_mask.count ? subject_weight(p, b, h, query, key) != 0 : subject_allows(p, b, h, query, key);
}

static void compare_list(const struct listing *l) {
    const struct attn_problem *p = &l->s.c.problem;
    const struct attn_result *w = &l->window;
    const size_t rows = w->row_end - w->row_begin;
    uint32_t at = 0;
    int ok = l->ptr[0] == 0;
    for (size_t n = 0; ok && n < l->rows; n++) {
        for (size_t j = w->column_begin; j < w->column_end; j++) {
            if (!is_entry(p, n / rows, w->row_begin + n % rows, j)) continue;
            ok = ok && at < l->count && l->indices[at] == j - w->column_begin;
            at++;
        }
        ok = ok && l->ptr[n + 1] == at;
        if (!ok) check(0, "%s: entries of row %zu of the window", l->s.name, n);
    }
    if (!check(ok && at == l->count, "%s: %u entries listed, expected %u", l->s.name, l->count, at))
        subject_describe(&l->s);
}

static int list(struct listing *l) {
    const struct attn_problem *p = &l->s.c.problem;
    l->rows = p->batch * p->heads * (l->window.row_end - l->window.row_begin);
    l->ptr = allocate((l->rows + 1) * sizeof *l->ptr);
    l->indices = NULL;
    if (!check(attn_list_entries(p, &l->window, l->ptr, NULL) == ATTN_OK, "%s: not listed", l->s.name)) return 0;
    l->count = l->ptr[l->rows];
    l->indices = allocate(l->count * sizeof *l->indices);
    return check(attn_list_entries(p, &l->window, l->ptr, l->indices) == ATTN_OK, "%s: not listed", l->s.name);
}

/* ---- what they weigh ---- */

/* What entries say is what a matrix says there, up to rounding: the score of an entry is summed once more. Where other
 * masks, key lengths or dropout took the entry out both say 0, in empty rows the value that fills them. */
static void compare_weights(const struct listing *l, const float *weights, const float *entries) {
    const struct attn_problem *p = &l->s.c.problem;
    const struct attn_result *w = &l->window;
    const size_t columns = w->column_end - w->column_begin, rows = w->row_end - w->row_begin;
    for (size_t n = 0; n < l->rows; n++) {
        const size_t row = n / rows * p->q_len + w->row_begin + n % rows;
        for (uint32_t at = l->ptr[n]; at < l->ptr[n + 1]; at++) {
            const float want = weights[n * columns + l->indices[at]], got = entries[at];
            const double bound = 1e-6 * (1 + l->s.magnitude[row]) * fabs((double)want) + 1e-37;
            if (same_bits(got, want) || l->s.underflows[row] || fabs((double)got - (double)want) <= bound) continue;
            check(0, "%s: entry %u, row %zu of the window, column %u: %.9g, in the matrix %.9g", l->s.name, at, n,
                  l->indices[at], (double)got, (double)want);
            subject_describe(&l->s);
            return;
        }
    }
    check(1, "%s", l->s.name);
}

static void same_entries(const struct listing *l, const float *a, const float *b, const char *why) {
    uint32_t at = 0;
    while (at < l->count && same_bits(a[at], b[at])) at++;
    if (!check(at == l->count, "%s: %s changed entry %u", l->s.name, why, at)) subject_describe(&l->s);
}

/* Pointers that leave a row less room than it has entries: those that fit are written, and nothing beside them. */
static void test_less_room(const struct listing *l, const float *entries, struct case_random *random) {
    struct attn_result r = l->window;
    uint32_t *ptr = allocate((l->rows + 1) * sizeof *ptr), most = case_random_below(random, 5);
    ptr[0] = 0;
    for (size_t n = 0; n < l->rows; n++) {
        const uint32_t count = l->ptr[n + 1] - l->ptr[n], less = case_random_below(random, most + 1);
        ptr[n + 1] = ptr[n] + (less < count ? count - less : 0);
    }
    float *fewer = floats(ptr[l->rows]);
    r.entry_ptr = ptr, r.entry_weights = fewer;
    int ok = run(&l->s.c.problem, &r, 0);
    for (size_t n = 0; n < l->rows; n++)
        for (uint32_t at = ptr[n]; ok && at < ptr[n + 1]; at++)
            ok = same_bits(fewer[at], entries[l->ptr[n] + at - ptr[n]]);
    if (!check(ok, "%s: less room for entries", l->s.name)) subject_describe(&l->s);
    free(fewer);
    free(ptr);
}

/* The whole array in the middle of another, for builds without a sanitizer. */
static void test_margins(const struct listing *l, const float *entries) {
    enum { MARGIN = 256 };
    struct attn_result r = l->window;
    float *wide = floats(l->count + 2 * MARGIN);
    r.entry_ptr = l->ptr, r.entry_weights = wide + MARGIN;
    int ok = run(&l->s.c.problem, &r, 5);
    for (size_t n = 0; n < MARGIN; n++) ok &= wide[n] == UNWRITTEN && wide[MARGIN + l->count + n] == UNWRITTEN;
    if (!check(ok, "%s: wrote beside the entries", l->s.name)) subject_describe(&l->s);
    same_entries(l, entries, r.entry_weights, "running in slices of 5");
    free(wide);
}

static void test_weights(const struct listing *l, struct case_random *random) {
    const struct attn_problem *p = &l->s.c.problem;
    const size_t cells = l->rows * (l->window.column_end - l->window.column_begin);
    float *weights = floats(cells), *both = floats(cells), *entries = floats(l->count), *with = floats(l->count);
    struct attn_result r = l->window;
    r.weights = weights;
    int ok = run(p, &r, 0);
    r.weights = NULL, r.entry_weights = entries, r.entry_ptr = l->ptr;
    ok = ok && run(p, &r, 0);
    r.weights = both, r.entry_weights = with;
    ok = ok && run(p, &r, case_random_below(random, 2) ? 1 : 0);
    if (check(ok, "%s: status", l->s.name)) {
        compare_weights(l, weights, entries);
        same_entries(l, entries, with, "asking for the matrix too");
        for (size_t n = 0; ok && n < cells; n++) ok = same_bits(weights[n], both[n]);
        check(ok, "%s: asking for entries too changed the matrix", l->s.name);
        test_less_room(l, entries, random);
        test_margins(l, entries);
    }
    free(weights), free(both), free(entries), free(with);
}

/* ---- all of it ---- */

static unsigned draw_parts(struct case_random *random) {
    static const unsigned masks[] = {0, 0, CELL_DENSE, CELL_CSR, CELL_PROGRAM, CELL_PROGRAM};
    static const unsigned parts[] = {CELL_CAUSAL, CELL_WINDOW, CELL_LENGTHS, CELL_ALIBI};
    unsigned drawn = PICK(random, masks);
    for (size_t n = 0; n < COUNT(parts); n++)
        if (case_random_below(random, 4) == 0) drawn |= parts[n];
    const uint32_t adds = case_random_below(random, 3);
    return adds == 0 ? drawn | CELL_ADDITIVE : adds == 1 ? drawn | CELL_BOOLEAN : drawn;
}

static void test_listing(struct case_arena *arena, uint32_t number) {
    static const uint16_t q_lens[] = {1, 2, 11, 12, 13, 25, 40}, k_lens[] = {1, 7, 63, 64, 127, 128, 129, 256, 300};
    static const enum attn_dtype dtypes[] = {ATTN_FLOAT32, ATTN_FLOAT32, ATTN_FLOAT16, ATTN_BFLOAT16};
    struct case_random random = case_random_init(number, 95);
    struct listing l = {.s = {.arena = arena}};
    snprintf(l.s.name, sizeof l.s.name, "listing %u", number);
    arena->used = 0;
    const size_t q_len = number % 100 == 99 ? 600 : PICK(&random, q_lens), k_len = PICK(&random, k_lens);
    cell_make(&l.s.c, number, q_len, k_len, PICK(&random, dtypes), draw_parts(&random), arena);
    struct attn_result *w = &l.s.c.wanted;
    attn_result_init(&l.window, &l.s.c.problem);
    l.window.row_begin = w->row_begin, l.window.row_end = w->row_end;
    l.window.column_begin = w->column_begin, l.window.column_end = w->column_end;
    *w = l.window;
    subject_init(&l.s);
    if (list(&l)) {
        compare_list(&l);
        test_weights(&l, &random);
    }
    free(l.ptr), free(l.indices);
    subject_free(&l.s);
}

void test_entries(struct case_arena *arena) {
    for (uint32_t number = 0; number < 400; number++) test_listing(arena, number);
}
