/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.c - see plan.h. Integers only.
 */
#include "plan.h"

#include "mask.h"
#include "softmax.h"
#include "tile.h"

/* Rows of a job: enough that packing a tile of keys and values is a small part of using it. */
#define BLOCK_ROWS 512
/* In place: so few queries that packing takes longer than it saves, and rows so long that interleaved sums are the
 * more exact ones. */
#define IN_PLACE_QUERIES 8
#define IN_PLACE_DIM 32
#define ELEMENT_BYTES 4 /* the workspace computes in 32 bits */

static size_t round_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

static size_t greatest_common_divisor(size_t a, size_t b) {
    while (b) {
        size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Appends count * stride * bytes to the workspace; returns its offset. */
static size_t reserve(struct attn_plan *plan, int *overflow, size_t count, size_t stride, size_t bytes) {
    size_t offset = plan->workspace_bytes, size = 0;
    *overflow |= __builtin_mul_overflow(count, stride, &size);
    *overflow |= __builtin_mul_overflow(size, bytes, &size);
    *overflow |= __builtin_add_overflow(size, (size_t)(ATTN_ALIGNMENT - 1), &size);
    size -= size % ATTN_ALIGNMENT;
    *overflow |= __builtin_add_overflow(offset, size, &plan->workspace_bytes);
    return offset;
}

int attn_plan_compute(struct attn_plan *plan, const struct attn_problem *problem, const struct attn_result *result) {
    *plan = (struct attn_plan){.field = ATTN_FIELD_NONE};
    if (!problem->batch || !problem->heads || !problem->q_len) return 1;

    /* the most query heads that share both their key head and their value head */
    plan->group_heads =
        greatest_common_divisor(problem->heads / problem->key_heads, problem->heads / problem->value_heads);
    plan->group_count = problem->heads / plan->group_heads;
    size_t most = plan->group_heads < BLOCK_ROWS ? BLOCK_ROWS / plan->group_heads : 1;
    plan->block_queries = (problem->q_len - 1) / ((problem->q_len - 1) / most + 1) + 1; /* blocks of equal size */
    plan->block_count = (problem->q_len - 1) / plan->block_queries + 1;
    plan->block_rows = plan->group_heads * plan->block_queries;
    /* not by the rows: heads that share their keys get the same bits as heads with copies of them */
    plan->in_place = problem->q_len <= IN_PLACE_QUERIES && problem->dim >= IN_PLACE_DIM;
    plan->tile_count = round_up(problem->k_len, ATTN_TILE_KEYS) / ATTN_TILE_KEYS;
    plan->visit_all = result->scores || problem->row_max_over == ATTN_ROW_MAX_ALLOWED;

    size_t wide = round_up(problem->value_dim, ATTN_PANEL);
    size_t scratch = problem->dim > problem->value_dim ? problem->dim : problem->value_dim;
    int overflow = __builtin_mul_overflow(problem->batch, plan->group_count, &plan->jobs);
    overflow |= __builtin_mul_overflow(plan->jobs, plan->block_count, &plan->jobs);
    plan->queries_offset = reserve(plan, &overflow, plan->block_rows, problem->dim, ELEMENT_BYTES);
    plan->keys_offset = reserve(plan, &overflow, ATTN_TILE_KEYS, problem->dim, ELEMENT_BYTES);
    plan->values_offset = reserve(plan, &overflow, ATTN_TILE_KEYS, wide, ELEMENT_BYTES);
    plan->accumulators_offset = reserve(plan, &overflow, plan->block_rows, wide, ELEMENT_BYTES);
    plan->scores_offset = reserve(plan, &overflow, ATTN_STRIP_ROWS, ATTN_TILE_KEYS, ELEMENT_BYTES);
    plan->scratch_offset = reserve(plan, &overflow, ATTN_PANEL, scratch, ELEMENT_BYTES);
    plan->softmax_offset = reserve(plan, &overflow, round_up(plan->block_rows, ATTN_SOFTMAX_ROWS) / ATTN_SOFTMAX_ROWS,
                                   1, sizeof(struct attn_softmax));
    plan->mask_rows_offset = reserve(plan, &overflow, plan->block_rows, 1, sizeof(struct attn_mask_row));
    plan->tile_max_offset =
        reserve(plan, &overflow, result->weights ? plan->block_rows : 0, plan->tile_count, ELEMENT_BYTES);
    return !overflow;
}

struct attn_job attn_plan_job(const struct attn_plan *plan, const struct attn_problem *problem, size_t job) {
    size_t block = job % plan->block_count, group = job / plan->block_count % plan->group_count;
    size_t query_begin = block * plan->block_queries, left = problem->q_len - query_begin;
    return (struct attn_job){
        .batch = job / plan->block_count / plan->group_count,
        .head_begin = group * plan->group_heads,
        .query_begin = query_begin,
        .query_end = query_begin + (left < plan->block_queries ? left : plan->block_queries),
    };
}
