/* SPDX-License-Identifier: Apache-2.0
 *
 * lookup.c - see lookup.h. Eight keys have a sum each: enough to hide the latency of the additions.
 */
#include "lookup.h"

#include "vec.h"

#define UNROLL _Pragma("unroll")

void attn_lookup_sums(float *scores, size_t stride, size_t heads, const struct attn_lookup *lookup) {
    const size_t table_floats = ATTN_LOOKUP_HEADS * lookup->codes;
    const uint8_t *unit = lookup->units;
    for (size_t n = 0; n < lookup->unit_count; n++, unit += lookup->unit_bytes, scores += ATTN_LOOKUP_KEYS) {
        vec sums[ATTN_LOOKUP_KEYS];
        const uint8_t *codes = unit;
        const float *table = lookup->tables;
        UNROLL for (size_t j = 0; j < ATTN_LOOKUP_KEYS; j++) sums[j] = vec_splat(0);
        for (size_t t = 0; t < lookup->table_count; t++, table += table_floats, codes += ATTN_LOOKUP_KEYS) {
            UNROLL for (size_t j = 0; j < ATTN_LOOKUP_KEYS; j++) {
                sums[j] = vec_add(sums[j], vec_load(table + (size_t)codes[j] * ATTN_LOOKUP_HEADS));
            }
        }
        vec_transpose(sums), vec_transpose(sums + 4);
        for (size_t h = 0; h < heads; h++) {
            vec_store(scores + h * stride, sums[h]), vec_store(scores + h * stride + 4, sums[4 + h]);
        }
    }
}
