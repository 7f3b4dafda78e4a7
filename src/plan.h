/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.h - how a checked problem is cut into jobs, and where its workspace lies.
 */
#ifndef ATTN_PLAN_H
#define ATTN_PLAN_H

#include "attn.h"

/* Fills in the plan; 0 if the workspace's size overflows. */
int attn_plan_compute(struct attn_plan *plan, const struct attn_problem *problem, const struct attn_result *result);

/* Rows that go through a tile of keys together: whole register tiles of 4 and of 6 rows, whole softmax states. */
#define ATTN_STRIP_ROWS 12

struct attn_job {
    size_t batch;
    size_t head_begin; /* the group's query heads are head_begin .. head_begin + plan->group_heads */
    size_t query_begin, query_end;
};

struct attn_job attn_plan_job(const struct attn_plan *plan, const struct attn_problem *problem, size_t job);

#endif
