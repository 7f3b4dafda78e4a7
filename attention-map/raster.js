// SPDX-License-Identifier: Apache-2.0

/** Cells as pixels: one of each. */

import { fromBase64 } from './base64.js';
import { RAMPS } from './ramps.js';
import { CellState } from './states.js';

export const RAMP_NAMES = Object.freeze(Object.keys(RAMPS));

const STEPS = 256;
const LEAST_INK = 0.3; // of a pixel that keeps next to nothing: few cells among many must not vanish

/** @returns {Uint8Array} [256, 3]: red, green and blue, lowest value first. @throws {RangeError} */
export function rampColors(name) {
  if (!RAMP_NAMES.includes(name)) {
    throw new RangeError(`ramp: expected one of ${RAMP_NAMES.join(', ')}, got ${String(name)}`);
  }
  return fromBase64(RAMPS[name]);
}

/**
 * @param {object} cells row-major
 * @param {number} cells.rows
 * @param {number} cells.columns
 * @param {Float32Array} cells.values
 * @param {Uint8Array} cells.states of CellState
 * @param {Float32Array} cells.kept the part of a pixel's cells that is kept, 0..1
 * @param {object} options
 * @param {{ position(value: number): number }} options.scale
 * @param {string} options.ramp its name
 * @param {{ masked: number[], skipped: number[] }} options.theme
 * @param {ArrayLike<number>} [options.rowMax] of each row of pixels: its range ends there, and the scale is over 0..1
 * @param {ArrayLike<number>} [options.rowMin] and begins there; at 0 by default
 * @returns {Uint8ClampedArray} RGBA. What is not kept has its colour of the theme; what is, one of the ramp, towards
 *   the colour of what is masked where it is but a part of the pixel; what is kept and not a number, none (alpha 0).
 */
export function raster({ rows, columns, values, states, kept }, { scale, ramp, theme, rowMax, rowMin }) {
  const colors = rampColors(ramp);
  const pixels = new Uint8ClampedArray(4 * rows * columns);
  for (let row = 0, at = 0; row < rows; row++) {
    const low = rowMin?.[row] ?? 0;
    const range = rowMax === undefined ? 1 : rowMax[row] - low;
    for (let column = 0; column < columns; column++, at++) {
      if (states[at] !== CellState.KEPT) {
        put(pixels, at, states[at] === CellState.SKIPPED ? theme.skipped : theme.masked);
        continue;
      }
      const value = rowMax === undefined ? values[at] : withinRow(values[at] - low, range);
      const position = scale.position(value);
      if (Number.isNaN(position)) continue;
      putKept(pixels, at, colors, Math.round((STEPS - 1) * position), kept[at], theme.masked);
    }
  }
  return pixels;
}

/** A row whose values are all the same has but its lowest colour. */
function withinRow(above, range) {
  return range > 0 ? above / range : 0 * above;
}

function put(pixels, at, [red, green, blue]) {
  pixels[4 * at] = red;
  pixels[4 * at + 1] = green;
  pixels[4 * at + 2] = blue;
  pixels[4 * at + 3] = 255;
}

function putKept(pixels, at, colors, step, kept, masked) {
  const ink = kept < 1 ? LEAST_INK + (1 - LEAST_INK) * kept : 1;
  for (let part = 0; part < 3; part++) {
    pixels[4 * at + part] = ink * colors[3 * step + part] + (1 - ink) * masked[part];
  }
  pixels[4 * at + 3] = 255;
}
