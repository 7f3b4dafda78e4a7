// SPDX-License-Identifier: Apache-2.0

import { MaskerKind } from './abi.js';
import { checkSeed, checkSize, checkSizeOrZero, sizeOf } from './masker-options.js';
import { coreMaskerFactory } from './masker.js';
import { QUANTIZATION_OPTIONS, readQuantization } from './maskers-pq-cache.js';

const OPTIONS = ['draws', 'localOffset', 'seed', ...QUANTIZATION_OPTIONS];

/** Draws by the attention of quantised keys, weighted by the probability of being drawn: src/importance.c. */
export const importanceSampling = coreMaskerFactory(
  'importanceSampling',
  OPTIONS,
  (options) => {
    const draws = checkSize(options.draws, 'draws');
    const quantization = readQuantization(options);
    const localOffset = checkSizeOrZero(options.localOffset, 'localOffset');
    const seed = checkSeed(options.seed);
    return (call) => ({
      kind: MaskerKind.IMPORTANCE,
      count: sizeOf(draws, call.keyLength),
      last: sizeOf(localOffset, call.keyLength),
      ...quantization(call),
      ...seed,
    });
  },
  true,
);
