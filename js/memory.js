// SPDX-License-Identifier: Apache-2.0

/**
 * The heap in wasm memory: blocks from the core's allocator, growth up to the limit of the memory, and views
 * that are renewed whenever it grew.
 */

import { ALIGNMENT } from './abi.js';
import { AttentionError } from './errors.js';

export const PAGE_BYTES = 65536;
const MOST_BYTES = 2 ** 32 - 1; // what a size_t of wasm32 holds
const SPARE_PART = 1 / 16; // of the memory, by which it grows at least, if it may: growing costs the more the larger it is

/** Rounds a byte count up to the alignment of blocks. */
export function align(bytes) {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

export class Heap {
  #core;
  #memory;
  #heap;
  #base;
  #holds = new Map(); // block -> how many hold it besides its owner

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
    // Larger requests would wrap silently: they must not reach the core.
    if (bytes > Math.min(this.maxBytes, MOST_BYTES)) throw this.#outOfMemory(bytes);
    for (;;) {
      const block = this.#core.attn_heap_alloc(this.#heap, bytes) >>> 0;
      if (block !== 0) return block;
      if (!this.#grow(this.#core.attn_heap_shortfall(this.#heap, bytes) >>> 0) && !this.relieve()) {
        throw this.#outOfMemory(bytes);
      }
    }
  }

  /** Keeps a block until it is freed once more. */
  hold(block) {
    this.#holds.set(block, (this.#holds.get(block) ?? 0) + 1);
  }

  free(block) {
    if (block === 0 || !this.open) return;
    const holds = this.#holds.get(block);
    if (holds === undefined) {
      this.#core.attn_heap_free(this.#heap, block);
    } else if (holds === 1) {
      this.#holds.delete(block);
    } else {
      this.#holds.set(block, holds - 1);
    }
  }

  /** Lets go of the memory; every later use is an error. */
  close() {
    this.#heap = 0;
    this.#memory = null;
    this.buffer = this.u8 = this.i32 = this.u32 = this.f32 = this.f64 = null;
  }

  #grow(bytes) {
    const pages = Math.max(1, Math.ceil(bytes / PAGE_BYTES));
    const spare = Math.ceil((this.buffer.byteLength * SPARE_PART) / PAGE_BYTES);
    if (!this.#growPages(pages + spare) && !this.#growPages(pages)) return false;
    this.#renewViews();
    this.#core.attn_heap_extend(this.#heap, this.buffer.byteLength - this.#base);
    return true;
  }

  #growPages(pages) {
    try {
      this.#memory.grow(pages);
      return true;
    } catch {
      return false;
    }
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
