/* SPDX-License-Identifier: Apache-2.0
 *
 * check_masker.c - see check_masker.h.
 */
#include "check_masker.h"

enum attn_status attn_check_masker(const struct attn_masker *masker) {
    if (!attn_masker_family(masker->kind)) return ATTN_ERROR_VALUE;
    switch (masker->kind) {
    case ATTN_MASKER_QUEST: return masker->page_size && masker->bits ? ATTN_OK : ATTN_ERROR_VALUE;
    case ATTN_MASKER_PQ_CACHE:
    case ATTN_MASKER_IMPORTANCE: return masker->sub_vectors ? ATTN_OK : ATTN_ERROR_VALUE;
    default: return ATTN_OK;
    }
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

enum attn_status attn_check_choose(const struct attn_problem *problem, size_t query_begin, size_t query_end) {
    size_t entries;
    if (query_begin > query_end || query_end > problem->q_len) return ATTN_ERROR_SIZE;
    if (__builtin_mul_overflow(problem->batch * problem->heads, query_end - query_begin, &entries))
        return ATTN_ERROR_SIZE;
    if (__builtin_mul_overflow(entries, problem->k_len, &entries)) return ATTN_ERROR_SIZE;
    return entries <= UINT32_MAX ? ATTN_OK : ATTN_ERROR_SIZE;
}
