// SPDX-License-Identifier: Apache-2.0

/**
 * Carries a call out: lays its tensors out in one block of wasm memory, has the core compute and reads the results.
 * Whatever a call takes it gives back, also when something fails.
 */

import { DType, Field } from './abi.js';
import { assertWanted, runInSlices } from './async.js';
import { checkStatus } from './errors.js';
import { align } from './memory.js';
import { Run } from './run.js';
import { DTYPE_CODES, Structs, writeFinish, writePartials, writeResult } from './structs.js';
import { allocate, arrayFor } from './tensor.js';

/** Runs attention; the slots of the call say what is wanted. */
export function attend(engine, call) {
  let entries;
  const results = perform(engine, call, () => void (entries = computeAttention(engine, call)));
  return withEntries(results, entries);
}

/** Counts what attention would do. */
export function explain(engine, call) {
  return withPlanned(engine, call, (run) => run.explain());
}

/** What `use` makes of a run whose problem stands in wasm memory, checked and planned. */
export function withPlanned(engine, call, use) {
  let made;
  perform(engine, call, () => void (made = withRun(engine, call, use)));
  return made;
}

/**
 * The same, in slices between which the event loop turns. When this returns its promise, all that is to be read of
 * the caller's has been copied, or, of resident tensors, is held; what is to be written is written at the very end.
 */
export async function attendInSlices(engine, call, control) {
  assertWanted(engine, control.signal);
  const { heap } = engine;
  const bytes = layOut(call, heap.buffer, true);
  const block = heap.alloc(Structs.bytes + bytes);
  const run = new Run(engine, new Structs(block));
  const held = call.inputs.filter((input) => input.isInPlace).map((input) => input.address);
  for (const address of held) heap.hold(address);
  try {
    place(call, heap, block + Structs.bytes);
    run.open(call);
    await runInSlices(engine, run, call, control);
    assertWanted(engine, control.signal); // others may have gone on before this did
    return withEntries(collect(engine, call), run.entries);
  } finally {
    run.close();
    for (const address of held) heap.free(address);
    heap.free(block);
  }
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
  engine.assertOpen(); // once more: a getter among the options may have disposed it
  const { heap } = engine;
  const bytes = layOut(call, heap.buffer, false);
  const block = bytes === 0 ? 0 : heap.alloc(bytes);
  try {
    place(call, heap, block || engine.structs.problem); // where nothing is to be held, any address but NULL will do
    compute(engine, call);
    return collect(engine, call);
  } finally {
    heap.free(block);
  }
}

/** Computes what goes into slots, and returns what does not. */
function computeAttention(engine, call) {
  return withRun(engine, call, (run) => {
    run.whole();
    return run.entries;
  });
}

function withRun(engine, call, use) {
  const run = new Run(engine, engine.structs);
  try {
    run.open(call);
    return use(run);
  } finally {
    run.close();
  }
}

function withEntries(results, entries) {
  return entries === undefined ? results : { ...results, weights: entries };
}

/** Merges the parts, one after the other, into what the slots hold. */
function computeMerge({ core, heap, structs }, { parts, slots, batch, heads, queryLength, valueDim }) {
  const { partials, otherPartials } = structs;
  const [numerator, denominator, rowMax] = slots;
  const rows = batch * heads * queryLength;
  writePartials(heap, partials, numerator, denominator, rowMax);
  for (const slot of slots) {
    const first = parts[0][slot.key];
    heap.u8.copyWithin(slot.address, first.address, first.address + first.bytes);
  }
  for (const part of parts.slice(1)) {
    writePartials(heap, otherPartials, part.numerator, part.denominator, part.rowMax);
    checkStatus(core.attn_partials_merge(partials, otherPartials, rows, valueDim), Field.PARTIALS);
  }
}

function computeFinish({ core, heap, structs }, call) {
  const { problem, result, partials } = structs;
  writeFinish(heap, problem, call);
  writeResult(heap, result, call);
  writePartials(heap, partials, call.numerator, call.denominator, call.rowMax);
  checkStatus(core.attn_partials_finish(partials, problem, result), Field.PARTIALS);
}

/**
 * Finds what already stands in wasm memory, of which `buffer` is the present view, gives everything else an offset in
 * the block of the call, and returns the bytes of the block. Where the call lasts, over many turns of the event loop,
 * inputs are in place only where they are tensors, which can be held, and results never.
 */
function layOut(call, buffer, lasts) {
  let bytes = 0;
  for (const input of call.inputs) {
    input.locate();
    input.isResident = input.data.buffer === buffer;
    // Index arrays are copied wherever they stand: what the core has checked must not change under it.
    input.isInPlace = input.isResident && input.dtype !== 'int32' && !(lasts && input.tensor === undefined);
    input.address = input.data.byteOffset;
    if (input.isInPlace) continue;
    input.offset = bytes;
    bytes += align(input.bytes);
  }
  for (const slot of call.slots) {
    slot.locate();
    const isResident = slot.data?.buffer === buffer;
    if (isResident && slot.target.tensor === undefined) {
      throw new TypeError(`${slot.target.name}: pass the resident tensor itself, not a view of its data`);
    }
    slot.isInPlace = isResident && !lasts;
    if (slot.isInPlace) slot.finalAddress = slot.data.byteOffset;
    if (!slot.isInPlace || slot.isNarrow) {
      slot.offset = bytes;
      bytes += align(slot.coreBytes);
    }
    if (!slot.isInPlace && slot.isNarrow) {
      slot.finalOffset = bytes;
      bytes += align(slot.bytes);
    }
  }
  return bytes;
}

/** Copies inputs into the block at `base`, and tells the slots where in it they are. */
function place(call, heap, base) {
  for (const input of call.inputs) {
    if (input.isInPlace) continue;
    const address = base + input.offset;
    if (input.isResident) {
      heap.u8.copyWithin(address, input.address, input.address + input.bytes); // its view died if memory has grown
    } else if (input.bytes > 0) {
      const { buffer, byteOffset } = input.data;
      heap.u8.set(new Uint8Array(buffer, byteOffset, input.bytes), address);
    }
    input.address = address;
  }
  for (const slot of call.slots) {
    slot.address = slot.isInPlace && !slot.isNarrow ? slot.finalAddress : base + slot.offset;
    if (!slot.isInPlace) slot.finalAddress = slot.isNarrow ? base + slot.finalOffset : slot.address;
  }
}

/** Narrows what is to be narrowed and hands the results out; nothing can fail once the caller's arrays change. */
function collect({ core, heap }, call) {
  const { slots } = call;
  for (const slot of slots) {
    if (slot.isNarrow) {
      const code = DTYPE_CODES[slot.dtype];
      checkStatus(core.attn_convert(slot.finalAddress, code, slot.address, DType.FLOAT32, slot.count), Field.NONE);
    }
    if (slot.isInPlace) continue;
    if (slot.target === undefined) {
      const ArrayType = arrayFor(slot.dtype, call.inputs);
      // Of the ways to copy, this is the one that fills nothing with zeros first.
      slot.data = allocate(ArrayType, new ArrayType(heap.buffer, slot.finalAddress, slot.count));
    } else {
      slot.locate();
    }
  }
  const results = {};
  for (const slot of slots) {
    if (!slot.isInPlace && slot.target !== undefined) {
      const { buffer, byteOffset } = slot.data;
      const { finalAddress, bytes } = slot;
      new Uint8Array(buffer, byteOffset, bytes).set(heap.u8.subarray(finalAddress, finalAddress + bytes));
    }
    results[slot.key] = slot.value;
  }
  return results;
}
