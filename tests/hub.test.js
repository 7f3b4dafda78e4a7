// SPDX-License-Identifier: Apache-2.0
// Maskers that draw nothing, against the masks, outputs and weights of the original research code. That attention agrees
// with it for a given mask is tested in conformance.test.js.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Mask, createAttention, maskers } from '../js/index.js';
import * as conformance from './conformance.js';
import { buildMask, inputs } from './support.js';
import { variants } from './variants.js';

const make = {
  sink: (size) => maskers.sink({ size }),
  local: (size) => maskers.local({ size }),
  topk: (heavySize) => maskers.oracleTopK({ heavySize }),
  topp: (topP) => maskers.oracleTopP({ topP }),
  quest: ([heavySize, pageSize]) => maskers.quest({ heavySize, pageSize }),
};

const all = conformance.sparseHub();
const cases = all.filter(({ steps }) => steps.every(({ masker }) => make[masker]));

const shapeOf = ({ steps }) => steps.at(-1).mask.shape;

/** The original's window is everything where there are few keys; ours is a window, and goes on from what is given. */
function isQuirk({ masker, argument }, [, , queries, keys]) {
  const size = argument < 1 ? Math.floor(argument * keys) : argument;
  return masker === 'local' && keys <= size + queries && keys > size;
}

/** The first entry, of those that the attention mask allows, at which a mask is not the expected one. */
function differenceAt(mask, expected, attentionMask) {
  const [batch, heads, queries, keys] = expected.shape;
  const wanted = expected.flag ? undefined : expected.weights;
  const isAllowed = (b, h, i, j) => {
    if (!attentionMask) return true;
    const [ownBatch, ownHeads, ownQueries, ownKeys] = attentionMask.dims;
    const at = [b % ownBatch, h % ownHeads, i % ownQueries, j]; // each as many as the mask's, or 1
    return attentionMask.data[((at[0] * ownHeads + at[1]) * ownQueries + at[2]) * ownKeys + at[3]] > -1e30;
  };
  for (let b = 0, n = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < queries; i++) {
        for (let j = 0; j < keys; j++, n++) {
          if (!isAllowed(b, h, i, j)) continue;
          const own = mask.get(b % mask.shape[0], Math.floor((h * mask.shape[1]) / heads), i, j);
          const want = wanted ? wanted[n] : expected.flag === 'full' ? 1 : 0;
          if (own !== want) return `[${b}, ${h}, ${i}, ${j}]: ${own}, expected ${want}`;
        }
      }
    }
  }
  return undefined;
}

/** The inputs of a case without its mask. */
function problemOf({ options }) {
  const { sparseAttentionMask, maskWeighting, ...rest } = options;
  assert.equal(maskWeighting, 'inverse');
  return inputs(rest);
}

if (all.length === 0) {
  test('masks of the original research code', (t) => {
    assert.ok(!conformance.required, conformance.absent);
    t.skip(conformance.absent);
  });
}

for (const variant of all.length === 0 ? [] : variants) {
  let attention;
  before(async () => {
    attention = await createAttention({ variant });
  });
  after(() => attention.dispose());

  test(`${variant}: each masker by itself, after the masks of those before it`, (t) => {
    const failures = [];
    let compared = 0;
    let quirks = 0;
    for (const c of all) {
      const problem = problemOf(c);
      const shape = shapeOf(c);
      c.steps.forEach((step, n) => {
        const previous = n === 0 ? { shape, flag: 'empty' } : c.steps[n - 1].mask;
        if (!make[step.masker] || !step.mask || !previous) return;
        if (isQuirk(step, shape)) return void quirks++;
        const sparse = attention.createSparseAttention([make[step.masker](step.argument)]);
        const mask = sparse.buildMask({ ...problem, sparseAttentionMask: buildMask(previous) });
        const message = differenceAt(mask, step.mask, problem.attentionMask);
        if (message) failures.push(`${c.name}, step ${n} (${step.masker} ${step.argument}): ${message}`);
        sparse.dispose();
        compared++;
      });
    }
    assert.deepEqual(failures, []);
    assert.ok(compared > 80 || !conformance.folder, `${compared} steps`);
    t.diagnostic(`${compared} masks; of ${quirks} the original's window is not one, which is not copied`);
  });

  test(`${variant}: whole pipelines, their masks, outputs and weights`, (t) => {
    const failures = [];
    for (const c of cases) {
      const problem = problemOf(c);
      const shape = shapeOf(c);
      const quirk = c.steps.findLastIndex((step) => isQuirk(step, shape)); // what comes before it does not matter
      const own = c.steps.slice(quirk + 1).map(({ masker, argument }) => make[masker](argument));
      const sparse = attention.createSparseAttention(own);
      const { mask, output, weights } = sparse.forward({
        ...problem,
        sparseAttentionMask: quirk < 0 ? undefined : Mask.full(shape),
        maskWeighting: 'inverse',
        returnAttentionWeights: true,
      });
      const message = differenceAt(mask, c.steps.at(-1).mask, problem.attentionMask);
      if (message) failures.push(`${c.name}: mask ${message}`);
      for (const expectation of c.expected) {
        const { what } = expectation;
        const wrong = conformance.disagreement(expectation, (what === 'output' ? output : weights).data);
        if (wrong) failures.push(`${c.name}: ${wrong}`);
      }
      sparse.dispose();
    }
    assert.deepEqual(failures, []);
    assert.ok(cases.length > 60 || !conformance.folder, `${cases.length} cases`);
    t.diagnostic(`${cases.length} pipelines`);
  });
}
