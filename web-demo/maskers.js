// SPDX-License-Identifier: Apache-2.0
/** Maskers side by side on a layer of the sample: what each loses where a step looks at so many others. */
import { calibrateChannels, maskers } from '../js/index.js';

const CHANNELS = 3; // that double sparsity looks at
const SEED = 1;

/**
 * Their names on the page, the parameter that says how many keys a step looks at, what it is for so many of `steps`,
 * and what else the masker takes.
 */
export const MASKERS = {
  oracleTopK: { label: 'Exact top-k', parameter: 'heavySize' },
  local: { label: 'The last steps', parameter: 'size' },
  quest: { label: 'Quest, pages of 4', parameter: 'heavySize', others: () => ({ pageSize: 4 }) },
  doubleSparsity: {
    label: `Double Sparsity, ${CHANNELS} channels`,
    parameter: 'heavySize',
    others: ({ queries, keys }) => ({
      channels: calibrateChannels({ queries, keys }),
      groupFactor: Math.floor(keys.dims[3] / CHANNELS),
    }),
  },
  pqCache: {
    label: 'PQCache, 16 centroids',
    parameter: 'heavySize',
    others: ({ keys }) => ({ groupFactor: leastDivisor(keys.dims[3]), bits: 4 }),
  },
  socket: { label: 'SOCKET, 16 tables', parameter: 'heavySize', others: () => ({ bits: 6, tables: 16, seed: SEED }) },
  importanceSampling: {
    label: 'Drawn by importance',
    parameter: 'draws',
    others: ({ keys }) => ({ groupFactor: leastDivisor(keys.dims[3]), bits: 4, seed: SEED }),
  },
  randomSampling: {
    label: 'Drawn at random',
    parameter: 'rate',
    of: (count, steps) => count / steps,
    others: () => ({ seed: SEED }),
  },
};

/** Metrics of one masker that keeps `count` keys for each step. */
export function compareMasker(engine, problem, name, count) {
  const [metrics] = engine.compare(problem, [[make(problem, name, count)]]);
  return metrics;
}

/** The same for one key, two, four ... up to all. */
export function sweepMasker(engine, problem, name) {
  const { parameter, of = (count) => count } = MASKERS[name];
  const steps = stepsOf(problem);
  const counts = Array.from({ length: Math.ceil(Math.log2(steps)) }, (_, n) => 2 ** n).concat(steps);
  return engine.sweep(problem, make(problem, name, 1), parameter, counts.map((count) => of(count, steps)));
}

function make(problem, name, count) {
  const { parameter, of = (keys) => keys, others = () => ({}) } = MASKERS[name];
  return maskers[name]({ [parameter]: of(count, stepsOf(problem)), ...others(problem) });
}

function stepsOf({ keys }) {
  return keys.dims[2];
}

function leastDivisor(size) {
  for (let divisor = 2; divisor < size; divisor++) if (size % divisor === 0) return divisor;
  return size;
}
