/* SPDX-License-Identifier: Apache-2.0
 *
 * source.h - element types: where a row of a tensor lies, and how it becomes float32.
 */
#ifndef ATTN_SOURCE_H
#define ATTN_SOURCE_H

#include "attn.h"

#define ATTN_CACHE_LINE 64 /* bytes; where lines are longer, some are asked for twice */

/* Bytes of one element, or 0 for an unknown type. */
size_t attn_dtype_bytes(enum attn_dtype dtype);

static inline size_t attn_tensor_offset(const struct attn_tensor *tensor, size_t batch, size_t head, size_t row) {
    return batch * tensor->batch_stride + head * tensor->head_stride + row * tensor->row_stride;
}

/* Row (batch, head, row) as `count` floats: the tensor's own memory where it is float32, else widened into scratch. */
const float *attn_source_row(const struct attn_tensor *tensor, size_t batch, size_t head, size_t row, size_t count,
                             float *scratch);

/* Where row (batch, head, row) stands. */
const void *attn_source_address(const struct attn_tensor *tensor, size_t batch, size_t head, size_t row);

/* Asks for the cache lines of one row, by reads of each that nothing waits for: eight at a time, as a branch after each
 * would keep the CPU from running ahead to the next row. */
static inline void attn_source_ask(const void *row, size_t bytes) {
    const volatile uint8_t *next = row;
    for (; bytes >= 8 * ATTN_CACHE_LINE; bytes -= 8 * ATTN_CACHE_LINE, next += 8 * ATTN_CACHE_LINE) {
        _Pragma("unroll") for (size_t n = 0; n < 8; n++) { (void)next[n * ATTN_CACHE_LINE]; }
    }
    for (size_t n = 0; n < bytes; n += ATTN_CACHE_LINE) (void)next[n];
}

/* Asks for the cache lines of rows [row, row + rows), all at once: faster than missing them one after the other.
 * Returns whether the kernels can read them there, which they cannot where float16 is infinite or NaN. */
int attn_source_fetch(const struct attn_tensor *tensor, size_t batch, size_t head, size_t row, size_t rows,
                      size_t count);

/* Whether so many rows of a head are more than caches hold. */
int attn_source_is_far(const struct attn_tensor *tensor, size_t rows);

/* Where ascending rows stand, which are to be read at once, and are asked for where `ask` says so. Returns as
 * attn_source_fetch does. */
int attn_source_list(const void **addresses, const struct attn_tensor *tensor, size_t batch, size_t head,
                     const uint32_t *rows, size_t count, size_t columns, int ask);

/* The float at element `offset` of a tensor that is not boolean. */
float attn_source_float(const struct attn_tensor *tensor, size_t offset);

/* An array of one type as another; one of the two is float32. */
void attn_source_convert(void *destination, enum attn_dtype destination_dtype, const void *source,
                         enum attn_dtype source_dtype, size_t count);

#endif
