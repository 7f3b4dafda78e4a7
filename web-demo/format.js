// SPDX-License-Identifier: Apache-2.0
/** Numbers as text. */

/** @returns {string} a share as a percentage with three significant digits */
export function percent(share) {
  if (!Number.isFinite(share)) return '–';
  if (share === 0) return '0 %';
  return share < 1e-6 ? `${(100 * share).toExponential(1)} %` : `${short(100 * share)} %`;
}

/** @returns {string} milliseconds as a time with two significant digits */
export function duration(milliseconds) {
  if (!Number.isFinite(milliseconds)) return '–';
  if (milliseconds >= 1000) return `${short(milliseconds / 1000, 2)} s`;
  return milliseconds < 1 ? `${short(1000 * milliseconds, 2)} µs` : `${short(milliseconds, 2)} ms`;
}

/** @returns {string} "1.2 M": a count with three significant digits */
export function amount(value, units = ['', ' k', ' M', ' G', ' T']) {
  if (!Number.isFinite(value)) return '–';
  let power = 0;
  while (value >= 999.5 && power < units.length - 1) {
    value /= 1000;
    power++;
  }
  return `${short(value)}${units[power]}`;
}

/** @returns {string} */
export function bytes(value) {
  return amount(value, [' B', ' kB', ' MB', ' GB', ' TB']);
}

export function short(value, digits = 3) {
  return String(Number(value.toPrecision(digits)));
}

/** @returns {string} "100,000" */
export function whole(value) {
  return value.toLocaleString('en-US');
}
