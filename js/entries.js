// SPDX-License-Identifier: Apache-2.0

/**
 * Weights as compressed sparse rows: which entries there are, room for their weights while they are computed, and the
 * arrays that the caller gets. Whoever makes one closes it, whatever happens.
 */

import { DType, Field, Result } from './abi.js';
import { checkStatus } from './errors.js';
import { DTYPE_CODES } from './structs.js';
import { allocate, arrayFor } from './tensor.js';

export class Entries {
  #engine;
  #call;
  #ptr = 0;
  #weights = 0;
  #rows;
  #indices;

  /** For a call whose problem and result are written and planned; has the result receive the entries' weights. */
  constructor(engine, { problem, result }, call) {
    this.#engine = engine;
    this.#call = call;
    this.#rows = call.batch * call.heads * (call.rowEnd - call.rowBegin);
    try {
      this.#list(problem, result);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #list(problem, result) {
    const { core, heap } = this.#engine;
    this.#ptr = heap.alloc(4 * (this.#rows + 1));
    checkStatus(core.attn_list_entries(problem, result, this.#ptr, 0), Field.WEIGHTS);
    const bytes = 4 * heap.u32[(this.#ptr >>> 2) + this.#rows];
    const indices = heap.alloc(bytes);
    try {
      checkStatus(core.attn_list_entries(problem, result, this.#ptr, indices), Field.WEIGHTS);
      this.#indices = copyOf(Uint32Array, heap, indices, bytes / 4);
    } finally {
      heap.free(indices); // before there are weights, so that an entry never takes more than one number
    }
    this.#weights = heap.alloc(bytes);
    heap.u32[(result + Result.entryPtr) >>> 2] = this.#ptr;
    heap.u32[(result + Result.entryWeights) >>> 2] = this.#weights;
  }

  /** { ptr, indices, values, dims, dtype } of what has been computed. */
  collect() {
    const { heap } = this.#engine;
    const { batch, heads, rowBegin, rowEnd, columnBegin, columnEnd, entriesDtype } = this.#call;
    return {
      ptr: copyOf(Uint32Array, heap, this.#ptr, this.#rows + 1),
      indices: this.#indices,
      values: entriesDtype === 'float32' ? copyOf(Float32Array, heap, this.#weights, this.#indices.length) : this.#narrow(),
      dims: [batch, heads, rowEnd - rowBegin, columnEnd - columnBegin],
      dtype: entriesDtype,
    };
  }

  #narrow() {
    const { core, heap } = this.#engine;
    const { length } = this.#indices;
    const narrow = heap.alloc(2 * length);
    try {
      const code = DTYPE_CODES[this.#call.entriesDtype];
      checkStatus(core.attn_convert(narrow, code, this.#weights, DType.FLOAT32, length), Field.NONE);
      return copyOf(arrayFor(this.#call.entriesDtype, this.#call.inputs), heap, narrow, length);
    } finally {
      heap.free(narrow);
    }
  }

  close() {
    this.#engine.heap.free(this.#ptr);
    this.#engine.heap.free(this.#weights);
  }
}

function copyOf(ArrayType, heap, address, length) {
  return allocate(ArrayType, new ArrayType(heap.buffer, address, length));
}
