// SPDX-License-Identifier: Apache-2.0

/** What an array is, by its name: `q.npy`, `layers.3.self_attn.k_proj`, `block1.values`, `attention_mask`. */

const TENSOR_WORDS = new Map([
  ...['q', 'query', 'queries'].map((word) => [word, 'queries']),
  ...['k', 'key', 'keys'].map((word) => [word, 'keys']),
  ...['v', 'value', 'values'].map((word) => [word, 'values']),
]);
const MASK_WORDS = new Set(['mask', 'masks']);
const TOKEN_WORDS = new Set(['token', 'tokens']);
const WEIGHT_WORDS = new Set([
  'weights', 'attn', 'attns', 'attention', 'attentions', 'probs', 'probabilities', 'softmax',
]);
const OTHER_WORDS = new Set([
  'out', 'output', 'outputs', 'o', 'scores', 'logits', 'hidden', 'dropout', 'length', 'lengths', 'positions',
]);
const PARAMETER_ENDINGS = new Set(['weight', 'bias']);

/**
 * @typedef {'queries' | 'keys' | 'values' | 'attentionMask' | 'sparseMask' | 'weights' | 'tokens' | 'parameters'} Role
 * @param {string} name of an array, or of a file without its ending
 * @returns {{ role: Role | undefined, words: string[], numbers: number[] }} the other words of the name and the numbers
 *   in it, which tell one layer from another; 'parameters' are those of a model, which are not what attention is
 *   computed from; undefined is none of these
 */
export function readName(name) {
  const parts = name.replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase().match(/[a-z]+|\d+/g) ?? [];
  const words = parts.filter((part) => !/\d/.test(part));
  return {
    role: roleOf(words),
    words: words.filter((word) => !TENSOR_WORDS.has(word) && !MASK_WORDS.has(word) && !WEIGHT_WORDS.has(word)),
    numbers: parts.filter((part) => /\d/.test(part)).map(Number),
  };
}

function roleOf(words) {
  const has = (set) => words.some((word) => set.has(word));
  if (has(OTHER_WORDS)) return undefined;
  if (has(MASK_WORDS)) return words.includes('sparse') ? 'sparseMask' : 'attentionMask';
  if (has(TOKEN_WORDS)) return 'tokens';
  const tensors = new Set(words.flatMap((word) => TENSOR_WORDS.get(word) ?? []));
  if (tensors.size > 1) return undefined;
  if (tensors.size === 1) return PARAMETER_ENDINGS.has(words.at(-1)) ? 'parameters' : [...tensors][0];
  return has(WEIGHT_WORDS) ? 'weights' : undefined;
}

/** Which tokens a name speaks of: 'queries', 'keys', or undefined for both. */
export function sideOf(name) {
  const sides = new Set((name.toLowerCase().match(/[a-z]+/g) ?? []).map((word) => TENSOR_WORDS.get(word)));
  return ['queries', 'keys'].find((side) => sides.has(side));
}

/** The name of a file without folders and its ending. */
export function stemOf(file) {
  return file.replace(/^.*[/\\]/, '').replace(/\.[a-z0-9]+$/i, '');
}
