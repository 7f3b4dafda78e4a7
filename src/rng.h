/* SPDX-License-Identifier: Apache-2.0
 *
 * rng.h - Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw,
 * "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
 *
 * Published vectors (Random123, kat_vectors): counter, key -> words
 *     00000000 00000000 00000000 00000000, 00000000 00000000 -> 6627e8d5 e169c58d bc57ac4c 9b00dbd8
 *     ffffffff ffffffff ffffffff ffffffff, ffffffff ffffffff -> 408f276d 41c83b0e a20bc7c6 6d5451fd
 *     243f6a88 85a308d3 13198a2e 03707344, a4093822 299f31d0 -> d16cfe09 94fdcceb 5001e420 24126ea1
 */
#ifndef ATTN_RNG_H
#define ATTN_RNG_H

#include <stdint.h>

/* The words of counter, then of the three with counter[0] + 1, + 2 and + 3. */
void attn_philox4x32_four(uint32_t words[16], const uint32_t counter[4], const uint32_t key[2]);

#endif
