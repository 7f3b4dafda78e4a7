// SPDX-License-Identifier: Apache-2.0
/** What the page shows, and its form in the URL: only what differs from the defaults, counted from 1 as on the page. */

/** Layers, heads, queries and keys count from 0 here; query and key are the cell under the cursor, if any. */
export const DEFAULTS = Object.freeze({
  sample: '',
  layer: 0,
  head: 0,
  causal: false,
  left: Infinity,
  right: Infinity,
  sinks: 0,
  scale: 'sqrt',
  shared: false,
  query: undefined,
  key: undefined,
  keys: 8,
  masker: 'oracleTopK',
});

export const SCALES = ['linear', 'sqrt', 'log'];

const text = { parse: (value) => value, format: String };
const count = { parse: (value) => (/^\d{1,6}$/.test(value) ? Number(value) : undefined), format: String };
const ordinal = {
  parse: (value) => (/^[1-9]\d{0,5}$/.test(value) ? Number(value) - 1 : undefined),
  format: (value) => String(value + 1),
};
const flag = { parse: (value) => value === '1', format: (value) => (value ? '1' : '0') };
const scale = { parse: (value) => (SCALES.includes(value) ? value : undefined), format: String };

const FIELDS = {
  sample: text, layer: ordinal, head: ordinal,
  causal: flag, left: count, right: count, sinks: count,
  scale, shared: flag, query: ordinal, key: ordinal,
  keys: count, masker: text,
};

/** @param {string} search "?head=3&..."; what it does not say, or says wrongly, is the default */
export function parseState(search) {
  const params = new URLSearchParams(search);
  const state = { ...DEFAULTS };
  for (const [name, field] of Object.entries(FIELDS)) {
    const value = params.has(name) ? field.parse(params.get(name)) : undefined;
    if (value !== undefined) state[name] = value;
  }
  return state;
}

/** @returns {string} "" or "?..." */
export function formatState(state) {
  const params = new URLSearchParams();
  for (const [name, field] of Object.entries(FIELDS)) {
    if (state[name] !== DEFAULTS[name]) params.set(name, field.format(state[name]));
  }
  const search = params.toString();
  return search && `?${search}`;
}

/** The state with everything outside the sample's sizes brought back inside; `maskers` are the names of those there are. */
export function clampState(state, { layers, heads, steps, maskers }) {
  const within = (value, size) => (value === undefined ? undefined : Math.min(value, size - 1));
  return {
    ...state,
    layer: within(state.layer, layers),
    head: within(state.head, heads),
    sinks: Math.min(state.sinks, steps),
    left: state.left >= steps - 1 ? Infinity : state.left,
    right: state.right >= steps - 1 ? Infinity : state.right,
    query: within(state.query, steps),
    key: within(state.key, steps),
    keys: Math.max(1, Math.min(state.keys, steps)),
    masker: maskers.includes(state.masker) ? state.masker : DEFAULTS.masker,
  };
}
