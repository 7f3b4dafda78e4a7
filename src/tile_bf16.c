/* SPDX-License-Identifier: Apache-2.0
 *
 * tile_bf16.c - the kernels on bfloat16, widened as they are loaded.
 */
#include "vec.h"

#define KERNEL(name) attn_tile_bf16_##name
#define ELEMENT uint16_t
#define LOAD_FOUR vec_load_bfloat16

#include "tile_kernels.h"
