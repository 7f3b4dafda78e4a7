/* SPDX-License-Identifier: Apache-2.0
 *
 * double_sparsity.c - Double Sparsity (Yang et al., "Post-Training Sparse Attention with Double Sparsity", 2024). Of
 * each query head the few channels that matter most, known beforehand, are kept of queries and keys. Each row's are
 * rounded to 2^bits equally spaced values from their smallest to their largest, x = code / scale + least, unless bits is
 * 16. Scores are the dot products of what is kept / sqrt(channels).
 *
 * Of up to 8 bits, codes are multiplied as integers: with q = a x + b and k = c y + d for codes x and y,
 * sum q k = a c sum x y + a d sum x + b sum k.
 *
 * A unit of the index is a panel of 16 keys of one query head. Codes: two channels at a time [pairs, 16, 2] bytes, then
 * the keys' c, d and sum k as floats [3, 16]. Else the rounded keys [channels, 16] as floats.
 */
#include "masker.h"

#include "source.h"
#include "vec.h"

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("unroll")
#define PANEL 16
#define LARGEST_FLOAT 0x1.fffffep127f

static int has_codes(const struct attn_masker *masker) { return masker->bits <= 8; }
static size_t pairs_of(const struct attn_masker *masker) { return (masker->channel_count + 1) / 2; }

static void layout(struct attn_index_layout *layout, const struct attn_masker *masker,
                   const struct attn_problem *problem) {
    layout->heads = problem->heads;
    layout->unit_keys = PANEL;
    layout->unit_bytes =
        PANEL * (has_codes(masker) ? 2 * pairs_of(masker) + 3 * sizeof(float) : masker->channel_count * sizeof(float));
}

/* Scratch: a row's channels, in code or not, then its codes as pairs of 16 bits. */
static size_t scratch_bytes(const struct attn_masker *masker, const struct attn_problem *problem) {
    (void)problem;
    return sizeof(float) * masker->channel_count + sizeof(uint32_t) * pairs_of(masker);
}

static uint32_t *codes_of(const struct attn_masker_call *call) {
    return (uint32_t *)((float *)call->scratch + call->masker->channel_count);
}

/* What codes stand for: code / scale + least. */
struct label {
    float scale, least;
};

/* Turns a row's channels into codes. Where one is not finite the row's label is NaN, and so are its scores. */
static struct label encode(float *channels, size_t count, size_t bits) {
    const float steps = (float)((1u << bits) - 1);
    float least = channels[0], largest = channels[0], taint = 0;
    for (size_t c = 0; c < count; c++) {
        least = channels[c] < least ? channels[c] : least, largest = channels[c] > largest ? channels[c] : largest;
        taint += channels[c] * 0;
    }
    const float range = largest - least;
    float scale = steps / range;
    if (!(taint + range * 0 == 0)) {
        for (size_t c = 0; c < count; c++) channels[c] = 0;
        return (struct label){1, __builtin_nanf("")};
    }
    if (!(scale <= LARGEST_FLOAT)) scale = steps; /* all equal, or as good as */
    for (size_t c = 0; c < count; c++) {
        const float code = __builtin_rintf((channels[c] - least) * scale);
        channels[c] = code > steps ? steps : code;
    }
    return (struct label){scale, least};
}

static void decode(float *codes, size_t count, struct label label) {
    for (size_t c = 0; c < count; c++) codes[c] = codes[c] / label.scale + label.least;
}

/* The channels that a head keeps of a row. */
static void take_channels(float *channels, const struct attn_masker *masker, const struct attn_tensor *tensor,
                          size_t offset, size_t head) {
    const uint32_t *kept = masker->channels + head * masker->channel_count;
    for (size_t c = 0; c < masker->channel_count; c++) channels[c] = attn_source_float(tensor, offset + kept[c]);
}

static void append(const struct attn_masker_call *call, size_t batch, size_t head, size_t begin, size_t end) {
    const struct attn_masker *masker = call->masker;
    const size_t count = masker->channel_count;
    const struct attn_tensor *keys = &call->problem->keys;
    float *channels = call->scratch;
    for (size_t key = begin; key < end; key++) {
        uint8_t *unit = attn_index_unit(call, batch, head, key);
        const size_t place = key % PANEL;
        take_channels(channels, masker, keys, attn_tensor_offset(keys, batch, head / call->group_heads, key), head);
        if (has_codes(masker)) {
            const struct label label = encode(channels, count, masker->bits);
            float *labels = (float *)(unit + 2 * pairs_of(masker) * PANEL) + place, sum = 0;
            for (size_t c = 0; c < count; c++) {
                unit[(c / 2 * PANEL + place) * 2 + c % 2] = (uint8_t)channels[c];
                sum += channels[c];
            }
            labels[0] = 1 / label.scale, labels[PANEL] = label.least;
            labels[2 * PANEL] = labels[0] * sum + (float)count * label.least;
            continue;
        }
        if (masker->bits < 16) decode(channels, count, encode(channels, count, masker->bits));
        for (size_t c = 0; c < count; c++) ((float *)unit)[c * PANEL + place] = channels[c];
    }
}

/* What a query brings to its scores: its codes, a, b, and a sum x. */
struct coded_query {
    const uint32_t *codes;
    size_t pairs;
    float step, least, sum;
};

/* Scores of a panel. */
INLINE void score_codes(float *scores, const uint8_t *unit, const struct coded_query *query) {
    const vec step = vec_splat(query->step), least = vec_splat(query->least), sum = vec_splat(query->sum);
    const float *labels = (const float *)(unit + 2 * query->pairs * PANEL);
    vec products[4];
    UNROLL for (size_t n = 0; n < 4; n++) products[n] = vec_splat_u32(0);
    for (size_t p = 0; p < query->pairs; p++, unit += 2 * PANEL) {
        const vec pair = vec_splat_u32(query->codes[p]);
        UNROLL for (size_t n = 0; n < 4; n++) {
            products[n] = vec_add_u32(products[n], vec_dot_u16(vec_load_wide(unit + 8 * n), pair));
        }
    }
    UNROLL for (size_t n = 0; n < 4; n++, labels += 4) {
        const vec steps = vec_mul(vec_mul(vec_from_i32(products[n]), step), vec_load(labels));
        const vec offset = vec_madd(vec_load(labels + PANEL), sum, steps);
        vec_store(scores + 4 * n, vec_madd(vec_load(labels + 2 * PANEL), least, offset));
    }
}

static void score_coded(const struct attn_masker_call *call, float *scores, float *channels, const uint8_t *units,
                        float factor) {
    const size_t count = call->masker->channel_count;
    const struct label label = encode(channels, count, call->masker->bits);
    uint32_t *codes = codes_of(call);
    float sum = 0;
    for (size_t p = 0; p < pairs_of(call->masker); p++) codes[p] = 0;
    for (size_t c = 0; c < count; c++) codes[c / 2] |= (uint32_t)channels[c] << c % 2 * 16, sum += channels[c];
    const float step = factor / label.scale;
    const struct coded_query query = {codes, pairs_of(call->masker), step, factor * label.least, step * sum};
    for (size_t key = 0; key < call->stride; key += PANEL, units += call->layout.unit_bytes) {
        score_codes(scores + key, units, &query);
    }
}

static void score_rounded(const struct attn_masker_call *call, float *scores, float *channels, const uint8_t *units,
                          float factor) {
    const struct attn_masker *masker = call->masker;
    if (masker->bits < 16)
        decode(channels, masker->channel_count, encode(channels, masker->channel_count, masker->bits));
    for (size_t c = 0; c < masker->channel_count; c++) channels[c] *= factor;
    for (size_t key = 0; key < call->stride; key += PANEL, units += call->layout.unit_bytes) {
        const float *keys = (const float *)units;
        vec sums[4];
        UNROLL for (size_t n = 0; n < 4; n++) sums[n] = vec_splat(0);
        for (size_t c = 0; c < masker->channel_count; c++, keys += PANEL) {
            const vec channel = vec_splat(channels[c]);
            UNROLL for (size_t n = 0; n < 4; n++) sums[n] = vec_madd(vec_load(keys + 4 * n), channel, sums[n]);
        }
        UNROLL for (size_t n = 0; n < 4; n++) vec_store(scores + key + 4 * n, sums[n]);
    }
}

static void score(const struct attn_masker_call *call, size_t batch, size_t group, size_t query) {
    const struct attn_tensor *queries = &call->problem->queries;
    const float factor = 1 / __builtin_sqrtf((float)call->masker->channel_count);
    for (size_t h = 0; h < call->group_heads; h++) {
        const size_t head = group * call->group_heads + h;
        float *scores = call->scores + h * call->stride;
        const uint8_t *units = attn_index_part(call, batch, head);
        take_channels(call->scratch, call->masker, queries, attn_tensor_offset(queries, batch, head, query), head);
        if (has_codes(call->masker)) {
            score_coded(call, scores, call->scratch, units, factor);
        } else {
            score_rounded(call, scores, call->scratch, units, factor);
        }
    }
}

static void choose(const struct attn_masker_call *call, struct attn_candidates *candidates, float *scores) {
    attn_candidates_bias(candidates, scores, call->problem);
    attn_choose_largest(call, candidates, scores);
}

const struct attn_masker_family attn_double_sparsity = {
    .layout = layout, .scratch_bytes = scratch_bytes, .append = append, .score = score, .choose = choose};
