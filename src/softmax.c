/* SPDX-License-Identifier: Apache-2.0
 *
 * softmax.c - see softmax.h. Over each row of a tile: scores to logits and their maximum, one pass for each thing that
 * changes them; then logits to exponentials and their sums. Between and after them, the four rows' state in vectors.
 */
#include "softmax.h"

#include "vec_math.h"

#define INLINE static inline __attribute__((always_inline))
#define MINUS_INFINITY (-__builtin_inff())
#define LOG2_E 1.44269504f
#define LN_2 0.6931471805599453

float attn_exp(float x) {
    struct vec_exp_constants constants = vec_exp_constants();
    return vec_first(vec_exp(vec_splat(x), &constants));
}

float attn_exp2(float x) {
    struct vec_exp2_constants constants = vec_exp2_constants();
    return vec_first(vec_exp2(vec_splat(x), &constants));
}

/* ln x in double, for x >= 0 that came from a float: x = m 2^n, ln m = 2 artanh((m - 1) / (m + 1)). */
static double log_double(double x) {
    if (!(x > 0)) return x == 0 ? -__builtin_inf() : x; /* NaN */
    if (x > 1e300) return x;                            /* infinity */
    union {
        double value;
        uint64_t bits;
    } m = {x};
    int n = (int)(m.bits >> 52) - 1023;
    m.bits = (m.bits & 0xfffffffffffffull) | 0x3ff0000000000000ull;
    if (m.value > 1.4142135623730951) m.value *= 0.5, n++;
    double s = (m.value - 1) / (m.value + 1), z = s * s, series = 0;
    for (int k = 21; k >= 1; k -= 2) series = series * z + 1.0 / k;
    return n * LN_2 + 2 * s * series;
}

void attn_softmax_init(struct attn_softmax *state) {
    vec_store(state->max, vec_splat(MINUS_INFINITY));
    vec_store(state->sum, vec_splat(0));
    vec_store(state->dropped_sum, vec_splat(0));
}

/* Lanes at column j that are outside [begin, end) take no part. */
static inline vec take_out(vec logit, size_t j, size_t begin, size_t end) {
    vec column = vec_add(vec_splat((float)j), vec_load((const float[4]){0, 1, 2, 3}));
    logit = vec_select(vec_less(column, vec_splat((float)begin)), vec_splat(MINUS_INFINITY), logit);
    return vec_select(vec_less(column, vec_splat((float)end)), logit, vec_splat(MINUS_INFINITY));
}

/* The vectors that hold a row's columns: whole ones [begin, end), and perhaps one at either side, from `first` and
 * before `last`, that lies partly outside. */
struct span {
    size_t first, begin, end, last;
};

static inline struct span span_of(const struct attn_softmax_row *row, const struct attn_softmax_tile *tile) {
    const size_t none = tile->begin;
    if (row->begin == row->end) return (struct span){none, none, none, none};
    struct span span = {row->begin / 4 * 4, (row->begin + 3) / 4 * 4, row->end / 4 * 4, (row->end + 3) / 4 * 4};
    if (span.begin > span.end) span.begin = span.end = span.last; /* one vector, outside on both sides */
    return span;
}

/* What takes single columns out: nothing, masks of lanes, or weights, by being 0. */
enum masking { NO_MASK, LANES, WEIGHTS };

INLINE vec lanes_in(const struct attn_softmax_row *row, size_t j, enum masking masking) {
    if (masking == LANES) return vec_load_u32(row->keep + j);
    return vec_not(vec_equal(vec_load(row->weight + j), vec_splat(0)));
}

INLINE vec restrict_edge(float *scores, size_t j, const struct attn_softmax_row *row, enum masking masking) {
    vec logit = take_out(vec_load(scores + j), j, row->begin, row->end);
    if (masking != NO_MASK) logit = vec_select(lanes_in(row, j, masking), logit, vec_splat(MINUS_INFINITY));
    vec_store(scores + j, logit);
    return logit;
}

/* Writes -infinity over what is out in the first and last vector of the row's columns. Returns the maxima of the four
 * lanes; *least receives the minima, of the whole vectors alone. What is masked in these does not count, but stays for
 * `raise` to take out. */
INLINE vec restrict_masked(float *scores, vec *least, const struct attn_softmax_tile *tile,
                           const struct attn_softmax_row *row, enum masking masking) {
    const struct span span = span_of(row, tile);
    const vec lowest = vec_constant(MINUS_INFINITY), highest = vec_constant(-MINUS_INFINITY);
    vec max = lowest, min = highest;
    if (span.first < span.begin) max = restrict_edge(scores, span.first, row, masking);
    for (size_t j = span.begin; j < span.end; j += 4) {
        vec low, high;
        low = high = vec_load(scores + j);
        if (masking != NO_MASK) {
            vec in = lanes_in(row, j, masking);
            low = vec_select(in, low, lowest), high = vec_select(in, high, highest);
        }
        max = vec_max(max, low), min = vec_min(min, high);
    }
    if (span.end < span.last) max = vec_max(max, restrict_edge(scores, span.end, row, masking));
    *least = min;
    return max;
}

static vec restrict_to(float *scores, vec *least, const struct attn_softmax_tile *tile,
                       const struct attn_softmax_row *row, enum masking masking) {
    switch (masking) {
    case LANES: return restrict_masked(scores, least, tile, row, LANES);
    case WEIGHTS: return restrict_masked(scores, least, tile, row, WEIGHTS);
    default: return restrict_masked(scores, least, tile, row, NO_MASK);
    }
}

static void copy(float *destination, const float *source, const struct attn_softmax_tile *tile) {
    for (size_t j = tile->begin, end = tile->end; j < end; j += 4) vec_store(destination + j, vec_load(source + j));
}

static void cap(float *scores, const struct attn_softmax_tile *tile, const struct vec_exp_constants *constants) {
    const struct vec_tanh_constants tanh_constants = vec_tanh_constants();
    float finite = 1 / tile->rules.softcap < 0x1p127f ? 1 / tile->rules.softcap : 0x1p127f; /* of a subnormal cap */
    const vec softcap = vec_constant(tile->rules.softcap), inverse = vec_constant(finite);
    for (size_t j = tile->begin, end = tile->end; j < end; j += 4) {
        vec s = vec_mul(vec_load(scores + j), inverse);
        vec_store(scores + j, vec_mul(vec_tanh(s, &tanh_constants, constants), softcap));
    }
}

/* scores = factor * scores + bias; `lost` receives what rounding took from the sums (Knuth's two-sum). A bias that
 * swamps the scores, as finfo.min does, keeps the meaning that float32 gives it, all logits equal: nothing is kept of
 * sums beyond the limit. */
static void add_bias(float *scores, float *lost, const struct attn_softmax_tile *tile, const float *bias,
                     float factor) {
    const vec out = vec_constant(MINUS_INFINITY), limit = vec_constant(0x1p18f), zero = vec_splat(0);
    const vec scaling = vec_constant(factor);
    for (size_t j = tile->begin, end = tile->end; j < end; j += 4) {
        vec s = vec_mul(vec_load(scores + j), scaling), b = vec_load(bias + j), sum = vec_add(s, b);
        vec b_part = vec_sub(sum, s), s_part = vec_sub(sum, b_part);
        vec rest = vec_add(vec_sub(s, s_part), vec_sub(b, b_part));
        vec_store(lost + j, vec_select(vec_less(vec_abs(sum), limit), rest, zero));
        vec_store(scores + j, vec_select(vec_equal(b, out), out, sum));
    }
}

static void keep_only(float *scores, const struct attn_softmax_tile *tile, const uint32_t *keep) {
    const vec out = vec_constant(MINUS_INFINITY);
    for (size_t j = tile->begin, end = tile->end; j < end; j += 4) {
        vec_store(scores + j, vec_select(vec_load_u32(keep + j), vec_load(scores + j), out));
    }
}

/* Takes out keys of weight 0; returns the maxima of the four lanes. */
static vec weigh(float *scores, const struct attn_softmax_tile *tile, const struct attn_softmax_row *row) {
    const vec out = vec_constant(MINUS_INFINITY), zeros = vec_splat(0);
    const struct span span = span_of(row, tile);
    vec max = out;
    for (size_t j = span.first; j < span.last; j += 4) {
        vec s = vec_select(vec_equal(vec_load(row->weight + j), zeros), out, vec_load(scores + j));
        max = vec_max(max, s);
        vec_store(scores + j, s);
    }
    return max;
}

static void scale(float *destination, const float *source, const struct attn_softmax_tile *tile) {
    const vec scaling = vec_constant(tile->rules.scaling);
    for (size_t j = tile->begin, end = tile->end; j < end; j += 4) {
        vec_store(destination + j, vec_mul(vec_load(source + j), scaling));
    }
}

/* Whether a row's logits are its dot products times a positive factor, but for what is out. */
static int is_plain(const struct attn_softmax_row *row, const struct attn_softmax_tile *tile) {
    return !row->bias && tile->rules.softcap == 0 && tile->rules.scaling > 0;
}

/* What `raise` has to take out; everything else has -infinity written over it, as some of the passes want. */
static enum masking masking_of(const struct attn_softmax_row *row, const struct attn_softmax_tile *tile) {
    if (tile->rules.visit_all) return NO_MASK;
    if (row->weight) return WEIGHTS;
    return is_plain(row, tile) && row->keep ? LANES : NO_MASK;
}

/* Takes out what lies outside the row's columns, or has no weight; returns as restrict_masked does. */
static vec take_out_unkept(float *scores, vec *least, const struct attn_softmax_tile *tile,
                           const struct attn_softmax_row *row) {
    vec allowed = restrict_to(scores, least, tile, row, masking_of(row, tile));
    if (!row->weight || !tile->rules.visit_all) return allowed;
    vec kept = weigh(scores, tile, row);
    *least = vec_splat(MINUS_INFINITY); /* as if some key were out */
    return tile->rules.max_over == ATTN_ROW_MAX_ALLOWED ? allowed : kept;
}

/* Takes out of the dot products of a plain row what is out; returns as restrict_masked does. */
static vec plain_dots(float *scores, vec *least, const struct attn_softmax_tile *tile,
                      const struct attn_softmax_row *row) {
    if (row->scores) scale(row->scores, scores, tile);
    if (row->keep && masking_of(row, tile) != LANES) keep_only(scores, tile, row->keep);
    if (row->keep && row->scores && tile->rules.stage == ATTN_SCORES_BIASED) keep_only(row->scores, tile, row->keep);
    return take_out_unkept(scores, least, tile, row);
}

/* Dot products of any other row to logits, in place; returns as restrict_masked does. */
static vec logits(float *scores, float *lost, vec *least, const struct attn_softmax_tile *tile,
                  const struct attn_softmax_row *row, const struct vec_exp_constants *constants) {
    int is_scaled = !row->bias || row->scores || tile->rules.softcap != 0; /* before there is a bias to add */
    if (is_scaled) scale(scores, scores, tile);
    if (row->scores && tile->rules.stage == ATTN_SCORES_RAW) copy(row->scores, scores, tile);
    if (tile->rules.softcap != 0) cap(scores, tile, constants);
    if (row->scores && tile->rules.stage == ATTN_SCORES_SOFTCAPPED) copy(row->scores, scores, tile);
    if (row->bias) add_bias(scores, lost, tile, row->bias, is_scaled ? 1 : tile->rules.scaling);
    if (row->keep) keep_only(scores, tile, row->keep);
    if (row->scores && tile->rules.stage == ATTN_SCORES_BIASED) copy(row->scores, scores, tile);
    return take_out_unkept(scores, least, tile, row);
}

/* How a row's logits, or dot products, become exponentials: with the constants of e^x, or with those of 2^x where `two`
 * is not NULL. */
struct powers {
    const struct vec_exp_constants *e;
    const struct vec_exp2_constants *two;
    const float *lost;   /* what the logits lack, or NULL */
    float factor, shift; /* exponents are (score - shift) * factor to base 2, else score * factor - shift */
};

INLINE vec exponent(vec score, vec factor, vec shift, int to_base_2) {
    return to_base_2 ? vec_mul(vec_sub(score, shift), factor) : vec_sub(vec_mul(score, factor), shift);
}

/* Exponentials of vectors [begin, end), in place, of which the masked lanes become 0; adds to the sums of the four
 * lanes. */
INLINE vec raise(float *scores, size_t begin, size_t end, const struct powers *powers, int are_normal,
                 const struct attn_softmax_row *row, enum masking masking, vec sum) {
    const struct powers p = *powers;
    const vec factor = vec_splat(p.factor), shift = vec_splat(p.shift);
    for (size_t j = begin; j < end; j += 4) {
        vec x = exponent(vec_load(scores + j), factor, shift, p.two != NULL), power;
        if (p.lost) x = vec_add(x, vec_load(p.lost + j));
        if (are_normal) {
            power = p.two ? vec_exp2_normal(x, p.two) : vec_exp_normal(x, p.e);
        } else {
            power = p.two ? vec_exp2(x, p.two) : vec_exp(x, p.e);
        }
        if (masking == WEIGHTS) power = vec_mul(power, vec_load(row->weight + j));
        if (masking != NO_MASK) power = vec_and(power, lanes_in(row, j, masking));
        sum = vec_add(sum, power);
        vec_store(scores + j, power);
    }
    return sum;
}

static void zero(float *scores, size_t begin, size_t end) {
    for (size_t j = begin; j < end; j += 4) vec_store(scores + j, vec_splat(0));
}

/* Exponentials times factors, in place; adds to the sums of the four lanes. Outside the row's columns the factors are
 * whatever lies there: those lanes stay 0. */
static vec multiply(float *exponentials, const float *factors, size_t begin, size_t end, vec sum) {
    const vec zero = vec_splat(0);
    for (size_t j = begin; j < end; j += 4) {
        vec e = vec_load(exponentials + j);
        e = vec_select(vec_equal(e, zero), e, vec_mul(e, vec_load(factors + j)));
        sum = vec_add(sum, e);
        vec_store(exponentials + j, e);
    }
    return sum;
}

/* Of the first or last vector of a row's columns, if it lies partly outside: all that is out is -infinity by now. Out of
 * line, as it is rare and large. */
static __attribute__((noinline)) vec raise_edge(float *scores, size_t begin, size_t end, const struct powers *powers,
                                                const struct attn_softmax_row *row, enum masking masking, vec sum) {
    vec raised = raise(scores, begin, end, powers, 0, row, NO_MASK, sum);
    return masking == WEIGHTS ? multiply(scores, row->weight, begin, end, sum) : raised;
}

INLINE vec exponentials_masked(float *scores, const struct powers *powers, int are_normal,
                               const struct attn_softmax_tile *tile, const struct attn_softmax_row *row,
                               enum masking masking) {
    const struct span span = span_of(row, tile);
    zero(scores, tile->begin, span.first);
    vec sum = vec_splat(0);
    if (span.first < span.begin) sum = raise_edge(scores, span.first, span.begin, powers, row, masking, sum);
    if (are_normal) {
        sum = raise(scores, span.begin, span.end, powers, 1, row, masking, sum);
    } else {
        sum = raise(scores, span.begin, span.end, powers, 0, row, masking, sum);
    }
    if (span.end < span.last) sum = raise_edge(scores, span.end, span.last, powers, row, masking, sum);
    zero(scores, span.last, tile->end);
    return sum;
}

/* Exponentials of a row, times its weights, and zeros around them; returns the sums of the four lanes. */
INLINE vec exponentials(float *scores, const struct powers *powers, int are_normal,
                        const struct attn_softmax_tile *tile, const struct attn_softmax_row *row) {
    switch (masking_of(row, tile)) {
    case LANES: return exponentials_masked(scores, powers, are_normal, tile, row, LANES);
    case WEIGHTS: return exponentials_masked(scores, powers, are_normal, tile, row, WEIGHTS);
    default: break;
    }
    vec sum = exponentials_masked(scores, powers, are_normal, tile, row, NO_MASK);
    return row->weight ? multiply(scores, row->weight, tile->begin, tile->end, vec_splat(0)) : sum;
}

/* Up to four rows, with the constants of e^x, or with those of 2^x where `two` is not NULL. */
INLINE void advance_four(struct attn_softmax *state, float *scores, const struct attn_softmax_tile *tile,
                         const struct attn_softmax_row *rows, size_t count, float *rescale,
                         const struct vec_exp_constants *e, const struct vec_exp2_constants *two) {
    const vec none = vec_splat(MINUS_INFINITY), zeros = vec_splat(0), one = vec_splat(1);
    const vec factor = vec_splat(tile->rules.factor), max_factor = two ? factor : one;
    float lost[ATTN_SOFTMAX_ROWS][ATTN_TILE_KEYS];
    vec maxima[ATTN_SOFTMAX_ROWS], minima[ATTN_SOFTMAX_ROWS], sums[ATTN_SOFTMAX_ROWS], dropped_sums[ATTN_SOFTMAX_ROWS];

    for (size_t r = 0; r < ATTN_SOFTMAX_ROWS; r++) {
        const struct attn_softmax_row *row = &rows[r];
        float *row_scores = scores + r * ATTN_TILE_KEYS;
        maxima[r] = none, minima[r] = zeros;
        if (r >= count) continue;
        if (is_plain(row, tile)) {
            maxima[r] = plain_dots(row_scores, &minima[r], tile, row);
            if (!two) maxima[r] = vec_mul(maxima[r], factor), minima[r] = vec_mul(minima[r], factor);
        } else {
            maxima[r] = logits(row_scores, lost[r], &minima[r], tile, row, e);
        }
    }
    vec_transpose(maxima), vec_transpose(minima);
    vec tile_max = vec_max(vec_max(maxima[0], maxima[2]), vec_max(maxima[1], maxima[3]));
    vec tile_min = vec_min(vec_min(minima[0], minima[2]), vec_min(minima[1], minima[3]));
    /* a maximum of -0 becomes +0, whichever of them came first */
    vec old_max = vec_load(state->max), new_max = vec_add(vec_max(old_max, tile_max), zeros);
    vec change = exponent(old_max, max_factor, new_max, two != NULL);
    vec shrink = two ? vec_exp2(change, two) : vec_exp(change, e);
    shrink = vec_select(vec_equal(old_max, new_max), one, shrink);
    /* a row without a key yet has no maximum to subtract */
    float shift[ATTN_SOFTMAX_ROWS];
    vec shifts = vec_select(vec_equal(new_max, none), zeros, new_max);
    vec_store(shift, shifts);
    vec least = exponent(tile_min, max_factor, shifts, two != NULL);
    int are_normal = vec_all(vec_less(two ? two->power.normal : e->power.normal, least));

    for (size_t r = 0; r < ATTN_SOFTMAX_ROWS; r++) {
        const struct attn_softmax_row *row = &rows[r];
        float *row_scores = scores + r * ATTN_TILE_KEYS;
        sums[r] = dropped_sums[r] = zeros;
        if (r >= count) continue;
        const struct powers powers = {
            .e = e,
            .two = two,
            .lost = row->bias && !two ? lost[r] : NULL,
            .factor = is_plain(row, tile) ? tile->rules.factor : 1,
            .shift = shift[r],
        };
        sums[r] = exponentials(row_scores, &powers, are_normal, tile, row);
        dropped_sums[r] = row->dropout ? multiply(row_scores, row->dropout, tile->begin, tile->end, zeros) : sums[r];
    }
    vec_store(state->max, new_max);
    vec_store(state->sum, vec_add(vec_mul(vec_load(state->sum), shrink), vec_sum_each(sums)));
    vec_store(state->dropped_sum, vec_add(vec_mul(vec_load(state->dropped_sum), shrink), vec_sum_each(dropped_sums)));
    vec_store(rescale, shrink);
}

void attn_softmax_advance(struct attn_softmax *states, float *scores, const struct attn_softmax_tile *tile,
                          const struct attn_softmax_row *rows, size_t count, float *rescale) {
    if (tile->rules.to_base_2) {
        const struct vec_exp2_constants two = vec_exp2_constants();
        for (size_t r = 0; r < count; r += ATTN_SOFTMAX_ROWS) {
            advance_four(states++, scores + r * ATTN_TILE_KEYS, tile, rows + r, count - r, rescale + r, NULL, &two);
        }
    } else {
        const struct vec_exp_constants e = vec_exp_constants();
        for (size_t r = 0; r < count; r += ATTN_SOFTMAX_ROWS) {
            advance_four(states++, scores + r * ATTN_TILE_KEYS, tile, rows + r, count - r, rescale + r, &e, NULL);
        }
    }
}

struct attn_softmax_rules attn_softmax_rules(const struct attn_problem *problem, int is_biased, int visit_all,
                                             enum attn_score_stage stage) {
    struct attn_softmax_rules rules = {
        .factor = problem->scaling,
        .scaling = problem->scaling,
        .softcap = problem->softcap,
        .max_over = problem->row_max_over,
        .stage = stage,
        .visit_all = visit_all,
    };
    /* the scaling, with log2 e in it, must neither overflow nor lose bits */
    int takes_factor = problem->scaling > 1e-30f && problem->scaling < 1e30f;
    rules.to_base_2 = !is_biased && takes_factor && problem->softcap == 0;
    if (rules.to_base_2) rules.factor *= LOG2_E;
    return rules;
}

float attn_softmax_max(const struct attn_softmax_rules *rules, float max) {
    return rules->to_base_2 ? max * rules->scaling : max;
}

float attn_softmax_log_sum(const struct attn_softmax_rules *rules, float max, float sum) {
    if (sum == 0) return MINUS_INFINITY;
    return (float)((rules->to_base_2 ? (double)max * rules->scaling : max) + log_double(sum));
}

float attn_softmax_shrink(const struct attn_softmax_rules *rules, float max, float later_max) {
    return rules->to_base_2 ? attn_exp2((max - later_max) * rules->factor) : attn_exp(max - later_max);
}

struct attn_softmax_result attn_softmax_finish(float max, float denominator, const float *sink,
                                               enum attn_empty_rows empty_rows) {
    struct attn_softmax_result result = {.scale = 1, .denominator = denominator};
    int has_sink = sink && *sink > MINUS_INFINITY;
    if (has_sink) {
        float total_max = max < *sink ? *sink : max;
        result.scale = attn_exp(max - total_max);
        result.denominator = denominator * result.scale + attn_exp(*sink - total_max);
    }
    result.empty = result.denominator == 0;
    result.fill = empty_rows == ATTN_EMPTY_ROWS_NAN && !has_sink ? __builtin_nanf("") : 0.0f;
    return result;
}

void attn_softmax_normalize(float *attention, const float *numerator, size_t count,
                            const struct attn_softmax_result *row) {
    size_t i = 0;
    if (!row->empty) {
        vec scale = vec_splat(row->scale), denominator = vec_splat(row->denominator);
        for (; i + 4 <= count; i += 4) {
            vec_store(attention + i, vec_div(vec_mul(vec_load(numerator + i), scale), denominator));
        }
    }
    for (; i < count; i++) attention[i] = row->empty ? row->fill : numerator[i] * row->scale / row->denominator;
}
