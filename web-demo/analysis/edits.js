// SPDX-License-Identifier: Apache-2.0
/** Rectangles of pairs that someone kept or dropped by hand, one after the other: what they come to, as two masks. */
import { Mask } from '../../js/index.js';

const MAX_BLOCK = 2 ** 16 - 1;
const MOST_BLOCKS = 2 ** 24;
const [NOTHING, DROPPED, KEPT] = [0, 1, 2];

/**
 * @typedef {object} Edit
 * @property {[number, number]} rows queries, [begin, end)
 * @property {[number, number]} columns keys, [begin, end)
 * @property {boolean} keep
 */

/** The mask with edits: without what they drop, and with what they keep. @param {Edit[]} edits */
export function applyEdits(mask, edits, [queries, keys], firstRow = 0) {
  const { dropped, kept } = editMasks(edits, [queries, keys], firstRow);
  const rest = dropped === undefined ? mask : mask.and(dropped.not());
  if (kept === undefined || rest.isEmpty()) return rest; // empty: everything is kept already
  return rest.or(kept);
}

/**
 * @param {Edit[]} edits the last one that has a pair decides; what lies outside has no effect
 * @param {number} [firstRow] the query that is the first row of the mask
 * @returns {{ dropped?: Mask, kept?: Mask }} of shape [1, 1, queries, keys], in blocks; undefined where there are none
 * @throws {RangeError} where the blocks are too many
 */
function editMasks(edits, [queries, keys], firstRow = 0) {
  const clip = ([begin, end], shift, length) => [begin, end].map((at) => Math.min(length, Math.max(0, at - shift)));
  const inside = edits
    .map(({ rows, columns, keep }) => ({ rows: clip(rows, firstRow, queries), columns: clip(columns, 0, keys), keep }))
    .filter(({ rows, columns }) => rows[0] < rows[1] && columns[0] < columns[1]);
  const rowCuts = cutsOf(inside.map(({ rows }) => rows));
  const columnCuts = cutsOf(inside.map(({ columns }) => columns));
  const bands = rowCuts.slice(1).map((end, n) => {
    const begin = rowCuts[n];
    return {
      begin,
      end,
      states: paint(
        inside.filter(({ rows }) => rows[0] <= begin && end <= rows[1]),
        columnCuts,
      ),
    };
  });
  const blockSize = [stepOf(rowCuts, queries), stepOf(columnCuts, keys)];
  const maskOf = (state) => {
    if (!bands.some(({ states }) => states.includes(state))) return undefined;
    return blocksMask(bands, columnCuts, state, blockSize, [1, 1, queries, keys]);
  };
  return { dropped: maskOf(DROPPED), kept: maskOf(KEPT) };
}

/** The list with one more edit, without those that it covers. @param {Edit[]} edits @param {Edit} edit */
export function addEdit(edits, edit) {
  const covers = (outer, inner) => outer[0] <= inner[0] && inner[1] <= outer[1];
  return [...edits.filter((old) => !covers(edit.rows, old.rows) || !covers(edit.columns, old.columns)), edit];
}

/** Where ranges begin and end, ascending. */
function cutsOf(ranges) {
  return [...new Set(ranges.flat())].sort((a, b) => a - b);
}

/** What becomes of each stretch between two cuts. */
function paint(edits, cuts) {
  const states = new Uint8Array(Math.max(0, cuts.length - 1)).fill(NOTHING);
  for (const { columns, keep } of edits) {
    states.fill(keep ? KEPT : DROPPED, cuts.indexOf(columns[0]), cuts.indexOf(columns[1]));
  }
  return states;
}

/** The largest block that all cuts are multiples of; the last block of `length` may be cut short. */
function stepOf(cuts, length) {
  const step = cuts.filter((at) => at < length).reduce(greatestDivisor, 0) || Math.max(1, length);
  if (step <= MAX_BLOCK) return step;
  for (let parts = 2; ; parts++) if (step % parts === 0 && step / parts <= MAX_BLOCK) return step / parts;
}

function greatestDivisor(a, b) {
  return b === 0 ? a : greatestDivisor(b, a % b);
}

function blocksMask(bands, cuts, state, [blockRows, blockColumns], shape) {
  const [, , queries] = shape;
  const rows = Math.ceil(queries / blockRows);
  const blockOf = (at, size) => Math.ceil(at / size);
  const ranges = bands.map(({ begin, end, states }) => ({
    begin: blockOf(begin, blockRows),
    end: blockOf(end, blockRows),
    columns: [...states].flatMap((own, n) => {
      return own === state ? [[blockOf(cuts[n], blockColumns), blockOf(cuts[n + 1], blockColumns)]] : [];
    }),
  }));
  const width = ({ columns }) => columns.reduce((sum, [begin, end]) => sum + end - begin, 0);
  const total = ranges.reduce((sum, range) => sum + (range.end - range.begin) * width(range), 0);
  if (total > MOST_BLOCKS) {
    const size = `${blockRows} x ${blockColumns}`;
    throw new RangeError(`edits: expected at most ${MOST_BLOCKS} blocks, got ${total} of ${size}: use a larger block`);
  }
  const ptr = new Uint32Array(rows + 1);
  const indices = new Uint32Array(total);
  let at = 0;
  let row = 0;
  for (const { begin, end, columns } of ranges) {
    for (; row < begin; row++) ptr[row + 1] = at;
    for (; row < end; row++) {
      for (const [first, last] of columns) for (let column = first; column < last; column++) indices[at++] = column;
      ptr[row + 1] = at;
    }
  }
  for (; row < rows; row++) ptr[row + 1] = at;
  return Mask.blockSparse({ shape, blockSize: [blockRows, blockColumns], ptr, indices });
}
