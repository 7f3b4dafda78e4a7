/* SPDX-License-Identifier: Apache-2.0
 *
 * group_top_k.c - one list for all query heads of a key head: the k largest q.k, where q is the sum of the heads' queries,
 * which orders keys as the mean of the heads' scores does. Exact, but most keys are only looked at through 8 bits: a unit
 * of the index is a key's coarse row. Where something is added to the scores, it is added to the mean of the scaled ones,
 * and every key is read.
 */
#include "coarse.h"
#include "logits.h"
#include "masker.h"
#include "select.h"
#include "source.h"
#include "vec.h"

static void layout(struct attn_index_layout *layout, const struct attn_masker *masker,
                   const struct attn_problem *problem) {
    (void)masker;
    layout->heads = problem->key_heads;
    layout->unit_keys = 1;
    layout->unit_bytes = attn_coarse_bytes(problem->dim);
}

struct scratch {
    float *queries;       /* [group_heads + 4, dim]: the first becomes the sum; the last are room for keys */
    float *lower, *upper; /* [stride]: bounds of the scores; where something is added to these, dot products */
    float *exact;         /* [stride]: of keys that are listed */
    uint32_t *listed;     /* [stride] */
    int16_t *codes;
};

static size_t scratch_bytes(const struct attn_masker *masker, const struct attn_problem *problem) {
    const size_t heads = attn_masker_group_heads(problem), dim = problem->dim;
    (void)masker;
    return 4 * ((heads + 4) * dim + 4 * attn_masker_stride(problem)) + 2 * attn_coarse_padded(dim);
}

static struct scratch scratch_of(const struct attn_masker_call *call) {
    struct scratch s = {.queries = call->scratch};
    s.lower = s.queries + (call->group_heads + 4) * call->problem->dim;
    s.upper = s.lower + call->stride, s.exact = s.upper + call->stride;
    s.listed = (uint32_t *)(s.exact + call->stride);
    s.codes = (int16_t *)(s.listed + call->stride);
    return s;
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
    const struct scratch s = scratch_of(call);
    const float sign = p->scaling > 0 ? 1 : p->scaling < 0 ? -1 : 0;
    attn_masker_queries(call, s.queries, batch, group, query);
    for (size_t h = 1; h < call->group_heads; h++) {
        for (size_t d = 0; d < p->dim; d++) s.queries[d] += s.queries[h * p->dim + d];
    }
    if (attn_mask_is_biased(p)) {
        attn_masker_key_dots(call, s.queries, 1, batch, group, s.queries + call->group_heads * p->dim);
        for (size_t j = 0; j < p->k_len; j++) s.lower[j] = call->scores[j];
        return;
    }
    for (size_t d = 0; d < p->dim; d++) s.queries[d] *= sign;
    const struct attn_coarse_query coarse = attn_coarse_query(s.codes, s.queries, p->dim);
    attn_coarse_bounds(s.lower, s.upper, &coarse, attn_index_unit(call, batch, group, 0), call->layout.unit_bytes,
                       p->k_len, p->dim);
}

static void choose_biased(const struct attn_masker_call *call, struct attn_candidates *c, float *scores) {
    const struct attn_problem *p = call->problem;
    const float mean = p->scaling / (float)call->group_heads, *dots = scratch_of(call).lower;
    for (size_t j = 0; j < p->k_len; j++) scores[j] = mean * dots[j];
    attn_candidates_bias(c, scores, p);
    attn_choose_largest(call, c, scores);
}

/* From the lower bounds, of which one of NaN takes a key out; they are overwritten. */
static void choose_bounded(const struct attn_masker_call *call, struct attn_candidates *c, float *lower) {
    const struct attn_problem *p = call->problem;
    const struct scratch s = scratch_of(call);
    const vec least = vec_splat(attn_select_least(lower, p->k_len, call->masker->count, call->selection));
    size_t count = 0;
    for (size_t j = 0; j < p->k_len; j += 4) {
        const vec low = vec_load(lower + j), out = vec_splat(-__builtin_inff());
        uint32_t bits = vec_bits(vec_at_least(vec_load(s.upper + j), least)) & vec_bits(vec_equal(low, low));
        vec_store(lower + j, out);
        for (; bits; bits &= bits - 1) s.listed[count++] = (uint32_t)(j + (size_t)__builtin_ctz(bits));
    }
    while (count && s.listed[count - 1] >= p->k_len) count--;
    attn_dots_listed(s.exact, p, c->row.batch, c->row.head / call->group_heads, s.queries, s.listed, count,
                     s.queries + call->group_heads * p->dim);
    for (size_t n = 0; n < count; n++) lower[s.listed[n]] = s.exact[n];
    attn_select_largest(c->chosen, lower, p->k_len, call->masker->count, call->selection);
}

static void choose(const struct attn_masker_call *call, struct attn_candidates *c, float *scores) {
    const float *lower = scratch_of(call).lower;
    if (!call->masker->count) return;
    if (attn_mask_is_biased(call->problem)) {
        choose_biased(call, c, scores);
        return;
    }
    for (size_t j = 0; j < call->problem->k_len; j++) scores[j] = lower[j]; /* other heads may choose from them too */
    attn_candidates_restrict(c, scores, call->problem->k_len, __builtin_nanf(""));
    choose_bounded(call, c, scores);
}

const struct attn_masker_family attn_group_top_k = {.shares_rows = 1,
                                                    .layout = layout,
                                                    .scratch_bytes = scratch_bytes,
                                                    .append = append,
                                                    .score = score,
                                                    .choose = choose};
