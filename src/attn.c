/* SPDX-License-Identifier: Apache-2.0
 *
 * attn.c - entry points: check, plan, run. No loop over data here.
 */
#include "attn.h"

#include "check.h"
#include "entries.h"
#include "explain.h"
#include "plan.h"
#include "run.h"
#include "source.h"

const char *attn_status_string(enum attn_status status) {
    switch (status) {
    case ATTN_OK: return "ok";
    case ATTN_ERROR_NULL: return "a required pointer is NULL";
    case ATTN_ERROR_DTYPE: return "an element type that is not taken here";
    case ATTN_ERROR_SIZE: return "a size or a product of sizes is too large";
    case ATTN_ERROR_SHAPE: return "dimensions or strides do not fit";
    case ATTN_ERROR_HEADS: return "the number of query heads is not a multiple";
    case ATTN_ERROR_VALUE: return "a value outside its range";
    case ATTN_ERROR_INDEX: return "an index out of range or out of order";
    case ATTN_ERROR_WORKSPACE: return "the workspace is too small or not aligned";
    case ATTN_ERROR_JOBS: return "a job range outside the plan, or a plan made for another problem";
    }
    return "unknown status";
}

const char *attn_field_string(enum attn_field field) {
    switch (field) {
    case ATTN_FIELD_NONE: return "none";
    case ATTN_FIELD_SHAPE: return "shape";
    case ATTN_FIELD_QUERIES: return "queries";
    case ATTN_FIELD_KEYS: return "keys";
    case ATTN_FIELD_VALUES: return "values";
    case ATTN_FIELD_ATTENTION_MASK: return "attention_mask";
    case ATTN_FIELD_KEY_OFFSET: return "key_offset";
    case ATTN_FIELD_KEY_LENGTHS: return "key_lengths";
    case ATTN_FIELD_SCALING: return "scaling";
    case ATTN_FIELD_SOFTCAP: return "softcap";
    case ATTN_FIELD_ALIBI_SLOPES: return "alibi_slopes";
    case ATTN_FIELD_SINKS: return "sinks";
    case ATTN_FIELD_SPARSE_MASK: return "sparse_mask";
    case ATTN_FIELD_DROPOUT: return "dropout";
    case ATTN_FIELD_DROPOUT_MASK: return "dropout_mask";
    case ATTN_FIELD_EMPTY_ROWS: return "empty_rows";
    case ATTN_FIELD_ROW_MAX_OVER: return "row_max_over";
    case ATTN_FIELD_OUTPUT: return "output";
    case ATTN_FIELD_WEIGHTS: return "weights";
    case ATTN_FIELD_SCORES: return "scores";
    case ATTN_FIELD_PARTIALS: return "partials";
    case ATTN_FIELD_WORKSPACE: return "workspace";
    case ATTN_FIELD_JOBS: return "jobs";
    }
    return "unknown field";
}

/* A product that overflows becomes SIZE_MAX, which no check lets through. */
static size_t multiply(size_t a, size_t b) {
    size_t product;
    return __builtin_mul_overflow(a, b, &product) ? SIZE_MAX : product;
}

static struct attn_tensor contiguous(size_t batch, size_t heads, size_t rows, size_t columns) {
    struct attn_tensor tensor = {.dtype = ATTN_FLOAT32, .row_stride = columns, .column_stride = 1};
    tensor.head_stride = multiply(rows, columns);
    tensor.batch_stride = multiply(heads, tensor.head_stride);
    tensor.capacity = multiply(batch, tensor.batch_stride);
    return tensor;
}

void attn_problem_init(struct attn_problem *problem, size_t batch, size_t heads, size_t key_heads, size_t value_heads,
                       size_t q_len, size_t k_len, size_t dim, size_t value_dim) {
    *problem = (struct attn_problem){.batch = batch,
                                     .heads = heads,
                                     .key_heads = key_heads,
                                     .value_heads = value_heads,
                                     .q_len = q_len,
                                     .k_len = k_len,
                                     .dim = dim,
                                     .value_dim = value_dim};
    problem->queries = contiguous(batch, heads, q_len, dim);
    problem->keys = contiguous(batch, key_heads, k_len, dim);
    problem->values = contiguous(batch, value_heads, k_len, value_dim);
    problem->scaling = dim ? (float)(1 / __builtin_sqrt((double)dim)) : 1;
}

void attn_result_init(struct attn_result *result, const struct attn_problem *problem) {
    *result = (struct attn_result){.row_end = problem->q_len, .column_end = problem->k_len};
    result->output_head_stride = problem->value_dim;
    result->output_row_stride = multiply(problem->heads, problem->value_dim);
    result->output_batch_stride = multiply(problem->q_len, result->output_row_stride);
    result->output_capacity = multiply(problem->batch, result->output_batch_stride);
}

enum attn_status attn_plan_init(struct attn_plan *plan, const struct attn_problem *problem,
                                const struct attn_result *result) {
    if (!plan || !problem || !result) return ATTN_ERROR_NULL;
    enum attn_field field = ATTN_FIELD_NONE;
    enum attn_status status = attn_check(problem, result, &field);
    if (status == ATTN_OK && !attn_plan_compute(plan, problem, result)) {
        status = ATTN_ERROR_SIZE;
        field = ATTN_FIELD_WORKSPACE;
    }
    if (status != ATTN_OK) *plan = (struct attn_plan){.field = field};
    return status;
}

enum attn_status attn_run(const struct attn_plan *plan, const struct attn_problem *problem,
                          const struct attn_result *result, void *workspace, size_t workspace_bytes, size_t job_begin,
                          size_t job_end) {
    struct attn_plan own; /* one made for another problem must not mislead */
    enum attn_status status =
        attn_check_run(&own, plan, problem, result, workspace, workspace_bytes, job_begin, job_end);
    if (status != ATTN_OK) return status;
    struct attn_progress progress = {.job = job_begin};
    while (progress.job < job_end) {
        size_t row_tiles = SIZE_MAX;
        attn_run_job(&own, problem, result, workspace, &progress, &row_tiles);
    }
    return ATTN_OK;
}

enum attn_status attn_run_slice(const struct attn_plan *plan, const struct attn_problem *problem,
                                const struct attn_result *result, void *workspace, size_t workspace_bytes,
                                struct attn_progress *progress, size_t row_tiles) {
    if (!plan || !progress) return ATTN_ERROR_NULL;
    struct attn_plan own;
    enum attn_status status =
        attn_check_run(&own, plan, problem, result, workspace, workspace_bytes, progress->job, plan->jobs);
    if (status == ATTN_OK && (progress->tile > own.tile_count || progress->row > own.block_rows)) {
        status = ATTN_ERROR_JOBS;
    }
    if (status != ATTN_OK) return status;
    if (row_tiles == 0) row_tiles = 1;
    while (progress->job < own.jobs && row_tiles) {
        attn_run_job(&own, problem, result, workspace, progress, &row_tiles);
    }
    return ATTN_OK;
}

enum attn_status attn_explain(const struct attn_plan *plan, const struct attn_problem *problem,
                              const struct attn_result *result, void *workspace, size_t workspace_bytes,
                              struct attn_explanation *explanation) {
    struct attn_plan own;
    if (!plan || !explanation) return ATTN_ERROR_NULL;
    enum attn_status status = attn_check_run(&own, plan, problem, result, workspace, workspace_bytes, 0, plan->jobs);
    if (status != ATTN_OK) return status;
    *explanation = (struct attn_explanation){.kept = 0};
    for (size_t job = 0; job < own.jobs; job++) {
        struct attn_context c = attn_run_open(&own, problem, result, workspace, job);
        attn_explain_job(&c, explanation);
    }
    return ATTN_OK;
}

enum attn_status attn_list_entries(const struct attn_problem *problem, const struct attn_result *result, uint32_t *ptr,
                                   uint32_t *indices) {
    enum attn_status status = attn_check_entries(problem, result, ptr);
    if (status == ATTN_OK && !attn_entries_list(problem, result, ptr, indices)) status = ATTN_ERROR_SIZE;
    return status;
}

enum attn_status attn_convert(void *destination, enum attn_dtype destination_dtype, const void *source,
                              enum attn_dtype source_dtype, size_t count) {
    enum attn_status status = attn_check_convert(destination, destination_dtype, source, source_dtype, count);
    if (status == ATTN_OK) attn_source_convert(destination, destination_dtype, source, source_dtype, count);
    return status;
}
