/* SPDX-License-Identifier: Apache-2.0
 *
 * select.c - see select.h. A sample tells a threshold that a few more than k scores reach; these are collected in one
 * pass, and only among them the k-th largest is looked for (Floyd and Rivest, "Expected time bounds for selection",
 * 1975; the partition is Hoare's).
 */
#include "select.h"

#include "vec.h"

#define SAMPLE 1024
#define LOWEST (-__builtin_inff())

/* What reaches a threshold, in order, and a copy to partition. */
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

/* A score that a little more than k of all are likely to reach; LOWEST where a sample says nothing. */
static float guess(const float *scores, size_t count, size_t k, float *sample) {
    const size_t stride = count / SAMPLE;
    size_t some = 0;
    if (stride < 2) return LOWEST;
    for (size_t n = 0; n < SAMPLE; n++) {
        if (scores[n * stride] > LOWEST) sample[some++] = scores[n * stride];
    }
    const float expected = (float)k / (float)stride;
    const size_t place = (size_t)(expected + 4 * __builtin_sqrtf(expected)) + 2;
    return place < some ? nth_largest(sample, some, place) : LOWEST;
}

static void collect(struct candidates *c, const float *scores, size_t count, float threshold) {
    const vec least = vec_splat(threshold);
    c->count = 0;
    for (size_t j = 0; j < count; j += 16) {
        const vec a = vec_at_least(vec_load(scores + j), least), b = vec_at_least(vec_load(scores + j + 4), least),
                  d = vec_at_least(vec_load(scores + j + 8), least), e = vec_at_least(vec_load(scores + j + 12), least);
        if (!vec_bits(vec_or(vec_or(a, b), vec_or(d, e)))) continue;
        uint32_t bits = vec_bits(a) | vec_bits(b) << 4 | vec_bits(d) << 8 | vec_bits(e) << 12;
        if (count - j < 16) bits &= (1u << (count - j)) - 1;
        for (; bits; bits &= bits - 1) {
            const size_t column = j + (size_t)__builtin_ctz(bits);
            if (scores[column] == LOWEST) continue;
            c->columns[c->count] = (uint32_t)column;
            c->scores[c->count] = c->copy[c->count] = scores[column];
            c->count++;
        }
    }
}

/* Collects at least the k largest; returns the k-th, or LOWEST where there are no more than k. */
static float collect_largest(struct candidates *c, const float *scores, size_t count, size_t k, void *scratch) {
    *c = candidates_in(scratch, count);
    const float threshold = guess(scores, count, k, (float *)(c->columns + ((count + 15) & ~(size_t)15)));
    collect(c, scores, count, threshold);
    if (c->count < k && threshold > LOWEST) collect(c, scores, count, LOWEST);
    return c->count > k ? nth_largest(c->copy, c->count, k - 1) : LOWEST;
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
    for (size_t n = 0; n < c.count; n++) larger += c.scores[n] > least;
    size_t equals = k > larger ? k - larger : 0;
    for (size_t n = 0; n < c.count; n++) {
        if (c.scores[n] > least || (c.scores[n] == least && equals && equals--)) set_bit(chosen, c.columns[n]);
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
    collect(&c, scores, count, 0);
    if (!c.count) return;
    const float least = least_of_mass(c.copy, c.count, mass * sum_of(c.scores, 0, c.count));
    for (size_t n = 0; n < c.count; n++) {
        if (c.scores[n] >= least) set_bit(chosen, c.columns[n]);
    }
}
