/* SPDX-License-Identifier: Apache-2.0
 *
 * check.c - see check.h. Each function returns the first fault it finds.
 */
#include "check.h"

#include "plan.h"
#include "source.h"

#define TRY(field_name, check)                                                                                         \
    do {                                                                                                               \
        enum attn_status status_ = (check);                                                                            \
        if (status_ != ATTN_OK) return *field = ATTN_FIELD_##field_name, status_;                                      \
    } while (0)

#define ALL_DTYPES (1 << ATTN_FLOAT32 | 1 << ATTN_FLOAT16 | 1 << ATTN_BFLOAT16 | 1 << ATTN_BOOL)
#define FLOAT_DTYPES (ALL_DTYPES & ~(1 << ATTN_BOOL))

static int is_finite(double x) { return x - x == 0; }

/* Whether a product of four sizes times `bytes` can be addressed. */
static enum attn_status addressable(size_t a, size_t b, size_t c, size_t d, size_t bytes) {
    if (!a || !b || !c || !d) return ATTN_OK;
    size_t product;
    int overflow = __builtin_mul_overflow(a, b, &product);
    overflow |= __builtin_mul_overflow(product, c, &product);
    overflow |= __builtin_mul_overflow(product, d, &product);
    overflow |= __builtin_mul_overflow(product, bytes, &product);
    return overflow || product > PTRDIFF_MAX ? ATTN_ERROR_SIZE : ATTN_OK;
}

/* Adds (count - 1) * stride to *last. */
static int step(size_t *last, size_t count, size_t stride) {
    size_t distance;
    return __builtin_mul_overflow(count - 1, stride, &distance) || __builtin_add_overflow(*last, distance, last);
}

/* A tensor whose every element [batch, heads, rows, columns] must lie within its capacity. */
static enum attn_status tensor(const struct attn_tensor *t, size_t batch, size_t heads, size_t rows, size_t columns,
                               int dtypes) {
    if ((unsigned)t->dtype > ATTN_BOOL || !(dtypes >> t->dtype & 1)) return ATTN_ERROR_DTYPE;
    if (!batch || !heads || !rows || !columns) return ATTN_OK;
    if (!t->data) return ATTN_ERROR_NULL;
    /* a stride along a single element too: loops step past their last row before they see that it was the last */
    const size_t spans[] = {t->capacity, t->batch_stride, t->head_stride, t->row_stride, t->column_stride};
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++) {
        if (addressable(spans[i], 1, 1, 1, attn_dtype_bytes(t->dtype)) != ATTN_OK) return ATTN_ERROR_SIZE;
    }
    size_t last = 0;
    if (step(&last, batch, t->batch_stride) || step(&last, heads, t->head_stride) || step(&last, rows, t->row_stride) ||
        step(&last, columns, t->column_stride)) {
        return ATTN_ERROR_SIZE;
    }
    return last < t->capacity ? ATTN_OK : ATTN_ERROR_SHAPE;
}

/* Rows of queries, keys or values are contiguous. */
static enum attn_status source(const struct attn_tensor *t, size_t batch, size_t heads, size_t rows, size_t columns) {
    if (t->column_stride != 1) return ATTN_ERROR_SHAPE;
    return tensor(t, batch, heads, rows, columns, FLOAT_DTYPES);
}

/* Masks may repeat one column. */
static enum attn_status broadcast_mask(const struct attn_tensor *t, const struct attn_problem *p, int dtypes) {
    if (!t->data) return ATTN_OK;
    if (t->column_stride > 1) return ATTN_ERROR_SHAPE;
    return tensor(t, p->batch, p->heads, p->q_len, p->k_len, dtypes);
}

static enum attn_status shape(const struct attn_problem *p) {
    const size_t sizes[] = {p->batch, p->heads, p->key_heads, p->value_heads, p->q_len, p->k_len, p->dim, p->value_dim};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (sizes[i] > INT32_MAX) return ATTN_ERROR_SIZE; /* positions and counters are 32 bits wide */
    }
    if (p->heads && (!p->key_heads || p->heads % p->key_heads)) return ATTN_ERROR_HEADS;
    if (p->heads && (!p->value_heads || p->heads % p->value_heads)) return ATTN_ERROR_HEADS;
    return ATTN_OK;
}

static enum attn_status key_lengths(const struct attn_problem *p) {
    for (size_t b = 0; p->key_lengths && b < p->batch; b++) {
        if (p->key_lengths[b] < 0 || (size_t)p->key_lengths[b] > p->k_len) return ATTN_ERROR_INDEX;
    }
    return ATTN_OK;
}

static enum attn_status finite_per_head(const float *values, size_t heads, int minus_infinity) {
    for (size_t h = 0; values && h < heads; h++) {
        if (!is_finite(values[h]) && !(minus_infinity && values[h] == -__builtin_inff())) return ATTN_ERROR_VALUE;
    }
    return ATTN_OK;
}

/* Pointers and indices by value: nothing they hold may lead outside. */
static enum attn_status index_arrays(const struct attn_mask_node *node, size_t rows, size_t columns) {
    if (!node->ptr || (node->indices_len && !node->indices)) return ATTN_ERROR_NULL;
    if (node->indices_len > UINT32_MAX || node->ptr[0] != 0) return ATTN_ERROR_INDEX;
    for (size_t r = 0; r < rows; r++) {
        size_t begin = node->ptr[r], end = node->ptr[r + 1];
        if (begin > end || end > node->indices_len) return ATTN_ERROR_INDEX;
        int descends = 0; /* rarely: no need to leave early */
        for (size_t n = begin + 1; n < end; n++) descends |= node->indices[n] <= node->indices[n - 1];
        if (descends || (begin < end && node->indices[end - 1] >= columns)) return ATTN_ERROR_INDEX;
    }
    return node->ptr[rows] == node->indices_len ? ATTN_OK : ATTN_ERROR_INDEX;
}

static enum attn_status bounds(const uint32_t *array, size_t count, size_t k_len) {
    if (count && !array) return ATTN_ERROR_NULL;
    for (size_t n = 0; n < count; n++) {
        if (array[n] > k_len) return ATTN_ERROR_INDEX;
    }
    return ATTN_OK;
}

static enum attn_status documents(const struct attn_mask_node *node, const struct attn_problem *p) {
    const size_t rows = node->batch * p->q_len;
    enum attn_status status = bounds(node->begins, rows, p->k_len);
    if (status == ATTN_OK) status = bounds(node->ends, rows, p->k_len);
    if (status == ATTN_OK && rows && p->k_len && !node->query_ids != !node->key_ids) status = ATTN_ERROR_NULL;
    return status;
}

/* Rows that the arrays of a leaf have for each head and query, and elements of `bytes` in each row. */
static enum attn_status leaf_shape(const struct attn_mask_node *node, const struct attn_problem *p, size_t rows,
                                   size_t columns, size_t bytes) {
    if (node->batch != 1 && node->batch != p->batch) return ATTN_ERROR_SHAPE;
    if (p->heads && (!node->heads || p->heads % node->heads)) return ATTN_ERROR_HEADS;
    return addressable(node->batch, node->heads, rows, columns, bytes);
}

static enum attn_status mask_leaf(const struct attn_mask_node *node, const struct attn_problem *p) {
    const size_t rows = (size_t)node->batch * node->heads * p->q_len;
    const size_t tiles = p->k_len / ATTN_TILE_KEYS + (p->k_len % ATTN_TILE_KEYS > 0);
    enum attn_status status = ATTN_OK;
    switch (node->kind) {
    case ATTN_MASK_FULL:
    case ATTN_MASK_BAND: return ATTN_OK;
    case ATTN_MASK_COLUMNS:
        if (node->batch != 1 && node->batch != p->batch) return ATTN_ERROR_SHAPE;
        return bounds(node->ends, node->batch, p->k_len);
    case ATTN_MASK_DOCUMENTS:
        if (node->batch != 1 && node->batch != p->batch) return ATTN_ERROR_SHAPE;
        status = addressable(node->batch, p->q_len, 1, 1, sizeof(int32_t));
        if (status == ATTN_OK) status = addressable(node->batch, p->k_len, 1, 1, sizeof(int32_t));
        return status == ATTN_OK ? documents(node, p) : status;
    case ATTN_MASK_BLOCKS: {
        if (!node->block_rows || !node->block_columns) return ATTN_ERROR_VALUE;
        const size_t block_rows = p->q_len / node->block_rows + (p->q_len % node->block_rows > 0);
        const size_t block_columns = p->k_len / node->block_columns + (p->k_len % node->block_columns > 0);
        status = leaf_shape(node, p, block_rows, 1, sizeof(uint32_t));
        if (status != ATTN_OK) return status;
        return index_arrays(node, (size_t)node->batch * node->heads * block_rows, block_columns);
    }
    case ATTN_MASK_BITS:
        status = leaf_shape(node, p, p->q_len, tiles, ATTN_TILE_KEYS / 8);
        if (status == ATTN_OK && !node->bits && rows && p->k_len) status = ATTN_ERROR_NULL;
        return status;
    case ATTN_MASK_DENSE:
        status = leaf_shape(node, p, p->q_len, p->k_len, sizeof(float));
        if (status == ATTN_OK && !node->weights && rows && p->k_len) status = ATTN_ERROR_NULL;
        return status;
    default:
        status = leaf_shape(node, p, p->q_len, 1, sizeof(uint32_t));
        return status == ATTN_OK ? index_arrays(node, rows, p->k_len) : status;
    }
}

static enum attn_status sparse_mask(const struct attn_problem *p) {
    const struct attn_mask *mask = &p->sparse_mask;
    if ((unsigned)p->weighting > ATTN_WEIGHTING_INVERSE || (unsigned)p->route > ATTN_ROUTE_ROWS)
        return ATTN_ERROR_VALUE;
    if (mask->count > ATTN_MASK_NODES) return ATTN_ERROR_SIZE;
    if (mask->count && !mask->nodes) return ATTN_ERROR_NULL;
    for (size_t n = 0; n < mask->count; n++) {
        const struct attn_mask_node *node = &mask->nodes[n];
        enum attn_status status = ATTN_OK;
        if ((unsigned)node->kind > ATTN_MASK_NOT) return ATTN_ERROR_VALUE;
        if (node->kind < ATTN_MASK_AND) {
            status = mask_leaf(node, p);
        } else if (node->left >= n || (node->kind != ATTN_MASK_NOT && node->right >= n)) {
            status = ATTN_ERROR_INDEX;
        }
        if (status != ATTN_OK) return status;
    }
    return ATTN_OK;
}

static enum attn_status dropout(const struct attn_dropout *d) {
    if (!(d->rate >= 0 && d->rate <= 1)) return ATTN_ERROR_VALUE;
    return (unsigned)d->placement > ATTN_DROPOUT_AFTER_NORMALIZATION ? ATTN_ERROR_VALUE : ATTN_OK;
}

static enum attn_status output(const struct attn_problem *p, const struct attn_result *r) {
    if (!r->output) return ATTN_OK;
    const struct attn_tensor t = {.data = r->output,
                                  .batch_stride = r->output_batch_stride,
                                  .head_stride = r->output_head_stride,
                                  .row_stride = r->output_row_stride,
                                  .column_stride = 1,
                                  .capacity = r->output_capacity};
    return tensor(&t, p->batch, p->heads, p->q_len, p->value_dim, FLOAT_DTYPES);
}

static enum attn_status window(const struct attn_problem *p, const struct attn_result *r) {
    if (r->row_begin > r->row_end || r->row_end > p->q_len) return ATTN_ERROR_SHAPE;
    return r->column_begin > r->column_end || r->column_end > p->k_len ? ATTN_ERROR_SHAPE : ATTN_OK;
}

static enum attn_status matrix_window(const struct attn_problem *p, const struct attn_result *r) {
    enum attn_status status = window(p, r);
    if (status != ATTN_OK) return status;
    return addressable(p->batch, p->heads, r->row_end - r->row_begin, r->column_end - r->column_begin, sizeof(float));
}

/* Rows of sparse weights: their entries are counted again as they are written. */
static enum attn_status entry_pointers(const struct attn_problem *p, const struct attn_result *r) {
    enum attn_status status = window(p, r);
    if (status == ATTN_OK) status = addressable(p->batch, p->heads, r->row_end - r->row_begin, 1, sizeof(uint32_t));
    if (status != ATTN_OK) return status;
    if (!r->entry_ptr) return ATTN_ERROR_NULL;
    const size_t rows = p->batch * p->heads * (r->row_end - r->row_begin);
    for (size_t n = 0; n < rows; n++) {
        if (r->entry_ptr[n] > r->entry_ptr[n + 1]) return ATTN_ERROR_INDEX;
    }
    return r->entry_ptr[0] == 0 ? ATTN_OK : ATTN_ERROR_INDEX;
}

enum attn_status attn_check(const struct attn_problem *problem, const struct attn_result *result,
                            enum attn_field *field) {
    const struct attn_problem *p = problem;
    TRY(SHAPE, shape(p));
    TRY(QUERIES, source(&p->queries, p->batch, p->heads, p->q_len, p->dim));
    TRY(KEYS, source(&p->keys, p->batch, p->key_heads, p->k_len, p->dim));
    TRY(VALUES, source(&p->values, p->batch, p->value_heads, p->k_len, p->value_dim));
    TRY(SCALING, is_finite(p->scaling) ? ATTN_OK : ATTN_ERROR_VALUE);
    TRY(SOFTCAP, is_finite(p->softcap) && p->softcap >= 0 ? ATTN_OK : ATTN_ERROR_VALUE);
    TRY(ATTENTION_MASK, broadcast_mask(&p->attention_mask, p, ALL_DTYPES));
    TRY(KEY_OFFSET, p->key_offset >= 0 ? ATTN_OK : ATTN_ERROR_VALUE);
    TRY(KEY_LENGTHS, key_lengths(p));
    TRY(ALIBI_SLOPES, finite_per_head(p->alibi_slopes, p->heads, 0));
    TRY(SINKS, finite_per_head(p->sinks, p->heads, 1));
    TRY(SPARSE_MASK, sparse_mask(p));
    TRY(DROPOUT, dropout(&p->dropout));
    TRY(DROPOUT_MASK, broadcast_mask(&p->dropout.mask, p, 1 << ATTN_BOOL));
    TRY(EMPTY_ROWS, (unsigned)p->empty_rows <= ATTN_EMPTY_ROWS_NAN ? ATTN_OK : ATTN_ERROR_VALUE);
    TRY(ROW_MAX_OVER, (unsigned)p->row_max_over <= ATTN_ROW_MAX_ALLOWED ? ATTN_OK : ATTN_ERROR_VALUE);
    TRY(OUTPUT, output(p, result));
    TRY(PARTIALS, addressable(p->batch, p->heads, p->q_len, p->value_dim > 1 ? p->value_dim : 1, sizeof(float)));
    if (result->weights) TRY(WEIGHTS, matrix_window(p, result));
    if (result->scores) {
        TRY(SCORES, matrix_window(p, result));
        TRY(SCORES, (unsigned)result->score_stage <= ATTN_SCORES_BIASED ? ATTN_OK : ATTN_ERROR_VALUE);
    }
    if (result->entry_weights) TRY(WEIGHTS, entry_pointers(p, result));
    if (result->dropout_mask) TRY(DROPOUT_MASK, addressable(p->batch, p->heads, p->q_len, p->k_len, 1));
    return ATTN_OK;
}

enum attn_status attn_check_run(struct attn_plan *own, const struct attn_plan *plan, const struct attn_problem *problem,
                                const struct attn_result *result, const void *workspace, size_t workspace_bytes,
                                size_t job_begin, size_t job_end) {
    if (!plan || !problem || !result) return ATTN_ERROR_NULL;
    if (plan->field != ATTN_FIELD_NONE || shape(problem) != ATTN_OK) return ATTN_ERROR_JOBS;
    if (!attn_plan_compute(own, problem, result)) return ATTN_ERROR_JOBS;
    if (plan->jobs != own->jobs || plan->workspace_bytes != own->workspace_bytes) return ATTN_ERROR_JOBS;
    if (job_begin > job_end || job_end > plan->jobs) return ATTN_ERROR_JOBS;
    if (job_begin == job_end) return ATTN_OK;
    if (!workspace) return ATTN_ERROR_NULL;
    if (workspace_bytes < plan->workspace_bytes || (uintptr_t)workspace % ATTN_ALIGNMENT) return ATTN_ERROR_WORKSPACE;
    return ATTN_OK;
}

enum attn_status attn_check_entries(const struct attn_problem *problem, const struct attn_result *result,
                                    const uint32_t *ptr) {
    enum attn_field field;
    if (!problem || !result || !ptr) return ATTN_ERROR_NULL;
    enum attn_status status = attn_check(problem, result, &field);
    return status == ATTN_OK ? window(problem, result) : status;
}

enum attn_status attn_check_merge(struct attn_partials destination, struct attn_partials source_, size_t rows,
                                  size_t value_dim) {
    if (addressable(rows, value_dim > 1 ? value_dim : 1, 1, 1, sizeof(float)) != ATTN_OK) return ATTN_ERROR_SIZE;
    const struct attn_partials *both[] = {&destination, &source_};
    for (size_t i = 0; rows && i < 2; i++) {
        if (!both[i]->denominator || !both[i]->row_max || (value_dim && !both[i]->numerator)) return ATTN_ERROR_NULL;
    }
    return ATTN_OK;
}

enum attn_status attn_check_finish(const struct attn_partials *partials, const struct attn_problem *problem,
                                   const struct attn_result *result) {
    if (!partials || !problem || !result) return ATTN_ERROR_NULL;
    const struct attn_problem *p = problem;
    size_t columns = p->value_dim > 1 ? p->value_dim : 1;
    if (addressable(p->batch, p->heads, p->q_len, columns, sizeof(float)) != ATTN_OK) return ATTN_ERROR_SIZE;
    if (!p->batch || !p->heads || !p->q_len) return ATTN_OK;
    if (!partials->denominator || !partials->row_max || (p->value_dim && !partials->numerator)) return ATTN_ERROR_NULL;
    if ((unsigned)p->empty_rows > ATTN_EMPTY_ROWS_NAN) return ATTN_ERROR_VALUE;
    if (finite_per_head(p->sinks, p->heads, 1) != ATTN_OK) return ATTN_ERROR_VALUE;
    return output(p, result);
}

enum attn_status attn_check_convert(const void *destination, enum attn_dtype destination_dtype, const void *source_,
                                    enum attn_dtype source_dtype, size_t count) {
    int narrows = source_dtype == ATTN_FLOAT32, widens = destination_dtype == ATTN_FLOAT32;
    enum attn_dtype half = narrows ? destination_dtype : source_dtype;
    if (narrows == widens || (half != ATTN_FLOAT16 && half != ATTN_BFLOAT16)) return ATTN_ERROR_DTYPE;
    return count && (!destination || !source_) ? ATTN_ERROR_NULL : ATTN_OK;
}
