/* SPDX-License-Identifier: Apache-2.0
 *
 * route.c - see route.h. Integers only: counts of what is kept. A unit's routes depend on its own queries alone, so that
 * heads that share keys take the same ones as heads with copies of them.
 */
#include "route.h"

#include "sparse.h"
#include "tile.h"

/* Work is counted in halves of what a column of a tile costs a row. A tile's keys and values are also packed, of which one
 * unit bears a part. */
#define PACK_COST (2 * ATTN_TILE_KEYS)
/* Where counting is as much work as computing, every so many queries stand for all of a unit. */
#define SAMPLE 4

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

/* Of a tile's columns, for a unit of `rows` queries. */
static size_t tile_cost(const struct attn_context *c, size_t rows, size_t columns) {
    return 2 * rows * columns + (c->plan->in_place ? 0 : PACK_COST);
}

/* Of gathered keys, each for one query: the more heads share the reading of a key, the less. Where tiles are read in
 * place it is all about reading, which the heads of a tile always share. */
static size_t gather_cost(const struct attn_context *c, size_t keys) {
    if (c->plan->in_place)
        return keys * (c->sharing == c->plan->group_heads ? 3 : 3 * attn_smaller(c->plan->group_heads, 4));
    return keys * (c->sharing >= 4 ? 5 : c->sharing >= 2 ? 7 : 11);
}

static enum attn_routing choose(const struct tally *tally, const struct attn_context *c, size_t rows) {
    if (c->problem->route == ATTN_ROUTE_TILES) return ATTN_ROUTING_TILE;
    if (c->problem->route == ATTN_ROUTE_ROWS) return ATTN_ROUTING_GATHER;
    int is_less = !tally->kept || gather_cost(c, tally->kept) < tile_cost(c, rows, width(tally));
    return is_less ? ATTN_ROUTING_GATHER : ATTN_ROUTING_TILE;
}

static struct attn_sparse_row sparse_row(const struct attn_context *c, const struct attn_mask_row *row) {
    return (struct attn_sparse_row){c->problem, row->batch, row->head, row->query};
}

/* Adds what one row keeps, and as much for those that it stands for, to the tallies of its tiles. */
static void count_row(struct tally *tallies, const struct attn_context *c, const struct attn_mask_row *place) {
    const struct attn_sparse_row row = sparse_row(c, place);
    float weights[ATTN_TILE_KEYS];
    for (size_t tile = place->key_begin / ATTN_TILE_KEYS; tile * ATTN_TILE_KEYS < place->key_end; tile++) {
        tile = attn_sparse_next(&row, tile, c->plan->tile_count);
        if (tile * ATTN_TILE_KEYS >= place->key_end) return;
        struct attn_sparse_tile kept = attn_sparse_tile(&row, tile, weights);
        attn_mask_restrict(&kept, place, tile * ATTN_TILE_KEYS);
        for (size_t n = 0; n < ATTN_TILE_KEYS / 64; n++) tallies[tile].bits[n] |= kept.bits[n];
        tallies[tile].kept += SAMPLE * (uint32_t)attn_sparse_count(&kept);
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
    return c->problem->route == ATTN_ROUTE_AUTO &&
           gather_cost(c, keys) < tile_cost(c, unit->end - unit->begin, ATTN_PANEL);
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
    for (size_t query = unit->begin; !is_list && query < unit->end; query += SAMPLE) {
        count_row(tallies, c, row_of(c, unit, query));
    }
    if (!is_list) return 0;
    for (size_t query = unit->begin; query < unit->end; query++) count_listed(tallies, c, row_of(c, unit, query), 0);
    if (are_few(c, unit, most_kept(tallies, tiles))) return 1;
    for (size_t query = unit->begin; query < unit->end; query++) count_listed(tallies, c, row_of(c, unit, query), 1);
    return 0;
}

static void route_unit(uint8_t *routes, struct tally *tallies, const struct attn_context *c, const struct unit *unit) {
    const size_t tiles = c->plan->tile_count;
    const int counts = attn_sparse_is_scattered(&c->problem->sparse_mask) || c->problem->route == ATTN_ROUTE_ROWS;
    const int few = counts && count_unit(tallies, c, unit);
    for (size_t t = 0; t < tiles; t++) {
        int is_tile = counts && !few && choose(&tallies[t], c, unit->end - unit->begin) == ATTN_ROUTING_TILE;
        routes[t] = is_tile ? ATTN_ROUTING_TILE : ATTN_ROUTING_GATHER;
    }
    for (size_t query = unit->begin; !counts && query < unit->end; query++) mark_row(routes, c, row_of(c, unit, query));
    unsigned used = 0;
    for (size_t t = 0; t < tiles; t++) used |= 1u << routes[t];
    routes[tiles] = (uint8_t)(counts ? used : 1u << ATTN_ROUTING_TILE); /* what was marked is all there is */
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
