/* SPDX-License-Identifier: Apache-2.0
 *
 * check_masker.h - the preconditions of maskers.h.
 */
#ifndef ATTN_CHECK_MASKER_H
#define ATTN_CHECK_MASKER_H

#include "masker.h"

/* The kind, and the parameters that it uses: their ranges, tables by value. */
enum attn_status attn_check_masker(const struct attn_masker *masker, const struct attn_problem *problem);

/* Whether the bytes of the index, and of what a call takes for each key, can be counted. */
enum attn_status attn_check_masker_sizes(const struct attn_index_layout *layout, const struct attn_problem *problem,
                                         size_t capacity);

enum attn_status attn_check_append(const struct attn_masker *masker, const struct attn_problem *problem, size_t begin,
                                   size_t end);

/* Of a choice for queries [query_begin, query_end): they are there, the index has room for all keys, and the lists can be
 * counted. */
enum attn_status attn_check_choose(const struct attn_masker_plan *plan, const struct attn_masker *masker,
                                   const struct attn_problem *problem, size_t query_begin, size_t query_end);

#endif
