/* SPDX-License-Identifier: Apache-2.0
 *
 * route.c - see route.h. Integers only: counts of what is kept. A unit's routes depend on its own queries, and on how many
 * heads share what they read.
 */
#include "route.h"

#include "sparse.h"
#include "tile.h"

/* Work is counted in halves of what a column of a tile costs a row. A tile's keys and values are also packed, of which one
 * unit bears a part. */
#define PACK_COST (2 * ATTN_TILE_KEYS)
/* Where counting is as much work as computing, every so many queries stand for all of a unit. */
#define SAMPLE 6

/* What the rows of a unit keep of a tile. */
struct tally {
    uint32_t begin, end; /* columns from the first to the last */
    uint32_t kept, rows; /* keys, and queries that keep some */
};

static void add(struct tally *tally, size_t begin, size_t end, size_t kept, size_t rows) {
    tally->begin = (uint32_t)attn_smaller(tally->begin, begin), tally->end = (uint32_t)attn_larger(tally->end, end);
    tally->kept += (uint32_t)(rows * kept), tally->rows += (uint32_t)rows;
}

size_t attn_route_tally_bytes(void) { return sizeof(struct tally); }

/* Columns from the first to the last, in whole panels. */
static size_t width(const struct tally *tally) {
    size_t begin = tally->begin / ATTN_PANEL, end = (tally->end - 1) / ATTN_PANEL + 1;
    return (end - begin) * ATTN_PANEL;
}

/* Of a tile's columns, for a unit of which `rows` queries keep some; strips are computed whole. In place, all of the tile
 * is fetched. */
static size_t tile_cost(const struct attn_context *c, size_t rows, size_t columns) {
    const size_t strip = c->plan->heads_apart ? ATTN_STRIP_ROWS : ATTN_STRIP_ROWS / c->plan->group_heads;
    return c->plan->in_place ? 2 * ATTN_TILE_KEYS : 2 * attn_larger(rows, strip) * columns + PACK_COST;
}

/* Of gathered keys, each for one query: the more heads share the reading of a key, the less. Where tiles are read in
 * place it is all about reading. */
static size_t gather_cost(const struct attn_context *c, size_t keys) {
    if (c->plan->in_place) return keys * 3;
    return keys * (c->sharing >= 4 ? 5 : c->sharing >= 2 ? 7 : 11);
}

static enum attn_routing choose(const struct tally *tally, const struct attn_context *c) {
    const enum attn_route route = c->problem->route;
    if (route != ATTN_ROUTE_AUTO) return route == ATTN_ROUTE_TILES ? ATTN_ROUTING_TILE : ATTN_ROUTING_GATHER;
    if (!tally->kept) return ATTN_ROUTING_GATHER;
    int is_less = gather_cost(c, tally->kept) < tile_cost(c, tally->rows, width(tally));
    return is_less ? ATTN_ROUTING_GATHER : ATTN_ROUTING_TILE;
}

static struct attn_sparse_row sparse_row(const struct attn_context *c, const struct attn_mask_row *row) {
    return (struct attn_sparse_row){c->problem, row->batch, row->head, row->query};
}

/* Adds what one row keeps to the tallies of its tiles, for `times` queries. */
static void count_row(struct tally *tallies, const struct attn_context *c, const struct attn_mask_row *place,
                      size_t times) {
    const struct attn_sparse_row row = sparse_row(c, place);
    float weights[ATTN_TILE_KEYS];
    for (size_t tile = 0; (tile = attn_sparse_next(&row, tile, c->plan->tile_count)) < c->plan->tile_count; tile++) {
        struct attn_sparse_tile kept = attn_sparse_tile(&row, tile, weights);
        size_t count = attn_sparse_count(&kept);
        if (count) add(&tallies[tile], attn_sparse_begin(&kept), attn_sparse_end(&kept), count, times);
    }
}

/* The same of a list of keys. */
static void count_listed(struct tally *tallies, const struct attn_context *c, const struct attn_mask_row *place,
                         size_t times) {
    const struct attn_sparse_row row = sparse_row(c, place);
    const uint32_t *indices = c->problem->sparse_mask.nodes->indices;
    size_t n, end;
    attn_sparse_listed(&n, &end, &row, 0, c->problem->k_len);
    while (n < end) {
        const size_t tile = indices[n] / ATTN_TILE_KEYS, key = tile * ATTN_TILE_KEYS, first = n;
        while (n < end && indices[n] < key + ATTN_TILE_KEYS) n++;
        add(&tallies[tile], indices[first] - key, indices[n - 1] - key + 1, n - first, times);
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

/* What is routed together: queries [begin, end) of one of the job's rows of the mask, or, where tiles are read in place,
 * of all of them: whatever reads a tile reads it for all heads. */
struct unit {
    size_t first_head, last_head, begin, end;
};

static const struct attn_mask_row *row_of(const struct attn_context *c, size_t head, size_t query) {
    return &c->mask_rows[attn_job_row(c, head, query)];
}

/* Whether a unit lists so few keys that no tile can be worth it. */
static int lists_few(const struct attn_context *c, const struct unit *unit) {
    size_t keys = 0;
    if (c->problem->route != ATTN_ROUTE_AUTO || !attn_sparse_list(&c->problem->sparse_mask)) return 0;
    if (unit->begin == unit->end) return 1;
    for (size_t head = unit->first_head; head <= unit->last_head; head++) {
        const struct attn_sparse_row top = sparse_row(c, row_of(c, head, unit->begin));
        const struct attn_sparse_row bottom = sparse_row(c, row_of(c, head, unit->end - 1));
        size_t first, last, between;
        attn_sparse_listed(&first, &between, &top, 0, c->problem->k_len);
        attn_sparse_listed(&between, &last, &bottom, 0, c->problem->k_len);
        keys += last - first; /* the lists of a head's queries follow each other */
    }
    return gather_cost(c, keys) < tile_cost(c, 1, ATTN_PANEL);
}

/* Counts what one head of a unit keeps of each tile, query by query, each with those after it that are the same; where
 * these are few, some stand for all. Returns whether it counted all. */
static int count_head(struct tally *tallies, const struct attn_context *c, const struct unit *unit, size_t head) {
    const struct attn_mask *mask = &c->problem->sparse_mask;
    const size_t query_begin = c->job.query_begin;
    int counts_all = 1;
    for (size_t query = unit->begin, next; query < unit->end; query = next) {
        next = query + 1;
        while (next < unit->end && attn_sparse_repeats(mask, query_begin + next)) next++;
        const size_t fewest = attn_smaller(SAMPLE, unit->end - query);
        if (next - query < fewest) counts_all = 0, next = query + fewest;
        const size_t times = next - query;
        if (attn_sparse_list(mask)) {
            count_listed(tallies, c, row_of(c, head, query), times);
        } else {
            count_row(tallies, c, row_of(c, head, query), times);
        }
    }
    return counts_all;
}

/* The same of all its heads. */
static int count_unit(struct tally *tallies, const struct attn_context *c, const struct unit *unit) {
    int counts_all = 1;
    for (size_t t = 0; t < c->plan->tile_count; t++) tallies[t] = (struct tally){.begin = ATTN_TILE_KEYS};
    for (size_t head = unit->first_head; head <= unit->last_head; head++) {
        counts_all &= count_head(tallies, c, unit, head);
    }
    return counts_all;
}

/* Routes by what is counted. */
static void route_counted(uint8_t *routes, struct tally *tallies, const struct attn_context *c,
                          const struct unit *unit) {
    const int few = lists_few(c, unit), counts_all = !few && count_unit(tallies, c, unit);
    for (size_t t = 0; t < c->plan->tile_count; t++) {
        int is_none = counts_all && !tallies[t].kept;
        routes[t] = (uint8_t)(few ? ATTN_ROUTING_GATHER : is_none ? ATTN_ROUTING_NONE : choose(&tallies[t], c));
    }
}

static void route_unit(uint8_t *routes, struct tally *tallies, const struct attn_context *c, const struct unit *unit) {
    const size_t tiles = c->plan->tile_count;
    unsigned used = 0;
    if (attn_sparse_is_scattered(&c->problem->sparse_mask) || c->problem->route == ATTN_ROUTE_ROWS) {
        route_counted(routes, tallies, c, unit);
    } else {
        for (size_t t = 0; t < tiles; t++) routes[t] = ATTN_ROUTING_NONE;
        for (size_t head = unit->first_head; head <= unit->last_head; head++) {
            for (size_t query = unit->begin; query < unit->end; query++) mark_row(routes, c, row_of(c, head, query));
        }
    }
    for (size_t t = 0; t < tiles; t++) used |= 1u << routes[t];
    routes[tiles] = (uint8_t)used;
}

void attn_route_job(const struct attn_context *c, void *tallies) {
    const size_t queries = c->job.query_end - c->job.query_begin, stride = c->plan->tile_count + 1;
    const size_t units = c->plan->unit_count, heads = c->plan->mask_heads, together = c->plan->in_place ? heads : 1;
    for (size_t head = 0; head < heads; head += together) {
        for (size_t n = 0; n < units; n++) {
            const size_t begin = attn_smaller(n * ATTN_ROUTE_QUERIES, queries);
            const struct unit unit = {head, head + together - 1, begin,
                                      attn_smaller(begin + ATTN_ROUTE_QUERIES, queries)};
            uint8_t *routes = c->routes + (head * units + n) * stride;
            route_unit(routes, tallies, c, &unit);
            for (size_t other = 1; other < together; other++) {
                for (size_t t = 0; t < stride; t++) routes[other * units * stride + t] = routes[t];
            }
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
