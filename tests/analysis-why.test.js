// SPDX-License-Identifier: Apache-2.0
/** @file analysis-why.test.js - why a cell is kept or dropped: against double precision, and in so many words. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { createAttention } from '../js/index.js';
import { sizesOf } from '../web-demo/analysis/problem.js';
import { buildMask } from '../web-demo/analysis/recipe.js';
import { explainCell } from '../web-demo/analysis/why.js';
import { drawProblem, drawRecipe, exact, weightsOf } from './analysis-problems.js';
import { cases, Random, seed } from './random.js';

const attention = await createAttention({ variant: 'base' });
const runs = Math.min(cases, 150);

const KEPT = ['dense', 'sink', 'window', 'causal', 'rank', 'page', 'drawn', 'predicate', 'user'];

test('weights, scores, and who keeps or drops a cell', (t) => {
  t.diagnostic(`seed ${seed}`);
  const kinds = new Set();
  for (let n = 0; n < runs; n++) {
    const random = new Random(seed, 950, n);
    const problem = drawProblem(random);
    const recipe = drawRecipe(random, problem);
    const size = sizesOf(problem);
    const built = buildMask(attention, problem, recipe);
    const { kept, allowed, dense, masked } = exact(problem, built.mask);
    const stages = built.stages.map(({ mask }) => weightsOf(mask, problem));
    for (let draw = 0; draw < 20; draw++) {
      const cell = {
        batch: random.integer(0, size.batch - 1),
        head: random.integer(0, size.heads - 1),
        query: random.integer(0, size.queries - 1),
        key: random.integer(0, size.keys - 1),
      };
      const row = (cell.batch * size.heads + cell.head) * size.queries + cell.query;
      const at = row * size.keys + cell.key;
      const where = `case ${n}: ${JSON.stringify(recipe)} at ${JSON.stringify(cell)}`;
      const found = explainCell(attention, problem, recipe, built, cell);
      const { kind, text, stage } = found.reason;
      kinds.add(`${found.kept ? '+' : '-'}${kind}`);
      assert.equal(found.kept, kept[at], where);
      for (const [name, expected] of [
        ['weight', masked.weights[at]],
        ['denseWeight', dense.weights[at]],
      ]) {
        assert.ok(Math.abs(found[name] - expected) < 1e-5, `${where}: ${name} ${found[name]}, expected ${expected}`);
      }
      const score = dense.scores.biased[at];
      assert.ok(
        found.score === score || Math.abs(found.score - score) < 1e-4,
        `${where}: ${found.score}, expected ${score}`,
      );
      assert.equal(KEPT.includes(kind) && found.kept, found.kept, where);
      assert.equal(kind === 'not-allowed', !allowed[at], where);
      assert.ok(text.length > 3, where);
      if (!allowed[at]) continue;
      if (found.kept && kind !== 'dense') {
        assert.ok(
          stages.slice(stage).every((weights) => weights[at] > 0),
          where,
        );
        assert.ok(stage === 0 || stages[stage - 1][at] === 0, where);
      }
      if (found.rank === undefined || built.stages[stage].masker.name === 'quest') continue;

      // The place among the keys that the masker could choose, by the logits or their mean over the group.
      const group = size.heads / size.keyHeads;
      const first = cell.batch * size.heads + Math.floor(cell.head / group) * group;
      const isGroup = built.stages[stage].masker.name === 'groupTopK';
      const scoreOf = (j) => {
        if (!isGroup) return dense.scores.biased[row * size.keys + j];
        const own = row * size.keys + j;
        let score = dense.scores.biased[own] - dense.scores.softcapped[own];
        for (let head = first; head < first + group; head++) {
          score += dense.scores.raw[(head * size.queries + cell.query) * size.keys + j] / group;
        }
        return score;
      };
      const open = (j) => allowed[row * size.keys + j] && (stage === 0 || stages[stage - 1][row * size.keys + j] === 0);
      const candidates = Array.from({ length: size.keys }, (_, j) => j).filter(open);
      const mine = scoreOf(cell.key);
      const better = candidates.filter((j) => scoreOf(j) > mine + 1e-5).length;
      const notWorse = candidates.filter((j) => scoreOf(j) > mine - 1e-5).length;
      assert.ok(found.rank > better && found.rank <= notWorse, `${where}: rank ${found.rank}, ${better}..${notWorse}`);
      const chosen = candidates.filter((j) => stages[stage][row * size.keys + j] > 0).length;
      assert.equal(found.of, chosen, where);
      const { name } = built.stages[stage].masker;
      if (['oracleTopK', 'oracleTopP', 'groupTopK'].includes(name)) {
        if (found.kept) assert.ok(better < found.of, where);
        else assert.ok(notWorse > found.of, where);
      }
    }
  }
  assert.ok(kinds.size >= 10, [...kinds].join()); // the sentences below have one of each
});

test('pages are ranked by their bound: those that Quest keeps come first', (t) => {
  t.diagnostic(`seed ${seed}`);
  for (let n = 0; n < 40; n++) {
    const random = new Random(seed, 951, n);
    const problem = drawProblem(random, { most: 60 });
    const size = sizesOf(problem);
    const pageSize = random.integer(1, 6);
    const recipe = { maskers: [{ name: 'quest', heavySize: random.integer(1, size.keys), pageSize }] };
    const built = buildMask(attention, problem, recipe);
    const cell = { batch: size.batch - 1, head: size.heads - 1, query: size.queries - 1 };
    const pages = new Map();
    for (let key = 0; key < size.keys; key++) {
      const { kept, reason, rank, of } = explainCell(attention, problem, recipe, built, { ...cell, key });
      if (reason.kind === 'not-allowed') continue;
      const page = Math.floor(key / pageSize);
      assert.equal(kept, rank <= of, `case ${n}, key ${key}: ${reason.text}`);
      assert.ok(
        reason.text.includes(
          `page ${page} of ${Math.ceil((problem.keyLengths?.[cell.batch] ?? size.keys) / pageSize)}`,
        ),
        reason.text,
      );
      assert.equal(pages.get(page) ?? rank, rank);
      pages.set(page, rank);
    }
    assert.deepEqual(
      [...pages.values()].sort((a, b) => a - b),
      Array.from(pages, (_, place) => place + 1),
      `case ${n}`,
    );
  }
});

/** Four keys of one channel, so that logits are 3, 1, 4, 2 times the query. */
function smallProblem(more = {}) {
  const column = (values) => ({ data: Float32Array.from(values), dims: [1, 1, values.length, 1] });
  return {
    queries: column([1, 1, 1, 1]),
    keys: column([3, 1, 4, 2]),
    values: column([1, 2, 3, 4]),
    scaling: 1,
    ...more,
  };
}

const sentences = [
  [[], {}, [3, 0], 'no sparse mask: every allowed pair is kept'],
  [[], { causal: true }, [1, 2], 'not allowed: causal order: the key comes after the query'],
  [[], { window: { left: 1 } }, [3, 0], 'not allowed: window: more than 1 keys before the query'],
  [[], { window: { right: 0 } }, [0, 3], 'not allowed: window: more than 0 keys after the query'],
  [[], { keyLengths: Int32Array.of(2) }, [3, 2], 'not allowed: key lengths: only the first 2 keys count'],
  [[], { attentionMask: { data: Uint8Array.of(1, 0, 1, 1), dims: [4] } }, [3, 1], 'not allowed: the attention mask'],
  [[{ name: 'sink', size: 2 }], {}, [3, 1], 'sink 2 of 2'],
  [[{ name: 'local', size: 3 }], {}, [3, 3], "window of 3 keys: the query's own key"],
  [[{ name: 'local', size: 3 }], {}, [3, 1], "window of 3 keys: 2 before the query's own key"],
  [[{ name: 'local', size: 0.5 }], {}, [3, 0], "outside of the window of 2 keys: 3 before the query's own key"],
  [
    [
      { name: 'sink', size: 1 },
      { name: 'local', size: 1 },
    ],
    {},
    [0, 3],
    'outside of the first 1 keys and the window of 1 keys: after the query',
  ],
  [[{ name: 'causal' }], {}, [3, 0], 'causal order: not after the query'],
  [[{ name: 'sink', size: 3 }, { name: 'causal' }], {}, [0, 2], 'causal order: after the query'],
  [[{ name: 'oracleTopK', heavySize: 2 }], {}, [3, 0], 'Exact top-k: rank 2 of 2 by logit'],
  [[{ name: 'oracleTopK', heavySize: 2 }], {}, [3, 1], 'Exact top-k: not chosen, rank 4 by logit, 2 kept'],
  [
    [
      { name: 'sink', size: 1 },
      { name: 'oracleTopK', heavySize: 1 },
    ],
    {},
    [3, 2],
    'Exact top-k: rank 1 of 1 by logit',
  ],
  [[{ name: 'oracleTopP', topP: 0.9 }], {}, [3, 0], 'Exact top-p: rank 2 of 3 with 90 % of the rest by logit'],
  [[{ name: 'groupTopK', heavySize: 1 }], {}, [3, 2], 'Top-k of a group: rank 1 of 1 by the sum over the group'],
  [
    [{ name: 'quest', heavySize: 3, pageSize: 1 }],
    {},
    [3, 3],
    'Quest: page 3 of 4 (keys 3-3), rank 3 by its bound, 3 pages kept',
  ],
  [
    [{ name: 'pqCache', heavySize: 1, groupFactor: 1, bits: 2 }],
    {},
    [3, 2],
    'PQCache: rank 1 by logit; 1 chosen by its own estimate',
  ],
  [[{ name: 'randomSampling', rate: 1, seed: 1 }], {}, [3, 2], 'Random sampling: kept for certain'],
];

for (const [maskers, more, [query, key], text] of sentences) {
  test(`in words: ${text}`, () => {
    const problem = smallProblem(more);
    const recipe = { maskers };
    const built = buildMask(attention, problem, recipe);
    assert.equal(explainCell(attention, problem, recipe, built, { head: 0, query, key }).reason.text, text);
  });
}

test('in words: predicates, edits and draws', () => {
  const problem = smallProblem();
  const textOf = (recipe, query, key) => {
    return explainCell(attention, problem, recipe, buildMask(attention, problem, recipe), { head: 0, query, key })
      .reason.text;
  };
  const predicate = { maskers: [], predicate: 'q - k < 2' };
  assert.equal(textOf(predicate, 3, 2), 'predicate: q - k < 2');
  assert.equal(textOf(predicate, 3, 0), 'the predicate does not hold: q - k < 2');
  const edits = [
    { rows: [3, 4], columns: [0, 1], keep: true },
    { rows: [3, 4], columns: [3, 4], keep: false },
  ];
  const edited = { maskers: [{ name: 'local', size: 2 }], edits };
  assert.deepEqual([textOf(edited, 3, 0), textOf(edited, 3, 3)], ['drawn by hand', 'erased by hand']);
  assert.equal(textOf(edited, 3, 2), "window of 2 keys: 1 before the query's own key");
  const sampled = { maskers: [{ name: 'randomSampling', rate: 0.5, seed: 1 }] };
  const texts = [0, 1, 2, 3].map((key) => textOf(sampled, 3, key)).sort();
  const [drawn, not] = ['Random sampling: drawn with probability 0.5', 'Random sampling: not drawn'];
  assert.deepEqual(texts, [drawn, drawn, not, not]);
});

test('cells that there are not are refused', () => {
  const problem = smallProblem();
  const built = buildMask(attention, problem, { maskers: [] });
  for (const [name, value] of [
    ['key', 4],
    ['query', -1],
    ['head', 1],
    ['batch', 1],
    ['key', 0.5],
    ['key', undefined],
  ]) {
    const cell = { head: 0, query: 0, key: 0, [name]: value };
    if (name === 'key' || value !== undefined) {
      assert.throws(
        () => explainCell(attention, problem, { maskers: [] }, built, cell),
        new RegExp(`^RangeError: ${name}: `),
      );
    }
  }
});
