/* SPDX-License-Identifier: Apache-2.0
 *
 * group_top_k.c - one list for all query heads of a key head: the k largest q.k, where q is the sum of the heads' queries,
 * which orders keys as the mean of the heads' scores does. Exact, but most keys are only looked at through 8 bits: a unit
 * of the index is a key's coarse row. Where something is added to the scores, it is added to the mean of the scaled ones,
 * and every key is read.
 */
#include "coarse.h"
#include "masker.h"
#include "select.h"
#include "source.h"
#include "tile.h"
#include "vec.h"

#define LOWEST (-__builtin_inff())

static void layout(struct attn_index_layout *layout, const struct attn_masker *masker,
                   const struct attn_problem *problem) {
    (void)masker;
    layout->heads = problem->key_heads;
    layout->unit_keys = 1;
    layout->unit_bytes = attn_coarse_bytes(problem->dim);
}

/* Scratch: the queries [group_heads, dim], of which the first becomes their sum; bounds [stride] of each; codes. */
static float *lower_of(const struct attn_masker_call *call) {
    return (float *)call->scratch + call->group_heads * call->problem->dim;
}
static float *upper_of(const struct attn_masker_call *call) { return lower_of(call) + call->stride; }

static size_t scratch_bytes(const struct attn_masker *masker, const struct attn_problem *problem) {
    const size_t heads = attn_masker_group_heads(problem), dim = problem->dim;
    (void)masker;
    return 4 * (heads * dim + 2 * attn_masker_stride(problem)) + 2 * attn_coarse_padded(dim);
}

static void append(const struct attn_masker_call *call, size_t batch, size_t head, size_t begin, size_t end) {
    const size_t dim = call->problem->dim;
    for (size_t key = begin; key < end; key++) {
        const float *row = attn_source_row(&call->problem->keys, batch, head, key, dim, call->scratch);
        attn_coarse_write((struct attn_coarse_row *)attn_index_unit(call, batch, head, key), row, dim);
    }
}

static void score(const struct attn_masker_call *call, size_t batch, size_t group, size_t query) {
    const struct attn_problem *p = call->problem;
    float *queries = call->scratch, *upper = upper_of(call);
    attn_masker_queries(call, queries, batch, group, query);
    for (size_t h = 1; h < call->group_heads; h++) {
        for (size_t d = 0; d < p->dim; d++) queries[d] += queries[h * p->dim + d];
    }
    if (attn_mask_is_biased(p)) return;
    const struct attn_coarse_query coarse = attn_coarse_query((int16_t *)(upper + call->stride), queries, p->dim);
    attn_coarse_bounds(lower_of(call), upper, &coarse, attn_index_unit(call, batch, group, 0), call->layout.unit_bytes,
                       p->k_len, p->dim);
}

static void choose_biased(const struct attn_masker_call *call, struct attn_candidates *c, float *scores) {
    const struct attn_problem *p = call->problem;
    const float mean = p->scaling / (float)call->group_heads;
    attn_masker_dots(call, scores, call->scratch, 1, p->dim,
                     attn_key_rows(p, c->row.batch, c->row.head / call->group_heads), p->k_len);
    for (size_t j = 0; j < p->k_len; j++) {
        if (c->eligible[j / 64] >> j % 64 & 1) scores[j] = mean * scores[j] + attn_mask_bias(p, &c->row, j);
    }
    attn_choose_largest(call, c, scores);
}

/* Keys to be scored exactly. */
struct keys {
    size_t count, listed[ATTN_TILE_KEYS];
    const void *addresses[ATTN_TILE_KEYS];
};

static void score_listed(const struct attn_masker_call *call, float *scores, struct keys *keys) {
    const size_t dim = call->problem->dim;
    float exact[ATTN_TILE_KEYS];
    if (!keys->count) return;
    attn_tile_kernels[call->problem->keys.dtype].dot(exact, ATTN_TILE_KEYS, call->scratch, dim, 1, keys->addresses,
                                                     keys->count, dim);
    for (size_t n = 0; n < keys->count; n++) scores[keys->listed[n]] = exact[n];
    keys->count = 0;
}

/* From bounds of the keys' scores, where a lower one of NaN takes a key out; they are overwritten. */
static void choose_bounded(const struct attn_masker_call *call, struct attn_candidates *c, float *lower) {
    const size_t k_len = call->problem->k_len, k = call->masker->count;
    const struct attn_rows rows = attn_key_rows(call->problem, c->row.batch, c->row.head / call->group_heads);
    const float *upper = upper_of(call);
    const vec least = vec_splat(attn_select_least(lower, k_len, k, call->selection)), out = vec_splat(LOWEST);
    struct keys keys = {.count = 0};
    for (size_t j = 0; j < k_len; j += 4) {
        const vec low = vec_load(lower + j), high = vec_load(upper + j);
        uint32_t bits = vec_bits(vec_at_least(high, least)) & vec_bits(vec_equal(low, low));
        vec_store(lower + j, out);
        if (keys.count + 4 > ATTN_TILE_KEYS) score_listed(call, lower, &keys);
        for (; bits; bits &= bits - 1) {
            const size_t key = j + (size_t)__builtin_ctz(bits);
            if (key >= k_len) break;
            keys.listed[keys.count] = key;
            keys.addresses[keys.count++] = (const uint8_t *)rows.base + key * rows.stride_bytes;
        }
    }
    score_listed(call, lower, &keys);
    attn_select_largest(c->chosen, lower, k_len, k, call->selection);
}

static void choose(const struct attn_masker_call *call, struct attn_candidates *c, float *scores) {
    const float *lower = lower_of(call);
    if (attn_mask_is_biased(call->problem)) {
        choose_biased(call, c, scores);
        return;
    }
    for (size_t j = 0; j < call->stride; j++) scores[j] = lower[j]; /* heads whose lists differ have the same bounds */
    attn_candidates_restrict(c, scores, call->problem->k_len, __builtin_nanf(""));
    choose_bounded(call, c, scores);
}

const struct attn_masker_family attn_group_top_k = {.shares_rows = 1,
                                                    .layout = layout,
                                                    .scratch_bytes = scratch_bytes,
                                                    .append = append,
                                                    .score = score,
                                                    .choose = choose};
