// SPDX-License-Identifier: Apache-2.0

/** The methods of an attention instance: each reads its arguments, then has the call carried out. */

import { attend, attendInSlices, explain, finish, merge } from './call.js';
import { compare, sweep } from './compare.js';
import {
  readControl,
  readExplainCall,
  readFinishCall,
  readMergeCall,
  readOutputCall,
  readPartialsCall,
  readProjectionCall,
  readTensorCall,
} from './options.js';
import { Registry } from './maskers.js';
import { SparseAttention } from './sparse-attention.js';
import { Tensor } from './tensor.js';

export class Attention {
  #engine;
  #about;
  #maskers = new Registry();

  constructor(engine, about) {
    this.#engine = engine;
    this.#about = about;
    Object.freeze(this);
  }

  getMaskedAttentionOutput(options) {
    this.#engine.assertOpen();
    return attend(this.#engine, readOutputCall(options));
  }

  async getMaskedAttentionOutputAsync(options, control) {
    this.#engine.assertOpen();
    return attendInSlices(this.#engine, readOutputCall(options), readControl(control));
  }

  explain(options) {
    this.#engine.assertOpen();
    return explain(this.#engine, readExplainCall(options));
  }

  getAttentionPartials(options) {
    this.#engine.assertOpen();
    return attend(this.#engine, readPartialsCall(options));
  }

  getAttentionNumerator(options) {
    this.#engine.assertOpen();
    return attend(this.#engine, readProjectionCall(options, 'numerator', 'getAttentionNumerator'));
  }

  getAttentionDenominator(options) {
    this.#engine.assertOpen();
    return attend(this.#engine, readProjectionCall(options, 'denominator', 'getAttentionDenominator'));
  }

  mergePartials(partials) {
    this.#engine.assertOpen();
    return merge(this.#engine, readMergeCall(partials));
  }

  finishPartials(partials, options) {
    this.#engine.assertOpen();
    return finish(this.#engine, readFinishCall(partials, options));
  }

  createSparseAttention(maskers) {
    this.#engine.assertOpen();
    return new SparseAttention(this, this.#engine, this.#maskers, maskers);
  }

  compare(problem, pipelines) {
    this.#engine.assertOpen();
    return compare(this, this.#engine, this.#maskers, problem, pipelines);
  }

  sweep(problem, masker, parameter, values) {
    this.#engine.assertOpen();
    return sweep(this, this.#engine, this.#maskers, problem, masker, parameter, values);
  }

  registerMasker(name, factory) {
    this.#maskers.register(name, factory);
  }

  tensor(dims, dtype) {
    this.#engine.assertOpen();
    return new Tensor(this.#engine.heap, readTensorCall(dims, dtype));
  }

  info() {
    this.#engine.assertOpen();
    const { heap } = this.#engine;
    return {
      ...this.#about,
      memoryBytes: heap.buffer.byteLength,
      usedBytes: heap.usedBytes,
      maxMemoryBytes: heap.maxBytes,
    };
  }

  dispose() {
    this.#engine.dispose();
  }

  [Symbol.dispose ?? Symbol.for('Symbol.dispose')]() {
    this.dispose();
  }
}
