/* SPDX-License-Identifier: Apache-2.0
 *
 * entries.h - the structure of sparse weights: which entries there are.
 */
#ifndef ATTN_ENTRIES_H
#define ATTN_ENTRIES_H

#include "attn.h"

/* Fills in ptr, or, where indices is not NULL, these; 0 if there are more entries than 32 bits count. */
int attn_entries_list(const struct attn_problem *problem, const struct attn_result *result, uint32_t *ptr,
                      uint32_t *indices);

#endif
