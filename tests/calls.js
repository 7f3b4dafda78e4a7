// SPDX-License-Identifier: Apache-2.0
/** @file calls.js - small things that tests of single calls share. */
import assert from 'node:assert/strict';

import { AttentionError, createAttention } from '../js/index.js';
import { Random, tensor } from './random.js';
import { differsAt } from './support.js';

/** An engine of the variant whose bits are the same everywhere. */
export const engine = (options) => createAttention({ variant: 'base', ...options });

/** Queries, keys and values of one problem, by number and sizes. */
export function draw(numbers = 1, [b, h, hk, sq, sk, d, dv] = [2, 4, 2, 5, 9, 8, 6], dtype = 'float32') {
  const random = new Random(numbers);
  return {
    queries: tensor(random, [b, h, sq, d], 1, dtype),
    keys: tensor(random, [b, hk, sk, d], 1, dtype),
    values: tensor(random, [b, hk, sk, dv], 1, dtype),
  };
}

export function assertSameBits(actual, expected, what = 'output') {
  const n = differsAt(actual, expected);
  assert.equal(n, -1, `${what}[${n}]: ${actual[n]} and ${expected[n]}`);
}

/** For assert.throws: an AttentionError with this code, whose message matches. */
export const hasCode =
  (code, pattern = /./) =>
  (error) =>
    error instanceof AttentionError &&
    error.name === 'AttentionError' &&
    error.code === code &&
    pattern.test(error.message);
