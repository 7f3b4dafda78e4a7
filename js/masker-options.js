// SPDX-License-Identifier: Apache-2.0

/** Parameters of maskers, read as they are given. */

import { checkInteger, rangeError, typeError } from './checks.js';
import { readSeedWords } from './problem.js';

const MAX_UINT32 = 2 ** 32 - 1;
const SIZE = 'an integer >= 1 (a count of keys) or a fraction of them in (0, 1)';

/** An option, or what it is where it is left out. */
export function orElse(value, fallback) {
  return value === undefined ? fallback : value;
}

/** A size: a count of keys, or a fraction of all; `sizeOf` tells which it is for a number of keys. */
export function checkSize(value, name) {
  if (typeof value !== 'number') throw typeError(name, SIZE, value);
  if (!(value > 0) || value > MAX_UINT32 || (value > 1 && !Number.isInteger(value))) throw rangeError(name, SIZE, value);
  return value;
}

/** A size that may be 0. */
export function checkSizeOrZero(value, name) {
  return value === undefined || value === 0 ? 0 : checkSize(value, name);
}

/** Keys that a size stands for, of `keyLength`. */
export function sizeOf(size, keyLength) {
  return size < 1 ? Math.floor(size * keyLength) : size;
}

/** A number in [0, 1], without the ends that are excluded. */
export function checkFraction(value, name, { zero = true, one = true } = {}) {
  const expectation = `a number in ${zero ? '[' : '('}0, 1${one ? ']' : ')'}`;
  if (typeof value !== 'number') throw typeError(name, expectation, value);
  if (!(value >= 0 && value <= 1) || (!zero && value === 0) || (!one && value === 1)) {
    throw rangeError(name, expectation, value);
  }
  return value;
}

export function checkPositive(value, name) {
  if (typeof value !== 'number') throw typeError(name, 'a number > 0', value);
  const rounded = Math.fround(value); // as the core takes it
  if (!(rounded > 0 && Number.isFinite(rounded))) throw rangeError(name, 'a number > 0 of float32', value);
  return value;
}

export function checkCount(value, name, low = 1, high = MAX_UINT32) {
  return checkInteger(value, name, low, high);
}

/**
 * A seed as the two words of the generator's key. Maskers that sample have no default, so that nobody draws the same keys
 * in every layer unawares; where it only shapes the index, it is 0 unless given.
 */
export function checkSeed(value, name = 'seed') {
  const [seedLow, seedHigh] = readSeedWords(value, name);
  return { seedLow, seedHigh };
}
