// SPDX-License-Identifier: Apache-2.0

/**
 * Reads the arguments of each method into a plain call { ...problem, inputs, slots }: the tensors that go into wasm
 * memory and the results that come out. All that can be wrong is found here, before anything is allocated or changed.
 */

import { EmptyRows, RowMax, ScoreStage } from './abi.js';
import {
  checkBoolean,
  checkChoice,
  checkCode,
  checkDims,
  checkOptions,
  checkRange,
  formatDims,
  rangeError,
  sameDims,
  typeError,
} from './checks.js';
import { PROBLEM_OPTIONS, readProblem, readSinks } from './problem.js';
import { BYTES_PER_ELEMENT, DTYPES, FLOAT32_ONLY, FLOAT_DTYPES, readTensor, readTensorOf, Slot } from './tensor.js';

export const FINISH_OPTIONS = ['sinks', 'emptyRows', 'outputLayout'];
export const RESULT_OPTIONS = [
  'outputDtype',
  'returnAttentionWeights',
  'weightsFormat',
  'weightsWindow',
  'returnScores',
  'returnLogSumExp',
  'returnDropoutMask',
  'out',
];
export const KNOWN_TO_OUTPUT = new Set([...PROBLEM_OPTIONS, ...FINISH_OPTIONS, ...RESULT_OPTIONS]);
const KNOWN_TO_PROJECTION = KNOWN_TO_OUTPUT; // some are known in order to be refused with a reason
const KNOWN_TO_PARTIALS = new Set([...KNOWN_TO_PROJECTION, 'rowMaxOver']);
const KNOWN_TO_FINISH = new Set(FINISH_OPTIONS);
const KNOWN_TO_OUT = new Set(['output', 'weights', 'logSumExp']);
const KNOWN_TO_CONTROL = new Set(['signal', 'onProgress']);
const KNOWN_TO_MATRIX_WINDOW = new Set(['rows', 'columns']);

const OUTPUT_LAYOUTS = ['bshd', 'bhsd'];
const WEIGHTS_FORMATS = ['dense', 'sparse'];
const EMPTY_ROWS = new Map([
  ['zero', EmptyRows.ZERO],
  ['nan', EmptyRows.NAN],
]);
const ROW_MAX = new Map([
  ['kept', RowMax.KEPT],
  ['allowed', RowMax.ALLOWED],
]);
const SCORE_STAGES = new Map([
  ['raw', ScoreStage.RAW],
  ['softcapped', ScoreStage.SOFTCAPPED],
  ['biased', ScoreStage.BIASED],
]);
const NONE = Object.freeze({});

/** Arguments of getMaskedAttentionOutput. */
export function readOutputCall(options) {
  checkOptions(options, 'options', KNOWN_TO_OUTPUT);
  const call = readProblem(options);
  readFinish(call, options);
  const dtype = checkChoice(options.outputDtype, 'outputDtype', FLOAT_DTYPES);
  const format = checkChoice(options.weightsFormat, 'weightsFormat', WEIGHTS_FORMATS);
  if (options.weightsWindow !== undefined) readMatrixWindow(call, options.weightsWindow);
  const out = options.out === undefined ? NONE : options.out;
  checkOptions(out, 'out', KNOWN_TO_OUT);

  addSlot(call, 'output', outputDims(call), dtype, out.output);
  if (isAskedFor(options.returnAttentionWeights, 'returnAttentionWeights', out.weights)) {
    if (format === 'dense') addSlot(call, 'weights', matrixDims(call), dtype, out.weights);
    else if (out.weights === undefined) call.entriesDtype = dtype;
    else throw new TypeError("out.weights: not with weightsFormat: 'sparse', whose arrays are as long as they turn out");
  }
  const { returnScores } = options;
  if (returnScores !== undefined) {
    call.scoreStage = checkCode(returnScores, 'returnScores', SCORE_STAGES);
    addSlot(call, 'scores', matrixDims(call), 'float32');
  }
  if (isAskedFor(options.returnLogSumExp, 'returnLogSumExp', out.logSumExp)) {
    addSlot(call, 'logSumExp', [call.batch, call.heads, call.queryLength], 'float32', out.logSumExp);
  }
  if (checkBoolean(options.returnDropoutMask, 'returnDropoutMask')) {
    addSlot(call, 'dropoutMask', [call.batch, call.heads, call.queryLength, call.keyLength], 'bool');
  }
  return call;
}

/** Arguments of explain: those of getMaskedAttentionOutput, of whose results only scores change how it computes. */
export function readExplainCall(options) {
  const call = readOutputCall(options);
  return { ...call, entriesDtype: undefined, slots: call.slots.filter((slot) => slot.key === 'scores') };
}

/** The second argument of getMaskedAttentionOutputAsync. */
export function readControl(control = NONE) {
  checkOptions(control, 'control', KNOWN_TO_CONTROL);
  const { signal, onProgress } = control;
  if (signal !== undefined && typeof signal?.aborted !== 'boolean') {
    throw typeError('control.signal', 'an AbortSignal', signal);
  }
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw typeError('control.onProgress', 'a function', onProgress);
  }
  return { signal, onProgress };
}

/** Arguments of getAttentionPartials. */
export function readPartialsCall(options) {
  checkPartialsOptions(options, KNOWN_TO_PARTIALS, 'getAttentionPartials');
  const call = readProblem(options);
  call.rowMaxOver = checkCode(options.rowMaxOver, 'rowMaxOver', ROW_MAX);
  addPartialsSlots(call);
  return call;
}

/** Arguments of getAttentionNumerator and getAttentionDenominator: one partial, relative to upstream's maximum. */
export function readProjectionCall(options, key, method) {
  checkPartialsOptions(options, KNOWN_TO_PROJECTION, method);
  const call = readProblem(options);
  call.rowMaxOver = RowMax.ALLOWED;
  addPartialsSlots(call);
  call.slots = call.slots.filter((slot) => slot.key === key || slot.key === 'rowMax');
  return call;
}

/** Arguments of mergePartials: `parts` are what is merged. */
export function readMergeCall(list) {
  if (!Array.isArray(list) || list.length === 0) {
    throw typeError('partials', 'an array with at least one element', list);
  }
  const parts = [];
  for (let at = 0; at < list.length; at++) {
    const part = readPartials(list[at], `partials[${at}]`);
    if (at > 0) checkSamePartials(part, parts[0]);
    parts.push(part);
  }
  const { batch, heads, queryLength, valueDim } = parts[0];
  const call = { batch, heads, queryLength, valueDim, parts, inputs: parts.flatMap((part) => part.inputs), slots: [] };
  addPartialsSlots(call);
  return call;
}

/** Arguments of finishPartials. */
export function readFinishCall(partials, options = NONE) {
  checkOptions(options, 'options', KNOWN_TO_FINISH);
  const call = { ...readPartials(partials, 'partials'), slots: [] };
  readFinish(call, options);
  addSlot(call, 'output', outputDims(call), 'float32');
  addSlot(call, 'logSumExp', [call.batch, call.heads, call.queryLength], 'float32');
  return call;
}

/** Arguments of tensor. */
export function readTensorCall(dims, dtype) {
  const count = checkDims(dims, 'dims');
  const name = checkChoice(dtype, 'dtype', DTYPES);
  return { dims: dims.slice(), dtype: name, count, bytes: count * BYTES_PER_ELEMENT[name] };
}

function readFinish(call, options) {
  const { sinks } = options;
  call.sinks = undefined;
  if (sinks !== undefined) {
    call.sinks = readSinks(sinks, call.heads);
    call.inputs.push(call.sinks);
  }
  call.emptyRows = checkCode(options.emptyRows, 'emptyRows', EMPTY_ROWS);
  call.outputLayout = checkChoice(options.outputLayout, 'outputLayout', OUTPUT_LAYOUTS);
}

/** Refuses options of the final result by name: silently, they would change nothing. */
function checkPartialsOptions(options, known, method) {
  if (options?.sinks !== undefined) {
    throw new TypeError(
      `sinks: ${method} takes none (merging would count them once per range); pass them to finishPartials`,
    );
  }
  for (const name of FINISH_OPTIONS) {
    if (options?.[name] !== undefined) {
      throw new TypeError(`${name}: ${method} does not take it; pass it to finishPartials`);
    }
  }
  for (const name of RESULT_OPTIONS) {
    if (options?.[name] !== undefined) {
      throw new TypeError(`${name}: an option of getMaskedAttentionOutput, not of ${method}`);
    }
  }
  checkOptions(options, 'options', known);
}

function readMatrixWindow(call, window) {
  checkOptions(window, 'weightsWindow', KNOWN_TO_MATRIX_WINDOW);
  const { rows, columns } = window;
  [call.rowBegin, call.rowEnd] = checkRange(rows, 'weightsWindow.rows', call.queryLength);
  [call.columnBegin, call.columnEnd] = checkRange(columns, 'weightsWindow.columns', call.keyLength);
}

function outputDims({ batch, heads, queryLength, valueDim, outputLayout }) {
  return outputLayout === 'bshd' ? [batch, queryLength, heads, valueDim] : [batch, heads, queryLength, valueDim];
}

function matrixDims(call) {
  return [call.batch, call.heads, call.rowEnd - call.rowBegin, call.columnEnd - call.columnBegin];
}

/** Whether a result is asked for: by its flag, or by giving an `out` to fill. */
function isAskedFor(flag, name, out) {
  const asked = checkBoolean(flag, name);
  if (flag === false && out !== undefined) throw rangeError(name, 'true, or nothing, where out has room for it', flag);
  return asked || out !== undefined;
}

function addSlot(call, key, dims, dtype, out) {
  const target = out === undefined ? undefined : readTensorOf(out, `out.${key}`, [dtype], dims);
  if (target !== undefined) {
    for (const input of call.inputs) checkApart(target, input);
    for (const slot of call.slots) if (slot.target !== undefined) checkApart(target, slot.target);
  }
  call.slots.push(new Slot(key, dims, dtype, target));
}

function addPartialsSlots(call) {
  const { batch, heads, queryLength, valueDim } = call;
  addSlot(call, 'numerator', [batch, heads, queryLength, valueDim], 'float32');
  addSlot(call, 'denominator', [batch, heads, queryLength, 1], 'float32');
  addSlot(call, 'rowMax', [batch, heads, queryLength], 'float32');
}

function checkApart(target, other) {
  const a = target.data;
  const b = other.data;
  if (a.buffer !== b.buffer || a.byteLength === 0 || b.byteLength === 0) return;
  if (a.byteOffset >= b.byteOffset + b.byteLength || b.byteOffset >= a.byteOffset + a.byteLength) return;
  throw new RangeError(`${target.name}: overlaps ${other.name} in memory`);
}

/** { numerator, denominator, rowMax } as operands, with the sizes they imply. */
function readPartials(value, name) {
  if (typeof value !== 'object' || value === null) throw typeError(name, '{ numerator, denominator, rowMax }', value);
  const numerator = readTensor(value.numerator, `${name}.numerator`, FLOAT32_ONLY);
  if (numerator.dims.length !== 4) {
    throw new RangeError(
      `${numerator.name}: expected 4 dimensions (batch, heads, queries, dim), got ${formatDims(numerator.dims)}`,
    );
  }
  const [batch, heads, queryLength, valueDim] = numerator.dims;
  const rows = [batch, heads, queryLength];
  const denominator = readTensorOf(value.denominator, `${name}.denominator`, FLOAT32_ONLY, [...rows, 1]);
  const rowMax = readTensorOf(value.rowMax, `${name}.rowMax`, FLOAT32_ONLY, rows);
  const inputs = [numerator, denominator, rowMax];
  return { batch, heads, queryLength, valueDim, numerator, denominator, rowMax, inputs };
}

function checkSamePartials(part, first) {
  const own = part.numerator;
  const expected = first.numerator;
  if (sameDims(own.dims, expected.dims)) return;
  throw new RangeError(
    `${own.name}: expected dims ${formatDims(expected.dims)} as ${expected.name} has, got ${formatDims(own.dims)}`,
  );
}
