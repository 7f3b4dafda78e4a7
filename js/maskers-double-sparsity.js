// SPDX-License-Identifier: Apache-2.0

import { MaskerKind } from './abi.js';
import { checkChoice, rangeError, typeError } from './checks.js';
import { checkCount, checkSize, orElse, sizeOf } from './masker-options.js';
import { coreMaskerFactory } from './masker.js';

const LISTS = 'a list of channels per query head, or an object of such lists by layer';
const PROJECTIONS = ['qk_proj', 'q_proj', 'k_proj'];
const MAX_UINT32 = 2 ** 32 - 1;

/** Largest products over a few channels (Yang et al., "Double Sparsity", 2024): src/double_sparsity.c. */
export const doubleSparsity = coreMaskerFactory(
  'doubleSparsity',
  ['heavySize', 'channels', 'layer', 'channelSelection', 'groupFactor', 'labelBits'],
  (options) => {
    const heavySize = checkSize(options.heavySize, 'heavySize');
    const layer = checkCount(orElse(options.layer, 0), 'layer', 0);
    const selection = checkChoice(options.channelSelection, 'channelSelection', PROJECTIONS);
    const groupFactor = checkCount(orElse(options.groupFactor, 16), 'groupFactor');
    const bits = checkCount(orElse(options.labelBits, 4), 'labelBits', 1, 16);
    const { lists, name } = readChannels(options.channels, channelsName(layer, selection));
    return ({ heads, dim, keyLength }) => {
      const channelCount = Math.floor(dim / groupFactor);
      if (channelCount === 0) throw rangeError('groupFactor', `an integer in 1..${dim}, the dim of keys`, groupFactor);
      checkFits(lists, name, heads, dim, channelCount);
      const kept = () => Uint32Array.from(lists.flatMap((list) => list.slice(0, channelCount)));
      return {
        kind: MaskerKind.DOUBLE_SPARSITY,
        count: sizeOf(heavySize, keyLength),
        bits,
        channels: (index) => index.table('channels', kept),
        channelCount,
      };
    };
  },
);

/** The name that a layer's lists have in files of channels. */
export function channelsName(layer, selection) {
  return `model.layers.${layer}.self_attn.${selection}`;
}

/** Copies of the lists of one layer, and how messages call them. */
function readChannels(channels, key) {
  if (typeof channels !== 'object' || channels === null) throw typeError('channels', LISTS, channels);
  const isLists = Array.isArray(channels);
  const lists = isLists ? channels : channels[key];
  const name = isLists ? 'channels' : `channels['${key}']`;
  if (lists === undefined) throw new RangeError(`${name}: there is no such entry`);
  if (!Array.isArray(lists)) throw typeError(name, 'a list of channels per query head', lists);
  // Array.from: holes are undefined, and refused
  return { lists: Array.from(lists, (list, head) => readList(list, `${name}[${head}]`)), name };
}

function readList(list, name) {
  if (!Array.isArray(list)) throw typeError(name, 'an array of channels', list);
  const seen = new Set();
  const own = Array.from(list);
  own.forEach((channel, n) => {
    checkCount(channel, `${name}[${n}]`, 0, MAX_UINT32);
    if (seen.has(channel)) throw rangeError(`${name}[${n}]`, 'channels without repetition', channel);
    seen.add(channel);
  });
  return own;
}

function checkFits(lists, name, heads, dim, channelCount) {
  if (lists.length !== heads) {
    throw new RangeError(`${name}: expected a list per query head (${heads}), got ${lists.length}`);
  }
  lists.forEach((list, head) => {
    const beyond = list.find((channel) => channel >= dim);
    if (beyond !== undefined) throw rangeError(`${name}[${head}]`, `channels below ${dim}, the dim of keys`, beyond);
    if (list.length >= channelCount) return;
    throw new RangeError(`${name}[${head}]: expected at least ${channelCount} channels, got ${list.length}`);
  });
}
