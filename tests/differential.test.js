// SPDX-License-Identifier: Apache-2.0
// Thousands of random problems per run against the double-precision oracle. Every problem must stay within
// 1.5 x the error of the naive float32 loop + 2^-22 max|v| (1 + max|logit|), and the largest error of a family within
// 1.5 x that of the naive loop. ATTN_SEED and ATTN_CASES choose other problems, and more or fewer of them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { createAttention } from '../js/index.js';
import { attend } from './oracle.js';
import { Random, cases, describe, families, seed } from './random.js';
import { compare, inputs, sizes } from './support.js';
import { variants } from './variants.js';

const stages = ['raw', 'softcapped', 'biased'];

/** Everything that a problem's results are to be compared in; empty where all is well. */
function check(attention, options, random, errors) {
  const exact = attend(options);
  const naive = attend(options, Math.fround);
  const call = inputs(options);
  const failures = [];
  const compareAll = (results, names, truth, loop) => {
    for (const name of names) {
      const result = results[name.startsWith('scores.') ? 'scores' : name];
      const found = compare(name, result.data, truth, loop, options);
      if (found.message) failures.push(found.message);
      if (name === 'output') {
        const note = (unit, factor) => {
          errors[unit].ours = Math.max(errors[unit].ours, found.ours * factor);
          errors[unit].naive = Math.max(errors[unit].naive, found.naive * factor);
        };
        note('relative', 1);
        if (truth.maxLogit < 1000) note('plain', 1 + truth.maxLogit); // beyond, a single problem would decide
      }
    }
  };

  // The output alone, and with everything else: two paths, one result.
  const stage = random.pick(stages);
  const plain = attention.getMaskedAttentionOutput(call);
  compareAll(plain, ['output'], exact, naive);
  const full = attention.getMaskedAttentionOutput({
    ...call,
    returnAttentionWeights: true,
    returnLogSumExp: true,
    returnDropoutMask: true,
    returnScores: stage,
  });
  compareAll(full, ['output', 'weights', 'logSumExp', `scores.${stage}`], exact, naive);
  if (Buffer.compare(Buffer.from(full.dropoutMask.data), Buffer.from(exact.dropoutMask)) !== 0)
    failures.push('dropoutMask differs');

  const { batch, heads, queryLength, keyLength, valueDim } = sizes(options);
  const outputDims =
    options.outputLayout === 'bhsd' ? [batch, heads, queryLength, valueDim] : [batch, queryLength, heads, valueDim];
  const dims = {
    output: outputDims,
    weights: [batch, heads, queryLength, keyLength],
    scores: [batch, heads, queryLength, keyLength],
    dropoutMask: [batch, heads, queryLength, keyLength],
    logSumExp: [batch, heads, queryLength],
  };
  for (const [name, expected] of Object.entries(dims))
    if (String(full[name].dims) !== String(expected))
      failures.push(`${name}: dims ${full[name].dims}, expected ${expected}`);

  if (random.chance(0.5)) {
    // Partials know nothing of sinks, empty rows and layouts of the output: those belong to the finish.
    const rowMaxOver = random.pick([undefined, 'kept', 'allowed']);
    const { sinks, emptyRows, outputLayout, ...rest } = call;
    const bare = { ...options, sinks: undefined, rowMaxOver };
    const truth = attend(bare);
    const loop = attend(bare, Math.fround);
    const partials = attention.getAttentionPartials({ ...rest, rowMaxOver });
    compareAll(partials, ['numerator', 'denominator', 'rowMax'], truth, loop);
    if (rowMaxOver !== 'allowed') {
      // there, everything kept may underflow
      const finished = attention.finishPartials(partials, { sinks, emptyRows, outputLayout });
      const finish = { ...exact, logSumExp: exact.rowMax.map((max, row) => max + Math.log(exact.denominator[row])) };
      const loopFinish = {
        ...naive,
        logSumExp: naive.rowMax.map((max, row) => max + Math.log(naive.denominator[row])),
      };
      compareAll(finished, ['output', 'logSumExp'], finish, loopFinish);
    }
  }
  return failures;
}

for (const variant of variants) {
  let attention;
  before(async () => {
    attention = await createAttention({ variant });
  });
  after(() => attention.dispose());

  Object.entries(families).forEach(([name, draw], family) => {
    const count = variant === 'base' ? cases : Math.ceil(cases / 4);
    test(`${variant}: ${count} random problems, ${name} (ATTN_SEED=${seed})`, (t) => {
      // In units of the largest value alone, and of the bound's (1 + the largest logit) as well, where the cases with
      // large logits do not hide the others.
      const errors = { plain: { ours: 0, naive: 0 }, relative: { ours: 0, naive: 0 } };
      for (let n = 0; n < count; n++) {
        const options = draw(new Random(seed, family, n));
        let failures;
        try {
          failures = check(attention, options, new Random(seed, family, n, 1), errors);
        } catch (error) {
          failures = [error.stack];
        }
        assert.deepEqual(failures, [], `problem ${n} of family ${name}: ${describe(options)}`);
      }
      for (const [unit, { ours, naive }] of Object.entries(errors)) {
        t.diagnostic(`largest ${unit} error ${ours.toExponential(2)}, naive float32 loop ${naive.toExponential(2)}`);
        if (count >= 1000 && !(unit === 'plain' && name === 'magnitudes'))
          assert.ok(ours <= 1.5 * naive, `largest ${unit} error ${ours} over 1.5 x the naive loop's ${naive}`);
      }
    });
  });
}
