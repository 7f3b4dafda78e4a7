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

/* A matrix in panels of 8 columns: element (row, column) at (column / 8) * panel_stride + row * row_stride +
 * column % 8. Packed panels are contiguous (row_stride = 8); a matrix in place has panel_stride = 8. */
struct attn_panels {
    const float *data;
    size_t row_stride, panel_stride;
};

/* C [rows, panels * 8] = A [rows, depth] * B, or where rescale is not NULL C = rescale[row] * C + A * B. Each element
 * is a sum of sums of `block` products in ascending order: blocks lose less than one long sum. An element's bits do
 * not depend on rows and panels. Strides in elements. */
void attn_tile_f32_multiply(float *c, size_t c_stride, const float *rescale, const float *a, size_t a_stride,
                            size_t rows, struct attn_panels b, size_t panels, size_t depth, size_t block);

/* One row of C = rescale * C + A * B over the rows k of B with keep[k] alone: what is not kept is never multiplied,
 * not even by 0. Same bits as attn_tile_f32_multiply (in one block) where the rest is finite. */
void attn_tile_f32_multiply_kept(float *c, float rescale, const float *a, const uint8_t *keep, struct attn_panels b,
                                 size_t panels, size_t depth);

/* C [rows, count] = A [rows, depth] * B^T, where row j of B stands at b + j * b_stride; C is written up to a multiple
 * of 4 columns. Each element is a sum of four interleaved sums. */
void attn_tile_f32_dot(float *c, size_t c_stride, const float *a, size_t a_stride, size_t rows, const float *b,
                       size_t b_stride, size_t count, size_t depth);

/* One packed panel of a transposed matrix: column c is rows[c], of `depth` floats. */
void attn_pack_columns_f32(float *panel, const float *const rows[ATTN_PANEL], size_t depth);

/* Row `row` of a matrix in panels, `count` floats, the last panel filled up with zeros. */
void attn_pack_row_f32(float *panels, size_t row_stride, size_t panel_stride, size_t row, const float *source,
                       size_t count);

void attn_copy_f32(float *destination, const float *source, size_t count);
void attn_clear_f32(float *destination, size_t count);

/* Whether all of [rows, panels * 8] is finite. */
int attn_tile_f32_is_finite(struct attn_panels b, size_t panels, size_t rows);

#endif
