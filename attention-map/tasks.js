// SPDX-License-Identifier: Apache-2.0

import { Turns } from '../js/turns.js';

const SLICE_MS = 8; // half a frame

/**
 * Work in small steps, the latest first, so that what is on the screen now comes before what was. Between slices of 8
 * ms the event loop turns: messages arrive, and what nobody waits for any more is dropped.
 */
export class Tasks {
  #turns = new Turns();
  #tasks = []; // the latest last
  #isRunning = false;

  /**
   * @param steps an iterator
   * @param signal an AbortSignal
   * @returns a promise of what it returns; rejects with what it throws, or with the signal's reason
   */
  run(steps, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const task = { steps, resolve, reject, signal, abort: () => this.#end(task, () => reject(signal.reason)) };
      signal?.addEventListener('abort', task.abort);
      this.#tasks.push(task);
      this.#work();
    });
  }

  async #work() {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#turns.join();
    while (this.#tasks.length > 0) {
      await this.#turns.next();
      if (this.#tasks.length > 0) this.#advance(this.#tasks.at(-1));
    }
    this.#turns.leave();
    this.#isRunning = false;
  }

  #advance(task) {
    const start = performance.now();
    try {
      do {
        const { done, value } = task.steps.next();
        if (done) return this.#end(task, () => task.resolve(value));
      } while (performance.now() - start < SLICE_MS);
    } catch (error) {
      this.#end(task, () => task.reject(error));
    }
  }

  #end(task, settle) {
    task.signal?.removeEventListener('abort', task.abort);
    this.#tasks.splice(this.#tasks.indexOf(task), 1);
    settle();
  }
}
