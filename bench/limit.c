// SPDX-License-Identifier: Apache-2.0
/*
 * limit.c - what one thread of WebAssembly can do here: multiply matrices in cache, and read memory. The benchmark times
 * both beside the contestants.
 */
#include <stddef.h>
#include <wasm_simd128.h>

#define UNROLLED _Pragma("clang loop unroll(full)")

/* As many rows as an engine with sixteen vector registers holds without spilling. */
#ifdef __wasm_relaxed_simd__
enum { ROWS = 6 };
#define multiply_add wasm_f32x4_relaxed_madd
#else
enum { ROWS = 4 };
static inline v128_t multiply_add(v128_t a, v128_t b, v128_t c) { return wasm_f32x4_add(wasm_f32x4_mul(a, b), c); }
#endif
enum { COLUMNS = 8, READS = 8 };

int limit_rows(void);
void limit_multiply(float *memory, size_t depth, size_t panels, size_t repeats);
float limit_read(const float *memory, size_t count);

int limit_rows(void) { return ROWS; }

/* c[ROWS][COLUMNS] += a[depth][ROWS], transposed, * b[depth][COLUMNS] */
static inline void multiply(float *c, const float *a, const float *b, size_t depth) {
    v128_t sums[ROWS][2];
    UNROLLED
    for (int row = 0; row < ROWS; row++) {
        sums[row][0] = wasm_v128_load(c + COLUMNS * row);
        sums[row][1] = wasm_v128_load(c + COLUMNS * row + 4);
    }
    for (size_t k = 0; k < depth; k++, a += ROWS, b += COLUMNS) {
        /* The compiler would rewrite the addresses; then each constant offset costs an instruction. */
        __asm__("" : "+r"(a), "+r"(b));
        v128_t left = wasm_v128_load(b);
        v128_t right = wasm_v128_load(b + 4);
        UNROLLED
        for (int row = 0; row < ROWS; row++) {
            v128_t x = wasm_v128_load32_splat(a + row);
            sums[row][0] = multiply_add(x, left, sums[row][0]);
            sums[row][1] = multiply_add(x, right, sums[row][1]);
            /* The compiler would move the second products of all rows to the end; then the engine spills. */
            __asm__ volatile("" : "+r"(sums[row][0]), "+r"(sums[row][1]));
        }
    }
    UNROLLED
    for (int row = 0; row < ROWS; row++) {
        wasm_v128_store(c + COLUMNS * row, sums[row][0]);
        wasm_v128_store(c + COLUMNS * row + 4, sums[row][1]);
    }
}

/* memory: a[depth][ROWS], then b[panels][depth][COLUMNS], then c[panels][ROWS][COLUMNS] */
void limit_multiply(float *memory, size_t depth, size_t panels, size_t repeats) {
    const float *a = memory;
    const float *b = a + ROWS * depth;
    float *c = memory + ROWS * depth + panels * depth * COLUMNS;
    for (size_t repeat = 0; repeat < repeats; repeat++) {
        for (size_t panel = 0; panel < panels; panel++) {
            multiply(c + panel * ROWS * COLUMNS, a, b + panel * depth * COLUMNS, depth);
        }
    }
}

/* The sum of `count` floats, a multiple of 4 * READS. */
float limit_read(const float *memory, size_t count) {
    v128_t sums[READS];
    UNROLLED
    for (int i = 0; i < READS; i++) sums[i] = wasm_f32x4_splat(0);
    for (const float *end = memory + count; memory != end; memory += 4 * READS) {
        UNROLLED
        for (int i = 0; i < READS; i++) sums[i] = wasm_f32x4_add(sums[i], wasm_v128_load(memory + 4 * i));
    }
    UNROLLED
    for (int i = 1; i < READS; i++) sums[0] = wasm_f32x4_add(sums[0], sums[i]);
    return wasm_f32x4_extract_lane(sums[0], 0) + wasm_f32x4_extract_lane(sums[0], 1) +
           wasm_f32x4_extract_lane(sums[0], 2) + wasm_f32x4_extract_lane(sums[0], 3);
}
