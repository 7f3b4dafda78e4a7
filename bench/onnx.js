// SPDX-License-Identifier: Apache-2.0
/** onnxruntime-web as a contestant: its attention operators, each alone in a model of one node, on one thread. */
import ort from 'onnxruntime-web/wasm';
import { createModel } from './onnx-model.js';
import { keyRange } from './problem.js';

const float32 = (data, dims) => ({ type: 'float32', data, dims });

/** [batch, heads, length, dim] -> [batch, length, heads * dim] */
function mergeHeads(data, [batch, heads, length, dim]) {
  const merged = new Float32Array(data.length);
  for (let b = 0; b < batch; b++) {
    for (let head = 0; head < heads; head++) {
      for (let row = 0; row < length; row++) {
        const from = ((b * heads + head) * length + row) * dim;
        merged.set(data.subarray(from, from + dim), ((b * length + row) * heads + head) * dim);
      }
    }
  }
  return float32(merged, [batch, length, heads * dim]);
}

/** Keys [begin, end) of every head. */
function sliceKeys(data, [batch, heads, length, dim], begin, end) {
  const slice = new Float32Array(batch * heads * (end - begin) * dim);
  for (let head = 0; head < batch * heads; head++) {
    const rows = data.subarray((head * length + begin) * dim, (head * length + end) * dim);
    slice.set(rows, head * rows.length);
  }
  return { data: slice, dims: [batch, heads, end - begin, dim] };
}

/** What the operator has no attribute for, as a boolean mask [batch, 1, queries, keys]. */
function positionMask({ shape, options }) {
  const { batch, qLen, kLen } = shape;
  const data = new Uint8Array(batch * qLen * kLen);
  for (let row = 0; row < batch * qLen; row++) {
    const [begin, end] = keyRange(shape, options, Math.floor(row / qLen), row % qLen);
    data.fill(1, row * kLen + begin, row * kLen + end);
  }
  return { type: 'bool', data, dims: [batch, 1, qLen, kLen] };
}

/** @param {string} [folder] of the package's wasm files, where it cannot find them itself; ends in a slash */
export function startOnnx(folder) {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = folder;
}

async function createSession(node, layout) {
  const session = await ort.InferenceSession.create(createModel(node), { executionProviders: ['wasm'], logSeverityLevel: 3 });
  const given = Object.entries(node.inputs).filter(([, tensor]) => tensor);
  const feeds = Object.fromEntries(given.map(([name, { type, data, dims }]) => [name, new ort.Tensor(type, data, dims)]));
  return {
    run: () => session.run(feeds),
    read: ({ output, weights }) => ({ output: output.data, weights: weights?.data, layout }),
    dispose: () => session.release(),
  };
}

/** ONNX `Attention`, opset 23. */
export function createAttention23(problem) {
  const { tensors, options, shape } = problem;
  const { causal, window, keyLengths, attentionMask, softcap, returnAttentionWeights } = options;
  const isSimple = !window && !keyLengths && !(causal && shape.qLen !== shape.kLen); // its causal is top-left
  const given = attentionMask && { type: attentionMask.dtype, data: attentionMask.data, dims: attentionMask.dims };
  return createSession(
    {
      operator: 'Attention',
      inputs: {
        queries: float32(tensors.queries.data, tensors.queries.dims),
        keys: float32(tensors.keys.data, tensors.keys.dims),
        values: float32(tensors.values.data, tensors.values.dims),
        mask: isSimple ? given : positionMask(problem),
      },
      outputs: returnAttentionWeights ? ['output', '', '', 'weights'] : ['output'],
      attributes: {
        is_causal: Number(Boolean(causal && isSimple)),
        ...(softcap && { softcap: { float: softcap } }),
        ...(returnAttentionWeights && { qk_matmul_output_mode: 3 }), // after the softmax
      },
    },
    'bhsd',
  );
}

/** onnxruntime's own `MultiHeadAttention`. */
export function createMultiHeadAttention({ tensors, options, shape }) {
  const lengths = options.keyLengths;
  return createSession(
    {
      operator: 'MultiHeadAttention',
      domain: 'com.microsoft',
      inputs: {
        queries: mergeHeads(tensors.queries.data, tensors.queries.dims),
        keys: mergeHeads(tensors.keys.data, tensors.keys.dims),
        values: mergeHeads(tensors.values.data, tensors.values.dims),
        bias: undefined,
        lengths: lengths && { type: 'int32', data: lengths, dims: [lengths.length] },
      },
      outputs: ['output'],
      attributes: { num_heads: shape.heads, unidirectional: Number(options.causal ?? false) },
    },
    'bshd',
  );
}

/** onnxruntime's own `GroupQueryAttention`; it is causal. All keys but those of the queries' positions are its cache. */
export function createGroupQueryAttention({ tensors, options, shape }) {
  const { batch, heads, keyHeads, qLen, kLen } = shape;
  const split = ({ data, dims }) => [sliceKeys(data, dims, 0, kLen - qLen), sliceKeys(data, dims, kLen - qLen, kLen)];
  const [pastKeys, keys] = split(tensors.keys);
  const [pastValues, values] = split(tensors.values);
  const cache = ({ data, dims }) => (data.length > 0 ? float32(data, dims) : undefined);
  return createSession(
    {
      operator: 'GroupQueryAttention',
      domain: 'com.microsoft',
      inputs: {
        queries: mergeHeads(tensors.queries.data, tensors.queries.dims),
        keys: mergeHeads(keys.data, keys.dims),
        values: mergeHeads(values.data, values.dims),
        pastKeys: cache(pastKeys),
        pastValues: cache(pastValues),
        lastKeys: { type: 'int32', data: new Int32Array(batch).fill(kLen - 1), dims: [batch] },
        total: { type: 'int32', data: Int32Array.of(kLen), dims: [] },
      },
      outputs: ['output', 'presentKeys', 'presentValues'],
      attributes: {
        num_heads: heads,
        kv_num_heads: keyHeads,
        ...(options.window && { local_window_size: options.window.left + 1 }), // its window counts the query's own key
      },
    },
    'bshd',
  );
}
