// SPDX-License-Identifier: Apache-2.0

/**
 * One run of the core, whole or in slices: its structs filled in, its plan, its workspace and its hold on the
 * copies of the sparse mask. Whoever makes one closes it, whatever happens.
 */

import { Explanation, Field, Plan, Progress } from './abi.js';
import { Entries } from './entries.js';
import { checkStatus } from './errors.js';
import { formOf } from './mask.js';
import { writeMask, writeProblem, writeResult } from './structs.js';

export class Run {
  #engine;
  #structs;
  #copies;
  #entries; // of weights wanted as compressed sparse rows
  #workspace = 0;
  #workspaceBytes = 0;
  #jobs = 0;
  #tiles = 0; // of one job
  #rows = 0; // of one job

  constructor(engine, structs) {
    this.#engine = engine;
    this.#structs = structs;
  }

  /** Plans a call whose tensors stand in wasm memory. */
  open(call) {
    const { core, heap, masks } = this.#engine;
    const { problem, result, plan, progress, maskNodes } = this.#structs;
    writeProblem(heap, problem, call);
    if (call.sparseMask !== undefined) {
      formOf(call.sparseMask, 'sparseAttentionMask'); // a getter among the options may have disposed it
      this.#copies = masks.hold(call.sparseMask, call.sparseForm);
      writeMask(heap, problem, maskNodes, call.sparseForm, this.#copies);
    }
    writeResult(heap, result, call);
    heap.u32[(progress + Progress.job) >>> 2] = 0;
    heap.u32[(progress + Progress.tile) >>> 2] = 0;
    heap.u32[(progress + Progress.row) >>> 2] = 0;
    const status = core.attn_plan_init(plan, problem, result);
    checkStatus(status, heap.u32[(plan + Plan.field) >>> 2]);
    this.#jobs = heap.u32[(plan + Plan.jobs) >>> 2];
    this.#tiles = heap.u32[(plan + Plan.tileCount) >>> 2];
    this.#rows = heap.u32[(plan + Plan.blockRows) >>> 2];
    this.#workspaceBytes = heap.u32[(plan + Plan.workspaceBytes) >>> 2];
    this.#workspace = heap.alloc(this.#workspaceBytes);
    if (call.entriesDtype !== undefined) this.#entries = new Entries(this.#engine, this.#structs, call);
  }

  /** Computes everything. */
  whole() {
    const { problem, result, plan } = this.#structs;
    const { attn_run: run } = this.#engine.core;
    checkStatus(run(plan, problem, result, this.#workspace, this.#workspaceBytes, 0, this.#jobs), Field.JOBS);
  }

  /** Computes about `rowTiles` more: each is one query of one head against one tile of keys. */
  slice(rowTiles) {
    const { problem, result, plan, progress } = this.#structs;
    const { attn_run_slice: run } = this.#engine.core;
    checkStatus(run(plan, problem, result, this.#workspace, this.#workspaceBytes, progress, rowTiles), Field.JOBS);
  }

  /** What is going to be computed, counted: see attn_explain. */
  explain() {
    const { problem, result, plan, explanation } = this.#structs;
    const { core, heap } = this.#engine;
    const status = core.attn_explain(plan, problem, result, this.#workspace, this.#workspaceBytes, explanation);
    checkStatus(status, Field.JOBS);
    const read = (field) => heap.f64[(explanation + Explanation[field]) >>> 3];
    return {
      keptEntries: read('kept'),
      tilesSkipped: read('skipped'),
      tilesFull: read('full'),
      tilesPartial: read('partial'),
      rowsByGather: read('gatheredRows'),
      entriesByGather: read('gathered'),
      flops: read('flops'),
      bytes: read('bytes'),
      workspaceBytes: this.#workspaceBytes,
      jobs: this.#jobs,
    };
  }

  /** Weights as compressed sparse rows, where they are wanted so. */
  get entries() {
    return this.#entries?.collect();
  }

  get isDone() {
    return this.#read(Progress.job) === this.#jobs;
  }

  /** The part that is done, 0..1, as if all blocks of queries took the same time. */
  get fraction() {
    if (this.isDone) return 1;
    const tiles = this.#read(Progress.tile) + this.#read(Progress.row) / this.#rows;
    return (this.#read(Progress.job) + tiles / (this.#tiles + 1)) / this.#jobs; // writing the rows is like a tile
  }

  close() {
    const { heap, masks } = this.#engine;
    heap.free(this.#workspace);
    this.#entries?.close();
    if (this.#copies !== undefined) masks.settle(this.#copies);
  }

  #read(field) {
    return this.#engine.heap.u32[(this.#structs.progress + field) >>> 2];
  }
}
