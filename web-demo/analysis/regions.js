// SPDX-License-Identifier: Apache-2.0
/** Two masks on the same problem: what both keep, and what one of them does. */
import { Mask } from '../../js/index.js';
import { ENTRIES } from './limits.js';
import { headBlocks } from './problem.js';

/** What a pixel of a RegionSource says; 0 where neither mask keeps anything. */
const Region = Object.freeze({ BOTH: 1, ONLY_A: 2, ONLY_B: 3 });

const State = Object.freeze({ KEPT: 0, MASKED: 1, SKIPPED: 2 }); // as in attention-map/states.js
const BLOCK = 64;
const MAX_BLOCK = 2 ** 16 - 1;
const FINE = 4; // levels that are counted cell by cell; coarser ones come from block maps of the whole head

/**
 * How many pairs of one head two masks keep. Pass effective masks (of buildMask) to have only pairs that take part.
 * @param {Mask} a
 * @param {Mask} b of the same queries and keys
 * @param {{ batch?: number, head?: number, heads?: number }} [at] head of how many query heads; by default of as many
 *   as the masks have
 * @returns {{ both: number, onlyA: number, onlyB: number, neither: number }}
 */
export function compareMasks(a, b, { batch = 0, head = 0, heads } = {}) {
  checkShapes(a, b);
  const size = sizeOf(a, b, heads);
  const count = (mask) =>
    headBlocks(mask, size, { batch, head }, MAX_BLOCK).counts.reduce((sum, kept) => sum + kept, 0);
  const [left, right] = [unflagged(a), unflagged(b)];
  const both = count(left.and(right));
  const [onlyA, onlyB] = [count(left) - both, count(right) - both];
  return { both, onlyA, onlyB, neither: size.queries * size.keys - both - onlyA - onlyB };
}

/** Reads like a MapSource; values are those of Region, at coarse levels of what most kept pairs of the pixel are. */
export class RegionSource {
  #a;
  #b;
  #size;
  #maps = new Map();

  /**
   * @param {Mask} a
   * @param {Mask} b
   * @param {{ heads?: number }} [options] query heads, where both masks have fewer
   */
  constructor(a, b, { heads } = {}) {
    checkShapes(a, b);
    this.#a = unflagged(a);
    this.#b = unflagged(b);
    this.#size = sizeOf(a, b, heads);
    const { batch, queries, keys } = this.#size;
    this.shape = Object.freeze([batch, this.#size.heads, queries, keys]);
  }

  /**
   * Pixels of one head; at level L a pixel is a block of 2^L x 2^L pairs.
   * @param {{ batch?: number, head?: number, level?: number, rows: [number, number], columns: [number, number] }} at
   * @returns {{ rows: number, columns: number, values: Float32Array, states: Uint8Array, kept: Float32Array }} kept is
   *   the part of the pixel's pairs that either keeps; values are NaN where neither does
   * @throws {RangeError} for what lies outside
   */
  read({ batch = 0, head = 0, level = 0, rows: [r0, r1], columns: [c0, c1] }) {
    const { queries, keys, heads } = this.#size;
    check('batch', batch, 0, this.#size.batch - 1);
    check('head', head, 0, heads - 1);
    check('level', level, 0, 15);
    const side = 2 ** level;
    const [height, width] = [Math.ceil(queries / side), Math.ceil(keys / side)];
    check('rows[1]', r1, 0, height);
    check('rows[0]', r0, 0, r1);
    check('columns[1]', c1, 0, width);
    check('columns[0]', c0, 0, c1);
    const [rows, columns] = [r1 - r0, c1 - c0];
    const at = { batch, head };
    const counts =
      level <= FINE ? this.#countCells(at, side, [r0, r1], [c0, c1]) : this.#countBlocks(at, side, [r0, r1], [c0, c1]);
    const skipped = this.#isSkipped(at, side);
    const values = new Float32Array(rows * columns).fill(NaN);
    const states = new Uint8Array(rows * columns);
    const kept = new Float32Array(rows * columns);
    for (let i = 0, n = 0; i < rows; i++) {
      const area = Math.min(side, queries - (r0 + i) * side);
      for (let j = 0; j < columns; j++, n++) {
        const [both, onlyA, onlyB] = [counts[0][n], counts[1][n] - counts[0][n], counts[2][n] - counts[0][n]];
        const either = both + onlyA + onlyB;
        if (either === 0) {
          states[n] = skipped(r0 + i, c0 + j) ? State.SKIPPED : State.MASKED;
          continue;
        }
        states[n] = State.KEPT;
        values[n] = both >= onlyA && both >= onlyB ? Region.BOTH : onlyA >= onlyB ? Region.ONLY_A : Region.ONLY_B;
        kept[n] = either / (area * Math.min(side, keys - (c0 + j) * side));
      }
    }
    return { rows, columns, values, states, kept };
  }

  dispose() {
    this.#maps.clear();
  }

  /** Of each pixel how many pairs both, the first and the second keep: from the rows themselves. */
  #countCells(at, side, [r0, r1], [c0, c1]) {
    const { queries, keys } = this.#size;
    const shape = [1, 1, queries, keys];
    const columns = c1 - c0;
    const inside = Mask.sinks(shape, Math.min(keys, c1 * side)).and(Mask.sinks(shape, c0 * side).not());
    const chunk = Math.max(1, Math.floor(ENTRIES / Math.max(1, columns * side)));
    const counts = [this.#a.and(this.#b), this.#a, this.#b].map((mask) => {
      const tally = new Uint32Array((r1 - r0) * columns);
      const own = mask.and(inside);
      const where = this.#placeIn(own, at);
      const end = Math.min(queries, r1 * side);
      for (let begin = r0 * side; begin < end; begin += chunk) {
        const { ptr, indices } = own.rows(begin, Math.min(end, begin + chunk), where);
        for (let i = 0; i + 1 < ptr.length; i++) {
          const first = (Math.floor((begin + i) / side) - r0) * columns - c0;
          for (let n = ptr[i]; n < ptr[i + 1]; n++) tally[first + Math.floor(indices[n] / side)]++;
        }
      }
      return tally;
    });
    return counts;
  }

  /** The same from block maps of the whole head, which are kept. */
  #countBlocks(at, side, [r0, r1], [c0, c1]) {
    const maps = ['both', 'a', 'b'].map((name) => this.#map(name, at, side));
    return maps.map(({ counts, columns }) => {
      const part = new Uint32Array((r1 - r0) * (c1 - c0));
      for (let i = r0; i < r1; i++) part.set(counts.subarray(i * columns + c0, i * columns + c1), (i - r0) * (c1 - c0));
      return part;
    });
  }

  /** Whether a pixel lies in an aligned block of 64 x 64 of which neither keeps anything. */
  #isSkipped(at, side) {
    if (side >= BLOCK) return () => true;
    const { kinds, columns } = this.#map('either', at, BLOCK);
    const per = BLOCK / side;
    return (row, column) => kinds[Math.floor(row / per) * columns + Math.floor(column / per)] === 0;
  }

  #map(name, at, side) {
    const place = [name, at.batch, at.head, side].join();
    if (!this.#maps.has(place)) {
      const masks = {
        both: () => this.#a.and(this.#b),
        either: () => this.#a.or(this.#b),
        a: () => this.#a,
        b: () => this.#b,
      };
      this.#maps.set(place, headBlocks(masks[name](), this.#size, at, side));
    }
    return this.#maps.get(place);
  }

  #placeIn({ shape }, { batch, head }) {
    return { batch: shape[0] === 1 ? 0 : batch, head: Math.floor((head * shape[1]) / this.#size.heads) };
  }
}

function check(name, value, low, high) {
  if (Number.isInteger(value) && value >= low && value <= high) return;
  throw new RangeError(`${name}: expected an integer in ${low}..${high}, got ${value}`);
}

/** Masks as they count here: "no sparse mask" keeps everything. */
function unflagged(mask) {
  return mask.isEmpty() ? Mask.full(mask.shape) : mask;
}

function sizeOf(a, b, heads) {
  const [batch, own] = [0, 1].map((axis) => Math.max(a.shape[axis], b.shape[axis]));
  return { batch, heads: heads ?? own, queries: a.shape[2], keys: a.shape[3] };
}

function checkShapes(a, b) {
  for (const [name, mask] of [
    ['a', a],
    ['b', b],
  ]) {
    if (!(mask instanceof Mask)) throw new TypeError(`${name}: expected a Mask, got ${typeof mask}`);
  }
  if (a.shape[2] === b.shape[2] && a.shape[3] === b.shape[3]) return;
  const [expected, got] = [a, b].map(({ shape }) => shape.slice(2).join(' x '));
  throw new RangeError(`b: expected a mask of ${expected} queries and keys, got ${got}`);
}
