/* SPDX-License-Identifier: Apache-2.0
 *
 * test.h - what the files of the C tests share: checks and their counters, memory, bits of floats.
 */
#ifndef ATTN_TESTS_TEST_H
#define ATTN_TESTS_TEST_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct case_arena;

/* One per file: its tests. */
void test_numbers(void);
void test_heap(void);
void test_statuses(void);
void test_kernels(void);
void test_slices(void);
void test_extremes(void);
void test_select(void);
void test_grid(struct case_arena *arena);
void test_masks(struct case_arena *arena);
void test_entries(struct case_arena *arena);
void test_maskers(struct case_arena *arena);
void test_random_problems(struct case_arena *arena, uint32_t cases, uint32_t first_seed);

/* Counts a check and returns `ok`; prints the message of one that failed. */
__attribute__((format(printf, 2, 3))) int check(int ok, const char *format, ...);

#define CHECK(condition) check((condition) != 0, "%s:%d: %s", __FILE__, __LINE__, #condition)

unsigned checks_failed(void);

/* How many failures are printed. */
#define FAILURES_SHOWN 50

/* Exactly `bytes`, so that a sanitizer sees whoever reads or writes beyond; the program ends where there is no memory. */
void *allocate(size_t bytes);

/* The same aligned to ATTN_ALIGNMENT, and rounded up to a multiple of it, as workspaces are. */
void *allocate_aligned(size_t bytes);

static inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Equality of bits, where all NaNs are equal. */
static inline int same_bits(float a, float b) { return bits_of(a) == bits_of(b) || (a != a && b != b); }

#endif
