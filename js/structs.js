// SPDX-License-Identifier: Apache-2.0

/** The core's structs in wasm memory: where those of one call stand, and how a call is written into them. */

import { DType, Explanation, MASK_NODES, MaskKind, MaskNode, Masker, MaskerPlan, Partials, Plan, Problem, Progress, Result, UNBOUNDED } from './abi.js';
import { nodesOf } from './mask-forms.js';
import { align } from './memory.js';

export const DTYPE_CODES = {
  float32: DType.FLOAT32,
  float16: DType.FLOAT16,
  bfloat16: DType.BFLOAT16,
  bool: DType.BOOL,
};

const SEQUENCE = [Problem, Result, Plan, Progress, Partials, Partials, Explanation, Masker, MaskerPlan];
const NODES_BYTES = MASK_NODES * MaskNode.bytes;

/** Addresses of one set of structs, one after the other from `base`. */
export class Structs {
  static bytes = SEQUENCE.reduce((end, { bytes }) => end + align(bytes), align(NODES_BYTES));

  constructor(base) {
    this.problem = base;
    this.result = this.problem + align(Problem.bytes);
    this.plan = this.result + align(Result.bytes);
    this.progress = this.plan + align(Plan.bytes);
    this.partials = this.progress + align(Progress.bytes);
    this.otherPartials = this.partials + align(Partials.bytes);
    this.explanation = this.otherPartials + align(Partials.bytes);
    this.masker = this.explanation + align(Explanation.bytes);
    this.maskerPlan = this.masker + align(Masker.bytes);
    this.maskNodes = this.maskerPlan + align(MaskerPlan.bytes);
  }
}

/** Writes a problem whose tensors have their addresses, without its sparse mask. */
export function writeProblem({ u32, i32, f32, f64 }, at, call) {
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

/** Writes the sparse mask of a problem: its form as a program of nodes at `nodesAt`, with the copies of its leaves. */
export function writeMask({ u32, i32 }, problemAt, nodesAt, form, copies) {
  const nodes = nodesOf(form);
  u32.fill(0, nodesAt >>> 2, (nodesAt + nodes.length * MaskNode.bytes) >>> 2);
  nodes.forEach((node, n) => {
    const copy = copies.get(node) ?? {};
    const set = (field, value = 0) => void (u32[(nodesAt + n * MaskNode.bytes + MaskNode[field]) >>> 2] = value);
    set('kind', MaskKind[node.kind.toUpperCase()]);
    set('left', nodes.indexOf(node.left ?? node.operand) >>> 0);
    set('right', nodes.indexOf(node.right) >>> 0);
    set('batch', node.batch);
    set('heads', node.heads);
    set('before', sideOf(node.before));
    set('after', sideOf(node.after));
    i32[(nodesAt + n * MaskNode.bytes + MaskNode.offset) >>> 2] = node.offset ?? 0;
    set('blockRows', node.blockRows);
    set('blockColumns', node.blockColumns);
    set('begins', copy.begins);
    set('ends', copy.ends ?? copy.counts);
    set('queryIds', copy.queryIds);
    set('keyIds', copy.keyIds);
    set('bits', copy.words);
    set('weights', copy.weights);
    set('ptr', copy.ptr);
    set('indices', copy.indices);
    set('indicesLen', node.indices?.length);
  });
  u32[(problemAt + Problem.sparseMask.nodes) >>> 2] = nodesAt;
  u32[(problemAt + Problem.sparseMask.count) >>> 2] = nodes.length;
}

/** How far a band reaches to one side; positions are 32 bits wide, so that farther is no farther. */
function sideOf(distance = 0) {
  return distance < UNBOUNDED ? distance : UNBOUNDED;
}

const MASKER_DOUBLES = new Set(['mass', 'rate', 'epsilon', 'quantile']);
const MASKER_FLOATS = new Set(['temperature']);

/** Writes a masker from its fields, named as the core's; those that are left out are 0. */
export function writeMasker({ u32, f32, f64 }, at, fields) {
  u32.fill(0, at >>> 2, (at + Masker.bytes) >>> 2);
  for (const [name, value] of Object.entries(fields)) {
    const address = at + Masker[name];
    if (MASKER_DOUBLES.has(name)) f64[address >>> 3] = value;
    else if (MASKER_FLOATS.has(name)) f32[address >>> 2] = value;
    else u32[address >>> 2] = Number(value);
  }
}

/** Writes of a problem what finishing partials asks for. */
export function writeFinish({ u32 }, at, call) {
  u32.fill(0, at >>> 2, (at + Problem.bytes) >>> 2);
  u32[(at + Problem.batch) >>> 2] = call.batch;
  u32[(at + Problem.heads) >>> 2] = call.heads;
  u32[(at + Problem.qLen) >>> 2] = call.queryLength;
  u32[(at + Problem.valueDim) >>> 2] = call.valueDim;
  u32[(at + Problem.sinks) >>> 2] = addressOf(call.sinks);
  u32[(at + Problem.emptyRows) >>> 2] = call.emptyRows;
}

/** Writes where the core puts its results: the slots of the call have their addresses. */
export function writeResult({ u32 }, at, call) {
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

/** Writes partials from the operands or slots that hold them. */
export function writePartials({ u32 }, at, numerator, denominator, rowMax) {
  u32[(at + Partials.numerator) >>> 2] = numerator.address;
  u32[(at + Partials.denominator) >>> 2] = denominator.address;
  u32[(at + Partials.rowMax) >>> 2] = rowMax.address;
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

function addressOf(operand) {
  return operand === undefined ? 0 : operand.address;
}
