/* SPDX-License-Identifier: Apache-2.0
 *
 * explain.c - see explain.h. Goes through the job as its run does, unit by unit and tile by tile, but only counts.
 */
#include "explain.h"

#include "route.h"
#include "source.h"
#include "tile.h"

/* What one head's unit of queries keeps of a tile. */
struct counts {
    size_t rows, kept;
    size_t begin, end; /* columns, in whole panels */
};

static struct counts count_unit(const struct attn_context *c, size_t head, size_t begin, size_t end, size_t tile) {
    struct counts counts = {.rows = end - begin, .begin = ATTN_TILE_KEYS};
    for (size_t query = begin; query < end; query++) {
        const struct attn_mask_row *row = &c->mask_rows[attn_job_row(c, head, query)];
        float room[ATTN_TILE_KEYS];
        struct attn_sparse_tile kept = attn_mask_entries(c->problem, row, tile, room);
        attn_mask_restrict(&kept, row, tile * ATTN_TILE_KEYS);
        attn_mask_filter(&kept, c->problem, row, tile * ATTN_TILE_KEYS);
        size_t count = attn_sparse_count(&kept);
        if (!count) continue;
        counts.kept += count;
        counts.begin = attn_smaller(counts.begin, attn_sparse_begin(&kept) / ATTN_PANEL * ATTN_PANEL);
        counts.end = attn_larger(counts.end, ((attn_sparse_end(&kept) - 1) / ATTN_PANEL + 1) * ATTN_PANEL);
    }
    return counts;
}

/* Adds a tile of `columns` keys as all heads of the job have it that share its masks; returns whether it is computed as a
 * tile. */
static int add_tile(struct attn_explanation *e, const struct attn_context *c, const struct counts *counts,
                    size_t columns, int is_gathered) {
    const double heads = (double)c->sharing, pairs = (double)(c->problem->dim + c->problem->value_dim);
    const int is_full = counts->kept == counts->rows * columns;
    e->kept += heads * (double)counts->kept;
    if (!counts->kept) {
        e->skipped += heads;
    } else if (is_full) {
        e->full += heads;
    } else {
        e->partial += heads;
    }
    if (is_gathered) {
        e->gathered += heads * (double)counts->kept;
        e->flops += heads * 2 * pairs * (double)counts->kept;
        return 0;
    }
    if (c->plan->visit_all) {
        e->flops += heads * 2 * pairs * (double)(counts->rows * columns);
    } else if (counts->kept) {
        e->flops += heads * 2 * pairs * (double)(counts->rows * (counts->end - counts->begin));
    }
    return counts->kept > 0;
}

/* Of one key and its value. */
static double pair_bytes(const struct attn_problem *p) {
    return (double)(p->dim * attn_dtype_bytes(p->keys.dtype) + p->value_dim * attn_dtype_bytes(p->values.dtype));
}

/* Rows of the unit with a gathered key. */
static size_t gathering_rows(const struct attn_context *c, size_t head, size_t begin, size_t end) {
    size_t rows = 0;
    for (size_t query = begin; c->routes && query < end; query++) {
        const size_t r = attn_job_row(c, head, query);
        const uint8_t *routes = attn_row_routes(c, r);
        int gathers = 0;
        for (size_t tile = 0; !gathers && tile < c->plan->tile_count; tile++) {
            if (routes[tile] != ATTN_ROUTING_GATHER) continue;
            gathers = count_unit(c, head, query, query + 1, tile).kept > 0;
        }
        rows += (size_t)gathers;
    }
    return rows;
}

void attn_explain_job(const struct attn_context *c, struct attn_explanation *e) {
    const struct attn_problem *problem = c->problem;
    const size_t queries = c->job.query_end - c->job.query_begin, heads = c->plan->group_heads / c->sharing;
    for (size_t tile = 0; tile < c->plan->tile_count; tile++) {
        const size_t columns = attn_smaller(ATTN_TILE_KEYS, problem->k_len - tile * ATTN_TILE_KEYS);
        int is_used = 0;
        for (size_t head = 0; head < heads; head++) {
            for (size_t begin = 0; begin < queries; begin += ATTN_ROUTE_QUERIES) {
                const size_t end = attn_smaller(begin + ATTN_ROUTE_QUERIES, queries);
                const size_t r = attn_job_row(c, head, begin);
                const int is_gathered = c->routes && attn_row_routes(c, r)[tile] == ATTN_ROUTING_GATHER;
                const struct counts counts = count_unit(c, head, begin, end, tile);
                is_used |= add_tile(e, c, &counts, columns, is_gathered);
                if (is_gathered) e->bytes += (double)counts.kept * pair_bytes(problem);
            }
        }
        if (is_used) e->bytes += (double)columns * pair_bytes(problem);
    }
    for (size_t head = 0; head < heads; head++) {
        for (size_t begin = 0; begin < queries; begin += ATTN_ROUTE_QUERIES) {
            const size_t end = attn_smaller(begin + ATTN_ROUTE_QUERIES, queries);
            e->gathered_rows += (double)(c->sharing * gathering_rows(c, head, begin, end));
        }
    }
    e->bytes +=
        (double)c->rows * (double)(problem->dim * attn_dtype_bytes(problem->queries.dtype) + 4 * problem->value_dim);
}
