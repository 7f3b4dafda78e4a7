/* SPDX-License-Identifier: Apache-2.0
 *
 * heap.c - the allocator of memory.h: random blocks never overlap or lose a byte, and all that is freed comes back.
 */
#include <stdlib.h>

#include "attn.h"
#include "cases.h"
#include "memory.h"
#include "test.h"

struct heap_block {
    unsigned char *data;
    size_t bytes;
    unsigned char mark;
};

static int intact(const struct heap_block *block) {
    size_t n = 0;
    while (n < block->bytes && block->data[n] == block->mark) n++;
    return n == block->bytes;
}

void test_heap(void) {
    enum { RANGE = 1 << 20, BLOCKS = 200 };
    unsigned char *base = allocate_aligned(RANGE);
    struct heap_block blocks[BLOCKS] = {{0}};
    struct case_random random = case_random_init(11, 0);
    size_t range = 64 << 10;
    CHECK(attn_heap_init(base, 0) == NULL);
    CHECK(attn_heap_init(base, 8) == NULL);
    CHECK(attn_heap_init(NULL, RANGE) == NULL);
    struct attn_heap *heap = attn_heap_init(base, range);
    if (!CHECK(heap != NULL)) return;
    CHECK(attn_heap_used(heap) == 0);
    CHECK(attn_heap_alloc(heap, RANGE) == NULL && attn_heap_used(heap) == 0);
    attn_heap_free(heap, NULL);

    unsigned lost = 0, overlaps = 0, misaligned = 0, outside = 0, wrong_shortfall = 0, refused = 0;
    for (int step = 0; step < 40000; step++) {
        struct heap_block *block = &blocks[case_random_below(&random, BLOCKS)];
        if (block->data) {
            lost += !intact(block);
            attn_heap_free(heap, block->data);
            block->data = NULL;
            continue;
        }
        block->bytes = case_random_below(&random, case_random_below(&random, 50) ? 700 : 40000);
        block->mark = (unsigned char)step;
        const size_t shortfall = attn_heap_shortfall(heap, block->bytes);
        block->data = attn_heap_alloc(heap, block->bytes);
        wrong_shortfall += (shortfall == 0) != (block->data != NULL);
        if (!block->data && shortfall <= RANGE - range && case_random_below(&random, 4) == 0) {
            attn_heap_extend(heap, range += shortfall - 1); /* a byte less is not enough */
            wrong_shortfall +=
                attn_heap_alloc(heap, block->bytes) != NULL || attn_heap_shortfall(heap, block->bytes) != 1;
            attn_heap_extend(heap, ++range);
            block->data = attn_heap_alloc(heap, block->bytes);
            wrong_shortfall += block->data == NULL;
        }
        refused += !block->data;
        if (!block->data) continue;
        misaligned += (uintptr_t)block->data % ATTN_ALIGNMENT != 0;
        outside += block->data < base || block->data + block->bytes > base + range;
        for (size_t n = 0; n < BLOCKS; n++)
            overlaps += &blocks[n] != block && blocks[n].data &&
                        block->data < blocks[n].data + blocks[n].bytes + !blocks[n].bytes &&
                        blocks[n].data < block->data + block->bytes + !block->bytes;
        memset(block->data, block->mark, block->bytes);
    }
    check(lost == 0, "heap: %u blocks lost their content", lost);
    check(overlaps == 0, "heap: %u blocks overlap", overlaps);
    check(misaligned == 0, "heap: %u blocks not aligned", misaligned);
    check(outside == 0, "heap: %u blocks outside the range", outside);
    check(wrong_shortfall == 0, "heap: attn_heap_shortfall was wrong %u times", wrong_shortfall);
    check(refused > 0 && range > 64 << 10, "heap: never came near its limits");

    for (size_t n = 0; n < BLOCKS; n++) attn_heap_free(heap, blocks[n].data);
    CHECK(attn_heap_used(heap) == 0);
    void *most = attn_heap_alloc(heap, range - 4096); /* what was freed has coalesced */
    CHECK(most != NULL && attn_heap_used(heap) >= range - 4096);
    CHECK(attn_heap_alloc(heap, 4096) == NULL);
    attn_heap_free(heap, most);
    CHECK(attn_heap_used(heap) == 0);

    void *none = attn_heap_alloc(heap, 0), *another = attn_heap_alloc(heap, 0);
    CHECK(none && another && none != another);
    attn_heap_free(heap, none);
    attn_heap_free(heap, another);
    for (size_t below = 0; below < 130; below++) {
        CHECK(attn_heap_alloc(heap, SIZE_MAX - below) == NULL);
        CHECK(attn_heap_shortfall(heap, SIZE_MAX - below) == SIZE_MAX);
    }
    CHECK(attn_heap_alloc(heap, SIZE_MAX / 2) == NULL);
    CHECK(attn_heap_used(heap) == 0);
    attn_heap_extend(heap, range); /* not growing is nothing */
    CHECK(attn_heap_used(heap) == 0 && attn_heap_shortfall(heap, range) > 0);
    free(base);
}
