// SPDX-License-Identifier: Apache-2.0
/** Error and recall against density: one dot for each size that a masker of a recipe could have. */
import { MASKER_FORMS } from './forms.js';
import { WORK } from './limits.js';
import { lastRows } from './numbers.js';
import { sizesOf } from './problem.js';
import { completed, recipeMaskers } from './recipe.js';

const STEPS = 10;

/**
 * @typedef {object} Dot
 * @property {import('./recipe.js').Recipe} recipe with this setting
 * @property {number | undefined} value of the option; undefined where the recipe has no masker with a size
 * @property {number} density part of all pairs that take part after every mask
 * @property {number | undefined} error ||output - dense output|| / ||dense output||; undefined without values
 * @property {number} recall mean over rows
 * @property {boolean} current whether this is the recipe as it is
 * @property {boolean} sampled whether it is that of the last rows only
 * @property {[number, number]} rows which these are
 */

/** Which masker's size a curve varies: the last one that has one; -1 where none has. */
export function defaultAxis({ maskers }) {
  return maskers.findLastIndex(({ name }) => MASKER_FORMS[name].size !== undefined);
}

/**
 * @param {object} attention
 * @param {object} problem
 * @param {import('./recipe.js').Recipe} recipe
 * @param {{ axis?: number, steps?: number }} [options] axis: which masker
 * @returns {Dot[]} by rising density
 */
export function curve(attention, problem, recipe, { axis = defaultAxis(recipe), steps = STEPS } = {}) {
  if (axis !== -1 && MASKER_FORMS[recipe.maskers[axis]?.name]?.size === undefined) {
    throw new RangeError(`axis: expected the place of a masker that has a size, got ${axis}`);
  }
  const { part, rows, sampled } = lastRows(problem, WORK / steps);
  const dots = settingsOf(recipe, axis, sizesOf(problem), steps).map(({ value, current }) => {
    const own = withValue(recipe, axis, value);
    const pipeline = attention.createSparseAttention(recipeMaskers(part, completed(problem, own), rows[0]));
    try {
      const { mask, metrics } = pipeline.forward({ ...part, metrics: true });
      const { keptEntries } = attention.explain({ ...part, sparseAttentionMask: mask });
      const { batch, heads, queries, keys, valueDim } = sizesOf(part);
      const density = keptEntries / Math.max(1, batch * heads * queries * keys);
      const error = valueDim === 0 ? undefined : metrics.outputError;
      return { recipe: own, value, density, error, recall: metrics.massRecall.mean, current, sampled, rows };
    } finally {
      pipeline.dispose();
    }
  });
  return dots.sort((a, b) => a.density - b.density);
}

/** Settings of one option, from least to most, and the one that is there. */
function settingsOf({ maskers }, axis, sizes, steps) {
  if (axis === -1) return [{ value: undefined, current: true }];
  const { name, ...options } = maskers[axis];
  const { size, sliders } = MASKER_FORMS[name];
  const slider = sliders(sizes).find((own) => own.name === size);
  const now = options[size];
  const values = new Set(logSpaced(slider, steps, size === 'topP'));
  const isCount = slider.kind === 'keys' && now < 1;
  const current = isCount ? Math.max(1, Math.floor(now * sizes.keys)) : now;
  values.delete(current);
  return [...[...values].map((value) => ({ value, current: false })), { value: now, current: true }];
}

/** Values of a slider at equal factors; of a part of the attention, what is missing to all of it has equal factors. */
function logSpaced({ kind, min, max }, steps, ofAll) {
  const values = Array.from({ length: steps }, (_, n) => min * (max / min) ** (n / Math.max(1, steps - 1)));
  if (ofAll) return values.map((value) => Number((1 + min - value).toPrecision(3)));
  return values.map((value) => (kind === 'number' ? Number(value.toPrecision(3)) : Math.round(value)));
}

function withValue(recipe, axis, value) {
  if (axis === -1) return recipe;
  const { name } = recipe.maskers[axis];
  const maskers = recipe.maskers.map((masker, n) =>
    n === axis ? { ...masker, [MASKER_FORMS[name].size]: value } : masker,
  );
  return { ...recipe, maskers };
}
