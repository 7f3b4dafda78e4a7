/* SPDX-License-Identifier: Apache-2.0
 *
 * grid.c - whole problems at each number of queries around which loops change, with each number of keys, each type of
 * keys and values, and each kind of mask. What the grid does not enumerate is drawn from the number of the cell.
 */
#include <stdio.h>

#include "cells.h"
#include "properties.h"
#include "test.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const unsigned kinds[] = {0,          CELL_CAUSAL, CELL_WINDOW, CELL_LENGTHS, CELL_ADDITIVE, CELL_BOOLEAN,
                                 CELL_ALIBI, CELL_DENSE,  CELL_CSR,    CELL_ALL};

static void test_cell(struct case_arena *arena, uint32_t number, size_t q_len, size_t k_len, enum attn_dtype dtype,
                      unsigned parts) {
    struct subject s = {.arena = arena};
    struct case_random random = case_random_init(number, 99);
    arena->used = 0;
    snprintf(s.name, sizeof s.name, "cell %u", number);
    cell_make(&s.c, number, q_len, k_len, dtype, parts, arena);
    subject_init(&s);
    test_problem(&s, &random, case_random_below(&random, 4) == 0, NULL);
    subject_free(&s);
}

void test_grid(struct case_arena *arena) {
    static const uint16_t q_lens[] = {1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 25};
    static const uint16_t k_lens[] = {
        1, 7, 8, 9, ATTN_TILE_KEYS - 1, ATTN_TILE_KEYS, ATTN_TILE_KEYS + 1, 2 * ATTN_TILE_KEYS + 2};
    static const enum attn_dtype dtypes[] = {ATTN_FLOAT32, ATTN_FLOAT16, ATTN_BFLOAT16};
    uint32_t number = 0;
    for (size_t q = 0; q < COUNT(q_lens); q++)
        for (size_t k = 0; k < COUNT(k_lens); k++)
            for (size_t d = 0; d < COUNT(dtypes); d++)
                for (size_t kind = 0; kind < COUNT(kinds); kind++)
                    test_cell(arena, number++, q_lens[q], k_lens[k], dtypes[d], kinds[kind]);
    /* more queries than one job takes */
    for (size_t kind = 0; kind < COUNT(kinds); kind++)
        test_cell(arena, number++, 600, 65, dtypes[kind % COUNT(dtypes)], kinds[kind]);
}
