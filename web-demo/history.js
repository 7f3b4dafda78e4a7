// SPDX-License-Identifier: Apache-2.0
/** Undo and redo over immutable values; what one gesture does in many steps, such as a slider's drag, is one entry. */

const LONGEST = 200;

export class History {
  #past = [];
  #future = [];
  #gesture;

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  /**
   * Remembers a value that is about to change.
   * @param {unknown} value as it was
   * @param {string} [gesture] changes of one gesture that follow each other keep only the first value
   */
  record(value, gesture) {
    if (gesture === undefined || gesture !== this.#gesture) this.#past.push(value);
    if (this.#past.length > LONGEST) this.#past.shift();
    this.#future = [];
    this.#gesture = gesture;
  }

  /** The next change starts an entry of its own. */
  endGesture() {
    this.#gesture = undefined;
  }

  clear() {
    this.#past = [];
    this.#future = [];
    this.#gesture = undefined;
  }

  /** @returns {unknown} the value before the present one, which redo() gives back */
  undo(present) {
    return this.#move(this.#past, this.#future, present);
  }

  redo(present) {
    return this.#move(this.#future, this.#past, present);
  }

  #move(from, to, present) {
    this.#gesture = undefined;
    if (from.length === 0) return present;
    to.push(present);
    return from.pop();
  }
}
