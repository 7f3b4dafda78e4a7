/* SPDX-License-Identifier: Apache-2.0
 *
 * subject.c - see subject.h. An error may be 1.5 times the naive float32 loop's plus a few roundings of the largest
 * logit; bits are compared with all NaNs equal.
 */
#include "subject.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "test.h"

/* The naive loop that errors are measured against: the reference's own text in float32. */
void naive_reference(const struct attn_problem *problem, const struct attn_reference_result *result);
#define attn_reference naive_reference
#define ATTN_REFERENCE_REAL float
#include "reference.c"
#undef attn_reference

void subject_describe(const struct subject *s) {
    static const char *const dtypes[] = {"f32", "f16", "bf16", "bool"}, *const kinds[] = {
                                                                            "full",   "band", "columns", "documents",
                                                                            "blocks", "bits", "dense",   "csr",
                                                                            "and",    "or",   "merge",   "not"};
    static const char *const stages[] = {"raw", "softcapped", "biased"};
    const struct attn_problem *p = &s->c.problem;
    const struct attn_result *w = &s->c.wanted;
    if (checks_failed() > FAILURES_SHOWN) return;
    printf("    %s: b %zu h %zu hk %zu hv %zu sq %zu sk %zu d %zu dv %zu, %s/%s/%s, scaling %g, family %d\n", s->name,
           p->batch, p->heads, p->key_heads, p->value_heads, p->q_len, p->k_len, p->dim, p->value_dim,
           dtypes[p->queries.dtype], dtypes[p->keys.dtype], dtypes[p->values.dtype], (double)p->scaling, s->c.family);
    printf("   ");
    if (p->softcap != 0) printf(" softcap %g", (double)p->softcap);
    if (p->attention_mask.data) printf(" mask %s", dtypes[p->attention_mask.dtype]);
    if (p->causal) printf(" causal");
    if (p->has_window) printf(" window %u,%u", p->window_left, p->window_right);
    if (p->key_offset) printf(" key_offset %d", p->key_offset);
    if (p->query_offsets && p->batch) printf(" query_offsets %d..", p->query_offsets[0]);
    if (p->key_lengths && p->batch) printf(" key_lengths %d..", p->key_lengths[0]);
    if (p->alibi_slopes) printf(" alibi");
    if (p->sinks) printf(" sinks");
    for (size_t n = 0; n < p->sparse_mask.count; n++) {
        const struct attn_mask_node *node = &p->sparse_mask.nodes[n];
        printf(" %s %ux%u%s", kinds[node->kind], node->batch, node->heads, node->weights ? " weighted" : "");
    }
    if (p->sparse_mask.count) printf(" %s", p->weighting ? "inverse" : "multiply");
    if (p->route) printf(" %s", p->route == ATTN_ROUTE_TILES ? "tiles" : "rows");
    if (dropout_acts(p))
        printf(" dropout %g %s%s", p->dropout.rate, p->dropout.placement ? "after" : "before",
               p->dropout.mask.data ? " mask" : "");
    if (p->empty_rows) printf(" nan");
    if (p->row_max_over) printf(" allowed");
    printf("; wants%s%s%s%s%s%s%s%s%s%s [%zu,%zu)x[%zu,%zu)\n", w->output ? " output" : "",
           w->log_sum_exp ? " lse" : "", w->numerator ? " num" : "", w->denominator ? " den" : "",
           w->row_max ? " max" : "", w->weights ? " weights" : "", w->scores ? " scores " : "",
           w->scores ? stages[w->score_stage] : "", w->entry_weights ? " entries" : "",
           w->dropout_mask ? " dropout" : "", w->row_begin, w->row_end, w->column_begin, w->column_end);
}

size_t subject_rows(const struct attn_problem *p) { return p->batch * p->heads * p->q_len; }

/* Carves the arrays of a reference result out of *memory. */
static struct attn_reference_result reference_arrays(const struct attn_problem *p, double **memory) {
    const size_t rows = subject_rows(p), cells = rows * p->k_len;
    struct attn_reference_result r = {0};
    double **const arrays[] = {&r.scratch, &r.output,  &r.numerator, &r.log_sum_exp, &r.denominator,
                               &r.row_max, &r.weights, &r.scores[0], &r.scores[1],   &r.scores[2]};
    const size_t counts[] = {p->k_len, rows * p->value_dim, rows * p->value_dim, rows, rows, rows, cells, cells, cells,
                             cells};
    for (size_t n = 0; n < sizeof arrays / sizeof *arrays; n++) {
        *arrays[n] = *memory;
        *memory += counts[n];
    }
    r.dropout_mask = (uint8_t *)*memory;
    r.keys = r.dropout_mask + cells;
    *memory = (double *)(void *)((char *)*memory + (2 * cells + 15) / 8 * 8);
    return r;
}

int subject_reads(const struct subject *s, size_t cell) {
    const uint8_t key = s->reference.keys[cell];
    return key == ATTN_REFERENCE_KEPT ||
           (key == ATTN_REFERENCE_SPARSE && s->c.problem.row_max_over == ATTN_ROW_MAX_ALLOWED);
}

float subject_weight(const struct attn_problem *p, size_t b, size_t h, size_t i, size_t j) {
    return sparse_weight(p, (struct row){b, h, i}, j);
}

int subject_allows(const struct attn_problem *p, size_t b, size_t h, size_t i, size_t j) {
    const struct row r = {b, h, i};
    return in_range(p, r, j) && additive(p, r, j) != -INFINITY;
}

/* The largest logit of row n, and the largest sum of |q k| behind one, among keys that matter: a logit far below the
 * maximum may be as large and as wrong as it likes. */
static void measure_row(struct subject *s, const struct attn_problem *p, size_t n) {
    const size_t b = n / p->q_len / p->heads, h = n / p->q_len % p->heads, i = n % p->q_len;
    const double *biased = s->reference.scores[ATTN_SCORES_BIASED], *raw = s->reference.scores[ATTN_SCORES_RAW];
    double max = -(double)INFINITY;
    for (size_t at = n * p->k_len; at < (n + 1) * p->k_len; at++)
        if (subject_reads(s, at)) max = fmax(max, biased[at]);
    s->magnitude[n] = s->products[n] = 0;
    for (size_t j = 0; j < p->k_len; j++) {
        const size_t at = n * p->k_len + j;
        double products = 0;
        if (!subject_reads(s, at) || biased[at] < max - 110) continue;
        for (size_t x = 0; x < p->dim; x++)
            products += fabs((double)element(&p->queries, b, h, i, x) *
                             (double)element(&p->keys, b, h / (p->heads / p->key_heads), j, x));
        s->products[n] = fmax(s->products[n], fabs((double)p->scaling) * products);
        s->magnitude[n] = fmax(s->magnitude[n], fmax(fabs(biased[at]), raw ? fabs(raw[at]) : 0));
    }
    s->products[n] = fmax(s->products[n], s->magnitude[n]);
}

/* The tensor in float32: the reference reads every element many times. */
static struct attn_tensor widened(const struct attn_tensor *t) {
    struct attn_tensor wide = *t;
    float *data = allocate(t->capacity * sizeof *data);
    for (size_t n = 0; n < t->capacity; n++) data[n] = (float)element(t, 0, 0, 0, n);
    wide.dtype = ATTN_FLOAT32;
    wide.data = data;
    return wide;
}

void subject_init(struct subject *s) {
    struct attn_problem wide = s->c.problem;
    struct attn_tensor *const tensors[] = {&wide.queries, &wide.keys, &wide.values};
    const struct attn_problem *const p = &wide;
    const size_t rows = subject_rows(p), key_rows = p->batch * p->key_heads * p->k_len,
                 value_rows = p->batch * p->value_heads * p->k_len;
    const size_t doubles =
        2 * (p->k_len + rows * (2 * p->value_dim + 3 + 4 * p->k_len) + rows * p->k_len / 4 + 4) + 2 * rows;
    double *memory = s->memory = allocate(doubles * sizeof(double) + key_rows + value_rows + rows);
    s->reference = reference_arrays(p, &memory);
    s->naive = reference_arrays(p, &memory);
    s->magnitude = memory;
    s->products = memory + rows;
    s->keys_kept = memset(memory + 2 * rows, 0, key_rows + value_rows);
    s->values_kept = s->keys_kept + key_rows;
    s->underflows = s->values_kept + value_rows;
    const int with_raw = p->softcap != 0 || p->alibi_slopes; /* otherwise the biased scores say as much */
    for (int stage = ATTN_SCORES_RAW; stage <= ATTN_SCORES_BIASED; stage++) { /* each costs as much as all the rest */
        const int wanted = s->c.wanted.scores && s->c.wanted.score_stage == (enum attn_score_stage)stage;
        if (!wanted) s->naive.scores[stage] = NULL;
        if (!wanted &&
            (stage == ATTN_SCORES_SOFTCAPPED || (stage == ATTN_SCORES_RAW && !s->c.wanted.scores && !with_raw)))
            s->reference.scores[stage] = NULL;
    }
    for (size_t n = 0; n < 3; n++) *tensors[n] = widened(tensors[n]);
    attn_reference(p, &s->reference);
    naive_reference(p, &s->naive);

    for (size_t n = 0; n < rows; n++) {
        const size_t b = n / p->q_len / p->heads, h = n / p->q_len % p->heads;
        const size_t key_head = h / (p->heads / p->key_heads), value_head = h / (p->heads / p->value_heads);
        /* relative to a key that dropout removed, or that the sparse mask leaves out, what is kept may be nothing */
        const double sum = s->reference.denominator[n], log_sum_exp = s->reference.log_sum_exp[n];
        const double undropped = isinf(log_sum_exp) ? 1 : exp(log_sum_exp - s->reference.row_max[n]);
        s->underflows[n] = undropped < 1e-30 || (sum > 0 && sum < 1e-30);
        measure_row(s, p, n);
        for (size_t j = 0; j < p->k_len; j++) {
            const int needed = subject_reads(s, n * p->k_len + j);
            if (needed) s->keys_kept[(b * p->key_heads + key_head) * p->k_len + j] = 1;
            if (needed) s->values_kept[(b * p->value_heads + value_head) * p->k_len + j] = 1;
        }
    }
    s->value_max = 0;
    for (size_t n = 0; n < value_rows; n++)
        for (size_t x = 0; s->values_kept[n] && x < p->value_dim; x++) {
            const size_t b = n / p->k_len / p->value_heads, h = n / p->k_len % p->value_heads;
            s->value_max = fmax(s->value_max, fabs((double)element(&p->values, b, h, n % p->k_len, x)));
        }
    s->amplify = dropout_acts(p) && p->dropout.rate < 1 ? 1 / (1 - p->dropout.rate) : 1;
    for (size_t n = 0; n < 3; n++) free((void *)tensors[n]->data);
}

void subject_free(struct subject *s) { free(s->memory); }

/* ---- errors ---- */

/* What is compared: a strided float array [batch, heads, rows, columns] against contiguous doubles [.., columns_all]. */
struct comparison {
    const char *name;
    const float *got;
    size_t batch_stride, head_stride, row_stride;
    const double *want, *naive;
    size_t row_begin, row_end, column_begin, column_end, columns_all;
    enum { NOT_SCORES, UNMASKED_SCORES, MASKED_SCORES } scores; /* cells of keys full of garbage have none */
    double unit; /* the bound's second term is unit * (1 + magnitude) * (scale ? scale[row] : 1) */
    const double *magnitude, *scale;
    double slack;                /* factor on the whole bound */
    double tiny;                 /* absolute, for what lies near the smallest floats */
    int partial;                 /* sums themselves, comparable even where they underflow */
    struct subject_error *error; /* NULL: not wanted */
    double size;                 /* what it is relative to */
};

static int is_garbage(const struct case_problem *c, size_t b, size_t j) {
    return c->dead[j] || (c->problem.key_lengths && (int64_t)j >= c->problem.key_lengths[b]);
}

static int is_masked(const struct attn_problem *p, struct row r, size_t j) {
    return !in_range(p, r, j) || additive(p, r, j) == -INFINITY;
}

/* Checks every cell against the bound; the largest errors go to c->error. */
static void compare(const struct subject *s, const struct comparison *c) {
    const struct attn_problem *p = &s->c.problem;
    double naive_max = 0, off_max = 0, ordinary = 0;
    for (size_t n = 0; n < subject_rows(p); n++)
        if (c->magnitude[n] < 5e4) ordinary = fmax(ordinary, c->magnitude[n]);
    for (int pass = 0; pass < 2; pass++)
        for (size_t n = 0; n < subject_rows(p); n++) {
            const size_t b = n / p->q_len / p->heads, h = n / p->q_len % p->heads, i = n % p->q_len;
            if (i < c->row_begin || i >= c->row_end || (s->underflows[n] && !c->partial)) continue;
            for (size_t x = c->column_begin; x < c->column_end; x++) {
                const size_t at = n * c->columns_all + x;
                const double want = c->want[at];
                if (c->scores && is_garbage(&s->c, b, x) &&
                    !(c->scores == MASKED_SCORES && is_masked(p, (struct row){b, h, i}, x)))
                    continue;
                const double naive_error = fabs(c->naive[at] - want);
                if (pass == 0) {
                    if (naive_error > naive_max) naive_max = naive_error; /* not where it is NaN */
                    continue;
                }
                const float got = c->got[b * c->batch_stride + h * c->head_stride + (i - c->row_begin) * c->row_stride +
                                         (x - c->column_begin)];
                const double bound =
                    c->slack * (1.5 * (naive_max < 1e300 ? naive_max : 0) +
                                c->unit * (1 + fmax(ordinary, c->magnitude[n])) * (c->scale ? c->scale[n] : 1)) +
                    c->tiny;
                const double off = fabs((double)got - want);
                const int ok = isnan(want) ? isnan(got) : isinf(want) ? (double)got == want : off <= bound;
                if (!ok) {
                    check(0,
                          "%s: %s[%zu,%zu,%zu,%zu] = %.9g, expected %.9g, error %.3g, bound %.3g, naive %.9g "
                          "(worst %.3g)",
                          s->name, c->name, b, h, i, x, (double)got, want, off, bound, c->naive[at], naive_max);
                    subject_describe(s);
                    return;
                }
                if (off > off_max) off_max = off;
            }
        }
    check(1, "%s", c->name);
    if (c->error && c->size > 0) *c->error = (struct subject_error){1, off_max / c->size, naive_max / c->size};
}

static const double EPSILON = 0x1p-22;

/* An array [batch, heads, q_len, columns]. */
static struct comparison whole_rows(const struct subject *s, const char *name, const float *got, const double *want,
                                    const double *naive, size_t columns) {
    const struct attn_problem *p = &s->c.problem;
    return (struct comparison){.name = name,
                               .got = got,
                               .batch_stride = p->heads * p->q_len * columns,
                               .head_stride = p->q_len * columns,
                               .row_stride = columns,
                               .want = want,
                               .naive = naive,
                               .row_end = p->q_len,
                               .column_end = columns,
                               .columns_all = columns,
                               .unit = EPSILON,
                               .magnitude = s->products,
                               .slack = 1};
}

/* The window of weights and scores, out of an array [batch, heads, q_len, k_len]. */
static struct comparison window(const struct subject *s, const struct attn_result *r, const char *name,
                                const float *got, const double *want, const double *naive) {
    struct comparison c = whole_rows(s, name, got, want, naive, s->c.problem.k_len);
    c.row_begin = r->row_begin;
    c.row_end = r->row_end;
    c.column_begin = r->column_begin;
    c.column_end = r->column_end;
    c.row_stride = r->column_end - r->column_begin;
    c.head_stride = (r->row_end - r->row_begin) * c.row_stride;
    c.batch_stride = s->c.problem.heads * c.head_stride;
    c.magnitude = s->magnitude;
    return c;
}

static void compare_output(const struct subject *s, const struct attn_result *r, double slack,
                           struct subject_error *error) {
    struct comparison c =
        whole_rows(s, "output", r->output, s->reference.output, s->naive.output, s->c.problem.value_dim);
    c.batch_stride = r->output_batch_stride;
    c.head_stride = r->output_head_stride;
    c.row_stride = r->output_row_stride;
    c.size = s->value_max * s->amplify;
    c.unit = EPSILON * c.size;
    c.magnitude = s->magnitude;
    c.slack = slack;
    c.tiny = 1e-37;
    c.error = error;
    compare(s, &c);
}

static void compare_log_sum_exp(const struct subject *s, const struct attn_result *r, double slack,
                                struct subject_error *error) {
    struct comparison c =
        whole_rows(s, "log_sum_exp", r->log_sum_exp, s->reference.log_sum_exp, s->naive.log_sum_exp, 1);
    c.slack = slack;
    c.error = error;
    c.size = 1;
    compare(s, &c);
}

static void compare_partials(const struct subject *s, const struct attn_result *r, double slack) {
    struct comparison c =
        whole_rows(s, "numerator", r->numerator, s->reference.numerator, s->naive.numerator, s->c.problem.value_dim);
    c.slack = slack;
    c.partial = 1;
    c.scale = s->reference.denominator;
    c.unit = EPSILON * s->value_max * s->amplify;
    c.tiny = 1e-35 * (1 + s->value_max);
    if (r->numerator) compare(s, &c);
    c = whole_rows(s, "denominator", r->denominator, s->reference.denominator, s->naive.denominator, 1);
    c.slack = slack;
    c.partial = 1;
    c.scale = s->reference.denominator;
    c.tiny = 1e-35;
    if (r->denominator) compare(s, &c);
    c = whole_rows(s, "row_max", r->row_max, s->reference.row_max, s->naive.row_max, 1);
    c.slack = slack;
    if (r->row_max) compare(s, &c);
}

static void compare_weights(const struct subject *s, const struct attn_result *r, double slack,
                            struct subject_error *error) {
    struct comparison c = window(s, r, "weights", r->weights, s->reference.weights, s->naive.weights);
    c.size = s->amplify;
    c.unit = EPSILON * c.size;
    c.tiny = 1e-37;
    c.slack = slack;
    c.error = error;
    compare(s, &c);
}

/* Entries, spread out as weights are: what is not listed has none. What is listed is enumerated here once more. Their
 * scores may be summed in another order than the row's maximum was, so that there are two errors. */
static void compare_entries(const struct subject *s, const struct attn_result *r) {
    const struct attn_problem *p = &s->c.problem;
    const size_t rows = r->row_end - r->row_begin, columns = r->column_end - r->column_begin;
    struct attn_result spread = *r;
    uint32_t at = 0;
    float *weights = spread.weights = allocate(p->batch * p->heads * rows * columns * sizeof *weights);
    int ok = r->entry_ptr[0] == 0;
    for (size_t n = 0; n < p->batch * p->heads * rows; n++) {
        const size_t head = n / rows, b = head / p->heads, h = head % p->heads, i = r->row_begin + n % rows;
        for (size_t j = r->column_begin; j < r->column_end; j++) {
            const double want = s->reference.weights[(head * p->q_len + i) * p->k_len + j];
            const int listed =
                p->sparse_mask.count ? subject_weight(p, b, h, i, j) != 0 : subject_allows(p, b, h, i, j);
            *weights++ = listed && at < r->entry_ptr[n + 1] ? r->entry_weights[at] : isnan(want) ? NAN : 0;
            at += (uint32_t)listed;
        }
        ok &= at == r->entry_ptr[n + 1];
    }
    if (check(ok, "%s: entries listed", s->name))
        compare_weights(s, &spread, 1, NULL);
    else
        subject_describe(s);
    free(spread.weights);
}

static void compare_scores(const struct subject *s, const struct attn_result *r) {
    const struct attn_problem *p = &s->c.problem;
    struct comparison c =
        window(s, r, "scores", r->scores, s->reference.scores[r->score_stage], s->naive.scores[r->score_stage]);
    double *magnitude =
        allocate(subject_rows(p) * sizeof *magnitude); /* over all keys, not those alone that are read */
    for (size_t n = 0; n < subject_rows(p); n++) {
        magnitude[n] = s->magnitude[n];
        for (size_t j = 0; j < p->k_len; j++)
            if (!is_garbage(&s->c, n / p->q_len / p->heads, j))
                magnitude[n] = fmax(magnitude[n], fabs(s->reference.scores[ATTN_SCORES_RAW][n * p->k_len + j]));
    }
    c.magnitude = magnitude;
    c.scores = r->score_stage == ATTN_SCORES_BIASED ? MASKED_SCORES : UNMASKED_SCORES;
    compare(s, &c);
    free(magnitude);
}

void subject_compare(const struct subject *s, const struct attn_result *r, double slack,
                     struct subject_error errors[SUBJECT_ERRORS]) {
    const struct attn_problem *p = &s->c.problem;
    if (r->output) compare_output(s, r, slack, errors ? &errors[SUBJECT_OUTPUT] : NULL);
    if (r->log_sum_exp) compare_log_sum_exp(s, r, slack, errors ? &errors[SUBJECT_LOG_SUM_EXP] : NULL);
    compare_partials(s, r, slack);
    if (r->weights) compare_weights(s, r, 1, errors ? &errors[SUBJECT_WEIGHTS] : NULL);
    if (r->entry_weights) compare_entries(s, r);
    if (r->scores) compare_scores(s, r);
    if (r->dropout_mask)
        if (!check(memcmp(r->dropout_mask, s->reference.dropout_mask, subject_rows(p) * p->k_len) == 0,
                   "%s: dropout mask", s->name))
            subject_describe(s);
}

/* ---- bits ---- */

/* Row n of all results but scores and dropout mask; *what says where they differ. */
static int same_row(const struct attn_problem *p, const struct attn_result *a, const struct attn_result *b, size_t n,
                    const char **what) {
    const size_t batch = n / p->q_len / p->heads, h = n / p->q_len % p->heads, i = n % p->q_len;
    int same = 1;
    *what = "output";
    const size_t out = batch * a->output_batch_stride + h * a->output_head_stride + i * a->output_row_stride;
    for (size_t x = 0; same && a->output && b->output && x < p->value_dim; x++)
        same = same_bits(a->output[out + x], b->output[out + x]);
    if (!same) return 0;
    *what = "partials or log_sum_exp";
    if (a->log_sum_exp && b->log_sum_exp) same &= same_bits(a->log_sum_exp[n], b->log_sum_exp[n]);
    if (a->denominator && b->denominator) same &= same_bits(a->denominator[n], b->denominator[n]);
    if (a->row_max && b->row_max) same &= same_bits(a->row_max[n], b->row_max[n]);
    for (size_t x = n * p->value_dim; a->numerator && b->numerator && x < (n + 1) * p->value_dim; x++)
        same &= same_bits(a->numerator[x], b->numerator[x]);
    if (!same) return 0;
    *what = "weights";
    if (a->weights && b->weights && i >= a->row_begin && i < a->row_end) {
        const size_t columns = a->column_end - a->column_begin;
        const size_t at = ((n / p->q_len) * (a->row_end - a->row_begin) + i - a->row_begin) * columns;
        for (size_t j = 0; same && j < columns; j++) same = same_bits(a->weights[at + j], b->weights[at + j]);
    }
    if (!same) return 0;
    *what = "entry weights";
    if (a->entry_weights && b->entry_weights && i >= a->row_begin && i < a->row_end) {
        const uint32_t *ptr = a->entry_ptr + n / p->q_len * (a->row_end - a->row_begin) + i - a->row_begin;
        for (size_t at = ptr[0]; same && at < ptr[1]; at++)
            same = same_bits(a->entry_weights[at], b->entry_weights[at]);
    }
    return same;
}

void subject_same_rows(const struct subject *s, const struct attn_result *a, const struct attn_result *b,
                       const uint8_t *skip, const char *why) {
    const struct attn_problem *p = &s->c.problem;
    for (size_t n = 0; n < subject_rows(p); n++) {
        const char *what;
        if ((skip && skip[n]) || same_row(p, a, b, n, &what)) continue;
        check(0, "%s: %s changed %s of row [%zu,%zu,%zu]", s->name, why, what, n / p->q_len / p->heads,
              n / p->q_len % p->heads, n % p->q_len);
        subject_describe(s);
        return;
    }
    check(1, "%s", why);
}

void subject_same(const struct subject *s, const struct attn_result *a, const struct attn_result *b, const char *why) {
    static const char *const names[CASE_ARRAYS] = {"output",  "log_sum_exp", "numerator",     "denominator", "row_max",
                                                   "weights", "scores",      "entry_weights", "dropout_mask"};
    struct case_array of_a[CASE_ARRAYS], of_b[CASE_ARRAYS];
    case_arrays(&s->c.problem, a, of_a);
    case_arrays(&s->c.problem, b, of_b);
    for (size_t n = 0; n < CASE_ARRAYS; n++) {
        if (!of_a[n].data || !of_b[n].data) continue;
        size_t at = 0;
        if (n == CASE_DROPOUT_MASK)
            while (at < of_a[n].bytes && ((uint8_t *)of_a[n].data)[at] == ((uint8_t *)of_b[n].data)[at]) at++;
        else
            while (at < of_a[n].bytes && same_bits(((float *)of_a[n].data)[at / 4], ((float *)of_b[n].data)[at / 4]))
                at += 4;
        if (check(at == of_a[n].bytes, "%s: %s changed %s at byte %zu", s->name, why, names[n], at)) continue;
        subject_describe(s);
        return;
    }
}

void subject_check_guards(const struct subject *s, const struct attn_result *r) {
    const struct attn_problem *p = &s->c.problem;
    struct case_array arrays[CASE_ARRAYS];
    case_arrays(p, r, arrays);
    int ok = 1;
    for (size_t n = 0; n < CASE_ARRAYS; n++) {
        const unsigned char *array = arrays[n].data;
        for (size_t at = arrays[n].bytes; array && at < (arrays[n].bytes + 63) / 64 * 64 + 64; at++)
            ok &= array[at] == 0xff;
    }
    if (r->output) {
        uint8_t *written = allocate(r->output_capacity);
        memset(written, 0, r->output_capacity);
        for (size_t n = 0; n < subject_rows(p); n++) {
            const size_t b = n / p->q_len / p->heads, h = n / p->q_len % p->heads, i = n % p->q_len;
            memset(written + b * r->output_batch_stride + h * r->output_head_stride + i * r->output_row_stride, 1,
                   p->value_dim);
        }
        for (size_t at = 0; at < r->output_capacity; at++) ok &= written[at] || bits_of(r->output[at]) == 0xffffffff;
        free(written);
    }
    if (!check(ok, "%s: wrote outside the results", s->name)) subject_describe(s);
}
