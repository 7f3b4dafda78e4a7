// SPDX-License-Identifier: Apache-2.0
/**
 * Attention as one would write it without a library: three loops over typed arrays, float32 storage.
 */
export function plainAttention(queries, keys, values, causal) {
  const [batch, heads, qLen, dim] = queries.dims;
  const [, keyHeads, kLen] = keys.dims;
  const valueDim = values.dims[3];
  const output = new Float32Array(batch * heads * qLen * valueDim);
  const row = new Float32Array(kLen);
  const scaling = 1 / Math.sqrt(dim);
  for (let head = 0; head < batch * heads; head++) {
    const keyHead = Math.floor(head / (heads / keyHeads));
    for (let i = 0; i < qLen; i++) {
      const end = causal ? Math.max(0, Math.min(kLen, i + kLen - qLen + 1)) : kLen;
      const query = (head * qLen + i) * dim;
      let max = -Infinity;
      for (let j = 0; j < end; j++) {
        const key = (keyHead * kLen + j) * dim;
        let dot = 0;
        for (let x = 0; x < dim; x++) dot += queries.data[query + x] * keys.data[key + x];
        row[j] = dot * scaling;
        if (row[j] > max) max = row[j];
      }
      const out = (head * qLen + i) * valueDim;
      let sum = 0;
      for (let j = 0; j < end; j++) {
        const e = Math.exp(row[j] - max);
        const value = (keyHead * kLen + j) * valueDim;
        for (let x = 0; x < valueDim; x++) output[out + x] += e * values.data[value + x];
        sum += e;
      }
      for (let x = 0; x < valueDim; x++) output[out + x] /= sum;
    }
  }
  return output;
}
