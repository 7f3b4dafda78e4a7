// SPDX-License-Identifier: Apache-2.0
/** What is done one at a time, of each name: a newer job takes the place of an older one. */
export class Jobs {
  #onerror;
  #jobs = new Map(); // name => { controller, timer }

  /** @param {(error: unknown) => void} onerror of jobs that were not given up */
  constructor(onerror) {
    this.#onerror = onerror;
  }

  /**
   * @param {string} name
   * @param {number} delay milliseconds until it begins; 0 is at once
   * @param {(signal: AbortSignal) => Promise<void>} job looks at the signal after everything it waits for
   */
  start(name, delay, job) {
    this.giveUp(name);
    const controller = new AbortController();
    const entry = { controller };
    this.#jobs.set(name, entry);
    const run = () => job(controller.signal).catch((error) => !controller.signal.aborted && this.#onerror(error));
    if (delay > 0) entry.timer = setTimeout(run, delay);
    else run();
  }

  giveUp(name) {
    const job = this.#jobs.get(name);
    if (!job) return;
    clearTimeout(job.timer);
    job.controller.abort();
    this.#jobs.delete(name);
  }

  clear() {
    for (const name of this.#jobs.keys()) this.giveUp(name);
  }
}
