// SPDX-License-Identifier: Apache-2.0
/** A recorded line of text: its picture, its characters, and the attention inputs of every block. */
import { parseSafetensors, SafetensorsError } from '../js/safetensors.js';

/**
 * @typedef {object} Sample
 * @property {string} text
 * @property {number} steps sequence length
 * @property {number} scaling to pass to the package
 * @property {string[]} characters per step: the character drawn there, or ''
 * @property {{ data: Uint8Array, height: number, width: number }} image 0 = ink
 * @property {{ queries: object, keys: object, values: object, weights: object }[]} blocks one per layer
 */

/** @param {ArrayBuffer | Uint8Array} file @returns {Sample} */
export function readSample(file) {
  const { metadata, tensors } = parseSafetensors(file);
  const tensor = (name) => {
    if (!tensors.has(name)) throw new SafetensorsError(`not a sample of this demo: "${name}" is missing`);
    return tensors.get(name);
  };
  const blocks = [];
  while (tensors.has(`block${blocks.length + 1}.queries`) || blocks.length === 0) {
    const prefix = `block${blocks.length + 1}`;
    const roles = ['queries', 'keys', 'values', 'weights'];
    blocks.push(Object.fromEntries(roles.map((role) => [role, tensor(`${prefix}.${role}`)])));
  }
  const image = tensor('image');
  const [height, width] = image.dims;
  const steps = blocks[0].queries.dims[2];
  const pixelsPerStep = Number(metadata.get('pixels_per_step'));
  return {
    text: metadata.get('text'),
    steps,
    scaling: Number(metadata.get('scaling')),
    characters: perStep(JSON.parse(metadata.get('characters')), steps, pixelsPerStep),
    image: { data: image.data, height, width },
    blocks,
  };
}

/** The character under the middle of each step. */
function perStep(characters, steps, pixelsPerStep) {
  return Array.from({ length: steps }, (_, step) => {
    const middle = (step + 0.5) * pixelsPerStep;
    return characters.find(({ from, to }) => from <= middle && middle < to)?.text ?? '';
  });
}
