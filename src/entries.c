/* SPDX-License-Identifier: Apache-2.0
 *
 * entries.c - see entries.h.
 */
#include "entries.h"

#include "mask.h"

/* Entries of one row within the window, where they are the mask's own list. */
static size_t copy_list(const struct attn_result *result, const struct attn_sparse_row *row, uint32_t *indices) {
    const uint32_t *list = row->problem->sparse_mask.nodes->indices;
    const uint32_t begin = (uint32_t)result->column_begin;
    size_t first, last;
    attn_sparse_listed(&first, &last, row, result->column_begin, result->column_end);
    for (size_t n = first; indices && n < last; n++) indices[n - first] = list[n] - begin;
    return first < last ? last - first : 0;
}

/* Entries of any row within the window; writes their columns where indices is not NULL. */
static size_t list_row(const struct attn_problem *problem, const struct attn_result *result,
                       const struct attn_mask_row *row, uint32_t *indices) {
    const size_t begin = result->column_begin, end = result->column_end;
    const size_t tiles = (problem->k_len + ATTN_TILE_KEYS - 1) / ATTN_TILE_KEYS;
    const struct attn_sparse_row list = {problem, row->batch, row->head, row->query};
    size_t count = 0;
    if (attn_sparse_list(&problem->sparse_mask) && !attn_sparse_lists_zeros(&list)) {
        return copy_list(result, &list, indices);
    }
    for (size_t tile = begin / ATTN_TILE_KEYS; tile * ATTN_TILE_KEYS < end; tile++) {
        tile = attn_mask_next(problem, row, tile, tiles);
        const size_t key = tile * ATTN_TILE_KEYS;
        if (key >= end) break;
        float room[ATTN_TILE_KEYS];
        struct attn_sparse_tile entries = attn_mask_entries(problem, row, tile, room);
        attn_sparse_restrict(&entries, begin > key ? begin - key : 0, end - key);
        if (!indices) {
            count += attn_sparse_count(&entries);
            continue;
        }
        for (size_t n = 0; n < ATTN_TILE_KEYS / 64; n++) {
            for (uint64_t bits = entries.bits[n]; bits; bits &= bits - 1) {
                indices[count++] = (uint32_t)(key + 64 * n + (size_t)__builtin_ctzll(bits) - begin);
            }
        }
    }
    return count;
}

int attn_entries_list(const struct attn_problem *problem, const struct attn_result *result, uint32_t *ptr,
                      uint32_t *indices) {
    uint64_t total = 0;
    if (!indices) *ptr = 0;
    if (!problem->heads || result->row_begin == result->row_end) return 1;
    for (size_t b = 0; b < problem->batch; b++) {
        for (size_t h = 0; h < problem->heads; h++) {
            for (size_t i = result->row_begin; i < result->row_end; i++) {
                struct attn_mask_row row = attn_mask_row(problem, b, h, i);
                if (indices) {
                    list_row(problem, result, &row, indices + *ptr), ptr++;
                } else {
                    total += list_row(problem, result, &row, NULL);
                    if (total > UINT32_MAX) return 0;
                    *++ptr = (uint32_t)total;
                }
            }
        }
    }
    return 1;
}
