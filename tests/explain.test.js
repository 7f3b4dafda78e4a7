// SPDX-License-Identifier: Apache-2.0
// explain: its counts are those of a count of pairs, one by one, from what the masks are; nothing is computed, changed
// or kept. That it refuses what the call refuses is in errors.test.js. ATTN_SEED chooses other problems.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Mask, createAttention } from '../js/index.js';
import { assertSameBits, draw, engine, hasCode } from './calls.js';
import { drawMasked, keptPairs } from './masked-problems.js';
import { attend } from './oracle.js';
import { Random, describe, families, seed } from './random.js';
import { inputs, sizes } from './support.js';
import { variants } from './variants.js';

const [QUERIES, KEYS] = [12, 128]; // of a tile

/** What is kept, in all and of each tile of each head. */
function countTiles(kept, { batch, heads, queryLength, keyLength }) {
  const counts = { keptEntries: 0, tilesSkipped: 0, tilesFull: 0, tilesPartial: 0 };
  for (let head = 0; head < batch * heads; head++)
    for (let i = 0; i < queryLength; i += QUERIES)
      for (let j = 0; j < keyLength; j += KEYS) {
        let [count, area] = [0, 0];
        for (let row = i; row < Math.min(i + QUERIES, queryLength); row++)
          for (let column = j; column < Math.min(j + KEYS, keyLength); column++) {
            area++;
            count += kept[(head * queryLength + row) * keyLength + column];
          }
        counts.keptEntries += count;
        counts[count === 0 ? 'tilesSkipped' : count === area ? 'tilesFull' : 'tilesPartial']++;
      }
  return counts;
}

const elementBytes = { float32: 4, float16: 2, bfloat16: 2 };

/** What holds of every explanation of a problem. */
function assertExplains(explanation, options) {
  const size = sizes(options);
  const { batch, heads, keyHeads, queryLength, keyLength, dim, valueDim } = size;
  const { sparseAttentionMask } = options;
  const kept = keptPairs({ sparseAttentionMask }, attend(options), [batch, heads, queryLength, keyLength]);
  const { keptEntries, tilesSkipped, tilesFull, tilesPartial, ...rest } = explanation;
  assert.deepEqual({ keptEntries, tilesSkipped, tilesFull, tilesPartial }, countTiles(kept, size));

  const { rowsByGather, entriesByGather, flops, bytes, workspaceBytes, jobs } = rest;
  assert.deepEqual(Object.keys(rest), ['rowsByGather', 'entriesByGather', 'flops', 'bytes', 'workspaceBytes', 'jobs']);
  for (const [name, number] of Object.entries(explanation))
    assert.ok(Number.isSafeInteger(number) && number >= 0, name);
  assert.ok(entriesByGather <= keptEntries);
  assert.equal(rowsByGather === 0, entriesByGather === 0);
  assert.ok(rowsByGather <= entriesByGather && rowsByGather <= batch * heads * queryLength);
  if (!sparseAttentionMask || sparseAttentionMask.flag) assert.equal(rowsByGather, 0, 'no list of keys');

  // Every kept pair is computed, and of tiles no more than all that are used, in whole panels.
  const pair = 2 * (dim + valueDim);
  assert.ok(flops >= pair * keptEntries, `${flops} flops for ${keptEntries} pairs`);
  assert.ok(flops <= pair * (entriesByGather + (tilesFull + tilesPartial) * QUERIES * KEYS));
  if (keptEntries === 0 || entriesByGather === keptEntries) assert.equal(flops, pair * keptEntries);
  const rows = batch * heads * queryLength;
  const ends = rows * (dim * elementBytes[options.queries.dtype ?? 'float32'] + 4 * valueDim);
  assert.ok(bytes >= ends);
  if (keptEntries === 0) assert.equal(bytes, ends, 'no keys, no values');
  if (rows > 0) assert.ok(workspaceBytes > 0 && jobs >= batch * keyHeads && jobs <= rows);
  else assert.equal(jobs, 0);
}

for (const variant of variants) {
  let attention;
  before(async () => {
    attention = await createAttention({ variant });
  });
  after(() => attention.dispose());

  const problems = (count, stream, drawProblem) => () => {
    for (let n = 0; n < count; n++) {
      const options = drawProblem(new Random(seed, stream, n));
      try {
        const call = inputs(options);
        const explanation = attention.explain(call);
        assertExplains(explanation, options);
        // Weights and the like change nothing; scores take every tile.
        const everything = { returnAttentionWeights: true, returnLogSumExp: true, returnDropoutMask: true };
        for (const weightsFormat of ['dense', 'sparse']) {
          const { workspaceBytes, ...rest } = attention.explain({ ...call, ...everything, weightsFormat });
          assert.deepEqual({ ...rest, workspaceBytes: explanation.workspaceBytes }, explanation, weightsFormat);
          assert.ok(workspaceBytes >= explanation.workspaceBytes);
        }
        const { returnScores } = { returnScores: new Random(n).pick(['raw', 'softcapped', 'biased']) };
        const scored = attention.explain({ ...call, returnScores });
        assert.deepEqual([scored.rowsByGather, scored.entriesByGather], [0, 0]);
        assert.equal(scored.keptEntries, explanation.keptEntries);
        call.sparseAttentionMask?.dispose();
      } catch (error) {
        error.message = `problem ${n}: ${error.message}\n${describe(options)}`;
        throw error;
      }
    }
  };

  test(
    `${variant}: counts of random masks (ATTN_SEED=${seed})`,
    problems(variant === 'base' ? 150 : 40, 6, (random) => drawMasked(random)),
  );

  test(
    `${variant}: counts of all kinds of problems (ATTN_SEED=${seed})`,
    problems(variant === 'base' ? 140 : 40, 7, (random) => random.pick(Object.values(families))(random)),
  );
}

test('tiles: skipped, full and partial ones', async () => {
  const attention = await engine();
  const [b, h, sq, sk] = [2, 4, 48, 512];
  const options = draw(1, [b, h, 2, sq, sk, 8, 4]);
  const pair = 2 * (8 + 4);
  const all = attention.explain(options);
  assert.deepEqual(
    [all.keptEntries, all.tilesSkipped, all.tilesFull, all.tilesPartial],
    [b * h * sq * sk, 0, b * h * 4 * 4, 0],
  );
  assert.equal(all.flops, pair * all.keptEntries);

  // Blocks that are tiles: nothing but what is kept is computed, however they are given.
  const shape = [1, 1, sq, sk];
  const blocks = Mask.blockSparse({ shape, blockSize: [12, 128], ptr: [0, 1, 1, 4, 6], indices: [3, 0, 1, 3, 1, 3] });
  for (const sparseAttentionMask of [
    blocks,
    Mask.fromDense(shape, Uint8Array.from(blocks.toDense())),
    blocks.not().not(),
  ]) {
    const e = attention.explain({ ...options, sparseAttentionMask });
    assert.deepEqual([e.tilesSkipped, e.tilesFull, e.tilesPartial], [b * h * 10, b * h * 6, 0]);
    assert.deepEqual([e.rowsByGather, e.keptEntries], [0, b * h * 6 * 12 * 128]);
    assert.equal(e.flops, pair * e.keptEntries);
    assert.ok(e.bytes < all.bytes);
  }

  // A few scattered keys of many are gathered.
  const far = {
    ...options,
    sparseAttentionMask: Mask.fromRowWiseIndices(
      shape,
      Int32Array.from({ length: sq }, (_, i) => (i * 37) % sk),
    ),
  };
  const few = attention.explain(far);
  assert.deepEqual([few.rowsByGather, few.entriesByGather, few.keptEntries], [b * h * sq, b * h * sq, b * h * sq]);
  assert.equal(few.flops, pair * few.keptEntries);
  const scored = attention.explain({ ...far, returnScores: 'raw' });
  assert.equal(scored.rowsByGather, 0);
  assert.ok(scored.flops > few.flops);

  // Causal order and a window are counted without visiting pairs, and so are other masks.
  const causal = attention.explain({ ...options, causal: true, queryOffset: 0 });
  assert.equal(causal.keptEntries, b * h * ((sq * (sq + 1)) / 2));
  assert.equal(causal.tilesSkipped, b * h * 4 * 3);
  const mask = Mask.causal(shape, { offset: 0 });
  assert.deepEqual(
    { ...attention.explain({ ...options, sparseAttentionMask: mask }), workspaceBytes: 0 },
    { ...causal, workspaceBytes: 0 },
  );
  attention.dispose();
});

test('nothing is computed, changed or kept', async () => {
  const attention = await engine();
  const before = attention.info();
  const options = {
    ...draw(1, [1, 4, 2, 13, 300, 16, 8]),
    keyLengths: Int32Array.of(280),
    sinks: new Random(1).floats(4),
  };
  options.attentionMask = { data: new Random(2).bytes(13 * 300, 0.5), dims: [13, 300] };
  const mask = Mask.slidingWindow([1, 1, 13, 300], { left: 40 }).or(
    Mask.fromDense([1, 2, 13, 300], new Random(3).bytes(7800, 0.1)),
  );
  const out = { data: new Float32Array(4 * 13 * 8).fill(7), dims: [1, 13, 4, 8] };
  const copies = Object.entries(options).map(([name, { data = options[name] }]) => [name, data, data.slice()]);
  const call = {
    ...options,
    sparseAttentionMask: mask,
    dropout: 0.5,
    training: true,
    seed: 3,
    out: { output: out },
    returnScores: 'raw',
    returnLogSumExp: true,
  };
  const first = attention.explain(call);
  for (const [name, data, copy] of copies) assertSameBits(data, copy, name);
  assert.ok(out.data.every((value) => value === 7));
  const { usedBytes, memoryBytes } = attention.info();
  for (let n = 0; n < 50; n++) assert.deepEqual(attention.explain(call), first);
  assert.deepEqual([attention.info().usedBytes, attention.info().memoryBytes], [usedBytes, memoryBytes]);
  mask.dispose();
  assert.equal(attention.info().usedBytes, before.usedBytes, 'copies of the mask are all that stays');
  assert.throws(() => attention.explain(call), hasCode('disposed', /sparseAttentionMask/));

  // Resident tensors, too.
  const queries = attention.tensor([1, 1, 2, 4]);
  const resident = attention.explain({
    queries,
    keys: queries,
    values: queries,
    causal: true,
    out: { output: attention.tensor([1, 2, 1, 4]) },
  });
  assert.deepEqual([resident.keptEntries, resident.tilesPartial, resident.jobs], [3, 1, 1]);
  attention.dispose();
  assert.throws(() => attention.explain(options), hasCode('disposed'));
});

test('too little memory is said as the call says it', async () => {
  const attention = await engine({ maxMemoryBytes: 2 << 20 });
  const options = draw(1, [1, 1, 1, 8, 60_000, 8, 8]);
  const { usedBytes } = attention.info();
  assert.throws(() => attention.explain(options), hasCode('out-of-memory'));
  assert.equal(attention.info().usedBytes, usedBytes);
  // Results are not made, so that they need not fit.
  const wide = { ...draw(1, [1, 1, 1, 1024, 1024, 4, 4]), returnAttentionWeights: true };
  assert.throws(() => attention.getMaskedAttentionOutput(wide), hasCode('out-of-memory'));
  assert.equal(attention.explain(wide).keptEntries, 1 << 20);
  assert.equal(attention.info().usedBytes, usedBytes);
  attention.dispose();
});
