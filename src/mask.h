/* SPDX-License-Identifier: Apache-2.0
 *
 * mask.h - everything that decides which keys a query sees and how strongly: attention mask, causal order,
 * window, key lengths, ALiBi, sparse mask. The one question answered here: what does this row get in this tile?
 */
#ifndef ATTN_MASK_H
#define ATTN_MASK_H

#include "attn.h"
#include "softmax.h"
#include "sparse.h"

/* What is known of a row before any tile is looked at. */
struct attn_mask_row {
    size_t batch, head, query;
    size_t key_begin, key_end; /* the keys that causal order, window and lengths leave */
};

struct attn_mask_row attn_mask_row(const struct attn_problem *problem, size_t batch, size_t head, size_t query);

/* The absolute position of a query. */
int64_t attn_mask_position(const struct attn_problem *problem, size_t batch, size_t query);

/* Whether the rows' keys [key_begin, key_end) are all there is to the problem's masks. */
int attn_mask_is_ranged(const struct attn_problem *problem);

/* Whether the scores are more than dot products: an attention mask, boolean ones too, or ALiBi adds to them. */
int attn_mask_is_biased(const struct attn_problem *problem);

/* What a row of a ranged problem gets of the tile of keys [key, key + count). */
static inline struct attn_softmax_row attn_mask_range(const struct attn_mask_row *row, size_t key, size_t count) {
    size_t begin = row->key_begin > key ? row->key_begin - key : 0;
    size_t end = row->key_end < key + count ? row->key_end : key + count;
    if (end <= key + begin) return (struct attn_softmax_row){0};
    return (struct attn_softmax_row){.begin = begin, .end = end - key};
}

/* Takes out of a tile of the sparse mask what lies outside the row's keys. */
static inline void attn_mask_restrict(struct attn_sparse_tile *kept, const struct attn_mask_row *row, size_t key) {
    size_t begin = row->key_begin > key ? row->key_begin - key : 0, end = row->key_end > key ? row->key_end - key : 0;
    attn_sparse_restrict(kept, begin, end);
}

/* For lists of keys: the first tile from `tile` on of which the row may keep something; what entries the sparse mask has
 * there, or without one what the other masks leave; those of them that the attention mask leaves; and what it and ALiBi
 * add to the score of one. */
size_t attn_mask_next(const struct attn_problem *problem, const struct attn_mask_row *row, size_t tile,
                      size_t tile_count);
struct attn_sparse_tile attn_mask_entries(const struct attn_problem *problem, const struct attn_mask_row *row,
                                          size_t tile, float *weights);
void attn_mask_filter(struct attn_sparse_tile *kept, const struct attn_problem *problem,
                      const struct attn_mask_row *row, size_t key);
float attn_mask_bias(const struct attn_problem *problem, const struct attn_mask_row *row, size_t key);

/* Room for what is not read where it stands. */
struct attn_mask_buffer {
    float bias[ATTN_TILE_KEYS], weight[ATTN_TILE_KEYS];
    uint32_t keep[ATTN_TILE_KEYS];
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
