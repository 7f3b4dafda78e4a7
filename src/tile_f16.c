/* SPDX-License-Identifier: Apache-2.0
 *
 * tile_f16.c - the kernels on float16, widened as they are loaded; exactly at a second attempt, where there are
 * infinities or NaNs.
 */
#include "vec.h"

#define KERNEL(name) attn_tile_f16_##name
#define ELEMENT uint16_t

static inline vec load_four(const uint16_t *p, vec *largest) { return vec_load_float16(p, largest); }
static inline int is_exact(vec largest) { return vec_max_lane(largest) < 0x1p16f; }
static inline vec load_exactly(const uint16_t *p) {
    vec largest = vec_splat(0), v = vec_load_float16(p, &largest);
    if (is_exact(largest)) return v;
    float widened[4];
    vec_store(widened, v);
    for (int i = 0; i < 4; i++) {
        if ((p[i] & 0x7c00) != 0x7c00) continue;
        widened[i] = p[i] & 0x3ff ? __builtin_nanf("") : p[i] & 0x8000 ? -__builtin_inff() : __builtin_inff();
    }
    return vec_load(widened);
}

#include "tile_kernels.h"
