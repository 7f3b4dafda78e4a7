/* SPDX-License-Identifier: Apache-2.0
 *
 * run.h - carries out one job of a plan.
 */
#ifndef ATTN_RUN_H
#define ATTN_RUN_H

#include "attn.h"

void attn_run_job(const struct attn_plan *plan, const struct attn_problem *problem, const struct attn_result *result,
                  void *workspace, size_t job);

#endif
