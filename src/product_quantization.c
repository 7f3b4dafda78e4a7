/* SPDX-License-Identifier: Apache-2.0
 *
 * product_quantization.c - see product_quantization.h.
 *     code_s(k) = the c that minimises |k_s - centroid_s[c]|^2, or maximises k_s . centroid_s[c]
 *     logit(k) = sum over sub-vectors s of (scaling * q_s) . centroid_s[code_s(k)], capped and biased as any logit
 *
 * If the first keys that are appended are more than there are codes, k-means (Lloyd) makes centroids of them: of at most
 * SAMPLES keys, evenly spaced, from distinct ones of them that the seed draws; an empty cluster keeps its centroid. Else
 * each key becomes a centroid until all are taken. After that a key only gets the codes of the nearest: nothing is made
 * again. Elements that are not finite count as 0, or one key would spoil the centroid of many.
 *
 * A part of the index begins with the number of centroids, then come offsets [sub_vectors, codes], half a centroid's
 * square, negative, and centroids [sub_vectors, codes, sub_dim]. A unit is eight keys: codes [sub_vectors, 8].
 */
#include "product_quantization.h"

#include "logits.h"
#include "lookup.h"
#include "pack.h"
#include "rng.h"
#include "source.h"
#include "vec.h"

#define KEYS ATTN_LOOKUP_KEYS
#define HEADS ATTN_LOOKUP_HEADS
#define UNROLL _Pragma("unroll")
#define TOGETHER 4        /* centroids that are compared at a time */
#define SAMPLES 4096      /* keys of k-means */
#define HEADER_FLOATS 16  /* before the offsets */
#define DRAWS 0x50510000u /* "PQ": what tells its draws from others of the same seed */

static size_t codes_of(const struct attn_masker *masker) { return (size_t)1 << masker->bits; }

void attn_pq_layout(struct attn_index_layout *layout, const struct attn_masker *masker,
                    const struct attn_problem *problem) {
    layout->heads = problem->key_heads;
    layout->header_bytes = 4 * (HEADER_FLOATS + codes_of(masker) * (masker->sub_vectors + problem->dim));
    layout->unit_keys = KEYS;
    layout->unit_bytes = KEYS * masker->sub_vectors;
    /* more floats than header or scratch have, of which each is some vectors' */
    const uint64_t vectors = SAMPLES + 2 * KEYS + HEADS + 8 * codes_of(masker) + attn_masker_group_heads(problem);
    layout->is_too_large = vectors * (problem->dim + HEADER_FLOATS) > SIZE_MAX / 8;
}

/* A head's centroids. */
struct book {
    uint32_t *count;
    size_t codes, sub_vectors, sub_dim;
    float *offsets, *centroids;
};

static struct book book_of(const struct attn_masker_call *call, size_t batch, size_t head) {
    const struct attn_masker *masker = call->masker;
    uint8_t *part = attn_index_part(call, batch, head);
    float *offsets = (float *)(void *)part + HEADER_FLOATS;
    return (struct book){
        .count = (uint32_t *)(void *)part,
        .codes = codes_of(masker),
        .sub_vectors = masker->sub_vectors,
        .sub_dim = call->problem->dim / masker->sub_vectors,
        .offsets = offsets,
        .centroids = offsets + codes_of(masker) * masker->sub_vectors,
    };
}

static float *offset_of(const struct book *book, size_t sub, size_t code) {
    return book->offsets + sub * book->codes + code;
}
static float *centroid_of(const struct book *book, size_t sub, size_t code) {
    return book->centroids + (sub * book->codes + code) * book->sub_dim;
}

/* ---- scratch: of appending, and in its place of scoring ---- */

struct scratch {
    float *rows;     /* [8, dim]: what is not float32 */
    float *panels;   /* of sub-vectors, [sub_dim, 8] each: samples of one, or all of eight keys */
    float *sums;     /* [codes, sub_dim] */
    uint32_t *sizes; /* [codes]: of clusters */
    uint32_t *order; /* of samples, shuffled as far as they are drawn */
    uint8_t *assigned;
    float *queries, *tables; /* [group_heads, dim], [dim, 4]; of four heads [sub_vectors, codes, 4] */
    size_t floats;
};

static size_t samples_of(const struct attn_problem *problem) {
    return (attn_smaller(SAMPLES, problem->k_len) + KEYS - 1) / KEYS * KEYS;
}

static struct scratch scratch_in(float *floats, const struct attn_masker *masker, const struct attn_problem *problem) {
    const size_t codes = codes_of(masker), dim = problem->dim, sub_dim = dim / masker->sub_vectors;
    const size_t samples = samples_of(problem), group_heads = attn_masker_group_heads(problem);
    const size_t rows = KEYS * dim, panels = attn_larger(samples * sub_dim, rows), sums = codes * sub_dim;
    const size_t queries = (group_heads + HEADS) * dim, tables = codes * masker->sub_vectors * HEADS;
    struct scratch s = {.rows = floats};
    if (floats) {
        s.panels = s.rows + rows, s.sums = s.panels + panels;
        s.sizes = (uint32_t *)(s.sums + sums), s.order = s.sizes + codes, s.assigned = (uint8_t *)(s.order + samples);
        s.queries = floats, s.tables = floats + queries;
    }
    s.floats = attn_larger(rows + panels + sums + codes + samples + samples / 4, queries + tables);
    return s;
}

size_t attn_pq_scratch_bytes(const struct attn_masker *masker, const struct attn_problem *problem) {
    return 4 * scratch_in(NULL, masker, problem).floats;
}

/* ---- assignment ---- */

static void clean(float *panel, size_t count) {
    const vec zero = vec_splat(0);
    for (size_t n = 0; n < count; n += 4) {
        const vec v = vec_load(panel + n);
        vec_store(panel + n, vec_and(v, vec_equal(vec_mul(v, zero), zero)));
    }
}

/* The sub-vectors `sub` and the `count` that follow of eight keys as a panel; beyond `some` the last one repeats. */
static void pack_keys(float *panel, float *rows, const struct attn_tensor *keys, size_t batch, size_t head,
                      const size_t *columns, size_t some, size_t begin, size_t count) {
    struct attn_tensor part = *keys;
    const float *sources[KEYS];
    part.data = (const uint8_t *)keys->data + begin * attn_dtype_bytes(keys->dtype);
    for (size_t j = 0; j < KEYS; j++) {
        sources[j] =
            j < some ? attn_source_row(&part, batch, head, columns[j], count, rows + j * count) : sources[j - 1];
    }
    attn_pack_columns_f32(panel, sources, count);
    clean(panel, KEYS * count);
}

/* Which of `count` centroids are nearest to eight sub-vectors; of equals the first. */
static void nearest(uint8_t codes[KEYS], const float *panel, const struct book *book, size_t sub, size_t count) {
    const size_t sub_dim = book->sub_dim;
    vec best[2] = {vec_splat(-__builtin_inff()), vec_splat(-__builtin_inff())};
    vec index[2] = {vec_splat_u32(0), vec_splat_u32(0)};
    for (size_t c = 0; c < count; c += TOGETHER) {
        const float *rows[TOGETHER];
        vec sums[TOGETHER][2];
        UNROLL for (size_t i = 0; i < TOGETHER; i++) {
            const size_t code = attn_smaller(c + i, count - 1); /* again the last one, which is no nearer than itself */
            rows[i] = centroid_of(book, sub, code);
            sums[i][0] = sums[i][1] = vec_splat(*offset_of(book, sub, code));
        }
        for (size_t d = 0; d < sub_dim; d++) {
            const vec low = vec_load(panel + d * KEYS), high = vec_load(panel + d * KEYS + 4);
            UNROLL for (size_t i = 0; i < TOGETHER; i++) {
                const vec x = vec_splat(rows[i][d]);
                sums[i][0] = vec_madd(x, low, sums[i][0]), sums[i][1] = vec_madd(x, high, sums[i][1]);
                vec_settle(&sums[i][0], &sums[i][1]);
            }
        }
        UNROLL for (size_t i = 0; i < TOGETHER; i++) {
            const vec code = vec_splat_u32((uint32_t)(c + i));
            UNROLL for (size_t half = 0; half < 2; half++) {
                const vec is_nearer = vec_less(best[half], sums[i][half]);
                best[half] = vec_select(is_nearer, sums[i][half], best[half]);
                index[half] = vec_select(is_nearer, code, index[half]);
            }
        }
    }
    uint32_t words[KEYS];
    vec_store_u32(words, index[0]), vec_store_u32(words + 4, index[1]);
    for (size_t j = 0; j < KEYS; j++) codes[j] = (uint8_t)words[j];
}

/* The offset of a centroid that has been set. */
static void finish_centroid(const struct book *book, const struct attn_masker *masker, size_t sub, size_t code) {
    const float *centroid = centroid_of(book, sub, code);
    float square = 0;
    for (size_t d = 0; d < book->sub_dim; d++) square += centroid[d] * centroid[d];
    *offset_of(book, sub, code) = masker->inner_product ? 0 : -0.5f * square;
}

/* Keys [begin, end) of one unit: they become centroids as long as there are free ones, or get codes. */
static void enter(const struct attn_masker_call *call, const struct book *book, const struct scratch *s, size_t batch,
                  size_t head, size_t begin, size_t end) {
    const size_t dim = call->problem->dim;
    uint8_t *unit = attn_index_unit(call, batch, head, begin);
    size_t columns[KEYS], taken = 0;
    for (size_t j = 0; begin + j < end; j++) columns[j] = begin + j;
    pack_keys(s->panels, s->rows, &call->problem->keys, batch, head, columns, end - begin, 0, dim);
    for (; begin + taken < end && *book->count < book->codes; taken++, ++*book->count) {
        for (size_t sub = 0; sub < book->sub_vectors; sub++) {
            float *centroid = centroid_of(book, sub, *book->count);
            for (size_t d = 0; d < book->sub_dim; d++) {
                centroid[d] = s->panels[(sub * book->sub_dim + d) * KEYS + taken];
            }
            finish_centroid(book, call->masker, sub, *book->count);
            unit[sub * KEYS + (begin + taken) % KEYS] = (uint8_t)*book->count;
        }
    }
    for (size_t sub = 0; begin + taken < end && sub < book->sub_vectors; sub++) {
        uint8_t codes[KEYS];
        nearest(codes, s->panels + sub * book->sub_dim * KEYS, book, sub, book->codes);
        for (size_t j = taken; begin + j < end; j++) unit[sub * KEYS + (begin + j) % KEYS] = codes[j];
    }
}

/* ---- k-means ---- */

/* Distinct samples that begin as centroids: the head of a shuffled list. */
static void draw(const struct attn_masker_call *call, uint32_t *order, size_t samples, size_t count, size_t batch,
                 size_t head, size_t sub) {
    const uint32_t key[2] = {call->masker->seed_low, call->masker->seed_high};
    uint32_t words[16];
    for (size_t n = 0; n < samples; n++) order[n] = (uint32_t)n;
    for (size_t n = 0; n < count; n++) {
        const uint32_t counter[4] = {(uint32_t)(n / 4), DRAWS ^ (uint32_t)sub, (uint32_t)head, ~(uint32_t)batch};
        if (n % 16 == 0) attn_philox4x32_four(words, counter, key);
        const size_t other = n + (size_t)((uint64_t)words[n % 16] * (samples - n) >> 32);
        const uint32_t drawn = order[other];
        order[other] = order[n], order[n] = drawn;
    }
}

/* Centroids become the means of what is assigned to them. */
static void average(const struct attn_masker_call *call, const struct book *book, const struct scratch *s, size_t sub,
                    size_t samples) {
    const size_t sub_dim = book->sub_dim;
    attn_clear_f32(s->sums, book->codes * sub_dim);
    for (size_t c = 0; c < book->codes; c++) s->sizes[c] = 0;
    for (size_t n = 0; n < samples; n++) {
        const float *sample = s->panels + n / KEYS * KEYS * sub_dim + n % KEYS;
        float *sum = s->sums + s->assigned[n] * sub_dim;
        for (size_t d = 0; d < sub_dim; d++) sum[d] += sample[d * KEYS];
        s->sizes[s->assigned[n]]++;
    }
    for (size_t c = 0; c < book->codes; c++) {
        float *centroid = centroid_of(book, sub, c);
        if (!s->sizes[c]) continue;
        for (size_t d = 0; d < sub_dim; d++) centroid[d] = s->sums[c * sub_dim + d] / (float)s->sizes[c];
        finish_centroid(book, call->masker, sub, c);
    }
}

static void cluster(const struct attn_masker_call *call, const struct book *book, const struct scratch *s, size_t batch,
                    size_t head, size_t sub, size_t samples) {
    const size_t sub_dim = book->sub_dim;
    draw(call, s->order, samples, book->codes, batch, head, sub);
    for (size_t c = 0; c < book->codes; c++) {
        const float *sample = s->panels + s->order[c] / KEYS * KEYS * sub_dim + s->order[c] % KEYS;
        for (size_t d = 0; d < sub_dim; d++) centroid_of(book, sub, c)[d] = sample[d * KEYS];
        finish_centroid(book, call->masker, sub, c);
    }
    for (size_t round = 0; round < call->masker->iterations; round++) {
        int is_same = round > 0;
        for (size_t n = 0; n < samples; n += KEYS) {
            uint8_t codes[KEYS];
            nearest(codes, s->panels + n * sub_dim, book, sub, book->codes);
            for (size_t j = 0; j < attn_smaller(KEYS, samples - n); j++) {
                is_same &= codes[j] == s->assigned[n + j];
                s->assigned[n + j] = codes[j];
            }
        }
        if (is_same) return; /* nothing would move any more */
        average(call, book, s, sub, samples);
    }
}

static void train(const struct attn_masker_call *call, const struct book *book, const struct scratch *s, size_t batch,
                  size_t head, size_t begin, size_t end) {
    const size_t samples = attn_smaller(SAMPLES, end - begin), sub_dim = book->sub_dim;
    for (size_t sub = 0; sub < book->sub_vectors; sub++) {
        for (size_t n = 0; n < samples; n += KEYS) {
            const size_t some = attn_smaller(KEYS, samples - n);
            size_t columns[KEYS];
            for (size_t j = 0; j < some; j++) {
                columns[j] = begin + (size_t)((uint64_t)(n + j) * (end - begin) / samples);
            }
            pack_keys(s->panels + n * sub_dim, s->rows, &call->problem->keys, batch, head, columns, some, sub * sub_dim,
                      sub_dim);
        }
        cluster(call, book, s, batch, head, sub, samples);
    }
    *book->count = (uint32_t)book->codes;
}

void attn_pq_append(const struct attn_masker_call *call, size_t batch, size_t head, size_t begin, size_t end) {
    const struct scratch s = scratch_in(call->scratch, call->masker, call->problem);
    const struct book book = book_of(call, batch, head);
    begin = attn_larger(begin, call->masker->first);
    if (begin < end && !*book.count && end - begin > book.codes) train(call, &book, &s, batch, head, begin, end);
    for (size_t next; begin < end; begin = next) {
        next = attn_smaller(end, (begin / KEYS + 1) * KEYS);
        enter(call, &book, &s, batch, head, begin, next);
    }
}

/* ---- scores ---- */

/* Dot products of four heads' sub-vectors with all centroids; queries [dim, 4]. */
static void make_tables(float *tables, const float *queries, const struct book *book) {
    for (size_t sub = 0; sub < book->sub_vectors; sub++, queries += HEADS * book->sub_dim) {
        for (size_t c = 0; c < book->codes; c++, tables += HEADS) {
            const float *centroid = centroid_of(book, sub, c);
            vec sum = vec_splat(0);
            for (size_t d = 0; d < book->sub_dim; d++) {
                sum = vec_madd(vec_splat(centroid[d]), vec_load(queries + HEADS * d), sum);
            }
            vec_store(tables, sum);
        }
    }
}

void attn_pq_score(const struct attn_masker_call *call, size_t batch, size_t group, size_t query) {
    const struct attn_problem *p = call->problem;
    const struct scratch s = scratch_in(call->scratch, call->masker, p);
    const struct book book = book_of(call, batch, group);
    float *columns = s.queries + call->group_heads * p->dim;
    const struct attn_lookup lookup = {
        .tables = s.tables,
        .table_count = book.sub_vectors,
        .codes = book.codes,
        .units = attn_index_unit(call, batch, group, 0),
        .unit_bytes = call->layout.unit_bytes,
        .unit_count = (p->k_len + KEYS - 1) / KEYS,
    };
    if (!lookup.unit_count) return; /* nor is there an index */
    attn_masker_queries(call, s.queries, batch, group, query);
    for (size_t h = 0; h < call->group_heads; h += HEADS) {
        const size_t some = attn_smaller(HEADS, call->group_heads - h);
        const float *rows[HEADS];
        for (size_t i = 0; i < HEADS; i++) rows[i] = s.queries + (h + attn_smaller(i, some - 1)) * p->dim;
        attn_pack_four_f32(columns, HEADS, rows, p->dim);
        for (size_t d = 0; d < p->dim; d++) {
            vec_store(columns + HEADS * d, vec_mul(vec_load(columns + HEADS * d), vec_splat(p->scaling)));
        }
        make_tables(s.tables, columns, &book);
        attn_lookup_sums(call->scores + h * call->stride, call->stride, some, &lookup);
    }
}

size_t attn_pq_finish(const struct attn_masker_call *call, struct attn_candidates *c, float *scores) {
    attn_logits_finish(call, c, scores, 1);
    return attn_candidates_within(call, c, 0);
}
