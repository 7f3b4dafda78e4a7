/* SPDX-License-Identifier: Apache-2.0
 *
 * tile.h - the kernels: dense arithmetic on a few rows of queries and a tile of keys and values. Which keys take
 * part was decided before.
 */
#ifndef ATTN_TILE_H
#define ATTN_TILE_H

#include <stddef.h>
#include <stdint.h>

#define ATTN_PANEL 8 /* columns of a panel */

/* A float32 matrix in panels of 8 columns: element (row, column) at (column / 8) * panel_stride + row * row_stride +
 * column % 8. Packed panels are contiguous (row_stride = 8); a matrix in place has panel_stride = 8. */
struct attn_panels {
    const float *data;
    size_t row_stride, panel_stride; /* in elements */
};

/* A matrix of any type by its rows, each wherever its address says: element (row, column) at (column / 8) * panel_stride
 * + column % 8 from there on. */
struct attn_listed {
    const void *const *rows;
    size_t panel_stride; /* in elements: 8, unless the rows are those of packed panels */
};

/* C [rows, panels * 8] = A [rows, depth] * B, or where rescale is not NULL C = rescale[row] * C + A * B; all float32,
 * strides in elements. Each element is a sum of sums of `first_block`, then of `block` products each, in ascending order:
 * blocks lose less than one long sum. An element's bits do not depend on rows and panels. */
void attn_tile_multiply(float *c, size_t c_stride, const float *rescale, const float *a, size_t a_stride, size_t rows,
                        struct attn_panels b, size_t panels, size_t depth, size_t first_block, size_t block);

/* The kernels for one element type of B; A and C are float32. */
struct attn_tile_kernels {
    /* The same as attn_tile_multiply, to the bit, where row k of B [depth, panels * 8] stands at b[k]. */
    void (*multiply)(float *c, size_t c_stride, const float *rescale, const float *a, size_t a_stride, size_t rows,
                     const void *const *b, size_t panels, size_t depth, size_t first_block, size_t block);

    /* One row of C = rescale * C + A * B over the rows k of B with keep[k] alone: what is not kept is never multiplied,
     * not even by 0. Same bits as multiply in one block, where the rest is finite. */
    void (*multiply_kept)(float *c, float rescale, const float *a, const uint8_t *keep, struct attn_listed b,
                          size_t panels, size_t depth);

    /* C [rows, count] = A [rows, depth] * B^T, where row j of B stands at b[j]; C is written up to a multiple of 4
     * columns. Each element is a sum of four interleaved sums. */
    void (*dot)(float *c, size_t c_stride, const float *a, size_t a_stride, size_t rows, const void *const *b,
                size_t count, size_t depth);

    /* Whether all of B [rows, panels * 8] is finite. */
    int (*is_finite)(struct attn_listed b, size_t panels, size_t rows);
};

/* All there are: float32, float16, bfloat16. */
#define ATTN_TILE_TYPES(X) X(f32) X(f16) X(bf16)

#define ATTN_DECLARE_KERNELS(type)                                                                                     \
    void attn_tile_##type##_multiply(float *, size_t, const float *, const float *, size_t, size_t,                    \
                                     const void *const *, size_t, size_t, size_t, size_t);                             \
    void attn_tile_##type##_multiply_kept(float *, float, const float *, const uint8_t *, struct attn_listed, size_t,  \
                                          size_t);                                                                     \
    void attn_tile_##type##_dot(float *, size_t, const float *, size_t, size_t, const void *const *, size_t, size_t);  \
    int attn_tile_##type##_is_finite(struct attn_listed, size_t, size_t);
ATTN_TILE_TYPES(ATTN_DECLARE_KERNELS)
#undef ATTN_DECLARE_KERNELS

/* Of each dtype. */
extern const struct attn_tile_kernels attn_tile_kernels[];

#endif
