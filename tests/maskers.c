/* SPDX-License-Identifier: Apache-2.0
 *
 * maskers.c - maskers against their definitions in maskers.h, in double: what each row of a random problem keeps. Scores
 * that differ by no more than float32 loses may go either way; of small whole numbers nothing is lost, and ties count.
 */
#include "maskers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "parts.h"
#include "programs.h"
#include "test.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A random problem and a masker. */
struct trial {
    char name[64];
    struct case_problem c;
    struct attn_problem p; /* a copy in arrays of exactly their length */
    int is_exact;          /* of whole numbers */
    struct attn_masker masker;
    struct attn_masker_plan plan;
    void *workspace;
    double *biased, *raw, *softcapped; /* [batch, heads, q_len, k_len], of the reference */
    uint8_t *keys;                     /* likewise: enum attn_reference_key */
};

static size_t length_of(const struct attn_problem *p, size_t b) {
    return p->key_lengths ? (size_t)p->key_lengths[b] : p->k_len;
}

static double element(const struct attn_tensor *t, size_t b, size_t h, size_t i, size_t x) {
    const size_t at = b * t->batch_stride + h * t->head_stride + i * t->row_stride + x * t->column_stride;
    float value;
    if (t->dtype == ATTN_FLOAT32) return (double)((const float *)t->data)[at];
    attn_convert(&value, ATTN_FLOAT32, (const uint16_t *)t->data + at, t->dtype, 1);
    return (double)value;
}

/* ---- problems ---- */

/* Small whole numbers, which every type holds. */
static void fill_whole(struct attn_tensor *t, struct case_random *random) {
    for (size_t n = 0; n < t->capacity; n++) {
        const float x = (float)(int)case_random_below(random, 5) - 2;
        if (t->dtype == ATTN_FLOAT32)
            ((float *)(void *)t->data)[n] = x;
        else
            attn_convert((uint16_t *)(void *)t->data + n, t->dtype, &x, ATTN_FLOAT32, 1);
    }
}

static void make_whole(struct attn_problem *p, struct case_random *random) {
    struct attn_tensor *mask = &p->attention_mask;
    fill_whole(&p->queries, random), fill_whole(&p->keys, random);
    p->scaling = 0.25f, p->softcap = 0, p->alibi_slopes = NULL;
    if (mask->dtype == ATTN_FLOAT16 || mask->dtype == ATTN_BFLOAT16) *mask = (struct attn_tensor){0};
    for (size_t n = 0; mask->dtype == ATTN_FLOAT32 && n < mask->capacity; n++) {
        float *x = (float *)(void *)mask->data + n;
        if (*x > -1e30f) *x = rintf(4 * *x) / 4;
    }
}

/* Keys beyond the key lengths stay garbage; those that masks take out must be numbers, since an index sees them. */
static int trial_begin(struct trial *t, uint32_t number, struct case_arena *arena) {
    struct case_random random = case_random_init(number, 310);
    struct attn_problem *p = &t->c.problem;
    *t = (struct trial){.is_exact = number % 3 == 0};
    arena->used = 0;
    if (!check(case_make(&t->c, number, arena) == 0, "masker seed %u: the arena is too small", number)) return 0;
    uint8_t *none = case_alloc(arena, p->k_len);
    if (!CHECK(none != NULL)) return 0;
    t->c.dead = memset(none, 0, p->k_len);
    case_fill(&t->c, number);
    if (case_random_below(&random, 3) == 0 && p->batch && p->heads && p->q_len && p->k_len)
        program_draw(p, &random, arena);
    if (t->is_exact) make_whole(p, &random);
    t->p = part_copy(p);
    static float yes[1];
    struct attn_plan plan;
    struct attn_result wanted;
    attn_result_init(&wanted, p);
    wanted.log_sum_exp = yes;
    if (!check(attn_plan_init(&plan, &t->p, &wanted) == ATTN_OK, "masker seed %u: not planned", number)) return 0;
    const size_t cells = subject_rows(p) * p->k_len;
    struct attn_reference_result reference = {.scratch = allocate(p->k_len * sizeof(double))};
    t->biased = reference.scores[ATTN_SCORES_BIASED] = allocate(cells * sizeof(double));
    t->raw = reference.scores[ATTN_SCORES_RAW] = allocate(cells * sizeof(double));
    t->softcapped = reference.scores[ATTN_SCORES_SOFTCAPPED] = allocate(cells * sizeof(double));
    t->keys = reference.keys = allocate(cells);
    attn_reference(p, &reference);
    free(reference.scratch);
    for (size_t cell = 0; cell < cells && !p->sparse_mask.count; cell++) /* no mask keeps nothing yet */
        if (t->keys[cell] == ATTN_REFERENCE_KEPT) t->keys[cell] = ATTN_REFERENCE_SPARSE;
    return 1;
}

static void trial_end(struct trial *t) {
    part_free(&t->p);
    free(t->biased), free(t->raw), free(t->softcapped), free(t->keys);
}

static int is_same(const struct attn_tensor *a, const struct attn_tensor *b) {
    const size_t bytes = a->dtype == ATTN_FLOAT32 ? 4 : a->dtype == ATTN_BOOL ? 1 : 2;
    return !a->capacity || memcmp(a->data, b->data, a->capacity * bytes) == 0;
}

/* ---- the index ---- */

enum { AT_ONCE, ONE_BY_ONE, GROWN, WAYS };

static void append(struct trial *t, size_t b, size_t begin, size_t end) {
    memset(t->workspace, 0xff, t->plan.workspace_bytes);
    check(attn_masker_append(&t->masker, &t->p, b, begin, end, t->workspace) == ATTN_OK, "%s: append %zu..%zu", t->name,
          begin, end);
}

static void *index_of(struct trial *t, size_t capacity) {
    CHECK(attn_masker_plan_init(&t->plan, &t->masker, &t->p, capacity) == ATTN_OK);
    t->masker.capacity = capacity;
    return t->masker.index = memset(allocate_aligned(t->plan.index_bytes), 0, t->plan.index_bytes);
}

static void append_all(struct trial *t, int one_by_one) {
    for (size_t b = 0; b < t->p.batch; b++) {
        const size_t end = length_of(&t->p, b);
        if (!one_by_one) append(t, b, 0, end);
        for (size_t j = 0; one_by_one && j < end; j++) append(t, b, j, j + 1);
    }
}

/* Some keys of each batch in a small index, whose parts become the beginnings of a larger one's; then the rest. */
static void grow(struct trial *t, size_t capacity, struct case_random *random) {
    const size_t few = case_random_below(random, (uint32_t)capacity + 1), parts = t->p.batch * t->plan.index_heads;
    size_t *seen = allocate(t->p.batch * sizeof *seen);
    uint8_t *small = index_of(t, few);
    const size_t small_bytes = parts ? t->plan.index_bytes / parts : 0;
    for (size_t b = 0; b < t->p.batch; b++) {
        const size_t end = length_of(&t->p, b), most = end < few ? end : few;
        append(t, b, 0, seen[b] = case_random_below(random, (uint32_t)most + 1));
    }
    uint8_t *large = index_of(t, capacity);
    const size_t large_bytes = parts ? t->plan.index_bytes / parts : 0;
    for (size_t n = 0; n < parts; n++) memcpy(large + n * large_bytes, small + n * small_bytes, small_bytes);
    for (size_t b = 0; b < t->p.batch; b++) append(t, b, seen[b], length_of(&t->p, b));
    free(small), free(seen);
}

/* All ways to an index give the same bytes; the masker keeps one of them. */
static void make_index(struct trial *t, struct case_random *random) {
    const size_t capacity = t->p.k_len + case_random_below(random, 20);
    void *made[WAYS];
    for (int way = 0; way < WAYS; way++) {
        made[way] = index_of(t, capacity);
        if (way == GROWN) free(made[way]), grow(t, capacity, random), made[way] = t->masker.index;
        if (way != GROWN) append_all(t, way == ONE_BY_ONE);
        check(memcmp(made[way], made[0], t->plan.index_bytes) == 0, "%s: the index made in way %d differs", t->name,
              way);
    }
    const uint32_t kept = case_random_below(random, WAYS);
    for (uint32_t way = 0; way < WAYS; way++)
        if (way != kept) free(made[way]);
    t->masker.index = made[kept];
}

/* ---- lists ---- */

struct lists {
    size_t queries;
    uint32_t *ends, *indices;
    float *weights;
};

static struct lists choose(struct trial *t, size_t begin, size_t end, int with_weights) {
    const size_t rows = t->p.batch * t->plan.row_heads * (end - begin), room = rows * t->p.k_len;
    struct lists l = {.queries = end - begin};
    l.ends = allocate(rows * sizeof *l.ends);
    l.indices = allocate(room * sizeof *l.indices);
    l.weights = with_weights ? allocate(room * sizeof *l.weights) : NULL;
    memset(t->workspace, 0xff, t->plan.workspace_bytes);
    check(attn_masker_choose(&t->masker, &t->p, begin, end, l.ends, l.indices, l.weights, t->workspace) == ATTN_OK,
          "%s: choose %zu..%zu", t->name, begin, end);
    return l;
}

static void lists_free(struct lists *l) { free(l->ends), free(l->indices), free(l->weights); }

/* A row of lists. */
struct list {
    const uint32_t *indices;
    const float *weights;
    size_t count;
};

static struct list row_of(const struct lists *l, size_t group, size_t query) {
    const size_t row = group * l->queries + query, begin = row ? l->ends[row - 1] : 0;
    return (struct list){l->indices + begin, l->weights ? l->weights + begin : NULL, l->ends[row] - begin};
}

/* Any split of the queries gives the same lists. */
static void test_split(struct trial *t, const struct lists *all, struct case_random *random) {
    size_t end = 0;
    for (size_t begin = 0; begin < t->p.q_len; begin = end) {
        end = begin + 1 + case_random_below(random, (uint32_t)(t->p.q_len - begin));
        struct lists some = choose(t, begin, end, all->weights != NULL);
        int same = 1;
        for (size_t group = 0; group < t->p.batch * t->plan.row_heads; group++) {
            for (size_t i = begin; i < end; i++) {
                const struct list a = row_of(all, group, i), b = row_of(&some, group, i - begin);
                same &= a.count == b.count && memcmp(a.indices, b.indices, a.count * sizeof *a.indices) == 0;
                same &= !same || !a.weights || memcmp(a.weights, b.weights, a.count * sizeof *a.weights) == 0;
            }
        }
        check(same, "%s: queries %zu..%zu alone", t->name, begin, end);
        lists_free(&some);
    }
}

/* ---- what is chosen ---- */

/* What may be chosen, keys or pages: their scores, how far off these may be, and whether they were chosen. */
struct choice {
    size_t count;
    double *scores, *slack;
    uint8_t *state;
};
enum { NO_CHOICE, LEFT, CHOSEN, UNKNOWN };

static struct choice choice_begin(size_t count) {
    return (struct choice){count, allocate(count * sizeof(double)), allocate(count * sizeof(double)), allocate(count)};
}

static void choice_end(struct choice *c) { free(c->scores), free(c->slack), free(c->state); }

/* How many are before n for certain, or may be. Without any slack the two are the same. */
static size_t before(const struct choice *c, size_t n, int certain) {
    size_t count = 0;
    for (size_t other = 0; other < c->count; other++) {
        if (c->state[other] == NO_CHOICE || other == n) continue;
        const double ahead = c->scores[other] - c->scores[n], slack = c->slack[other] + c->slack[n];
        count += certain ? ahead > slack || (slack == 0 && ahead == 0 && other < n)
                         : ahead > -slack || (slack == 0 && ahead == 0 && other < n);
    }
    return count;
}

/* The `most` largest were chosen. */
static int is_largest(const struct choice *c, size_t most) {
    for (size_t n = 0; n < c->count; n++) {
        if (c->state[n] == CHOSEN && before(c, n, 1) >= most) return 0;
        if (c->state[n] == LEFT && before(c, n, 0) < most) return 0;
    }
    return 1;
}

/* The fewest largest were chosen whose exponentials are more than `mass` of all, with their equals. */
static int is_mass(const struct choice *c, double mass) {
    double largest = -(double)INFINITY, total = 0, kept = 0, needed = 0, slack = 0, least = (double)INFINITY;
    size_t last = 0;
    int all = 1;
    for (size_t n = 0; n < c->count; n++) {
        if (c->state[n] == NO_CHOICE) continue;
        largest = fmax(largest, c->scores[n]), slack = fmax(slack, c->slack[n]);
        all &= c->state[n] == CHOSEN;
        if (c->state[n] == CHOSEN && c->scores[n] < least) least = c->scores[n], last = n;
    }
    if (largest == -(double)INFINITY) return 1;
    for (size_t n = 0; n < c->count; n++) {
        if (c->state[n] == NO_CHOICE) continue;
        const double e = exp(c->scores[n] - largest), apart = c->slack[n] + (all ? 0 : c->slack[last]);
        total += e;
        if (c->state[n] == CHOSEN) kept += e;
        if (c->scores[n] > least + apart) needed += e;
        if (c->state[n] == LEFT && c->scores[n] > least + apart) return 0;
        if (c->state[n] == LEFT && apart == 0 && c->scores[n] == least) return 0;
    }
    if (mass >= 1) return all;
    const double rounding = fmin(1, 4 * slack + 1e-5) * total;
    return (all || kept > mass * total - rounding) && needed <= mass * total + rounding;
}

/* What the row's dot products, and what is added to them, may be off. */
static double slack_of(const struct trial *t, size_t b, size_t h, size_t i, size_t j, double score) {
    const struct attn_problem *p = &t->c.problem;
    double products = 0;
    if (t->is_exact) return 0;
    for (size_t x = 0; x < p->dim; x++)
        products += fabs(element(&p->queries, b, h, i, x) * element(&p->keys, b, h / (p->heads / p->key_heads), j, x));
    return 1e-6 * (products * fabs((double)p->scaling) + fabs((double)p->softcap) + fabs(score));
}

static size_t cell_of(const struct attn_problem *p, size_t b, size_t h, size_t i, size_t j) {
    return ((b * p->heads + h) * p->q_len + i) * p->k_len + j;
}

/* The logit of a key: its own, or with the sum of the group's queries. */
static double logit_of(const struct trial *t, size_t b, size_t h, size_t i, size_t j, double *slack) {
    const struct attn_problem *p = &t->c.problem;
    const size_t cell = cell_of(p, b, h, i, j), group = p->heads / p->key_heads, first = h / group * group;
    double sum = 0;
    *slack = slack_of(t, b, h, i, j, t->biased[cell]);
    if (t->masker.kind != ATTN_MASKER_GROUP_TOP_K) return t->biased[cell];
    for (size_t head = first; head < first + group; head++) {
        sum += t->raw[cell_of(p, b, head, i, j)];
        *slack += slack_of(t, b, head, i, j, 0);
    }
    return sum / (double)group + (t->biased[cell] - t->softcapped[cell]);
}

/* Labels of a page, rounded as floats are: a step more or less would be another label. */
static void round_page(float *labels, size_t dim, size_t bits) {
    float least = INFINITY, largest = -INFINITY;
    for (size_t d = 0; d < dim; d++) least = fminf(least, labels[d]), largest = fmaxf(largest, labels[d]);
    const float steps = (float)((1 << bits) - 1), range = largest - least, scale = steps / (range == 0 ? 1 : range);
    for (size_t d = 0; d < dim; d++)
        labels[d] = fminf(fmaxf(rintf((labels[d] - least) * scale), 0), steps) / scale + least;
}

/* What a page of keys bounds the dot product with, from its definition. */
static double bound_of(const struct trial *t, size_t b, size_t h, size_t i, size_t begin, size_t end, double *slack) {
    const struct attn_problem *p = &t->c.problem;
    const size_t key_head = h / (p->heads / p->key_heads), known = length_of(p, b);
    float *largest = allocate(p->dim * sizeof *largest), *least = allocate(p->dim * sizeof *least);
    double bound = 0, products = 0;
    for (size_t x = 0; x < p->dim; x++) {
        largest[x] = -INFINITY, least[x] = INFINITY;
        for (size_t j = begin; j < end && j < known; j++) {
            const float key = (float)element(&p->keys, b, key_head, j, x);
            largest[x] = fmaxf(largest[x], key), least[x] = fminf(least[x], key);
        }
    }
    if (t->masker.bits < 16 && p->dim) {
        round_page(largest, p->dim, t->masker.bits);
        round_page(least, p->dim, t->masker.bits);
    }
    for (size_t x = 0; x < p->dim; x++) {
        const double q = element(&p->queries, b, h, i, x);
        bound += fmax(q * (double)largest[x], q * (double)least[x]);
        products += fabs(q) * fmax(fabs((double)largest[x]), fabs((double)least[x]));
    }
    free(largest), free(least);
    *slack = t->is_exact && t->masker.bits >= 16 ? 0 : 1e-6 * products;
    return bound;
}

static int are_keys(const struct trial *t, size_t b, size_t h, size_t i, const uint8_t *listed) {
    const struct attn_problem *p = &t->c.problem;
    const uint8_t *keys = t->keys + cell_of(p, b, h, i, 0);
    struct choice c = choice_begin(p->k_len);
    for (size_t j = 0; j < p->k_len; j++) {
        c.state[j] = keys[j] != ATTN_REFERENCE_SPARSE ? NO_CHOICE : listed[j] ? CHOSEN : LEFT;
        c.scores[j] = logit_of(t, b, h, i, j, &c.slack[j]);
    }
    const int ok = t->masker.kind == ATTN_MASKER_TOP_P ? is_mass(&c, t->masker.mass) : is_largest(&c, t->masker.count);
    choice_end(&c);
    return ok;
}

/* Pages are chosen whole, of those that have any key for the row. */
static int are_pages(const struct trial *t, size_t b, size_t h, size_t i, const uint8_t *listed) {
    const struct attn_problem *p = &t->c.problem;
    const uint8_t *keys = t->keys + cell_of(p, b, h, i, 0);
    const size_t size = t->masker.page_size;
    struct choice c = choice_begin((p->k_len + size - 1) / size);
    int whole = 1;
    for (size_t page = 0; page < c.count; page++) {
        const size_t begin = page * size, end = begin + size < p->k_len ? begin + size : p->k_len;
        size_t kept = 0, sparse = 0, chosen = 0;
        for (size_t j = begin; j < end; j++) {
            kept += keys[j] == ATTN_REFERENCE_KEPT, sparse += keys[j] == ATTN_REFERENCE_SPARSE;
            chosen += keys[j] == ATTN_REFERENCE_SPARSE && listed[j];
        }
        whole &= chosen == 0 || chosen == sparse;
        c.state[page] = sparse ? chosen ? CHOSEN : LEFT : kept ? UNKNOWN : NO_CHOICE;
        c.scores[page] = bound_of(t, b, h, i, begin, end, &c.slack[page]);
    }
    const int ok = whole && is_largest(&c, t->masker.count);
    choice_end(&c);
    return ok;
}

/* A row keeps what it had, with its weights, and what the masker chose besides. */
static void test_row(const struct trial *t, size_t b, size_t h, size_t i, struct list list) {
    const struct attn_problem *p = &t->c.problem;
    const uint8_t *keys = t->keys + cell_of(p, b, h, i, 0);
    uint8_t *listed = memset(allocate(p->k_len), 0, p->k_len);
    int is_ordered = 1, is_kept = 1, is_weighted = 1;
    for (size_t n = 0; n < list.count; n++) {
        const size_t j = list.indices[n];
        if ((is_ordered &= j < p->k_len && (n == 0 || j > list.indices[n - 1])) == 0) break;
        listed[j] = 1;
        is_kept &= keys[j] != ATTN_REFERENCE_OUT;
        const float weight = keys[j] == ATTN_REFERENCE_KEPT ? subject_weight(p, b, h, i, j) : 1;
        is_weighted &= !list.weights || list.weights[n] == weight;
    }
    for (size_t j = 0; j < p->k_len; j++) is_kept &= keys[j] != ATTN_REFERENCE_KEPT || listed[j];
    check(is_ordered, "%s: row %zu %zu %zu is not ascending", t->name, b, h, i);
    check(is_kept, "%s: row %zu %zu %zu lost a key, or has one that is not allowed", t->name, b, h, i);
    check(is_weighted, "%s: weights of row %zu %zu %zu", t->name, b, h, i);
    const int ok = t->masker.kind == ATTN_MASKER_QUEST ? are_pages(t, b, h, i, listed) : are_keys(t, b, h, i, listed);
    check(ok, "%s: what row %zu %zu %zu chose", t->name, b, h, i);
    free(listed);
}

static void test_lists(struct trial *t, struct case_random *random) {
    const struct attn_problem *p = &t->p;
    const int with_weights = t->plan.is_weighted || case_random_below(random, 4) == 0;
    const size_t heads = t->plan.row_heads;
    struct lists all = choose(t, 0, p->q_len, with_weights);
    for (size_t group = 0; group < p->batch * heads; group++)
        for (size_t i = 0; i < p->q_len; i++)
            test_row(t, group / heads, group % heads * (p->heads / heads), i, row_of(&all, group, i));
    test_split(t, &all, random);
    lists_free(&all);
}

/* ---- all of it ---- */

static void test_kind(struct trial *t, enum attn_masker_kind kind, struct case_random *random,
                      struct case_arena *arena) {
    const size_t heads = t->p.heads, group = heads ? heads / t->p.key_heads : 1;
    snprintf(t->name, sizeof t->name, "masker seed %u, kind %d", t->c.seed, (int)kind);
    if (!check(case_masker(&t->masker, kind, &t->p, random, arena) == 0, "%s: no masker", t->name)) return;
    if (!check(attn_masker_plan_init(&t->plan, &t->masker, &t->p, t->p.k_len) == ATTN_OK, "%s: plan", t->name)) return;
    const int shares = kind == ATTN_MASKER_GROUP_TOP_K && heads && t->plan.row_heads == t->p.key_heads;
    const int must_share = kind == ATTN_MASKER_GROUP_TOP_K && heads && !t->p.sparse_mask.count && !t->p.alibi_slopes &&
                           !(t->p.attention_mask.data && t->p.attention_mask.head_stride);
    if (!check((t->plan.row_heads == heads && (!must_share || group == 1)) || shares, "%s: %zu row heads for %zu heads",
               t->name, t->plan.row_heads, heads))
        return;
    t->workspace = allocate_aligned(t->plan.workspace_bytes);
    make_index(t, random);
    test_lists(t, random);
    check(is_same(&t->p.queries, &t->c.problem.queries) && is_same(&t->p.keys, &t->c.problem.keys) &&
              is_same(&t->p.attention_mask, &t->c.problem.attention_mask),
          "%s: inputs changed", t->name);
    free(t->workspace), free(t->masker.index);
}

static void test_refused(void) {
    static const float nothing[8];
    struct attn_problem p;
    struct attn_masker_plan plan;
    struct attn_masker masker = {.kind = ATTN_MASKER_QUEST, .count = 1, .page_size = 2, .bits = 16, .capacity = 4};
    uint32_t ends[1] = {7}, indices[8] = {7};
    attn_problem_init(&p, 1, 1, 1, 1, 1, 8, 1, 1);
    p.queries.data = p.keys.data = p.values.data = nothing;
    CHECK(attn_masker_plan_init(&plan, &masker, &p, masker.capacity) == ATTN_OK);
    CHECK(plan.index_heads == 1 && plan.unit_keys == 2 && plan.index_bytes == plan.header_bytes + 2 * plan.unit_bytes);
    masker.index = memset(allocate_aligned(plan.index_bytes), 0, plan.index_bytes);
    void *workspace = allocate_aligned(plan.workspace_bytes);
    CHECK(attn_masker_append(&masker, &p, 0, 3, 2, workspace) == ATTN_ERROR_SIZE);
    CHECK(attn_masker_append(&masker, &p, 0, 0, 5, workspace) == ATTN_ERROR_SIZE); /* beyond its capacity */
    masker.capacity = 100;
    CHECK(attn_masker_append(&masker, &p, 0, 0, 9, workspace) == ATTN_ERROR_SIZE); /* beyond the keys */
    masker.capacity = 4;
    CHECK(attn_masker_append(&masker, &p, 0, 4, 4, workspace) == ATTN_OK);
    CHECK(attn_masker_choose(&masker, &p, 1, 0, ends, indices, NULL, workspace) == ATTN_ERROR_SIZE);
    CHECK(attn_masker_choose(&masker, &p, 0, 2, ends, indices, NULL, workspace) == ATTN_ERROR_SIZE);
    CHECK(ends[0] == 7 && indices[0] == 7);
    free(masker.index), free(workspace);
    masker = (struct attn_masker){.kind = (enum attn_masker_kind)99};
    CHECK(attn_masker_plan_init(&plan, &masker, &p, 8) == ATTN_ERROR_VALUE);
}

void test_maskers(struct case_arena *arena) {
    static const enum attn_masker_kind kinds[] = {ATTN_MASKER_TOP_K, ATTN_MASKER_TOP_P, ATTN_MASKER_GROUP_TOP_K,
                                                  ATTN_MASKER_QUEST};
    for (uint32_t number = 1; number <= 500; number++) {
        struct trial t;
        struct case_random random = case_random_init(number, 311);
        if (!trial_begin(&t, number, arena)) continue;
        for (size_t n = 0; n < COUNT(kinds); n++) test_kind(&t, kinds[n], &random, arena);
        trial_end(&t);
    }
    test_refused();
}
