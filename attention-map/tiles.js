// SPDX-License-Identifier: Apache-2.0

/** Tiles of pictures as pixels: what a source says of their cells, in colours. */

import { checkBoolean, checkChoice, checkInteger, checkOptions } from '../js/checks.js';
import { raster } from './raster.js';
import { makeScale } from './scale.js';

export const TILE_SIZE = 256;
const TILE_OPTIONS = new Set([
  'batch', 'head', 'level', 'row', 'column', 'show', 'scale', 'range', 'skipKeys', 'ramp', 'theme', 'quick',
]); // prettier-ignore
const MAX_LEVEL = 31;
const PARTS = { min: 0, max: 1, quantiles: new Float32Array(0) }; // what a mask's values range over

/** The steps of a source's method: its own, or one. */
export function* stepsOf(source, method, options) {
  if (source.steps === undefined) return source[method](options);
  return yield* source.steps(method, options);
}

/**
 * Draws a tile, in steps.
 * @param cache, owner where what was read is kept, and the prefix of its keys
 * @param options see MapServer.tile
 * @returns { rgba: Uint8ClampedArray, width, height, sampled, provisional }
 */
export function* tileSteps(source, cache, owner, options) {
  checkOptions(options, 'options', TILE_OPTIONS);
  const { batch = 0, head = 0, level = 0, show = 'weights', skipKeys = 0, scale = {}, ramp, theme } = options;
  const isByRow = checkChoice(options.range, 'range', ['head', 'row']) === 'row' && show !== 'mask';
  const isQuick = checkBoolean(options.quick, 'quick') && show !== 'mask';
  checkInteger(level, 'level', 0, source.maxLevel ?? MAX_LEVEL);
  const rows = spanOf(options.row, 'row', source.shape[2], level);
  const columns = spanOf(options.column, 'column', source.shape[3], level);
  const read = { batch, head, level, show, rows, columns };
  const range = { batch, head, show, skipKeys };

  const wanted = { cells: ['read', read] };
  if (show !== 'mask' && scale.max === undefined) wanted.numbers = ['statistics', range];
  if (isByRow) wanted.limits = ['rowStatistics', { ...range, level, rows }];
  const known = yield* know(source, cache, owner, wanted, isQuick);
  const kept = { cells: ['read', { ...read, show: 'mask' }] };
  const { cells, numbers, limits } = known ?? (yield* know(source, cache, owner, kept, false));

  const isPart = known === undefined || show === 'mask'; // colours say which part of a pixel is kept
  const ends = isByRow ? PARTS : numbers;
  const made = makeScale(isPart ? { kind: 'linear', ...PARTS } : { kind: 'linear', ...ends, ...scale });
  return {
    rgba: raster(cells, { scale: made, ramp, theme, rowMax: limits?.max, rowMin: lowest(limits, show) }),
    width: cells.columns,
    height: cells.rows,
    sampled: cells.sampled === true,
    provisional: known === undefined,
  };
}

/** Where each row's range begins: of weights at 0. */
function lowest(limits, show) {
  return show === 'scores' ? limits?.min : undefined;
}

/** The results of some methods, from the cache where they are there; undefined where not, and `isQuick`. */
function* know(source, cache, owner, wanted, isQuick) {
  const results = {};
  for (const [name, [method, options]] of Object.entries(wanted)) {
    const key = `${owner}${method}${Object.values(options)}`;
    let result = cache.get(key);
    if (result === undefined) {
      if (!isQuick) result = yield* stepsOf(source, method, options);
      else if (method === 'read') result = source.peek?.(options);
      if (result === undefined) return undefined;
      cache.set(key, result, bytesOf(result));
    }
    results[name] = result;
  }
  return results;
}

/** The range of pixels of a tile. */
function spanOf(number, name, length, level) {
  const pixels = Math.ceil(length / 2 ** level);
  checkInteger(number, name, 0, Math.max(0, Math.ceil(pixels / TILE_SIZE) - 1));
  return [number * TILE_SIZE, Math.min(pixels, (number + 1) * TILE_SIZE)];
}

function bytesOf(result) {
  return Object.values(result).reduce((bytes, value) => bytes + (value?.byteLength ?? 8), 0);
}
