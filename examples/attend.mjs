// SPDX-License-Identifier: Apache-2.0
/**
 * Causal attention with grouped heads: 4 new queries look at 12 keys, and 8 query heads share 2 key-value heads.
 *
 *     node examples/attend.mjs
 */
import { createAttention } from 'masked-attention';

const tensor = (dims, number) => ({
  dims,
  data: Float32Array.from({ length: dims.reduce((a, b) => a * b) }, (_, i) => number(i)),
});

const attention = await createAttention();
const { output, weights } = attention.getMaskedAttentionOutput({
  queries: tensor([1, 8, 4, 64], (i) => 2 * Math.sin(i)), // [batch, heads, queries, dim]
  keys: tensor([1, 2, 12, 64], (i) => Math.sin(1.01 * i)), // [batch, key heads, keys, dim]
  values: tensor([1, 2, 12, 64], (i) => Math.cos(i)), // [batch, value heads, keys, dim]
  causal: true,
  returnAttentionWeights: true,
});

console.log(`output ${output.dims.join(' x ')}, weights ${weights.dims.join(' x ')}; the first head:`);
for (let query = 0; query < 4; query++) {
  const row = weights.data.subarray(query * 12, (query + 1) * 12);
  console.log(Array.from(row, (weight) => (weight === 0 ? '  . ' : weight.toFixed(2))).join(' '));
}
attention.dispose();
