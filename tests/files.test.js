// SPDX-License-Identifier: Apache-2.0
// Files that somebody drops on the page: which layouts and names are recognised, what is told about them, and that
// hostile ones end in a message of the reader's own.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { deflateRawSync } from 'node:zlib';

import fc from 'fast-check';

import { createAttention, Mask } from '../js/index.js';
import { writeNpy } from '../js/npy.js';
import { formatSafetensors, parseSafetensors } from '../js/safetensors.js';
import { writeZip } from '../js/zip.js';
import { applyChoice, readFiles } from '../web-demo/files/dataset.js';
import { DataError } from '../web-demo/files/errors.js';
import { readName } from '../web-demo/files/names.js';
import { readSample } from '../web-demo/files/sample.js';
import { synthetic } from '../web-demo/files/synthetic.js';
import { seed } from './random.js';

const countOf = (dims) => dims.reduce((product, size) => product * size, 1);
/** 0, 1, 2, ... so that every element tells where it came from. */
const floats = (...dims) => Float32Array.from({ length: countOf(dims) }, (_, n) => n);
const npy = (name, dims, data = floats(...dims), descr = '<f4') => ({ name, bytes: writeNpy(descr, dims, data) });
const npz = (name, arrays) => ({
  name,
  bytes: writeZip(Object.entries(arrays).map(([key, dims]) => [`${key}.npy`, writeNpy('<f4', dims, floats(...dims))])),
});
const safetensors = (name, arrays, metadata) => ({
  name,
  bytes: formatSafetensors(Object.entries(arrays).map(([key, dims]) => [key, { data: floats(...dims), dims }]), metadata),
});
const text = (name, content) => ({ name, bytes: new TextEncoder().encode(content) });
const json = (name, value) => text(name, JSON.stringify(value));

/** The dataset of the reading with this sentence, or the only one. */
async function datasetOf(files, sentence) {
  const result = await readFiles(files);
  if (result.readings === undefined) {
    if (sentence !== undefined) assert.ok(result.notes.includes(`Read as ${sentence}.`), result.notes.join(' '));
    return result;
  }
  const index = result.readings.findIndex((reading) => reading.sentence === sentence);
  assert.notEqual(index, -1, `${sentence}: ${result.readings.map((reading) => reading.sentence).join(' | ')}`);
  return applyChoice(result, index);
}
const dimsOf = ({ layers }) => layers.map(({ problem: { queries, keys, values } }) =>
  [queries, keys, values].map((tensor) => tensor?.dims.join(',')));
const fails = (files, message) => assert.rejects(readFiles(files), (error) => {
  assert.ok(error instanceof DataError, error.stack);
  assert.match(error.message, message);
  return true;
});

test('names: roles and layers', () => {
  const roles = {
    queries: ['q', 'Q', 'query', 'queries', 'layers.3.self_attn.q_proj', 'block1.queries', 'query_states', 'q0', 'my_q'],
    keys: ['k', 'keys', 'model.layers.12.attn.k', 'keyStates'],
    values: ['v', 'value', 'v_proj'],
    attentionMask: ['mask', 'attention_mask', 'attn_mask', 'attentionMask', 'key_padding_mask'],
    sparseMask: ['sparse_mask', 'sparseAttentionMask'],
    weights: ['weights', 'attn', 'attentions', 'attn_weights', 'block2.weights', 'attention_probs'],
    tokens: ['tokens', 'key_tokens'],
    parameters: ['layers.0.self_attn.q_proj.weight', 'k_proj.bias'],
  };
  for (const [role, names] of Object.entries(roles)) for (const name of names) assert.equal(readName(name).role, role, name);
  for (const name of ['qkv', 'arr_0', 'image', 'attn_output', 'qk_scores', 'q_k', 'dropout_mask', '', 'query_length']) {
    assert.equal(readName(name).role, undefined, name);
  }
  assert.deepEqual(readName('layers.3.self_attn.q_proj').numbers, [3]);
});

test('[tokens, dim]: one head', async () => {
  const dataset = await datasetOf([npy('q.npy', [5, 4]), npy('k.npy', [7, 4]), npy('v.npy', [7, 3])]);
  assert.deepEqual(dimsOf(dataset), [['1,1,5,4', '1,1,7,4', '1,1,7,3']]);
  assert.equal(dataset.name, 'q, k, v');
  assert.equal(dataset.layers[0].label, 'Layer 1');
  assert.ok(dataset.notes.includes('Read as 1 head of 5 queries and 7 keys x 4.'));
  assert.deepEqual(dataset.layers[0].problem.keys.data, floats(7, 4));
});

test('[heads, tokens, dim] or [tokens, heads, dim]: asked, the likelier first, both right', async () => {
  const files = [npz('in.npz', { q: [8, 128, 4], k: [8, 128, 4] })];
  const choice = await readFiles(files);
  assert.deepEqual(choice.readings.map(({ sentence }) => sentence), ['8 heads of 128 tokens x 4', '128 heads of 8 tokens x 4']);
  assert.match(choice.question, /in\.npz: q, 8 x 128 x 4\?/);
  const [first, second] = [await applyChoice(choice, 0), await applyChoice(choice, 1)];
  assert.deepEqual(dimsOf(first), [['1,8,128,4', '1,8,128,4', undefined]]);
  assert.deepEqual(dimsOf(second), [['1,128,8,4', '1,128,8,4', undefined]]);
  const { data } = second.layers[0].problem.queries;
  for (const [head, token] of [[0, 0], [0, 1], [127, 7], [64, 3]]) {
    assert.equal(data[(head * 8 + token) * 4 + 2], (token * 128 + head) * 4 + 2, 'a token that was outermost');
  }
  await assert.rejects(applyChoice(choice, 2), RangeError);
  const turned = await readFiles([npz('in.npz', { q: [128, 8, 4], k: [128, 8, 4] })]);
  assert.equal(turned.readings[0].sentence, '8 heads of 128 tokens x 4');
});

for (const [name, q, k, v, sentence, dims] of [
  ['bhsd, grouped', [1, 32, 10, 8], [1, 8, 10, 8], [1, 8, 10, 8], '32 query heads and 8 key heads of 10 tokens x 8', '1,32,10,8'],
  ['bshd, grouped', [1, 10, 32, 8], [1, 10, 8, 8], [1, 10, 8, 8], '32 query heads and 8 key heads of 10 tokens x 8', '1,32,10,8'],
  ['decoding', [1, 4, 1, 8], [1, 4, 90, 8], [1, 4, 90, 8], '4 heads of 1 query and 90 keys x 8', '1,4,1,8'],
  ['decoding, bshd', [1, 1, 4, 8], [1, 90, 4, 8], [1, 90, 4, 8], '4 heads of 1 query and 90 keys x 8', '1,4,1,8'],
  ['values of another dim', [6, 40, 8], [2, 40, 8], [2, 40, 5], '6 query heads and 2 key heads of 40 tokens x 8', '1,6,40,8'],
  ['long', [1, 4, 1000, 2], [1, 4, 1000, 2], [1, 4, 1000, 2], '4 heads of 1000 tokens x 2', '1,4,1000,2'],
  ['batches', [2, 3, 20, 4], [2, 3, 20, 4], [2, 3, 20, 4], '2 sequences of 3 heads of 20 tokens x 4', '2,3,20,4'],
]) {
  test(`layout: ${name}`, async () => {
    const dataset = await datasetOf([npz('in.npz', { q, k, v })], sentence);
    assert.equal(dataset.layers[0].problem.queries.dims.join(','), dims);
  });
}

test('shapes of queries and keys decide where they can', async () => {
  const isAsked = async (q, k) => 'readings' in await readFiles([npz('in.npz', { q, k })]);
  assert.equal(await isAsked([32, 10, 8], [8, 10, 8]), false, 'grouped heads: the other way there are more queries');
  assert.equal(await isAsked([1, 4, 1000, 2], [1, 4, 1000, 2]), false, '1000 heads of 4 tokens');
  assert.equal(await isAsked([6, 7, 8], [4, 7, 8]), false, '6 heads of queries, 4 of keys');
  assert.equal(await isAsked([8, 12, 4], [8, 12, 4]), true);
});

test('heads side by side in the last dimension, as projections give them', async () => {
  const files = [npz('in.npz', { q_proj: [1, 6, 512], k_proj: [1, 6, 128] })];
  const { readings } = await readFiles(files);
  assert.deepEqual(readings.slice(0, 2).map(({ sentence }) => sentence), [
    '4 query heads and 1 key head of 6 tokens x 128, heads side by side',
    '8 query heads and 2 key heads of 6 tokens x 64, heads side by side',
  ]);
  const halves = await datasetOf(files, readings[1].sentence);
  const { queries, keys } = halves.layers[0].problem;
  assert.deepEqual([queries.dims, keys.dims], [[1, 8, 6, 64], [1, 2, 6, 64]]);
  assert.equal(queries.data[(3 * 6 + 2) * 64 + 5], 2 * 512 + 3 * 64 + 5);
});

test('layers by their numbers, in order, and stacked ones', async () => {
  const arrays = {};
  for (const layer of [10, 2]) for (const role of ['q', 'k', 'v']) arrays[`model.layers.${layer}.self_attn.${role}_proj`] = [2, 9, 4];
  const dataset = await datasetOf([safetensors('llama.safetensors', arrays)], '2 heads of 9 tokens x 4');
  assert.deepEqual(dataset.layers.map(({ label }) => label), ['Layer 2', 'Layer 10']);
  assert.equal(dataset.name, 'llama');
  const apart = await datasetOf(['q', 'k'].flatMap((role) => [0, 1].map((n) => npy(`${role}_${n}.npy`, [9, 4]))));
  assert.deepEqual(apart.layers.map(({ label }) => label), ['Layer 0', 'Layer 1']);
  const perFile = await datasetOf([1, 2].map((n) => npz(`layer${n}.npz`, { q: [9, 4], k: [9, 4] })));
  assert.equal(perFile.layers.length, 2);
  const stacked = await datasetOf([npy('q.npy', [3, 1, 2, 9, 4]), npy('k.npy', [3, 1, 2, 9, 4])], '2 heads of 9 tokens x 4');
  assert.equal(stacked.layers.length, 3);
  assert.equal(stacked.layers[1].problem.queries.data[0], 72);
});

test('arrays without names, in order; a file’s only array has the file’s name', async () => {
  const dataset = await datasetOf([npz('run.npz', { arr_0: [5, 4], arr_1: [7, 4], arr_2: [7, 4] })]);
  assert.deepEqual(dimsOf(dataset), [['1,1,5,4', '1,1,7,4', '1,1,7,4']]);
  assert.match(dataset.notes.join(' '), /arr_0, arr_1, arr_2 read as queries, keys, values, in this order/);
  const single = await datasetOf([npz('q.npz', { arr_0: [5, 4] }), npz('k.npz', { arr_0: [7, 4] })]);
  assert.deepEqual(dimsOf(single), [['1,1,5,4', '1,1,7,4', undefined]]);
});

test('types: 16-bit floats stay, float64 is narrowed and told, memory is its own', async () => {
  const bytes = formatSafetensors([
    ['q', { data: Uint16Array.of(0x3c00, 0x7e00), dims: [1, 2], dtype: 'float16' }],
    ['k', { data: Uint16Array.of(0x3f80, 0x4000), dims: [1, 2], dtype: 'bfloat16' }],
    ['v', { data: Float64Array.of(0.1, 1e300), dims: [1, 2], dtype: 'float64' }],
  ]);
  const { layers: [{ problem }], notes } = await readFiles([{ name: 'in.safetensors', bytes }]);
  assert.deepEqual([problem.queries.dtype, problem.keys.dtype, problem.values.dtype], ['float16', 'bfloat16', 'float32']);
  assert.deepEqual([...problem.values.data], [Math.fround(0.1), Infinity]);
  assert.ok(notes.includes('in.safetensors: v: float64 was narrowed to float32.'));
  assert.ok(notes.includes('in.safetensors: q: 1 of 2 numbers are NaN or infinite.'));
  assert.ok(notes.includes('in.safetensors: v: 1 of 2 numbers are NaN or infinite.'));
  for (const { data } of [problem.queries, problem.keys, problem.values]) assert.equal(data.buffer.byteLength, data.byteLength);
  await fails([npy('q.npy', [1, 2], Int32Array.of(1, 2), '<i4'), npy('k.npy', [1, 2])],
    /^q\.npy: expected float32, float16, bfloat16 or float64, got int32/);
});

test('attention masks: bool, floats, integers, padding', async () => {
  const withMask = async (mask, q = [2, 3, 5, 4]) => {
    const { layers: [{ problem }], notes } = await datasetOf(
      [npz('in.npz', { q, k: q }), mask], `${q[0] === 1 ? '' : `${q[0]} sequences of `}${q[1]} heads of ${q[2]} tokens x 4`);
    return [problem.attentionMask, notes.join(' ')];
  };
  const [flags] = await withMask(npy('mask.npy', [5, 5], new Uint8Array(25).fill(1), '|b1'));
  assert.deepEqual([flags.dtype, flags.dims], ['bool', [5, 5]]);
  const [added, plain] = await withMask(npy('attention_mask.npy', [1, 1, 5, 5]));
  assert.deepEqual([added.dtype, added.data], ['float32', floats(5, 5)]);
  assert.doesNotMatch(plain, /mask\.npy/);
  const [padding, told] = await withMask(npy('mask.npy', [2, 5], Int32Array.of(1, 1, 1, 0, 0, 1, 1, 1, 1, 1), '<i4'));
  assert.deepEqual(padding, { data: Uint8Array.of(1, 1, 1, 0, 0, 1, 1, 1, 1, 1), dims: [2, 1, 1, 5], dtype: 'bool' });
  assert.match(told, /2 x 5 read as sequences x keys.*|only 0 and 1/);
  const [signs, ints] = await withMask(npy('mask.npy', [5], Int32Array.of(0, -9, 0, 0, 0), '<i4'));
  assert.deepEqual([...signs.data], [0, -9, 0, 0, 0]);
  assert.match(ints, /int32 numbers are added/);
  await assert.rejects(withMask(npy('mask.npy', [4, 7])), /^DataError: mask\.npy: a mask of 4 x 7 does not fit 2 x 3 x 5 x 5/);
});

test('sparse masks: scipy’s matrix, a dense one, and none that does not fit', async () => {
  const own = Mask.fromFunction([1, 2, 5, 5], (_, h, i, j) => j <= i && (j + h) % 2 === 0);
  const files = [npz('in.npz', { q: [2, 5, 4], k: [2, 5, 4] })];
  const sentence = '2 heads of 5 tokens x 4';
  const weighted = await datasetOf([...files, { name: 'sparse_mask.npz', bytes: own.toNpz() }], sentence);
  const { sparseAttentionMask: mask } = weighted.layers[0].problem;
  assert.deepEqual(mask.shape, [1, 2, 5, 5]);
  assert.deepEqual(mask.toDense(), own.toDense());
  const dense = await datasetOf([...files, { name: 'sparse_mask.npy', bytes: own.toNpy() }], sentence);
  assert.deepEqual(dense.layers[0].problem.sparseAttentionMask.toDense(), own.toDense());
  const choice = await readFiles([...files, { name: 'mask.npz', bytes: Mask.causal([1, 1, 7, 5]).toNpz() }]);
  await assert.rejects(applyChoice(choice, 0), /^DataError: mask\.npz: expected a row for each sequence, head and query, 10 or 5/);
  const attention = await createAttention();
  const { problem } = weighted.layers[0];
  assert.equal(attention.getMaskedAttentionOutput({ ...problem, values: problem.keys }).output.dims.join(), '1,5,2,4');
});

test('tokens: lines, JSON, metadata; queries are the last of the keys', async () => {
  const files = [npy('q.npy', [2, 4]), npy('k.npy', [3, 4])];
  const want = { queries: ['b', 'c'], keys: ['a', 'b', 'c'] };
  assert.deepEqual((await readFiles([...files, text('tokens.txt', 'a\r\nb\nc\n')])).tokens, want);
  assert.deepEqual((await readFiles([...files, json('tokens.json', ['a', 'b', 'c'])])).tokens, want);
  assert.deepEqual((await readFiles([...files, json('tokens.json', { queries: ['x', 'y'], keys: ['a', 'b', 'c'] })])).tokens,
    { ...want, queries: ['x', 'y'] });
  assert.deepEqual((await readFiles([...files, text('query_tokens.txt', 'x\ny')])).tokens,
    { queries: ['x', 'y'], keys: ['0', '1', '2'] });
  const stored = await readFiles([safetensors('in.safetensors', { q: [2, 4], k: [3, 4] }, { tokens: '["a","b","c"]', scaling: '0.5' })]);
  assert.deepEqual(stored.tokens, want);
  assert.equal(stored.layers[0].problem.scaling, 0.5);
  const other = await readFiles([...files, text('tokens.txt', 'a\nb\nc\nd\n')]);
  assert.equal(other.tokens, undefined);
  assert.ok(other.notes.includes('tokens.txt: left out, 4 tokens where there are 2 queries and 3 keys.'));
  const choice = await readFiles([npz('in.npz', { q: [8, 12, 4], k: [8, 12, 4] }), text('tokens.txt', 'a\n'.repeat(8))]);
  assert.equal(choice.readings, undefined, '8 tokens decide');
  assert.deepEqual(dimsOf(choice), [['1,12,8,4', '1,12,8,4', undefined]]);
});

test('weights beside queries and keys, and alone', async () => {
  const both = await datasetOf([npz('in.npz', { q: [3, 4, 2], k: [3, 4, 2], weights: [3, 4, 4] })], '3 heads of 4 tokens x 2');
  assert.deepEqual(both.layers[0].weights.dims, [1, 3, 4, 4]);
  const alone = await readFiles([npy('attentions.npy', [2, 1, 3, 4, 4])]);
  assert.deepEqual(alone.weightsOnly.map(({ dims }) => dims), [[1, 3, 4, 4], [1, 3, 4, 4]]);
  assert.deepEqual(alone.layers, [{ label: 'Layer 0' }, { label: 'Layer 1' }]);
  const mask = Mask.fromDense([1, 1, 2, 3], Float32Array.of(0.5, 0, 0.5, 0, 1, 0));
  const { weightsOnly: [rows] } = await readFiles([{ name: 'weights.npz', bytes: mask.toNpz() }]);
  assert.deepEqual([[...rows.ptr], [...rows.indices], [...rows.values], rows.dims], [[0, 2, 3], [0, 2, 1], [0.5, 0.5, 1], [1, 1, 2, 3]]);
});

test('what is missing, double or of another kind is told', async () => {
  const q = npy('q.npy', [5, 4]);
  await fails([], /^Expected files \.npy, \.npz or \.safetensors, got none/);
  await fails([q], /^q\.npy: queries without keys; drop both/);
  await fails([q, npy('k.npy', [5, 3])], /q\.npy 5 x 4 and k\.npy 5 x 3: expected equal last dimensions, got 4 and 3/);
  await fails([q, npy('k.npy', [5, 4]), npy('v.npy', [6, 4])], /^v\.npy: expected values for 1 x 5 keys .*, got 6 x 4/);
  await fails([q, npy('query.npy', [5, 4]), npy('k.npy', [5, 4])], /^query\.npy: the second queries beside q\.npy/);
  await fails([npy('q.npy', [4]), npy('k.npy', [4])], /^q\.npy: expected 2 to 4 dimensions .*, got 4/);
  await fails([npy('q.npy', [0, 4]), npy('k.npy', [5, 4])], /^q\.npy: expected some elements, got 0 x 4/);
  await fails([npy('thing.npy', [4])], /No queries and keys found; expected arrays called q and k .*left out thing\.npy/);
  await fails([text('model.pt', 'PK')], /^model\.pt: expected a file .*; save with safetensors\.torch\.save_file/);
  await fails([safetensors('m.safetensors', { 'layers.0.q_proj.weight': [4, 4] })], /parameters of a model/);
  await fails([text('tokens.json', '[1')], /^tokens\.json: not valid JSON/);
  await fails([json('tokens.json', ['a', 2])], /^tokens\.json: expected an array of strings, got number at 1/);
  await fails([{ name: 'tokens.txt', bytes: Uint8Array.of(0xff) }], /^tokens\.txt: expected text in UTF-8/);
  await fails([npz('in.npz', { q: [6, 5, 4], k: [4, 5, 4], v: [9, 9, 9] })], /in\.npz/);
  const asFile = (bytes) => [{ name: 'in.safetensors', bytes }];
  await fails(asFile(formatSafetensors([['q', { data: floats(2, 2), dims: [2, 2] }]], { scaling: 'x' })), /scaling to be a finite/);
});

/** A .npy header with any text for a shape, and some bytes behind it. */
function header(shape, descr = '<f4', behind = 16) {
  const line = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`.padEnd(117) + '\n';
  return Buffer.concat([Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, 118, 0]), Buffer.from(line), Buffer.alloc(behind)]);
}

test('hostile .npy: a shape is never believed', async () => {
  const k = npy('k.npy', [5, 4]);
  for (const shape of ['(-1, 4)', '(100000000000000, 4)', '(2147483647, 2147483647)', '(1, 5)', '(1e9,)', '(True, 2)', "('a',)"]) {
    await fails([{ name: 'q.npy', bytes: header(shape) }, k], /^q\.npy: /);
  }
  await fails([{ name: 'q.npy', bytes: header('(2, 2)', '|O') }, k], /^q\.npy: expected an array of numbers, got elements of type \|O/);
  await fails([{ name: 'q.npy', bytes: new TextEncoder().encode('GIF89a') }, k], /^q\.npy: expected a \.npy file, got other/);
  await fails([{ name: 'q.npy', bytes: npy('q', [5, 4]).bytes.subarray(0, 150) }, k], /^q\.npy: expected \d+ bytes .*, got 150/);
  await fails([{ name: 'q.npy', bytes: new Uint8Array(0) }, k], /^q\.npy: .*truncated/);
});

/** An archive of one deflated member, whatever it claims. */
function deflatedZip(name, content, claimed = content.length) {
  const packed = deflateRawSync(content, { level: 9 });
  const stored = Buffer.from(writeZip([[name, packed]]));
  const crc = Buffer.from(writeZip([[name, content]])).readUInt32LE(14);
  const directory = stored.readUInt32LE(stored.length - 6);
  for (const [at, method, checksum, size] of [[0, 8, 14, 22], [directory, 10, 16, 24]]) {
    stored.writeUInt16LE(8, at + method);
    stored.writeUInt32LE(crc, at + checksum);
    stored.writeUInt32LE(claimed, at + size);
  }
  return stored;
}

test('hostile .npz: bombs, claims, damage', async () => {
  const zeros = Buffer.alloc(2 ** 24);
  await fails([{ name: 'b.npz', bytes: deflatedZip('q.npy', zeros, 2 ** 32 - 2) }], /^b\.npz: q: expected arrays of at most 1024 MB/);
  await fails([{ name: 'b.npz', bytes: deflatedZip('q.npy', zeros, 200) }], /^b\.npz: q.*does not inflate to the 200 bytes/);
  await fails([{ name: 'b.npz', bytes: deflatedZip('q.npy', zeros, 2 ** 29) }], /^b\.npz: q.*does not inflate/);
  const huge = Buffer.from(writeZip([['q.npy', header('(5, 4)')]]));
  huge.writeUInt32LE(2 ** 31, huge.readUInt32LE(huge.length - 6) + 24);
  await fails([{ name: 'b.npz', bytes: huge }], /^b\.npz: q/);
  await fails([{ name: 'b.npz', bytes: npz('x', { q: [5, 4] }).bytes.subarray(0, 60) }], /^b\.npz: it has no end record/);
  const matrix = { ...Object.fromEntries(['indices', 'indptr', 'format', 'shape', 'data'].map((name) => [name, [3]])) };
  await fails([npz('in.npz', { q: [5, 4], k: [5, 4] }), npz('mask.npz', matrix)], /^mask\.npz: /);
});

test('hostile .safetensors: offsets and claims', async () => {
  const make = (entries, behind = 16) => {
    const line = Buffer.from(typeof entries === 'string' ? entries : JSON.stringify(entries));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(line.length));
    return [{ name: 's.safetensors', bytes: new Uint8Array(Buffer.concat([length, line, Buffer.alloc(behind)])) }];
  };
  const entry = (shape, begin, end) => ({ dtype: 'F32', shape, data_offsets: [begin, end] });
  await fails(make({ q: entry([2], 0, 8), k: entry([2], 4, 12) }), /^s\.safetensors: .*overlaps/);
  await fails(make({ q: entry([2 ** 40], 0, 16) }), /^s\.safetensors: .*takes/);
  await fails(make({ q: entry([-2], 0, 16) }), /^s\.safetensors: .*shape/);
  await fails(make({ q: entry([4], 0, 2 ** 50) }), /^s\.safetensors: .*ends at byte/);
  await fails(make('{"q": '), /^s\.safetensors: .*not valid JSON/);
  await fails([{ name: 's.safetensors', bytes: new Uint8Array(8).fill(255) }], /^s\.safetensors: .*limit/);
});

/** Files that are read without complaint. */
const VALID = [
  [npy('q.npy', [2, 6, 4]), npy('k.npy', [2, 6, 4]), npy('mask.npy', [6, 6], new Uint8Array(36).fill(1), '|b1'), json('tokens.json', [...'abcdef'])],
  [npz('in.npz', { q: [2, 6, 4], k: [2, 6, 4], v: [2, 6, 4] }), { name: 'sparse.npz', bytes: Mask.causal([1, 1, 6, 6]).toNpz() }],
  [{ name: 'deep.npz', bytes: deflatedZip('weights.npy', writeNpy('<f4', [2, 3, 3], floats(2, 3, 3))) }],
  [safetensors('in.safetensors', { 'layers.0.q': [2, 6, 4], 'layers.0.k': [2, 6, 4] }, { tokens: '["a","b"]', scaling: '0.3' })],
];

test('mutations of valid files: a dataset, a choice or a DataError, and nothing else', async () => {
  for (const files of VALID) assert.ok(await readFiles(files));
  const mutation = fc.record({
    set: fc.nat(VALID.length - 1),
    file: fc.nat(3),
    edits: fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), fc.nat(255)), { maxLength: 6 }),
    cut: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { freq: 4 }),
    extra: fc.uint8Array({ maxLength: 3 }),
  });
  let refused = 0;
  await fc.assert(fc.asyncProperty(mutation, async ({ set, file, edits, cut, extra }) => {
    const files = VALID[set].map(({ name, bytes }) => ({ name, bytes: bytes.slice() }));
    const target = files[file % files.length];
    // Most of what can go wrong stands in headers: half of the edits go there.
    edits.forEach(([place, value], n) => {
      const reach = n % 2 === 0 ? Math.min(200, target.bytes.length) : target.bytes.length;
      target.bytes[Math.floor(place * reach)] = value;
    });
    const kept = target.bytes.subarray(0, cut === null ? undefined : Math.floor(cut * target.bytes.length));
    target.bytes = Uint8Array.from([...kept, ...extra]);
    try {
      const result = await readFiles(files);
      if (result.readings !== undefined) for (let n = 0; n < result.readings.length; n++) await applyChoice(result, n);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      refused++;
    }
  }), { seed, numRuns: 600 });
  assert.ok(refused > 50, `${refused} were refused`);
});

test('any arrays under any names: a dataset, a choice or a DataError; what is read fits together', async () => {
  const attention = await createAttention({ variant: 'base' });
  const types = { '<f4': Float32Array, '<f8': Float64Array, '<i4': Int32Array, '|b1': Uint8Array, '<i8': BigInt64Array };
  const named = fc.record({
    name: fc.constantFrom('q', 'k', 'q', 'k', 'v', 'mask', 'sparse_mask', 'weights', 'layers.1.q', 'layers.1.k', 'q.weight', 'x'),
    dims: fc.oneof(fc.constant([2, 3, 4]), fc.constant([3, 3]), fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 5 })),
    descr: fc.oneof({ weight: 4, arbitrary: fc.constant('<f4') }, { arbitrary: fc.constantFrom(...Object.keys(types)), weight: 1 }),
  });
  const pair = ['q', 'k'].map((name) => ({ name, dims: [2, 3, 4], descr: '<f4' })); // or few would fit together
  const files = fc.tuple(fc.constantFrom([], pair), fc.array(named, { minLength: 1, maxLength: 5 }))
    .map(([first, others]) => [...new Map([...others, ...first].map((array) => [array.name, array])).values()]);
  let computed = 0;
  await fc.assert(fc.asyncProperty(files, fc.boolean(), async (arrays, isApart) => {
    const members = arrays.map(({ name, dims, descr }) => {
      const convert = descr === '<i8' ? BigInt : Number;
      return [`${name}.npy`, writeNpy(descr, dims, types[descr].from({ length: countOf(dims) }, (_, n) => convert(n % 3)))];
    });
    const dropped = isApart ? members.map(([name, bytes]) => ({ name, bytes })) : [{ name: 'in.npz', bytes: writeZip(members) }];
    const datasets = [];
    try {
      const result = await readFiles(dropped);
      if (result.readings === undefined) datasets.push(result);
      else for (let n = 0; n < result.readings.length; n++) datasets.push(await applyChoice(result, n));
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
    }
    for (const { layers, weightsOnly } of datasets) {
      for (const { problem } of weightsOnly ? [] : layers) {
        attention.getMaskedAttentionOutput({ ...problem, values: problem.values ?? problem.keys });
        computed++;
      }
    }
  }), { seed, numRuns: 500 });
  assert.ok(computed > 50, `${computed} were computed`);
});

test('samples: layers, tokens, the model’s own weights', async () => {
  const folder = new URL('../samples/', import.meta.url);
  const attention = await createAttention({ variant: 'base' });
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.safetensors'))) {
    const bytes = readFileSync(new URL(file, folder));
    const sample = readSample(bytes);
    assert.deepEqual(sample.layers.map(({ label }) => label), ['Layer 1', 'Layer 2']);
    for (const { problem, weights } of sample.layers) {
      const steps = problem.queries.dims[2];
      assert.deepEqual([sample.tokens.queries.length, sample.tokens.keys.length], [steps, steps]);
      const computed = attention.getMaskedAttentionOutput({ ...problem, returnAttentionWeights: true }).weights.data;
      assert.ok(computed.every((value, n) => Math.abs(value - weights.data[n]) <= 5e-7));
    }
    assert.equal(sample.image.data.length, sample.image.height * sample.image.width);
    // As a file that somebody drops, it is read the same.
    const dropped = await readFiles([{ name: file, bytes: new Uint8Array(bytes) }]);
    assert.deepEqual(dropped.layers, sample.layers);
  }
  const other = formatSafetensors([['q', { data: floats(1), dims: [1] }]]);
  assert.throws(() => readSample(other), /"block1.queries" is missing/);
  const { tensors, metadata } = parseSafetensors(readFileSync(new URL('hello.safetensors', folder)));
  assert.equal(readSample(formatSafetensors(tensors, Object.fromEntries(metadata))).text, metadata.get('text'));
});

test('synthetic: the same each time, local, with sinks, told as such', async () => {
  const dataset = synthetic({ tokens: 300, dim: 16, heads: 4, keyHeads: 2, seed: 7 });
  const { problem } = dataset.layers[0];
  assert.deepEqual([problem.queries.dims, problem.keys.dims, problem.values.dims], [[1, 4, 300, 16], [1, 2, 300, 16], [1, 2, 300, 16]]);
  assert.match(dataset.notes[0], /^Synthetic/);
  assert.deepEqual(synthetic({ tokens: 300, dim: 16, heads: 4, keyHeads: 2, seed: 7 }), dataset);
  assert.notDeepEqual(synthetic({ tokens: 300, dim: 16, heads: 4, keyHeads: 2, seed: 8 }), dataset);
  const attention = await createAttention({ variant: 'base' });
  for (const tokens of [300, 3000]) {
    const { layers: [long] } = synthetic({ tokens });
    const rows = [tokens - 64, tokens];
    const { weights } = attention.getMaskedAttentionOutput({ ...long.problem, returnAttentionWeights: true, weightsWindow: { rows } });
    let [sinks, near] = [0, 0];
    for (let row = 0; row < 128; row++) {
      const self = rows[0] + (row % 64);
      for (let key = 0; key < tokens; key++) {
        const weight = weights.data[row * tokens + key] / 128;
        if (key < 4) sinks += weight;
        else if (Math.abs(key - self) <= 32) near += weight;
      }
    }
    assert.ok(sinks > 0.05 && sinks < 0.7, `${tokens}: sinks get ${sinks}`);
    assert.ok(near > 0.15, `${tokens}: the nearest 65 keys get ${near}`);
  }
  for (const [name, sizes] of Object.entries({
    tokens: { tokens: 0 }, dim: { tokens: 9, dim: 7 }, heads: { tokens: 9, heads: 3, keyHeads: 2 }, seed: { tokens: 9, seed: -1 },
  })) assert.throws(() => synthetic(sizes), new RegExp(`^RangeError: ${name}: expected`));
});
