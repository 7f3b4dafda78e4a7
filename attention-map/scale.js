// SPDX-License-Identifier: Apache-2.0

/** From values to places on a colour ramp, 0..1, and back, with ticks for a legend. */

export const SCALES = Object.freeze(['linear', 'power', 'log', 'percentile']);

const NEAREST_TICKS = 0.12; // two ticks are at least so far apart on the ramp
const SUPERSCRIPTS = { '-': '⁻', 0: '⁰', 1: '¹', 2: '²', 3: '³', 4: '⁴', 5: '⁵', 6: '⁶', 7: '⁷', 8: '⁸', 9: '⁹' };

/**
 * @typedef {object} Scale
 * @property {string} kind
 * @property {string} name for a legend: '', 'power 0.5', 'log', 'percentile'
 * @property {number} low the value at the lower end: 0, or the least one where it is negative
 * @property {number} high the value at the upper end
 * @property {(value: number) => number} position 0..1, values outside at the ends; NaN for NaN
 * @property {(position: number) => number} value the inverse, within the ends
 * @property {{ position: number, label: string }[]} ticks ascending
 * @property {{ below?: string, above?: string } | undefined} clipped what values beyond the ends are, if there are any
 */

/**
 * A range that is empty or not a number (nothing is kept) becomes one that is not: 0 .. 1, or from the least to 0.
 * `log` and `power` act on what a value is above the lower end, as a part of the range, so that they take scores too.
 * `percentile` is the part of the values that are smaller, those that are equal counting half.
 *
 * @param {object} options
 * @param {'linear' | 'power' | 'log' | 'percentile'} options.kind
 * @param {number} [options.exponent] of `power`, > 0
 * @param {number} [options.decades] of `log`: what is smaller than 10^-decades of the range has the lowest colour; > 0
 * @param {number} options.min least value; of weights the least above 0
 * @param {number} options.max largest value
 * @param {ArrayLike<number>} [options.quantiles] for `percentile`: values at 0, 1/n, .. 1; without any it is linear
 * @param {number} [options.largest] of all that is drawn, where that may be more than `max`, which is what was left out
 * @param {number} [options.least]
 * @returns {Scale}
 * @throws {RangeError} naming what is out of range
 */
export function makeScale(options) {
  const { kind, exponent = 0.5, decades = 4, min, max, quantiles = [], largest = max, least = min } = options;
  if (!SCALES.includes(kind)) throw new RangeError(`kind: expected one of ${SCALES.join(', ')}, got ${String(kind)}`);
  checkPositive(exponent, 'exponent');
  checkPositive(decades, 'decades');
  const low = min < 0 && Number.isFinite(min) ? min : 0;
  const high = max > low && Number.isFinite(max) ? max : low < 0 ? 0 : 1;
  const ranks = quantiles.length > 1 && !Array.prototype.some.call(quantiles, Number.isNaN) ? quantiles : [low, high];
  const shape = {
    linear: { name: '', toPosition: (part) => part, toPart: (position) => position },
    power: {
      name: `power ${formatNumber(exponent)}`,
      toPosition: (part) => part ** exponent,
      toPart: (position) => position ** (1 / exponent),
    },
    log: {
      name: 'log',
      toPosition: (part) => Math.max(0, 1 + Math.log10(part) / decades),
      toPart: (position) => 10 ** ((position - 1) * decades),
    },
  }[kind];
  const range = high - low;
  const ends = (position) => Math.min(1, Math.max(0, position)); // NaN stays
  const scale =
    kind === 'percentile'
      ? { name: 'percentile', position: (value) => rankOf(value, ranks), value: (at) => quantileAt(ends(at), ranks) }
      : {
          name: shape.name,
          position: (value) => shape.toPosition(ends((value - low) / range)),
          value: (position) => low + range * shape.toPart(ends(position)),
        };
  const floor = scale.value(0);
  const ticks = TICKS[kind](scale, low, high);
  return { kind, low, high, ...scale, ticks, clipped: clippedOf(floor, scale.value(1), least, largest) };
}

/** The values at 0, 1/100, .. 1 of what is finite in `values`; NaN everywhere if nothing is. */
export function quantilesOf(values) {
  const sorted = Float32Array.from(values).filter(Number.isFinite).sort();
  return Float32Array.from({ length: 101 }, (_, n) => sorted[Math.round((n / 100) * (sorted.length - 1))] ?? NaN);
}

/** A number for an axis or a legend: three digits, a true minus, powers of ten raised. */
export function formatNumber(value) {
  if (Number.isNaN(value)) return 'not a number';
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '−∞';
  const size = Math.abs(value);
  const text = size === 0 || (size >= 1e-3 && size < 1e5) ? String(Number(value.toPrecision(3))) : raised(value);
  return text.replace(/^-/, '−');
}

function raised(value) {
  const [, mantissa, exponent] = /^(.*)e\+?(.*)$/.exec(Number(value.toPrecision(3)).toExponential());
  const power = `10${[...exponent].map((letter) => SUPERSCRIPTS[letter]).join('')}`;
  return mantissa === '1' ? power : mantissa === '-1' ? `-${power}` : `${mantissa}×${power}`;
}

function checkPositive(value, name) {
  if (!(value > 0 && Number.isFinite(value)))
    throw new RangeError(`${name}: expected a number > 0, got ${String(value)}`);
}

/** Where values beyond the ends are, in words; not where rounding to these words hides it. */
function clippedOf(low, high, least, largest) {
  const below = least < low && formatNumber(least) !== formatNumber(low) ? `< ${formatNumber(low)}` : undefined;
  const above = largest > high && formatNumber(largest) !== formatNumber(high) ? `> ${formatNumber(high)}` : undefined;
  return below === undefined && above === undefined ? undefined : { below, above };
}

/** The part of the ranks below a value; the middle of those that equal it, and between two of them in proportion. */
function rankOf(value, ranks) {
  if (Number.isNaN(value)) return NaN;
  const last = ranks.length - 1;
  const below = countWhile(ranks, (rank) => rank < value);
  const notAbove = countWhile(ranks, (rank) => rank <= value);
  if (notAbove > below) return (below + notAbove - 1) / 2 / last;
  if (below === 0) return 0;
  if (below > last) return 1;
  return (below - 1 + (value - ranks[below - 1]) / (ranks[below] - ranks[below - 1])) / last;
}

/** How many of ascending values hold, from the first on. */
function countWhile(values, holds) {
  let [from, to] = [0, values.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (holds(values[middle])) from = middle + 1;
    else to = middle;
  }
  return from;
}

function quantileAt(position, ranks) {
  const at = position * (ranks.length - 1);
  const index = Math.min(Math.floor(at), ranks.length - 2);
  return ranks[index] + (at - index) * (ranks[index + 1] - ranks[index]);
}

/** Multiples of 1, 2 or 5 times a power of ten, about five. */
function evenTicks({ position }, low, high) {
  const step = niceStep((high - low) / 5);
  const first = Math.ceil(low / step - 1e-6);
  const count = Math.floor(high / step + 1e-6) - first + 1;
  return Array.from({ length: count }, (_, n) => tickAt(position, (first + n) * step));
}

/** Those of even ticks that are far enough apart and, between them and 0, rounder numbers first. */
function unevenTicks(scale, low, high) {
  const ticks = evenTicks(scale, low, high);
  const decade = 10 ** Math.floor(Math.log10(high - low));
  const smaller = [1, 0.1, 0.01].flatMap((factor) => [1, 0.5, 0.2].map((part) => part * factor * decade));
  const between = low < 0 ? [] : smaller.filter((value) => value < high);
  return apart([...ticks, ...between.map((value) => tickAt(scale.position, value))]);
}

/** Powers of ten, also where the range does not end at one. */
function logTicks(scale, low, high) {
  if (low < 0) return quarterTicks(scale);
  const first = Math.ceil(Math.log10(scale.value(0)) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  const count = Math.max(0, last - first + 1);
  const powers = Array.from({ length: count }, (_, n) => tickAt(scale.position, 10 ** (last - n)));
  const ends = [tickAt(scale.position, high), tickAt(scale.position, scale.value(0))];
  return apart(powers.length > 1 ? powers : [...powers, ...ends]);
}

function quarterTicks({ value }) {
  return [0, 0.25, 0.5, 0.75, 1].map((position) => ({ position, label: formatNumber(value(position)) }));
}

function tickAt(position, value) {
  return { position: position(value), label: formatNumber(Number(value.toPrecision(12))) };
}

/** Of ticks the first ones that are far enough from each other, ascending. */
function apart(ticks) {
  const kept = [];
  for (const tick of ticks) {
    if (kept.every(({ position }) => Math.abs(position - tick.position) >= NEAREST_TICKS)) kept.push(tick);
  }
  return kept.sort((a, b) => a.position - b.position);
}

function niceStep(step) {
  const power = 10 ** Math.floor(Math.log10(step));
  return power * ([1, 2, 5].find((factor) => factor * power >= step * (1 - 1e-9)) ?? 10);
}

const TICKS = { linear: evenTicks, power: unevenTicks, log: logTicks, percentile: quarterTicks };
