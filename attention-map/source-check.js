// SPDX-License-Identifier: Apache-2.0
/** Whether an object is a source: where the element asks for cells. */

const METHODS = ['tile', 'read', 'statistics', 'rowStatistics', 'strongest'];

/** @throws {TypeError} naming what it lacks */
export function checkSource(source) {
  if (typeof source !== 'object' || source === null) {
    throw new TypeError(`source must be an object, got ${String(source)}`);
  }
  const { shape } = source;
  if (!Array.isArray(shape) || shape.length !== 4 || !shape.every((size) => Number.isSafeInteger(size) && size > 0)) {
    throw new TypeError(`source.shape must be [b, h, sq, sk], four integers > 0, got ${String(shape)}`);
  }
  for (const method of METHODS) {
    if (typeof source[method] !== 'function') throw new TypeError(`source.${method} must be a function`);
  }
}
