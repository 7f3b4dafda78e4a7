// SPDX-License-Identifier: Apache-2.0
/** Sentences about cells, for everyone who reads or hears them. */
import { tokenLabel } from './axes.js';
import { CellState } from './states.js';

/** @returns {string} a share as a percentage with three significant digits */
export function percent(share) {
  if (share === 0) return '0 %';
  return share < 1e-6 ? `${(100 * share).toExponential(1)} %` : `${Number((100 * share).toPrecision(3))} %`;
}

const digits = (value) =>
  (Math.abs(value) < 1e-4 && value !== 0 ? value.toExponential(2) : Number(value.toPrecision(3)));

/** @returns {string} "query 3 “the”" */
export function nameOf(axis, index, token) {
  return token === undefined ? `${axis} ${index}` : `${axis} ${index} “${tokenLabel(token)}”`;
}

/**
 * @param {object} cell
 * @param {number} cell.query
 * @param {number} cell.key
 * @param {string} [cell.queryToken]
 * @param {string} [cell.keyToken]
 * @param {number} cell.state one of CellState
 * @param {number} cell.value weight or score, where kept
 * @param {'weights' | 'scores' | 'mask'} cell.show what the value is
 * @param {boolean} [cell.isLater] the key comes after the query, and the order is causal
 * @param {boolean} [cell.isLocked]
 * @returns {string} one sentence
 */
export function describeCell({ query, key, queryToken, keyToken, state, value, show, isLater, isLocked }) {
  const from = nameOf('Query', query, queryToken);
  const to = nameOf('key', key, keyToken);
  const end = isLocked ? ' (locked).' : '.';
  if (state !== CellState.KEPT) {
    const reason = isLater ? 'it comes later, and the order is causal'
      : state === CellState.SKIPPED ? 'its whole block of 64 by 64 cells is skipped' : 'it is masked out';
    return `${from} does not see ${to}: ${reason}${end}`;
  }
  if (show === 'mask') return `${from} sees ${to}${end}`;
  if (show === 'scores') return `${from} scores ${to} with ${digits(value)}${end}`;
  return `${from} gives ${to} ${percent(value)} of its attention, a weight of ${digits(value)}${end}`;
}
