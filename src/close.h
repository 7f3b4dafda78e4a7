/* SPDX-License-Identifier: Apache-2.0
 *
 * close.h - what is written of a row whose keys have all been seen.
 */
#ifndef ATTN_CLOSE_H
#define ATTN_CLOSE_H

#include "job.h"

/* Writes everything asked of row r. */
void attn_close_row(const struct attn_context *c, size_t r);

/* What that costs, in row-tiles. */
size_t attn_close_cost(const struct attn_context *c);

#endif
