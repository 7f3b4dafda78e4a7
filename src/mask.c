/* SPDX-License-Identifier: Apache-2.0
 *
 * mask.c - see mask.h.
 */
#include "mask.h"

#include "source.h"

static int64_t query_position(const struct attn_problem *problem, size_t batch, size_t query) {
    int64_t offset = problem->query_offsets
                         ? problem->query_offsets[batch]
                         : (int64_t)problem->key_offset + (int64_t)problem->k_len - (int64_t)problem->q_len;
    return offset + (int64_t)query;
}

static size_t clamp(int64_t key, size_t k_len) {
    if (key < 0) return 0;
    return key > (int64_t)k_len ? k_len : (size_t)key;
}

struct attn_mask_row attn_mask_row(const struct attn_problem *problem, size_t batch, size_t head, size_t query) {
    struct attn_mask_row row = {batch, head, query, 0, problem->k_len};
    /* the query's own position, in keys of this call */
    int64_t self = query_position(problem, batch, query) - problem->key_offset;
    if (problem->key_lengths) row.key_end = (size_t)problem->key_lengths[batch];
    if (problem->causal) {
        size_t end = clamp(self + 1, problem->k_len);
        if (end < row.key_end) row.key_end = end;
    }
    if (problem->has_window) {
        if (problem->window_left != ATTN_UNBOUNDED) {
            row.key_begin = clamp(self - (int64_t)problem->window_left, problem->k_len);
        }
        if (problem->window_right != ATTN_UNBOUNDED) {
            size_t end = clamp(self + (int64_t)problem->window_right + 1, problem->k_len);
            if (end < row.key_end) row.key_end = end;
        }
    }
    return row;
}

/* A zero where the attention mask lets keys [key, key + count) through, its value otherwise. */
static void add_attention_mask(float *bias, const struct attn_problem *problem, const struct attn_mask_row *row,
                               size_t key, size_t count) {
    const struct attn_tensor *mask = &problem->attention_mask;
    size_t offset = attn_tensor_offset(mask, row->batch, row->head, row->query) + key * mask->column_stride;
    for (size_t j = 0; j < count; j++, offset += mask->column_stride) {
        if (mask->dtype == ATTN_BOOL) {
            bias[j] = ((const uint8_t *)mask->data)[offset] ? 0.0f : -__builtin_inff();
        } else {
            bias[j] = attn_source_float(mask, offset);
        }
        /* a sparse mask's row maximum makes weights under so low a score 0 in sparse_attention_hub: so here */
        if (problem->sparse_mask.kind != ATTN_MASK_NONE && bias[j] <= -1e38f) bias[j] = -__builtin_inff();
    }
}

static void subtract_alibi(float *bias, const struct attn_problem *problem, const struct attn_mask_row *row, size_t key,
                           size_t count) {
    int64_t distance = query_position(problem, row->batch, row->query) - problem->key_offset - (int64_t)key;
    float slope = problem->alibi_slopes[row->head];
    for (size_t j = 0; j < count; j++, distance--) {
        if (bias[j] == -__builtin_inff()) continue; /* out, even where the product overflows */
        bias[j] -= slope * (float)(distance < 0 ? -distance : distance);
    }
}

/* Describes the bias of the row in tile->bias; returns how many keys are not out. */
static size_t describe_bias(struct attn_mask_tile *tile, const struct attn_problem *problem,
                            const struct attn_mask_row *row, size_t key, size_t count) {
    int whole = row->key_begin <= key && key + count <= row->key_end;
    if (whole && !problem->attention_mask.data && !problem->alibi_slopes) return count;
    float *bias = tile->bias_buffer;
    for (size_t j = 0; j < ATTN_TILE_KEYS; j++) bias[j] = 0;
    if (problem->attention_mask.data) add_attention_mask(bias, problem, row, key, count);
    if (problem->alibi_slopes) subtract_alibi(bias, problem, row, key, count);
    size_t allowed = 0;
    for (size_t j = 0; j < count; j++) {
        if (key + j < row->key_begin || key + j >= row->key_end) bias[j] = -__builtin_inff();
        allowed += bias[j] != -__builtin_inff();
    }
    tile->bias = bias;
    return allowed;
}

/* Position in a CSR row of the first column >= key. */
static size_t lower_bound(const uint32_t *indices, size_t begin, size_t end, size_t key) {
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (indices[middle] < key)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

/* Describes the sparse mask's weights of the row in tile->weight; returns how many keys it keeps. */
static size_t describe_weight(struct attn_mask_tile *tile, const struct attn_problem *problem,
                              const struct attn_mask_row *row, size_t key, size_t count) {
    const struct attn_mask *mask = &problem->sparse_mask;
    if (mask->kind == ATTN_MASK_NONE) return count;
    size_t head = row->head / (problem->heads / mask->heads), batch = mask->batch == 1 ? 0 : row->batch;
    size_t mask_row = (batch * mask->heads + head) * problem->q_len + row->query;
    float *weight = tile->weight_buffer;
    size_t kept = 0, ones = 0;
    if (mask->kind == ATTN_MASK_DENSE) {
        const float *source = mask->weights + mask_row * problem->k_len + key;
        for (size_t j = 0; j < count; j++) weight[j] = source[j];
    } else {
        for (size_t j = 0; j < ATTN_TILE_KEYS; j++) weight[j] = 0;
        size_t end = mask->ptr[mask_row + 1], n = lower_bound(mask->indices, mask->ptr[mask_row], end, key);
        for (; n < end && mask->indices[n] < key + count; n++) {
            weight[mask->indices[n] - key] = mask->weights ? mask->weights[n] : 1.0f;
        }
    }
    for (size_t j = 0; j < count; j++) {
        if (weight[j] == 0) continue;
        if (problem->weighting == ATTN_WEIGHTING_INVERSE) weight[j] = 1 / (weight[j] + 1e-6f);
        kept++;
        ones += weight[j] == 1;
    }
    if (ones < count) tile->weight = weight;
    return kept;
}

void attn_mask_tile(struct attn_mask_tile *tile, const struct attn_problem *problem, const struct attn_mask_row *row,
                    size_t key, size_t count, int visit_all) {
    tile->coverage = ATTN_COVERAGE_SKIPPED;
    tile->bias = tile->weight = NULL;
    if (!visit_all && (key + count <= row->key_begin || key >= row->key_end)) return;
    size_t allowed = describe_bias(tile, problem, row, key, count);
    if (!visit_all && !allowed) return;
    size_t kept = describe_weight(tile, problem, row, key, count);
    if (!visit_all && !kept) return;
    tile->coverage = tile->bias || tile->weight ? ATTN_COVERAGE_PARTIAL : ATTN_COVERAGE_FULL;
}
