// SPDX-License-Identifier: Apache-2.0

/**
 * The heap in wasm memory: blocks from the core's allocator, growth up to the limit of the memory, and views
 * that are renewed whenever it grew.
 */

import { ALIGNMENT } from './abi.js';
import { AttentionError } from './errors.js';

export const PAGE_BYTES = 65536;

/** Rounds a byte count up to the alignment of blocks. */
export function align(bytes) {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

export class Heap {
  #core;
  #memory;
  #heap;
  #base;

  /**
   * @param core the exports of the module
   * @param memory the WebAssembly.Memory it imports
   * @param maxBytes the most the memory may grow to
   */
  constructor(core, memory, maxBytes) {
    this.#core = core;
    this.#memory = memory;
    this.maxBytes = maxBytes;
    this.#base = core.attn_memory_base() >>> 0;
    this.#heap = core.attn_heap_init(this.#base, memory.buffer.byteLength - this.#base) >>> 0;
    if (this.#heap === 0) throw new AttentionError('internal', 'wasm memory is too small for the heap');
    /** Called when growth is refused; gives back what can be rebuilt and says whether there was any. */
    this.relieve = () => false;
    this.#renewViews();
  }

  get open() {
    return this.#heap !== 0;
  }

  /** Bytes in allocated blocks. */
  get usedBytes() {
    return this.#core.attn_heap_used(this.#heap) >>> 0;
  }

  /** A block of at least `bytes`, aligned to ALIGNMENT; out-of-memory leaves everything as it was. */
  alloc(bytes) {
    // A size_t of wasm32 would silently wrap beyond 2^32, so such requests must not reach the core.
    if (bytes > this.maxBytes) throw this.#outOfMemory(bytes);
    for (;;) {
      const block = this.#core.attn_heap_alloc(this.#heap, bytes) >>> 0;
      if (block !== 0) return block;
      if (!this.#grow(this.#core.attn_heap_shortfall(this.#heap, bytes) >>> 0) && !this.relieve()) {
        throw this.#outOfMemory(bytes);
      }
    }
  }

  free(block) {
    if (block !== 0 && this.open) this.#core.attn_heap_free(this.#heap, block);
  }

  /** Lets go of the memory; every later use is an error. */
  close() {
    this.#heap = 0;
    this.#memory = null;
    this.buffer = this.u8 = this.i32 = this.u32 = this.f32 = this.f64 = null;
  }

  #grow(bytes) {
    try {
      this.#memory.grow(Math.max(1, Math.ceil(bytes / PAGE_BYTES)));
    } catch {
      return false;
    }
    this.#renewViews();
    this.#core.attn_heap_extend(this.#heap, this.buffer.byteLength - this.#base);
    return true;
  }

  #renewViews() {
    this.buffer = this.#memory.buffer;
    this.u8 = new Uint8Array(this.buffer);
    this.i32 = new Int32Array(this.buffer);
    this.u32 = new Uint32Array(this.buffer);
    this.f32 = new Float32Array(this.buffer);
    this.f64 = new Float64Array(this.buffer);
  }

  #outOfMemory(bytes) {
    return new AttentionError(
      'out-of-memory',
      `a block of ${bytes} bytes does not fit: ${this.usedBytes} bytes are in use of at most ${this.maxBytes} ` +
        '(maxMemoryBytes)',
    );
  }
}
