/* SPDX-License-Identifier: Apache-2.0
 *
 * bits.c - a hash of every bit that the case of a seed gives, to compare engines and builds:  bits [cases [first seed]]
 * As wasm it is freestanding and exports bits_case. All NaNs count as equal.
 */
#include "attn.h"
#include "cases.h"

uint64_t bits_case(uint32_t seed);

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

uint64_t bits_case(uint32_t seed) {
    struct case_arena arena = {memory, sizeof memory, 0};
    struct case_problem c;
    struct attn_result result;
    struct attn_plan plan;
    uint64_t state = UINT64_C(0xcbf29ce484222325);
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
        const uint64_t bits = bits_case(seed);
        incomplete |= bits < 2; /* no room, or refused */
        printf("%" PRIu32 " %016" PRIx64 "\n", seed, bits);
    }
    return incomplete;
}
#endif
