// SPDX-License-Identifier: Apache-2.0
/** Why one cell is kept or dropped, what it weighs, and what it would weigh without the sparse mask. */
import { floatsOf } from '../../js/widen.js';
import { notAllowed } from './allowed.js';
import { MASKER_FORMS } from './forms.js';
import { positionOf, sizesOf, sliceMask, sliceProblem, weightAt, withoutValues } from './problem.js';
import { weightingOf } from '../../js/sparse-attention.js';

const FEWEST_PAGES = 3; // that quest keeps
const DEFAULT_PAGE = 16;

/**
 * @typedef {object} Cell
 * @property {number} [batch]
 * @property {number} head query head
 * @property {number} query
 * @property {number} key
 */

/**
 * @typedef {object} CellReason
 * @property {boolean} kept
 * @property {{ kind: string, text: string, stage?: number }} reason kept by: `dense`, `sink`, `window`, `causal`,
 *   `rank`, `page`, `drawn`, `predicate`, `user`; dropped by: `not-allowed`, `causal`, `predicate`, `user`, `outside`
 *   (of sinks and windows), `not-chosen`, `not-drawn`. stage is the place in `built.stages`
 * @property {number} weight
 * @property {number} denseWeight what it weighs where no sparse mask drops anything
 * @property {number} score its biased logit; -Infinity where it is not allowed
 * @property {number} [rank] 1 is the best, among what the masker could choose
 * @property {number} [of] how many (keys, or pages of Quest) it chose
 */

/**
 * Computes one row of one head (of one group, for maskers that choose for a group), at any size.
 * @param {object} attention
 * @param {object} problem
 * @param {import('./recipe.js').Recipe} recipe
 * @param {ReturnType<typeof import('./recipe.js').buildMask>} built of that recipe
 * @param {Cell} cell
 * @returns {CellReason}
 */
export function explainCell(attention, problem, recipe, built, { batch = 0, head, query, key }) {
  const size = sizesOf(problem);
  const cell = { batch, head, query, key };
  checkCell(cell, size);
  const part = { batch, heads: [head, head + 1], rows: [query, query + 1] };
  const row = withoutValues(sliceProblem(problem, part));
  const dense = attention.getMaskedAttentionOutput({ ...row, returnAttentionWeights: true, returnScores: 'biased' });
  const sparseAttentionMask = sliceMask(built.mask, size, part);
  const { weights } = attention.getMaskedAttentionOutput({
    ...row,
    sparseAttentionMask,
    maskWeighting: weightingOf(sparseAttentionMask, problem),
    returnAttentionWeights: true,
  });
  const forbidden = notAllowed(problem, cell);
  const isIn = built.stages.map(({ mask }) => weightAt(mask, size, cell) > 0);
  const kept = forbidden === undefined && isIn.at(-1) !== false;
  const context = { attention, problem, built, size, cell, row, scores: dense.scores.data };
  const why =
    forbidden !== undefined
      ? { reason: { kind: 'not-allowed', text: `not allowed: ${forbidden}` } }
      : kept
        ? whyKept(context, isIn)
        : whyDropped(context, isIn);
  return {
    kept,
    weight: weights.data[key],
    denseWeight: dense.weights.data[key],
    score: dense.scores.data[key],
    ...why,
  };
}

function checkCell(cell, { batch, heads, queries, keys }) {
  const limits = { batch, head: heads, query: queries, key: keys };
  for (const [name, limit] of Object.entries(limits)) {
    if (Number.isInteger(cell[name]) && cell[name] >= 0 && cell[name] < limit) continue;
    throw new RangeError(`${name}: expected an integer in 0..${limit - 1}, got ${cell[name]}`);
  }
}

/** By the stage from which on it is kept. */
function whyKept(context, isIn) {
  const stage = isIn.lastIndexOf(false) + 1;
  if (isIn.length === 0) return { reason: { kind: 'dense', text: 'no sparse mask: every allowed pair is kept' } };
  const { kind, label, masker } = context.built.stages[stage];
  const reason = (own, text) => ({ reason: { kind: own, text, stage } });
  if (kind === 'edits') return reason('user', 'drawn by hand');
  if (kind === 'predicate') return reason('predicate', `predicate: ${label}`);
  const { cell, problem, size } = context;
  switch (masker.name) {
    case 'sink':
      return reason('sink', `sink ${cell.key + 1} of ${countOf(masker.size, size)}`);
    case 'local': {
      const distance = positionOf(problem, cell.batch) + cell.query - cell.key;
      const where = distance === 0 ? "the query's own key" : `${distance} before the query's own key`;
      return reason('window', `window of ${countOf(masker.size, size)} keys: ${where}`);
    }
    case 'causal':
      return reason('causal', 'causal order: not after the query');
    default:
      return MASKER_FORMS[masker.name].samples ? whyDrawn(context, stage) : whyChosen(context, stage);
  }
}

function whyDrawn({ built, size, cell }, stage) {
  const { label, mask } = built.stages[stage];
  const probability = weightAt(mask, size, cell);
  const text =
    probability === 1 ? `${label}: kept for certain` : `${label}: drawn with probability ${short(probability)}`;
  return { reason: { kind: 'drawn', text, stage } };
}

function whyChosen(context, stage) {
  const { label } = context.built.stages[stage];
  const { kind, text, rank, of } = rankOf(context, stage);
  return { reason: { kind, text: `${label}: ${text}`, stage }, rank, of };
}

/** By the last stage that took it away; where none did, by what chose others instead. */
function whyDropped(context, isIn) {
  const { stages } = context.built;
  const reason = (kind, text, stage, more = {}) => ({ reason: { kind, text, stage }, ...more });
  const taken = isIn.findLastIndex((is, n) => !is && (n === 0 ? stages[n].kind !== 'masker' : isIn[n - 1]));
  if (taken >= 0) {
    const { kind, label } = stages[taken];
    if (kind === 'edits') return reason('user', 'erased by hand', taken);
    if (kind === 'predicate') return reason('predicate', `the predicate does not hold: ${label}`, taken);
    return reason('causal', 'causal order: after the query', taken);
  }
  const chooser = stages.findIndex(
    ({ masker }) => masker && !MASKER_FORMS[masker.name].isFixed && !MASKER_FORMS[masker.name].samples,
  );
  const sampler = stages.findIndex(({ masker }) => masker && MASKER_FORMS[masker.name].samples);
  if (chooser >= 0) {
    const { text, rank, of } = rankOf(context, chooser);
    const also = sampler < 0 ? '' : `; not drawn by ${stages[sampler].label}`;
    return reason('not-chosen', `${stages[chooser].label}: not chosen, ${text}${also}`, chooser, { rank, of });
  }
  if (sampler >= 0) return reason('not-drawn', `${stages[sampler].label}: not drawn`, sampler);
  return reason('outside', outsideOf(context), undefined);
}

/** In words, what sinks and windows there are. */
function outsideOf({ built, size, problem, cell }) {
  const position = positionOf(problem, cell.batch) + cell.query;
  const parts = built.stages.flatMap(({ masker, kind, label }) => {
    if (kind === 'predicate') return [`the predicate ${label}`];
    if (masker?.name === 'sink') return [`the first ${countOf(masker.size, size)} keys`];
    if (masker?.name === 'local') return [`the window of ${countOf(masker.size, size)} keys`];
    if (masker?.name === 'causal') return ['causal order'];
    return [];
  });
  const where = cell.key > position ? 'after the query' : `${position - cell.key} before the query's own key`;
  return `outside of ${parts.join(' and ')}: ${where}`;
}

/** The rank of a cell by the logic of a masker that scores keys: { kind, text, rank, of }. */
function rankOf(context, stage) {
  const { built, size, cell, scores } = context;
  const { masker } = built.stages[stage];
  const part = { batch: cell.batch, heads: [cell.head, cell.head + 1], rows: [cell.query, cell.query + 1] };
  const rowAt = (n) => (n < 0 ? new Set() : new Set(sliceMask(built.stages[n].mask, size, part).rows(0, 1).indices));
  if (masker.name === 'quest') return pageRankOf(context, masker);
  const before = rowAt(stage - 1);
  const after = rowAt(stage);
  const own = masker.name === 'groupTopK' ? groupScores(context) : scores;
  const candidates = [];
  for (let j = 0; j < scores.length; j++) if (scores[j] > -Infinity && !before.has(j)) candidates.push(j);
  const of = candidates.filter((j) => after.has(j)).length;
  const rank = rankAmong(candidates, own, cell.key);
  const by = { oracleTopK: 'by logit', oracleTopP: 'by logit', groupTopK: 'by the sum over the group' }[masker.name];
  const kept = masker.name === 'oracleTopP' ? `${of} with ${short(100 * masker.topP)} % of the rest` : `${of}`;
  if (rank === undefined) return { kind: 'rank', text: 'its logit is no number', rank, of };
  const text =
    by === undefined
      ? `rank ${rank} by logit; ${of} chosen by its own estimate`
      : after.has(cell.key)
        ? `rank ${rank} of ${kept} ${by}`
        : `rank ${rank} ${by}, ${kept} kept`;
  return { kind: 'rank', text, rank, of };
}

/** The place of one among candidates, by score, of equals the lowest first; undefined where it is none of them. */
function rankAmong(candidates, scores, key) {
  if (!candidates.includes(key)) return undefined;
  return 1 + candidates.filter((j) => scores[j] > scores[key] || (scores[j] === scores[key] && j < key)).length;
}

/** The mean over the heads of a group of their scaled scores, and what is added to those of this head. */
function groupScores({ attention, problem, size, cell }) {
  const group = size.heads / size.keyHeads;
  const first = Math.floor(cell.head / group) * group;
  const rowOf = (head) => {
    const part = sliceProblem(problem, {
      batch: cell.batch,
      heads: [head, head + 1],
      rows: [cell.query, cell.query + 1],
    });
    return { ...withoutValues(part), softcap: 0 };
  };
  const scoresOf = (head, returnScores) =>
    attention.getMaskedAttentionOutput({ ...rowOf(head), returnScores }).scores.data;
  const raw = scoresOf(cell.head, 'raw');
  const total = Float64Array.from(scoresOf(cell.head, 'biased'), (score, j) => score - raw[j]);
  for (let head = first; head < first + group; head++) {
    scoresOf(head, 'raw').forEach((score, j) => void (total[j] += score / group));
  }
  return total;
}

/** Quest's pages by sum over channels of max(q min, q max). */
function pageRankOf({ row, scores, size, cell }, { heavySize, pageSize = DEFAULT_PAGE }) {
  const query = floatsOf({ dtype: 'float32', ...row.queries });
  const keys = floatsOf({ dtype: 'float32', ...row.keys });
  const { dim } = size;
  const length = row.keyLengths ? row.keyLengths[0] : size.keys;
  const pages = Math.ceil(length / pageSize);
  const bounds = new Float64Array(pages);
  for (let page = 0; page < pages; page++) {
    const [begin, end] = [page * pageSize, Math.min(length, (page + 1) * pageSize)];
    for (let d = 0; d < dim; d++) {
      let [least, most] = [Infinity, -Infinity];
      for (let j = begin; j < end; j++) {
        const value = keys[j * dim + d];
        if (value < least) least = value;
        if (value > most) most = value;
      }
      bounds[page] += Math.max(query[d] * least, query[d] * most);
    }
  }
  const isOpen = (page) => scores.subarray(page * pageSize, (page + 1) * pageSize).some((score) => score > -Infinity);
  const open = Array.from(bounds, (_, page) => page).filter(isOpen);
  const of = Math.min(open.length, Math.max(FEWEST_PAGES, Math.floor(countOf(heavySize, size) / pageSize)));
  const page = Math.floor(cell.key / pageSize);
  const rank = rankAmong(open, bounds, page);
  const range = `keys ${page * pageSize}-${Math.min(length, (page + 1) * pageSize) - 1}`;
  return {
    kind: 'page',
    text: `page ${page} of ${pages} (${range}), rank ${rank} by its bound, ${of} pages kept`,
    rank,
    of,
  };
}

/** Keys that a size stands for: a count, or a fraction. */
function countOf(value, { keys }) {
  return value < 1 ? Math.floor(value * keys) : Math.min(value, keys);
}

function short(value) {
  return String(Number(value.toPrecision(3)));
}
