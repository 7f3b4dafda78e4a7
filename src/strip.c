/* SPDX-License-Identifier: Apache-2.0
 *
 * strip.c - see strip.h. Keys and values of a tile are packed once per job, and only if some row sees them; those of few
 * queries, and values in one piece of few rows, are read where they stand.
 */
#include "strip.h"

#include "dropout.h"
#include "pack.h"
#include "route.h"
#include "source.h"

#define STRIP ATTN_STRIP_ROWS
/* Rows of a job for which values in one piece are not worth packing. */
#define FEW_ROWS 160

/* The strip at hand: rows [first, first + count), and what they get of the tile. */
struct strip {
    size_t first, count;
    size_t begin, end; /* columns that some row sees, begin a multiple of a panel; none: begin = end */
    int full;          /* every row sees all of them, as they are */
    struct attn_softmax_row rows[STRIP];
    struct attn_mask_buffer masks[STRIP];
};

void attn_pack_listed(const struct attn_context *c, const uint32_t *keys, size_t count) {
    const size_t dim = c->problem->dim;
    for (size_t j = 0; j < count; j += ATTN_PANEL) {
        const float *rows[ATTN_PANEL];
        for (size_t i = 0; i < ATTN_PANEL; i++) {
            /* columns beyond the last repeat it; the softmax ignores them */
            size_t key = keys[attn_smaller(j + i, count - 1)];
            rows[i] =
                attn_source_row(&c->problem->keys, c->job.batch, attn_key_head(c), key, dim, c->scratch + i * dim);
        }
        attn_pack_columns_f32(c->keys + j * dim, rows, dim);
    }
}

/* Keys as the kernels want them: packed, or, for a few queries, where they stand. */
static void place_keys(const struct attn_context *c, struct attn_tile *tile) {
    const struct attn_tensor *keys = &c->problem->keys;
    size_t batch = c->job.batch, dim = c->problem->dim;
    int is_readable = attn_source_fetch(keys, batch, attn_key_head(c), tile->key, tile->count, dim);
    if (!c->plan->in_place) {
        uint32_t all[ATTN_TILE_KEYS];
        for (size_t j = 0; j < tile->count; j++) all[j] = (uint32_t)(tile->key + j);
        attn_pack_listed(c, all, tile->count);
        return;
    }
    tile->key_kernels = &attn_tile_kernels[is_readable ? keys->dtype : ATTN_FLOAT32];
    const char *first = attn_source_address(keys, batch, attn_key_head(c), tile->key);
    const size_t stride = keys->row_stride * attn_dtype_bytes(keys->dtype);
    for (size_t j = 0; j < tile->count; j++) tile->keys[j] = first + j * stride;
    for (size_t j = 0; !is_readable && j < tile->count; j++) {
        float *room = c->keys + j * dim;
        tile->keys[j] = attn_source_row(keys, batch, attn_key_head(c), tile->key + j, dim, room);
    }
}

/* Where values stand, `stride` bytes apart. */
static void list_values(struct attn_tile *tile, const void *first, size_t stride, size_t panel_stride) {
    for (size_t j = 0; j < tile->count; j++) tile->values[j] = (const char *)first + j * stride;
    tile->value_panel_stride = panel_stride;
}

static struct attn_listed values_from(const struct attn_tile *tile, size_t j) {
    return (struct attn_listed){tile->values + j, tile->value_panel_stride};
}

/* Values likewise, and for few rows where they stand in one piece; but those that do not fill whole panels are always
 * packed. */
static void place_values(const struct attn_context *c, struct attn_tile *tile) {
    const struct attn_tensor *values = &c->problem->values;
    size_t batch = c->job.batch, head = attn_value_head(c), value_dim = c->problem->value_dim;
    int is_readable = attn_source_fetch(values, batch, head, tile->key, tile->count, value_dim);
    int is_compact = values->dtype == ATTN_FLOAT32 && values->row_stride == value_dim;
    int fills_panels = value_dim && value_dim == c->wide;
    if (is_readable && fills_panels && (c->plan->in_place || (is_compact && c->rows <= FEW_ROWS))) {
        const void *first = attn_source_address(values, batch, head, tile->key);
        list_values(tile, first, values->row_stride * attn_dtype_bytes(values->dtype), ATTN_PANEL);
        tile->panels = (struct attn_panels){is_compact ? first : NULL, values->row_stride, ATTN_PANEL};
        tile->value_kernels = &attn_tile_kernels[values->dtype];
        return;
    }
    for (size_t j = 0; j < tile->count; j++) {
        const float *row = attn_source_row(values, batch, head, tile->key + j, value_dim, c->scratch);
        attn_pack_row_f32(c->values, ATTN_PANEL, tile->count * ATTN_PANEL, j, row, value_dim);
    }
    tile->panels = (struct attn_panels){c->values, ATTN_PANEL, tile->count * ATTN_PANEL};
    list_values(tile, c->values, ATTN_PANEL * sizeof(float), tile->count * ATTN_PANEL);
    tile->value_kernels = &attn_tile_kernels[ATTN_FLOAT32];
}

/* Copies the asked columns of one row of the tile into a row of weights or scores: columns [begin, end) of the tile
 * from source, zeros around them. */
static void copy_window(const struct attn_context *c, float *window, const struct attn_tile *tile, const float *source,
                        size_t begin, size_t end) {
    size_t from = attn_larger(tile->key, c->result->column_begin);
    size_t to = attn_smaller(tile->key + tile->count, c->result->column_end);
    for (size_t j = from; j < to; j++) {
        size_t column = j - tile->key;
        window[j - c->result->column_begin] = begin <= column && column < end ? source[column] : 0;
    }
}

/* Whether none of rows [first, first + count) goes through the tile. With one mask for all heads they are of one unit, or
 * of two. */
static int goes_elsewhere(const struct attn_context *c, size_t first, size_t count, size_t tile) {
    if (!c->routes) return 0;
    const size_t step = c->plan->mask_heads == 1 && count > 1 ? count - 1 : 1;
    for (size_t r = first; r < first + count; r += step) {
        if (attn_row_routes(c, r)[tile] == ATTN_ROUTING_TILE) return 0;
    }
    return 1;
}

/* Whether row r sees of any tile what the row before it sees: the same query's, or the next one's in the same blocks. */
static int repeats(const struct attn_context *c, size_t r) {
    const struct attn_mask_row *row = &c->mask_rows[r], *before = row - 1;
    if (r % c->sharing) return 1;
    if (!c->routes || attn_mask_is_biased(c->problem) || row->query != before->query + 1) return 0;
    if (c->sharing == 1 && row->head != before->head) return 0;
    if (attn_row_routes(c, r) != attn_row_routes(c, r - 1)) return 0; /* of another unit, which may go elsewhere */
    return row->key_begin == before->key_begin && row->key_end == before->key_end &&
           attn_sparse_repeats(&c->problem->sparse_mask, row->query);
}

/* What row r, the strip's number n, gets of the tile. */
static struct attn_softmax_row describe_row(const struct attn_context *c, const struct attn_tile *tile,
                                            struct strip *strip, size_t n) {
    const size_t r = strip->first + n;
    if (c->routes && attn_row_routes(c, r)[tile->index] != ATTN_ROUTING_TILE) return (struct attn_softmax_row){0};
    return attn_mask_tile(c->problem, &c->mask_rows[r], tile->key, tile->count, c->plan->visit_all, &strip->masks[n]);
}

static void describe(const struct attn_context *c, const struct attn_tile *tile, struct strip *strip) {
    if (c->ranged && c->all_begin <= tile->key && tile->key + tile->count <= c->all_end) {
        strip->begin = 0, strip->end = tile->count, strip->full = 1;
        for (size_t r = 0; r < strip->count; r++) strip->rows[r] = (struct attn_softmax_row){.end = tile->count};
        return;
    }
    if (goes_elsewhere(c, strip->first, strip->count, tile->index)) {
        strip->begin = strip->end = 0;
        return;
    }
    strip->begin = tile->count, strip->end = 0;
    size_t all_begin = 0, all_end = tile->count;
    for (size_t n = 0; n < strip->count; n++) {
        struct attn_softmax_row *row = &strip->rows[n];
        if (c->ranged) {
            *row = attn_mask_range(&c->mask_rows[strip->first + n], tile->key, tile->count);
        } else if (n > 0 && repeats(c, strip->first + n)) {
            *row = row[-1];
            continue;
        } else {
            *row = describe_row(c, tile, strip, n);
        }
        all_begin = attn_larger(all_begin, row->begin);
        all_end = row->bias || row->keep || row->weight ? 0 : attn_smaller(all_end, row->end);
        if (row->begin == row->end) continue;
        strip->begin = attn_smaller(strip->begin, row->begin);
        strip->end = attn_larger(strip->end, row->end);
    }
    if (strip->end == 0) strip->begin = 0;
    strip->begin -= strip->begin % ATTN_PANEL;
    strip->full = all_begin <= strip->begin && strip->end <= all_end;
}

/* c->scores = queries * keys */
static void score(const struct attn_context *c, const struct attn_tile *tile, const struct strip *strip) {
    size_t dim = c->problem->dim, count = strip->end - strip->begin, stride = c->query_stride;
    const float *queries = c->queries + strip->first * stride;
    float *scores = c->scores + strip->begin;
    if (c->plan->in_place) {
        tile->key_kernels->dot(scores, ATTN_TILE_KEYS, queries, stride, strip->count, tile->keys + strip->begin, count,
                               dim);
    } else {
        struct attn_panels keys = {c->keys + strip->begin * dim, ATTN_PANEL, dim * ATTN_PANEL};
        attn_tile_multiply(scores, ATTN_TILE_KEYS, NULL, queries, stride, strip->count, keys,
                           (count + ATTN_PANEL - 1) / ATTN_PANEL, dim, ATTN_SCORE_BLOCK, ATTN_SCORE_BLOCK);
    }
}

/* Scores turned into what multiplies the values; rescale receives the factors of the rows' accumulators. */
static void apply_softmax(const struct attn_context *c, const struct attn_tile *tile, struct strip *strip,
                          float *rescale) {
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
        float *window = attn_window_row(c, c->result->scores, strip->first + r);
        if (window) copy_window(c, window, tile, stage[r], strip->begin, strip->end);
    }
}

/* One row of `accumulate`, of which only the values that it keeps are touched. */
static void accumulate_kept(const struct attn_context *c, const struct attn_tile *tile, const struct strip *strip,
                            size_t r, float rescale) {
    const struct attn_tile_kernels *kernels = tile->value_kernels;
    float *accumulators = c->accumulators + (strip->first + r) * c->wide;
    uint8_t keep[ATTN_TILE_KEYS];
    for (size_t j = strip->begin; j < strip->end; j++) keep[j] = (uint8_t)attn_mask_keeps(&strip->rows[r], j);
    for (size_t j = strip->begin, next; j < strip->end; j = next, rescale = 1) {
        next = attn_smaller(j + ATTN_VALUE_BLOCK - j % ATTN_VALUE_BLOCK, strip->end);
        kernels->multiply_kept(accumulators, rescale, c->scores + r * ATTN_TILE_KEYS + j, keep + j,
                               values_from(tile, j), c->wide / ATTN_PANEL, next - j);
    }
}

/* accumulators = rescale * accumulators + exponentials * values, summed in blocks of the tile's own grid, whatever the
 * strip sees of it. Values that are not finite touch only the rows that keep them. */
static void accumulate(const struct attn_context *c, struct attn_tile *tile, const struct strip *strip,
                       const float *rescale) {
    const struct attn_tile_kernels *kernels = tile->value_kernels;
    size_t panels = c->wide / ATTN_PANEL, begin = strip->begin;
    if (!strip->full && tile->finite == ATTN_UNKNOWN) {
        tile->finite = kernels->is_finite(values_from(tile, 0), panels, tile->count) ? ATTN_FINITE : ATTN_NOT_FINITE;
    }
    if (!strip->full && tile->finite != ATTN_FINITE) {
        for (size_t r = 0; r < strip->count; r++) accumulate_kept(c, tile, strip, r, rescale[r]);
        return;
    }
    float *accumulators = c->accumulators + strip->first * c->wide;
    const float *scores = c->scores + begin;
    const size_t first_block = ATTN_VALUE_BLOCK - begin % ATTN_VALUE_BLOCK;
    struct attn_panels below = tile->panels;
    if (below.data) {
        below.data += begin * below.row_stride;
        attn_tile_multiply(accumulators, c->wide, rescale, scores, ATTN_TILE_KEYS, strip->count, below, panels,
                           strip->end - begin, first_block, ATTN_VALUE_BLOCK);
    } else {
        kernels->multiply(accumulators, c->wide, rescale, scores, ATTN_TILE_KEYS, strip->count, tile->values + begin,
                          panels, strip->end - begin, first_block, ATTN_VALUE_BLOCK);
    }
}

size_t attn_strip_rows(const struct attn_context *c, size_t first) {
    const size_t count = attn_smaller(STRIP, c->rows - first),
                 block_rows = attn_sparse_block_rows(&c->problem->sparse_mask);
    for (size_t n = ATTN_SOFTMAX_ROWS; block_rows && n < count; n += ATTN_SOFTMAX_ROWS) {
        const struct attn_mask_row *row = &c->mask_rows[first + n];
        if (row->query % block_rows == 0 && row->query != row[-1].query) return n;
    }
    return count;
}

size_t attn_strip_run(const struct attn_context *c, struct attn_tile *tile, size_t first) {
    struct strip strip;
    strip.first = first, strip.count = attn_strip_rows(c, first);
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
        float *window = attn_window_row(c, c->result->weights, first + r);
        if (window) copy_window(c, window, tile, c->scores + r * ATTN_TILE_KEYS, strip.begin, strip.end);
        c->tile_max[(first + r) * c->plan->tile_count + tile->index] = attn_row_state(c, first + r).max;
    }
    return strip.begin < strip.end ? strip.count : 1; /* what is skipped had to be looked at */
}
