/* SPDX-License-Identifier: Apache-2.0
 *
 * tile.h - the kernels. A tile is dense arithmetic on packed panels; which keys take part was decided before.
 *
 * A panel holds 8 columns of a matrix with `depth` rows: element (row, column) at row * 8 + column. Keys are
 * packed transposed (rows = dim, columns = keys), values as they are (rows = keys, columns = value_dim), so one
 * multiplication kernel serves QK^T and PV.
 */
#ifndef ATTN_TILE_H
#define ATTN_TILE_H

#include <stddef.h>
#include <stdint.h>

#define ATTN_TILE_ROWS 4 /* query rows of the register tile */
#define ATTN_PANEL 8     /* columns of a panel */

/* C [4, panels * 8] = A [4, depth] * B (accumulate: C += ...). Each element sums over depth in ascending order, from
 * zero: a sum over several calls is a sum of blocks, which loses less than one long sum. Strides in elements,
 * b_stride from panel to panel. */
void attn_tile_f32_4x8(float *c, size_t c_stride, const float *a, size_t a_stride, const float *b, size_t b_stride,
                       size_t depth, size_t panels, int accumulate);

/* One row of the same, C += A * B, over the rows k of B with keep[k] alone: what is not kept is never multiplied,
 * not even by 0. Same bits as attn_tile_f32_4x8 where the rest is finite. */
void attn_tile_f32_1x8_kept(float *c, const float *a, const uint8_t *keep, const float *b, size_t depth, size_t panels);

/* Row of `count` floats times a factor. */
void attn_tile_f32_scale(float *row, size_t count, float factor);

/* One panel of keys: column c is rows[c], of `depth` floats. */
void attn_pack_keys_f32(float *panel, const float *const rows[ATTN_PANEL], size_t depth);

/* Key `key` of `depth` into every panel of values, `count` floats padded with zeros to whole panels.
 * Returns 0 if all are finite, NaN otherwise. */
float attn_pack_values_f32(float *panels, const float *row, size_t count, size_t key, size_t depth);

#endif
