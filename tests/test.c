/* SPDX-License-Identifier: Apache-2.0
 *
 * test.c - the tests of the C library in one program:  test [cases [first seed]]
 *
 * Parts on their own first, then whole problems against the double-precision reference: a fixed grid of them, and
 * random ones. A random case that fails prints its seed; `test 1 SEED` runs that case alone.
 */
#include "test.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cases.h"

static unsigned passed, failed;

int check(int ok, const char *format, ...) {
    if (ok) return passed++, 1;
    if (failed++ < FAILURES_SHOWN) {
        va_list arguments;
        va_start(arguments, format);
        printf("FAILED: ");
        vprintf(format, arguments);
        printf("\n");
        va_end(arguments);
    }
    return 0;
}

unsigned checks_failed(void) { return failed; }

static void *or_exit(void *block) {
    if (block) return block;
    printf("out of memory\n");
    exit(2);
}

void *allocate(size_t bytes) { return or_exit(malloc(bytes ? bytes : 1)); }

void *allocate_aligned(size_t bytes) {
    const size_t rounded = (bytes + ATTN_ALIGNMENT - 1) / ATTN_ALIGNMENT * ATTN_ALIGNMENT;
    return or_exit(aligned_alloc(ATTN_ALIGNMENT, rounded ? rounded : ATTN_ALIGNMENT));
}

int main(int argc, char **argv) {
    const uint32_t cases = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 6000;
    const uint32_t first_seed = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 0) : 1;
    const size_t arena_bytes = 4 * CASE_ARENA_BYTES;
    struct case_arena arena = {allocate_aligned(arena_bytes), arena_bytes, 0};
    if (argc < 3) {
        test_numbers();
        test_heap();
        test_statuses();
        test_kernels();
        test_slices();
        test_extremes();
        test_select();
        test_grid(&arena);
        test_masks(&arena);
        test_entries(&arena);
        test_maskers(&arena);
    }
    test_random_problems(&arena, cases, first_seed);
    free(arena.base);
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
