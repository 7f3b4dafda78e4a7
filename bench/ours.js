// SPDX-License-Identifier: Apache-2.0
/** This package as a contestant. */
import { createAttention } from '../js/index.js';

/** The variants that this engine runs. */
export async function listVariants() {
  const attention = await createAttention({ variant: 'auto' });
  const variants = attention.info().variant === 'relaxed' ? ['base', 'relaxed'] : ['base'];
  attention.dispose();
  return variants;
}

/**
 * An engine of its own for one case, so that its memory says what the case took.
 * @param {'base' | 'relaxed'} variant
 * @param {object} item of rows.js
 */
export async function createOurs({ shape, options, tensors, makeMask }, variant, { resident = [], inSlices = false }) {
  const attention = await createAttention({ variant });
  const inputs = { ...tensors };
  for (const [name, { data, dims, dtype }] of Object.entries(tensors)) {
    if (!resident.includes(name)) continue;
    inputs[name] = attention.tensor(dims, dtype);
    inputs[name].data.set(data);
  }
  const { batch, heads, qLen, valueDim } = shape;
  const out = resident.includes('output') ? { output: attention.tensor([batch, heads, qLen, valueDim]) } : undefined;
  const call = { ...inputs, ...options, outputLayout: 'bhsd', ...(out && { out }) };
  const whole = () => attention.getMaskedAttentionOutput(call);
  const slices = () => attention.getMaskedAttentionOutputAsync(call);
  const withNewMask = () => {
    call.sparseAttentionMask.dispose(); // that of the call before
    call.sparseAttentionMask = makeMask();
    return whole();
  };
  const before = attention.info().memoryBytes;
  return {
    /** By how much calls have made the memory grow. */
    grownBytes: () => attention.info().memoryBytes - before,
    run: makeMask ? withNewMask : inSlices ? slices : whole,
    read: ({ output, weights }) => ({ output: output.data, layout: 'bhsd', weights: weights?.data }),
    /** What dropout keeps, for the reference. */
    dropoutMask: () => attention.getMaskedAttentionOutput({ ...call, returnDropoutMask: true }).dropoutMask,
    /** What the last call was masked with. */
    lastMask: () => call.sparseAttentionMask,
    dispose: () => attention.dispose(),
  };
}
