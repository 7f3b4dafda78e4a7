// SPDX-License-Identifier: Apache-2.0
/** The element's plain properties: defaults, what they may be, and what changes with them. */
import { RAMPS } from './ramps.js';

const quoted = (values) => values.map((value) => `'${value}'`).join(', ');

const oneOf = (...values) => (name, value) => {
  if (!values.includes(value)) throw new RangeError(`${name} must be one of ${quoted(values)}, got ${String(value)}`);
  return value;
};

const integer = (least) => (name, value) => {
  if (typeof value !== 'number') throw new TypeError(`${name} must be a number, got ${String(value)}`);
  if (!Number.isSafeInteger(value) || value < least) {
    throw new RangeError(`${name} must be an integer >= ${least}, got ${value}`);
  }
  return value;
};

const positive = (name, value) => {
  if (typeof value !== 'number') throw new TypeError(`${name} must be a number, got ${String(value)}`);
  if (!(value > 0 && Number.isFinite(value))) throw new RangeError(`${name} must be a number > 0, got ${value}`);
  return value;
};

const text = (name, value) => {
  if (typeof value !== 'string') throw new TypeError(`${name} must be a string, got ${String(value)}`);
  return value;
};

const optional = (check) => (name, value) => (value === undefined ? undefined : check(name, value));

function rectangles(name, value) {
  if (!Array.isArray(value)) throw new TypeError(`${name} must be an array, got ${String(value)}`);
  value.forEach((rectangle, n) => ['rows', 'columns'].forEach((side) => {
    const range = rectangle?.[side];
    if (!Array.isArray(range) || range.length !== 2 || !range.every(Number.isFinite) || range[0] > range[1]) {
      throw new RangeError(`${name}[${n}].${side} must be [begin, end], got ${String(range)}`);
    }
  }));
  return value;
}

function windowOf(name, value) {
  if (typeof value !== 'object' || value === null) {
    throw new TypeError(`${name} must be { left }, got ${String(value)}`);
  }
  const { left = Infinity } = value;
  return { left: left === Infinity ? left : integer(0)(`${name}.left`, left) };
}

const callback = (name, value) => {
  if (value !== undefined && typeof value !== 'function') {
    throw new TypeError(`${name} must be a function, got ${String(value)}`);
  }
  return value;
};

/**
 * By name: `initial`; `check(name, value)`, which throws TypeError or RangeError, and returns what is kept; `changes`:
 * the cells, their colours, or only what is drawn over them; `attribute`: how the attribute of the same name is read.
 */
export const OPTIONS = Object.freeze({
  batch: { initial: 0, check: integer(0), changes: 'cells', attribute: Number },
  head: { initial: 0, check: integer(0), changes: 'cells', attribute: Number },
  show: { initial: 'weights', check: oneOf('weights', 'scores', 'mask'), changes: 'cells', attribute: String },
  scale: {
    initial: 'power', check: oneOf('linear', 'power', 'log', 'percentile'), changes: 'colors', attribute: String,
  },
  exponent: { initial: 0.5, check: positive, changes: 'colors' },
  decades: { initial: 4, check: positive, changes: 'colors' },
  range: { initial: 'head', check: oneOf('head', 'row'), changes: 'colors', attribute: String },
  skipKeys: { initial: 0, check: integer(0), changes: 'colors' },
  colors: { initial: 'viridis', check: oneOf(...Object.keys(RAMPS)), changes: 'colors', attribute: String },
  label: { initial: 'Attention map', check: text, changes: 'marks' },
  tool: { initial: 'look', check: oneOf('look', 'draw', 'erase', 'window', 'sinks'), changes: 'marks' },
  highlight: { initial: Object.freeze([]), check: rectangles, changes: 'marks' },
  blockSize: { initial: 64, check: integer(1), changes: 'marks' },
  window: { initial: undefined, check: optional(windowOf), changes: 'marks' },
  sinks: { initial: 0, check: integer(0), changes: 'marks' },
  describe: { initial: undefined, check: callback, changes: 'sentence' },
});
