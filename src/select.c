/* SPDX-License-Identifier: Apache-2.0
 *
 * select.c - see select.h. A sample tells a threshold that a few more than k scores are above; these are collected in
 * one pass, and only among them the k-th largest is looked for (Floyd and Rivest, "Expected time bounds for selection",
 * 1975), first by counting bins, whose branches can be predicted, then by Hoare's partition.
 */
#include "select.h"

#include "vec.h"

#define SAMPLE 1024
#define BINS 256
#define UNROLL _Pragma("unroll")
#define LOWEST (-__builtin_inff())

/* What is above a threshold, in order, and a copy to partition. */
struct candidates {
    uint32_t *columns;
    float *scores, *copy;
    size_t count;
};

static struct candidates candidates_in(void *scratch, size_t count) {
    const size_t room = (count + 15) & ~(size_t)15;
    float *scores = scratch;
    return (struct candidates){(uint32_t *)(scores + 2 * room), scores, scores + room, 0};
}

size_t attn_select_bytes(size_t count) { return 3 * 4 * ((count + 15) & ~(size_t)15) + 4 * SAMPLE; }

static void set_bit(uint64_t *bits, size_t j) { bits[j / 64] |= (uint64_t)1 << (j % 64); }

static void swap(float *a, float *b) {
    float t = *a;
    *a = *b, *b = t;
}

static float median(float a, float b, float c) {
    float low = a < b ? a : b, high = a < b ? b : a;
    return c < low ? low : c > high ? high : c;
}

/* Moves what is larger than the pivot to the front of values [begin, end), what is smaller to the back; the pivot's
 * equals stand in [*first, *last). */
static void partition(float *values, size_t begin, size_t end, float pivot, size_t *first, size_t *last) {
    size_t larger = begin, smaller = end;
    for (size_t i = begin; i < smaller;) {
        if (values[i] > pivot)
            swap(&values[i++], &values[larger++]);
        else if (values[i] < pivot)
            swap(&values[i], &values[--smaller]);
        else
            i++;
    }
    *first = larger, *last = smaller;
}

/* The value at place k of `count` in descending order; reorders them. None is NaN. */
static float nth_largest(float *values, size_t count, size_t k) {
    size_t begin = 0, end = count;
    for (;;) {
        size_t first, last;
        const float pivot = median(values[begin], values[begin + (end - begin) / 2], values[end - 1]);
        partition(values, begin, end, pivot, &first, &last);
        if (k < first)
            end = first;
        else if (k >= last)
            begin = last;
        else
            return pivot;
    }
}

/* The same. Values are counted in bins of equal width, and only those of the bin that has place k are partitioned. */
static float nth_of_many(float *values, size_t count, size_t k) {
    uint32_t counts[BINS] = {0};
    float least = values[0], largest = values[0];
    for (size_t n = 1; n < count; n++) {
        least = values[n] < least ? values[n] : least, largest = values[n] > largest ? values[n] : largest;
    }
    const float scale = (BINS - 1) / (largest - least);
    if (!(scale > 0 && scale < __builtin_inff())) return nth_largest(values, count, k);
    for (size_t n = 0; n < count; n++) counts[(size_t)((values[n] - least) * scale)]++;
    size_t bin = BINS - 1, some = 0;
    for (; counts[bin] <= k; bin--) k -= counts[bin];
    for (size_t n = 0; n < count; n++) {
        const float value = values[n];
        values[some] = value, some += (size_t)((value - least) * scale) == bin;
    }
    return nth_largest(values, some, k);
}

/* What a little more than k of all scores are likely to be above; LOWEST where a sample says nothing. */
static float guess(const float *scores, size_t count, size_t k, float *sample) {
    const size_t stride = count / SAMPLE;
    size_t some = 0;
    if (stride < 2) return LOWEST;
    for (size_t n = 0; n < SAMPLE; n++) {
        if (scores[n * stride] > LOWEST) sample[some++] = scores[n * stride];
    }
    const float expected = (float)k / (float)stride;
    const size_t place = (size_t)(expected + 3 * __builtin_sqrtf(expected)) + 2;
    if (place >= some) return LOWEST;
    const float score = nth_of_many(sample, some, place);
    return score - (__builtin_fabsf(score) * 0x1p-22f + 0x1p-126f);
}

/* What is above a threshold. */
static void collect(struct candidates *c, const float *scores, size_t count, float threshold) {
    const vec limit = vec_splat(threshold);
    c->count = 0;
    for (size_t j = 0; j < count; j += 64) { /* so many that a branch is seldom mispredicted */
        const size_t some = count - j < 64 ? count - j : 64;
        uint64_t bits = 0;
        for (size_t n = 0; n < some; n += 16) {
            uint32_t sixteen = 0;
            UNROLL for (size_t v = 0; v < 4; v++) {
                sixteen |= vec_bits(vec_less(limit, vec_load(scores + j + n + 4 * v))) << 4 * v;
            }
            bits |= (uint64_t)sixteen << n;
        }
        if (some < 64) bits &= ((uint64_t)1 << some) - 1;
        for (; bits; bits &= bits - 1, c->count++) {
            const size_t column = j + (size_t)__builtin_ctzll(bits);
            c->columns[c->count] = (uint32_t)column;
            c->scores[c->count] = c->copy[c->count] = scores[column];
        }
    }
}

/* Collects at least the k largest; returns the k-th, or LOWEST where there are no more than k. */
static float collect_largest(struct candidates *c, const float *scores, size_t count, size_t k, void *scratch) {
    *c = candidates_in(scratch, count);
    const float threshold = guess(scores, count, k, (float *)(c->columns + ((count + 15) & ~(size_t)15)));
    collect(c, scores, count, threshold);
    if (c->count < k && threshold != LOWEST) collect(c, scores, count, LOWEST);
    return c->count > k ? nth_of_many(c->copy, c->count, k - 1) : LOWEST;
}

float attn_select_least(const float *scores, size_t count, size_t k, void *scratch) {
    struct candidates c;
    const float least = collect_largest(&c, scores, count, k, scratch);
    return c.count == k ? nth_largest(c.copy, k, k - 1) : least;
}

void attn_select_largest(uint64_t *chosen, const float *scores, size_t count, size_t k, void *scratch) {
    struct candidates c;
    size_t larger = 0;
    if (!k) return;
    const float least = collect_largest(&c, scores, count, k, scratch);
    for (size_t n = 0; n < c.count; n++) {
        const uint64_t is_larger = c.scores[n] > least;
        chosen[c.columns[n] / 64] |= is_larger << c.columns[n] % 64, larger += (size_t)is_larger;
    }
    size_t equals = k > larger ? k - larger : 0;
    for (size_t n = 0; n < c.count && equals; n++) {
        if (c.scores[n] == least) set_bit(chosen, c.columns[n]), equals--;
    }
}

static double sum_of(const float *values, size_t begin, size_t end) {
    double sum = 0;
    for (size_t n = begin; n < end; n++) sum += values[n];
    return sum;
}

/* The largest value such that those that reach it sum to more than `sum`, or the smallest of all; reorders them. */
static float least_of_mass(float *values, size_t count, double sum) {
    size_t begin = 0, end = count;
    for (;;) {
        size_t first, last;
        const float pivot = median(values[begin], values[begin + (end - begin) / 2], values[end - 1]);
        partition(values, begin, end, pivot, &first, &last);
        const double larger = sum_of(values, begin, first), equal = (double)(last - first) * pivot;
        if (larger > sum) {
            end = first;
        } else if (larger + equal > sum || last == end) {
            return pivot;
        } else {
            sum -= larger + equal, begin = last;
        }
    }
}

void attn_select_mass(uint64_t *chosen, const float *scores, size_t count, double mass, void *scratch) {
    struct candidates c = candidates_in(scratch, count);
    collect(&c, scores, count, -0x1p-149f); /* from 0 on */
    if (!c.count) return;
    const float least = least_of_mass(c.copy, c.count, mass * sum_of(c.scores, 0, c.count));
    for (size_t n = 0; n < c.count; n++) {
        if (c.scores[n] >= least) set_bit(chosen, c.columns[n]);
    }
}
