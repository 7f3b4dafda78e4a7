/* SPDX-License-Identifier: Apache-2.0
 *
 * mask.c - see mask.h.
 */
#include "mask.h"

#include "pack.h"
#include "source.h"
#include "sparse.h"
#include "vec.h"

#define MINUS_INFINITY (-__builtin_inff())

int64_t attn_mask_position(const struct attn_problem *problem, size_t batch, size_t query) {
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
    int64_t self = attn_mask_position(problem, batch, query) - problem->key_offset;
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

/* Boolean mask: as masks of lanes; returns whether it keeps any of the columns. */
static int describe_keep(struct attn_softmax_row *described, const struct attn_tensor *mask, size_t offset,
                         size_t count, uint32_t *keep) {
    const uint8_t *source = (const uint8_t *)mask->data + offset;
    vec any = vec_splat_u32(0);
    size_t j = 0;
    for (; mask->column_stride == 1 && j + 4 <= count; j += 4) {
        vec four = vec_load_bool(source + j);
        any = vec_or(any, four);
        vec_store_u32(keep + j, four);
    }
    int keeps = vec_bits(any) != 0;
    for (; j < count; j++) {
        keep[j] = source[j * mask->column_stride] ? UINT32_MAX : 0;
        keeps |= keep[j] != 0;
    }
    described->keep = keep;
    return keeps;
}

/* Attention mask of the tile's columns, from `offset` of the mask on. */
static void copy_bias(float *bias, const struct attn_problem *problem, size_t offset, size_t count) {
    const struct attn_tensor *mask = &problem->attention_mask;
    if (mask->dtype == ATTN_FLOAT32 && mask->column_stride == 1) {
        attn_copy_f32(bias, (const float *)mask->data + offset, count);
    } else {
        for (size_t j = 0; j < count; j++) bias[j] = attn_source_float(mask, offset + j * mask->column_stride);
    }
    if (!problem->sparse_mask.count) return;
    /* a sparse mask's row maximum makes weights under so low a score 0 in sparse_attention_hub: so here */
    for (size_t j = 0; j < count; j++) bias[j] = bias[j] <= -1e38f ? MINUS_INFINITY : bias[j];
}

/* bias -= slope * distance; with is_new there was none before. */
static void subtract_alibi(float *bias, int is_new, const struct attn_problem *problem, const struct attn_mask_row *row,
                           size_t key, size_t count) {
    const int64_t exact = 1 << 24; /* what float32 counts without a gap */
    const float slope = problem->alibi_slopes[row->head];
    int64_t distance = attn_mask_position(problem, row->batch, row->query) - problem->key_offset - (int64_t)key;
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
    if (as_it_is && !problem->alibi_slopes && !problem->sparse_mask.count) {
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
                           size_t count, uint32_t *buffer) {
    if (row->key_begin <= key && key + count <= row->key_end) return;
    for (size_t j = 0; j < count; j++) {
        int in = row->key_begin <= key + j && key + j < row->key_end;
        buffer[j] = in && (!described->keep || described->keep[j]) ? UINT32_MAX : 0;
    }
    described->keep = buffer;
}

/* The weights of a row as the softmax multiplies with them: as they are, or written into the buffer. */
static const float *describe_weights(float *buffer, const struct attn_sparse_tile *kept,
                                     enum attn_weighting weighting) {
    const vec one = vec_splat(1), zero = vec_splat(0), least = vec_constant(1e-6f);
    if (kept->weights && weighting == ATTN_WEIGHTING_MULTIPLY) return kept->weights;
    for (size_t j = 0; j < ATTN_TILE_KEYS; j += 4) {
        vec in = vec_from_bits((uint32_t)(kept->bits[j / 64] >> j % 64));
        vec weight = kept->weights ? vec_load(kept->weights + j) : one;
        if (weighting == ATTN_WEIGHTING_INVERSE) weight = vec_div(one, vec_add(weight, least));
        vec_store(buffer + j, vec_select(in, weight, zero));
    }
    return buffer;
}

/* Narrows the columns to those from the first kept one to the last; says whether that was all. */
static int narrow(struct attn_softmax_row *described, const struct attn_sparse_tile *kept) {
    described->begin = attn_sparse_begin(kept), described->end = attn_sparse_end(kept);
    return attn_sparse_count(kept) == described->end - described->begin;
}

static void spread_bits(uint32_t *keep, const struct attn_sparse_tile *kept) {
    for (size_t j = 0; j < ATTN_TILE_KEYS; j += 4) {
        vec_store_u32(keep + j, vec_from_bits((uint32_t)(kept->bits[j / 64] >> j % 64)));
    }
}

/* Takes out what the sparse mask does not keep; returns whether it keeps any column. Where all columns are looked at,
 * those that it does not keep have weight 0: their scores and the maximum over them may be wanted. */
static int describe_sparse(struct attn_softmax_row *described, const struct attn_problem *problem,
                           const struct attn_mask_row *row, size_t key, int visit_all,
                           struct attn_mask_buffer *buffer) {
    const struct attn_sparse_row place = {problem, row->batch, row->head, row->query};
    if (problem->weighting == ATTN_WEIGHTING_MULTIPLY && !visit_all) {
        described->weight = attn_sparse_weights(&place, key / ATTN_TILE_KEYS);
        if (described->weight) return 1; /* those that are 0 take out what is not kept: no need to look for them here */
    }
    struct attn_sparse_tile kept = attn_sparse_tile(&place, key / ATTN_TILE_KEYS, buffer->weight);
    if (visit_all || kept.weights || problem->weighting == ATTN_WEIGHTING_INVERSE) {
        described->weight = describe_weights(buffer->weight, &kept, problem->weighting);
    }
    if (visit_all) return (kept.bits[0] | kept.bits[1]) != 0;
    attn_sparse_restrict(&kept, described->begin, described->end);
    for (size_t j = described->begin / 4 * 4; described->keep && j < described->end; j += 4) {
        uint64_t in = vec_bits(vec_load_u32(described->keep + j));
        kept.bits[j / 64] &= ~((in ^ 15) << j % 64);
    }
    if (!(kept.bits[0] | kept.bits[1])) return 0;
    int is_range = narrow(described, &kept);
    if (described->weight) return 1; /* weights of 0 take out what lies between */
    if (!is_range) spread_bits(buffer->keep, &kept);
    described->keep = is_range ? NULL : buffer->keep;
    return 1;
}

int attn_mask_is_biased(const struct attn_problem *problem) {
    return problem->attention_mask.data || problem->alibi_slopes;
}

int attn_mask_is_ranged(const struct attn_problem *problem) {
    return !attn_mask_is_biased(problem) && !problem->sparse_mask.count;
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
    if ((keeps || visit_all) && problem->sparse_mask.count) {
        keeps &= describe_sparse(&described, problem, row, key, visit_all, buffer);
    }
    return keeps || visit_all ? described : (struct attn_softmax_row){0};
}

size_t attn_mask_next(const struct attn_problem *problem, const struct attn_mask_row *row, size_t tile,
                      size_t tile_count) {
    if (!problem->sparse_mask.count) return tile;
    return attn_sparse_next(&(struct attn_sparse_row){problem, row->batch, row->head, row->query}, tile, tile_count);
}

struct attn_sparse_tile attn_mask_entries(const struct attn_problem *problem, const struct attn_mask_row *row,
                                          size_t tile, float *weights) {
    if (problem->sparse_mask.count) {
        return attn_sparse_tile(&(struct attn_sparse_row){problem, row->batch, row->head, row->query}, tile, weights);
    }
    struct attn_sparse_tile allowed = {.bits = {~(uint64_t)0, ~(uint64_t)0}};
    attn_mask_restrict(&allowed, row, tile * ATTN_TILE_KEYS);
    attn_mask_filter(&allowed, problem, row, tile * ATTN_TILE_KEYS);
    return allowed;
}

void attn_mask_filter(struct attn_sparse_tile *kept, const struct attn_problem *problem,
                      const struct attn_mask_row *row, size_t key) {
    const struct attn_tensor *mask = &problem->attention_mask;
    if (!mask->data) return;
    size_t offset = attn_tensor_offset(mask, row->batch, row->head, row->query) + key * mask->column_stride;
    for (size_t n = 0; n < ATTN_TILE_KEYS / 64; n++) {
        for (uint64_t bits = kept->bits[n]; bits; bits &= bits - 1) {
            size_t bit = (size_t)__builtin_ctzll(bits), at = offset + (64 * n + bit) * mask->column_stride;
            float bias;
            if (mask->dtype == ATTN_BOOL) {
                bias = ((const uint8_t *)mask->data)[at] ? 0 : MINUS_INFINITY;
            } else {
                copy_bias(&bias, problem, at, 1);
            }
            if (bias == MINUS_INFINITY) kept->bits[n] &= ~((uint64_t)1 << bit);
        }
    }
}

float attn_mask_bias(const struct attn_problem *problem, const struct attn_mask_row *row, size_t key) {
    const struct attn_tensor *mask = &problem->attention_mask;
    float bias = 0;
    int adds = mask->data && mask->dtype != ATTN_BOOL;
    if (adds) {
        size_t offset = attn_tensor_offset(mask, row->batch, row->head, row->query) + key * mask->column_stride;
        copy_bias(&bias, problem, offset, 1);
    }
    if (problem->alibi_slopes) subtract_alibi(&bias, !adds, problem, row, key, 1);
    return bias;
}
