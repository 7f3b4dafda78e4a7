/* SPDX-License-Identifier: Apache-2.0
 *
 * gather.h - the row path: the keys that a row keeps, read one by one where they stand, for the tiles that are routed so.
 * Heads of a group that share their list share each read.
 */
#ifndef ATTN_GATHER_H
#define ATTN_GATHER_H

#include "job.h"

/* Rows [first, first + count), which share their masks; returns what it cost, in row-tiles. */
size_t attn_gather_rows(const struct attn_context *c, size_t first, size_t count);

/* Writes the weights of row r's gathered keys into its row of the window, whose other columns are left alone. */
void attn_gather_window(const struct attn_context *c, size_t r, float *window,
                        const struct attn_softmax_result *closed);

/* Writes the weights of the entries of row r, gathered or not, at `entries`: `count` of those that attn_list_entries
 * lists, 0 where the entry takes no part. */
void attn_gather_entries(const struct attn_context *c, size_t r, float *entries, size_t count,
                         const struct attn_softmax_result *closed);

#endif
