/* SPDX-License-Identifier: Apache-2.0
 *
 * pack.c - see pack.h.
 */
#include "pack.h"

#include "vec.h"

#define UNROLL _Pragma("unroll")

void attn_pack_four_f32(float *packed, size_t step, const float *const rows[4], size_t depth) {
    size_t k = 0;
    for (; k + 4 <= depth; k += 4, packed += 4 * step) {
        vec v[4];
        UNROLL for (size_t c = 0; c < 4; c++) v[c] = vec_load(rows[c] + k);
        vec_transpose(v);
        UNROLL for (size_t c = 0; c < 4; c++) vec_store(packed + c * step, v[c]);
    }
    for (; k < depth; k++, packed += step) {
        for (size_t c = 0; c < 4; c++) packed[c] = rows[c][k];
    }
}

void attn_pack_columns_f32(float *panel, const float *const rows[ATTN_PANEL], size_t depth) {
    for (size_t c = 0; c < ATTN_PANEL; c += 4) attn_pack_four_f32(panel + c, ATTN_PANEL, rows + c, depth);
}

void attn_pack_row_f32(float *panels, size_t row_stride, size_t panel_stride, size_t row, const float *source,
                       size_t count) {
    float *entry = panels + row * row_stride;
    size_t i = 0;
    for (; i + ATTN_PANEL <= count; i += ATTN_PANEL, entry += panel_stride) {
        vec_store(entry, vec_load(source + i)), vec_store(entry + 4, vec_load(source + i + 4));
    }
    if (i == count) return;
    for (size_t c = 0; c < ATTN_PANEL; c++) entry[c] = i + c < count ? source[i + c] : 0;
}

void attn_copy_f32(float *destination, const float *source, size_t count) {
    size_t i = 0;
    for (; i + 4 <= count; i += 4) vec_store(destination + i, vec_load(source + i));
    for (; i < count; i++) destination[i] = source[i];
}

void attn_clear_f32(float *destination, size_t count) {
    size_t i = 0;
    for (; i + 4 <= count; i += 4) vec_store(destination + i, vec_splat(0));
    for (; i < count; i++) destination[i] = 0;
}
