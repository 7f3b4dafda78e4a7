/* SPDX-License-Identifier: Apache-2.0
 *
 * test.c - tests of the C library:  test [cases [first seed]]
 *
 * Fixed tests first (generator, statuses, conversion, heap, partials), then random problems against the
 * double-precision reference. A failure prints its seed; `test 1 SEED` runs that case alone.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attn.h"
#include "cases.h"
#include "memory.h"
#include "reference.h"
#include "rng.h"
#include "softmax.h"

/* The naive loop that errors are measured against: the reference's own text in float32. */
void naive_reference(const struct attn_problem *problem, const struct attn_reference_result *result);
#define attn_reference naive_reference
#define ATTN_REFERENCE_REAL float
#include "reference.c"
#undef attn_reference

/* ---- the framework ---- */

static unsigned passed, failed;

__attribute__((format(printf, 2, 3))) static int check(int ok, const char *format, ...) {
    if (ok) return passed++, 1;
    if (failed++ < 50) {
        va_list arguments;
        va_start(arguments, format);
        printf("FAILED: ");
        vprintf(format, arguments);
        printf("\n");
        va_end(arguments);
    }
    return 0;
}

#define CHECK(condition) check((condition) != 0, "%s:%d: %s", __FILE__, __LINE__, #condition)

static void *allocate(size_t bytes) {
    void *block = aligned_alloc(ATTN_ALIGNMENT, (bytes + ATTN_ALIGNMENT) / ATTN_ALIGNMENT * ATTN_ALIGNMENT);
    if (!block) {
        printf("out of memory\n");
        exit(2);
    }
    return block;
}

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Equality of bits, where all NaNs are equal. */
static int same_bits(float a, float b) { return bits_of(a) == bits_of(b) || (a != a && b != b); }

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
            void *workspace = allocate(plan.workspace_bytes);
            CHECK(attn_run(&plan, &p, &r, workspace, plan.workspace_bytes, 0, plan.jobs) == ATTN_OK);
            CHECK(keep[j] == !above);
            free(workspace);
        }
    }
}

/* ---- exponential and tanh ---- */

static void test_exp(void) {
    double worst = 0;
    int falls = 0;
    float at = 0;
    for (uint32_t bits = bits_of(-87.33f); bits > 0x80000000;
         bits -= bits < 997 + 0x80000000 ? bits - 0x80000000 : 997) {
        const float x = float_of(bits), e = attn_exp(x);
        const double error = fabs((double)e / exp((double)x) - 1);
        if (error > worst) worst = error, at = x;
        falls += e > 1;
    }
    check(worst <= 1.5e-7 && !falls, "exp: relative error %.3g at %.9g, above 1: %d times", worst, (double)at, falls);
    CHECK(attn_exp(0) == 1 && attn_exp(-0.0f) == 1);
    CHECK(fabs(attn_exp(-100) - exp(-100)) <= 0x1p-149 && attn_exp(-1e30f) == 0 && attn_exp(-INFINITY) == 0);
    CHECK(isnan(attn_exp(NAN)));
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
    void *workspace = allocate(plan.workspace_bytes);
    CHECK(attn_run(&plan, &p, &r, workspace, plan.workspace_bytes, 0, plan.jobs) == ATTN_OK);
    double worst = 0;
    for (size_t n = 0; n < COUNT; n++) worst = fmax(worst, fabs((double)scores[n] / tanh((double)x[n]) - 1));
    check(worst <= 2e-7, "tanh: relative error %.3g", worst);
    free(workspace);
    free(x);
    free(scores);
}

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

/* A problem that uses every field, and results of every kind. */
struct fixture {
    struct attn_problem problem;
    struct attn_result result;
    float queries[2 * 4 * 3 * 4], keys[2 * 2 * 5 * 4], values[2 * 1 * 5 * 2], mask[3 * 5], slopes[4], sinks[4];
    int32_t query_offsets[2], key_lengths[2];
    uint32_t ptr[3 + 1], indices[6];
    float weights_in[2 * 4 * 3 * 5];
    uint8_t dropout_mask_in[5];
    float output[2 * 3 * 4 * 2], numerator[2 * 4 * 3 * 2], rows[3][2 * 4 * 3], weights[2 * 4 * 3 * 5];
    float scores[2 * 4 * 3 * 5];
    uint8_t dropout_mask[2 * 4 * 3 * 5];
};

static void fixture_init(struct fixture *f) {
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
    p->sparse_mask = (struct attn_mask){ATTN_MASK_CSR, 1, 1, NULL, f->ptr, f->indices, 6};
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
}

static int untouched(const struct fixture *f) {
    const unsigned char *byte = (const unsigned char *)f->output, *end = (const unsigned char *)(f + 1);
    while (byte < end && *byte == 0xa5) byte++;
    return byte == end;
}

static unsigned statuses_seen, fields_seen;

static void refuses(const struct fixture *f, enum attn_status status, enum attn_field field, int line) {
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

#define REFUSES(status, field, change)                                                                                 \
    do {                                                                                                               \
        fixture_init(f);                                                                                               \
        change;                                                                                                        \
        refuses(f, ATTN_ERROR_##status, ATTN_FIELD_##field, __LINE__);                                                 \
    } while (0)

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
            (*p = huge, p->batch = b, p->heads = h, p->q_len = q, p->k_len = k, f->result.output = NULL,               \
             f->result.row_end = q, f->result.column_end = k))
    HUGE_SIZES(PARTIALS, LARGE, LARGE, LARGE, 1);
    const size_t batch = sizeof(size_t) == 8 ? 1 << 20 : 1;
    HUGE_SIZES(WEIGHTS, batch, 1, 1 << 20, LARGE);
    f->result.weights = NULL;
    refuses(f, ATTN_ERROR_SIZE, ATTN_FIELD_SCORES, __LINE__);
    f->result.scores = NULL;
    refuses(f, ATTN_ERROR_SIZE, ATTN_FIELD_DROPOUT_MASK, __LINE__);
#undef HUGE_SIZES
}

static void test_bad_sparse_masks(struct fixture *f) {
    struct attn_mask *mask = &f->problem.sparse_mask;
    REFUSES(VALUE, SPARSE_MASK, mask->kind = (enum attn_mask_kind)3);
    REFUSES(VALUE, SPARSE_MASK, mask->kind = (enum attn_mask_kind) - 1);
    REFUSES(VALUE, SPARSE_MASK, f->problem.weighting = (enum attn_weighting)2);
    REFUSES(SHAPE, SPARSE_MASK, mask->batch = 0);
    REFUSES(SHAPE, SPARSE_MASK, mask->batch = 3);
    REFUSES(SHAPE, SPARSE_MASK, mask->heads = 3);
    REFUSES(SHAPE, SPARSE_MASK, mask->heads = 0);
    REFUSES(NULL, SPARSE_MASK, mask->ptr = NULL);
    REFUSES(NULL, SPARSE_MASK, mask->indices = NULL);
    REFUSES(NULL, SPARSE_MASK, mask->kind = ATTN_MASK_DENSE);
    REFUSES(INDEX, SPARSE_MASK, f->ptr[0] = 1);
    REFUSES(INDEX, SPARSE_MASK, f->ptr[2] = 1);          /* descends */
    REFUSES(INDEX, SPARSE_MASK, f->ptr[2] = UINT32_MAX); /* beyond the indices, then descends */
    REFUSES(INDEX, SPARSE_MASK, f->ptr[3] = 7);          /* beyond the indices */
    REFUSES(INDEX, SPARSE_MASK, f->ptr[3] = 5);          /* leaves one over */
    REFUSES(INDEX, SPARSE_MASK, mask->indices_len = 5);
    REFUSES(INDEX, SPARSE_MASK, f->indices[1] = 5); /* = k_len */
    REFUSES(INDEX, SPARSE_MASK, f->indices[5] = UINT32_MAX);
    REFUSES(INDEX, SPARSE_MASK, f->indices[1] = 0); /* repeated */
    REFUSES(INDEX, SPARSE_MASK, f->indices[3] = 2); /* repeated with the next, then out of order */
    REFUSES(INDEX, SPARSE_MASK, (f->indices[2] = 3, f->indices[5] = 0));
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
    unsigned char *workspace = allocate(bytes + ATTN_ALIGNMENT);
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
    CHECK(attn_run(&plan, p, &f->result, workspace, bytes, 0, plan.jobs) == ATTN_OK && !untouched(f));
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

static void test_statuses(void) {
    struct fixture *f = allocate(sizeof *f);
    test_bad_tensors(f);
    test_bad_values(f);
    test_bad_shapes(f);
    test_bad_sparse_masks(f);
    test_bad_runs(f);
    test_bad_partials(f);
    for (int s = ATTN_ERROR_JOBS; s < ATTN_OK; s++)
        check(statuses_seen >> -s & 1, "status %d (%s) was never provoked", s, attn_status_string((enum attn_status)s));
    for (int field = ATTN_FIELD_SHAPE; field <= ATTN_FIELD_PARTIALS; field++)
        check(fields_seen >> field & 1, "no error named field %s", attn_field_string((enum attn_field)field));
    free(f);
}

/* ---- sizes of 0 ---- */

/* Any size may be 0: what then has no elements need not exist, whatever its strides say, and rows without keys are 0. */
static void test_empty(void) {
    const float ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    for (int which = 0; which < 6; which++) {
        struct attn_problem p;
        struct attn_result r;
        struct attn_plan plan;
        float output[8], log_sum_exp[4], weights[8];
        attn_problem_init(&p, which != 0, which == 1 ? 0 : 2, 1, 1, which == 2 ? 0 : 2, which == 3 ? 0 : 2,
                          which == 4 ? 0 : 2, which == 5 ? 0 : 2);
        struct attn_tensor *const tensors[] = {&p.queries, &p.keys, &p.values};
        for (size_t n = 0; n < 3; n++) {
            tensors[n]->data = tensors[n]->capacity ? ones : NULL;
            if (!tensors[n]->capacity) tensors[n]->head_stride = tensors[n]->row_stride = SIZE_MAX / 4;
        }
        attn_result_init(&r, &p);
        if (!r.output_capacity) r.output_row_stride = SIZE_MAX / 4;
        for (size_t n = 0; n < 8; n++) output[n] = weights[n] = log_sum_exp[n / 2] = 7;
        r.output = output, r.log_sum_exp = log_sum_exp, r.weights = weights;
        CHECK(p.scaling == (which == 4 ? 1 : (float)(1 / sqrt(2))));
        if (!check(attn_plan_init(&plan, &p, &r) == ATTN_OK, "size %d of 0: refused", which)) continue;
        void *workspace = allocate(plan.workspace_bytes);
        CHECK(attn_run(&plan, &p, &r, workspace, plan.workspace_bytes, 0, plan.jobs) == ATTN_OK);
        free(workspace);
        const float value = which < 3 || which == 5 ? 7 : which == 3 ? 0 : 1, weight = which < 4 ? 7 : 0.5f;
        const float lse = which < 3 ? 7 : which == 3 ? -INFINITY : (float)(log(2) + (which == 4 ? 0 : sqrt(2)));
        for (size_t n = 0; n < 8; n++)
            check(output[n] == value && weights[n] == weight &&
                      (log_sum_exp[n / 2] == lse || fabsf(log_sum_exp[n / 2] - lse) < 1e-6f),
                  "size %d of 0: output %g, weight %g, log_sum_exp %g", which, (double)output[n], (double)weights[n],
                  (double)log_sum_exp[n / 2]);
    }
}

/* ---- conversion ---- */

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

static void test_convert_dtype(enum attn_dtype dtype, uint32_t infinity) {
    const int shift = dtype == ATTN_FLOAT16 ? 13 : 16;
    unsigned wrong = 0, before = failed;
    uint16_t *all = allocate(65536 * sizeof *all), *back = allocate(65536 * sizeof *back);
    float *wide = allocate(65536 * sizeof *wide);
    for (uint32_t n = 0; n < 65536; n++) all[n] = (uint16_t)n;
    CHECK(attn_convert(wide, ATTN_FLOAT32, all, dtype, 65536) == ATTN_OK);
    CHECK(attn_convert(back, dtype, wide, ATTN_FLOAT32, 65536) == ATTN_OK);
    for (uint32_t n = 0; n < 65536; n++) {
        const double want = dtype == ATTN_FLOAT16 ? widen((uint16_t)n, 5, 10) : widen((uint16_t)n, 8, 7);
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
    check(failed == before, "dtype %d: narrowing", dtype);
    free(all), free(back), free(wide);
}

static void test_convert(void) {
    float wide[4] = {1, 2, 3, 4};
    uint16_t half[4] = {0xaaaa, 0xaaaa, 0xaaaa, 0xaaaa};
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

/* ---- heap ---- */

struct heap_block {
    unsigned char *data;
    size_t bytes;
    unsigned char mark;
};

static int intact(const struct heap_block *block) {
    size_t n = 0;
    while (n < block->bytes && block->data[n] == block->mark) n++;
    return n == block->bytes;
}

static void test_heap(void) {
    enum { RANGE = 1 << 20, BLOCKS = 200 };
    unsigned char *base = allocate(RANGE);
    struct heap_block blocks[BLOCKS] = {{0}};
    struct case_random random = case_random_init(11, 0);
    size_t range = 64 << 10;
    CHECK(attn_heap_init(base, 0) == NULL);
    CHECK(attn_heap_init(base, 8) == NULL);
    CHECK(attn_heap_init(NULL, RANGE) == NULL);
    struct attn_heap *heap = attn_heap_init(base, range);
    if (!CHECK(heap != NULL)) return;
    CHECK(attn_heap_used(heap) == 0);
    CHECK(attn_heap_alloc(heap, RANGE) == NULL && attn_heap_used(heap) == 0);
    attn_heap_free(heap, NULL);

    unsigned lost = 0, overlaps = 0, misaligned = 0, outside = 0, wrong_shortfall = 0, refused = 0;
    for (int step = 0; step < 40000; step++) {
        struct heap_block *block = &blocks[case_random_below(&random, BLOCKS)];
        if (block->data) {
            lost += !intact(block);
            attn_heap_free(heap, block->data);
            block->data = NULL;
            continue;
        }
        block->bytes = case_random_below(&random, case_random_below(&random, 50) ? 700 : 40000);
        block->mark = (unsigned char)step;
        const size_t shortfall = attn_heap_shortfall(heap, block->bytes);
        block->data = attn_heap_alloc(heap, block->bytes);
        wrong_shortfall += (shortfall == 0) != (block->data != NULL);
        if (!block->data && shortfall <= RANGE - range && case_random_below(&random, 4) == 0) {
            attn_heap_extend(heap, range += shortfall - 1); /* a byte less is not enough */
            wrong_shortfall +=
                attn_heap_alloc(heap, block->bytes) != NULL || attn_heap_shortfall(heap, block->bytes) != 1;
            attn_heap_extend(heap, ++range);
            block->data = attn_heap_alloc(heap, block->bytes);
            wrong_shortfall += block->data == NULL;
        }
        refused += !block->data;
        if (!block->data) continue;
        misaligned += (uintptr_t)block->data % ATTN_ALIGNMENT != 0;
        outside += block->data < base || block->data + block->bytes > base + range;
        for (size_t n = 0; n < BLOCKS; n++)
            overlaps += &blocks[n] != block && blocks[n].data &&
                        block->data < blocks[n].data + blocks[n].bytes + !blocks[n].bytes &&
                        blocks[n].data < block->data + block->bytes + !block->bytes;
        memset(block->data, block->mark, block->bytes);
    }
    check(lost == 0, "heap: %u blocks lost their content", lost);
    check(overlaps == 0, "heap: %u blocks overlap", overlaps);
    check(misaligned == 0, "heap: %u blocks not aligned", misaligned);
    check(outside == 0, "heap: %u blocks outside the range", outside);
    check(wrong_shortfall == 0, "heap: attn_heap_shortfall was wrong %u times", wrong_shortfall);
    check(refused > 0 && range > 64 << 10, "heap: never came near its limits");

    for (size_t n = 0; n < BLOCKS; n++) attn_heap_free(heap, blocks[n].data);
    CHECK(attn_heap_used(heap) == 0);
    void *most = attn_heap_alloc(heap, range - 4096); /* what was freed has coalesced */
    CHECK(most != NULL && attn_heap_used(heap) >= range - 4096);
    CHECK(attn_heap_alloc(heap, 4096) == NULL);
    attn_heap_free(heap, most);
    CHECK(attn_heap_used(heap) == 0);

    void *none = attn_heap_alloc(heap, 0), *another = attn_heap_alloc(heap, 0);
    CHECK(none && another && none != another);
    attn_heap_free(heap, none);
    attn_heap_free(heap, another);
    for (size_t below = 0; below < 130; below++) {
        CHECK(attn_heap_alloc(heap, SIZE_MAX - below) == NULL);
        CHECK(attn_heap_shortfall(heap, SIZE_MAX - below) == SIZE_MAX);
    }
    CHECK(attn_heap_alloc(heap, SIZE_MAX / 2) == NULL);
    CHECK(attn_heap_used(heap) == 0);
    attn_heap_extend(heap, range); /* not growing is nothing */
    CHECK(attn_heap_used(heap) == 0 && attn_heap_shortfall(heap, range) > 0);
    free(base);
}

/* ---- random problems ---- */

static struct case_arena arena;
static size_t arena_bytes = 4 * CASE_ARENA_BYTES;
static unsigned char *arena_base;

struct statistics {
    double ours, naive;
    unsigned cases;
};
enum { STATISTICS_OUTPUT, STATISTICS_LOG_SUM_EXP, STATISTICS_WEIGHTS, STATISTICS };
static struct statistics statistics[CASE_FAMILIES][STATISTICS];

/* One case with its reference results. */
struct subject {
    struct case_problem c;
    struct attn_reference_result reference, naive;
    void *memory;                     /* of both */
    double *magnitude, *products;     /* per row: see measure_row */
    uint8_t *underflows;              /* per row: whether its sum is lost in float32 */
    double value_max;                 /* over kept keys */
    double amplify;                   /* 1 / (1 - rate) where dropout acts */
    uint8_t *keys_kept, *values_kept; /* [batch, key_heads | value_heads, k_len]: whether any row needs the key */
};

static void describe(const struct case_problem *c) {
    static const char *const dtypes[] = {"f32", "f16", "bf16", "bool"}, *const kinds[] = {"none", "dense", "csr"};
    static const char *const stages[] = {"raw", "softcapped", "biased"};
    const struct attn_problem *p = &c->problem;
    const struct attn_result *w = &c->wanted;
    if (failed > 50) return;
    printf("    seed %u: b %zu h %zu hk %zu hv %zu sq %zu sk %zu d %zu dv %zu, %s/%s/%s, scaling %g, family %d\n",
           c->seed, p->batch, p->heads, p->key_heads, p->value_heads, p->q_len, p->k_len, p->dim, p->value_dim,
           dtypes[p->queries.dtype], dtypes[p->keys.dtype], dtypes[p->values.dtype], (double)p->scaling, c->family);
    printf("   ");
    if (p->softcap != 0) printf(" softcap %g", (double)p->softcap);
    if (p->attention_mask.data) printf(" mask %s", dtypes[p->attention_mask.dtype]);
    if (p->causal) printf(" causal");
    if (p->has_window) printf(" window %u,%u", p->window_left, p->window_right);
    if (p->key_offset) printf(" key_offset %d", p->key_offset);
    if (p->query_offsets && p->batch) printf(" query_offsets %d..", p->query_offsets[0]);
    if (p->key_lengths && p->batch) printf(" key_lengths %d..", p->key_lengths[0]);
    if (p->alibi_slopes) printf(" alibi");
    if (p->sinks) printf(" sinks");
    if (p->sparse_mask.kind)
        printf(" sparse %s %zux%zu%s %s", kinds[p->sparse_mask.kind], p->sparse_mask.batch, p->sparse_mask.heads,
               p->sparse_mask.weights ? " weighted" : "", p->weighting ? "inverse" : "multiply");
    if (dropout_acts(p))
        printf(" dropout %g %s%s", p->dropout.rate, p->dropout.placement ? "after" : "before",
               p->dropout.mask.data ? " mask" : "");
    if (p->empty_rows) printf(" nan");
    if (p->row_max_over) printf(" allowed");
    printf("; wants%s%s%s%s%s%s%s%s%s [%zu,%zu)x[%zu,%zu)\n", w->output ? " output" : "", w->log_sum_exp ? " lse" : "",
           w->numerator ? " num" : "", w->denominator ? " den" : "", w->row_max ? " max" : "",
           w->weights ? " weights" : "", w->scores ? " scores " : "", w->scores ? stages[w->score_stage] : "",
           w->dropout_mask ? " dropout" : "", w->row_begin, w->row_end, w->column_begin, w->column_end);
}

static size_t rows_of(const struct attn_problem *p) { return p->batch * p->heads * p->q_len; }

/* Carves the arrays of a reference result out of *memory. */
static struct attn_reference_result reference_arrays(const struct attn_problem *p, double **memory) {
    const size_t rows = rows_of(p), cells = rows * p->k_len;
    struct attn_reference_result r = {0};
    double **const arrays[] = {&r.scratch, &r.output,  &r.numerator, &r.log_sum_exp, &r.denominator,
                               &r.row_max, &r.weights, &r.scores[0], &r.scores[1],   &r.scores[2]};
    const size_t counts[] = {p->k_len, rows * p->value_dim, rows * p->value_dim, rows, rows, rows, cells, cells, cells,
                             cells};
    for (size_t n = 0; n < sizeof arrays / sizeof *arrays; n++) {
        *arrays[n] = *memory;
        *memory += counts[n];
    }
    r.dropout_mask = (uint8_t *)*memory;
    r.keys = r.dropout_mask + cells;
    *memory = (double *)(void *)((char *)*memory + (2 * cells + 15) / 8 * 8);
    return r;
}

/* Whether the row reads this key: the maximum may run over keys that the sparse mask leaves out, too. */
static int is_read(const struct subject *s, size_t cell) {
    const uint8_t key = s->reference.keys[cell];
    return key == ATTN_REFERENCE_KEPT ||
           (key == ATTN_REFERENCE_SPARSE && s->c.problem.row_max_over == ATTN_ROW_MAX_ALLOWED);
}

/* The largest logit of row n, and the largest sum of |q k| behind one, among keys that matter: a logit far below the
 * maximum may be as large and as wrong as it likes. */
static void measure_row(struct subject *s, size_t n) {
    const struct attn_problem *p = &s->c.problem;
    const size_t b = n / p->q_len / p->heads, h = n / p->q_len % p->heads, i = n % p->q_len;
    const double *biased = s->reference.scores[ATTN_SCORES_BIASED], *raw = s->reference.scores[ATTN_SCORES_RAW];
    double max = -(double)INFINITY;
    for (size_t at = n * p->k_len; at < (n + 1) * p->k_len; at++)
        if (is_read(s, at)) max = fmax(max, biased[at]);
    s->magnitude[n] = s->products[n] = 0;
    for (size_t j = 0; j < p->k_len; j++) {
        const size_t at = n * p->k_len + j;
        double products = 0;
        if (!is_read(s, at) || biased[at] < max - 110) continue;
        for (size_t x = 0; x < p->dim; x++)
            products += fabs((double)element(&p->queries, b, h, i, x) *
                             (double)element(&p->keys, b, h / (p->heads / p->key_heads), j, x));
        s->products[n] = fmax(s->products[n], fabs((double)p->scaling) * products);
        s->magnitude[n] = fmax(s->magnitude[n], fmax(fabs(biased[at]), raw ? fabs(raw[at]) : 0));
    }
    s->products[n] = fmax(s->products[n], s->magnitude[n]);
}

static void subject_init(struct subject *s) {
    const struct attn_problem *p = &s->c.problem;
    const size_t rows = rows_of(p), key_rows = p->batch * p->key_heads * p->k_len,
                 value_rows = p->batch * p->value_heads * p->k_len;
    const size_t doubles =
        2 * (p->k_len + rows * (2 * p->value_dim + 3 + 4 * p->k_len) + rows * p->k_len / 4 + 4) + 2 * rows;
    double *memory = s->memory = allocate(doubles * sizeof(double) + key_rows + value_rows + rows);
    s->reference = reference_arrays(p, &memory);
    s->naive = reference_arrays(p, &memory);
    s->magnitude = memory;
    s->products = memory + rows;
    s->keys_kept = memset(memory + 2 * rows, 0, key_rows + value_rows);
    s->values_kept = s->keys_kept + key_rows;
    s->underflows = s->values_kept + value_rows;
    const int with_raw = p->softcap != 0 || p->alibi_slopes; /* otherwise the biased scores say as much */
    for (int stage = ATTN_SCORES_RAW; stage <= ATTN_SCORES_BIASED; stage++) { /* each costs as much as all the rest */
        const int wanted = s->c.wanted.scores && s->c.wanted.score_stage == (enum attn_score_stage)stage;
        if (!wanted) s->naive.scores[stage] = NULL;
        if (!wanted &&
            (stage == ATTN_SCORES_SOFTCAPPED || (stage == ATTN_SCORES_RAW && !s->c.wanted.scores && !with_raw)))
            s->reference.scores[stage] = NULL;
    }
    attn_reference(p, &s->reference);
    naive_reference(p, &s->naive);

    for (size_t n = 0; n < rows; n++) {
        const size_t b = n / p->q_len / p->heads, h = n / p->q_len % p->heads;
        const size_t key_head = h / (p->heads / p->key_heads), value_head = h / (p->heads / p->value_heads);
        /* relative to a key that dropout removed, or that the sparse mask leaves out, what is kept may be nothing */
        const double sum = s->reference.denominator[n], log_sum_exp = s->reference.log_sum_exp[n];
        const double undropped = isinf(log_sum_exp) ? 1 : exp(log_sum_exp - s->reference.row_max[n]);
        s->underflows[n] = undropped < 1e-30 || (sum > 0 && sum < 1e-30);
        measure_row(s, n);
        for (size_t j = 0; j < p->k_len; j++) {
            const int needed = is_read(s, n * p->k_len + j);
            if (needed) s->keys_kept[(b * p->key_heads + key_head) * p->k_len + j] = 1;
            if (needed) s->values_kept[(b * p->value_heads + value_head) * p->k_len + j] = 1;
        }
    }
    s->value_max = 0;
    for (size_t n = 0; n < value_rows; n++)
        for (size_t x = 0; s->values_kept[n] && x < p->value_dim; x++) {
            const size_t b = n / p->k_len / p->value_heads, h = n / p->k_len % p->value_heads;
            s->value_max = fmax(s->value_max, fabs((double)element(&p->values, b, h, n % p->k_len, x)));
        }
    s->amplify = dropout_acts(p) && p->dropout.rate < 1 ? 1 / (1 - p->dropout.rate) : 1;
}

/* What is compared: a strided float array [batch, heads, rows, columns] against contiguous doubles [.., columns_all]. */
struct comparison {
    const char *name;
    const float *got;
    size_t batch_stride, head_stride, row_stride;
    const double *want, *naive;
    size_t row_begin, row_end, column_begin, column_end, columns_all;
    enum { NOT_SCORES, UNMASKED_SCORES, MASKED_SCORES } scores; /* cells of keys full of garbage have none */
    double unit; /* the bound's second term is unit * (1 + magnitude) * (scale ? scale[row] : 1) */
    const double *magnitude, *scale;
    double slack; /* factor on the whole bound */
    double tiny;  /* absolute, for what lies near the smallest floats */
    int partial;  /* sums themselves, comparable even where they underflow */
};

static int is_garbage(const struct case_problem *c, size_t b, size_t j) {
    return c->dead[j] || (c->problem.key_lengths && (int64_t)j >= c->problem.key_lengths[b]);
}

static int is_masked(const struct attn_problem *p, struct row r, size_t j) {
    return !in_range(p, r, j) || additive(p, r, j) == -INFINITY;
}

/* Checks every cell against the bound; largest errors go to *ours and *naive. */
static int compare(const struct subject *s, const struct comparison *c, double *ours, double *naive) {
    const struct attn_problem *p = &s->c.problem;
    double naive_max = 0, error_max = 0, ordinary = 0;
    for (size_t n = 0; n < rows_of(p); n++)
        if (c->magnitude[n] < 5e4) ordinary = fmax(ordinary, c->magnitude[n]);
    for (int pass = 0; pass < 2; pass++)
        for (size_t n = 0; n < rows_of(p); n++) {
            const size_t b = n / p->q_len / p->heads, h = n / p->q_len % p->heads, i = n % p->q_len;
            if (i < c->row_begin || i >= c->row_end || (s->underflows[n] && !c->partial)) continue;
            for (size_t x = c->column_begin; x < c->column_end; x++) {
                const size_t at = n * c->columns_all + x;
                const double want = c->want[at];
                if (c->scores && is_garbage(&s->c, b, x) &&
                    !(c->scores == MASKED_SCORES && is_masked(p, (struct row){b, h, i}, x)))
                    continue;
                const double naive_error = fabs(c->naive[at] - want);
                if (pass == 0) {
                    if (naive_error > naive_max) naive_max = naive_error; /* not where it is NaN */
                    continue;
                }
                const float got = c->got[b * c->batch_stride + h * c->head_stride + (i - c->row_begin) * c->row_stride +
                                         (x - c->column_begin)];
                const double bound =
                    c->slack * (1.5 * (naive_max < 1e300 ? naive_max : 0) +
                                c->unit * (1 + fmax(ordinary, c->magnitude[n])) * (c->scale ? c->scale[n] : 1)) +
                    c->tiny;
                const double error = fabs((double)got - want);
                const int ok = isnan(want) ? isnan(got) : isinf(want) ? (double)got == want : error <= bound;
                if (!ok) {
                    check(0,
                          "seed %u: %s[%zu,%zu,%zu,%zu] = %.9g, expected %.9g, error %.3g, bound %.3g, naive %.9g "
                          "(worst %.3g)",
                          s->c.seed, c->name, b, h, i, x, (double)got, want, error, bound, c->naive[at], naive_max);
                    describe(&s->c);
                    return 0;
                }
                if (error > error_max) error_max = error;
            }
        }
    passed++;
    if (ours) *ours = error_max;
    if (naive) *naive = naive_max;
    return 1;
}

static void count_statistics(const struct subject *s, int kind, double unit, double ours, double naive) {
    static const double largest[CASE_FAMILIES] = {30, 300, 5e4}; /* masks and ALiBi can make larger logits than meant */
    struct statistics *stats = &statistics[s->c.family][kind];
    for (size_t n = 0; n < rows_of(&s->c.problem); n++)
        if (s->magnitude[n] > largest[s->c.family]) return;
    stats->ours = fmax(stats->ours, ours / unit);
    stats->naive = fmax(stats->naive, naive / unit);
    stats->cases++;
}

static const double EPSILON = 0x1p-22;

/* An array [batch, heads, q_len, columns]. */
static struct comparison whole_rows(const struct subject *s, const char *name, const float *got, const double *want,
                                    const double *naive, size_t columns) {
    const struct attn_problem *p = &s->c.problem;
    return (struct comparison){.name = name,
                               .got = got,
                               .batch_stride = p->heads * p->q_len * columns,
                               .head_stride = p->q_len * columns,
                               .row_stride = columns,
                               .want = want,
                               .naive = naive,
                               .row_end = p->q_len,
                               .column_end = columns,
                               .columns_all = columns,
                               .unit = EPSILON,
                               .magnitude = s->products,
                               .slack = 1};
}

/* The window of weights and scores, out of an array [batch, heads, q_len, k_len]. */
static struct comparison window(const struct subject *s, const struct attn_result *r, const char *name,
                                const float *got, const double *want, const double *naive) {
    struct comparison c = whole_rows(s, name, got, want, naive, s->c.problem.k_len);
    c.row_begin = r->row_begin;
    c.row_end = r->row_end;
    c.column_begin = r->column_begin;
    c.column_end = r->column_end;
    c.row_stride = r->column_end - r->column_begin;
    c.head_stride = (r->row_end - r->row_begin) * c.row_stride;
    c.batch_stride = s->c.problem.heads * c.head_stride;
    c.magnitude = s->magnitude;
    return c;
}

static void compare_output(const struct subject *s, const struct attn_result *r, double slack, int count) {
    double ours, naive;
    struct comparison c =
        whole_rows(s, "output", r->output, s->reference.output, s->naive.output, s->c.problem.value_dim);
    c.batch_stride = r->output_batch_stride;
    c.head_stride = r->output_head_stride;
    c.row_stride = r->output_row_stride;
    c.unit = EPSILON * s->value_max * s->amplify;
    c.magnitude = s->magnitude;
    c.slack = slack;
    c.tiny = 1e-37;
    if (compare(s, &c, &ours, &naive) && count && s->value_max > 0)
        count_statistics(s, STATISTICS_OUTPUT, s->value_max * s->amplify, ours, naive);
}

static void compare_log_sum_exp(const struct subject *s, const struct attn_result *r, double slack, int count) {
    double ours, naive;
    struct comparison c =
        whole_rows(s, "log_sum_exp", r->log_sum_exp, s->reference.log_sum_exp, s->naive.log_sum_exp, 1);
    c.slack = slack;
    if (compare(s, &c, &ours, &naive) && count) count_statistics(s, STATISTICS_LOG_SUM_EXP, 1, ours, naive);
}

static void compare_partials(const struct subject *s, const struct attn_result *r, double slack) {
    struct comparison c =
        whole_rows(s, "numerator", r->numerator, s->reference.numerator, s->naive.numerator, s->c.problem.value_dim);
    c.slack = slack;
    c.partial = 1;
    c.scale = s->reference.denominator;
    c.unit = EPSILON * s->value_max * s->amplify;
    c.tiny = 1e-35 * (1 + s->value_max);
    if (r->numerator) compare(s, &c, NULL, NULL);
    c = whole_rows(s, "denominator", r->denominator, s->reference.denominator, s->naive.denominator, 1);
    c.slack = slack;
    c.partial = 1;
    c.scale = s->reference.denominator;
    c.tiny = 1e-35;
    if (r->denominator) compare(s, &c, NULL, NULL);
    c = whole_rows(s, "row_max", r->row_max, s->reference.row_max, s->naive.row_max, 1);
    c.slack = slack;
    if (r->row_max) compare(s, &c, NULL, NULL);
}

static void compare_weights(const struct subject *s, const struct attn_result *r, int count) {
    double ours, naive;
    struct comparison c = window(s, r, "weights", r->weights, s->reference.weights, s->naive.weights);
    c.unit = EPSILON * s->amplify;
    c.tiny = 1e-37;
    if (compare(s, &c, &ours, &naive) && count) count_statistics(s, STATISTICS_WEIGHTS, s->amplify, ours, naive);
}

static void compare_scores(const struct subject *s, const struct attn_result *r) {
    const struct attn_problem *p = &s->c.problem;
    struct comparison c =
        window(s, r, "scores", r->scores, s->reference.scores[r->score_stage], s->naive.scores[r->score_stage]);
    double *magnitude = allocate(rows_of(p) * sizeof *magnitude); /* over all keys, not those alone that are read */
    for (size_t n = 0; n < rows_of(p); n++) {
        magnitude[n] = s->magnitude[n];
        for (size_t j = 0; j < p->k_len; j++)
            if (!is_garbage(&s->c, n / p->q_len / p->heads, j))
                magnitude[n] = fmax(magnitude[n], fabs(s->reference.scores[ATTN_SCORES_RAW][n * p->k_len + j]));
    }
    c.magnitude = magnitude;
    c.scores = r->score_stage == ATTN_SCORES_BIASED ? MASKED_SCORES : UNMASKED_SCORES;
    compare(s, &c, NULL, NULL);
    free(magnitude);
}

/* Everything that a run gave, against the reference. */
static void compare_all(const struct subject *s, const struct attn_result *r, double slack, int count) {
    const struct attn_problem *p = &s->c.problem;
    if (r->output) compare_output(s, r, slack, count);
    if (r->log_sum_exp) compare_log_sum_exp(s, r, slack, count);
    compare_partials(s, r, slack);
    if (r->weights) compare_weights(s, r, count);
    if (r->scores) compare_scores(s, r);
    if (r->dropout_mask)
        if (!check(memcmp(r->dropout_mask, s->reference.dropout_mask, rows_of(p) * p->k_len) == 0,
                   "seed %u: dropout mask", s->c.seed))
            describe(&s->c);
}

/* Runs jobs in ranges of random size and order, each with a workspace full of NaN bits of its own. */
static enum attn_status run(const struct attn_problem *p, const struct attn_result *r, struct case_random *random) {
    struct attn_plan plan;
    enum attn_status status = attn_plan_init(&plan, p, r);
    if (status != ATTN_OK) return status;
    size_t *order = allocate((plan.jobs + 1) * sizeof *order), ranges = 0;
    order[ranges++] = 0;
    for (size_t job = 1; job < plan.jobs; job++)
        if (random && case_random_below(random, 2)) order[ranges++] = job;
    for (size_t n = ranges; random && n > 1; n--) {
        const size_t other = case_random_below(random, (uint32_t)n), swap = order[n - 1];
        order[n - 1] = order[other];
        order[other] = swap;
    }
    for (size_t n = 0; n < ranges && status == ATTN_OK; n++) {
        size_t end = plan.jobs;
        for (size_t other = 0; other < ranges; other++)
            if (order[other] > order[n] && order[other] < end) end = order[other];
        void *workspace = aligned_alloc(ATTN_ALIGNMENT, plan.workspace_bytes ? plan.workspace_bytes : ATTN_ALIGNMENT);
        memset(workspace, 0xff, plan.workspace_bytes);
        status = attn_run(&plan, p, r, workspace, plan.workspace_bytes, order[n], end);
        free(workspace);
    }
    free(order);
    return status;
}

/* Elements of a result that lie in no gap of its layout, as a callback-free walk over rows. */
static int same_row(const struct attn_problem *p, const struct attn_result *a, const struct attn_result *b, size_t n,
                    const char **what) {
    const size_t batch = n / p->q_len / p->heads, h = n / p->q_len % p->heads, i = n % p->q_len;
    int same = 1;
    *what = "output";
    const size_t out = batch * a->output_batch_stride + h * a->output_head_stride + i * a->output_row_stride;
    for (size_t x = 0; same && a->output && b->output && x < p->value_dim; x++)
        same = same_bits(a->output[out + x], b->output[out + x]);
    if (!same) return 0;
    *what = "partials or log_sum_exp";
    if (a->log_sum_exp && b->log_sum_exp) same &= same_bits(a->log_sum_exp[n], b->log_sum_exp[n]);
    if (a->denominator && b->denominator) same &= same_bits(a->denominator[n], b->denominator[n]);
    if (a->row_max && b->row_max) same &= same_bits(a->row_max[n], b->row_max[n]);
    for (size_t x = n * p->value_dim; a->numerator && b->numerator && x < (n + 1) * p->value_dim; x++)
        same &= same_bits(a->numerator[x], b->numerator[x]);
    if (!same) return 0;
    *what = "weights";
    if (a->weights && b->weights && i >= a->row_begin && i < a->row_end) {
        const size_t columns = a->column_end - a->column_begin;
        const size_t at = ((n / p->q_len) * (a->row_end - a->row_begin) + i - a->row_begin) * columns;
        for (size_t j = 0; same && j < columns; j++) same = same_bits(a->weights[at + j], b->weights[at + j]);
    }
    return same;
}

/* Two results agree bit for bit; rows with skip[row] set are left out. */
static void same_results(const struct subject *s, const struct attn_result *a, const struct attn_result *b,
                         const uint8_t *skip, const char *why) {
    const struct attn_problem *p = &s->c.problem;
    for (size_t n = 0; n < rows_of(p); n++) {
        const char *what;
        if ((skip && skip[n]) || same_row(p, a, b, n, &what)) continue;
        check(0, "seed %u: %s changed %s of row [%zu,%zu,%zu]", s->c.seed, why, what, n / p->q_len / p->heads,
              n / p->q_len % p->heads, n % p->q_len);
        describe(&s->c);
        return;
    }
    passed++;
}

/* Nothing was written beside the arrays, nor between the rows of the output. */
static void guards_intact(const struct subject *s, const struct attn_result *r) {
    const struct attn_problem *p = &s->c.problem;
    struct case_array arrays[CASE_ARRAYS];
    case_arrays(p, r, arrays);
    int ok = 1;
    for (size_t n = 0; n < CASE_ARRAYS; n++) {
        const unsigned char *array = arrays[n].data;
        for (size_t at = arrays[n].bytes; array && at < (arrays[n].bytes + 63) / 64 * 64 + 64; at++)
            ok &= array[at] == 0xff;
    }
    if (r->output) {
        uint8_t *written = allocate(r->output_capacity);
        memset(written, 0, r->output_capacity);
        for (size_t n = 0; n < rows_of(p); n++) {
            const size_t b = n / p->q_len / p->heads, h = n / p->q_len % p->heads, i = n % p->q_len;
            memset(written + b * r->output_batch_stride + h * r->output_head_stride + i * r->output_row_stride, 1,
                   p->value_dim);
        }
        for (size_t at = 0; at < r->output_capacity; at++) ok &= written[at] || bits_of(r->output[at]) == 0xffffffff;
        free(written);
    }
    if (!check(ok, "seed %u: wrote outside the results", s->c.seed)) describe(&s->c);
}

static int rows_alone(const struct attn_tensor *t, size_t batch, size_t heads) {
    return (batch < 2 || t->batch_stride) && (heads < 2 || t->head_stride);
}

/* Garbage wherever nobody looks may not change a bit; garbage in a key changes only the rows that keep it. */
static void test_garbage(const struct subject *s, const struct attn_result *clean, struct case_random *random) {
    const struct attn_problem *p = &s->c.problem;
    const struct case_arena mark = arena;
    struct attn_result r;
    if (case_results(&s->c, &r, &arena)) return;
    case_fill(&s->c, case_random_next(random));
    const int keys_alone = rows_alone(&p->keys, p->batch, p->key_heads),
              values_alone = rows_alone(&p->values, p->batch, p->value_heads);
    for (size_t n = 0; keys_alone && n < p->batch * p->key_heads * p->k_len; n++)
        if (!s->keys_kept[n])
            case_poison(&p->keys, n / p->k_len / p->key_heads, n / p->k_len % p->key_heads, n % p->k_len, p->dim,
                        case_random_next(random));
    for (size_t n = 0; values_alone && n < p->batch * p->value_heads * p->k_len; n++)
        if (!s->values_kept[n])
            case_poison(&p->values, n / p->k_len / p->value_heads, n / p->k_len % p->value_heads, n % p->k_len,
                        p->value_dim, case_random_next(random));
    check(run(p, &r, NULL) == ATTN_OK, "seed %u: status", s->c.seed);
    same_results(s, clean, &r, NULL, "garbage that no row keeps");

    if (keys_alone && values_alone && p->k_len && rows_of(p)) {
        uint8_t *touched = allocate(rows_of(p));
        memset(touched, 0, rows_of(p));
        for (uint32_t count = 1 + case_random_below(random, 4); count; count--) {
            const size_t j = case_random_below(random, (uint32_t)p->k_len),
                         b = case_random_below(random, (uint32_t)p->batch);
            const size_t h = case_random_below(random, (uint32_t)p->heads); /* its key and value heads */
            const size_t key_head = h / (p->heads / p->key_heads), value_head = h / (p->heads / p->value_heads);
            case_poison(&p->keys, b, key_head, j, p->dim, case_random_next(random));
            case_poison(&p->values, b, value_head, j, p->value_dim, case_random_next(random));
            for (size_t n = 0; n < rows_of(p); n++) {
                const size_t head = n / p->q_len % p->heads;
                const int reads = n / p->q_len / p->heads == b && (head / (p->heads / p->key_heads) == key_head ||
                                                                   head / (p->heads / p->value_heads) == value_head);
                touched[n] |= reads && is_read(s, n * p->k_len + j);
            }
        }
        check(run(p, &r, NULL) == ATTN_OK, "seed %u: status", s->c.seed);
        same_results(s, clean, &r, touched, "garbage in keys that the row does not keep");
        free(touched);
    }
    case_fill(&s->c, 0);
    arena = mark;
}

/* A NaN in a kept key makes its rows NaN; a NaN in a kept value its column alone. */
static void test_nan(const struct subject *s, const struct attn_result *clean, struct case_random *random) {
    const struct attn_problem *p = &s->c.problem;
    const struct case_arena mark = arena;
    struct attn_result r;
    if (!p->k_len || !rows_of(p) || !rows_alone(&p->keys, p->batch, p->key_heads) ||
        !rows_alone(&p->values, p->batch, p->value_heads) || dropout_acts(p) || case_results(&s->c, &r, &arena))
        return;
    const size_t start = case_random_below(random, (uint32_t)(rows_of(p) * p->k_len));
    size_t cell = start;
    while (s->reference.keys[cell] != ATTN_REFERENCE_KEPT || s->underflows[cell / p->k_len] ||
           !(s->reference.weights[cell] > 1e-30))
        if ((cell = (cell + 1) % (rows_of(p) * p->k_len)) == start) goto done; /* nothing is kept */
    const size_t row = cell / p->k_len, j = cell % p->k_len, b = row / p->q_len / p->heads,
                 h = row / p->q_len % p->heads;
    const size_t i = row % p->q_len, x = case_random_below(random, (uint32_t)p->value_dim);
    const size_t out = b * r.output_batch_stride + h * r.output_head_stride + i * r.output_row_stride;
    struct attn_tensor t = p->values;
    if (p->value_dim && r.output) {
        const size_t at = b * t.batch_stride + h / (p->heads / p->value_heads) * t.head_stride + j * t.row_stride + x;
        memset((char *)(void *)t.data + at * (t.dtype == ATTN_FLOAT32 ? 4 : 2), 0xff, t.dtype == ATTN_FLOAT32 ? 4 : 2);
        int ok = run(p, &r, NULL) == ATTN_OK;
        for (size_t y = 0; y < p->value_dim; y++)
            ok &= y == x ? isnan(r.output[out + y]) : same_bits(r.output[out + y], clean->output[out + y]);
        if (!check(ok, "seed %u: NaN in column %zu of value %zu, row [%zu,%zu,%zu]", s->c.seed, x, j, b, h, i))
            describe(&s->c);
    }
    case_fill(&s->c, 0);
    t = p->keys;
    if (p->dim) {
        const size_t at = b * t.batch_stride + h / (p->heads / p->key_heads) * t.head_stride + j * t.row_stride;
        memset((char *)(void *)t.data + at * (t.dtype == ATTN_FLOAT32 ? 4 : 2), 0xff, t.dtype == ATTN_FLOAT32 ? 4 : 2);
        int ok = run(p, &r, NULL) == ATTN_OK;
        for (size_t y = 0; r.output && y < p->value_dim; y++) ok &= isnan(r.output[out + y]) != 0;
        if (r.log_sum_exp) ok &= isnan(r.log_sum_exp[row]) != 0;
        if (r.denominator) ok &= isnan(r.denominator[row]) != 0;
        if (!check(ok, "seed %u: NaN in key %zu, row [%zu,%zu,%zu]", s->c.seed, j, b, h, i)) describe(&s->c);
    }
done:
    case_fill(&s->c, 0);
    arena = mark;
}

/* Asking for less gives the same bits. */
static void test_requests(const struct subject *s, const struct attn_result *all, struct case_random *random) {
    const struct case_arena mark = arena;
    struct attn_result r;
    if (case_results(&s->c, &r, &arena)) return;
    if (all->output && all->log_sum_exp && case_random_below(random, 2)) r.log_sum_exp = NULL;
    r.weights = r.scores = NULL;
    if (case_random_below(random, 2)) r.numerator = r.denominator = r.row_max = NULL;
    r.dropout_mask = NULL;
    check(run(&s->c.problem, &r, NULL) == ATTN_OK, "seed %u: status", s->c.seed);
    same_results(s, all, &r, NULL, "asking for less");
    arena = mark;
}

/* ---- partials over ranges of keys ---- */

/* Moves a tensor's start by `elements`. */
static void advance(struct attn_tensor *t, size_t elements) {
    if (!t->data || !t->capacity) return;
    t->data = (const char *)t->data + elements * (t->dtype == ATTN_FLOAT32 ? 4 : t->dtype == ATTN_BOOL ? 1 : 2);
    t->capacity -= elements < t->capacity ? elements : t->capacity;
}

/* The problem of keys [begin, end) alone. 0 = done, -1 = no room. */
static int slice(struct attn_problem *part, const struct attn_problem *p, size_t begin, size_t end) {
    *part = *p;
    part->k_len = end - begin;
    part->key_offset += (int32_t)begin;
    advance(&part->keys, begin * p->keys.row_stride);
    advance(&part->values, begin * p->values.row_stride);
    advance(&part->attention_mask, begin * p->attention_mask.column_stride);
    advance(&part->dropout.mask, begin * p->dropout.mask.column_stride);
    int32_t *offsets = case_alloc(&arena, p->batch * sizeof *offsets),
            *lengths = case_alloc(&arena, p->batch * sizeof *lengths);
    if (!offsets || !lengths) return -1;
    for (size_t b = 0; b < p->batch; b++) {
        const int64_t length = (p->key_lengths ? p->key_lengths[b] : (int64_t)p->k_len) - (int64_t)begin;
        offsets[b] = p->query_offsets ? p->query_offsets[b]
                                      : (int32_t)((int64_t)p->key_offset + (int64_t)p->k_len - (int64_t)p->q_len);
        lengths[b] = length < 0 ? 0 : (int32_t)(length > (int64_t)part->k_len ? (int64_t)part->k_len : length);
    }
    part->query_offsets = offsets;
    part->key_lengths = lengths;
    struct attn_mask *mask = &part->sparse_mask;
    if (mask->kind == ATTN_MASK_NONE) return 0;
    const size_t rows = mask->batch * mask->heads * p->q_len;
    if (mask->kind == ATTN_MASK_DENSE) {
        float *weights = case_alloc(&arena, rows * part->k_len * sizeof *weights);
        if (!weights) return -1;
        for (size_t r = 0; r < rows; r++)
            for (size_t j = 0; j < part->k_len; j++)
                weights[r * part->k_len + j] = mask->weights[r * p->k_len + begin + j];
        mask->weights = weights;
        return 0;
    }
    uint32_t *ptr = case_alloc(&arena, (rows + 1) * sizeof *ptr),
             *indices = case_alloc(&arena, mask->indices_len * sizeof *indices);
    float *weights = case_alloc(&arena, mask->indices_len * sizeof *weights);
    if (!ptr || !indices || !weights) return -1;
    uint32_t n = ptr[0] = 0;
    for (size_t r = 0; r < rows; r++) {
        for (uint32_t at = mask->ptr[r]; at < mask->ptr[r + 1]; at++)
            if (mask->indices[at] >= begin && mask->indices[at] < end) {
                indices[n] = (uint32_t)(mask->indices[at] - begin);
                weights[n++] = mask->weights ? mask->weights[at] : 1;
            }
        ptr[r + 1] = n;
    }
    mask->ptr = ptr, mask->indices = indices, mask->indices_len = n;
    if (mask->weights) mask->weights = weights;
    return 0;
}

static int run_partials(const struct attn_problem *p, struct attn_partials *partials) {
    struct attn_result r;
    const size_t rows = rows_of(p);
    attn_result_init(&r, p);
    partials->numerator = r.numerator = case_alloc(&arena, rows * p->value_dim * sizeof(float));
    partials->denominator = r.denominator = case_alloc(&arena, rows * sizeof(float));
    partials->row_max = r.row_max = case_alloc(&arena, rows * sizeof(float));
    if (!r.numerator || !r.denominator || !r.row_max) return -1;
    const enum attn_status status = run(p, &r, NULL);
    return check(status == ATTN_OK, "status %d of a slice", status) ? 0 : -1;
}

/* Partials over a split of the keys, merged in any order, are the partials of the whole, and finish as its output. */
static void test_partials(struct subject *s, struct case_random *random) {
    const struct attn_problem *p = &s->c.problem;
    const struct case_arena mark = arena;
    if ((int64_t)p->key_offset + (int64_t)p->k_len > INT32_MAX) return;
    enum { PARTS = 3 };
    size_t cuts[PARTS + 1] = {0, 0, 0, p->k_len};
    for (size_t n = 1; n < PARTS; n++) cuts[n] = case_random_below(random, (uint32_t)p->k_len + 1);
    if (cuts[1] > cuts[2]) cuts[1] ^= cuts[2], cuts[2] ^= cuts[1], cuts[1] ^= cuts[2];
    struct attn_partials partials[PARTS];
    for (size_t n = 0; n < PARTS; n++) {
        struct attn_problem part;
        if (slice(&part, p, cuts[n], cuts[n + 1]) || run_partials(&part, &partials[n])) goto done;
    }
    const size_t first = case_random_below(random, PARTS);
    CHECK(attn_partials_merge(partials[first], partials[(first + 1) % PARTS], rows_of(p), p->value_dim) == ATTN_OK);
    CHECK(attn_partials_merge(partials[first], partials[(first + 2) % PARTS], rows_of(p), p->value_dim) == ATTN_OK);

    struct attn_result merged = s->c.wanted;
    merged.numerator = partials[first].numerator;
    merged.denominator = partials[first].denominator;
    merged.row_max = partials[first].row_max;
    merged.weights = merged.scores = NULL;
    merged.dropout_mask = NULL;
    merged.output = case_alloc(&arena, merged.output_capacity * sizeof(float));
    merged.log_sum_exp = case_alloc(&arena, rows_of(p) * sizeof(float));
    if (!merged.output || !merged.log_sum_exp) goto done;
    CHECK(attn_partials_finish(&partials[first], p, &merged) == ATTN_OK);
    /* only the sum without dropout is a log-sum-exp */
    if (dropout_acts(p) && p->dropout.placement == ATTN_DROPOUT_BEFORE_NORMALIZATION) merged.log_sum_exp = NULL;
    compare_all(s, &merged, 2, 0);
done:
    arena = mark;
}

static void test_case(uint32_t seed) {
    struct subject s;
    arena = (struct case_arena){arena_base, arena_bytes, 0};
    struct case_random random = case_random_init(seed, 99);
    struct attn_result r, split;
    if (!check(case_make(&s.c, seed, &arena) == 0, "seed %u: the arena is too small", seed)) return;
    subject_init(&s);
    const size_t inputs = arena.used;
    check(inputs <= CASE_ARENA_BYTES, "seed %u: inputs of %zu bytes", seed, inputs);
    unsigned char *before = allocate(inputs);
    memcpy(before, arena.base, inputs);
    if (!check(case_results(&s.c, &r, &arena) == 0 && case_results(&s.c, &split, &arena) == 0, "seed %u: arena", seed))
        return;

    const enum attn_status status = run(&s.c.problem, &r, NULL);
    if (check(status == ATTN_OK, "seed %u: status %d (%s)", seed, status, attn_status_string(status))) {
        compare_all(&s, &r, 1, 1);
        guards_intact(&s, &r);
        check(run(&s.c.problem, &split, &random) == ATTN_OK, "seed %u: status", seed);
        same_results(&s, &r, &split, NULL, "splitting the jobs");
        test_requests(&s, &r, &random);
        check(memcmp(before, arena.base, inputs) == 0, "seed %u: changed an input", seed);
        test_garbage(&s, &r, &random);
        test_nan(&s, &r, &random);
        test_partials(&s, &random);
    } else
        describe(&s.c);
    free(before);
    free(s.memory);
}

/* Over a family the largest error may not exceed 1.5 times the naive loop's. */
static void test_statistics(void) {
    static const char *const families[] = {"ordinary", "large", "huge"};
    static const char *const kinds[] = {"output", "log_sum_exp", "weights"};
    for (int family = 0; family < CASE_FAMILIES; family++)
        for (int kind = 0; kind < STATISTICS; kind++) {
            const struct statistics *stats = &statistics[family][kind];
            if (stats->cases < 1000) continue; /* too few to say anything */
            printf("%-8s logits, %-11s: largest error %.3g, naive float32 %.3g, ratio %.2f (%u cases)\n",
                   families[family], kinds[kind], stats->ours, stats->naive, stats->ours / stats->naive, stats->cases);
            check(stats->ours <= 1.5 * stats->naive, "%s logits: error of %s", families[family], kinds[kind]);
        }
}

int main(int argc, char **argv) {
    const uint32_t cases = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 6000;
    const uint32_t first = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 0) : 1;
    if (argc < 3) {
        test_philox();
        test_dropout_threshold();
        test_exp();
        test_tanh();
        test_strings();
        test_statuses();
        test_empty();
        test_convert();
        test_heap();
    }
    arena_base = allocate(arena_bytes);
    for (uint32_t n = 0; n < cases; n++) test_case(first + n);
    test_statistics();
    free(arena_base);
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
