// SPDX-License-Identifier: Apache-2.0
/**
 * What is measured. The cases of a row run in the same rounds, so that they can be compared:
 *
 *     name        of the case
 *     shape       heads, qLen, kLen, dim; batch (1), keyHeads (heads) and valueDim (dim) where they differ
 *     options     of getMaskedAttentionOutput
 *     generated   options that problem.js makes up: additiveMask, booleanMask, alibi, sinks
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
];
