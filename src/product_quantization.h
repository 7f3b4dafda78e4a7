/* SPDX-License-Identifier: Apache-2.0
 *
 * product_quantization.h - keys as a few bytes each: every sub-vector is replaced by the nearest of few centroids, and a
 * dot product becomes a sum of look-ups (Jegou, Douze and Schmid, "Product Quantization for Nearest Neighbor Search",
 * 2011). Index and logits that PQ_CACHE and IMPORTANCE share.
 */
#ifndef ATTN_PRODUCT_QUANTIZATION_H
#define ATTN_PRODUCT_QUANTIZATION_H

#include "masker.h"

void attn_pq_layout(struct attn_index_layout *layout, const struct attn_masker *masker,
                    const struct attn_problem *problem);
size_t attn_pq_scratch_bytes(const struct attn_masker *masker, const struct attn_problem *problem);
void attn_pq_append(const struct attn_masker_call *call, size_t batch, size_t head, size_t begin, size_t end);
void attn_pq_score(const struct attn_masker_call *call, size_t batch, size_t group, size_t query);

/* Makes logits of the scores, and takes keys outside [first, k_len - last) out of what is eligible; returns how many are
 * left. */
size_t attn_pq_finish(const struct attn_masker_call *call, struct attn_candidates *candidates, float *scores);

#endif
