/* SPDX-License-Identifier: Apache-2.0
 *
 * slices.c - attn_run_slice by itself: what it refuses, how far one call goes, and that runs know nothing of each
 * other. That slices give the bits of attn_run is a property of every problem: see properties.c.
 */
#include <stdlib.h>

#include "attn.h"
#include "cases.h"
#include "test.h"

/* One problem: its sizes, and the jobs and rows that follow from them. */
enum { TILES = 4, KEYS = (TILES - 1) * ATTN_TILE_KEYS + 8 };
enum { BATCH = 2, HEADS = 4, KEY_HEADS = 2, QUERIES = 5, DIM = 4, VALUE_DIM = 3 };
enum { JOBS = BATCH * KEY_HEADS, ALL_ROWS = BATCH * HEADS * QUERIES, CELLS = ALL_ROWS * KEYS };
enum { ROWS = ALL_ROWS / JOBS /* of a job: they are one strip */ };

struct inputs {
    float queries[ALL_ROWS * DIM], keys[BATCH * KEY_HEADS * KEYS * DIM], values[BATCH * KEYS * VALUE_DIM];
};

struct results {
    float output[ALL_ROWS * VALUE_DIM], log_sum_exp[ALL_ROWS];
    float numerator[ALL_ROWS * VALUE_DIM], denominator[ALL_ROWS], row_max[ALL_ROWS];
    float weights[CELLS], scores[CELLS];
    uint8_t dropout_mask[CELLS];
};

static void problem_init(struct attn_problem *p, struct inputs *inputs) {
    struct case_random random = case_random_init(5, 0);
    float *const numbers = inputs->queries;
    for (size_t n = 0; n < sizeof *inputs / sizeof *numbers; n++) numbers[n] = 2 * case_random_float(&random);
    attn_problem_init(p, BATCH, HEADS, KEY_HEADS, 1, QUERIES, KEYS, DIM, VALUE_DIM);
    p->queries.data = inputs->queries;
    p->keys.data = inputs->keys;
    p->values.data = inputs->values;
    p->dropout.rate = 0.25;
    p->dropout.training = 1;
}

/* A run that fills in results of its own. */
struct sliced {
    const struct attn_problem *problem;
    struct attn_result result;
    struct attn_plan plan;
    struct attn_progress progress;
    struct results *results, *untouched;
    void *workspace;
};

static struct sliced sliced_begin(const struct attn_problem *p) {
    struct sliced s = {.problem = p};
    struct results *r = s.results = memset(allocate(sizeof *r), 0xff, sizeof *r);
    s.untouched = memset(allocate(sizeof *r), 0xff, sizeof *r);
    attn_result_init(&s.result, p);
    s.result.output = r->output, s.result.log_sum_exp = r->log_sum_exp;
    s.result.numerator = r->numerator, s.result.denominator = r->denominator, s.result.row_max = r->row_max;
    s.result.weights = r->weights, s.result.scores = r->scores, s.result.dropout_mask = r->dropout_mask;
    CHECK(attn_plan_init(&s.plan, p, &s.result) == ATTN_OK && s.plan.jobs == JOBS && s.plan.tile_count == TILES);
    s.workspace = memset(allocate_aligned(s.plan.workspace_bytes), 0xff, s.plan.workspace_bytes);
    return s;
}

static enum attn_status slice(struct sliced *s, size_t row_tiles) {
    return attn_run_slice(&s->plan, s->problem, &s->result, s->workspace, s->plan.workspace_bytes, &s->progress,
                          row_tiles);
}

static int is_untouched(const struct sliced *s) { return memcmp(s->results, s->untouched, sizeof *s->results) == 0; }

static void sliced_end(struct sliced *s) { free(s->results), free(s->untouched), free(s->workspace); }

static struct results *run_whole(const struct attn_problem *p) {
    struct sliced s = sliced_begin(p);
    CHECK(attn_run(&s.plan, p, &s.result, s.workspace, s.plan.workspace_bytes, 0, JOBS) == ATTN_OK);
    struct results *results = s.results;
    free(s.untouched), free(s.workspace);
    return results;
}

/* ---- what is refused ---- */

static int is_at(const struct sliced *s, size_t job, size_t tile, size_t row) {
    return s->progress.job == job && s->progress.tile == tile && s->progress.row == row;
}

static void refuses_progress(struct sliced *s, size_t job, size_t tile, size_t row) {
    s->progress = (struct attn_progress){job, tile, row};
    check(slice(s, 1000) == ATTN_ERROR_JOBS && is_at(s, job, tile, row) && is_untouched(s),
          "slices: job %zu, tile %zu, row %zu was not refused", job, tile, row);
}

static void test_refusals(const struct attn_problem *p) {
    struct sliced s = sliced_begin(p);
    const struct attn_plan *plan = &s.plan;
    const struct attn_result *r = &s.result;
    struct attn_progress progress = {1, 2, 0};
    const size_t bytes = plan->workspace_bytes;
    CHECK(attn_run_slice(NULL, p, r, s.workspace, bytes, &progress, 1000) == ATTN_ERROR_NULL);
    CHECK(attn_run_slice(plan, NULL, r, s.workspace, bytes, &progress, 1000) == ATTN_ERROR_NULL);
    CHECK(attn_run_slice(plan, p, NULL, s.workspace, bytes, &progress, 1000) == ATTN_ERROR_NULL);
    CHECK(attn_run_slice(plan, p, r, NULL, bytes, &progress, 1000) == ATTN_ERROR_NULL);
    CHECK(attn_run_slice(plan, p, r, s.workspace, bytes, NULL, 1000) == ATTN_ERROR_NULL);
    CHECK(attn_run_slice(plan, p, r, s.workspace, bytes - 1, &progress, 1000) == ATTN_ERROR_WORKSPACE);
    CHECK(attn_run_slice(plan, p, r, (char *)s.workspace + 4, bytes, &progress, 1000) == ATTN_ERROR_WORKSPACE);
    struct attn_problem other = *p; /* than the plan was made for */
    other.q_len--;
    CHECK(attn_run_slice(plan, &other, r, s.workspace, bytes, &progress, 1000) == ATTN_ERROR_JOBS);
    const struct attn_plan refused = {.field = ATTN_FIELD_QUERIES};
    CHECK(attn_run_slice(&refused, p, r, s.workspace, bytes, &progress, 1000) == ATTN_ERROR_JOBS);
    CHECK(progress.job == 1 && progress.tile == 2 && is_untouched(&s));

    refuses_progress(&s, JOBS + 1, 0, 0);
    refuses_progress(&s, SIZE_MAX, 0, 0);
    refuses_progress(&s, 0, TILES + 1, 0);
    refuses_progress(&s, JOBS - 1, SIZE_MAX, 0);
    refuses_progress(&s, JOBS, TILES + 1, 0);
    refuses_progress(&s, 0, 0, ROWS + 1);
    refuses_progress(&s, 0, TILES, SIZE_MAX);
    s.progress = (struct attn_progress){JOBS, 0, 0}; /* over */
    CHECK(slice(&s, 1000) == ATTN_OK && is_at(&s, JOBS, 0, 0) && is_untouched(&s));
    sliced_end(&s);
}

/* A problem without rows has no jobs, and its run is over before it begins. */
static void test_nothing(void) {
    struct attn_problem p;
    struct attn_result r;
    struct attn_plan plan;
    struct attn_progress progress = {0};
    attn_problem_init(&p, 1, 0, 1, 1, 2, 3, 4, 4);
    attn_result_init(&r, &p);
    p.keys.data = p.values.data = &(const float[12]){0};
    CHECK(attn_plan_init(&plan, &p, &r) == ATTN_OK && plan.jobs == 0);
    CHECK(attn_run_slice(&plan, &p, &r, NULL, 0, &progress, 0) == ATTN_OK);
    CHECK(progress.job == 0 && progress.tile == 0 && progress.row == 0);
}

/* ---- how far a slice goes ---- */

/* Slices until the run is over, each of which gets on; returns how many. */
static size_t count_slices(const struct attn_problem *p, const struct results *whole, size_t row_tiles) {
    struct sliced s = sliced_begin(p);
    size_t slices = 0;
    while (s.progress.job < JOBS) {
        const struct attn_progress before = s.progress;
        if (!CHECK(slice(&s, row_tiles) == ATTN_OK)) break;
        const int moved = s.progress.job > before.job || s.progress.tile > before.tile || s.progress.row > before.row;
        if (!check(moved && s.progress.job <= JOBS && s.progress.tile <= TILES && s.progress.row <= ROWS,
                   "slices of %zu: from job %zu, tile %zu, row %zu to %zu, %zu, %zu", row_tiles, before.job,
                   before.tile, before.row, s.progress.job, s.progress.tile, s.progress.row))
            break;
        slices++;
    }
    check(is_at(&s, JOBS, 0, 0), "slices of %zu: over at tile %zu, row %zu", row_tiles, s.progress.tile,
          s.progress.row);
    check(memcmp(s.results, whole, sizeof *whole) == 0, "slices of %zu: other bits than the whole", row_tiles);
    sliced_end(&s);
    return slices;
}

static void test_lengths(const struct attn_problem *p, const struct results *whole) {
    const size_t none = count_slices(p, whole, 0), one = count_slices(p, whole, 1);
    const size_t some = count_slices(p, whole, ALL_ROWS), all = count_slices(p, whole, SIZE_MAX);
    /* a strip each, or a row that is written */
    const size_t least = JOBS * (TILES + ROWS);
    check(one == least && none == one, "slices of 1: %zu, of 0: %zu, not %zu", one, none, least);
    check(some >= 3 && some <= least / 2, "slices of %d: %zu", ALL_ROWS, some);
    check(all == 1, "slices without limit: %zu", all);
}

/* ---- runs beside each other ---- */

/* Two runs of one problem, turn by turn: neither notices. */
static void test_interleaved(const struct attn_problem *p, const struct results *whole) {
    struct sliced a = sliced_begin(p), b = sliced_begin(p);
    while (a.progress.job < JOBS || b.progress.job < JOBS)
        if (!CHECK(slice(&a, 1) == ATTN_OK) || !CHECK(slice(&b, 33) == ATTN_OK)) break;
    CHECK(memcmp(a.results, whole, sizeof *whole) == 0);
    CHECK(memcmp(b.results, whole, sizeof *whole) == 0);
    sliced_end(&a);
    sliced_end(&b);
}

/* A run may begin at any job: those before it stay as they are. */
static void test_late_begin(const struct attn_problem *p, const struct results *whole) {
    for (size_t job = 0; job < JOBS; job++) {
        struct sliced s = sliced_begin(p);
        s.progress.job = job;
        while (s.progress.job < JOBS)
            if (!CHECK(slice(&s, 20) == ATTN_OK)) break;
        const size_t before = job * ROWS; /* jobs follow each other as heads do */
        const float *const got[] = {s.results->log_sum_exp, s.results->row_max}, *const want[] = {whole->log_sum_exp,
                                                                                                  whole->row_max};
        for (size_t n = 0; n < 2; n++) {
            CHECK(memcmp(got[n], s.untouched, before * sizeof(float)) == 0);
            CHECK(memcmp(got[n] + before, want[n] + before, (ALL_ROWS - before) * sizeof(float)) == 0);
        }
        CHECK(memcmp(s.results->weights, s.untouched, before * KEYS * sizeof(float)) == 0);
        CHECK(memcmp(s.results->dropout_mask, s.untouched, before * KEYS) == 0);
        sliced_end(&s);
    }
}

void test_slices(void) {
    struct attn_problem p;
    struct inputs *inputs = allocate(sizeof *inputs);
    problem_init(&p, inputs);
    struct results *whole = run_whole(&p);
    test_refusals(&p);
    test_nothing();
    test_lengths(&p, whole);
    test_interleaved(&p, whole);
    test_late_begin(&p, whole);
    free(whole);
    free(inputs);
}
