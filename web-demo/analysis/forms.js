// SPDX-License-Identifier: Apache-2.0
/** The maskers as a page offers them: what they are called, their sliders for a problem, and what else they need. */
import { calibrateChannels } from '../../js/index.js';
import { givenMask } from './given.js';

const HASH_BITS = 32;
const SEED = 1;

/**
 * @typedef {object} Slider
 * @property {string} name the masker's option
 * @property {string} label
 * @property {'keys' | 'number' | 'integer' | 'seed' | 'choice'} kind keys is a count of keys
 * @property {number} min
 * @property {number} max
 * @property {number} step
 * @property {boolean} [log] whether equal steps of the slider are equal factors
 * @property {(number | boolean | string)[]} [choices] of a choice
 * @property {number | boolean | string} default
 */

/**
 * @typedef {object} Form
 * @property {string} label
 * @property {string} text what it keeps, in a line
 * @property {string} [size] the option that says how much it keeps
 * @property {boolean} isFixed whether it looks at no keys, so that it works at any size
 * @property {boolean} samples whether it draws keys; a pipeline has one such masker at most
 * @property {(sizes: import('./problem.js').Sizes) => Slider[]} sliders
 * @property {string} [data] an option that is made of the problem's queries and keys where it is not given
 * @property {(problem: object, batch?: number) => object} others that option, of one batch where that is given
 */

const keysSlider =
  (name, label, part) =>
  ({ keys }) => ({
    name,
    label,
    kind: 'keys',
    min: 1,
    max: Math.max(1, keys),
    step: 1,
    log: true,
    default: Math.max(1, Math.min(keys, Math.round(keys * part))),
  });
const integer = (name, label, min, max, value, more) => () => ({
  name,
  label,
  kind: 'integer',
  min,
  max,
  step: 1,
  default: value,
  ...more,
});
const number = (name, label, min, max, step, value, more) => () => ({
  name,
  label,
  kind: 'number',
  min,
  max,
  step,
  default: value,
  ...more,
});
const choice = (name, label, choicesOf, defaultOf) => (sizes) => {
  const choices = choicesOf(sizes);
  return {
    name,
    label,
    kind: 'choice',
    min: 0,
    max: choices.length - 1,
    step: 1,
    choices,
    default: defaultOf(choices, sizes),
  };
};
const seed = () => ({ name: 'seed', label: 'Seed', kind: 'seed', min: 0, max: 2 ** 31 - 1, step: 1, default: SEED });
const heavySize = keysSlider('heavySize', 'Keys', 1 / 8);

/** Keys that neighbours share a page with: few where there are few. */
function defaultPage({ keys }) {
  return Math.max(1, Math.min(16, 2 ** Math.floor(Math.log2(Math.max(1, keys / 8)))));
}

const pageSize = (sizes) => ({
  name: 'pageSize',
  label: 'Keys of a page',
  kind: 'integer',
  min: 1,
  max: Math.max(1, Math.min(256, sizes.keys)),
  step: 1,
  log: true,
  default: defaultPage(sizes),
});

const divisors = ({ dim }) => Array.from({ length: dim }, (_, n) => n + 1).filter((n) => dim % n === 0);
const groupFactor = choice(
  'groupFactor',
  'Channels of a sub-vector',
  divisors,
  (choices) => choices.findLast((n) => n <= 8) ?? 1,
);
const replacement = choice(
  'replacement',
  'Drawn again',
  () => [false, true],
  () => false,
);

function form(label, text, size, sliders, more = {}) {
  return Object.freeze({
    label,
    text,
    size,
    data: undefined,
    isFixed: false,
    samples: false,
    others: () => ({}),
    ...more,
    sliders: (sizes) => sliders.map((slider) => slider(sizes)),
  });
}

/** @type {Readonly<Record<string, Form>>} by the names of the maskers, in the order of a menu */
export const MASKER_FORMS = Object.freeze({
  given: form('Mask of the data', 'what the mask keeps that the data bring along', undefined, [], {
    isFixed: true,
    data: 'mask',
    others: (problem, batch) => ({ mask: givenMask(problem, batch) }),
  }),
  sink: form('Attention sinks', 'the first keys', 'size', [keysSlider('size', 'First keys', 1 / 16)], {
    isFixed: true,
  }),
  local: form('Sliding window', 'the last keys up to the query', 'size', [keysSlider('size', 'Last keys', 1 / 4)], {
    isFixed: true,
  }),
  causal: form('Causal order', 'of what is kept, keys up to the query', undefined, [], { isFixed: true }),
  oracleTopK: form('Exact top-k', 'the largest logits', 'heavySize', [heavySize]),
  oracleTopP: form('Exact top-p', 'the fewest keys that have this part of the attention', 'topP', [
    number('topP', 'Part of the attention', 0.01, 1, 0.01, 0.9),
  ]),
  groupTopK: form('Top-k of a group', 'the largest for all heads that share keys', 'heavySize', [heavySize]),
  quest: form('Quest', 'whole pages, by a bound of their logits', 'heavySize', [heavySize, pageSize]),
  doubleSparsity: form(
    'Double Sparsity',
    'the largest over few channels',
    'heavySize',
    [
      heavySize,
      ({ dim }) => integer('groupFactor', 'Of so many channels one', 1, dim, Math.max(1, Math.floor(dim / 4)))(),
      integer('labelBits', 'Bits of a channel', 1, 16, 4),
    ],
    { data: 'channels', others: ({ queries, keys }) => ({ channels: calibrateChannels({ queries, keys }) }) },
  ),
  hashAttention: form('HashAttention', 'the nearest codes, of random planes', 'heavySize', [heavySize], {
    data: 'weights',
    others: (problem) => ({ weights: { 0: randomPlanes(problem) } }),
  }),
  pqCache: form('PQCache', 'the largest logits of quantised keys', 'heavySize', [
    heavySize,
    groupFactor,
    integer('bits', 'Bits of a code', 1, 8, 4),
    seed,
  ]),
  socket: form('SOCKET', 'the likeliest to fall where the query does', 'heavySize', [
    heavySize,
    integer('bits', 'Planes of a table', 1, 8, 6),
    integer('tables', 'Tables', 1, 256, 16, { log: true }),
    number('temperature', 'Temperature', 0.05, 2, 0.05, 0.3),
    seed,
  ]),
  randomSampling: form(
    'Random sampling',
    'keys drawn at random, all alike',
    'rate',
    [number('rate', 'Part of the keys', 0.01, 1, 0.01, 0.25, { log: true }), replacement, seed],
    { samples: true },
  ),
  adaptiveSampling: form(
    'Adaptive sampling',
    'as many draws as a promise about the sum takes (vAttention)',
    'epsilon',
    [
      number('epsilon', 'Relative error', 0.01, 0.99, 0.01, 0.2, { log: true }),
      number('delta', 'Probability of more', 0.01, 0.99, 0.01, 0.1, { log: true }),
      number('baseRate', 'Part looked at first', 0.01, 0.9, 0.01, 0.1, { log: true }),
      replacement,
      seed,
    ],
    { samples: true },
  ),
  importanceSampling: form(
    'Importance sampling',
    'keys drawn by the attention that quantised ones get',
    'draws',
    [keysSlider('draws', 'Draws', 1 / 8), groupFactor, integer('bits', 'Bits of a code', 1, 8, 4), seed],
    { samples: true },
  ),
  magicPig: form(
    'MagicPIG',
    'keys that share a hash with the query',
    'tables',
    [integer('tables', 'Tables', 1, 256, 16, { log: true }), integer('bits', 'Planes of a table', 1, 16, 5), seed],
    { samples: true },
  ),
});

/** A masker of that name as JSON, with its defaults for a problem. @param {import('./problem.js').Sizes} sizes */
export function defaultMasker(name, sizes) {
  return {
    name,
    ...Object.fromEntries(MASKER_FORMS[name].sliders(sizes).map((slider) => [slider.name, slider.default])),
  };
}

/** Networks of one layer of random weights, the same for queries and keys: hashAttention without training. */
function randomPlanes({ queries: { dims } }) {
  const [, heads, , dim] = dims;
  let state = SEED;
  const next = () => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) + 0.5) / 2 ** 32;
  const normal = () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
  const matrix = [
    { data: Float32Array.from({ length: heads * dim * HASH_BITS }, normal), dims: [heads, dim, HASH_BITS] },
  ];
  const bias = [{ data: new Float32Array(heads * HASH_BITS), dims: [heads, HASH_BITS] }];
  return { query_matrix: matrix, query_bias: bias, key_matrix: matrix, key_bias: bias };
}
