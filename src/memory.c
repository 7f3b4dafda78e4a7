/* SPDX-License-Identifier: Apache-2.0
 *
 * memory.c - boundary tags with one free list per power of two: freeing costs the same however many blocks there
 * are, allocating looks through one list at most. Everything is counted in units of ATTN_ALIGNMENT bytes from the
 * base; nothing computes the address one past the end, which is 0 where a range reaches the top of memory.
 */
#include "memory.h"

#include <stdint.h>

#include "attn.h"

#define UNIT ((size_t)ATTN_ALIGNMENT)
#define LISTS (sizeof(size_t) * 8)
#define NONE ((size_t)0) /* no block: unit 0 belongs to the heap itself */

/* One unit in front of every block. Neighbouring blocks are never both free. */
struct block {
    size_t units;          /* this one included, so at least 2 */
    size_t before;         /* units of the block below, 0 for the first */
    size_t is_free;        /* what follows holds for free blocks only */
    size_t next, previous; /* in the list of its size */
};

struct attn_heap {
    size_t bytes; /* of the whole range */
    size_t end;   /* first unit above the blocks */
    size_t last;  /* block that ends there, or NONE */
    size_t used;  /* units in allocated blocks */
    size_t lists[LISTS];
};

#define FIRST ((sizeof(struct attn_heap) + UNIT - 1) / UNIT)

_Static_assert(sizeof(struct block) <= ATTN_ALIGNMENT, "a block's header is one unit");

static struct block *at(const struct attn_heap *heap, size_t unit) {
    return (struct block *)((uintptr_t)heap + unit * UNIT);
}

/* Sizes in [2^i, 2^(i + 1)) units live in list i. */
static size_t list_of(size_t units) {
    size_t list = 0;
    while (units >>= 1) list++;
    return list;
}

static void insert(struct attn_heap *heap, size_t unit) {
    struct block *block = at(heap, unit);
    size_t *head = &heap->lists[list_of(block->units)];
    block->is_free = 1;
    block->previous = NONE;
    block->next = *head;
    if (*head != NONE) at(heap, *head)->previous = unit;
    *head = unit;
}

static void detach(struct attn_heap *heap, size_t unit) {
    struct block *block = at(heap, unit);
    if (block->next != NONE) at(heap, block->next)->previous = block->previous;
    if (block->previous != NONE)
        at(heap, block->previous)->next = block->next;
    else
        heap->lists[list_of(block->units)] = block->next;
    block->is_free = 0;
}

/* Sets a block's size and tells the block above, or the heap, about it. */
static void resize(struct attn_heap *heap, size_t unit, size_t units) {
    at(heap, unit)->units = units;
    if (unit + units < heap->end)
        at(heap, unit + units)->before = units;
    else
        heap->last = unit;
}

/* Lists a block that is in no list, joined with its free neighbours. */
static void release(struct attn_heap *heap, size_t unit) {
    size_t units = at(heap, unit)->units, before = at(heap, unit)->before, above = unit + units;
    if (above < heap->end && at(heap, above)->is_free) {
        detach(heap, above);
        units += at(heap, above)->units;
    }
    if (before && at(heap, unit - before)->is_free) {
        detach(heap, unit - before);
        unit -= before;
        units += before;
    }
    resize(heap, unit, units);
    insert(heap, unit);
}

/* Units of a block for `bytes`, or 0 if no range could hold it. */
static size_t units_for(size_t bytes) {
    if (bytes > SIZE_MAX - 3 * UNIT) return 0;
    return 1 + (bytes ? (bytes + UNIT - 1) / UNIT : 1);
}

/* First fit in the list of this size; anything from the lists above it fits. */
static size_t find(const struct attn_heap *heap, size_t units) {
    size_t list = list_of(units), unit = heap->lists[list];
    while (unit != NONE && at(heap, unit)->units < units) unit = at(heap, unit)->next;
    while (unit == NONE && ++list < LISTS) unit = heap->lists[list];
    return unit;
}

struct attn_heap *attn_heap_init(void *base, size_t bytes) {
    struct attn_heap *heap = base;
    if (!base || (uintptr_t)base % UNIT || bytes < FIRST * UNIT) return NULL;
    *heap = (struct attn_heap){.bytes = FIRST * UNIT, .end = FIRST};
    attn_heap_extend(heap, bytes);
    return heap;
}

void attn_heap_extend(struct attn_heap *heap, size_t bytes) {
    size_t unit = heap->end, end = bytes / UNIT;
    if (bytes <= heap->bytes) return;
    heap->bytes = bytes;
    if (heap->last != NONE && at(heap, heap->last)->is_free) {
        unit = heap->last;
        detach(heap, unit);
    } else if (end - unit >= 2) {
        *at(heap, unit) = (struct block){.before = heap->last == NONE ? 0 : at(heap, heap->last)->units};
    } else {
        return; /* too little for a block yet */
    }
    heap->end = end;
    resize(heap, unit, end - unit);
    insert(heap, unit);
}

void *attn_heap_alloc(struct attn_heap *heap, size_t bytes) {
    size_t units = units_for(bytes), unit = units ? find(heap, units) : NONE, rest;
    if (unit == NONE) return NULL;
    detach(heap, unit);
    rest = at(heap, unit)->units - units;
    if (rest >= 2) {
        *at(heap, unit + units) = (struct block){.before = units};
        resize(heap, unit + units, rest);
        resize(heap, unit, units);
        insert(heap, unit + units);
    }
    heap->used += at(heap, unit)->units;
    return at(heap, unit + 1);
}

void attn_heap_free(struct attn_heap *heap, void *block) {
    size_t unit;
    if (!block) return;
    unit = ((uintptr_t)block - (uintptr_t)heap) / UNIT - 1;
    heap->used -= at(heap, unit)->units;
    release(heap, unit);
}

size_t attn_heap_shortfall(const struct attn_heap *heap, size_t bytes) {
    size_t units = units_for(bytes), start = heap->end, need;
    if (!units) return SIZE_MAX;
    if (find(heap, units) != NONE) return 0;
    if (heap->last != NONE && at(heap, heap->last)->is_free) start = heap->last;
    if (units > SIZE_MAX / UNIT - start) return SIZE_MAX;
    need = (start + units) * UNIT;
    return need - 1 > SIZE_MAX - (uintptr_t)heap ? SIZE_MAX : need - heap->bytes;
}

size_t attn_heap_used(const struct attn_heap *heap) { return heap->used * UNIT; }
