/* SPDX-License-Identifier: Apache-2.0
 *
 * sparse.c - see sparse.h. The nodes are evaluated in their order, each once: those before it are there already.
 */
#include "sparse.h"

#include "vec.h"

#define WORDS (ATTN_TILE_KEYS / 64)

/* Row of a leaf's arrays. */
static size_t leaf_head(const struct attn_mask_node *leaf, const struct attn_sparse_row *row) {
    size_t batch = leaf->batch == 1 ? 0 : row->batch;
    size_t head = leaf->heads == 1 ? 0 : row->head / (row->problem->heads / leaf->heads);
    return batch * leaf->heads + head;
}

static size_t leaf_row(const struct attn_mask_node *leaf, const struct attn_sparse_row *row) {
    return leaf_head(leaf, row) * row->problem->q_len + row->query;
}

static size_t clamp(int64_t key, size_t k_len) {
    if (key < 0) return 0;
    return key > (int64_t)k_len ? k_len : (size_t)key;
}

/* Keys [begin, end). */
struct range {
    size_t begin, end;
};

/* Of leaves that keep a range of keys: which. */
static struct range leaf_range(const struct attn_mask_node *leaf, const struct attn_sparse_row *row) {
    const size_t k_len = row->problem->k_len, batch = leaf->batch == 1 ? 0 : row->batch;
    const int64_t self = (int64_t)row->query + leaf->offset;
    const size_t r = batch * row->problem->q_len + row->query;
    struct range range = {0, k_len};
    switch (leaf->kind) {
    case ATTN_MASK_BAND:
        if (leaf->before != ATTN_UNBOUNDED) range.begin = clamp(self - leaf->before, k_len);
        if (leaf->after != ATTN_UNBOUNDED) range.end = clamp(self + leaf->after + 1, k_len);
        return range;
    case ATTN_MASK_COLUMNS: return (struct range){0, leaf->ends[batch]};
    case ATTN_MASK_DOCUMENTS: return (struct range){leaf->begins[r], leaf->ends[r]};
    default: return range;
    }
}

/* Position in ascending indices of the first >= value. */
static size_t lower_bound(const uint32_t *indices, size_t begin, size_t end, size_t value) {
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (indices[middle] < value)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

static size_t block_row(const struct attn_mask_node *leaf, const struct attn_sparse_row *row) {
    size_t rows = (row->problem->q_len - 1) / leaf->block_rows + 1;
    return leaf_head(leaf, row) * rows + row->query / leaf->block_rows;
}

static const uint32_t *row_bits(const struct attn_mask_node *leaf, const struct attn_sparse_row *row, size_t tiles) {
    return leaf->bits + leaf_row(leaf, row) * tiles * (ATTN_TILE_KEYS / 32);
}

static size_t leaf_next(const struct attn_mask_node *leaf, const struct attn_sparse_row *row, size_t tile,
                        size_t tile_count) {
    const size_t key = tile * ATTN_TILE_KEYS;
    switch (leaf->kind) {
    case ATTN_MASK_BLOCKS: {
        size_t r = block_row(leaf, row), end = leaf->ptr[r + 1];
        size_t n = lower_bound(leaf->indices, leaf->ptr[r], end, key / leaf->block_columns);
        if (n == end) return tile_count;
        size_t begin = (size_t)leaf->indices[n] * leaf->block_columns / ATTN_TILE_KEYS;
        return begin > tile ? begin : tile;
    }
    case ATTN_MASK_BITS: {
        const uint32_t *bits = row_bits(leaf, row, tile_count) + tile * (ATTN_TILE_KEYS / 32);
        while (tile < tile_count && !(bits[0] | bits[1] | bits[2] | bits[3])) tile++, bits += ATTN_TILE_KEYS / 32;
        return tile;
    }
    case ATTN_MASK_CSR: {
        size_t r = leaf_row(leaf, row), end = leaf->ptr[r + 1];
        size_t n = lower_bound(leaf->indices, leaf->ptr[r], end, key);
        return n == end ? tile_count : leaf->indices[n] / ATTN_TILE_KEYS;
    }
    case ATTN_MASK_DENSE: return tile;
    default: {
        struct range range = leaf_range(leaf, row);
        if (range.begin >= range.end || range.end <= key) return tile_count;
        return range.begin > key ? range.begin / ATTN_TILE_KEYS : tile;
    }
    }
}

size_t attn_sparse_next(const struct attn_sparse_row *row, size_t tile, size_t tile_count) {
    const struct attn_mask *mask = &row->problem->sparse_mask;
    size_t next[ATTN_MASK_NODES];
    for (size_t n = 0; n < mask->count; n++) {
        const struct attn_mask_node *node = &mask->nodes[n];
        switch (node->kind) {
        case ATTN_MASK_AND: /* none before the later one; that one itself may still be in vain */
            next[n] = next[node->left] > next[node->right] ? next[node->left] : next[node->right];
            break;
        case ATTN_MASK_OR:
        case ATTN_MASK_MERGE:
            next[n] = next[node->left] < next[node->right] ? next[node->left] : next[node->right];
            break;
        case ATTN_MASK_NOT: next[n] = tile; break;
        default: next[n] = leaf_next(node, row, tile, tile_count);
        }
    }
    return next[mask->count - 1];
}

static void keep_range(struct attn_sparse_tile *kept, struct range range, size_t key) {
    size_t begin = range.begin > key ? range.begin - key : 0, end = range.end > key ? range.end - key : 0;
    for (size_t n = 0; begin < end && n < WORDS; n++) {
        kept->bits[n] |= attn_sparse_below(end, n) & ~attn_sparse_below(begin, n);
    }
}

static void keep_documents(struct attn_sparse_tile *kept, const struct attn_mask_node *leaf,
                           const struct attn_sparse_row *row, size_t key) {
    struct range range = leaf_range(leaf, row);
    if (!leaf->key_ids) {
        keep_range(kept, range, key);
        return;
    }
    const size_t batch = leaf->batch == 1 ? 0 : row->batch;
    const int32_t id = leaf->query_ids[batch * row->problem->q_len + row->query];
    const int32_t *ids = leaf->key_ids + batch * row->problem->k_len;
    const size_t end = range.end < key + ATTN_TILE_KEYS ? range.end : key + ATTN_TILE_KEYS;
    for (size_t j = range.begin > key ? range.begin : key; j < end; j++) {
        kept->bits[(j - key) / 64] |= (uint64_t)(ids[j] == id) << (j - key) % 64;
    }
}

static void keep_blocks(struct attn_sparse_tile *kept, const struct attn_mask_node *leaf,
                        const struct attn_sparse_row *row, size_t key) {
    const size_t width = leaf->block_columns, k_len = row->problem->k_len;
    const size_t r = block_row(leaf, row), end = leaf->ptr[r + 1];
    for (size_t n = lower_bound(leaf->indices, leaf->ptr[r], end, key / width); n < end; n++) {
        size_t begin = leaf->indices[n] * width;
        if (begin >= key + ATTN_TILE_KEYS) return;
        keep_range(kept, (struct range){begin, width < k_len - begin ? begin + width : k_len}, key);
    }
}

/* The columns of weights that are not 0. */
static void keep_weighted(struct attn_sparse_tile *kept, const float *weights) {
    for (size_t j = 0; j < ATTN_TILE_KEYS; j += 16) {
        kept->bits[j / 64] |= (uint64_t)(vec_zeros(weights + j) ^ 0xffff) << j % 64;
    }
    kept->weights = weights;
}

/* Adds columns key .. key + 63 of ascending indices from n on to one word of bits; returns where the next ones are. */
static size_t collect(uint64_t *word, const uint32_t *indices, size_t n, size_t end, size_t key) {
    uint64_t bits = *word;
    for (; n < end && indices[n] < key + 64; n++) bits |= (uint64_t)1 << (indices[n] - key);
    *word = bits;
    return n;
}

static void keep_csr(struct attn_sparse_tile *kept, const struct attn_mask_node *leaf,
                     const struct attn_sparse_row *row, size_t key, float *weights) {
    const size_t r = leaf_row(leaf, row), end = leaf->ptr[r + 1];
    size_t n = lower_bound(leaf->indices, leaf->ptr[r], end, key);
    if (!leaf->weights) {
        for (size_t w = 0; w < WORDS; w++) n = collect(&kept->bits[w], leaf->indices, n, end, key + 64 * w);
        return;
    }
    for (size_t j = 0; j < ATTN_TILE_KEYS; j += 4) vec_store(weights + j, vec_splat(0));
    for (; n < end && leaf->indices[n] < key + ATTN_TILE_KEYS; n++) weights[leaf->indices[n] - key] = leaf->weights[n];
    keep_weighted(kept, weights);
}

static void keep_dense(struct attn_sparse_tile *kept, const struct attn_mask_node *leaf,
                       const struct attn_sparse_row *row, size_t key, float *weights) {
    const size_t k_len = row->problem->k_len, count = k_len - key;
    const float *source = leaf->weights + leaf_row(leaf, row) * k_len + key;
    if (count < ATTN_TILE_KEYS) {
        for (size_t j = 0; j < ATTN_TILE_KEYS; j++) weights[j] = j < count ? source[j] : 0;
        source = weights;
    }
    keep_weighted(kept, source);
}

static void keep_leaf(struct attn_sparse_tile *kept, const struct attn_mask_node *leaf,
                      const struct attn_sparse_row *row, size_t tile, float *weights) {
    const size_t key = tile * ATTN_TILE_KEYS;
    switch (leaf->kind) {
    case ATTN_MASK_DOCUMENTS: keep_documents(kept, leaf, row, key); return;
    case ATTN_MASK_BLOCKS: keep_blocks(kept, leaf, row, key); return;
    case ATTN_MASK_BITS: {
        size_t tiles = (row->problem->k_len + ATTN_TILE_KEYS - 1) / ATTN_TILE_KEYS;
        const uint32_t *bits = row_bits(leaf, row, tiles) + tile * (ATTN_TILE_KEYS / 32);
        for (size_t n = 0; n < WORDS; n++) kept->bits[n] = bits[2 * n] | (uint64_t)bits[2 * n + 1] << 32;
        attn_sparse_restrict(kept, 0, row->problem->k_len - key); /* whatever stands beyond the last key */
        return;
    }
    case ATTN_MASK_DENSE: keep_dense(kept, leaf, row, key, weights); return;
    case ATTN_MASK_CSR: keep_csr(kept, leaf, row, key, weights); return;
    default: keep_range(kept, leaf_range(leaf, row), key);
    }
}

/* Weights of any operand, written out where all are 1. */
static const float *weights_of(const struct attn_sparse_tile *operand, float *room) {
    if (operand->weights) return operand->weights;
    for (size_t j = 0; j < ATTN_TILE_KEYS; j++) room[j] = (float)(operand->bits[j / 64] >> j % 64 & 1);
    return room;
}

static void combine_weights(struct attn_sparse_tile *kept, enum attn_mask_kind kind,
                            const struct attn_sparse_tile *left, const struct attn_sparse_tile *right, float *weights) {
    float left_room[ATTN_TILE_KEYS], right_room[ATTN_TILE_KEYS];
    const float *a = weights_of(left, left_room), *b = weights_of(right, right_room);
    const vec one = vec_splat(1);
    for (size_t j = 0; j < ATTN_TILE_KEYS; j += 4) {
        vec x = vec_load(a + j), y = vec_load(b + j);
        vec w = kind == ATTN_MASK_AND  ? vec_mul(x, y)
                : kind == ATTN_MASK_OR ? vec_max(x, y)
                                       : vec_min(vec_add(x, y), one);
        vec_store(weights + j, w);
    }
    keep_weighted(kept, weights);
}

static void combine(struct attn_sparse_tile *kept, enum attn_mask_kind kind, const struct attn_sparse_tile *left,
                    const struct attn_sparse_tile *right, float *weights) {
    if (left->weights || right->weights) {
        combine_weights(kept, kind, left, right, weights);
        return;
    }
    for (size_t n = 0; n < WORDS; n++) {
        kept->bits[n] = kind == ATTN_MASK_AND ? left->bits[n] & right->bits[n] : left->bits[n] | right->bits[n];
    }
}

struct attn_sparse_tile attn_sparse_tile(const struct attn_sparse_row *row, size_t tile, float *weights) {
    const struct attn_mask *mask = &row->problem->sparse_mask;
    const size_t key = tile * ATTN_TILE_KEYS, last = mask->count - 1;
    float rooms[ATTN_MASK_NODES][ATTN_TILE_KEYS];
    struct attn_sparse_tile kept[ATTN_MASK_NODES];
    for (size_t n = 0; n <= last; n++) {
        const struct attn_mask_node *node = &mask->nodes[n];
        float *room = n == last ? weights : rooms[n];
        kept[n] = (struct attn_sparse_tile){.bits = {0, 0}};
        if (node->kind < ATTN_MASK_AND) {
            keep_leaf(&kept[n], node, row, tile, room);
        } else if (node->kind == ATTN_MASK_NOT) {
            for (size_t w = 0; w < WORDS; w++) kept[n].bits[w] = ~kept[node->left].bits[w];
            attn_sparse_restrict(&kept[n], 0, row->problem->k_len - key);
        } else {
            combine(&kept[n], node->kind, &kept[node->left], &kept[node->right], room);
        }
    }
    return kept[last];
}

void attn_sparse_listed(size_t *first, size_t *last, const struct attn_sparse_row *row, size_t begin, size_t end) {
    const struct attn_mask_node *leaf = row->problem->sparse_mask.nodes;
    size_t r = leaf_row(leaf, row);
    *first = leaf->ptr[r], *last = leaf->ptr[r + 1];
    if (begin > 0) *first = lower_bound(leaf->indices, *first, *last, begin);
    if (end < row->problem->k_len) *last = lower_bound(leaf->indices, *first, *last, end);
}

int attn_sparse_lists_zeros(const struct attn_sparse_row *row) {
    const struct attn_mask_node *leaf = row->problem->sparse_mask.nodes;
    const size_t r = leaf_row(leaf, row);
    for (size_t n = leaf->ptr[r]; leaf->weights && n < leaf->ptr[r + 1]; n++) {
        if (leaf->weights[n] == 0) return 1;
    }
    return 0;
}

const float *attn_sparse_weights(const struct attn_sparse_row *row, size_t tile) {
    const struct attn_mask *mask = &row->problem->sparse_mask;
    const size_t k_len = row->problem->k_len, key = tile * ATTN_TILE_KEYS;
    if (mask->count != 1 || mask->nodes->kind != ATTN_MASK_DENSE || k_len - key < ATTN_TILE_KEYS) return NULL;
    return mask->nodes->weights + leaf_row(mask->nodes, row) * k_len + key;
}

int attn_sparse_repeats(const struct attn_mask *mask, size_t query) {
    for (size_t n = 0; n < mask->count; n++) {
        const struct attn_mask_node *node = &mask->nodes[n];
        switch (node->kind) {
        case ATTN_MASK_BLOCKS:
            if (query % node->block_rows == 0) return 0;
            break;
        case ATTN_MASK_BAND:
        case ATTN_MASK_DOCUMENTS:
        case ATTN_MASK_BITS:
        case ATTN_MASK_DENSE:
        case ATTN_MASK_CSR: return 0;
        default: break;
        }
    }
    return 1;
}

int attn_sparse_is_scattered(const struct attn_mask *mask) {
    for (size_t n = 0; n < mask->count; n++) {
        enum attn_mask_kind kind = mask->nodes[n].kind;
        if (kind >= ATTN_MASK_BLOCKS && kind <= ATTN_MASK_CSR) return 1;
    }
    return 0;
}

int attn_sparse_is_weighted(const struct attn_mask *mask) {
    for (size_t n = 0; n < mask->count; n++) {
        const struct attn_mask_node *node = &mask->nodes[n];
        if (node->kind == ATTN_MASK_DENSE || (node->kind == ATTN_MASK_CSR && node->weights)) return 1;
    }
    return 0;
}

int attn_sparse_is_shared(const struct attn_problem *problem, size_t group) {
    for (size_t n = 0; n < problem->sparse_mask.count; n++) {
        const struct attn_mask_node *node = &problem->sparse_mask.nodes[n];
        int has_heads = node->kind >= ATTN_MASK_BLOCKS && node->kind <= ATTN_MASK_CSR;
        if (has_heads && problem->heads / node->heads % group) return 0;
    }
    return 1;
}
