// SPDX-License-Identifier: Apache-2.0
/** @file calls.js - small things that tests of single calls share. */
import assert from 'node:assert/strict';
import { after, before } from 'node:test';

import { AttentionError, createAttention } from '../js/index.js';
import { Random, tensor } from './random.js';
import { differsAt } from './support.js';
import { variants } from './variants.js';

/** An engine of the variant whose bits are the same everywhere. */
export const engine = (options) => createAttention({ variant: 'base', ...options });

/** An engine of each variant, by name: there while the tests of a file run. */
export function enginesByVariant() {
  const engines = new Map();
  before(async () => {
    for (const variant of variants) engines.set(variant, await createAttention({ variant }));
  });
  after(() => engines.forEach((attention) => attention.dispose()));
  return engines;
}

/** Does it as this engine inflates, and again as engines without zlib do. */
export async function withEachInflater(use) {
  await use();
  const { getBuiltinModule } = process;
  process.getBuiltinModule = undefined;
  try {
    await use();
  } finally {
    process.getBuiltinModule = getBuiltinModule;
  }
}

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
