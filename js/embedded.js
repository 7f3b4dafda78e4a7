// SPDX-License-Identifier: Apache-2.0

/** A wasm module out of what tools/embed.mjs made of it. */

import { inflate } from './inflate.js';

/** The bytes of the module in the namespace of js/binary-base.js, say. */
export function unpack({ packed, length }) {
  return inflate(fromBase64(packed), length, 'the embedded wasm');
}

function fromBase64(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let n = 0; n < letters.length; n++) bytes[n] = letters.charCodeAt(n);
  return bytes;
}
