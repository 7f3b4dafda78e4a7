// SPDX-License-Identifier: Apache-2.0

/** Masks and weights of files, as the package takes them for a problem of one shape. */

import { formatDims } from '../../js/checks.js';
import { Mask } from '../../js/mask.js';
import { DataError } from './errors.js';
import { countOf, toFloats, widened } from './tensors.js';

/**
 * An attention mask: bool (nonzero means attend) or floats that are added to the scores. Integers and floats that are
 * all 0 or 1 are bool, as tokenizers give them.
 * @param {{ label: string, data: ArrayBufferView, dims: number[], dtype: string }} array
 * @param {[number, number, number, number]} shape [b, h, sq, sk]
 * @param {string[]} notes gets what was assumed
 * @throws DataError where it does not broadcast to the shape
 */
export function readAttentionMask(array, shape, notes) {
  const dims = maskDims(array, shape, notes);
  const { label, data, dtype } = array;
  if (dtype === 'bool') return { data: data.slice(), dims, dtype };
  if (holdsFlags(array)) {
    notes.push(`${label}: only 0 and 1, read as a mask in which 1 means attend.`);
    return { data: flagsOf(array), dims, dtype: 'bool' };
  }
  if (!dtype.includes('int')) return { ...toFloats(array, notes), dims };
  notes.push(`${label}: ${dtype} numbers are added to the scores.`);
  return { data: Float32Array.from(data, Number), dims, dtype: 'float32' };
}

function holdsFlags({ data, dtype }) {
  const one = { float16: 0x3c00, bfloat16: 0x3f80 }[dtype] ?? 1;
  for (let n = 0; n < data.length; n++) if (Number(data[n]) !== 0 && Number(data[n]) !== one) return false;
  return true;
}

function flagsOf({ data }) {
  const flags = new Uint8Array(data.length);
  for (let n = 0; n < data.length; n++) flags[n] = Number(data[n]) === 0 ? 0 : 1;
  return flags;
}

/** Dims that broadcast, aligned on the right: [batch, keys] and [batch, queries, keys] get the axes between. */
function maskDims({ label, dims }, shape, notes) {
  const [batch, heads, queries, keys] = shape;
  const [first, ...rest] = dims;
  const isBatch = first === batch && batch > 1;
  const readings = [
    [dims, ''],
    ...(isBatch && dims.length === 2 ? [[[batch, 1, 1, ...rest], 'sequences x keys']] : []),
    ...(isBatch && dims.length === 3 ? [[[batch, 1, ...rest], 'sequences x queries x keys']] : []),
  ];
  const [found, how] = readings.find(([candidate]) => broadcasts(candidate, shape)) ?? [];
  if (found === undefined) {
    throw new DataError(
      `${label}: a mask of ${formatDims(dims)} does not fit ${formatDims([batch, heads, queries, keys])} ` +
        '(sequences x heads x queries x keys)',
    );
  }
  if (how !== '') notes.push(`${label}: ${formatDims(dims)} read as ${how}.`);
  return found;
}

/** Whether dims of rank 1 to 4, aligned on the right, are 1 or those of the shape; keys may be more. */
export function broadcasts(dims, shape) {
  return dims.length >= 1 && dims.length <= 4 && dims.every((size, axis) => {
    const wanted = shape[4 - dims.length + axis];
    const isLast = axis === dims.length - 1;
    return size === 1 || size === wanted || (isLast && size > wanted);
  });
}

/**
 * A sparse mask: a number per pair, bool or a weight >= 0.
 * @returns {Mask} of the shape, or with 1 or fewer heads
 * @throws DataError
 */
export function readDenseMask(array, shape, keyHeads, notes) {
  const { label, dims, data, dtype } = array;
  const own = [...Array(Math.max(0, 4 - dims.length)).fill(1), ...dims];
  checkMaskShape(own, shape, keyHeads, label);
  const weights = dtype === 'bool' || holdsFlags(array)
    ? flagsOf({ data })
    : widened(toFloats(array, notes)).data;
  return build(label, () => Mask.fromDense(own, weights));
}

/**
 * A sparse mask in an .npz of scipy.sparse.save_npz, with a row for each sequence, head and query.
 * @param {{ label: string, bytes: Uint8Array }} matrix
 * @returns {Promise<Mask>}
 * @throws DataError
 */
export async function readMatrixMask({ label, bytes }, shape, keyHeads, notes) {
  const [batch, heads, queries] = shape;
  const flat = await openMatrix({ label, bytes });
  const [, , rows, keys] = flat.shape;
  const dims = [batch, 1]
    .flatMap((b) => [heads, keyHeads, 1].map((h) => [b, h, queries, keys]))
    .find((candidate) => countOf(candidate.slice(0, 3)) === rows);
  if (dims === undefined) {
    throw new DataError(
      `${label}: expected a row for each sequence, head and query, ${countOf([batch, heads, queries])} or ${queries}` +
        `, got ${rows}`,
    );
  }
  checkMaskShape(dims, shape, keyHeads, label);
  notes.push(`${label}: ${rows} rows read as ${formatDims(dims.slice(0, 3))} (sequences x heads x queries).`);
  const arrays = flat.toIndices();
  return build(label, () => Mask.fromIndices(dims, arrays));
}

/** A matrix of scipy.sparse.save_npz as a mask of one head. */
export async function openMatrix({ label, bytes }) {
  try {
    return await Mask.fromNpz(bytes);
  } catch (cause) {
    throw new DataError(`${label}: ${cause.message.replace(/^bytes: /, '')}`, { cause });
  }
}

function checkMaskShape(dims, shape, keyHeads, label) {
  const [batch, heads, queries, keys] = shape;
  const fits = dims.length === 4 && [1, batch].includes(dims[0]) && [1, keyHeads, heads].includes(dims[1]) &&
    dims[2] === queries && dims[3] === keys;
  if (fits) return;
  throw new DataError(
    `${label}: a mask of ${formatDims(dims)} does not fit ${formatDims(shape)} (sequences x heads x queries x keys)`,
  );
}

function build(label, make) {
  try {
    return make();
  } catch (cause) {
    throw new DataError(`${label}: ${cause.message}`, { cause });
  }
}

/**
 * Recorded weights, as float32 [b, h, sq, sk]; missing axes are 1.
 * @throws DataError for ranks beyond 4, and where a shape is given and they have another
 */
export function readWeights(array, shape, notes) {
  const { label, dims } = array;
  if (dims.length < 2 || dims.length > 4) {
    throw new DataError(`${label}: expected 2 to 4 dimensions (heads x queries x keys), got ${formatDims(dims)}`);
  }
  const own = [...Array(4 - dims.length).fill(1), ...dims];
  if (shape !== undefined && !own.every((size, axis) => size === shape[axis])) {
    throw new DataError(`${label}: weights of ${formatDims(dims)} are not those of ${formatDims(shape)} scores`);
  }
  return { ...widened(toFloats(array, notes)), dims: own };
}
