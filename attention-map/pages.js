// SPDX-License-Identifier: Apache-2.0
/** Pages of a picture that is larger than memory: asked for when wanted, given up when not, the oldest dropped. */

/** @template Value */
export class Pages {
  #load;
  #onload;
  #onerror;
  #discard;
  #entries = new Map(); // key => { value, version, controller }, the least recently wanted first
  #pending = 0;
  #first = 0; // loads of pages of which nothing has been shown
  #waiting = []; // those that go on when all of these have come

  /**
   * @param {object} options
   * @param {(page: { level: number, row: number, column: number }, signal: AbortSignal, value: Value | undefined) =>
   *   Promise<{ value: Value, isProvisional: boolean }>} options.load gets what is shown so far; a provisional value is
   *   shown, and the page loaded once more
   * @param {() => void} options.onload after a page has come, or the last one that was asked for has failed
   * @param {(error: unknown) => void} options.onerror unless the page was given up
   * @param {(value: Value) => void} [options.discard] frees what a value holds
   */
  constructor({ load, onload, onerror, discard = () => {} }) {
    this.#load = load;
    this.#onload = onload;
    this.#onerror = onerror;
    this.#discard = discard;
  }

  /** Pages that are being loaded. */
  get pending() {
    return this.#pending;
  }

  /**
   * @param {{ level: number, row: number, column: number }[]} pages all that is wanted now, the most urgent last; what
   * else is being loaded is given up
   * @param {string} version pages of another version are shown until they have come anew
   * @param {number} capacity how many pages are kept, of which those wanted are a part
   */
  want(pages, version, capacity) {
    const wanted = new Set(pages.map(keyOf));
    for (const [key, entry] of this.#entries) {
      if (!entry.controller || (wanted.has(key) && entry.version === version)) continue;
      this.#abandon(entry);
      if (entry.value === undefined) this.#entries.delete(key);
      else entry.version = undefined;
    }
    for (const page of pages) {
      const key = keyOf(page);
      const entry = this.#entries.get(key) ?? {};
      this.#entries.delete(key);
      this.#entries.set(key, entry); // the most recent now
      if (entry.version !== version) this.#fetch(page, entry, version);
    }
    for (const [key, entry] of this.#entries) {
      if (this.#entries.size <= Math.max(capacity, pages.length)) break;
      this.#drop(key, entry);
    }
  }

  /** @returns {Value | undefined} what there is of a page, perhaps of an older version */
  get(page) {
    return this.#entries.get(keyOf(page))?.value;
  }

  /** @returns {Value | undefined} the page if it is of this version */
  current(page, version) {
    const entry = this.#entries.get(keyOf(page));
    return entry?.version === version ? entry.value : undefined;
  }

  clear() {
    for (const [key, entry] of this.#entries) this.#drop(key, entry);
  }

  async #fetch(page, entry, version) {
    const controller = new AbortController();
    entry.version = version;
    entry.controller = controller;
    this.#pending++;
    try {
      for (;;) {
        const { value, isProvisional } = await this.#loadOnce(page, controller.signal, entry.value);
        if (controller.signal.aborted) {
          this.#discard(value);
          return;
        }
        if (entry.value !== undefined) this.#discard(entry.value);
        entry.value = value;
        if (!isProvisional) break;
        this.#onload();
        // What will take longer waits until something can be seen everywhere.
        if (this.#first > 0) await new Promise((resolve) => this.#waiting.push(resolve));
        if (controller.signal.aborted) return;
      }
    } catch (error) {
      if (controller.signal.aborted) return;
      this.#onerror(error); // the entry keeps its version: it is not asked for again until something changes
    }
    entry.controller = undefined;
    this.#pending--;
    this.#onload();
  }

  async #loadOnce(page, signal, shown) {
    if (shown !== undefined) return this.#load(page, signal, shown);
    this.#first++;
    try {
      return await this.#load(page, signal, shown);
    } finally {
      this.#first--;
      if (this.#first === 0) this.#waiting.splice(0).forEach((goOn) => goOn());
    }
  }

  #abandon(entry) {
    entry.controller.abort();
    entry.controller = undefined;
    this.#pending--;
  }

  #drop(key, entry) {
    if (entry.controller) this.#abandon(entry);
    if (entry.value !== undefined) this.#discard(entry.value);
    this.#entries.delete(key);
  }
}

const keyOf = ({ level, row, column }) => `${level}/${row}/${column}`;
