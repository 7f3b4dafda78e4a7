// SPDX-License-Identifier: Apache-2.0
/** The two masks of the page: what the state says, or what fits the data where it says nothing. */
import { MASKER_FORMS, presets } from './analysis/recipe.js';

const LONG = 4096; // queries or keys from which on no masker that scores keys is offered
const WINDOW = 1024;
const NONE = Object.freeze({ maskers: [] }); // where there are only weights

/** @returns {{ a: object, b: object }} recipes */
export function recipesOf({ state, data }) {
  if (!data.hasInputs) return { a: NONE, b: NONE };
  const fitting = fittingRecipes(data.layers[state.layer]);
  return { a: state.a ?? fitting.a, b: state.b ?? fitting.b };
}

function fittingRecipes(layer) {
  const { problem, shape: [, , , keys] } = layer;
  const band = Math.max(1, Math.min(WINDOW, Math.round(keys / 10)));
  const streaming = [{ name: 'sink', size: Math.min(4, keys) }, { name: 'local', size: Math.min(WINDOW, keys) }];
  const b = { maskers: [], predicate: `abs(q - k) <= ${band}` };
  if (problem.sparseAttentionMask) return { a: { maskers: [{ name: 'given' }] }, b };
  if (isLong(layer)) return { a: { maskers: streaming }, b };
  return { a: presets(problem).find(({ id }) => id === 'oracle').recipe, b };
}

/** Whether so many pairs are too many to look at each. */
export function isLong({ shape: [, , queries, keys] }) {
  return Math.max(queries, keys) > LONG;
}

/** The presets that take a moment on this data: [{ label, text, recipe }]. */
export function presetsOf({ state, data }) {
  const layer = data.layers[state.layer];
  return presets(layer.problem).filter(({ recipe: { maskers, predicate } }) =>
    !isLong(layer) || (predicate === undefined && maskers.every(({ name }) => MASKER_FORMS[name].isFixed)));
}

/** What the panels' sliders are bounded by. */
export function sizesOf({ state, data }) {
  const { shape: [batch, heads, queries, keys], problem, keyHeads = heads } = data.layers[state.layer];
  return { batch, heads, keyHeads, queries, keys, dim: problem?.queries.dims[3] };
}

/** Of which layer the maps show a head: of the one under the pointer, else of the chosen one. */
export function shownLayer({ preview, state }) {
  return (preview ?? state).layer;
}

/** What the workers compute a mask from. @param {'a' | 'b'} slot */
export function configurationOf(model, slot, layer = model.state.layer) {
  return { layer, causal: model.state.causal, recipe: recipesOf(model)[slot] };
}
