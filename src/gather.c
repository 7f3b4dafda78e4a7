/* SPDX-License-Identifier: Apache-2.0
 *
 * gather.c - see gather.h. Kept keys are listed in ascending order and computed in chunks as wide as a tile.
 */
#include "gather.h"

#include "dropout.h"
#include "pack.h"
#include "route.h"
#include "source.h"
#include "tile.h"

#define CHUNK ATTN_TILE_KEYS
#define ROWS ATTN_STRIP_ROWS /* computed together */
#define VALUE_BLOCK 64       /* terms summed in one go */

/* The keys that a row's list still holds, from a tile on. */
struct list {
    const struct attn_context *c;
    const struct attn_mask_row *row;
    const uint8_t *routes; /* NULL: all tiles, not the gathered ones alone, and the window's columns alone */
    size_t tile, count;
    uint32_t position; /* entries of the mask before `tile` */
    uint32_t columns[2 * CHUNK], positions[2 * CHUNK];
    float weights[2 * CHUNK], bias[2 * CHUNK];
};

static void list_init(struct list *list, const struct attn_context *c, size_t r, int is_gathered) {
    list->c = c, list->row = &c->mask_rows[r], list->count = 0, list->position = 0;
    list->routes = is_gathered ? attn_row_routes(c, r) : NULL;
    list->tile = (is_gathered ? list->row->key_begin : c->result->column_begin) / ATTN_TILE_KEYS;
}

/* Appends what the row keeps of list->tile. */
static void append_tile(struct list *list) {
    const struct attn_context *c = list->c;
    const struct attn_problem *problem = c->problem;
    const struct attn_mask_row *row = list->row;
    const size_t key = list->tile * ATTN_TILE_KEYS;
    const int is_inverse = problem->weighting == ATTN_WEIGHTING_INVERSE && problem->sparse_mask.count;
    struct attn_sparse_buffer room;
    struct attn_sparse_tile entries = attn_mask_entries(problem, row, list->tile, &room);
    if (!list->routes) {
        size_t begin = c->result->column_begin > key ? c->result->column_begin - key : 0;
        attn_sparse_restrict(&entries, begin, c->result->column_end - key);
    }
    struct attn_sparse_tile kept = entries;
    attn_mask_restrict(&kept, row, key);
    attn_mask_filter(&kept, problem, row, key);
    for (size_t n = 0; n < ATTN_TILE_KEYS / 64; n++) {
        for (uint64_t bits = kept.bits[n]; bits; bits &= bits - 1) {
            size_t bit = (size_t)__builtin_ctzll(bits), column = 64 * n + bit, at = list->count;
            float weight = entries.weights ? entries.weights[column] : 1;
            list->columns[at] = (uint32_t)(key + column);
            list->weights[at] = is_inverse ? 1 / (weight + 1e-6f) : weight;
            uint64_t before = entries.bits[n] & (((uint64_t)1 << bit) - 1);
            list->positions[at] = list->position + (uint32_t)__builtin_popcountll(before);
            if (!attn_mask_is_biased(problem)) {
                list->count++;
            } else if ((list->bias[at] = attn_mask_bias(problem, row, key + column)) != -__builtin_inff()) {
                list->count++;
            }
        }
        list->position += (uint32_t)__builtin_popcountll(entries.bits[n]);
    }
}

/* Fills the list up to a chunk, or with what is left; returns how many keys the chunk has. */
static size_t list_fill(struct list *list) {
    const struct attn_context *c = list->c;
    const size_t key_end = list->routes ? list->row->key_end : c->result->column_end;
    for (; list->count < CHUNK && list->tile * ATTN_TILE_KEYS < key_end; list->tile++) {
        list->tile = attn_mask_next(c->problem, list->row, list->tile, c->plan->tile_count);
        if (list->tile * ATTN_TILE_KEYS >= key_end) break;
        if (!list->routes || list->routes[list->tile] == ATTN_ROUTING_GATHER) append_tile(list);
    }
    return attn_smaller(list->count, CHUNK);
}

/* Drops the first `count` keys. */
static void list_drop(struct list *list, size_t count) {
    for (size_t n = count; n < list->count; n++) {
        list->columns[n - count] = list->columns[n], list->positions[n - count] = list->positions[n];
        list->weights[n - count] = list->weights[n], list->bias[n - count] = list->bias[n];
    }
    list->count -= count;
}

/* Where the listed rows of keys or values stand, or copies of them widened into `room`; returns their kernels. */
static const struct attn_tile_kernels *find_rows(const void *addresses[CHUNK], const struct attn_context *c,
                                                 const struct attn_tensor *tensor, size_t head, size_t columns,
                                                 const struct list *list, size_t count, float *room) {
    size_t batch = c->job.batch;
    int is_readable = 1;
    for (size_t n = 0; n < count; n++) {
        is_readable &= attn_source_fetch(tensor, batch, head, list->columns[n], 1, columns);
        addresses[n] = attn_source_address(tensor, batch, head, list->columns[n]);
    }
    if (is_readable) return &attn_tile_kernels[tensor->dtype];
    for (size_t n = 0; n < count; n++) {
        addresses[n] = attn_source_row(tensor, batch, head, list->columns[n], columns, room + n * columns);
    }
    return &attn_tile_kernels[ATTN_FLOAT32];
}

/* c->scores [count, CHUNK] = what multiplies the values of the first `keys` listed ones, for rows from `first` on. */
static void score(const struct attn_context *c, const struct list *list, size_t keys, size_t first, size_t count,
                  struct attn_softmax *states, float *rescale) {
    const struct attn_problem *problem = c->problem;
    struct attn_softmax_row rows[ROWS];
    float dropout[ROWS][CHUNK];
    const void *addresses[CHUNK];
    const struct attn_tile_kernels *kernels =
        find_rows(addresses, c, &problem->keys, attn_key_head(c), problem->dim, list, keys, c->keys);
    kernels->dot(c->scores, CHUNK, c->queries + first * c->query_stride, c->query_stride, count, addresses, keys,
                 problem->dim);
    for (size_t r = 0; r < count; r++) {
        const struct attn_mask_row *row = &c->mask_rows[first + r];
        rows[r] = (struct attn_softmax_row){.end = keys};
        if (c->weighted) rows[r].weight = list->weights;
        if (attn_mask_is_biased(problem)) rows[r].bias = list->bias;
        if (attn_dropout_acts(&problem->dropout)) {
            for (size_t n = 0; n < keys; n++) dropout[r][n] = attn_dropout_factor(problem, row->batch, row->head, row->query, list->columns[n]);
            rows[r].dropout = dropout[r];
        }
    }
    const struct attn_softmax_tile columns = {0, keys, c->rules};
    attn_softmax_advance(states, c->scores, &columns, rows, count, rescale);
}

static void accumulate(const struct attn_context *c, const struct list *list, size_t keys, size_t first, size_t count,
                       const float *rescale) {
    const struct attn_tensor *values = &c->problem->values;
    const size_t value_dim = c->problem->value_dim, panels = c->wide / ATTN_PANEL;
    float *accumulators = c->accumulators + first * c->wide;
    if (value_dim == c->wide) {
        const void *addresses[CHUNK];
        const struct attn_tile_kernels *kernels =
            find_rows(addresses, c, values, attn_value_head(c), value_dim, list, keys, c->values);
        kernels->multiply_listed(accumulators, c->wide, rescale, c->scores, CHUNK, count, addresses, panels, keys,
                                 VALUE_BLOCK);
        return;
    }
    for (size_t n = 0; n < keys; n++) {
        const float *row =
            attn_source_row(values, c->job.batch, attn_value_head(c), list->columns[n], value_dim, c->scratch);
        attn_pack_row_f32(c->values, ATTN_PANEL, keys * ATTN_PANEL, n, row, value_dim);
    }
    struct attn_panels packed = {c->values, ATTN_PANEL, keys * ATTN_PANEL};
    attn_tile_kernels[ATTN_FLOAT32].multiply(accumulators, c->wide, rescale, c->scores, CHUNK, count, packed, panels,
                                             keys, VALUE_BLOCK, VALUE_BLOCK);
}

/* States of `count` rows from `first` on, brought to the lanes from 0 on, and back. */
static void take_states(struct attn_softmax *states, const struct attn_context *c, size_t first, size_t count) {
    for (size_t r = 0; r < ROWS; r++) {
        const struct attn_softmax *from = &c->softmax[(first + (r < count ? r : 0)) / ATTN_SOFTMAX_ROWS];
        struct attn_softmax *to = &states[r / ATTN_SOFTMAX_ROWS];
        size_t i = (first + (r < count ? r : 0)) % ATTN_SOFTMAX_ROWS, lane = r % ATTN_SOFTMAX_ROWS;
        to->max[lane] = from->max[i], to->sum[lane] = from->sum[i], to->dropped_sum[lane] = from->dropped_sum[i];
    }
}

static void put_states(const struct attn_context *c, const struct attn_softmax *states, size_t first, size_t count) {
    for (size_t r = 0; r < count; r++) {
        const struct attn_softmax *from = &states[r / ATTN_SOFTMAX_ROWS];
        struct attn_softmax *to = &c->softmax[(first + r) / ATTN_SOFTMAX_ROWS];
        size_t i = (first + r) % ATTN_SOFTMAX_ROWS, lane = r % ATTN_SOFTMAX_ROWS;
        to->max[i] = from->max[lane], to->sum[i] = from->sum[lane], to->dropped_sum[i] = from->dropped_sum[lane];
    }
}

size_t attn_gather_rows(const struct attn_context *c, size_t first, size_t count) {
    struct list list;
    size_t cost = 1;
    list_init(&list, c, first, 1);
    for (size_t keys; (keys = list_fill(&list)) > 0; list_drop(&list, keys)) {
        for (size_t r = 0; r < count; r += ROWS) {
            struct attn_softmax states[ROWS / ATTN_SOFTMAX_ROWS];
            float rescale[ROWS];
            size_t some = attn_smaller(ROWS, count - r);
            take_states(states, c, first + r, some);
            score(c, &list, keys, first + r, some, states, rescale);
            put_states(c, states, first + r, some);
            accumulate(c, &list, keys, first + r, some, rescale);
        }
        cost += count;
    }
    return cost;
}

/* What multiplied the values of a row's first `keys` listed ones, divided: the row's maximum is known by now. */
static void weigh(const struct attn_context *c, const struct list *list, size_t keys, size_t r,
                  const struct attn_softmax_result *closed) {
    struct attn_softmax states[ROWS / ATTN_SOFTMAX_ROWS];
    float rescale[ROWS];
    take_states(states, c, r, 1);
    score(c, list, keys, r, 1, states, rescale);
    attn_softmax_normalize(c->scores, c->scores, keys, closed);
}

void attn_gather_window(const struct attn_context *c, size_t r, float *window,
                        const struct attn_softmax_result *closed) {
    struct list list;
    list_init(&list, c, r, 1);
    for (size_t keys; (keys = list_fill(&list)) > 0; list_drop(&list, keys)) {
        weigh(c, &list, keys, r, closed);
        for (size_t n = 0; n < keys; n++) {
            size_t column = list.columns[n];
            if (column < c->result->column_begin || column >= c->result->column_end) continue;
            window[column - c->result->column_begin] = c->scores[n];
        }
    }
}

void attn_gather_entries(const struct attn_context *c, size_t r, float *entries, size_t count,
                         const struct attn_softmax_result *closed) {
    struct list list;
    for (size_t n = 0; n < count; n++) entries[n] = closed->empty ? closed->fill : 0;
    if (closed->empty) return;
    list_init(&list, c, r, 0);
    for (size_t keys; (keys = list_fill(&list)) > 0; list_drop(&list, keys)) {
        weigh(c, &list, keys, r, closed);
        for (size_t n = 0; n < keys; n++) {
            if (list.positions[n] < count) entries[list.positions[n]] = c->scores[n];
        }
    }
}
