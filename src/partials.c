/* SPDX-License-Identifier: Apache-2.0
 *
 * partials.c - attention over disjoint ranges of keys, merged exactly and finished.
 */
#include "attn.h"
#include "check.h"
#include "softmax.h"

/* Whether a side has no keys, and contributes nothing whatever stands there. One whose logits are all NaN has no maximum
 * either, but its sum says so. */
static int is_empty(float max, float denominator) { return max == -__builtin_inff() && denominator == denominator; }

/* Factor that brings sums relative to `from` to the maximum `to`. */
static float merge_factor(float from, float to) {
    if (from == to) return 1;
    return from == -__builtin_inff() ? 0 : attn_exp(from - to);
}

enum attn_status attn_partials_merge(struct attn_partials destination, struct attn_partials source, size_t rows,
                                     size_t value_dim) {
    enum attn_status status = attn_check_merge(destination, source, rows, value_dim);
    if (status != ATTN_OK) return status;
    for (size_t r = 0; r < rows; r++) {
        float max1 = destination.row_max[r], max2 = source.row_max[r], max = max1 < max2 ? max2 : max1;
        float factor1 = merge_factor(max1, max), factor2 = merge_factor(max2, max);
        int empty1 = is_empty(max1, destination.denominator[r]), empty2 = is_empty(max2, source.denominator[r]);
        float *numerator = destination.numerator + r * value_dim;
        const float *other = source.numerator + r * value_dim;
        for (size_t x = 0; x < value_dim; x++) {
            numerator[x] = (empty1 ? 0 : numerator[x] * factor1) + (empty2 ? 0 : other[x] * factor2);
        }
        destination.denominator[r] =
            (empty1 ? 0 : destination.denominator[r] * factor1) + (empty2 ? 0 : source.denominator[r] * factor2);
        destination.row_max[r] = max;
    }
    return ATTN_OK;
}

enum attn_status attn_partials_finish(const struct attn_partials *partials, const struct attn_problem *problem,
                                      const struct attn_result *result) {
    enum attn_status status = attn_check_finish(partials, problem, result);
    if (status != ATTN_OK) return status;
    const struct attn_softmax_rules rules = {0}; /* of maxima that are logits */
    size_t rows = problem->batch * problem->heads * problem->q_len, value_dim = problem->value_dim;
    for (size_t r = 0; r < rows; r++) {
        size_t query = r % problem->q_len, head = r / problem->q_len % problem->heads;
        size_t batch = r / problem->q_len / problem->heads;
        float denominator = partials->denominator[r];
        struct attn_softmax_result closed = attn_softmax_finish(
            partials->row_max[r], denominator, problem->sinks ? &problem->sinks[head] : NULL, problem->empty_rows);
        if (result->log_sum_exp)
            result->log_sum_exp[r] = attn_softmax_log_sum(&rules, partials->row_max[r], denominator);
        if (!result->output || !value_dim) continue;
        float *output = result->output + batch * result->output_batch_stride + head * result->output_head_stride +
                        query * result->output_row_stride;
        attn_softmax_normalize(output, partials->numerator + r * value_dim, value_dim, &closed);
    }
    return ATTN_OK;
}
