// SPDX-License-Identifier: Apache-2.0
/** A recorded line of text: its picture, its characters, and the attention inputs of every block. */

import { parseSafetensors, SafetensorsError } from '../../js/safetensors.js';

/**
 * @param {ArrayBuffer | Uint8Array} file one of samples/
 * @returns {import('./dataset.js').Dataset & {
 *   text: string, image: { data: Uint8Array, height: number, width: number },
 * }} tokens are the characters drawn at each step, or ''; layers have the model's own weights beside the problem; in the
 *   image 0 is ink
 * @throws SafetensorsError
 */
export function readSample(file) {
  const { metadata, tensors } = parseSafetensors(file);
  const tensor = (name) => {
    if (!tensors.has(name)) throw new SafetensorsError(`not a sample of this demo: "${name}" is missing`);
    const { data, dims, dtype } = tensors.get(name);
    return { data: data.slice(), dims, dtype };
  };
  const scaling = Number(metadata.get('scaling'));
  const layers = [];
  while (tensors.has(`block${layers.length + 1}.queries`) || layers.length === 0) {
    const number = layers.length + 1;
    const [queries, keys, values, weights] = ['queries', 'keys', 'values', 'weights']
      .map((role) => tensor(`block${number}.${role}`));
    layers.push({ label: `Layer ${number}`, problem: { queries, keys, values, scaling }, weights });
  }
  const text = metadata.get('text');
  const steps = layers[0].problem.queries.dims[2];
  const characters = perStep(JSON.parse(metadata.get('characters')), steps, Number(metadata.get('pixels_per_step')));
  const { data, dims: [height, width] } = tensor('image');
  return {
    name: text,
    layers,
    tokens: { queries: characters, keys: characters },
    notes: [],
    text,
    image: { data, height, width },
  };
}

/** The character under the middle of each step. */
function perStep(characters, steps, pixelsPerStep) {
  return Array.from({ length: steps }, (_, step) => {
    const middle = (step + 0.5) * pixelsPerStep;
    return characters.find(({ from, to }) => from <= middle && middle < to)?.text ?? '';
  });
}
