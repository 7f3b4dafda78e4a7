/* SPDX-License-Identifier: Apache-2.0
 *
 * dropout.c - see dropout.h.
 */
#include "dropout.h"

#include "rng.h"
#include "source.h"

static void keep_generated(const struct attn_problem *problem, size_t batch, size_t head, size_t query, size_t key,
                           size_t count, uint8_t *keep) {
    const struct attn_dropout *dropout = &problem->dropout;
    const uint64_t threshold = (uint64_t)(dropout->rate * 4294967296.0);
    const uint32_t seed[2] = {dropout->seed_low, dropout->seed_high};
    uint64_t position = (uint64_t)problem->key_offset + key;
    for (size_t j = 0; j < count;) {
        uint32_t words[4];
        uint32_t counter[4] = {(uint32_t)(position >> 2), (uint32_t)query, (uint32_t)head, (uint32_t)batch};
        attn_philox4x32(words, counter, seed);
        do keep[j++] = words[position & 3] >= threshold;
        while (++position & 3 && j < count);
    }
}

void attn_dropout_keep(const struct attn_problem *problem, size_t batch, size_t head, size_t query, size_t key,
                       size_t count, uint8_t *keep) {
    const struct attn_dropout *dropout = &problem->dropout;
    const struct attn_tensor *mask = &dropout->mask;
    if (!attn_dropout_acts(dropout)) {
        for (size_t j = 0; j < count; j++) keep[j] = 1;
    } else if (dropout->rate == 1) {
        for (size_t j = 0; j < count; j++) keep[j] = 0;
    } else if (mask->data) {
        const uint8_t *row = (const uint8_t *)mask->data + attn_tensor_offset(mask, batch, head, query);
        for (size_t j = 0; j < count; j++) keep[j] = row[(key + j) * mask->column_stride] != 0;
    } else {
        keep_generated(problem, batch, head, query, key, count, keep);
    }
}

float attn_dropout_factor(const struct attn_dropout *dropout) {
    return dropout->rate == 1 ? 0.0f : (float)(1 / (1 - dropout->rate));
}
