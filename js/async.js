// SPDX-License-Identifier: Apache-2.0

/**
 * Drives a run in slices short enough that nobody waits for it, and sees to it between them whether it is still
 * wanted.
 */

import { TILE_KEYS } from './abi.js';
import { AttentionError } from './errors.js';

const SLICE_MS = 8; // half a frame: how long a slice takes is known only from those before it
const FIRST_PRODUCTS = 2 ** 22; // multiplications of a first slice: well below a millisecond, or a few on a slow phone
const MOST_PRODUCTS = 2 ** 27; // of any slice, where the clock is too coarse to tell, or stands still (workerd)
const SOFTMAX_PRODUCTS = 64; // what a score costs besides its own and its value's
const MOST_CHANGE = 4; // from one slice to the next

/**
 * @param run opened; it is done where this returns
 * @param call what it computes
 * @param control { signal, onProgress }, each possibly undefined
 */
export async function runInSlices(engine, run, call, { signal, onProgress }) {
  const { turns } = engine;
  const products = TILE_KEYS * (call.dim + call.valueDim + SOFTMAX_PRODUCTS);
  const most = Math.ceil(MOST_PRODUCTS / products);
  let rowTiles = Math.ceil(FIRST_PRODUCTS / products);
  turns.join();
  try {
    do {
      await turns.next();
      assertWanted(engine, signal);
      const start = performance.now();
      run.slice(rowTiles);
      const wanted = SLICE_MS / turns.runs; // so that none waits longer for its turn where there are several
      rowTiles = Math.min(most, adapt(rowTiles, performance.now() - start, wanted));
      onProgress?.(run.fraction);
      assertWanted(engine, signal); // the callback may have ended it
    } while (!run.isDone);
  } finally {
    turns.leave();
  }
}

/** How many row-tiles take `wanted` milliseconds, where so many took `taken`; not much more, nor much less. */
function adapt(rowTiles, taken, wanted) {
  return Math.ceil(rowTiles * Math.min(MOST_CHANGE, Math.max(1 / MOST_CHANGE, wanted / taken)));
}

/** Throws where the caller has aborted, or the engine has ended. */
export function assertWanted(engine, signal) {
  if (signal?.aborted) {
    throw new AttentionError('aborted', 'signal: it has aborted this call', { cause: signal.reason });
  }
  engine.assertOpen();
}
