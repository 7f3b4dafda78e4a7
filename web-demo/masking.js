// SPDX-License-Identifier: Apache-2.0
/** Which cells the page's mask settings keep, and why not the others: what the picture says of the package's work. */

/**
 * @typedef {object} Masking
 * @property {boolean} causal no key after the query
 * @property {number} left keys before the query that stay visible; Infinity = all
 * @property {number} right keys after it; Infinity = all
 * @property {number} sinks first keys that stay visible outside the window
 */

/** @param {Masking} masking @returns {string} why query i does not see key j; '' where it does */
export function whyOut({ causal, left, right, sinks }, i, j) {
  if (causal && j > i) return 'it comes after the query';
  if (j < sinks) return '';
  if (j < i - left) return 'it lies left of the window';
  if (j > i + right) return 'it lies right of the window';
  return '';
}

/** @param {Masking} masking */
export function isKept(masking, i, j) {
  return whyOut(masking, i, j) === '';
}

/** @param {Masking} masking @returns {number} kept share of the steps x steps cells */
export function density(masking, steps) {
  let kept = 0;
  for (let i = 0; i < steps; i++) for (let j = 0; j < steps; j++) kept += isKept(masking, i, j);
  return kept / (steps * steps);
}
