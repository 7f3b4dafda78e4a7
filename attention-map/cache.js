// SPDX-License-Identifier: Apache-2.0

/**
 * What has been computed, up to a number of bytes; what was used longest ago goes first. One cache serves several
 * owners, whose keys are their own.
 */
export class Cache {
  #limit;
  #bytes = 0;
  #entries = new Map(); // key -> { value, bytes }, in the order of use
  #owners = 0;

  /** @param limit the most bytes that are kept, not counting what is still in use elsewhere */
  constructor(limit) {
    this.#limit = limit;
  }

  get bytes() {
    return this.#bytes;
  }

  /** A new prefix of keys. */
  owner() {
    return `${this.#owners++}:`;
  }

  get(key) {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry.value;
  }

  set(key, value, bytes) {
    this.#drop(key);
    this.#entries.set(key, { value, bytes });
    this.#bytes += bytes;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#limit) break;
      this.#drop(oldest);
    }
  }

  /** Forgets everything of an owner. */
  forget(owner) {
    for (const key of this.#entries.keys()) if (key.startsWith(owner)) this.#drop(key);
  }

  #drop(key) {
    this.#bytes -= this.#entries.get(key)?.bytes ?? 0;
    this.#entries.delete(key);
  }
}
