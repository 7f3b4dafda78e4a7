/* SPDX-License-Identifier: Apache-2.0
 *
 * masker.h - what the families of maskers share: their parts of the index, and the candidates of a row.
 */
#ifndef ATTN_MASKER_H
#define ATTN_MASKER_H

#include "job.h"
#include "mask.h"
#include "maskers.h"

/* Of what attn_masker_plan_init tells, what a family decides; all zero before. */
struct attn_index_layout {
    size_t heads, header_bytes, unit_keys, unit_bytes;
    int is_too_large; /* these, or the family's scratch */
};

/* A masker at work. */
struct attn_masker_call {
    const struct attn_masker *masker;
    const struct attn_problem *problem;
    struct attn_index_layout layout;
    size_t group_heads; /* query heads that share a key head */
    size_t stride;      /* attn_masker_stride */
    float *scores;      /* [group_heads, stride] */
    void *scratch;      /* of the family: attn_masker_family.scratch_bytes */
    void *selection;    /* scratch of select.h */
};

/* The keys of one row: bit j of word j / 64 for key j. */
struct attn_candidates {
    struct attn_mask_row row;
    size_t words;
    uint64_t *active;      /* of those that the other masks allow, what the sparse mask keeps, */
    uint64_t *eligible;    /* and what it does not */
    uint64_t *chosen;      /* of these; a family sets it */
    float *active_weights; /* NULL: ones */
    float *chosen_weights; /* NULL: ones */
};

struct attn_masker_family {
    int is_weighted, shares_rows;
    void (*layout)(struct attn_index_layout *layout, const struct attn_masker *masker,
                   const struct attn_problem *problem);
    size_t (*scratch_bytes)(const struct attn_masker *masker, const struct attn_problem *problem);
    /* Enters keys [begin, end) of a batch into the part of one index head; NULL: there is no index. */
    void (*append)(const struct attn_masker_call *call, size_t batch, size_t head, size_t begin, size_t end);
    /* Scores of one query of all heads of a group, in call->scores; NULL: needs none. */
    void (*score)(const struct attn_masker_call *call, size_t batch, size_t group, size_t query);
    /* Sets what is chosen of a row, whose scores (which it may change) are those of head `head` of the group. */
    void (*choose)(const struct attn_masker_call *call, struct attn_candidates *candidates, float *scores);
};

extern const struct attn_masker_family attn_oracle_top_k, attn_oracle_top_p, attn_group_top_k, attn_quest,
    attn_double_sparsity, attn_hash_attention, attn_pq_cache, attn_socket, attn_importance, attn_random_sampling,
    attn_adaptive_sampling, attn_magic_pig;

const struct attn_masker_family *attn_masker_family(enum attn_masker_kind kind);

/* Query heads that share a key head. */
static inline size_t attn_masker_group_heads(const struct attn_problem *problem) {
    return problem->key_heads ? problem->heads / problem->key_heads : 0;
}

/* Of rows of scores. */
static inline size_t attn_masker_stride(const struct attn_problem *problem) {
    return (problem->k_len + 15) & ~(size_t)15;
}

static inline size_t attn_index_part_bytes(const struct attn_index_layout *layout, size_t capacity) {
    if (!layout->heads) return 0;
    const size_t units =
        capacity / layout->unit_keys + (capacity % layout->unit_keys > 0); /* no sum: it may overflow */
    return layout->header_bytes + units * layout->unit_bytes;
}

/* The part of one head, and in it the unit that has a key. */
static inline uint8_t *attn_index_part(const struct attn_masker_call *call, size_t batch, size_t head) {
    const size_t bytes = attn_index_part_bytes(&call->layout, call->masker->capacity);
    return (uint8_t *)call->masker->index + (batch * call->layout.heads + head) * bytes;
}
static inline uint8_t *attn_index_unit(const struct attn_masker_call *call, size_t batch, size_t head, size_t key) {
    const struct attn_index_layout *layout = &call->layout;
    return attn_index_part(call, batch, head) + layout->header_bytes + key / layout->unit_keys * layout->unit_bytes;
}

/* Scores of what is not eligible become `out`. */
void attn_candidates_restrict(const struct attn_candidates *candidates, float *scores, size_t k_len, float out);

/* How many eligible keys lie in the masker's [first, k_len - last). If `least` or more do, no others stay eligible. */
size_t attn_candidates_within(const struct attn_masker_call *call, struct attn_candidates *candidates, size_t least);

/* Adds to scores of eligible keys what the attention mask and ALiBi add to their logits. */
void attn_candidates_bias(const struct attn_candidates *candidates, float *scores, const struct attn_problem *problem);

/* Chooses the masker's `count` largest scores. */
void attn_choose_largest(const struct attn_masker_call *call, struct attn_candidates *candidates, float *scores);

/* Dot products of `count` queries [dim] with rows that stand `stride` floats apart: call->scores[r * call->stride + n]. */
void attn_masker_dots(const struct attn_masker_call *call, const float *queries, size_t count, size_t dim,
                      const float *rows, size_t stride, size_t rows_len);

/* The same with all keys of a group; scratch has room for four of them. */
void attn_masker_key_dots(const struct attn_masker_call *call, const float *queries, size_t count, size_t batch,
                          size_t group, float *scratch);

/* The queries of a group as floats [group_heads, dim]. */
void attn_masker_queries(const struct attn_masker_call *call, float *queries, size_t batch, size_t group, size_t query);

#endif
