/* SPDX-License-Identifier: Apache-2.0
 *
 * select.h - the largest of many scores, found without sorting them.
 */
#ifndef ATTN_SELECT_H
#define ATTN_SELECT_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of scratch for `count` scores. */
size_t attn_select_bytes(size_t count);

/* Sets the bits of the k largest of scores [0, count) (bit j of word j / 64); among equals the lowest indices go first.
 * -infinity and NaN are never chosen. Scores are readable up to a multiple of 16. */
void attn_select_largest(uint64_t *chosen, const float *scores, size_t count, size_t k, void *scratch);

/* The k-th largest, k >= 1; -infinity where fewer are larger than that. */
float attn_select_least(const float *scores, size_t count, size_t k, void *scratch);

/* Sets the bits of the fewest largest whose sum exceeds `mass` of the sum of all, and of the equals of the smallest of
 * them. Scores are >= 0. */
void attn_select_mass(uint64_t *chosen, const float *scores, size_t count, double mass, void *scratch);

#endif
