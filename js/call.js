// SPDX-License-Identifier: Apache-2.0

/**
 * Carries a call out: lays its tensors out in one block of wasm memory, fills in the core's structs, has it compute and
 * reads the results. Whatever a call takes it gives back, also when something fails.
 */

import { DType, Field, MaskKind, Partials, Plan, Problem, Result, Status } from './abi.js';
import { statusError } from './errors.js';
import { align } from './memory.js';
import { allocate, BYTES_PER_ELEMENT } from './tensor.js';

const DTYPE_CODES = {
  float32: DType.FLOAT32,
  float16: DType.FLOAT16,
  bfloat16: DType.BFLOAT16,
  bool: DType.BOOL,
};

/** Runs attention; the slots of the call say what is wanted. */
export function attend(engine, call) {
  return perform(engine, call, computeAttention);
}

/** Merges the parts of the call. */
export function merge(engine, call) {
  return perform(engine, call, computeMerge);
}

/** Finishes the partials of the call. */
export function finish(engine, call) {
  return perform(engine, call, computeFinish);
}

function perform(engine, call, compute) {
  engine.assertOpen(); // once more: a getter among the options may have disposed the engine
  const { heap } = engine;
  const bytes = layOutInputs(call, heap.buffer) + layOutSlots(call, heap.buffer);
  const block = bytes === 0 ? 0 : heap.alloc(bytes);
  try {
    const base = block === 0 ? engine.problem : block; // with nothing to hold, any address will do that is not NULL
    placeInputs(call.inputs, heap, base);
    placeSlots(call, base);
    compute(engine, call);
    return collect(engine, call.slots);
  } finally {
    heap.free(block);
  }
}

/** Gives every input that is not resident an offset in the block; returns the bytes they take. */
function layOutInputs(call, buffer) {
  let bytes = 0;
  for (const input of call.inputs) {
    if (input.data.buffer === buffer) {
      input.offset = -1;
      input.address = input.data.byteOffset;
    } else {
      input.offset = bytes;
      bytes += align(input.bytes);
    }
  }
  call.inputBytes = bytes;
  return bytes;
}

/** The same for results, and for the narrow copies of those that are not float32. */
function layOutSlots(call, buffer) {
  let bytes = 0;
  for (const slot of call.slots) {
    const resident = slot.target !== undefined && slot.target.data.buffer === buffer;
    if (resident && slot.tensor === undefined) {
      throw new TypeError(`${slot.target.name}: pass the resident tensor itself; a view of its data does not survive growth`);
    }
    ...
  }
}
