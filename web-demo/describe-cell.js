// SPDX-License-Identifier: Apache-2.0
/** Sentences about a cell: who looks at what, with how much weight, and why the mask keeps it or not. */
import { percent } from './format.js';

const REGIONS = ['', 'Both masks keep it', 'Only mask A keeps it', 'Only mask B keeps it'];

/**
 * @param {object} answer of explainCell
 * @param {{ query: number, key: number, queryToken?: string, keyToken?: string }} cell
 */
export function describeCell({ kept, reason: { kind, text }, weight, denseWeight }, cell) {
  const [from, to] = places(cell);
  if (kind === 'not-allowed') return `${from} may not look at ${to}: ${text}.`;
  if (!kept) return `${from} loses ${percent(denseWeight)} at ${to}: ${text}.`;
  const before = weight === denseWeight ? '' : ` (dense: ${percent(denseWeight)})`;
  return `${from} gives ${percent(weight)}${before} to ${to}. Kept: ${text}.`;
}

/** The same for the map that tells two masks apart. */
export function describeRegion({ value, ...cell }) {
  const [from, to] = places(cell);
  return `${from}, ${to}: ${REGIONS[value] ?? 'neither mask keeps it'}.`;
}

function places({ query, key, queryToken, keyToken }) {
  return [`Query ${query}${quoted(queryToken)}`, `key ${key}${quoted(keyToken)}`];
}

function quoted(token) {
  return token === undefined || token === '' ? '' : ` “${token}”`;
}
