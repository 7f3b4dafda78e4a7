/* SPDX-License-Identifier: Apache-2.0
 *
 * source.c - see source.h. Integer arithmetic on the bits: same result everywhere.
 */
#include "source.h"

#include "vec.h"

/* More than a core's own caches hold: rows of it are worth asking for before they are read. */
#define FAR_BYTES ((size_t)4 << 20)

union float_bits {
    float value;
    uint32_t bits;
};

size_t attn_dtype_bytes(enum attn_dtype dtype) {
    switch (dtype) {
    case ATTN_FLOAT32: return 4;
    case ATTN_FLOAT16:
    case ATTN_BFLOAT16: return 2;
    case ATTN_BOOL: return 1;
    }
    return 0;
}

static inline float widen_bfloat16(uint16_t h) { return (union float_bits){.bits = (uint32_t)h << 16}.value; }

static inline float widen_float16(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ff;
    union float_bits f;
    if (exponent == 31) {
        f.bits = sign | 0x7f800000 | mantissa << 13;
    } else if (exponent) {
        f.bits = sign | (exponent + 112) << 23 | mantissa << 13;
    } else {
        f.value = (float)mantissa * 0x1p-24f; /* subnormal: exact in float32 */
        f.bits |= sign;
    }
    return f.value;
}

static inline uint16_t narrow_bfloat16(float value) {
    uint32_t bits = (union float_bits){.value = value}.bits;
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40); /* a NaN stays one */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline uint16_t narrow_float16(float value) {
    uint32_t bits = (union float_bits){.value = value}.bits, magnitude = bits & 0x7fffffff;
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* 65520 and above round to infinity */
    if (magnitude < 0x38800000) {                                  /* below 2^-14: let the addition round */
        union float_bits f = {.bits = magnitude};
        f.value += 0.5f; /* one unit of 0.5's mantissa is 2^-24, the smallest subnormal */
        return (uint16_t)(sign | (f.bits - 0x3f000000));
    }
    return (uint16_t)(sign | (magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1)) >> 13);
}

static void widen_float16s(float *destination, const uint16_t *source, size_t count) {
    vec largest = vec_splat(0);
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        largest = vec_largest_float16(source + i, largest);
        vec_store(destination + i, vec_load_float16(source + i));
        vec_store(destination + i + 4, vec_load_float16(source + i + 4));
    }
    if (!vec_is_finite_float16(largest)) i = 0; /* infinities and NaNs are rare: all again */
    for (; i < count; i++) destination[i] = widen_float16(source[i]);
}

static void widen_bfloat16s(float *destination, const uint16_t *source, size_t count) {
    size_t i = 0;
    for (; i + 4 <= count; i += 4) vec_store(destination + i, vec_load_bfloat16(source + i));
    for (; i < count; i++) destination[i] = widen_bfloat16(source[i]);
}

static void widen(float *destination, const void *source, enum attn_dtype dtype, size_t count) {
    if (dtype == ATTN_FLOAT16) {
        widen_float16s(destination, source, count);
    } else {
        widen_bfloat16s(destination, source, count);
    }
}

const float *attn_source_row(const struct attn_tensor *tensor, size_t batch, size_t head, size_t row, size_t count,
                             float *scratch) {
    if (!count) return scratch; /* an empty row's stride may lead anywhere, and its data be NULL */
    size_t offset = attn_tensor_offset(tensor, batch, head, row);
    if (tensor->dtype == ATTN_FLOAT32) return (const float *)tensor->data + offset;
    widen(scratch, (const uint16_t *)tensor->data + offset, tensor->dtype, count);
    return scratch;
}

const void *attn_source_address(const struct attn_tensor *tensor, size_t batch, size_t head, size_t row) {
    return (const uint8_t *)tensor->data +
           attn_tensor_offset(tensor, batch, head, row) * attn_dtype_bytes(tensor->dtype);
}

int attn_source_fetch(const struct attn_tensor *tensor, size_t batch, size_t head, size_t row, size_t rows,
                      size_t count) {
    if (!count) return 1;
    if (tensor->row_stride == count) count *= rows, rows = 1; /* one piece */
    const size_t size = attn_dtype_bytes(tensor->dtype);
    vec largest = vec_splat(0);
    int is_finite = 1;
    for (size_t end = row + rows; row < end; row++) {
        const void *p = attn_source_address(tensor, batch, head, row);
        if (tensor->dtype == ATTN_FLOAT16) {
            const uint16_t *half = p;
            size_t i = 0;
            for (; i + 8 <= count; i += 8) largest = vec_largest_float16(half + i, largest);
            for (; i < count; i++) is_finite &= (half[i] & 0x7c00) != 0x7c00;
        } else {
            const volatile uint8_t *line = p;
            for (size_t i = 0; i < count * size; i += ATTN_CACHE_LINE) (void)line[i];
            (void)line[count * size - 1];
        }
    }
    return is_finite && vec_is_finite_float16(largest);
}

/* How many of the rows around the middle one follow each other, 1, 2, 4, 8 or 16. */
static size_t run_length(const uint32_t *rows, size_t count) {
    const uint32_t *middle = rows + count / 2;
    size_t run = 1;
    while (run < 16 && count / 2 + 2 * run <= count && middle[2 * run - 1] - middle[0] == 2 * run - 1) run *= 2;
    return run;
}

int attn_source_is_far(const struct attn_tensor *tensor, size_t rows) {
    return rows > FAR_BYTES / attn_dtype_bytes(tensor->dtype) / (tensor->row_stride ? tensor->row_stride : 1);
}

int attn_source_list(const void **addresses, const struct attn_tensor *tensor, size_t batch, size_t head,
                     const uint32_t *rows, size_t count, size_t columns, int ask) {
    /* strides of a tensor without columns may lead anywhere, and its data be NULL */
    const uint8_t *base = columns ? attn_source_address(tensor, batch, head, 0) : (const uint8_t *)tensor;
    const size_t stride = columns ? tensor->row_stride * attn_dtype_bytes(tensor->dtype) : 0;
    int is_readable = 1;
    for (size_t n = 0; n < count; n++) addresses[n] = base + rows[n] * stride;
    const size_t run = ask ? run_length(rows, count) : 0;
    for (size_t first = 0; first < run; first++) { /* rows that follow each other are streams, side by side */
        for (size_t n = first; n < count; n += run)
            attn_source_ask(addresses[n], columns * attn_dtype_bytes(tensor->dtype));
    }
    if (tensor->dtype != ATTN_FLOAT16) return 1;
    for (size_t n = 0; n < count; n++) is_readable &= attn_source_fetch(tensor, batch, head, rows[n], 1, columns);
    return is_readable;
}

float attn_source_float(const struct attn_tensor *tensor, size_t offset) {
    switch (tensor->dtype) {
    case ATTN_FLOAT16: return widen_float16(((const uint16_t *)tensor->data)[offset]);
    case ATTN_BFLOAT16: return widen_bfloat16(((const uint16_t *)tensor->data)[offset]);
    default: return ((const float *)tensor->data)[offset];
    }
}

void attn_source_convert(void *destination, enum attn_dtype destination_dtype, const void *source,
                         enum attn_dtype source_dtype, size_t count) {
    if (destination_dtype == ATTN_FLOAT32) {
        widen(destination, source, source_dtype, count);
    } else if (destination_dtype == ATTN_FLOAT16) {
        for (size_t i = 0; i < count; i++) ((uint16_t *)destination)[i] = narrow_float16(((const float *)source)[i]);
    } else {
        for (size_t i = 0; i < count; i++) ((uint16_t *)destination)[i] = narrow_bfloat16(((const float *)source)[i]);
    }
}
