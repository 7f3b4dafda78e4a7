// SPDX-License-Identifier: Apache-2.0
/** Times contestants in turns, so that a machine that slows down slows them all. */

const WARM_UP_MS = 200; // enough for the engines to bring their best code
const SAMPLE_MS = 5; // shorter calls are timed several at once
const FEW_ROUNDS = 3;

/** Milliseconds per call and the last result; waits where a call is asynchronous. */
async function time(run, calls) {
  const start = performance.now();
  let result;
  for (let call = 0; call < calls; call++) {
    result = run();
    if (result instanceof Promise) result = await result;
  }
  return { milliseconds: (performance.now() - start) / calls, result };
}

/**
 * Calls until the engine has had time to bring its best code; those that take longer are called once.
 * @returns {Promise<{ milliseconds: number, result: unknown }>} of the last calls
 */
export async function warmUp(run) {
  const end = performance.now() + WARM_UP_MS;
  let calls = 1;
  for (;;) {
    const timed = await time(run, calls);
    if (performance.now() >= end) return timed;
    if (timed.milliseconds * calls < SAMPLE_MS / 2) calls *= 2; // clocks of browsers are coarse
  }
}

const median = (numbers) => {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

/** The middle and the extremes of a contestant's samples. */
export function summarize(samples) {
  const taken = samples.filter((sample) => sample !== undefined);
  return { median: median(taken), min: Math.min(...taken), max: Math.max(...taken), rounds: taken.length };
}

/** Samples of one contestant over those of another: the median of the rounds' own ratios, or where few, of all. */
export function ratio(samples, others) {
  const ratios = samples.map((sample, round) => sample / others[round]).filter((value) => value > 0);
  return ratios.length >= FEW_ROUNDS ? median(ratios) : summarize(samples).median / summarize(others).median;
}

/**
 * @param {{ run: () => unknown, milliseconds: number }[]} contestants one call of each, and what it took once warm
 * @param {{ rounds: number, budget: number }} options a contestant gets at most `rounds` samples, and fewer, but two,
 * where they would take longer than `budget` milliseconds; where one would, it is not asked again
 * @returns {Promise<(number | undefined)[][]>} of each contestant, milliseconds a call in every round; undefined in
 * those it sat out
 */
export async function measure(contestants, { rounds, budget }) {
  const entries = contestants.map(({ run, milliseconds }) => {
    const turns = milliseconds > budget ? 0 : Math.min(rounds, Math.max(2, Math.floor(budget / milliseconds)));
    const samples = new Array(rounds).fill(undefined);
    if (turns === 0) samples[0] = milliseconds;
    return { run, turns, calls: Math.ceil(SAMPLE_MS / milliseconds), samples };
  });
  for (let round = 0; round < rounds; round++) {
    for (const { run, turns, calls, samples } of entries) {
      const isDue = Math.floor((round * turns) / rounds) < Math.floor(((round + 1) * turns) / rounds); // evenly spread
      if (!isDue) continue;
      if (calls > 1) await time(run, 1); // others have filled the caches since
      samples[round] = (await time(run, calls)).milliseconds;
    }
  }
  return entries.map(({ samples }) => samples);
}
