/* SPDX-License-Identifier: Apache-2.0
 *
 * parts.h - problems made of others: copies, one head, some queries, some keys.
 */
#ifndef ATTN_TESTS_PARTS_H
#define ATTN_TESTS_PARTS_H

#include "subject.h"

/* The same problem with every array in a block of exactly its length, so that a sanitizer sees who reads beyond. */
struct attn_problem part_copy(const struct attn_problem *p);
void part_free(struct attn_problem *c);

/* Queries [begin, end) of one head as a problem of its own. 0 = done, -1 = cannot be. */
int part_of_head(struct attn_problem *part, const struct subject *s, size_t b, size_t h, size_t begin, size_t end);

/* The part of a whole result that such a problem computes. */
struct attn_result part_of_result(const struct attn_problem *p, const struct attn_result *r, size_t b, size_t h,
                                  size_t begin, size_t end, struct case_arena *arena);

/* The problem of keys [begin, end) alone. 0 = done, -1 = no room. */
int part_of_keys(struct attn_problem *part, const struct subject *s, size_t begin, size_t end);

/* Gives `t`, keys or values of p, one head for each query head. 0 = done, -1 = no room. */
int part_repeat(struct attn_tensor *t, const struct attn_problem *p, size_t heads, size_t columns,
                struct case_arena *arena);

#endif
