/* SPDX-License-Identifier: Apache-2.0
 *
 * masker.c - see maskers.h. A row's candidates are found, its family chooses among them, and what the row keeps is
 * written as a list. Lists of a group of heads are made together, each in a slot of its own, and then moved together.
 */
#include "masker.h"

#include "check_masker.h"
#include "select.h"
#include "source.h"
#include "sparse.h"
#include "tile.h"
#include "vec.h"

static const struct attn_masker_family *const families[] = {
    [ATTN_MASKER_TOP_K] = &attn_oracle_top_k,
    [ATTN_MASKER_TOP_P] = &attn_oracle_top_p,
    [ATTN_MASKER_GROUP_TOP_K] = &attn_group_top_k,
    [ATTN_MASKER_QUEST] = &attn_quest,
    [ATTN_MASKER_DOUBLE_SPARSITY] = &attn_double_sparsity,
    [ATTN_MASKER_HASH_ATTENTION] = &attn_hash_attention,
    [ATTN_MASKER_PQ_CACHE] = &attn_pq_cache,
    [ATTN_MASKER_SOCKET] = &attn_socket,
    [ATTN_MASKER_IMPORTANCE] = &attn_importance,
    [ATTN_MASKER_RANDOM] = &attn_random_sampling,
    [ATTN_MASKER_ADAPTIVE] = &attn_adaptive_sampling,
    [ATTN_MASKER_MAGIC_PIG] = &attn_magic_pig,
};

const struct attn_masker_family *attn_masker_family(enum attn_masker_kind kind) {
    return (size_t)kind < sizeof families / sizeof *families ? families[kind] : NULL;
}

/* ---- workspace ---- */

static size_t words_of(size_t k_len) { return (k_len + ATTN_TILE_KEYS - 1) / ATTN_TILE_KEYS * (ATTN_TILE_KEYS / 64); }

/* Takes `bytes` from what *at points to, 64-byte aligned; with at NULL it only counts. */
static void *take(uint8_t **at, size_t *total, size_t bytes) {
    void *taken = at ? *at : NULL;
    bytes = (bytes + ATTN_ALIGNMENT - 1) & ~(size_t)(ATTN_ALIGNMENT - 1);
    if (at) *at += bytes;
    *total += bytes;
    return taken;
}

/* Lays the call's parts out in the workspace, and returns how many bytes they take. */
static size_t lay_out(struct attn_masker_call *call, struct attn_candidates *candidates,
                      const struct attn_masker *masker, const struct attn_problem *problem, uint8_t *workspace) {
    const struct attn_masker_family *family = attn_masker_family(masker->kind);
    uint8_t **at = workspace ? &workspace : NULL;
    size_t total = 0;
    *call = (struct attn_masker_call){.masker = masker, .problem = problem};
    if (family->layout) family->layout(&call->layout, masker, problem);
    call->group_heads = attn_masker_group_heads(problem);
    call->stride = attn_masker_stride(problem);
    call->scores = take(at, &total, 4 * call->group_heads * call->stride);
    call->scratch = take(at, &total, family->scratch_bytes ? family->scratch_bytes(masker, problem) : 0);
    call->selection = take(at, &total, attn_select_bytes(problem->k_len));
    *candidates = (struct attn_candidates){.words = words_of(problem->k_len)};
    candidates->active = take(at, &total, 8 * candidates->words);
    candidates->eligible = take(at, &total, 8 * candidates->words);
    candidates->chosen = take(at, &total, 8 * candidates->words);
    if (attn_sparse_is_weighted(&problem->sparse_mask)) {
        candidates->active_weights = take(at, &total, 4 * 64 * candidates->words);
    }
    if (family->is_weighted) candidates->chosen_weights = take(at, &total, 4 * 64 * candidates->words);
    return total;
}

/* Whether the masks of the heads of a group are the same. */
static int is_same_for_group(const struct attn_problem *problem) {
    const struct attn_tensor *mask = &problem->attention_mask;
    if (!problem->heads || problem->alibi_slopes || (mask->data && mask->head_stride)) return 0;
    return attn_sparse_is_shared(problem, attn_masker_group_heads(problem));
}

enum attn_status attn_masker_plan_init(struct attn_masker_plan *plan, const struct attn_masker *masker,
                                       const struct attn_problem *problem, size_t capacity) {
    struct attn_masker_call call;
    struct attn_candidates candidates;
    enum attn_status status = attn_check_masker(masker, problem);
    if (status != ATTN_OK) return status;
    const struct attn_masker_family *family = attn_masker_family(masker->kind);
    const size_t workspace_bytes = lay_out(&call, &candidates, masker, problem, NULL);
    const struct attn_index_layout *layout = &call.layout;
    status = attn_check_masker_sizes(layout, problem, capacity);
    if (status != ATTN_OK) return status;
    *plan = (struct attn_masker_plan){
        .row_heads = problem->heads,
        .is_weighted = family->is_weighted || attn_sparse_is_weighted(&problem->sparse_mask),
        .index_heads = layout->heads,
        .header_bytes = layout->header_bytes,
        .unit_keys = layout->unit_keys,
        .unit_bytes = layout->unit_bytes,
        .index_bytes = problem->batch * layout->heads * attn_index_part_bytes(layout, capacity),
        .workspace_bytes = workspace_bytes,
    };
    if (family->shares_rows && is_same_for_group(problem)) plan->row_heads = problem->key_heads;
    return ATTN_OK;
}

enum attn_status attn_masker_append(const struct attn_masker *masker, const struct attn_problem *problem, size_t batch,
                                    size_t begin, size_t end, void *workspace) {
    struct attn_masker_call call;
    struct attn_candidates candidates;
    const struct attn_masker_family *family = attn_masker_family(masker->kind);
    const enum attn_status status = attn_check_append(masker, problem, begin, end);
    if (status != ATTN_OK) return status;
    lay_out(&call, &candidates, masker, problem, workspace);
    for (size_t head = 0; family->append && head < call.layout.heads; head++) {
        family->append(&call, batch, head, begin, end);
    }
    return ATTN_OK;
}

/* ---- candidates ---- */

/* Sets bits [begin, end). */
static void set_range(uint64_t *bits, size_t begin, size_t end) {
    for (size_t word = begin / 64; 64 * word < end; word++) {
        bits[word] |= attn_sparse_below(end, word) & ~attn_sparse_below(begin, word);
    }
}

static void take_filtered(struct attn_candidates *c, const struct attn_problem *problem) {
    for (size_t tile = 0; tile * ATTN_TILE_KEYS < problem->k_len; tile++) {
        struct attn_sparse_tile kept = {.bits = {c->eligible[2 * tile], c->eligible[2 * tile + 1]}};
        attn_mask_filter(&kept, problem, &c->row, tile * ATTN_TILE_KEYS);
        c->eligible[2 * tile] = kept.bits[0], c->eligible[2 * tile + 1] = kept.bits[1];
    }
}

static void find_candidates(struct attn_candidates *c, const struct attn_problem *problem, size_t batch, size_t head,
                            size_t query) {
    const size_t tiles = c->words / (ATTN_TILE_KEYS / 64);
    const struct attn_sparse_row row = {problem, batch, head, query};
    c->row = attn_mask_row(problem, batch, head, query);
    for (size_t n = 0; n < c->words; n++) c->active[n] = c->eligible[n] = c->chosen[n] = 0;
    set_range(c->eligible, c->row.key_begin, c->row.key_end);
    if (problem->attention_mask.data) take_filtered(c, problem);
    for (size_t tile = 0; problem->sparse_mask.count && tile < tiles; tile++) {
        tile = attn_sparse_next(&row, tile, tiles);
        if (tile >= tiles) break;
        float room[ATTN_TILE_KEYS];
        const struct attn_sparse_tile kept = attn_sparse_tile(&row, tile, room);
        for (size_t n = 0; n < ATTN_TILE_KEYS / 64; n++) {
            c->active[2 * tile + n] = c->eligible[2 * tile + n] & kept.bits[n];
            c->eligible[2 * tile + n] &= ~kept.bits[n];
        }
        for (size_t j = 0; c->active_weights && j < ATTN_TILE_KEYS; j++) {
            c->active_weights[tile * ATTN_TILE_KEYS + j] = kept.weights ? kept.weights[j] : 1;
        }
    }
}

void attn_candidates_restrict(const struct attn_candidates *c, float *scores, size_t k_len, float out) {
    for (size_t n = 0; 64 * n < k_len; n++) {
        const size_t columns = attn_smaller(64, k_len - 64 * n);
        const uint64_t all = attn_sparse_below(columns, 0);
        if (!c->eligible[n]) {
            for (size_t j = 0; j < columns; j++) scores[64 * n + j] = out;
            continue;
        }
        for (uint64_t bits = all & ~c->eligible[n]; bits; bits &= bits - 1) {
            scores[64 * n + (size_t)__builtin_ctzll(bits)] = out;
        }
    }
}

size_t attn_candidates_within(const struct attn_masker_call *call, struct attn_candidates *c, size_t least) {
    const size_t k_len = call->problem->k_len, begin = call->masker->first;
    const size_t end = k_len - attn_smaller(call->masker->last, k_len);
    size_t total = 0;
    for (size_t n = 0; n < c->words; n++) {
        total +=
            (size_t)__builtin_popcountll(c->eligible[n] & attn_sparse_below(end, n) & ~attn_sparse_below(begin, n));
    }
    for (size_t n = 0; total >= least && n < c->words; n++) {
        c->eligible[n] &= attn_sparse_below(end, n) & ~attn_sparse_below(begin, n);
    }
    return total;
}

void attn_candidates_bias(const struct attn_candidates *c, float *scores, const struct attn_problem *problem) {
    for (size_t j = 0; attn_mask_is_biased(problem) && j < problem->k_len; j++) {
        if (c->eligible[j / 64] >> j % 64 & 1) scores[j] += attn_mask_bias(problem, &c->row, j);
    }
}

void attn_choose_largest(const struct attn_masker_call *call, struct attn_candidates *candidates, float *scores) {
    const size_t k_len = call->problem->k_len;
    size_t eligible = 0;
    for (size_t n = 0; n < candidates->words; n++) eligible += (size_t)__builtin_popcountll(candidates->eligible[n]);
    if (eligible <= call->masker->count) {
        for (size_t n = 0; n < candidates->words; n++) candidates->chosen[n] = candidates->eligible[n];
        return;
    }
    attn_candidates_restrict(candidates, scores, k_len, -__builtin_inff());
    attn_select_largest(candidates->chosen, scores, k_len, call->masker->count, call->selection);
}

/* ---- lists ---- */

/* Writes what a row keeps; returns how much that is. */
static size_t write_list(const struct attn_candidates *c, uint32_t *indices, float *weights) {
    size_t count = 0;
    for (size_t n = 0; n < c->words; n++) {
        for (uint64_t bits = c->active[n] | c->chosen[n]; bits; bits &= bits - 1) {
            const size_t bit = (size_t)__builtin_ctzll(bits), column = 64 * n + bit;
            indices[count] = (uint32_t)column;
            if (weights) {
                const float *source = c->active[n] >> bit & 1 ? c->active_weights : c->chosen_weights;
                weights[count] = source ? source[column] : 1;
            }
            count++;
        }
    }
    return count;
}

enum attn_status attn_masker_choose(const struct attn_masker *masker, const struct attn_problem *problem,
                                    size_t query_begin, size_t query_end, uint32_t *ends, uint32_t *indices,
                                    float *weights, void *workspace) {
    const struct attn_masker_family *family = attn_masker_family(masker->kind);
    struct attn_masker_plan plan;
    struct attn_masker_call call;
    struct attn_candidates candidates;
    enum attn_status status = attn_masker_plan_init(&plan, masker, problem, masker->capacity);
    if (status == ATTN_OK) status = attn_check_choose(&plan, masker, problem, query_begin, query_end);
    if (status != ATTN_OK) return status;
    lay_out(&call, &candidates, masker, problem, workspace);
    const size_t queries = query_end - query_begin,
                 group_rows = problem->key_heads ? plan.row_heads / problem->key_heads : 0;
    size_t total = 0;
    for (size_t b = 0; b < problem->batch; b++) {
        for (size_t g = 0; g < problem->key_heads; g++) {
            const size_t first = (b * plan.row_heads + g * group_rows) * queries;
            /* each row where it has room for all keys; what is before it is no longer than that */
            for (size_t i = 0; i < queries; i++) {
                if (family->score) family->score(&call, b, g, query_begin + i);
                for (size_t h = 0; h < group_rows; h++) {
                    const size_t r = first + h * queries + i, slot = r * problem->k_len;
                    find_candidates(&candidates, problem, b, g * call.group_heads + h, query_begin + i);
                    family->choose(&call, &candidates, call.scores + h * call.stride);
                    ends[r] = (uint32_t)write_list(&candidates, indices + slot, weights ? weights + slot : NULL);
                }
            }
            for (size_t r = first; r < first + group_rows * queries; r++) {
                const size_t slot = r * problem->k_len, count = ends[r];
                for (size_t n = 0; n < count; n++) indices[total + n] = indices[slot + n];
                for (size_t n = 0; weights && n < count; n++) weights[total + n] = weights[slot + n];
                total += count;
                ends[r] = (uint32_t)total;
            }
        }
    }
    return ATTN_OK;
}

/* ---- scores ---- */

void attn_masker_queries(const struct attn_masker_call *call, float *queries, size_t batch, size_t group,
                         size_t query) {
    const struct attn_problem *p = call->problem;
    for (size_t h = 0; h < call->group_heads; h++, queries += p->dim) {
        const float *row = attn_source_row(&p->queries, batch, group * call->group_heads + h, query, p->dim, queries);
        for (size_t d = 0; row != queries && d < p->dim; d++) queries[d] = row[d];
    }
}

static void dot(float *dots, size_t stride, const float *queries, size_t count, size_t dim, enum attn_dtype dtype,
                const void *const *rows, size_t rows_len) {
    attn_tile_kernels[dtype].dot(dots, stride, queries, dim, count, rows, rows_len, dim);
}

void attn_masker_dots(const struct attn_masker_call *call, const float *queries, size_t count, size_t dim,
                      const float *rows, size_t stride, size_t rows_len) {
    const void *addresses[ATTN_TILE_KEYS];
    for (size_t n = 0; n < rows_len; n += ATTN_TILE_KEYS) {
        const size_t some = attn_smaller(ATTN_TILE_KEYS, rows_len - n);
        for (size_t i = 0; i < some; i++) addresses[i] = rows + (n + i) * stride;
        for (size_t i = 0; i < some; i++) attn_source_ask(addresses[i], 4 * dim);
        dot(call->scores + n, call->stride, queries, count, dim, ATTN_FLOAT32, addresses, some);
    }
}

void attn_masker_key_dots(const struct attn_masker_call *call, const float *queries, size_t count, size_t batch,
                          size_t group, float *scratch) {
    const struct attn_problem *p = call->problem;
    const void *addresses[ATTN_TILE_KEYS];
    for (size_t key = 0; key < p->k_len; key += ATTN_TILE_KEYS) {
        const size_t some = attn_smaller(ATTN_TILE_KEYS, p->k_len - key);
        float *scores = call->scores + key;
        if (attn_source_fetch(&p->keys, batch, group, key, some, p->dim)) {
            for (size_t i = 0; i < some; i++) addresses[i] = attn_source_address(&p->keys, batch, group, key + i);
            dot(scores, call->stride, queries, count, p->dim, p->keys.dtype, addresses, some);
            continue;
        }
        for (size_t i = 0; i < some; i += 4) { /* widened, four at a time */
            const size_t few = attn_smaller(4, some - i);
            for (size_t n = 0; n < few; n++) {
                addresses[n] = attn_source_row(&p->keys, batch, group, key + i + n, p->dim, scratch + n * p->dim);
            }
            dot(scores + i, call->stride, queries, count, p->dim, ATTN_FLOAT32, addresses, few);
        }
    }
}
