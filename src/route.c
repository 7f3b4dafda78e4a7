/* SPDX-License-Identifier: Apache-2.0
 *
 * route.c - see route.h. Integers only: counts of what is kept. A unit's routes depend on its own queries alone, so that
 * heads that share keys take the same ones as heads with copies of them.
 */
#include "route.h"

#include "sparse.h"
#include "tile.h"

/* What a gathered key costs, in halves of what a column of a tile costs a row: it is read by itself, and in no order. */
#define GATHER_COST 5
#define GATHER_COST_IN_PLACE 3 /* where the tile's keys are not packed either */

/* What the rows of a unit keep of a tile. */
struct tally {
    uint64_t bits[ATTN_TILE_KEYS / 64]; /* some row keeps the column */
    uint32_t rows, kept;
};

size_t attn_route_tally_bytes(void) { return sizeof(struct tally); }

/* Columns from the first to the last, in whole panels. */
static size_t width(const struct tally *tally) {
    const uint64_t low = tally->bits[0], high = tally->bits[1];
    size_t begin = (size_t)(low ? __builtin_ctzll(low) : 64 + __builtin_ctzll(high)) / ATTN_PANEL;
    size_t last = (size_t)(high ? 127 - __builtin_clzll(high) : 63 - __builtin_clzll(low)) / ATTN_PANEL;
    return (last + 1 - begin) * ATTN_PANEL;
}

static enum attn_routing route(const struct tally *tally, enum attn_route wanted, int in_place) {
    if (!tally->kept) return ATTN_ROUTING_SKIP;
    if (wanted != ATTN_ROUTE_AUTO) return wanted == ATTN_ROUTE_TILES ? ATTN_ROUTING_TILE : ATTN_ROUTING_GATHER;
    size_t cost = in_place ? GATHER_COST_IN_PLACE : GATHER_COST;
    return cost * tally->kept < 2 * tally->rows * width(tally) ? ATTN_ROUTING_GATHER : ATTN_ROUTING_TILE;
}

/* Adds what one row keeps to the tallies of its tiles. */
static void count_row(struct tally *tallies, const struct attn_context *c, const struct attn_mask_row *place) {
    const struct attn_sparse_row row = {c->problem, place->batch, place->head, place->query};
    const size_t tiles = c->plan->tile_count;
    struct attn_sparse_buffer buffer;
    for (size_t tile = place->key_begin / ATTN_TILE_KEYS; tile * ATTN_TILE_KEYS < place->key_end; tile++) {
        tile = attn_sparse_next(&row, tile, tiles);
        if (tile * ATTN_TILE_KEYS >= place->key_end) return;
        struct attn_sparse_tile kept = attn_sparse_tile(&row, tile, &buffer);
        attn_mask_restrict(&kept, place, tile * ATTN_TILE_KEYS);
        struct tally *tally = &tallies[tile];
        uint32_t count = (uint32_t)attn_sparse_count(&kept);
        for (size_t n = 0; n < ATTN_TILE_KEYS / 64; n++) tally->bits[n] |= kept.bits[n];
        tally->rows += count > 0, tally->kept += count;
    }
}

/* What lies together anyway is not worth counting: every tile that one row may need. */
static void mark_row(uint8_t *routes, const struct attn_context *c, const struct attn_mask_row *place) {
    const struct attn_sparse_row row = {c->problem, place->batch, place->head, place->query};
    for (size_t tile = place->key_begin / ATTN_TILE_KEYS; tile * ATTN_TILE_KEYS < place->key_end; tile++) {
        tile = attn_sparse_next(&row, tile, c->plan->tile_count);
        if (tile * ATTN_TILE_KEYS >= place->key_end) return;
        routes[tile] = ATTN_ROUTING_TILE;
    }
}

void attn_route_job(const struct attn_context *c, void *tallies) {
    const struct attn_plan *plan = c->plan;
    const size_t tiles = plan->tile_count, queries = c->job.query_end - c->job.query_begin;
    const int counts = attn_sparse_is_scattered(&c->problem->sparse_mask) || c->problem->route == ATTN_ROUTE_ROWS;
    for (size_t head = 0; head < plan->mask_heads; head++) {
        for (size_t unit = 0; unit < plan->unit_count; unit++) {
            uint8_t *routes = c->routes + (head * plan->unit_count + unit) * tiles;
            struct tally *tally = tallies;
            for (size_t t = 0; t < tiles; t++) {
                routes[t] = ATTN_ROUTING_SKIP;
                if (counts) tally[t] = (struct tally){.kept = 0};
            }
            size_t begin = unit * ATTN_ROUTE_QUERIES, end = attn_smaller(begin + ATTN_ROUTE_QUERIES, queries);
            for (size_t query = begin; query < end; query++) {
                const struct attn_mask_row *row = &c->mask_rows[attn_job_row(c, head, query)];
                if (counts) {
                    count_row(tally, c, row);
                } else {
                    mark_row(routes, c, row);
                }
            }
            for (size_t t = 0; counts && t < tiles; t++) routes[t] = (uint8_t)route(&tally[t], c->problem->route, plan->in_place);
        }
    }
}

int attn_route_uses_tile(const struct attn_context *c, size_t tile) {
    const size_t units = c->plan->mask_heads * c->plan->unit_count;
    for (size_t unit = 0; unit < units; unit++) {
        if (c->routes[unit * c->plan->tile_count + tile] == ATTN_ROUTING_TILE) return 1;
    }
    return 0;
}
