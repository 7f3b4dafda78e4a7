/* SPDX-License-Identifier: Apache-2.0
 *
 * random_sampling.c - draws of keys, all alike. Of the R keys that a row may choose, n = max(1, floor(rate R)) are
 * drawn:
 *     without replacement: a uniform subset of n, with probability n / R each
 *     with replacement: what n independent draws hit, with probability 1 - (1 - 1/R)^n each
 * (The probabilities with which keys are in the sample: Horvitz and Thompson, 1952.)
 */
#include "masker.h"

#include "sampling.h"

static size_t scratch_bytes(const struct attn_masker *masker, const struct attn_problem *problem) {
    (void)masker;
    return attn_sample_bytes(problem->k_len);
}

static void choose(const struct attn_masker_call *call, struct attn_candidates *c, float *scores) {
    const struct attn_masker *masker = call->masker;
    const size_t total = attn_candidates_within(call, c, 0);
    if (!total) return;
    const size_t share = (size_t)(masker->rate * (double)total), count = share ? share : 1;
    struct attn_stream stream = attn_stream_of_row(call, c, ATTN_STREAM_RANDOM);
    attn_sample(c->chosen, masker->replacement ? scores : NULL, c->eligible, c->words, total, count, &stream,
                call->scratch);
    const double each = 1 / (double)total;
    const float weight =
        (float)(masker->replacement ? attn_probability_of_any(each, count) : (double)count / (double)total);
    for (size_t n = 0; n < c->words; n++) {
        for (uint64_t bits = c->chosen[n]; bits; bits &= bits - 1) {
            c->chosen_weights[64 * n + (size_t)__builtin_ctzll(bits)] = weight;
        }
    }
}

const struct attn_masker_family attn_random_sampling = {
    .is_weighted = 1, .scratch_bytes = scratch_bytes, .choose = choose};
