/* SPDX-License-Identifier: Apache-2.0
 *
 * oracle.c - maskers that compute every score: what others approximate, and what they are measured against.
 *     top-k: the k largest logits; top-p: the fewest whose softmax, over what may be chosen, sums to more than p
 */
#include "logits.h"
#include "masker.h"

#include "select.h"
#include "source.h"
#include "vec_math.h"

#define LOWEST (-__builtin_inff())

/* Scratch: the queries, then room for four keys. */
static size_t scratch_bytes(const struct attn_masker *masker, const struct attn_problem *problem) {
    (void)masker;
    return 4 * (attn_masker_group_heads(problem) + 4) * problem->dim;
}

static void score(const struct attn_masker_call *call, size_t batch, size_t group, size_t query) {
    float *queries = call->scratch;
    attn_masker_queries(call, queries, batch, group, query);
    attn_masker_key_dots(call, queries, call->group_heads, batch, group,
                         queries + call->group_heads * call->problem->dim);
}

static void choose_largest(const struct attn_masker_call *call, struct attn_candidates *candidates, float *scores) {
    attn_logits_finish(call, candidates, scores, call->problem->scaling);
    attn_choose_largest(call, candidates, scores);
}

static void choose_mass(const struct attn_masker_call *call, struct attn_candidates *candidates, float *scores) {
    const struct vec_exp_constants constants = vec_exp_constants();
    const size_t k_len = call->problem->k_len;
    float largest = LOWEST;
    attn_logits_finish(call, candidates, scores, call->problem->scaling);
    if (call->masker->mass >= 1) {
        for (size_t n = 0; n < candidates->words; n++) candidates->chosen[n] = candidates->eligible[n];
        return;
    }
    attn_candidates_restrict(candidates, scores, k_len, LOWEST);
    for (size_t j = 0; j < k_len; j++) largest = scores[j] > largest ? scores[j] : largest;
    if (largest == LOWEST) return;
    for (size_t j = 0; j < call->stride; j += 4) {
        vec x = vec_sub(vec_load(scores + j), vec_splat(largest));
        vec_store(scores + j, vec_exp(x, &constants));
    }
    attn_candidates_restrict(candidates, scores, k_len, -1);
    attn_select_mass(candidates->chosen, scores, k_len, call->masker->mass, call->selection);
}

const struct attn_masker_family attn_oracle_top_k = {
    .scratch_bytes = scratch_bytes, .score = score, .choose = choose_largest};
const struct attn_masker_family attn_oracle_top_p = {
    .scratch_bytes = scratch_bytes, .score = score, .choose = choose_mass};
