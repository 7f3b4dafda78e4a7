/* SPDX-License-Identifier: Apache-2.0
 *
 * dropout.c - see dropout.h.
 */
#include "dropout.h"

#include "rng.h"
#include "source.h"
#include "vec.h"

/* The generator's words that cover a tile which begins anywhere, in whole fours of counters. */
#define WORDS (ATTN_TILE_KEYS + 16)

/* The words of `count` <= ATTN_TILE_KEYS keys from `key` on; returns those of the first. */
static const uint32_t *generate(uint32_t words[WORDS], const struct attn_problem *problem, size_t batch, size_t head,
                                size_t query, size_t key, size_t count) {
    const uint32_t seed[2] = {problem->dropout.seed_low, problem->dropout.seed_high};
    const uint64_t position = (uint64_t)problem->key_offset + key;
    const size_t skipped = position & 3;
    for (size_t i = 0; i < skipped + count; i += 16) {
        const uint32_t counter[4] = {(uint32_t)((position + i) >> 2), (uint32_t)query, (uint32_t)head, (uint32_t)batch};
        attn_philox4x32_four(words + i, counter, seed);
    }
    return words + skipped;
}

static uint32_t threshold(const struct attn_dropout *dropout) { return (uint32_t)(dropout->rate * 4294967296.0); }

/* Whether neither a mask nor a rate of 0 or 1 decides. */
static int is_random(const struct attn_dropout *dropout) {
    return attn_dropout_acts(dropout) && dropout->rate < 1 && !dropout->mask.data;
}

/* Of an entry where chance does not decide. */
static int is_kept(const struct attn_dropout *dropout, size_t batch, size_t head, size_t query, size_t key) {
    const struct attn_tensor *mask = &dropout->mask;
    if (!attn_dropout_acts(dropout)) return 1;
    if (dropout->rate == 1) return 0;
    size_t offset = attn_tensor_offset(mask, batch, head, query) + key * mask->column_stride;
    return ((const uint8_t *)mask->data)[offset] != 0;
}

void attn_dropout_keep(const struct attn_problem *problem, size_t batch, size_t head, size_t query, uint8_t *keep) {
    const struct attn_dropout *dropout = &problem->dropout;
    for (size_t key = 0; key < problem->k_len; key += ATTN_TILE_KEYS) {
        size_t left = problem->k_len - key, count = left < ATTN_TILE_KEYS ? left : ATTN_TILE_KEYS;
        uint32_t buffer[WORDS];
        const uint32_t *words = is_random(dropout) ? generate(buffer, problem, batch, head, query, key, count) : NULL;
        for (size_t j = 0; j < count; j++) {
            keep[key + j] =
                (uint8_t)(words ? words[j] >= threshold(dropout) : is_kept(dropout, batch, head, query, key + j));
        }
    }
}

void attn_dropout_factors(const struct attn_problem *problem, size_t batch, size_t head, size_t query, size_t key,
                          size_t count, float factors[ATTN_TILE_KEYS]) {
    const struct attn_dropout *dropout = &problem->dropout;
    const float factor = dropout->rate == 1 ? 0 : (float)(1 / (1 - dropout->rate));
    if (is_random(dropout)) {
        uint32_t buffer[WORDS];
        const uint32_t *words = generate(buffer, problem, batch, head, query, key, count);
        const vec limit = vec_splat_u32(threshold(dropout));
        for (size_t j = 0; j < count; j += 4) {
            vec stays = vec_at_least_u32(vec_load_u32(words + j), limit);
            vec_store(factors + j, vec_select(stays, vec_splat(factor), vec_splat(0)));
        }
    } else {
        for (size_t j = 0; j < count; j++) factors[j] = is_kept(dropout, batch, head, query, key + j) ? factor : 0;
    }
}

float attn_dropout_factor(const struct attn_problem *problem, size_t batch, size_t head, size_t query, size_t key) {
    float factors[ATTN_TILE_KEYS];
    attn_dropout_factors(problem, batch, head, query, key, 1, factors);
    return factors[0];
}
