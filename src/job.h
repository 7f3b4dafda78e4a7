/* SPDX-License-Identifier: Apache-2.0
 *
 * job.h - one job at work: what its parts share. run.c opens it and goes through it; strip.c computes tiles, gather.c
 * listed keys, close.c writes what comes out.
 */
#ifndef ATTN_JOB_H
#define ATTN_JOB_H

#include "attn.h"
#include "mask.h"
#include "plan.h"
#include "softmax.h"

/* Terms summed in one go: blocks lose less than one long sum, most of all of large logits. */
#define ATTN_SCORE_BLOCK 32
#define ATTN_VALUE_BLOCK 64

struct attn_context {
    const struct attn_problem *problem;
    const struct attn_result *result;
    const struct attn_plan *plan;
    struct attn_job job;
    size_t rows, wide;         /* rows of the job; value_dim in whole panels */
    size_t key_begin, key_end; /* outside them no row of the job has a key */
    size_t all_begin, all_end; /* within them no row lacks one */
    const float *queries;      /* [rows, dim] */
    size_t query_stride;
    float *query_rows, *keys, *values, *accumulators, *scores, *scratch, *tile_max;
    struct attn_softmax *softmax; /* of four rows each */
    struct attn_mask_row *mask_rows;
    uint8_t *routes; /* [mask_heads, unit_count, tile_count + 1], see route.h; NULL: everything in tiles */
    int ranged;      /* rows are described by their keys alone */
    int weighted;    /* what the sparse mask keeps has weights */
    size_t sharing;  /* that many rows that follow each other, from a multiple of it on, have the same masks */
    struct attn_softmax_rules rules;
};

/* One of the four rows of a softmax state. */
struct attn_row_state {
    float max, sum, dropped_sum;
};

static inline struct attn_row_state attn_row_state(const struct attn_context *c, size_t r) {
    const struct attn_softmax *state = &c->softmax[r / ATTN_SOFTMAX_ROWS];
    size_t i = r % ATTN_SOFTMAX_ROWS;
    return (struct attn_row_state){state->max[i], state->sum[i], state->dropped_sum[i]};
}

static inline size_t attn_smaller(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t attn_larger(size_t a, size_t b) { return a > b ? a : b; }

static inline size_t attn_key_head(const struct attn_context *c) {
    return c->job.head_begin / (c->problem->heads / c->problem->key_heads);
}

static inline size_t attn_value_head(const struct attn_context *c) {
    return c->job.head_begin / (c->problem->heads / c->problem->value_heads);
}

/* The row of the job's head `head` and query `query`, both counted within it. */
static inline size_t attn_job_row(const struct attn_context *c, size_t head, size_t query) {
    if (c->plan->heads_apart) return head * (c->job.query_end - c->job.query_begin) + query;
    return query * c->plan->group_heads + head;
}

/* The routes [tile_count + 1] of row r. */
static inline const uint8_t *attn_row_routes(const struct attn_context *c, size_t r) {
    const struct attn_mask_row *row = &c->mask_rows[r];
    size_t unit = (row->query - c->job.query_begin) / ATTN_ROUTE_QUERIES;
    size_t head = c->plan->mask_heads == 1 ? 0 : row->head - c->job.head_begin;
    return c->routes + (head * c->plan->unit_count + unit) * (c->plan->tile_count + 1);
}

/* Where weights or scores of row r begin in `matrix`, as if its column 0 were there; NULL outside the asked rows. */
static inline float *attn_window_row(const struct attn_context *c, float *matrix, size_t r) {
    const struct attn_result *result = c->result;
    const struct attn_mask_row *row = &c->mask_rows[r];
    if (!matrix || row->query < result->row_begin || row->query >= result->row_end) return NULL;
    size_t rows = result->row_end - result->row_begin, columns = result->column_end - result->column_begin;
    return matrix + ((row->batch * c->problem->heads + row->head) * rows + (row->query - result->row_begin)) * columns;
}

#endif
