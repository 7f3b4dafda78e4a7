// SPDX-License-Identifier: Apache-2.0

/**
 * The learned networks of hashAttention, two per query head: { [layer]: { query_matrix, query_bias, key_matrix,
 * key_bias } }, each of them a list over the network's layers. A matrix is [heads, inputs, outputs] and a bias
 * [heads, outputs], as nested arrays or as { data, dims }.
 */

import { formatDims, rangeError, sameDims, typeError } from './checks.js';
import { parseSafetensors } from './safetensors.js';
import { FLOAT_DTYPES, readTensor } from './tensor.js';
import { floatsOf } from './widen.js';

const ROLES = ['query_matrix', 'query_bias', 'key_matrix', 'key_bias'];
const FORM = '{ [layer]: { query_matrix, query_bias, key_matrix, key_bias } }';
const MAX_BITS = 1024;

/** Weights as they were given; those of a layer are checked when they are asked for. */
export class HashWeights {
  #layers;

  static from(value) {
    return value instanceof HashWeights ? value : new HashWeights(value);
  }

  constructor(layers) {
    if (typeof layers !== 'object' || layers === null) throw typeError('weights', FORM, layers);
    this.#layers = layers;
  }

  /** The layers of the networks of one layer of the model: matrices and biases as Float32Arrays, and their sizes. */
  layer(number) {
    const name = `weights[${number}]`;
    const given = this.#layers[number];
    if (given === undefined) throw new RangeError(`${name}: there is no such entry`);
    if (typeof given !== 'object' || given === null) throw typeError(name, 'an object of lists', given);
    const lists = ROLES.map((role) => readList(given[role], `${name}.${role}`, role.endsWith('matrix') ? 3 : 2));
    const depth = lists[0].length;
    lists.forEach((list, n) => {
      if (list.length === depth) return;
      throw rangeError(`${name}.${ROLES[n]}`, `${depth} layers, as query_matrix`, list.length);
    });
    const networks = lists[0].map((_, n) => joined(lists.map((list) => list[n])));
    networks.forEach(({ heads, inputs }, n) => {
      const wanted = n === 0 ? [networks[0].heads, inputs] : [networks[0].heads, networks[n - 1].outputs];
      checkDims(lists[0][n], [...wanted, networks[n].outputs]);
      if (heads === 0) throw rangeError(lists[0][n].name, 'at least one head', 0);
    });
    const { outputs: bits } = networks.at(-1);
    if (bits < 1 || bits > MAX_BITS) {
      throw rangeError(lists[0].at(-1).name, `1..${MAX_BITS} outputs, the bits of a code`, bits);
    }
    return networks;
  }

  toJSON() {
    const plain = (tensor) => {
      if (!ArrayBuffer.isView(tensor?.data)) return tensor;
      return { data: Array.from(floatsOf(readTensor(tensor, 'weights', FLOAT_DTYPES))), dims: tensor.dims };
    };
    return mapped(this.#layers, (lists) => mapped(lists, (list) => (Array.isArray(list) ? list.map(plain) : list)));
  }
}

/**
 * Weights of a .safetensors file, whose tensors are `layers.<layer>.<role>.<n>` for n = 0 .. of each of the four roles,
 * as float32, float16 or bfloat16; others are left out.
 * @param {ArrayBuffer | Uint8Array} bytes
 */
export function readHashWeights(bytes) {
  if (!(bytes instanceof ArrayBuffer) && !(bytes instanceof Uint8Array)) {
    throw typeError('bytes', 'an ArrayBuffer or a Uint8Array', bytes);
  }
  const layers = {};
  for (const [name, tensor] of parseSafetensors(bytes).tensors) {
    const [, layer, role, n] = /^layers\.(\d{1,9})\.(\w+)\.(\d{1,3})$/.exec(name) ?? [];
    if (!ROLES.includes(role)) continue;
    layers[layer] ??= Object.fromEntries(ROLES.map((key) => [key, []]));
    layers[layer][role][n] = tensor;
  }
  if (Object.keys(layers).length === 0) {
    throw new RangeError('bytes: expected tensors layers.<layer>.<role>.<n>, found none');
  }
  return new HashWeights(layers);
}

function mapped(object, f) {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, f(value)]));
}

/** One layer of both networks, whose tensors must agree. */
function joined([queryMatrix, queryBias, keyMatrix, keyBias]) {
  const [heads, inputs, outputs] = queryMatrix.dims;
  checkDims(keyMatrix, queryMatrix.dims);
  checkDims(queryBias, [heads, outputs]);
  checkDims(keyBias, [heads, outputs]);
  const arrays = mapped({ queryMatrix, queryBias, keyMatrix, keyBias }, ({ data }) => data);
  return { heads, inputs, outputs, ...arrays };
}

function checkDims({ name, dims }, wanted) {
  if (!sameDims(dims, wanted)) throw new RangeError(`${name}: expected ${formatDims(wanted)}, got ${formatDims(dims)}`);
}

function readList(list, name, rank) {
  if (!Array.isArray(list)) throw typeError(name, 'a list over the layers of a network', list);
  if (list.length === 0) throw rangeError(name, 'at least one layer', list);
  return Array.from(list, (value, n) => readFloats(value, `${name}[${n}]`, rank));
}

function readFloats(value, name, rank) {
  const { data, dims } = Array.isArray(value) ? flattened(value, rank, name) : readPlain(value, name);
  if (dims.length !== rank) throw new RangeError(`${name}: expected ${rank} dimensions, got ${formatDims(dims)}`);
  const bad = data.findIndex((weight) => !Number.isFinite(weight));
  if (bad !== -1) throw rangeError(`${name}, element ${bad}`, 'a finite number', data[bad]);
  return { name, data, dims };
}

/** { data, dims }; data may be an array of numbers too, as JSON has it. */
function readPlain(value, name) {
  const isArray = Array.isArray(value?.data);
  if (isArray) checkNumbers(value.data, `${name}.data`);
  const operand = readTensor(isArray ? { ...value, data: Float32Array.from(value.data) } : value, name, FLOAT_DTYPES);
  return { data: floatsOf(operand), dims: operand.dims };
}

function flattened(value, rank, name) {
  const dims = [];
  for (let at = value; Array.isArray(at) && dims.length < rank; at = at[0]) dims.push(at.length);
  const isRegular = (at, axis) =>
    axis === dims.length ||
    (Array.isArray(at) && at.length === dims[axis] && at.every((part) => isRegular(part, axis + 1)));
  if (!isRegular(value, 0)) throw new RangeError(`${name}: expected arrays of equal lengths, ${formatDims(dims)}`);
  const numbers = value.flat(dims.length - 1);
  checkNumbers(numbers, name);
  return { data: Float32Array.from(numbers), dims };
}

function checkNumbers(numbers, name) {
  const bad = numbers.findIndex((number) => typeof number !== 'number');
  if (bad !== -1) throw typeError(name, 'numbers', numbers[bad]);
}
