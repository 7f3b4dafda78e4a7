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

/* keep[j] = 1 where the entry (batch, head, query, key + j) stays, else 0; j in [0, count). */
void attn_dropout_keep(const struct attn_problem *problem, size_t batch, size_t head, size_t query, size_t key,
                       size_t count, uint8_t *keep);

/* 1 / (1 - rate), the factor of an entry that stays; 0 where rate = 1 leaves none. */
float attn_dropout_factor(const struct attn_dropout *dropout);

#endif
