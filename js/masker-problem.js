// SPDX-License-Identifier: Apache-2.0

/** What a masker gets to know: the problem's options, its sizes and positions, and the attention instance. */

import { readProblem } from './problem.js';

/** For the package: the engine of a problem, and the call that it was read from. */
export let engineOf;
export let callOf;

export class MaskerProblem {
  #engine;
  #call;

  static {
    engineOf = (problem) => problem.#engine;
    callOf = (problem) => problem.#call;
  }

  /**
   * @param attention the instance of which `engine` is the engine
   * @param options those of getMaskedAttentionOutput that describe the problem, without a sparse mask
   */
  constructor(attention, engine, options) {
    const call = readProblem(options);
    const { batch, heads, keyHeads, valueHeads, queryLength, keyLength, dim, valueDim, ...rest } = call;
    this.#engine = engine;
    this.#call = call;
    this.attention = attention;
    this.options = options;
    Object.assign(this, { batch, heads, keyHeads, valueHeads, queryLength, keyLength, dim, valueDim });
    this.shape = Object.freeze([batch, heads, queryLength, keyLength]);
    /** Of each batch, where its first query stands, counted in keys of this problem. */
    this.queryPositions = Int32Array.from({ length: batch }, (_, b) =>
      rest.queryOffsets === undefined ? keyLength - queryLength : rest.queryOffsets.data[b] - rest.keyOffset,
    );
    Object.freeze(this);
  }
}
