/* SPDX-License-Identifier: Apache-2.0
 *
 * bits.c - hashes of every bit that the case of a seed gives, to compare engines and builds:  bits [cases [first seed]]
 * One hash is of the problem's results, one of what a masker knows and chooses. As wasm it is freestanding and exports
 * bits_case and bits_masker. All NaNs count as equal.
 */
#include "cases.h"

uint64_t bits_case(uint32_t seed);
uint64_t bits_masker(uint32_t seed);

static _Alignas(ATTN_ALIGNMENT) unsigned char memory[2 * CASE_ARENA_BYTES];

/* FNV-1a over words (Fowler, Noll and Vo). */
static uint64_t hash(uint64_t state, uint32_t word) {
    for (int n = 0; n < 4; n++, word >>= 8) state = (state ^ (word & 255)) * UINT64_C(0x100000001b3);
    return state;
}

static uint64_t hash_floats(uint64_t state, const void *floats, size_t count) {
    const uint32_t *words = floats;
    for (size_t n = 0; n < count; n++)
        state = hash(state, (words[n] & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : words[n]);
    return state;
}

static uint64_t hash_results(uint64_t state, const struct attn_problem *problem, const struct attn_result *result) {
    struct case_array arrays[CASE_ARRAYS];
    case_arrays(problem, result, arrays);
    for (size_t n = 0; n < CASE_ARRAYS; n++) {
        if (!arrays[n].data) continue;
        if (n != CASE_DROPOUT_MASK)
            state = hash_floats(state, arrays[n].data, arrays[n].bytes / sizeof(float));
        else
            for (size_t at = 0; at < arrays[n].bytes; at++) state = hash(state, ((const uint8_t *)arrays[n].data)[at]);
    }
    return state;
}

/* Merges a result's partials with themselves and finishes them: exercises what attn_run does not. */
static uint64_t hash_partials(uint64_t state, const struct attn_problem *problem, struct attn_result *result) {
    const struct attn_partials partials = {result->numerator, result->denominator, result->row_max};
    if (!partials.numerator || !partials.denominator || !partials.row_max) return state;
    state = hash(state, (uint32_t)attn_partials_merge(
                            partials, partials, problem->batch * problem->heads * problem->q_len, problem->value_dim));
    state = hash(state, (uint32_t)attn_partials_finish(&partials, problem, result));
    return hash_results(state, problem, result);
}

/* Narrows the output in place, through both 16-bit formats. */
static uint64_t hash_narrowed(uint64_t state, struct attn_result *result, struct case_arena *arena) {
    uint16_t *half = case_alloc(arena, result->output_capacity * sizeof *half);
    if (!half || !result->output) return state;
    for (enum attn_dtype dtype = ATTN_FLOAT16; dtype <= ATTN_BFLOAT16; dtype++) {
        state = hash(state, (uint32_t)attn_convert(half, dtype, result->output, ATTN_FLOAT32, result->output_capacity));
        state = hash(state, (uint32_t)attn_convert(result->output, ATTN_FLOAT32, half, dtype, result->output_capacity));
        state = hash_floats(state, result->output, result->output_capacity);
    }
    return state;
}

static const uint64_t start = UINT64_C(0xcbf29ce484222325);

uint64_t bits_case(uint32_t seed) {
    struct case_arena arena = {memory, sizeof memory, 0};
    struct case_problem c;
    struct attn_result result;
    struct attn_plan plan;
    uint64_t state = start;
    if (case_make(&c, seed, &arena) || case_results(&c, &result, &arena)) return 0;
    enum attn_status status = attn_plan_init(&plan, &c.problem, &result);
    void *workspace = status == ATTN_OK ? case_alloc(&arena, plan.workspace_bytes) : NULL;
    if (!workspace) return 1;
    status = attn_run(&plan, &c.problem, &result, workspace, plan.workspace_bytes, 0, plan.jobs);
    state = hash(state, (uint32_t)status);
    state = hash_results(state, &c.problem, &result);
    state = hash_partials(state, &c.problem, &result);
    return hash_narrowed(state, &result, &arena);
}

/* Appends the keys of each batch in two portions. */
static enum attn_status append(const struct attn_masker *masker, const struct attn_problem *p, void *workspace,
                               struct case_random *random) {
    enum attn_status status = ATTN_OK;
    for (size_t b = 0; status == ATTN_OK && b < p->batch; b++) {
        const size_t end = p->key_lengths ? (size_t)p->key_lengths[b] : p->k_len;
        const size_t some = case_random_below(random, (uint32_t)end + 1);
        status = attn_masker_append(masker, p, b, 0, some, workspace);
        if (status == ATTN_OK) status = attn_masker_append(masker, p, b, some, end, workspace);
    }
    return status;
}

static uint64_t hash_lists(uint64_t state, const struct attn_masker *masker, const struct attn_masker_plan *plan,
                           const struct attn_problem *p, void *workspace, struct case_arena *arena) {
    const size_t rows = p->batch * plan->row_heads * p->q_len, room = rows * p->k_len;
    uint32_t *ends = case_alloc(arena, rows * sizeof *ends), *indices = case_alloc(arena, room * sizeof *indices);
    float *weights = case_alloc(arena, room * sizeof *weights);
    if (!ends || !indices || !weights) return 1;
    const enum attn_status status = attn_masker_choose(masker, p, 0, p->q_len, ends, indices, weights, workspace);
    const size_t count = rows ? ends[rows - 1] : 0;
    state = hash(state, (uint32_t)status);
    for (size_t r = 0; r < rows; r++) state = hash(state, ends[r]);
    for (size_t n = 0; n < count; n++) state = hash(state, indices[n]);
    return hash_floats(state, weights, count);
}

/* Seeds go through the kinds. */
uint64_t bits_masker(uint32_t seed) {
    struct case_arena arena = {memory, sizeof memory, 0};
    struct case_random random = case_random_init(seed, 320);
    struct case_problem c;
    struct attn_masker masker;
    struct attn_masker_plan plan;
    const struct attn_problem *p = &c.problem;
    const enum attn_masker_kind kind = (enum attn_masker_kind)(seed % CASE_MASKERS);
    if (case_make(&c, seed, &arena)) return 0;
    if (case_masker(&masker, kind, p, &random, &arena)) return p->dim ? 0 : start;
    masker.capacity = p->k_len + case_random_below(&random, 20);
    if (attn_masker_plan_init(&plan, &masker, p, masker.capacity) != ATTN_OK) return 1;
    unsigned char *index = case_alloc(&arena, plan.index_bytes), *workspace = case_alloc(&arena, plan.workspace_bytes);
    if (!index || !workspace) return 1;
    for (size_t n = 0; n < plan.index_bytes; n++) index[n] = 0;
    masker.index = index;
    if (append(&masker, p, workspace, &random) != ATTN_OK) return 1;
    const uint64_t state = hash_floats(start, index, plan.index_bytes / sizeof(float));
    return hash_lists(state, &masker, &plan, p, workspace, &arena);
}

/* Wherever there is a C library. */
#if defined BITS_MAIN || !defined __wasm__ || defined __EMSCRIPTEN__ || defined __wasi__
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    const uint32_t cases = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 1000;
    const uint32_t first = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 0) : 1;
    int incomplete = 0;
    for (uint32_t seed = first; seed - first < cases; seed++) {
        const uint64_t results = bits_case(seed), choices = bits_masker(seed);
        incomplete |= results < 2 || choices < 2; /* no room, or refused */
        printf("%" PRIu32 " %016" PRIx64 " %016" PRIx64 "\n", seed, results, choices);
    }
    return incomplete;
}
#endif
