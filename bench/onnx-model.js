// SPDX-License-Identifier: Apache-2.0
/** An ONNX model of one operator, written as protobuf by hand: a dozen fields of onnx.proto. */

const TYPES = { float32: 1, int32: 6, bool: 9 }; // TensorProto.DataType
const IR_VERSION = 10;
const OPERATORS = { '': 23, 'com.microsoft': 1 }; // versions

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return [...bytes, value];
}
const integer = (field, value) => [...varint(field * 8), ...varint(value)];
const float = (field, value) => [...varint(field * 8 + 5), ...new Uint8Array(Float32Array.of(value).buffer)];
const bytes = (field, content) => {
  const payload = typeof content === 'string' ? [...new TextEncoder().encode(content)] : content;
  return [...varint(field * 8 + 2), ...varint(payload.length), ...payload];
};

/** ValueInfoProto of a tensor. */
const input = (name, { type, dims }) => {
  const shape = dims.flatMap((size) => bytes(1, integer(1, size)));
  return [...bytes(1, name), ...bytes(2, bytes(1, [...integer(1, TYPES[type]), ...bytes(2, shape)]))];
};

/** ValueInfoProto of a float tensor of whatever shape. */
const output = (name) => [...bytes(1, name), ...bytes(2, bytes(1, integer(1, TYPES.float32)))];

/** AttributeProto of an integer, or of `{ float }`. */
const attribute = (name, value) => [
  ...bytes(1, name),
  ...(typeof value === 'number' ? [...integer(3, value), ...integer(20, 2)] : [...float(2, value.float), ...integer(20, 1)]),
];

/**
 * @param {object} node
 * @param {string} node.operator
 * @param {string} [node.domain] default ONNX's own, else com.microsoft
 * @param {Record<string, { type: 'float32' | 'int32' | 'bool', dims: number[] } | undefined>} node.inputs in the
 * operator's order; an optional one that is left out is undefined
 * @param {string[]} node.outputs float tensors; '' for one that is left out
 * @param {Record<string, number | { float: number }>} node.attributes
 * @returns {Uint8Array}
 */
export function createModel({ operator, domain = '', inputs, outputs, attributes }) {
  const given = Object.entries(inputs).filter(([, tensor]) => tensor);
  const node = [
    ...Object.entries(inputs).flatMap(([name, tensor]) => bytes(1, tensor ? name : '')),
    ...outputs.flatMap((name) => bytes(2, name)),
    ...bytes(4, operator),
    ...Object.entries(attributes).flatMap(([name, value]) => bytes(5, attribute(name, value))),
    ...bytes(7, domain),
  ];
  const graph = [
    ...bytes(1, node),
    ...bytes(2, operator),
    ...given.flatMap(([name, tensor]) => bytes(11, input(name, tensor))),
    ...outputs.filter(Boolean).flatMap((name) => bytes(12, output(name))),
  ];
  return Uint8Array.from([
    ...integer(1, IR_VERSION),
    ...bytes(7, graph),
    ...Object.entries(OPERATORS).flatMap(([name, version]) => bytes(8, [...bytes(1, name), ...integer(2, version)])),
  ]);
}
