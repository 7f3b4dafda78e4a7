// SPDX-License-Identifier: Apache-2.0

/**
 * The largest values of blocks of cells. A level's pixels are blocks of 2^level x 2^level cells; they are computed in
 * strips of 256 pixels high and at most 4096 wide, row by row of pixels, and kept in a cache. Where a matrix is no
 * larger than that, a level is made of the one below, and nothing is left out. Of larger ones rows are sampled: of each
 * block the one in the middle, and as many others as it takes until every pixel of which something is kept has a value.
 */

import { formOf } from '../js/mask.js';
import { rowReader } from '../js/mask-rows.js';
import { placeIn } from './kept.js';

export const STRIP_HEIGHT = 256;
export const STRIP_WIDTH = 4096;
const NAN_BITS = 0x7fc00000;
const ROWS_AT_ONCE = 256; // rows of cells whose pixels are looked at together, at least one row of pixels

export class Blocks {
  #rows;
  #cache;
  #owner;
  #readers = new Map(); // mask -> its reader of rows

  /**
   * @param rows EngineRows, or what has the same interface
   * @param cache a Cache, for values
   */
  constructor(rows, cache) {
    this.#rows = rows;
    this.#cache = cache;
    this.#owner = cache.owner();
    const [, , queries, keys] = rows.shape;
    /** Whether levels are made of the ones below. */
    this.isSmall = queries <= STRIP_WIDTH && keys <= STRIP_WIDTH;
  }

  /** Whether values of a level leave rows out; not where there are no more than a strip computes anyway. */
  isSampled(level) {
    return !this.isSmall && !this.#rows.isExact && level > 0 && this.#rows.shape[2] > STRIP_HEIGHT;
  }

  /** Rows and columns of pixels of a level. */
  sizeOf(level) {
    return this.#rows.shape.slice(2).map((length) => Math.ceil(length / 2 ** level));
  }

  /** Whether a strip has these rows of pixels, counted from its first. */
  peek(request, strip, group, begin, end) {
    const found = this.#cache.get(this.#keyOf(request, strip, group));
    return found !== undefined && !found.done.subarray(begin, end).includes(0);
  }

  /**
   * Computes rows begin .. end - 1 of a strip. It pauses (yields) between parts that take a moment.
   * @param request { batch, head, mask, field: the name of the mask, show: 'weights' | 'scores', level }
   * @param strip, group which strip, down and across
   * @returns { width, values: Float32Array, NaN where nothing is kept; done: which rows are there }
   */
  *fill(request, strip, group, begin, end) {
    const key = this.#keyOf(request, strip, group);
    let found = this.#cache.get(key);
    if (found === undefined) {
      found = this.#newStrip(request.level, strip, group);
      this.#cache.set(key, found, found.values.byteLength + found.done.byteLength);
    }
    if (this.isSmall && request.level > 0) yield* this.#fillFromBelow(request, found, strip, begin, end);
    else yield* this.#fillFromRows(request, found, strip, group, begin, end);
    return found;
  }

  /**
   * Visits what is kept of rows of cells, as `next` of EngineRows does, with the row's number in place of n. Small
   * matrices are computed by strips, which stay for pictures. Pauses between parts.
   */
  *visitRows(request, rows, columns, visit) {
    if (!this.isSmall) {
      const whole = { ...request, rows, columns };
      for (let first = 0; first < rows.length; yield) {
        first = this.#rows.next(whole, first, (n, ...stretch) => visit(rows[n], ...stretch));
      }
      return;
    }
    const cells = { ...request, level: 0 };
    const read = this.#readerOf(request.mask);
    const place = placeIn(request.mask, this.#rows.shape, request.batch, request.head);
    for (const row of rows) {
      const number = Math.floor(row / STRIP_HEIGHT);
      const at = row - number * STRIP_HEIGHT;
      const { values, width } = yield* this.fill(cells, number, 0, at, Math.min(at + 64, this.#heightOf(0, number)));
      const kept = read(place.batch, place.head, row);
      for (let s = 0; s < kept.count; s++) {
        const begin = Math.max(kept.begins[s], columns[0]);
        const end = Math.min(kept.ends[s], columns[1]);
        if (begin < end) visit(row, begin, end, values, at * width + begin);
      }
    }
  }

  forget() {
    this.#cache.forget(this.#owner);
  }

  #keyOf({ batch, head, field, show, level }, strip, group) {
    return `${this.#owner}${[batch, head, field, show, level, strip, group]}`;
  }

  #readerOf(mask) {
    if (!this.#readers.has(mask)) this.#readers.set(mask, rowReader(mask.shape, formOf(mask, 'mask')));
    return this.#readers.get(mask);
  }

  #heightOf(level, strip) {
    return Math.min(STRIP_HEIGHT, this.sizeOf(level)[0] - strip * STRIP_HEIGHT);
  }

  #newStrip(level, strip, group) {
    const height = this.#heightOf(level, strip);
    const width = Math.min(STRIP_WIDTH, this.sizeOf(level)[1] - group * STRIP_WIDTH);
    const values = new Float32Array(height * width);
    new Uint32Array(values.buffer).fill(NAN_BITS); // several times faster than fill(NaN)
    return { width, values, done: new Uint8Array(height) };
  }

  /** Of a small matrix: each pixel is the largest of four below. */
  *#fillFromBelow(request, found, strip, begin, end) {
    const level = request.level - 1;
    const below = { ...request, level };
    for (let row = begin; row < end; row++) {
      if (found.done[row] === 1) continue;
      const first = 2 * (strip * STRIP_HEIGHT + row);
      for (let own = first; own < Math.min(first + 2, this.sizeOf(level)[0]); own++) {
        const number = Math.floor(own / STRIP_HEIGHT);
        const at = own - number * STRIP_HEIGHT;
        const height = Math.min(this.#heightOf(level, number), at + Math.max(1, ROWS_AT_ONCE >> level));
        const { values, width } = yield* this.fill(below, number, 0, at, height);
        for (let column = 0; column < width; column++) {
          raise(found.values, row * found.width + (column >> 1), values[at * width + column]);
        }
      }
      found.done[row] = 1;
      yield;
    }
  }

  *#fillFromRows(request, found, strip, group, begin, end) {
    const size = 2 ** request.level;
    const from = group * STRIP_WIDTH;
    const columns = [from * size, Math.min(this.#rows.shape[3], (from + found.width) * size)];
    const atOnce = this.isSampled(request.level) ? 16 : Math.max(1, ROWS_AT_ONCE / size);
    for (let row = begin; row < end; ) {
      if (found.done[row] === 1) {
        row++;
        continue;
      }
      let stop = row;
      while (stop < end && stop - row < atOnce && found.done[stop] === 0) stop++;
      yield* this.#computePixels({ ...request, columns }, found, strip * STRIP_HEIGHT, from, row, stop);
      found.done.fill(1, row, stop);
      row = stop;
    }
  }

  /** Rows begin .. end - 1 of pixels of a strip; `top` and `left` are its first pixel in the picture. */
  *#computePixels(request, { values, width }, top, left, begin, end) {
    const { level } = request;
    const rows = [];
    const starts = []; // of the row of pixels that a row belongs to
    for (let pixel = begin; pixel < end; pixel++) {
      for (const row of this.#rowsOf(request, top + pixel, left, width)) {
        rows.push(row);
        starts.push(pixel * width - left);
      }
    }
    const largest = (n, from, to, computed, at) => {
      const start = starts[n];
      if (level === 0) return values.set(computed.subarray(at, at + to - from), start + from);
      for (let key = from; key < to; key++, at++) raise(values, start + (key >> level), computed[at]);
    };
    const whole = { ...request, rows };
    for (let first = 0; first < rows.length; yield) first = this.#rows.next(whole, first, largest);
  }

  /** The rows of cells that a row of pixels shows, ascending. */
  #rowsOf({ batch, head, mask, level, columns }, pixel, left, width) {
    const begin = pixel * 2 ** level;
    const end = Math.min(this.#rows.shape[2], begin + 2 ** level);
    const all = Array.from({ length: end - begin }, (_, n) => begin + n);
    if (!this.isSampled(level)) return all;
    const read = this.#readerOf(mask);
    const place = placeIn(mask, this.#rows.shape, batch, head);
    const range = { ...place, rows: [pixel, pixel + 1], columns: [left, left + width] };
    const { counts } = mask.blockMap(2 ** level, range);
    let missing = counts.reduce((sum, count) => sum + (count > 0), 0);
    const cover = (row) => {
      let covered = 0;
      const { count, begins, ends } = read(place.batch, place.head, row);
      for (let s = 0; s < count; s++) {
        const stop = Math.min(ends[s], columns[1]);
        if (stop <= columns[0] || begins[s] >= stop) continue;
        const last = ((stop - 1) >> level) - left;
        for (let at = (Math.max(begins[s], columns[0]) >> level) - left; at <= last; at++) {
          if (counts[at] > 0) covered++;
          counts[at] = 0;
        }
      }
      missing -= covered;
      return covered > 0;
    };
    const middle = begin + ((end - begin) >> 1);
    const order = [middle, begin, end - 1, ...all.filter((row) => row !== middle && row !== begin && row !== end - 1)];
    const chosen = new Set();
    for (const row of order) {
      if (missing === 0) break;
      if (cover(row)) chosen.add(row);
    }
    return [...chosen].sort((a, b) => a - b);
  }
}

/** The larger of a number and what is there; NaN is neither, nor is it anything that is there. */
function raise(values, at, value) {
  if (value > values[at] || Number.isNaN(values[at])) values[at] = value;
}
