/* SPDX-License-Identifier: Apache-2.0
 *
 * route.h - which way what a sparse mask keeps is computed: for each unit of queries and each tile, by what both cost.
 */
#ifndef ATTN_ROUTE_H
#define ATTN_ROUTE_H

#include "job.h"

enum attn_routing {
    ATTN_ROUTING_TILE,   /* from the first kept column to the last, all rows of a strip together */
    ATTN_ROUTING_GATHER, /* the kept keys alone, row by row; where that is none, it is no work */
    ATTN_ROUTING_NONE    /* for certain nothing is kept */
};

/* Bytes that routing one unit takes on the way, for each tile. */
size_t attn_route_tally_bytes(void);

/* Fills in c->routes, for each unit those of the tiles and then a bit, 1 << routing, for each one that occurs; what `tallies` holds, [tile_count], is of no more use then. */
void attn_route_job(const struct attn_context *c, void *tallies);

/* Whether row r may have keys of a routing. */
static inline int attn_row_uses(const struct attn_context *c, size_t r, enum attn_routing routing) {
    if (!c->routes) return routing == ATTN_ROUTING_TILE;
    return attn_row_routes(c, r)[c->plan->tile_count] >> routing & 1;
}

/* Whether some row of the job goes through the tile. */
int attn_route_uses_tile(const struct attn_context *c, size_t tile);

#endif
