// SPDX-License-Identifier: Apache-2.0

/**
 * The tables of FlexAttention's BlockMask (torch.nn.attention.flex_attention, as create_block_mask makes them): per
 * row of blocks how many are partly kept and how many altogether, and which; all others follow in the lists.
 */

import { checkDims, checkInteger, checkOptions, formatDims, rangeError, typeError } from './checks.js';
import { csrFromIndices } from './csr.js';
import { BlockKind, readBlockSize } from './mask-counts.js';
import { NOTHING } from './mask-forms.js';
import { allocate, checkAttached } from './tensor.js';

const TABLES = new Set(['blockSize', 'dims', 'kvNumBlocks', 'kvIndices', 'fullKvNumBlocks', 'fullKvIndices']);

/** From a block map. As in PyTorch, a block that reaches past the last query or key is never a full one. */
export function writeFlexBlocks([, , queries, keys], { blockSize, dims, kinds }) {
  const [batch, heads, rows, columns] = dims;
  const wholeRows = Math.floor(queries / blockSize[0]);
  const wholeColumns = Math.floor(keys / blockSize[1]);
  const kindOf = (at, row, column) =>
    kinds[at] === BlockKind.FULL && (row >= wholeRows || column >= wholeColumns) ? BlockKind.PARTIAL : kinds[at];
  const list = (kind) => {
    const counts = allocate(Int32Array, batch * heads * rows);
    const indices = allocate(Int32Array, kinds.length);
    for (let row = 0; row < counts.length; row++) {
      const first = row * columns;
      let end = first;
      for (let pass = 0; pass < 2; pass++) {
        for (let column = 0; column < columns; column++) {
          if ((kindOf(first + column, row % rows, column) === kind) === (pass === 0)) indices[end++] = column;
        }
        if (pass === 0) counts[row] = end - first;
      }
    }
    return [counts, indices];
  };
  const [kvNumBlocks, kvIndices] = list(BlockKind.PARTIAL);
  const [fullKvNumBlocks, fullKvIndices] = list(BlockKind.FULL);
  return { blockSize, dims, kvNumBlocks, kvIndices, fullKvNumBlocks, fullKvIndices };
}

/** The blocks that are kept partly and altogether, as leaves. PyTorch's tables may have no full ones. */
export function readFlexBlocks(shape, tables) {
  checkOptions(tables, 'tables', TABLES);
  const blockSize = readBlockSize(tables.blockSize, 'tables.blockSize');
  const dims = readTableDims(shape, blockSize, tables.dims);
  const partial = readList(dims, blockSize, tables, 'kvNumBlocks', 'kvIndices');
  const hasFull = (tables.fullKvNumBlocks ?? tables.fullKvIndices ?? null) !== null;
  const full = hasFull ? readList(dims, blockSize, tables, 'fullKvNumBlocks', 'fullKvIndices') : NOTHING;
  return { partial, full };
}

/** Those of the mask by default; tables with fewer batches or heads are repeated. */
function readTableDims([batch, heads, queries, keys], blockSize, value) {
  const rows = Math.ceil(queries / blockSize[0]);
  const columns = Math.ceil(keys / blockSize[1]);
  if (value === undefined) return [batch, heads, rows, columns];
  checkDims(value, 'tables.dims');
  const [b, h] = value;
  const fits =
    value.length === 4 &&
    (b === 1 || b === batch) &&
    (h === heads || (h > 0 && heads % h === 0)) &&
    value[2] === rows &&
    value[3] === columns;
  if (fits) return value.slice();
  throw new RangeError(
    `tables.dims: expected ${formatDims([batch, heads, rows, columns])} (batch may be 1, heads a divisor), ` +
      `got ${formatDims(value)}`,
  );
}

function readList([batch, heads, blockRows, columns], [rowSize, columnSize], tables, countsName, indicesName) {
  const rows = batch * heads * blockRows;
  const counts = checkTable(tables[countsName], `tables.${countsName}`, rows);
  const table = checkTable(tables[indicesName], `tables.${indicesName}`, rows * columns);
  const ptr = allocate(Uint32Array, rows + 1);
  const indices = [];
  for (let row = 0; row < rows; row++) {
    checkInteger(counts[row], `tables.${countsName}[${row}]`, 0, columns);
    for (let at = row * columns; at < row * columns + counts[row]; at++) {
      indices.push(checkInteger(table[at], `tables.${indicesName}[${at}]`, 0, columns - 1));
    }
    ptr[row + 1] = indices.length;
  }
  const csr = csrFromIndices(rows, columns, ptr, indices);
  return {
    kind: 'blocks',
    batch,
    heads,
    blockRows: rowSize,
    blockColumns: columnSize,
    ptr: csr.ptr,
    indices: csr.indices,
  };
}

function checkTable(value, name, length) {
  const tag = ArrayBuffer.isView(value) ? value[Symbol.toStringTag] : undefined;
  if (!Array.isArray(value) && tag !== 'Int32Array' && tag !== 'Uint32Array') {
    throw typeError(name, 'an Int32Array or an array of integers', value);
  }
  if (tag !== undefined) checkAttached(value, name);
  if (value.length !== length) throw rangeError(name, `${length} entries`, value);
  return value;
}
