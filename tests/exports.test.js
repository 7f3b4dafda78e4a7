// SPDX-License-Identifier: Apache-2.0
// What the page saves comes back: masks, tables of blocks, float32 values, recipes; and what would not fit is refused.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import fc from 'fast-check';

import { Mask } from '../js/index.js';
import { openArrays } from '../js/array-files.js';
import { DataError } from '../web-demo/files/errors.js';
import { cellsCsv, fileName, headMask, maskNpy, maskNpz, recipeJson, shortest } from '../web-demo/files/exports.js';
import { flexExport } from '../web-demo/files/flex-export.js';
import { seed } from './random.js';

const scattered = (shape) => Mask.fromFunction(shape, (b, h, i, j) => (i * 7 + j * 3 + h + b) % 5 === 0 || j < 2);

test('file names tell what is inside, and are plain', () => {
  assert.equal(fileName({ name: 'Hello, world', layer: 'Layer 2', head: 2 }, 'mask', '.npy'), 'hello-world-layer-2-head-3-mask.npy');
  assert.equal(fileName({ name: '../a/b\0"', batch: 0 }, 'mask', '.npz'), 'a-b-sequence-1-mask.npz');
  assert.equal(fileName({ name: '你好', layer: undefined }, 'weights', '.csv'), '你好-weights.csv');
  assert.equal(fileName({ name: '///' }, 'recipe', '.json'), 'recipe.json');
});

test('masks as .npy and .npz come back', async () => {
  const mask = scattered([2, 2, 9, 11]);
  assert.deepEqual(Mask.fromNpy(maskNpy(mask)).toDense(), mask.toDense());
  assert.deepEqual((await Mask.fromNpz(maskNpz(mask), mask.shape)).toDense(), mask.toDense());
  const one = headMask(mask, { batch: 1, head: 5, heads: 6 });
  assert.deepEqual(one.shape, [1, 1, 9, 11]);
  assert.deepEqual(one.toDense(), mask.toDense().slice(3 * 99));
  const shared = headMask(scattered([1, 1, 4, 4]), { batch: 3, head: 2, heads: 8 });
  assert.deepEqual(shared.toDense(), scattered([1, 1, 4, 4]).toDense());
});

test('masks that would not fit are refused before anything is made, with what would', () => {
  const large = [1, 1, 100_000, 100_000];
  const window = Mask.slidingWindow(large, { left: 64, right: 0 });
  assert.throws(() => maskNpy(window), (error) => error instanceof DataError && /\(\.npz\), with 6497920 of them/.test(error.message));
  for (const save of [maskNpz, (mask) => headMask(mask, { batch: 0, head: 0, heads: 1 })]) {
    assert.throws(() => save(Mask.causal(large)), /^DataError: 5000050000 kept pairs are too many/);
  }
  for (const save of [maskNpy, maskNpz, (mask) => flexExport(mask, { heads: 1, file: 'a.npz' })]) {
    assert.throws(() => save(Mask.empty([1, 1, 4, 4])), /^DataError: There is no mask to save/);
  }
  assert.throws(() => flexExport(scattered([1, 4, 9, 9]), { heads: 4, file: 'a', blockSize: 16384 }), /^DataError: Tables of blocks of 16384/);
  const huge = Mask.causal([1, 64, 1_000_000, 1_000_000]);
  assert.throws(() => flexExport(huge, { heads: 64, file: 'a' }), /^DataError: Tables of blocks of 128 .* save the mask of one head/);
});

/** What the program of an export would compute, pair by pair. */
async function readFlex({ file }, [batch, heads, queries, keys], size, own) {
  const { names, read } = openArrays(file, '.npz', 'flex.npz');
  const arrays = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await read(name)])));
  const [, , rows, columns] = arrays.kv_indices.dims;
  const lists = (row, counts, indices) =>
    Array.from(arrays[indices].data.subarray(row * columns, row * columns + arrays[counts].data[row]));
  const dense = new Float32Array(batch * heads * queries * keys);
  for (let n = 0; n < dense.length; n++) {
    const [key, query] = [n % keys, Math.floor(n / keys) % queries];
    const head = Math.floor(n / keys / queries) % heads;
    const b = arrays.kv_indices.dims[0] === 1 ? 0 : Math.floor(n / keys / queries / heads);
    const row = (b * own + Math.floor((head * own) / heads)) * rows + Math.floor(query / size);
    const column = Math.floor(key / size);
    const place = arrays.partial_places.data[row * columns + column];
    const isPartial = lists(row, 'kv_num_blocks', 'kv_indices').includes(column);
    assert.equal(place > 0, isPartial);
    const isFull = lists(row, 'full_kv_num_blocks', 'full_kv_indices').includes(column);
    const bit = arrays.partial_blocks.data[(place * size + (query % size)) * size + (key % size)];
    dense[n] = isFull || (isPartial && bit === 1) ? 1 : 0;
  }
  return dense;
}

test('FlexAttention: tables and partial blocks say what the mask says', async () => {
  for (const [mask, heads] of [
    [scattered([2, 4, 21, 37]), 4],
    [Mask.causal([1, 1, 40, 40]), 3],
    [scattered([1, 2, 10, 16]).or(Mask.sinks([1, 2, 10, 16], 8)), 4],
    [Mask.full([1, 1, 16, 16]), 1],
  ]) {
    const [batch, own, queries, keys] = mask.shape;
    const shape = [batch, heads, queries, keys];
    const made = flexExport(mask, { heads, file: 'mask.npz', blockSize: 8 });
    const expected = mask.and(Mask.full(shape)).toDense();
    assert.deepEqual(await readFlex(made, shape, 8, own), expected);
    assert.deepEqual(made.notes, []);
  }
  const weights = flexExport(Mask.fromDense([1, 1, 2, 2], Float32Array.of(0.5, 0, 0, 1)), { heads: 1, file: 'a.npz' });
  assert.match(weights.notes[0], /every kept pair counts fully/);
});

test('FlexAttention: the program is Python and names its file, heads and lengths', (t) => {
  const { program } = flexExport(scattered([2, 2, 9, 11]), { heads: 4, file: 'my "mask".npz' });
  assert.match(program, /numpy\.load\("my \\"mask\\"\.npz"\)/);
  assert.match(program, /repeat_interleave\(2, dim=1\)/);
  assert.match(program, /partial_places\[b, h, q \/\/ 128, k \/\/ 128\]/);
  assert.match(program, /seq_lengths=\(9, 11\)/);
  const shared = flexExport(scattered([1, 1, 9, 11]), { heads: 4, file: 'a.npz' }).program;
  assert.match(shared, /partial_places\[0 \* b, 0 \* h,/);
  assert.doesNotMatch(shared, /repeat_interleave/);
  for (const source of [program, shared]) {
    try {
      execFileSync('python3', ['-c', 'import ast, sys; ast.parse(sys.stdin.read())'], { input: source, stdio: ['pipe', 'ignore', 'pipe'] });
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
      t.diagnostic('no python3: the program was not parsed');
    }
  }
});

test('numbers have few digits and come back as the same float32', () => {
  assert.deepEqual([0.1, 0.25, 1, 1e-20, NaN, Infinity, -Infinity, -0].map((value) => shortest(Math.fround(value))),
    ['0.1', '0.25', '1', '1e-20', 'nan', 'inf', '-inf', '-0']);
  fc.assert(fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
    assert.ok(Object.is(Math.fround(Number(shortest(value))), value), `${value}: ${shortest(value)}`);
    const number = Number(shortest(value));
    assert.ok(number === Number(number.toPrecision(9)), `${value}: more than nine digits`);
  }), { seed, numRuns: 2000 });
});

test('cells as a table: positions, tokens, values of what is kept', () => {
  const cells = {
    rows: [4, 6], columns: [1, 3], values: Float32Array.of(0.5, NaN, 0.1, 1e-9), states: Uint8Array.of(0, 1, 0, 0),
  };
  const tokens = { queries: ['', '', '', '', '=1+1', 'say "hi"'], keys: ['', 'a,b', 'line\nbreak'] };
  assert.equal(cellsCsv(cells, tokens), [
    'query,query_token,key,key_token,weight',
    '4,"""=1+1""",1,"""a,b""",0.5',
    '4,"""=1+1""",2,"""line\\nbreak""",',
    '5,"""say \\""hi\\""""",1,"""a,b""",0.1',
    '5,"""say \\""hi\\""""",2,"""line\\nbreak""",1e-9',
    '',
  ].join('\r\n'));
  assert.match(cellsCsv(cells, undefined, 'score'), /^query,key,score\r\n4,1,0\.5\r\n4,2,\r\n/);
  const many = { rows: [0, 2000], columns: [0, 1000], values: new Float32Array(2e6), states: new Uint8Array(2e6) };
  assert.throws(() => cellsCsv(many), /^DataError: A table of 2000 x 1000 cells is too long; .*: zoom in/);
  assert.throws(() => cellsCsv({ ...cells, rows: [4, 7] }), RangeError);
});

test('recipes: JSON that the command line takes', () => {
  const recipe = { maskers: [{ name: 'sink', size: 4 }], predicate: 'q >= k' };
  const saved = JSON.parse(recipeJson(recipe, { name: 'hello', layer: 'Layer 1', head: 0 }));
  assert.deepEqual(saved, { version: 1, name: 'hello', ...recipe, madeFor: { name: 'hello', layer: 'Layer 1', head: 0 } });
  const folder = mkdtempSync(join(tmpdir(), 'attn-recipe-'));
  try {
    writeFileSync(join(folder, 'r.json'), recipeJson({ maskers: recipe.maskers }, { name: 'hello' }));
    const bin = fileURLToPath(new URL('../bin/masked-attention.js', import.meta.url));
    const sample = fileURLToPath(new URL('../samples/hello.safetensors', import.meta.url));
    const block = 'queries=block1.queries,keys=block1.keys,values=block1.values';
    const printed = execFileSync(process.execPath,
      [bin, 'run', '-i', sample, '--names', block, '--maskers', join(folder, 'r.json'), '--metrics'], { encoding: 'utf8' });
    assert.match(printed, /density/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
