/* SPDX-License-Identifier: Apache-2.0
 *
 * mask.c - see mask.h.
 */
#include "mask.h"

#include "pack.h"
#include "source.h"
#include "vec.h"

#define MINUS_INFINITY (-__builtin_inff())

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

/* Boolean mask: reads it in place, or spreads a column stride of 0; returns whether it keeps any of the columns. */
static int describe_keep(struct attn_softmax_row *described, const struct attn_tensor *mask, size_t offset,
                         size_t count, uint8_t *buffer) {
    const uint8_t *source = (const uint8_t *)mask->data + offset;
    described->keep = source;
    if (mask->column_stride != 1 || count % 4 != 0) {
        for (size_t j = 0; j < count; j++) buffer[j] = source[j * mask->column_stride];
        described->keep = buffer;
    }
    for (size_t j = 0; j < count; j++) {
        if (described->keep[j]) return 1;
    }
    return 0;
}

/* Attention mask of the tile's columns, from `offset` of the mask on. */
static void copy_bias(float *bias, const struct attn_problem *problem, size_t offset, size_t count) {
    const struct attn_tensor *mask = &problem->attention_mask;
    if (mask->dtype == ATTN_FLOAT32 && mask->column_stride == 1) {
        attn_copy_f32(bias, (const float *)mask->data + offset, count);
    } else {
        for (size_t j = 0; j < count; j++) bias[j] = attn_source_float(mask, offset + j * mask->column_stride);
    }
    if (problem->sparse_mask.kind == ATTN_MASK_NONE) return;
    /* a sparse mask's row maximum makes weights under so low a score 0 in sparse_attention_hub: so here */
    for (size_t j = 0; j < count; j++) bias[j] = bias[j] <= -1e38f ? MINUS_INFINITY : bias[j];
}

/* bias -= slope * distance; with is_new there was none before. */
static void subtract_alibi(float *bias, int is_new, const struct attn_problem *problem, const struct attn_mask_row *row,
                           size_t key, size_t count) {
    const int64_t exact = 1 << 24; /* what float32 counts without a gap */
    const float slope = problem->alibi_slopes[row->head];
    int64_t distance = query_position(problem, row->batch, row->query) - problem->key_offset - (int64_t)key;
    size_t j = 0;
    if (-exact < distance - ATTN_TILE_KEYS && distance < exact) {
        const vec out = vec_constant(MINUS_INFINITY), step = vec_constant(4), slopes = vec_splat(slope);
        vec offset = vec_sub(vec_splat((float)distance), vec_load((const float[4]){0, 1, 2, 3}));
        for (; j + 4 <= count; j += 4, offset = vec_sub(offset, step)) {
            vec before = is_new ? vec_splat(0) : vec_load(bias + j),
                after = vec_sub(before, vec_mul(slopes, vec_abs(offset)));
            vec_store(bias + j, vec_select(vec_equal(before, out), before, after));
        }
    }
    for (; j < count; j++) {
        int64_t offset = distance - (int64_t)j;
        if (is_new) bias[j] = 0;
        if (bias[j] == MINUS_INFINITY) continue; /* out, even where the product overflows */
        bias[j] -= slope * (float)(offset < 0 ? -offset : offset);
    }
}

/* Whether the bias leaves any of `count` columns in. */
static int leaves_any(const float *bias, size_t count) {
    const vec out = vec_constant(MINUS_INFINITY);
    size_t j = 0;
    for (; j + 4 <= count; j += 4) {
        if (!vec_all(vec_equal(vec_load(bias + j), out))) return 1;
    }
    for (; j < count; j++) {
        if (bias[j] != MINUS_INFINITY) return 1;
    }
    return 0;
}

/* Additive mask and ALiBi: a mask alone is read in place; returns whether they leave any of the columns in. */
static int describe_bias(struct attn_softmax_row *described, const struct attn_problem *problem,
                         const struct attn_mask_row *row, size_t offset, size_t key, size_t count, float *buffer) {
    const struct attn_tensor *mask = &problem->attention_mask;
    int adds = mask->data && mask->dtype != ATTN_BOOL;
    int as_it_is = adds && mask->dtype == ATTN_FLOAT32 && mask->column_stride == 1 && count % 4 == 0;
    if (as_it_is && !problem->alibi_slopes && problem->sparse_mask.kind == ATTN_MASK_NONE) {
        described->bias = (const float *)mask->data + offset;
    } else {
        described->bias = buffer;
        if (adds) copy_bias(buffer, problem, offset, count);
        if (problem->alibi_slopes) subtract_alibi(buffer, !adds, problem, row, key, count);
    }
    return !adds || leaves_any(described->bias, count);
}

/* Takes out what lies outside the row's keys, where the other columns' scores are wanted too. */
static void describe_range(struct attn_softmax_row *described, const struct attn_mask_row *row, size_t key,
                           size_t count, uint8_t *buffer) {
    if (row->key_begin <= key && key + count <= row->key_end) return;
    for (size_t j = 0; j < count; j++) {
        int in = row->key_begin <= key + j && key + j < row->key_end;
        buffer[j] = (uint8_t)(in && (!described->keep || described->keep[j]));
    }
    described->keep = buffer;
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

/* Describes the sparse mask's weights of the row; returns whether it keeps any column. */
static int describe_weight(struct attn_softmax_row *described, const struct attn_problem *problem,
                           const struct attn_mask_row *row, size_t key, size_t count, float *weight) {
    const struct attn_mask *mask = &problem->sparse_mask;
    if (mask->kind == ATTN_MASK_NONE) return 1;
    size_t head = row->head / (problem->heads / mask->heads), batch = mask->batch == 1 ? 0 : row->batch;
    size_t mask_row = (batch * mask->heads + head) * problem->q_len + row->query;
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
    if (ones < count) described->weight = weight;
    return kept > 0;
}

int attn_mask_is_ranged(const struct attn_problem *problem) {
    return !problem->attention_mask.data && !problem->alibi_slopes && problem->sparse_mask.kind == ATTN_MASK_NONE;
}

struct attn_softmax_row attn_mask_tile(const struct attn_problem *problem, const struct attn_mask_row *row, size_t key,
                                       size_t count, int visit_all, struct attn_mask_buffer *buffer) {
    struct attn_softmax_row described = {.end = count};
    if (!visit_all) described = attn_mask_range(row, key, count);
    if (described.begin == described.end) return described;
    const struct attn_tensor *mask = &problem->attention_mask;
    int keeps = 1;
    size_t offset = 0;
    if (mask->data) offset = attn_tensor_offset(mask, row->batch, row->head, row->query) + key * mask->column_stride;
    if (mask->data && mask->dtype == ATTN_BOOL) keeps = describe_keep(&described, mask, offset, count, buffer->keep);
    if (visit_all) describe_range(&described, row, key, count, buffer->keep);
    if ((keeps || visit_all) && ((mask->data && mask->dtype != ATTN_BOOL) || problem->alibi_slopes)) {
        keeps &= describe_bias(&described, problem, row, offset, key, count, buffer->bias);
    }
    if (keeps || visit_all) keeps &= describe_weight(&described, problem, row, key, count, buffer->weight);
    return keeps || visit_all ? described : (struct attn_softmax_row){0};
}
