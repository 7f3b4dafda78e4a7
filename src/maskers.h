/* SPDX-License-Identifier: Apache-2.0
 *
 * maskers.h - which keys each query should look at: the maskers of sparse-attention research. A masker takes a problem,
 * whose sparse mask is what earlier maskers kept, and lists for each row what they kept and what it chooses besides.
 *
 *     struct attn_masker masker = {.kind = ATTN_MASKER_QUEST, .count = 64, .page_size = 16, .bits = 16};
 *     struct attn_masker_plan plan;
 *     attn_masker_plan_init(&plan, &masker, &problem, capacity);      // bytes of index and workspace
 *     masker.index = calloc(1, plan.index_bytes), masker.capacity = capacity;
 *     attn_masker_append(&masker, &problem, 0, 0, k_len, workspace);  // batch 0: all keys; later, only new ones
 *     attn_masker_choose(&masker, &problem, 0, q_len, ends, indices, NULL, workspace);
 *
 * Shared by all: only keys that the problem's other masks allow are chosen, and none that the row has already; a row that
 * has fewer gets them all; among equals the lowest index goes first; NaN is never chosen. The inputs are not changed.
 *
 * An index is what a masker knows of the keys: it grows as they are appended and is never rebuilt. It belongs to the
 * caller, who keeps one for each layer.
 */
#ifndef ATTN_MASKERS_H
#define ATTN_MASKERS_H

#include "attn.h"

#ifdef __cplusplus
extern "C" {
#endif

enum attn_masker_kind {
    ATTN_MASKER_TOP_K,           /* the `count` largest logits (oracle: needs all of them) */
    ATTN_MASKER_TOP_P,           /* the fewest largest logits whose exponentials sum to more than `mass` of the sum over
                                    what may be chosen; equals of the last of them too (oracle) */
    ATTN_MASKER_GROUP_TOP_K,     /* one list for all query heads of a key head: largest dot products with their sum */
    ATTN_MASKER_QUEST,           /* the `count` pages of page_size keys that bound the dot product highest */
    ATTN_MASKER_DOUBLE_SPARSITY, /* largest dot products over few channels, of `bits` bits */
    ATTN_MASKER_HASH_ATTENTION,  /* nearest codes, the signs that a learned network gives */
    ATTN_MASKER_PQ_CACHE,        /* largest dot products with quantised keys */
    ATTN_MASKER_SOCKET,          /* largest probabilities of equal hashes, times the norm of the value */
    ATTN_MASKER_RANDOM,          /* draws of keys, all alike */
    ATTN_MASKER_ADAPTIVE,        /* as many draws as the denominator needs to be within epsilon, but for delta */
    ATTN_MASKER_IMPORTANCE,      /* `count` draws, by the quantised keys' attention */
    ATTN_MASKER_MAGIC_PIG        /* keys with an equal hash, weighted by the probability of that */
};

/* What a kind does not use is not looked at. */
struct attn_masker {
    enum attn_masker_kind kind;
    size_t count;     /* keys that each row gets; QUEST: pages; IMPORTANCE: draws */
    double mass;      /* TOP_P: in [0, 1] */
    double rate;      /* RANDOM: draws, as a fraction in (0, 1] of the keys that a row may choose; ADAPTIVE: instead of
                         `base`, or 0 */
    size_t page_size; /* QUEST: >= 1 */
    size_t bits;      /* QUEST, DOUBLE_SPARSITY: of labels, 1 .. 16, where 16 is as they are; HASH_ATTENTION: of codes;
                            PQ_CACHE, IMPORTANCE: of a sub-vector's code, 1 .. 8; SOCKET, MAGIC_PIG: of a table's hash */
    size_t tables;    /* SOCKET, MAGIC_PIG */
    size_t sub_vectors; /* PQ_CACHE, IMPORTANCE: a divisor of dim */
    size_t iterations;  /* PQ_CACHE, IMPORTANCE: of k-means */
    int inner_product;  /* PQ_CACHE, IMPORTANCE: keys are assigned by inner product instead of distance */
    int center;         /* MAGIC_PIG: keys and queries less the mean of the first keys appended */
    float temperature;  /* SOCKET: of the soft hash, > 0 */
    size_t first, last; /* RANDOM, ADAPTIVE, IMPORTANCE, PQ_CACHE: only keys [first, k_len - last) are chosen */
    size_t base;        /* ADAPTIVE: draws that the spread is estimated from, >= 2 */
    double epsilon;     /* ADAPTIVE: relative error of the denominator, > 0 */
    double quantile;    /* ADAPTIVE: of the standard normal distribution, at 1 - delta / 2 */
    int replacement;    /* RANDOM, ADAPTIVE: draws with replacement */
    uint32_t seed_low, seed_high; /* all that draw */
    const uint32_t *channels;     /* DOUBLE_SPARSITY: [heads, channel_count], each < dim */
    size_t channel_count;
    const struct attn_hash_layer *layers; /* HASH_ATTENTION: [layer_count] */
    size_t layer_count;
    void *index;     /* [plan.index_bytes], 64-byte aligned, all zero before anything is appended */
    size_t capacity; /* keys that it has room for */
};

enum attn_activation { ATTN_ACTIVATION_RELU, ATTN_ACTIVATION_SILU, ATTN_ACTIVATION_GELU, ATTN_ACTIVATION_TANH };

/* One layer of the networks that hash queries and keys; between layers comes the activation. */
struct attn_hash_layer {
    size_t inputs, outputs;
    const float *query_matrix, *key_matrix; /* [heads, inputs, outputs] */
    const float *query_bias, *key_bias;     /* [heads, outputs] */
    enum attn_activation activation;        /* after this layer, unless it is the last */
};

struct attn_masker_plan {
    size_t row_heads;   /* lists per batch and query: heads, or key_heads where the heads of a group share theirs */
    int is_weighted;    /* entries have weights: probabilities with which they were chosen */
    size_t index_heads; /* the index is [batch, index_heads] parts of header_bytes + ceil(capacity / unit_keys) times */
    size_t header_bytes; /* unit_bytes: a part with less room is the beginning of one with more */
    size_t unit_keys, unit_bytes;
    size_t index_bytes;
    size_t workspace_bytes;
};

/* The problem must have been planned with success (attn_plan_init). */
enum attn_status attn_masker_plan_init(struct attn_masker_plan *plan, const struct attn_masker *masker,
                                       const struct attn_problem *problem, size_t capacity);

/* Enters keys [begin, end) of one batch into the index; those before have been entered. */
enum attn_status attn_masker_append(const struct attn_masker *masker, const struct attn_problem *problem, size_t batch,
                                    size_t begin, size_t end, void *workspace);

/* Lists what queries [query_begin, query_end) keep: row r = (b * row_heads + h) * queries + i has the columns
 * indices[ends[r - 1] .. ends[r]), ascending, and their weights where `weights` is not NULL, which it must not be where
 * the masker or the sparse mask is weighted. Room for rows * k_len of both. */
enum attn_status attn_masker_choose(const struct attn_masker *masker, const struct attn_problem *problem,
                                    size_t query_begin, size_t query_end, uint32_t *ends, uint32_t *indices,
                                    float *weights, void *workspace);

#ifdef __cplusplus
}
#endif

#endif
