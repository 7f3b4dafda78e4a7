/* SPDX-License-Identifier: Apache-2.0
 *
 * mask_statuses.c - refusals of sparse masks, node by node and array by array, and of listed entries.
 */
#include "statuses.h"
#include "test.h"

static void test_bad_sparse_masks(struct fixture *f) {
    struct attn_mask_node *mask = f->nodes;
    REFUSES(VALUE, SPARSE_MASK, mask->kind = (enum attn_mask_kind)(ATTN_MASK_NOT + 1));
    REFUSES(VALUE, SPARSE_MASK, mask->kind = (enum attn_mask_kind) - 1);
    REFUSES(VALUE, SPARSE_MASK, f->problem.weighting = (enum attn_weighting)2);
    REFUSES(VALUE, SPARSE_MASK, f->problem.route = (enum attn_route)3);
    REFUSES(VALUE, SPARSE_MASK, f->problem.route = (enum attn_route) - 1);
    REFUSES(SHAPE, SPARSE_MASK, mask->batch = 0);
    REFUSES(SHAPE, SPARSE_MASK, mask->batch = 3);
    REFUSES(HEADS, SPARSE_MASK, mask->heads = 3);
    REFUSES(HEADS, SPARSE_MASK, mask->heads = 0);
    REFUSES(NULL, SPARSE_MASK, mask->ptr = NULL);
    REFUSES(NULL, SPARSE_MASK, mask->indices = NULL);
    REFUSES(NULL, SPARSE_MASK, mask->kind = ATTN_MASK_DENSE);
    REFUSES(INDEX, SPARSE_MASK, f->ptr[0] = 1);
    REFUSES(INDEX, SPARSE_MASK, f->ptr[2] = 1);          /* descends */
    REFUSES(INDEX, SPARSE_MASK, f->ptr[2] = UINT32_MAX); /* beyond the indices, then descends */
    REFUSES(INDEX, SPARSE_MASK, f->ptr[3] = 7);          /* beyond the indices */
    REFUSES(INDEX, SPARSE_MASK, f->ptr[3] = 5);          /* leaves one over */
    REFUSES(INDEX, SPARSE_MASK, mask->indices_len = 5);
    REFUSES(INDEX, SPARSE_MASK, f->indices[1] = 5); /* = k_len */
    REFUSES(INDEX, SPARSE_MASK, f->indices[5] = UINT32_MAX);
    REFUSES(INDEX, SPARSE_MASK, f->indices[1] = 0); /* repeated */
    REFUSES(INDEX, SPARSE_MASK, f->indices[3] = 2); /* repeated with the next, then out of order */
    REFUSES(INDEX, SPARSE_MASK, (f->indices[2] = 3, f->indices[5] = 0));
    REFUSES(INDEX, SPARSE_MASK, mask->indices_len = SIZE_MAX);
}

/* A node in place of the fixture's mask: taken as it is, refused after the change. */
#define NODE_REFUSES(status, node, change)                                                                             \
    do {                                                                                                               \
        fixture_init(f);                                                                                               \
        *mask = (struct attn_mask_node)node;                                                                           \
        takes(f, __LINE__);                                                                                            \
        change;                                                                                                        \
        refuses(f, ATTN_ERROR_##status, ATTN_FIELD_SPARSE_MASK, __LINE__);                                             \
    } while (0)

static void takes(const struct fixture *f, int line) {
    struct attn_plan plan;
    const enum attn_status status = attn_plan_init(&plan, &f->problem, &f->result);
    check(status == ATTN_OK, "line %d: status %d for %s before the change", line, status,
          attn_field_string(plan.field));
}

static void test_bad_ranges(struct fixture *f) {
    struct attn_mask_node *mask = f->nodes;
#define COLUMNS {.kind = ATTN_MASK_COLUMNS, .batch = 2, .heads = 3, .ends = f->bounds[1]}
    NODE_REFUSES(NULL, COLUMNS, mask->ends = NULL);
    NODE_REFUSES(SHAPE, COLUMNS, mask->batch = 0);
    NODE_REFUSES(SHAPE, COLUMNS, mask->batch = 3);
    NODE_REFUSES(SHAPE, COLUMNS, mask->batch = UINT32_MAX);
    NODE_REFUSES(INDEX, COLUMNS, f->bounds[1][1] = 6); /* 5 = k_len is the last end */
    NODE_REFUSES(INDEX, COLUMNS, f->bounds[1][0] = UINT32_MAX);
#undef COLUMNS
#define DOCUMENTS                                                                                                      \
    {.kind = ATTN_MASK_DOCUMENTS,                                                                                      \
     .batch = 2,                                                                                                       \
     .begins = f->bounds[0],                                                                                           \
     .ends = f->bounds[1],                                                                                             \
     .query_ids = f->ids,                                                                                              \
     .key_ids = f->ids}
    NODE_REFUSES(NULL, DOCUMENTS, mask->begins = NULL);
    NODE_REFUSES(NULL, DOCUMENTS, mask->ends = NULL);
    NODE_REFUSES(NULL, DOCUMENTS, mask->query_ids = NULL);
    NODE_REFUSES(NULL, DOCUMENTS, mask->key_ids = NULL);
    NODE_REFUSES(SHAPE, DOCUMENTS, mask->batch = 0);
    NODE_REFUSES(SHAPE, DOCUMENTS, mask->batch = 3);
    NODE_REFUSES(INDEX, DOCUMENTS, f->bounds[0][5] = 6);
    NODE_REFUSES(INDEX, DOCUMENTS, f->bounds[1][5] = 6);
    NODE_REFUSES(INDEX, DOCUMENTS, f->bounds[0][0] = UINT32_MAX);
#undef DOCUMENTS
}

static void test_bad_bits(struct fixture *f) {
    struct attn_mask_node *mask = f->nodes;
    static const uint32_t bits[2 * 4 * 3 * 4];
#define BITS {.kind = ATTN_MASK_BITS, .batch = 2, .heads = 4, .bits = bits}
    NODE_REFUSES(NULL, BITS, mask->bits = NULL);
    NODE_REFUSES(SHAPE, BITS, mask->batch = 4);
    NODE_REFUSES(HEADS, BITS, mask->heads = 3);
    NODE_REFUSES(HEADS, BITS, mask->heads = 0);
    NODE_REFUSES(HEADS, BITS, mask->heads = 8);
#undef BITS
#define DENSE {.kind = ATTN_MASK_DENSE, .batch = 1, .heads = 2, .weights = f->weights_in}
    NODE_REFUSES(NULL, DENSE, mask->weights = NULL);
    NODE_REFUSES(SHAPE, DENSE, mask->batch = 3);
    NODE_REFUSES(HEADS, DENSE, mask->heads = 3);
    NODE_REFUSES(HEADS, DENSE, mask->heads = UINT32_MAX);
#undef DENSE
}

/* Blocks of 2 x 3 over 3 x 5: two rows of blocks, and of two columns of them the last is cut off. */
static void test_bad_blocks(struct fixture *f) {
    struct attn_mask_node *mask = f->nodes;
    static const uint32_t good_ptr[] = {0, 2, 3}, good[] = {0, 1, 1}, descends[] = {0, 3, 2}, late[] = {1, 2, 3};
    static const uint32_t beyond[] = {0, 1, 2}, repeated[] = {1, 1, 1}, behind[] = {1, 0, 1}, short_ptr[] = {0, 1, 2};
#define BLOCKS                                                                                                         \
    {.kind = ATTN_MASK_BLOCKS,                                                                                         \
     .batch = 1,                                                                                                       \
     .heads = 1,                                                                                                       \
     .block_rows = 2,                                                                                                  \
     .block_columns = 3,                                                                                               \
     .ptr = good_ptr,                                                                                                  \
     .indices = good,                                                                                                  \
     .indices_len = 3}
    NODE_REFUSES(VALUE, BLOCKS, mask->block_rows = 0);
    NODE_REFUSES(VALUE, BLOCKS, mask->block_columns = 0);
    NODE_REFUSES(INDEX, BLOCKS, mask->block_columns = 5); /* one column of blocks */
    NODE_REFUSES(INDEX, BLOCKS, mask->block_columns = UINT32_MAX);
    NODE_REFUSES(INDEX, BLOCKS, mask->block_rows = 3); /* one row of blocks, which leaves an index over */
    NODE_REFUSES(NULL, BLOCKS, mask->ptr = NULL);
    NODE_REFUSES(NULL, BLOCKS, mask->indices = NULL);
    NODE_REFUSES(INDEX, BLOCKS, mask->ptr = descends);
    NODE_REFUSES(INDEX, BLOCKS, mask->ptr = late);
    NODE_REFUSES(INDEX, BLOCKS, mask->ptr = short_ptr);
    NODE_REFUSES(INDEX, BLOCKS, mask->indices_len = 2);
    NODE_REFUSES(INDEX, BLOCKS, mask->indices = beyond);
    NODE_REFUSES(INDEX, BLOCKS, mask->indices = repeated);
    NODE_REFUSES(INDEX, BLOCKS, mask->indices = behind);
    NODE_REFUSES(SHAPE, BLOCKS, mask->batch = 3);
    NODE_REFUSES(HEADS, BLOCKS, mask->heads = 0);
    NODE_REFUSES(HEADS, BLOCKS, mask->heads = 3);
#undef BLOCKS
}

static void test_bad_programs(struct fixture *f) {
    struct attn_mask *mask = &f->problem.sparse_mask;
    struct attn_mask_node *last = &f->nodes[1];
    REFUSES(NULL, SPARSE_MASK, mask->nodes = NULL);
    REFUSES(SIZE, SPARSE_MASK, mask->count = SIZE_MAX);
    REFUSES(SIZE, SPARSE_MASK, (mask->nodes = NULL, mask->count = ATTN_MASK_NODES + 1));
    fixture_init(f);
    mask->count = ATTN_MASK_NODES; /* the others are FULL */
    takes(f, __LINE__);
    REFUSES(SIZE, SPARSE_MASK, mask->count = ATTN_MASK_NODES + 1);
    for (enum attn_mask_kind kind = ATTN_MASK_AND; kind <= ATTN_MASK_NOT; kind++) {
        REFUSES(INDEX, SPARSE_MASK, f->nodes[0] = (struct attn_mask_node){.kind = kind}); /* there is none before it */
        REFUSES(INDEX, SPARSE_MASK, (mask->count = 2, *last = (struct attn_mask_node){.kind = kind, .left = 1}));
        REFUSES(INDEX, SPARSE_MASK, (mask->count = 3, *last = (struct attn_mask_node){.kind = kind, .left = 2}));
        REFUSES(INDEX, SPARSE_MASK,
                (mask->count = 2, *last = (struct attn_mask_node){.kind = kind, .left = UINT32_MAX}));
        const struct attn_mask_node right = {.kind = kind, .right = 1};
        if (kind != ATTN_MASK_NOT) REFUSES(INDEX, SPARSE_MASK, (mask->count = 2, *last = right));
        fixture_init(f);
        mask->count = 2, *last = (struct attn_mask_node){.kind = kind, .right = kind == ATTN_MASK_NOT ? 7 : 0};
        takes(f, __LINE__);
    }
    /* a leaf that the last node does not read is looked at too */
    REFUSES(NULL, SPARSE_MASK, (mask->count = 3, last->kind = ATTN_MASK_BITS, last->batch = last->heads = 1));
}

static void test_bad_entries(struct fixture *f) {
    struct attn_problem *p = &f->problem;
    struct attn_result *r = &f->result;
    uint32_t ptr[2 * 4 * 3 + 1], indices[2 * 4 * 6];
    REFUSES(NULL, WEIGHTS, r->entry_ptr = NULL);
    REFUSES(INDEX, WEIGHTS, f->entry_ptr[0] = 1);
    REFUSES(INDEX, WEIGHTS, f->entry_ptr[0] = UINT32_MAX);
    REFUSES(INDEX, WEIGHTS, f->entry_ptr[24] = f->entry_ptr[23] - 1);
    REFUSES(INDEX, WEIGHTS, f->entry_ptr[7] = UINT32_MAX);
    REFUSES(SHAPE, WEIGHTS, (r->weights = r->scores = NULL, r->row_end = 4));
    REFUSES(SHAPE, WEIGHTS, (r->weights = r->scores = NULL, r->column_begin = 6));
    fixture_init(f);
    CHECK(attn_list_entries(NULL, r, ptr, NULL) == ATTN_ERROR_NULL);
    CHECK(attn_list_entries(p, NULL, ptr, NULL) == ATTN_ERROR_NULL);
    CHECK(attn_list_entries(p, r, NULL, NULL) == ATTN_ERROR_NULL);
    CHECK(attn_list_entries(p, r, NULL, indices) == ATTN_ERROR_NULL);
    r->weights = r->scores = r->entry_weights = NULL;
    CHECK(attn_list_entries(p, r, ptr, NULL) == ATTN_OK && memcmp(ptr, f->entry_ptr, sizeof ptr) == 0);
    CHECK(attn_list_entries(p, r, ptr, indices) == ATTN_OK && memcmp(indices, f->indices, sizeof f->indices) == 0);
    memset(ptr, 0xa5, sizeof ptr);
    r->row_end = 4;
    CHECK(attn_list_entries(p, r, ptr, NULL) == ATTN_ERROR_SHAPE);
    r->row_end = 3, r->column_end = 6;
    CHECK(attn_list_entries(p, r, ptr, NULL) == ATTN_ERROR_SHAPE);
    r->column_end = 5, f->indices[1] = 5;
    CHECK(attn_list_entries(p, r, ptr, NULL) == ATTN_ERROR_INDEX);
    CHECK(ptr[0] == 0xa5a5a5a5 && ptr[24] == 0xa5a5a5a5 && untouched(f));
}

void test_bad_masks(struct fixture *f) {
    test_bad_sparse_masks(f);
    test_bad_ranges(f);
    test_bad_bits(f);
    test_bad_blocks(f);
    test_bad_programs(f);
    test_bad_entries(f);
}
