/* SPDX-License-Identifier: Apache-2.0
 *
 * softmax.h - the online softmax of one row (Milakov and Gimelshein 2018): running maximum, sums relative to
 * it, and what a row that keeps nothing means. Also the exponential, tanh and logarithm it is built on.
 */
#ifndef ATTN_SOFTMAX_H
#define ATTN_SOFTMAX_H

#include "attn.h"

/* State of one row over the tiles seen so far. */
struct attn_softmax {
    float max;         /* what the exponentials are relative to; -infinity: no key yet */
    float sum;         /* of e * w */
    float dropped_sum; /* of e * w * dropout factor; = sum without dropout */
};

/* What one row of one tile gets besides its dot products. Each array covers the tile, readable up to a
 * multiple of 4 entries. */
struct attn_softmax_inputs {
    float scaling, softcap;     /* softcap 0 = off */
    const float *bias;          /* added to the scores; -infinity takes the key out; NULL: none */
    const float *weight;        /* multiplies the exponentials; 0 takes the key out; NULL: ones */
    const float *dropout;       /* multiplies what multiplies the values; NULL: ones */
    enum attn_row_max max_over; /* keys of weight 0 count for the maximum (ALLOWED) or not (KEPT) */
    float *scores;              /* receives the scores of `stage`; NULL: none */
    enum attn_score_stage stage;
};

/* The result of a row: attention = numerator * scale / denominator. */
struct attn_softmax_result {
    float log_sum_exp;
    float scale, denominator;
    int empty; /* keeps nothing: output and weights are `fill` */
    float fill;
};

void attn_softmax_init(struct attn_softmax *row);

/* Turns `count` dot products in `scores` (in place, up to a multiple of 4) into what multiplies the values and
 * advances the row. Returns the factor by which earlier sums and accumulators of the row must be scaled. */
float attn_softmax_tile(struct attn_softmax *row, float *scores, size_t count,
                        const struct attn_softmax_inputs *inputs);

/* Closes a row: `sum` goes into log_sum_exp, `denominator` (which dropout may have thinned) divides; sink: its
 * logit, or NULL. */
struct attn_softmax_result attn_softmax_finish(float max, float sum, float denominator, const float *sink,
                                               enum attn_empty_rows empty_rows);

/* attention[i] = numerator[i] * scale / denominator, or the fill of an empty row. May be in place. */
void attn_softmax_normalize(float *attention, const float *numerator, size_t count,
                            const struct attn_softmax_result *row);

/* e^x for x <= 0: relative error <= 1.1e-7 down to -87.3, subnormal and then 0 below; NaN stays NaN. */
float attn_exp(float x);

#endif
