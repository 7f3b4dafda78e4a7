// SPDX-License-Identifier: Apache-2.0
/** What runs in the browser: browser.js bundles it, and calls what it defines. */
import { createSuite } from './suite.js';

async function readFile(name) {
  const response = await fetch(`/build/bench/${name}`);
  return new Uint8Array(await response.arrayBuffer());
}

globalThis.startSuite = async (settings) => {
  globalThis.runRow = await createSuite({
    ...settings,
    readFile,
    onnxFolder: '/bench/node_modules/onnxruntime-web/dist/',
    tfjsFolder: '/bench/node_modules/@tensorflow/tfjs-backend-wasm/dist/',
  });
};
