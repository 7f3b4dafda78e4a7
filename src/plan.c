/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.c - see plan.h. Integers only.
 */
#include "plan.h"

#include "mask.h"
#include "route.h"
#include "softmax.h"
#include "tile.h"

/* Rows of a job: enough that packing a tile of keys and values is a small part of using it, and whole units of queries
 * for groups of up to 12 heads. */
#define BLOCK_ROWS 576
/* In place: so few queries that packing takes longer than it saves, and rows so long that interleaved sums are the
 * more exact ones. */
#define IN_PLACE_QUERIES 8
#define IN_PLACE_DIM 32
#define ELEMENT_BYTES 4 /* the workspace computes in 32 bits */

static size_t round_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

/* To whole units, and to at least one. */
static size_t whole_units(size_t queries) {
    return queries < ATTN_ROUTE_QUERIES ? ATTN_ROUTE_QUERIES : queries - queries % ATTN_ROUTE_QUERIES;
}

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

/* What a sparse mask asks of the jobs. Where the heads of a group have masks of their own, each one's rows stand together,
 * so that a strip is rows of one mask; but a few queries stand side by side, to share each key that is read. */
static void plan_routes(struct attn_plan *plan, const struct attn_problem *problem) {
    if (!problem->sparse_mask.count || plan->visit_all) return;
    int is_shared = attn_sparse_is_shared(problem, plan->group_heads);
    plan->mask_heads = is_shared ? 1 : plan->group_heads;
    plan->unit_count = (plan->block_queries - 1) / ATTN_ROUTE_QUERIES + 1;
    plan->heads_apart = !is_shared && !plan->in_place;
}

int attn_plan_compute(struct attn_plan *plan, const struct attn_problem *problem, const struct attn_result *result) {
    *plan = (struct attn_plan){.field = ATTN_FIELD_NONE};
    if (!problem->batch || !problem->heads || !problem->q_len) return 1;

    /* the most query heads that share both their key head and their value head */
    plan->group_heads =
        greatest_common_divisor(problem->heads / problem->key_heads, problem->heads / problem->value_heads);
    plan->group_count = problem->heads / plan->group_heads;
    /* blocks of equal size, but for the last, and of whole units */
    size_t most = whole_units(BLOCK_ROWS / plan->group_heads);
    size_t equal = (problem->q_len - 1) / ((problem->q_len - 1) / most + 1) + 1;
    plan->block_queries = equal < problem->q_len ? round_up(equal, ATTN_ROUTE_QUERIES) : equal;
    plan->block_count = (problem->q_len - 1) / plan->block_queries + 1;
    plan->block_rows = plan->group_heads * plan->block_queries;
    /* not by the rows: heads that share their keys get the same bits as heads with copies of them */
    plan->in_place = problem->q_len <= IN_PLACE_QUERIES && problem->dim >= IN_PLACE_DIM;
    plan->tile_count = round_up(problem->k_len, ATTN_TILE_KEYS) / ATTN_TILE_KEYS;
    plan->visit_all = result->scores || problem->row_max_over == ATTN_ROW_MAX_ALLOWED;

    plan_routes(plan, problem);

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
    plan->routes_offset = reserve(plan, &overflow, plan->mask_heads * plan->unit_count, plan->tile_count + 1, 1);
    plan->tallies_offset =
        reserve(plan, &overflow, plan->mask_heads ? plan->tile_count : 0, 1, attn_route_tally_bytes());
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
