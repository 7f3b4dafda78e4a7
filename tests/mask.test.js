// SPDX-License-Identifier: Apache-2.0
// Masks without an engine: each way to make one and its errors, what files say, what disposal leaves. That expressions
// and representations agree is for mask-algebra.test.js.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Mask } from '../js/index.js';
import { AttentionError } from '../js/errors.js';
import { withEachInflater } from './calls.js';
import { Random } from './random.js';

/** What save_npz of SciPy 1.10 makes of csr_matrix([[0, 0.5, 0], [1, 0, 2]], dtype=float32), compressed. */
const scipyFile = [
  'UEsDBBQAAAAIAAAAIQDzoLL+SgAAAIwAAAALABQAaW5kaWNlcy5ucHkBABAAjAAAAAAAAABKAAAAAAAAAJvsF+obEMnIUMZQrZ6SWpxcpG6l',
  'oG6TaaKuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5GsY6mjoKtQoUAC5GBghgAmIAUEsDBBQAAAAIAAAAIQBniwERTAAAAIwAAAAK',
  'ABQAaW5kcHRyLm5weQEAEACMAAAAAAAAAEwAAAAAAAAAm+wX6hsQychQxlCtnpJanFykbqWgbpNpoq6joJ6WX1RSlJgXn1+UkgoSd0vMKU4F',
  'ihdnJBakAvkaxjqaOgq1ChQALgYgYARiZiAGAFBLAwQUAAAACAAAACEAo8N0l0UAAACDAAAACgAUAGZvcm1hdC5ucHkBABAAgwAAAAAAAABF',
  'AAAAAAAAAJvsF+obEMnIUMZQrZ6SWpxcpG6loF4TbKyuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5Gpo6CrUKFAGu5OIiAFBLAwQU',
  'AAAACAAAACEAYEh+DEoAAACQAAAACQAUAHNoYXBlLm5weQEAEACQAAAAAAAAAEoAAAAAAAAAm+wX6hsQychQxlCtnpJanFykbqWgbpNpoa6j',
  'oJ6WX1RSlJgXn1+UkgoSd0vMKU4FihdnJBakAvkaRjqaOgq1ChQALiYGCGCG0gBQSwMEFAAAAAgAAAAhALWDDqJPAAAAjAAAAAgAFABkYXRh',
  'Lm5weQEAEACMAAAAAAAAAE8AAAAAAAAAm+wX6hsQychQxlCtnpJanFykbqWgbpNmoq6joJ6WX1RSlJgXn1+UkgoSd0vMKU4FihdnJBakAvka',
  'xjqaOgq1ChQALgYGBnsGhgYgZnAAAFBLAQIUAxQAAAAIAAAAIQDzoLL+SgAAAIwAAAALAAAAAAAAAAAAAACAAQAAAABpbmRpY2VzLm5weVBL',
  'AQIUAxQAAAAIAAAAIQBniwERTAAAAIwAAAAKAAAAAAAAAAAAAACAAYcAAABpbmRwdHIubnB5UEsBAhQDFAAAAAgAAAAhAKPDdJdFAAAAgwAA',
  'AAoAAAAAAAAAAAAAAIABDwEAAGZvcm1hdC5ucHlQSwECFAMUAAAACAAAACEAYEh+DEoAAACQAAAACQAAAAAAAAAAAAAAgAGQAQAAc2hhcGUu',
  'bnB5UEsBAhQDFAAAAAgAAAAhALWDDqJPAAAAjAAAAAgAAAAAAAAAAAAAAIABFQIAAGRhdGEubnB5UEsFBgAAAAAFAAUAFgEAAJ4CAAAAAA==',
].join('');

const bytesOf = (base64) => new Uint8Array(Buffer.from(base64, 'base64'));
const shape = [1, 1, 2, 3];

/** The mask as one line per row. */
const picture = (mask) => {
  const keys = mask.shape[3];
  return [...mask.toDense()].map((weight, n) => `${n % keys === 0 && n > 0 ? ' ' : ''}${weight}`).join('');
};

function refuses(call, kind, ...patterns) {
  assert.throws(call, (error) => {
    assert.equal(error.constructor, kind, String(error.stack));
    for (const pattern of patterns) assert.match(error.message, pattern);
    return true;
  });
}

async function rejects(promise, kind, ...patterns) {
  const error = await promise.then(
    () => assert.fail(`expected ${patterns}`),
    (thrown) => thrown,
  );
  refuses(() => { throw error; }, kind, ...patterns); // prettier-ignore
}

// ------------------------------------------------------------------------------------------------------ constructors

test('structured masks', () => {
  const made = {
    causal: [Mask.causal([1, 1, 3, 3]), '100 110 111'],
    'causal, more keys': [Mask.causal([1, 1, 2, 4]), '1110 1111'],
    'causal, top left': [Mask.causal([1, 1, 2, 4], { offset: 0 }), '1000 1100'],
    'causal, fewer keys': [Mask.causal([1, 1, 3, 1]), '0 0 1'],
    window: [Mask.slidingWindow([1, 1, 4, 4], { left: 1, right: 0 }), '1000 1100 0110 0011'],
    'window, one side': [Mask.slidingWindow([1, 1, 3, 3], { left: 1 }), '111 111 011'],
    sinks: [Mask.sinks([1, 1, 2, 3], 2), '110 110'],
    'sinks past the end': [Mask.sinks([1, 1, 1, 3], 9), '111'],
    prefix: [Mask.prefix([2, 1, 1, 3], [1, 2]), '100 110'],
    documents: [Mask.documents([1, 1, 3, 4], [0, 0, 7, -1]), '1100 0010 0000'],
    'documents in pieces': [Mask.documents([1, 1, 3, 3], [1, 0, 1]), '101 010 101'],
    'documents of their own': [Mask.documents([1, 1, 2, 3], { queries: [5, 4], keys: [4, 5, 5] }), '011 100'],
    'documents per batch': [Mask.documents([2, 1, 1, 2], [0, 1, 0, 0]), '01 11'],
    'documents, offsets': [Mask.documents([1, 1, 4, 4], { offsets: [0, 1, 3] }), '1000 0110 0110 0000'],
    blocks: [
      Mask.blockSparse({ shape: [1, 1, 3, 5], blockSize: [2, 2], ptr: [0, 2, 4], indices: [2, 0, 1, 1] }),
      '11001 11001 00110',
    ],
    'by function': [Mask.fromFunction([1, 1, 2, 2], (b, h, i, j) => (i === j ? 0.5 : 0)), '0.50 00.5'],
    'nothing is not empty': [Mask.full([1, 1, 1, 3]).not(), '000'],
  };
  for (const [name, [mask, expected]] of Object.entries(made)) {
    assert.equal(picture(mask), expected, name);
    assert.equal(mask.isEmpty(), false, name);
  }
});

test('columns: unsorted, repeated and weightless ones, in rows of any length', () => {
  const random = new Random(3);
  for (const keys of [1, 7, 256, 257, 70_000]) {
    const arrays = { ptr: [0], indices: [], weights: [] };
    const expected = new Float32Array(3 * keys);
    for (let row = 0; row < 3; row++) {
      for (let n = random.integer(0, 300); n > 0; n--) {
        const [column, weight] = [random.integer(0, keys - 1), random.pick([0, 0.5, 1, 2])];
        arrays.indices.push(column);
        arrays.weights.push(weight);
        expected[row * keys + column] = weight;
      }
      arrays.ptr.push(arrays.indices.length);
    }
    assert.deepEqual(Mask.fromIndices([1, 1, 3, keys], arrays).toDense(), expected, `${keys} keys`);
  }
});

test('a function is called once for each pair, in order; what it throws comes through', () => {
  const calls = [];
  Mask.fromFunction([2, 1, 1, 2], (...position) => calls.push(position) > 0);
  assert.deepEqual(calls, [[0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0], [1, 0, 0, 1]]); // prettier-ignore
  const failure = new Error('mine');
  assert.throws(
    () => Mask.fromFunction(shape, (b, h, i) => { if (i === 1) throw failure; return true; }), // prettier-ignore
    (error) => error === failure,
  );
});

test('bad arguments: the name, the value, what was expected', () => {
  refuses(() => Mask.causal([1, 2, 3]), RangeError, /shape/, /4 dim/);
  refuses(() => Mask.causal(shape, { offset: 0.5 }), RangeError, /offset/, /0\.5/);
  refuses(() => Mask.causal(shape, { ofset: 1 }), TypeError, /ofset/, /offset/);
  refuses(() => Mask.slidingWindow(shape), TypeError, /options/, /undefined/);
  refuses(() => Mask.slidingWindow(shape, { left: -1 }), RangeError, /left/, /-1/);
  refuses(() => Mask.slidingWindow(shape, { right: '2' }), TypeError, /right/, /'2'/);
  refuses(() => Mask.slidingWindow(shape, { right: NaN }), RangeError, /right/, /NaN/);
  refuses(() => Mask.sinks(shape, -1), RangeError, /n:/, /-1/);
  refuses(() => Mask.sinks(shape, [1]), TypeError, /n:/);
  refuses(() => Mask.prefix(shape, [1, 2]), RangeError, /n:/, /per batch \(1\)/, /2/);
  refuses(() => Mask.prefix(shape, [-2]), RangeError, /n\[0\]/, /-2/);
  refuses(() => Mask.documents(shape, [0, 1]), RangeError, /ids/, /3 ids/, /2/);
  refuses(() => Mask.documents(shape, [0, 1, 0.5]), RangeError, /ids\[2\]/, /0\.5/);
  refuses(() => Mask.documents(shape, [0, 1, 2 ** 31]), RangeError, /ids\[2\]/, /2147483648/);
  refuses(() => Mask.documents(shape, new Float32Array(3)), TypeError, /ids/, /Float32Array/);
  refuses(() => Mask.documents(shape, { keys: [0, 1, 2] }), TypeError, /ids\.queries/, /undefined/);
  refuses(() => Mask.documents(shape, { offsets: [0, 1], keys: [0, 1, 2] }), TypeError, /offsets/, /both/);
  refuses(() => Mask.documents(shape, { offsets: [1, 2] }), RangeError, /offsets\[0\]/, /1/);
  refuses(() => Mask.documents(shape, { offsets: [0, 2, 1] }), RangeError, /offsets\[2\]/, /2\.\.3/, /1/);
  refuses(() => Mask.documents(shape, { offsets: [0, 4] }), RangeError, /offsets\[1\]/, /4/);
  refuses(() => Mask.documents([1, 1, 3, 2], [0, 0]), RangeError, /queries \(3\)/, /keys \(2\)/);
  const blocks = (changes) => () => Mask.blockSparse({ shape, blockSize: 2, ptr: [0, 1], indices: [1], ...changes });
  assert.equal(picture(blocks({})()), '001 001');
  refuses(blocks({ blockSize: 0 }), RangeError, /blockSize/, /0/);
  refuses(blocks({ blockSize: [1] }), TypeError, /blockSize/);
  refuses(blocks({ ptr: [0, 1, 1] }), RangeError, /ptr/, /2 entries/, /3/);
  refuses(blocks({ indices: [2] }), RangeError, /indices\[0\]/, /2/);
  refuses(() => Mask.fromFunction(shape, true), TypeError, /f:/, /true/);
  refuses(() => Mask.fromFunction(shape, () => undefined), TypeError, /f\(0, 0, 0, 0\)/, /undefined/);
  refuses(() => Mask.fromFunction(shape, (b, h, i, j) => 1 - j), RangeError, /f\(0, 0, 0, 2\)/, /-1/);
  refuses(() => Mask.fromFunction(shape, () => Infinity), RangeError, /f\(0, 0, 0, 0\)/, /Infinity/);
  const mask = Mask.causal(shape);
  refuses(() => mask.and(null), TypeError, /other/, /null/);
  refuses(() => mask.or(Mask.full([1, 1, 3, 2])), RangeError, /other/, /1 x 1 x 2 x 3/, /1 x 1 x 3 x 2/);
  refuses(() => Mask.full([2, 1, 2, 3]).or(Mask.full([4, 1, 2, 3])), RangeError, /other/);
  refuses(() => Mask.full([1, 4, 2, 3]).or(Mask.full([1, 6, 2, 3])), RangeError, /other/);
  refuses(() => Mask.empty(shape).not(), RangeError, /not/, /empty/);
  refuses(() => mask.rows(0, 3), RangeError, /i1/, /3/);
  refuses(() => mask.rows(0, 1, { head: 1 }), RangeError, /head/, /1/);
  refuses(() => mask.blockMap('4'), TypeError, /blockSize/, /'4'/);
  refuses(() => mask.blockMap(2, { rows: [0, 2] }), RangeError, /rows\[1\]/, /0\.\.1/, /2/);
  refuses(() => mask.blockMap(2, { columns: [2, 1] }), RangeError, /columns\[1\]/, /2\.\.2/, /1/);
  refuses(() => mask.blockMap(2, { columns: 1 }), TypeError, /columns/, /\[begin, end\]/);
  refuses(() => mask.blockMap(2, { head: 1 }), RangeError, /head/, /1/);
  refuses(() => mask.blockMap(2, { batch: -1 }), RangeError, /batch/, /-1/);
  refuses(() => mask.blockMap(2, { heads: 0 }), TypeError, /heads/, /head\?/);
});

// -------------------------------------------------------------------------------------------------- algebra, disposal

test('an empty mask is a flag, not a value', () => {
  const [empty, half] = [Mask.empty(shape), Mask.fromDense(shape, Float32Array.of(0, 0.5, 2, 0, 0, 1))];
  assert.ok(empty.and(empty).isEmpty() && empty.or(empty).isEmpty() && empty.merge(empty).isEmpty());
  assert.equal(empty.density(), 1);
  assert.equal(empty.isFull(), false);
  assert.equal(picture(empty.merge(half)), '00.51 001');
  assert.equal(empty.blockMap(2).full, 2);
  assert.ok(Mask.full(shape).and(empty).isFull() && empty.and(Mask.full(shape)).isFull());
  refuses(() => empty.toNpy(), RangeError, /empty/);
  refuses(() => empty.toNpz(), RangeError, /empty/);
});

test('a product that underflows is not kept', () => {
  const tiny = Mask.fromDense(shape, new Float32Array(6).fill(1e-30));
  assert.equal(tiny.and(tiny).density(), 0);
  assert.equal(tiny.and(tiny).get(0, 0, 0, 0), 0);
  assert.equal(tiny.density(), 1);
});

test('what turns out full is, whichever way it was made', () => {
  assert.ok(Mask.causal(shape).or(Mask.causal(shape).not()).isFull());
  assert.ok(Mask.slidingWindow(shape, {}).isFull());
  assert.ok(Mask.prefix(shape, 3).isFull());
  assert.ok(Mask.fromFunction(shape, () => 1).isFull());
  assert.ok(!Mask.fromFunction(shape, () => 0.5).isFull());
  assert.ok(Mask.sinks([1, 1, 0, 3], 0).isFull(), 'no pairs');
});

test('operands may be disposed of; a disposed mask says so', () => {
  const [a, b] = [Mask.causal(shape), Mask.fromDense(shape, Uint8Array.of(1, 0, 1, 0, 1, 1))];
  const both = a.and(b);
  a.dispose();
  b.dispose();
  b.dispose();
  assert.equal(picture(both), '100 011');
  both.dispose();
  for (const call of [
    () => both.density(), () => both.isFull(), () => both.and(Mask.full(shape)), () => Mask.full(shape).or(both),
    () => both.not(), () => both.rows(0, 1), () => both.blockMap(2), () => both.toFlexBlocks(), () => both.toNpy(),
  ]) refuses(call, AttentionError, /disposed/); // prettier-ignore
});

test('expressions may be deep, and share their parts', () => {
  let deep = Mask.sinks(shape, 1);
  for (let n = 0; n < 20_000; n++) deep = deep.or(Mask.sinks(shape, n % 2));
  assert.equal(picture(deep), '100 100');
  let wide = Mask.causal(shape);
  for (let n = 0; n < 100; n++) wide = wide.and(wide);
  assert.equal(wide.density(), 5 / 6);
  assert.equal(wide.get(0, 0, 0, 2), 0);
  wide.dispose();
});

test('long structured masks are counted without visiting pairs', () => {
  const long = [1, 8, 32768, 32768];
  const mask = Mask.slidingWindow(long, { left: 255, right: 9 }).or(Mask.sinks(long, 4)).and(Mask.causal(long));
  let kept = 0;
  for (let i = 0; i < 32768; i++) kept += i < 256 ? i + 1 : Math.min(256 + 4, i + 1);
  assert.equal(mask.density(), kept / 32768 ** 2);
  const { partial, full, skipped } = mask.blockMap(128);
  assert.equal(full, 8 * 255);
  assert.equal(partial + full + skipped, 8 * 256 * 256);
  assert.deepEqual([...mask.rows(300, 301, { head: 7 }).indices.subarray(0, 5)], [0, 1, 2, 3, 45]);
  const part = mask.blockMap(128, { rows: [254, 256], columns: [251, 256], head: 7 });
  assert.deepEqual(part.dims, [1, 1, 2, 5]);
  assert.deepEqual([...part.kinds], [0, 1, 2, 1, 0, 0, 0, 1, 2, 1]);
});

// ------------------------------------------------------------------------------------------------------------- formats

test('FlexAttention: as create_block_mask orders blocks; a tail is never a full block', () => {
  const tables = Mask.causal([1, 1, 6, 6]).toFlexBlocks(2);
  assert.deepEqual(tables, {
    blockSize: [2, 2],
    dims: [1, 1, 3, 3],
    kvNumBlocks: Int32Array.of(1, 1, 1),
    kvIndices: Int32Array.of(0, 1, 2, 1, 0, 2, 2, 0, 1),
    fullKvNumBlocks: Int32Array.of(0, 1, 2),
    fullKvIndices: Int32Array.of(0, 1, 2, 0, 1, 2, 0, 1, 2),
  });
  const ragged = Mask.full([1, 1, 3, 2]).toFlexBlocks(2);
  assert.deepEqual([ragged.kvNumBlocks, ragged.fullKvNumBlocks], [Int32Array.of(0, 1), Int32Array.of(1, 0)]);
  assert.equal(Mask.full(shape).toFlexBlocks().blockSize[0], 128);
  const partialOnly = { ...tables, fullKvNumBlocks: null, fullKvIndices: null };
  assert.equal(Mask.fromFlexBlocks([2, 4, 6, 6], partialOnly).density(), 1 / 3);
  refuses(() => Mask.fromFlexBlocks([1, 1, 6, 5], { ...tables, blockSize: 3 }), RangeError, /dims/, /1 x 1 x 2 x 2/);
  const changed = (changes) => () => Mask.fromFlexBlocks([1, 1, 6, 6], { ...tables, ...changes });
  refuses(changed({ kvNumBlocks: [1, 4, 1] }), RangeError, /kvNumBlocks\[1\]/, /4/);
  refuses(changed({ kvIndices: [1] }), RangeError, /kvIndices/, /9 entries/);
  refuses(
    () => Mask.fromFlexBlocks([1, 1, 6, 6], tables, { partial: Mask.full([2, 1, 6, 6]) }),
    RangeError,
    /partial/,
    /2 x 1 x 6 x 6/,
  );
});

/** A .npy file with this header. */
function npy(header, data = [], version = 1) {
  const text = new TextEncoder().encode(header);
  const start = [0x93, ...Buffer.from('NUMPY'), version, 0, text.length & 255, text.length >> 8];
  return Uint8Array.from([...start, ...text, ...data]);
}

test('.npy: what NumPy writes', () => {
  const header = (descr, dims) => `{'descr': '${descr}', 'fortran_order': False, 'shape': ${dims}, }\n`;
  assert.equal(picture(Mask.fromNpy(npy(header('|b1', '(2, 3)'), [1, 0, 0, 0, 1, 1]))), '100 011');
  assert.deepEqual(Mask.fromNpy(npy(header('|b1', '(2, 1, 3)'), [1, 0, 0, 0, 1, 1])).shape, [1, 2, 1, 3]);
  assert.equal(picture(Mask.fromNpy(npy(header('<f2', '(1, 2)'), [0, 0x38, 0, 0x3c]))), '0.51');
  assert.equal(picture(Mask.fromNpy(npy(header('>f4', '(1, 1)'), [0x3f, 0, 0, 0]))), '0.5');
  assert.deepEqual(Mask.fromNpy(npy(header('|b1', '(0, 3)'))).shape, [1, 1, 0, 3]);
  const file = Mask.causal(shape).toNpy();
  assert.equal(file.length, 128 + 6);
  const text = Buffer.from(file.subarray(10, 128)).toString();
  assert.equal(text.trimEnd(), "{'descr': '|b1', 'fortran_order': False, 'shape': (1, 1, 2, 3), }");
  assert.deepEqual(Mask.fromNpy(file, [1, 2, 1, 3]).shape, [1, 2, 1, 3]);
  refuses(() => Mask.fromNpy(file, [1, 1, 3, 2]), RangeError, /1 x 1 x 2 x 3/, /1 x 1 x 3 x 2/);
});

test('.npy: hostile files', () => {
  const header = (descr, order, dims) => `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': (${dims}), }\n`;
  const good = npy(header('|b1', 'False', '1, 2'), [1, 0]);
  assert.equal(picture(Mask.fromNpy(good)), '10');
  for (let length = 0; length < good.length; length++)
    refuses(() => Mask.fromNpy(good.slice(0, length)), RangeError, /bytes/);
  refuses(() => Mask.fromNpy(Uint8Array.of(...good, 0)), RangeError, /expected \d+ bytes/);
  refuses(() => Mask.fromNpy(npy(header('|b1', 'True', '1, 2'), [1, 0])), RangeError, /Fortran/);
  refuses(() => Mask.fromNpy(npy(header('|O', 'False', '1, 2'), [1, 0])), RangeError, /bytes/);
  refuses(() => Mask.fromNpy(npy(header('|u1', 'False', '1, 2'), [1, 0])), TypeError, /\|u1/);
  for (const dims of ['-1, 2', '1e9, 2', '0x2, 1', 'None', '1, , 2', '99999999999999999999, 1'])
    refuses(() => Mask.fromNpy(npy(header('|b1', 'False', dims), [1, 0])), RangeError, /bytes/);
  refuses(() => Mask.fromNpy(npy(header('<f8', 'False', '2147483647, 2147483647'), [1])), RangeError, /larger/);
  refuses(() => Mask.fromNpy(npy(header('|b1', 'False', '2147483647, 2'), [1])), RangeError, /expected 4294967\d+/);
  refuses(() => Mask.fromNpy(npy(header('|b1', 'False', '2,'), [1, 0])), RangeError, /2 to 4 dimensions/);
  refuses(() => Mask.fromNpy(npy('{}', [])), RangeError, /descr/);
  const minusOne = [0, 0, 0x80, 0xbf];
  refuses(() => Mask.fromNpy(npy(header('<f4', 'False', '1, 1'), minusOne)), RangeError, /weights\[0\]/, /-1/);
  refuses(() => Mask.fromNpy(new Float32Array(4)), TypeError, /bytes/, /Float32Array/);
});

test('.npz: what SciPy writes, and what it reads', async () => {
  const mask = await Mask.fromNpz(bytesOf(scipyFile));
  assert.deepEqual(mask.shape, [1, 1, 2, 3]);
  assert.equal(picture(mask), '00.50 102');
  assert.deepEqual((await Mask.fromNpz(bytesOf(scipyFile), [2, 1, 1, 3])).shape, [2, 1, 1, 3]);
  for (const each of [mask, Mask.causal([2, 2, 3, 4]), Mask.causal(shape).not(), Mask.full([1, 1, 0, 5])]) {
    const restored = await Mask.fromNpz(each.toNpz().buffer, each.shape);
    assert.deepEqual(restored.toIndices(), each.toIndices());
  }
  await rejects(Mask.fromNpz(bytesOf(scipyFile), [1, 1, 3, 2]), RangeError, /2 x 3/, /1 x 1 x 3 x 2/);
  await rejects(Mask.fromNpz('file.npz'), TypeError, /bytes/);
});

test('.npz: truncated, damaged and hostile files', () => withEachInflater(async () => {
  for (const good of [bytesOf(scipyFile), Mask.causal(shape).toNpz()]) {
    for (let length = 0; length < good.length; length += 7)
      await rejects(Mask.fromNpz(good.slice(0, length)), RangeError, /bytes/);
    // One byte changed: an error, or, where nobody looks (dates, versions), the same mask.
    const expected = picture(await Mask.fromNpz(good));
    for (let at = 0; at < good.length; at++) {
      const damaged = good.slice();
      damaged[at] ^= 0x41;
      const outcome = await Mask.fromNpz(damaged).catch((error) => error);
      if (outcome instanceof Mask) assert.equal(picture(outcome), expected, `byte ${at}`);
      else assert.ok(outcome instanceof RangeError || outcome instanceof TypeError, `byte ${at}: ${outcome.stack}`);
    }
  }
  const change = (find, write) => {
    const file = bytesOf(scipyFile);
    const view = new DataView(file.buffer);
    for (let at = 0; at + 4 <= file.length; at++) if (view.getUint32(at, true) === find) write(view, at);
    return Mask.fromNpz(file);
  };
  const central = 0x02014b50;
  await rejects(change(central, (view, at) => view.setUint16(at + 8, 1, true)), RangeError, /encrypted/);
  await rejects(change(central, (view, at) => view.setUint16(at + 10, 12, true)), RangeError, /method 12/);
  await rejects(change(central, (view, at) => view.setUint32(at + 24, 2 ** 32 - 1, true)), RangeError, /zip64/);
  await rejects(change(central, (view, at) => view.setUint32(at + 24, 2 ** 31, true)), RangeError, /claims 2147483648/);
  await rejects(change(central, (view, at) => view.setUint32(at + 24, 100, true)), RangeError, /inflate/);
  await rejects(change(central, (view, at) => view.setUint32(at + 24, 10, true)), RangeError, /inflate/);
  await rejects(change(central, (view, at) => view.setUint32(at + 16, 7, true)), RangeError, /checksum/);
  await rejects(change(0x06054b50, (view, at) => view.setUint16(at + 10, 0xffff, true)), RangeError, /zip64/);
}));
