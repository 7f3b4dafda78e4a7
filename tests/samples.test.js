// SPDX-License-Identifier: Apache-2.0
// The recorded attention of a real model: the package gives the model's own weights. And the reader of the samples
// refuses files that claim what is not so.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

import { createAttention } from '../js/index.js';
import { readSample } from '../web-demo/files/sample.js';
import { formatSafetensors, parseSafetensors, SafetensorsError } from '../js/safetensors.js';
import { variants } from './variants.js';

const folder = new URL('../samples/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.safetensors')).sort();
const read = (name) => readFileSync(new URL(name, folder));

const largestDifference = (a, b) => {
  assert.equal(a.length, b.length);
  return a.reduce((largest, value, n) => (Math.abs(value - b[n]) <= largest ? largest : Math.abs(value - b[n])), 0);
};

test('the index lists every sample, with the text inside', () => {
  const index = JSON.parse(read('index.json'));
  assert.deepEqual(index.map(({ file }) => file).sort(), files);
  for (const { file, text } of index) {
    assert.equal(readSample(read(file)).text, text);
    assert.equal(parseSafetensors(read(file)).metadata.get('recognized_text'), text);
  }
});

for (const variant of variants) {
  for (const file of files) {
    test(`${file}: the model's own weights to 5e-7, ${variant}`, async () => {
      const attention = await createAttention({ variant });
      const { layers, tokens } = readSample(read(file));
      assert.equal(layers.length, 2);
      for (const { problem, weights: model } of layers) {
        const { values } = problem;
        const steps = tokens.keys.length;
        const { output, weights } = attention.getMaskedAttentionOutput({
          ...problem, outputLayout: 'bhsd', returnAttentionWeights: true,
        });
        assert.deepEqual(weights.dims, [1, 8, steps, steps]);
        assert.ok(largestDifference(weights.data, model.data) <= 5e-7);
        assert.deepEqual(output.dims, [1, 8, steps, 15]);
        const scale = values.data.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
        // Each weight may be off by 5e-7, so their sum over the values by as much per key.
        assert.ok(largestDifference(output.data, weightedSum(model, values)) <= 5e-7 * steps * scale);
      }
      attention.dispose();
    });
  }
}

/** weights [1, h, sq, sk] times values [1, h, sk, d], in double precision. */
function weightedSum({ data: weights, dims: [, heads, queryLength, keyLength] }, { data: values, dims: [, , , dim] }) {
  return Float64Array.from({ length: heads * queryLength * dim }, (_, n) => {
    const row = Math.floor(n / dim);
    const head = Math.floor(row / queryLength);
    let sum = 0;
    for (let j = 0; j < keyLength; j++) {
      sum += weights[row * keyLength + j] * values[(head * keyLength + j) * dim + (n % dim)];
    }
    return sum;
  });
}

test('what is written is read back, aligned or not', () => {
  const tensors = [
    ['bytes', { data: Uint8Array.of(1, 2, 255), dims: [3], dtype: 'uint8' }],
    ['halves', { data: Uint16Array.of(0x3c00, 0x7e00), dims: [2, 1], dtype: 'float16' }],
    ['singles', { data: Float32Array.of(1.5, -0, Infinity, NaN), dims: [2, 2], dtype: 'float32' }],
    ['scalar', { data: Float64Array.of(Math.PI), dims: [], dtype: 'float64' }],
    ['nothing', { data: new Float32Array(0), dims: [4, 0], dtype: 'float32' }],
    ['whole', { data: BigInt64Array.of(-5n), dims: [1], dtype: 'int64' }],
  ];
  const file = formatSafetensors(tensors, { language: '中文', '': 'empty key' });
  const shifted = new Uint8Array(file.length + 1);
  shifted.set(file, 1);
  for (const bytes of [file, file.buffer, shifted.subarray(1)]) {
    const found = parseSafetensors(bytes);
    assert.deepEqual([...found.tensors].sort(), [...tensors].sort());
    assert.deepEqual([...found.metadata], [['language', '中文'], ['', 'empty key']]);
  }
});

/** A file with this header (an object, or text) and this many bytes of data. */
function fileOf(header, bytes = 0, claimed) {
  const text = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + text.length + bytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(claimed ?? text.length), true);
  file.set(text, 8);
  return file;
}

const single = (offsets, shape = [2]) => ({ dtype: 'F32', shape, data_offsets: offsets });

const hostile = {
  'an empty file': [new Uint8Array(0), /has 0 bytes, too few/],
  'a cut length': [new Uint8Array(7), /has 7 bytes, too few/],
  'a header beyond the end': [fileOf({}, 0, 3), /wants 3 bytes, but only 2 follow/],
  'a giant header': [fileOf({}, 0, 100_000_001), /100000001 bytes is over the limit of 100 MB/],
  'a header length with the top bit': [fileOf({}, 0, 2n ** 64n - 1n), /over the limit/],
  'no JSON': [fileOf('{"a":'), /not valid JSON/],
  'deep JSON': [fileOf('['.repeat(1e6)), /not valid JSON/],
  'no UTF-8': [fileOf('"é"').map((byte) => (byte === 0xc3 ? 0xff : byte)), /not valid JSON/],
  'a list for a header': [fileOf([]), /not an object/],
  'a number for a tensor': [fileOf({ a: 1 }), /"a" is not an object/],
  'metadata that is no string': [fileOf({ __metadata__: { a: 1 } }), /metadata "a" is not a string/],
  'an unknown element type': [fileOf({ a: { ...single([0, 8]), dtype: 'toString' } }, 8), /type "toString"/],
  'no element type': [fileOf({ a: { shape: [2], data_offsets: [0, 8] } }, 8), /unknown element type/],
  'a negative size': [fileOf({ a: single([0, 8], [-2, -1]) }, 8), /shape is not a list of sizes/],
  'a broken size': [fileOf({ a: single([0, 8], [2.5]) }, 8), /shape is not a list of sizes/],
  'no shape': [fileOf({ a: { dtype: 'F32', data_offsets: [0, 8] } }, 8), /shape is not a list/],
  'a size that overflows': [fileOf({ a: single([0, 8], [2 ** 52, 2 ** 52, 2 ** 52]) }, 8), /its offsets span 8/],
  'sizes unlike the offsets': [fileOf({ a: single([0, 8], [3]) }, 8), /F32 \[3\] takes 12 bytes, its offsets span 8/],
  'offsets the wrong way round': [fileOf({ a: single([8, 0]) }, 8), /data_offsets is not \[begin, end\]/],
  'three offsets': [fileOf({ a: single([0, 4, 8]) }, 8), /data_offsets is not/],
  'offsets as text': [fileOf({ a: single(['0', '8']) }, 8), /data_offsets is not/],
  'data beyond the end': [fileOf({ a: single([0, 8]) }, 7), /ends at byte 8, but the file holds 7/],
  'tensors that overlap': [fileOf({ a: single([0, 8]), b: single([4, 12]) }, 12), /"b" overlaps "a"/],
  'the same bytes twice': [fileOf({ a: single([0, 8]), b: single([0, 8]) }, 8), /"b" overlaps "a"/],
  'a hole': [fileOf({ a: single([0, 8]), b: single([9, 17]) }, 17), /1 bytes before "b" belong to no tensor/],
  'bytes left over': [fileOf({ a: single([0, 8]) }, 10), /the last 2 bytes belong to no tensor/],
};

for (const [name, [file, message]] of Object.entries(hostile)) {
  test(`the reader refuses ${name}`, () => {
    assert.throws(() => parseSafetensors(file), { name: 'SafetensorsError', message });
  });
}

test('the reader refuses a real sample cut anywhere', () => {
  const whole = read(files[0]);
  for (let length = 0; length < whole.length; length += 1009) {
    assert.throws(() => parseSafetensors(whole.subarray(0, length)), SafetensorsError, `cut to ${length} bytes`);
  }
});

test('names from the prototype are only names', () => {
  const { tensors } = parseSafetensors(fileOf(`{"__proto__":${JSON.stringify(single([0, 8]))}}`, 8));
  assert.deepEqual([...tensors.keys()], ['__proto__']);
  assert.equal({}.dtype, undefined);
});

test('a file that is no sample of the demo', () => {
  assert.throws(() => readSample(fileOf({ a: single([0, 8]) }, 8)), /"block1.queries" is missing/);
});
