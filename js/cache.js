// SPDX-License-Identifier: Apache-2.0

/**
 * The copies of masks' arrays that an engine keeps in wasm memory between calls: one for each leaf, whichever masks it is
 * part of. A copy goes when a mask of its leaf is disposed, when the leaf is collected, when the engine is disposed, when
 * memory runs short, or when the idle ones exceed a budget (a caller may make a new mask for every step, in a loop that
 * never lets the garbage collector report).
 */

import { leavesOf } from './mask-forms.js';
import { tellWhenDisposed } from './mask.js';
import { align } from './memory.js';

const BUDGET_BYTES = 64 * 2 ** 20;
const ARRAYS = ['counts', 'begins', 'ends', 'queryIds', 'keyIds', 'ptr', 'indices', 'words', 'weights'];

export class MaskCache {
  #heap;
  #copies = new WeakMap(); // leaf -> copy; nothing else refers to leaves, so that they can be collected
  #leaves = new WeakMap(); // mask -> the leaves it was held with
  #recent = new Set(); // the copies that stand in memory, least recently used first
  #bytes = 0;
  // Not every edge runtime has these two.
  #registry = globalThis.FinalizationRegistry && new FinalizationRegistry((copy) => this.#drop(copy));
  #self = globalThis.WeakRef ? new WeakRef(this) : { deref: () => this };

  constructor(heap) {
    this.#heap = heap;
  }

  /**
   * The copies of a mask's leaves, leaf -> { [array]: address }, made if need be; they stay in memory until each hold
   * has its settle(copies).
   */
  hold(mask, form) {
    const copies = new Map();
    tellWhenDisposed(mask, this.#self);
    try {
      const leaves = leavesOf(form);
      this.#leaves.set(mask, leaves);
      for (const leaf of leaves) copies.set(leaf, this.#holdLeaf(leaf));
    } catch (error) {
      this.settle(copies);
      throw error;
    }
    return copies;
  }

  #holdLeaf(leaf) {
    let copy = this.#copies.get(leaf);
    if (!this.#recent.has(copy)) {
      copy = writeCopy(this.#heap, leaf);
      this.#copies.set(leaf, copy);
      this.#bytes += copy.bytes;
      this.#registry?.register(leaf, copy, copy);
    }
    copy.holds++;
    this.#recent.delete(copy);
    this.#recent.add(copy);
    return copy;
  }

  /** Ends one hold, and brings the others within the budget. */
  settle(copies) {
    for (const copy of copies.values()) {
      copy.holds--;
      if (!this.#recent.has(copy)) this.#free(copy);
    }
    const held = new Set(copies.values());
    for (const old of this.#recent) {
      if (this.#bytes <= BUDGET_BYTES) return;
      if (old.holds === 0 && !held.has(old)) this.#drop(old);
    }
  }

  /** Drops the copies of a mask that is being disposed. */
  release(mask) {
    for (const leaf of this.#leaves.get(mask) ?? []) this.#drop(this.#copies.get(leaf));
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

/** One block with the arrays of a leaf. */
function writeCopy(heap, leaf) {
  const arrays = ARRAYS.filter((name) => ArrayBuffer.isView(leaf[name]));
  const bytes = arrays.reduce((end, name) => end + align(leaf[name].byteLength), 0);
  const copy = { block: heap.alloc(bytes), bytes, holds: 0 };
  let address = copy.block;
  for (const name of arrays) {
    const { buffer, byteOffset, byteLength } = leaf[name];
    heap.u8.set(new Uint8Array(buffer, byteOffset, byteLength), address);
    copy[name] = address;
    address += align(byteLength);
  }
  return copy;
}
