// SPDX-License-Identifier: Apache-2.0

/**
 * A pipeline of maskers for one layer: each takes the mask so far and returns another, from the empty mask on; the last
 * one masks attention. What maskers know of the keys is kept between calls, and grows with them.
 */

import { checkBoolean, checkOptions, typeError } from './checks.js';
import { formOf, Mask } from './mask.js';
import { isUnit } from './mask-forms.js';
import { Masker } from './masker.js';
import { MaskerProblem } from './masker-problem.js';
import { measure } from './metrics.js';
import { KNOWN_TO_OUTPUT, readOutputCall } from './options.js';
import { PROBLEM_OPTIONS } from './problem.js';
import { FLOAT_DTYPES, readTensor, Tensor } from './tensor.js';

const SEQUENCES = ['queries', 'keys', 'values'];
const KNOWN_TO_FORWARD = new Set([...KNOWN_TO_OUTPUT, 'metrics']);
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
    checkOptions(inputs, 'options', KNOWN_TO_OUTPUT);
    return withResident(this.#attention, this.#engine, inputs, (staged) => this.#build(staged).mask);
  }

  forward(inputs) {
    checkOptions(inputs, 'options', KNOWN_TO_FORWARD);
    const { metrics, ...options } = inputs;
    const wantsMetrics = checkBoolean(metrics, 'metrics');
    readOutputCall(options); // what is wrong is found before maskers learn of the keys
    return withResident(this.#attention, this.#engine, options, (staged) => {
      const started = performance.now();
      const { mask, isOurs } = this.#build(staged);
      const built = performance.now();
      const masked = { ...staged, sparseAttentionMask: mask, maskWeighting: weightingOf(mask, staged) };
      try {
        const result = this.#attention.getMaskedAttentionOutput(masked);
        const ended = performance.now();
        const results = { ...inCallersArrays(result, inputs), mask };
        if (!wantsMetrics) return results;
        const times = { maskMilliseconds: built - started, attentionMilliseconds: ended - built };
        return { ...results, metrics: { ...measure(this.#attention, masked, result, mask), ...times } };
      } finally {
        if (isOurs) this.#engine.masks.release(mask); // the next step has another: its copy in wasm memory can go
      }
    });
  }

  toJSON() {
    return {
      maskers: this.#maskers.map((masker) => (typeof masker.toJSON === 'function' ? masker.toJSON() : { name: masker.name })),
    };
  }

  /** Forgets what maskers know of the keys: before another sequence. */
  reset() {
    for (const state of this.#states) state.index?.dispose?.();
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
    const { sparseAttentionMask: given = Mask.empty(problem.shape) } = staged;
    if (!(given instanceof Mask)) throw typeError('sparseAttentionMask', 'a Mask', given);
    // What does not fit is found before any masker learns of the keys.
    this.#maskers.forEach((masker, n) => asked(masker, n, problem, this.#states[n]));
    let mask = given;
    let isOurs = false; // made in this loop by a masker of the package: nobody else has it
    try {
      this.#maskers.forEach((masker, n) => {
        const next = masker.apply(problem, mask, this.#states[n]);
        if (!(next instanceof Mask)) throw typeError(`maskers[${n}] (${masker.name}).apply()`, 'a Mask', next);
        const isBuiltIn = masker instanceof Masker;
        if (next === mask) return;
        if (isOurs && isBuiltIn) mask.dispose(); // gives its copy in wasm memory back
        [mask, isOurs] = [next, isBuiltIn];
      });
    } catch (error) {
      if (isOurs) this.#engine.masks.release(mask);
      throw error;
    }
    return { mask, isOurs };
  }
}

/** Has a masker check a problem; errors say which one it is. */
function asked(masker, n, problem, state) {
  try {
    masker.check?.(problem, state);
  } catch (error) {
    error.message = `maskers[${n}] (${masker.name}): ${error.message}`;
    throw error;
  }
}

/** float16 results as Float16Array where an input was one: the call itself saw copies in wasm memory. */
function inCallersArrays(result, inputs) {
  const usesFloat16Array = SEQUENCES.some((name) => inputs[name].data?.[Symbol.toStringTag] === 'Float16Array');
  if (!usesFloat16Array || inputs.out !== undefined) return result;
  const entries = Object.entries(result).map(([name, tensor]) => {
    if (tensor.dtype !== 'float16') return [name, tensor];
    const key = tensor.values === undefined ? 'data' : 'values';
    return [name, { ...tensor, [key]: new globalThis.Float16Array(tensor[key].buffer) }];
  });
  return Object.fromEntries(entries);
}

/** Probabilities divide; where all are 1, there is nothing to divide by. */
export function weightingOf(mask, { maskWeighting }) {
  if (maskWeighting !== undefined) return maskWeighting;
  return isUnit(formOf(mask, 'mask')) ? 'multiply' : 'inverse';
}

/** Calls `use` with the inputs in wasm memory: maskers and attention then read them without copies of their own. */
export function withResident(attention, engine, inputs, use) {
  engine.assertOpen();
  const own = [];
  try {
    const staged = { ...inputs };
    const operands = SEQUENCES.map((name) => readTensor(inputs[name], name, FLOAT_DTYPES));
    for (const { name, data, dims, dtype, count, bytes, tensor } of operands) {
      if (tensor !== undefined) continue;
      const { buffer, byteOffset } = data;
      const isView = buffer === engine.heap.buffer; // of wasm memory, which may grow at any time
      const resident = new Tensor(engine.heap, { dims: [...dims], dtype, count, bytes });
      own.push(resident);
      const { u8 } = engine.heap;
      const source = isView ? u8.subarray(byteOffset, byteOffset + bytes) : new Uint8Array(buffer, byteOffset, bytes);
      u8.set(source, resident.data.byteOffset);
      staged[name] = resident;
    }
    return use(staged);
  } finally {
    for (const tensor of own) tensor.dispose();
  }
}
