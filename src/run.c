/* SPDX-License-Identifier: Apache-2.0
 *
 * run.c - one job: for each tile of keys, for each strip of ATTN_TILE_ROWS rows: scores, online softmax,
 * accumulation (Dao et al. 2022, Milakov and Gimelshein 2018). Keys and values of a tile are packed once per job,
 * and only if some row sees them. A row's result depends on the tiles' fixed grid alone, not on its neighbours.
 */
#include "run.h"

#include "dropout.h"
#include "mask.h"
#include "plan.h"
#include "softmax.h"
#include "source.h"
#include "tile.h"

#define STRIP ATTN_TILE_ROWS
#define SCORE_BLOCK 16 /* terms of a dot product summed in one go */

struct context {
    const struct attn_problem *problem;
    const struct attn_result *result;
    const struct attn_plan *plan;
    struct attn_job job;
    size_t queries, rows, wide; /* queries of the job; its rows, head by head; value_dim in whole panels */
    size_t key_begin, key_end;  /* outside them no row of the job has a key */
    float *query_rows, *key_panels, *value_panels, *accumulators, *scores, *scratch, *tile_max;
    struct attn_softmax *softmax;
    struct attn_mask_row *mask_rows;
};

/* The tile at hand. */
struct tile {
    size_t index, key, count;
    int packed, finite; /* whether the panels hold it; whether its values are all finite */
};

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static struct context open_job(const struct attn_plan *plan, const struct attn_problem *problem,
                               const struct attn_result *result, void *workspace, size_t job) {
    char *base = workspace;
    struct context c = {.problem = problem, .result = result, .plan = plan};
    c.job = attn_plan_job(plan, problem, job);
    c.queries = c.job.query_end - c.job.query_begin;
    c.rows = plan->group_heads * c.queries;
    c.wide = (problem->value_dim + ATTN_PANEL - 1) / ATTN_PANEL * ATTN_PANEL;
    c.query_rows = (float *)(base + plan->queries_offset);
    c.key_panels = (float *)(base + plan->keys_offset);
    c.value_panels = (float *)(base + plan->values_offset);
    c.accumulators = (float *)(base + plan->accumulators_offset);
    c.scores = (float *)(base + plan->scores_offset);
    c.scratch = (float *)(base + plan->scratch_offset);
    c.softmax = (struct attn_softmax *)(base + plan->rows_offset);
    c.mask_rows = (struct attn_mask_row *)(base + plan->mask_rows_offset);
    c.tile_max = (float *)(base + plan->tile_max_offset);
    return c;
}

/* Copies the queries, and rows of zeros that fill the last strip; clears the rows' state. */
static void open_rows(struct context *c) {
    const struct attn_problem *problem = c->problem;
    size_t dim = problem->dim;
    for (size_t r = 0; r < c->plan->block_rows; r++) {
        float *row = c->query_rows + r * dim;
        if (r < c->rows) {
            size_t head = c->job.head_begin + r / c->queries, query = c->job.query_begin + r % c->queries;
            const float *source = attn_source_row(&problem->queries, c->job.batch, head, query, dim, c->scratch);
            for (size_t i = 0; i < dim; i++) row[i] = source[i];
            c->mask_rows[r] = attn_mask_row(problem, c->job.batch, head, query);
            attn_softmax_init(&c->softmax[r]);
        } else {
            for (size_t i = 0; i < dim; i++) row[i] = 0;
        }
        for (size_t i = 0; i < c->wide; i++) c->accumulators[r * c->wide + i] = 0;
    }
}

/* The range of keys that some row may see. */
static void find_keys(struct context *c) {
    c->key_begin = c->problem->k_len;
    for (size_t r = 0; r < c->rows; r++) {
        c->key_begin = smaller(c->key_begin, c->mask_rows[r].key_begin);
        c->key_end = larger(c->key_end, c->mask_rows[r].key_end);
    }
    /* skipped tiles still get their zeros where a matrix is asked for */
    if (c->result->weights || c->plan->visit_all) c->key_begin = 0, c->key_end = c->problem->k_len;
}

static void pack(struct context *c, struct tile *tile) {
    const struct attn_problem *problem = c->problem;
    size_t key_head = c->job.head_begin / (problem->heads / problem->key_heads);
    size_t value_head = c->job.head_begin / (problem->heads / problem->value_heads);
    for (size_t j = 0; j < tile->count; j += ATTN_PANEL) {
        const float *rows[ATTN_PANEL];
        for (size_t i = 0; i < ATTN_PANEL; i++) {
            /* columns beyond the tile repeat its last key; the softmax ignores them */
            size_t key = tile->key + smaller(j + i, tile->count - 1);
            rows[i] = attn_source_row(&problem->keys, c->job.batch, key_head, key, problem->dim,
                                      c->scratch + i * problem->dim);
        }
        attn_pack_keys_f32(c->key_panels + j * problem->dim, rows, problem->dim);
    }
    float poison = 0;
    for (size_t j = 0; j < tile->count; j++) {
        const float *row =
            attn_source_row(&problem->values, c->job.batch, value_head, tile->key + j, problem->value_dim, c->scratch);
        poison += attn_pack_values_f32(c->value_panels, row, problem->value_dim, j, tile->count);
    }
    tile->packed = 1;
    tile->finite = poison == 0;
}

/* Where weights or scores of row r begin in `matrix`, as if its column 0 were there; NULL outside the asked rows. */
static float *window_row(const struct context *c, float *matrix, size_t r) {
    const struct attn_result *result = c->result;
    const struct attn_mask_row *row = &c->mask_rows[r];
    if (!matrix || row->query < result->row_begin || row->query >= result->row_end) return NULL;
    size_t rows = result->row_end - result->row_begin, columns = result->column_end - result->column_begin;
    return matrix + ((row->batch * c->problem->heads + row->head) * rows + (row->query - result->row_begin)) * columns;
}

/* Copies the asked columns of one row of the tile into a row of weights or scores; NULL: zeros. */
static void copy_window(const struct context *c, float *window, const struct tile *tile, const float *source) {
    size_t begin = larger(tile->key, c->result->column_begin);
    size_t end = smaller(tile->key + tile->count, c->result->column_end);
    for (size_t j = begin; j < end; j++) window[j - c->result->column_begin] = source ? source[j - tile->key] : 0;
}

/* c->scores = queries * keys, summed in blocks: large logits keep a bit more than in one long sum. */
static void score(struct context *c, const struct tile *tile, size_t strip) {
    size_t dim = c->problem->dim, panels = (tile->count + ATTN_PANEL - 1) / ATTN_PANEL, x = 0;
    do {
        attn_tile_f32_4x8(c->scores, ATTN_TILE_KEYS, c->query_rows + strip * dim + x, dim,
                          c->key_panels + x * ATTN_PANEL, dim * ATTN_PANEL, smaller(SCORE_BLOCK, dim - x), panels,
                          x > 0);
        x += SCORE_BLOCK;
    } while (x < dim);
}

/* Scores of one row in c->scores turned into exponentials; accumulators and sums rescaled to the new maximum. */
static void softmax_row(struct context *c, const struct tile *tile, size_t r, const struct attn_mask_tile *mask) {
    const struct attn_problem *problem = c->problem;
    struct attn_softmax_inputs inputs = {.scaling = problem->scaling,
                                         .softcap = problem->softcap,
                                         .bias = mask->bias,
                                         .weight = mask->weight,
                                         .max_over = problem->row_max_over,
                                         .stage = c->result->score_stage};
    float stage[ATTN_TILE_KEYS], dropout[ATTN_TILE_KEYS];
    float *score_window = window_row(c, c->result->scores, r);
    if (score_window) inputs.scores = stage;
    if (attn_dropout_acts(&problem->dropout)) {
        const struct attn_mask_row *row = &c->mask_rows[r];
        uint8_t keep[ATTN_TILE_KEYS];
        float factor = attn_dropout_factor(&problem->dropout);
        attn_dropout_keep(problem, row->batch, row->head, row->query, tile->key, tile->count, keep);
        for (size_t j = 0; j < tile->count; j++) dropout[j] = keep[j] ? factor : 0;
        inputs.dropout = dropout;
    }
    int first = c->softmax[r].max == -__builtin_inff();
    float rescale = attn_softmax_tile(&c->softmax[r], c->scores + r % STRIP * ATTN_TILE_KEYS, tile->count, &inputs);
    if (!first && rescale != 1) attn_tile_f32_scale(c->accumulators + r * c->wide, c->wide, rescale);
    if (score_window) copy_window(c, score_window, tile, stage);
}

/* accumulators += exponentials * values. Values that are not finite touch only the rows that keep them. */
static void accumulate(struct context *c, const struct tile *tile, size_t strip, const struct attn_mask_tile *masks) {
    int careful = 0;
    for (size_t r = 0; r < STRIP; r++) careful |= !tile->finite && masks[r].coverage != ATTN_COVERAGE_FULL;
    float *accumulators = c->accumulators + strip * c->wide;
    if (!careful) {
        attn_tile_f32_4x8(accumulators, c->wide, c->scores, ATTN_TILE_KEYS, c->value_panels, tile->count * ATTN_PANEL,
                          tile->count, c->wide / ATTN_PANEL, 1);
        return;
    }
    for (size_t r = 0; r < STRIP && strip + r < c->rows; r++) {
        if (masks[r].coverage == ATTN_COVERAGE_SKIPPED) continue;
        uint8_t keep[ATTN_TILE_KEYS];
        for (size_t j = 0; j < tile->count; j++) keep[j] = (uint8_t)attn_mask_tile_keeps(&masks[r], j);
        attn_tile_f32_1x8_kept(accumulators + r * c->wide, c->scores + r * ATTN_TILE_KEYS, keep, c->value_panels,
                               tile->count, c->wide / ATTN_PANEL);
    }
}

/* One strip of rows against one tile of keys. */
static void run_strip(struct context *c, struct tile *tile, size_t strip) {
    const struct attn_problem *problem = c->problem;
    struct attn_mask_tile masks[STRIP];
    int skipped = 1;
    for (size_t r = 0; r < STRIP; r++) {
        masks[r].coverage = ATTN_COVERAGE_SKIPPED;
        if (strip + r >= c->rows) continue;
        attn_mask_tile(&masks[r], problem, &c->mask_rows[strip + r], tile->key, tile->count, c->plan->visit_all);
        skipped &= masks[r].coverage == ATTN_COVERAGE_SKIPPED;
    }
    if (!skipped) {
        if (!tile->packed) pack(c, tile);
        score(c, tile, strip);
        for (size_t r = 0; r < STRIP; r++) {
            if (masks[r].coverage == ATTN_COVERAGE_SKIPPED) {
                for (size_t j = 0; j < ATTN_TILE_KEYS; j++) c->scores[r * ATTN_TILE_KEYS + j] = 0;
            } else {
                softmax_row(c, tile, strip + r, &masks[r]);
            }
        }
        accumulate(c, tile, strip, masks);
    }
    if (!c->result->weights) return;
    for (size_t r = 0; r < STRIP && strip + r < c->rows; r++) {
        float *window = window_row(c, c->result->weights, strip + r);
        if (window) copy_window(c, window, tile, skipped ? NULL : c->scores + r * ATTN_TILE_KEYS);
        c->tile_max[(strip + r) * c->plan->tile_count + tile->index] = c->softmax[strip + r].max;
    }
}

static void run_tile(struct context *c, size_t index) {
    size_t key = index * ATTN_TILE_KEYS;
    struct tile tile = {.index = index, .key = key, .count = smaller(ATTN_TILE_KEYS, c->problem->k_len - key)};
    for (size_t strip = 0; strip < c->rows; strip += STRIP) run_strip(c, &tile, strip);
}

/* Brings a row of weights, exponentials relative to the maximum of their time, to the row's own scale. */
static void close_weights(const struct context *c, size_t r, const struct attn_softmax_result *row) {
    float *window = window_row(c, c->result->weights, r);
    if (!window) return;
    size_t begin = c->result->column_begin, end = c->result->column_end;
    for (size_t j = begin, next; j < end; j = next) {
        size_t tile = j / ATTN_TILE_KEYS;
        float tile_max = c->tile_max[r * c->plan->tile_count + tile];
        struct attn_softmax_result closed = *row;
        if (tile_max != c->softmax[r].max) closed.scale *= attn_exp(tile_max - c->softmax[r].max);
        next = smaller((tile + 1) * ATTN_TILE_KEYS, end);
        attn_softmax_normalize(window + (j - begin), window + (j - begin), next - j, &closed);
    }
}

/* Writes everything asked of a finished row. */
static void close_row(const struct context *c, size_t r) {
    const struct attn_problem *problem = c->problem;
    const struct attn_result *result = c->result;
    const struct attn_mask_row *place = &c->mask_rows[r];
    const struct attn_softmax *state = &c->softmax[r];
    const float *accumulator = c->accumulators + r * c->wide;
    size_t value_dim = problem->value_dim;
    size_t row = (place->batch * problem->heads + place->head) * problem->q_len + place->query;
    float denominator =
        problem->dropout.placement == ATTN_DROPOUT_BEFORE_NORMALIZATION ? state->dropped_sum : state->sum;
    struct attn_softmax_result closed = attn_softmax_finish(
        state->max, state->sum, denominator, problem->sinks ? &problem->sinks[place->head] : NULL, problem->empty_rows);
    if (result->log_sum_exp) result->log_sum_exp[row] = closed.log_sum_exp;
    if (result->row_max) result->row_max[row] = state->max;
    if (result->denominator) result->denominator[row] = denominator;
    if (result->numerator) {
        for (size_t x = 0; x < value_dim; x++) result->numerator[row * value_dim + x] = accumulator[x];
    }
    if (result->output && value_dim) {
        float *output = result->output + place->batch * result->output_batch_stride +
                        place->head * result->output_head_stride + place->query * result->output_row_stride;
        attn_softmax_normalize(output, accumulator, value_dim, &closed);
    }
    if (result->weights) close_weights(c, r, &closed);
    if (result->dropout_mask) {
        attn_dropout_keep(problem, place->batch, place->head, place->query, 0, problem->k_len,
                          result->dropout_mask + row * problem->k_len);
    }
}

void attn_run_job(const struct attn_plan *plan, const struct attn_problem *problem, const struct attn_result *result,
                  void *workspace, struct attn_progress *progress, size_t *row_tiles) {
    struct context c = open_job(plan, problem, result, workspace, progress->job);
    if (progress->tile == 0) open_rows(&c);
    find_keys(&c);
    size_t tile = larger(progress->tile, c.key_begin / ATTN_TILE_KEYS);
    for (; tile * ATTN_TILE_KEYS < c.key_end; tile++) {
        if (!*row_tiles) {
            progress->tile = tile;
            return;
        }
        run_tile(&c, tile);
        *row_tiles -= smaller(*row_tiles, c.rows);
    }
    for (size_t r = 0; r < c.rows; r++) close_row(&c, r);
    progress->job++;
    progress->tile = 0;
}
