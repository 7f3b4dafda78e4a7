/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_problem.c - libFuzzer target: makes descriptors and index arrays out of bytes, most of them nearly right. The
 * library must refuse or compute without touching a byte outside arrays that are exactly as long as claimed.
 */
#include <stdlib.h>
#include <string.h>

#include "attn.h"
#include "fuzz_input.h"

#define MOST_ELEMENTS ((size_t)1 << 14) /* of any array */

/* Product of sizes, or more than MOST_ELEMENTS. */
static size_t product(size_t a, size_t b, size_t c, size_t d) {
    const size_t sizes[] = {a, b, c, d};
    size_t n = 1;
    for (size_t k = 0; k < 4; k++)
        if (!sizes[k]) return 0;
    for (size_t k = 0; k < 4; k++) n = sizes[k] > MOST_ELEMENTS || n > MOST_ELEMENTS ? MOST_ELEMENTS + 1 : n * sizes[k];
    return n;
}

static size_t bytes_of(enum attn_dtype dtype) { return dtype == ATTN_FLOAT32 ? 4 : dtype == ATTN_BOOL ? 1 : 2; }

/* Bends a tensor's layout now and then, then gives it the memory it claims, or as much as there may be. */
static void tensor(struct input *in, struct attn_tensor *t) {
    const uint32_t bend = byte(in);
    if (bend & 1 && bend & 2) t->batch_stride = size_of(in);
    if (bend & 4 && bend & 8) t->head_stride = size_of(in);
    if (bend & 16 && bend & 32) t->row_stride = size_of(in);
    if (bend == 0x80) t->column_stride = size_of(in);
    if (bend > 0xe0) t->capacity = size_of(in);
    if (bend == 0x40) t->dtype = (enum attn_dtype)byte(in);
    if (t->capacity > MOST_ELEMENTS) t->capacity = MOST_ELEMENTS;
    t->data = bend == 0xc0 ? NULL : array(in, t->capacity * bytes_of(t->dtype));
    if (t->dtype != ATTN_BOOL && t->data && byte(in) & 1)
        memset((void *)t->data, 0x3c, t->capacity * bytes_of(t->dtype));
}

static void broadcast_mask(struct input *in, struct attn_tensor *t, const struct attn_problem *p,
                           enum attn_dtype dtype) {
    const uint32_t dims = byte(in);
    const size_t columns = dims & 1 ? p->k_len : 1, rows = dims & 2 ? p->q_len : 1, heads = dims & 4 ? p->heads : 1;
    t->dtype = dtype;
    t->column_stride = dims & 1;
    t->row_stride = dims & 2 ? columns : 0;
    t->head_stride = dims & 4 ? product(rows, columns, 1, 1) : 0;
    t->batch_stride = dims & 8 ? product(heads, rows, columns, 1) : 0;
    t->capacity = product(dims & 8 ? p->batch : 1, heads, rows, columns);
    tensor(in, t);
}

static const float *per_head(struct input *in, const struct attn_problem *p) {
    if (p->heads > 64 || byte(in) & 3) return NULL;
    float *values = array(in, p->heads * sizeof *values);
    for (size_t h = 0; h < p->heads; h++) values[h] = number(in);
    return values;
}

static const int32_t *per_batch(struct input *in, const struct attn_problem *p, int32_t range) {
    if (p->batch > 64 || byte(in) & 3) return NULL;
    int32_t *values = array(in, p->batch * sizeof *values);
    for (size_t b = 0; b < p->batch; b++)
        values[b] = byte(in) > 248 ? (int32_t)word(in) : (int32_t)byte(in) % (range + 1);
    return values;
}

static void fill(struct input *in, const uint32_t **array_, size_t count, uint32_t range) {
    uint32_t *values = array(in, count * sizeof *values);
    for (size_t n = 0; n < count; n++) values[n] = byte(in) > 250 ? word(in) : byte(in) % (range + 1);
    *array_ = byte(in) == 255 ? NULL : values;
}

/* A leaf, or a combination of nodes before it. */
static void mask_node(struct input *in, const struct attn_problem *p, struct attn_mask_node *mask, uint32_t before) {
    const uint32_t choice = byte(in);
    const uint32_t k_len = p->k_len < 256 ? (uint32_t)p->k_len : 255;
    mask->batch = choice & 1 ? 1 : (uint32_t)p->batch;
    mask->heads = choice & 2 ? 1 : (uint32_t)(choice & 4 ? p->key_heads : p->heads);
    if (choice >= 250) mask->batch = (uint32_t)size_of(in), mask->heads = (uint32_t)size_of(in);
    mask->kind = (enum attn_mask_kind)(byte(in) % (before ? ATTN_MASK_NOT + 2 : ATTN_MASK_AND));
    mask->left = before ? byte(in) % (before + (choice == 248)) : 0;
    mask->right = before ? byte(in) % (before + (choice == 247)) : 0;
    mask->before = byte(in) < 128 ? byte(in) % 20 : word(in);
    mask->after = byte(in) < 128 ? byte(in) % 20 : ATTN_UNBOUNDED;
    mask->offset = byte(in) < 250 ? (int32_t)(byte(in) % 20) - 10 : (int32_t)word(in);
    mask->block_rows = choice == 246 ? word(in) : 1 + byte(in) % 40;
    mask->block_columns = choice == 245 ? word(in) : 1 + byte(in) % 40;
    size_t rows = product(mask->batch, mask->heads, p->q_len, 1);
    const size_t cells = product(rows, p->k_len, 1, 1), bits = product(rows, (p->k_len + 127) / 128, 4, 1);
    if (mask->batch > 64 || bits > MOST_ELEMENTS || product(64, p->k_len, 1, 1) > MOST_ELEMENTS ||
        product(64, p->q_len, 1, 1) > MOST_ELEMENTS) {
        mask->kind = ATTN_MASK_FULL;
        return;
    }
    if (mask->kind == ATTN_MASK_COLUMNS) fill(in, &mask->ends, mask->batch, k_len);
    if (mask->kind == ATTN_MASK_DOCUMENTS) {
        fill(in, &mask->begins, mask->batch * p->q_len, k_len);
        fill(in, &mask->ends, mask->batch * p->q_len, k_len);
        if (byte(in) & 1) fill(in, (const uint32_t **)&mask->query_ids, mask->batch * p->q_len, 3);
        if (mask->query_ids) fill(in, (const uint32_t **)&mask->key_ids, mask->batch * p->k_len, 3);
    }
    if (mask->kind == ATTN_MASK_BITS) fill(in, &mask->bits, bits, 0);
    if (mask->kind == ATTN_MASK_BLOCKS && mask->block_rows)
        rows = product(mask->batch, mask->heads, p->q_len / mask->block_rows + (p->q_len % mask->block_rows > 0), 1);
    if (mask->kind == ATTN_MASK_DENSE) {
        if (cells > MOST_ELEMENTS) mask->kind = ATTN_MASK_FULL;
        float *weights = cells > MOST_ELEMENTS ? NULL : array(in, cells * sizeof *weights);
        for (size_t n = 0; weights && n < cells; n++) weights[n] = byte(in) & 1 ? 0 : (float)byte(in) / 100;
        mask->weights = weights;
    }
    if (mask->kind != ATTN_MASK_CSR && mask->kind != ATTN_MASK_BLOCKS) return;
    if (rows >= MOST_ELEMENTS) { /* the checker reads `ptr` up to here */
        mask->kind = ATTN_MASK_FULL;
        return;
    }
    uint32_t *ptr = array(in, (rows + 1) * sizeof *ptr), indices[256], len = 0;
    const uint32_t break_at = byte(in) > 200 ? byte(in) : UINT32_MAX; /* which entry to spoil */
    ptr[0] = 0;
    for (size_t r = 0; r < rows; r++) {
        uint32_t column = byte(in) & 7;
        for (uint32_t count = byte(in) & 7; count && column < p->k_len && len < 256; count--) {
            indices[len++] = column;
            column += 1 + (byte(in) & 15);
        }
        ptr[r + 1] = len;
        if (r == break_at) ptr[r] = word(in);
    }
    mask->ptr = byte(in) == 255 ? NULL : ptr;
    mask->indices_len = byte(in) > 250 ? byte(in) : len;
    if (mask->indices_len > len) memset(indices + len, 0, (mask->indices_len - len) * sizeof *indices);
    uint32_t *own = array(in, mask->indices_len * sizeof *own);
    memcpy(own, indices, mask->indices_len * sizeof *own);
    if (break_at < mask->indices_len) own[break_at] = word(in);
    mask->indices = own;
    if (byte(in) & 1)
        mask->weights = memset(array(in, mask->indices_len * sizeof(float)), 0x3d, mask->indices_len * sizeof(float));
}

static void sparse_mask(struct input *in, struct attn_problem *p) {
    const uint32_t choice = byte(in), count = choice & 3 ? choice & 3 : byte(in) % 8;
    struct attn_mask_node *nodes = array(in, count * sizeof *nodes);
    memset(nodes, 0, count * sizeof *nodes);
    for (uint32_t n = 0; n < count; n++) mask_node(in, p, &nodes[n], n);
    p->sparse_mask = (struct attn_mask){byte(in) == 255 ? NULL : nodes, choice == 252 ? size_of(in) : count};
    if (choice == 252 && p->sparse_mask.count < 64) p->sparse_mask.count = count;
    p->weighting = (enum attn_weighting)(choice == 249 ? byte(in) : choice >> 3 & 1);
    p->route = (enum attn_route)(choice == 248 ? byte(in) : byte(in) % 3);
}

static void problem(struct input *in, struct attn_problem *p) {
    static const enum attn_dtype dtypes[] = {ATTN_FLOAT32, ATTN_FLOAT32, ATTN_FLOAT16, ATTN_BFLOAT16};
    const size_t batch = size_of(in), groups = size_of(in), key_heads = size_of(in);
    const uint32_t values = byte(in);
    const size_t heads = values == 255 ? groups : product(groups, key_heads, 1, 1);
    attn_problem_init(p, batch, heads, key_heads,
                      values & 1   ? 1
                      : values & 2 ? heads
                                   : key_heads,
                      size_of(in), size_of(in), size_of(in), size_of(in));
    const uint32_t types = byte(in), masks = byte(in), flags = byte(in);
    p->queries.dtype = dtypes[types & 3];
    p->keys.dtype = dtypes[types >> 2 & 3];
    p->values.dtype = dtypes[types >> 4 & 3];
    tensor(in, &p->queries);
    tensor(in, &p->keys);
    tensor(in, &p->values);
    if (flags & 1) p->scaling = number(in);
    if (flags & 2) p->softcap = number(in);
    if (masks & 1) broadcast_mask(in, &p->attention_mask, p, masks & 2 ? ATTN_BOOL : dtypes[masks >> 2 & 3]);
    p->causal = flags >> 2 & 1;
    p->has_window = flags >> 3 & 1;
    p->window_left = flags & 16 ? word(in) : byte(in) & 31;
    p->window_right = flags & 32 ? word(in) : byte(in) & 31;
    p->key_offset = flags & 64 ? (int32_t)word(in) : 0;
    p->query_offsets = per_batch(in, p, 255);
    p->key_lengths = per_batch(in, p, p->k_len < 255 ? (int32_t)p->k_len : 255);
    p->alibi_slopes = per_head(in, p);
    p->sinks = per_head(in, p);
    sparse_mask(in, p);
    p->dropout.rate = flags & 128 ? (double)number(in) : 0.25;
    p->dropout.training = masks >> 4 & 1;
    p->dropout.placement = (enum attn_dropout_placement)(byte(in) > 250 ? byte(in) : masks >> 5 & 1);
    if (masks & 64) broadcast_mask(in, &p->dropout.mask, p, ATTN_BOOL);
    p->empty_rows = (enum attn_empty_rows)(byte(in) > 250 ? byte(in) : masks >> 7);
    p->row_max_over = (enum attn_row_max)(byte(in) > 200 ? byte(in) & 3 : 0);
}

static void result(struct input *in, const struct attn_problem *p, struct attn_result *r) {
    const uint32_t wanted = byte(in);
    const size_t rows = product(p->batch, p->heads, p->q_len, 1), numbers = product(rows, p->value_dim, 1, 1);
    attn_result_init(r, p);
    if (byte(in) > 200) {
        r->output_row_stride = p->value_dim;
        r->output_head_stride = product(p->q_len, p->value_dim, 1, 1);
        r->output_batch_stride = product(p->heads, p->q_len, p->value_dim, 1);
        r->output_capacity = byte(in) > 250 ? size_of(in) : numbers;
    }
    if (r->output_capacity > MOST_ELEMENTS) r->output_capacity = MOST_ELEMENTS;
    if (wanted & 1) r->output = array(in, r->output_capacity * sizeof(float));
    if (byte(in) > 128)
        r->row_begin = size_of(in), r->row_end = size_of(in), r->column_begin = size_of(in),
        r->column_end = size_of(in);
    const int window_ok = r->row_begin <= r->row_end && r->column_begin <= r->column_end;
    const size_t window = window_ok ? product(rows / (p->q_len ? p->q_len : 1), r->row_end - r->row_begin,
                                              r->column_end - r->column_begin, 1)
                                    : 0;
    const size_t cells = product(rows, p->k_len, 1, 1);
    r->score_stage = (enum attn_score_stage)(byte(in) & 3);
    if (rows > MOST_ELEMENTS) return;
    if (wanted & 2) r->log_sum_exp = array(in, rows * sizeof(float));
    if (wanted & 4 && numbers <= MOST_ELEMENTS) r->numerator = array(in, numbers * sizeof(float));
    if (wanted & 8) r->denominator = array(in, rows * sizeof(float));
    if (wanted & 16) r->row_max = array(in, rows * sizeof(float));
    if (wanted & 32 && window <= MOST_ELEMENTS) r->weights = array(in, window * sizeof(float));
    if (wanted & 64 && window <= MOST_ELEMENTS) r->scores = array(in, window * sizeof(float));
    if (wanted & 128 && cells <= MOST_ELEMENTS) r->dropout_mask = array(in, cells);
}

/* Asks for the weights of listed entries, now and then with pointers that were never listed, or with too little room
 * or too much. What the listing says must be what the indices then fill. */
static void entries(struct input *in, const struct attn_problem *p, struct attn_result *r) {
    const uint32_t choice = byte(in);
    const int window_ok = r->row_begin <= r->row_end && r->row_end <= p->q_len;
    const size_t rows = window_ok ? product(p->batch, p->heads, r->row_end - r->row_begin, 1) : MOST_ELEMENTS + 1;
    /* very many heads without rows are gone through all the same, and take their time */
    const size_t heads = product(p->batch, p->heads ? p->heads : 1, 1, 1);
    if (choice & 1 || rows > MOST_ELEMENTS || heads > MOST_ELEMENTS || product(rows, p->k_len, 1, 1) > MOST_ELEMENTS)
        return;
    uint32_t *ptr = array(in, (rows + 1) * sizeof *ptr);
    if (attn_list_entries(p, r, ptr, NULL) != ATTN_OK) {
        if (choice == 254) r->entry_weights = array(in, sizeof(float)), r->entry_ptr = NULL; /* refused as well */
        return;
    }
    const uint32_t count = ptr[rows];
    if (count > rows * p->k_len) abort();
    uint32_t *indices = array(in, count * sizeof *indices);
    if (attn_list_entries(p, r, ptr, indices) != ATTN_OK || ptr[rows] != count) abort();
    for (size_t row = 0; row < rows; row++)
        for (uint32_t n = ptr[row]; n < ptr[row + 1]; n++)
            if (indices[n] >= r->column_end - r->column_begin || (n > ptr[row] && indices[n] <= indices[n - 1]))
                abort();
    const uint32_t spoilt = choice == 252 ? byte(in) : UINT32_MAX;
    if (choice >= 248 && choice < 252)
        for (size_t row = 0, shift = 0; row <= rows; row++) ptr[row] += (uint32_t)(shift += row && byte(in) > 200);
    if (choice >= 240 && choice < 248)
        for (size_t row = 0; row <= rows; row++) ptr[row] = ptr[row] / (1 + choice % 8);
    r->entry_weights = array(in, ptr[rows] * sizeof(float));
    if (spoilt < rows) ptr[spoilt] = word(in); /* the last one says how much room there is */
    r->entry_ptr = ptr;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = input_of(data, size);
    struct attn_problem p;
    struct attn_result r;
    struct attn_plan plan;
    problem(&in, &p);
    result(&in, &p, &r);
    entries(&in, &p, &r);
    const enum attn_status status = attn_plan_init(&plan, &p, &r);
    if (status != ATTN_OK && (plan.field == ATTN_FIELD_NONE || plan.field > ATTN_FIELD_JOBS)) abort();
    if (status == ATTN_OK && product(product(p.batch, p.heads, p.q_len, 1), p.k_len + 1, 1, 1) <= MOST_ELEMENTS &&
        p.dim < 1000 && p.value_dim < 1000 && plan.workspace_bytes < 1 << 24) {
        void *workspace = aligned_alloc(ATTN_ALIGNMENT, plan.workspace_bytes ? plan.workspace_bytes : ATTN_ALIGNMENT);
        if (!workspace) abort();
        memset(workspace, 0xff, plan.workspace_bytes);
        const size_t cut = plan.jobs ? byte(&in) % plan.jobs : 0;
        if (attn_run(&plan, &p, &r, workspace, plan.workspace_bytes, cut, plan.jobs) != ATTN_OK) abort();
        if (attn_run(&plan, &p, &r, workspace, plan.workspace_bytes, 0, cut) != ATTN_OK) abort();
        free(workspace);
        const struct attn_partials partials = {r.numerator, r.denominator, r.row_max};
        const size_t rows = p.batch * p.heads * p.q_len;
        if (r.numerator && r.denominator && r.row_max) {
            if (attn_partials_merge(partials, partials, rows, p.value_dim) != ATTN_OK) abort();
            if (attn_partials_finish(&partials, &p, &r) != ATTN_OK) abort();
        }
    }
    input_end(&in);
    return 0;
}
