/* SPDX-License-Identifier: Apache-2.0
 *
 * softmax.h - the online softmax (Milakov and Gimelshein 2018): running maximum, sums relative to it, and what a row
 * that keeps nothing means. Rows go four by four, so that what a row ends with is vector work too.
 */
#ifndef ATTN_SOFTMAX_H
#define ATTN_SOFTMAX_H

#include "attn.h"

#define ATTN_SOFTMAX_ROWS 4

/* How scores become exponentials: the same for all rows of a problem. */
struct attn_softmax_rules {
    /* Where logits are just dot products times a positive scaling, the exponentials are powers of 2 of dot products,
     * which cost less, times `factor`; otherwise powers of e, and `factor` is the scaling. */
    int to_base_2;
    float factor, scaling, softcap; /* softcap 0 = off */
    enum attn_row_max max_over;     /* keys of weight 0 count for the maximum (ALLOWED) or not (KEPT) */
    enum attn_score_stage stage;
    int visit_all; /* keys of weight 0 are looked at all the same: their scores, or the maximum over them, are wanted */
};

/* is_biased: something is added to the scores. */
struct attn_softmax_rules attn_softmax_rules(const struct attn_problem *problem, int is_biased, int visit_all,
                                             enum attn_score_stage stage);

/* State of four rows over the tiles seen so far. */
struct attn_softmax {
    float max[ATTN_SOFTMAX_ROWS];         /* largest logit, or to base 2 dot product; -infinity: no key yet */
    float sum[ATTN_SOFTMAX_ROWS];         /* of e * w */
    float dropped_sum[ATTN_SOFTMAX_ROWS]; /* of e * w * dropout factor; = sum without dropout */
};

/* What one row of a tile gets besides its dot products. Arrays cover the tile, and are readable up to a multiple of 4
 * columns. */
struct attn_softmax_row {
    size_t begin, end;    /* columns that may take part; none: begin = end */
    const float *bias;    /* added to the scores; -infinity takes the key out; NULL: none */
    const uint32_t *keep; /* all bits set, or 0, which takes the key out; NULL: none */
    const float *weight;  /* multiplies the exponentials; 0 takes the key out; NULL: ones */
    const float *dropout; /* multiplies what multiplies the values; NULL: ones */
    float *scores;        /* receives the scores of the wanted stage; NULL: none */
};

/* What all rows of a tile share. */
struct attn_softmax_tile {
    size_t begin, end; /* the columns computed, begin a multiple of 4; all others are left alone */
    struct attn_softmax_rules rules;
};

/* The result of a row: attention = numerator * scale / denominator. */
struct attn_softmax_result {
    float scale, denominator;
    int empty; /* keeps nothing: output and weights are `fill` */
    float fill;
};

void attn_softmax_init(struct attn_softmax *state);

/* Turns the dot products in `scores` [count, ATTN_TILE_KEYS], in place and up to a multiple of 4 columns, into what
 * multiplies the values, and advances the rows' states, one for each four. What row r has accumulated so far must be
 * multiplied by rescale[r], written up to a multiple of 4. */
void attn_softmax_advance(struct attn_softmax *states, float *scores, const struct attn_softmax_tile *tile,
                          const struct attn_softmax_row *rows, size_t count, float *rescale);

/* Closes a row of which `denominator` (sum, or what dropout left of it) divides; sink: its logit, or NULL. */
struct attn_softmax_result attn_softmax_finish(float max, float denominator, const float *sink,
                                               enum attn_empty_rows empty_rows);

/* The largest logit of a row, of its state's maximum. */
float attn_softmax_max(const struct attn_softmax_rules *rules, float max);

/* Of a state's maximum and sum: the logarithm of the row's sum of exponentials, -infinity where nothing was kept. */
float attn_softmax_log_sum(const struct attn_softmax_rules *rules, float max, float sum);

/* What exponentials relative to one maximum are multiplied with to be relative to a later one. */
float attn_softmax_shrink(const struct attn_softmax_rules *rules, float max, float later_max);

/* attention[i] = numerator[i] * scale / denominator, or the fill of an empty row. May be in place. */
void attn_softmax_normalize(float *attention, const float *numerator, size_t count,
                            const struct attn_softmax_result *row);

/* e^x and 2^x for x <= 0, as the rows' exponentials are computed. */
float attn_exp(float x);
float attn_exp2(float x);

#endif
