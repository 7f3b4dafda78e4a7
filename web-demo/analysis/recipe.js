// SPDX-License-Identifier: Apache-2.0
/**
 * Recipes: which pairs to keep, as plain JSON that fits into a link.
 *
 *     { maskers: [{ name, ...options }], predicate?: 'q >= k && q - k < 64', edits?: [{ rows, columns, keep }] }
 *
 * Mask = ((maskers AND predicate) minus what edits drop) plus what edits keep; the last edit of a pair decides.
 */
import { allowedMask } from '../../attention-map/kept.js';
import { maskers, Mask } from '../../js/index.js';
import { applyEdits } from './edits.js';
import { MASKER_FORMS } from './forms.js';
import { givenMasker } from './given.js';
import { CHOSEN_PAIRS } from './limits.js';
import { parsePredicate } from './predicate.js';
import { denseProblem, sizesOf } from './problem.js';

export { addEdit } from './edits.js';
export { defaultMasker, MASKER_FORMS } from './forms.js';
export { presets } from './presets.js';

const MOST_MASKERS = 8;
const MOST_EDITS = 1000;
const FIELDS = ['maskers', 'predicate', 'edits'];
const EDIT_FIELDS = ['rows', 'columns', 'keep'];
const LARGEST = 2 ** 31 - 1;

/** Stands for data that `others` of a form makes of the problem, so that the rest of the options can be checked. */
const STAND_INS = {
  doubleSparsity: { channels: [[0]] },
  hashAttention: {
    weights: { 0: { query_matrix: [[[[1]]]], query_bias: [[[0]]], key_matrix: [[[[1]]]], key_bias: [[[0]]] } },
  },
};

/**
 * @typedef {object} Recipe
 * @property {{ name: string }[]} maskers
 * @property {string} [predicate]
 * @property {import('./edits.js').Edit[]} [edits]
 */

/**
 * A copy of a recipe from elsewhere (a link, a file), with nothing in it but what recipes have.
 * @param {unknown} value
 * @returns {Recipe}
 * @throws {TypeError | RangeError} naming the part, what it is and what was expected
 */
export function checkRecipe(value) {
  checkFields(value, 'recipe', FIELDS);
  if (!Array.isArray(value.maskers)) throw wrong(TypeError, 'recipe.maskers', 'an array of maskers', value.maskers);
  if (value.maskers.length > MOST_MASKERS) {
    throw wrong(RangeError, 'recipe.maskers', `at most ${MOST_MASKERS} maskers`, `${value.maskers.length}`);
  }
  const recipe = { maskers: Array.from(value.maskers, checkMasker) };
  const sampling = recipe.maskers.filter(({ name }) => MASKER_FORMS[name].samples);
  if (sampling.length > 1) {
    throw wrong(
      RangeError,
      'recipe.maskers',
      'at most one that samples',
      sampling.map(({ name }) => name).join(' and '),
    );
  }
  if (value.predicate !== undefined) {
    at('recipe', () => parsePredicate(value.predicate));
    recipe.predicate = value.predicate;
  }
  if (value.edits !== undefined) recipe.edits = checkEdits(value.edits);
  return recipe;
}

/**
 * What a recipe keeps of a problem.
 * @param {object} attention the engine
 * @param {object} problem AttentionInputs, bhsd, without a sparse mask
 * @param {Recipe} recipe
 * @returns {{ mask: Mask, allowed: Mask, effective: Mask,
 *   stages: { kind: 'masker' | 'predicate' | 'edits', label: string, mask: Mask, masker?: object }[] }}
 *   mask is for `sparseAttentionMask`; allowed is what causal order, window, key lengths and attention mask leave, and
 *   effective what both do; stages are the mask after each masker, the predicate and the edits
 * @throws what the maskers throw, and RangeError for maskers that would take too long
 */
export function buildMask(attention, problem, recipe) {
  const dense = denseProblem(problem);
  const { queries, keys } = sizesOf(dense);
  const steps = pipelineOf(dense, completed(problem, recipe));
  attention.createSparseAttention(steps.map(({ masker }) => masker)).dispose(); // what is wrong of all is told first
  const stages = [];
  let mask = Mask.empty([1, 1, queries, keys]);
  for (const { kind, label, masker, given } of steps) {
    const pipeline = attention.createSparseAttention([masker]);
    try {
      mask = pipeline.buildMask({ ...dense, sparseAttentionMask: mask });
    } finally {
      pipeline.dispose();
    }
    stages.push({ kind, label, mask, masker: given });
  }
  const allowed = allowedMask(dense);
  return { mask, stages, allowed, effective: mask.isEmpty() ? allowed : allowed.and(mask) };
}

/**
 * A recipe as maskers for createSparseAttention, compare and sweep.
 * @param {number} [firstRow] the query of the recipe that is the first of the problem
 * @returns {object[]}
 */
export function recipeMaskers(problem, recipe, firstRow = 0) {
  return pipelineOf(denseProblem(problem), recipe, firstRow).map(({ masker }) => masker);
}

/** The recipe with what its maskers need of the problem's data, or of one batch of it: for use with parts of the problem. */
export function completed(problem, recipe, batch) {
  const list = recipe.maskers.map((masker) => {
    const { data, others } = MASKER_FORMS[masker.name];
    return data === undefined || masker[data] !== undefined ? masker : { ...others(problem, batch), ...masker };
  });
  return { ...recipe, maskers: list };
}

function pipelineOf(problem, { maskers: list = [], predicate, edits = [] }, firstRow = 0) {
  const { batch, heads, queries, keys } = sizesOf(problem);
  const pairs = batch * heads * queries * keys;
  const { maskers: complete } = completed(problem, { maskers: list });
  const steps = list.map((given, n) => {
    const { label, isFixed } = MASKER_FORMS[given.name];
    if (!isFixed && pairs > CHOSEN_PAIRS) {
      const others = 'sink, local, causal, a predicate and edits have no limit';
      const limit = `at most ${CHOSEN_PAIRS} pairs of queries and keys (${others})`;
      throw wrong(RangeError, `recipe.maskers[${n}] (${given.name})`, limit, `${pairs}`);
    }
    const masker = given.name === 'given' ? givenMasker(complete[n].mask, firstRow) : complete[n];
    return { kind: 'masker', label, given, masker };
  });
  if (predicate !== undefined) {
    const condition = parsePredicate(predicate);
    const apply = ({ shape, queryPositions }, previous) => {
      const mask = condition.mask(shape, { offset: samePosition(queryPositions) });
      return previous.isEmpty() ? mask : previous.and(mask);
    };
    steps.push({ kind: 'predicate', label: predicate, masker: { name: 'predicate', apply } });
  }
  if (edits.length > 0) {
    const apply = (_, previous) => applyEdits(previous, edits, [queries, keys], firstRow);
    steps.push({ kind: 'edits', label: 'drawn by hand', masker: { name: 'edits', apply } });
  }
  return steps;
}

/** Where queries begin, for a predicate, whose q is the same in all batches. */
function samePosition(positions) {
  const [first] = positions;
  if (positions.every((position) => position === first)) return first;
  throw wrong(RangeError, 'recipe.predicate', 'queries that begin at one position in all batches', `${[...positions]}`);
}

function checkMasker(value, n) {
  const where = `recipe.maskers[${n}]`;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrong(TypeError, where, 'a masker, { name, ...options }', value);
  }
  const { name, ...options } = value;
  if (typeof name !== 'string' || !Object.hasOwn(MASKER_FORMS, name)) {
    throw wrong(RangeError, `${where}.name`, `one of ${Object.keys(MASKER_FORMS).join(', ')}`, name);
  }
  const copy = at(where, () => plain(options, name));
  at(`${where} (${name})`, () => (name === 'given' ? checkFields(copy, 'options', []) : maskers[name]({ ...STAND_INS[name], ...copy })));
  return { name, ...copy };
}

function checkEdits(edits) {
  if (!Array.isArray(edits)) throw wrong(TypeError, 'recipe.edits', 'an array of { rows, columns, keep }', edits);
  if (edits.length > MOST_EDITS)
    throw wrong(RangeError, 'recipe.edits', `at most ${MOST_EDITS} edits`, `${edits.length}`);
  return Array.from(edits, (edit, n) => {
    const where = `recipe.edits[${n}]`;
    checkFields(edit, where, EDIT_FIELDS);
    const range = (name) => {
      const expectation = '[begin, end) as two integers >= 0, begin <= end';
      const pair = edit[name];
      if (!Array.isArray(pair) || pair.length !== 2) throw wrong(TypeError, `${where}.${name}`, expectation, pair);
      const isRange = pair.every((end) => Number.isInteger(end) && end >= 0 && end <= LARGEST) && pair[0] <= pair[1];
      if (!isRange) throw wrong(RangeError, `${where}.${name}`, expectation, pair);
      return [pair[0], pair[1]];
    };
    if (typeof edit.keep !== 'boolean') throw wrong(TypeError, `${where}.keep`, 'true or false', edit.keep);
    return { rows: range('rows'), columns: range('columns'), keep: edit.keep };
  });
}

function checkFields(value, where, fields) {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw wrong(TypeError, where, `an object { ${fields.join(', ')} }`, value);
  }
  const other = Object.keys(value).find((name) => !fields.includes(name));
  if (other !== undefined) throw wrong(RangeError, where, `${fields.join(', ')} and nothing else`, other);
}

/** A copy of JSON; functions, cycles and the like are refused. */
function plain(value, where) {
  let text;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw new TypeError(`${where}: expected JSON, got ${cause.message}`, { cause });
  }
  return JSON.parse(text);
}

function at(where, make) {
  try {
    return make();
  } catch (error) {
    error.message = `${where}: ${error.message}`;
    throw error;
  }
}

function wrong(Type, where, expectation, value) {
  const text = typeof value === 'string' ? value : show(value);
  return new Type(`${where}: expected ${expectation}, got ${text.slice(0, 60)}`);
}

function show(value) {
  if (value === undefined) return 'nothing';
  if (typeof value === 'function') return 'a function';
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}
