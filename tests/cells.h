/* SPDX-License-Identifier: Apache-2.0
 *
 * cells.h - problems of given lengths, element type and kinds of mask; everything else is drawn from a number.
 */
#ifndef ATTN_TESTS_CELLS_H
#define ATTN_TESTS_CELLS_H

#include "cases.h"

/* Kinds of mask; at most one of ADDITIVE and BOOLEAN, and of DENSE, CSR and PROGRAM. */
enum {
    CELL_CAUSAL = 1,
    CELL_WINDOW = 2,
    CELL_LENGTHS = 4,
    CELL_ADDITIVE = 8,
    CELL_BOOLEAN = 16,
    CELL_ALIBI = 32,
    CELL_DENSE = 64,
    CELL_CSR = 128,
    CELL_ALL = 255, /* all of these; which of those that exclude each other is drawn */
    CELL_PROGRAM = 256
};

/* Makes a problem with keys and values of type dtype; the program ends where there is no room. */
void cell_make(struct case_problem *c, uint32_t number, size_t q_len, size_t k_len, enum attn_dtype dtype,
               unsigned parts, struct case_arena *arena);

#endif
