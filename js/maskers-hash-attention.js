// SPDX-License-Identifier: Apache-2.0

import { Activation, HashLayer, MaskerKind } from './abi.js';
import { checkCode, rangeError } from './checks.js';
import { HashWeights } from './hash-weights.js';
import { checkCount, checkSize, orElse, sizeOf } from './masker-options.js';
import { coreMaskerFactory } from './masker.js';

const OPTIONS = ['heavySize', 'weights', 'layer', 'activation'];
const ACTIVATIONS = new Map([
  ['silu', Activation.SILU],
  ['relu', Activation.RELU],
  ['gelu', Activation.GELU],
  ['tanh', Activation.TANH],
]);

/** Nearest codes that learned networks give (Desai et al., "HashAttention", 2024): src/hash_attention.c. */
export const hashAttention = coreMaskerFactory('hashAttention', OPTIONS, read, false, (options) => {
  const { weights } = options;
  return weights === undefined ? options : { ...options, weights: HashWeights.from(weights) };
});

function read(options) {
  const heavySize = checkSize(options.heavySize, 'heavySize');
  const layer = checkCount(orElse(options.layer, 0), 'layer', 0);
  const activation = checkCode(options.activation, 'activation', ACTIVATIONS);
  const networks = HashWeights.from(options.weights).layer(layer);
  const [{ heads, inputs }] = networks;
  return (call) => {
    if (call.heads !== heads) throw rangeError(`weights[${layer}]`, `${call.heads} query heads`, heads);
    if (call.dim !== inputs) throw rangeError(`weights[${layer}]`, `${call.dim} inputs, the dim of keys`, inputs);
    return {
      kind: MaskerKind.HASH_ATTENTION,
      count: sizeOf(heavySize, call.keyLength),
      bits: networks.at(-1).outputs,
      layers: (index) => placeLayers(networks, activation, index),
      layerCount: networks.length,
    };
  };
}

/** The address of the networks' layers, as the core's structs. */
function placeLayers(networks, activation, index) {
  return index.table('layers', () => layersOf(networks, activation, index));
}

/** The structs; matrices and biases are tables of their own. */
function layersOf(networks, activation, index) {
  const words = new Uint32Array((networks.length * HashLayer.bytes) / 4);
  networks.forEach(({ inputs, outputs, ...arrays }, n) => {
    const set = (field, value) => void (words[(n * HashLayer.bytes + HashLayer[field]) / 4] = value);
    set('inputs', inputs);
    set('outputs', outputs);
    set('activation', activation);
    for (const name of ['queryMatrix', 'queryBias', 'keyMatrix', 'keyBias']) {
      set(name, index.table(`${name} ${n}`, () => arrays[name]));
    }
  });
  return words;
}
