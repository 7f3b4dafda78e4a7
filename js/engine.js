// SPDX-License-Identifier: Apache-2.0

/**
 * One instance of the wasm module: its exports, its heap, the structs that every call fills in, and its copies of
 * masks. It is open until it is disposed or until a call traps; a trapped instance is never called again, because its
 * stack pointer is not restored.
 */

import { Partials, Plan, Problem, Result } from './abi.js';
import { MaskCache } from './cache.js';
import { AttentionError } from './errors.js';
import { align, Heap } from './memory.js';

const EXPORTS = [
  'attn_plan_init',
  'attn_run',
  'attn_partials_merge',
  'attn_partials_finish',
  'attn_convert',
  'attn_heap_init',
  'attn_heap_extend',
  'attn_heap_alloc',
  'attn_heap_free',
  'attn_heap_shortfall',
  'attn_heap_used',
  'attn_memory_base',
];

export class Engine {
  #ended = '';

  constructor(instance, memory, maxBytes) {
    this.core = {};
    for (const name of EXPORTS) {
      const call = instance.exports[name];
      if (typeof call !== 'function') {
        throw new Error(`the wasm module does not export ${name}; is it of another version?`);
      }
      this.core[name] = this.#guard(call);
    }
    this.heap = new Heap(this.core, memory, maxBytes);
    this.masks = new MaskCache(this.heap);
    this.heap.relieve = () => this.masks.relieve();
    this.problem = this.heap.alloc(
      align(Problem.bytes) + align(Result.bytes) + align(Plan.bytes) + 2 * align(Partials.bytes),
    );
    this.result = this.problem + align(Problem.bytes);
    this.plan = this.result + align(Result.bytes);
    this.partials = this.plan + align(Plan.bytes);
    this.otherPartials = this.partials + align(Partials.bytes);
  }

  /** Throws unless calls can be made. */
  assertOpen() {
    if (this.#ended) throw new AttentionError('disposed', this.#ended);
  }

  dispose() {
    this.#end('this attention instance has been disposed');
  }

  #end(reason) {
    this.#ended ||= reason;
    this.heap?.close();
  }

  /** An export whose traps end the engine. */
  #guard(call) {
    // Seven parameters are the most that an export takes; those that it lacks are ignored.
    return (a, b, c, d, e, f, g) => {
      try {
        return call(a, b, c, d, e, f, g);
      } catch (cause) {
        this.#end('this attention instance stopped after an internal error; make a new one');
        throw new AttentionError(
          'internal',
          `the wasm core trapped (${cause.message}); this attention instance is lost`,
          { cause },
        );
      }
    };
  }
}
