/* SPDX-License-Identifier: Apache-2.0
 *
 * logits.c - see logits.h.
 */
#include "logits.h"

#include "source.h"
#include "tile.h"
#include "vec_math.h"

/* Scales and caps, up to a multiple of 4. */
static void scale(const struct attn_problem *p, float *scores, size_t count, float scaling) {
    if (scaling == 1 && p->softcap == 0) return;
    const struct vec_exp_constants exp_constants = vec_exp_constants();
    const struct vec_tanh_constants tanh_constants = vec_tanh_constants();
    const float inverse = p->softcap != 0 && 1 / p->softcap < 0x1p127f ? 1 / p->softcap : 0x1p127f;
    for (size_t j = 0; j < count; j += 4) {
        vec s = vec_mul(vec_load(scores + j), vec_splat(scaling));
        if (p->softcap != 0) {
            s = vec_mul(vec_tanh(vec_mul(s, vec_splat(inverse)), &tanh_constants, &exp_constants),
                        vec_splat(p->softcap));
        }
        vec_store(scores + j, s);
    }
}

void attn_logits_finish(const struct attn_masker_call *call, const struct attn_candidates *c, float *scores,
                        float scaling) {
    const struct attn_problem *p = call->problem;
    scale(p, scores, call->stride, scaling);
    attn_candidates_bias(c, scores, p);
}

void attn_dots_listed(float *dots, const struct attn_problem *problem, size_t batch, size_t group, const float *row,
                      const uint32_t *keys, size_t count, float *scratch) {
    const struct attn_tensor *tensor = &problem->keys;
    const size_t dim = problem->dim;
    const int is_far = attn_source_is_far(tensor, problem->k_len);
    for (size_t n = 0; n < count; n += ATTN_TILE_KEYS) {
        const void *addresses[ATTN_TILE_KEYS];
        const size_t some = attn_smaller(ATTN_TILE_KEYS, count - n);
        if (attn_source_list(addresses, tensor, batch, group, keys + n, some, dim, is_far)) {
            attn_tile_kernels[tensor->dtype].dot(dots + n, ATTN_TILE_KEYS, row, dim, 1, addresses, some, dim);
            continue;
        }
        for (size_t i = n; i < n + some; i++) { /* one by one, widened */
            const void *key = attn_source_row(tensor, batch, group, keys[i], dim, scratch);
            float sums[4];
            attn_tile_kernels[ATTN_FLOAT32].dot(sums, 4, row, dim, 1, &key, 1, dim);
            dots[i] = sums[0];
        }
    }
}

void attn_logits_listed(float *logits, const struct attn_masker_call *call, const struct attn_candidates *c,
                        const uint32_t *keys, size_t count, float *scratch) {
    const struct attn_problem *p = call->problem;
    const size_t batch = c->row.batch, head = c->row.head;
    const float *query = attn_source_row(&p->queries, batch, head, c->row.query, p->dim, scratch);
    attn_dots_listed(logits, p, batch, head / call->group_heads, query, keys, count, scratch + p->dim);
    scale(p, logits, count, p->scaling);
    for (size_t n = 0; attn_mask_is_biased(p) && n < count; n++) logits[n] += attn_mask_bias(p, &c->row, keys[n]);
}
