/* SPDX-License-Identifier: Apache-2.0
 *
 * tile_f32.c - see tile.h. A register tile holds eight or more vectors of sums, enough to hide the latency of the
 * additions; with the vectors of a panel and a broadcast they just fit into sixteen registers.
 */
#include "tile.h"

#include "vec.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("unroll")
#define MAX_SUMS 12

/* One register tile; `rows` and `wide`, its panels, are constants at each call, and the sums become registers. The
 * loop over k stays rolled: unrolled, the engines load everything first, and spill. */
INLINE void multiply_tile(const size_t rows, const size_t wide, float *c, size_t c_stride, const float *rescale,
                          const float *a, size_t a_stride, struct attn_panels b, size_t depth, size_t block) {
    size_t k = 0;
    do {
        const float *row = b.data + k * b.row_stride;
        vec sums[MAX_SUMS][2];
        UNROLL for (size_t i = 0; i < rows * wide; i++) sums[i][0] = sums[i][1] = vec_splat(0);
        for (size_t end = k + block < depth ? k + block : depth; k < end; k++, row += b.row_stride) {
            UNROLL for (size_t w = 0; w < wide; w++) {
                vec low = vec_load(row + w * b.panel_stride), high = vec_load(row + w * b.panel_stride + 4);
                UNROLL for (size_t r = 0; r < rows; r++) {
                    vec x = vec_splat(a[r * a_stride + k]), *sum = sums[r * wide + w];
                    sum[0] = vec_madd(x, low, sum[0]), sum[1] = vec_madd(x, high, sum[1]);
                    vec_settle(&sum[0], &sum[1]);
                }
            }
        }
        int adds = k > block;
        UNROLL for (size_t r = 0; r < rows; r++) {
            UNROLL for (size_t w = 0; w < wide; w++) {
                float *entry = c + r * c_stride + w * ATTN_PANEL;
                vec *sum = sums[r * wide + w];
                if (adds) {
                    sum[0] = vec_add(vec_load(entry), sum[0]), sum[1] = vec_add(vec_load(entry + 4), sum[1]);
                } else if (rescale) {
                    vec factor = vec_splat(rescale[r]);
                    sum[0] = vec_add(vec_mul(vec_load(entry), factor), sum[0]);
                    sum[1] = vec_add(vec_mul(vec_load(entry + 4), factor), sum[1]);
                }
                vec_store(entry, sum[0]), vec_store(entry + 4, sum[1]);
            }
        }
    } while (k < depth);
}

/* Register tiles of one size over as many panels as they fill; returns how many. */
INLINE size_t multiply_row_of_tiles(const size_t rows, const size_t wide, float *c, size_t c_stride,
                                    const float *rescale, const float *a, size_t a_stride, struct attn_panels b,
                                    size_t panels, size_t depth, size_t block) {
    size_t done = 0;
    for (; done + wide <= panels; done += wide, c += wide * ATTN_PANEL, b.data += wide * b.panel_stride) {
        multiply_tile(rows, wide, c, c_stride, rescale, a, a_stride, b, depth, block);
    }
    return done;
}

void attn_tile_f32_multiply(float *c, size_t c_stride, const float *rescale, const float *a, size_t a_stride,
                            size_t rows, struct attn_panels b, size_t panels, size_t depth, size_t block) {
    /* of each size, its rows x panels; the second where the first leaves panels over */
#define TILES(ROWS, WIDE)                                                                                              \
    if (rows >= (ROWS)) {                                                                                              \
        size_t done = multiply_row_of_tiles(ROWS, WIDE, c, c_stride, rescale, a, a_stride, b, panels, depth, block);   \
        if ((WIDE) > 1) {                                                                                              \
            struct attn_panels rest = {b.data + done * b.panel_stride, b.row_stride, b.panel_stride};                  \
            multiply_row_of_tiles(ROWS, 1, c + done * ATTN_PANEL, c_stride, rescale, a, a_stride, rest, panels - done, \
                                  depth, block);                                                                       \
        }                                                                                                              \
        rows -= (ROWS), a += (ROWS)*a_stride, c += (ROWS)*c_stride;                                                    \
        if (rescale) rescale += (ROWS);                                                                                \
        continue;                                                                                                      \
    }
    while (rows) {
        TILES(VEC_TILE_ROWS, 1)
        TILES(4, 1)
        TILES(3, 1)
        TILES(2, 2)
        TILES(1, 4)
    }
#undef TILES
}

void attn_tile_f32_multiply_kept(float *c, float rescale, const float *a, const uint8_t *keep, struct attn_panels b,
                                 size_t panels, size_t depth) {
    vec factor = vec_splat(rescale);
    for (size_t panel = 0; panel < panels; panel++, c += ATTN_PANEL, b.data += b.panel_stride) {
        vec low = vec_splat(0), high = low;
        for (size_t k = 0; k < depth; k++) {
            if (!keep[k]) continue;
            vec x = vec_splat(a[k]);
            low = vec_madd(x, vec_load(b.data + k * b.row_stride), low);
            high = vec_madd(x, vec_load(b.data + k * b.row_stride + 4), high);
        }
        vec_store(c, vec_add(vec_mul(vec_load(c), factor), low));
        vec_store(c + 4, vec_add(vec_mul(vec_load(c + 4), factor), high));
    }
}

/* One to three floats, then zeros. */
INLINE vec load_part(const float *p, size_t count) {
    return vec_load((const float[4]){p[0], count > 1 ? p[1] : 0, count > 2 ? p[2] : 0, 0});
}

/* Dot products of `rows` rows of A with four rows of B, `together` of them at a time. */
INLINE void dot_tile(const size_t rows, const size_t together, float *c, size_t c_stride, const float *a,
                     size_t a_stride, const float *const b[4], size_t depth) {
    vec sums[4][4]; /* [row][column] */
    UNROLL for (size_t j = 0; j < 4; j += together) {
        UNROLL for (size_t r = 0; r < rows; r++) {
            UNROLL for (size_t i = 0; i < together; i++) sums[r][j + i] = vec_splat(0);
        }
        for (size_t k = 0; k + 4 <= depth; k += 4) {
            vec column[4];
            UNROLL for (size_t i = 0; i < together; i++) column[i] = vec_load(b[j + i] + k);
            UNROLL for (size_t r = 0; r < rows; r++) {
                vec x = vec_load(a + r * a_stride + k), *sum = sums[r] + j;
                UNROLL for (size_t i = 0; i < together; i += 2) {
                    sum[i] = vec_madd(x, column[i], sum[i]), sum[i + 1] = vec_madd(x, column[i + 1], sum[i + 1]);
                    vec_settle(&sum[i], &sum[i + 1]);
                }
            }
        }
    }
    if (depth % 4) {
        size_t k = depth - depth % 4;
        UNROLL for (size_t j = 0; j < 4; j++) {
            vec column = load_part(b[j] + k, depth - k);
            UNROLL for (size_t r = 0; r < rows; r++) {
                sums[r][j] = vec_madd(load_part(a + r * a_stride + k, depth - k), column, sums[r][j]);
            }
        }
    }
    UNROLL for (size_t r = 0; r < rows; r++) vec_store(c + r * c_stride, vec_sum_each(sums[r]));
}

void attn_tile_f32_dot(float *c, size_t c_stride, const float *a, size_t a_stride, size_t rows, const float *b,
                       size_t b_stride, size_t count, size_t depth) {
    for (size_t j = 0; j < count; j += 4) {
        const float *columns[4];
        /* columns beyond the last repeat it: nothing else is sure to be there */
        for (size_t i = 0; i < 4; i++) columns[i] = b + (j + i < count ? j + i : count - 1) * b_stride;
        size_t r = 0;
        for (; r + 4 <= rows; r += 4) {
            dot_tile(4, 2, c + r * c_stride + j, c_stride, a + r * a_stride, a_stride, columns, depth);
        }
        float *rest = c + r * c_stride + j;
        const float *rest_a = a + r * a_stride;
        switch (rows - r) {
        case 3: dot_tile(3, 2, rest, c_stride, rest_a, a_stride, columns, depth); break;
        case 2: dot_tile(2, 4, rest, c_stride, rest_a, a_stride, columns, depth); break;
        case 1: dot_tile(1, 4, rest, c_stride, rest_a, a_stride, columns, depth); break;
        default: break;
        }
    }
}

void attn_pack_columns_f32(float *panel, const float *const rows[ATTN_PANEL], size_t depth) {
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

int attn_tile_f32_is_finite(struct attn_panels b, size_t panels, size_t rows) {
    const vec zero = vec_splat(0);
    vec poison = zero;
    for (size_t panel = 0; panel < panels; panel++, b.data += b.panel_stride) {
        for (size_t row = 0; row < rows; row++) {
            poison = vec_madd(vec_load(b.data + row * b.row_stride), zero, poison);
            poison = vec_madd(vec_load(b.data + row * b.row_stride + 4), zero, poison);
        }
    }
    return vec_sum(poison) == 0; /* infinity * 0 and NaN * 0 are NaN, and stay so */
}
