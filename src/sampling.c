/* SPDX-License-Identifier: Apache-2.0
 *
 * sampling.c - see sampling.h. Draws are of ranks among the keys that may be drawn, so that they cost what is drawn and
 * not what there is. A subset comes from Floyd's algorithm (Bentley and Floyd, "A sample of brilliance", CACM 1987):
 * for j = total - count .. total - 1 a number up to j is drawn, and where it has been before, j is taken. Of more than
 * half of all, the rest is drawn instead. Bounded numbers are Lemire's ("Fast random integer generation in an
 * interval", 2019).
 */
#include "sampling.h"

#include "rng.h"
#include "sparse.h"

struct attn_stream attn_stream_of_masker(const struct attn_masker *masker, enum attn_stream_use use) {
    return (struct attn_stream){.key = {masker->seed_low, masker->seed_high ^ (uint32_t)use}, .used = 16};
}

struct attn_stream attn_stream_of_row(const struct attn_masker_call *call, const struct attn_candidates *c,
                                      enum attn_stream_use use) {
    struct attn_stream stream = attn_stream_of_masker(call->masker, use);
    stream.counter[1] = (uint32_t)attn_mask_position(call->problem, c->row.batch, c->row.query);
    stream.counter[2] = (uint32_t)c->row.head, stream.counter[3] = (uint32_t)c->row.batch;
    return stream;
}

uint32_t attn_stream_next(struct attn_stream *stream) {
    if (stream->used == 16) {
        attn_philox4x32_four(stream->words, stream->counter, stream->key);
        stream->counter[0] += 4, stream->used = 0;
    }
    return stream->words[stream->used++];
}

uint32_t attn_stream_below(struct attn_stream *stream, uint32_t bound) {
    uint64_t product = (uint64_t)attn_stream_next(stream) * bound;
    if ((uint32_t)product < bound) { /* rarely: is it one of the 2^32 mod bound that are too many? */
        const uint32_t excess = (0 - bound) % bound;
        while ((uint32_t)product < excess) product = (uint64_t)attn_stream_next(stream) * bound;
    }
    return (uint32_t)(product >> 32);
}

/* Sets a bit; returns whether it was set. */
static int set_bit(uint64_t *bits, size_t j) {
    const uint64_t bit = (uint64_t)1 << j % 64;
    const int was = (bits[j / 64] & bit) != 0;
    bits[j / 64] |= bit;
    return was;
}

static void draw_subset(uint64_t *ranks, size_t total, size_t count, struct attn_stream *stream) {
    for (size_t j = total - count; j < total; j++) {
        if (set_bit(ranks, attn_stream_below(stream, (uint32_t)(j + 1)))) set_bit(ranks, j);
    }
}

static void draw_again(uint64_t *ranks, float *times, size_t total, size_t count, struct attn_stream *stream) {
    size_t hit = 0;
    for (size_t rank = 0; rank < total; rank++) times[rank] = 0;
    for (size_t n = 0; n < count; n++) {
        const size_t rank = attn_stream_below(stream, (uint32_t)total);
        set_bit(ranks, rank);
        times[rank]++;
    }
    for (size_t rank = 0; rank < total; rank++) {
        if (times[rank] > 0) times[hit++] = times[rank];
    }
}

/* Sets the bits of `from` whose ranks are set, or with `others` all ones, not set. */
static void deposit(uint64_t *chosen, const uint64_t *from, size_t words, const uint64_t *ranks, uint64_t others) {
    size_t rank = 0;
    for (size_t n = 0; n < words; n++) {
        const size_t shift = rank % 64;
        uint64_t picks = ranks[rank / 64] >> shift;
        if (shift) picks |= ranks[rank / 64 + 1] << (64 - shift);
        picks ^= others;
        rank += (size_t)__builtin_popcountll(from[n]);
        if (from[n] == ~(uint64_t)0) {
            chosen[n] |= picks;
            continue;
        }
        for (uint64_t bits = from[n]; bits; bits &= bits - 1, picks >>= 1) {
            if (picks & 1) chosen[n] |= bits & -bits;
        }
    }
}

void attn_sample(uint64_t *chosen, float *times, const uint64_t *from, size_t words, size_t total, size_t count,
                 struct attn_stream *stream, void *scratch) {
    uint64_t *ranks = scratch;
    const int by_rest = !times && count > total / 2;
    for (size_t n = 0; n < total / 64 + 2; n++) ranks[n] = 0;
    if (times)
        draw_again(ranks, times, total, count, stream);
    else
        draw_subset(ranks, total, by_rest ? total - count : count, stream);
    deposit(chosen, from, words, ranks, by_rest ? ~(uint64_t)0 : 0);
}

double attn_probability_of_any(double p, size_t trials) {
    double any = 0;
    for (; trials; trials /= 2, p += p - p * p) { /* of twice as many trials */
        if (trials % 2) any += p - any * p;
    }
    return any;
}
