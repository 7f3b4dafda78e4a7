// SPDX-License-Identifier: Apache-2.0
/** The data sets that the page brings: recorded lines of text, and synthetic long ones. */
import { readSample } from './files/sample.js';
import { synthetic } from './files/synthetic.js';

const SAMPLES = new URL('../samples/', import.meta.url);
const SYNTHETIC = [
  { name: 'synthetic-2048', title: 'Synthetic, 2,048 tokens, grouped heads', tokens: 2048, dim: 32, heads: 8, keyHeads: 2 },
  { name: 'synthetic-100000', title: 'Synthetic, 100,000 tokens', tokens: 100_000, dim: 32, heads: 1, keyHeads: 1 },
];
const SEED = 1;

/** @returns {Promise<{ name: string, title: string }[]>} what there is, the one to begin with first */
export async function listSamples() {
  const recorded = await (await fetchSample('index.json')).json();
  return [...recorded.map(({ name, text }) => ({ name, title: `Recorded: “${text}”` })), ...SYNTHETIC];
}

/** @returns {Promise<object>} a data set, prepared for the page */
export async function openSample(name) {
  const made = SYNTHETIC.find((one) => one.name === name);
  if (made) {
    const { tokens, dim, heads, keyHeads } = made;
    const { layers: [layer], ...others } = synthetic({ tokens, dim, heads, keyHeads, seed: SEED });
    const asDecoder = { ...layer, problem: { ...layer.problem, causal: true } };
    return prepare({ ...others, layers: [asDecoder] }, name);
  }
  const file = await fetchSample(`${name}.safetensors`);
  return prepare(readSample(new Uint8Array(await file.arrayBuffer())), name);
}

/**
 * A data set as the page takes it: `name` for links and `title` for readers, whether it `hasInputs` or only
 * weights, and of each layer the `shape` [batch, heads, queries, keys] and its `keyHeads`.
 * @param {import('./files/dataset.js').Dataset} data
 */
export function prepare({ layers, weightsOnly, tokens, notes, name: title }, name = title) {
  return {
    name,
    title,
    tokens,
    notes,
    hasInputs: weightsOnly === undefined,
    layers: layers.map(({ label, problem, weights }, n) => ({
      label,
      problem,
      weights: weights ?? weightsOnly?.[n],
      shape: problem ? [...problem.queries.dims.slice(0, 3), problem.keys.dims[2]] : weightsOnly[n].dims,
      keyHeads: problem?.keys.dims[1],
    })),
  };
}

async function fetchSample(file) {
  const response = await fetch(new URL(file, SAMPLES)).catch((cause) => ({ ok: false, cause }));
  if (response.ok) return response;
  throw new Error(`The sample file “${file}” could not be loaded from the server.`, { cause: response.cause });
}
