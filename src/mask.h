/* SPDX-License-Identifier: Apache-2.0
 *
 * mask.h - everything that decides which keys a query sees and how strongly: attention mask, causal order,
 * window, key lengths, ALiBi, sparse mask. The one question answered here: what does this row get in this tile?
 */
#ifndef ATTN_MASK_H
#define ATTN_MASK_H

#include "attn.h"

/* What is known of a row before any tile is looked at. */
struct attn_mask_row {
    size_t batch, head, query;
    size_t key_begin, key_end; /* the keys that causal order, window and lengths leave */
};

/* One row of one tile. Arrays cover the tile's columns, and are readable up to a multiple of 4 of them. */
struct attn_mask_tile {
    size_t begin, end;   /* columns that may take part; none: begin = end */
    const float *bias;   /* to add to the scores, -infinity = out; NULL = none */
    int bias_is_exact;   /* the bias is 0 or -infinity everywhere */
    const float *weight; /* to multiply the exponentials with, 0 = out; NULL = ones */
    float bias_buffer[ATTN_TILE_KEYS], weight_buffer[ATTN_TILE_KEYS];
};

struct attn_mask_row attn_mask_row(const struct attn_problem *problem, size_t batch, size_t head, size_t query);

/* Keys [key, key + count) of a row. With visit_all, columns that are out are described too (their scores are wanted):
 * as a bias of -infinity. */
void attn_mask_tile(struct attn_mask_tile *tile, const struct attn_problem *problem, const struct attn_mask_row *row,
                    size_t key, size_t count, int visit_all);

/* Whether column j of a described tile takes part. */
static inline int attn_mask_tile_keeps(const struct attn_mask_tile *tile, size_t j) {
    if (j < tile->begin || j >= tile->end) return 0;
    return !(tile->bias && tile->bias[j] == -__builtin_inff()) && !(tile->weight && tile->weight[j] == 0);
}

#endif
