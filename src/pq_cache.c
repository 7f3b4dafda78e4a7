/* SPDX-License-Identifier: Apache-2.0
 *
 * pq_cache.c - PQCache (Zhang et al., "PQCache: Product Quantization-based KVCache for Long Context LLM Inference",
 * 2024): the keys whose quantised logits are largest. The index is product_quantization.c's.
 */
#include "product_quantization.h"

static void choose(const struct attn_masker_call *call, struct attn_candidates *candidates, float *scores) {
    attn_pq_finish(call, candidates, scores);
    attn_choose_largest(call, candidates, scores);
}

const struct attn_masker_family attn_pq_cache = {.layout = attn_pq_layout,
                                                 .scratch_bytes = attn_pq_scratch_bytes,
                                                 .append = attn_pq_append,
                                                 .score = attn_pq_score,
                                                 .choose = choose};
