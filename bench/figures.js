// SPDX-License-Identifier: Apache-2.0
/** From the samples of a row to the figures that are reported. */
import { ratio, summarize } from './measure.js';

const rate = (amount, milliseconds) => amount / milliseconds / 1e6; // billions a second

/** Milliseconds that the work would take at the limits, in each round: multiplying or reading, whichever takes longer. */
function timesAtLimit({ flops, bytes }, multiply, read) {
  return multiply.samples.map((time, round) =>
    Math.max((flops / multiply.flops) * time, (bytes / read.bytes) * read.samples[round]));
}

/** Milliseconds that the work would take at the mean rate of others, in each round. */
function timesAtMeanRate({ flops }, others) {
  return others[0].samples.map((_, round) => {
    const rates = others.map(({ work, samples }) => work.flops / samples[round]);
    return (flops * rates.length) / rates.reduce((a, b) => a + b);
  });
}

/**
 * @param {object} entry a case: `item` of rows.js, its `work`, `contestants` and `limits`, all of them with `samples`
 * @param {object[]} entries all cases of the row
 * @returns name, work, limits in billions a second, and the figures of each contestant
 */
export function describeCase({ item, work, contestants, limits }, entries) {
  const samplesOf = (caseName, contestant) => {
    const entry = entries.find((other) => other.item.name === caseName);
    const { samples } = entry.contestants.find(({ name }) => name === contestant) ?? {};
    return samples && { work: entry.work, samples };
  };
  const { time, rate: neighbours } = item.relativeTo ?? {};
  const figures = ({ name, samples, grownBytes }) => {
    const over = (other) => other && ratio(samples, other.samples);
    const summary = summarize(samples);
    return [name, {
      ...summary,
      gflops: rate(work.flops, summary.median),
      overBase: over(samplesOf(item.name, 'base')),
      overRelaxed: over(samplesOf(item.name, 'relaxed')),
      ofLimit: limits[name] && ratio(timesAtLimit(work, limits[name], limits.read), samples),
      relativeTime: time && over(samplesOf(time, name)),
      relativeRate: neighbours && ratio(timesAtMeanRate(work, neighbours.map((other) => samplesOf(other, name))), samples),
      grownBytes,
    }];
  };
  const limitRate = ([name, { flops, bytes, samples }]) => [name, rate(flops ?? bytes, summarize(samples).median)];
  return {
    name: item.name,
    ...work,
    limits: Object.fromEntries(Object.entries(limits).map(limitRate)),
    contestants: Object.fromEntries(contestants.map(figures)),
  };
}
