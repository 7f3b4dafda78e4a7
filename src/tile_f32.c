/* SPDX-License-Identifier: Apache-2.0
 *
 * tile_f32.c - the kernels on float32, and the one on panels.
 */
#include "vec.h"

#define KERNEL(name) attn_tile_f32_##name
#define ELEMENT float
#define LOAD_FOUR vec_load

#include "tile_kernels.h"

void attn_tile_multiply(float *c, size_t c_stride, const float *rescale, const float *a, size_t a_stride, size_t rows,
                        struct attn_panels b, size_t panels, size_t depth, size_t first_block, size_t block) {
    const struct matrix matrix = {.panels = b};
    multiply_all((struct product){c, c_stride, rescale, a, a_stride, matrix, panels, depth, first_block, block}, rows,
                 0);
}
