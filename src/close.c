/* SPDX-License-Identifier: Apache-2.0
 *
 * close.c - see close.h.
 */
#include "close.h"

#include "dropout.h"
#include "gather.h"

/* Brings a row of weights, exponentials relative to the maximum of their time, to the row's own scale. */
static void close_weights(const struct attn_context *c, size_t r, const struct attn_softmax_result *row) {
    float *window = attn_window_row(c, c->result->weights, r);
    if (!window) return;
    float max = attn_row_state(c, r).max;
    size_t begin = c->result->column_begin, end = c->result->column_end;
    for (size_t j = begin, next; j < end; j = next) {
        size_t tile = j / ATTN_TILE_KEYS;
        float tile_max = c->tile_max[r * c->plan->tile_count + tile];
        struct attn_softmax_result closed = *row;
        if (tile_max != max) closed.scale *= attn_softmax_shrink(&c->rules, tile_max, max);
        next = attn_smaller((tile + 1) * ATTN_TILE_KEYS, end);
        attn_softmax_normalize(window + (j - begin), window + (j - begin), next - j, &closed);
    }
    if (c->routes && !row->empty) attn_gather_window(c, r, window, row);
}

/* The weights of a row's entries, as many as there is room for between its pointers. */
static void close_entries(const struct attn_context *c, size_t r, const struct attn_softmax_result *row) {
    const struct attn_result *result = c->result;
    const struct attn_mask_row *place = &c->mask_rows[r];
    if (place->query < result->row_begin || place->query >= result->row_end) return;
    size_t rows = result->row_end - result->row_begin;
    const uint32_t *ptr = result->entry_ptr + (place->batch * c->problem->heads + place->head) * rows +
                          (place->query - result->row_begin);
    attn_gather_entries(c, r, result->entry_weights + ptr[0], ptr[1] - ptr[0], row);
}

void attn_close_row(const struct attn_context *c, size_t r) {
    const struct attn_problem *problem = c->problem;
    const struct attn_result *result = c->result;
    const struct attn_mask_row *place = &c->mask_rows[r];
    struct attn_row_state state = attn_row_state(c, r);
    const float *accumulator = c->accumulators + r * c->wide;
    size_t value_dim = problem->value_dim;
    size_t row = (place->batch * problem->heads + place->head) * problem->q_len + place->query;
    float denominator = problem->dropout.placement == ATTN_DROPOUT_BEFORE_NORMALIZATION ? state.dropped_sum : state.sum;
    float max = attn_softmax_max(&c->rules, state.max);
    struct attn_softmax_result closed = attn_softmax_finish(
        max, denominator, problem->sinks ? &problem->sinks[place->head] : NULL, problem->empty_rows);
    if (result->log_sum_exp) result->log_sum_exp[row] = attn_softmax_log_sum(&c->rules, state.max, state.sum);
    if (result->row_max) result->row_max[row] = max;
    if (result->denominator) result->denominator[row] = denominator;
    if (result->numerator) {
        for (size_t x = 0; x < value_dim; x++) result->numerator[row * value_dim + x] = accumulator[x];
    }
    if (result->output && value_dim) {
        float *output = result->output + place->batch * result->output_batch_stride +
                        place->head * result->output_head_stride + place->query * result->output_row_stride;
        attn_softmax_normalize(output, accumulator, value_dim, &closed);
    }
    if (result->weights) close_weights(c, r, &closed);
    if (result->entry_weights) close_entries(c, r, &closed);
    if (result->dropout_mask) {
        attn_dropout_keep(problem, place->batch, place->head, place->query,
                          result->dropout_mask + row * problem->k_len);
    }
}

size_t attn_close_cost(const struct attn_context *c) {
    size_t tiles = c->plan->tile_count;
    return 1 + (c->result->weights ? tiles / 4 : 0) + (c->result->entry_weights ? tiles : 0) +
           (c->result->dropout_mask ? tiles : 0);
}
