/* SPDX-License-Identifier: Apache-2.0
 *
 * cells.c - see cells.h.
 */
#include "cells.h"

#include <math.h>
#include <stdlib.h>

#include "programs.h"
#include "test.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define PICK(random, array) (array)[case_random_below(random, COUNT(array))]

static int chance(struct case_random *random, uint32_t percent) { return case_random_below(random, 100) < percent; }

/* Room for `count` elements; the arena has plenty for a cell. */
static void *array(struct case_arena *arena, size_t count, size_t bytes) {
    void *block = case_alloc(arena, count * bytes);
    if (!CHECK(block != NULL)) abort();
    return block;
}

/* Large problems have few heads and short rows: the reference takes its time. */
static void draw_shape(struct attn_problem *p, size_t q_len, size_t k_len, unsigned parts, struct case_random *random) {
    static const uint8_t dims[] = {1, 15, 16, 31, 32, 33, 64, 80}, value_dims[] = {1, 7, 8, 9, 16, 33, 64};
    static const uint8_t heads[][3] = {{1, 1, 1}, {2, 1, 1}, {2, 2, 1}, {2, 1, 2}, {3, 1, 1}, {4, 1, 1},
                                       {5, 1, 1}, {4, 2, 1}, {4, 2, 2}, {6, 3, 2}, {6, 2, 2}};
    const int large = q_len * k_len > (parts & CELL_PROGRAM ? 4000u : 400u); /* programs are about heads */
    const uint8_t *h = heads[case_random_below(random, large ? 4 : COUNT(heads))];
    const size_t dim = dims[case_random_below(random, large ? 6 : COUNT(dims))];
    const size_t value_dim = value_dims[case_random_below(random, large ? 5 : COUNT(value_dims))];
    const size_t batch = !large && chance(random, 25) ? 2 : 1;
    attn_problem_init(p, batch, h[0], h[1], h[2], q_len, k_len, dim, value_dim);
}

/* Contiguous, or the heads of a row side by side, or rows apart from each other. */
static void draw_tensor(struct attn_tensor *t, const struct attn_problem *p, enum attn_dtype dtype, size_t heads,
                        size_t rows, size_t columns, struct case_random *random, struct case_arena *arena) {
    const uint32_t layout = case_random_below(random, 3);
    t->dtype = dtype;
    if (layout == 1) t->head_stride = columns, t->row_stride = heads * columns;
    if (layout == 2) t->row_stride = columns + 3, t->head_stride = rows * t->row_stride;
    if (layout == 2) t->batch_stride = heads * t->head_stride;
    t->capacity =
        (p->batch - 1) * t->batch_stride + (heads - 1) * t->head_stride + (rows - 1) * t->row_stride + columns;
    t->data = array(arena, t->capacity, dtype == ATTN_FLOAT32 ? 4 : 2);
}

static void draw_positions(struct attn_problem *p, unsigned parts, struct case_random *random,
                           struct case_arena *arena) {
    static const uint32_t sides[] = {0, 1, 5, 63, ATTN_UNBOUNDED};
    p->causal = (parts & CELL_CAUSAL) != 0;
    p->has_window = (parts & CELL_WINDOW) != 0;
    p->window_left = PICK(random, sides);
    p->window_right = PICK(random, sides);
    if (chance(random, 20)) p->key_offset = 1 + (int32_t)case_random_below(random, 70);
    if (chance(random, 20)) {
        int32_t *offsets = array(arena, p->batch, sizeof *offsets);
        for (size_t b = 0; b < p->batch; b++)
            offsets[b] = p->key_offset - 3 + (int32_t)case_random_below(random, (uint32_t)p->k_len + 6);
        p->query_offsets = offsets;
    }
    if (!(parts & CELL_LENGTHS)) return;
    int32_t *lengths = array(arena, p->batch, sizeof *lengths);
    for (size_t b = 0; b < p->batch; b++) lengths[b] = (int32_t)case_random_below(random, (uint32_t)p->k_len + 1);
    p->key_lengths = lengths;
}

static void draw_scores(struct attn_problem *p, unsigned parts, struct case_random *random, struct case_arena *arena) {
    if (chance(random, 20)) p->softcap = 3;
    if (parts & CELL_ALIBI) {
        float *slopes = array(arena, p->heads, sizeof *slopes);
        for (size_t h = 0; h < p->heads; h++) slopes[h] = 1 / (float)(2u << h);
        p->alibi_slopes = slopes;
    }
    if (chance(random, 20)) {
        float *sinks = array(arena, p->heads, sizeof *sinks);
        for (size_t h = 0; h < p->heads; h++) sinks[h] = chance(random, 20) ? -INFINITY : 3 * case_random_float(random);
        p->sinks = sinks;
    }
}

static void draw_attention_mask(struct attn_problem *p, const uint8_t *dead, unsigned parts, struct case_random *random,
                                struct case_arena *arena) {
    static const enum attn_dtype dtypes[] = {ATTN_FLOAT32, ATTN_FLOAT32, ATTN_FLOAT16, ATTN_BFLOAT16};
    struct attn_tensor t = {.dtype = parts & CELL_BOOLEAN ? ATTN_BOOL : PICK(random, dtypes), .column_stride = 1};
    const int by_batch = chance(random, 50), by_head = chance(random, 50), by_row = chance(random, 75);
    const size_t rows = by_row ? p->q_len : 1, heads = by_head ? p->heads : 1, batch = by_batch ? p->batch : 1;
    if (by_row) t.row_stride = p->k_len;
    if (by_head) t.head_stride = rows * p->k_len;
    if (by_batch) t.batch_stride = heads * rows * p->k_len;
    t.capacity = batch * heads * rows * p->k_len;
    float *numbers = array(arena, t.capacity, sizeof *numbers);
    uint8_t *keeps = array(arena, t.capacity, sizeof *keeps);
    uint16_t *halves = array(arena, t.capacity, sizeof *halves);
    for (size_t n = 0; n < t.capacity; n++) {
        keeps[n] = !dead[n % p->k_len] && chance(random, 80) ? (uint8_t)(1 + case_random_below(random, 255)) : 0;
        numbers[n] = keeps[n] ? 2 * case_random_float(random) : -INFINITY;
    }
    t.data = t.dtype == ATTN_BOOL ? (void *)keeps : t.dtype == ATTN_FLOAT32 ? (void *)numbers : (void *)halves;
    if (t.data == halves) CHECK(attn_convert(halves, t.dtype, numbers, ATTN_FLOAT32, t.capacity) == ATTN_OK);
    p->attention_mask = t;
}

static void draw_sparse_mask(struct attn_problem *p, const uint8_t *dead, unsigned parts, struct case_random *random,
                             struct case_arena *arena) {
    struct attn_mask_node *mask = array(arena, 1, sizeof *mask);
    *mask = (struct attn_mask_node){.kind = parts & CELL_DENSE ? ATTN_MASK_DENSE : ATTN_MASK_CSR};
    p->sparse_mask = (struct attn_mask){mask, 1};
    const size_t heads[] = {1, p->key_heads, p->heads};
    mask->batch = chance(random, 50) ? 1 : (uint32_t)p->batch;
    mask->heads = (uint32_t)PICK(random, heads);
    p->weighting = chance(random, 50) ? ATTN_WEIGHTING_MULTIPLY : ATTN_WEIGHTING_INVERSE;
    p->route = (enum attn_route)case_random_below(random, 3);
    const size_t rows = (size_t)mask->batch * mask->heads * p->q_len, cells = rows * p->k_len;
    const int weighted = chance(random, 75);
    float *weights = array(arena, cells, sizeof *weights), *values = array(arena, cells, sizeof *values);
    uint32_t *ptr = array(arena, rows + 1, sizeof *ptr), *indices = array(arena, cells, sizeof *indices);
    uint32_t n = ptr[0] = 0;
    for (size_t cell = 0; cell < cells; cell++) {
        const int kept = !dead[cell % p->k_len] && chance(random, 40);
        weights[cell] = !kept ? 0 : weighted ? 1.0f / 64 + fabsf(case_random_float(random)) : 1;
        if (kept) indices[n] = (uint32_t)(cell % p->k_len), values[n++] = weights[cell];
        ptr[cell / p->k_len + 1] = n;
    }
    mask->weights = mask->kind == ATTN_MASK_DENSE ? weights : weighted ? values : NULL;
    if (mask->kind == ATTN_MASK_DENSE) return;
    mask->ptr = ptr;
    mask->indices = indices;
    mask->indices_len = n;
}

static void draw_dropout(struct attn_dropout *dropout, struct case_random *random) {
    dropout->rate = chance(random, 90) ? 0.3 : 1;
    dropout->training = 1;
    dropout->placement = chance(random, 50) ? ATTN_DROPOUT_BEFORE_NORMALIZATION : ATTN_DROPOUT_AFTER_NORMALIZATION;
    dropout->seed_low = case_random_next(random);
    dropout->seed_high = case_random_next(random);
}

static void draw_wanted(struct attn_result *wanted, const struct attn_problem *p, struct case_random *random) {
    static float yes[1];
    attn_result_init(wanted, p);
    wanted->output = yes;
    wanted->log_sum_exp = chance(random, 50) ? yes : NULL;
    wanted->numerator = wanted->denominator = wanted->row_max = chance(random, 40) ? yes : NULL;
    wanted->weights = chance(random, 40) ? yes : NULL;
    wanted->scores = chance(random, 25) ? yes : NULL;
    wanted->score_stage = (enum attn_score_stage)case_random_below(random, 3);
    wanted->dropout_mask = p->dropout.training && chance(random, 50) ? (uint8_t *)yes : NULL;
    wanted->entry_weights = chance(random, 40) ? yes : NULL;
    if (chance(random, 60)) return;
    wanted->row_begin = case_random_below(random, (uint32_t)p->q_len);
    wanted->row_end = wanted->row_begin + 1 + case_random_below(random, (uint32_t)(p->q_len - wanted->row_begin));
    wanted->column_begin = case_random_below(random, (uint32_t)p->k_len);
    wanted->column_end =
        wanted->column_begin + 1 + case_random_below(random, (uint32_t)(p->k_len - wanted->column_begin));
}

void cell_make(struct case_problem *c, uint32_t number, size_t q_len, size_t k_len, enum attn_dtype dtype,
               unsigned parts, struct case_arena *arena) {
    static const enum attn_dtype dtypes[] = {ATTN_FLOAT32, ATTN_FLOAT32, ATTN_FLOAT16, ATTN_BFLOAT16};
    struct case_random random = case_random_init(number, 98);
    struct attn_problem *p = &c->problem;
    *c = (struct case_problem){.seed = number, .query_amplitude = 2, .key_amplitude = 2, .value_amplitude = 1};
    draw_shape(p, q_len, k_len, parts, &random);
    draw_tensor(&p->queries, p, PICK(&random, dtypes), p->heads, q_len, p->dim, &random, arena);
    draw_tensor(&p->keys, p, dtype, p->key_heads, k_len, p->dim, &random, arena);
    draw_tensor(&p->values, p, dtype, p->value_heads, k_len, p->value_dim, &random, arena);
    if (parts == CELL_ALL)
        parts &= ~(unsigned)((chance(&random, 50) ? CELL_ADDITIVE : CELL_BOOLEAN) |
                             (chance(&random, 50) ? CELL_DENSE : CELL_CSR));
    p->empty_rows = chance(&random, 20) ? ATTN_EMPTY_ROWS_NAN : ATTN_EMPTY_ROWS_ZERO;
    p->row_max_over = chance(&random, 15) ? ATTN_ROW_MAX_ALLOWED : ATTN_ROW_MAX_KEPT;
    /* keys that no row sees, full of garbage; the maximum over all keys would see them behind a sparse mask alone */
    const int kills = parts & (CELL_ADDITIVE | CELL_BOOLEAN) ||
                      (parts & (CELL_DENSE | CELL_CSR) && p->row_max_over == ATTN_ROW_MAX_KEPT);
    uint8_t *dead = array(arena, k_len, sizeof *dead);
    for (size_t j = 0; j < k_len; j++) dead[j] = kills && chance(&random, 15);
    c->dead = dead;
    draw_positions(p, parts, &random, arena);
    draw_scores(p, parts, &random, arena);
    if (parts & (CELL_ADDITIVE | CELL_BOOLEAN)) draw_attention_mask(p, dead, parts, &random, arena);
    if (parts & (CELL_DENSE | CELL_CSR)) draw_sparse_mask(p, dead, parts, &random, arena);
    if (parts & CELL_PROGRAM) program_draw(p, &random, arena);
    if (chance(&random, 25)) draw_dropout(&p->dropout, &random);
    draw_wanted(&c->wanted, p, &random);
    case_fill(c, 0);
    if (!CHECK(case_entries(c, arena) == 0)) abort();
}
