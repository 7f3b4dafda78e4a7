// SPDX-License-Identifier: Apache-2.0
// The copies of masks that an engine keeps: one for each leaf, whichever masks share it, until one of them is disposed
// of; what does not fit leaves nothing behind, calls under way keep what they use, and long expressions are made short.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Mask } from '../js/index.js';
import { assertSameBits, draw, engine, hasCode } from './calls.js';
import { Random } from './random.js';

const used = (attention) => attention.info().usedBytes;
const turn = () => new Promise((resolve) => setImmediate(resolve));

const shape = [1, 1, 24, 300];
const inputsOf = (numbers = 1) => draw(numbers, [1, 4, 2, 24, 300, 8, 8]);

/** A mask with weights, and so with an array of its own, of as many bytes. */
const weighted = (numbers, dims = shape) =>
  Mask.fromDense(
    dims,
    new Random(numbers).floats(dims.reduce((a, b) => a * b, 1)).map((x) => (x > 0 ? x : 0)),
  );
const bytes = 24 * 300 * 4; // of such an array

/** An engine, and what a call with a mask returns. */
async function setUp(options) {
  const attention = await engine(options);
  const problem = inputsOf();
  const attend = (sparseAttentionMask) =>
    attention.getMaskedAttentionOutput({ ...problem, sparseAttentionMask }).output.data;
  attend(undefined);
  return { attention, problem, attend, base: used(attention) };
}

test('a leaf that many masks share is copied once', async () => {
  const { attention, attend, base } = await setUp();
  const [a, b] = [weighted(1), weighted(2)];
  attend(a);
  const one = used(attention) - base;
  assert.ok(one >= bytes && one < bytes + 1000, `${one} bytes for a leaf of ${bytes}`);
  const causal = Mask.causal(shape);
  const masks = [
    a.and(causal),
    a.or(Mask.slidingWindow(shape, { left: 9 })),
    a.merge(a),
    a.not(),
    a.and(a).or(a.not()),
    a.merge(causal),
  ];
  for (const mask of masks) {
    attend(mask);
    assert.equal(used(attention), base + one, 'structures have no arrays');
  }
  attend(a.and(b));
  const two = used(attention) - base;
  assert.ok(two >= 2 * bytes && two < 2 * bytes + 2000);
  attend(b.or(a).and(b.not().not()));
  assert.equal(used(attention), base + two);

  // Another mask of the same numbers is another one.
  attend(weighted(1));
  assert.ok(used(attention) >= base + two + bytes);
  attention.dispose();
});

test('disposing of a mask frees its leaves, those of no other', async () => {
  const { attention, attend, base } = await setUp();
  const [a, b, c, twice] = [weighted(1), weighted(2), weighted(3), weighted(3)];
  const both = a.and(b);
  const expected = attend(both);
  attend(c);
  const three = used(attention) - base;
  both.dispose();
  assert.ok(used(attention) - base < three - 2 * bytes + 1000, 'a and b are gone');
  assert.ok(used(attention) - base >= bytes, 'c is not');
  // What shares its leaves has them copied anew.
  const again = a.and(b);
  assertSameBits(attend(again), expected);
  assert.equal(used(attention), base + three);
  for (const mask of [a, b, c, again, both]) mask.dispose();
  assert.equal(used(attention), base);
  // Copies in several engines.
  const second = await setUp();
  attend(twice);
  second.attend(twice);
  twice.dispose();
  assert.deepEqual([used(attention), used(second.attention)], [base, second.base]);
  second.attention.dispose();
  // An engine that has never seen a mask, or is no more, does not mind.
  const other = weighted(4);
  other.dispose();
  const last = weighted(5);
  attend(last);
  attention.dispose();
  last.dispose();
});

test('a composite outlives its disposed operands', async () => {
  const { attention, attend, base } = await setUp();
  const [a, b] = [weighted(1), Mask.fromDense(shape, new Random(2).bytes(24 * 300, 0.5))];
  const composite = a.or(b).and(Mask.causal(shape));
  const expected = attend(composite);
  const held = used(attention);
  attend(a);
  for (const mask of [a, b]) mask.dispose();
  assertSameBits(attend(composite), expected, 'output after the operands');
  assert.equal(used(attention), held);
  assert.throws(() => attend(a), hasCode('disposed', /sparseAttentionMask/));
  assert.throws(() => a.or(composite), hasCode('disposed'));
  // Operands that were disposed of before any call.
  const parts = [weighted(6), Mask.fromRowWiseIndices(shape, new Int32Array(24 * 2).fill(5))];
  const early = parts[0].merge(parts[1]);
  for (const mask of parts) mask.dispose();
  const { ptr, indices, weights } = early.toIndices();
  const list = Mask.fromIndices(shape, { ptr, indices, weights });
  const [actual, wanted] = [attend(early), attend(list)];
  wanted.forEach((value, n) => assert.ok(Math.abs(value - actual[n]) <= 2e-6));
  for (const mask of [early, list, composite]) mask.dispose();
  assert.equal(used(attention), base);
  attention.dispose();
});

test('a mask of several leaves that do not all fit: nothing stays, and the next call works', async () => {
  const large = [1, 1, 64, 2048]; // 512 kB a leaf
  const attention = await engine({ maxMemoryBytes: 3 << 20 });
  const options = draw(1, [1, 1, 1, 64, 2048, 4, 4]);
  const attend = (changes) => attention.getMaskedAttentionOutput({ ...options, ...changes }).output.data;
  const expected = attend({ causal: true });
  const base = used(attention);
  const leaves = Array.from({ length: 8 }, (_, n) => weighted(n, large));
  const all = leaves.reduce((mask, leaf) => mask.or(leaf));
  const some = leaves[6].and(leaves[7]);
  for (const call of [
    () => attend({ sparseAttentionMask: all }),
    () => attention.explain({ ...options, sparseAttentionMask: all }),
  ]) {
    const out = { output: { data: new Float32Array(64 * 4).fill(7), dims: [1, 64, 1, 4] } };
    assert.throws(call, hasCode('out-of-memory', /maxMemoryBytes/));
    assert.throws(() => attend({ sparseAttentionMask: all, out }), hasCode('out-of-memory'));
    assert.ok(out.output.data.every((value) => value === 7));
    assertSameBits(attend({ causal: true }), expected, 'output of a call after');
    // What was copied in vain makes room: for another mask, for a tensor.
    attend({ sparseAttentionMask: some });
    attention.tensor([(2 << 20) / 4]).dispose();
  }
  await assert.rejects(
    attention.getMaskedAttentionOutputAsync({ ...options, sparseAttentionMask: all }),
    hasCode('out-of-memory'),
  );
  assertSameBits(attend({ causal: true }), expected, 'output of a call after');
  for (const mask of [all, some]) mask.dispose();
  assert.equal(used(attention), base, 'everything is given back');
  attention.dispose();
});

test('a mask that is disposed of during an asynchronous call', async (t) => {
  let now = 0;
  t.mock.method(performance, 'now', () => (now += 1000));
  const attention = await engine();
  const long = [1, 4, 150, 400];
  const options = draw(9, [1, 4, 2, 150, 400, 16, 16]);
  const base = used(attention);
  const make = () => {
    const [a, b] = [weighted(1, long), weighted(2, long)];
    return { a, b, mask: a.and(b).or(Mask.sinks(long, 3)).and(Mask.causal(long)) };
  };
  const { mask: first } = make();
  const expected = attention.getMaskedAttentionOutput({ ...options, sparseAttentionMask: first }).output.data;
  first.dispose();
  assert.equal(used(attention), base);
  const tensors = [];
  for (const when of ['at once', 'later'])
    for (const which of ['the mask', 'its operands', 'all of them']) {
      const { a, b, mask } = make();
      let slices = 0;
      const call = { ...options, sparseAttentionMask: mask };
      const pending = attention.getMaskedAttentionOutputAsync(call, { onProgress: () => slices++ });
      if (when === 'later') for (let n = 0; n < 3; n++) await turn();
      if (which !== 'its operands') mask.dispose();
      if (which !== 'the mask') for (const operand of [a, b]) operand.dispose();
      // Others come and go meanwhile, and would take the room of what has been given back too early.
      const other = weighted(3, long);
      attention.getMaskedAttentionOutput({ ...options, sparseAttentionMask: other });
      tensors.push(attention.tensor([40_000]));
      tensors.at(-1).data.fill(NaN);
      const { output } = await pending;
      assertSameBits(output.data, expected, `output, ${which} disposed of ${when}`);
      assert.ok(slices >= 5, `${slices} slices`);
      for (const each of [other, mask]) each.dispose();
    }
  for (const tensor of tensors) tensor.dispose();
  assert.equal(used(attention), base);

  // A call that is aborted holds nothing.
  const { mask } = make();
  const controller = new AbortController();
  const before = used(attention);
  const pending = attention.getMaskedAttentionOutputAsync(
    { ...options, sparseAttentionMask: mask },
    { signal: controller.signal, onProgress: () => controller.abort() },
  );
  mask.dispose();
  await assert.rejects(pending, hasCode('aborted'));
  assert.equal(used(attention), before);
  attention.dispose();
});

test('an expression too long for the core is made short, once', async () => {
  const { attention, attend, base } = await setUp();
  const random = new Random(4);
  /** A chain of `count` operations. */
  const chain = (count, leaf) => {
    let mask = leaf(0);
    for (let n = 1; n <= count; n++) {
      const operation = random.pick(['and', 'or', 'or', 'merge']);
      mask = mask[operation](random.chance(0.2) ? leaf(n).not() : leaf(n));
    }
    return mask;
  };
  const structure = (n) =>
    n % 2
      ? Mask.slidingWindow(shape, { left: (n * 7) % 50, right: n % 5, offset: (n * 13) % 270 })
      : Mask.prefix(shape, (n * 31) % 290);
  const masks = {
    structures: chain(40, structure),
    weights: chain(20, (n) => (n % 3 ? structure(n) : weighted(n))),
    'a thousand': chain(1000, structure),
    deep: chain(34, (n) =>
      Mask.fromRowWiseIndices(
        shape,
        Int32Array.from({ length: 48 }, (_, at) => (at * (n + 7)) % 300),
      ),
    ),
  };
  for (const [name, mask] of Object.entries(masks)) {
    const { ptr, indices, weights } = mask.toIndices();
    const list = Mask.fromIndices(shape, { ptr, indices, weights });
    const start = used(attention);
    const actual = attend(mask);
    const once = used(attention);
    assertSameBits(attend(mask), actual, `${name}, again`);
    assert.equal(used(attention), once, 'one copy');
    assert.ok(once - start <= 4 * (ptr.length + 2 * indices.length) + 1000, `${name}: ${once - start} bytes`);
    const wanted = attend(list);
    wanted.forEach((value, n) =>
      assert.ok(Math.abs(value - actual[n]) <= 2e-6, `${name}[${n}]: ${actual[n]}, ${value}`),
    );
    list.dispose();
    mask.dispose();
    assert.equal(used(attention), base, `${name}: ${used(attention) - base} bytes stay`);
  }
  // Where it is not too long yet, and where it just is.
  for (const count of [14, 15, 16, 17]) {
    let mask = structure(1);
    for (let n = 0; n < count; n++) mask = mask.or(structure(2 * n + 1));
    for (const each of [mask, mask.not()]) {
      const { ptr, indices, weights } = each.toIndices();
      const [actual, wanted] = [attend(each), attend(Mask.fromIndices(shape, { ptr, indices, weights }))];
      wanted.forEach((value, n) => assert.ok(Math.abs(value - actual[n]) <= 2e-6, `${count}: ${actual[n]}, ${value}`));
    }
  }
  attention.dispose();
});

test('10,000 new combinations of the same leaves take no memory', async () => {
  const attention = await engine();
  const small = [1, 1, 3, 40];
  const options = draw(1, [1, 2, 1, 3, 40, 4, 4]);
  const leaves = Array.from({ length: 6 }, (_, n) => weighted(n, small));
  const attend = (mask) => attention.getMaskedAttentionOutput({ ...options, sparseAttentionMask: mask });
  for (const leaf of leaves) attend(leaf);
  const random = new Random(5);
  const before = attention.info();
  for (let n = 0; n < 10_000; n++) {
    const [a, b, c] = [random.pick(leaves), random.pick(leaves), random.pick(leaves)];
    const mask = a[random.pick(['and', 'or', 'merge'])](b)
      .or(c.not())
      .and(Mask.slidingWindow(small, { left: n % 50 }));
    attend(mask);
  }
  assert.deepEqual(attention.info(), before);
  attention.dispose();
});
