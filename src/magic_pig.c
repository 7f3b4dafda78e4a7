/* SPDX-License-Identifier: Apache-2.0
 *
 * magic_pig.c - MagicPIG (Chen et al., "MagicPIG: LSH Sampling for Efficient LLM Generation", 2024): keys are drawn by
 * hashing. A key is chosen if one of `tables` hashes of `bits` bits is the query's, and its weight is the probability
 * of that. A bit is the sign of a projection, and two vectors at an angle t agree in it with probability p = 1 - t / pi:
 *     w = 1 - (1 - p^bits)^tables
 * With c the mean of the keys that were appended first (or 0), and M the largest |k - c| when the key was appended, a
 * query is hashed as (q - c, 0) / |q - c|, a key as (k - c, sqrt(M^2 - |k - c|^2)) / M: vectors of length 1, so that
 *     cos t = (q - c).(k - c) / (|q - c| M), and 0 where that is 0 / 0
 * (simple LSH: Neyshabur and Srebro, "On symmetric and asymmetric LSHs for inner product search", ICML 2015). Keys that
 * are not finite, or longer than float32 can square, have no part in c and M and are never chosen.
 *
 * Projections are normal numbers [tables * bits, dim + 1], the same for all heads. Of the masker's stream of words x,
 * those 2n and 2n + 1 give the numbers 2n and 2n + 1 (Box and Muller, 1958):
 *     sqrt(-2 ln u) cos(2 pi v) and sqrt(-2 ln u) sin(2 pi v),  u = (x_2n + 1/2) / 2^32, v = x_2n+1 / 2^32
 * rounded to float32. Bit b of table t is that of projection t * bits + b, set where it is > 0.
 *
 * The index: a header of M^2, whether there is a header, c and projections; a unit of sixteen keys: M of each, then for
 * each table and eight of its bits a byte of each, so that sixteen keys are compared at once.
 */
#include "masker.h"

#include "logits.h"
#include "sampling.h"
#include "source.h"
#include "tile.h"
#include "vec.h"

#define KEYS 16  /* of a unit */
#define ROWS 4   /* hashed at once */
#define ROUND 16 /* floats to a multiple of which parts are rounded up */
#define PI 3.14159265358979324

static size_t rounded(size_t count) { return (count + ROUND - 1) / ROUND * ROUND; }

static size_t hashes_of(const struct attn_masker *masker) { return masker->tables * masker->bits; }

/* Bytes of a key's hashes. */
static size_t code_bytes(const struct attn_masker *masker) { return masker->tables * ((masker->bits + 7) / 8); }

struct header {
    float *state; /* M^2; 1 when the rest is there */
    float *mean;  /* [dim] */
    float *projections;
};

static size_t header_floats(const struct attn_masker *masker, size_t dim) {
    return ROUND + rounded(dim) + rounded(hashes_of(masker) * (dim + 1));
}

static struct header header_of(const struct attn_masker_call *call, size_t batch, size_t head) {
    float *state = (float *)attn_index_part(call, batch, head), *mean = state + ROUND;
    return (struct header){state, mean, mean + rounded(call->problem->dim)};
}

/* Scratch. */
struct room {
    uint64_t *matches; /* [group_heads, words] */
    double *sums;      /* [dim] */
    float *lengths;    /* [group_heads]: |q - c|, */
    float *means;      /* and (q - c).c */
    float *rows;       /* [max(group_heads, ROWS), dim + 1], queries less c, or keys, with one element more */
    float *source;     /* [dim] */
    uint32_t *listed;  /* [k_len]: keys with a hash of the query's */
    uint8_t *codes;    /* [ROWS, code_bytes] */
    uint8_t *wide;     /* [group_heads, code_bytes, KEYS]: each byte KEYS times */
};

static size_t match_words(const struct attn_problem *problem) { return (problem->k_len + 63) / 64; }

static struct room room_of(const struct attn_masker_call *call) {
    const size_t width = call->problem->dim + 1, heads = call->group_heads, bytes = code_bytes(call->masker);
    struct room room = {.matches = call->scratch};
    room.sums = (double *)(room.matches + heads * match_words(call->problem));
    room.lengths = (float *)(room.sums + width);
    room.means = room.lengths + heads;
    room.rows = room.means + heads;
    room.source = room.rows + (heads + ROWS) * width;
    room.listed = (uint32_t *)(room.source + width);
    room.codes = (uint8_t *)(room.listed + call->problem->k_len);
    room.wide = room.codes + ROWS * bytes;
    return room;
}

static size_t scratch_bytes(const struct attn_masker *masker, const struct attn_problem *problem) {
    const size_t width = problem->dim + 1, heads = attn_masker_group_heads(problem), bytes = code_bytes(masker);
    return 8 * (heads * match_words(problem) + width) + 4 * (2 * heads + (heads + ROWS + 1) * width + problem->k_len) +
           (ROWS + heads * KEYS) * bytes;
}

static void layout(struct attn_index_layout *layout, const struct attn_masker *masker,
                   const struct attn_problem *problem) {
    const double width = (double)problem->dim + 1, heads = (double)(attn_masker_group_heads(problem));
    const double hashes = (double)masker->tables * (double)masker->bits, most = (double)(SIZE_MAX / 64);
    layout->heads = problem->key_heads;
    layout->header_bytes = 4 * header_floats(masker, problem->dim);
    layout->unit_keys = KEYS;
    layout->unit_bytes = 4 * KEYS + KEYS * code_bytes(masker);
    if (hashes * width > most || hashes * heads > most || (heads + ROWS + 2) * width > most) {
        layout->header_bytes = SIZE_MAX; /* more than there can be */
    }
}

/* ---- projections ---- */

/* ln x, 0 < x <= 1, by the series of 2 artanh((m - 1) / (m + 1)) of the mantissa m in 0.7 .. 1.4. */
static double logarithm(double x) {
    union {
        double number;
        uint64_t bits;
    } mantissa = {x};
    int exponent = (int)(mantissa.bits >> 52) - 1023;
    mantissa.bits = (mantissa.bits & 0xfffffffffffff) | (uint64_t)1023 << 52;
    if (mantissa.number > 1.41421356) mantissa.number /= 2, exponent++;
    const double s = (mantissa.number - 1) / (mantissa.number + 1), z = s * s;
    double sum = 0;
    for (int n = 15; n >= 1; n -= 2) sum = sum * z + 1.0 / n;
    return 2 * s * sum + exponent * 0.693147180559945309;
}

/* The cosine and sine of 2 pi v, 0 <= v < 1: Taylor's series within an eighth of a turn. */
static void turn(double *cosine, double *sine, double v) {
    const int quarter = (int)(4 * v + 0.5);
    const double t = 2 * PI * (v - 0.25 * quarter), z = t * t;
    double c = 1, s = 1;
    for (int n = 14; n >= 2; n -= 2) c = 1 - c * z / (n * (n - 1)), s = 1 - s * z / (n * (n + 1));
    s *= t;
    const int is_odd = quarter & 1;
    *cosine = is_odd ? s : c, *sine = is_odd ? c : s;
    if (quarter == 1 || quarter == 2) *cosine = -*cosine;
    if (quarter == 2 || quarter == 3) *sine = -*sine;
}

static void draw_projections(float *projections, const struct attn_masker *masker, size_t count) {
    struct attn_stream stream = attn_stream_of_masker(masker, ATTN_STREAM_PROJECTIONS);
    for (size_t n = 0; n < count; n += 2) {
        const double u = (attn_stream_next(&stream) + 0.5) / 4294967296.0;
        const double v = attn_stream_next(&stream) / 4294967296.0, radius = __builtin_sqrt(-2 * logarithm(u));
        double cosine, sine;
        turn(&cosine, &sine, v);
        projections[n] = (float)(radius * cosine);
        if (n + 1 < count) projections[n + 1] = (float)(radius * sine);
    }
}

/* ---- hashes ---- */

/* row.row, and row.other */
static float dot(const float *row, const float *other, size_t dim) {
    const void *address = other;
    float sums[4];
    attn_tile_kernels[ATTN_FLOAT32].dot(sums, 4, row, dim, 1, &address, 1, dim);
    return sums[0];
}

/* destination = a row of keys or queries less the mean */
static void centre(float *destination, const struct attn_tensor *tensor, size_t batch, size_t head, size_t row,
                   const float *mean, size_t dim, float *scratch) {
    const float *source = attn_source_row(tensor, batch, head, row, dim, scratch);
    for (size_t d = 0; d < dim; d++) destination[d] = source[d] - mean[d];
}

/* The codes of up to ROWS rows [width]. */
static void hash(uint8_t *codes, const struct attn_masker *masker, const float *projections, const float *rows,
                 size_t count, size_t width) {
    const size_t bytes = code_bytes(masker), table_bytes = bytes / masker->tables, hashes = hashes_of(masker);
    size_t table = 0, bit = 0;
    for (size_t i = 0; i < count * bytes; i++) codes[i] = 0;
    for (size_t first = 0; first < hashes; first += ATTN_TILE_KEYS) {
        const size_t some = attn_smaller(ATTN_TILE_KEYS, hashes - first);
        const void *addresses[ATTN_TILE_KEYS];
        float dots[ROWS * ATTN_TILE_KEYS];
        for (size_t n = 0; n < some; n++) addresses[n] = projections + (first + n) * width;
        attn_tile_kernels[ATTN_FLOAT32].dot(dots, ATTN_TILE_KEYS, rows, width, count, addresses, some, width);
        for (size_t n = 0; n < some; n++) {
            uint8_t *code = codes + table * table_bytes + bit / 8;
            for (size_t r = 0; r < count; r++) {
                code[r * bytes] |= (uint8_t)((dots[r * ATTN_TILE_KEYS + n] > 0) << bit % 8);
            }
            if (++bit == masker->bits) table++, bit = 0;
        }
    }
}

static void find_mean(const struct attn_masker_call *call, float *mean, size_t batch, size_t head, size_t begin,
                      size_t end) {
    const struct room room = room_of(call);
    const size_t dim = call->problem->dim;
    size_t count = 0;
    for (size_t d = 0; d < dim; d++) room.sums[d] = 0;
    for (size_t key = begin; key < end; key++) {
        const float *row = attn_source_row(&call->problem->keys, batch, head, key, dim, room.source);
        if (!(dot(row, row, dim) < __builtin_inff())) continue;
        for (size_t d = 0; d < dim; d++) room.sums[d] += row[d];
        count++;
    }
    for (size_t d = 0; count && d < dim; d++) mean[d] = (float)(room.sums[d] / (double)count);
}

static void append(const struct attn_masker_call *call, size_t batch, size_t head, size_t begin, size_t end) {
    const struct attn_masker *masker = call->masker;
    const struct attn_tensor *keys = &call->problem->keys;
    const size_t dim = call->problem->dim, width = dim + 1, bytes = code_bytes(masker);
    const struct header header = header_of(call, batch, head);
    const struct room room = room_of(call);
    if (begin == end) return;
    if (header.state[1] == 0) {
        draw_projections(header.projections, masker, hashes_of(masker) * width);
        if (masker->center) find_mean(call, header.mean, batch, head, begin, end);
        header.state[1] = 1;
    }
    for (size_t key = begin; key < end; key++) {
        centre(room.rows, keys, batch, head, key, header.mean, dim, room.source);
        const float square = dot(room.rows, room.rows, dim);
        if (square > header.state[0] && square < __builtin_inff()) header.state[0] = square;
    }
    const float largest = __builtin_sqrtf(header.state[0]);
    for (size_t key = begin; key < end; key += ROWS) {
        const size_t some = attn_smaller(ROWS, end - key);
        float squares[ROWS];
        for (size_t r = 0; r < some; r++) {
            float *row = room.rows + r * width;
            centre(row, keys, batch, head, key + r, header.mean, dim, room.source);
            squares[r] = dot(row, row, dim);
            row[dim] = __builtin_sqrtf(header.state[0] - squares[r]);
        }
        hash(room.codes, masker, header.projections, room.rows, some, width);
        for (size_t r = 0; r < some; r++) {
            const size_t at = (key + r) % KEYS;
            uint8_t *unit = attn_index_unit(call, batch, head, key + r), *codes = unit + 4 * KEYS + at;
            ((float *)unit)[at] = squares[r] < __builtin_inff() ? largest : __builtin_nanf("");
            for (size_t n = 0; n < bytes; n++) codes[n * KEYS] = room.codes[r * bytes + n];
        }
    }
}

/* ---- matches ---- */

/* Which keys of a unit have a hash of the query's; inlined for each number of bytes. */
static inline __attribute__((always_inline)) uint32_t match(const uint8_t *codes, const uint8_t *wide, size_t tables,
                                                            const size_t table_bytes) {
    vec any = vec_splat(0);
    for (size_t t = 0; t < tables; t++, codes += table_bytes * KEYS, wide += table_bytes * KEYS) {
        vec all = vec_equal_bytes(vec_load_bytes(codes), vec_load_bytes(wide));
        _Pragma("unroll") for (size_t n = 1; n < table_bytes; n++) {
            all = vec_and(all, vec_equal_bytes(vec_load_bytes(codes + n * KEYS), vec_load_bytes(wide + n * KEYS)));
        }
        any = vec_or(any, all);
    }
    return vec_bits_bytes(any);
}

static uint32_t matches_of(const uint8_t *codes, const uint8_t *wide, size_t tables, size_t table_bytes) {
    switch (table_bytes) {
    case 1: return match(codes, wide, tables, 1);
    case 2: return match(codes, wide, tables, 2);
    case 3: return match(codes, wide, tables, 3);
    default: return match(codes, wide, tables, 4);
    }
}

static void score(const struct attn_masker_call *call, size_t batch, size_t group, size_t query) {
    const struct attn_problem *p = call->problem;
    const struct attn_masker *masker = call->masker;
    const struct header header = header_of(call, batch, group);
    const struct room room = room_of(call);
    const size_t heads = call->group_heads, width = p->dim + 1, bytes = code_bytes(masker), words = match_words(p);
    const struct attn_mask_row row = attn_mask_row(p, batch, group * heads, query);
    for (size_t h = 0; h < heads; h++) {
        float *centred = room.rows + h * width;
        centre(centred, &p->queries, batch, group * heads + h, query, header.mean, p->dim, room.source);
        centred[p->dim] = 0;
        room.lengths[h] = __builtin_sqrtf(dot(centred, centred, p->dim));
        room.means[h] = dot(centred, header.mean, p->dim);
    }
    for (size_t h = 0; h < heads; h += ROWS) {
        const size_t some = attn_smaller(ROWS, heads - h);
        hash(room.codes, masker, header.projections, room.rows + h * width, some, width);
        for (size_t n = 0; n < some * bytes; n++) {
            for (size_t i = 0; i < KEYS; i++) room.wide[(h * bytes + n) * KEYS + i] = room.codes[n];
        }
    }
    for (size_t n = 0; n < heads * words; n++) room.matches[n] = 0;
    for (size_t key = row.key_begin / KEYS * KEYS; key < row.key_end; key += KEYS) {
        const uint8_t *codes = attn_index_unit(call, batch, group, key) + 4 * KEYS;
        for (size_t h = 0; h < heads; h++) {
            const uint64_t bits =
                matches_of(codes, room.wide + h * bytes * KEYS, masker->tables, bytes / masker->tables);
            room.matches[h * words + key / 64] |= bits << key % 64;
        }
    }
}

/* arccos x: Abramowitz and Stegun 4.4.46, error below 2e-8. */
static double arccos(double x) {
    static const double terms[] = {-0.0012624911, 0.0066700901, -0.0170881256, 0.0308918810,
                                   -0.0501743046, 0.0889789874, -0.2145988016, 1.5707963050};
    const double size = x < 0 ? -x : x;
    double sum = 0;
    for (size_t n = 0; n < sizeof terms / sizeof *terms; n++) sum = sum * size + terms[n];
    sum *= __builtin_sqrt(1 - size);
    return x < 0 ? PI - sum : sum;
}

/* The weight of a key with a hash of the query's; 0 where one of them is not finite. */
static float weight_of(const struct attn_masker *masker, float product, float lengths) {
    double cosine = lengths > 0 ? product / lengths : product - product, all = 1;
    if (!(cosine * 0 == 0)) return 0;
    cosine = cosine > 1 ? 1 : cosine < -1 ? -1 : cosine;
    const double agree = 1 - arccos(cosine) / PI;
    for (size_t n = 0; n < masker->bits; n++) all *= agree;
    const float weight = (float)attn_probability_of_any(all, masker->tables);
    return weight > 0x1p-126f ? weight : 0x1p-126f;
}

static void choose(const struct attn_masker_call *call, struct attn_candidates *c, float *scores) {
    const struct attn_problem *p = call->problem;
    const struct room room = room_of(call);
    const size_t batch = c->row.batch, group = c->row.head / call->group_heads, h = c->row.head % call->group_heads;
    size_t count = 0;
    for (size_t n = 0; n < match_words(p); n++) {
        for (uint64_t bits = room.matches[h * match_words(p) + n] & c->eligible[n]; bits; bits &= bits - 1) {
            room.listed[count++] = (uint32_t)(64 * n) + (uint32_t)__builtin_ctzll(bits);
        }
    }
    attn_dots_listed(scores, p, batch, group, room.rows + h * (p->dim + 1), room.listed, count, room.source);
    for (size_t n = 0; n < count; n++) {
        const size_t key = room.listed[n];
        const float largest = ((const float *)attn_index_unit(call, batch, group, key))[key % KEYS];
        const float weight = weight_of(call->masker, scores[n] - room.means[h], room.lengths[h] * largest);
        if (!(weight > 0)) continue;
        c->chosen[key / 64] |= (uint64_t)1 << key % 64;
        c->chosen_weights[key] = weight;
    }
}

const struct attn_masker_family attn_magic_pig = {.is_weighted = 1,
                                                  .layout = layout,
                                                  .scratch_bytes = scratch_bytes,
                                                  .append = append,
                                                  .score = score,
                                                  .choose = choose};
