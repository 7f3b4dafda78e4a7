/* SPDX-License-Identifier: Apache-2.0
 *
 * socket.c - SOCKET: keys are hashed hard, queries softly (after locality-sensitive hashing by signed random projections:
 * Charikar, "Similarity Estimation Techniques from Rounding Algorithms", 2002).
 *     bucket_l(k) has bit i set where k . r_li >= 0, of `bits` bits, for each table l
 *     p_l(q)[b] = product over i of sigmoid(+-(q / |q|) . r_li / temperature), + where bit i of b is set: a distribution
 *     score_j = (sum over l of p_l(q)[bucket_l(k_j)]) |v_j|
 * The projections r are the same for all heads: elements are the sum of eight uniform numbers of 16 bits, centred and
 * scaled to variance 1, which is exact integer arithmetic and normal but for its far tails.
 *
 * A part of the index begins with the projections [tables, bits, dim]. A unit is eight keys: norms [value heads that the
 * heads of the key head read, 8] as floats, then buckets [tables, 8].
 */
#include "masker.h"

#include "lookup.h"
#include "rng.h"
#include "source.h"
#include "tile.h"
#include "vec_math.h"

#define KEYS ATTN_LOOKUP_KEYS
#define HEADS ATTN_LOOKUP_HEADS
#define UNITS 64          /* scored before their norms are multiplied */
#define DRAWS 0x534b0000u /* "SK": what tells its draws from others of the same seed */

/* Value heads [begin, end) that the query heads of a key head read, however many these are. */
struct heads {
    size_t begin, end;
};

static struct heads value_heads(const struct attn_problem *p, size_t key_head) {
    const uint64_t begin = (uint64_t)key_head * p->value_heads, end = begin + p->value_heads;
    return (struct heads){(size_t)(begin / p->key_heads), (size_t)((end + p->key_heads - 1) / p->key_heads)};
}

static size_t most_value_heads(const struct attn_problem *p) {
    size_t most = 0;
    for (size_t head = 0; head < p->key_heads; head++) {
        const struct heads heads = value_heads(p, head);
        most = attn_larger(most, heads.end - heads.begin);
    }
    return most;
}

static void layout(struct attn_index_layout *layout, const struct attn_masker *masker,
                   const struct attn_problem *problem) {
    layout->heads = problem->key_heads;
    layout->header_bytes = 4 * masker->tables * masker->bits * problem->dim;
    layout->unit_keys = KEYS;
    layout->unit_bytes = KEYS * (4 * most_value_heads(problem) + masker->tables);
    /* more floats than header or scratch have for each table */
    const uint64_t floats =
        masker->bits * ((uint64_t)problem->dim + ATTN_TILE_KEYS) + ((uint64_t)HEADS << masker->bits);
    layout->is_too_large = masker->tables > SIZE_MAX / 16 / floats;
}

/* Scratch of appending, and in its place of scoring, in floats: a row of values and the dot products of a tile of keys;
 * queries, dot products of four of them, and their tables. */
static size_t scratch_bytes(const struct attn_masker *masker, const struct attn_problem *problem) {
    const size_t projections = masker->tables * masker->bits, buckets = masker->tables << masker->bits;
    return 4 * attn_larger(problem->value_dim + projections * ATTN_TILE_KEYS,
                           attn_masker_group_heads(problem) * problem->dim + (projections + buckets) * HEADS);
}

static void draw_projections(const struct attn_masker *masker, float *projections, size_t dim) {
    const uint32_t key[2] = {masker->seed_low ^ DRAWS, masker->seed_high};
    const float scale = 0x1.3988e2p-16f; /* sqrt(12 / 8) / 2^16 */
    const size_t count = masker->tables * masker->bits * dim;
    uint32_t words[16];
    for (size_t n = 0; n < count; n++) {
        const uint32_t counter[4] = {(uint32_t)n, 0, 0, 0}, *own = words + n % 4 * 4;
        int32_t sum = -4 * 65535;
        if (n % 4 == 0) attn_philox4x32_four(words, counter, key);
        for (size_t i = 0; i < 4; i++) sum += (int32_t)(own[i] & 0xffff) + (int32_t)(own[i] >> 16);
        projections[n] = (float)sum * scale;
    }
}

static float norm_of(const float *row, size_t count) {
    double square = 0;
    for (size_t d = 0; d < count; d++) square += (double)row[d] * row[d];
    return (float)__builtin_sqrt(square);
}

/* Buckets of keys [begin, begin + some), at most a tile of them, from their dot products [tables * bits, tile]. */
static void hash(const struct attn_masker_call *call, size_t batch, size_t head, const float *dots, size_t begin,
                 size_t some) {
    const struct attn_masker *masker = call->masker;
    const size_t norms = 4 * KEYS * most_value_heads(call->problem);
    for (size_t j = 0; j < some; j++) {
        uint8_t *codes = attn_index_unit(call, batch, head, begin + j) + norms + (begin + j) % KEYS;
        for (size_t t = 0; t < masker->tables; t++) {
            unsigned bucket = 0;
            for (size_t i = 0; i < masker->bits; i++) {
                bucket |= (unsigned)(dots[(t * masker->bits + i) * ATTN_TILE_KEYS + j] >= 0) << i;
            }
            codes[t * KEYS] = (uint8_t)bucket;
        }
    }
}

static void append(const struct attn_masker_call *call, size_t batch, size_t head, size_t begin, size_t end) {
    const struct attn_problem *p = call->problem;
    const struct heads heads = value_heads(p, head);
    float *projections = (float *)(void *)attn_index_part(call, batch, head);
    float *row = call->scratch, *dots = row + p->value_dim;
    if (!begin) draw_projections(call->masker, projections, p->dim);
    for (size_t n = begin; n < end; n += ATTN_TILE_KEYS) {
        const void *addresses[ATTN_TILE_KEYS];
        const size_t some = attn_smaller(ATTN_TILE_KEYS, end - n);
        for (size_t j = 0; j < some; j++) addresses[j] = attn_source_address(&p->keys, batch, head, n + j);
        attn_tile_kernels[p->keys.dtype].dot(dots, ATTN_TILE_KEYS, projections, p->dim,
                                             call->masker->tables * call->masker->bits, addresses, some, p->dim);
        hash(call, batch, head, dots, n, some);
    }
    for (size_t v = heads.begin; v < heads.end; v++) {
        for (size_t n = begin; n < end; n++) {
            float *norms = (float *)(void *)attn_index_unit(call, batch, head, n) + (v - heads.begin) * KEYS;
            norms[n % KEYS] = norm_of(attn_source_row(&p->values, batch, v, n, p->value_dim, row), p->value_dim);
        }
    }
}

/* Distributions of four heads over the buckets of a table, from their projections [bits, 4], divided by temperature. */
static void spread(float *table, const float *projected, size_t bits, const struct vec_exp_constants *constants) {
    const vec one = vec_splat(1), zero = vec_splat(0);
    vec_store(table, one);
    for (size_t i = 0; i < bits; i++) {
        const vec x = vec_load(projected + HEADS * i), decay = vec_exp(vec_sub(zero, vec_abs(x)), constants);
        const vec likely = vec_div(one, vec_add(one, decay)), unlikely = vec_mul(decay, likely);
        const vec is_negative = vec_less(x, zero);
        const vec set = vec_select(is_negative, unlikely, likely), clear = vec_select(is_negative, likely, unlikely);
        const size_t buckets = (size_t)HEADS << i;
        for (size_t b = 0; b < buckets; b += HEADS) {
            const vec p = vec_load(table + b);
            vec_store(table + buckets + b, vec_mul(p, set)), vec_store(table + b, vec_mul(p, clear));
        }
    }
}

/* Tables of four heads, whose queries stand at `rows`; the last of `some` repeats. */
static void make_tables(const struct attn_masker_call *call, float *tables, float *projected, const float *projections,
                        const float *const rows[HEADS], size_t some) {
    const struct vec_exp_constants constants = vec_exp_constants();
    const struct attn_masker *masker = call->masker;
    const size_t dim = call->problem->dim, count = masker->tables * masker->bits;
    const void *addresses[HEADS];
    float factors[HEADS];
    for (size_t i = 0; i < HEADS; i++) {
        const float norm = norm_of(rows[i], dim);
        addresses[i] = rows[i];
        factors[i] = norm > 0 ? 1 / norm / masker->temperature : 0;
    }
    attn_tile_kernels[ATTN_FLOAT32].dot(projected, HEADS, projections, dim, count, addresses, some, dim);
    for (size_t n = 0; n < count; n++) {
        vec_store(projected + HEADS * n, vec_mul(vec_load(projected + HEADS * n), vec_load(factors)));
    }
    for (size_t t = 0; t < masker->tables; t++) {
        spread(tables + (t * HEADS << masker->bits), projected + t * masker->bits * HEADS, masker->bits, &constants);
    }
}

/* Multiplies scores of `units` units by the norms of the values that a head reads. */
static void weigh(float *scores, const uint8_t *unit, size_t unit_bytes, size_t units, size_t value_head) {
    for (size_t n = 0; n < units; n++, unit += unit_bytes, scores += KEYS) {
        const float *norms = (const float *)(const void *)unit + value_head * KEYS;
        vec_store(scores, vec_mul(vec_load(scores), vec_load(norms)));
        vec_store(scores + 4, vec_mul(vec_load(scores + 4), vec_load(norms + 4)));
    }
}

static void score(const struct attn_masker_call *call, size_t batch, size_t group, size_t query) {
    const struct attn_problem *p = call->problem;
    const struct attn_masker *masker = call->masker;
    const size_t unit_count = (p->k_len + KEYS - 1) / KEYS, norms = 4 * KEYS * most_value_heads(p);
    const size_t heads = call->group_heads, per_value_head = p->heads / p->value_heads;
    const struct heads values = value_heads(p, group);
    const float *projections = (const float *)(void *)attn_index_part(call, batch, group);
    float *queries = call->scratch, *projected = queries + heads * p->dim;
    float *tables = projected + masker->tables * masker->bits * HEADS;
    if (!unit_count) return; /* nor is there an index */
    attn_masker_queries(call, queries, batch, group, query);
    for (size_t h = 0; h < heads; h += HEADS) {
        const size_t some = attn_smaller(HEADS, heads - h);
        const float *rows[HEADS];
        for (size_t i = 0; i < HEADS; i++) rows[i] = queries + (h + attn_smaller(i, some - 1)) * p->dim;
        make_tables(call, tables, projected, projections, rows, some);
        for (size_t n = 0; n < unit_count; n += UNITS) {
            const uint8_t *unit = attn_index_unit(call, batch, group, n * KEYS);
            float *scores = call->scores + h * call->stride + n * KEYS;
            const struct attn_lookup lookup = {
                .tables = tables,
                .table_count = masker->tables,
                .codes = (size_t)1 << masker->bits,
                .units = unit + norms,
                .unit_bytes = call->layout.unit_bytes,
                .unit_count = attn_smaller(UNITS, unit_count - n),
            };
            attn_lookup_sums(scores, call->stride, some, &lookup);
            for (size_t i = 0; i < some; i++) {
                const size_t value_head = (group * heads + h + i) / per_value_head - values.begin;
                weigh(scores + i * call->stride, unit, lookup.unit_bytes, lookup.unit_count, value_head);
            }
        }
    }
}

const struct attn_masker_family attn_socket = {
    .layout = layout, .scratch_bytes = scratch_bytes, .append = append, .score = score, .choose = attn_choose_largest};
