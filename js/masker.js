// SPDX-License-Identifier: Apache-2.0

/**
 * What a masker is: an object with `name` and `apply(problem, previousMask, state)`, which returns a mask, and perhaps
 * `check(problem, state)`, which throws where it could not. Ours are made by factories that check their options once; as
 * JSON a masker is { name, ...options }.
 */

import { checkOptions } from './checks.js';
import { choose } from './core-masker.js';
import { callOf, engineOf } from './masker-problem.js';

export class Masker {
  #apply;
  #check;
  #options;

  constructor(name, options, isSampling, { apply, check }) {
    this.name = name;
    /** Whether it draws keys at random: a pipeline takes one such masker at most. */
    this.isSampling = isSampling;
    this.#options = options;
    this.#apply = apply;
    this.#check = check;
    Object.freeze(this);
  }

  /** Throws where the masker cannot serve the problem; changes nothing. */
  check(problem, state) {
    this.#check?.(problem, state);
  }

  apply(problem, previousMask, state) {
    return this.#apply(problem, previousMask, state);
  }

  toJSON() {
    return { name: this.name, ...this.#options };
  }
}

/**
 * A factory of maskers; its `parameters` are the names of its options.
 * @param known names of its options
 * @param read options => { apply, check }
 * @param keep options => those that are kept, and read
 */
export function maskerFactory(name, known, read, isSampling = false, keep = (options) => options) {
  const names = new Set(known);
  const factory = (options = {}) => {
    checkOptions(options, 'options', names);
    const own = Object.freeze({ ...keep(options) });
    return new Masker(name, own, isSampling, read(own));
  };
  return Object.assign(factory, { parameters: Object.freeze([...names]) });
}

/**
 * A factory of maskers that the core carries out: read(options) => (call) => fields of the core's struct, which throws
 * where the call does not fit the options. A field may be a function of the index, which makes tables.
 */
export function coreMaskerFactory(name, known, read, isSampling, keep) {
  return maskerFactory(
    name,
    known,
    (options) => {
      const fieldsOf = read(options);
      return {
        check: (problem, state) => {
          fieldsOf(callOf(problem));
          state.index?.check(callOf(problem));
        },
        apply: (problem, previousMask, state) =>
          previousMask.isFull()
            ? previousMask
            : choose(engineOf(problem), problem.options, fieldsOf, previousMask, state),
      };
    },
    isSampling,
    keep,
  );
}
