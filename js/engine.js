// SPDX-License-Identifier: Apache-2.0

/**
 * One instance of the wasm module: its exports, its heap, the structs that calls fill in, its copies of masks, and the
 * turns that calls in slices take. It is open until it is disposed or until a call traps; a trapped instance is never
 * called again, because its stack pointer is not restored.
 */

import { MaskCache } from './cache.js';
import { AttentionError } from './errors.js';
import { Heap } from './memory.js';
import { Structs } from './structs.js';
import { Turns } from './turns.js';

const EXPORTS = [
  'attn_plan_init',
  'attn_run',
  'attn_run_slice',
  'attn_list_entries',
  'attn_explain',
  'attn_partials_merge',
  'attn_partials_finish',
  'attn_convert',
  'attn_masker_plan_init',
  'attn_masker_append',
  'attn_masker_choose',
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
    this.structs = new Structs(this.heap.alloc(Structs.bytes));
    this.turns = new Turns();
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
    // Eight parameters are the most that an export takes; those that it lacks are ignored.
    return (a, b, c, d, e, f, g, h) => {
      try {
        return call(a, b, c, d, e, f, g, h);
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
