/* SPDX-License-Identifier: Apache-2.0
 *
 * programs.c - see programs.h.
 */
#include "programs.h"

#include <stdlib.h>

#include "test.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define PICK(random, array) (array)[case_random_below(random, COUNT(array))]

/* What a node is drawn with. */
struct draw {
    const struct attn_problem *p;
    struct case_random *random;
    struct case_arena *arena;
};

static uint32_t below(const struct draw *d, size_t n) { return case_random_below(d->random, (uint32_t)n); }

static int chance(const struct draw *d, uint32_t percent) { return below(d, 100) < percent; }

static void *array(struct case_arena *arena, size_t count, size_t bytes) {
    void *block = case_alloc(arena, count * bytes);
    if (!CHECK(block != NULL)) abort();
    return block;
}

static uint32_t *drawn(const struct draw *d, size_t count, size_t most) {
    uint32_t *values = array(d->arena, count, sizeof *values);
    for (size_t n = 0; n < count; n++) values[n] = below(d, most + 1);
    return values;
}

/* ---- leaves ---- */

static uint32_t divisor(const struct draw *d, size_t n) {
    uint32_t divisor = 1 + below(d, n);
    while (n % divisor) divisor--;
    return divisor;
}

static void draw_band(const struct draw *d, struct attn_mask_node *leaf) {
    static const uint32_t sides[] = {
        0, 1, 5, 63, 200, 70000, INT32_MAX, ATTN_UNBOUNDED - 1, ATTN_UNBOUNDED, ATTN_UNBOUNDED};
    leaf->before = PICK(d->random, sides);
    leaf->after = PICK(d->random, sides);
    leaf->offset = (int32_t)below(d, 2 * d->p->k_len + 1) - (int32_t)d->p->k_len;
    if (chance(d, 30)) leaf->offset = (int32_t)d->p->k_len - (int32_t)d->p->q_len;
    if (chance(d, 4)) leaf->offset = chance(d, 50) ? INT32_MAX : INT32_MIN;
}

/* Documents one after the other, or any ranges at all: empty, or the wrong way round. */
static void draw_documents(const struct draw *d, struct attn_mask_node *leaf) {
    const size_t q_len = d->p->q_len, k_len = d->p->k_len, rows = leaf->batch * q_len;
    uint32_t *begins = drawn(d, rows, k_len), *ends = drawn(d, rows, k_len);
    const size_t width = 1 + below(d, k_len);
    if (chance(d, 60))
        for (size_t r = 0; r < rows; r++) {
            begins[r] = (uint32_t)(r % q_len * k_len / q_len / width * width);
            ends[r] = (uint32_t)(begins[r] + width < k_len ? begins[r] + width : k_len);
        }
    leaf->begins = begins, leaf->ends = ends;
    leaf->query_ids = leaf->key_ids = NULL;
    if (chance(d, 50)) return;
    int32_t *query_ids = (int32_t *)drawn(d, rows, 2), *key_ids = (int32_t *)drawn(d, leaf->batch * k_len, 2);
    for (size_t n = 0; n < rows; n++) query_ids[n] -= 1;
    for (size_t n = 0; n < leaf->batch * k_len; n++) key_ids[n] -= 1;
    leaf->query_ids = query_ids, leaf->key_ids = key_ids;
}

/* Rows of ascending indices, each taken with `percent`. */
static void draw_indices(const struct draw *d, struct attn_mask_node *leaf, size_t rows, size_t columns,
                         uint32_t percent) {
    uint32_t *ptr = array(d->arena, rows + 1, sizeof *ptr), n = ptr[0] = 0;
    uint32_t *indices = array(d->arena, rows * columns, sizeof *indices);
    for (size_t r = 0; r < rows; r++) {
        for (size_t j = 0; j < columns; j++)
            if (chance(d, percent)) indices[n++] = (uint32_t)j;
        ptr[r + 1] = n;
    }
    leaf->ptr = ptr, leaf->indices = indices, leaf->indices_len = n;
}

static void draw_blocks(const struct draw *d, struct attn_mask_node *leaf) {
    static const uint32_t rows[] = {1, 2, 5, 12, 13, 64, 700, UINT32_MAX};
    static const uint32_t columns[] = {1, 3, 8, 32, 100, 127, 128, 129, 200, 1000, UINT32_MAX};
    leaf->block_rows = PICK(d->random, rows);
    leaf->block_columns = PICK(d->random, columns);
    const size_t block_rows = (d->p->q_len - 1) / leaf->block_rows + 1;
    draw_indices(d, leaf, (size_t)leaf->batch * leaf->heads * block_rows, (d->p->k_len - 1) / leaf->block_columns + 1,
                 40);
}

/* Whatever stands beyond the last key is drawn like the rest. */
static void draw_bits(const struct draw *d, struct attn_mask_node *leaf) {
    const size_t words = (d->p->k_len + 127) / 128 * 4, count = (size_t)leaf->batch * leaf->heads * d->p->q_len * words;
    const uint32_t density = below(d, 4), empty = chance(d, 30) ? 50 : 0;
    uint32_t *bits = array(d->arena, count, sizeof *bits);
    for (size_t n = 0; n < count; n++) {
        bits[n] = case_random_next(d->random);
        for (uint32_t k = 0; k < density; k++) bits[n] &= case_random_next(d->random);
        if (chance(d, empty)) bits[n] = 0;
    }
    leaf->bits = bits;
}

/* Ordinary ones, above 1, so small that products of them underflow, and both zeros. */
static float draw_weight(const struct draw *d, uint32_t style) {
    if (style == 0) return 1;
    if (style == 1 && chance(d, 5)) return chance(d, 50) ? 1e-30f : 1e-20f;
    if (chance(d, 10)) return chance(d, 50) ? 0.0f : -0.0f;
    return 1.0f / 64 + (style == 2 ? 3 : 0.4f) * (1 + case_random_float(d->random));
}

static void draw_weights(const struct draw *d, struct attn_mask_node *leaf) {
    static const uint8_t densities[] = {1, 5, 20, 40, 70, 100};
    const size_t rows = (size_t)leaf->batch * leaf->heads * d->p->q_len;
    const size_t count = leaf->kind == ATTN_MASK_DENSE ? rows * d->p->k_len : 0;
    const uint32_t density = PICK(d->random, densities), style = below(d, 4);
    if (leaf->kind == ATTN_MASK_CSR) draw_indices(d, leaf, rows, d->p->k_len, density);
    float *weights = array(d->arena, count ? count : leaf->indices_len, sizeof *weights);
    leaf->weights = leaf->kind == ATTN_MASK_CSR && chance(d, 40) ? NULL : weights;
    for (size_t n = 0; n < count; n++) weights[n] = chance(d, density) ? draw_weight(d, style) : 0;
    for (size_t n = 0; !count && n < leaf->indices_len; n++) weights[n] = draw_weight(d, style);
}

static void draw_leaf(const struct draw *d, struct attn_mask_node *leaf) {
    leaf->kind = (enum attn_mask_kind)below(d, ATTN_MASK_AND);
    leaf->batch = chance(d, 50) ? 1 : (uint32_t)d->p->batch;
    leaf->heads = leaf->kind < ATTN_MASK_BLOCKS ? below(d, d->p->heads + 1) : divisor(d, d->p->heads);
    switch (leaf->kind) {
    case ATTN_MASK_BAND: draw_band(d, leaf); break;
    case ATTN_MASK_COLUMNS: leaf->ends = drawn(d, leaf->batch, d->p->k_len); break;
    case ATTN_MASK_DOCUMENTS: draw_documents(d, leaf); break;
    case ATTN_MASK_BLOCKS: draw_blocks(d, leaf); break;
    case ATTN_MASK_BITS: draw_bits(d, leaf); break;
    case ATTN_MASK_DENSE:
    case ATTN_MASK_CSR: draw_weights(d, leaf); break;
    default: break;
    }
}

/* ---- programs ---- */

void program_draw(struct attn_problem *p, struct case_random *random, struct case_arena *arena) {
    const struct draw d = {p, random, arena};
    const uint32_t count = 1 + below(&d, PROGRAM_NODES);
    struct attn_mask_node *nodes = array(arena, count, sizeof *nodes);
    for (uint32_t n = 0; n < count; n++) {
        memset(&nodes[n], 0x5a, sizeof *nodes);
        nodes[n].left = n && chance(&d, 60) ? n - 1 : below(&d, n); /* most nodes count */
        nodes[n].right = below(&d, n);
        if (n == 0 || (n < count - 1 && chance(&d, 50)))
            draw_leaf(&d, &nodes[n]);
        else
            nodes[n].kind = (enum attn_mask_kind)(ATTN_MASK_AND + below(&d, 4));
    }
    p->sparse_mask = (struct attn_mask){nodes, count};
    p->weighting = chance(&d, 60) ? ATTN_WEIGHTING_MULTIPLY : ATTN_WEIGHTING_INVERSE;
    p->route = (enum attn_route)below(&d, 3);
}

/* ---- the same mask in other words ---- */

static void list_weights(const struct attn_problem *p, struct attn_mask_node *leaf, const float *weights,
                         struct case_arena *arena) {
    const size_t rows = p->batch * p->heads * p->q_len;
    size_t count = 0;
    for (size_t cell = 0; cell < rows * p->k_len; cell++) count += weights[cell] != 0;
    uint32_t *ptr = array(arena, rows + 1, sizeof *ptr), *indices = array(arena, count, sizeof *indices);
    float *values = array(arena, count, sizeof *values);
    uint32_t n = ptr[0] = 0;
    for (size_t cell = 0; cell < rows * p->k_len; cell++) {
        if (weights[cell] != 0) indices[n] = (uint32_t)(cell % p->k_len), values[n++] = weights[cell];
        ptr[cell / p->k_len + 1] = n;
    }
    leaf->ptr = ptr, leaf->indices = indices, leaf->indices_len = count, leaf->weights = values;
}

static void spell_bits(const struct attn_problem *p, struct attn_mask_node *leaf, const float *weights,
                       struct case_arena *arena) {
    const size_t words = (p->k_len + 127) / 128 * 4, rows = p->batch * p->heads * p->q_len;
    uint32_t *bits = array(arena, rows * words, sizeof *bits);
    for (size_t n = 0; n < rows * words * 32; n++) {
        const size_t j = n % (words * 32);
        const uint32_t bit = (uint32_t)1 << n % 32;
        if (j < p->k_len && weights[n / (words * 32) * p->k_len + j] == 0) bits[n / 32] &= ~bit; /* they were all 1 */
    }
    leaf->bits = bits;
}

struct attn_mask program_leaf(const struct attn_problem *p, enum attn_mask_kind kind, const float *weights,
                              int with_weights, struct case_arena *arena) {
    struct attn_mask_node *leaf = array(arena, 1, sizeof *leaf);
    *leaf = (struct attn_mask_node){.kind = kind, .batch = (uint32_t)p->batch, .heads = (uint32_t)p->heads};
    if (kind == ATTN_MASK_DENSE) leaf->weights = weights;
    if (kind == ATTN_MASK_CSR) list_weights(p, leaf, weights, arena);
    if (kind == ATTN_MASK_CSR && !with_weights) leaf->weights = NULL;
    if (kind == ATTN_MASK_BITS) spell_bits(p, leaf, weights, arena);
    return (struct attn_mask){leaf, 1};
}
