/* SPDX-License-Identifier: Apache-2.0
 *
 * sampling.h - draws for maskers: a stream of random numbers for each row, and uniform draws of keys, with and without
 * replacement.
 *
 * A stream is Philox's words of counters (n, position, head, batch), n = 0, 1, ..., under the masker's seed with a tag
 * in its high word: each use has numbers of its own, and none has dropout's.
 */
#ifndef ATTN_SAMPLING_H
#define ATTN_SAMPLING_H

#include "masker.h"

/* Tags: "rand", "base", "draw", "proj". */
enum attn_stream_use {
    ATTN_STREAM_RANDOM = 0x72616e64,
    ATTN_STREAM_BASE = 0x62617365,
    ATTN_STREAM_ADAPTIVE = 0x64726177,
    ATTN_STREAM_PROJECTIONS = 0x70726f6a
};

struct attn_stream {
    uint32_t key[2], counter[4], words[16];
    size_t used;
};

/* A stream of the masker alone, and one of the row (position is the absolute one). */
struct attn_stream attn_stream_of_masker(const struct attn_masker *masker, enum attn_stream_use use);
struct attn_stream attn_stream_of_row(const struct attn_masker_call *call, const struct attn_candidates *candidates,
                                      enum attn_stream_use use);

uint32_t attn_stream_next(struct attn_stream *stream);

/* Uniform in 0 .. bound - 1, exactly; bound >= 1. */
uint32_t attn_stream_below(struct attn_stream *stream, uint32_t bound);

/* Sets in `chosen` what `count` uniform draws from the bits of `from` [words] hit, `total` of which are set. With
 * `times` NULL, without replacement: a uniform subset of count <= total. Else with it, and times[n] [total] tells how
 * often the n-th of those hit was drawn. */
void attn_sample(uint64_t *chosen, float *times, const uint64_t *from, size_t words, size_t total, size_t count,
                 struct attn_stream *stream, void *scratch);

static inline size_t attn_sample_bytes(size_t k_len) { return 8 * (k_len / 64 + 2); }

/* 1 - (1 - p)^trials, also where p is tiny. */
double attn_probability_of_any(double p, size_t trials);

#endif
