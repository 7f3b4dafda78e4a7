/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels.c - tile.h and pack.h by themselves, over all small sizes, and operations of vec.h. An element computed alone
 * is held against a sum in double; computed among others, however many, of whatever type and wherever they lie in
 * memory, it has the bits that it has alone. Inputs end exactly where they should, for sanitizers to watch; outputs lie
 * between guards.
 */
#include <math.h>
#include <stdlib.h>

#include "cases.h"
#include "pack.h"
#include "test.h"
#include "tile.h"
#include "vec.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { ROWS = 13, PANELS = 9, COLUMNS = PANELS * ATTN_PANEL, DEPTH = 64, GUARDS = 8 };
static const size_t depths[] = {0, 1, 2, 3, 15, 16, 17, 63, 64};
static const float not_finite[] = {NAN, INFINITY, -INFINITY};

/* ---- elements ---- */

#define NAME(type) #type,
static const char *const type_names[] = {ATTN_TILE_TYPES(NAME)};
enum { TYPES = COUNT(type_names) };

static size_t bytes_of(enum attn_dtype type) { return type == ATTN_FLOAT32 ? 4 : 2; }

static void narrow(void *elements, enum attn_dtype type, const float *x, size_t count) {
    if (type == ATTN_FLOAT32)
        memcpy(elements, x, count * sizeof *x);
    else if (attn_convert(elements, type, x, ATTN_FLOAT32, count) != ATTN_OK)
        check(0, "narrowing");
}

static void put(const void *elements, enum attn_dtype type, size_t at, float x) {
    narrow((char *)elements + at * bytes_of(type), type, &x, 1);
}

/* Numbers of many magnitudes, so that another order of additions gives other bits; a few are subnormal float16. */
static void draw(float *x, size_t count, struct case_random *random) {
    for (size_t n = 0; n < count; n++) {
        const float scale = case_random_below(random, 32) ? (float)(1u << case_random_below(random, 8)) : 0x1p-18f;
        x[n] = case_random_float(random) * scale;
    }
}

/* Numbers that the type holds exactly. */
static void draw_elements(void *elements, float *x, enum attn_dtype type, size_t count, struct case_random *random) {
    draw(x, count, random);
    narrow(elements, type, x, count);
    if (type != ATTN_FLOAT32) CHECK(attn_convert(x, ATTN_FLOAT32, elements, type, count) == ATTN_OK);
}

/* A sum of `terms` roundings in a row may be off by this, of the sum of magnitudes (Higham 2002, lemma 3.1). */
static double error_bound(size_t terms, double magnitudes) {
    const double t = (double)terms * 0x1p-24;
    return t / (1 - t) * magnitudes;
}

/* ---- memory ---- */

/* Rows of `length` elements, `stride` apart, in a block that ends with the last; NaN bits in between. */
static void *rows_of(const void *source, size_t bytes, size_t source_stride, size_t rows, size_t length,
                     size_t stride) {
    const size_t size = (rows ? (rows - 1) * stride + length : 0) * bytes;
    char *block = memset(allocate(size), 0xff, size);
    for (size_t r = 0; r < rows; r++)
        memcpy(block + r * stride * bytes, (const char *)source + r * source_stride * bytes, length * bytes);
    return block;
}

/* The first `depth` rows of source [.., COLUMNS] in panels, packed or in place, in a block that ends with them. */
struct matrix {
    void *data;
    size_t row_stride, panel_stride; /* in elements */
    const void *rows[DEPTH];
};

static struct matrix matrix_of(const void *source, size_t bytes, int packed, size_t panels, size_t depth) {
    struct matrix m = {.row_stride = panels * ATTN_PANEL + 3, .panel_stride = ATTN_PANEL};
    if (packed) {
        m.row_stride = ATTN_PANEL, m.panel_stride = depth * ATTN_PANEL;
        m.data = allocate(panels * depth * ATTN_PANEL * bytes);
        for (size_t n = 0; n < panels * depth; n++)
            memcpy((char *)m.data + n * ATTN_PANEL * bytes,
                   (const char *)source + (n % depth * COLUMNS + n / depth * ATTN_PANEL) * bytes, ATTN_PANEL * bytes);
    } else {
        m.data = rows_of(source, bytes, COLUMNS, depth, panels * ATTN_PANEL, m.row_stride);
    }
    for (size_t k = 0; k < depth; k++) m.rows[k] = (const char *)m.data + k * m.row_stride * bytes;
    return m;
}

static struct attn_listed listed_of(const struct matrix *m) { return (struct attn_listed){m->rows, m->panel_stride}; }

static size_t place_of(const struct matrix *m, size_t row, size_t column) {
    return column / ATTN_PANEL * m->panel_stride + row * m->row_stride + column % ATTN_PANEL;
}

/* A matrix between guards, which fill the gaps between its rows too: NaNs of bits that no arithmetic makes. */
static const uint32_t GUARD = 0x7fc0dead;
struct guarded {
    float *block, *data;
    size_t rows, columns, stride;
};

static struct guarded guarded(size_t rows, size_t columns) {
    struct guarded g = {.rows = rows, .columns = columns, .stride = columns + 5};
    const size_t count = rows * g.stride + 2 * GUARDS;
    g.block = allocate(count * sizeof *g.block);
    g.data = g.block + GUARDS;
    for (size_t n = 0; n < count; n++) g.block[n] = float_of(GUARD);
    return g;
}

/* Whether nothing but the first `written` columns was written; frees the matrix. */
static int ends_guarded(struct guarded g, size_t written) {
    int ok = 1;
    for (size_t n = 0; n < g.rows * g.stride + 2 * GUARDS; n++) {
        const size_t at = n - GUARDS;
        if (n < GUARDS || at / g.stride >= g.rows || at % g.stride >= written) ok &= bits_of(g.block[n]) == GUARD;
    }
    free(g.block);
    return ok;
}

static int has_rows(const struct guarded *g, const float *want, size_t want_stride) {
    int same = 1;
    for (size_t r = 0; r < g->rows; r++)
        for (size_t x = 0; x < g->columns; x++)
            same &= bits_of(g->data[r * g->stride + x]) == bits_of(want[r * want_stride + x]);
    return same;
}

/* Where rows stand. */
static void list_rows(const void **addresses, const void *rows, size_t bytes, size_t count, size_t stride) {
    for (size_t n = 0; n < count; n++) addresses[n] = (const char *)rows + n * stride * bytes;
}

/* ---- products of rows and panels ---- */

struct operands {
    enum attn_dtype type; /* of B */
    float a[ROWS][DEPTH], b[DEPTH][COLUMNS], c[ROWS][COLUMNS], rescale[ROWS];
    uint32_t b_elements[DEPTH * COLUMNS];
    float alone[ROWS][COLUMNS]; /* the product, each element computed in float32 with no other row or panel */
};

static void multiply_alone(struct operands *o, int rescales, size_t depth, size_t first_block, size_t block) {
    const size_t longest = first_block > block ? first_block : block;
    const size_t blocks = 1 + (depth + block - 1) / block, terms = (depth < longest ? depth : longest) + blocks + 1;
    for (size_t r = 0; r < ROWS; r++)
        for (size_t panel = 0; panel < COLUMNS; panel += ATTN_PANEL) {
            const struct attn_panels b = {&o->b[0][panel], COLUMNS, ATTN_PANEL};
            memcpy(&o->alone[r][panel], &o->c[r][panel], ATTN_PANEL * sizeof(float));
            attn_tile_multiply(&o->alone[r][panel], COLUMNS, rescales ? &o->rescale[r] : NULL, o->a[r], DEPTH, 1, b, 1,
                               depth, first_block, block);
        }
    unsigned wrong = 0;
    for (size_t r = 0; r < ROWS; r++)
        for (size_t x = 0; x < COLUMNS; x++) {
            const double earlier = rescales ? (double)o->rescale[r] * (double)o->c[r][x] : 0;
            double sum = earlier, magnitudes = fabs(earlier);
            for (size_t k = 0; k < depth; k++) {
                const double product = (double)o->a[r][k] * (double)o->b[k][x];
                sum += product, magnitudes += fabs(product);
            }
            wrong += !(fabs((double)o->alone[r][x] - sum) <= error_bound(terms, magnitudes));
        }
    check(wrong == 0, "multiply, depth %zu in blocks of %zu, %zu: %u elements are off", depth, first_block, block,
          wrong);
}

static void test_multiply_size(const struct operands *o, int rescales, int packed, size_t rows, size_t panels,
                               size_t depth, size_t first_block, size_t block) {
    const size_t columns = panels * ATTN_PANEL, a_stride = depth + rows % 4;
    float *a = rows_of(o->a[0], sizeof *a, DEPTH, rows, depth, a_stride);
    float *rescale = rows_of(o->rescale, sizeof *rescale, 0, 1, rows, rows);
    const struct matrix b = matrix_of(o->b_elements, bytes_of(o->type), packed, panels, depth);
    for (int listed = o->type != ATTN_FLOAT32; listed < (packed ? 1 : 2); listed++) {
        struct guarded c = guarded(rows, columns);
        for (size_t r = 0; rescales && r < rows; r++) memcpy(c.data + r * c.stride, o->c[r], columns * sizeof(float));
        if (listed) {
            attn_tile_kernels[o->type].multiply(c.data, c.stride, rescales ? rescale : NULL, a, a_stride, rows, b.rows,
                                                panels, depth, first_block, block);
        } else {
            const struct attn_panels in_panels = {b.data, b.row_stride, b.panel_stride};
            attn_tile_multiply(c.data, c.stride, rescales ? rescale : NULL, a, a_stride, rows, in_panels, panels, depth,
                               first_block, block);
        }
        const int same = has_rows(&c, o->alone[0], COLUMNS);
        check(ends_guarded(c, columns) && same,
              "%s multiply%s: %zu rows, %zu panels%s, depth %zu in blocks of %zu, %zu%s: %s", type_names[o->type],
              listed ? ", listed" : "", rows, panels, packed ? "" : " in place", depth, first_block, block,
              rescales ? ", rescaled" : "", same ? "wrote outside" : "other bits than alone");
    }
    free(a), free(rescale), free(b.data);
}

static void test_multiply(struct operands *o) {
    static const struct { size_t first, others; } blocks[] = {{16, 16}, {64, 64}, {8, 64}};
    for (size_t d = 0; d < COUNT(depths); d++)
        for (size_t block = 0; block < COUNT(blocks); block++)
            for (int rescales = 0; rescales < 2; rescales++) {
                multiply_alone(o, rescales, depths[d], blocks[block].first, blocks[block].others);
                for (size_t rows = 0; rows <= ROWS; rows++)
                    for (size_t panels = 0; panels <= PANELS; panels++)
                        for (int packed = 0; packed < 2; packed++)
                            test_multiply_size(o, rescales, packed, rows, panels, depths[d], blocks[block].first,
                                               blocks[block].others);
            }
}

/* ---- the same over what is kept alone ---- */

enum { PATTERNS = 6 };

static int keeps(size_t pattern, size_t k, size_t depth) {
    switch (pattern) {
    case 0: return 1;
    case 1: return 0;
    case 2: return k % 2 == 0;
    case 3: return k == 0;
    case 4: return k + 1 == depth;
    default: return k * 7 % 5 < 2;
    }
}

/* With finite numbers behind what is not kept, then with none: as the other kernel with zeros in their place. */
static void test_multiply_kept_size(const struct operands *o, size_t pattern, int packed, size_t panels, size_t depth) {
    const size_t columns = panels * ATTN_PANEL;
    uint8_t *keep = allocate(depth);
    float *a = rows_of(o->a[0], sizeof *a, DEPTH, 1, depth, depth);
    float *zeroed = rows_of(o->a[0], sizeof *zeroed, DEPTH, 1, depth, depth);
    const struct matrix b = matrix_of(o->b_elements, bytes_of(o->type), packed, panels, depth);
    const struct matrix in_place = matrix_of(o->b_elements, bytes_of(o->type), 0, panels, depth);
    for (size_t k = 0; k < depth; k++) {
        keep[k] = (uint8_t)(keeps(pattern, k, depth) ? 255 - k : 0);
        if (!keep[k]) zeroed[k] = 0;
    }
    struct guarded want = guarded(1, columns);
    memcpy(want.data, o->c[0], columns * sizeof(float));
    attn_tile_kernels[o->type].multiply(want.data, want.stride, &o->rescale[0], zeroed, depth, 1, in_place.rows, panels,
                                        depth, DEPTH, DEPTH);
    for (int poisoned = 0; poisoned < 2; poisoned++) {
        for (size_t k = 0; poisoned && k < depth; k++) {
            if (keep[k]) continue;
            a[k] = not_finite[k % COUNT(not_finite)];
            for (size_t x = 0; x < columns; x++)
                put(b.data, o->type, place_of(&b, k, x), not_finite[(k + x) % COUNT(not_finite)]);
        }
        struct guarded c = guarded(1, columns);
        memcpy(c.data, o->c[0], columns * sizeof(float));
        attn_tile_kernels[o->type].multiply_kept(c.data, o->rescale[0], a, keep, listed_of(&b), panels, depth);
        const int same = has_rows(&c, want.data, want.stride);
        check(ends_guarded(c, columns) && same, "%s multiply_kept: pattern %zu, %zu panels%s, depth %zu%s: %s",
              type_names[o->type], pattern, panels, packed ? "" : " in place", depth, poisoned ? ", poisoned" : "",
              same ? "wrote outside" : "other bits than multiply");
    }
    free(keep), free(a), free(zeroed), free(b.data), free(in_place.data), free(want.block);
}

static void test_multiply_kept(const struct operands *o) {
    for (size_t pattern = 0; pattern < PATTERNS; pattern++)
        for (size_t d = 0; d < COUNT(depths); d++)
            for (size_t panels = 0; panels <= PANELS; panels++)
                for (int packed = 0; packed < 2; packed++)
                    test_multiply_kept_size(o, pattern, packed, panels, depths[d]);
}

/* ---- dot products of rows and rows ---- */

enum { DOT_ROWS = 9, DOT_COUNT = 64 };

struct dot_operands {
    enum attn_dtype type; /* of B */
    float a[DOT_ROWS][DEPTH], b[DOT_COUNT][DEPTH];
    uint32_t b_elements[DOT_COUNT * DEPTH];
    float alone[DOT_ROWS][DOT_COUNT]; /* each element computed in float32 with no other row */
};

static void dot_alone(struct dot_operands *o, size_t depth) {
    unsigned wrong = 0;
    for (size_t r = 0; r < DOT_ROWS; r++)
        for (size_t j = 0; j < DOT_COUNT; j++) {
            float c[4];
            double sum = 0, magnitudes = 0;
            attn_tile_f32_dot(c, 4, o->a[r], DEPTH, 1, (const void *const[]){o->b[j]}, 1, depth);
            o->alone[r][j] = c[0];
            for (size_t k = 0; k < depth; k++) {
                const double product = (double)o->a[r][k] * (double)o->b[j][k];
                sum += product, magnitudes += fabs(product);
            }
            /* a product, its place in one of four sums, two more additions */
            wrong += !(fabs((double)c[0] - sum) <= error_bound((depth + 3) / 4 + 3, magnitudes));
        }
    check(wrong == 0, "dot, depth %zu: %u elements are off", depth, wrong);
}

static void test_dot_size(const struct dot_operands *o, size_t gap, size_t rows, size_t count, size_t depth) {
    const size_t stride = depth + gap;
    float *a = rows_of(o->a[0], sizeof *a, DEPTH, rows, depth, stride);
    void *b = rows_of(o->b_elements, bytes_of(o->type), DEPTH, count, depth, stride);
    struct guarded c = guarded(rows, count);
    const void *addresses[DOT_COUNT];
    list_rows(addresses, b, bytes_of(o->type), count, stride);
    attn_tile_kernels[o->type].dot(c.data, c.stride, a, stride, rows, addresses, count, depth);
    const int same = has_rows(&c, o->alone[0], DOT_COUNT);
    check(ends_guarded(c, (count + 3) / 4 * 4) && same, "%s dot: %zu rows, %zu columns, depth %zu, gap %zu: %s",
          type_names[o->type], rows, count, depth, gap, same ? "wrote outside" : "other bits than alone");
    free(a), free(b);
}

static void test_dot(struct dot_operands *o) {
    static const size_t dot_depths[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 32, 33, 64};
    static const size_t counts[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, DOT_COUNT};
    for (size_t d = 0; d < COUNT(dot_depths); d++) {
        dot_alone(o, dot_depths[d]);
        for (size_t rows = 0; rows <= DOT_ROWS; rows++)
            for (size_t count = 0; count < COUNT(counts); count++)
                for (size_t gap = 0; gap <= 5; gap += 5) test_dot_size(o, gap, rows, counts[count], dot_depths[d]);
    }
}

/* ---- whether all is finite ---- */

/* float16 that is not finite never gets here. */
static void test_is_finite_size(enum attn_dtype type, int packed, size_t panels, size_t rows) {
    static const float finite[] = {0, -0.0f, 1, -0x1p-149f, 0x1.fep+127f, -0x1.fep+127f, 0x1p-126f};
    static const float finite_f16[] = {0, -0.0f, 1, -0x1p-24f, 65504, -65504, 0x1p-14f};
    const struct attn_tile_kernels *kernels = &attn_tile_kernels[type];
    enum { MOST = 5 * COLUMNS };
    float source[MOST];
    uint32_t elements[MOST];
    for (size_t n = 0; n < MOST; n++)
        source[n] = type == ATTN_FLOAT16 ? finite_f16[n % COUNT(finite_f16)] : finite[n % COUNT(finite)];
    narrow(elements, type, source, MOST);
    const struct matrix b = matrix_of(elements, bytes_of(type), packed, panels, rows);
    check(kernels->is_finite(listed_of(&b), panels, rows), "%s is_finite: %zu rows, %zu panels%s: not",
          type_names[type], rows, panels, packed ? "" : " in place");
    for (size_t n = 0; type != ATTN_FLOAT16 && n < rows * panels * ATTN_PANEL; n++) {
        const size_t x = n % (panels * ATTN_PANEL), row = n / (panels * ATTN_PANEL);
        for (size_t other = 0; other < COUNT(not_finite); other++) {
            put(b.data, type, place_of(&b, row, x), not_finite[other]);
            check(!kernels->is_finite(listed_of(&b), panels, rows),
                  "%s is_finite: %g at [%zu,%zu] of %zu rows, %zu panels%s", type_names[type],
                  (double)not_finite[other], row, x, rows, panels, packed ? "" : " in place");
        }
        put(b.data, type, place_of(&b, row, x), source[row * COLUMNS + x]);
    }
    free(b.data);
}

static void test_is_finite(enum attn_dtype type) {
    for (size_t rows = 0; rows <= 5; rows++)
        for (size_t panels = 0; panels <= 3; panels++)
            for (int packed = 0; packed < 2; packed++) test_is_finite_size(type, packed, panels, rows);
}

/* ---- packing ---- */

/* Copies, so compared as bits, NaN and all. */
static void test_pack_columns(const struct operands *o) {
    for (size_t depth = 0; depth <= DEPTH; depth++) {
        float *own[ATTN_PANEL];
        const float *rows[ATTN_PANEL];
        for (size_t c = 0; c < ATTN_PANEL; c++)
            rows[c] = own[c] = rows_of(o->a[c], sizeof(float), DEPTH, 1, depth, depth);
        if (depth % 3 == 0) rows[7] = rows[6] = rows[5]; /* as beyond the last key */
        if (depth) own[1][depth - 1] = float_of(0xffc12345), own[2][0] = -0.0f, own[3][depth / 2] = INFINITY;
        struct guarded panel = guarded(1, depth * ATTN_PANEL);
        attn_pack_columns_f32(panel.data, rows, depth);
        unsigned wrong = 0;
        for (size_t n = 0; n < depth * ATTN_PANEL; n++)
            wrong += bits_of(panel.data[n]) != bits_of(rows[n % ATTN_PANEL][n / ATTN_PANEL]);
        check(ends_guarded(panel, depth * ATTN_PANEL) && !wrong, "pack_columns: depth %zu, %u wrong", depth, wrong);
        for (size_t c = 0; c < ATTN_PANEL; c++) free(own[c]);
    }
}

/* Each row of a matrix of three, packed and in place, alone: the others' places stay guards. */
static void test_pack_row_size(const struct operands *o, int packed, size_t row, size_t count) {
    enum { MATRIX_ROWS = 3 };
    const size_t wide = (count + ATTN_PANEL - 1) / ATTN_PANEL * ATTN_PANEL;
    const struct matrix m = {.row_stride = packed ? ATTN_PANEL : wide + 3,
                             .panel_stride = packed ? MATRIX_ROWS * ATTN_PANEL : ATTN_PANEL};
    float *source = rows_of(o->b[row], sizeof *source, COLUMNS, 1, count, count);
    if (count) source[count / 2] = float_of(0xffc12345);
    struct guarded matrix = guarded(1, MATRIX_ROWS * (wide + 3));
    attn_pack_row_f32(matrix.data, m.row_stride, m.panel_stride, row, source, count);
    unsigned wrong = 0;
    for (size_t x = 0; x < wide; x++) {
        float *entry = &matrix.data[place_of(&m, row, x)];
        wrong += bits_of(*entry) != (x < count ? bits_of(source[x]) : 0);
        *entry = float_of(GUARD);
    }
    check(ends_guarded(matrix, 0) && !wrong, "pack_row: row %zu, %zu floats%s, %u wrong", row, count,
          packed ? "" : " in place", wrong);
    free(source);
}

static void test_copy_size(const struct operands *o, size_t count) {
    float *source = rows_of(o->b[0], sizeof *source, 0, 1, count, count);
    struct guarded copied = guarded(1, count), cleared = guarded(1, count);
    if (count) source[count / 2] = float_of(0xffc12345);
    attn_copy_f32(copied.data, source, count);
    attn_clear_f32(cleared.data, count);
    unsigned wrong = 0;
    for (size_t n = 0; n < count; n++)
        wrong += bits_of(copied.data[n]) != bits_of(source[n]) || bits_of(cleared.data[n]) != 0;
    check(ends_guarded(copied, count) && ends_guarded(cleared, count) && !wrong, "copying and clearing %zu floats",
          count);
    free(source);
}

static void test_packing(const struct operands *o) {
    test_pack_columns(o);
    for (size_t count = 0; count <= COLUMNS; count++) {
        test_copy_size(o, count);
        for (size_t row = 0; row < 3; row++)
            for (int packed = 0; packed < 2; packed++) test_pack_row_size(o, packed, row, count);
    }
}

/* ---- vectors, against loops over elements ---- */

enum { OPERANDS = 2000 };

/* Words of random bits, among them often the ends of what 8, 16 and 32 bits hold. */
static void draw_words(uint32_t *words, size_t count, struct case_random *random) {
    static const uint32_t ends[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x80808080, 0x7f7f7f7f, 0x80008000};
    for (size_t n = 0; n < count; n++)
        words[n] =
            case_random_below(random, 3) ? case_random_next(random) : ends[case_random_below(random, COUNT(ends))];
}

static int has_words(vec v, const uint32_t want[4]) {
    uint32_t *got = allocate(4 * sizeof *got);
    vec_store_u32(got, v);
    const int same = memcmp(got, want, 4 * sizeof *got) == 0;
    free(got);
    return same;
}

static void test_words(struct case_random *random) {
    uint32_t *a = allocate(4 * sizeof *a), *b = allocate(4 * sizeof *b);
    uint32_t sums[4], xors[4], lows[4], highs[4], at_least[4], popcounts[4], all[4];
    draw_words(a, 4, random), draw_words(b, 4, random);
    if (case_random_below(random, 4) == 0) b[1] = a[1];
    for (size_t i = 0; i < 4; i++) {
        const uint64_t product = (uint64_t)a[i] * b[i];
        sums[i] = a[i] + b[i], xors[i] = a[i] ^ b[i];
        lows[i] = (uint32_t)product, highs[i] = (uint32_t)(product >> 32);
        at_least[i] = a[i] >= b[i] ? UINT32_MAX : 0;
        popcounts[i] = 0, all[i] = a[0];
        for (int bit = 0; bit < 32; bit++) popcounts[i] += a[i] >> bit & 1;
    }
    const vec x = vec_load_u32(a), y = vec_load_u32(b);
    vec high;
    const vec low = vec_multiply_u32(x, y, &high);
    check(has_words(x, a) && has_words(vec_splat_u32(a[0]), all), "vec_load_u32 or vec_splat_u32");
    check(has_words(vec_add_u32(x, y), sums) && has_words(vec_xor(x, y), xors), "vec_add_u32 or vec_xor");
    check(has_words(low, lows) && has_words(high, highs), "vec_multiply_u32");
    check(has_words(vec_at_least_u32(x, y), at_least), "vec_at_least_u32");
    check(has_words(vec_popcount_u32(x), popcounts), "vec_popcount_u32");
    float floats[4];
    vec_store(floats, vec_from_i32(x));
    for (size_t i = 0; i < 4; i++) {
        const int64_t number = a[i] < 0x80000000 ? (int64_t)a[i] : (int64_t)a[i] - 0x100000000;
        check(bits_of(floats[i]) == bits_of((float)number), "vec_from_i32 of %lld", (long long)number);
    }
    free(a), free(b);
}

static void test_sums(struct case_random *random) {
    uint32_t words[16], sums[4] = {0};
    vec v[4];
    draw_words(words, 16, random);
    for (size_t n = 0; n < 16; n++) sums[n / 4] += words[n];
    for (size_t n = 0; n < 4; n++) v[n] = vec_load_u32(words + 4 * n);
    check(has_words(vec_sum_each_i32(v), sums), "vec_sum_each_i32");
}

static void test_dot_bytes(struct case_random *random) {
    int8_t *bytes = allocate(16);
    int16_t *words = allocate(16 * sizeof *words);
    uint32_t drawn[8], sums[4], want[4];
    draw_words(drawn, 4, random), memcpy(bytes, drawn, 16);
    draw_words(drawn, 8, random), memcpy(words, drawn, 16 * sizeof *words);
    draw_words(sums, 4, random), memcpy(want, sums, sizeof want);
    for (size_t n = 0; n < 16; n++) want[n / 2 % 4] += (uint32_t)((int32_t)bytes[n] * words[n]);
    check(has_words(vec_dot_bytes(vec_load_u32(sums), bytes, words), want), "vec_dot_bytes");
    free(bytes), free(words);
}

static void test_halves(struct case_random *random) {
    uint8_t *bytes = allocate(8);
    uint32_t drawn[4], others[4], wide[4], products[4];
    draw_words(drawn, 4, random), draw_words(others, 4, random), memcpy(bytes, drawn, 8);
    for (size_t i = 0; i < 4; i++) wide[i] = bytes[2 * i] + ((uint32_t)bytes[2 * i + 1] << 16);
    check(has_words(vec_load_wide(bytes), wide), "vec_load_wide");
    for (size_t i = 0; i < 4; i++) {
        drawn[i] &= 0x7fff7fff, others[i] &= 0x7fff7fff;
        products[i] = (drawn[i] % 0x10000) * (others[i] % 0x10000) + (drawn[i] / 0x10000) * (others[i] / 0x10000);
    }
    check(has_words(vec_dot_u16(vec_load_u32(drawn), vec_load_u32(others)), products), "vec_dot_u16");
    free(bytes);
}

static void test_bytes(struct case_random *random) {
    uint8_t *a = allocate(16), *b = allocate(16);
    uint32_t drawn[4], equal = 0, tops = 0, words[4];
    draw_words(drawn, 4, random), memcpy(a, drawn, 16);
    for (size_t n = 0; n < 16; n++) {
        b[n] = (uint8_t)(case_random_below(random, 2) ? a[n] : a[n] ^ 1u << case_random_below(random, 8));
        equal |= (uint32_t)(a[n] == b[n]) << n, tops |= (uint32_t)(a[n] >= 128) << n;
    }
    const vec mask = vec_equal_bytes(vec_load_bytes(a), vec_load_bytes(b));
    check(vec_bits_bytes(mask) == equal && vec_bits_bytes(vec_load_bytes(a)) == tops, "vec_bits_bytes");
    vec_store_u32(words, mask);
    memcpy(b, words, 16);
    for (size_t n = 0; n < 16; n++) check(b[n] == (equal >> n & 1 ? 255 : 0), "vec_equal_bytes");
    free(a), free(b);
}

/* Comparisons of floats, and masks of them; numbers that are equal, NaN, infinite or zeros of either sign. */
static void test_masks_of_floats(struct case_random *random) {
    static const float ends[] = {0, -0.0f, 1, -1, NAN, INFINITY, -INFINITY, 0x1p-149f};
    float a[4], b[4];
    uint32_t bits[4], less[4], equal[4], at_least[4], both[4], either[4], neither[4], kept[4], selected[4], of_less = 0;
    for (size_t i = 0; i < 4; i++) {
        a[i] = ends[case_random_below(random, COUNT(ends))], b[i] = ends[case_random_below(random, COUNT(ends))];
        less[i] = a[i] < b[i] ? UINT32_MAX : 0, equal[i] = a[i] == b[i] ? UINT32_MAX : 0;
        at_least[i] = a[i] >= b[i] ? UINT32_MAX : 0;
        either[i] = less[i] | equal[i], neither[i] = ~either[i], both[i] = either[i] & at_least[i];
        kept[i] = less[i] ? bits_of(a[i]) : 0, selected[i] = bits_of(less[i] ? a[i] : b[i]);
        of_less |= (uint32_t)(less[i] != 0) << i;
    }
    const vec x = vec_load(a), y = vec_load(b), is_less = vec_less(x, y), is_either = vec_or(is_less, vec_equal(x, y));
    check(has_words(is_less, less) && has_words(vec_equal(x, y), equal), "vec_less or vec_equal");
    check(has_words(vec_at_least(x, y), at_least), "vec_at_least");
    check(has_words(is_either, either) && has_words(vec_not(is_either), neither), "vec_or or vec_not");
    check(has_words(vec_and(is_either, vec_at_least(x, y)), both), "vec_and of masks");
    check(has_words(vec_and(x, is_less), kept), "vec_and");
    check(has_words(vec_select(is_less, x, y), selected), "vec_select");
    check(vec_bits(is_less) == of_less && vec_all(is_less) == (of_less == 15), "vec_bits or vec_all");
    check(has_words(vec_from_bits(of_less), less), "vec_from_bits");
    for (size_t i = 0; i < 4; i++) bits[i] = bits_of(a[i] < b[i] ? b[i] : a[i]);
    check(has_words(vec_max(x, y), bits), "vec_max");
    for (size_t i = 0; i < 4; i++) bits[i] = bits_of(b[i] < a[i] ? b[i] : a[i]);
    check(has_words(vec_min(x, y), bits), "vec_min");
}

static void test_vectors(struct case_random *random) {
    for (size_t n = 0; n < OPERANDS; n++) {
        test_words(random), test_sums(random), test_dot_bytes(random), test_halves(random), test_bytes(random);
        test_masks_of_floats(random);
    }
}

void test_kernels(void) {
    struct operands *o = allocate(sizeof *o);
    struct dot_operands *dot = allocate(sizeof *dot);
    struct case_random random = case_random_init(17, 0);
    draw(o->a[0], ROWS * DEPTH, &random);
    draw(o->c[0], ROWS * COLUMNS, &random);
    draw(o->rescale, ROWS, &random);
    draw(dot->a[0], DOT_ROWS * DEPTH, &random);
    for (int type = 0; type < TYPES; type++) {
        o->type = dot->type = (enum attn_dtype)type;
        draw_elements(o->b_elements, o->b[0], o->type, DEPTH * COLUMNS, &random);
        draw_elements(dot->b_elements, dot->b[0], dot->type, DOT_COUNT * DEPTH, &random);
        test_multiply(o);
        test_multiply_kept(o);
        test_dot(dot);
        test_is_finite(o->type);
    }
    test_packing(o);
    test_vectors(&random);
    free(o), free(dot);
}
