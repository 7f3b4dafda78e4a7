// SPDX-License-Identifier: Apache-2.0

/**
 * The copies of masks that an engine keeps in wasm memory between calls. A copy goes when its mask is disposed or
 * collected, when the engine is disposed, when memory runs short, or when the idle ones exceed a budget (a caller
 * may make a new mask for every step, in a loop that never lets the garbage collector report).
 */

import { tellWhenDisposed } from './mask.js';
import { align } from './memory.js';

const BUDGET_BYTES = 64 * 2 ** 20;

export class MaskCache {
  #heap;
  #copies = new WeakMap(); // mask -> copy; nothing else refers to masks, so that they can be collected
  #recent = new Set(); // the copies that stand in memory, least recently used first
  #bytes = 0;
  // Not every edge runtime has these two.
  #registry = globalThis.FinalizationRegistry && new FinalizationRegistry((copy) => this.#drop(copy));
  #self = globalThis.WeakRef ? new WeakRef(this) : { deref: () => this };

  constructor(heap) {
    this.#heap = heap;
  }

  /** The copy of a mask of this form, made if need be; it stays in memory until each hold has its settle(copy). */
  hold(mask, form) {
    let copy = this.#copies.get(mask);
    if (!this.#recent.has(copy)) {
      copy = writeCopy(this.#heap, mask.shape, form);
      this.#copies.set(mask, copy);
      this.#bytes += copy.bytes;
      this.#registry?.register(mask, copy, copy);
      tellWhenDisposed(mask, this.#self);
    }
    copy.holds++;
    this.#recent.delete(copy);
    this.#recent.add(copy);
    return copy;
  }

  /** Ends one hold, and brings the others within the budget. */
  settle(copy) {
    copy.holds--;
    if (!this.#recent.has(copy)) this.#free(copy);
    for (const old of this.#recent) {
      if (this.#bytes <= BUDGET_BYTES) return;
      if (old.holds === 0 && old !== copy) this.#drop(old);
    }
  }

  /** Drops the copy of one mask, which is being disposed. */
  release(mask) {
    this.#drop(this.#copies.get(mask));
  }

  /** Drops every copy that is not held; says whether there was any. */
  relieve() {
    const before = this.#recent.size;
    for (const copy of this.#recent) if (copy.holds === 0) this.#drop(copy);
    return this.#recent.size < before;
  }

  /** Forgets a copy, whose memory goes when nobody holds it any more. */
  #drop(copy) {
    if (!this.#recent.delete(copy)) return;
    this.#bytes -= copy.bytes;
    this.#registry?.unregister(copy);
    this.#free(copy);
  }

  #free(copy) {
    if (copy.holds === 0) this.#heap.free(copy.block);
  }
}

/** One block with the arrays of a dense or CSR form; addresses are 0 where there is no array. */
function writeCopy(heap, shape, form) {
  const isDense = form.kind === 'dense';
  const weightBytes = form.weights === null ? 0 : align(form.weights.byteLength);
  const ptrBytes = isDense ? 0 : align(form.ptr.byteLength);
  const bytes = weightBytes + ptrBytes + (isDense ? 0 : form.indices.byteLength);
  const block = heap.alloc(bytes);
  const copy = {
    block,
    bytes,
    holds: 0,
    isDense,
    batch: shape[0],
    heads: shape[1],
    weights: form.weights === null ? 0 : block,
    ptr: isDense ? 0 : block + weightBytes,
    indices: isDense ? 0 : block + weightBytes + ptrBytes,
    indicesLength: isDense ? 0 : form.kept,
  };
  if (form.weights !== null) heap.f32.set(form.weights, copy.weights >>> 2);
  if (!isDense) {
    heap.u32.set(form.ptr, copy.ptr >>> 2);
    heap.u32.set(form.indices, copy.indices >>> 2);
  }
  return copy;
}
