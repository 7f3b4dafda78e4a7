// SPDX-License-Identifier: Apache-2.0
/**
 * What the page shows, and its form in the URL: only what differs from the defaults; layers, batches and heads are
 * counted from 1 there, as on the page, queries and keys from 0, as along the axes.
 */

/** Of links; a page reads older ones, and says so where a newer one asks for what it does not know. */
export const VERSION = 1;

/**
 * Everything that a link carries. All count from 0 here. `a` and `b` are the recipes of the
 * two masks, undefined for those that fit the sample; `cursor` is the cell { query, key } that is looked at, `view`
 * the part of the map that is seen, `step` the query that is decoded, each if any. Heads are shown whose measure `sort` lies
 * between the shares `from` and `to` of its range.
 */
export const DEFAULTS = Object.freeze({
  sample: '',
  layer: 0,
  batch: 0,
  head: 0,
  causal: false,
  a: undefined,
  b: undefined,
  edited: 'a',
  compare: false,
  show: 'weights',
  scale: 'power',
  exponent: 0.5,
  range: 'head',
  skipKeys: 0,
  colors: 'viridis',
  sort: 'index',
  from: 0,
  to: 1,
  cursor: undefined,
  view: undefined,
  step: undefined,
});

export const CHOICES = Object.freeze({
  edited: ['a', 'b'],
  show: ['weights', 'scores', 'mask'],
  scale: ['linear', 'power', 'log', 'percentile'],
  range: ['head', 'row'],
  colors: ['viridis', 'magma', 'inferno', 'cividis', 'blues', 'greys'],
  sort: ['index', 'entropy', 'sinkMass', 'locality', 'recall', 'similarity'],
});

const text = { parse: (value) => value, format: String };
const count = { parse: (value) => (/^\d{1,9}$/.test(value) ? Number(value) : undefined), format: String };
const ordinal = {
  parse: (value) => (/^[1-9]\d{0,8}$/.test(value) ? Number(value) - 1 : undefined),
  format: (value) => String(value + 1),
};
const flag = { parse: (value) => value === '1', format: (value) => (value ? '1' : '0') };
const recipe = {
  parse: (value) => {
    try {
      const read = JSON.parse(value);
      return Array.isArray(read?.maskers) ? read : undefined;
    } catch {
      return undefined;
    }
  },
  format: JSON.stringify,
};
const share = {
  parse: (value) => (/^[01](\.\d{1,3})?$/.test(value) && value <= 1 ? Number(value) : undefined),
  format: String,
};
const exponent = { parse: (value) => share.parse(value) || undefined, format: String };
const view = {
  parse: (value) => {
    const [x, y, zoom, ...others] = value.split(',').map(Number);
    return others.length === 0 && [x, y, zoom].every(Number.isFinite) && zoom > 0 ? { x, y, zoom } : undefined;
  },
  format: ({ x, y, zoom }) => [x, y, zoom].map((part) => Number(part.toPrecision(7))).join(','),
};
const cursor = {
  parse: (value) => {
    const [query, key, ...others] = value.split(',').map((part) => count.parse(part));
    return others.length === 0 && query !== undefined && key !== undefined ? { query, key } : undefined;
  },
  format: ({ query, key }) => `${query},${key}`,
};
const choice = (name) => ({
  parse: (value) => (CHOICES[name].includes(value) ? value : undefined),
  format: String,
});

const FIELDS = {
  sample: text, layer: ordinal, batch: ordinal, head: ordinal,
  causal: flag, a: recipe, b: recipe, compare: flag,
  ...Object.fromEntries(Object.keys(CHOICES).map((name) => [name, choice(name)])),
  exponent, from: share, to: share, skipKeys: count, cursor, view, step: count,
};

/**
 * @param {string} search "?v=1&head=3&..."; what it does not say, or says wrongly, is the default
 * @returns {object} a state, and `ignored`: the names of what could not be read
 */
export function parseState(search) {
  const params = new URLSearchParams(search);
  const state = { ...DEFAULTS };
  const ignored = Number(params.get('v') ?? VERSION) === VERSION ? [] : ['v'];
  for (const [name, value] of params) {
    if (name === 'v') continue;
    const read = Object.hasOwn(FIELDS, name) ? FIELDS[name].parse(value) : undefined;
    if (read === undefined) ignored.push(name);
    else state[name] = read;
  }
  return { state, ignored };
}

/** @returns {string} "?v=1&..." */
export function formatState(state) {
  const params = new URLSearchParams({ v: VERSION });
  for (const [name, field] of Object.entries(FIELDS)) {
    if (state[name] !== DEFAULTS[name]) params.set(name, field.format(state[name]));
  }
  return `?${params}`;
}

/** The state with everything outside the data's sizes brought back inside. */
export function clampState(state, { layers, shape: [batch, heads, queries, keys] }) {
  const within = (value, size) => (value === undefined ? undefined : Math.min(value, size - 1));
  return {
    ...state,
    layer: within(state.layer, layers),
    batch: within(state.batch, batch),
    head: within(state.head, heads),
    skipKeys: Math.min(state.skipKeys, keys - 1),
    cursor: cursorWithin(state.cursor, queries, keys),
    step: within(state.step, queries),
  };
}

/** The same object where it is inside already: nothing has changed then. */
function cursorWithin(cursor, queries, keys) {
  if (cursor === undefined || (cursor.query < queries && cursor.key < keys)) return cursor;
  return { query: Math.min(cursor.query, queries - 1), key: Math.min(cursor.key, keys - 1) };
}
