/* SPDX-License-Identifier: Apache-2.0
 *
 * tile_f32.c - the kernels on float32.
 */
#include "vec.h"

#define KERNEL(name) attn_tile_f32_##name
#define ELEMENT float

static inline vec load_exactly(const float *p) { return vec_load(p); }
static inline vec load_four(const float *p, vec *largest) {
    (void)largest;
    return vec_load(p);
}
static inline int is_exact(vec largest) {
    (void)largest;
    return 1;
}

#include "tile_kernels.h"
