/* SPDX-License-Identifier: Apache-2.0
 *
 * statuses.c - what the public functions refuse, with which status and field, and that a refusal changes nothing.
 * Every status and every field is provoked. Sizes of 0 are not refused.
 */
#include <math.h>
#include <stdlib.h>

#include "statuses.h"
#include "test.h"

/* ---- strings ---- */

static void test_strings(void) {
    for (int s = ATTN_ERROR_JOBS; s <= ATTN_OK; s++) {
        const char *text = attn_status_string((enum attn_status)s);
        CHECK(text && strlen(text) > 1 && text[strlen(text) - 1] != '.');
        for (int other = ATTN_ERROR_JOBS; other < s; other++)
            CHECK(strcmp(text, attn_status_string((enum attn_status)other)) != 0);
    }
    for (int f = ATTN_FIELD_NONE; f <= ATTN_FIELD_JOBS; f++) {
        const char *text = attn_field_string((enum attn_field)f);
        CHECK(text && *text);
        for (int other = ATTN_FIELD_NONE; other < f; other++)
            CHECK(strcmp(text, attn_field_string((enum attn_field)other)) != 0);
    }
    CHECK(attn_status_string((enum attn_status)(ATTN_ERROR_JOBS - 1)) != NULL);
    CHECK(attn_field_string((enum attn_field)(ATTN_FIELD_JOBS + 1)) != NULL);
}

/* ---- statuses ---- */

void fixture_init(struct fixture *f) {
    static const uint32_t ptr[] = {0, 2, 2, 6}, indices[] = {0, 4, 0, 1, 2, 3};
    memset(f, 0, sizeof *f);
    attn_problem_init(&f->problem, 2, 4, 2, 1, 3, 5, 4, 2);
    struct attn_problem *p = &f->problem;
    p->queries.data = f->queries;
    p->keys.data = f->keys;
    p->values.data = f->values;
    p->softcap = 10;
    p->attention_mask = (struct attn_tensor){.data = f->mask, .row_stride = 5, .column_stride = 1, .capacity = 15};
    p->causal = p->has_window = 1;
    p->window_left = p->window_right = 2;
    f->key_lengths[0] = 5;
    p->query_offsets = f->query_offsets;
    p->key_lengths = f->key_lengths;
    p->alibi_slopes = f->slopes;
    p->sinks = f->sinks;
    memcpy(f->ptr, ptr, sizeof ptr);
    memcpy(f->indices, indices, sizeof indices);
    f->nodes[0] = (struct attn_mask_node){
        .kind = ATTN_MASK_CSR, .batch = 1, .heads = 1, .ptr = f->ptr, .indices = f->indices, .indices_len = 6};
    p->sparse_mask = (struct attn_mask){f->nodes, 1};
    p->dropout.rate = 0.5;
    p->dropout.training = 1;
    p->dropout.mask = (struct attn_tensor){
        .data = f->dropout_mask_in, .dtype = ATTN_BOOL, .column_stride = 1, .capacity = sizeof f->dropout_mask_in};
    attn_result_init(&f->result, p);
    memset(f->output, 0xa5, sizeof *f - offsetof(struct fixture, output));
    f->result.output = f->output;
    f->result.log_sum_exp = f->rows[0];
    f->result.numerator = f->numerator;
    f->result.denominator = f->rows[1];
    f->result.row_max = f->rows[2];
    f->result.weights = f->weights;
    f->result.scores = f->scores;
    f->result.dropout_mask = f->dropout_mask;
    for (size_t n = 0; n < 2 * 4 * 3; n++) f->entry_ptr[n + 1] = f->entry_ptr[n] + ptr[n % 3 + 1] - ptr[n % 3];
    f->result.entry_weights = f->entry_weights;
    f->result.entry_ptr = f->entry_ptr;
}

int untouched(const struct fixture *f) {
    const unsigned char *byte = (const unsigned char *)f->output, *end = (const unsigned char *)(f + 1);
    while (byte < end && *byte == 0xa5) byte++;
    return byte == end;
}

static unsigned statuses_seen, fields_seen;

void refuses(const struct fixture *f, enum attn_status status, enum attn_field field, int line) {
    struct attn_plan plan = {0};
    const enum attn_status got = attn_plan_init(&plan, &f->problem, &f->result);
    check(got == status && plan.field == field, "line %d: expected status %d for %s, got %d for %s", line, status,
          attn_field_string(field), got, attn_field_string(plan.field));
    check(untouched(f), "line %d: a refused problem changed a result", line);
    statuses_seen |= 1u << -got;
    fields_seen |= 1u << plan.field;
    if (got != ATTN_OK) /* a refused plan cannot be run */
        check(attn_run(&plan, &f->problem, &f->result, NULL, 0, 0, 0) == ATTN_ERROR_JOBS, "line %d: ran", line);
}

static const size_t LARGE = INT32_MAX;

static void test_bad_tensors(struct fixture *f) {
    struct attn_problem *p = &f->problem;
#define TENSOR(field, member, top)                                                                                     \
    REFUSES(NULL, field, p->member.data = NULL);                                                                       \
    REFUSES(DTYPE, field, p->member.dtype = ATTN_BOOL);                                                                \
    REFUSES(DTYPE, field, p->member.dtype = (enum attn_dtype)4);                                                       \
    REFUSES(DTYPE, field, p->member.dtype = (enum attn_dtype)33);                                                      \
    REFUSES(DTYPE, field, p->member.dtype = (enum attn_dtype) - 1);                                                    \
    REFUSES(SHAPE, field, p->member.capacity--);                                                                       \
    REFUSES(SHAPE, field, p->member.capacity = 0);                                                                     \
    REFUSES(SHAPE, field, p->member.row_stride++);                                                                     \
    REFUSES(SHAPE, field, p->member.batch_stride++);                                                                   \
    REFUSES(SHAPE, field, p->member.column_stride = 0);                                                                \
    REFUSES(SHAPE, field, p->member.column_stride = 2);                                                                \
    REFUSES(SHAPE, field, p->member.row_stride = SIZE_MAX / 16);                                                       \
    REFUSES(SIZE, field, p->member.row_stride = SIZE_MAX / (top) + 1);                                                 \
    REFUSES(SIZE, field, p->member.row_stride = SIZE_MAX);                                                             \
    REFUSES(SIZE, field, p->member.batch_stride = SIZE_MAX);                                                           \
    REFUSES(SIZE, field, p->member.capacity = SIZE_MAX);                                                               \
    REFUSES(SIZE, field, p->member.capacity = SIZE_MAX / 4 + 1)
    TENSOR(QUERIES, queries, 2);
    TENSOR(KEYS, keys, 4);
    TENSOR(VALUES, values, 4);
#undef TENSOR
    REFUSES(SIZE, QUERIES, p->queries.head_stride = SIZE_MAX / 3 + 1);
    REFUSES(SIZE, QUERIES, (p->q_len = 1, p->queries.row_stride = SIZE_MAX)); /* though it leads nowhere */
    REFUSES(SIZE, KEYS, (p->k_len = 1, p->keys.row_stride = SIZE_MAX / 4));
    REFUSES(DTYPE, ATTENTION_MASK, p->attention_mask.dtype = (enum attn_dtype)4);
    REFUSES(SHAPE, ATTENTION_MASK, p->attention_mask.capacity--);
    REFUSES(SHAPE, ATTENTION_MASK, p->attention_mask.head_stride = 1);
    REFUSES(SHAPE, ATTENTION_MASK, p->attention_mask.column_stride = 2);
    REFUSES(SIZE, ATTENTION_MASK, p->attention_mask.batch_stride = SIZE_MAX);
    REFUSES(DTYPE, DROPOUT_MASK, p->dropout.mask.dtype = ATTN_FLOAT32);
    REFUSES(SHAPE, DROPOUT_MASK, p->dropout.mask.capacity--);
    REFUSES(SHAPE, DROPOUT_MASK, p->dropout.mask.row_stride = 1);
    REFUSES(SHAPE, OUTPUT, f->result.output_capacity--);
    REFUSES(SHAPE, OUTPUT, f->result.output_row_stride++);
    REFUSES(SIZE, OUTPUT, f->result.output_row_stride = SIZE_MAX);
    REFUSES(SIZE, OUTPUT, f->result.output_capacity = SIZE_MAX);
}

static void test_bad_values(struct fixture *f) {
    struct attn_problem *p = &f->problem;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t n = 0; n < 3; n++) {
        REFUSES(VALUE, SCALING, p->scaling = bad[n]);
        REFUSES(VALUE, SOFTCAP, p->softcap = bad[n]);
        REFUSES(VALUE, ALIBI_SLOPES, f->slopes[3] = bad[n]);
        if (n < 2) REFUSES(VALUE, SINKS, f->sinks[3] = bad[n]);
        REFUSES(VALUE, DROPOUT, p->dropout.rate = (double)bad[n]);
    }
    REFUSES(VALUE, SOFTCAP, p->softcap = -1);
    REFUSES(VALUE, DROPOUT, p->dropout.rate = -1e-9);
    REFUSES(VALUE, DROPOUT, p->dropout.rate = 1 + 1e-9);
    REFUSES(VALUE, DROPOUT, p->dropout.placement = (enum attn_dropout_placement)2);
    REFUSES(VALUE, KEY_OFFSET, p->key_offset = -1);
    REFUSES(INDEX, KEY_LENGTHS, f->key_lengths[1] = -1);
    REFUSES(INDEX, KEY_LENGTHS, f->key_lengths[1] = 6);
    REFUSES(INDEX, KEY_LENGTHS, f->key_lengths[0] = INT32_MIN);
    REFUSES(VALUE, EMPTY_ROWS, p->empty_rows = (enum attn_empty_rows)2);
    REFUSES(VALUE, ROW_MAX_OVER, p->row_max_over = (enum attn_row_max) - 1);
    REFUSES(SHAPE, WEIGHTS, f->result.row_end = 4);
    REFUSES(SHAPE, WEIGHTS, f->result.row_begin = 4);
    REFUSES(SHAPE, WEIGHTS, f->result.column_end = 6);
    REFUSES(SHAPE, WEIGHTS, f->result.column_begin = SIZE_MAX);
    REFUSES(SHAPE, SCORES, (f->result.row_end = 4, f->result.weights = NULL));
    REFUSES(SHAPE, SCORES, (f->result.column_end = 6, f->result.weights = NULL));
    REFUSES(VALUE, SCORES, f->result.score_stage = (enum attn_score_stage)3);
}

static void test_bad_shapes(struct fixture *f) {
    struct attn_problem *p = &f->problem;
    REFUSES(HEADS, SHAPE, p->key_heads = 3);
    REFUSES(HEADS, SHAPE, p->key_heads = 8);
    REFUSES(HEADS, SHAPE, p->key_heads = 0);
    REFUSES(HEADS, SHAPE, p->value_heads = 3);
    REFUSES(HEADS, SHAPE, p->value_heads = 0);
    size_t *const sizes[] = {&p->batch, &p->heads, &p->key_heads, &p->value_heads,
                             &p->q_len, &p->k_len, &p->dim,       &p->value_dim};
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        REFUSES(SIZE, SHAPE, *sizes[n] = LARGE + 1);
        REFUSES(SIZE, SHAPE, *sizes[n] = SIZE_MAX);
    }
    /* Sizes that fit one by one: every stride 0, so that the inputs claim no more than a row. */
    struct attn_problem huge;
    attn_problem_init(&huge, 1, 1, 1, 1, 1, 1, 1, 1);
    huge.queries.data = huge.keys.data = huge.values.data = f->queries;
    struct attn_tensor *const tensors[] = {&huge.queries, &huge.keys, &huge.values};
    for (size_t n = 0; n < 3; n++) tensors[n]->batch_stride = tensors[n]->head_stride = tensors[n]->row_stride = 0;
#define HUGE_SIZES(field, b, h, q, k)                                                                                  \
    REFUSES(SIZE, field,                                                                                               \
            (*p = huge, p->batch = b, p->heads = h, p->q_len = q, p->k_len = k,                                        \
             f->result.output = f->result.entry_weights = NULL, f->result.row_end = q, f->result.column_end = k))
    HUGE_SIZES(PARTIALS, LARGE, LARGE, LARGE, 1);
    const size_t batch = sizeof(size_t) == 8 ? 1 << 20 : 1;
    HUGE_SIZES(WEIGHTS, batch, 1, 1 << 20, LARGE);
    f->result.weights = NULL;
    refuses(f, ATTN_ERROR_SIZE, ATTN_FIELD_SCORES, __LINE__);
    f->result.scores = NULL;
    refuses(f, ATTN_ERROR_SIZE, ATTN_FIELD_DROPOUT_MASK, __LINE__);
#undef HUGE_SIZES
}

static void test_bad_runs(struct fixture *f) {
    struct attn_plan plan;
    fixture_init(f);
    struct attn_problem *const p = &f->problem;
    CHECK(attn_plan_init(NULL, p, &f->result) == ATTN_ERROR_NULL);
    CHECK(attn_plan_init(&plan, NULL, &f->result) == ATTN_ERROR_NULL);
    CHECK(attn_plan_init(&plan, p, NULL) == ATTN_ERROR_NULL);
    if (!CHECK(attn_plan_init(&plan, p, &f->result) == ATTN_OK)) return;
    CHECK(plan.jobs > 0 && plan.workspace_bytes > 0);
    const size_t bytes = plan.workspace_bytes;
    unsigned char *workspace = allocate_aligned(bytes + ATTN_ALIGNMENT);
    CHECK(attn_run(NULL, p, &f->result, workspace, bytes, 0, plan.jobs) == ATTN_ERROR_NULL);
    CHECK(attn_run(&plan, NULL, &f->result, workspace, bytes, 0, plan.jobs) == ATTN_ERROR_NULL);
    CHECK(attn_run(&plan, p, NULL, workspace, bytes, 0, plan.jobs) == ATTN_ERROR_NULL);
    CHECK(attn_run(&plan, p, &f->result, NULL, bytes, 0, plan.jobs) == ATTN_ERROR_NULL);
    CHECK(attn_run(&plan, p, &f->result, workspace, bytes - 1, 0, plan.jobs) == ATTN_ERROR_WORKSPACE);
    CHECK(attn_run(&plan, p, &f->result, workspace, 0, 0, plan.jobs) == ATTN_ERROR_WORKSPACE);
    for (size_t shift = 1; shift < ATTN_ALIGNMENT; shift *= 2)
        CHECK(attn_run(&plan, p, &f->result, workspace + shift, bytes, 0, plan.jobs) == ATTN_ERROR_WORKSPACE);
    statuses_seen |= 1u << -ATTN_ERROR_WORKSPACE | 1u << -ATTN_ERROR_JOBS;
    CHECK(attn_run(&plan, p, &f->result, workspace, bytes, 0, plan.jobs + 1) == ATTN_ERROR_JOBS);
    CHECK(attn_run(&plan, p, &f->result, workspace, bytes, 1, 0) == ATTN_ERROR_JOBS);
    CHECK(attn_run(&plan, p, &f->result, workspace, bytes, SIZE_MAX, SIZE_MAX) == ATTN_ERROR_JOBS);
    CHECK(attn_run(&plan, p, &f->result, workspace, bytes, 0, SIZE_MAX) == ATTN_ERROR_JOBS);
    p->heads = 2; /* as if the plan were another's */
    CHECK(attn_run(&plan, p, &f->result, workspace, bytes, 0, plan.jobs) == ATTN_ERROR_JOBS);
    p->heads = 4;
    p->key_heads = 0;
    CHECK(attn_run(&plan, p, &f->result, workspace, bytes, 0, plan.jobs) == ATTN_ERROR_JOBS);
    p->key_heads = 2;
    p->value_heads = 0;
    CHECK(attn_run(&plan, p, &f->result, workspace, bytes, 0, plan.jobs) == ATTN_ERROR_JOBS);
    p->value_heads = 1;
    p->dim = 4000;
    CHECK(attn_run(&plan, p, &f->result, workspace, bytes, 0, plan.jobs) == ATTN_ERROR_JOBS);
    p->dim = 4;
    CHECK(untouched(f));
    CHECK(attn_run(&plan, p, &f->result, workspace, bytes, 0, 0) == ATTN_OK && untouched(f));
    struct attn_plan misleading = plan; /* its jobs and workspace are right */
    misleading.group_heads = misleading.block_queries = misleading.tile_count = misleading.scores_offset = SIZE_MAX / 8;
    CHECK(attn_run(&misleading, p, &f->result, workspace, bytes, 0, plan.jobs) == ATTN_OK && !untouched(f));
    free(workspace);
}

static void test_bad_partials(struct fixture *f) {
    fixture_init(f);
    struct attn_partials good = {f->numerator, f->rows[1], f->rows[2]}, broken;
    struct attn_result result = f->result;
    CHECK(attn_partials_merge((struct attn_partials){0}, (struct attn_partials){0}, 0, 2) == ATTN_OK);
    for (size_t n = 0; n < 3; n++) {
        broken = good;
        *(n == 0 ? &broken.numerator : n == 1 ? &broken.denominator : &broken.row_max) = NULL;
        CHECK(attn_partials_merge(broken, good, 24, 2) == ATTN_ERROR_NULL);
        CHECK(attn_partials_merge(good, broken, 24, 2) == ATTN_ERROR_NULL);
        CHECK(attn_partials_finish(&broken, &f->problem, &result) == ATTN_ERROR_NULL);
    }
    CHECK(attn_partials_merge(good, good, SIZE_MAX, 2) == ATTN_ERROR_SIZE);
    CHECK(attn_partials_merge(good, good, SIZE_MAX / 2, 2) == ATTN_ERROR_SIZE);
    CHECK(attn_partials_merge(good, good, 2, SIZE_MAX / 4) == ATTN_ERROR_SIZE);
    CHECK(attn_partials_finish(NULL, &f->problem, &result) == ATTN_ERROR_NULL);
    CHECK(attn_partials_finish(&good, NULL, &result) == ATTN_ERROR_NULL);
    CHECK(attn_partials_finish(&good, &f->problem, NULL) == ATTN_ERROR_NULL);
    result.output_capacity--;
    CHECK(attn_partials_finish(&good, &f->problem, &result) == ATTN_ERROR_SHAPE);
    result.output_capacity = SIZE_MAX;
    CHECK(attn_partials_finish(&good, &f->problem, &result) == ATTN_ERROR_SIZE);
    result = f->result;
    f->sinks[2] = NAN;
    CHECK(attn_partials_finish(&good, &f->problem, &result) == ATTN_ERROR_VALUE);
    f->sinks[2] = 0;
    f->problem.empty_rows = (enum attn_empty_rows)7;
    CHECK(attn_partials_finish(&good, &f->problem, &result) == ATTN_ERROR_VALUE);
    f->problem.empty_rows = ATTN_EMPTY_ROWS_ZERO;
    f->problem.batch = LARGE, f->problem.heads = LARGE, f->problem.q_len = LARGE;
    CHECK(attn_partials_finish(&good, &f->problem, &result) == ATTN_ERROR_SIZE);
    CHECK(untouched(f));
}

/* ---- sizes of 0 ---- */

/* Any size may be 0: what then has no elements need not exist, whatever its strides say, and rows without keys are 0. */
static void test_empty(void) {
    const float ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    const struct attn_mask_node full = {.kind = ATTN_MASK_FULL};
    for (int turn = 0; turn < 12; turn++) {
        const int which = turn % 6; /* then once more, key by key */
        struct attn_problem p;
        struct attn_result r;
        struct attn_plan plan;
        float output[8], log_sum_exp[4], weights[8], entries[8];
        uint32_t ptr[4 + 1];
        attn_problem_init(&p, which != 0, which == 1 ? 0 : 2, 1, 1, which == 2 ? 0 : 2, which == 3 ? 0 : 2,
                          which == 4 ? 0 : 2, which == 5 ? 0 : 2);
        struct attn_tensor *const tensors[] = {&p.queries, &p.keys, &p.values};
        for (size_t n = 0; n < 3; n++) {
            tensors[n]->data = tensors[n]->capacity ? ones : NULL;
            if (!tensors[n]->capacity) tensors[n]->head_stride = tensors[n]->row_stride = SIZE_MAX / 4;
        }
        attn_result_init(&r, &p);
        if (!r.output_capacity) r.output_row_stride = SIZE_MAX / 4;
        for (size_t n = 0; n < 8; n++) output[n] = weights[n] = entries[n] = log_sum_exp[n / 2] = 7;
        if (turn >= 6) p.sparse_mask = (struct attn_mask){&full, 1}, p.route = ATTN_ROUTE_ROWS;
        CHECK(attn_list_entries(&p, &r, ptr, NULL) == ATTN_OK);
        r.entry_weights = entries, r.entry_ptr = ptr;
        r.output = output, r.log_sum_exp = log_sum_exp, r.weights = weights;
        CHECK(p.scaling == (which == 4 ? 1 : (float)(1 / sqrt(2))));
        if (!check(attn_plan_init(&plan, &p, &r) == ATTN_OK, "size %d of 0: refused", which)) continue;
        void *workspace = allocate_aligned(plan.workspace_bytes);
        CHECK(attn_run(&plan, &p, &r, workspace, plan.workspace_bytes, 0, plan.jobs) == ATTN_OK);
        free(workspace);
        const float value = which < 3 || which == 5 ? 7 : which == 3 ? 0 : 1, weight = which < 4 ? 7 : 0.5f;
        const float lse = which < 3 ? 7 : which == 3 ? -INFINITY : (float)(log(2) + (which == 4 ? 0 : sqrt(2)));
        for (size_t n = 0; n < 8; n++)
            check(output[n] == value && weights[n] == weight && entries[n] == weight &&
                      (log_sum_exp[n / 2] == lse || fabsf(log_sum_exp[n / 2] - lse) < 1e-6f),
                  "size %d of 0: output %g, weight %g, log_sum_exp %g", which, (double)output[n], (double)weights[n],
                  (double)log_sum_exp[n / 2]);
    }
}

/* ---- all of it ---- */

void test_statuses(void) {
    struct fixture *f = allocate(sizeof *f);
    test_strings();
    test_bad_tensors(f);
    test_bad_values(f);
    test_bad_shapes(f);
    test_bad_masks(f);
    test_bad_runs(f);
    test_bad_partials(f);
    for (int s = ATTN_ERROR_JOBS; s < ATTN_OK; s++)
        check(statuses_seen >> -s & 1, "status %d (%s) was never provoked", s, attn_status_string((enum attn_status)s));
    for (int field = ATTN_FIELD_SHAPE; field <= ATTN_FIELD_PARTIALS; field++)
        check(fields_seen >> field & 1, "no error named field %s", attn_field_string((enum attn_field)field));
    free(f);
    test_empty();
}
