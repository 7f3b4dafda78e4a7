/* SPDX-License-Identifier: Apache-2.0
 *
 * quest.c - Quest (Tang et al., "Quest: Query-Aware Sparsity for Efficient Long-Context LLM Inference", ICML 2024).
 * Of each page of keys the smallest and largest of every channel are kept; sum_d max(q_d min_d, q_d max_d) bounds what
 * q.k can be for the keys of the page, and pages are chosen by it, whole. A bound is one dot product of twice the
 * dimension: of [max(q, 0), min(q, 0)] with [max, min].
 *
 * A unit of the index is a page: its labels [max, min], and before them, where labels have fewer than 16 bits, the exact
 * ones that they are rounded from.
 */
#include "masker.h"

#include "select.h"
#include "source.h"

static int is_exact(const struct attn_masker *masker) { return masker->bits >= 16; }

static void layout(struct attn_index_layout *layout, const struct attn_masker *masker,
                   const struct attn_problem *problem) {
    layout->heads = problem->key_heads;
    layout->unit_keys = masker->page_size;
    layout->unit_bytes = 4 * 2 * problem->dim * (is_exact(masker) ? 1 : 2);
}

/* No sum of k_len and page_size: it may overflow. */
static size_t pages_of(const struct attn_masker *masker, const struct attn_problem *problem) {
    return problem->k_len / masker->page_size + (problem->k_len % masker->page_size > 0);
}

/* Scratch: a bit for each page, then floats. */
static size_t page_words(const struct attn_problem *problem) { return (problem->k_len + 63) / 64; }

static float *floats_of(const struct attn_masker_call *call) {
    return (float *)((uint64_t *)call->scratch + page_words(call->problem));
}

static size_t scratch_bytes(const struct attn_masker *masker, const struct attn_problem *problem) {
    (void)masker;
    return 8 * page_words(problem) + 4 * (attn_masker_group_heads(problem) * 2 + 1) * problem->dim;
}

/* Rounds to 2^bits equal steps between the smallest and the largest. */
static void round_labels(float *labels, const float *exact, size_t dim, size_t bits) {
    const float steps = (float)((1u << bits) - 1);
    float least = exact[0], largest = exact[0];
    for (size_t d = 1; d < dim; d++) {
        least = exact[d] < least ? exact[d] : least, largest = exact[d] > largest ? exact[d] : largest;
    }
    const float range = largest - least, scale = steps / (range == 0 ? 1 : range);
    for (size_t d = 0; d < dim; d++) {
        float step = __builtin_rintf((exact[d] - least) * scale);
        step = step < 0 ? 0 : step > steps ? steps : step;
        labels[d] = step / scale + least;
    }
}

static void append(const struct attn_masker_call *call, size_t batch, size_t head, size_t begin, size_t end) {
    const struct attn_masker *masker = call->masker;
    const size_t dim = call->problem->dim;
    for (size_t key = begin; key < end; key++) {
        float *largest = (float *)attn_index_unit(call, batch, head, key), *least = largest + dim;
        const float *row = attn_source_row(&call->problem->keys, batch, head, key, dim, floats_of(call));
        const int is_first = key % masker->page_size == 0;
        for (size_t d = 0; d < dim; d++) {
            largest[d] = is_first || row[d] > largest[d] ? row[d] : largest[d];
            least[d] = is_first || row[d] < least[d] ? row[d] : least[d];
        }
        if (is_exact(masker) || (key + 1 < end && (key + 1) % masker->page_size)) continue;
        float *high = largest + 2 * dim, *low = least + 2 * dim;
        round_labels(high, largest, dim, masker->bits);
        round_labels(low, least, dim, masker->bits);
        for (size_t d = 0; d < dim; d++) { /* rounded apart, they may have changed places */
            const float a = high[d], b = low[d];
            high[d] = a < b ? b : a, low[d] = a < b ? a : b;
        }
    }
}

static void score(const struct attn_masker_call *call, size_t batch, size_t group, size_t query) {
    const struct attn_problem *p = call->problem;
    const size_t pages = pages_of(call->masker, p);
    float *halves = floats_of(call), *row = halves + call->group_heads * 2 * p->dim;
    for (size_t h = 0; h < call->group_heads; h++, halves += 2 * p->dim) {
        const float *q = attn_source_row(&p->queries, batch, group * call->group_heads + h, query, p->dim, row);
        for (size_t d = 0; d < p->dim; d++) {
            halves[d] = q[d] > 0 ? q[d] : 0, halves[p->dim + d] = q[d] < 0 ? q[d] : 0;
        }
    }
    const float *labels =
        (const float *)attn_index_unit(call, batch, group, 0) + (is_exact(call->masker) ? 0 : 2 * p->dim);
    attn_masker_dots(call, floats_of(call), call->group_heads, 2 * p->dim, labels, call->layout.unit_bytes / 4, pages);
}

/* Bits [64 * word, 64 * word + 64) of those from begin to end. */
static uint64_t within(size_t begin, size_t end, size_t word) {
    return attn_sparse_below(end, word) & ~attn_sparse_below(begin, word);
}

static void choose(const struct attn_masker_call *call, struct attn_candidates *c, float *scores) {
    const size_t size = call->masker->page_size, k_len = call->problem->k_len;
    const size_t pages = pages_of(call->masker, call->problem);
    uint64_t *chosen = call->scratch;
    for (size_t page = 0; page < pages; page++) {
        const size_t begin = page * size, end = attn_smaller(begin + size, k_len);
        uint64_t allowed = 0;
        for (size_t n = begin / 64; 64 * n < end; n++) {
            allowed |= (c->eligible[n] | c->active[n]) & within(begin, end, n);
        }
        if (!allowed) scores[page] = -__builtin_inff();
    }
    for (size_t n = 0; n < page_words(call->problem); n++) chosen[n] = 0;
    attn_select_largest(chosen, scores, pages, call->masker->count, call->selection);
    for (size_t n = 0; 64 * n < pages; n++) {
        for (uint64_t bits = chosen[n]; bits; bits &= bits - 1) {
            const size_t begin = (64 * n + (size_t)__builtin_ctzll(bits)) * size;
            const size_t end = attn_smaller(begin + size, k_len);
            for (size_t word = begin / 64; 64 * word < end; word++) {
                c->chosen[word] |= c->eligible[word] & within(begin, end, word);
            }
        }
    }
}

const struct attn_masker_family attn_quest = {
    .layout = layout, .scratch_bytes = scratch_bytes, .append = append, .score = score, .choose = choose};
