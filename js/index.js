// SPDX-License-Identifier: Apache-2.0

/** Entry point for browsers, Node, Deno and Bun: the wasm comes as bytes embedded in a module of its own. */

import { create } from './create.js';
import { unpack } from './embedded.js';

export { calibrateChannels } from './calibrate-channels.js';
export { AttentionError } from './errors.js';
export { readHashWeights } from './hash-weights.js';
export { Mask } from './mask.js';
export { maskers } from './maskers.js';
export { getNumKeyValueGroups, repeatKv } from './shapes.js';

export function createAttention(options = {}) {
  return create(options, loadEmbedded);
}

async function loadEmbedded(variant) {
  // Literal specifiers, so that every bundler finds the two chunks and loads only the one that is used.
  const binary = variant === 'relaxed' ? await import('./binary-relaxed.js') : await import('./binary-base.js');
  return { module: await WebAssembly.compile(await unpack(binary)), initialPages: binary.initialPages };
}
