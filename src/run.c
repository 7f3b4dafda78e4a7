/* SPDX-License-Identifier: Apache-2.0
 *
 * run.c - one job: for each tile of keys, for each strip of rows; then row by row what is gathered, and what is written.
 * A row's result depends on the tiles' fixed grid and on its unit's routes alone, not on its neighbours.
 */
#include "run.h"

#include "close.h"
#include "gather.h"
#include "pack.h"
#include "route.h"
#include "source.h"
#include "strip.h"

/* Queries are read where they stand, unless they must be widened or heads brought together. */
static int needs_query_copy(const struct attn_context *c) {
    return c->problem->queries.dtype != ATTN_FLOAT32 || c->plan->group_heads > 1 || !c->problem->dim;
}

/* Whether all heads of the job see a query's keys alike, and nothing is added to their scores that differs. */
static int shares_masks(const struct attn_problem *problem, const struct attn_plan *plan) {
    const struct attn_tensor *mask = &problem->attention_mask;
    return plan->mask_heads == 1 && !plan->heads_apart && !problem->alibi_slopes && !(mask->data && mask->head_stride);
}

static struct attn_context context(const struct attn_plan *plan, const struct attn_problem *problem,
                                   const struct attn_result *result, void *workspace, size_t job) {
    char *base = workspace;
    struct attn_context c = {.problem = problem, .result = result, .plan = plan};
    c.job = attn_plan_job(plan, problem, job);
    c.rows = plan->group_heads * (c.job.query_end - c.job.query_begin);
    c.wide = (problem->value_dim + ATTN_PANEL - 1) / ATTN_PANEL * ATTN_PANEL;
    c.query_rows = (float *)(base + plan->queries_offset);
    c.keys = (float *)(base + plan->keys_offset);
    c.values = (float *)(base + plan->values_offset);
    c.accumulators = (float *)(base + plan->accumulators_offset);
    c.scores = (float *)(base + plan->scores_offset);
    c.scratch = (float *)(base + plan->scratch_offset);
    c.softmax = (struct attn_softmax *)(base + plan->softmax_offset);
    c.mask_rows = (struct attn_mask_row *)(base + plan->mask_rows_offset);
    c.tile_max = (float *)(base + plan->tile_max_offset);
    c.routes = plan->mask_heads ? (uint8_t *)(base + plan->routes_offset) : NULL;
    c.queries = c.query_rows, c.query_stride = problem->dim;
    if (!needs_query_copy(&c)) {
        c.queries = attn_source_address(&problem->queries, c.job.batch, c.job.head_begin, c.job.query_begin);
        c.query_stride = problem->queries.row_stride;
    }
    c.rules = attn_softmax_rules(problem, attn_mask_is_biased(problem), plan->visit_all, result->score_stage);
    c.ranged = attn_mask_is_ranged(problem) && !plan->visit_all;
    c.weighted = attn_sparse_is_weighted(&problem->sparse_mask) ||
                 (problem->sparse_mask.count && problem->weighting == ATTN_WEIGHTING_INVERSE);
    c.sharing = c.routes && shares_masks(problem, plan) ? plan->group_heads : 1;
    return c;
}

/* Copies queries that must be copied, fetches others, clears the rows' state and routes them. */
static void open_rows(const struct attn_context *c, void *workspace) {
    const struct attn_problem *problem = c->problem;
    const struct attn_job *job = &c->job;
    size_t dim = problem->dim, heads = c->plan->group_heads;
    int copies = needs_query_copy(c);
    if (!copies) attn_source_fetch(&problem->queries, job->batch, job->head_begin, job->query_begin, c->rows, dim);
    for (size_t n = 0; n < c->rows; n++) {
        size_t head = n % heads, query = n / heads, r = attn_job_row(c, head, query);
        head += job->head_begin, query += job->query_begin;
        if (copies) {
            const float *source = attn_source_row(&problem->queries, job->batch, head, query, dim, c->scratch);
            attn_copy_f32(c->query_rows + r * dim, source, dim);
        }
        c->mask_rows[r] = attn_mask_row(problem, job->batch, head, query);
        if (r % ATTN_SOFTMAX_ROWS == 0) attn_softmax_init(&c->softmax[r / ATTN_SOFTMAX_ROWS]);
    }
    attn_clear_f32(c->accumulators, c->rows * c->wide);
    if (c->routes) attn_route_job(c, (char *)workspace + c->plan->tallies_offset);
}

/* The ranges of keys that some row and that every row may see. */
static void find_keys(struct attn_context *c) {
    c->key_begin = c->all_end = c->problem->k_len;
    for (size_t r = 0; r < c->rows; r++) {
        c->key_begin = attn_smaller(c->key_begin, c->mask_rows[r].key_begin);
        c->key_end = attn_larger(c->key_end, c->mask_rows[r].key_end);
        c->all_begin = attn_larger(c->all_begin, c->mask_rows[r].key_begin);
        c->all_end = attn_smaller(c->all_end, c->mask_rows[r].key_end);
    }
    /* skipped tiles still get their zeros where a matrix is asked for */
    if (c->result->weights || c->plan->visit_all) c->key_begin = 0, c->key_end = c->problem->k_len;
}

static void spend(size_t *row_tiles, size_t cost) { *row_tiles -= attn_smaller(*row_tiles, cost); }

/* Strips of progress->tile from progress->row on; returns whether all are done. */
static int run_tile(const struct attn_context *c, struct attn_progress *progress, size_t *row_tiles) {
    size_t index = progress->tile, key = index * ATTN_TILE_KEYS;
    struct attn_tile tile = {.index = index, .key = key};
    tile.count = attn_smaller(ATTN_TILE_KEYS, c->problem->k_len - key);
    if (c->routes && !c->result->weights && !attn_route_uses_tile(c, index)) return 1;
    for (; progress->row < c->rows; progress->row += attn_strip_rows(c, progress->row)) {
        if (!*row_tiles) return 0;
        spend(row_tiles, attn_strip_run(c, &tile, progress->row));
    }
    return 1;
}

/* All tiles from progress->tile on; returns whether all are done. */
static int run_tiles(struct attn_context *c, struct attn_progress *progress, size_t *row_tiles) {
    find_keys(c);
    progress->tile = attn_larger(progress->tile, c->key_begin / ATTN_TILE_KEYS);
    for (; progress->tile * ATTN_TILE_KEYS < c->key_end; progress->tile++, progress->row = 0) {
        if (!run_tile(c, progress, row_tiles)) return 0;
    }
    return 1;
}

/* Rows that share their masks, from `first` on: what is gathered, and then, while it is at hand, what is written. Returns
 * what it cost, in row-tiles. */
static size_t finish_rows(const struct attn_context *c, size_t first) {
    size_t cost = c->routes ? attn_gather_rows(c, first, c->sharing) : 0;
    for (size_t r = first; r < first + c->sharing; r++) attn_close_row(c, r);
    return cost + c->sharing * attn_close_cost(c);
}

struct attn_context attn_run_open(const struct attn_plan *plan, const struct attn_problem *problem,
                                  const struct attn_result *result, void *workspace, size_t job) {
    struct attn_context c = context(plan, problem, result, workspace, job);
    open_rows(&c, workspace);
    return c;
}

void attn_run_job(const struct attn_plan *plan, const struct attn_problem *problem, const struct attn_result *result,
                  void *workspace, struct attn_progress *progress, size_t *row_tiles) {
    struct attn_context c = context(plan, problem, result, workspace, progress->job);
    const size_t tiles = plan->tile_count;
    if (progress->tile == 0 && progress->row == 0) open_rows(&c, workspace);
    if (progress->tile < tiles) {
        if (!run_tiles(&c, progress, row_tiles)) return;
        progress->tile = tiles, progress->row = 0;
    }
    for (; progress->row < c.rows; progress->row += c.sharing) {
        if (!*row_tiles) return;
        spend(row_tiles, finish_rows(&c, progress->row));
    }
    *progress = (struct attn_progress){.job = progress->job + 1};
}
