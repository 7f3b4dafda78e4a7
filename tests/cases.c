/* SPDX-License-Identifier: Apache-2.0
 *
 * cases.c - see cases.h. Lengths sit around the sizes at which loops change (0, 1, vectors, tiles), mostly small ones,
 * as the reference costs q_len * k_len * dim; every option has its own dice.
 */
#include "cases.h"

static const float INFINITE = __builtin_inff();
static const float LOWEST = -0x1.fffffep+127f;

/* ---- random numbers ---- */

static uint32_t mix(uint32_t x) {
    x ^= x >> 16;
    x *= UINT32_C(0x7feb352d);
    x ^= x >> 15;
    x *= UINT32_C(0x846ca68b);
    return x ^ x >> 16;
}

struct case_random case_random_init(uint32_t seed, uint32_t stream) {
    return (struct case_random){mix(mix(seed) + stream * UINT32_C(0x9e3779b9))};
}

uint32_t case_random_next(struct case_random *random) { return mix(random->state += UINT32_C(0x9e3779b9)); }

uint32_t case_random_below(struct case_random *random, uint32_t n) {
    return (uint32_t)((uint64_t)case_random_next(random) * n >> 32);
}

float case_random_float(struct case_random *random) { return (float)(int32_t)case_random_next(random) * 0x1p-31f; }

static int chance(struct case_random *random, uint32_t percent) { return case_random_below(random, 100) < percent; }

#define PICK(random, array) (array)[case_random_below(random, sizeof(array) / sizeof *(array))]

/* ---- memory ---- */

void *case_alloc(struct case_arena *arena, size_t bytes) {
    const size_t rounded = (bytes + 63) / 64 * 64 + 64; /* the gap */
    if (bytes > arena->bytes || rounded > arena->bytes - arena->used) return NULL;
    unsigned char *block = arena->base + arena->used;
    for (size_t n = 0; n < rounded; n++) block[n] = 0xff;
    arena->used += rounded;
    return block;
}

/* ---- elements ---- */

static uint32_t float_bits(float x) {
    union {
        float value;
        uint32_t bits;
    } u = {x};
    return u.bits;
}

/* Towards zero: any nearby number will do. Beyond the range: the largest finite one. */
static uint16_t half_bits(float x) {
    const uint32_t bits = float_bits(x), sign = bits >> 16 & 0x8000, mantissa = bits & 0x7fffff;
    const int exponent = (int)(bits >> 23 & 255) - 112;
    if ((bits & 0x7fffffff) == 0x7f800000) return (uint16_t)(sign | 0x7c00);
    if (exponent >= 31) return (uint16_t)(sign | 0x7bff);
    if (exponent < -10) return (uint16_t)sign;
    if (exponent <= 0) return (uint16_t)(sign | (mantissa | 0x800000) >> (14 - exponent));
    return (uint16_t)(sign | (uint32_t)exponent << 10 | mantissa >> 13);
}

static size_t element_bytes(enum attn_dtype dtype) { return dtype == ATTN_FLOAT32 ? 4 : dtype == ATTN_BOOL ? 1 : 2; }

static void store(const struct attn_tensor *t, size_t at, float x) {
    void *data = (void *)t->data; /* the generator owns what it describes */
    if (t->dtype == ATTN_FLOAT32) ((float *)data)[at] = x;
    if (t->dtype == ATTN_FLOAT16) ((uint16_t *)data)[at] = half_bits(x);
    if (t->dtype == ATTN_BFLOAT16) ((uint16_t *)data)[at] = (uint16_t)(float_bits(x) >> 16);
    if (t->dtype == ATTN_BOOL) ((uint8_t *)data)[at] = x != 0;
}

static float garbage_value(struct case_random *random) {
    switch (case_random_below(random, 6)) {
    case 0: return INFINITE;
    case 1: return -INFINITE;
    case 2: return 3e38f;
    case 3: return -1e30f;
    case 4: return case_random_float(random);
    default: return __builtin_nanf("");
    }
}

static void store_garbage(const struct attn_tensor *t, size_t at, struct case_random *random) {
    const float x = garbage_value(random);
    if (t->dtype == ATTN_FLOAT16 && x != x)
        ((uint16_t *)(void *)t->data)[at] = 0x7e00; /* half_bits has no NaN */
    else
        store(t, at, x);
}

/* ---- tensors ---- */

struct dims {
    size_t batch, heads, rows, columns;
};

static int allocate(struct attn_tensor *t, struct case_arena *arena) {
    t->data = case_alloc(arena, t->capacity * element_bytes(t->dtype));
    return t->data ? 0 : -1;
}

/* A tensor without data in one of five layouts: bhsd, bshd, padded, one batch for all, one head for all. */
static struct attn_tensor layout(struct case_random *random, struct dims d, enum attn_dtype dtype, int may_share) {
    struct attn_tensor t = {0};
    const uint32_t kind = case_random_below(random, 100);
    const size_t row_pad = kind >= 60 ? case_random_below(random, 9) : 0;
    t.dtype = dtype;
    t.column_stride = 1;
    if (kind >= 40 && kind < 60) {
        t.head_stride = d.columns;
        t.row_stride = d.heads * d.columns;
        t.batch_stride = d.rows * t.row_stride;
    } else {
        t.row_stride = d.columns + row_pad;
        t.head_stride = d.rows * t.row_stride + (row_pad ? case_random_below(random, 5) : 0);
        t.batch_stride = d.heads * t.head_stride;
        if (may_share && kind >= 94) t.batch_stride = 0;
        if (may_share && kind >= 97) t.head_stride = 0;
    }
    if (d.batch && d.heads && d.rows && d.columns)
        t.capacity =
            (d.batch - 1) * t.batch_stride + (d.heads - 1) * t.head_stride + (d.rows - 1) * t.row_stride + d.columns;
    return t;
}

/* A mask in which any dimension may be broadcast; columns may be longer than needed. */
static struct attn_tensor broadcast(struct case_random *random, struct dims d, enum attn_dtype dtype) {
    struct attn_tensor t = {0};
    const int by_batch = chance(random, 50), by_head = chance(random, 50), by_row = chance(random, 70);
    const int by_column = chance(random, 85);
    const struct dims own = {by_batch ? d.batch : 1, by_head ? d.heads : 1, by_row ? d.rows : 1,
                             by_column ? d.columns : 1};
    const size_t width = own.columns + (by_column && chance(random, 30) ? case_random_below(random, 9) : 0);
    t.dtype = dtype;
    t.column_stride = by_column ? 1 : 0;
    t.row_stride = by_row ? width : 0;
    t.head_stride = by_head ? own.rows * width : 0;
    t.batch_stride = by_batch ? own.heads * own.rows * width : 0;
    if (d.batch && d.heads && d.rows && d.columns) t.capacity = own.batch * own.heads * own.rows * width;
    return t;
}

static size_t mask_offset(const struct attn_tensor *t, size_t b, size_t h, size_t i, size_t j) {
    return b * t->batch_stride + h * t->head_stride + i * t->row_stride + j * t->column_stride;
}

/* ---- shapes ---- */

static size_t around(struct case_random *random, const uint8_t *cumulative) {
    static const uint8_t few[] = {1, 3, 4, 5, 7, 8, 9};
    const uint32_t dice = case_random_below(random, 100);
    if (dice < cumulative[0]) return 0;
    if (dice < cumulative[1]) return PICK(random, few);
    if (dice < cumulative[2]) return 15 + case_random_below(random, 3);
    if (dice < cumulative[3]) return 31 + case_random_below(random, 3);
    if (dice < cumulative[4]) return 63 + case_random_below(random, 3);
    if (dice < cumulative[5]) return 127 + case_random_below(random, 3);
    return 180 + case_random_below(random, 120);
}

static void shape(struct attn_problem *p, struct case_random *random) {
    static const uint8_t groups[][3] = {{1, 1, 1}, {1, 1, 1}, {2, 2, 2}, {2, 1, 1},  {3, 3, 1}, {4, 2, 1}, {4, 1, 2},
                                        {6, 3, 2}, {8, 2, 4}, {5, 1, 1}, {12, 3, 2}, {6, 2, 2}, {3, 1, 3}, {16, 2, 2}};
    static const uint8_t of_queries[] = {3, 66, 80, 90, 97, 100}, of_keys[] = {3, 38, 53, 65, 82, 94};
    static const uint8_t of_dim[] = {2, 58, 76, 90, 97, 100};
    const uint8_t *group = PICK(random, groups);
    size_t batch = chance(random, 70) ? 1 : 1 + case_random_below(random, 3);
    size_t heads = group[0], key_heads = group[1], value_heads = group[2];
    size_t q_len = around(random, of_queries), k_len = around(random, of_keys);
    size_t dim = around(random, of_dim);
    size_t value_dim = chance(random, 50) ? dim : around(random, of_dim);
    if (chance(random, 1)) batch = 0;
    if (chance(random, 1)) heads = 0;
    if (batch * heads * q_len * k_len * (dim + value_dim + 8) > 600000) batch = 1;
    if (heads * q_len * k_len * (dim + value_dim + 8) > 600000 && heads > 4) heads = 4, key_heads = 2, value_heads = 1;
    while (heads * q_len * k_len * (dim + value_dim + 8) > 600000)
        q_len = 1 + case_random_below(random, (uint32_t)q_len);
    attn_problem_init(p, batch, heads, key_heads, value_heads, q_len, k_len, dim, value_dim);
}

/* ---- options ---- */

static void draw_inputs(struct case_problem *c, struct case_random *random) {
    static const float amplitudes[CASE_FAMILIES] = {2.4f, 10, 150};
    static const enum attn_dtype dtypes[] = {ATTN_FLOAT32, ATTN_FLOAT32, ATTN_FLOAT16, ATTN_BFLOAT16};
    struct attn_problem *p = &c->problem;
    const enum attn_dtype common = chance(random, 60) ? ATTN_FLOAT32 : PICK(random, dtypes);
    const int mixed = chance(random, 20);
    const enum attn_dtype q = mixed ? PICK(random, dtypes) : common, k = mixed ? PICK(random, dtypes) : common;
    const enum attn_dtype v = mixed ? PICK(random, dtypes) : common;
    p->queries = layout(random, (struct dims){p->batch, p->heads, p->q_len, p->dim}, q, 0);
    p->keys = layout(random, (struct dims){p->batch, p->key_heads, p->k_len, p->dim}, k, 1);
    p->values = layout(random, (struct dims){p->batch, p->value_heads, p->k_len, p->value_dim}, v, 1);
    c->query_amplitude = c->key_amplitude =
        c->family == CASE_ORDINARY && chance(random, 20) ? 0.05f : amplitudes[c->family];
    c->value_amplitude = chance(random, 70) ? 1 : chance(random, 50) ? 0.001f : 500;
    c->value_offset = chance(random, 80) ? 0 : 8 * c->value_amplitude;
}

static int draw_positions(struct attn_problem *p, struct case_random *random, struct case_arena *arena) {
    static const uint32_t sides[] = {0, 1, 2, 3, 7, 16, 40, 64, 100, ATTN_UNBOUNDED, ATTN_UNBOUNDED - 1, 0x7fffffff};
    p->causal = chance(random, 35);
    p->has_window = chance(random, 25);
    p->window_left = PICK(random, sides);
    p->window_right = PICK(random, sides);
    if (chance(random, 25)) p->key_offset = (int32_t)case_random_below(random, 200);
    if (chance(random, 2)) p->key_offset = INT32_MAX - (int32_t)case_random_below(random, 400);
    if (chance(random, 35)) {
        int32_t *offsets = case_alloc(arena, p->batch * sizeof *offsets);
        if (!offsets) return -1;
        for (size_t b = 0; b < p->batch; b++) {
            const int64_t near = p->key_offset - 6 + (int64_t)case_random_below(random, (uint32_t)p->k_len + 12);
            offsets[b] = near > INT32_MAX ? INT32_MAX : (int32_t)near;
        }
        if (p->batch && chance(random, 5)) offsets[0] = chance(random, 50) ? INT32_MAX : INT32_MIN;
        p->query_offsets = offsets;
    }
    if (chance(random, 30)) {
        int32_t *lengths = case_alloc(arena, p->batch * sizeof *lengths);
        if (!lengths) return -1;
        for (size_t b = 0; b < p->batch; b++)
            lengths[b] = chance(random, 8) ? 0 : (int32_t)case_random_below(random, (uint32_t)p->k_len + 1);
        p->key_lengths = lengths;
    }
    return 0;
}

static int draw_scores(struct case_problem *c, struct case_random *random, struct case_arena *arena) {
    static const float scalings[] = {1, 0.125f, 0.03f, -0.25f, 0}, caps[] = {1, 5, 30, 50};
    static const float sink_scale[CASE_FAMILIES] = {4, 40, 8000};
    struct attn_problem *p = &c->problem;
    if (chance(random, 15)) p->scaling = PICK(random, scalings);
    if (chance(random, 20)) p->softcap = PICK(random, caps);
    if (chance(random, 20)) {
        float *slopes = case_alloc(arena, p->heads * sizeof *slopes);
        if (!slopes) return -1;
        for (size_t h = 0; h < p->heads; h++)
            slopes[h] = chance(random, 10) ? -0.01f : 1 / (float)(1u << case_random_below(random, 9));
        p->alibi_slopes = slopes;
        p->query_offsets = p->query_offsets && (p->query_offsets[0] == INT32_MAX || p->query_offsets[0] == INT32_MIN)
                               ? NULL /* distances of 2^32 would leave one logit */
                               : p->query_offsets;
    }
    if (chance(random, 20)) {
        float *sinks = case_alloc(arena, p->heads * sizeof *sinks);
        if (!sinks) return -1;
        for (size_t h = 0; h < p->heads; h++)
            sinks[h] = chance(random, 15) ? -INFINITE : sink_scale[c->family] * case_random_float(random);
        p->sinks = sinks;
    }
    return 0;
}

static int draw_attention_mask(struct case_problem *c, uint8_t *dead, struct case_random *random,
                               struct case_arena *arena) {
    static const enum attn_dtype dtypes[] = {ATTN_FLOAT32, ATTN_FLOAT32, ATTN_FLOAT32, ATTN_BOOL,
                                             ATTN_BOOL,    ATTN_FLOAT16, ATTN_BFLOAT16};
    static const float scales[] = {0, 1, 5}, keep_rates[] = {90, 90, 50, 10, 0};
    struct attn_problem *p = &c->problem;
    if (!chance(random, 40)) return 0;
    struct attn_tensor t =
        broadcast(random, (struct dims){p->batch, p->heads, p->q_len, p->k_len}, PICK(random, dtypes));
    if (allocate(&t, arena)) return -1;

    const float scale = PICK(random, scales), keep_rate = PICK(random, keep_rates);
    const uint32_t out_rate = chance(random, 60) ? 20 : 0, lowest_rate = chance(random, 30) ? 20 : 0;
    const int kill_rows = chance(random, 30), kill_columns = t.column_stride && chance(random, 30);
    const size_t tail =
        kill_columns && chance(random, 50) ? case_random_below(random, (uint32_t)p->k_len + 1) : p->k_len;
    if (kill_columns)
        for (size_t j = 0; j < p->k_len; j++) dead[j] = j >= tail || chance(random, 15);

    for (size_t b = 0; b < p->batch; b++)
        for (size_t h = 0; h < p->heads; h++)
            for (size_t i = 0; i < p->q_len; i++) {
                const int row_out = kill_rows && chance(random, 20), row_lowest = kill_rows && chance(random, 8);
                for (size_t j = 0; j < p->k_len; j++) {
                    const size_t at = mask_offset(&t, b, h, i, j);
                    if (t.dtype == ATTN_BOOL) {
                        const int kept = !row_out && !dead[j] && chance(random, (uint32_t)keep_rate);
                        ((uint8_t *)(void *)t.data)[at] = kept ? (uint8_t)(1 + case_random_below(random, 255)) : 0;
                    } else {
                        float x = scale * case_random_float(random);
                        if (row_lowest || chance(random, lowest_rate)) x = LOWEST;
                        if (row_out || dead[j] || chance(random, out_rate)) x = -INFINITE;
                        store(&t, at, x);
                    }
                }
            }
    p->attention_mask = t;
    return 0;
}

/* Which entries a sparse mask keeps: scattered, a band, whole blocks of columns, or one per row. */
static int sparse_keeps(uint32_t pattern, uint32_t parameter, size_t i, size_t j, struct case_random *random) {
    switch (pattern) {
    case 0: return chance(random, parameter);
    case 1: return (j > i ? j - i : i - j) <= parameter;
    case 2: return mix((uint32_t)(i / 16 * 64 + j / 32) + parameter) % 3 == 0;
    default: return j == mix((uint32_t)i + parameter) % 130;
    }
}

static int draw_sparse_mask(struct case_problem *c, uint8_t *dead, struct case_random *random,
                            struct case_arena *arena) {
    static const uint8_t densities[] = {100, 50, 50, 10, 10, 2, 0};
    struct attn_problem *p = &c->problem;
    if (!chance(random, 45)) return 0;
    struct attn_mask_node *mask = case_alloc(arena, sizeof *mask);
    if (!mask) return -1;
    *mask = (struct attn_mask_node){.kind = ATTN_MASK_DENSE};
    p->sparse_mask = (struct attn_mask){mask, 1};
    const uint32_t pattern = case_random_below(random, 4), style = case_random_below(random, 4);
    const uint32_t parameter = pattern == 0 ? PICK(random, densities) : case_random_below(random, 40);
    const size_t heads[] = {1, p->key_heads, p->heads};
    mask->batch = chance(random, 50) ? 1 : (uint32_t)p->batch;
    mask->heads = (uint32_t)PICK(random, heads);
    if (p->heads == 0 || p->batch == 0) mask->batch = (uint32_t)p->batch, mask->heads = (uint32_t)p->heads;
    p->weighting = chance(random, 50) ? ATTN_WEIGHTING_MULTIPLY : ATTN_WEIGHTING_INVERSE;
    p->route = chance(random, 50) ? ATTN_ROUTE_AUTO : chance(random, 50) ? ATTN_ROUTE_TILES : ATTN_ROUTE_ROWS;
    const int kill_rows = chance(random, 30), kill_columns = chance(random, 30), explicit_zeros = chance(random, 10);
    const int may_kill = p->row_max_over == ATTN_ROW_MAX_KEPT; /* otherwise such keys still count for the maximum */
    if (kill_columns && may_kill)
        for (size_t j = 0; j < p->k_len; j++) dead[j] |= (uint8_t)chance(random, 25);

    const size_t rows = (size_t)mask->batch * mask->heads * p->q_len;
    float *weights = case_alloc(arena, rows * p->k_len * sizeof *weights);
    if (!weights) return -1;
    size_t kept = 0;
    for (size_t r = 0; r < rows; r++) {
        const int row_out = kill_rows && chance(random, 30);
        for (size_t j = 0; j < p->k_len; j++) {
            float w = 0;
            if (!row_out && !dead[j] && sparse_keeps(pattern, parameter, r % p->q_len, j, random)) {
                w = 0x1p-32f * (float)(case_random_next(random) | 1u);
                if (style == 0) w = 1;
                if (style == 1) w *= 4;
                if (style == 2 && chance(random, 3)) w = 1e-12f;
            }
            weights[r * p->k_len + j] = w;
            kept += w != 0 || explicit_zeros;
        }
    }
    if (chance(random, 50)) {
        mask->kind = ATTN_MASK_DENSE;
        mask->weights = weights;
        for (size_t n = 0; n < rows * p->k_len; n++)
            if (weights[n] == 0 && chance(random, 10)) weights[n] = -0.0f;
        return 0;
    }
    uint32_t *ptr = case_alloc(arena, (rows + 1) * sizeof *ptr), *indices = case_alloc(arena, kept * sizeof *indices);
    float *values = case_alloc(arena, kept * sizeof *values);
    if (!ptr || !indices || !values) return -1;
    uint32_t n = ptr[0] = 0;
    for (size_t r = 0; r < rows; r++) {
        for (size_t j = 0; j < p->k_len; j++)
            if (weights[r * p->k_len + j] != 0 || explicit_zeros) {
                indices[n] = (uint32_t)j;
                values[n++] = weights[r * p->k_len + j];
            }
        ptr[r + 1] = n;
    }
    mask->kind = ATTN_MASK_CSR;
    mask->ptr = ptr;
    mask->indices = indices;
    mask->indices_len = n;
    mask->weights = style == 0 && !explicit_zeros ? NULL : values;
    return 0;
}

static int draw_dropout(struct attn_problem *p, struct case_random *random, struct case_arena *arena) {
    static const double rates[] = {0, 0.1, 0.3, 0.3, 0.5, 0.9, 1};
    struct attn_dropout *dropout = &p->dropout;
    if (!chance(random, 35)) return 0;
    dropout->rate = PICK(random, rates);
    dropout->training = chance(random, 85);
    dropout->placement = chance(random, 50) ? ATTN_DROPOUT_BEFORE_NORMALIZATION : ATTN_DROPOUT_AFTER_NORMALIZATION;
    dropout->seed_low = case_random_next(random);
    dropout->seed_high = case_random_next(random);
    if (!chance(random, 30)) return 0;
    dropout->mask = broadcast(random, (struct dims){p->batch, p->heads, p->q_len, p->k_len}, ATTN_BOOL);
    if (allocate(&dropout->mask, arena)) return -1;
    for (size_t n = 0; n < dropout->mask.capacity; n++) store(&dropout->mask, n, chance(random, 60));
    return 0;
}

static void draw_wanted(struct case_problem *c, struct case_random *random) {
    const struct attn_problem *p = &c->problem;
    struct attn_result *wanted = &c->wanted;
    float *const yes = (float *)(void *)c; /* anything but NULL */
    attn_result_init(wanted, p);
    wanted->output = chance(random, 90) ? yes : NULL;
    wanted->log_sum_exp = chance(random, 50) || !wanted->output ? yes : NULL;
    wanted->numerator = chance(random, 30) ? yes : NULL;
    wanted->denominator = chance(random, 30) ? yes : NULL;
    wanted->row_max = chance(random, 30) ? yes : NULL;
    wanted->weights = chance(random, 40) ? yes : NULL;
    wanted->scores = chance(random, 20) ? yes : NULL;
    wanted->score_stage = (enum attn_score_stage)case_random_below(random, 3);
    wanted->dropout_mask = chance(random, 20) ? (uint8_t *)(void *)yes : NULL;
    if (chance(random, 40)) {
        wanted->row_begin = case_random_below(random, (uint32_t)p->q_len + 1);
        wanted->row_end = wanted->row_begin + case_random_below(random, (uint32_t)(p->q_len - wanted->row_begin) + 1);
        wanted->column_begin = case_random_below(random, (uint32_t)p->k_len + 1);
        wanted->column_end =
            wanted->column_begin + case_random_below(random, (uint32_t)(p->k_len - wanted->column_begin) + 1);
    }
    if (chance(random, 50)) {
        const struct attn_tensor t =
            layout(random, (struct dims){p->batch, p->heads, p->q_len, p->value_dim}, ATTN_FLOAT32, 0);
        wanted->output_batch_stride = t.batch_stride;
        wanted->output_head_stride = t.head_stride;
        wanted->output_row_stride = t.row_stride;
        wanted->output_capacity = t.capacity;
    }
    wanted->entry_weights = chance(random, 30) ? yes : NULL;
}

int case_make(struct case_problem *c, uint32_t seed, struct case_arena *arena) {
    struct case_random random = case_random_init(seed, 0);
    struct attn_problem *p = &c->problem;
    *c = (struct case_problem){.seed = seed, .family = (enum case_family)(seed % CASE_FAMILIES)};
    shape(p, &random);
    p->empty_rows = chance(&random, 20) ? ATTN_EMPTY_ROWS_NAN : ATTN_EMPTY_ROWS_ZERO;
    p->row_max_over = chance(&random, 15) ? ATTN_ROW_MAX_ALLOWED : ATTN_ROW_MAX_KEPT;
    uint8_t *dead = case_alloc(arena, p->k_len);
    if (!dead) return -1;
    for (size_t j = 0; j < p->k_len; j++) dead[j] = 0;
    c->dead = dead;
    draw_inputs(c, &random);
    if (allocate(&p->queries, arena) || allocate(&p->keys, arena) || allocate(&p->values, arena)) return -1;
    if (draw_positions(p, &random, arena) || draw_scores(c, &random, arena)) return -1;
    if (draw_attention_mask(c, dead, &random, arena) || draw_sparse_mask(c, dead, &random, arena)) return -1;
    if (draw_dropout(p, &random, arena)) return -1;
    draw_wanted(c, &random);
    case_fill(c, 0);
    return case_entries(c, arena);
}

/* ---- contents ---- */

/* Whether rows of the tensor share elements, so that one row's garbage could be another's number. */
static int shares(const struct attn_tensor *t, struct dims d) {
    return (d.batch > 1 && !t->batch_stride) || (d.heads > 1 && !t->head_stride) || (d.rows > 1 && !t->row_stride);
}

static void fill(const struct case_problem *c, const struct attn_tensor *t, struct dims d, uint32_t stream,
                 uint32_t garbage, float amplitude, float offset) {
    const struct attn_problem *p = &c->problem;
    struct case_random values = case_random_init(c->seed, stream), junk = case_random_init(garbage, stream);
    const int whole = shares(t, d) || stream == 1;
    for (size_t at = 0; at < t->capacity; at++) store_garbage(t, at, &junk);
    for (size_t b = 0; b < d.batch; b++)
        for (size_t h = 0; h < d.heads; h++)
            for (size_t i = 0; i < d.rows; i++) {
                const int skip = !whole && (c->dead[i] || (p->key_lengths && (int64_t)i >= p->key_lengths[b]));
                for (size_t x = 0; x < d.columns; x++) {
                    const float value = offset + amplitude * case_random_float(&values);
                    if (!skip) store(t, b * t->batch_stride + h * t->head_stride + i * t->row_stride + x, value);
                }
            }
}

void case_fill(const struct case_problem *c, uint32_t garbage) {
    const struct attn_problem *p = &c->problem;
    fill(c, &p->queries, (struct dims){p->batch, p->heads, p->q_len, p->dim}, 1, garbage, c->query_amplitude, 0);
    fill(c, &p->keys, (struct dims){p->batch, p->key_heads, p->k_len, p->dim}, 2, garbage, c->key_amplitude, 0);
    fill(c, &p->values, (struct dims){p->batch, p->value_heads, p->k_len, p->value_dim}, 3, garbage, c->value_amplitude,
         c->value_offset);
}

void case_poison(const struct attn_tensor *t, size_t b, size_t h, size_t j, size_t columns, uint32_t garbage) {
    struct case_random junk = case_random_init(garbage, (uint32_t)j);
    for (size_t x = 0; x < columns; x++)
        store_garbage(t, b * t->batch_stride + h * t->head_stride + j * t->row_stride + x, &junk);
}

/* ---- results ---- */

int case_entries(struct case_problem *c, struct case_arena *arena) {
    struct attn_result listed = c->wanted;
    listed.entry_weights = NULL; /* it would have to have the pointers by now */
    if (!c->wanted.entry_weights) return 0;
    const size_t rows = c->problem.batch * c->problem.heads * (listed.row_end - listed.row_begin);
    uint32_t *ptr = case_alloc(arena, (rows + 1) * sizeof *ptr);
    c->wanted.entry_ptr = ptr;
    return ptr && attn_list_entries(&c->problem, &listed, ptr, NULL) == ATTN_OK ? 0 : -1;
}

void case_arrays(const struct attn_problem *p, const struct attn_result *result,
                 struct case_array arrays[CASE_ARRAYS]) {
    const size_t rows = p->batch * p->heads * p->q_len;
    const size_t window_rows = p->batch * p->heads * (result->row_end - result->row_begin);
    const size_t window = window_rows * (result->column_end - result->column_begin);
    const struct case_array all[CASE_ARRAYS] = {
        {result->output, result->output_capacity * sizeof(float)},
        {result->log_sum_exp, rows * sizeof(float)},
        {result->numerator, rows * p->value_dim * sizeof(float)},
        {result->denominator, rows * sizeof(float)},
        {result->row_max, rows * sizeof(float)},
        {result->weights, window * sizeof(float)},
        {result->scores, window * sizeof(float)},
        {result->entry_weights, result->entry_weights ? result->entry_ptr[window_rows] * sizeof(float) : 0},
        {result->dropout_mask, rows * p->k_len},
    };
    for (size_t n = 0; n < CASE_ARRAYS; n++) arrays[n] = all[n];
}

int case_results(const struct case_problem *c, struct attn_result *result, struct case_arena *arena) {
    struct case_array arrays[CASE_ARRAYS];
    *result = c->wanted;
    case_arrays(&c->problem, result, arrays);
    for (size_t n = 0; n < CASE_ARRAYS; n++)
        if (arrays[n].data && !(arrays[n].data = case_alloc(arena, arrays[n].bytes))) return -1;
    result->output = arrays[CASE_OUTPUT].data;
    result->log_sum_exp = arrays[CASE_LOG_SUM_EXP].data;
    result->numerator = arrays[CASE_NUMERATOR].data;
    result->denominator = arrays[CASE_DENOMINATOR].data;
    result->row_max = arrays[CASE_ROW_MAX].data;
    result->weights = arrays[CASE_WEIGHTS].data;
    result->scores = arrays[CASE_SCORES].data;
    result->entry_weights = arrays[CASE_ENTRY_WEIGHTS].data;
    result->dropout_mask = arrays[CASE_DROPOUT_MASK].data;
    return 0;
}

/* ---- maskers ---- */

static const float *draw_floats(size_t count, float amplitude, struct case_random *random, struct case_arena *arena) {
    float *floats = case_alloc(arena, count * sizeof *floats);
    for (size_t n = 0; floats && n < count; n++) floats[n] = amplitude * case_random_float(random);
    return floats;
}

/* Channels of each head: some, one after another from a drawn one on. */
static int draw_channels(struct attn_masker *masker, const struct attn_problem *p, struct case_random *random,
                         struct case_arena *arena) {
    if (!p->dim) return -1;
    masker->channel_count = 1 + case_random_below(random, p->dim < 20 ? (uint32_t)p->dim : 20);
    uint32_t *channels = case_alloc(arena, p->heads * masker->channel_count * sizeof *channels);
    masker->channels = channels;
    for (size_t h = 0; channels && h < p->heads; h++) {
        const size_t first = case_random_below(random, (uint32_t)p->dim);
        for (size_t n = 0; n < masker->channel_count; n++)
            channels[h * masker->channel_count + n] = (uint32_t)((first + n) % p->dim);
    }
    return channels ? 0 : -1;
}

/* Networks of up to three layers; the last one has an output for each bit. */
static int draw_layers(struct attn_masker *masker, const struct attn_problem *p, struct case_random *random,
                       struct case_arena *arena) {
    masker->layer_count = 1 + case_random_below(random, 3);
    struct attn_hash_layer *layers = case_alloc(arena, masker->layer_count * sizeof *layers);
    masker->layers = layers;
    size_t inputs = p->dim;
    for (size_t n = 0; layers && n < masker->layer_count; n++) {
        struct attn_hash_layer *layer = &layers[n];
        *layer = (struct attn_hash_layer){.inputs = inputs, .outputs = 1 + case_random_below(random, 40)};
        layer->activation = (enum attn_activation)case_random_below(random, ATTN_ACTIVATION_TANH + 1);
        const size_t outputs = p->heads * layer->outputs;
        layer->query_matrix = draw_floats(inputs * outputs, 1, random, arena);
        layer->key_matrix = draw_floats(inputs * outputs, 1, random, arena);
        layer->query_bias = draw_floats(outputs, 0.5f, random, arena);
        layer->key_bias = draw_floats(outputs, 0.5f, random, arena);
        if (!layer->query_matrix || !layer->key_matrix || !layer->query_bias || !layer->key_bias) return -1;
        masker->bits = inputs = layer->outputs;
    }
    return layers ? 0 : -1;
}

int case_masker(struct attn_masker *masker, enum attn_masker_kind kind, const struct attn_problem *p,
                struct case_random *random, struct case_arena *arena) {
    static const size_t page_sizes[] = {1, 2, 3, 5, 16, 64, 100, 500}, bases[] = {2, 3, 10, 40, 1000};
    static const size_t label_bits[] = {1, 2, 4, 8, 9, 15, 16, 16, 16}, hash_bits[] = {1, 2, 3, 8, 9, 17, 32};
    static const double masses[] = {0, 0.1, 0.5, 0.9, 0.99, 1}, rates[] = {0, 0.01, 0.1, 0.5, 1};
    static const double epsilons[] = {0.01, 0.1, 0.5, 2}, quantiles[] = {0.1, 1, 1.96, 3};
    static const float temperatures[] = {0.1f, 0.3f, 2};
    const uint32_t k_len = (uint32_t)p->k_len;
    const size_t counts[] = {0, 1, 2, 3, 7, 20, k_len / 2, k_len, (size_t)k_len + 1, SIZE_MAX};
    *masker = (struct attn_masker){.kind = kind};
    masker->count = PICK(random, counts);
    masker->mass = PICK(random, masses);
    masker->rate = kind == ATTN_MASKER_RANDOM ? rates[1 + case_random_below(random, 4)] : PICK(random, rates);
    masker->page_size = PICK(random, page_sizes);
    masker->bits = kind == ATTN_MASKER_MAGIC_PIG ? PICK(random, hash_bits)
                   : kind == ATTN_MASKER_QUEST || kind == ATTN_MASKER_DOUBLE_SPARSITY
                       ? PICK(random, label_bits)
                       : 1 + case_random_below(random, 8);
    masker->tables = 1 + case_random_below(random, 6);
    do masker->sub_vectors = p->dim ? 1 + case_random_below(random, (uint32_t)p->dim) : 1;
    while (p->dim % masker->sub_vectors);
    masker->iterations = case_random_below(random, 5);
    masker->inner_product = chance(random, 30);
    masker->center = chance(random, 70);
    masker->temperature = PICK(random, temperatures);
    masker->first = chance(random, 50) ? 0 : case_random_below(random, k_len + 2);
    masker->last = chance(random, 50) ? 0 : case_random_below(random, k_len + 2);
    masker->base = PICK(random, bases);
    masker->epsilon = PICK(random, epsilons);
    masker->quantile = PICK(random, quantiles);
    masker->replacement = chance(random, 50);
    masker->seed_low = case_random_next(random);
    masker->seed_high = case_random_next(random);
    if (kind == ATTN_MASKER_DOUBLE_SPARSITY) return draw_channels(masker, p, random, arena);
    if (kind == ATTN_MASKER_HASH_ATTENTION) return draw_layers(masker, p, random, arena);
    return 0;
}
