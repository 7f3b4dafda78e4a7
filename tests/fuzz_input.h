/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_input.h - what the fuzzers make of bytes: numbers, and arrays of exactly their length.
 */
#ifndef ATTN_TESTS_FUZZ_INPUT_H
#define ATTN_TESTS_FUZZ_INPUT_H

#include <stdlib.h>

#include "cases.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at;
    size_t left;
    struct case_random filler; /* contents of tensors */
    void *blocks[128];
    size_t block_count;
};

static inline uint32_t byte(struct input *in) { return in->left ? in->left--, *in->at++ : 0; }

static inline uint32_t word(struct input *in) { return byte(in) | byte(in) << 8 | byte(in) << 16 | byte(in) << 24; }

/* An array of exactly `bytes`, full of arbitrary bits; freed at the end. */
static inline void *array(struct input *in, size_t bytes) {
    uint8_t *block = malloc(bytes);
    if (!block || in->block_count == sizeof in->blocks / sizeof *in->blocks) abort();
    for (size_t n = 0; n < bytes; n++) block[n] = (uint8_t)case_random_next(&in->filler);
    return in->blocks[in->block_count++] = block;
}

/* A size: small, or rarely one that overflows something. */
static inline size_t size_of(struct input *in) {
    static const size_t extremes[] = {
        INT32_MAX,    (size_t)INT32_MAX + 1, UINT32_MAX,      SIZE_MAX,
        SIZE_MAX / 2, SIZE_MAX / 4 + 1,      (size_t)1 << 16, (size_t)1 << (sizeof(size_t) * 4)};
    const uint32_t b = byte(in);
    if (b >= 252) return extremes[byte(in) % (sizeof extremes / sizeof *extremes)];
    return b < 200 ? b % 7 : b % 70;
}

static inline float number(struct input *in) {
    static const float numbers[] = {
        0, 1, -1, 0.125f, 30, 1e30f, -1e-30f, __builtin_inff(), -__builtin_inff(), __builtin_nanf("")};
    const uint32_t b = byte(in);
    return b > 240 ? numbers[byte(in) % (sizeof numbers / sizeof *numbers)] : numbers[b % 5];
}

static inline struct input input_of(const uint8_t *data, size_t size) {
    struct input in = {.at = data, .left = size};
    in.filler = case_random_init(word(&in), 0);
    return in;
}

static inline void input_end(struct input *in) {
    for (size_t n = 0; n < in->block_count; n++) free(in->blocks[n]);
}

#endif
