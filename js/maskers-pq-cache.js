// SPDX-License-Identifier: Apache-2.0

import { MaskerKind } from './abi.js';
import { checkChoice, rangeError } from './checks.js';
import { checkCount, checkSeed, checkSize, orElse, sizeOf } from './masker-options.js';
import { coreMaskerFactory } from './masker.js';

const METRICS = ['euclidean', 'ip'];

export const QUANTIZATION_OPTIONS = ['groupFactor', 'bits', 'iterations', 'initOffset', 'metric'];

/**
 * How keys are quantised: `groupFactor` dimensions to a sub-vector, 2^bits centroids each. Returns (call) => fields of
 * the core's struct.
 */
export function readQuantization(options) {
  const groupFactor = checkCount(orElse(options.groupFactor, 8), 'groupFactor');
  const bits = checkCount(orElse(options.bits, 6), 'bits', 1, 8);
  const iterations = checkCount(orElse(options.iterations, 10), 'iterations', 0, 1000);
  const first = checkCount(orElse(options.initOffset, 0), 'initOffset', 0);
  const innerProduct = checkChoice(options.metric, 'metric', METRICS) === 'ip';
  return ({ dim }) => {
    if (dim === 0 || dim % groupFactor !== 0) {
      throw rangeError('groupFactor', `a divisor of the dimension of keys (${dim})`, groupFactor);
    }
    return { bits, iterations, first, innerProduct, subVectors: dim / groupFactor };
  };
}

/** The largest logits of quantised keys (Zhang et al., "PQCache", 2024): src/pq_cache.c. */
export const pqCache = coreMaskerFactory('pqCache', ['heavySize', 'seed', ...QUANTIZATION_OPTIONS], (options) => {
  const heavySize = checkSize(options.heavySize, 'heavySize');
  const quantization = readQuantization(options);
  const seed = checkSeed(orElse(options.seed, 0));
  return (call) => ({
    kind: MaskerKind.PQ_CACHE,
    count: sizeOf(heavySize, call.keyLength),
    ...quantization(call),
    ...seed,
  });
});
