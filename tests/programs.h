/* SPDX-License-Identifier: Apache-2.0
 *
 * programs.h - sparse masks of several nodes, and the same mask in other words.
 */
#ifndef ATTN_TESTS_PROGRAMS_H
#define ATTN_TESTS_PROGRAMS_H

#include "cases.h"

#define PROGRAM_NODES 8 /* at most, of those drawn */

/* Draws a mask of leaves of every kind and combinations of them, and a route. What a node does not use is garbage. */
void program_draw(struct attn_problem *p, struct case_random *random, struct case_arena *arena);

/* One leaf with the given weights [batch, heads, q_len, k_len], as far as its kind can say them. */
struct attn_mask program_leaf(const struct attn_problem *p, enum attn_mask_kind kind, const float *weights,
                              int with_weights, struct case_arena *arena);

#endif
