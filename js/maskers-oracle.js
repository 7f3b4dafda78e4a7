// SPDX-License-Identifier: Apache-2.0

/** Maskers that compute every score: what others approximate and are measured against. */

import { MaskerKind } from './abi.js';
import { checkFraction, checkSize, sizeOf } from './masker-options.js';
import { coreMaskerFactory } from './masker.js';

/** The largest logits. */
export const oracleTopK = coreMaskerFactory('oracleTopK', ['heavySize'], (options) => {
  const heavySize = checkSize(options.heavySize, 'heavySize');
  return ({ keyLength }) => ({ kind: MaskerKind.TOP_K, count: sizeOf(heavySize, keyLength) });
});

/** The fewest keys whose attention, among those that can be chosen, sums to more than topP. */
export const oracleTopP = coreMaskerFactory('oracleTopP', ['topP'], (options) => {
  const mass = checkFraction(options.topP, 'topP');
  return () => ({ kind: MaskerKind.TOP_P, mass });
});

/** One list for all query heads of a key head: the largest dot products with the sum of their queries. */
export const groupTopK = coreMaskerFactory('groupTopK', ['heavySize'], (options) => {
  const heavySize = checkSize(options.heavySize, 'heavySize');
  return ({ keyLength }) => ({ kind: MaskerKind.GROUP_TOP_K, count: sizeOf(heavySize, keyLength) });
});
