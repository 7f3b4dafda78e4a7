// SPDX-License-Identifier: Apache-2.0

/**
 * Carries a call out: lays its tensors out in one block of wasm memory, fills in the core's structs, has it compute and
 * reads the results. Whatever a call takes it gives back, also when something fails.
 */

import { DType, Field, MaskKind, Partials, Plan, Problem, Result, Status } from './abi.js';
import { statusError } from './errors.js';
import { align } from './memory.js';
import { allocate } from './tensor.js';

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
  engine.assertOpen(); // once more: a getter among the options may have disposed it
  const { heap } = engine;
  const bytes = layOut(call, heap.buffer);
  const block = bytes === 0 ? 0 : heap.alloc(bytes);
  try {
    place(call, heap, block === 0 ? engine.problem : block); // with nothing to hold, any address but NULL will do
    compute(engine, call);
    return collect(engine, call.slots);
  } finally {
    heap.free(block);
  }
}

/** Gives what is not resident an offset in the block, and what is its address; returns the bytes of the block. */
function layOut(call, buffer) {
  let bytes = 0;
  for (const input of call.inputs) {
    // Index arrays are copied wherever they stand: what the core has checked must not change under it.
    input.isResident = input.data.buffer === buffer && input.dtype !== 'int32';
    if (input.isResident) {
      input.address = input.data.byteOffset;
    } else {
      input.offset = bytes;
      bytes += align(input.bytes);
    }
  }
  for (const slot of call.slots) {
    slot.data = slot.givenArray;
    slot.isResident = slot.data?.buffer === buffer;
    if (slot.isResident && slot.tensor === undefined) {
      throw new TypeError(`${slot.target.name}: pass the resident tensor itself, not a view of its data`);
    }
    if (slot.isResident) slot.finalAddress = slot.data.byteOffset;
    if (!slot.isResident || slot.isNarrow) {
      slot.offset = bytes;
      bytes += align(slot.coreBytes);
    }
    if (!slot.isResident && slot.isNarrow) {
      slot.finalOffset = bytes;
      bytes += align(slot.bytes);
    }
  }
  return bytes;
}

/** Copies inputs into the block at `base`, and makes the arrays that results will be copied to. */
function place(call, heap, base) {
  for (const input of call.inputs) {
    if (input.isResident) continue;
    input.address = base + input.offset;
    if (input.bytes > 0) {
      const { buffer, byteOffset } = input.data;
      heap.u8.set(new Uint8Array(buffer, byteOffset, input.bytes), input.address);
    }
  }
  for (const slot of call.slots) {
    const isInBlock = !slot.isResident || slot.isNarrow;
    slot.address = isInBlock ? base + slot.offset : slot.finalAddress;
    if (slot.isResident) continue;
    slot.finalAddress = slot.isNarrow ? base + slot.finalOffset : slot.address;
    slot.data ??= allocate(arrayFor(slot.dtype, call.inputs), slot.count);
  }
}

/** The class of a new array for results; Float16Array only for those who already use it. */
function arrayFor(dtype, inputs) {
  if (dtype === 'float32') return Float32Array;
  if (dtype === 'bool') return Uint8Array;
  const usesFloat16Array =
    dtype === 'float16' && inputs.some(({ data }) => data[Symbol.toStringTag] === 'Float16Array');
  return usesFloat16Array ? globalThis.Float16Array : Uint16Array;
}

/** Narrows what is to be narrowed, copies results to their arrays, and hands them out. */
function collect({ core, heap }, slots) {
  const results = {};
  for (const slot of slots) {
    if (slot.isNarrow) {
      const code = DTYPE_CODES[slot.dtype];
      check(core.attn_convert(slot.finalAddress, code, slot.address, DType.FLOAT32, slot.count), Field.NONE);
    }
    if (!slot.isResident && slot.bytes > 0) {
      const { buffer, byteOffset } = slot.data;
      const end = slot.finalAddress + slot.bytes;
      new Uint8Array(buffer, byteOffset, slot.bytes).set(heap.u8.subarray(slot.finalAddress, end));
    }
    results[slot.key] = slot.value;
  }
  return results;
}

function computeAttention({ core, heap, masks, problem, result, plan }, call) {
  const copy = call.sparseMask === undefined ? undefined : masks.hold(call.sparseMask, call.sparseForm);
  let workspace = 0;
  try {
    writeProblem(heap, problem, call, copy);
    writeResult(heap.u32, result, call);
    const status = core.attn_plan_init(plan, problem, result);
    check(status, heap.u32[(plan + Plan.field) >>> 2]);
    const jobs = heap.u32[(plan + Plan.jobs) >>> 2];
    const bytes = heap.u32[(plan + Plan.workspaceBytes) >>> 2];
    workspace = heap.alloc(bytes);
    check(core.attn_run(plan, problem, result, workspace, bytes, 0, jobs), Field.JOBS);
  } finally {
    heap.free(workspace);
    if (copy !== undefined) masks.settle(copy);
  }
}

/** Merges the parts, one after the other, into what the slots hold. */
function computeMerge({ core, heap, partials, otherPartials }, { parts, slots, batch, heads, queryLength, valueDim }) {
  const [numerator, denominator, rowMax] = slots;
  writePartials(heap.u32, partials, numerator.address, denominator.address, rowMax.address);
  for (const slot of slots) {
    const first = parts[0][slot.key];
    heap.u8.copyWithin(slot.address, first.address, first.address + first.bytes);
  }
  for (const part of parts.slice(1)) {
    writePartials(heap.u32, otherPartials, part.numerator.address, part.denominator.address, part.rowMax.address);
    check(core.attn_partials_merge(partials, otherPartials, batch * heads * queryLength, valueDim), Field.PARTIALS);
  }
}

function computeFinish({ core, heap, problem, result, partials }, call) {
  const { u32 } = heap;
  u32.fill(0, problem >>> 2, (problem + Problem.bytes) >>> 2);
  u32[(problem + Problem.batch) >>> 2] = call.batch;
  u32[(problem + Problem.heads) >>> 2] = call.heads;
  u32[(problem + Problem.qLen) >>> 2] = call.queryLength;
  u32[(problem + Problem.valueDim) >>> 2] = call.valueDim;
  u32[(problem + Problem.sinks) >>> 2] = addressOf(call.sinks);
  u32[(problem + Problem.emptyRows) >>> 2] = call.emptyRows;
  writeResult(u32, result, call);
  writePartials(u32, partials, call.numerator.address, call.denominator.address, call.rowMax.address);
  check(core.attn_partials_finish(partials, problem, result), Field.PARTIALS);
}

function check(status, field) {
  if (status !== Status.OK) throw statusError(status, field);
}

function addressOf(operand) {
  return operand === undefined ? 0 : operand.address;
}

function writeProblem({ u32, i32, f32, f64 }, at, call, copy) {
  u32.fill(0, at >>> 2, (at + Problem.bytes) >>> 2);
  u32[(at + Problem.batch) >>> 2] = call.batch;
  u32[(at + Problem.heads) >>> 2] = call.heads;
  u32[(at + Problem.keyHeads) >>> 2] = call.keyHeads;
  u32[(at + Problem.valueHeads) >>> 2] = call.valueHeads;
  u32[(at + Problem.qLen) >>> 2] = call.queryLength;
  u32[(at + Problem.kLen) >>> 2] = call.keyLength;
  u32[(at + Problem.dim) >>> 2] = call.dim;
  u32[(at + Problem.valueDim) >>> 2] = call.valueDim;
  writeTensor(u32, at, Problem.queries, call.queries);
  writeTensor(u32, at, Problem.keys, call.keys);
  writeTensor(u32, at, Problem.values, call.values);
  f32[(at + Problem.scaling) >>> 2] = call.scaling;
  f32[(at + Problem.softcap) >>> 2] = call.softcap;
  if (call.attentionMask !== undefined) writeTensor(u32, at, Problem.attentionMask, call.attentionMask);
  u32[(at + Problem.causal) >>> 2] = call.causal ? 1 : 0;
  u32[(at + Problem.hasWindow) >>> 2] = call.hasWindow ? 1 : 0;
  u32[(at + Problem.windowLeft) >>> 2] = call.windowLeft;
  u32[(at + Problem.windowRight) >>> 2] = call.windowRight;
  i32[(at + Problem.keyOffset) >>> 2] = call.keyOffset;
  u32[(at + Problem.queryOffsets) >>> 2] = addressOf(call.queryOffsets);
  u32[(at + Problem.keyLengths) >>> 2] = addressOf(call.keyLengths);
  u32[(at + Problem.alibiSlopes) >>> 2] = addressOf(call.alibiSlopes);
  u32[(at + Problem.sinks) >>> 2] = addressOf(call.sinks);
  if (copy !== undefined) writeMask(u32, at, Problem.sparseMask, copy);
  u32[(at + Problem.weighting) >>> 2] = call.weighting;
  f64[(at + Problem.dropout.rate) >>> 3] = call.dropout;
  u32[(at + Problem.dropout.training) >>> 2] = call.dropout > 0 ? 1 : 0;
  u32[(at + Problem.dropout.placement) >>> 2] = call.dropoutPlacement;
  u32[(at + Problem.dropout.seedLow) >>> 2] = call.seedLow;
  u32[(at + Problem.dropout.seedHigh) >>> 2] = call.seedHigh;
  if (call.dropoutMask !== undefined) writeTensor(u32, at, Problem.dropout.mask, call.dropoutMask);
  u32[(at + Problem.emptyRows) >>> 2] = call.emptyRows;
  u32[(at + Problem.rowMaxOver) >>> 2] = call.rowMaxOver;
}

function writeTensor(u32, at, fields, operand) {
  u32[(at + fields.data) >>> 2] = operand.address;
  u32[(at + fields.dtype) >>> 2] = DTYPE_CODES[operand.dtype];
  u32[(at + fields.batchStride) >>> 2] = operand.batchStride;
  u32[(at + fields.headStride) >>> 2] = operand.headStride;
  u32[(at + fields.rowStride) >>> 2] = operand.rowStride;
  u32[(at + fields.columnStride) >>> 2] = operand.columnStride;
  u32[(at + fields.capacity) >>> 2] = operand.count;
}

function writeMask(u32, at, fields, copy) {
  u32[(at + fields.kind) >>> 2] = copy.isDense ? MaskKind.DENSE : MaskKind.CSR;
  u32[(at + fields.batch) >>> 2] = copy.batch;
  u32[(at + fields.heads) >>> 2] = copy.heads;
  u32[(at + fields.weights) >>> 2] = copy.weights;
  u32[(at + fields.ptr) >>> 2] = copy.ptr;
  u32[(at + fields.indices) >>> 2] = copy.indices;
  u32[(at + fields.indicesLen) >>> 2] = copy.indicesLength;
}

function writeResult(u32, at, call) {
  u32.fill(0, at >>> 2, (at + Result.bytes) >>> 2);
  for (const slot of call.slots) u32[(at + Result[slot.key]) >>> 2] = slot.address;
  const { batch, heads, queryLength, valueDim } = call;
  const rowStep = call.outputLayout === 'bshd' ? heads * valueDim : valueDim;
  u32[(at + Result.outputBatchStride) >>> 2] = heads * queryLength * valueDim;
  u32[(at + Result.outputHeadStride) >>> 2] = call.outputLayout === 'bshd' ? valueDim : queryLength * valueDim;
  u32[(at + Result.outputRowStride) >>> 2] = rowStep;
  u32[(at + Result.outputCapacity) >>> 2] = batch * heads * queryLength * valueDim;
  u32[(at + Result.scoreStage) >>> 2] = call.scoreStage;
  u32[(at + Result.rowBegin) >>> 2] = call.rowBegin;
  u32[(at + Result.rowEnd) >>> 2] = call.rowEnd;
  u32[(at + Result.columnBegin) >>> 2] = call.columnBegin;
  u32[(at + Result.columnEnd) >>> 2] = call.columnEnd;
}

function writePartials(u32, at, numerator, denominator, rowMax) {
  u32[(at + Partials.numerator) >>> 2] = numerator;
  u32[(at + Partials.denominator) >>> 2] = denominator;
  u32[(at + Partials.rowMax) >>> 2] = rowMax;
}
