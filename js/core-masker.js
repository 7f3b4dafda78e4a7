// SPDX-License-Identifier: Apache-2.0

/**
 * A masker that the core carries out (maskers.h): it lists, for some queries at a time, what each row keeps, and makes a
 * mask of compressed sparse rows of these lists.
 */

import { Field, MaskerPlan } from './abi.js';
import { withPlanned } from './call.js';
import { checkStatus } from './errors.js';
import { maskOfForm } from './mask.js';
import { MaskerIndex } from './masker-index.js';
import { readProblem } from './problem.js';
import { writeMasker } from './structs.js';
import { allocate } from './tensor.js';

const ROOM = 2 ** 22; // entries for which room is made at once

/**
 * The mask of what `previousMask` keeps and the masker chooses.
 * @param engine the engine
 * @param options the problem's options, without a sparse mask
 * @param fieldsOf (call) => the masker's fields as the core names them, or functions of the index that make them
 * @param state an object that keeps the index between calls
 */
export function choose(engine, options, fieldsOf, previousMask, state) {
  const call = readProblem({ ...options, sparseAttentionMask: previousMask });
  if (!state.index?.isOf(engine)) state.index = new MaskerIndex(engine);
  const { index } = state;
  const fields = fieldsOf(call);
  index.check(call);
  try {
    return withPlanned(engine, call, () => {
      const { core, heap, structs } = engine;
      const { problem, masker, maskerPlan } = structs;
      writeMasker(heap, masker, placed(fields, index));
      checkStatus(core.attn_masker_plan_init(maskerPlan, masker, problem, call.keyLength), Field.NONE);
      const read = (field) => heap.u32[(maskerPlan + MaskerPlan[field]) >>> 2];
      const workspace = heap.alloc(read('workspaceBytes'));
      try {
        const heads = read('rowHeads');
        const isWeighted = read('isWeighted') !== 0;
        const enterKeys = () => index.update(core, structs, call, workspace);
        return listRows(engine, call, heads, isWeighted, workspace, enterKeys);
      } finally {
        heap.free(workspace);
      }
    });
  } finally {
    if (!index.isStarted) index.dispose(); // tables of a call that failed
  }
}

function placed(fields, index) {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, typeof value === 'function' ? value(index) : value]),
  );
}

/** What each row keeps. Keys are entered once there is room for the lists: where there is none, nothing has changed. */
function listRows({ core, heap, structs }, call, heads, isWeighted, workspace, enterKeys) {
  const { batch, queryLength, keyLength } = call;
  const groups = batch * heads;
  const some = Math.max(1, Math.min(queryLength, Math.floor(ROOM / Math.max(1, groups * keyLength))));
  const room = groups * some * keyLength;
  const blocks = [];
  const ends = heap.alloc(4 * groups * some);
  let lists = 0;
  try {
    lists = heap.alloc(room * (isWeighted ? 8 : 4));
    const weights = isWeighted ? lists + 4 * room : 0;
    enterKeys();
    for (let begin = 0; begin < queryLength; begin += some) {
      const end = Math.min(begin + some, queryLength);
      const { problem, masker } = structs;
      const status = core.attn_masker_choose(masker, problem, begin, end, ends, lists, weights, workspace);
      checkStatus(status, Field.NONE);
      const rows = groups * (end - begin);
      const own = new Uint32Array(heap.buffer, ends, rows).slice();
      const count = rows === 0 ? 0 : own[rows - 1];
      blocks.push({
        queries: end - begin,
        ends: own,
        indices: new Uint32Array(heap.buffer, lists, count).slice(),
        weights: isWeighted ? new Float32Array(heap.buffer, weights, count).slice() : null,
      });
    }
  } finally {
    heap.free(ends);
    heap.free(lists);
  }
  return maskOfForm([batch, heads, queryLength, keyLength], { kind: 'csr', batch, heads, ...joined(blocks, groups) });
}

/** One list of rows from those of blocks of queries. */
function joined(blocks, groups) {
  const kept = blocks.reduce((sum, { indices }) => sum + indices.length, 0);
  const queries = blocks.reduce((sum, block) => sum + block.queries, 0);
  const ptr = allocate(Uint32Array, groups * queries + 1);
  if (blocks.length === 1) {
    const [{ ends, indices, weights }] = blocks;
    ptr.set(ends, 1);
    return { ptr, indices, weights, kept };
  }
  const indices = allocate(Uint32Array, kept);
  const weights = blocks.some((block) => block.weights !== null) ? allocate(Float32Array, kept) : null;
  let row = 0;
  for (let group = 0; group < groups; group++) {
    for (const block of blocks) {
      const first = group * block.queries;
      const begin = first === 0 ? 0 : block.ends[first - 1];
      const end = block.ends[first + block.queries - 1];
      indices.set(block.indices.subarray(begin, end), ptr[row]);
      weights?.set(block.weights.subarray(begin, end), ptr[row]);
      for (let i = 0; i < block.queries; i++, row++) ptr[row + 1] = ptr[row] + rowLength(block.ends, first + i);
    }
  }
  return { ptr, indices, weights, kept };
}

function rowLength(ends, row) {
  return row === 0 ? ends[0] : ends[row] - ends[row - 1];
}
