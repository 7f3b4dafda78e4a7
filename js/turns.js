// SPDX-License-Identifier: Apache-2.0

/**
 * Turns of the event loop, dealt out to the runs of one engine: each resumes in a task of its own, one per task and in
 * the order of asking, so that timers fire, messages arrive and pages are drawn in between.
 */
export class Turns {
  #runs = 0;
  #waiting = [];
  #queue;

  /** How many runs take turns. */
  get runs() {
    return this.#runs;
  }

  join() {
    if (this.#runs === 0) this.#queue = openQueue(() => this.#resumeFirst());
    this.#runs++;
  }

  leave() {
    if (--this.#runs === 0) this.#queue.close();
  }

  /** Settles when it is the turn of whoever asked. */
  next() {
    return new Promise((resolve) => {
      if (this.#waiting.push(resolve) === 1) this.#queue.ask();
    });
  }

  #resumeFirst() {
    const resume = this.#waiting.shift();
    if (this.#waiting.length > 0) this.#queue.ask();
    resume();
  }
}

/**
 * Has `task` called soon, in a task of its own, for each ask(). Not by scheduler.yield(): its continuations come before
 * all timers, so the one that would abort a run never fired.
 */
function openQueue(task) {
  const { setImmediate, MessageChannel } = globalThis;
  if (setImmediate) return { ask: () => setImmediate(task), close() {} };
  if (MessageChannel) {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = task;
    return { ask: () => port2.postMessage(null), close: () => port1.close() };
  }
  return { ask: () => setTimeout(task), close() {} };
}
