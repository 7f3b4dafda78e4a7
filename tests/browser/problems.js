// SPDX-License-Identifier: Apache-2.0
/**
 * @file problems.js - a few problems of every family, solved by the package, half of them in slices: the same module
 * runs in Node, in a page and in a worker, and what it returns is compared.
 */
import { createAttention } from '../../js/index.js';
import { Random, families } from '../random.js';
import { inputs } from '../support.js';

const perFamily = 12;
const fixedSeed = 7; // of its own: browsers know no environment

/** FNV-1a over the bytes of an array, all NaNs being equal. */
function hash(array) {
  const data = array.map((value) => (Number.isNaN(value) ? NaN : value));
  let h = 0x811c9dc5;
  for (const byte of new Uint8Array(data.buffer)) h = Math.imul(h ^ byte, 0x01000193) >>> 0;
  return h.toString(16);
}

/**
 * @returns {Promise<{ info: object, hashes: string[], dense: number[][] } | { unavailable: string }>} hashes of all
 *   results, and the outputs of the dense family themselves, for variants that promise no bits
 */
export async function solve(variant) {
  let attention;
  try {
    attention = await createAttention({ variant });
  } catch (error) {
    if (error.code === 'unsupported') return { unavailable: error.message };
    throw error;
  }
  const hashes = [];
  const dense = [];
  for (const [family, [name, draw]] of Object.entries(families).entries()) {
    for (let n = 0; n < perFamily; n++) {
      const options = {
        ...inputs(draw(new Random(fixedSeed, family, n))),
        returnAttentionWeights: true,
        returnLogSumExp: true,
      };
      const inSlices = n % 2 === 1;
      const { output, weights, logSumExp } = inSlices
        ? await attention.getMaskedAttentionOutputAsync(options)
        : attention.getMaskedAttentionOutput(options);
      hashes.push([output, weights, logSumExp].map((tensor) => hash(tensor.data)).join(' '));
      if (name === 'dense') dense.push(Array.from(output.data.subarray(0, 1000)));
    }
  }
  const info = attention.info();
  attention.dispose();
  return { info, hashes, dense };
}
