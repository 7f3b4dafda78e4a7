// SPDX-License-Identifier: Apache-2.0
/** @file map-problem.js - problems of any size for pictures, the same in a page and in Node. */
import { packMask } from '../../attention-map/mask-message.js';
import { Mask } from '../../js/mask.js';

/** Numbers in -1..1 that look random. */
function numbers(count, seed) {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 31;
  });
}

/**
 * A problem of one head with n queries and keys.
 * @param kind `causal`, or `window`, with four sinks, whose mask is a message
 */
export function problem(n, dim, kind) {
  const tensor = (seed) => ({ data: numbers(n * dim, seed), dims: [1, 1, n, dim] });
  const given = { queries: tensor(1), keys: tensor(2) };
  if (kind === 'causal') return { ...given, causal: true };
  const shape = [1, 1, n, n];
  const window = Mask.slidingWindow(shape, { left: Math.min(1023, n >> 2), right: 0 });
  return { ...given, mask: packMask(window.or(Mask.sinks(shape, 4)).and(Mask.causal(shape))) };
}
