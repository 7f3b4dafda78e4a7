// SPDX-License-Identifier: Apache-2.0
/** @file analysis-regions.test.js - two masks compared: counts and pixels, against pair by pair, at every level. */
import assert from 'node:assert/strict';
import test from 'node:test';

import { Mask } from '../js/index.js';
import { compareMasks, RegionSource } from '../web-demo/analysis/regions.js';
import { cases, Random, seed } from './random.js';

const runs = Math.min(cases, 40);
const [KEPT, MASKED, SKIPPED] = [0, 1, 2];

function drawMask(random, [batch, heads, sq, sk]) {
  const shape = [random.pick([1, batch]), random.pick([1, heads]), sq, sk];
  const kind = random.pick(['empty', 'band', 'sinks', 'bits', 'weights']);
  if (kind === 'empty') return Mask.empty(shape);
  if (kind === 'band') return Mask.slidingWindow(shape, { left: random.integer(0, 9), right: random.integer(0, 3) });
  if (kind === 'sinks') return Mask.sinks(shape, random.integer(0, 5));
  const size = shape.reduce((a, b) => a * b);
  if (kind === 'bits') return Mask.fromDense(shape, random.bytes(size, 0.05));
  return Mask.fromDense(
    shape,
    random.floats(size).map((value) => (value > 1.3 ? value : 0)),
  );
}

function keeps(mask, heads, batch, head, i, j) {
  if (mask.isEmpty()) return true;
  const [b, h] = mask.shape;
  return mask.get(b === 1 ? 0 : batch, Math.floor((head * h) / heads), i, j) > 0;
}

test('counts and pixels of two masks', (t) => {
  t.diagnostic(`seed ${seed}`);
  for (let n = 0; n < runs; n++) {
    const random = new Random(seed, 960, n);
    const [batch, heads] = [random.integer(1, 2), random.pick([1, 2, 4])];
    const [sq, sk] = [random.integer(1, 150), random.integer(1, 150)];
    const [a, b] = [0, 1].map(() => drawMask(random, [batch, heads, sq, sk]));
    const at = { batch: random.integer(0, Math.max(a.shape[0], b.shape[0]) - 1), head: random.integer(0, heads - 1) };
    const cells = new Uint8Array(sq * sk);
    const counts = [0, 0, 0, 0];
    const filled = new Set(); // blocks of 64 x 64 of which something is kept
    for (let i = 0; i < sq; i++) {
      for (let j = 0; j < sk; j++) {
        const [inA, inB] = [a, b].map((mask) => keeps(mask, heads, at.batch, at.head, i, j));
        const region = inA ? (inB ? 1 : 2) : inB ? 3 : 0;
        cells[i * sk + j] = region;
        counts[region]++;
        if (region > 0) filled.add([i, j].map((place) => Math.floor(place / 64)).join());
      }
    }
    const [neither, both, onlyA, onlyB] = counts;
    assert.deepEqual(compareMasks(a, b, { ...at, heads }), { both, onlyA, onlyB, neither }, `case ${n}`);

    const source = new RegionSource(a, b, { heads });
    assert.deepEqual(source.shape, [Math.max(a.shape[0], b.shape[0]), heads, sq, sk]);
    for (const level of [0, 1, 3, 4, 5, 6, 8]) {
      const side = 2 ** level;
      const range = (length) => {
        const begin = random.integer(0, Math.ceil(length / side) - 1);
        return [begin, random.integer(begin, Math.ceil(length / side))];
      };
      const [rows, columns] = [range(sq), range(sk)];
      const found = source.read({ ...at, level, rows, columns });
      assert.deepEqual([found.rows, found.columns], [rows[1] - rows[0], columns[1] - columns[0]]);
      const inBlock = (i, j, size, count) => {
        for (let y = i * size; y < Math.min(sq, (i + 1) * size); y++)
          for (let x = j * size; x < Math.min(sk, (j + 1) * size); x++) count(cells[y * sk + x]);
      };
      for (let i = rows[0], place = 0; i < rows[1]; i++) {
        for (let j = columns[0]; j < columns[1]; j++, place++) {
          const where = `case ${n}, level ${level}, pixel ${i}, ${j}`;
          const own = [0, 0, 0, 0];
          inBlock(i, j, side, (region) => own[region]++);
          const area = own[0] + own[1] + own[2] + own[3];
          const most = [1, 2, 3].reduce((best, region) => (own[region] > own[best] ? region : best));
          const isNear = filled.has([i, j].map((place) => Math.floor((place * side) / 64)).join());
          const state = own[0] < area ? KEPT : isNear ? MASKED : SKIPPED;
          assert.equal(found.states[place], state, where);
          assert.equal(found.values[place], state === KEPT ? most : NaN, where);
          assert.equal(found.kept[place], Math.fround((area - own[0]) / area), where);
        }
      }
    }
    source.dispose();
  }
});

test('nothing kept, near what is kept and far from it', () => {
  const band = Mask.slidingWindow([1, 1, 200, 200], { left: 2, right: 0 });
  const { states, values } = new RegionSource(band, band).read({ level: 2, rows: [0, 50], columns: [0, 50] });
  assert.deepEqual([states[0], states[15], states[16]], [KEPT, MASKED, SKIPPED]);
  assert.deepEqual([values[0], values[15], values[16]], [1, NaN, NaN]);
});

test('100,000 x 100,000: any tile, at any level', () => {
  const shape = [1, 1, 100_000, 100_000];
  const a = Mask.causal(shape);
  const b = Mask.slidingWindow(shape, { left: 1000 }).or(Mask.sinks(shape, 8));
  const source = new RegionSource(a, b);
  const fine = source.read({ level: 0, rows: [50_000, 50_256], columns: [49_900, 50_156] });
  assert.deepEqual([fine.values[0], fine.values[255]], [1, 3]);
  const coarse = source.read({ level: 9, rows: [0, 196], columns: [0, 196] });
  assert.equal(coarse.values[196 * 100 + 50], 2);
  const total = compareMasks(a, b);
  assert.equal(total.both + total.onlyA, (100_000 * 100_001) / 2);
});

test('what does not fit is refused', () => {
  const mask = Mask.full([1, 1, 4, 5]);
  assert.throws(() => compareMasks(mask, Mask.full([1, 1, 5, 4])), /^RangeError: b: expected a mask of 4 x 5/);
  assert.throws(() => new RegionSource(mask, {}), /^TypeError: b: expected a Mask/);
  const source = new RegionSource(mask, mask);
  const at = { rows: [0, 1], columns: [0, 1] };
  for (const wrong of [
    { head: 1 },
    { batch: -1 },
    { level: 16 },
    { level: 0.5 },
    { rows: [0, 5] },
    { columns: [2, 1] },
  ]) {
    assert.throws(() => source.read({ ...at, ...wrong }), RangeError, JSON.stringify(wrong));
  }
});
