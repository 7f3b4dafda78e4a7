/* SPDX-License-Identifier: Apache-2.0
 *
 * tile_f16.c - the kernels on float16, widened as they are loaded. Infinities and NaNs are for others: see source.h.
 */
#include "vec.h"

#define KERNEL(name) attn_tile_f16_##name
#define ELEMENT uint16_t
#define LOAD_FOUR vec_load_float16

#include "tile_kernels.h"
