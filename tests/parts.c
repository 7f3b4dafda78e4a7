/* SPDX-License-Identifier: Apache-2.0
 *
 * parts.c - see parts.h.
 */
#include "parts.h"

#include <stdlib.h>

#include "dropout.h"
#include "sparse.h"
#include "test.h"

/* ---- copies ---- */

static void *copy(const void *array, size_t bytes) { return array ? memcpy(allocate(bytes), array, bytes) : NULL; }

static size_t element_bytes(const struct attn_tensor *t) {
    return t->dtype == ATTN_FLOAT32 ? 4 : t->dtype == ATTN_BOOL ? 1 : 2;
}

/* A node with arrays of its own; those that its kind does not use are none. */
static void copy_node(struct attn_mask_node *node, const struct attn_problem *p) {
    const struct attn_mask_node from = *node;
    const size_t heads = (size_t)from.batch * from.heads, of_queries = from.batch * p->q_len;
    const enum attn_mask_kind kind = from.kind;
    const int has_indices = kind == ATTN_MASK_CSR || kind == ATTN_MASK_BLOCKS;
    size_t rows = heads * p->q_len, words = (p->k_len + 127) / 128 * 4;
    if (kind == ATTN_MASK_BLOCKS) rows = p->q_len ? heads * ((p->q_len - 1) / from.block_rows + 1) : 0;
    node->begins = node->ends = node->bits = node->ptr = node->indices = NULL;
    node->query_ids = node->key_ids = NULL;
    node->weights = NULL;
    if (kind == ATTN_MASK_COLUMNS) node->ends = copy(from.ends, from.batch * sizeof *from.ends);
    if (kind == ATTN_MASK_DOCUMENTS) {
        node->begins = copy(from.begins, of_queries * sizeof *from.begins);
        node->ends = copy(from.ends, of_queries * sizeof *from.ends);
        node->query_ids = copy(from.query_ids, of_queries * sizeof *from.query_ids);
        node->key_ids = copy(from.key_ids, from.batch * p->k_len * sizeof *from.key_ids);
    }
    if (kind == ATTN_MASK_BITS) node->bits = copy(from.bits, rows * words * sizeof *from.bits);
    if (kind == ATTN_MASK_DENSE) node->weights = copy(from.weights, rows * p->k_len * sizeof *from.weights);
    if (!has_indices) return;
    node->ptr = copy(from.ptr, (rows + 1) * sizeof *from.ptr);
    node->indices = copy(from.indices, from.indices_len * sizeof *from.indices);
    if (kind == ATTN_MASK_CSR) node->weights = copy(from.weights, from.indices_len * sizeof *from.weights);
}

struct attn_problem part_copy(const struct attn_problem *p) {
    struct attn_problem c = *p;
    struct attn_tensor *const tensors[] = {&c.queries, &c.keys, &c.values, &c.attention_mask, &c.dropout.mask};
    for (size_t n = 0; n < sizeof tensors / sizeof *tensors; n++)
        tensors[n]->data = copy(tensors[n]->data, tensors[n]->capacity * element_bytes(tensors[n]));
    c.query_offsets = copy(p->query_offsets, p->batch * sizeof *p->query_offsets);
    c.key_lengths = copy(p->key_lengths, p->batch * sizeof *p->key_lengths);
    c.alibi_slopes = copy(p->alibi_slopes, p->heads * sizeof *p->alibi_slopes);
    c.sinks = copy(p->sinks, p->heads * sizeof *p->sinks);
    struct attn_mask_node *nodes = copy(p->sparse_mask.nodes, p->sparse_mask.count * sizeof *nodes);
    c.sparse_mask.nodes = nodes;
    for (size_t n = 0; n < p->sparse_mask.count; n++) copy_node(&nodes[n], p);
    return c;
}

void part_free(struct attn_problem *c) {
    const void *const arrays[] = {c->queries.data,        c->keys.data,         c->values.data,
                                  c->attention_mask.data, c->dropout.mask.data, c->query_offsets,
                                  c->key_lengths,         c->alibi_slopes,      c->sinks};
    for (size_t n = 0; n < sizeof arrays / sizeof *arrays; n++) free((void *)arrays[n]);
    for (size_t n = 0; n < c->sparse_mask.count; n++) {
        const struct attn_mask_node *node = &c->sparse_mask.nodes[n];
        const void *const of_node[] = {node->begins, node->ends,    node->query_ids, node->key_ids,
                                       node->bits,   node->weights, node->ptr,       node->indices};
        for (size_t k = 0; k < sizeof of_node / sizeof *of_node; k++) free((void *)of_node[k]);
    }
    free((void *)c->sparse_mask.nodes);
}

/* ---- parts of a problem ---- */

/* Moves a tensor's start by `elements`. */
static void advance(struct attn_tensor *t, size_t elements) {
    if (!t->data || !t->capacity) return;
    t->data = (const char *)t->data + elements * element_bytes(t);
    t->capacity -= elements < t->capacity ? elements : t->capacity;
}

/* Position of the first query of batch b. */
static int64_t query_offset(const struct attn_problem *p, size_t b) {
    return p->query_offsets ? p->query_offsets[b] : (int64_t)p->key_offset + (int64_t)p->k_len - (int64_t)p->q_len;
}

/* The lists of a mask that is nothing else, as far as they lie in a part of its problem: AUTO goes by what is listed,
 * also with weight 0. */
static int slice_lists(struct attn_mask_node *leaf, const struct attn_problem *part, const struct attn_problem *p,
                       const size_t from[4], struct case_arena *arena) {
    const struct attn_mask_node *whole = p->sparse_mask.nodes;
    const size_t rows = subject_rows(part), most = rows * part->k_len;
    uint32_t *ptr = case_alloc(arena, (rows + 1) * sizeof *ptr), *indices = case_alloc(arena, most * sizeof *indices);
    float *weights = case_alloc(arena, most * sizeof *weights);
    if (!ptr || !indices || !weights) return -1;
    uint32_t n = ptr[0] = 0;
    for (size_t r = 0; r < rows; r++) {
        const size_t b = whole->batch == 1 ? 0 : from[0] + r / part->q_len / part->heads;
        const size_t h = (from[1] + r / part->q_len % part->heads) / (p->heads / whole->heads);
        const uint32_t *own = whole->ptr + (b * whole->heads + h) * p->q_len + from[2] + r % part->q_len;
        for (uint32_t at = own[0]; at < own[1]; at++) {
            if (whole->indices[at] < from[3] || whole->indices[at] >= from[3] + part->k_len) continue;
            indices[n] = whole->indices[at] - (uint32_t)from[3];
            weights[n++] = whole->weights ? whole->weights[at] : 1;
        }
        ptr[r + 1] = n;
    }
    leaf->kind = ATTN_MASK_CSR, leaf->ptr = ptr, leaf->indices = indices, leaf->indices_len = n;
    leaf->weights = whole->weights ? weights : NULL;
    return 0;
}

/* Gives a part of a problem, from its cell [batch, head, query, key] on, that cell's sparse mask: whatever it is made of,
 * as weights one by one, unless it is a list. 0 = done, -1 = no room. */
static int spell_out(struct attn_problem *part, const struct attn_problem *p, const size_t from[4],
                     struct case_arena *arena) {
    const size_t cells = subject_rows(part) * part->k_len;
    if (!p->sparse_mask.count) return 0;
    struct attn_mask_node *leaf = case_alloc(arena, sizeof *leaf);
    float *weights = case_alloc(arena, cells * sizeof *weights);
    const int is_list = p->sparse_mask.count == 1 && p->sparse_mask.nodes->kind == ATTN_MASK_CSR;
    if (!leaf || !weights) return -1;
    *leaf = (struct attn_mask_node){
        .kind = ATTN_MASK_DENSE, .batch = (uint32_t)part->batch, .heads = (uint32_t)part->heads, .weights = weights};
    part->sparse_mask = (struct attn_mask){leaf, 1};
    if (is_list) return slice_lists(leaf, part, p, from, arena);
    for (size_t cell = 0; cell < cells; cell++) {
        const size_t n = cell / part->k_len, b = n / part->q_len / part->heads, h = n / part->q_len % part->heads;
        weights[cell] =
            subject_weight(p, from[0] + b, from[1] + h, from[2] + n % part->q_len, from[3] + cell % part->k_len);
    }
    /* by itself, no leaf that lists entries leaves AUTO a choice that the program did not have */
    if (p->route == ATTN_ROUTE_AUTO && !attn_sparse_is_scattered(&p->sparse_mask)) part->route = ATTN_ROUTE_TILES;
    return 0;
}

int part_of_head(struct attn_problem *part, const struct subject *s, size_t b, size_t h, size_t begin, size_t end) {
    const struct attn_problem *p = &s->c.problem;
    const size_t row = (b * p->heads + h) * p->q_len + begin;
    const int64_t offset = query_offset(p, b) + (int64_t)begin;
    int32_t *own_offset = case_alloc(s->arena, sizeof *own_offset);
    if (!own_offset || offset > INT32_MAX) return -1;
    *own_offset = (int32_t)offset;
    *part = *p;
    part->batch = part->heads = part->key_heads = part->value_heads = 1;
    part->q_len = end - begin;
    part->query_offsets = own_offset;
    struct attn_tensor *t = &part->queries;
    advance(t, b * t->batch_stride + h * t->head_stride + begin * t->row_stride);
    t = &part->keys;
    advance(t, b * t->batch_stride + h / (p->heads / p->key_heads) * t->head_stride);
    t = &part->values;
    advance(t, b * t->batch_stride + h / (p->heads / p->value_heads) * t->head_stride);
    t = &part->attention_mask;
    advance(t, b * t->batch_stride + h * t->head_stride + begin * t->row_stride);
    if (p->key_lengths) part->key_lengths = p->key_lengths + b;
    if (p->alibi_slopes) part->alibi_slopes = p->alibi_slopes + h;
    if (p->sinks) part->sinks = p->sinks + h;
    /* the generator counts heads and queries: what it drew for the whole stands in for it */
    if (attn_dropout_acts(&p->dropout))
        part->dropout.mask = (struct attn_tensor){.data = s->reference.dropout_mask + row * p->k_len,
                                                  .dtype = ATTN_BOOL,
                                                  .row_stride = p->k_len,
                                                  .column_stride = 1,
                                                  .capacity = part->q_len * p->k_len};
    else
        part->dropout.mask.data = NULL;
    return spell_out(part, p, (const size_t[4]){b, h, begin, 0}, s->arena);
}

static float *at(float *array, size_t offset) { return array ? array + offset : NULL; }

/* Where the pointers of a row of entries stand. */
static const uint32_t *entry(const struct attn_result *r, size_t head, size_t query) {
    return r->entry_ptr + head * (r->row_end - r->row_begin) + query - r->row_begin;
}

/* Pointers of the entries of a head's rows [begin, end) alone. */
static const uint32_t *entries_alone(const struct attn_result *r, size_t head, size_t begin, size_t end,
                                     struct case_arena *arena) {
    const uint32_t *from = entry(r, head, begin);
    uint32_t *ptr = case_alloc(arena, (end - begin + 1) * sizeof *ptr);
    for (size_t n = 0; ptr && n <= end - begin; n++) ptr[n] = from[n] - from[0];
    return ptr;
}

struct attn_result part_of_result(const struct attn_problem *p, const struct attn_result *r, size_t b, size_t h,
                                  size_t begin, size_t end, struct case_arena *arena) {
    const size_t head = b * p->heads + h, row = head * p->q_len + begin;
    const size_t out = b * r->output_batch_stride + h * r->output_head_stride + begin * r->output_row_stride;
    const size_t row_begin = r->row_begin > begin ? r->row_begin : begin, row_end = r->row_end < end ? r->row_end : end;
    const size_t columns = r->column_end - r->column_begin;
    struct attn_result part = *r;
    part.output = at(r->output, out);
    if (part.output) part.output_capacity -= out;
    part.log_sum_exp = at(r->log_sum_exp, row);
    part.numerator = at(r->numerator, row * p->value_dim);
    part.denominator = at(r->denominator, row);
    part.row_max = at(r->row_max, row);
    if (r->dropout_mask) part.dropout_mask = r->dropout_mask + row * p->k_len;
    if (row_begin < row_end) {
        const size_t window = (head * (r->row_end - r->row_begin) + row_begin - r->row_begin) * columns;
        part.row_begin = row_begin - begin, part.row_end = row_end - begin;
        part.weights = at(r->weights, window);
        part.scores = at(r->scores, window);
        if (r->entry_weights) part.entry_ptr = entries_alone(r, head, row_begin, row_end, arena);
        if (part.entry_ptr) part.entry_weights = r->entry_weights + entry(r, head, row_begin)[0];
    } else {
        part.row_begin = part.row_end = 0;
        part.weights = part.scores = part.entry_weights = NULL;
    }
    return part;
}

int part_of_keys(struct attn_problem *part, const struct subject *s, size_t begin, size_t end) {
    const struct attn_problem *p = &s->c.problem;
    *part = *p;
    part->k_len = end - begin;
    part->key_offset += (int32_t)begin;
    advance(&part->keys, begin * p->keys.row_stride);
    advance(&part->values, begin * p->values.row_stride);
    advance(&part->attention_mask, begin * p->attention_mask.column_stride);
    advance(&part->dropout.mask, begin * p->dropout.mask.column_stride);
    int32_t *offsets = case_alloc(s->arena, p->batch * sizeof *offsets),
            *lengths = case_alloc(s->arena, p->batch * sizeof *lengths);
    if (!offsets || !lengths) return -1;
    for (size_t b = 0; b < p->batch; b++) {
        const int64_t length = (p->key_lengths ? p->key_lengths[b] : (int64_t)p->k_len) - (int64_t)begin;
        offsets[b] = (int32_t)query_offset(p, b);
        lengths[b] = length < 0 ? 0 : (int32_t)(length > (int64_t)part->k_len ? (int64_t)part->k_len : length);
    }
    part->query_offsets = offsets;
    part->key_lengths = lengths;
    return spell_out(part, p, (const size_t[4]){0, 0, 0, begin}, s->arena);
}

/* ---- heads ---- */

int part_repeat(struct attn_tensor *t, const struct attn_problem *p, size_t heads, size_t columns,
                struct case_arena *arena) {
    const struct attn_tensor from = *t;
    const size_t bytes = element_bytes(t), group = p->heads / heads;
    t->row_stride = columns;
    t->head_stride = p->k_len * columns;
    t->batch_stride = p->heads * t->head_stride;
    t->capacity = p->batch * t->batch_stride;
    char *data = case_alloc(arena, t->capacity * bytes);
    if (!data) return -1;
    for (size_t n = 0; n < p->batch * p->heads * p->k_len; n++) {
        const size_t b = n / p->k_len / p->heads, h = n / p->k_len % p->heads / group, j = n % p->k_len;
        memcpy(data + n * columns * bytes,
               (const char *)from.data + (b * from.batch_stride + h * from.head_stride + j * from.row_stride) * bytes,
               columns * bytes);
    }
    t->data = data;
    return 0;
}
