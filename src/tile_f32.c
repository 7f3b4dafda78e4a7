/* SPDX-License-Identifier: Apache-2.0
 *
 * tile_f32.c - the kernels on float32.
 */
#include "vec.h"

#define KERNEL(name) attn_tile_f32_##name
#define ELEMENT float
#define LOAD_FOUR vec_load
#define MOST_ROWS VEC_TILE_ROWS

#include "tile_kernels.h"
