// SPDX-License-Identifier: Apache-2.0

/**
 * A pipeline of maskers for one layer: each takes the mask so far and returns another, from the empty mask on; the last
 * one masks attention. What maskers know of the keys is kept between calls, and grows with them.
 */

import { checkBoolean, typeError } from './checks.js';
import { formOf, Mask } from './mask.js';
import { isUnit } from './mask-forms.js';
import { MaskerProblem } from './masker-problem.js';
import { measure } from './metrics.js';
import { PROBLEM_OPTIONS } from './problem.js';
import { FLOAT_DTYPES, readTensor, Tensor } from './tensor.js';

const SEQUENCES = ['queries', 'keys', 'values'];
const NOT_FOR_MASKERS = new Set(['sparseAttentionMask', 'maskWeighting']);

export class SparseAttention {
  #attention;
  #engine;
  #maskers;
  #states;

  constructor(attention, engine, registry, list) {
    const maskers = list?.maskers ?? list; // also what toJSON returns
    if (!Array.isArray(maskers)) throw typeError('maskers', 'an array of maskers, or { maskers }', list);
    this.#attention = attention;
    this.#engine = engine;
    this.#maskers = maskers.map((masker, n) => registry.read(masker, `maskers[${n}]`));
    const sampling = this.#maskers.filter((masker) => masker.isSampling);
    if (sampling.length > 1) {
      throw new RangeError(
        `maskers: expected at most one that samples, got ${sampling.map(({ name }) => name).join(' and ')}`,
      );
    }
    this.#states = this.#maskers.map(() => ({}));
  }

  get maskers() {
    return [...this.#maskers];
  }

  buildMask(inputs) {
    return withResident(this.#attention, this.#engine, inputs, (staged) => this.#build(staged));
  }

  forward(inputs) {
    const { metrics, ...options } = inputs;
    const wantsMetrics = checkBoolean(metrics, 'metrics');
    return withResident(this.#attention, this.#engine, options, (staged) => {
      const started = performance.now();
      const mask = this.#build(staged);
      const built = performance.now();
      const masked = { ...staged, sparseAttentionMask: mask, maskWeighting: weightingOf(mask, staged) };
      const result = this.#attention.getMaskedAttentionOutput(masked);
      const ended = performance.now();
      if (!wantsMetrics) return { ...result, mask };
      const times = { maskMilliseconds: built - started, attentionMilliseconds: ended - built };
      return { ...result, mask, metrics: { ...measure(this.#attention, masked, result, mask), ...times } };
    });
  }

  toJSON() {
    return {
      maskers: this.#maskers.map((masker) => (typeof masker.toJSON === 'function' ? masker.toJSON() : { name: masker.name })),
    };
  }

  /** Forgets what maskers know of the keys: before another sequence. */
  reset() {
    for (const state of this.#states) state.index?.dispose();
    this.#states = this.#maskers.map(() => ({}));
  }

  dispose() {
    this.reset();
  }

  [Symbol.dispose ?? Symbol.for('Symbol.dispose')]() {
    this.dispose();
  }

  #build(staged) {
    const options = Object.fromEntries(
      PROBLEM_OPTIONS.filter((name) => !NOT_FOR_MASKERS.has(name)).map((name) => [name, staged[name]]),
    );
    const problem = new MaskerProblem(this.#attention, this.#engine, options);
    let mask = staged.sparseAttentionMask ?? Mask.empty(problem.shape);
    this.#maskers.forEach((masker, n) => {
      const next = masker.apply(problem, mask, this.#states[n]);
      if (!(next instanceof Mask)) throw typeError(`maskers[${n}] (${masker.name}).apply()`, 'a Mask', next);
      mask = next;
    });
    return mask;
  }
}

/** Probabilities divide; where all are 1, there is nothing to divide by. */
function weightingOf(mask, { maskWeighting }) {
  if (maskWeighting !== undefined) return maskWeighting;
  return isUnit(formOf(mask, 'mask')) ? 'multiply' : 'inverse';
}

/** Calls `use` with the inputs in wasm memory: maskers and attention then read them without copies of their own. */
function withResident(attention, engine, inputs, use) {
  engine.assertOpen();
  const own = [];
  try {
    const staged = { ...inputs };
    for (const name of SEQUENCES) {
      const { data, dims, dtype, tensor } = readTensor(inputs[name], name, FLOAT_DTYPES);
      if (tensor !== undefined || data.buffer === engine.heap.buffer) continue;
      const resident = new Tensor(engine.heap, { dims: [...dims], dtype, count: data.length, bytes: data.byteLength });
      own.push(resident);
      resident.data.set(dtype === 'float16' ? new Uint16Array(data.buffer, data.byteOffset, data.length) : data);
      staged[name] = resident;
    }
    return use(staged);
  } finally {
    for (const tensor of own) tensor.dispose();
  }
}
