/* SPDX-License-Identifier: Apache-2.0
 *
 * properties.h - what holds for every problem.
 */
#ifndef ATTN_TESTS_PROPERTIES_H
#define ATTN_TESTS_PROPERTIES_H

#include "subject.h"

/* Runs the subject's problem, compares with the reference, and checks every property: any split of the work, garbage
 * in what is not read, NaN in what is; and with_relations also other problems that must give the same. `random` draws
 * where and how; errors may be NULL. The subject's inputs are afterwards what they were. */
void test_problem(const struct subject *s, struct case_random *random, int with_relations,
                  struct subject_error errors[SUBJECT_ERRORS]);

#endif
