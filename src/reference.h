/* SPDX-License-Identifier: Apache-2.0
 *
 * reference.h - the specification in C: the same attention in double precision, straight from the formulas.
 * It is what the tests compare with, not part of the library; it is written to be read, and nobody optimises it.
 */
#ifndef ATTN_REFERENCE_H
#define ATTN_REFERENCE_H

#include "attn.h"

/* What a row does with a key. */
enum attn_reference_key {
    ATTN_REFERENCE_OUT,    /* causal order, window, key length or attention mask */
    ATTN_REFERENCE_SPARSE, /* allowed, but of weight 0 in the sparse mask */
    ATTN_REFERENCE_KEPT
};

/* Every pointer but scratch may be NULL. All arrays are contiguous. */
struct attn_reference_result {
    double *scratch;     /* [k_len]: required */
    double *output;      /* [batch, heads, q_len, value_dim] */
    double *log_sum_exp; /* [batch, heads, q_len], likewise: */
    double *numerator;   /* [..., value_dim] */
    double *denominator;
    double *row_max;
    double *weights;       /* [..., k_len] */
    double *scores[3];     /* [..., k_len], one for each enum attn_score_stage */
    uint8_t *dropout_mask; /* [..., k_len]: 1 = kept by dropout */
    uint8_t *keys;         /* [..., k_len]: enum attn_reference_key */
};

/* The problem must be one that attn_plan_init accepts: nothing is checked here. */
void attn_reference(const struct attn_problem *problem, const struct attn_reference_result *result);

#endif
