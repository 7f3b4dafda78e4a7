// SPDX-License-Identifier: Apache-2.0

/**
 * What a masker knows of the keys it has seen, in wasm memory: an index that grows as keys are appended, and tables that
 * stay. A part of the index (of one batch and head) with less room is the beginning of one with more, so that growing
 * copies it and computes nothing again.
 */

import { Masker, MaskerPlan } from './abi.js';
import { formatDims } from './checks.js';
import { checkStatus } from './errors.js';

const SPARE = 1.5; // room that is made at once, as a multiple of what is needed

export class MaskerIndex {
  #heap;
  #address = 0;
  #partBytes = 0;
  #capacity = 0;
  #tables = new Map(); // name -> address
  #seen; // keys of each batch
  #dims;

  constructor(engine) {
    this.#heap = engine.heap;
  }

  /** Whether it belongs to that engine, and can still be used. */
  isOf(engine) {
    return this.#heap === engine.heap && this.#heap.open;
  }

  /** Whether it has entered keys of a call; until then it may go on with any. */
  get isStarted() {
    return this.#dims !== undefined;
  }

  /** The address of a constant table, which `make` makes when it is first asked for. */
  table(name, make) {
    let address = this.#tables.get(name);
    if (address === undefined) {
      const array = make();
      address = this.#heap.alloc(array.byteLength);
      this.#heap.u8.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), address);
      this.#tables.set(name, address);
    }
    return address;
  }

  /**
   * Appends the keys that are new of a call that was checked, whose problem is planned and whose masker is written: those
   * beyond what it has seen of each batch. Fills in the masker's index and capacity.
   */
  update(core, { problem, masker, maskerPlan }, call, workspace) {
    const parts = call.batch * this.#heap.u32[(maskerPlan + MaskerPlan.indexHeads) >>> 2];
    if (parts === 0) return;
    if (call.keyLength > this.#capacity) this.#grow(core, maskerPlan, masker, problem, call, parts);
    if (!this.isStarted) {
      this.#dims = dimsOf(call);
      this.#seen = new Array(call.batch).fill(0);
    }
    const { u32 } = this.#heap; // growing may have renewed it
    u32[(masker + Masker.index) >>> 2] = this.#address;
    u32[(masker + Masker.capacity) >>> 2] = this.#capacity;
    for (let b = 0; b < call.batch; b++) {
      const end = lengthOf(call, b);
      if (end === this.#seen[b]) continue;
      checkStatus(core.attn_masker_append(masker, problem, b, this.#seen[b], end, workspace), 0);
      this.#seen[b] = end;
    }
  }

  /** Throws unless the call has the keys that it has seen, as far as sizes tell. */
  check(call) {
    if (!this.isStarted) return;
    const dims = dimsOf(call);
    if (dims.some((size, axis) => size !== this.#dims[axis])) {
      throw new RangeError(
        `keys: expected batch, key heads, value heads and dim ${formatDims(this.#dims)}, which the masker has ` +
          `seen before, got ${formatDims(dims)}; call reset() before another sequence`,
      );
    }
    for (let b = 0; b < call.batch; b++) {
      if (lengthOf(call, b) >= this.#seen[b]) continue;
      throw new RangeError(
        `keys: expected at least the ${this.#seen[b]} that the masker has seen of batch ${b}, got ` +
          `${lengthOf(call, b)}; call reset() before another sequence`,
      );
    }
  }

  #grow(core, plan, masker, problem, call, parts) {
    const { keyLength } = call;
    const capacity = this.#capacity === 0 ? keyLength : Math.ceil(keyLength * SPARE);
    checkStatus(core.attn_masker_plan_init(plan, masker, problem, capacity), 0);
    const bytes = this.#heap.u32[(plan + MaskerPlan.indexBytes) >>> 2];
    const address = this.#heap.alloc(bytes);
    const { u8 } = this.#heap;
    u8.fill(0, address, address + bytes);
    const partBytes = bytes / parts;
    for (let part = 0; part < parts && this.#address !== 0; part++) {
      const from = this.#address + part * this.#partBytes;
      u8.copyWithin(address + part * partBytes, from, from + this.#partBytes);
    }
    this.#heap.free(this.#address);
    this.#address = address;
    this.#partBytes = partBytes;
    this.#capacity = capacity;
  }

  dispose() {
    this.#heap.free(this.#address);
    for (const address of this.#tables.values()) this.#heap.free(address);
    this.#tables.clear();
    this.#address = 0;
    this.#capacity = 0;
    this.#dims = undefined;
  }
}

/** What stays from call to call. */
function dimsOf({ batch, keyHeads, valueHeads, dim }) {
  return [batch, keyHeads, valueHeads, dim];
}

/** Keys of a batch that count. */
function lengthOf(call, batch) {
  return call.keyLengths === undefined ? call.keyLength : call.keyLengths.data[batch];
}
