/* SPDX-License-Identifier: Apache-2.0
 *
 * logits.h - the logits of a row: its dot products scaled and capped, with what ALiBi and the attention mask add.
 */
#ifndef ATTN_LOGITS_H
#define ATTN_LOGITS_H

#include "masker.h"

/* Dot products [call->stride] of all keys, of which `scaling` is what they still lack, become logits, those of eligible
 * keys at least. */
void attn_logits_finish(const struct attn_masker_call *call, const struct attn_candidates *candidates, float *scores,
                        float scaling);

/* Logits of the row with the keys of a list; those of the others are not computed. `logits` has room for a multiple of
 * 4, `scratch` for 2 * dim floats. */
void attn_logits_listed(float *logits, const struct attn_masker_call *call, const struct attn_candidates *candidates,
                        const uint32_t *keys, size_t count, float *scratch);

/* Dot products of a row [dim] with listed keys of a group, likewise; scratch has room for dim floats. */
void attn_dots_listed(float *dots, const struct attn_problem *problem, size_t batch, size_t group, const float *row,
                      const uint32_t *keys, size_t count, float *scratch);

#endif
