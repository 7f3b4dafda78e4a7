// SPDX-License-Identifier: Apache-2.0

/**
 * A mask for PyTorch's FlexAttention (torch.nn.attention.flex_attention, PyTorch 2.6 or later): the tables of a
 * BlockMask, what its partial blocks keep, and a program that makes a BlockMask of them.
 */

import { writeNpy } from '../../js/npy.js';
import { writeZip } from '../../js/zip.js';
import { DataError } from './errors.js';

const MAX_BYTES = 2 ** 29; // of all arrays
const PARTIAL = 1;

/**
 * @param {import('../../js/mask.js').Mask} mask over (b | 1, 1 | hk | h, sq, sk)
 * @param {{ heads: number, file: string, blockSize?: number }} options `heads` is h, `file` what the program loads
 * @returns {{ file: Uint8Array, program: string, notes: string[] }} the .npz file and the Python program beside it
 * @throws DataError where the tables are too large, or the mask says "no sparse masking"
 */
export function flexExport(mask, { heads, file, blockSize = 128 }) {
  if (mask.isEmpty()) throw new DataError('There is no mask to save: every pair is kept; add a masker first');
  const [batch, own, queries, keys] = mask.shape;
  const rows = Math.ceil(queries / blockSize);
  const columns = Math.ceil(keys / blockSize);
  checkSize(12 * batch * own * rows * columns, mask.shape, blockSize);
  const { dims, kvNumBlocks, kvIndices, fullKvNumBlocks, fullKvIndices } = mask.toFlexBlocks(blockSize);
  const { places, blocks, count, weighted } = partialBlocks(mask, blockSize, { rows, columns, kvNumBlocks, kvIndices });
  const int32 = (shape, data) => writeNpy('<i4', shape, data);
  const members = [
    ['kv_num_blocks.npy', int32(dims.slice(0, 3), kvNumBlocks)],
    ['kv_indices.npy', int32(dims, kvIndices)],
    ['full_kv_num_blocks.npy', int32(dims.slice(0, 3), fullKvNumBlocks)],
    ['full_kv_indices.npy', int32(dims, fullKvIndices)],
    ['partial_places.npy', int32(dims, places)],
    ['partial_blocks.npy', writeNpy('|b1', [count, blockSize, blockSize], blocks)],
  ];
  return {
    file: writeZip(members),
    program: program({ batch, own, heads, queries, keys, file, blockSize }),
    notes: weighted ? ['The mask has weights, which FlexAttention’s tables lack: every kept pair counts fully.'] : [],
  };
}

function checkSize(bytes, shape, blockSize) {
  if (bytes <= MAX_BYTES) return;
  throw new DataError(
    `Tables of blocks of ${blockSize} for ${shape.join(' x ')} pairs take ${Math.ceil(bytes / 2 ** 20)} MB, expected ` +
      `at most ${MAX_BYTES / 2 ** 20}; save the mask of one head, or compressed rows (.npz)`,
  );
}

/** The pairs of each partial block, and where each block stands among them (0 where it is not partial). */
function partialBlocks(mask, size, { rows, columns, kvNumBlocks, kvIndices }) {
  const [batch, heads, queries] = mask.shape;
  const places = new Int32Array(kvIndices.length);
  let count = PARTIAL; // the first is for all that are not partial
  for (let row = 0; row < kvNumBlocks.length; row++) {
    for (let n = 0; n < kvNumBlocks[row]; n++) places[row * columns + kvIndices[row * columns + n]] = count++;
  }
  checkSize(12 * places.length + count * size * size, mask.shape, size);
  const blocks = new Uint8Array(count * size * size);
  let weighted = false;
  for (let row = 0; row < batch * heads * rows; row++) {
    if (kvNumBlocks[row] === 0) continue;
    const first = (row % rows) * size;
    const head = Math.floor(row / rows) % heads;
    const at = { batch: Math.floor(row / rows / heads), head };
    const { ptr, indices, weights } = mask.rows(first, Math.min(first + size, queries), at);
    for (let i = 0; i + 1 < ptr.length; i++) {
      for (let n = ptr[i]; n < ptr[i + 1]; n++) {
        const place = places[row * columns + Math.floor(indices[n] / size)];
        if (place > 0) blocks[(place * size + i) * size + (indices[n] % size)] = 1;
        weighted ||= weights[n] !== 1;
      }
    }
  }
  return { places, blocks, count, weighted };
}

function program({ batch, own, heads, queries, keys, file, blockSize }) {
  const repeats = own === 1 || own === heads ? 1 : heads / own;
  const ownHead = own === 1 ? '0 * h' : 'h';
  const repeat = repeats === 1
    ? ''
    : `.repeat_interleave(${repeats}, dim=1)  # ${repeats} query heads share the mask of a key head`;
  return `# A mask of masked-attention for FlexAttention. Needs PyTorch 2.6 or later.
import numpy
import torch
from torch.nn.attention.flex_attention import BlockMask, flex_attention

device = "cuda" if torch.cuda.is_available() else "cpu"
arrays = numpy.load(${JSON.stringify(file)})


def load(name):
    return torch.from_numpy(arrays[name]).to(device)


def table(name):
    return load(name)${repeat}


partial_places = table("partial_places")
partial_blocks = load("partial_blocks")


def mask_mod(b, h, q, k):
    """Whether a pair of a partial block is kept."""
    place = partial_places[${batch === 1 ? '0 * b' : 'b'}, ${ownHead}, q // ${blockSize}, k // ${blockSize}]
    return partial_blocks[place, q % ${blockSize}, k % ${blockSize}]


block_mask = BlockMask.from_kv_blocks(
    table("kv_num_blocks"),
    table("kv_indices"),
    table("full_kv_num_blocks"),
    table("full_kv_indices"),
    BLOCK_SIZE=${blockSize},
    mask_mod=mask_mod,
    seq_lengths=(${queries}, ${keys}),
)

# queries [batch, ${heads}, ${queries}, dim]; keys and values [batch, key heads, ${keys}, dim], on the same device:
# output = flex_attention(queries, keys, values, block_mask=block_mask, enable_gqa=True)
`;
}
