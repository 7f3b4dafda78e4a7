// SPDX-License-Identifier: Apache-2.0
/** What a gesture on the map makes of a recipe. */
import { addEdit } from './analysis/recipe.js';

/** A rectangle that was drawn or erased. @param {{ rows, columns, keep: boolean }} rectangle */
export function changeByDrawing(recipe, { rows, columns, keep }) {
  return { ...recipe, edits: addEdit(recipe.edits ?? [], { rows, columns, keep }) };
}

/**
 * The size of the window or of the sinks, dragged; the masker is added where there is none yet.
 * @param {'window' | 'sinks'} handle
 * @param {number} value keys to the left of the query's own, or first keys
 */
export function changeByDrag(recipe, handle, value) {
  const name = MASKERS[handle];
  const size = handle === 'window' ? value + 1 : value;
  const others = recipe.maskers.filter((masker) => masker.name !== name);
  if (size === 0) return { ...recipe, maskers: others };
  if (others.length === recipe.maskers.length) return { ...recipe, maskers: [{ name, size }, ...others] };
  return { ...recipe, maskers: recipe.maskers.map((masker) => (masker.name === name ? { ...masker, size } : masker)) };
}

/** Where the handles of a recipe stand: { window: { left: keys before the query's own }, sinks: first keys }. */
export function handlesOf({ maskers }) {
  const sizeOf = (handle) => maskers.find(({ name }) => name === MASKERS[handle])?.size;
  const [local = 1, sinks = 0] = [sizeOf('window'), sizeOf('sinks')].map((size) => (Number.isInteger(size) ? size : undefined));
  return { window: { left: local - 1 }, sinks };
}

const MASKERS = { window: 'local', sinks: 'sink' };
