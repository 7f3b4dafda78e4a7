/* SPDX-License-Identifier: Apache-2.0
 *
 * check.h - every precondition of the public functions, and nothing else validates.
 */
#ifndef ATTN_CHECK_H
#define ATTN_CHECK_H

#include "attn.h"

/* Shapes, strides against capacities, parameters, index arrays by value, overflow of every product.
 * On error *field says what is wrong. */
enum attn_status attn_check(const struct attn_problem *problem, const struct attn_result *result,
                            enum attn_field *field);

/* That workspace and job range fit the problem, and that `plan` looks like its plan; `own` receives what is. */
enum attn_status attn_check_run(struct attn_plan *own, const struct attn_plan *plan, const struct attn_problem *problem,
                                const struct attn_result *result, const void *workspace, size_t workspace_bytes,
                                size_t job_begin, size_t job_end);

/* What attn_partials_finish reads. */
enum attn_status attn_check_finish(const struct attn_partials *partials, const struct attn_problem *problem,
                                   const struct attn_result *result);

/* What attn_partials_merge reads. */
enum attn_status attn_check_merge(struct attn_partials destination, struct attn_partials source, size_t rows,
                                  size_t value_dim);

/* What attn_list_entries reads. */
enum attn_status attn_check_entries(const struct attn_problem *problem, const struct attn_result *result,
                                    const uint32_t *ptr);

/* What attn_convert takes: to or from float32. */
enum attn_status attn_check_convert(const void *destination, enum attn_dtype destination_dtype, const void *source,
                                    enum attn_dtype source_dtype, size_t count);

#endif
