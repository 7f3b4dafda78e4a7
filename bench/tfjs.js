// SPDX-License-Identifier: Apache-2.0
/** TensorFlow.js on its wasm backend as a contestant: attention composed of its operators, on one thread. */
import * as tf from '@tensorflow/tfjs-core';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { keyRange } from './problem.js';

/** @param {string} folder of the package's wasm files: a path, or in a browser an address; ends in a slash */
export async function startTfjs(folder) {
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', false);
  setWasmPaths(folder);
  await tf.setBackend('wasm');
}

/** The query heads of a group become rows of one head, so that keys need no repetition. */
export function createComposed({ shape, options, tensors }, resident = []) {
  const { batch, heads, keyHeads, qLen, kLen, dim } = shape;
  const group = heads / keyHeads;
  const upload = ({ data, dims }) => tf.tensor(data, dims);
  const kept = resident.includes('keys') ? [upload(tensors.keys), upload(tensors.values)] : undefined;
  const mask = options.causal && tf.tensor(causalMask(shape, options), [1, 1, qLen, kLen]);
  return {
    run: () =>
      tf.tidy(() => {
        const queries = tf.reshape(upload(tensors.queries), [batch, keyHeads, group * qLen, dim]);
        const [keys, values] = kept ?? [upload(tensors.keys), upload(tensors.values)];
        let scores = tf.mul(tf.matMul(queries, keys, false, true), 1 / Math.sqrt(dim));
        scores = tf.reshape(scores, [batch * keyHeads, group, qLen, kLen]);
        if (mask) scores = tf.add(scores, mask);
        const weights = tf.reshape(tf.softmax(scores), [batch, keyHeads, group * qLen, kLen]);
        return tf.matMul(weights, values).dataSync();
      }),
    read: (output) => ({ output, layout: 'bhsd' }),
    dispose: () => tf.dispose([mask, kept]),
  };
}

function causalMask(shape, options) {
  const { qLen, kLen } = shape;
  const mask = new Float32Array(qLen * kLen).fill(-Infinity);
  for (let query = 0; query < qLen; query++) {
    const [begin, end] = keyRange(shape, options, 0, query);
    mask.fill(0, query * kLen + begin, query * kLen + end);
  }
  return mask;
}
