/* SPDX-License-Identifier: Apache-2.0
 *
 * tile_kernels.h - the kernels of tile.h for one element type of B; tile_<type>.c defines, and then includes this:
 *
 *     KERNEL(name)     attn_tile_<type>_name
 *     ELEMENT          the type
 *     LOAD_FOUR        reads four of them as float32
 *
 * A register tile holds eight or more vectors of sums, enough to hide the latency of the additions; with the vectors
 * of a panel and a broadcast they just fit into sixteen registers.
 */
#include "pack.h"
#include "tile.h"
#include "vec.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("unroll")
#define MAX_SUMS 6

/* Rows of A as a register tile reads them: row r of term k at data[r * row_stride + k * step]. */
struct factors {
    const float *data;
    size_t row_stride, step;
};

/* B: in panels, or by its rows, whose panels stand side by side. */
struct matrix {
    struct attn_panels panels;
    const void *const *rows;
    size_t offset; /* in elements, from the rows' addresses on */
};

/* The sums of a register tile over terms [k, end). The loop stays rolled: unrolled, the engines load everything
 * first, and spill. */
INLINE void sum_tile(const size_t rows, const size_t wide, const int is_listed, vec sums[MAX_SUMS][2], struct factors a,
                     struct matrix b, size_t k, size_t end) {
    const size_t panel_stride = is_listed ? ATTN_PANEL : b.panels.panel_stride;
    const ELEMENT *row = is_listed ? NULL : (const void *)(b.panels.data + k * b.panels.row_stride);
    UNROLL for (size_t i = 0; i < rows * wide; i++) sums[i][0] = sums[i][1] = vec_splat(0);
    for (; k < end; k++, row = is_listed ? NULL : row + b.panels.row_stride) {
        const float *term = a.data + k * a.step;
        if (is_listed) row = (const ELEMENT *)b.rows[k] + b.offset;
        row = vec_base(row);
        if (a.row_stride == 1) term = vec_base(term);
        UNROLL for (size_t w = 0; w < wide; w++) {
            const ELEMENT *entry = row + w * panel_stride;
            vec low = LOAD_FOUR(entry), high = LOAD_FOUR(entry + 4);
            UNROLL for (size_t r = 0; r < rows; r++) {
                vec x = vec_splat(term[r * a.row_stride]), *sum = sums[r * wide + w];
                sum[0] = vec_madd(x, low, sum[0]), sum[1] = vec_madd(x, high, sum[1]);
                vec_settle(&sum[0], &sum[1]);
            }
        }
    }
}

/* Operands of multiply, from some row on; `first_block` is what the first block takes. */
struct product {
    float *c;
    size_t c_stride;
    const float *rescale, *a;
    size_t a_stride;
    struct matrix b;
    size_t panels, depth, first_block, block;
};

/* One register tile from panel `panel` on; `rows` and `wide`, its panels, are constants at each call, and the sums become
 * registers. */
INLINE void multiply_tile(const size_t rows, const size_t wide, const int is_listed, const struct product *of,
                          size_t panel, struct factors a) {
    struct matrix b = of->b;
    if (is_listed) {
        b.offset = panel * ATTN_PANEL;
    } else {
        b.panels.data += panel * b.panels.panel_stride;
    }
    size_t k = 0, next = of->first_block;
    do {
        size_t end = next < of->depth ? next : of->depth;
        vec sums[MAX_SUMS][2];
        sum_tile(rows, wide, is_listed, sums, a, b, k, end);
        UNROLL for (size_t r = 0; r < rows; r++) {
            UNROLL for (size_t w = 0; w < wide; w++) {
                float *entry = of->c + r * of->c_stride + (panel + w) * ATTN_PANEL;
                vec *sum = sums[r * wide + w];
                if (k > 0) {
                    sum[0] = vec_add(vec_load(entry), sum[0]), sum[1] = vec_add(vec_load(entry + 4), sum[1]);
                } else if (of->rescale) {
                    vec factor = vec_splat(of->rescale[r]);
                    sum[0] = vec_add(vec_mul(vec_load(entry), factor), sum[0]);
                    sum[1] = vec_add(vec_mul(vec_load(entry + 4), factor), sum[1]);
                }
                vec_store(entry, sum[0]), vec_store(entry + 4, sum[1]);
            }
        }
        k = end, next += of->block;
    } while (k < of->depth);
}

/* A register tile of four rows waits for instructions, not for multiply-adds: worth packing its rows, so that one address
 * serves all four, where several panels use them. */
#define PACKED_ROWS 4
#define PACKED_TERMS 256
#define PACKED_PANELS 4

/* Register tiles of one size over as many panels as they fill, single ones over the rest; returns their rows. */
INLINE size_t multiply_rows(const size_t rows, const size_t wide, const int is_listed, const struct product *of) {
    const struct factors in_place = {of->a, of->a_stride, 1};
    size_t panel = 0;
    if (rows == PACKED_ROWS && of->panels >= PACKED_PANELS && of->depth <= PACKED_TERMS) {
        float packed[PACKED_TERMS * PACKED_ROWS];
        const struct factors four = {packed, 1, PACKED_ROWS};
        const float *sources[PACKED_ROWS];
        for (size_t r = 0; r < PACKED_ROWS; r++) sources[r] = of->a + r * of->a_stride;
        attn_pack_four_f32(packed, PACKED_ROWS, sources, of->depth);
        for (; panel < of->panels; panel++) multiply_tile(rows, 1, is_listed, of, panel, four);
    }
    for (; panel + wide <= of->panels; panel += wide) multiply_tile(rows, wide, is_listed, of, panel, in_place);
    for (; wide > 1 && panel < of->panels; panel++) multiply_tile(rows, 1, is_listed, of, panel, in_place);
    return rows;
}

INLINE void multiply_all(struct product of, size_t rows, const int is_listed) {
    const size_t most = is_listed ? 4 : VEC_TILE_ROWS; /* of a register tile of one panel */
    for (size_t taken; rows; rows -= taken) {
        taken = rows >= most ? multiply_rows(most, 1, is_listed, &of)
                : rows >= 4  ? multiply_rows(4, 1, is_listed, &of)
                : rows >= 2  ? multiply_rows(2, 2, is_listed, &of)
                             : multiply_rows(1, 4, is_listed, &of);
        of.a += taken * of.a_stride, of.c += taken * of.c_stride;
        if (of.rescale) of.rescale += taken;
    }
}

void KERNEL(multiply)(float *c, size_t c_stride, const float *rescale, const float *a, size_t a_stride, size_t rows,
                      const void *const *b, size_t panels, size_t depth, size_t first_block, size_t block) {
    const struct matrix matrix = {.rows = b};
    multiply_all((struct product){c, c_stride, rescale, a, a_stride, matrix, panels, depth, first_block, block}, rows,
                 1);
}

void KERNEL(multiply_kept)(float *c, float rescale, const float *a, const uint8_t *keep, struct attn_listed b,
                           size_t panels, size_t depth) {
    vec factor = vec_splat(rescale);
    for (size_t panel = 0; panel < panels; panel++, c += ATTN_PANEL) {
        vec low = vec_splat(0), high = low;
        for (size_t k = 0; k < depth; k++) {
            if (!keep[k]) continue;
            const ELEMENT *row = (const ELEMENT *)b.rows[k] + panel * b.panel_stride;
            vec x = vec_splat(a[k]);
            low = vec_madd(x, LOAD_FOUR(row), low);
            high = vec_madd(x, LOAD_FOUR(row + 4), high);
        }
        vec_store(c, vec_add(vec_mul(vec_load(c), factor), low));
        vec_store(c + 4, vec_add(vec_mul(vec_load(c + 4), factor), high));
    }
}

/* One to three elements, then zeros; out of line, as it is large and rare. */
static __attribute__((noinline)) vec load_part(const ELEMENT *p, size_t count) {
    ELEMENT part[4] = {0};
    for (size_t i = 0; i < count; i++) part[i] = p[i];
    return LOAD_FOUR(part);
}

static __attribute__((noinline)) vec load_part_f32(const float *p, size_t count) {
    float part[4] = {0};
    for (size_t i = 0; i < count; i++) part[i] = p[i];
    return vec_load(part);
}

/* Dot products of `rows` rows of A with `count` rows of B, up to four, `together` of them at a time, in four interleaved
 * sums each. */
INLINE void dot_tile(const size_t rows, const size_t together, float *c, size_t c_stride, const float *a,
                     size_t a_stride, const ELEMENT *const b[4], size_t count, size_t depth) {
    vec sums[4][4]; /* [row][column] */
    UNROLL for (size_t j = 0; j < 4; j += together) {
        UNROLL for (size_t r = 0; r < rows; r++) {
            UNROLL for (size_t i = 0; i < together; i++) sums[r][j + i] = vec_splat(0);
        }
        if (j >= count) continue;
        for (size_t k = 0; k + 4 <= depth; k += 4) {
            vec column[4];
            UNROLL for (size_t i = 0; i < together; i++) column[i] = LOAD_FOUR(b[j + i] + k);
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
        vec x[4];
        UNROLL for (size_t r = 0; r < rows; r++) x[r] = load_part_f32(a + r * a_stride + k, depth - k);
        UNROLL for (size_t j = 0; j < 4; j++) {
            vec column = load_part(b[j] + k, depth - k);
            UNROLL for (size_t r = 0; r < rows; r++) sums[r][j] = vec_madd(x[r], column, sums[r][j]);
        }
    }
    UNROLL for (size_t r = 0; r < rows; r++) vec_store(c + r * c_stride, vec_sum_each(sums[r]));
}

void KERNEL(dot)(float *c, size_t c_stride, const float *a, size_t a_stride, size_t rows, const void *const *b,
                 size_t count, size_t depth) {
    for (size_t j = 0; j < count; j += 4) {
        const ELEMENT *columns[4];
        /* columns beyond the last repeat it: nothing else is sure to be there */
        for (size_t i = 0; i < 4; i++) columns[i] = b[j + i < count ? j + i : count - 1];
        float *entry = c + j;
        size_t r = 0;
        for (; r + 4 <= rows; r += 4) {
            dot_tile(4, 2, entry + r * c_stride, c_stride, a + r * a_stride, a_stride, columns, count - j, depth);
        }
        if (r + 2 <= rows) {
            dot_tile(2, 4, entry + r * c_stride, c_stride, a + r * a_stride, a_stride, columns, count - j, depth);
            r += 2;
        }
        if (r < rows)
            dot_tile(1, 4, entry + r * c_stride, c_stride, a + r * a_stride, a_stride, columns, count - j, depth);
    }
}

int KERNEL(is_finite)(struct attn_listed b, size_t panels, size_t rows) {
    const vec zero = vec_splat(0);
    vec poison = zero;
    for (size_t r = 0; r < rows; r++) {
        const ELEMENT *row = b.rows[r];
        for (size_t panel = 0; panel < panels; panel++, row += b.panel_stride) {
            poison = vec_madd(LOAD_FOUR(row), zero, poison);
            poison = vec_madd(LOAD_FOUR(row + 4), zero, poison);
        }
    }
    return vec_sum(poison) == 0; /* infinity * 0 and NaN * 0 are NaN, and stay so */
}
