// SPDX-License-Identifier: Apache-2.0
// Every conformance vector through the package's public API, in every variant this engine runs.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Mask, createAttention } from '../js/index.js';
import * as conformance from './conformance.js';
import { inputs } from './support.js';
import { variants } from './variants.js';

for (const variant of variants) {
  let attention;
  before(async () => {
    attention = await createAttention({ variant });
  });
  after(() => attention.dispose());

  /** Runs one case with everything that it expects asked for; the disagreements. */
  const disagreements = ({ name, options, expected, numerator }, sparseAttentionMask) => {
    const call = inputs(options);
    if (sparseAttentionMask) call.sparseAttentionMask = sparseAttentionMask;
    const wants = (what) => expected.some((e) => e.what === what);
    const results = attention.getMaskedAttentionOutput({
      ...call,
      returnAttentionWeights: wants('weights'),
      returnLogSumExp: wants('logSumExp'),
    });
    const failures = [];
    for (const expectation of expected) {
      const { what } = expectation;
      let actual;
      if (what.startsWith('scores.'))
        actual = attention.getMaskedAttentionOutput({ ...call, returnScores: what.slice(7) }).scores;
      else if (numerator && what === 'numerator') actual = attention.getAttentionNumerator(partial(call)).numerator;
      else if (numerator && what === 'denominator')
        actual = attention.getAttentionDenominator(partial(call)).denominator;
      else actual = results[what];
      const message = conformance.disagreement(expectation, actual.data, options.values.dims[3]);
      if (message) failures.push(`${name}: ${message}`);
    }
    return failures;
  };

  const partial = ({ outputLayout, ...call }) => call; // partials have a layout of their own

  for (const kind of ['canonical', 'torch', 'golden', 'sparseHub'])
    test(`${variant}: ${kind} vectors`, (t) => {
      const cases = conformance[kind]();
      if (!cases.length) {
        assert.equal(kind, 'canonical', 'redistributable vectors are in tests/vectors');
        assert.ok(!conformance.required, conformance.absent);
        return t.skip(conformance.absent);
      }
      const failures = cases.flatMap((c) => disagreements(c));
      assert.deepEqual(failures, [], `${failures.length} disagreements in ${cases.length} cases`);
      t.diagnostic(`${cases.length} cases`);
    });

  test(`${variant}: sparse masks given as upstream's flat indices`, (t) => {
    const cases = conformance.sparseHub().filter((c) => c.upstream);
    assert.ok(cases.length > 20);
    const failures = cases.flatMap((c) => {
      const { shape, weights } = c.options.sparseAttentionMask;
      const { indices, ptr, data } = c.upstream;
      const mask = Mask.fromUpstreamIndices(
        shape,
        Int32Array.from(indices),
        Uint32Array.from(ptr),
        Float32Array.from(data),
      );
      assert.deepEqual(
        [...mask.toDense()],
        [...weights].map((w) => w || 0),
        c.name,
      );
      return disagreements(c, mask);
    });
    assert.deepEqual(failures, []);
    t.diagnostic(`${cases.length} cases`);
  });

  test(`${variant}: sparse masks through every format, unchanged`, async (t) => {
    const cases = conformance.sparseHub();
    assert.ok(cases.length > 40);
    const failures = [];
    for (const c of cases) {
      const { shape, weights } = c.options.sparseAttentionMask;
      const mask = Mask.fromDense(shape, weights);
      const list = mask.toIndices();
      const { ptr, indices, weights: kept } = list;
      // Upstream's flat indices count on over all rows.
      const flat = Array.from({ length: ptr.length - 1 }, (_, row) =>
        Array.from(indices.subarray(ptr[row], ptr[row + 1]), (column) => row * shape[3] + column),
      ).flat();
      if (c.upstream) {
        assert.deepEqual([flat, [...ptr]], [c.upstream.indices, c.upstream.ptr], c.name);
        assert.deepEqual(kept, Float32Array.from(c.upstream.data), c.name);
      }
      const made = {
        dense: mask,
        list: Mask.fromIndices(shape, list),
        upstream: Mask.fromUpstreamIndices(shape, flat, ptr, kept),
        npy: Mask.fromNpy(mask.toNpy()),
        npz: await Mask.fromNpz(mask.toNpz(), shape),
        'blocks of 4': Mask.fromFlexBlocks(shape, mask.toFlexBlocks(4), { partial: mask }),
        'blocks of 128': Mask.fromFlexBlocks(shape, mask.toFlexBlocks(), { partial: mask }),
      };
      for (const [name, each] of Object.entries(made)) {
        assert.deepEqual(each.shape, shape);
        assert.deepEqual(each.toIndices(), list, `${c.name}, ${name}`);
        failures.push(...disagreements(c, each).map((message) => `${name}: ${message}`));
      }
      // Weights alone, as those masks have them.
      const { output, weights: entries } = attention.getMaskedAttentionOutput({
        ...inputs(c.options),
        sparseAttentionMask: made.upstream,
        returnAttentionWeights: true,
        weightsFormat: 'sparse',
      });
      assert.deepEqual([entries.ptr, entries.indices], mask.isFull() ? [entries.ptr, entries.indices] : [ptr, indices]);
      assert.equal(output.data.length, c.expected[0].values.length);
      const dense = new Float32Array(c.expected[1].values.length);
      for (let row = 0; row + 1 < entries.ptr.length; row++)
        for (let n = entries.ptr[row]; n < entries.ptr[row + 1]; n++)
          dense[row * shape[3] + entries.indices[n]] = entries.values[n];
      const message = conformance.disagreement(c.expected[1], dense);
      if (message) failures.push(`${c.name}, sparse weights: ${message}`);
      for (const each of Object.values(made)) each.dispose();
    }
    assert.deepEqual(failures, []);
    t.diagnostic(`${cases.length} cases`);
  });

  test(`${variant}: sinks and a window, as FlexAttention computes them`, () => {
    const [c] = conformance.golden().filter(({ name }) => name === 'flex_sinkwindow');
    const { shape, weights } = c.options.sparseAttentionMask;
    const window = Mask.slidingWindow(shape, { left: 8 }); // nine keys, a query's own among them
    const mask = window.or(Mask.sinks(shape, 4)).and(Mask.causal(shape));
    assert.deepEqual(mask.toDense(), Float32Array.from(weights));
    assert.deepEqual(disagreements(c, mask), []);
    const blocks = Mask.fromFlexBlocks(shape, mask.toFlexBlocks(), { partial: mask });
    assert.deepEqual(disagreements(c, blocks), []);
    const { keptEntries } = attention.explain({ ...inputs(c.options), sparseAttentionMask: mask });
    assert.equal(keptEntries, 4 * weights.filter((weight) => weight > 0).length);
  });
}

// ------------------------------------------------------------------------------- calls that must be refused

/** A call from the input dims of an ONNX-style operator: 4-D as they are, 3-D split into heads. */
function callFrom({ attributes, input_dims: dims }) {
  const heads = attributes.q_num_heads ?? attributes.num_heads ?? 1;
  const keyHeads = attributes.kv_num_heads ?? heads;
  const tensor = (shape, count) => {
    const [batch, length, width] = shape;
    const full = shape.length === 4 ? shape : [batch, length, count, width / count];
    return { data: new Float32Array(full.reduce((a, b) => a * b, 1)), dims: full };
  };
  const pick = (...names) => names.map((name) => dims[name]).find(Boolean);
  const q = pick('Q', 'query', 'input');
  const k = pick('past_key', 'K', 'key', 'input'); // a cache that is written in place is what the call attends over
  const v = pick('past_value', 'V', 'value', 'input');
  return {
    queries: tensor(q, heads),
    keys: k.length === 4 && q.length === 3 ? moveHeads(k) : tensor(k, keyHeads),
    values: v.length === 4 && q.length === 3 ? moveHeads(v) : tensor(v, keyHeads),
    inputLayout: q.length === 4 ? 'bhsd' : 'bshd',
  };
}

const moveHeads = ([batch, heads, length, dim]) => ({
  data: new Float32Array(batch * heads * length * dim),
  dims: [batch, length, heads, dim],
});

const lengthsFrom =
  (name, add = 0) =>
  ({ int_inputs: ints }) => ({ keyLengths: ints[name].map((n) => n + add) });
const seqlens = lengthsFrom('seqlens_k', 1);

/** Cases that are also errors here: what to add to the call, and what the message must name. */
const refused = {
  'ContribOpAttentionTest.AttentionMaskIndexNegativeEndPosition': [lengthsFrom('mask_index'), /keyLengths/],
  'AttentionTest.Attention3DInconsistentHeadSizeInK': [() => ({}), /queries.*keys|keys.*queries/],
  'AttentionTest.Attention3DInconsistentKvSequenceLength': [() => ({}), /keys.*values|values.*keys/],
  'AttentionTest.Attention_NonPadKVSeqLen_ExceedsTotalSeqLen': [lengthsFrom('nonpad_kv_seqlen'), /keyLengths.*5/],
  'AttentionTest.Attention_NonPadKVSeqLen_MultiBatchOneBad_Rejected_CPU': [
    lengthsFrom('nonpad_kv_seqlen'),
    /keyLengths.*-3/,
  ],
  'AttentionTest.Attention_NonPadKVSeqLen_NegativeValue': [lengthsFrom('nonpad_kv_seqlen'), /keyLengths.*-1/],
  'GroupQueryAttentionTest.InvalidCausalValue_CPU': [({ attributes }) => ({ causal: attributes.causal }), /causal.*2/],
  'GroupQueryAttentionTest.InvalidCausalValue_CUDA': [({ attributes }) => ({ causal: attributes.causal }), /causal.*2/],
  'GroupQueryAttentionTest.Int32MaxSeqlensK_OOB': [seqlens, /keyLengths/],
  'GroupQueryAttentionTest.MultiBatchOneBadSeqlensK_OOB': [seqlens, /keyLengths.*-2/],
  'GroupQueryAttentionTest.NegativeSeqlensK_OOB': [seqlens, /keyLengths.*-4/],
  'GroupQueryAttentionTest.OffByOneSeqlensK_OOB': [seqlens, /keyLengths.*5/],
  'GroupQueryAttentionTest.OversizedSeqlensK_OOB': [seqlens, /keyLengths.*101/],
  'GroupQueryAttentionTest.SeqlensKExceedsEmptyPastBuffer_OOBRead': [seqlens, /keyLengths.*51/],
  'GroupQueryAttentionTest.SeqlensKExceedsPastBuffer_OOBRead': [seqlens, /keyLengths.*51/],
  'GroupQueryAttentionTest.SeqlensKScalarRejected': [() => ({ keyLengths: 1 }), /keyLengths/],
  'GroupQueryAttentionTest.SeqlensKWrongElementCount2D': [seqlens, /keyLengths/],
  'GroupQueryAttentionTest.SeqlensKWrongLength': [seqlens, /keyLengths/],
  'GroupQueryAttentionTest.SharedKV_EmptyKV_NoPast_Rejected': [seqlens, /keyLengths.*4/],
};

const noBeams = 'beam search caches (cache_indirection) have no counterpart';
const noNorm = 'normalisation of queries and keys has no counterpart';
const noRotary = 'rotary embedding has no counterpart';
const noTotal = "the total length is the keys' own dimension here, and 0 is legal";
const shorter = 'keys shorter than queries are legal here';
const windowAlone = 'a window without causal is legal here';

/** Cases that are not, and why. */
const accepted = {
  'DecoderMaskedMultiHeadAttentionTest.cpu_cache_indirection_batch_beam_not_divisible_by_num_beams': noBeams,
  'DecoderMaskedMultiHeadAttentionTest.cpu_cache_indirection_beam_index_out_of_range': noBeams,
  'MultiHeadAttentionTest.CacheIndirectionBatchBeamNotDivisibleByNumBeams': noBeams,
  'MultiHeadAttentionTest.CacheIndirectionBeamIndexOutOfRange': noBeams,
  'MultiHeadAttentionTest.CacheIndirectionBeamWidthOneInvalidIndex': noBeams,
  'GroupQueryAttentionTest.BidirectionalLocalWindowRejected_CPU': windowAlone,
  'GroupQueryAttentionTest.BidirectionalLocalWindowRejected_CUDA': windowAlone,
  'GroupQueryAttentionTest.CpuRejectsQKNormWeightInputs': noNorm,
  'GroupQueryAttentionTest.CudaRejectsNegativeQKNormEpsilon': noNorm,
  'GroupQueryAttentionTest.CudaRejectsQKNormMissingKWeight': noNorm,
  'GroupQueryAttentionTest.CudaRejectsQKNormWrongKWeightShape': noNorm,
  'GroupQueryAttentionTest.CudaRejectsZeroQKNormEpsilon': noNorm,
  'GroupQueryAttentionTest.NegativeSeqlensKWithPast_OOB': 'a key length of 0 is legal here',
  'GroupQueryAttentionTest.NonPromptSeqlensKUnderflow_OOB': shorter,
  'GroupQueryAttentionTest.QuantizedKV_MissingScale': 'quantised keys and values do not exist yet',
  'GroupQueryAttentionTest.SeqlensKExceedsCosCache_MultiBatch': noRotary,
  'GroupQueryAttentionTest.SeqlensKExceedsCosCache_OOB': noRotary,
  'GroupQueryAttentionTest.SeqlensKInvalidFactoredShape': 'keyLengths is a list, without dims',
  'GroupQueryAttentionTest.TotalSeqLenNegative': noTotal,
  'GroupQueryAttentionTest.TotalSeqLenZero': noTotal,
};

test('malformed calls that a rival refuses', async (t) => {
  const cases = conformance.errorCases();
  if (!cases.length) {
    assert.ok(!conformance.required, conformance.absent);
    return t.skip(conformance.absent);
  }
  const attention = await createAttention({ variant: 'base' });
  for (const c of cases) {
    if (accepted[c.test]) continue;
    assert.ok(refused[c.test], `${c.test} is neither refused nor explained`);
    const [extra, message] = refused[c.test];
    const call = callFrom(c);
    const added = extra(c);
    if (Array.isArray(added.keyLengths)) added.keyLengths = new Int32Array(added.keyLengths);
    assert.throws(
      () => attention.getMaskedAttentionOutput({ ...call, ...added }),
      (error) => (error instanceof RangeError || error instanceof TypeError) && message.test(error.message),
      `${c.test}: expected a RangeError or TypeError matching ${message}`,
    );
  }
  // The same calls without the fault work: what was refused is the fault.
  for (const [name, [, message]] of Object.entries(refused)) {
    const c = cases.find(({ test: testName }) => testName === name);
    assert.ok(c, `${name} is not among the cases`);
    if (/keyLengths|causal/.test(message.source)) attention.getMaskedAttentionOutput(callFrom(c));
  }
  t.diagnostic(
    `${Object.keys(refused).length} refused, ${Object.keys(accepted).length} have no counterpart or are legal`,
  );
  attention.dispose();
});
