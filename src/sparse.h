/* SPDX-License-Identifier: Apache-2.0
 *
 * sparse.h - the sparse mask: what one of its rows keeps of a tile of keys, whatever it is made of. The time to find
 * out follows what is kept: `next` skips the tiles between.
 */
#ifndef ATTN_SPARSE_H
#define ATTN_SPARSE_H

#include "attn.h"

/* A row of the mask: what query `query` of a head keeps. */
struct attn_sparse_row {
    const struct attn_problem *problem;
    size_t batch, head, query;
};

/* What a row keeps of one tile. */
struct attn_sparse_tile {
    uint64_t bits[ATTN_TILE_KEYS / 64]; /* column j at bits[j / 64] >> j % 64 & 1 */
    const float *weights;               /* [ATTN_TILE_KEYS], 0 where nothing is kept; NULL: 1 where something is */
};

/* The first tile from `tile` on of which the row may keep something; tile_count if there is none. */
size_t attn_sparse_next(const struct attn_sparse_row *row, size_t tile, size_t tile_count);

/* What the row keeps of a tile; its weights lie in `weights` [ATTN_TILE_KEYS], or where the mask has them. */
struct attn_sparse_tile attn_sparse_tile(const struct attn_sparse_row *row, size_t tile, float *weights);

/* Queries of a row of blocks, if that is what the mask is made of; else 0. */
static inline size_t attn_sparse_block_rows(const struct attn_mask *mask) {
    return mask->count == 1 && mask->nodes->kind == ATTN_MASK_BLOCKS ? mask->nodes->block_rows : 0;
}

/* Whether the row of such a list has entries of weight 0, which are none. */
int attn_sparse_lists_zeros(const struct attn_sparse_row *row);

/* Weights of all of the tile's columns where they stand, if that is what the mask is made of; else NULL. */
const float *attn_sparse_weights(const struct attn_sparse_row *row, size_t tile);

/* Whether the rows of query and of the one before it are the same for certain, as within a row of blocks. */
int attn_sparse_repeats(const struct attn_mask *mask, size_t query);

/* Whether what the mask keeps of a tile may lie scattered in it: then it is worth counting. */
int attn_sparse_is_scattered(const struct attn_mask *mask);

/* Whether what it keeps may have other weights than 1. */
int attn_sparse_is_weighted(const struct attn_mask *mask);

/* The leaf, if the mask is nothing but a list of each row's keys; else NULL. */
static inline const struct attn_mask_node *attn_sparse_list(const struct attn_mask *mask) {
    return mask->count == 1 && mask->nodes->kind == ATTN_MASK_CSR ? mask->nodes : NULL;
}

/* Where that list has the row's keys [begin, end): in [*first, *last) of its indices. */
void attn_sparse_listed(size_t *first, size_t *last, const struct attn_sparse_row *row, size_t begin, size_t end);

/* Whether `group` query heads that follow each other, from a multiple of it on, have the same rows. */
int attn_sparse_is_shared(const struct attn_problem *problem, size_t group);

static inline size_t attn_sparse_count(const struct attn_sparse_tile *tile) {
    return (size_t)(__builtin_popcountll(tile->bits[0]) + __builtin_popcountll(tile->bits[1]));
}

/* The first column that is kept, and the one after the last; of a tile that keeps some. */
static inline size_t attn_sparse_begin(const struct attn_sparse_tile *tile) {
    return (size_t)(tile->bits[0] ? __builtin_ctzll(tile->bits[0]) : 64 + __builtin_ctzll(tile->bits[1]));
}
static inline size_t attn_sparse_end(const struct attn_sparse_tile *tile) {
    return (size_t)(tile->bits[1] ? 128 - __builtin_clzll(tile->bits[1]) : 64 - __builtin_clzll(tile->bits[0]));
}

/* Bits of columns before `end` in word `word`, and columns [begin, end) alone. */
static inline uint64_t attn_sparse_below(size_t end, size_t word) {
    return end >= 64 * (word + 1) ? ~(uint64_t)0 : end <= 64 * word ? 0 : ((uint64_t)1 << (end - 64 * word)) - 1;
}
static inline void attn_sparse_restrict(struct attn_sparse_tile *tile, size_t begin, size_t end) {
    for (size_t n = 0; n < 2; n++) tile->bits[n] &= attn_sparse_below(end, n) & ~attn_sparse_below(begin, n);
}

#endif
