/* SPDX-License-Identifier: Apache-2.0
 *
 * reference.c - see reference.h. For batch b, query head h and query i, over the keys j:
 *
 *     s_j = scaling * sum_x q_x k_jx                        RAW
 *     s_j = softcap * tanh(s_j / softcap)                   SOFTCAPPED (where there is a softcap)
 *     l_j = s_j - slope_h * |P_i - J_j| + mask_bhij         BIASED; -infinity where a mask takes the key out
 *     m   = max_j l_j,  e_j = exp(l_j - m) * w_j            w: the sparse mask, kept keys only
 *     d_j = e_j * keep_j / (1 - rate)                       dropout
 *     den = sum_j d_j (or e_j),  num = sum_j d_j v_j
 *     output = num / (den + exp(sink_h - m)),  weights_j = d_j / (den + exp(sink_h - m))
 *     log_sum_exp = m + log(sum_j e_j)
 *
 * with positions P_i = query_offset + i, J_j = key_offset + j. Masked keys are left out by a test, never by a
 * multiplication with 0, so what stands in their place cannot matter.
 */
#include "reference.h"

#include <tgmath.h>

#include "rng.h"

/* The working type. The tests also build this text with float, to see what float32 arithmetic alone loses. */
#ifndef ATTN_REFERENCE_REAL
#define ATTN_REFERENCE_REAL double
#endif
typedef ATTN_REFERENCE_REAL real;

/* One row: query i of head h in batch b. */
struct row {
    size_t b, h, i;
};

/* 2^exponent * mantissa of the two 16-bit formats; infinities and NaN as IEEE 754 has them. */
static double widen(uint16_t bits, int exponent_bits, int mantissa_bits) {
    const int exponent_max = (1 << exponent_bits) - 1, bias = exponent_max >> 1;
    const int exponent = bits >> mantissa_bits & exponent_max, mantissa = bits & ((1 << mantissa_bits) - 1);
    double magnitude;
    if (exponent == exponent_max)
        magnitude = mantissa ? (double)NAN : (double)INFINITY;
    else if (exponent == 0)
        magnitude = ldexp((double)mantissa, 1 - bias - mantissa_bits);
    else
        magnitude = ldexp((double)(mantissa + (1 << mantissa_bits)), exponent - bias - mantissa_bits);
    return bits & 0x8000 ? -magnitude : magnitude;
}

static real element(const struct attn_tensor *t, size_t b, size_t h, size_t i, size_t x) {
    const size_t at = b * t->batch_stride + h * t->head_stride + i * t->row_stride + x * t->column_stride;
    switch (t->dtype) {
    case ATTN_FLOAT32: return ((const float *)t->data)[at];
    case ATTN_FLOAT16: return (real)widen(((const uint16_t *)t->data)[at], 5, 10);
    case ATTN_BFLOAT16: return (real)widen(((const uint16_t *)t->data)[at], 8, 7);
    case ATTN_BOOL: return ((const uint8_t *)t->data)[at] != 0;
    }
    return (real)NAN;
}

static int64_t key_position(const struct attn_problem *p, size_t j) { return (int64_t)p->key_offset + (int64_t)j; }

static int64_t query_position(const struct attn_problem *p, struct row r) {
    const int64_t bottom_right = (int64_t)p->key_offset + (int64_t)p->k_len - (int64_t)p->q_len;
    return (p->query_offsets ? p->query_offsets[r.b] : bottom_right) + (int64_t)r.i;
}

static real score(const struct attn_problem *p, struct row r, size_t j, enum attn_score_stage stage) {
    real dot = 0;
    for (size_t x = 0; x < p->dim; x++)
        dot += element(&p->queries, r.b, r.h, r.i, x) * element(&p->keys, r.b, r.h / (p->heads / p->key_heads), j, x);
    const real s = dot * p->scaling;
    return stage == ATTN_SCORES_RAW || p->softcap == 0 ? s : p->softcap * tanh(s / p->softcap);
}

static int in_range(const struct attn_problem *p, struct row r, size_t j) {
    const int64_t query = query_position(p, r), key = key_position(p, j);
    if (p->key_lengths && (int64_t)j >= p->key_lengths[r.b]) return 0;
    if (p->causal && key > query) return 0;
    if (p->has_window && p->window_left != ATTN_UNBOUNDED && key < query - (int64_t)p->window_left) return 0;
    if (p->has_window && p->window_right != ATTN_UNBOUNDED && key > query + (int64_t)p->window_right) return 0;
    return 1;
}

/* What the attention mask adds. Next to a sparse mask the lowest floats mean -infinity. */
static real additive(const struct attn_problem *p, struct row r, size_t j) {
    if (!p->attention_mask.data) return 0;
    const real a = element(&p->attention_mask, r.b, r.h, r.i, j);
    if (p->attention_mask.dtype == ATTN_BOOL) return a != 0 ? 0 : -(real)INFINITY;
    return p->sparse_mask.count && a <= (real)-1e38 ? -(real)INFINITY : a;
}

static real logit(const struct attn_problem *p, struct row r, size_t j) {
    const real a = additive(p, r, j);
    if (!in_range(p, r, j) || a == -(real)INFINITY) return -(real)INFINITY;
    const real distance = fabs((real)(query_position(p, r) - key_position(p, j)));
    const real s = score(p, r, j, ATTN_SCORES_SOFTCAPPED);
    return (p->alibi_slopes ? s - p->alibi_slopes[r.h] * distance : s) + a;
}

static int listed(const uint32_t *ptr, const uint32_t *indices, size_t row, size_t column, uint32_t *at) {
    for (*at = ptr[row]; *at < ptr[row + 1]; ++*at)
        if (indices[*at] == column) return 1;
    return 0;
}

/* The weight that a leaf of the sparse mask gives, 0 = not kept. */
static real leaf_weight(const struct attn_problem *p, const struct attn_mask_node *leaf, struct row r, size_t j) {
    const size_t b = leaf->batch == 1 ? 0 : r.b;
    const size_t head = b * leaf->heads + (leaf->heads ? r.h / (p->heads / leaf->heads) : 0);
    const size_t row = head * p->q_len + r.i, of_batch = b * p->q_len + r.i;
    const int64_t distance = (int64_t)j - (int64_t)r.i - leaf->offset;
    uint32_t at;
    switch (leaf->kind) {
    case ATTN_MASK_BAND:
        return (leaf->before == ATTN_UNBOUNDED || distance >= -(int64_t)leaf->before) &&
               (leaf->after == ATTN_UNBOUNDED || distance <= (int64_t)leaf->after);
    case ATTN_MASK_COLUMNS: return j < leaf->ends[b];
    case ATTN_MASK_DOCUMENTS:
        return leaf->begins[of_batch] <= j && j < leaf->ends[of_batch] &&
               (!leaf->key_ids || leaf->key_ids[b * p->k_len + j] == leaf->query_ids[of_batch]);
    case ATTN_MASK_BLOCKS: {
        const size_t rows = (p->q_len - 1) / leaf->block_rows + 1; /* no sum: it may not fit 32 bits */
        return listed(leaf->ptr, leaf->indices, head * rows + r.i / leaf->block_rows, j / leaf->block_columns, &at);
    }
    case ATTN_MASK_BITS: return leaf->bits[row * ((p->k_len + 127) / 128 * 4) + j / 32] >> j % 32 & 1;
    case ATTN_MASK_DENSE: return leaf->weights[row * p->k_len + j];
    case ATTN_MASK_CSR:
        if (!listed(leaf->ptr, leaf->indices, row, j, &at)) return 0;
        return leaf->weights ? leaf->weights[at] : 1;
    default: return 1;
    }
}

/* The sparse mask's weight, 0 = not kept. */
static real sparse_weight(const struct attn_problem *p, struct row r, size_t j) {
    float weights[ATTN_MASK_NODES + 1] = {1}; /* as masks define them: in float32 */
    for (size_t n = 0; n < p->sparse_mask.count; n++) {
        const struct attn_mask_node *node = &p->sparse_mask.nodes[n];
        float *const w = &weights[n + 1];
        const float left = weights[node->left + 1], right = weights[node->right + 1];
        switch (node->kind) {
        case ATTN_MASK_AND: *w = left * right; break;
        case ATTN_MASK_OR: *w = left > right ? left : right; break;
        case ATTN_MASK_MERGE: *w = left + right < 1 ? left + right : 1; break;
        case ATTN_MASK_NOT: *w = left == 0; break;
        default: *w = (float)leaf_weight(p, node, r, j);
        }
    }
    return weights[p->sparse_mask.count];
}

static int dropout_acts(const struct attn_problem *p) { return p->dropout.training && p->dropout.rate > 0; }

static int dropout_keeps(const struct attn_problem *p, struct row r, size_t j) {
    const struct attn_dropout *d = &p->dropout;
    if (!dropout_acts(p)) return 1;
    if (d->rate >= 1) return 0;
    if (d->mask.data) return element(&d->mask, r.b, r.h, r.i, j) != 0;
    const int64_t position = key_position(p, j);
    const uint32_t key[2] = {d->seed_low, d->seed_high};
    const uint32_t counter[4] = {(uint32_t)(position >> 2), (uint32_t)r.i, (uint32_t)r.h, (uint32_t)r.b};
    uint32_t words[16];
    attn_philox4x32_four(words, counter, key);
    return (double)words[position & 3] >= floor(d->rate * 4294967296.0);
}

static void reference_row(const struct attn_problem *p, const struct attn_reference_result *result, struct row r) {
    const size_t n = (r.b * p->heads + r.h) * p->q_len + r.i;
    const size_t value_head = r.h / (p->heads / p->value_heads);
    double *const d = result->scratch; /* logits, then what multiplies the values */
    real max_allowed = -(real)INFINITY, max = -(real)INFINITY;

    for (size_t j = 0; j < p->k_len; j++) {
        const real l = logit(p, r, j);
        const int allowed = l != -(real)INFINITY, kept = allowed && sparse_weight(p, r, j) != 0;
        if (allowed && !(l <= max_allowed)) max_allowed = l; /* written so that a NaN stays */
        if (kept && !(l <= max)) max = l;
        d[j] = kept ? l : -(real)INFINITY;

        const size_t at = n * p->k_len + j;
        if (result->scores[ATTN_SCORES_RAW]) result->scores[ATTN_SCORES_RAW][at] = score(p, r, j, ATTN_SCORES_RAW);
        if (result->scores[ATTN_SCORES_SOFTCAPPED])
            result->scores[ATTN_SCORES_SOFTCAPPED][at] = score(p, r, j, ATTN_SCORES_SOFTCAPPED);
        if (result->scores[ATTN_SCORES_BIASED]) result->scores[ATTN_SCORES_BIASED][at] = l;
        if (result->dropout_mask) result->dropout_mask[at] = (uint8_t)dropout_keeps(p, r, j);
        if (result->keys)
            result->keys[at] = (uint8_t)(kept      ? ATTN_REFERENCE_KEPT
                                         : allowed ? ATTN_REFERENCE_SPARSE
                                                   : ATTN_REFERENCE_OUT);
    }

    real sum = 0, dropped_sum = 0;
    for (size_t j = 0; j < p->k_len; j++) {
        if (d[j] == -(double)INFINITY) {
            d[j] = 0;
            continue;
        }
        const real w = sparse_weight(p, r, j);
        real e = exp((real)d[j] - max);
        if (p->sparse_mask.count) e = p->weighting == ATTN_WEIGHTING_MULTIPLY ? e * w : e / (w + (real)1e-6);
        sum += e;
        if (dropout_acts(p)) e = dropout_keeps(p, r, j) ? e / (real)(1 - p->dropout.rate) : 0;
        dropped_sum += e;
        d[j] = e;
    }
    const int after = p->dropout.placement == ATTN_DROPOUT_AFTER_NORMALIZATION;
    const real denominator = after ? sum : dropped_sum;

    /* Partials are relative to row_max. */
    const real row_max = p->row_max_over == ATTN_ROW_MAX_ALLOWED ? max_allowed : max;
    const real rebase = max == -(real)INFINITY ? 0 : exp(max - row_max);
    if (result->row_max) result->row_max[n] = row_max;
    if (result->denominator) result->denominator[n] = denominator * rebase;
    if (result->log_sum_exp) result->log_sum_exp[n] = max + log(sum);

    /* The sink takes part in the maximum and in the denominator only; with one, no row is 0 / 0. */
    real scale = 1, total = denominator;
    const int has_sink = p->sinks && p->sinks[r.h] != -INFINITY;
    if (has_sink) {
        const real sink = p->sinks[r.h], with_sink = sink > max ? sink : max;
        scale = exp(max - with_sink);
        total = denominator * scale + exp(sink - with_sink);
    }
    const int empty = total == 0;
    const real empty_value = p->empty_rows == ATTN_EMPTY_ROWS_NAN && !has_sink ? (real)NAN : 0;

    if (result->weights)
        for (size_t j = 0; j < p->k_len; j++)
            result->weights[n * p->k_len + j] = empty ? empty_value : (real)d[j] * scale / total;

    for (size_t x = 0; x < p->value_dim; x++) {
        real numerator = 0;
        for (size_t j = 0; j < p->k_len; j++)
            if (d[j] != 0) numerator += (real)d[j] * element(&p->values, r.b, value_head, j, x);
        if (result->numerator) result->numerator[n * p->value_dim + x] = numerator * rebase;
        if (result->output) result->output[n * p->value_dim + x] = empty ? empty_value : numerator * scale / total;
    }
}

void attn_reference(const struct attn_problem *problem, const struct attn_reference_result *result) {
    for (size_t b = 0; b < problem->batch; b++)
        for (size_t h = 0; h < problem->heads; h++)
            for (size_t i = 0; i < problem->q_len; i++) reference_row(problem, result, (struct row){b, h, i});
}
