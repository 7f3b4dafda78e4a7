/* SPDX-License-Identifier: Apache-2.0
 *
 * cases.h - random problems from a seed. Integer arithmetic, exact float operations and freestanding headers only, so
 * that the same seed is the same problem, bit for bit, on every machine: natively, as wasm and under sanitizers.
 */
#ifndef ATTN_TESTS_CASES_H
#define ATTN_TESTS_CASES_H

#include "maskers.h"

/* Room for any case, one set of its results and a workspace. */
#define CASE_ARENA_BYTES ((size_t)6 << 20)

/* Bump allocator: blocks of 64-byte alignment with a gap in between that reads as NaN and as `true`. */
struct case_arena {
    unsigned char *base; /* aligned to ATTN_ALIGNMENT */
    size_t bytes, used;
};

/* A block full of NaN bits; NULL when the arena is full. */
void *case_alloc(struct case_arena *arena, size_t bytes);

/* How large the logits are; each a family for the error statistics. */
enum case_family { CASE_ORDINARY, CASE_LARGE, CASE_HUGE, CASE_FAMILIES };

struct case_problem {
    uint32_t seed;
    enum case_family family; /* seed % CASE_FAMILIES */
    struct attn_problem problem;
    struct attn_result wanted; /* which results, in which layout and window; arrays of zeros and ones for NULL or not */
    float query_amplitude, key_amplitude, value_amplitude, value_offset;
    const uint8_t *dead; /* [k_len]: keys that the masks take out for every row, besides key lengths */
};

/* Makes the case of a seed. 0 = done, -1 = the arena is too small. */
int case_make(struct case_problem *c, uint32_t seed, struct case_arena *arena);

/* Draws queries, keys and values once more: the same numbers, but with other garbage (NaN, infinities, huge numbers)
 * in padding between rows and in keys that no row may see. */
void case_fill(const struct case_problem *c, uint32_t garbage);

/* Lists the entries of c->wanted, where their weights are wanted. 0 = done, -1 = the arena is too small. */
int case_entries(struct case_problem *c, struct case_arena *arena);

/* Fills row j of one head of keys or values with garbage. */
void case_poison(const struct attn_tensor *tensor, size_t b, size_t h, size_t j, size_t columns, uint32_t garbage);

/* Allocates the arrays of c->wanted, filled with NaN bits. 0 = done, -1 = the arena is too small. */
int case_results(const struct case_problem *c, struct attn_result *result, struct case_arena *arena);

/* The arrays of a result, in the order of struct attn_result. */
enum {
    CASE_OUTPUT,
    CASE_LOG_SUM_EXP,
    CASE_NUMERATOR,
    CASE_DENOMINATOR,
    CASE_ROW_MAX,
    CASE_WEIGHTS,
    CASE_SCORES,
    CASE_ENTRY_WEIGHTS,
    CASE_DROPOUT_MASK,
    CASE_ARRAYS
};
struct case_array {
    void *data; /* NULL if not wanted */
    size_t bytes;
};
void case_arrays(const struct attn_problem *problem, const struct attn_result *result,
                 struct case_array arrays[CASE_ARRAYS]);

/* The generator itself, for tests that draw more. */
struct case_random {
    uint32_t state;
};
struct case_random case_random_init(uint32_t seed, uint32_t stream);
uint32_t case_random_next(struct case_random *random);
uint32_t case_random_below(struct case_random *random, uint32_t n); /* 0 .. n - 1; 0 for n = 0 */
float case_random_float(struct case_random *random);                /* [-1, 1) */

/* Draws parameters of a masker of some kind, in their ranges; its tables lie in the arena, its index is none. 0 = done,
 * -1 = the arena is too small, or there is no such masker of keys without dimensions. */
enum { CASE_MASKERS = ATTN_MASKER_MAGIC_PIG + 1 }; /* kinds */
int case_masker(struct attn_masker *masker, enum attn_masker_kind kind, const struct attn_problem *problem,
                struct case_random *random, struct case_arena *arena);

#endif
