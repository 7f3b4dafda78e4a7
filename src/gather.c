/* SPDX-License-Identifier: Apache-2.0
 *
 * gather.c - see gather.h. Kept keys are listed in ascending order and computed in chunks as wide as a tile.
 */
#include "gather.h"

#include "dropout.h"
#include "pack.h"
#include "route.h"
#include "source.h"
#include "strip.h"
#include "tile.h"

#define CHUNK ATTN_TILE_KEYS
#define ROWS ATTN_STRIP_ROWS /* computed together */

/* The keys that a row's list still has, from a tile on, by chunks. */
struct list {
    const struct attn_context *c;
    const struct attn_mask_row *row;
    const uint8_t *routes; /* NULL: no tile has another than `routing` */
    enum attn_routing routing;
    int is_mixed;  /* some of the row's tiles have another */
    int is_window; /* the window's columns alone, and with positions */
    size_t taken;  /* keys of the chunk at hand */
    const uint32_t *keys;

    int is_direct; /* taken from the mask's own list, entries [first, last) of it */
    size_t first, last;
    uint32_t position; /* of the chunk among the entries of the mask; else the number of entries before `tile` */

    size_t tile, count; /* else what tiles before `tile` brought: the chunk, and what is beyond it */
    uint32_t columns[2 * CHUNK], positions[2 * CHUNK];
    float weights[2 * CHUNK], bias[2 * CHUNK];
};

/* Whether the row's keys can be taken from the mask's own list: it keeps all of them, as they are. */
static int take_list(struct list *list) {
    const struct attn_problem *problem = list->c->problem;
    const struct attn_mask_row *place = list->row;
    const struct attn_sparse_row row = {problem, place->batch, place->head, place->query};
    size_t begin = 0, end = problem->k_len, first, last;
    if (attn_mask_is_biased(problem)) return 0;
    if (!attn_sparse_list(&problem->sparse_mask) || attn_sparse_lists_zeros(&row)) return 0;
    if (list->is_window) begin = list->c->result->column_begin, end = list->c->result->column_end;
    attn_sparse_listed(&first, &last, &row, begin, end);
    attn_sparse_listed(&list->first, &list->last, &row, attn_larger(begin, place->key_begin),
                       attn_smaller(end, place->key_end));
    if (list->first >= list->last) list->first = list->last = first;
    list->position = (uint32_t)(list->first - first);
    return 1;
}

static void list_init(struct list *list, const struct attn_context *c, size_t r, enum attn_routing routing,
                      int is_window) {
    list->c = c, list->row = &c->mask_rows[r], list->count = list->taken = 0, list->position = 0;
    list->is_mixed = attn_row_uses(c, r, routing == ATTN_ROUTING_GATHER ? ATTN_ROUTING_TILE : ATTN_ROUTING_GATHER);
    list->routes = c->routes ? attn_row_routes(c, r) : NULL;
    list->routing = routing, list->is_window = is_window;
    list->tile = (is_window ? c->result->column_begin : list->row->key_begin) / ATTN_TILE_KEYS;
    list->is_direct = take_list(list);
}

static int is_listed(const struct list *list, size_t tile) {
    return (list->routes ? list->routes[tile] : ATTN_ROUTING_TILE) == (int)list->routing;
}

/* What an exponential is multiplied by whose entry has that weight. */
static float factor_of(const struct list *list, float weight) {
    return list->c->problem->weighting == ATTN_WEIGHTING_INVERSE ? 1 / (weight + 1e-6f) : weight;
}

/* Takes the next entries of the mask's own list, up to one that goes another way. */
static void take_entries(struct list *list) {
    const struct attn_mask_node *leaf = list->c->problem->sparse_mask.nodes;
    size_t first = list->first + list->taken, end;
    while (list->is_mixed && first < list->last && !is_listed(list, leaf->indices[first] / ATTN_TILE_KEYS)) first++;
    const size_t most = attn_smaller(first + CHUNK, list->last);
    for (end = list->is_mixed ? first : most; end < most; end++) {
        if (!is_listed(list, leaf->indices[end] / ATTN_TILE_KEYS)) break;
    }
    list->position += (uint32_t)(first - list->first);
    list->first = first, list->taken = end - first, list->keys = leaf->indices + first;
    if (!list->c->weighted) return;
    if (leaf->weights && list->c->problem->weighting != ATTN_WEIGHTING_INVERSE) {
        attn_copy_f32(list->weights, leaf->weights + first, list->taken);
        return;
    }
    for (size_t n = 0; n < list->taken; n++) {
        list->weights[n] = factor_of(list, leaf->weights ? leaf->weights[first + n] : 1);
    }
}

/* Appends what the row keeps of list->tile. */
static void append_tile(struct list *list) {
    const struct attn_context *c = list->c;
    const struct attn_problem *problem = c->problem;
    const struct attn_mask_row *row = list->row;
    const size_t key = list->tile * ATTN_TILE_KEYS;
    const int is_biased = attn_mask_is_biased(problem);
    float room[ATTN_TILE_KEYS];
    struct attn_sparse_tile entries = attn_mask_entries(problem, row, list->tile, room);
    if (list->is_window) {
        size_t begin = c->result->column_begin > key ? c->result->column_begin - key : 0;
        attn_sparse_restrict(&entries, begin, c->result->column_end - key);
    }
    struct attn_sparse_tile kept = entries;
    attn_mask_restrict(&kept, row, key);
    attn_mask_filter(&kept, problem, row, key);
    for (size_t n = 0; n < ATTN_TILE_KEYS / 64; n++) {
        for (uint64_t bits = is_listed(list, list->tile) ? kept.bits[n] : 0; bits; bits &= bits - 1) {
            size_t bit = (size_t)__builtin_ctzll(bits), column = 64 * n + bit, at = list->count;
            if (is_biased) {
                list->bias[at] = attn_mask_bias(problem, row, key + column);
                if (list->bias[at] == -__builtin_inff()) continue;
            }
            list->columns[at] = (uint32_t)(key + column);
            if (c->weighted) {
                list->weights[at] = factor_of(list, entries.weights ? entries.weights[column] : 1);
            }
            if (list->is_window) {
                uint64_t before = entries.bits[n] & (((uint64_t)1 << bit) - 1);
                list->positions[at] = list->position + (uint32_t)__builtin_popcountll(before);
            }
            list->count++;
        }
        list->position += (uint32_t)__builtin_popcountll(entries.bits[n]);
    }
}

/* Moves what is left to the front. */
static void drop_taken(struct list *list) {
    const size_t taken = list->taken;
    list->taken = 0;
    if (!taken) return;
    for (size_t n = taken; n < list->count; n++) {
        list->columns[n - taken] = list->columns[n], list->positions[n - taken] = list->positions[n];
        list->weights[n - taken] = list->weights[n], list->bias[n - taken] = list->bias[n];
    }
    list->count -= taken;
}

/* Takes the next keys of tiles. */
static void take_tiles(struct list *list) {
    const struct attn_context *c = list->c;
    const size_t key_end = list->is_window ? c->result->column_end : list->row->key_end;
    drop_taken(list);
    for (; list->count < CHUNK && list->tile * ATTN_TILE_KEYS < key_end; list->tile++) {
        list->tile = attn_mask_next(c->problem, list->row, list->tile, c->plan->tile_count);
        if (list->tile * ATTN_TILE_KEYS >= key_end) break;
        if (list->is_window || is_listed(list, list->tile)) append_tile(list); /* positions count all entries */
    }
    list->keys = list->columns, list->taken = attn_smaller(list->count, CHUNK);
}

/* Goes on to the next keys of the list; returns how many. */
static size_t next_chunk(struct list *list) {
    if (list->is_direct) {
        take_entries(list);
    } else {
        take_tiles(list);
    }
    return list->taken;
}

/* Which of the mask's entries the chunk's key n is. */
static size_t position_of(const struct list *list, size_t n) {
    return list->is_direct ? list->position + n : list->positions[n];
}

/* Where the chunk's rows of keys or values stand, or copies of them widened into `room`; returns their kernels. */
static const struct attn_tile_kernels *find_rows(const void *addresses[CHUNK], const struct list *list,
                                                 const struct attn_tensor *tensor, size_t head, size_t columns,
                                                 float *room) {
    const size_t batch = list->c->job.batch;
    const int is_far = attn_source_is_far(tensor, list->c->problem->k_len);
    if (attn_source_list(addresses, tensor, batch, head, list->keys, list->taken, columns, is_far)) {
        return &attn_tile_kernels[tensor->dtype];
    }
    for (size_t n = 0; n < list->taken; n++) {
        addresses[n] = attn_source_row(tensor, batch, head, list->keys[n], columns, room + n * columns);
    }
    return &attn_tile_kernels[ATTN_FLOAT32];
}

/* c->scores [count, CHUNK] = the rows' dot products with the chunk's keys, summed in the order of their route. */
static void multiply(const struct list *list, size_t first, size_t count) {
    const struct attn_context *c = list->c;
    const struct attn_problem *p = c->problem;
    const size_t dim = p->dim, stride = c->query_stride, keys = list->taken;
    const float *queries = c->queries + first * stride;
    if (list->routing == ATTN_ROUTING_TILE && !c->plan->in_place) {
        attn_pack_listed(c, list->keys, keys);
        struct attn_panels panels = {c->keys, ATTN_PANEL, dim * ATTN_PANEL};
        attn_tile_multiply(c->scores, CHUNK, NULL, queries, stride, count, panels, (keys + ATTN_PANEL - 1) / ATTN_PANEL,
                           dim, ATTN_SCORE_BLOCK, ATTN_SCORE_BLOCK);
        return;
    }
    const void *addresses[CHUNK];
    find_rows(addresses, list, &p->keys, attn_key_head(c), dim, c->keys)
        ->dot(c->scores, CHUNK, queries, stride, count, addresses, keys, dim);
}

/* c->scores [count, CHUNK] = what multiplies the values of a chunk, for rows from `first` on. */
static void score(const struct list *list, size_t first, size_t count, struct attn_softmax *states, float *rescale) {
    const struct attn_context *c = list->c;
    const struct attn_problem *problem = c->problem;
    const size_t keys = list->taken;
    const struct attn_softmax_tile columns = {0, keys, c->rules};
    struct attn_softmax_row rows[ROWS];
    float dropout[ROWS][CHUNK];
    multiply(list, first, count);
    for (size_t r = 0; r < count; r++) {
        const struct attn_mask_row *row = &c->mask_rows[first + r];
        rows[r] = (struct attn_softmax_row){.end = keys,
                                            .weight = c->weighted ? list->weights : NULL,
                                            .bias = attn_mask_is_biased(problem) ? list->bias : NULL};
        if (!attn_dropout_acts(&problem->dropout)) continue;
        for (size_t n = 0; n < keys; n++) {
            dropout[r][n] = attn_dropout_factor(problem, row->batch, row->head, row->query, list->keys[n]);
        }
        rows[r].dropout = dropout[r];
    }
    attn_softmax_advance(states, c->scores, &columns, rows, count, rescale);
}

static void accumulate(const struct list *list, size_t first, size_t count, const float *rescale) {
    const struct attn_context *c = list->c;
    const struct attn_problem *p = c->problem;
    const size_t value_dim = p->value_dim, panels = c->wide / ATTN_PANEL, keys = list->taken;
    float *accumulators = c->accumulators + first * c->wide;
    if (value_dim == c->wide) {
        const void *addresses[CHUNK];
        const struct attn_tile_kernels *kernels =
            find_rows(addresses, list, &p->values, attn_value_head(c), value_dim, c->values);
        kernels->multiply(accumulators, c->wide, rescale, c->scores, CHUNK, count, addresses, panels, keys,
                          ATTN_VALUE_BLOCK, ATTN_VALUE_BLOCK);
        return;
    }
    for (size_t n = 0; n < keys; n++) {
        const float *row =
            attn_source_row(&p->values, c->job.batch, attn_value_head(c), list->keys[n], value_dim, c->scratch);
        attn_pack_row_f32(c->values, ATTN_PANEL, keys * ATTN_PANEL, n, row, value_dim);
    }
    struct attn_panels packed = {c->values, ATTN_PANEL, keys * ATTN_PANEL};
    attn_tile_multiply(accumulators, c->wide, rescale, c->scores, CHUNK, count, packed, panels, keys, ATTN_VALUE_BLOCK,
                       ATTN_VALUE_BLOCK);
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
    if (!attn_row_uses(c, first, ATTN_ROUTING_GATHER)) return 0;
    list_init(&list, c, first, ATTN_ROUTING_GATHER, 0);
    /* with nothing accumulated yet there is nothing to rescale */
    int is_first = !attn_row_uses(c, first, ATTN_ROUTING_TILE);
    for (; next_chunk(&list); is_first = 0) {
        for (size_t r = 0; r < count; r += ROWS) {
            struct attn_softmax states[ROWS / ATTN_SOFTMAX_ROWS];
            float rescale[ROWS];
            size_t some = attn_smaller(ROWS, count - r);
            take_states(states, c, first + r, some);
            score(&list, first + r, some, states, rescale);
            put_states(c, states, first + r, some);
            accumulate(&list, first + r, some, is_first ? NULL : rescale);
        }
        cost += count;
    }
    return cost;
}

/* What multiplied the values of a chunk in row r, divided: the row's maximum is known by now. */
static void weigh(const struct list *list, size_t r, const struct attn_softmax_result *closed) {
    const struct attn_context *c = list->c;
    struct attn_softmax states[ROWS / ATTN_SOFTMAX_ROWS];
    float rescale[ROWS];
    take_states(states, c, r, 1);
    score(list, r, 1, states, rescale);
    attn_softmax_normalize(c->scores, c->scores, list->taken, closed);
}

void attn_gather_window(const struct attn_context *c, size_t r, float *window,
                        const struct attn_softmax_result *closed) {
    const size_t begin = c->result->column_begin, end = c->result->column_end;
    struct list list;
    list_init(&list, c, r, ATTN_ROUTING_GATHER, 0);
    while (next_chunk(&list)) {
        weigh(&list, r, closed);
        for (size_t n = 0; n < list.taken; n++) {
            size_t column = list.keys[n];
            if (begin <= column && column < end) window[column - begin] = c->scores[n];
        }
    }
}

void attn_gather_entries(const struct attn_context *c, size_t r, float *entries, size_t count,
                         const struct attn_softmax_result *closed) {
    struct list list;
    for (size_t n = 0; n < count; n++) entries[n] = closed->empty ? closed->fill : 0;
    for (int routing = ATTN_ROUTING_TILE; !closed->empty && routing < ATTN_ROUTING_NONE; routing++) {
        list_init(&list, c, r, (enum attn_routing)routing, 1);
        if (!attn_row_uses(c, r, (enum attn_routing)routing)) continue;
        while (next_chunk(&list)) {
            weigh(&list, r, closed);
            for (size_t n = 0; n < list.taken; n++) {
                if (position_of(&list, n) < count) entries[position_of(&list, n)] = c->scores[n];
            }
        }
    }
}
