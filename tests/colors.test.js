// SPDX-License-Identifier: Apache-2.0
// From values to colours: scales, ramps and rasters, with what is degenerate.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as chromatic from 'd3-scale-chromatic';
import fc from 'fast-check';

import { RAMP_NAMES, rampColors, raster } from '../attention-map/raster.js';
import { formatNumber, makeScale, quantilesOf, SCALES } from '../attention-map/scale.js';
import { CellState } from '../attention-map/states.js';
import { luminanceOf, THEMES } from '../attention-map/themes.js';

const near = (actual, expected, what) =>
  assert.ok(Math.abs(actual - expected) < 1e-6, `${what}: ${actual}, not ${expected}`);
const quantiles = Float32Array.from({ length: 101 }, (_, n) => (n / 100) ** 3);

test('scales: positions of known values', () => {
  const weights = { min: 1e-7, max: 0.5 };
  const cases = [
    [
      { kind: 'linear', ...weights },
      [
        [0, 0],
        [0.25, 0.5],
        [0.5, 1],
        [0.7, 1],
        [-1, 0],
      ],
    ],
    [
      { kind: 'power', ...weights },
      [
        [0.125, 0.5],
        [0.5, 1],
        [0, 0],
      ],
    ],
    [{ kind: 'power', exponent: 2, ...weights }, [[0.25, 0.25]]],
    [
      { kind: 'log', ...weights },
      [
        [0.5, 1],
        [0.05, 0.75],
        [0.00005, 0],
        [1e-9, 0],
        [0, 0],
      ],
    ],
    [
      { kind: 'log', decades: 2, ...weights },
      [
        [0.05, 0.5],
        [0.004, 0],
      ],
    ],
    [
      { kind: 'percentile', quantiles, ...weights },
      [
        [0.125, 0.5],
        [0, 0],
        [1, 1],
        [2, 1],
        [-1, 0],
      ],
    ],
    [
      { kind: 'linear', min: -10, max: 30 },
      [
        [-10, 0],
        [0, 0.25],
        [30, 1],
      ],
    ],
    [
      { kind: 'linear', min: -10, max: -5 },
      [
        [-10, 0],
        [-7.5, 0.5],
        [-5, 1],
      ],
    ],
  ];
  for (const [options, pairs] of cases) {
    const { position } = makeScale(options);
    for (const [value, at] of pairs) near(position(value), at, `${JSON.stringify(options)} ${value}`);
  }
});

test('scales: value undoes position, which never falls, and ticks stand where their labels say', () => {
  const range = fc.record({
    kind: fc.constantFrom(...SCALES),
    exponent: fc.double({ min: 0.2, max: 3, noNaN: true }),
    decades: fc.double({ min: 1, max: 8, noNaN: true }),
    min: fc.double({ min: -50, max: 1, noNaN: true }),
    max: fc.double({ min: 1.001, max: 100, noNaN: true }),
  });
  fc.assert(
    fc.property(range, (options) => {
      const spread = Float64Array.from(quantiles, (part) => options.min + part * (options.max - options.min));
      const scale = makeScale({ ...options, quantiles: spread });
      let last = -1;
      for (let step = 0; step <= 20; step++) {
        near(scale.position(scale.value(step / 20)), step / 20, 'back');
        const at = scale.position(scale.low + (step / 20) * (scale.high - scale.low));
        assert.ok(at >= last && at >= 0 && at <= 1, `${at} after ${last}`);
        last = at;
      }
      assert.ok(scale.ticks.length >= 2 && scale.ticks.length <= 9, `${scale.ticks.length} ticks`);
      for (const [n, { position, label }] of scale.ticks.entries()) {
        assert.ok(position >= 0 && position <= 1 && (n === 0 || position > scale.ticks[n - 1].position), label);
        assert.doesNotMatch(label, /NaN|undefined|Infinity|e[-+]/);
      }
    }),
    { numRuns: 300 },
  );
});

test('scales: nothing kept, all zero, all the same, infinite: still a scale', () => {
  const degenerate = [
    [NaN, NaN],
    [Infinity, -Infinity],
    [0, 0],
    [0.1, 0.1],
    [-3, -3],
    [-Infinity, Infinity],
    [5, 2],
  ];
  for (const kind of SCALES) {
    for (const [min, max] of degenerate) {
      for (const list of [[], new Float32Array(101).fill(NaN), [0.3]]) {
        const { position, value, low, high, ticks } = makeScale({ kind, min, max, quantiles: list });
        assert.ok(low < high && Number.isFinite(high - low), `${kind} ${min} ${max}: ${low} .. ${high}`);
        assert.deepEqual([position(low), position(high)], [0, 1], `${kind} ${min} ${max}`);
        assert.ok(Number.isFinite(value(0.5)) && ticks.length >= 2);
        assert.ok(Number.isNaN(position(NaN)), 'what is no number has no place');
        assert.deepEqual([position(Infinity), position(-Infinity)], [1, 0]);
      }
    }
  }
});

test('scales: percentiles of values that are equal', () => {
  const ties = [0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 3];
  const { position } = makeScale({ kind: 'percentile', min: 0, max: 3, quantiles: ties });
  const expected = { 0: 0.1, 0.5: 0.25, 1: 0.35, 1.5: 0.45, 2: 0.5, 3: 0.8, 4: 1 };
  for (const [value, at] of Object.entries(expected)) near(position(Number(value)), at, value);
  near(position(-1), 0, 'below');
  const same = makeScale({ kind: 'percentile', min: 2, max: 2, quantiles: [2, 2, 2] });
  assert.equal(same.position(2), 0.5);
});

test('scales: what is clipped, and ticks and numbers as text', () => {
  assert.deepEqual(makeScale({ kind: 'log', min: 1e-9, max: 1 }).clipped, { below: '< 10⁻⁴', above: undefined });
  assert.equal(makeScale({ kind: 'log', min: 0.01, max: 1 }).clipped, undefined);
  assert.deepEqual(makeScale({ kind: 'linear', min: 0.01, max: 0.2, largest: 0.9 }).clipped, {
    below: undefined,
    above: '> 0.2',
  });
  const labels = (options) => makeScale(options).ticks.map(({ label }) => label);
  assert.deepEqual(labels({ kind: 'linear', min: 0.001, max: 1 }), ['0', '0.2', '0.4', '0.6', '0.8', '1']);
  assert.deepEqual(labels({ kind: 'log', min: 1e-9, max: 1 }), ['10⁻⁴', '0.001', '0.01', '0.1', '1']);
  assert.deepEqual(labels({ kind: 'linear', min: -12, max: 8 }), ['−10', '−5', '0', '5']);
  assert.deepEqual([0.12345, -0.5, 2.5e-7, -1e-9, 123456, NaN, -Infinity].map(formatNumber), [
    ...['0.123', '−0.5', '2.5×10⁻⁷', '−10⁻⁹', '1.23×10⁵', 'not a number', '−∞'],
  ]);
  assert.deepEqual(
    [...quantilesOf([3, NaN, 1, 2, Infinity])].filter((_, n) => n % 50 === 0),
    [1, 2, 3],
  );
  assert.ok(quantilesOf([]).every(Number.isNaN));
  assert.throws(
    () => makeScale({ kind: 'cubic', min: 0, max: 1 }),
    /^RangeError: kind: expected one of linear, .* got cubic/,
  );
  assert.throws(
    () => makeScale({ kind: 'power', exponent: 0, min: 0, max: 1 }),
    /exponent: expected a number > 0, got 0/,
  );
  assert.throws(
    () => makeScale({ kind: 'log', decades: NaN, min: 0, max: 1 }),
    /decades: expected a number > 0, got NaN/,
  );
});

test('ramps: those of d3-scale-chromatic, and bright at one end only', () => {
  assert.deepEqual(RAMP_NAMES, ['viridis', 'magma', 'inferno', 'cividis', 'blues', 'greys', 'regions']);
  for (const name of RAMP_NAMES.slice(0, -1)) {
    const colors = rampColors(name);
    assert.equal(colors.length, 768);
    for (const step of [0, 100, 255]) {
      const color = chromatic[`interpolate${name[0].toUpperCase()}${name.slice(1)}`](step / 255);
      const bytes = color.startsWith('#') ? Buffer.from(color.slice(1), 'hex') : color.match(/\d+/g).map(Number);
      assert.deepEqual([...colors.subarray(3 * step, 3 * step + 3)], [...bytes], `${name} ${step}`);
    }
    const bright = Array.from({ length: 256 }, (_, step) => luminanceOf([...colors.subarray(3 * step, 3 * step + 3)]));
    const sign = Math.sign(bright[255] - bright[0]);
    bright.forEach((value, n) => assert.ok(n === 0 || sign * (value - bright[n - 1]) > -0.002, `${name} ${n}`));
  }
  const bands = rampColors('regions');
  const kinds = [0, 85, 86, 170, 171, 255].map((step) => bands.subarray(3 * step, 3 * step + 3).join());
  assert.deepEqual([kinds[0], kinds[2], kinds[4]], [kinds[1], kinds[3], kinds[5]]);
  assert.equal(new Set(kinds).size, 3);
  assert.throws(() => rampColors('jet'), /^RangeError: ramp: expected one of viridis, .* got jet/);
});

/** CIE 1976 L*a*b* of a colour of sRGB. */
function labOf(color) {
  const [red, green, blue] = color.map((part) =>
    part <= 10.31 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4,
  );
  const f = (t) => (t > 216 / 24389 ? Math.cbrt(t) : ((24389 / 27) * t + 16) / 116);
  const x = f((0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505);
  const y = f(0.2126 * red + 0.7152 * green + 0.0722 * blue);
  const z = f((0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089);
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

const differenceOf = (a, b) => Math.hypot(...labOf(a).map((value, n) => value - labOf(b)[n]));

test('themes: masked, skipped, the page and the lowest colour of every ramp all look different', () => {
  for (const [name, theme] of Object.entries(THEMES)) {
    assert.ok(differenceOf(theme.masked, theme.skipped) > 10, name);
    for (const what of ['masked', 'skipped']) {
      assert.ok(differenceOf(theme[what], theme.page) > 8, `${name} ${what} and page`);
      for (const ramp of RAMP_NAMES) {
        const difference = differenceOf(theme[what], [...rampColors(ramp).subarray(0, 3)]);
        assert.ok(difference > 10, `${name}: ${what} and the lowest of ${ramp} differ by ${difference}`);
      }
    }
    for (const text of ['text', 'muted']) {
      const [bright, dark] = [luminanceOf(theme[text]), luminanceOf(theme.page)].sort((a, b) => b - a);
      assert.ok((bright + 0.05) / (dark + 0.05) >= 4.5, `${name} ${text}: contrast`);
    }
  }
});

const theme = { masked: [1, 2, 3], skipped: [4, 5, 6] };
const { KEPT, MASKED, SKIPPED } = CellState;

function pixelsOf(values, states, kept, options = {}) {
  const cells = { rows: 1, columns: values.length, values: Float32Array.from(values), ...options.cells };
  const scale = options.scale ?? makeScale({ kind: 'linear', min: 0, max: 1 });
  const list = { states: Uint8Array.from(states), kept: Float32Array.from(kept) };
  const pixels = raster({ ...cells, ...list }, { scale, ramp: 'viridis', theme, ...options.row });
  return Array.from({ length: values.length }, (_, n) => [...pixels.subarray(4 * n, 4 * n + 4)]);
}

const inkOf = (step) => [...rampColors('viridis').subarray(3 * step, 3 * step + 3), 255];

test('raster: what is kept, masked and skipped, kept in part, and no number', () => {
  const pixels = pixelsOf([0, 1, 0.5, NaN, NaN, NaN], [KEPT, KEPT, KEPT, MASKED, SKIPPED, KEPT], [1, 1, 1, 0, 0, 1]);
  assert.deepEqual(pixels, [inkOf(0), inkOf(255), inkOf(128), [1, 2, 3, 255], [4, 5, 6, 255], [0, 0, 0, 0]]);
  const parts = pixelsOf([1, 1, 1], [KEPT, KEPT, KEPT], [1, 0.5, 0.0001]);
  const distance = parts.map((pixel) => Math.hypot(...pixel.slice(0, 3).map((value, n) => value - theme.masked[n])));
  assert.ok(distance[0] > distance[1] && distance[1] > distance[2], 'less of it, closer to what is masked');
  assert.ok(distance[2] > 60, 'a single cell of many still shows');
});

test('raster: each row against its own range', () => {
  const row = { rowMax: [0.5, 0, 4], rowMin: [0, 0, 2] };
  const cells = { rows: 3, columns: 2 };
  const pixels = pixelsOf([0.5, 0.25, 0, NaN, 2, 3], Array(6).fill(KEPT), Array(6).fill(1), { row, cells });
  assert.deepEqual(pixels, [inkOf(255), inkOf(128), inkOf(0), [0, 0, 0, 0], inkOf(0), inkOf(128)]);
  const only = pixelsOf([0.5, 0.25], [KEPT, KEPT], [1, 1], { row: { rowMax: [0.5] } });
  assert.deepEqual(only, [inkOf(255), inkOf(128)], 'rows begin at 0');
});
