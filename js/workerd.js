// SPDX-License-Identifier: Apache-2.0

/** Entry point for Cloudflare's workerd, which compiles no bytes at run time: the wasm comes as static imports. */

import base from './base.wasm';
import relaxed from './relaxed.wasm';
import { create } from './create.js';

export { calibrateChannels } from './calibrate-channels.js';
export { AttentionError } from './errors.js';
export { readHashWeights } from './hash-weights.js';
export { Mask } from './mask.js';
export { maskers } from './maskers.js';
export { getNumKeyValueGroups, repeatKv } from './shapes.js';

export function createAttention(options = {}) {
  return create(options, async (variant) => ({ module: variant === 'relaxed' ? relaxed : base }));
}
