/* SPDX-License-Identifier: Apache-2.0
 *
 * explain.h - what is going to be computed, counted.
 */
#ifndef ATTN_EXPLAIN_H
#define ATTN_EXPLAIN_H

#include "job.h"

/* Adds what one opened job is. */
void attn_explain_job(const struct attn_context *c, struct attn_explanation *explanation);

#endif
