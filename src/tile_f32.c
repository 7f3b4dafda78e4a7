/* SPDX-License-Identifier: Apache-2.0
 *
 * tile_f32.c - see tile.h. 4 x 8 is what the eight accumulators, the two panel vectors and a broadcast leave
 * room for in sixteen registers.
 */
#include "tile.h"

#include "vec.h"

void attn_tile_f32_4x8(float *c, size_t c_stride, const float *a, size_t a_stride, const float *b, size_t b_stride,
                       size_t depth, size_t panels, int accumulate) {
    const float *a0 = a, *a1 = a + a_stride, *a2 = a + 2 * a_stride, *a3 = a + 3 * a_stride;
    for (size_t panel = 0; panel < panels; panel++, c += ATTN_PANEL, b += b_stride) {
        const float *row = b;
        vec s00, s01, s10, s11, s20, s21, s30, s31;
        s00 = s01 = s10 = s11 = s20 = s21 = s30 = s31 = vec_splat(0);
        /* not unrolled: the engines then load everything first, and spill */
        for (size_t k = 0; k < depth; k++, row += ATTN_PANEL) {
            vec b0 = vec_load(row), b1 = vec_load(row + 4), x;
            x = vec_splat(a0[k]), s00 = vec_madd(x, b0, s00), s01 = vec_madd(x, b1, s01);
            x = vec_splat(a1[k]), s10 = vec_madd(x, b0, s10), s11 = vec_madd(x, b1, s11);
            x = vec_splat(a2[k]), s20 = vec_madd(x, b0, s20), s21 = vec_madd(x, b1, s21);
            x = vec_splat(a3[k]), s30 = vec_madd(x, b0, s30), s31 = vec_madd(x, b1, s31);
        }
        float *c0 = c, *c1 = c + c_stride, *c2 = c + 2 * c_stride, *c3 = c + 3 * c_stride;
        if (accumulate) {
            s00 = vec_add(vec_load(c0), s00), s01 = vec_add(vec_load(c0 + 4), s01);
            s10 = vec_add(vec_load(c1), s10), s11 = vec_add(vec_load(c1 + 4), s11);
            s20 = vec_add(vec_load(c2), s20), s21 = vec_add(vec_load(c2 + 4), s21);
            s30 = vec_add(vec_load(c3), s30), s31 = vec_add(vec_load(c3 + 4), s31);
        }
        vec_store(c0, s00), vec_store(c0 + 4, s01);
        vec_store(c1, s10), vec_store(c1 + 4, s11);
        vec_store(c2, s20), vec_store(c2 + 4, s21);
        vec_store(c3, s30), vec_store(c3 + 4, s31);
    }
}

void attn_tile_f32_1x8_kept(float *c, const float *a, const uint8_t *keep, const float *b, size_t depth,
                            size_t panels) {
    for (size_t panel = 0; panel < panels; panel++, c += ATTN_PANEL) {
        vec s0 = vec_splat(0), s1 = s0;
        for (size_t k = 0; k < depth; k++, b += ATTN_PANEL) {
            if (!keep[k]) continue;
            vec x = vec_splat(a[k]);
            s0 = vec_madd(x, vec_load(b), s0);
            s1 = vec_madd(x, vec_load(b + 4), s1);
        }
        vec_store(c, vec_add(vec_load(c), s0)), vec_store(c + 4, vec_add(vec_load(c + 4), s1));
    }
}

void attn_tile_f32_scale(float *row, size_t count, float factor) {
    /* adding +0 turns a -0 that underflow left into +0: then a masked key's 0 * v cannot show as a sign */
    for (size_t i = 0; i < count; i += 4) {
        vec_store(row + i, vec_add(vec_mul(vec_load(row + i), vec_splat(factor)), vec_splat(0)));
    }
}

void attn_pack_keys_f32(float *panel, const float *const rows[ATTN_PANEL], size_t depth) {
    size_t k = 0;
    for (; k + 4 <= depth; k += 4, panel += 4 * ATTN_PANEL) {
        for (size_t half = 0; half < ATTN_PANEL; half += 4) {
            vec v[4];
            for (size_t c = 0; c < 4; c++) v[c] = vec_load(rows[half + c] + k);
            vec_transpose(v);
            for (size_t c = 0; c < 4; c++) vec_store(panel + c * ATTN_PANEL + half, v[c]);
        }
    }
    for (; k < depth; k++, panel += ATTN_PANEL) {
        for (size_t c = 0; c < ATTN_PANEL; c++) panel[c] = rows[c][k];
    }
}

float attn_pack_values_f32(float *panels, const float *row, size_t count, size_t key, size_t depth) {
    vec zero = vec_splat(0), poison = zero;
    float *entry = panels + key * ATTN_PANEL;
    size_t i = 0;
    for (; i + ATTN_PANEL <= count; i += ATTN_PANEL, entry += depth * ATTN_PANEL) {
        vec low = vec_load(row + i), high = vec_load(row + i + 4);
        poison = vec_madd(low, zero, poison), poison = vec_madd(high, zero, poison);
        vec_store(entry, low), vec_store(entry + 4, high);
    }
    float tail = 0;
    for (size_t c = 0; i < count && c < ATTN_PANEL; c++) {
        entry[c] = i + c < count ? row[i + c] : 0;
        tail += entry[c] * 0;
    }
    return vec_sum(poison) + tail;
}
