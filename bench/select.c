/* SPDX-License-Identifier: Apache-2.0
 *
 * select.c - one row of scores computed, and the largest of it chosen: what an oracle pays for the second after the first.
 */
#include "select.h"
#include "tile.h"

void bench_score(float *scores, const float *query, const float *keys, size_t count, size_t dim);
void bench_select(uint64_t *chosen, const float *scores, size_t count, size_t k, void *scratch);

void bench_score(float *scores, const float *query, const float *keys, size_t count, size_t dim) {
    const void *addresses[128];
    for (size_t n = 0; n < count; n += 128) {
        for (size_t i = 0; i < 128; i++) addresses[i] = keys + (n + i) * dim;
        attn_tile_f32_dot(scores + n, count, query, dim, 1, addresses, 128, dim);
    }
}

void bench_select(uint64_t *chosen, const float *scores, size_t count, size_t k, void *scratch) {
    for (size_t n = 0; n < count / 64; n++) chosen[n] = 0;
    attn_select_largest(chosen, scores, count, k, scratch);
}
