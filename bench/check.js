// SPDX-License-Identifier: Apache-2.0
/** Nothing that is fast and wrong is timed. */
import { attendRow } from './plain.js';

const ROWS = 13;
const TOLERANCE = 1e-4;

function compare(what, found, expected) {
  for (let i = 0; i < expected.length; i++) {
    const isClose = Math.abs(found[i] - expected[i]) <= TOLERANCE; // not so for NaN
    if (!isClose) throw new Error(`${what}: element ${i} is ${found[i]}, expected ${expected[i]}`);
  }
}

/**
 * Compares evenly spread rows of a result, the first and the last among them, with the plain loop's.
 * @param {string} label of the contestant
 * @param {object} problem of problem.js
 * @param {{ output: Float32Array, layout: 'bhsd' | 'bshd', weights?: Float32Array }} result
 * @throws Error naming the first element that is off
 */
export function checkResult(label, problem, { output, layout, weights }) {
  const { batch, heads, qLen, kLen, valueDim } = problem.shape;
  const expectedWeights = new Float32Array(kLen);
  const expected = new Float32Array(output.length);
  for (let n = 0; n < ROWS; n++) {
    const row = Math.floor((n * (batch * heads * qLen - 1)) / (ROWS - 1));
    const query = row % qLen;
    const head = Math.floor(row / qLen) % heads;
    const b = Math.floor(row / qLen / heads);
    attendRow(problem, b, head, query, expectedWeights, expected);
    const place = layout === 'bhsd' ? row : (b * qLen + query) * heads + head;
    const part = (array, at, size) => array.subarray(at * size, (at + 1) * size);
    compare(`${label}, output of row ${row}`, part(output, place, valueDim), part(expected, row, valueDim));
    if (weights) compare(`${label}, weights of row ${row}`, part(weights, row, kLen), expectedWeights);
  }
}
