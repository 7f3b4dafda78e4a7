/* SPDX-License-Identifier: Apache-2.0
 *
 * tile.c - the table of tile.h.
 */
#include "tile.h"

#define LIST(type)                                                                                                     \
    {attn_tile_##type##_multiply, attn_tile_##type##_multiply_kept, attn_tile_##type##_dot,                            \
     attn_tile_##type##_is_finite},

const struct attn_tile_kernels attn_tile_kernels[] = {ATTN_TILE_TYPES(LIST)};
