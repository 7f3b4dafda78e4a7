// SPDX-License-Identifier: Apache-2.0
/**
 * @file conformance.js - loads the conformance vectors and turns each into one neutral form:
 * `{ name, options, expected: [{ what, values, tolerance(e) , rows? }] }`, where `options` are those of the package
 * with the sparse mask as a plain object (see oracle.js) and `what` names a result in layout 'bhsd' or 'bshd'.
 *
 * The folder is $ATTN_CONFORMANCE, or ../shared/conformance beside the repository. Computed outputs that may be
 * redistributed are in tests/vectors as well and serve where the folder is absent; other projects' own test data
 * (canonical, error-cases.json) is only ever read from the folder. On a CI machine (CI=true) the folder must be there.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

const root = fileURLToPath(new URL('..', import.meta.url));
const candidates = [process.env.ATTN_CONFORMANCE, join(root, '../shared/conformance')].filter(Boolean);

/** The conformance folder, or undefined. */
export const folder = candidates.find((path) => existsSync(join(path, 'README.md')));

/** Whether a missing folder is an error rather than a reason to skip. */
export const required = Boolean(process.env.CI) && process.env.CI !== 'false';

/** What to say where the folder is absent. */
export const absent = `conformance folder not found (looked in ${candidates.join(', ')}; set ATTN_CONFORMANCE)`;

/** Every JSON file of one kind of vectors, from the folder or else from tests/vectors. */
function load(kind) {
  const places = [folder && join(folder, kind), join(root, 'tests/vectors', kind)].filter(Boolean);
  const place = places.find((path) => existsSync(path));
  if (!place) return [];
  const files = readdirSync(place)
    .filter((name) => name.endsWith('.json'))
    .sort();
  return files.map((name) => JSON.parse(readFileSync(join(place, name), 'utf8')));
}

const arrays = { float32: Float32Array, float64: Float64Array, bool: Uint8Array };

/** Base64 of little-endian bytes to a tensor. */
function decode({ dims, data, dtype = 'float32' }, as = dtype) {
  const bytes = Uint8Array.from(Buffer.from(data, 'base64'));
  return { dims, dtype: as === 'float64' ? 'float32' : as, data: new arrays[as](bytes.buffer) };
}

const values = (tensor) => decode(tensor).data;

// ---------------------------------------------------------------------------------------------- canonical

const side = (bound) => (bound >= 0 ? bound : Infinity);

/** ONNX and onnxruntime cases. */
export function canonical() {
  return load('canonical').map((c) => {
    const offset = c.window?.offset ?? c.causal_offset;
    const masks = { attentionMask: undefined };
    if (c.bias) masks.attentionMask = decode(c.bias);
    if (c.mask) masks.attentionMask = decode(c.mask, 'bool');
    if (c.bias && c.mask) throw new Error(`${c.name}: bias and mask together are not expected`);
    const options = {
      queries: decode(c.q),
      keys: decode(c.k),
      values: decode(c.v),
      ...masks,
      scaling: c.scale,
      softcap: c.softcap || undefined,
      causal: c.causal_offset !== null,
      window: c.window ? { left: side(c.window.left), right: side(c.window.right) } : undefined,
      queryOffset: c.causal_offset !== null || c.window ? (offset ?? 0) : undefined,
      keyLengths: c.kv_len ? Int32Array.from(c.kv_len) : undefined,
      sinks: c.sink ? Float32Array.from(c.sink) : undefined,
      outputLayout: 'bhsd',
    };
    if (Array.isArray(options.queryOffset)) options.queryOffset = Int32Array.from(options.queryOffset);
    const close = (e) => c.atol + 1e-5 * Math.abs(e);
    const names = { out: 'output', weights: 'weights' };
    const expected = Object.entries(c.expected).map(([name, tensor]) => ({
      what: names[name] ?? name.replace('scores_', 'scores.'),
      values: values(tensor),
      tolerance: close,
      ignoreNaN: Boolean(c.cu_seqlens),
      lowest: name === 'scores_biased',
    }));
    return { name: c.name, options, expected, pastLength: c.past_len };
  });
}

// ---------------------------------------------------------------------------------------------- torch-fp64

/** The integer hash that the inputs were drawn with. */
function hash(seed, index) {
  const a = (seed + Math.imul(index + 1, 0x6d2b79f5)) | 0;
  let t = Math.imul(a ^ (a >>> 15), a | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return (t ^ (t >>> 14)) >>> 0;
}

function draw(dims, seed, amplitude) {
  const data = new Float32Array(dims.reduce((a, b) => a * b, 1));
  for (let i = 0; i < data.length; i++) data[i] = ((hash(seed, i) / 2 ** 32) * 2 - 1) * amplitude;
  return { dims, dtype: 'float32', data };
}

/** Double-precision outputs with log-sum-exp; the inputs come from their seeds. */
export function torch() {
  return load('torch-fp64').map((c) => {
    const queries = draw([c.B, c.Hq, c.Lq, c.D], c.seed.q, c.amp);
    const keys = draw([c.B, c.Hk, c.Lk, c.D], c.seed.k, c.amp);
    const vs = draw([c.B, c.Hk, c.Lk, c.Dv], c.seed.v, c.amp);
    const { q0, k0, v_last: vLast } = c.check;
    if (queries.data[0] !== q0 || keys.data[0] !== k0 || vs.data.at(-1) !== vLast)
      throw new Error(`${c.name}: the inputs drawn are not those of the vector`);
    const known = ['softcap', 'causal_offset', 'window_left', 'bias_amp', 'mask_keep'];
    const unknown = Object.keys(c.options).filter((name) => !known.includes(name));
    if (unknown.length) throw new Error(`${c.name}: unknown options ${unknown}`);
    const { softcap, causal_offset: causalOffset, window_left: left, bias_amp: biasAmp, mask_keep: keep } = c.options;
    let attentionMask;
    if (biasAmp !== undefined) attentionMask = draw([1, c.Hq, c.Lq, c.Lk], c.seed.bias, biasAmp);
    if (keep !== undefined) {
      const data = new Uint8Array(c.B * c.Lq * c.Lk);
      for (let i = 0; i < data.length; i++) data[i] = hash(c.seed.mask, i) < Math.trunc(keep * 4294967295) ? 1 : 0;
      attentionMask = { dims: [c.B, 1, c.Lq, c.Lk], dtype: 'bool', data };
    }
    const tolerance = c.amp > 3 ? 2e-4 : 3e-6;
    return {
      name: c.name,
      options: {
        queries,
        keys,
        values: vs,
        attentionMask,
        softcap,
        scaling: c.scale,
        causal: causalOffset !== undefined,
        queryOffset: causalOffset,
        window: left === undefined ? undefined : { left, right: Infinity },
        outputLayout: 'bhsd',
      },
      expected: [
        { what: 'output', values: values(c.expected.out_rows), rows: c.expected.rows, tolerance: () => tolerance },
        { what: 'logSumExp', values: values(c.expected.lse), tolerance: () => 2e-5 },
      ],
    };
  });
}

// ---------------------------------------------------------------------------------------------- golden

/** Outputs of transformers, torch and the formulas this project continues. */
export function golden() {
  const inputNames = ['queries', 'keys', 'values', 'attentionMask', 'sinks', 'dropoutMask', 'denseMask', 'maskWeights'];
  const outputNames = {
    output: 'output',
    outputBHSD: 'output',
    weights: 'weights',
    lse: 'logSumExp',
    numerator: 'numerator',
    denominator: 'denominator',
  };
  return load('golden').map((c) => {
    const unknown = [
      ...Object.keys(c.inputs).filter((name) => !inputNames.includes(name)),
      ...Object.keys(c.outputs).filter((name) => !outputNames[name]),
    ];
    if (unknown.length) throw new Error(`${c.name}: unknown tensors ${unknown}`);
    const options = { outputLayout: 'outputBHSD' in c.outputs ? 'bhsd' : 'bshd' };
    for (const [name, value] of Object.entries(c.params)) if (!name.startsWith('_')) options[name] = value;
    for (const [name, tensor] of Object.entries(c.inputs)) {
      const decoded = decode(tensor);
      if (name === 'denseMask' || name === 'maskWeights')
        options.sparseAttentionMask = { shape: tensor.dims, weights: Float32Array.from(decoded.data) };
      else options[name] = decoded;
    }
    // Numerators are upstream's, over the allowed keys' maximum.
    const numerator = 'numerator' in c.outputs;
    const expected = Object.entries(c.outputs).map(([name, tensor]) => ({
      what: outputNames[name],
      values: values(tensor),
      tolerance: (e) => c.tol * Math.max(1, Math.abs(e)),
    }));
    return { name: c.name, options, expected, numerator };
  });
}

// ---------------------------------------------------------------------------------------------- sparse-attention-hub

/** Masker pipelines: the mask after each step, the final one with output and weights. */
export function sparseHub() {
  return load('sparse-attention-hub').map((c) => {
    const shape = [c.B, c.Hq, c.Lq, c.Lk];
    const maskOf = ({ dense_mask: dense, is_full: isFull }) =>
      dense ? { shape, weights: values(dense) } : { shape, flag: isFull ? 'full' : 'empty' };
    const given = c.pipeline.map((_, n) => c.steps[n - c.pipeline.length + c.steps.length]); // the last ones, or all
    const steps = c.pipeline.map(([masker, argument], n) => ({ masker, argument, mask: given[n] && maskOf(given[n]) }));
    const sparseAttentionMask = steps.at(-1).mask;
    const zeroed = (list) => list.map((value) => (Number.isNaN(value) ? 0 : value)); // a row whose kept keys are masked
    return {
      name: c.name,
      options: {
        queries: decode(c.q),
        keys: decode(c.k),
        values: decode(c.v),
        attentionMask: c.attention_mask ? decode(c.attention_mask) : undefined,
        scaling: c.scale,
        sparseAttentionMask,
        maskWeighting: 'inverse',
      },
      steps,
      upstream: c.index_mask ?? undefined, // flat CSR as upstream stores it: { indices, ptr, data }
      expected: [
        { what: 'output', values: zeroed(values(c.expected.out_BLHD)), tolerance: (e) => 5e-6 + 1e-5 * Math.abs(e) },
        { what: 'weights', values: zeroed(values(c.expected.weights)), tolerance: (e) => 2e-6 + 1e-5 * Math.abs(e) },
      ],
    };
  });
}

/** The malformed calls that a rival refuses. */
export function errorCases() {
  return folder ? JSON.parse(readFileSync(join(folder, 'error-cases.json'), 'utf8')) : [];
}

/**
 * The first disagreement of `actual` with an expectation, as a sentence, or undefined. `width` is the row length of
 * the result, needed where only some rows are listed.
 */
export function disagreement(expectation, actual, width) {
  const { what, rows, tolerance, ignoreNaN, lowest } = expectation;
  const count = expectation.values.length;
  if (!rows && actual.length !== count) return `${what}: ${actual.length} elements, expected ${count}`;
  for (let n = 0; n < count; n++) {
    const expected = expectation.values[n];
    const at = rows ? rows[Math.floor(n / width)] * width + (n % width) : n;
    const value = actual[at];
    if (ignoreNaN && Number.isNaN(expected)) continue;
    if (Object.is(value, expected) || value === expected) continue;
    if (lowest && value <= -3e38 && expected <= -3e38) continue;
    if (!(Math.abs(value - expected) <= tolerance(expected)))
      return `${what}[${at}]: ${value}, expected ${expected} +- ${tolerance(expected)}`;
  }
  return undefined;
}
