/* SPDX-License-Identifier: Apache-2.0
 *
 * importance.c - keys drawn by their quantised attention (index and logits: product_quantization.c).
 *     p = softmax of the logits of what may be chosen; `count` draws with replacement, by the inverse of the cumulative p
 *     weight of a key that is drawn: pi = 1 - (1 - p)^count, the probability that it is
 * Sums over e / pi are then unbiased estimates of those over all that may be chosen (Horvitz and Thompson, "A
 * Generalization of Sampling Without Replacement From a Finite Universe", 1952). A row with no more keys than draws gets
 * them all, with weight 1, which is exact.
 */
#include "product_quantization.h"

#include "rng.h"
#include "vec_math.h"

#define DRAWS 0x49530000u /* "IS": what tells its draws from others of the same seed */
#define BLOCK 16          /* keys that are summed together */
#define LOWEST (-__builtin_inff())

/* The scores have been looked up before the sums take the place of the tables. */
static size_t scratch_bytes(const struct attn_masker *masker, const struct attn_problem *problem) {
    return attn_larger(attn_pq_scratch_bytes(masker, problem), 8 * ((problem->k_len + BLOCK - 1) / BLOCK));
}

/* Scores become exponentials, 0 of what may not be chosen; sums[n] is the sum of the first n + 1 blocks. */
static void accumulate(const struct attn_masker_call *call, const struct attn_candidates *c, float *scores,
                       double *sums) {
    const struct vec_exp_constants constants = vec_exp_constants();
    const size_t k_len = call->problem->k_len;
    float four[4], largest = LOWEST;
    vec most = vec_splat(LOWEST);
    double sum = 0;
    attn_candidates_restrict(c, scores, k_len, LOWEST);
    for (size_t j = k_len; j < call->stride; j++) scores[j] = LOWEST;
    for (size_t j = 0; j < call->stride; j += 4) most = vec_max(most, vec_load(scores + j));
    vec_store(four, most);
    for (size_t i = 0; i < 4; i++) largest = four[i] > largest ? four[i] : largest;
    for (size_t j = 0; j < call->stride; j += BLOCK) {
        double partial = 0;
        for (size_t i = j; i < j + BLOCK; i += 4) {
            const vec e = vec_exp(vec_sub(vec_load(scores + i), vec_splat(largest)), &constants);
            vec_store(scores + i, vec_max(vec_splat(0), e)); /* NaN becomes 0 */
        }
        for (size_t i = j; i < j + BLOCK; i++) partial += scores[i];
        sums[j / BLOCK] = sum += partial;
    }
}

/* The first key up to which exponentials sum to more than `target`, which is at most the sum of all. */
static size_t inverse(const double *sums, size_t blocks, const float *scores, double target) {
    const double *at = sums;
    for (size_t left = blocks; left > 1;) {
        const size_t half = left / 2;
        at += at[half - 1] > target ? 0 : half;
        left -= half;
    }
    const size_t begin = (size_t)(at - sums) * BLOCK;
    const double before = at > sums ? at[-1] : 0;
    double partial = 0;
    size_t j = begin;
    for (; j < begin + BLOCK; j++) {
        partial += scores[j];
        if (before + partial > target) return j;
    }
    while (scores[--j] == 0) {
    } /* the target was rounded to the sum of all */
    return j;
}

/* 1 - (1 - p)^draws without cancellation: twice as many draws make a(2 - a) of a, one more makes a + p(1 - a). */
static float inclusion(double p, uint64_t draws) {
    double a = 0;
    for (int bit = 63 - __builtin_clzll(draws | 1); bit >= 0; bit--) {
        a *= 2 - a;
        if (draws >> bit & 1) a += p * (1 - a);
    }
    return a > 0x1p-126 ? (float)a : 0x1p-126f;
}

/* A uniform number in [0, 1) of 53 bits. */
static double uniform(const uint32_t words[2]) {
    return ((double)(words[0] >> 5) * 0x1p26 + (double)(words[1] >> 6)) * 0x1p-53;
}

static uint32_t position(const struct attn_problem *p, const struct attn_mask_row *row) {
    const int64_t offset = p->query_offsets ? p->query_offsets[row->batch]
                                            : (int64_t)p->key_offset + (int64_t)p->k_len - (int64_t)p->q_len;
    return (uint32_t)(offset + (int64_t)row->query);
}

static void choose(const struct attn_masker_call *call, struct attn_candidates *c, float *scores) {
    const struct attn_masker *masker = call->masker;
    const uint32_t key[2] = {masker->seed_low ^ DRAWS, masker->seed_high};
    double *sums = call->scratch;
    uint32_t words[16];
    const size_t eligible = attn_pq_finish(call, c, scores);
    if (eligible <= masker->count) {
        for (size_t j = 0; j < call->problem->k_len; j++) c->chosen_weights[j] = 1;
        for (size_t n = 0; n < c->words; n++) c->chosen[n] = c->eligible[n];
        return;
    }
    accumulate(call, c, scores, sums);
    const size_t blocks = call->stride / BLOCK;
    const double sum = sums[blocks - 1];
    for (size_t n = 0; sum > 0 && n < masker->count; n++) {
        const uint32_t counter[4] = {(uint32_t)(n / 2), position(call->problem, &c->row), (uint32_t)c->row.head,
                                     (uint32_t)c->row.batch};
        if (n % 8 == 0) attn_philox4x32_four(words, counter, key);
        const size_t j = inverse(sums, blocks, scores, uniform(words + n % 8 * 2) * sum);
        if (c->chosen[j / 64] >> j % 64 & 1) continue;
        c->chosen[j / 64] |= (uint64_t)1 << j % 64;
        c->chosen_weights[j] = inclusion(scores[j] / sum, masker->count);
    }
}

const struct attn_masker_family attn_importance = {.is_weighted = 1,
                                                   .layout = attn_pq_layout,
                                                   .scratch_bytes = scratch_bytes,
                                                   .append = attn_pq_append,
                                                   .score = attn_pq_score,
                                                   .choose = choose};
