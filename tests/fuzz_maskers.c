/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_maskers.c - libFuzzer target: maskers for problems of cases.c, with parameters that are drawn and then bent. An
 * index is made in portions, from problems that end where the keys then did, and rows are chosen for. Nothing may be
 * touched beyond the bytes that the plan tells, and what is chosen keeps the promises of maskers.h.
 */
#include <string.h>

#include "fuzz_input.h"
#include "reference.h"

#define MOST_BYTES ((size_t)1 << 20) /* of index, workspace and lists */
#define ARENA_BYTES ((size_t)1 << 20)
#define MOST_CELLS ((size_t)1 << 12) /* rows times keys */
#define PORTIONS 4

static void require(int ok) {
    if (!ok) abort();
}

/* ---- memory ---- */

/* Aligned as the library wants it, between guards. */
struct room {
    uint8_t *block, *data;
    size_t bytes;
};
enum { GUARD = 0xa5 };

static size_t whole(size_t bytes) { return (bytes + ATTN_ALIGNMENT - 1) / ATTN_ALIGNMENT * ATTN_ALIGNMENT; }

static struct room room_of(size_t bytes, int filling) {
    const size_t all = whole(bytes) + 2 * ATTN_ALIGNMENT;
    uint8_t *block = aligned_alloc(ATTN_ALIGNMENT, all);
    require(block != NULL);
    memset(block, GUARD, all);
    return (struct room){block, memset(block + ATTN_ALIGNMENT, filling, bytes), bytes};
}

static void room_end(struct room *room) {
    const uint8_t *end = room->block + whole(room->bytes) + 2 * ATTN_ALIGNMENT;
    for (const uint8_t *at = room->block; at < room->data; at++) require(*at == GUARD);
    for (const uint8_t *at = room->data + room->bytes; at < end; at++) require(*at == GUARD);
    free(room->block);
}

static int is_same(const struct room *a, const struct room *b, size_t bytes) {
    return memcmp(a->data, b->data, bytes) == 0;
}

/* Exactly as long, so that a sanitizer sees who reads beyond. */
static const void *copy(struct input *in, const void *from, size_t bytes) {
    return from ? memcpy(array(in, bytes), from, bytes) : NULL;
}

static void copy_tensor(struct input *in, struct attn_tensor *t) {
    t->data = copy(in, t->data, t->capacity * (t->dtype == ATTN_FLOAT32 ? 4 : t->dtype == ATTN_BOOL ? 1 : 2));
}

static void copy_tables(struct input *in, struct attn_masker *m, const struct attn_problem *p) {
    m->channels = copy(in, m->channels, p->heads * m->channel_count * sizeof *m->channels);
    struct attn_hash_layer *layers = (void *)copy(in, m->layers, m->layer_count * sizeof *layers);
    m->layers = layers;
    for (size_t n = 0; n < m->layer_count; n++) {
        const size_t outputs = p->heads * layers[n].outputs, numbers = layers[n].inputs * outputs;
        layers[n].query_matrix = copy(in, layers[n].query_matrix, numbers * sizeof(float));
        layers[n].key_matrix = copy(in, layers[n].key_matrix, numbers * sizeof(float));
        layers[n].query_bias = copy(in, layers[n].query_bias, outputs * sizeof(float));
        layers[n].key_bias = copy(in, layers[n].key_bias, outputs * sizeof(float));
    }
}

/* ---- parameters ---- */

/* Gives a few parameters other values, legal or not. */
static void bend(struct input *in, struct attn_masker *m, struct attn_problem *p) {
    for (uint32_t times = byte(in) % 4; times; times--) {
        switch (byte(in) % 22) {
        case 0: m->count = size_of(in); break;
        case 1: m->mass = number(in); break;
        case 2: m->rate = number(in); break;
        case 3: m->rate = byte(in) / 255.0; break;
        case 4: m->page_size = size_of(in); break;
        case 5: m->bits = size_of(in); break;
        case 6: m->tables = size_of(in); break;
        case 7: m->sub_vectors = size_of(in); break;
        case 8: m->iterations = byte(in) % 16; break;
        case 9: m->temperature = number(in); break;
        case 10: m->first = size_of(in); break;
        case 11: m->last = size_of(in); break;
        case 12: m->base = size_of(in); break;
        case 13: m->epsilon = number(in); break;
        case 14: m->quantile = number(in); break;
        case 15: m->channel_count = m->channels ? byte(in) % (m->channel_count + 1) : size_of(in); break;
        case 16:
            if (m->channels && m->channel_count && p->heads)
                ((uint32_t *)m->channels)[byte(in) % m->channel_count] = word(in);
            break;
        case 17: m->layer_count = m->layers ? byte(in) % (m->layer_count + 1) : size_of(in); break;
        case 18:
            if (m->layers && m->layer_count)
                ((struct attn_hash_layer *)m->layers)[byte(in) % m->layer_count].inputs = size_of(in);
            break;
        case 19: m->seed_low = word(in), m->seed_high = word(in); break;
        case 20: p->scaling = number(in); break;
        default: m->kind = (enum attn_masker_kind)byte(in);
        }
    }
}

static int are_channels(const struct attn_masker *m, const struct attn_problem *p) {
    if (!m->channels || !m->channel_count) return 0;
    for (size_t n = 0; n < p->heads * m->channel_count; n++)
        if (m->channels[n] >= p->dim) return 0;
    return 1;
}

static int are_layers(const struct attn_masker *m, const struct attn_problem *p) {
    size_t inputs = p->dim;
    if (!m->layers || !m->layer_count) return 0;
    for (size_t n = 0; n < m->layer_count; n++) {
        if (m->layers[n].inputs != inputs) return 0;
        inputs = m->layers[n].outputs;
    }
    return m->bits == inputs && inputs;
}

/* Whether the parameters are in the ranges that maskers.h tells. */
static int is_legal(const struct attn_masker *m, const struct attn_problem *p) {
    switch (m->kind) {
    case ATTN_MASKER_TOP_K:
    case ATTN_MASKER_GROUP_TOP_K: return 1;
    case ATTN_MASKER_TOP_P: return m->mass >= 0 && m->mass <= 1;
    case ATTN_MASKER_QUEST: return m->page_size && m->bits && m->bits <= 16;
    case ATTN_MASKER_DOUBLE_SPARSITY: return m->bits && m->bits <= 16 && are_channels(m, p);
    case ATTN_MASKER_HASH_ATTENTION: return are_layers(m, p);
    case ATTN_MASKER_PQ_CACHE:
    case ATTN_MASKER_IMPORTANCE: return m->bits && m->bits <= 8 && m->sub_vectors && p->dim % m->sub_vectors == 0;
    case ATTN_MASKER_SOCKET: return m->bits && m->bits <= 8 && m->tables && m->temperature > 0;
    case ATTN_MASKER_RANDOM: return m->rate > 0 && m->rate <= 1;
    case ATTN_MASKER_ADAPTIVE:
        return (m->rate == 0 ? m->base >= 2 : m->rate > 0 && m->rate <= 1) && m->epsilon > 0 &&
               m->quantile == m->quantile;
    case ATTN_MASKER_MAGIC_PIG: return m->bits && m->bits <= 32 && m->tables;
    }
    return 0;
}

/* ---- the index ---- */

static size_t known_keys(const struct attn_masker *m, const struct attn_problem *p, size_t batch) {
    const size_t keys = p->key_lengths ? (size_t)p->key_lengths[batch] : p->k_len;
    return keys < m->capacity ? keys : m->capacity;
}

/* Keys [begin, end), as the last of a problem that ends with them. */
static void append(const struct attn_masker *m, const struct attn_problem *p, const struct attn_masker_plan *whole_plan,
                   size_t batch, size_t begin, size_t end, int filling) {
    struct attn_problem prefix = *p;
    struct attn_masker_plan plan;
    prefix.k_len = end;
    prefix.attention_mask.data = NULL, prefix.sparse_mask.count = 0, prefix.key_lengths = NULL;
    require(attn_masker_plan_init(&plan, m, &prefix, m->capacity) == ATTN_OK);
    require(plan.index_bytes == whole_plan->index_bytes);
    struct room workspace = room_of(plan.workspace_bytes, filling);
    require(attn_masker_append(m, &prefix, batch, begin, end, workspace.data) == ATTN_OK);
    require(attn_masker_append(m, &prefix, batch, begin, end + 1, workspace.data) == ATTN_ERROR_SIZE);
    require(attn_masker_append(m, &prefix, batch, end + 1, end, workspace.data) == ATTN_ERROR_SIZE);
    room_end(&workspace);
}

/* Of how many portions the index remembers where they ended: those that something is learned from. */
static size_t learned(const struct attn_masker *m, const size_t *ends) {
    size_t n = 0;
    if (m->kind == ATTN_MASKER_MAGIC_PIG) return PORTIONS;
    if (m->kind != ATTN_MASKER_PQ_CACHE && m->kind != ATTN_MASKER_IMPORTANCE) return 0;
    while (n < PORTIONS && ends[n] <= m->first) n++;
    return n + 1;
}

/* The same index in portions, and with those after the learned ones at once. */
static struct room index_of(struct input *in, struct attn_masker *m, const struct attn_problem *p,
                            const struct attn_masker_plan *plan) {
    struct room indices[] = {room_of(plan->index_bytes, 0), room_of(plan->index_bytes, 0)};
    for (size_t b = 0; b < p->batch; b++) {
        const size_t keys = known_keys(m, p, b);
        size_t ends[PORTIONS];
        for (size_t n = 0; n < PORTIONS; n++) {
            const size_t least = n ? ends[n - 1] : 0;
            ends[n] = n + 1 < PORTIONS ? least + byte(in) % (keys - least + 1) : keys;
        }
        for (size_t way = 0; way < 2; way++) {
            m->index = indices[way].data;
            size_t begin = 0;
            for (size_t n = 0; n < PORTIONS; n++) {
                const size_t end = way && n >= learned(m, ends) ? keys : ends[n];
                append(m, p, plan, b, begin, end, way ? 0xff : 0);
                begin = end;
            }
        }
    }
    require(is_same(&indices[0], &indices[1], plan->index_bytes));
    room_end(&indices[1]);
    m->index = indices[0].data;
    return indices[0];
}

/* ---- what is chosen ---- */

/* At least and at most so many of the keys that a row may choose. */
struct bounds {
    size_t least, most;
};

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* `all` may be chosen, `inner` of them within what `first` and `last` leave. */
static struct bounds bounds_of(const struct attn_masker *m, size_t all, size_t inner) {
    const size_t share = m->rate > 0 && m->rate <= 1 ? (size_t)(m->rate * (double)inner) : 0, draws = share ? share : 1;
    switch (m->kind) {
    case ATTN_MASKER_TOP_P: return (struct bounds){m->mass >= 1 ? all : 0, all};
    case ATTN_MASKER_GROUP_TOP_K: return (struct bounds){0, smaller(m->count, all)};
    case ATTN_MASKER_PQ_CACHE:
    case ATTN_MASKER_IMPORTANCE: return (struct bounds){inner <= m->count ? inner : 0, smaller(m->count, inner)};
    case ATTN_MASKER_RANDOM:
        return (struct bounds){inner && !m->replacement ? draws : inner > 0, smaller(draws, inner)};
    case ATTN_MASKER_ADAPTIVE: return inner < 2 ? (struct bounds){all, all} : (struct bounds){1, inner};
    case ATTN_MASKER_QUEST:
    case ATTN_MASKER_MAGIC_PIG: return (struct bounds){0, all};
    default: return (struct bounds){all <= m->count ? all : 0, smaller(m->count, all)};
    }
}

/* A row's list, and what its keys are to the reference. */
struct row {
    const uint32_t *indices;
    const float *weights; /* NULL: ones */
    size_t count;
    const uint8_t *keys; /* enum attn_reference_key, [k_len] */
};

static void check_row(const struct attn_masker *m, const struct attn_problem *p, const struct row *row) {
    const int has_mask = p->sparse_mask.count > 0;
    const size_t end = p->k_len - smaller(m->last, p->k_len);
    size_t active = 0, all = 0, inner = 0, chosen = 0, kept = 0, pages = 0, page = SIZE_MAX;
    for (size_t j = 0; j < p->k_len; j++) {
        const int is_active = has_mask && row->keys[j] == ATTN_REFERENCE_KEPT;
        active += is_active;
        if (is_active || row->keys[j] == ATTN_REFERENCE_OUT) continue;
        all++, inner += j >= m->first && j < end;
    }
    for (size_t n = 0; n < row->count; n++) {
        const size_t j = row->indices[n];
        require(j < p->k_len && (!n || j > row->indices[n - 1]));
        require(row->keys[j] != ATTN_REFERENCE_OUT);
        if (row->weights) require(row->weights[n] > 0);
        if (has_mask && row->keys[j] == ATTN_REFERENCE_KEPT) {
            kept++;
            continue;
        }
        chosen++;
        if (row->weights) require(row->weights[n] <= 1);
        if (m->kind == ATTN_MASKER_QUEST && j / m->page_size != page) pages++, page = j / m->page_size;
    }
    const struct bounds bounds = bounds_of(m, all, inner);
    require(kept == active);
    require(chosen >= bounds.least && chosen <= bounds.most);
    require(m->kind != ATTN_MASKER_QUEST || pages <= m->count);
}

/* Lists, and the status of choosing them. */
struct lists {
    struct room ends, indices, weights, workspace;
};

static struct lists lists_of(const struct attn_masker *m, const struct attn_problem *p,
                             const struct attn_masker_plan *plan, size_t begin, size_t end, int filling,
                             enum attn_status expected) {
    const size_t rows = p->batch * plan->row_heads * p->q_len, room = rows * p->k_len;
    struct lists l = {room_of(rows * sizeof(uint32_t), filling), room_of(room * sizeof(uint32_t), filling),
                      room_of(room * sizeof(float), filling), room_of(plan->workspace_bytes, filling)};
    require(attn_masker_choose(m, p, begin, end, (uint32_t *)(void *)l.ends.data, (uint32_t *)(void *)l.indices.data,
                               plan->is_weighted ? (float *)(void *)l.weights.data : NULL,
                               l.workspace.data) == expected);
    return l;
}

static void lists_end(struct lists *l) {
    room_end(&l->ends), room_end(&l->indices), room_end(&l->weights), room_end(&l->workspace);
}

/* Refused: nothing is written. */
static void check_refused(const struct attn_masker *m, const struct attn_problem *p,
                          const struct attn_masker_plan *plan, size_t begin, size_t end) {
    struct lists l = lists_of(m, p, plan, begin, end, GUARD, ATTN_ERROR_SIZE);
    const struct room *const written[] = {&l.ends, &l.indices, &l.weights};
    for (size_t k = 0; k < 3; k++)
        for (size_t n = 0; n < written[k]->bytes; n++) require(written[k]->data[n] == GUARD);
    lists_end(&l);
}

static uint8_t *keys_of(struct input *in, const struct attn_problem *p) {
    struct attn_problem masks = *p;
    const size_t cells = p->batch * p->heads * p->q_len * p->k_len;
    struct attn_reference_result reference = {.scratch = array(in, p->k_len * sizeof(double)),
                                              .keys = array(in, cells)};
    masks.dim = masks.value_dim = 0;
    attn_reference(&masks, &reference);
    return reference.keys;
}

static void check_choice(struct input *in, const struct attn_masker *m, const struct attn_problem *p,
                         const struct attn_masker_plan *plan) {
    struct lists l = lists_of(m, p, plan, 0, p->q_len, 0, ATTN_OK);
    struct lists again = lists_of(m, p, plan, 0, p->q_len, 0xff, ATTN_OK);
    const size_t heads = plan->row_heads, rows = p->batch * heads * p->q_len;
    const uint32_t *ends = (const uint32_t *)(const void *)l.ends.data;
    const size_t count = rows ? ends[rows - 1] : 0;
    const uint8_t *keys = keys_of(in, p);
    require(count <= rows * p->k_len && is_same(&l.ends, &again.ends, l.ends.bytes));
    require(is_same(&l.indices, &again.indices, count * sizeof(uint32_t)));
    require(!plan->is_weighted || is_same(&l.weights, &again.weights, count * sizeof(float)));
    for (size_t r = 0; r < rows; r++) {
        const size_t begin = r ? ends[r - 1] : 0, list = r / p->q_len;
        const size_t head = list / heads * p->heads + list % heads * (p->heads / heads);
        require(ends[r] >= begin && ends[r] <= count);
        check_row(m, p,
                  &(struct row){(const uint32_t *)(const void *)l.indices.data + begin,
                                plan->is_weighted ? (const float *)(const void *)l.weights.data + begin : NULL,
                                ends[r] - begin, keys + (head * p->q_len + r % p->q_len) * p->k_len});
    }
    lists_end(&l), lists_end(&again);
    check_refused(m, p, plan, p->q_len, p->q_len + 1);
    check_refused(m, p, plan, 1, 0);
}

/* ---- all of it ---- */

static void use(struct input *in, struct attn_masker *m, struct attn_problem *p) {
    struct attn_masker_plan plan;
    const uint32_t room = byte(in);
    m->capacity = room < 200 ? p->k_len + room % 20 : room < 230 ? byte(in) : size_of(in);
    const enum attn_status status = attn_masker_plan_init(&plan, m, p, m->capacity);
    if (!is_legal(m, p)) {
        require(status == ATTN_ERROR_VALUE);
        return;
    }
    require(status == ATTN_OK || status == ATTN_ERROR_SIZE);
    if (status != ATTN_OK || plan.index_bytes > MOST_BYTES || plan.workspace_bytes > MOST_BYTES) return;
    require(plan.row_heads == p->heads || (m->kind == ATTN_MASKER_GROUP_TOP_K && plan.row_heads == p->key_heads));
    struct room index = index_of(in, m, p, &plan);
    if (m->capacity >= p->k_len || !plan.index_heads || !p->batch)
        check_choice(in, m, p, &plan);
    else
        check_refused(m, p, &plan, 0, p->q_len);
    room_end(&index);
}

static void run(struct input *in, struct case_arena *arena) {
    struct case_random random = case_random_init(word(in), 330);
    struct case_problem c;
    struct attn_masker m;
    struct attn_problem *p = &c.problem;
    if (case_make(&c, byte(in) | byte(in) << 8, arena) || p->batch * p->heads * p->q_len * p->k_len > MOST_CELLS)
        return;
    if (case_masker(&m, (enum attn_masker_kind)(byte(in) % CASE_MASKERS), p, &random, arena)) return;
    copy_tensor(in, &p->queries), copy_tensor(in, &p->keys), copy_tensor(in, &p->values);
    copy_tables(in, &m, p);
    bend(in, &m, p);
    use(in, &m, p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = input_of(data, size);
    static _Alignas(ATTN_ALIGNMENT) uint8_t memory[ARENA_BYTES];
    struct case_arena arena = {memory, sizeof memory, 0};
    run(&in, &arena);
    input_end(&in);
    return 0;
}
