/* SPDX-License-Identifier: Apache-2.0
 *
 * pack.h - float32 rows laid out in panels, as the kernels read them fastest.
 */
#ifndef ATTN_PACK_H
#define ATTN_PACK_H

#include "tile.h"

/* Four rows of `depth` floats transposed: row c's k-th at packed[k * step + c]. */
void attn_pack_four_f32(float *packed, size_t step, const float *const rows[4], size_t depth);

/* One packed panel of a transposed matrix: column c is rows[c], of `depth` floats. */
void attn_pack_columns_f32(float *panel, const float *const rows[ATTN_PANEL], size_t depth);

/* Row `row` of a matrix in panels, `count` floats, the last panel filled up with zeros. */
void attn_pack_row_f32(float *panels, size_t row_stride, size_t panel_stride, size_t row, const float *source,
                       size_t count);

void attn_copy_f32(float *destination, const float *source, size_t count);
void attn_clear_f32(float *destination, size_t count);

#endif
