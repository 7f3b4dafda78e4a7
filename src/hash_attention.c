/* SPDX-License-Identifier: Apache-2.0
 *
 * hash_attention.c - HashAttention (Desai et al., "HashAttention: Semantic Sparsity for Faster Inference", 2024). Two
 * learned networks of each query head turn a query and a key into codes of one bit per output: set where it is above 0,
 * which counts as +1, and as -1 where it is not (0 and NaN too). A score is the sum of the products of these signs,
 * bits - 2 * (bits in which the codes differ).
 *     x = activation(x matrix + bias) after each layer but the last, which has no activation
 *
 * A unit of the index is a panel of 16 keys of one query head: their codes [words, 16].
 */
#include "masker.h"

#include "source.h"
#include "tile.h"
#include "vec_math.h"

#define UNROLL _Pragma("unroll")
#define PANEL 16
#define ROWS 4 /* that go through a network together */

static size_t words_of(const struct attn_masker *masker) { return (masker->bits + 31) / 32; }

static void layout(struct attn_index_layout *layout, const struct attn_masker *masker,
                   const struct attn_problem *problem) {
    layout->heads = problem->heads;
    layout->unit_keys = PANEL;
    layout->unit_bytes = PANEL * sizeof(uint32_t) * words_of(masker);
}

/* Floats between two rows of values: the widest layer's, in whole vectors. */
static size_t width_of(const struct attn_masker *masker) {
    size_t width = masker->layers[0].inputs;
    for (size_t n = 0; n < masker->layer_count; n++) {
        width = masker->layers[n].outputs > width ? masker->layers[n].outputs : width;
    }
    return (width + 3) & ~(size_t)3;
}

/* Scratch: rows of values before and after a layer, and their codes. */
static size_t scratch_bytes(const struct attn_masker *masker, const struct attn_problem *problem) {
    (void)problem;
    return ROWS * (2 * sizeof(float) * width_of(masker) + sizeof(uint32_t) * words_of(masker));
}

/* ---- networks ---- */

/* out = in * matrix + bias; each element is one sum in ascending order. */
static void multiply(float *out, const float *in, size_t width, size_t rows, const float *matrix, const float *bias,
                     size_t inputs, size_t outputs) {
    const size_t panels = outputs / ATTN_PANEL;
    const struct attn_panels columns = {matrix, outputs, ATTN_PANEL};
    attn_tile_multiply(out, width, NULL, in, width, rows, columns, panels, inputs, inputs, inputs);
    for (size_t r = 0; r < rows; r++, in += width, out += width) {
        for (size_t e = panels * ATTN_PANEL; e < outputs; e++) { /* in one lane of the same operations */
            vec sum = vec_splat(0);
            for (size_t d = 0; d < inputs; d++) {
                sum = vec_madd(vec_splat(in[d]), vec_splat(matrix[d * outputs + e]), sum);
            }
            out[e] = vec_first(sum);
        }
        for (size_t e = 0; e < outputs; e++) out[e] += bias[e];
    }
}

static vec relu(vec x) { return vec_max(x, vec_splat(0)); } /* NaN stays */

/* x / (1 + e^-x), with the exponential of what is not above 0. */
static vec silu(vec x, const struct vec_exp_constants *k) {
    const vec one = vec_splat(1), e = vec_exp(vec_sub(vec_splat(0), vec_abs(x)), k);
    const vec top = vec_select(vec_less(x, vec_splat(0)), e, one);
    return vec_div(vec_mul(x, top), vec_add(one, e));
}

/* x times the normal distribution's probability below x: 1 - t or, below 0, t with t = erfc(|x| / sqrt 2) / 2; absolute
 * error of erfc below 1.5e-7 (Hastings, "Approximations for Digital Computers", 1955, sheet 43). */
static vec gelu(vec x, const struct vec_exp_constants *k) {
    static const float terms[] = {1.061405429f, -1.453152027f, 1.421413741f, -0.284496736f, 0.254829592f};
    const vec one = vec_splat(1), z = vec_mul(vec_abs(x), vec_splat(0.70710678f));
    const vec t = vec_div(one, vec_madd(z, vec_splat(0.3275911f), one));
    vec sum = vec_splat(terms[0]);
    for (size_t n = 1; n < sizeof terms / sizeof *terms; n++) sum = vec_madd(sum, t, vec_splat(terms[n]));
    const vec square = vec_mul(vec_mul(x, x), vec_splat(-0.5f));
    const vec tail = vec_mul(vec_mul(vec_mul(sum, t), vec_exp(square, k)), vec_splat(0.5f));
    return vec_mul(x, vec_select(vec_less(x, vec_splat(0)), tail, vec_sub(one, tail)));
}

static void activate(float *values, size_t count, enum attn_activation activation) {
    const struct vec_exp_constants exp_constants = vec_exp_constants();
    const struct vec_tanh_constants tanh_constants = vec_tanh_constants();
    for (size_t n = 0; n < count; n += 4) {
        vec x = vec_load(values + n);
        switch (activation) {
        case ATTN_ACTIVATION_RELU: x = relu(x); break;
        case ATTN_ACTIVATION_SILU: x = silu(x, &exp_constants); break;
        case ATTN_ACTIVATION_GELU: x = gelu(x, &exp_constants); break;
        case ATTN_ACTIVATION_TANH: x = vec_tanh(x, &tanh_constants, &exp_constants); break;
        }
        vec_store(values + n, x);
    }
}

/* Codes [rows, words] of rows of `values` [ROWS, width]; what stands after them is overwritten. */
static uint32_t *hash(const struct attn_masker *masker, float *values, size_t rows, size_t head, int is_query) {
    const size_t width = width_of(masker), words = words_of(masker);
    float *before = values, *after = values + ROWS * width;
    uint32_t *codes = (uint32_t *)(after + ROWS * width);
    for (size_t n = 0; n < masker->layer_count; n++) {
        const struct attn_hash_layer *layer = &masker->layers[n];
        const float *matrix = is_query ? layer->query_matrix : layer->key_matrix;
        const float *bias = is_query ? layer->query_bias : layer->key_bias;
        multiply(after, before, width, rows, matrix + head * layer->inputs * layer->outputs,
                 bias + head * layer->outputs, layer->inputs, layer->outputs);
        for (size_t r = 0; n + 1 < masker->layer_count && r < rows; r++) {
            activate(after + r * width, layer->outputs, layer->activation);
        }
        float *swap = before;
        before = after, after = swap;
    }
    for (size_t r = 0; r < rows; r++) {
        for (size_t w = 0; w < words; w++) codes[r * words + w] = 0;
        for (size_t n = 0; n < masker->bits; n++) {
            codes[r * words + n / 32] |= (uint32_t)(before[r * width + n] > 0) << n % 32;
        }
    }
    return codes;
}

/* ---- index ---- */

static void copy_row(float *values, const struct attn_tensor *tensor, size_t batch, size_t head, size_t row,
                     size_t dim) {
    const float *source = attn_source_row(tensor, batch, head, row, dim, values);
    for (size_t d = 0; source != values && d < dim; d++) values[d] = source[d];
}

static void append(const struct attn_masker_call *call, size_t batch, size_t head, size_t begin, size_t end) {
    const struct attn_masker *masker = call->masker;
    const size_t words = words_of(masker), width = width_of(masker);
    float *values = call->scratch;
    for (size_t key = begin; key < end; key += ROWS) {
        const size_t rows = attn_smaller(ROWS, end - key);
        for (size_t r = 0; r < rows; r++) {
            copy_row(values + r * width, &call->problem->keys, batch, head / call->group_heads, key + r,
                     call->problem->dim);
        }
        const uint32_t *codes = hash(masker, values, rows, head, 0);
        for (size_t r = 0; r < rows; r++) {
            uint32_t *unit = (uint32_t *)attn_index_unit(call, batch, head, key + r);
            for (size_t w = 0; w < words; w++) unit[w * PANEL + (key + r) % PANEL] = codes[r * words + w];
        }
    }
}

static void score_codes(float *scores, const uint32_t *unit, const uint32_t *query, size_t words, float bits) {
    vec apart[4];
    UNROLL for (size_t n = 0; n < 4; n++) apart[n] = vec_splat_u32(0);
    for (size_t w = 0; w < words; w++, unit += PANEL) {
        const vec code = vec_splat_u32(query[w]);
        UNROLL for (size_t n = 0; n < 4; n++) {
            apart[n] = vec_add_u32(apart[n], vec_popcount_u32(vec_xor(vec_load_u32(unit + 4 * n), code)));
        }
    }
    UNROLL for (size_t n = 0; n < 4; n++) {
        vec_store(scores + 4 * n, vec_madd(vec_from_i32(apart[n]), vec_splat(-2), vec_splat(bits)));
    }
}

static void score(const struct attn_masker_call *call, size_t batch, size_t group, size_t query) {
    const struct attn_masker *masker = call->masker;
    for (size_t h = 0; h < call->group_heads; h++) {
        const size_t head = group * call->group_heads + h;
        const uint8_t *unit = attn_index_part(call, batch, head);
        copy_row(call->scratch, &call->problem->queries, batch, head, query, call->problem->dim);
        const uint32_t *code = hash(masker, call->scratch, 1, head, 1);
        for (size_t key = 0; key < call->stride; key += PANEL, unit += call->layout.unit_bytes) {
            score_codes(call->scores + h * call->stride + key, (const uint32_t *)unit, code, words_of(masker),
                        (float)masker->bits);
        }
    }
}

static void choose(const struct attn_masker_call *call, struct attn_candidates *candidates, float *scores) {
    attn_candidates_bias(candidates, scores, call->problem);
    attn_choose_largest(call, candidates, scores);
}

const struct attn_masker_family attn_hash_attention = {
    .layout = layout, .scratch_bytes = scratch_bytes, .append = append, .score = score, .choose = choose};
