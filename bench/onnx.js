// SPDX-License-Identifier: Apache-2.0
/**
 * A session of onnxruntime-web that holds one operator, so that it can be timed alone. The model is written as
 * protobuf by hand: a dozen fields of onnx.proto.
 */
import ort from 'onnxruntime-web';

const FLOAT = 1; // TensorProto.DataType

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return Uint8Array.from([...bytes, value]);
}
const join = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));
const bytes = (number, content) => {
  const payload = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  return join(varint(number * 8 + 2), varint(payload.length), payload);
};
const integer = (number, value) => join(varint(number * 8), varint(value));

/** ValueInfoProto of a float tensor; its shape stays open where dims is undefined. */
function valueInfo(name, dims) {
  const shape = dims && bytes(2, join(...dims.map((size) => bytes(1, integer(1, size)))));
  return join(bytes(1, name), bytes(2, bytes(1, join(integer(1, FLOAT), shape ?? []))));
}

/** AttributeProto of an integer. */
const attribute = ([name, value]) => join(bytes(1, name), integer(3, value), integer(20, 2));

/**
 * @param {string} operator of ONNX opset 23
 * @param {Record<string, number[]>} inputs dims by name, in the operator's order
 * @param {string[]} outputs
 * @param {Record<string, number>} attributes integers
 * @returns {Promise<(feeds: Record<string, Float32Array>) => Promise<Record<string, object>>>} runs on one thread
 */
export async function createOperator(operator, inputs, outputs, attributes = {}) {
  const node = join(
    ...Object.keys(inputs).map((name) => bytes(1, name)),
    ...outputs.map((name) => bytes(2, name)),
    bytes(4, operator),
    ...Object.entries(attributes).map((entry) => bytes(5, attribute(entry))),
  );
  const graph = join(
    bytes(1, node),
    bytes(2, operator),
    ...Object.entries(inputs).map(([name, dims]) => bytes(11, valueInfo(name, dims))),
    ...outputs.filter(Boolean).map((name) => bytes(12, valueInfo(name))),
  );
  const model = join(integer(1, 10), bytes(7, graph), bytes(8, integer(2, 23)));
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(model, { executionProviders: ['wasm'] });
  return (feeds) =>
    session.run(Object.fromEntries(Object.entries(feeds).map(([name, data]) => [name, new ort.Tensor('float32', data, inputs[name])])));
}
