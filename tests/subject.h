/* SPDX-License-Identifier: Apache-2.0
 *
 * subject.h - one problem with its reference results, and how the library's results are held against them.
 */
#ifndef ATTN_TESTS_SUBJECT_H
#define ATTN_TESTS_SUBJECT_H

#include "cases.h"
#include "reference.h"

struct subject {
    struct case_problem c;
    char name[24];                          /* for messages */
    struct case_arena *arena;               /* of the problem, and of whatever a test adds for a while */
    struct attn_reference_result reference; /* in double */
    struct attn_reference_result naive;     /* the same loops in float: what float32 arithmetic alone loses */
    void *memory;                           /* of both */
    double *magnitude, *products;           /* [batch, heads, q_len]: the largest logit, and sum of |q k| behind one */
    uint8_t *underflows;                    /* [batch, heads, q_len]: whether the row's sum is lost in float32 */
    double value_max;                       /* over kept keys */
    double amplify;                         /* 1 / (1 - rate) where dropout acts */
    uint8_t *keys_kept, *values_kept;       /* [batch, key_heads | value_heads, k_len]: whether any row needs it */
};

/* Fills in the rest, once c, name and arena are there. */
void subject_init(struct subject *s);
void subject_free(struct subject *s);

/* Prints the problem below a failure. */
void subject_describe(const struct subject *s);

/* batch * heads * q_len */
size_t subject_rows(const struct attn_problem *p);

/* Whether cell [batch, heads, q_len, k_len] is read: the maximum may run over keys that the sparse mask leaves out. */
int subject_reads(const struct subject *s, size_t cell);

/* What the masks say of a cell, as the reference has it: the sparse mask's weight, and whether the others leave it. */
float subject_weight(const struct attn_problem *p, size_t b, size_t h, size_t i, size_t j);
int subject_allows(const struct attn_problem *p, size_t b, size_t h, size_t i, size_t j);

/* The largest errors of a subject's results, ours and the naive loop's, relative to the size of what is summed. */
enum { SUBJECT_OUTPUT, SUBJECT_LOG_SUM_EXP, SUBJECT_WEIGHTS, SUBJECT_ERRORS };
struct subject_error {
    int measured;
    double ours, naive;
};

/* Everything that a run gave against the reference; `slack` multiplies the bounds. errors may be NULL. */
void subject_compare(const struct subject *s, const struct attn_result *r, double slack,
                     struct subject_error errors[SUBJECT_ERRORS]);

/* Two results agree bit for bit wherever both were asked for. */
void subject_same(const struct subject *s, const struct attn_result *a, const struct attn_result *b, const char *why);

/* The same of rows alone whose skip[row] is not set (NULL: all), and not of the scores, which masked keys have too. */
void subject_same_rows(const struct subject *s, const struct attn_result *a, const struct attn_result *b,
                       const uint8_t *skip, const char *why);

/* Nothing was written beside the arrays of a result from case_results, nor between the rows of its output. */
void subject_check_guards(const struct subject *s, const struct attn_result *r);

#endif
