/* SPDX-License-Identifier: Apache-2.0
 *
 * statuses.h - a problem to spoil, and how it must then be refused.
 */
#ifndef ATTN_TESTS_STATUSES_H
#define ATTN_TESTS_STATUSES_H

#include "attn.h"

/* A problem that uses every field, and results of every kind. */
struct fixture {
    struct attn_problem problem;
    struct attn_result result;
    float queries[2 * 4 * 3 * 4], keys[2 * 2 * 5 * 4], values[2 * 1 * 5 * 2], mask[3 * 5], slopes[4], sinks[4];
    int32_t query_offsets[2], key_lengths[2];
    uint32_t ptr[3 + 1], indices[6];
    float weights_in[2 * 4 * 3 * 5];
    uint8_t dropout_mask_in[5];
    uint32_t bounds[2][2 * 3], entry_ptr[2 * 4 * 3 + 1];
    int32_t ids[2 * 5];
    struct attn_mask_node nodes[ATTN_MASK_NODES + 1];
    float output[2 * 3 * 4 * 2], numerator[2 * 4 * 3 * 2], rows[3][2 * 4 * 3], weights[2 * 4 * 3 * 5];
    float scores[2 * 4 * 3 * 5], entry_weights[2 * 4 * (2 + 4)];
    uint8_t dropout_mask[2 * 4 * 3 * 5];
};

void fixture_init(struct fixture *f);

/* Whether no result was written. */
int untouched(const struct fixture *f);

/* The problem must be refused with that status for that field, and no result be written. */
void refuses(const struct fixture *f, enum attn_status status, enum attn_field field, int line);

/* The same of the fixture after a change. */
#define REFUSES(status, field, change)                                                                                 \
    do {                                                                                                               \
        fixture_init(f);                                                                                               \
        change;                                                                                                        \
        refuses(f, ATTN_ERROR_##status, ATTN_FIELD_##field, __LINE__);                                                 \
    } while (0)

/* Those of sparse masks and listed entries. */
void test_bad_masks(struct fixture *f);

#endif
