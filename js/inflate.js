// SPDX-License-Identifier: Apache-2.0

/** Deflated bytes, by the engine's own inflater. */

import { allocate } from './tensor.js';

/** The `length` bytes that `packed` inflates to; stops soon after there are more. */
export async function inflate(packed, length, name) {
  // Where there is zlib, streams are made of it, and take several times as long.
  const zlib = globalThis.process?.getBuiltinModule?.('node:zlib');
  let chunks;
  try {
    chunks = zlib === undefined ? await byStream(packed, length) : byZlib(zlib, packed, length);
  } catch (cause) {
    throw new RangeError(`${name}: its compressed data is damaged`, { cause });
  }
  const total = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  if (total !== length) throw new RangeError(`${name}: it does not inflate to the ${length} bytes that it claims`);
  const content = allocate(Uint8Array, length);
  let at = 0;
  for (const chunk of chunks) {
    content.set(chunk, at);
    at += chunk.length;
  }
  return content;
}

async function byStream(packed, length) {
  const chunks = [];
  const reader = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate-raw')).getReader();
  for (let total = 0; total <= length; ) {
    const { done, value } = await reader.read();
    if (done) return chunks;
    total += value.length;
    chunks.push(value);
  }
  await reader.cancel();
  return chunks;
}

function byZlib(zlib, packed, length) {
  const chunkSize = Math.min(Math.max(length + 1, 64), 2 ** 18); // 64 is the least that zlib takes
  try {
    return [zlib.inflateRawSync(packed, { chunkSize, maxOutputLength: length + 1 })];
  } catch (error) {
    if (error.code !== 'ERR_BUFFER_TOO_LARGE') throw error;
    return [];
  }
}
