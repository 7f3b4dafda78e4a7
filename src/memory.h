/* SPDX-License-Identifier: Apache-2.0
 *
 * memory.h - general allocator over one growing range of memory (the wasm linear memory above the stack).
 * Blocks are freed in any order and coalesce; the heap's own state lives at the start of the range, so the
 * module has no mutable static data.
 */
#ifndef ATTN_MEMORY_H
#define ATTN_MEMORY_H

#include <stddef.h>

struct attn_heap;

/* Takes over [base, base + bytes). base is aligned to ATTN_ALIGNMENT. NULL if the range is too small. */
struct attn_heap *attn_heap_init(void *base, size_t bytes);

/* Tells the heap that its range has grown to [base, base + bytes). */
void attn_heap_extend(struct attn_heap *heap, size_t bytes);

/* A block aligned to ATTN_ALIGNMENT, or NULL where no free range is large enough; 0 bytes give a block too. */
void *attn_heap_alloc(struct attn_heap *heap, size_t bytes);

/* Gives a block back; NULL is ignored. */
void attn_heap_free(struct attn_heap *heap, void *block);

/* Bytes the heap must grow by so that an allocation of `bytes` succeeds; 0 if it would now, SIZE_MAX if it never can. */
size_t attn_heap_shortfall(const struct attn_heap *heap, size_t bytes);

/* Bytes in allocated blocks, headers included. */
size_t attn_heap_used(const struct attn_heap *heap);

#endif
