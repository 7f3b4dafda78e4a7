/* SPDX-License-Identifier: Apache-2.0
 *
 * check_masker.c - see check_masker.h.
 */
#include "check_masker.h"

static int is_within(size_t n, size_t least, size_t most) { return least <= n && n <= most; }

static int is_fraction(double x) { return x > 0 && x <= 1; }

static int are_channels(const struct attn_masker *masker, const struct attn_problem *problem) {
    size_t count;
    if (!masker->channels || !masker->channel_count) return 0;
    if (__builtin_mul_overflow(problem->heads, masker->channel_count, &count)) return 0;
    for (size_t n = 0; n < count; n++) {
        if (masker->channels[n] >= problem->dim) return 0;
    }
    return masker->channel_count <= problem->dim;
}

/* From dim inputs to an output for each bit. */
static int are_layers(const struct attn_masker *masker, const struct attn_problem *problem) {
    size_t inputs = problem->dim;
    if (!masker->layers || !masker->layer_count) return 0;
    for (size_t n = 0; n < masker->layer_count; n++) {
        const struct attn_hash_layer *layer = &masker->layers[n];
        if (layer->inputs != inputs || !layer->outputs) return 0;
        if (!layer->query_matrix || !layer->key_matrix || !layer->query_bias || !layer->key_bias) return 0;
        inputs = layer->outputs;
    }
    return masker->bits == inputs;
}

static int is_legal(const struct attn_masker *masker, const struct attn_problem *problem) {
    switch (masker->kind) {
    case ATTN_MASKER_TOP_K:
    case ATTN_MASKER_GROUP_TOP_K: return 1;
    case ATTN_MASKER_TOP_P: return masker->mass >= 0 && masker->mass <= 1;
    case ATTN_MASKER_QUEST: return masker->page_size && is_within(masker->bits, 1, 16);
    case ATTN_MASKER_DOUBLE_SPARSITY: return is_within(masker->bits, 1, 16) && are_channels(masker, problem);
    case ATTN_MASKER_HASH_ATTENTION: return are_layers(masker, problem);
    case ATTN_MASKER_PQ_CACHE:
    case ATTN_MASKER_IMPORTANCE:
        return is_within(masker->bits, 1, 8) && masker->sub_vectors && problem->dim % masker->sub_vectors == 0;
    case ATTN_MASKER_SOCKET: return is_within(masker->bits, 1, 8) && masker->tables && masker->temperature > 0;
    case ATTN_MASKER_RANDOM: return is_fraction(masker->rate);
    case ATTN_MASKER_ADAPTIVE:
        return (masker->rate == 0 ? masker->base >= 2 : is_fraction(masker->rate)) && masker->epsilon > 0 &&
               masker->quantile == masker->quantile;
    case ATTN_MASKER_MAGIC_PIG: return is_within(masker->bits, 1, 32) && masker->tables;
    }
    return 0;
}

enum attn_status attn_check_masker(const struct attn_masker *masker, const struct attn_problem *problem) {
    return is_legal(masker, problem) ? ATTN_OK : ATTN_ERROR_VALUE;
}

enum attn_status attn_check_masker_sizes(const struct attn_index_layout *layout, const struct attn_problem *problem,
                                         size_t capacity) {
    const size_t floats =
        attn_masker_group_heads(problem) + 32; /* of a key: scores, a family's and select.c's scratch */
    size_t bytes, units = layout->unit_keys ? capacity / layout->unit_keys + 1 : 0;
    int overflow = layout->is_too_large || problem->k_len > SIZE_MAX / 4 / floats - 16;
    overflow |= __builtin_mul_overflow(units, layout->unit_bytes, &bytes);
    overflow |= __builtin_add_overflow(bytes, layout->header_bytes, &bytes);
    overflow |= __builtin_mul_overflow(bytes, layout->heads, &bytes);
    overflow |= __builtin_mul_overflow(bytes, problem->batch, &bytes);
    return overflow || bytes > PTRDIFF_MAX ? ATTN_ERROR_SIZE : ATTN_OK;
}

enum attn_status attn_check_append(const struct attn_masker *masker, const struct attn_problem *problem, size_t begin,
                                   size_t end) {
    return begin <= end && end <= problem->k_len && end <= masker->capacity ? ATTN_OK : ATTN_ERROR_SIZE;
}

enum attn_status attn_check_choose(const struct attn_masker_plan *plan, const struct attn_masker *masker,
                                   const struct attn_problem *problem, size_t query_begin, size_t query_end) {
    size_t entries;
    if (query_begin > query_end || query_end > problem->q_len) return ATTN_ERROR_SIZE;
    if (problem->batch && plan->index_heads && masker->capacity < problem->k_len) return ATTN_ERROR_SIZE;
    if (__builtin_mul_overflow(problem->batch * problem->heads, query_end - query_begin, &entries))
        return ATTN_ERROR_SIZE;
    if (__builtin_mul_overflow(entries, problem->k_len, &entries)) return ATTN_ERROR_SIZE;
    return entries <= UINT32_MAX ? ATTN_OK : ATTN_ERROR_SIZE;
}
