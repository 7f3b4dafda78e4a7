/* SPDX-License-Identifier: Apache-2.0
 *
 * coarse.h - rows of 8 bits, for finding the largest of many dot products without reading all that they are made of. A
 * row r is kept as codes c and a scale s, r ~ s c; with q rounded likewise to 16 bits, |q.r - approximation| is at most
 *     s / 2 sum |q_d|  +  step of q / 2 sum |s c_d|  +  what float32 rounds.
 * So a dot product has bounds, and only rows that may be among the k largest by theirs have to be looked at exactly.
 */
#ifndef ATTN_COARSE_H
#define ATTN_COARSE_H

#include <stddef.h>
#include <stdint.h>

struct attn_coarse_row {
    float scale; /* of an infinite row, or one with a NaN: infinity, which makes its bounds infinite */
    float norm;  /* sum |scale * code| */
    float unused[2];
    int8_t codes[]; /* up to a multiple of 16, zeros beyond dim */
};

/* A query rounded to 16 bits; its codes, up to a multiple of 16, lie in room of the caller's. */
struct attn_coarse_query {
    const int16_t *codes;
    float step, norm; /* norm: sum |q_d| */
};

static inline size_t attn_coarse_padded(size_t dim) { return (dim + 15) & ~(size_t)15; }
static inline size_t attn_coarse_bytes(size_t dim) { return sizeof(struct attn_coarse_row) + attn_coarse_padded(dim); }

void attn_coarse_write(struct attn_coarse_row *row, const float *values, size_t dim);

struct attn_coarse_query attn_coarse_query(int16_t *codes, const float *values, size_t dim);

/* Bounds of the dot products of a query with rows that stand `stride` bytes apart, as float32 arithmetic gives them. */
void attn_coarse_bounds(float *lower, float *upper, const struct attn_coarse_query *query, const void *rows,
                        size_t stride, size_t count, size_t dim);

#endif
