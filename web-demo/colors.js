// SPDX-License-Identifier: Apache-2.0
/** Weights to colours: viridis, perceptually even and readable without red-green vision, over three scales. */
import viridis from '../node_modules/d3-scale-chromatic/src/sequential-multi/viridis.js';

const LOG_DECADES = 4;

/** Position of a weight in the ramp, and back (for the legend); both over [0, 1]. */
const SCALES = {
  linear: { position: (x) => x, weight: (t) => t },
  sqrt: { position: Math.sqrt, weight: (t) => t * t },
  log: { position: (x) => Math.max(0, 1 + Math.log10(x) / LOG_DECADES), weight: (t) => 10 ** ((t - 1) * LOG_DECADES) },
};

const RAMP = Array.from({ length: 256 }, (_, index) => viridis(index / 255));

/**
 * @param {'linear' | 'sqrt' | 'log'} scale
 * @param {number} top the weight at the bright end
 * @returns {{ color: (weight: number) => string, ticks: string[] }} ticks at 0, 1/4, .. 1 of the ramp
 */
export function weightColors(scale, top) {
  const { position, weight } = SCALES[scale];
  return {
    color: (value) => RAMP[Math.round(255 * Math.min(1, position(value / top)))],
    ticks: [0, 0.25, 0.5, 0.75, 1].map((t) => (t === 0 && scale === 'log' ? '≤ ' : '') + short(top * weight(t))),
  };
}

const short = (value) => String(Number(value.toPrecision(2)));

/** The ramp as a CSS gradient, dark end first. */
export const gradient = `linear-gradient(to right, ${RAMP.filter((_, index) => index % 15 === 0).join(', ')})`;
