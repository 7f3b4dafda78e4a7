/* SPDX-License-Identifier: Apache-2.0
 *
 * lookup.h - scores that are sums of look-ups: each key has a code for every table, and its score is the sum of the
 * entries that they name. An entry has four query heads side by side, so that one load serves them all.
 */
#ifndef ATTN_LOOKUP_H
#define ATTN_LOOKUP_H

#include <stddef.h>
#include <stdint.h>

#define ATTN_LOOKUP_KEYS 8  /* keys whose codes stand together */
#define ATTN_LOOKUP_HEADS 4 /* of an entry */

struct attn_lookup {
    const float *tables; /* [table_count, codes, 4] */
    size_t table_count, codes;
    const uint8_t *units; /* every unit_bytes the codes [table_count, 8] of eight keys */
    size_t unit_bytes, unit_count;
};

/* scores[h * stride + 8 * n + j] of the first `heads` <= 4 heads, key j of unit n; tables are summed in their order. */
void attn_lookup_sums(float *scores, size_t stride, size_t heads, const struct attn_lookup *lookup);

#endif
