// SPDX-License-Identifier: Apache-2.0
/** @file figures.js - figures that tests draw, in Node and in browsers. */
import { makeScale } from '../attention-map/scale.js';
import { CellState } from '../attention-map/states.js';
import { readSample } from '../web-demo/files/sample.js';

/** What `read` gives: weight(query, key) where it is kept, otherwise a state. */
export function cellsOf(rows, columns, weight, stateOf = () => CellState.KEPT) {
  const states = Uint8Array.from({ length: rows * columns }, (_, n) => stateOf(Math.floor(n / columns), n % columns));
  const values = Float32Array.from(states, (state, n) =>
    state === CellState.KEPT ? weight(Math.floor(n / columns), n % columns) : NaN,
  );
  return {
    rows,
    columns,
    values,
    states,
    kept: Float32Array.from(states, (state) => Number(state === CellState.KEPT)),
  };
}

export const causal = (query, key) => (key <= query ? CellState.KEPT : CellState.MASKED);
const linear = makeScale({ kind: 'linear', min: 0, max: 1 });
export const wave = (query, key) => Math.abs(Math.sin(query * key + key));
export const plain = (rows, columns, options) => ({
  cells: cellsOf(rows, columns, wave, causal),
  ...{ rows: [0, rows], columns: [0, columns], scale: linear },
  ...options,
});

export const TOKENS = [
  ...['antidisestablishmentarianism', 'पानी', 'こんにちは世界', '<|endoftext|>', '\n', '  ', 'Ġthe', '▁Attention'],
  ...['مرحبا', '👩‍👩‍👧', 'a&b<c>"', 'x'.repeat(300), 'e\u0301', '\ud800', '\u0000\u0007', ''],
];

/** A head of the sample with a window and two sinks; blocks beyond that are as if they were skipped. */
function sampleFigure(sample, options) {
  const { tokens, layers: [{ weights: recorded }] } = sample;
  const steps = tokens.keys.length;
  const weights = recorded.data.subarray(3 * steps * steps, 4 * steps * steps);
  const stateOf = (query, key) => {
    if (Math.abs(query - key) <= 6 || key < 2) return CellState.KEPT;
    return key - query > 20 ? CellState.SKIPPED : CellState.MASKED;
  };
  const cells = cellsOf(steps, steps, (query, key) => weights[query * steps + key], stateOf);
  return {
    ...{ cells, rows: [0, steps], columns: [0, steps], tokens },
    ...{ title: sample.text, scale: makeScale({ kind: 'power', min: 1e-6, max: Math.max(...weights) }), width: 420 },
    ...options,
  };
}

/** A coarse picture: a window of 100,000 keys, of which pixels keep a part. */
function coarse() {
  const far = (row, column) => row - column > 40 || column - row > 8;
  const stateOf = (row, column) => {
    if (column <= row && row - column < 30) return CellState.KEPT;
    return far(row, column) ? CellState.SKIPPED : CellState.MASKED;
  };
  const cells = cellsOf(196, 196, (row, column) => Math.exp((column - row) / 8), stateOf);
  cells.kept.forEach((part, n) => (cells.kept[n] = part * (Math.floor(n / 196) - (n % 196) > 20 ? 0.25 : 1)));
  const scale = makeScale({ kind: 'log', min: 1e-9, max: 1 });
  return { cells, level: 9, rows: [0, 100000], columns: [0, 100000], scale, width: 280, title: '100,000 tokens' };
}

/** Options of figure(), by name. @param file samples/attention.safetensors */
export function figures(file) {
  const sample = readSample(file);
  return {
    'sample-light': sampleFigure(sample, {}),
    'sample-dark': sampleFigure(sample, {
      ...{ theme: 'dark', ramp: 'magma', title: '', subtitle: 'the largest left out of the range' },
      ...{ scale: makeScale({ kind: 'log', decades: 2, min: 1e-6, max: 0.06, largest: 0.2 }) },
      ...{ highlight: [{ rows: [10, 20], columns: [10, 20] }], cursor: { query: 30, key: 28 } },
    }),
    tokens: plain(16, 16, { tokens: { queries: TOKENS, keys: TOKENS }, numbers: true, ramp: 'cividis', width: 360 }),
    'one-cell': plain(1, 1, { rows: [37, 38], columns: [99999, 100000], numbers: true, width: 240 }),
    scores: plain(6, 9, {
      ...{
        cells: cellsOf(6, 9, (query, key) => (query === 2 ? NaN : 9 * Math.sin(query + key * key))),
        show: 'scores',
      },
      ...{ scale: makeScale({ kind: 'linear', min: -9, max: 9 }), numbers: true, ramp: 'inferno', width: 280 },
    }),
    mask: plain(12, 20, {
      ...{ cells: cellsOf(12, 20, () => 1, causal), show: 'mask', ramp: 'blues', width: 280 },
      highlight: [{ rows: [1, 3], columns: [0, 5] }],
    }),
    coarse: coarse(),
  };
}
