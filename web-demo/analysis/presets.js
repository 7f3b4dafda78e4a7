// SPDX-License-Identifier: Apache-2.0
/** Recipes to begin with, sized for a problem. */
import { defaultMasker } from './forms.js';
import { sizesOf } from './problem.js';

/**
 * @param {object} problem
 * @returns {{ id: string, label: string, text: string, recipe: import('./recipe.js').Recipe }[]} fixed ones first
 */
export function presets(problem) {
  const sizes = sizesOf(problem);
  const keys = (part, least = 1) => Math.max(least, Math.min(sizes.keys, Math.round(sizes.keys * part)));
  const masker = (name, options) => ({ ...defaultMasker(name, sizes), ...options });
  const sinks = masker('sink', { size: Math.min(4, keys(1 / 16)) });
  const window = masker('local', { size: keys(1 / 8) });
  const preset = (id, label, text, recipe) => ({ id, label, text, recipe: { maskers: [], ...recipe } });
  const stride = Math.max(2, Math.round(Math.sqrt(sizes.keys)));
  return [
    preset('dense', 'Dense', 'Every key that the model allows: what all others are measured against.', {}),
    preset('causal', 'Causal', 'Keys up to the query, as a decoder sees them.', { maskers: [masker('causal')] }),
    preset('window', 'Window + sinks', 'The last keys and the first few (StreamingLLM).', {
      maskers: [sinks, masker('local', { size: keys(1 / 4) })],
    }),
    preset('blocks', 'Blocks', 'Queries and keys of one block only.', {
      predicate: `floor(q / ${stride}) == floor(k / ${stride})`,
    }),
    preset('oracle', 'Oracle top-k', 'The largest logits: no other choice of as many keys has more of the attention.', {
      maskers: [masker('oracleTopK')],
    }),
    preset('topP', 'Oracle top-p', 'The fewest keys with 90 % of the attention: how many that takes differs by row.', {
      maskers: [masker('oracleTopP', { topP: 0.9 })],
    }),
    preset('quest', 'Quest', 'Sinks, a window, and whole pages by a bound of their logits.', {
      maskers: [sinks, window, masker('quest')],
    }),
    preset('doubleSparsity', 'Double Sparsity', 'Sinks, a window, and the largest over the few channels that matter.', {
      maskers: [sinks, window, masker('doubleSparsity')],
    }),
    preset('pqCache', 'PQCache', 'Sinks, a window, and the largest logits of quantised keys.', {
      maskers: [sinks, window, masker('pqCache')],
    }),
    preset('random', 'Random sampling', 'Keys at random, each counting for those like it: right on average.', {
      maskers: [masker('randomSampling')],
    }),
    preset(
      'adaptive',
      'vAttention',
      'Sinks, a window, the largest, and as many draws as a promise about the error takes.',
      {
        maskers: [sinks, window, masker('oracleTopK'), masker('adaptiveSampling')],
      },
    ),
  ];
}
