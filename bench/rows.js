// SPDX-License-Identifier: Apache-2.0
/**
 * What is measured. The cases of a row run in the same rounds, so that they can be compared:
 *
 *     name        of the case
 *     shape       heads, qLen, kLen, dim; batch (1), keyHeads (heads) and valueDim (dim) where they differ
 *     options     of getMaskedAttentionOutput
 *     generated   options that problem.js makes up: additiveMask, booleanMask, alibi, sinks
 *     mask        [name, parameter] of masks.js: the sparse mask
 *     dtype       of keys and values, default float32
 *     resident    which tensors stay in wasm memory: queries, keys, values, output
 *     inSlices    getMaskedAttentionOutputAsync instead
 *     rivals      names in suite.js
 *     relativeTo  { time: case } or { rate: cases } of the row: by whose time, or mean GFLOPS, its own is divided
 */

const ATTENTION = 'ort Attention';
const MULTI_HEAD = 'ort MultiHeadAttention';
const GROUP_QUERY = 'ort GroupQueryAttention';
const TFJS = 'tfjs';
const PLAIN = 'plain loop';

const square = (length, rest) => ({ qLen: length, kLen: length, ...rest });
const encoder = square(512, { heads: 12, dim: 64 });
const decoder = square(1024, { heads: 8, keyHeads: 2, dim: 64 });
const decode = (kLen) => ({ heads: 32, keyHeads: 8, qLen: 1, kLen, dim: 128 });
const tiny = square(8, { heads: 2, dim: 16 });

const dense = { name: 'dense', shape: encoder };
const variation = (name, rest) => ({ name, shape: encoder, relativeTo: { time: 'dense' }, ...rest });
const odd = (name, shape, neighbours) => ({
  name,
  shape: { ...encoder, ...shape },
  ...(neighbours && { relativeTo: { rate: neighbours } }),
});
const keysAndValues = ['keys', 'values'];
const everything = ['queries', 'keys', 'values', 'output'];

const long = { ...decoder, ...square(4096) };
const unmasked = { name: 'dense', shape: long, resident: everything };
const masked = (name, ...mask) => ({ ...unmasked, name, mask, relativeTo: { time: 'dense' } });
const listed = { shape: decode(65536), resident: keysAndValues };

export const ROWS = [
  {
    id: 'W1',
    title: 'dense, 12 heads, 512 × 512, dim 64',
    cases: [{ ...dense, rivals: [ATTENTION, MULTI_HEAD, TFJS, PLAIN] }],
  },
  {
    id: 'W2',
    title: '8 heads on 2, 1024 × 1024, dim 64',
    cases: [
      { name: 'dense', shape: decoder },
      {
        name: 'causal',
        shape: decoder,
        options: { causal: true },
        relativeTo: { time: 'dense' },
        rivals: [ATTENTION, GROUP_QUERY, TFJS, PLAIN],
      },
    ],
  },
  {
    id: 'W3',
    title: 'causal with a window of 256, 8 heads on 2, 4096 × 4096, dim 64',
    cases: [
      {
        name: 'window',
        shape: { ...decoder, ...square(4096) },
        options: { window: { left: 255, right: 0 } }, // and the query's own key: 256
        rivals: [GROUP_QUERY, PLAIN], // ort Attention would need the mask as a matrix, and fails: integer overflow
      },
    ],
  },
  {
    id: 'W4',
    title: 'decode, 32 heads on 8, 1 × 4096, dim 128, keys and values resident',
    cases: [{ name: 'decode', shape: decode(4096), resident: keysAndValues, rivals: [ATTENTION, GROUP_QUERY, TFJS, PLAIN] }],
  },
  {
    id: 'W5',
    title: '12 heads, 512 × 512, dim 64',
    cases: [dense, variation('weights returned', { options: { returnAttentionWeights: true }, rivals: [ATTENTION] })],
  },
  {
    id: 'W6',
    title: 'odd shapes over their round neighbours, 12 heads, 512 × 512, dim 64 where not said',
    cases: [
      odd('dim 16', { dim: 16 }),
      odd('dim 15', { dim: 15 }, ['dim 16']),
      odd('dim 64', {}),
      odd('dim 32', { dim: 32 }, ['dim 16', 'dim 64']),
      odd('dim 96', { dim: 96 }, ['dim 64', 'dim 128']),
      odd('dim 80', { dim: 80 }, ['dim 64', 'dim 96']),
      odd('dim 256', { dim: 256 }, ['dim 128']),
      odd('dim 128', { dim: 128 }, ['dim 64', 'dim 256']),
      odd('dim 160', { dim: 160 }, ['dim 128', 'dim 256']),
      odd('dim 64, values 128', { dim: 64, valueDim: 128 }, ['dim 64', 'dim 128']),
      odd('dim 128, values 64', { dim: 128, valueDim: 64 }, ['dim 64', 'dim 128']),
      odd('80 × 80', square(80)),
      odd('77 × 77', square(77), ['80 × 80']),
      odd('513 × 513', square(513), ['dim 64']),
      odd('1024 × 1024', square(1024)),
      odd('1000 × 1000', square(1000), ['1024 × 1024']),
    ],
  },
  {
    id: 'W7',
    title: 'one tiny call, 2 heads, 8 × 8, dim 16, inputs resident',
    cases: [
      { name: 'output resident', shape: tiny, resident: everything },
      { name: 'new output', shape: tiny, resident: ['queries', 'keys', 'values'], rivals: [ATTENTION, PLAIN] },
    ],
  },
  {
    id: 'W8',
    title: 'length, 2 heads, dim 64, everything resident',
    cases: [512, 1024, 2048, 4096, 8192, 16384].map((length) => ({
      name: `${length} × ${length}`,
      shape: square(length, { heads: 2, dim: 64 }),
      resident: everything,
      ...(length > 512 && { relativeTo: { rate: ['512 × 512'] } }),
    })),
  },
  {
    id: 'W9',
    title: '12 heads, 512 × 512, dim 64',
    cases: [
      dense,
      variation('additive mask', { generated: ['additiveMask'], rivals: [ATTENTION] }),
      variation('boolean mask', { generated: ['booleanMask'], rivals: [ATTENTION] }),
      variation('ALiBi', { generated: ['alibi'] }),
      variation('softcap', { options: { softcap: 30 }, rivals: [ATTENTION] }),
      variation('sinks', { generated: ['sinks'] }),
      variation('dropout', { options: { dropout: 0.1, training: true, seed: 1 } }),
    ],
  },
  {
    id: 'W10',
    title: 'prefill continued, causal, 8 heads on 2, 128 × 8192, dim 64',
    cases: [{ name: 'causal', shape: { ...decoder, qLen: 128, kLen: 8192 }, options: { causal: true }, rivals: [ATTENTION] }],
  },
  {
    id: 'W11',
    title: '16-bit keys and values',
    cases: ['float32', 'float16', 'bfloat16'].flatMap((dtype) => [
      {
        name: `prefill ${dtype}`,
        shape: encoder,
        dtype,
        ...(dtype !== 'float32' && { relativeTo: { time: 'prefill float32' } }),
      },
      {
        name: `decode ${dtype}`,
        shape: decode(65536),
        dtype,
        resident: keysAndValues,
        ...(dtype !== 'float32' && { relativeTo: { time: 'decode float32' } }),
      },
    ]),
  },
  {
    id: 'W12',
    title: 'batch of 8 with key lengths, 12 heads, 128 × 128, dim 64',
    cases: [
      {
        name: 'key lengths',
        shape: square(128, { batch: 8, heads: 12, dim: 64 }),
        options: { keyLengths: Int32Array.of(128, 121, 117, 104, 96, 88, 77, 64) },
        rivals: [ATTENTION, MULTI_HEAD, PLAIN],
      },
    ],
  },
  {
    id: 'W13',
    title: 'in slices over whole',
    cases: [
      { name: 'prefill', shape: encoder },
      { name: 'prefill in slices', shape: encoder, inSlices: true, relativeTo: { time: 'prefill' } },
      { name: 'decode', shape: decode(65536), resident: keysAndValues },
      {
        name: 'decode in slices',
        shape: decode(65536),
        resident: keysAndValues,
        inSlices: true,
        relativeTo: { time: 'decode' },
      },
    ],
  },
  {
    id: 'M1',
    title: 'random blocks of 64 × 64, 8 heads on 2, 4096 × 4096, dim 64, everything resident',
    cases: [unmasked, ...[0.05, 0.1, 0.25, 0.5].map((density) => masked(`blocks ${density}`, 'blocks', density))],
  },
  {
    id: 'M2',
    title: 'random lists of keys, 8 heads on 2, 4096 × 4096, dim 64, everything resident',
    cases: [
      unmasked,
      ...[0.001, 0.01, 0.05].map((density) => masked(`one list ${density}`, 'lists', density)),
      ...[0.001, 0.01, 0.05].map((density) => masked(`one per head ${density}`, 'listsPerHead', density)),
      masked('weighted, one per head 0.01', 'weightedListsPerHead', 0.01),
    ],
  },
  {
    id: 'M3',
    title: 'random masks of any density, 8 heads on 2, 4096 × 4096, dim 64, everything resident',
    cases: [
      unmasked,
      ...[0.1, 0.3, 0.5, 0.9].map((density) => masked(`bits ${density}`, 'bits', density)),
      ...[0.1, 0.3, 0.5, 0.9].map((density) => masked(`weights ${density}`, 'weights', density)),
      ...[0.3, 0.9].map((density) => masked(`weights per head ${density}`, 'weightsPerHead', density)),
    ],
  },
  {
    id: 'M4',
    title: '4 sinks and a window of 256, causal, 4 heads on 1, dim 64, everything resident',
    cases: [4096, 16384, 65536, 131072].map((length) => ({
      name: `${length} × ${length}`,
      shape: square(length, { heads: 4, keyHeads: 1, dim: 64 }),
      mask: ['sinksAndWindow', 255],
      resident: everything,
      ...(length > 4096 && { relativeTo: { rate: ['4096 × 4096'] } }),
    })),
  },
  {
    id: 'M5',
    title: 'decode, 1,024 listed keys of 65,536 per head, 32 heads on 8, dim 128, keys and values resident',
    cases: [
      { ...listed, name: 'dense' },
      { ...listed, name: 'new lists each call', mask: ['newKeysPerHead', 1024], relativeTo: { time: 'dense' } },
      { ...listed, name: 'the same lists', mask: ['keysPerHead', 1024], relativeTo: { time: 'dense' } },
      { ...listed, name: 'one per key head', mask: ['keysPerKeyHead', 1024], relativeTo: { time: 'dense' } },
    ],
  },
];
