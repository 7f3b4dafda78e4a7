// SPDX-License-Identifier: Apache-2.0

/** Maskers that draw keys, all alike, and say with which probabilities. */

import { MaskerKind } from './abi.js';
import { checkBoolean, rangeError } from './checks.js';
import { checkFraction, checkSeed, checkSize, checkSizeOrZero, sizeOf } from './masker-options.js';
import { coreMaskerFactory } from './masker.js';

const LEAST_DELTA = 1e-300; // of which a half is still a number with a quantile

/** A fraction of the keys that a row may choose: src/random_sampling.c. */
export const randomSampling = coreMaskerFactory(
  'randomSampling',
  ['rate', 'seed', 'replacement'],
  (options) => {
    const rate = checkFraction(options.rate, 'rate', { zero: false });
    const replacement = checkBoolean(options.replacement, 'replacement');
    const seed = checkSeed(options.seed);
    return () => ({ kind: MaskerKind.RANDOM, rate, replacement, ...seed });
  },
  true,
);

/** As many as a promise takes (Desai et al., "vAttention", 2025): src/adaptive_sampling.c. */
export const adaptiveSampling = coreMaskerFactory(
  'adaptiveSampling',
  ['baseRate', 'epsilon', 'delta', 'initOffset', 'localOffset', 'seed', 'replacement'],
  (options) => {
    const base = checkBase(options.baseRate);
    const epsilon = checkFraction(options.epsilon, 'epsilon', { zero: false, one: false });
    const delta = checkFraction(options.delta, 'delta', { zero: false, one: false });
    if (delta < LEAST_DELTA) throw rangeError('delta', `a number in [${LEAST_DELTA}, 1)`, delta);
    const initOffset = checkSizeOrZero(options.initOffset, 'initOffset');
    const localOffset = checkSizeOrZero(options.localOffset, 'localOffset');
    const replacement = checkBoolean(options.replacement, 'replacement');
    const fields = {
      kind: MaskerKind.ADAPTIVE,
      ...base,
      epsilon,
      quantile: Math.fround(-lowerQuantile(delta / 2)), // engines' logarithms differ in the last bit
      replacement,
      ...checkSeed(options.seed),
    };
    return ({ keyLength }) => ({
      ...fields,
      first: sizeOf(initOffset, keyLength),
      last: sizeOf(localOffset, keyLength),
    });
  },
  true,
);

function checkBase(value) {
  const isTooFew = value === 1 || (typeof value === 'number' && !(value > 0)); // one draw has no spread
  if (isTooFew) throw rangeError('baseRate', 'a fraction in (0, 1) or an integer >= 2', value);
  checkSize(value, 'baseRate');
  return value < 1 ? { rate: value } : { base: value };
}

/**
 * The standard normal distribution's quantile at p in (0, 1/2]: Acklam's rational approximations of the central part
 * and of the tail ("An algorithm for computing the inverse normal cumulative distribution function", 2003), relative error
 * below 1.15e-9.
 */
function lowerQuantile(p) {
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p));
    return polynomial(q, TAIL) / polynomial(q, TAIL_BELOW);
  }
  const q = p - 0.5;
  return (q * polynomial(q * q, CENTRE)) / polynomial(q * q, CENTRE_BELOW);
}

const CENTRE = [
  -3.969683028665376e1, 2.209460984245205e2, -2.759285104469687e2, 1.38357751867269e2, -3.066479806614716e1,
  2.506628277459239,
];
const CENTRE_BELOW = [
  -5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1, -1.328068155288572e1, 1,
];
const TAIL = [
  -7.784894002430293e-3, -3.223964580411365e-1, -2.400758277161838, -2.549732539343734, 4.374664141464968,
  2.938163982698783,
];
const TAIL_BELOW = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1];

/** Coefficients from the highest power down. */
function polynomial(x, coefficients) {
  return coefficients.reduce((sum, coefficient) => sum * x + coefficient, 0);
}
