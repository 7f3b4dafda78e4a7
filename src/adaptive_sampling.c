/* SPDX-License-Identifier: Apache-2.0
 *
 * adaptive_sampling.c - vAttention (Desai et al., "vAttention: Verified Sparse Attention", 2025): as many draws as the
 * softmax's denominator needs to be within a factor of 1 +- epsilon of the true one with probability 1 - delta.
 *
 * Of the R keys that may be drawn, n are drawn to look at. With e = exp(logit - the largest one seen), over these: mean
 * m, unbiased variance s2 and fourth central moment m4; and the sum a = sum e / (w + 1e-6) over the keys that are
 * active with weight w:
 *     S^2 = s2 + z sqrt((m4 - s2^2) / n)
 *     t = z S R / (epsilon (a + R m)),  z = the normal distribution's quantile at 1 - delta / 2
 *     draws b = t^2 with replacement; t^2 / (1 + t^2 / R) without, as the sum's variance is R^2 s2 / b (1 - b / R);
 *     rounded up, n <= b <= R
 * and b are drawn anew: those looked at, which decide b, have no part in it. A key that was drawn k times has weight
 * b / (k R), which without replacement is its probability b / R.
 *
 * Where the original has s2 at 1 - delta, this has S^2 at 1 - delta / 2: the promise is about both tails, and few draws
 * from a long one underestimate its variance more often than not, so that the estimate's own standard error is added.
 * Nothing helps where keys that matter are so few that n draws miss them: these are for the maskers before this one.
 *
 * Only the logits of active keys and of those looked at are computed; NaN counts as nothing. A row with R < 2 gets all
 * keys that are left.
 */
#include "masker.h"

#include "logits.h"
#include "sampling.h"
#include "vec_math.h"

#define LEAST 1e-8 /* of deviation and allowed error, relative to the largest exponential */

/* Keys that are looked at, and how much each counts: its weight, then how often it was drawn. */
struct sample {
    uint32_t *keys;
    float *counts;
    size_t active, all;
};

static size_t padded(size_t k_len) { return (k_len + 15) & ~(size_t)15; }

static size_t scratch_bytes(const struct attn_masker *masker, const struct attn_problem *problem) {
    (void)masker;
    return attn_sample_bytes(problem->k_len) + 2 * 4 * padded(problem->k_len) + 2 * 4 * problem->dim;
}

/* Appends the keys of a bitmap. */
static void append_keys(struct sample *sample, const uint64_t *bits, size_t words) {
    for (size_t n = 0; n < words; n++) {
        for (uint64_t left = bits[n]; left; left &= left - 1) {
            sample->keys[sample->all++] = (uint32_t)(64 * n) + (uint32_t)__builtin_ctzll(left);
        }
    }
}

/* Logits become exponentials, relative to the largest. */
static void exponentiate(float *logits, size_t count) {
    const struct vec_exp_constants constants = vec_exp_constants();
    float largest = -__builtin_inff();
    for (size_t n = 0; n < count; n++) largest = logits[n] > largest ? logits[n] : largest;
    for (size_t n = 0; n < count; n += 4) {
        vec_store(logits + n, vec_exp(vec_sub(vec_load(logits + n), vec_splat(largest)), &constants));
    }
    for (size_t n = 0; n < count; n++) logits[n] = logits[n] > 0 ? logits[n] : 0; /* NaN */
}

/* How many to draw. */
static size_t budget(const struct attn_masker *masker, const struct sample *sample, const float *exponentials,
                     size_t base, size_t total) {
    double fixed = 0, sum = 0, squares = 0, fourths = 0;
    for (size_t n = 0; n < sample->active; n++) fixed += exponentials[n] / ((double)sample->counts[n] + 1e-6);
    for (size_t n = sample->active; n < sample->all; n++) sum += (double)sample->counts[n] * exponentials[n];
    const double draws = (double)base, mean = sum / draws, range = (double)total;
    for (size_t n = sample->active; n < sample->all; n++) {
        const double difference = exponentials[n] - mean, square = difference * difference;
        squares += sample->counts[n] * square, fourths += sample->counts[n] * square * square;
    }
    const double sample_variance = squares / (draws - 1), spread = fourths / draws - sample_variance * sample_variance;
    const double error = spread > 0 ? __builtin_sqrt(spread / draws) : 0;
    const double deviation = __builtin_sqrt(sample_variance + masker->quantile * error);
    const double allowed = masker->epsilon * (fixed + range * mean);
    const double t =
        masker->quantile * (deviation > LEAST ? deviation : LEAST) * range / (allowed > LEAST ? allowed : LEAST);
    const double needed = masker->replacement ? t * t : t * t / (1 + t * t / range);
    if (!(needed < range)) return total;
    const size_t whole = (size_t)needed, least = whole + ((double)whole < needed);
    return least > base ? least : base;
}

/* Looks at the active keys and at `base` others. */
static size_t find_budget(const struct attn_masker_call *call, struct attn_candidates *c, float *scores, size_t base,
                          size_t total) {
    const struct attn_masker *masker = call->masker;
    const size_t room = padded(call->problem->k_len);
    uint64_t *ranks = call->scratch;
    float *counts = (float *)((uint8_t *)ranks + attn_sample_bytes(call->problem->k_len));
    struct sample sample = {.keys = (uint32_t *)(counts + room), .counts = counts};
    struct attn_stream stream = attn_stream_of_row(call, c, ATTN_STREAM_BASE);
    append_keys(&sample, c->active, c->words);
    sample.active = sample.all;
    for (size_t n = 0; n < sample.active; n++) counts[n] = c->active_weights ? c->active_weights[sample.keys[n]] : 1;
    for (size_t n = 0; !masker->replacement && n < base; n++) counts[sample.active + n] = 1;
    attn_sample(c->chosen, masker->replacement ? counts + sample.active : NULL, c->eligible, c->words, total, base,
                &stream, ranks);
    append_keys(&sample, c->chosen, c->words);
    for (size_t n = 0; n < c->words; n++) c->chosen[n] = 0;
    attn_logits_listed(scores, call, c, sample.keys, sample.all, (float *)(sample.keys + room));
    exponentiate(scores, sample.all);
    return budget(masker, &sample, scores, base, total);
}

static void choose_all(struct attn_candidates *c) {
    for (size_t n = 0; n < c->words; n++) {
        c->chosen[n] = c->eligible[n];
        for (uint64_t bits = c->chosen[n]; bits; bits &= bits - 1) {
            c->chosen_weights[64 * n + (size_t)__builtin_ctzll(bits)] = 1;
        }
    }
}

/* `draws` draws, and the weights of what they hit. */
static void choose_some(const struct attn_masker_call *call, struct attn_candidates *c, float *times, size_t draws,
                        size_t total) {
    const double each = (double)draws / (double)total;
    struct attn_stream stream = attn_stream_of_row(call, c, ATTN_STREAM_ADAPTIVE);
    attn_sample(c->chosen, times, c->eligible, c->words, total, draws, &stream, call->scratch);
    size_t hit = 0;
    for (size_t n = 0; n < c->words; n++) {
        for (uint64_t bits = c->chosen[n]; bits; bits &= bits - 1, hit++) {
            const size_t key = 64 * n + (size_t)__builtin_ctzll(bits);
            c->chosen_weights[key] = (float)(times ? each / times[hit] : each);
        }
    }
}

static void choose(const struct attn_masker_call *call, struct attn_candidates *c, float *scores) {
    const struct attn_masker *masker = call->masker;
    const size_t total = attn_candidates_within(call, c, 2);
    if (total < 2) {
        choose_all(c);
        return;
    }
    const size_t wanted = masker->rate > 0 ? (size_t)(masker->rate * (double)total) : masker->base;
    const size_t base = wanted > 2 ? wanted : 2;
    const size_t draws = base < total ? find_budget(call, c, scores, base, total) : total;
    choose_some(call, c, masker->replacement ? scores : NULL, draws, total);
}

const struct attn_masker_family attn_adaptive_sampling = {
    .is_weighted = 1, .scratch_bytes = scratch_bytes, .choose = choose};
