// SPDX-License-Identifier: Apache-2.0
/**
 * @file random.js - random attention problems from a seed, in the form the oracle takes (options of the package, the
 * sparse mask as a plain object with a `representation` to build it by). A family is a function that draws one problem.
 *
 * ATTN_SEED sets the seed of a run, ATTN_CASES the number of problems per family.
 */
import { toBfloat16, toFloat16 } from './oracle.js';

const environment = globalThis.process?.env ?? {}; // none in a browser
export const seed = Number(environment.ATTN_SEED ?? 20250701);
export const cases = Number(environment.ATTN_CASES ?? 1000);

/** A small counter-based generator (splitmix32): any seed, any stream, no state to warm up. */
export class Random {
  #state;

  constructor(seed, ...stream) {
    this.#state = seed >>> 0;
    for (const word of stream) this.#state = (Math.imul(this.word() ^ (word >>> 0), 0x9e3779b1) + 1) >>> 0;
  }

  word() {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let z = this.#state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  }

  /** In [0, 1). */
  uniform() {
    return this.word() / 2 ** 32;
  }

  /** In [low, high], both included. */
  integer(low, high) {
    return low + Math.floor(this.uniform() * (high - low + 1));
  }

  chance(probability) {
    return this.uniform() < probability;
  }

  pick(list) {
    return list[this.integer(0, list.length - 1)];
  }

  normal() {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  floats(count, amplitude = 1) {
    return Float32Array.from({ length: count }, () => this.normal() * amplitude);
  }

  bytes(count, probability) {
    return Uint8Array.from({ length: count }, () => (this.chance(probability) ? 1 : 0));
  }

  shuffled(list) {
    const result = [...list];
    for (let n = result.length - 1; n > 0; n--) {
      const m = this.integer(0, n);
      [result[n], result[m]] = [result[m], result[n]];
    }
    return result;
  }
}

export const product = (dims) => dims.reduce((a, b) => a * b, 1);

const lengths = [1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129];
const work = 150_000; // multiplications of one problem, at most

/** A float tensor in some dtype. */
export function tensor(random, dims, amplitude = 1, dtype = 'float32') {
  const floats = random.floats(product(dims), amplitude);
  return narrow({ data: floats, dims, dtype: 'float32' }, dtype);
}

/** A float32 tensor in another dtype, as Uint16Array. */
export function narrow({ data, dims }, dtype) {
  if (dtype === 'float16') return { data: Uint16Array.from(data, toFloat16), dims, dtype };
  if (dtype === 'bfloat16') return { data: Uint16Array.from(data, toBfloat16), dims, dtype };
  return { data, dims, dtype };
}

/** Sizes around the edges of tiles, with independent key and value heads. */
export function drawShape(random) {
  const length = () => (random.chance(0.02) ? 0 : random.pick(lengths));
  const shape = {
    batch: random.chance(0.02) ? 0 : random.pick([1, 1, 1, 2, 3]),
    heads: random.chance(0.02) ? 0 : random.pick([1, 1, 2, 3, 4, 6, 8, 12, random.pick([8, 300])]),
    queryLength: random.chance(0.3) ? 1 : length(),
    keyLength: length(),
    dim: length(),
    valueDim: length(),
  };
  if (random.chance(0.4)) shape.valueDim = shape.dim;
  if (random.chance(0.3)) shape.keyLength = shape.queryLength;
  const size = () => shape.batch * shape.heads * shape.queryLength * shape.keyLength * (shape.dim + shape.valueDim + 4);
  while (size() > work) {
    const name = random.pick(['batch', 'heads', 'queryLength', 'keyLength', 'dim', 'valueDim']);
    if (name === 'batch') shape.batch = 1;
    else if (name === 'heads') shape.heads = random.pick([1, 2]);
    else shape[name] = random.pick(lengths.filter((n) => n <= Math.max(1, shape[name])));
  }
  const divisors = Array.from({ length: Math.max(1, shape.heads) }, (_, n) => n + 1).filter(
    (n) => shape.heads % n === 0,
  );
  shape.keyHeads = random.pick(divisors);
  shape.valueHeads = random.chance(0.6) ? shape.keyHeads : random.pick(divisors);
  return shape;
}

const dtypes = ['float32', 'float32', 'float32', 'float16', 'bfloat16'];

/** Queries, keys and values of a shape. The amplitude acts on queries, so on the logits; `valueScale` on values. */
export function drawInputs(random, shape, { amplitude = 1, valueScale = 1, mixed = true } = {}) {
  const inputLayout = random.chance(0.25) ? 'bshd' : random.pick(['bhsd', undefined]);
  const dims = (heads, length, dim) =>
    inputLayout === 'bshd' ? [shape.batch, length, heads, dim] : [shape.batch, heads, length, dim];
  const dtype = () => (mixed ? random.pick(dtypes) : 'float32');
  return {
    queries: tensor(random, dims(shape.heads, shape.queryLength, shape.dim), amplitude, dtype()),
    keys: tensor(random, dims(shape.keyHeads, shape.keyLength, shape.dim), 1, dtype()),
    values: tensor(random, dims(shape.valueHeads, shape.keyLength, shape.valueDim), valueScale, dtype()),
    inputLayout,
    outputLayout: random.pick([undefined, 'bshd', 'bhsd']),
  };
}

/** Dims that broadcast to [b, h, sq, sk], of any rank, the last one perhaps longer than needed. */
function drawMaskDims(random, shape) {
  const full = [shape.batch, shape.heads, shape.queryLength, shape.keyLength];
  const rank = random.pick([1, 2, 2, 3, 4, 4, 4]);
  const dims = full.slice(4 - rank).map((size) => (random.chance(0.35) ? 1 : size));
  if (dims.at(-1) !== 1 && random.chance(0.25)) dims[dims.length - 1] += random.integer(1, 9);
  return dims;
}

export function drawAttentionMask(random, shape) {
  const dims = drawMaskDims(random, shape);
  if (random.chance(0.4)) {
    const density = random.pick([0, 0.05, 0.5, 0.9, 1]);
    const data = random.bytes(product(dims), density).map((bit) => (bit ? random.pick([1, 1, 2, 255]) : 0));
    return { data, dims, dtype: 'bool' };
  }
  const lowest = random.pick([undefined, undefined, -Infinity, -Infinity, -3.4028234663852886e38, -1e4]);
  const dtype = lowest === -3.4028234663852886e38 || lowest === -1e4 ? 'float32' : random.pick(dtypes);
  const data = random.floats(product(dims), random.pick([0.1, 1, 5]));
  const density = random.pick([0.1, 0.5, 0.9]);
  if (lowest !== undefined)
    data.forEach((_, n) => {
      if (!random.chance(density)) data[n] = lowest;
    });
  return narrow({ data, dims }, dtype);
}

export function drawPositions(random, shape) {
  const options = {};
  if (random.chance(0.5)) options.causal = true;
  if (random.chance(0.4)) {
    const side = () => random.pick([0, 1, 2, 5, 16, 63, 64, 100, Infinity, undefined]);
    options.window = { left: side(), right: side() };
  }
  if (random.chance(0.4)) {
    const offset = () => random.integer(-shape.queryLength - 3, shape.keyLength + 3);
    options.queryOffset = random.chance(0.5) ? offset() : Int32Array.from({ length: shape.batch }, offset);
  }
  if (random.chance(0.25)) options.keyOffset = random.pick([1, 5, 64, 1000]);
  if (options.keyOffset && options.queryOffset !== undefined)
    options.queryOffset =
      typeof options.queryOffset === 'number'
        ? options.queryOffset + options.keyOffset
        : options.queryOffset.map((offset) => offset + options.keyOffset);
  if (random.chance(0.4))
    options.keyLengths = Int32Array.from({ length: shape.batch }, () => random.integer(0, shape.keyLength));
  return options;
}

function drawSparseMask(random, shape) {
  const maskShape = [
    random.chance(0.4) ? 1 : shape.batch,
    random.pick([1, shape.keyHeads, shape.heads]),
    shape.queryLength,
    shape.keyLength,
  ];
  if (shape.heads === 0) maskShape[1] = random.pick([0, 1]);
  const options = { maskWeighting: random.pick([undefined, 'multiply', 'inverse']) };
  if (random.chance(0.05)) {
    options.sparseAttentionMask = { shape: maskShape, flag: random.pick(['empty', 'full']) };
    return options;
  }
  const density = random.pick([0, 0.02, 0.1, 0.3, 0.7]);
  const binary = random.chance(0.3);
  const weights = Float32Array.from({ length: product(maskShape) }, () => {
    if (!random.chance(density)) return random.chance(0.1) ? -0 : 0;
    return binary ? 1 : Math.fround(random.uniform() * random.pick([1, 1, 2]) + 1e-3);
  });
  if (random.chance(0.2)) {
    // runs of keys, so that whole tiles are full and others empty
    const start = random.integer(0, shape.keyLength);
    weights.forEach((_, n) => {
      weights[n] = shape.keyLength && n % shape.keyLength >= start ? 0.75 : 0;
    });
  }
  options.sparseAttentionMask = {
    shape: maskShape,
    weights,
    representation: random.pick(['dense', 'indices', 'rows', 'upstream']),
  };
  return options;
}

export function drawDropout(random, shape) {
  const options = {
    dropout: random.pick([0, 0.1, 0.5, 0.9, 1, Math.fround(1 / 3)]),
    training: random.chance(0.9),
    dropoutPlacement: random.pick([undefined, 'before-normalization', 'after-normalization']),
  };
  if (random.chance(0.35)) {
    const dims = drawMaskDims(random, shape);
    if (dims.at(-1) > 1) dims[dims.length - 1] = shape.keyLength;
    const data = random.bytes(product(dims), 0.6).map((bit) => (bit ? random.pick([1, 1, 2, 255]) : 0));
    options.dropoutMask = { data, dims, dtype: 'bool' };
  } else {
    const high = random.word();
    const big = (BigInt(high) << 32n) | BigInt(random.word());
    options.seed = random.pick([random.word(), high * 2 ** 20 + random.integer(0, 2 ** 20 - 1), big]);
  }
  return options;
}

export function drawScores(random, shape) {
  const options = {};
  if (random.chance(0.5)) options.scaling = random.pick([1, 0.05, 0.3, -0.5, 0]);
  if (random.chance(0.5)) options.softcap = random.pick([0, 0.5, 5, 30, 50]);
  if (random.chance(0.4)) options.alibiSlopes = random.floats(shape.heads, 0.2);
  if (random.chance(0.4)) {
    options.sinks = random.floats(shape.heads, 3);
    if (random.chance(0.2)) options.sinks.fill(-Infinity);
    if (random.chance(0.5)) options.sinks = { data: options.sinks, dims: [shape.heads], dtype: 'float32' };
  }
  return options;
}

export const emptyRows = (random) => ({ emptyRows: random.pick([undefined, 'zero', 'nan']) });

/** One problem of each kind, by name. */
export const families = {
  dense(random) {
    const shape = drawShape(random);
    return drawInputs(random, shape, {
      amplitude: random.pick([0.1, 1, 1, 4]),
      valueScale: random.pick([1, 1, 1e-3, 1e3]),
    });
  },
  magnitudes(random) {
    const shape = drawShape(random);
    const amplitude = random.pick([1e-30, 1e-6, 1e-2, 30, 1e3, 1e5]);
    const options = drawInputs(random, shape, {
      amplitude,
      valueScale: random.pick([1e-30, 1e-6, 1, 1e6, 1e30]),
      mixed: false,
    });
    if (random.chance(0.3)) options.sinks = random.floats(shape.heads, amplitude);
    return options;
  },
  positions(random) {
    const shape = drawShape(random);
    return { ...drawInputs(random, shape), ...drawPositions(random, shape), ...emptyRows(random) };
  },
  masks(random) {
    const shape = drawShape(random);
    const options = {
      ...drawInputs(random, shape),
      attentionMask: drawAttentionMask(random, shape),
      ...emptyRows(random),
    };
    return random.chance(0.3) ? { ...options, ...drawPositions(random, shape) } : options;
  },
  scores(random) {
    const shape = drawShape(random);
    const options = {
      ...drawInputs(random, shape, { amplitude: random.pick([1, 5, 20]) }),
      ...drawScores(random, shape),
    };
    return random.chance(0.3) ? { ...options, ...drawPositions(random, shape), ...emptyRows(random) } : options;
  },
  sparse(random) {
    const shape = drawShape(random);
    const options = { ...drawInputs(random, shape), ...drawSparseMask(random, shape), ...emptyRows(random) };
    if (random.chance(0.3)) Object.assign(options, drawPositions(random, shape));
    if (random.chance(0.3)) options.attentionMask = drawAttentionMask(random, shape);
    return options;
  },
  dropout(random) {
    const shape = drawShape(random);
    const options = { ...drawInputs(random, shape), ...drawDropout(random, shape), ...emptyRows(random) };
    return random.chance(0.3) ? { ...options, ...drawPositions(random, shape) } : options;
  },
  everything(random) {
    const shape = drawShape(random);
    const options = { ...drawInputs(random, shape), ...emptyRows(random) };
    if (random.chance(0.6)) Object.assign(options, drawPositions(random, shape));
    if (random.chance(0.6)) options.attentionMask = drawAttentionMask(random, shape);
    if (random.chance(0.6)) Object.assign(options, drawScores(random, shape));
    if (random.chance(0.6)) Object.assign(options, drawSparseMask(random, shape));
    if (random.chance(0.6)) Object.assign(options, drawDropout(random, shape));
    return options;
  },
};

/** A problem, small enough to read, as text. */
export function describe(options) {
  const short = (_, value) => {
    if (ArrayBuffer.isView(value))
      return value.length > 8 ? `${value.constructor.name}(${value.length})` : [...value].map(String);
    if (typeof value === 'bigint') return `${value}n`;
    return value === Infinity ? 'Infinity' : value;
  };
  return JSON.stringify(options, short);
}
