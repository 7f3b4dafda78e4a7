/* SPDX-License-Identifier: Apache-2.0
 *
 * tile_bf16.c - the kernels on bfloat16, widened as they are loaded.
 */
#include "vec.h"

#define KERNEL(name) attn_tile_bf16_##name
#define ELEMENT uint16_t

static inline vec load_exactly(const uint16_t *p) { return vec_load_bfloat16(p); }
static inline vec load_four(const uint16_t *p, vec *largest) {
    (void)largest;
    return vec_load_bfloat16(p);
}
static inline int is_exact(vec largest) {
    (void)largest;
    return 1;
}

#include "tile_kernels.h"
