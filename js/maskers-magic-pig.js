// SPDX-License-Identifier: Apache-2.0

import { MaskerKind } from './abi.js';
import { checkBoolean } from './checks.js';
import { checkCount, checkSeed } from './masker-options.js';
import { coreMaskerFactory } from './masker.js';

/** Keys with an equal hash (Chen et al., "MagicPIG", 2024): src/magic_pig.c. */
export const magicPig = coreMaskerFactory(
  'magicPig',
  ['tables', 'bits', 'center', 'seed'],
  (options) => {
    const fields = {
      kind: MaskerKind.MAGIC_PIG,
      tables: checkCount(options.tables, 'tables', 1, 1024),
      bits: checkCount(options.bits, 'bits', 1, 32),
      center: options.center === undefined || checkBoolean(options.center, 'center'),
      ...checkSeed(options.seed),
    };
    return () => fields;
  },
  true,
);
