/* SPDX-License-Identifier: Apache-2.0
 *
 * dropout.h - which entries dropout keeps (see struct attn_dropout), and by what factor.
 */
#ifndef ATTN_DROPOUT_H
#define ATTN_DROPOUT_H

#include "attn.h"

/* Whether dropout changes anything. */
static inline int attn_dropout_acts(const struct attn_dropout *dropout) {
    return dropout->training && dropout->rate > 0;
}

/* keep[j] = 1 where the entry (batch, head, query, j) stays, else 0; j in [0, k_len). */
void attn_dropout_keep(const struct attn_problem *problem, size_t batch, size_t head, size_t query, uint8_t *keep);

/* What entries (batch, head, query, key + j) of one tile are multiplied with: 1 / (1 - rate) where they stay, else 0;
 * j in [0, count). */
void attn_dropout_factors(const struct attn_problem *problem, size_t batch, size_t head, size_t query, size_t key,
                          size_t count, float factors[ATTN_TILE_KEYS]);

/* The same of one entry. */
float attn_dropout_factor(const struct attn_problem *problem, size_t batch, size_t head, size_t query, size_t key);

#endif
