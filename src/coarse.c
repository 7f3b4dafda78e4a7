/* SPDX-License-Identifier: Apache-2.0
 *
 * coarse.c - see coarse.h.
 */
#include "coarse.h"

#include "vec.h"

#define INFINITY_ (__builtin_inff())
#define ROW_CODES 127

/* The largest magnitude, NaN or infinity if there is one. */
static float largest_magnitude(const float *values, size_t dim) {
    float largest = 0;
    for (size_t d = 0; d < dim; d++) {
        const float magnitude = __builtin_fabsf(values[d]);
        if (!(magnitude <= largest)) largest = magnitude;
        if (largest != largest) return largest;
    }
    return largest;
}

static float sum_of_magnitudes(const float *values, size_t dim) {
    float sum = 0;
    for (size_t d = 0; d < dim; d++) sum += __builtin_fabsf(values[d]);
    return sum;
}

void attn_coarse_write(struct attn_coarse_row *row, const float *values, size_t dim) {
    const float largest = largest_magnitude(values, dim);
    const int is_finite = largest < 0x1p120f; /* beyond, sums of products overflow soon enough */
    const float scale = is_finite && largest > 0x1p-100f ? largest / ROW_CODES : is_finite ? 0x1p-100f : 0;
    int32_t sum = 0;
    for (size_t d = 0; d < attn_coarse_padded(dim); d++) {
        const float code = is_finite && d < dim ? __builtin_rintf(values[d] / scale) : 0;
        row->codes[d] = (int8_t)(code < -ROW_CODES ? -ROW_CODES : code > ROW_CODES ? ROW_CODES : code);
        sum += row->codes[d] < 0 ? -row->codes[d] : row->codes[d];
    }
    row->scale = is_finite ? scale : INFINITY_;
    row->norm = scale * (float)sum;
}

struct attn_coarse_query attn_coarse_query(int16_t *codes, const float *values, size_t dim) {
    const float largest = largest_magnitude(values, dim);
    const int is_finite = largest < 0x1p120f;
    const size_t room = (size_t)INT32_MAX / ROW_CODES / (dim ? dim : 1); /* sums of products have 31 bits */
    const float most = room < INT16_MAX ? (float)room : INT16_MAX;
    const float step = is_finite && largest > 0x1p-100f ? largest / most : 0x1p-100f;
    for (size_t d = 0; d < attn_coarse_padded(dim); d++) {
        const float code = is_finite && d < dim ? __builtin_rintf(values[d] / step) : 0;
        codes[d] = (int16_t)(code < -most ? -most : code > most ? most : code);
    }
    return (struct attn_coarse_query){codes, step, is_finite ? sum_of_magnitudes(values, dim) : INFINITY_};
}

/* Of four rows; those beyond the last repeat it. */
static void bound_four(float *lower, float *upper, const struct attn_coarse_query *query,
                       const struct attn_coarse_row *const rows[4], size_t dim, float slack) {
    vec sums[4] = {vec_splat_u32(0), vec_splat_u32(0), vec_splat_u32(0), vec_splat_u32(0)};
    float scales[4], norms[4];
    for (size_t d = 0; d < dim; d += 16) {
        for (size_t n = 0; n < 4; n++) sums[n] = vec_dot_bytes(sums[n], rows[n]->codes + d, query->codes + d);
    }
    for (size_t n = 0; n < 4; n++) scales[n] = rows[n]->scale, norms[n] = rows[n]->norm;
    const vec scale = vec_load(scales), largest = vec_splat(INFINITY_), zero = vec_splat(0);
    const vec middle = vec_mul(vec_mul(scale, vec_splat(query->step)), vec_from_i32(vec_sum_each_i32(sums)));
    const vec error = vec_add(vec_mul(vec_mul(scale, vec_splat(slack)), vec_splat(query->norm)),
                              vec_mul(vec_load(norms), vec_splat(0.51f * query->step)));
    /* infinity - infinity and 0 * infinity are NaN: then nothing is known */
    const vec low = vec_sub(middle, error), high = vec_add(middle, error);
    vec_store(lower, vec_select(vec_equal(low, low), low, vec_sub(zero, largest)));
    vec_store(upper, vec_select(vec_equal(high, high), high, largest));
}

void attn_coarse_bounds(float *lower, float *upper, const struct attn_coarse_query *query, const void *rows,
                        size_t stride, size_t count, size_t dim) {
    /* half a step; sums of float32 products are off by up to dim * 2^-24 * sum |q_d r_d|, and what is written here too */
    const float slack = 0.5f + 2 * 0x1p-24f * ROW_CODES * (float)(dim + 16);
    for (size_t n = 0; n < count; n += 4) {
        const struct attn_coarse_row *four[4];
        for (size_t i = 0; i < 4; i++) {
            const size_t at = n + i < count ? n + i : count - 1;
            four[i] = (const struct attn_coarse_row *)((const uint8_t *)rows + at * stride);
        }
        bound_four(lower + n, upper + n, query, four, dim, slack);
    }
}
