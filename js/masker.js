// SPDX-License-Identifier: Apache-2.0

/**
 * What a masker is: an object with `name` and `apply(problem, previousMask, state)`, which returns a mask. Ours are made
 * by factories that check their options once; as JSON a masker is { name, ...options }.
 */

import { checkOptions } from './checks.js';
import { choose } from './core-masker.js';
import { engineOf } from './masker-problem.js';

export class Masker {
  #apply;
  #options;

  constructor(name, options, isSampling, apply) {
    this.name = name;
    /** Whether it draws keys at random: a pipeline takes one such masker at most. */
    this.isSampling = isSampling;
    this.#options = options;
    this.#apply = apply;
    Object.freeze(this);
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
 * @param read options => (problem, previousMask, state) => mask
 */
export function maskerFactory(name, known, read, isSampling = false) {
  const names = new Set(known);
  const factory = (options = {}) => {
    checkOptions(options, 'options', names);
    const own = Object.freeze({ ...options });
    return new Masker(name, own, isSampling, read(own));
  };
  return Object.assign(factory, { parameters: Object.freeze([...names]) });
}

/** A factory of maskers that the core carries out: read(options) => (call, index) => fields of the core's struct. */
export function coreMaskerFactory(name, known, read, isSampling = false) {
  return maskerFactory(
    name,
    known,
    (options) => {
      const fieldsOf = read(options);
      return (problem, previousMask, state) =>
        previousMask.isFull() ? previousMask : choose(engineOf(problem), problem.options, fieldsOf, previousMask, state);
    },
    isSampling,
  );
}
