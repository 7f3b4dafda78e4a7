// SPDX-License-Identifier: Apache-2.0
/** How much the analyses do before they look at some rows only, or refuse: sizes at which a page still answers. */

/** Queries x keys up to which something may be computed for every pair. */
export const PAIRS = 4096 ** 2;

/** Pairs of all batches and heads up to which maskers that look at keys, or draw them, are run. */
export const CHOSEN_PAIRS = 2 ** 27;

/** Pairs of all batches and heads up to which what a call would do is counted for all rows. */
export const COUNTED_PAIRS = 2 ** 28;

/** Multiplications and additions of one attention call that is made while someone waits. */
export const WORK = 2 ** 31;

/** Weights that an analysis of heads reads. */
export const WEIGHTS = 2 ** 26;

/** Entries of lists that are made at once. */
export const ENTRIES = 2 ** 22;

/** Stretches of keys that a mask may have, over all rows, where it has no structure. */
export const STRETCHES = 2 ** 27;
