// SPDX-License-Identifier: Apache-2.0

/** Arrays put together into layers, by their names. */

import { DataError } from './errors.js';

/** What tells layers apart; the first that gives every layer one array of each role is taken. */
const KEYS = [
  ({ words, numbers }) => [...words, ...numbers].join(' '),
  ({ numbers }) => numbers.join(' '),
  ({ file, words, numbers }) => [file, ...words, ...numbers].join(' '),
];
const ADDED = ['attentionMask', 'sparseMask', 'weights'];

/**
 * @param {import('./parts.js').NamedArray[]} arrays
 * @param {string[]} needed roles that every layer has; those of `optional` it may have
 * @returns {{ label: string, [role: string]: import('./parts.js').NamedArray }[]} in the order of their numbers
 * @throws DataError where a layer lacks one or has two
 */
export function groupLayers(arrays, needed, optional, notes) {
  const roles = [...needed, ...optional];
  const main = arrays.filter(({ role }) => roles.includes(role));
  const attempts = KEYS.map((keyOf) => ({ keyOf, ...group(main, keyOf, needed) }));
  const { keyOf, groups, problem } = attempts.find((attempt) => attempt.problem === undefined) ?? attempts[0];
  if (problem !== undefined) throw new DataError(problem);
  const layers = [...groups.values()].sort((a, b) => compareNumbers(a[needed[0]].numbers, b[needed[0]].numbers));
  for (const role of ADDED.filter((one) => !roles.includes(one))) addTo(layers, role, needed[0], arrays, keyOf, notes);
  labelLayers(layers, needed[0]);
  return layers;
}

function group(arrays, keyOf, needed) {
  const groups = new Map();
  for (const array of arrays) {
    const key = keyOf(array);
    if (!groups.has(key)) groups.set(key, {});
    const layer = groups.get(key);
    if (layer[array.role] !== undefined) {
      return { problem: twice(array, layer) };
    }
    layer[array.role] = array;
  }
  for (const layer of groups.values()) {
    const missing = needed.find((role) => layer[role] === undefined);
    if (missing !== undefined) {
      const { label, role } = Object.values(layer)[0];
      return { problem: `${label}: ${role} without ${missing}; drop both, with names such as q and k` };
    }
  }
  return { groups };
}

function twice({ label, role }, layer) {
  return `${label}: the second ${role} beside ${layer[role].label}; drop one of them`;
}

/** Masks and weights go to the layer that has their name; a single mask goes to all. */
function addTo(layers, role, first, arrays, keyOf, notes) {
  const added = arrays.filter((array) => array.role === role);
  const isShared = added.length === 1 && (role !== 'weights' || layers.length === 1);
  for (const array of added) {
    const own = layers.filter((layer) => keyOf(layer[first]) === keyOf(array));
    const takers = own.length === 0 && isShared ? layers : own;
    if (takers.length === 0) notes.push(`${array.label}: left out, no layer has its name.`);
    for (const layer of takers) {
      if (layer[role] !== undefined) {
        throw new DataError(twice(array, layer));
      }
      layer[role] = array;
    }
  }
}

function labelLayers(layers, first) {
  const wordsOf = (layer) => layer[first].words.join(' ');
  const namesDiffer = layers.some((layer) => wordsOf(layer) !== wordsOf(layers[0]));
  layers.forEach((layer, n) => {
    const { numbers } = layer[first];
    const number = numbers.length > 0 ? numbers.join('.') : `${n + 1}`;
    layer.label = namesDiffer && wordsOf(layer) !== '' ? `${wordsOf(layer)} ${number}` : `Layer ${number}`;
  });
}

function compareNumbers(a, b) {
  const at = a.findIndex((number, n) => number !== b[n]);
  return at === -1 ? a.length - b.length : a[at] - (b[at] ?? -1);
}
