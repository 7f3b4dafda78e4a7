// SPDX-License-Identifier: Apache-2.0

import { MaskerKind } from './abi.js';
import { checkCount, checkSize, orElse, sizeOf } from './masker-options.js';
import { coreMaskerFactory } from './masker.js';

const FEWEST_PAGES = 3; // as the original

/** Whole pages of keys (Tang et al., "Quest", ICML 2024): src/quest.c. */
export const quest = coreMaskerFactory('quest', ['heavySize', 'pageSize', 'labelBits'], (options) => {
  const heavySize = checkSize(options.heavySize, 'heavySize');
  const pageSize = checkCount(orElse(options.pageSize, 16), 'pageSize', 1, 2 ** 20);
  const bits = checkCount(orElse(options.labelBits, 16), 'labelBits', 1, 16);
  return ({ keyLength }) => ({
    kind: MaskerKind.QUEST,
    count: Math.max(FEWEST_PAGES, Math.floor(sizeOf(heavySize, keyLength) / pageSize)),
    pageSize,
    bits,
  });
});
