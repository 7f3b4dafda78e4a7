/* SPDX-License-Identifier: Apache-2.0
 *
 * route.c - see route.h. Integers only: counts of what is kept. A unit's routes depend on its own queries alone, so that
 * heads that share keys take the same ones as heads with copies of them.
 */
#include "route.h"

#include "sparse.h"
#include "tile.h"

/* Work, in halves of what a column of a tile costs a row: a gathered key, which is read by itself, in no order; and a
 * tile's keys and values packed, as far as one unit of those that use them bears it. */
#define GATHER_COST 5
#define GATHER_COST_IN_PLACE 3 /* where the tile's keys are not packed either */
#define PACK_COST (8 * ATTN_TILE_KEYS)

/* What the rows of a unit keep of a tile. */
struct tally {
    uint64_t bits[ATTN_TILE_KEYS / 64]; /* some row keeps the column */
    uint32_t kept;
};

size_t attn_route_tally_bytes(void) { return sizeof(struct tally); }

/* Columns from the first to the last, in whole panels. */
static size_t width(const struct tally *tally) {
    const uint64_t low = tally->bits[0], high = tally->bits[1];
    size_t begin = (size_t)(low ? __builtin_ctzll(low) : 64 + __builtin_ctzll(high)) / ATTN_PANEL;
    size_t last = (size_t)(high ? 127 - __builtin_clzll(high) : 63 - __builtin_clzll(low)) / ATTN_PANEL;
    return (last + 1 - begin) * ATTN_PANEL;
}

/* The least that a tile of columns costs a unit of `rows` queries. */
static size_t tile_cost(size_t rows, size_t columns, int in_place) {
    return 2 * rows * columns + (in_place ? 0 : PACK_COST);
}

static size_t gather_cost(size_t keys, int in_place) { return keys * (in_place ? GATHER_COST_IN_PLACE : GATHER_COST); }

static enum attn_routing choose(const struct tally *tally, const struct attn_context *c, size_t rows) {
    const int in_place = c->plan->in_place;
    if (!tally->kept) return ATTN_ROUTING_SKIP;
    if (c->problem->route == ATTN_ROUTE_TILES) return ATTN_ROUTING_TILE;
    if (c->problem->route == ATTN_ROUTE_ROWS) return ATTN_ROUTING_GATHER;
    int is_less = gather_cost(tally->kept, in_place) < tile_cost(rows, width(tally), in_place);
    return is_less ? ATTN_ROUTING_GATHER : ATTN_ROUTING_TILE;
}

static struct attn_sparse_row sparse_row(const struct attn_context *c, const struct attn_mask_row *row) {
    return (struct attn_sparse_row){c->problem, row->batch, row->head, row->query};
}

/* Adds what one row keeps to the tallies of its tiles. */
static void count_row(struct tally *tallies, const struct attn_context *c, const struct attn_mask_row *place) {
    const struct attn_sparse_row row = sparse_row(c, place);
    struct attn_sparse_buffer buffer;
    for (size_t tile = place->key_begin / ATTN_TILE_KEYS; tile * ATTN_TILE_KEYS < place->key_end; tile++) {
        tile = attn_sparse_next(&row, tile, c->plan->tile_count);
        if (tile * ATTN_TILE_KEYS >= place->key_end) return;
        struct attn_sparse_tile kept = attn_sparse_tile(&row, tile, &buffer);
        attn_mask_restrict(&kept, place, tile * ATTN_TILE_KEYS);
        for (size_t n = 0; n < ATTN_TILE_KEYS / 64; n++) tallies[tile].bits[n] |= kept.bits[n];
        tallies[tile].kept += (uint32_t)attn_sparse_count(&kept);
    }
}

/* The same of a list of keys: the counts alone, or the columns. */
static void count_listed(struct tally *tallies, const struct attn_context *c, const struct attn_mask_row *place,
                         int of_columns) {
    const struct attn_sparse_row row = sparse_row(c, place);
    const uint32_t *indices = c->problem->sparse_mask.nodes->indices;
    size_t n, end;
    attn_sparse_listed(&n, &end, &row, place->key_begin, place->key_end);
    for (; !of_columns && n < end; n++) tallies[indices[n] / ATTN_TILE_KEYS].kept++;
    for (; n < end; n++) {
        size_t column = indices[n] % ATTN_TILE_KEYS;
        tallies[indices[n] / ATTN_TILE_KEYS].bits[column / 64] |= (uint64_t)1 << column % 64;
    }
}

/* What lies together anyway is not worth counting: every tile that one row may need. */
static void mark_row(uint8_t *routes, const struct attn_context *c, const struct attn_mask_row *place) {
    const struct attn_sparse_row row = sparse_row(c, place);
    for (size_t tile = place->key_begin / ATTN_TILE_KEYS; tile * ATTN_TILE_KEYS < place->key_end; tile++) {
        tile = attn_sparse_next(&row, tile, c->plan->tile_count);
        if (tile * ATTN_TILE_KEYS >= place->key_end) return;
        routes[tile] = ATTN_ROUTING_TILE;
    }
}

/* A unit: queries [begin, end) of one of the job's rows of the mask. */
struct unit {
    size_t head, begin, end;
};

static const struct attn_mask_row *row_of(const struct attn_context *c, const struct unit *unit, size_t query) {
    return &c->mask_rows[attn_job_row(c, unit->head, query)];
}

/* Whether so few keys that no tile can be worth it. */
static int are_few(const struct attn_context *c, const struct unit *unit, size_t keys) {
    const int in_place = c->plan->in_place;
    return c->problem->route == ATTN_ROUTE_AUTO &&
           gather_cost(keys, in_place) < tile_cost(unit->end - unit->begin, ATTN_PANEL, in_place);
}

/* Keys that a unit lists. */
static size_t listed(const struct attn_context *c, const struct unit *unit) {
    size_t keys = 0;
    for (size_t query = unit->begin; query < unit->end; query++) {
        const struct attn_sparse_row row = sparse_row(c, row_of(c, unit, query));
        size_t first, last;
        attn_sparse_listed(&first, &last, &row, 0, c->problem->k_len);
        keys += last - first;
    }
    return keys;
}

static size_t most_kept(const struct tally *tallies, size_t tiles) {
    size_t most = 0;
    for (size_t t = 0; t < tiles; t++) most = tallies[t].kept > most ? tallies[t].kept : most;
    return most;
}

/* Counts what a unit keeps of each tile; returns whether it is for certain too few for any of them. */
static int count_unit(struct tally *tallies, const struct attn_context *c, const struct unit *unit) {
    const size_t tiles = c->plan->tile_count;
    const int is_list = attn_sparse_list(&c->problem->sparse_mask) != NULL;
    if (is_list && are_few(c, unit, listed(c, unit))) return 1;
    for (size_t t = 0; t < tiles; t++) tallies[t] = (struct tally){.kept = 0};
    for (size_t query = unit->begin; query < unit->end; query++) {
        if (is_list) {
            count_listed(tallies, c, row_of(c, unit, query), 0);
        } else {
            count_row(tallies, c, row_of(c, unit, query));
        }
    }
    if (!is_list) return 0;
    if (are_few(c, unit, most_kept(tallies, tiles))) return 1;
    for (size_t query = unit->begin; query < unit->end; query++) count_listed(tallies, c, row_of(c, unit, query), 1);
    return 0;
}

static void route_unit(uint8_t *routes, struct tally *tallies, const struct attn_context *c, const struct unit *unit) {
    const size_t tiles = c->plan->tile_count;
    const int counts = attn_sparse_is_scattered(&c->problem->sparse_mask) || c->problem->route == ATTN_ROUTE_ROWS;
    const int few = counts && count_unit(tallies, c, unit);
    for (size_t t = 0; t < tiles; t++) {
        routes[t] = few      ? ATTN_ROUTING_GATHER
                    : counts ? (uint8_t)choose(&tallies[t], c, unit->end - unit->begin)
                             : ATTN_ROUTING_SKIP;
    }
    for (size_t query = unit->begin; !counts && query < unit->end; query++) mark_row(routes, c, row_of(c, unit, query));
    routes[tiles] = 0;
    for (size_t t = 0; t < tiles; t++) routes[tiles] |= routes[t] == ATTN_ROUTING_TILE;
}

void attn_route_job(const struct attn_context *c, void *tallies) {
    const size_t queries = c->job.query_end - c->job.query_begin;
    uint8_t *routes = c->routes;
    for (size_t head = 0; head < c->plan->mask_heads; head++) {
        for (size_t n = 0; n < c->plan->unit_count; n++, routes += c->plan->tile_count + 1) {
            size_t begin = attn_smaller(n * ATTN_ROUTE_QUERIES, queries);
            struct unit unit = {head, begin, attn_smaller(begin + ATTN_ROUTE_QUERIES, queries)};
            route_unit(routes, tallies, c, &unit);
        }
    }
}

int attn_route_uses_tile(const struct attn_context *c, size_t tile) {
    const size_t units = c->plan->mask_heads * c->plan->unit_count, stride = c->plan->tile_count + 1;
    for (size_t unit = 0; unit < units; unit++) {
        if (c->routes[unit * stride + tile] == ATTN_ROUTING_TILE) return 1;
    }
    return 0;
}
