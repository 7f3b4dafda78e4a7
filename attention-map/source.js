// SPDX-License-Identifier: Apache-2.0

/**
 * Where the cells of a picture come from: queries and keys, of which the engine computes the rows that are looked at,
 * or weights that are there already. Nothing here takes memory for all pairs: of matrices of more than 4096 x 4096 only
 * the rows and columns on the screen are computed, and coarse levels show sampled rows. Runs in workers and in Node.
 */

import { checkChoice, checkInteger, checkOptions, checkRange, rangeError } from '../js/checks.js';
import { AttentionError } from '../js/errors.js';
import { Blocks, STRIP_HEIGHT, STRIP_WIDTH } from './blocks.js';
import { Cache } from './cache.js';
import { EngineRows } from './engine-rows.js';
import { GivenRows } from './given-rows.js';
import { keptOf, placeIn } from './kept.js';
import { Distribution, spread, Strongest } from './summaries.js';

export const CACHE_BYTES = 96 * 2 ** 20; // all levels of 4096 x 4096 cells, and some tiles
const MAX_LEVEL = 15; // a block map takes no larger blocks
const MOST_PIXELS = 2 ** 24; // of one read
const SAMPLED_ROWS = 64; // of a large matrix, for statistics
const KEPT_ROWS = 8192; // of cells, that are read of a mask in a moment
const PLACE = ['batch', 'head'];
const READ_OPTIONS = new Set([...PLACE, 'level', 'rows', 'columns', 'show']);
const STATISTICS_OPTIONS = new Set([...PLACE, 'show', 'skipKeys']);
const ROW_STATISTICS_OPTIONS = new Set([...STATISTICS_OPTIONS, 'level', 'rows']);
const STRONGEST_OPTIONS = new Set([...PLACE, 'count', 'rows', 'columns']);

export class MapSource {
  #rows;
  #blocks;
  #isDisposed = false;

  /**
   * @param attention an engine (createAttention)
   * @param problem what getMaskedAttentionOutput takes: queries [b, h, sq, d], keys [b, hk, sk, d], masks, ...; values
   * may be missing, dropout is left out. The arrays are read whenever cells are asked for, and must not change
   * @param options.cache a Cache that several sources share; by default one of 96 MiB for this source
   * @param options.rows what computes rows, in place of the engine
   * @throws what getMaskedAttentionOutput throws
   */
  constructor(attention, problem, { cache = new Cache(CACHE_BYTES), rows = new EngineRows(attention, problem) } = {}) {
    this.#rows = rows;
    this.#blocks = new Blocks(rows, cache);
    /** [b, h, sq, sk] */
    this.shape = Object.freeze([...rows.shape]);
    const longest = Math.max(1, rows.shape[2], rows.shape[3]);
    /** The coarsest level there is: of one pixel, or of pixels of 32768 x 32768 cells. */
    this.maxLevel = Math.min(MAX_LEVEL, Math.ceil(Math.log2(longest)));
    Object.freeze(this);
  }

  /**
   * @param weights those of a result, dense or sparse, which must not change. Of a tensor [b, h, sq, sk] everything but
   * 0 counts as kept, of sparse weights every entry
   */
  static ofWeights(weights, options = {}) {
    return new MapSource(undefined, undefined, { ...options, rows: new GivenRows(weights) });
  }

  /** The mask that says what is kept: sparse mask, causal order, window, attention mask and key lengths together. */
  get mask() {
    this.#assertOpen();
    return this.#rows.kept;
  }

  /**
   * Cells, or blocks of them.
   * @param options.batch, options.head 0 by default
   * @param options.level of pixels: each is a block of 2^level x 2^level cells; 0 by default
   * @param options.rows, options.columns ranges of pixels [begin, end); all by default, up to 2^24 pixels
   * @param options.show `weights` (default), `scores` (after soft cap, ALiBi and attention mask) or `mask`
   * @returns { rows, columns: how many pixels; values, states, kept: of each, row-major; sampled }. values: the largest
   * of what is kept of a pixel, NaN where nothing is (`mask`: the part that is kept); states: of CellState; kept: the
   * part of its cells that is kept, 0..1, exactly; sampled: whether rows were left out to find the values
   */
  read(options) {
    return finish(this.steps('read', options));
  }

  /** The same as if there were no sparse mask: what a dropped cell would have weighed. Other masks still hold. */
  dense(options) {
    return finish(this.steps('dense', options));
  }

  /**
   * Range and distribution of what is kept of a head.
   * @param options.batch, options.head, options.show as for `read`; not `mask`
   * @param options.skipKeys how many keys at the beginning to leave out; 0 by default
   * @returns { max, min: of weights the smallest above 0, quantiles: 101 percentiles (of 2^18 numbers at most),
   * sampled: whether of some rows only, count: of cells looked at }; zeros where nothing is kept
   */
  statistics(options) {
    return finish(this.steps('statistics', options));
  }

  /**
   * @param options those of `statistics`; level, 0 by default, and rows, a range of rows of its pixels, all by default
   * @returns { max: Float32Array, min: Float32Array } of each row of pixels, of one of its queries where `read` would
   * sample them; zeros where nothing is kept
   */
  rowStatistics(options) {
    return finish(this.steps('rowStatistics', options));
  }

  /**
   * The largest weights, in descending order: [{ query, key, weight }].
   * @param options.count at most so many, 10 by default
   * @param options.rows, options.columns ranges of queries and keys, all by default; at most 4096 queries
   */
  strongest(options) {
    return finish(this.steps('strongest', options));
  }

  /**
   * The same methods in parts that take a moment each.
   * @param method one of their names
   * @returns an iterator that is done with the method's result. Several may be under way at a time
   * @throws what the method throws for its arguments
   */
  steps(method, options = {}) {
    this.#assertOpen();
    switch (method) {
      case 'read':
        return this.#read(this.#readRequest(options, 'kept'));
      case 'dense':
        return this.#read(this.#readRequest(options, 'allowed'));
      case 'statistics':
        return this.#statistics(this.#statisticsRequest(options, STATISTICS_OPTIONS));
      case 'rowStatistics':
        return this.#rowStatistics(this.#statisticsRequest(options, ROW_STATISTICS_OPTIONS));
      case 'strongest':
        return this.#strongest(this.#strongestRequest(options));
      default:
        throw rangeError('method', "'read', 'dense', 'statistics', 'rowStatistics' or 'strongest'", method);
    }
  }

  /** What `read` returns, if no value of it has to be computed; else undefined. */
  peek(options = {}) {
    this.#assertOpen();
    const request = this.#readRequest(options, 'kept');
    if (request.show === 'mask') return undefined;
    const isThere = ({ strip, group, begin, end }) => this.#blocks.peek(request, strip, group, begin, end);
    return stripsOf(request.rows, request.columns).every(isThere) ? finish(this.#read(request)) : undefined;
  }

  dispose() {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#blocks.forget();
    this.#rows.dispose();
  }

  #assertOpen() {
    if (this.#isDisposed) throw new AttentionError('disposed', 'source: it has been disposed');
  }

  #readPlace({ batch = 0, head = 0, show }, field) {
    checkInteger(batch, 'batch', 0, this.shape[0] - 1);
    checkInteger(head, 'head', 0, this.shape[1] - 1);
    const mask = this.#rows[field];
    if (mask === undefined) throw new RangeError('dense: not of given weights, which do not say what was left out');
    return { batch, head, field, mask, show: checkChoice(show, 'show', this.#rows.shows) };
  }

  #readRequest(options, field) {
    checkOptions(options, 'options', READ_OPTIONS);
    const { level = 0, rows, columns } = options;
    const request = { ...this.#readPlace(options, field), level: checkInteger(level, 'level', 0, this.maxLevel) };
    const [height, width] = this.#blocks.sizeOf(level);
    request.rows = checkRange(rows, 'rows', height);
    request.columns = checkRange(columns, 'columns', width);
    const pixels = lengthOf(request.rows) * lengthOf(request.columns);
    if (pixels > MOST_PIXELS) throw rangeError('rows and columns', `at most ${MOST_PIXELS} pixels`, pixels);
    return request;
  }

  #statisticsRequest(options, known) {
    checkOptions(options, 'options', known);
    const { skipKeys = 0, level = 0, rows } = options;
    const request = this.#readPlace(options, 'kept');
    request.level = checkInteger(level, 'level', 0, this.maxLevel);
    if (request.show === 'mask') throw rangeError('show', this.#rows.shows.slice(0, -1).join(' or '), 'mask');
    const [, , , keys] = this.shape;
    request.columns = [checkInteger(skipKeys, 'skipKeys', 0, keys), keys];
    request.rows = checkRange(rows, 'rows', this.#blocks.sizeOf(level)[0]);
    return request;
  }

  #strongestRequest(options) {
    checkOptions(options, 'options', STRONGEST_OPTIONS);
    const { count = 10, rows, columns } = options;
    const request = { ...this.#readPlace(options, 'kept'), count: checkInteger(count, 'count', 0, MOST_PIXELS) };
    request.rows = checkRange(rows, 'rows', this.shape[2]);
    request.columns = checkRange(columns, 'columns', this.shape[3]);
    if (lengthOf(request.rows) <= STRIP_WIDTH) return request;
    throw rangeError('rows', `a range of at most ${STRIP_WIDTH} queries`, lengthOf(request.rows));
  }

  *#read(request) {
    const { rows, columns, show, level, mask } = request;
    const place = placeIn(mask, this.shape, request.batch, request.head);
    const [height, width] = [lengthOf(rows), lengthOf(columns)];
    const kept = new Float32Array(height * width);
    const states = new Uint8Array(kept.length);
    const atOnce = Math.max(1, KEPT_ROWS / 2 ** level);
    for (let row = rows[0]; row < rows[1]; row += atOnce, yield) {
      const part = keptOf(mask, place, level, [row, Math.min(rows[1], row + atOnce)], columns);
      kept.set(part.kept, (row - rows[0]) * width);
      states.set(part.states, (row - rows[0]) * width);
    }
    const result = { rows: height, columns: width, values: undefined, states, kept, sampled: false };
    if (show === 'mask') {
      result.values = kept.map((part) => (part > 0 ? part : NaN));
      return result;
    }
    result.values = new Float32Array(kept.length).fill(NaN);
    result.sampled = this.#blocks.isSampled(level);
    for (const { strip, group, begin, end, left, right } of stripsOf(rows, columns)) {
      if (isEmpty(kept, strip, begin, end, left, right, request)) continue;
      const found = yield* this.#blocks.fill(request, strip, group, begin, end);
      const from = group * STRIP_WIDTH;
      for (let row = begin; row < end; row++) {
        const at = (strip * STRIP_HEIGHT + row - rows[0]) * width - columns[0];
        const start = row * found.width - from;
        result.values.set(found.values.subarray(start + left, start + right), at + left);
      }
    }
    return result;
  }

  *#statistics({ rows: [, queries], columns, ...request }) {
    const all = spread(queries, this.#blocks.isSmall ? STRIP_WIDTH : SAMPLED_ROWS);
    const distribution = new Distribution(request.show === 'weights');
    const visit = (row, begin, end, values, at) => {
      for (const stop = at + end - begin; at < stop; at++) distribution.add(values[at]);
    };
    yield* this.#blocks.visitRows(request, all, columns, visit);
    const { count } = distribution;
    return {
      max: count > 0 ? distribution.max : 0,
      min: distribution.min < Infinity ? distribution.min : 0,
      quantiles: distribution.quantiles(),
      sampled: all.length < queries,
      count,
    };
  }

  *#rowStatistics({ rows, columns, ...request }) {
    const { level, show } = request;
    const size = 2 ** level;
    const numbers = this.#blocks.isSampled(level)
      ? Array.from({ length: lengthOf(rows) }, (_, n) => Math.min(this.shape[2] - 1, (rows[0] + n) * size + size / 2))
      : rangeOf(rows[0] * size, Math.min(this.shape[2], rows[1] * size));
    const max = new Float32Array(lengthOf(rows)).fill(-Infinity);
    const min = new Float32Array(lengthOf(rows)).fill(Infinity);
    const visit = (row, begin, end, values, at) => {
      const own = (row >> level) - rows[0];
      for (const stop = at + end - begin; at < stop; at++) {
        const value = values[at];
        if (value > max[own]) max[own] = value;
        if (value < min[own] && (value > 0 || show === 'scores')) min[own] = value;
      }
    };
    yield* this.#blocks.visitRows(request, numbers, columns, visit);
    const orZero = (value) => (Number.isFinite(value) ? value : 0);
    return { max: max.map(orZero), min: min.map(orZero) };
  }

  *#strongest({ rows, columns, count, ...request }) {
    const strongest = new Strongest(count);
    const visit = (row, begin, end, values, at) => {
      for (let key = begin; key < end; key++, at++) strongest.add(row, key, values[at]);
    };
    yield* this.#blocks.visitRows({ ...request, show: 'weights' }, rangeOf(...rows), columns, visit);
    return strongest.cells;
  }
}

/** Runs an iterator to its end. */
function finish(steps) {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

function lengthOf([begin, end]) {
  return end - begin;
}

function rangeOf(begin, end) {
  return Array.from({ length: Math.max(0, end - begin) }, (_, n) => begin + n);
}

/**
 * The strips that ranges of pixels lie in: of each, its rows begin .. end - 1 and the picture's columns left .. right -
 * 1.
 */
function stripsOf([top, bottom], [left, right]) {
  const strips = [];
  for (let strip = Math.floor(top / STRIP_HEIGHT); strip * STRIP_HEIGHT < bottom; strip++) {
    for (let group = Math.floor(left / STRIP_WIDTH); group * STRIP_WIDTH < right; group++) {
      strips.push({
        strip,
        group,
        begin: Math.max(0, top - strip * STRIP_HEIGHT),
        end: Math.min(STRIP_HEIGHT, bottom - strip * STRIP_HEIGHT),
        left: Math.max(left, group * STRIP_WIDTH),
        right: Math.min(right, (group + 1) * STRIP_WIDTH),
      });
    }
  }
  return strips;
}

/** Whether nothing is kept of the part of a read that lies in a strip: there is nothing to compute. */
function isEmpty(kept, strip, begin, end, left, right, { rows, columns }) {
  const width = lengthOf(columns);
  for (let row = begin; row < end; row++) {
    const at = (strip * STRIP_HEIGHT + row - rows[0]) * width - columns[0];
    for (let column = left; column < right; column++) if (kept[at + column] > 0) return false;
  }
  return true;
}
