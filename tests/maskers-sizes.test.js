// SPDX-License-Identifier: Apache-2.0

/** Maskers at the ends of what is legal: no keys, no queries, no heads, no batch, one key, nothing finite. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createAttention, maskers } from '../js/index.js';

const tensor = (dims, f = Math.sin) => ({ dims, data: Float32Array.from({ length: dims.reduce((a, b) => a * b) }, (_, i) => f(i)) });
const usual = { queries: tensor([1, 4, 1, 16]), keys: tensor([1, 2, 64, 16], Math.cos), values: tensor([1, 2, 64, 16]) };
const problems = {
  'no keys': { keys: tensor([1, 2, 0, 16]), values: tensor([1, 2, 0, 16]) },
  'one key': { keys: tensor([1, 2, 1, 16]), values: tensor([1, 2, 1, 16]) },
  'no queries': { queries: tensor([1, 4, 0, 16]) },
  'no heads': { queries: tensor([1, 0, 1, 16]), keys: tensor([1, 0, 64, 16]), values: tensor([1, 0, 64, 16]) },
  'no batch': { queries: tensor([0, 4, 1, 16]), keys: tensor([0, 2, 64, 16]), values: tensor([0, 2, 64, 16]) },
  'keys that are NaN': { keys: tensor([1, 2, 64, 16], () => NaN) },
  'queries that are infinite': { queries: tensor([1, 4, 1, 16], () => Infinity) },
};
const pipelines = [
  maskers.sink({ size: 2 }),
  maskers.local({ size: 4 }),
  maskers.causal(),
  maskers.oracleTopK({ heavySize: 8 }),
  maskers.oracleTopP({ topP: 0.8 }),
  maskers.groupTopK({ heavySize: 8 }),
  maskers.quest({ heavySize: 16, pageSize: 4 }),
  maskers.pqCache({ heavySize: 8, bits: 3 }),
  maskers.socket({ heavySize: 8 }),
  maskers.randomSampling({ rate: 0.3, seed: 1 }),
  maskers.adaptiveSampling({ baseRate: 0.1, epsilon: 0.2, delta: 0.1, seed: 1 }),
  maskers.importanceSampling({ draws: 8, bits: 3, seed: 1 }),
  maskers.magicPig({ tables: 4, bits: 4, seed: 1 }),
];

test('every masker takes every legal size, and the next call works', async () => {
  const attention = await createAttention({ variant: 'base' });
  for (const masker of pipelines) {
    for (const [name, change] of Object.entries(problems)) {
      using(attention, masker, (sparse) => {
        const problem = { ...usual, ...change };
        const { output } = sparse.forward(problem);
        const [batch, heads, queries] = problem.queries.dims;
        assert.deepEqual(output.dims, [batch, queries, heads, 16], `${masker.name}, ${name}`);
        if (!/NaN|infinite/.test(name)) assert.ok(output.data.every(Number.isFinite), `${masker.name}, ${name}`);
      });
      using(attention, masker, (sparse) => assert.ok(sparse.forward(usual).output.data.every(Number.isFinite)));
    }
  }
  attention.dispose();
});

function using(attention, masker, use) {
  const sparse = attention.createSparseAttention([masker]);
  try {
    use(sparse);
  } finally {
    sparse.dispose();
  }
}
