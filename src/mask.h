/* SPDX-License-Identifier: Apache-2.0
 *
 * mask.h - everything that decides which keys a query sees and how strongly: attention mask, causal order,
 * window, key lengths, ALiBi, sparse mask. The one question answered here: what does this row get in this tile?
 */
#ifndef ATTN_MASK_H
#define ATTN_MASK_H

#include "attn.h"
#include "softmax.h"

/* What is known of a row before any tile is looked at. */
struct attn_mask_row {
    size_t batch, head, query;
    size_t key_begin, key_end; /* the keys that causal order, window and lengths leave */
};

struct attn_mask_row attn_mask_row(const struct attn_problem *problem, size_t batch, size_t head, size_t query);

/* Whether the rows' keys [key_begin, key_end) are all there is to the problem's masks. */
int attn_mask_is_ranged(const struct attn_problem *problem);

/* What a row of a ranged problem gets of the tile of keys [key, key + count). */
static inline struct attn_softmax_row attn_mask_range(const struct attn_mask_row *row, size_t key, size_t count) {
    size_t begin = row->key_begin > key ? row->key_begin - key : 0;
    size_t end = row->key_end < key + count ? row->key_end : key + count;
    if (end <= key + begin) return (struct attn_softmax_row){0};
    return (struct attn_softmax_row){.begin = begin, .end = end - key};
}

/* Room for what is not read where it stands. */
struct attn_mask_buffer {
    float bias[ATTN_TILE_KEYS], weight[ATTN_TILE_KEYS];
    uint8_t keep[ATTN_TILE_KEYS];
};

/* What a row of any problem gets of it. With visit_all, columns that are out are described too (their scores are
 * wanted). What stands in the buffer beyond `count` is whatever it was. */
struct attn_softmax_row attn_mask_tile(const struct attn_problem *problem, const struct attn_mask_row *row, size_t key,
                                       size_t count, int visit_all, struct attn_mask_buffer *buffer);

/* Whether column j of a tile takes part. */
static inline int attn_mask_keeps(const struct attn_softmax_row *row, size_t j) {
    if (j < row->begin || j >= row->end) return 0;
    if (row->keep && !row->keep[j]) return 0;
    return !(row->bias && row->bias[j] == -__builtin_inff()) && !(row->weight && row->weight[j] == 0);
}

#endif
