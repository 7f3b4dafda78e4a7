/* SPDX-License-Identifier: Apache-2.0
 *
 * strip.h - the tile path: a strip of rows against a tile of keys. Scores, online softmax, accumulation (Dao et al. 2022,
 * Milakov and Gimelshein 2018).
 */
#ifndef ATTN_STRIP_H
#define ATTN_STRIP_H

#include "job.h"
#include "tile.h"

/* The tile at hand. */
struct attn_tile {
    size_t index, key, count;
    int placed;                       /* the rest is known */
    const void *keys[ATTN_TILE_KEYS]; /* where each stands, if they are not packed in c->keys */
    const struct attn_tile_kernels *key_kernels;
    const void *values[ATTN_TILE_KEYS]; /* rows [count, wide], of which panels are so far apart */
    size_t value_panel_stride;
    struct attn_panels
        panels; /* the same, if they are float32 in panels, packed or where they stand; else data is NULL */
    const struct attn_tile_kernels *value_kernels;
    enum { ATTN_UNKNOWN, ATTN_FINITE, ATTN_NOT_FINITE } finite; /* whether all values are */
};

/* Keys laid out in panels in c->keys: those listed, up to a tile of them. */
void attn_pack_listed(const struct attn_context *c, const uint32_t *keys, size_t count);

/* How many rows from `first` on, a multiple of ATTN_SOFTMAX_ROWS, go together: ATTN_STRIP_ROWS, or up to where a row of
 * blocks ends, so that all see the same, or as many as there are. */
size_t attn_strip_rows(const struct attn_context *c, size_t first);

/* Those rows against a tile; returns what they cost, in row-tiles. */
size_t attn_strip_run(const struct attn_context *c, struct attn_tile *tile, size_t first);

#endif
