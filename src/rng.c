/* SPDX-License-Identifier: Apache-2.0
 *
 * rng.c - Philox4x32-10: ten rounds of two 32 x 32 -> 64 bit products, the key bumped by Weyl constants in between.
 */
#include "rng.h"

#include "vec.h"

void attn_philox4x32_four(uint32_t words[16], const uint32_t counter[4], const uint32_t key[2]) {
    const uint32_t steps[4] = {0, 1, 2, 3};
    const vec multiplier0 = vec_splat_u32(0xD2511F53), multiplier1 = vec_splat_u32(0xCD9E8D57);
    uint32_t key0 = key[0], key1 = key[1];
    vec c[4]; /* lane n belongs to the n-th counter */
    for (int i = 0; i < 4; i++) c[i] = vec_splat_u32(counter[i]);
    c[0] = vec_add_u32(c[0], vec_load_u32(steps));

    for (int round = 0; round < 10; round++) {
        vec high0, high1;
        const vec low0 = vec_multiply_u32(c[0], multiplier0, &high0),
                  low1 = vec_multiply_u32(c[2], multiplier1, &high1);
        c[0] = vec_xor(vec_xor(high1, c[1]), vec_splat_u32(key0));
        c[1] = low1;
        c[2] = vec_xor(vec_xor(high0, c[3]), vec_splat_u32(key1));
        c[3] = low0;
        key0 += UINT32_C(0x9E3779B9); /* golden ratio */
        key1 += UINT32_C(0xBB67AE85); /* sqrt(3) - 1 */
    }
    vec_transpose(c);
    for (int i = 0; i < 4; i++) vec_store_u32(words + 4 * i, c[i]);
}
