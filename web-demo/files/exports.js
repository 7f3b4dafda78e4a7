// SPDX-License-Identifier: Apache-2.0

/** What the page saves: masks, weights of cells, recipes. All give bytes or text; nothing here knows a page. */

import { Mask } from '../../js/mask.js';
import { DataError } from './errors.js';
import { countOf } from './tensors.js';

const MAX_PAIRS = 2 ** 28; // of a mask with a number per pair: 1 GB while it is written
const MAX_KEPT = 2 ** 27; // of compressed rows: 1 GB
const MAX_CELLS = 2 ** 20; // of a table, which is about what spreadsheets take
const RECIPE_VERSION = 1;
const AXES = { rows: 'query', columns: 'key' };

/**
 * A name that tells what is inside: `hello-layer-2-head-3-mask.npy`. Only letters, digits, dots and dashes stay.
 * @param {{ name: string, layer?: string, head?: number, batch?: number }} about the dataset's name, the layer's label,
 * and indices from 0, which are written from 1
 * @param {string} what `mask`, `weights`, ...
 * @param {string} ending `.npy`, ...
 */
export function fileName({ name, layer, batch, head }, what, ending) {
  const parts = [
    name.slice(0, 60),
    layer,
    batch === undefined ? undefined : `sequence ${batch + 1}`,
    head === undefined ? undefined : `head ${head + 1}`,
    what,
  ];
  const plain = parts
    .filter((part) => part !== undefined)
    .map((part) => part.replace(/[^\p{L}\p{N}.]+/gu, '-').replace(/^[-.]+|[-.]+$/g, ''));
  return `${plain.filter((part) => part !== '').join('-').toLowerCase()}${ending}`;
}

/**
 * The mask of one head, [1, 1, sq, sk].
 * @param {Mask} mask over (b | 1, 1 | hk | h, sq, sk)
 * @param {{ batch: number, head: number, heads: number }} which `heads` is h, of which the mask may have fewer
 * @throws DataError as maskNpz
 */
export function headMask(mask, { batch, head, heads }) {
  const [batches, own, queries, keys] = mask.shape;
  if (mask.isEmpty()) return Mask.empty([1, 1, queries, keys]);
  checkKept(mask);
  const at = { batch: batches === 1 ? 0 : batch, head: Math.floor((head * own) / heads) };
  return Mask.fromIndices([1, 1, queries, keys], mask.rows(0, queries, at));
}

/**
 * A mask as a .npy file, a number per pair: bool, or float32 where it has weights.
 * @throws DataError where there are too many pairs, or the mask says "no sparse masking"
 */
export function maskNpy(mask) {
  checkNotEmpty(mask);
  const pairs = countOf(mask.shape);
  if (pairs > MAX_PAIRS) {
    throw new DataError(
      `A number for each of ${pairs} pairs is too much for a .npy file here, which takes up to ${MAX_PAIRS}; ` +
        `save compressed rows (.npz), with ${keptOf(mask)} of them, or the mask of one head`,
    );
  }
  return mask.toNpy();
}

/**
 * A mask as scipy.sparse.save_npz writes a CSR matrix, with a row for each batch, head and query.
 * @throws DataError where too many pairs are kept, or the mask says "no sparse masking"
 */
export function maskNpz(mask) {
  checkNotEmpty(mask);
  checkKept(mask);
  return mask.toNpz();
}

function checkNotEmpty(mask) {
  if (mask.isEmpty()) throw new DataError('There is no mask to save: every pair is kept; add a masker first');
}

function checkKept(mask) {
  const kept = keptOf(mask);
  if (kept <= MAX_KEPT) return;
  throw new DataError(
    `${kept} kept pairs are too many for compressed rows here, which take up to ${MAX_KEPT}; ` +
      'save the mask of one head, or the tables of blocks',
  );
}

function keptOf(mask) {
  return Math.round(mask.density() * countOf(mask.shape));
}

/**
 * Cells as a table (RFC 4180): a line per cell, with positions, tokens and the value. Values have the fewest digits
 * from which the same float32 comes back; cells that are not kept have none. Tokens are JSON strings, so that no
 * spreadsheet takes one for a formula or a line break.
 * @param {object} cells rows x columns of one head, row-major, as MapSource.read gives them at level 0
 * @param {[number, number]} cells.rows queries [begin, end) @param {[number, number]} cells.columns keys [begin, end)
 * @param {Float32Array} cells.values @param {Uint8Array} cells.states 0 where the cell is kept
 * @param {{ queries: string[], keys: string[] }} [tokens] of all queries and keys
 * @param {string} [called] heading of the values
 * @returns {string}
 * @throws DataError where there are more cells than a spreadsheet takes
 */
export function cellsCsv({ rows, columns, values, states }, tokens, called = 'weight') {
  const [height, width] = [rows[1] - rows[0], columns[1] - columns[0]];
  if (height * width > MAX_CELLS) {
    throw new DataError(
      `A table of ${height} x ${width} cells is too long; up to ${MAX_CELLS} cells fit, such as 1024 x 1024: zoom in`,
    );
  }
  if (values.length !== height * width || states.length !== height * width) {
    throw new RangeError(`cells.values: expected ${height * width} values and states, got ${values.length}`);
  }
  const names = tokens && { rows: tokens.queries, columns: tokens.keys };
  const heading = (side) => (names ? [AXES[side], `${AXES[side]}_token`] : [AXES[side]]);
  const position = (side, at) => (names ? [at, quote(JSON.stringify(names[side][at] ?? ''))] : [at]).join(',');
  const lines = [[...heading('rows'), ...heading('columns'), called].join(',')];
  const keys = Array.from({ length: width }, (_, column) => position('columns', columns[0] + column));
  for (let row = 0, at = 0; row < height; row++) {
    const query = position('rows', rows[0] + row);
    for (let column = 0; column < width; column++, at++) {
      lines.push(`${query},${keys[column]},${states[at] === 0 ? shortest(values[at]) : ''}`);
    }
  }
  return `${lines.join('\r\n')}\r\n`;
}

function quote(text) {
  return `"${text.replaceAll('"', '""')}"`;
}

/** The fewest digits that give the same float32; inf, -inf and nan as NumPy and pandas read them. */
export function shortest(value) {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  for (let digits = 6; digits < 9; digits++) {
    const text = String(Number(value.toPrecision(digits)));
    if (Object.is(Math.fround(Number(text)), value)) return text;
  }
  return Object.is(value, -0) ? '-0' : String(Number(value.toPrecision(9)));
}

/**
 * A recipe as a JSON file. Its list of maskers is what `masked-attention run --maskers FILE.json` takes; predicate and
 * edits are the page's.
 * @param {{ maskers: object[], predicate?: string, edits?: object[] }} recipe
 * @param {object} about what it was made for: { name, layer, head }
 */
export function recipeJson({ maskers, predicate, edits }, about) {
  const content = { version: RECIPE_VERSION, name: about.name, maskers, predicate, edits, madeFor: about };
  return `${JSON.stringify(content, null, 2)}\n`;
}
