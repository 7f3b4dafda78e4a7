/* SPDX-License-Identifier: Apache-2.0
 *
 * run.h - carries out one job of a plan.
 */
#ifndef ATTN_RUN_H
#define ATTN_RUN_H

#include "job.h"

/* Opens a job without running it: rows, masks and routes are there. */
struct attn_context attn_run_open(const struct attn_plan *plan, const struct attn_problem *problem,
                                  const struct attn_result *result, void *workspace, size_t job);

/* Runs progress->job on until *row_tiles is used up or the job is done, and moves *progress; what is left of *row_tiles
 * stays there. Between calls the job's state lies in the workspace. */
void attn_run_job(const struct attn_plan *plan, const struct attn_problem *problem, const struct attn_result *result,
                  void *workspace, struct attn_progress *progress, size_t *row_tiles);

#endif
