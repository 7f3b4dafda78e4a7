// SPDX-License-Identifier: Apache-2.0
/**
 * @file agreement.js - whether everything that one problem can be asked for agrees with the double-precision oracle,
 * under the bound of differential.test.js.
 */
import { attend } from './oracle.js';
import { compare, inputs, sizes } from './support.js';

const stages = ['raw', 'softcapped', 'biased'];

/** Everything that a problem's results are to be compared in; empty where all is well. */
export function check(attention, options, random, errors) {
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
