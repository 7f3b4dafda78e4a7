// SPDX-License-Identifier: Apache-2.0

/** The maskers, and the registry by whose names maskers are made from JSON. */

import { eitherOf, nearest, rangeError, typeError } from './checks.js';
import { doubleSparsity } from './maskers-double-sparsity.js';
import { causal, local, sink } from './maskers-fixed.js';
import { hashAttention } from './maskers-hash-attention.js';
import { importanceSampling } from './maskers-importance.js';
import { magicPig } from './maskers-magic-pig.js';
import { groupTopK, oracleTopK, oracleTopP } from './maskers-oracle.js';
import { pqCache } from './maskers-pq-cache.js';
import { quest } from './maskers-quest.js';
import { adaptiveSampling, randomSampling } from './maskers-sampling.js';
import { socket } from './maskers-socket.js';

const builtIn = {
  sink,
  local,
  causal,
  oracleTopK,
  oracleTopP,
  groupTopK,
  quest,
  doubleSparsity,
  hashAttention,
  pqCache,
  socket,
  importanceSampling,
  randomSampling,
  adaptiveSampling,
  magicPig,
};

export const maskers = Object.freeze({ ...builtIn });

/** Factories by name: those of the package, and those that register() adds to one instance. */
export class Registry {
  #factories = new Map(Object.entries(builtIn));

  get names() {
    return [...this.#factories.keys()];
  }

  register(name, factory) {
    if (typeof name !== 'string' || name === '') throw typeError('name', 'a string that is not empty', name);
    if (typeof factory !== 'function') throw typeError('factory', 'a function of options that returns a masker', factory);
    if (this.#factories.has(name)) throw rangeError('name', 'one that is not registered yet', name);
    this.#factories.set(name, factory);
  }

  /** A masker from { name, ...options }, or one as it is. */
  read(value, where) {
    if (typeof value === 'function') throw typeError(where, 'a masker, not the function that makes one', value);
    if (typeof value?.apply === 'function') {
      if (typeof value.name !== 'string') throw typeError(`${where}.name`, 'a string', value.name);
      return value;
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw typeError(where, 'a masker, or { name, ...options }', value);
    }
    const { name, ...options } = value;
    const factory = this.#factories.get(name);
    if (factory === undefined) throw unknownMasker(`${where}.name`, name, this.names);
    let masker;
    try {
      masker = factory(options);
    } catch (error) {
      error.message = `${where} (${name}): ${error.message}`;
      throw error;
    }
    if (typeof masker?.apply !== 'function') {
      throw typeError(`${where} (${name})`, 'a factory that returns a masker', masker);
    }
    return masker;
  }
}

function unknownMasker(where, name, names) {
  if (typeof name !== 'string') return typeError(where, 'the name of a masker', name);
  const near = nearest(name, names);
  return rangeError(where, near ? `a registered masker (did you mean ${near}?)` : eitherOf(names), name);
}
