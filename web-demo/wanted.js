// SPDX-License-Identifier: Apache-2.0
/**
 * Results by name, each for the question it was last asked. A result is asked for again only where its question has
 * changed; an answer to an older question is thrown away, and the older result stays until the new one is there.
 */
export class Wanted {
  #results = new Map();
  #changed;

  /** @param {() => void} changed called when a result has come */
  constructor(changed) {
    this.#changed = changed;
  }

  /**
   * @param {string} name of the result
   * @param {unknown[]} question what it depends on
   * @param {() => Promise<unknown>} ask
   * @param {number} [wait] milliseconds that the question has to stand before it is asked
   */
  ask(name, question, ask, wait = 0) {
    const key = JSON.stringify(question);
    const entry = this.#results.get(name) ?? { value: undefined };
    if (entry.key === key) return;
    this.#results.set(name, entry);
    clearTimeout(entry.timer);
    Object.assign(entry, { key, pending: true });
    entry.timer = setTimeout(async () => {
      const outcome = await ask().then((value) => ({ value, error: undefined }), (error) => ({ error }));
      if (entry.key !== key) return;
      Object.assign(entry, outcome, { pending: false });
      this.#changed();
    }, wait);
  }

  /** @returns {{ value: any, error: Error | undefined, pending: boolean }} */
  get(name) {
    const { value, error, pending = false } = this.#results.get(name) ?? {};
    return { value, error, pending };
  }

  /** Forgets results whose name is not wanted any more. */
  keep(names) {
    for (const [name, { timer }] of this.#results) {
      if (names.has(name)) continue;
      clearTimeout(timer);
      this.#results.get(name).key = undefined;
      this.#results.delete(name);
    }
  }

  get pending() {
    return [...this.#results.values()].some(({ pending }) => pending);
  }
}
