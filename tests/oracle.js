// SPDX-License-Identifier: Apache-2.0
/**
 * @file oracle.js - masked attention in double precision, written from the formulas alone: one loop over
 * (batch, head, query), whole rows of scores, nothing tiled, skipped or reused. It takes the options of
 * `getMaskedAttentionOutput` (the sparse mask as a plain object) and returns plain arrays. It shares no code with the
 * package: broadcasting, Philox and the half-precision formats are written once more here.
 *
 * With `round = Math.fround` the same loops become the naive float32 computation that errors are measured against.
 */

// ---------------------------------------------------------------------------------------------- half precision

const bits = new DataView(new ArrayBuffer(8));

/** The float32 with these bits. */
export function float32FromBits(word) {
  bits.setUint32(0, word);
  return bits.getFloat32(0);
}

/** The bits of a float32; every NaN gives the same ones. */
export function bitsFromFloat32(value) {
  if (Number.isNaN(value)) return 0x7fc00000;
  bits.setFloat32(0, value);
  return bits.getUint32(0);
}

/** IEEE 754 binary16 to number. */
export function fromFloat16(half) {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24);
}

/** The upper half of a float32, to number. */
export function fromBfloat16(half) {
  return float32FromBits(half * 65536);
}

/** A float32 value to binary16: nearest, ties to even, overflow to infinity, subnormals kept. */
export function toFloat16(value) {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00;
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude)));
  const scaled = magnitude / 2 ** (exponent - 10); // rounding may carry into the exponent, which the sum below allows
  const whole = Math.floor(scaled);
  const rest = scaled - whole;
  const rounded = whole + (rest > 0.5 || (rest === 0.5 && whole % 2 === 1) ? 1 : 0);
  return magnitude < 2 ** -14 ? sign | rounded : sign | ((exponent + 14) * 1024 + rounded);
}

/** A float32 value to bfloat16: nearest, ties to even, overflow to infinity, subnormals kept. */
export function toBfloat16(value) {
  if (Number.isNaN(value)) return 0x7fc0;
  const word = bitsFromFloat32(Math.fround(value));
  const high = Math.floor(word / 65536);
  const rest = word % 65536;
  return high + (rest > 32768 || (rest === 32768 && high % 2 === 1) ? 1 : 0);
}

// ---------------------------------------------------------------------------------------------- Philox4x32-10

const multiply64 = (a, b) => {
  const product = BigInt(a) * BigInt(b);
  return [Number(product >> 32n), Number(product & 0xffffffffn)];
};

/** Salmon et al. 2011, as published: four words from a counter of four and a key of two. */
export function philox(counter, key) {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = multiply64(0xd2511f53, c0);
    const [high1, low1] = multiply64(0xcd9e8d57, c2);
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

// ---------------------------------------------------------------------------------------------- tensors

const dtypeOf = (tensor) => {
  if (tensor.dtype) return tensor.dtype;
  if (tensor.data instanceof Uint8Array) return 'bool';
  return tensor.data instanceof Float32Array || tensor.data instanceof Float64Array ? 'float32' : 'float16';
};

/** A tensor's elements as numbers. */
export function widen(tensor) {
  const dtype = dtypeOf(tensor);
  if (!(tensor.data instanceof Uint16Array) || dtype === 'bool') return Float64Array.from(tensor.data, Number);
  return Float64Array.from(tensor.data, dtype === 'bfloat16' ? fromBfloat16 : fromFloat16);
}

/** [b, h, s, d] of a tensor in either layout, and its elements in that order. */
function order(tensor, layout) {
  const data = widen(tensor);
  if (layout !== 'bshd') return { data, dims: [...tensor.dims] };
  const [batch, length, heads, dim] = tensor.dims;
  return { data: swap(data, batch, length, heads, dim), dims: [batch, heads, length, dim] };
}

/** Transposes the two middle dimensions of [n, a, b, d]. */
export function swap(data, n, a, b, d) {
  const result = new data.constructor(data.length);
  for (let x = 0; x < n; x++)
    for (let y = 0; y < a; y++)
      for (let z = 0; z < b; z++)
        for (let w = 0; w < d; w++) result[((x * b + z) * a + y) * d + w] = data[((x * a + y) * b + z) * d + w];
  return result;
}

/** A function (b, h, i, j) -> element of a tensor that broadcasts, right-aligned, to four dimensions. */
function broadcast(tensor) {
  const data = widen(tensor);
  const dims = [1, 1, 1, 1, ...tensor.dims].slice(-4);
  const at = (index, axis) => (dims[axis] === 1 ? 0 : index);
  return (b, h, i, j) => data[((at(b, 0) * dims[1] + at(h, 1)) * dims[2] + at(i, 2)) * dims[3] + at(j, 3)];
}

const perHead = (list) => (list === undefined ? undefined : ArrayBuffer.isView(list) ? list : widen(list));

// ---------------------------------------------------------------------------------------------- attention

/**
 * @param {object} options those of the package. `sparseAttentionMask` is `{ shape, weights }` (dense, row-major) or
 *   `{ shape, flag: 'empty' | 'full' }`.
 * @param {(x: number) => number} round applied after every operation; identity, or Math.fround
 * @returns everything the package can return, in the package's layouts and with its default windows: output, weights,
 *   logSumExp, scores: { raw, softcapped, biased }, numerator, denominator, rowMax, dropoutMask; and what error bounds
 *   need: sum (the denominator without dropout), maxLogit (over the keys that rowMax is over), maxScore and maxValue
 */
export function attend(options, round = (x) => x) {
  const queries = order(options.queries, options.inputLayout);
  const keys = order(options.keys, options.inputLayout);
  const values = order(options.values, options.inputLayout);
  const [batch, heads, queryLength, dim] = queries.dims;
  const [, keyHeads, keyLength] = keys.dims;
  const [, valueHeads, , valueDim] = values.dims;

  const scaling = round(options.scaling ?? (dim ? Math.fround(1 / Math.sqrt(dim)) : 1));
  const softcap = round(options.softcap ?? 0);
  const slopes = perHead(options.alibiSlopes);
  const sinks = perHead(options.sinks);
  const keyOffset = options.keyOffset ?? 0;
  const queryOffset = (b) => {
    const offset = options.queryOffset ?? keyOffset + keyLength - queryLength;
    return typeof offset === 'number' ? offset : offset[b];
  };
  const window = options.window && { left: options.window.left ?? Infinity, right: options.window.right ?? Infinity };
  const bias = options.attentionMask && broadcast(options.attentionMask);
  const biasIsBoolean = bias && dtypeOf(options.attentionMask) === 'bool';

  let mask = options.sparseAttentionMask;
  if (mask?.flag || mask?.weights.every((weight) => weight === 1)) mask = undefined; // empty, or full
  const maskWeight =
    mask &&
    ((b, h, i, j) => {
      const maskBatch = mask.shape[0] === 1 ? 0 : b;
      const maskHead = Math.floor(h / (heads / mask.shape[1]));
      return mask.weights[((maskBatch * mask.shape[1] + maskHead) * queryLength + i) * keyLength + j];
    });

  const rate = options.training ? (options.dropout ?? 0) : 0;
  const dropoutGiven = rate > 0 && options.dropoutMask ? broadcast(options.dropoutMask) : undefined;
  const seed = BigInt(options.seed ?? 0);
  const key = [Number(seed & 0xffffffffn), Number((seed >> 32n) & 0xffffffffn)];
  const threshold = Math.floor(rate * 2 ** 32);
  let words, wordsAt;
  const keepsAt = (b, h, i, j) => {
    if (rate === 0) return true;
    if (dropoutGiven) return rate < 1 && dropoutGiven(b, h, i, j) !== 0;
    const position = keyOffset + j;
    const at = `${b},${h},${i},${Math.floor(position / 4)}`;
    if (at !== wordsAt) [wordsAt, words] = [at, philox([Math.floor(position / 4), i, h, b], key)];
    return words[position % 4] >= threshold;
  };
  const survivors = rate < 1 ? round(1 / (1 - rate)) : 0;
  const after = options.dropoutPlacement === 'after-normalization';

  const rows = batch * heads * queryLength;
  const result = {
    output: new Float64Array(rows * valueDim),
    weights: new Float64Array(rows * keyLength),
    logSumExp: new Float64Array(rows),
    scores: {
      raw: new Float64Array(rows * keyLength),
      softcapped: new Float64Array(rows * keyLength),
      biased: new Float64Array(rows * keyLength),
    },
    numerator: new Float64Array(rows * valueDim),
    denominator: new Float64Array(rows),
    rowMax: new Float64Array(rows),
    dropoutMask: new Uint8Array(rows * keyLength),
    sum: new Float64Array(rows),
    maxLogit: 0,
    maxScore: 0,
    maxValue: 0,
  };
  for (const value of values.data)
    if (Number.isFinite(value)) result.maxValue = Math.max(result.maxValue, Math.abs(value));

  const logits = new Float64Array(keyLength);
  const factors = new Float64Array(keyLength); // what e is multiplied by before normalisation, without dropout
  const allowed = new Uint8Array(keyLength);
  const kept = new Uint8Array(keyLength);

  for (let b = 0; b < batch; b++)
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < queryLength; i++) {
        const row = (b * heads + h) * queryLength + i;
        const queryAt = row * dim;
        const keysAt = (b * keyHeads + Math.floor(h / (heads / keyHeads))) * keyLength * dim;
        const valuesAt = (b * valueHeads + Math.floor(h / (heads / valueHeads))) * keyLength * valueDim;
        const position = queryOffset(b) + i;
        let maxKept = -Infinity;
        let maxAllowed = -Infinity;
        let poisoned = false;

        for (let j = 0; j < keyLength; j++) {
          let dot = 0;
          for (let d = 0; d < dim; d++)
            dot = round(dot + round(queries.data[queryAt + d] * keys.data[keysAt + j * dim + d]));
          const raw = round(dot * scaling);
          const softcapped = softcap ? round(softcap * round(Math.tanh(round(raw / softcap)))) : raw;
          let logit = softcapped;
          if (slopes) logit = round(logit - round(slopes[h] * Math.abs(position - (keyOffset + j))));
          let out = false;
          if (bias) {
            const addend = bias(b, h, i, j);
            if (biasIsBoolean) out = addend === 0;
            else if (addend === -Infinity) out = true;
            else logit = round(logit + addend);
            if (!biasIsBoolean && mask && addend <= -1e38) out = true;
          }
          const distance = keyOffset + j - position;
          if (options.causal && distance > 0) out = true;
          if (window && (distance < -window.left || distance > window.right)) out = true;
          if (options.keyLengths && j >= options.keyLengths[b]) out = true;
          if (logit === -Infinity) out = true;

          const at = row * keyLength + j;
          result.scores.raw[at] = raw;
          result.scores.softcapped[at] = softcapped;
          result.scores.biased[at] = out ? -Infinity : logit;
          result.dropoutMask[at] = keepsAt(b, h, i, j) ? 1 : 0;
          for (const score of [raw, logit])
            if (Number.isFinite(score)) result.maxScore = Math.max(result.maxScore, Math.abs(score));

          const weight = mask ? maskWeight(b, h, i, j) : 1;
          logits[j] = logit;
          allowed[j] = out ? 0 : 1;
          kept[j] = !out && weight !== 0 ? 1 : 0;
          factors[j] = mask && options.maskWeighting === 'inverse' ? 1 / round(weight + round(1e-6)) : weight;
          if (allowed[j]) maxAllowed = Math.max(maxAllowed, logit);
          if (kept[j]) {
            maxKept = Math.max(maxKept, logit);
            if (Number.isNaN(logit)) poisoned = true;
          }
          const counts = options.rowMaxOver === 'allowed' ? allowed[j] : kept[j];
          if (counts && Number.isFinite(logit)) result.maxLogit = Math.max(result.maxLogit, Math.abs(logit));
        }

        const max = options.rowMaxOver === 'allowed' ? maxAllowed : maxKept;
        let sum = 0; // without dropout
        let denominator = 0;
        const weightsAt = row * keyLength;
        const weights = result.weights.subarray(weightsAt, weightsAt + keyLength);
        const numerator = result.numerator.subarray(row * valueDim, (row + 1) * valueDim);
        for (let j = 0; j < keyLength; j++) {
          if (!kept[j]) continue;
          const e = round(round(Math.exp(round(logits[j] - max))) * factors[j]);
          const dropped = rate === 0 ? e : result.dropoutMask[weightsAt + j] ? round(e * survivors) : 0;
          sum = round(sum + e);
          denominator = round(denominator + (after ? e : dropped));
          weights[j] = dropped;
          for (let d = 0; d < valueDim; d++)
            numerator[d] = round(numerator[d] + round(dropped * values.data[valuesAt + j * valueDim + d]));
        }
        result.rowMax[row] = max;
        result.denominator[row] = denominator;
        result.sum[row] = sum;
        result.logSumExp[row] = maxKept === -Infinity ? -Infinity : round(max + round(Math.log(sum)));

        // The sink: one more logit in the denominator, so everything moves to the larger maximum.
        const sink = sinks ? sinks[h] : -Infinity;
        let shift = 1;
        let divisor = denominator;
        if (sink !== -Infinity) {
          const newMax = Math.max(max, sink);
          shift = maxKept === -Infinity ? 0 : round(Math.exp(round(max - newMax)));
          divisor = round(round(denominator * shift) + round(Math.exp(round(sink - newMax))));
        }
        const output = result.output.subarray(row * valueDim, (row + 1) * valueDim);
        if (divisor === 0 && !poisoned) {
          const fill = options.emptyRows === 'nan' ? NaN : 0;
          output.fill(fill);
          weights.fill(fill);
        } else {
          for (let d = 0; d < valueDim; d++) output[d] = round(round(numerator[d] * shift) / divisor);
          for (let j = 0; j < keyLength; j++) weights[j] = round(round(weights[j] * shift) / divisor);
        }
      }

  if (options.outputLayout !== 'bhsd') result.output = swap(result.output, batch, heads, queryLength, valueDim);
  return result;
}
