// SPDX-License-Identifier: Apache-2.0

/** Bytes as a zlib stream, by the engine's own deflater. */

/** @param {Uint8Array} bytes @returns {Promise<Uint8Array>} */
export async function deflate(bytes) {
  // Where there is zlib, streams are made of it, and take several times as long.
  const zlib = globalThis.process?.getBuiltinModule?.('node:zlib');
  if (zlib !== undefined) return new Uint8Array(zlib.deflateSync(bytes));
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
