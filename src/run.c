/* SPDX-License-Identifier: Apache-2.0
 *
 * run.c - one job: for each tile of keys, for each strip of rows: scores, online softmax, accumulation (Dao et al.
 * 2022, Milakov and Gimelshein 2018). Keys and values of a tile are packed once per job, and only if some row sees
 * them; those of few queries, and values in one piece of few rows, are read where they stand. A row's result depends on
 * the tiles' fixed grid alone, not on its neighbours.
 */
#include "run.h"

#include "dropout.h"
#include "mask.h"
#include "pack.h"
#include "plan.h"
#include "softmax.h"
#include "source.h"
#include "tile.h"

#define STRIP ATTN_STRIP_ROWS
/* Terms summed in one go: blocks lose less than one long sum, most of all of large logits. */
#define SCORE_BLOCK 32
#define VALUE_BLOCK 64
/* Rows of a job for which values in one piece are not worth packing. */
#define FEW_ROWS 160

struct context {
    const struct attn_problem *problem;
    const struct attn_result *result;
    const struct attn_plan *plan;
    struct attn_job job;
    size_t rows, wide;         /* rows of the job, all heads of a query side by side; value_dim in whole panels */
    size_t key_begin, key_end; /* outside them no row of the job has a key */
    size_t all_begin, all_end; /* within them no row lacks one */
    const float *queries;      /* [rows, dim] */
    size_t query_stride;
    float *query_rows, *keys, *values, *accumulators, *scores, *scratch, *tile_max;
    struct attn_softmax *softmax; /* of four rows each */
    struct attn_mask_row *mask_rows;
    int ranged; /* rows are described by their keys alone */
    struct attn_softmax_rules rules;
};

/* Rows that are read where they stand. */
struct rows {
    const void *data;
    size_t stride; /* in elements */
    enum attn_dtype dtype;
};

/* The tile at hand. */
struct tile {
    size_t index, key, count;
    int placed;                /* the rest is known */
    struct rows keys;          /* in place; otherwise packed in c->keys */
    struct attn_panels values; /* [count, wide] */
    const struct attn_tile_kernels *value_kernels;
    enum { UNKNOWN, YES, NO } finite; /* whether all values are */
};

/* The strip at hand: rows [first, first + count), and what they get of the tile. */
struct strip {
    size_t first, count;
    size_t begin, end; /* columns that some row sees, begin a multiple of a panel; none: begin = end */
    int full;          /* every row sees all of them, as they are */
    struct attn_softmax_row rows[STRIP];
    struct attn_mask_buffer masks[STRIP];
};

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/* Queries are read where they stand, unless they must be widened or heads brought side by side. */
static int needs_query_copy(const struct context *c) {
    return c->problem->queries.dtype != ATTN_FLOAT32 || c->plan->group_heads > 1 || !c->problem->dim;
}

static struct context open_job(const struct attn_plan *plan, const struct attn_problem *problem,
                               const struct attn_result *result, void *workspace, size_t job) {
    char *base = workspace;
    struct context c = {.problem = problem, .result = result, .plan = plan};
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
    c.queries = c.query_rows, c.query_stride = problem->dim;
    if (!needs_query_copy(&c)) {
        c.queries = attn_source_address(&problem->queries, c.job.batch, c.job.head_begin, c.job.query_begin);
        c.query_stride = problem->queries.row_stride;
    }
    int ranged = attn_mask_is_ranged(problem);
    c.rules = attn_softmax_rules(problem, ranged, result->score_stage);
    c.ranged = ranged && !plan->visit_all;
    return c;
}

/* One of the four rows of a softmax state. */
struct row_state {
    float max, sum, dropped_sum;
};

static struct row_state row_state(const struct context *c, size_t r) {
    const struct attn_softmax *state = &c->softmax[r / ATTN_SOFTMAX_ROWS];
    size_t i = r % ATTN_SOFTMAX_ROWS;
    return (struct row_state){state->max[i], state->sum[i], state->dropped_sum[i]};
}

/* Copies queries that must be copied, fetches others, and clears the rows' state. */
static void open_rows(const struct context *c) {
    const struct attn_problem *problem = c->problem;
    const struct attn_job *job = &c->job;
    size_t dim = problem->dim;
    int copies = needs_query_copy(c);
    if (!copies) attn_source_fetch(&problem->queries, job->batch, job->head_begin, job->query_begin, c->rows, dim);
    for (size_t r = 0; r < c->rows; r++) {
        size_t head = job->head_begin + r % c->plan->group_heads, query = job->query_begin + r / c->plan->group_heads;
        if (copies) {
            const float *source = attn_source_row(&problem->queries, job->batch, head, query, dim, c->scratch);
            attn_copy_f32(c->query_rows + r * dim, source, dim);
        }
        c->mask_rows[r] = attn_mask_row(problem, job->batch, head, query);
        if (r % ATTN_SOFTMAX_ROWS == 0) attn_softmax_init(&c->softmax[r / ATTN_SOFTMAX_ROWS]);
    }
    attn_clear_f32(c->accumulators, c->rows * c->wide);
}

/* The ranges of keys that some row and that every row may see. */
static void find_keys(struct context *c) {
    c->key_begin = c->all_end = c->problem->k_len;
    for (size_t r = 0; r < c->rows; r++) {
        c->key_begin = smaller(c->key_begin, c->mask_rows[r].key_begin);
        c->key_end = larger(c->key_end, c->mask_rows[r].key_end);
        c->all_begin = larger(c->all_begin, c->mask_rows[r].key_begin);
        c->all_end = smaller(c->all_end, c->mask_rows[r].key_end);
    }
    /* skipped tiles still get their zeros where a matrix is asked for */
    if (c->result->weights || c->plan->visit_all) c->key_begin = 0, c->key_end = c->problem->k_len;
}

static size_t key_head(const struct context *c) {
    return c->job.head_begin / (c->problem->heads / c->problem->key_heads);
}

static size_t value_head(const struct context *c) {
    return c->job.head_begin / (c->problem->heads / c->problem->value_heads);
}

static void pack_keys(const struct context *c, const struct tile *tile) {
    size_t dim = c->problem->dim;
    for (size_t j = 0; j < tile->count; j += ATTN_PANEL) {
        const float *rows[ATTN_PANEL];
        for (size_t i = 0; i < ATTN_PANEL; i++) {
            /* columns beyond the tile repeat its last key; the softmax ignores them */
            size_t key = tile->key + smaller(j + i, tile->count - 1);
            rows[i] = attn_source_row(&c->problem->keys, c->job.batch, key_head(c), key, dim, c->scratch + i * dim);
        }
        attn_pack_columns_f32(c->keys + j * dim, rows, dim);
    }
}

/* Keys as the kernels want them: packed, or, for a few queries, where they stand. */
static void place_keys(const struct context *c, struct tile *tile) {
    const struct attn_tensor *keys = &c->problem->keys;
    size_t batch = c->job.batch, dim = c->problem->dim;
    int is_readable = attn_source_fetch(keys, batch, key_head(c), tile->key, tile->count, dim);
    if (!c->plan->in_place) {
        pack_keys(c, tile);
    } else if (is_readable) {
        const void *first = attn_source_address(keys, batch, key_head(c), tile->key);
        tile->keys = (struct rows){first, keys->row_stride, keys->dtype};
    } else {
        for (size_t j = 0; j < tile->count; j++) {
            attn_source_row(keys, batch, key_head(c), tile->key + j, dim, c->keys + j * dim);
        }
        tile->keys = (struct rows){c->keys, dim, ATTN_FLOAT32};
    }
}

/* Values likewise, and for few rows where they stand in one piece; but those that do not fill whole panels are always
 * packed. */
static void place_values(const struct context *c, struct tile *tile) {
    const struct attn_tensor *values = &c->problem->values;
    size_t batch = c->job.batch, head = value_head(c), value_dim = c->problem->value_dim;
    int is_readable = attn_source_fetch(values, batch, head, tile->key, tile->count, value_dim);
    int is_compact = values->dtype == ATTN_FLOAT32 && values->row_stride == value_dim;
    int fills_panels = value_dim && value_dim == c->wide;
    if (is_readable && fills_panels && (c->plan->in_place || (is_compact && c->rows <= FEW_ROWS))) {
        const void *first = attn_source_address(values, batch, head, tile->key);
        tile->values = (struct attn_panels){first, values->row_stride, ATTN_PANEL};
        tile->value_kernels = &attn_tile_kernels[values->dtype];
        return;
    }
    for (size_t j = 0; j < tile->count; j++) {
        const float *row = attn_source_row(values, batch, head, tile->key + j, value_dim, c->scratch);
        attn_pack_row_f32(c->values, ATTN_PANEL, tile->count * ATTN_PANEL, j, row, value_dim);
    }
    tile->values = (struct attn_panels){c->values, ATTN_PANEL, tile->count * ATTN_PANEL};
    tile->value_kernels = &attn_tile_kernels[ATTN_FLOAT32];
}

/* Where weights or scores of row r begin in `matrix`, as if its column 0 were there; NULL outside the asked rows. */
static float *window_row(const struct context *c, float *matrix, size_t r) {
    const struct attn_result *result = c->result;
    const struct attn_mask_row *row = &c->mask_rows[r];
    if (!matrix || row->query < result->row_begin || row->query >= result->row_end) return NULL;
    size_t rows = result->row_end - result->row_begin, columns = result->column_end - result->column_begin;
    return matrix + ((row->batch * c->problem->heads + row->head) * rows + (row->query - result->row_begin)) * columns;
}

/* Copies the asked columns of one row of the tile into a row of weights or scores: columns [begin, end) of the tile
 * from source, zeros around them. */
static void copy_window(const struct context *c, float *window, const struct tile *tile, const float *source,
                        size_t begin, size_t end) {
    size_t from = larger(tile->key, c->result->column_begin);
    size_t to = smaller(tile->key + tile->count, c->result->column_end);
    for (size_t j = from; j < to; j++) {
        size_t column = j - tile->key;
        window[j - c->result->column_begin] = begin <= column && column < end ? source[column] : 0;
    }
}

static void describe(const struct context *c, const struct tile *tile, struct strip *strip) {
    if (c->ranged && c->all_begin <= tile->key && tile->key + tile->count <= c->all_end) {
        strip->begin = 0, strip->end = tile->count, strip->full = 1;
        for (size_t r = 0; r < strip->count; r++) strip->rows[r] = (struct attn_softmax_row){.end = tile->count};
        return;
    }
    strip->begin = tile->count, strip->end = 0;
    size_t all_begin = 0, all_end = tile->count;
    for (size_t r = 0; r < strip->count; r++) {
        const struct attn_mask_row *place = &c->mask_rows[strip->first + r];
        struct attn_softmax_row *row = &strip->rows[r];
        *row = c->ranged
                   ? attn_mask_range(place, tile->key, tile->count)
                   : attn_mask_tile(c->problem, place, tile->key, tile->count, c->plan->visit_all, &strip->masks[r]);
        all_begin = larger(all_begin, row->begin);
        all_end = row->bias || row->keep || row->weight ? 0 : smaller(all_end, row->end);
        if (row->begin == row->end) continue;
        strip->begin = smaller(strip->begin, row->begin);
        strip->end = larger(strip->end, row->end);
    }
    if (strip->end == 0) strip->begin = 0;
    strip->begin -= strip->begin % ATTN_PANEL;
    strip->full = all_begin <= strip->begin && strip->end <= all_end;
}

/* c->scores = queries * keys */
static void score(const struct context *c, const struct tile *tile, const struct strip *strip) {
    size_t dim = c->problem->dim, count = strip->end - strip->begin, stride = c->query_stride;
    const float *queries = c->queries + strip->first * stride;
    float *scores = c->scores + strip->begin;
    if (c->plan->in_place) {
        const struct rows *keys = &tile->keys;
        const void *first = (const char *)keys->data + strip->begin * keys->stride * attn_dtype_bytes(keys->dtype);
        attn_tile_kernels[keys->dtype].dot(scores, ATTN_TILE_KEYS, queries, stride, strip->count, first, keys->stride,
                                           count, dim);
    } else {
        struct attn_panels keys = {c->keys + strip->begin * dim, ATTN_PANEL, dim * ATTN_PANEL};
        attn_tile_kernels[ATTN_FLOAT32].multiply(scores, ATTN_TILE_KEYS, NULL, queries, stride, strip->count, keys,
                                                 (count + ATTN_PANEL - 1) / ATTN_PANEL, dim, SCORE_BLOCK, SCORE_BLOCK);
    }
}

/* Scores turned into what multiplies the values; rescale receives the factors of the rows' accumulators. */
static void apply_softmax(const struct context *c, const struct tile *tile, struct strip *strip, float *rescale) {
    const struct attn_problem *problem = c->problem;
    const struct attn_softmax_tile columns = {strip->begin, strip->end, c->rules};
    float stage[STRIP][ATTN_TILE_KEYS], dropout[STRIP][ATTN_TILE_KEYS];
    if (attn_dropout_acts(&problem->dropout)) {
        for (size_t r = 0; r < strip->count; r++) {
            const struct attn_mask_row *row = &c->mask_rows[strip->first + r];
            attn_dropout_factors(problem, row->batch, row->head, row->query, tile->key, tile->count, dropout[r]);
            strip->rows[r].dropout = dropout[r];
        }
    }
    if (c->result->scores) {
        for (size_t r = 0; r < strip->count; r++) strip->rows[r].scores = stage[r];
    }
    attn_softmax_advance(&c->softmax[strip->first / ATTN_SOFTMAX_ROWS], c->scores, &columns, strip->rows, strip->count,
                         rescale);
    for (size_t r = 0; c->result->scores && r < strip->count; r++) {
        float *window = window_row(c, c->result->scores, strip->first + r);
        if (window) copy_window(c, window, tile, stage[r], strip->begin, strip->end);
    }
}

/* One row of `accumulate`, of which only the values that it keeps are touched. */
static void accumulate_kept(const struct context *c, const struct tile *tile, const struct strip *strip, size_t r,
                            float rescale) {
    const struct attn_tile_kernels *kernels = tile->value_kernels;
    float *accumulators = c->accumulators + (strip->first + r) * c->wide;
    uint8_t keep[ATTN_TILE_KEYS];
    for (size_t j = strip->begin; j < strip->end; j++) keep[j] = (uint8_t)attn_mask_keeps(&strip->rows[r], j);
    for (size_t j = strip->begin, next; j < strip->end; j = next, rescale = 1) {
        next = smaller(j + VALUE_BLOCK - j % VALUE_BLOCK, strip->end);
        kernels->multiply_kept(accumulators, rescale, c->scores + r * ATTN_TILE_KEYS + j, keep + j,
                               kernels->below(tile->values, j), c->wide / ATTN_PANEL, next - j);
    }
}

/* accumulators = rescale * accumulators + exponentials * values, summed in blocks of the tile's own grid, whatever the
 * strip sees of it. Values that are not finite touch only the rows that keep them. */
static void accumulate(const struct context *c, struct tile *tile, const struct strip *strip, const float *rescale) {
    const struct attn_tile_kernels *kernels = tile->value_kernels;
    size_t panels = c->wide / ATTN_PANEL, begin = strip->begin;
    if (!strip->full && tile->finite == UNKNOWN) {
        tile->finite = kernels->is_finite(tile->values, panels, tile->count) ? YES : NO;
    }
    if (strip->full || tile->finite == YES) {
        kernels->multiply(c->accumulators + strip->first * c->wide, c->wide, rescale, c->scores + begin, ATTN_TILE_KEYS,
                          strip->count, kernels->below(tile->values, begin), panels, strip->end - begin,
                          VALUE_BLOCK - begin % VALUE_BLOCK, VALUE_BLOCK);
        return;
    }
    for (size_t r = 0; r < strip->count; r++) accumulate_kept(c, tile, strip, r, rescale[r]);
}

/* One strip of rows against one tile of keys; returns what it cost, in row-tiles. */
static size_t run_strip(const struct context *c, struct tile *tile, size_t first) {
    struct strip strip;
    strip.first = first, strip.count = smaller(STRIP, c->rows - first);
    describe(c, tile, &strip);
    if (strip.begin < strip.end) {
        float rescale[STRIP];
        if (!tile->placed) {
            place_keys(c, tile);
            place_values(c, tile);
            tile->placed = 1;
        }
        score(c, tile, &strip);
        apply_softmax(c, tile, &strip, rescale);
        accumulate(c, tile, &strip, rescale);
    }
    for (size_t r = 0; c->result->weights && r < strip.count; r++) {
        float *window = window_row(c, c->result->weights, first + r);
        if (window) copy_window(c, window, tile, c->scores + r * ATTN_TILE_KEYS, strip.begin, strip.end);
        c->tile_max[(first + r) * c->plan->tile_count + tile->index] = row_state(c, first + r).max;
    }
    return strip.begin < strip.end ? strip.count : 1; /* what is skipped had to be looked at */
}

static void spend(size_t *row_tiles, size_t cost) { *row_tiles -= smaller(*row_tiles, cost); }

/* Strips of progress->tile from progress->row on; returns whether all are done. */
static int run_tile(const struct context *c, struct attn_progress *progress, size_t *row_tiles) {
    size_t index = progress->tile, key = index * ATTN_TILE_KEYS;
    struct tile tile = {.index = index, .key = key, .count = smaller(ATTN_TILE_KEYS, c->problem->k_len - key)};
    for (; progress->row < c->rows; progress->row = smaller(progress->row + STRIP, c->rows)) {
        if (!*row_tiles) return 0;
        spend(row_tiles, run_strip(c, &tile, progress->row));
    }
    return 1;
}

/* Brings a row of weights, exponentials relative to the maximum of their time, to the row's own scale. */
static void close_weights(const struct context *c, size_t r, const struct attn_softmax_result *row) {
    float *window = window_row(c, c->result->weights, r);
    if (!window) return;
    float max = row_state(c, r).max;
    size_t begin = c->result->column_begin, end = c->result->column_end;
    for (size_t j = begin, next; j < end; j = next) {
        size_t tile = j / ATTN_TILE_KEYS;
        float tile_max = c->tile_max[r * c->plan->tile_count + tile];
        struct attn_softmax_result closed = *row;
        if (tile_max != max) closed.scale *= attn_softmax_shrink(&c->rules, tile_max, max);
        next = smaller((tile + 1) * ATTN_TILE_KEYS, end);
        attn_softmax_normalize(window + (j - begin), window + (j - begin), next - j, &closed);
    }
}

/* Writes everything asked of a finished row. */
static void close_row(const struct context *c, size_t r) {
    const struct attn_problem *problem = c->problem;
    const struct attn_result *result = c->result;
    const struct attn_mask_row *place = &c->mask_rows[r];
    struct row_state state = row_state(c, r);
    const float *accumulator = c->accumulators + r * c->wide;
    size_t value_dim = problem->value_dim;
    size_t row = (place->batch * problem->heads + place->head) * problem->q_len + place->query;
    float denominator = problem->dropout.placement == ATTN_DROPOUT_BEFORE_NORMALIZATION ? state.dropped_sum : state.sum;
    float max = attn_softmax_max(&c->rules, state.max);
    struct attn_softmax_result closed = attn_softmax_finish(
        max, denominator, problem->sinks ? &problem->sinks[place->head] : NULL, problem->empty_rows);
    if (result->log_sum_exp) result->log_sum_exp[row] = attn_softmax_log_sum(&c->rules, state.max, state.sum);
    if (result->row_max) result->row_max[row] = max;
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
        attn_dropout_keep(problem, place->batch, place->head, place->query,
                          result->dropout_mask + row * problem->k_len);
    }
}

/* What close_row costs, in row-tiles. */
static size_t close_cost(const struct context *c) {
    size_t tiles = c->plan->tile_count;
    return 1 + (c->result->weights ? tiles / 4 : 0) + (c->result->dropout_mask ? tiles : 0);
}

void attn_run_job(const struct attn_plan *plan, const struct attn_problem *problem, const struct attn_result *result,
                  void *workspace, struct attn_progress *progress, size_t *row_tiles) {
    struct context c = open_job(plan, problem, result, workspace, progress->job);
    if (progress->tile == 0 && progress->row == 0) open_rows(&c);
    find_keys(&c);
    progress->tile = larger(progress->tile, c.key_begin / ATTN_TILE_KEYS);
    for (; progress->tile * ATTN_TILE_KEYS < c.key_end; progress->tile++, progress->row = 0) {
        if (!run_tile(&c, progress, row_tiles)) return;
    }
    for (; progress->row < c.rows; progress->row++) {
        if (!*row_tiles) return;
        close_row(&c, progress->row);
        spend(row_tiles, close_cost(&c));
    }
    *progress = (struct attn_progress){.job = progress->job + 1};
}
