/* SPDX-License-Identifier: Apache-2.0
 *
 * properties.c - see properties.h. Any split of the work gives the same bits, also into slices, also head by head and
 * row by row; what a row does not keep cannot reach it; partials over ranges of keys merge into the whole.
 */
#include "properties.h"

#include <math.h>
#include <stdlib.h>

#include "dropout.h"
#include "parts.h"
#include "plan.h"
#include "test.h"

/* ---- ways to run ---- */

/* Room for any run of the plan, full of NaN bits. */
static void *workspace_of(const struct attn_plan *plan) {
    return memset(allocate_aligned(plan->workspace_bytes), 0xff, plan->workspace_bytes);
}

static enum attn_status run(const struct attn_problem *p, const struct attn_result *r) {
    struct attn_plan plan;
    enum attn_status status = attn_plan_init(&plan, p, r);
    if (status != ATTN_OK) return status;
    void *workspace = workspace_of(&plan);
    status = attn_run(&plan, p, r, workspace, plan.workspace_bytes, 0, plan.jobs);
    free(workspace);
    return status;
}

static enum attn_status run_jobs(const struct attn_problem *p, const struct attn_result *r) {
    struct attn_plan plan;
    enum attn_status status = attn_plan_init(&plan, p, r);
    if (status != ATTN_OK) return status;
    void *workspace = workspace_of(&plan);
    for (size_t job = plan.jobs; job > 0 && status == ATTN_OK; job--)
        status = attn_run(&plan, p, r, workspace, plan.workspace_bytes, job - 1, job);
    free(workspace);
    return status;
}

static int is_later(const struct attn_progress *a, const struct attn_progress *b) {
    if (a->job != b->job) return a->job > b->job;
    return a->tile != b->tile ? a->tile > b->tile : a->row > b->row;
}

static enum attn_status run_slices(const struct attn_problem *p, const struct attn_result *r, size_t row_tiles) {
    struct attn_plan plan;
    struct attn_progress progress = {0};
    enum attn_status status = attn_plan_init(&plan, p, r);
    if (status != ATTN_OK) return status;
    void *workspace = workspace_of(&plan);
    while (progress.job < plan.jobs && status == ATTN_OK) {
        const struct attn_progress before = progress;
        status = attn_run_slice(&plan, p, r, workspace, plan.workspace_bytes, &progress, row_tiles);
        const int is_legal =
            progress.job <= plan.jobs && progress.tile <= plan.tile_count && progress.row <= plan.block_rows;
        if (is_legal && is_later(&progress, &before)) continue;
        check(0, "slices of %zu: from job %zu, tile %zu, row %zu to job %zu, tile %zu, row %zu", row_tiles, before.job,
              before.tile, before.row, progress.job, progress.tile, progress.row);
        break;
    }
    free(workspace);
    return status;
}

/* In ranges of jobs of random size and order, each with a workspace of its own. */
static enum attn_status run_ranges(const struct attn_problem *p, const struct attn_result *r,
                                   struct case_random *random) {
    struct attn_plan plan;
    enum attn_status status = attn_plan_init(&plan, p, r);
    if (status != ATTN_OK) return status;
    size_t *order = allocate((plan.jobs + 1) * sizeof *order), ranges = 0;
    order[ranges++] = 0;
    for (size_t job = 1; job < plan.jobs; job++)
        if (case_random_below(random, 2)) order[ranges++] = job;
    for (size_t n = ranges; n > 1; n--) {
        const size_t other = case_random_below(random, (uint32_t)n), swap = order[n - 1];
        order[n - 1] = order[other];
        order[other] = swap;
    }
    for (size_t n = 0; n < ranges && status == ATTN_OK; n++) {
        size_t end = plan.jobs;
        for (size_t other = 0; other < ranges; other++)
            if (order[other] > order[n] && order[other] < end) end = order[other];
        void *workspace = workspace_of(&plan);
        status = attn_run(&plan, p, r, workspace, plan.workspace_bytes, order[n], end);
        free(workspace);
    }
    free(order);
    return status;
}

/* ---- any split of the work ---- */

/* What there is to split: jobs into ranges of their own, jobs and tiles into slices. */
static void test_splits(const struct subject *s, const struct attn_result *all, struct case_random *random) {
    static const char *const names[] = {"running slices of 1 on exact inputs", "running slices of 7",
                                        "running slices of 1000", "running jobs one by one", "running ranges of jobs"};
    enum { EXACT, SLICES_7, SLICES_1000, JOBS, RANGES, SPLITS };
    const struct attn_problem *p = &s->c.problem;
    const struct case_arena mark = *s->arena;
    struct attn_plan plan;
    if (!check(attn_plan_init(&plan, p, all) == ATTN_OK, "%s: status", s->name)) return;
    const int splits = plan.jobs > 1 ? SPLITS : plan.tile_count > 1 ? JOBS : SLICES_7;
    for (int split = 0; split < splits; split++) {
        struct attn_problem exact;
        struct attn_result r;
        enum attn_status status = ATTN_OK;
        if (!check(case_results(&s->c, &r, s->arena) == 0, "%s: the arena is too small", s->name)) return;
        switch (split) {
        case EXACT:
            exact = part_copy(p);
            status = run_slices(&exact, &r, 1);
            part_free(&exact);
            break;
        case SLICES_7: status = run_slices(p, &r, 7); break;
        case SLICES_1000: status = run_slices(p, &r, 1000); break;
        case JOBS: status = run_jobs(p, &r); break;
        case RANGES: status = run_ranges(p, &r, random); break;
        }
        if (check(status == ATTN_OK, "%s: status %d", s->name, status)) subject_same(s, all, &r, names[split]);
        subject_check_guards(s, &r);
        *s->arena = mark;
    }
}

/* Asking for less gives the same bits, on the same route: scores take every tile. */
static void test_requests(const struct subject *s, const struct attn_result *all, struct case_random *random) {
    const struct case_arena mark = *s->arena;
    struct attn_problem same_route = s->c.problem;
    struct attn_result r;
    if (case_results(&s->c, &r, s->arena)) return;
    if (all->scores) same_route.route = ATTN_ROUTE_TILES;
    if (all->output && all->log_sum_exp && case_random_below(random, 2)) r.log_sum_exp = NULL;
    r.weights = r.scores = NULL;
    if (case_random_below(random, 2)) r.numerator = r.denominator = r.row_max = NULL;
    r.dropout_mask = NULL;
    check(run(&same_route, &r) == ATTN_OK, "%s: status", s->name);
    subject_same_rows(s, all, &r, NULL, "asking for less");
    *s->arena = mark;
}

/* ---- heads and rows by themselves ---- */

/* How keys and values are read depends on q_len, and with it the order of sums: the fewest rows that make no
 * difference. */
static size_t fewest_rows(const struct attn_problem *p, const struct attn_result *r) {
    struct attn_plan whole, part;
    struct attn_problem fewer = *p;
    attn_plan_compute(&whole, p, r);
    for (fewer.q_len = 1; fewer.q_len < p->q_len; fewer.q_len++)
        if (attn_plan_compute(&part, &fewer, r) && part.in_place == whole.in_place) break;
    return fewer.q_len;
}

/* A head computed by itself, its rows in two ranges, has the bits that it has among the others: nothing but the sizes
 * of its own row reaches it, and heads that share keys are as heads with copies of them. */
static void test_alone(const struct subject *s, const struct attn_result *all, struct case_random *random) {
    const struct attn_problem *p = &s->c.problem;
    const struct case_arena mark = *s->arena;
    struct attn_result r;
    if (!subject_rows(p) || case_results(&s->c, &r, s->arena)) goto done;
    const size_t fewest = fewest_rows(p, &r), cut = case_random_below(random, (uint32_t)p->q_len + 1);
    const size_t begin = cut < p->q_len - fewest ? cut : p->q_len - fewest, end = cut > fewest ? cut : fewest;
    const size_t begins[] = {0, begin}, ends[] = {end, p->q_len};
    for (size_t head = 0; head < p->batch * p->heads; head++)
        for (size_t n = 0; n < 2; n++) {
            const struct case_arena before = *s->arena;
            const size_t b = head / p->heads, h = head % p->heads;
            struct attn_problem part;
            if (part_of_head(&part, s, b, h, begins[n], ends[n])) goto done;
            if (r.scores)
                part.route = ATTN_ROUTE_TILES; /* as the whole takes, also where none of them are in this part */
            const struct attn_result of_part = part_of_result(p, &r, b, h, begins[n], ends[n], s->arena);
            const enum attn_status status = run(&part, &of_part);
            if (!check(status == ATTN_OK, "%s: status %d of a head alone", s->name, status)) goto done;
            *s->arena = before;
        }
    subject_same(s, all, &r, "running heads and ranges of rows by themselves");
done:
    *s->arena = mark;
}

/* Query heads that share keys and values have the bits of heads with copies of them. */
static void test_repeated_heads(const struct subject *s, const struct attn_result *all) {
    const struct attn_problem *p = &s->c.problem;
    const struct case_arena mark = *s->arena;
    struct attn_problem repeated = *p;
    struct attn_result r;
    if (!subject_rows(p)) return;
    repeated.key_heads = repeated.value_heads = p->heads;
    if (part_repeat(&repeated.keys, p, p->key_heads, p->dim, s->arena) == 0 &&
        part_repeat(&repeated.values, p, p->value_heads, p->value_dim, s->arena) == 0 &&
        case_results(&s->c, &r, s->arena) == 0) {
        check(run(&repeated, &r) == ATTN_OK, "%s: status", s->name);
        subject_same(s, all, &r, "repeating the heads of keys and values");
    }
    *s->arena = mark;
}

/* ---- masked means that it never influences ---- */

static int rows_alone(const struct attn_tensor *t, size_t batch, size_t heads) {
    return (batch < 2 || t->batch_stride) && (heads < 2 || t->head_stride);
}

/* Garbage wherever nobody looks: in padding, and in keys and values that no row reads. */
static void poison_unread(const struct subject *s, struct case_random *random) {
    const struct attn_problem *p = &s->c.problem;
    case_fill(&s->c, case_random_next(random));
    for (size_t n = 0; rows_alone(&p->keys, p->batch, p->key_heads) && n < p->batch * p->key_heads * p->k_len; n++)
        if (!s->keys_kept[n])
            case_poison(&p->keys, n / p->k_len / p->key_heads, n / p->k_len % p->key_heads, n % p->k_len, p->dim,
                        case_random_next(random));
    for (size_t n = 0; rows_alone(&p->values, p->batch, p->value_heads) && n < p->batch * p->value_heads * p->k_len;
         n++)
        if (!s->values_kept[n])
            case_poison(&p->values, n / p->k_len / p->value_heads, n / p->k_len % p->value_heads, n % p->k_len,
                        p->value_dim, case_random_next(random));
}

/* In the queries of a few rows, at most half of them: those rows are then touched. */
static void poison_queries(const struct subject *s, uint8_t *touched, struct case_random *random) {
    const struct attn_problem *p = &s->c.problem;
    const size_t rows = subject_rows(p), most = rows / 2 < 4 ? rows / 2 : 4;
    for (size_t count = 0; count < most; count++) {
        const size_t n = case_random_below(random, (uint32_t)rows);
        case_poison(&p->queries, n / p->q_len / p->heads, n / p->q_len % p->heads, n % p->q_len, p->dim,
                    case_random_next(random));
        touched[n] = 1;
    }
}

/* In a few keys and their values: touched are the rows that read them. */
static void poison_keys(const struct subject *s, uint8_t *touched, struct case_random *random) {
    const struct attn_problem *p = &s->c.problem;
    if (!rows_alone(&p->keys, p->batch, p->key_heads) || !rows_alone(&p->values, p->batch, p->value_heads)) return;
    for (uint32_t count = 1 + case_random_below(random, 4); count && p->k_len && subject_rows(p); count--) {
        const size_t j = case_random_below(random, (uint32_t)p->k_len),
                     b = case_random_below(random, (uint32_t)p->batch);
        const size_t h = case_random_below(random, (uint32_t)p->heads); /* its key and value heads */
        const size_t key_head = h / (p->heads / p->key_heads), value_head = h / (p->heads / p->value_heads);
        case_poison(&p->keys, b, key_head, j, p->dim, case_random_next(random));
        case_poison(&p->values, b, value_head, j, p->value_dim, case_random_next(random));
        for (size_t n = 0; n < subject_rows(p); n++) {
            const size_t head = n / p->q_len % p->heads;
            const int reads = n / p->q_len / p->heads == b && (head / (p->heads / p->key_heads) == key_head ||
                                                               head / (p->heads / p->value_heads) == value_head);
            touched[n] |= reads && subject_reads(s, n * p->k_len + j);
        }
    }
}

/* Garbage may not change a bit of a row that does not read it. */
static void test_garbage(const struct subject *s, const struct attn_result *clean, struct case_random *random) {
    const struct attn_problem *p = &s->c.problem;
    const struct case_arena mark = *s->arena;
    struct attn_result r;
    if (case_results(&s->c, &r, s->arena)) return;
    uint8_t *touched = memset(allocate(subject_rows(p)), 0, subject_rows(p));
    poison_unread(s, random);
    check(run(p, &r) == ATTN_OK, "%s: status", s->name);
    subject_same_rows(s, clean, &r, touched, "garbage that no row reads");
    poison_queries(s, touched, random);
    check(run(p, &r) == ATTN_OK, "%s: status", s->name);
    subject_same_rows(s, clean, &r, touched, "garbage in other rows' queries");
    poison_keys(s, touched, random);
    check(run(p, &r) == ATTN_OK, "%s: status", s->name);
    subject_same_rows(s, clean, &r, touched, "garbage in keys that the row does not read");
    free(touched);
    case_fill(&s->c, 0);
    *s->arena = mark;
}

/* A NaN in a kept key makes its rows NaN; a NaN in a kept value its column alone. */
static void test_nan(const struct subject *s, const struct attn_result *clean, struct case_random *random) {
    const struct attn_problem *p = &s->c.problem;
    const struct case_arena mark = *s->arena;
    struct attn_result r;
    if (!p->k_len || !subject_rows(p) || !rows_alone(&p->keys, p->batch, p->key_heads) ||
        !rows_alone(&p->values, p->batch, p->value_heads) || attn_dropout_acts(&p->dropout) ||
        case_results(&s->c, &r, s->arena))
        return;
    const size_t start = case_random_below(random, (uint32_t)(subject_rows(p) * p->k_len));
    size_t cell = start;
    while (s->reference.keys[cell] != ATTN_REFERENCE_KEPT || s->underflows[cell / p->k_len] ||
           !(s->reference.weights[cell] > 1e-30))
        if ((cell = (cell + 1) % (subject_rows(p) * p->k_len)) == start) goto done; /* nothing is kept */
    const size_t row = cell / p->k_len, j = cell % p->k_len, b = row / p->q_len / p->heads,
                 h = row / p->q_len % p->heads;
    const size_t i = row % p->q_len, x = case_random_below(random, (uint32_t)p->value_dim);
    const size_t out = b * r.output_batch_stride + h * r.output_head_stride + i * r.output_row_stride;
    struct attn_tensor t = p->values;
    if (p->value_dim && r.output) {
        const size_t at = b * t.batch_stride + h / (p->heads / p->value_heads) * t.head_stride + j * t.row_stride + x;
        memset((char *)(void *)t.data + at * (t.dtype == ATTN_FLOAT32 ? 4 : 2), 0xff, t.dtype == ATTN_FLOAT32 ? 4 : 2);
        int ok = run(p, &r) == ATTN_OK;
        for (size_t y = 0; y < p->value_dim; y++)
            ok &= y == x ? isnan(r.output[out + y]) : same_bits(r.output[out + y], clean->output[out + y]);
        if (!check(ok, "%s: NaN in column %zu of value %zu, row [%zu,%zu,%zu]", s->name, x, j, b, h, i))
            subject_describe(s);
    }
    case_fill(&s->c, 0);
    t = p->keys;
    if (p->dim) {
        const size_t at = b * t.batch_stride + h / (p->heads / p->key_heads) * t.head_stride + j * t.row_stride;
        memset((char *)(void *)t.data + at * (t.dtype == ATTN_FLOAT32 ? 4 : 2), 0xff, t.dtype == ATTN_FLOAT32 ? 4 : 2);
        int ok = run(p, &r) == ATTN_OK;
        for (size_t y = 0; r.output && y < p->value_dim; y++) ok &= isnan(r.output[out + y]) != 0;
        if (r.log_sum_exp) ok &= isnan(r.log_sum_exp[row]) != 0;
        if (r.denominator) ok &= isnan(r.denominator[row]) != 0;
        if (!check(ok, "%s: NaN in key %zu, row [%zu,%zu,%zu]", s->name, j, b, h, i)) subject_describe(s);
    }
done:
    case_fill(&s->c, 0);
    *s->arena = mark;
}

/* ---- partials over ranges of keys ---- */

static int run_partials(const struct subject *s, const struct attn_problem *p, struct attn_partials *partials) {
    struct attn_result r;
    const size_t rows = subject_rows(p);
    attn_result_init(&r, p);
    partials->numerator = r.numerator = case_alloc(s->arena, rows * p->value_dim * sizeof(float));
    partials->denominator = r.denominator = case_alloc(s->arena, rows * sizeof(float));
    partials->row_max = r.row_max = case_alloc(s->arena, rows * sizeof(float));
    if (!r.numerator || !r.denominator || !r.row_max) return -1;
    const enum attn_status status = run(p, &r);
    return check(status == ATTN_OK, "%s: status %d of a range of keys", s->name, status) ? 0 : -1;
}

/* Partials over a split of the keys, merged in any order, are the partials of the whole, and finish as its output. */
static void test_partials(const struct subject *s, struct case_random *random) {
    const struct attn_problem *p = &s->c.problem;
    const struct case_arena mark = *s->arena;
    if ((int64_t)p->key_offset + (int64_t)p->k_len > INT32_MAX) return;
    enum { PARTS = 3 };
    size_t cuts[PARTS + 1] = {0, 0, 0, p->k_len};
    for (size_t n = 1; n < PARTS; n++) cuts[n] = case_random_below(random, (uint32_t)p->k_len + 1);
    if (cuts[1] > cuts[2]) cuts[1] ^= cuts[2], cuts[2] ^= cuts[1], cuts[1] ^= cuts[2];
    struct attn_partials partials[PARTS];
    for (size_t n = 0; n < PARTS; n++) {
        struct attn_problem part;
        if (part_of_keys(&part, s, cuts[n], cuts[n + 1]) || run_partials(s, &part, &partials[n])) goto done;
    }
    const size_t first = case_random_below(random, PARTS);
    CHECK(attn_partials_merge(partials[first], partials[(first + 1) % PARTS], subject_rows(p), p->value_dim) ==
          ATTN_OK);
    CHECK(attn_partials_merge(partials[first], partials[(first + 2) % PARTS], subject_rows(p), p->value_dim) ==
          ATTN_OK);

    struct attn_result merged = s->c.wanted;
    merged.numerator = partials[first].numerator;
    merged.denominator = partials[first].denominator;
    merged.row_max = partials[first].row_max;
    merged.weights = merged.scores = merged.entry_weights = NULL;
    merged.dropout_mask = NULL;
    merged.output = case_alloc(s->arena, merged.output_capacity * sizeof(float));
    merged.log_sum_exp = case_alloc(s->arena, subject_rows(p) * sizeof(float));
    if (!merged.output || !merged.log_sum_exp) goto done;
    CHECK(attn_partials_finish(&partials[first], p, &merged) == ATTN_OK);
    /* only the sum without dropout is a log-sum-exp */
    if (attn_dropout_acts(&p->dropout) && p->dropout.placement == ATTN_DROPOUT_BEFORE_NORMALIZATION)
        merged.log_sum_exp = NULL;
    subject_compare(s, &merged, 2, NULL);
done:
    *s->arena = mark;
}

/* ---- all of it ---- */

/* Heads and rows by themselves, on the same route: AUTO goes by how many queries and heads share what is read. */
static void test_parts(const struct subject *s, const struct attn_result *all, struct case_random *random) {
    const struct case_arena mark = *s->arena;
    struct subject given = *s;
    struct attn_result r = *all;
    if (s->c.problem.sparse_mask.count && s->c.problem.route == ATTN_ROUTE_AUTO) {
        given.c.problem.route = case_random_below(random, 2) ? ATTN_ROUTE_TILES : ATTN_ROUTE_ROWS;
        if (case_results(&given.c, &r, given.arena)) return;
        check(run(&given.c.problem, &r) == ATTN_OK, "%s: status", s->name);
    }
    test_alone(&given, &r, random);
    test_repeated_heads(&given, &r);
    *s->arena = mark;
}

/* Other questions asked of the problem: the same bits, or partials that merge into the same results. */
static void test_relations(const struct subject *s, const struct attn_result *all, struct case_random *random) {
    test_requests(s, all, random);
    test_parts(s, all, random);
    test_partials(s, random);
}

void test_problem(const struct subject *s, struct case_random *random, int with_relations,
                  struct subject_error errors[SUBJECT_ERRORS]) {
    const struct case_arena mark = *s->arena;
    struct attn_result r;
    if (!check(case_results(&s->c, &r, s->arena) == 0, "%s: the arena is too small", s->name)) return;
    void *inputs = memcpy(allocate(mark.used), mark.base, mark.used);
    const enum attn_status status = run(&s->c.problem, &r);
    if (check(status == ATTN_OK, "%s: status %d (%s)", s->name, status, attn_status_string(status))) {
        subject_compare(s, &r, 1, errors);
        subject_check_guards(s, &r);
        test_splits(s, &r, random);
        if (with_relations) test_relations(s, &r, random);
        check(memcmp(inputs, mark.base, mark.used) == 0, "%s: changed an input", s->name);
        test_garbage(s, &r, random);
        test_nan(s, &r, random);
    } else
        subject_describe(s);
    free(inputs);
    *s->arena = mark;
}
