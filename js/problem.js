// SPDX-License-Identifier: Apache-2.0

/**
 * Reads what attention is computed from (queries, keys, values, and all that masks or scales them) into the plain
 * problem that a call passes to the core. Each option is read once.
 */

import { DropoutPlacement, EmptyRows, RowMax, ScoreStage, UNBOUNDED, Weighting } from './abi.js';
import {
  checkBoolean,
  checkChoice,
  checkCode,
  checkFloat,
  checkInteger,
  checkOptions,
  eitherOf,
  formatDims,
  rangeError,
  typeError,
} from './checks.js';
import { programOf } from './mask-program.js';
import { formOf, Mask } from './mask.js';
import { checkGroups } from './shapes.js';
import { allocate, FLOAT_DTYPES, Operand, readOffsets, readTensor, readVector } from './tensor.js';

export const PROBLEM_OPTIONS = [
  'queries',
  'keys',
  'values',
  'attentionMask',
  'causal',
  'window',
  'queryOffset',
  'keyOffset',
  'keyLengths',
  'scaling',
  'softcap',
  'alibiSlopes',
  'sparseAttentionMask',
  'maskWeighting',
  'dropout',
  'training',
  'seed',
  'dropoutPlacement',
  'dropoutMask',
  'inputLayout',
];

const WINDOW_OPTIONS = new Set(['left', 'right']);
const INPUT_LAYOUTS = ['bhsd', 'bshd'];
const MASK_DTYPES = [...FLOAT_DTYPES, 'bool'];
const KEEP_DTYPES = ['bool'];
const WEIGHTINGS = new Map([
  ['multiply', Weighting.MULTIPLY],
  ['inverse', Weighting.INVERSE],
]);
const PLACEMENTS = new Map([
  ['before-normalization', DropoutPlacement.BEFORE_NORMALIZATION],
  ['after-normalization', DropoutPlacement.AFTER_NORMALIZATION],
]);
const MAX_INT32 = 2 ** 31 - 1;
const MIN_INT32 = -(2 ** 31);

/** The problem, with its tensors listed in `inputs` and no results asked for yet. */
export function readProblem(options) {
  const layout = checkChoice(options.inputLayout, 'inputLayout', INPUT_LAYOUTS);
  const queries = readSequence(options.queries, 'queries', layout);
  const keys = readSequence(options.keys, 'keys', layout);
  const values = readSequence(options.values, 'values', layout);
  checkAgreement('batch', keys, keys.batch, queries, queries.batch);
  checkAgreement('batch', values, values.batch, queries, queries.batch);
  checkAgreement('dim', keys, keys.columns, queries, queries.columns);
  checkAgreement('length', values, values.rows, keys, keys.rows);
  checkGroups(queries.heads, keys.heads, 'keys: ');
  checkGroups(queries.heads, values.heads, 'values: ');
  const problem = {
    batch: queries.batch,
    heads: queries.heads,
    keyHeads: keys.heads,
    valueHeads: values.heads,
    queryLength: queries.rows,
    keyLength: keys.rows,
    dim: queries.columns,
    valueDim: values.columns,
    queries,
    keys,
    values,
    scaling: readScaling(options.scaling, queries.columns),
    softcap: readSoftcap(options.softcap),
    attentionMask: undefined,
    causal: checkBoolean(options.causal, 'causal'),
    hasWindow: false,
    windowLeft: UNBOUNDED,
    windowRight: UNBOUNDED,
    keyOffset: 0,
    queryOffsets: undefined,
    keyLengths: undefined,
    alibiSlopes: undefined,
    sinks: undefined,
    sparseMask: undefined,
    sparseForm: undefined,
    weighting: checkCode(options.maskWeighting, 'maskWeighting', WEIGHTINGS),
    dropout: 0,
    dropoutPlacement: checkCode(options.dropoutPlacement, 'dropoutPlacement', PLACEMENTS),
    dropoutMask: undefined,
    seedLow: 0,
    seedHigh: 0,
    emptyRows: EmptyRows.ZERO,
    rowMaxOver: RowMax.KEPT,
    outputLayout: 'bshd',
    entriesDtype: undefined,
    scoreStage: ScoreStage.RAW,
    rowBegin: 0,
    rowEnd: queries.rows,
    columnBegin: 0,
    columnEnd: keys.rows,
    inputs: [queries, keys, values],
    slots: [],
  };
  readMasks(problem, options);
  readPositions(problem, options);
  readDropout(problem, options);
  return problem;
}

/** One logit per head for the denominator; -Infinity is none. */
export function readSinks(value, heads) {
  const sinks = readVector(value, 'sinks', heads, 'query head');
  for (let head = 0; head < heads; head++) {
    const sink = sinks.data[head];
    if (!(sink < Infinity)) throw rangeError(`sinks[${head}]`, 'a finite number or -Infinity', sink);
  }
  return sinks;
}

function addInput(problem, operand) {
  problem.inputs.push(operand);
  return operand;
}

function readSequence(value, name, layout) {
  const operand = readTensor(value, name, FLOAT_DTYPES);
  if (operand.dims.length !== 4) {
    const axes = layout === 'bhsd' ? 'batch, heads, length, dim' : 'batch, length, heads, dim';
    throw new RangeError(
      `${name}: expected 4 dimensions (${axes}), got ${operand.dims.length} (${formatDims(operand.dims)})`,
    );
  }
  operand.setLayout(layout);
  return operand;
}

function checkAgreement(what, own, size, other, otherSize) {
  if (size === otherSize) return;
  throw new RangeError(
    `${own.name}: ${what} is ${size}, but ${other.name} has ${otherSize} ` +
      `(${own.name} ${formatDims(own.dims)}, ${other.name} ${formatDims(other.dims)})`,
  );
}

function readScaling(value, dim) {
  if (value === undefined) return dim === 0 ? 1 : 1 / Math.sqrt(dim);
  return checkFloat(value, 'scaling');
}

function readSoftcap(value) {
  if (value === undefined) return 0;
  const expectation = '0 (off) or a positive number that float32 can hold';
  checkFloat(value, 'softcap', expectation);
  if (value < 0 || (value > 0 && Math.fround(value) === 0)) throw rangeError('softcap', expectation, value);
  return value;
}

function readMasks(problem, options) {
  const { attentionMask, alibiSlopes, sparseAttentionMask } = options;
  if (attentionMask !== undefined) {
    problem.attentionMask = addInput(problem, readBroadcast(attentionMask, 'attentionMask', MASK_DTYPES, problem));
  }
  if (alibiSlopes !== undefined) {
    problem.alibiSlopes = addInput(problem, readSlopes(alibiSlopes, problem.heads));
  }
  if (sparseAttentionMask !== undefined) readSparseMask(problem, sparseAttentionMask);
}

function readBroadcast(value, name, dtypes, problem) {
  const operand = readTensor(value, name, dtypes);
  const rank = operand.dims.length;
  if (rank < 1 || rank > 4) throw new RangeError(`${name}: expected 1 to 4 dimensions, got ${rank}`);
  operand.setBroadcast([problem.batch, problem.heads, problem.queryLength, problem.keyLength]);
  return operand;
}

function readSlopes(value, heads) {
  const slopes = readVector(value, 'alibiSlopes', heads, 'query head');
  for (let head = 0; head < heads; head++) {
    const slope = slopes.data[head];
    if (!Number.isFinite(slope)) throw rangeError(`alibiSlopes[${head}]`, 'a finite number', slope);
  }
  return slopes;
}

function readSparseMask(problem, mask) {
  if (!(mask instanceof Mask)) throw typeError('sparseAttentionMask', 'a Mask', mask);
  const form = formOf(mask, 'sparseAttentionMask');
  const { batch, heads, keyHeads, queryLength, keyLength } = problem;
  const [maskBatch, maskHeads, rows, columns] = mask.shape;
  const fits =
    (maskBatch === 1 || maskBatch === batch) &&
    (maskHeads === 1 || maskHeads === keyHeads || maskHeads === heads) &&
    rows === queryLength &&
    columns === keyLength;
  if (!fits) {
    const oneOf = (...sizes) => eitherOf([...new Set(sizes)]);
    throw new RangeError(
      `sparseAttentionMask: expected batch ${oneOf(1, batch)}, heads ${oneOf(1, keyHeads, heads)}, ` +
        `${queryLength} queries and ${keyLength} keys, as queries (${formatDims(problem.queries.dims)}) and ` +
        `keys (${formatDims(problem.keys.dims)}) have, got ${formatDims(mask.shape)}`,
    );
  }
  if (form.kind === 'empty' || form.kind === 'full') return;
  problem.sparseMask = mask;
  problem.sparseForm = programOf(mask.shape, form);
}

function readPositions(problem, options) {
  const { keyOffset, queryOffset, keyLengths, window } = options;
  if (keyOffset !== undefined) problem.keyOffset = checkInteger(keyOffset, 'keyOffset', 0, MAX_INT32);
  if (queryOffset !== undefined) {
    problem.queryOffsets = addInput(problem, readQueryOffset(queryOffset, problem.batch));
  }
  if (keyLengths !== undefined) problem.keyLengths = addInput(problem, readKeyLengths(keyLengths, problem));
  if (window !== undefined) {
    checkOptions(window, 'window', WINDOW_OPTIONS);
    problem.hasWindow = true;
    problem.windowLeft = readSide(window.left, 'window.left');
    problem.windowRight = readSide(window.right, 'window.right');
  }
}

function readSide(value, name) {
  if (value === undefined || value === Infinity) return UNBOUNDED;
  if (typeof value !== 'number') throw typeError(name, 'an integer >= 0, or Infinity', value);
  if (!Number.isInteger(value) || value < 0) throw rangeError(name, 'an integer >= 0, or Infinity', value);
  return Math.min(value, UNBOUNDED); // positions have 31 bits: nothing is as far away as that
}

function readQueryOffset(value, batch) {
  if (typeof value === 'number') {
    checkInteger(value, 'queryOffset', MIN_INT32, MAX_INT32);
    return new Operand('queryOffset', allocate(Int32Array, batch).fill(value), [batch], 'int32', batch);
  }
  if (!Array.isArray(value)) {
    return readOffsets(value, 'queryOffset', batch, 'an integer, or an array or Int32Array with one');
  }
  if (value.length !== batch) {
    throw new RangeError(`queryOffset: expected one element per batch (${batch}), got ${value.length}`);
  }
  for (let b = 0; b < batch; b++) checkInteger(value[b], `queryOffset[${b}]`, MIN_INT32, MAX_INT32);
  return new Operand('queryOffset', Int32Array.from(value), [batch], 'int32', batch);
}

function readKeyLengths(value, { batch, keyLength }) {
  const operand = readOffsets(value, 'keyLengths', batch, 'an Int32Array with one length');
  for (let b = 0; b < batch; b++) checkInteger(operand.data[b], `keyLengths[${b}]`, 0, keyLength);
  return operand;
}

function readDropout(problem, options) {
  const { dropout, training, seed, dropoutMask } = options;
  const rate = dropout === undefined ? 0 : dropout;
  if (typeof rate !== 'number') throw typeError('dropout', 'a number in 0..1', rate);
  if (!(rate >= 0 && rate <= 1)) throw rangeError('dropout', 'a number in 0..1', rate);
  const mask = dropoutMask === undefined ? undefined : readBroadcast(dropoutMask, 'dropoutMask', KEEP_DTYPES, problem);
  const acts = checkBoolean(training, 'training') && rate > 0;
  if (seed !== undefined) [problem.seedLow, problem.seedHigh] = readSeedWords(seed);
  if (!acts) return;
  if (mask !== undefined) problem.dropoutMask = addInput(problem, mask);
  else if (seed === undefined) {
    throw new TypeError(`seed: required where dropout (${rate}) acts in training without a dropoutMask`);
  }
  problem.dropout = rate;
}

/** Splits a seed into the two words of the generator's key. */
export function readSeedWords(seed, name = 'seed') {
  const isNumber = Number.isSafeInteger(seed) && seed >= 0;
  if (!isNumber && !(typeof seed === 'bigint' && seed >= 0n && seed < 1n << 64n)) {
    const expectation = 'an integer in 0..2^53 - 1, or a bigint in 0..2^64 - 1';
    if (typeof seed !== 'number' && typeof seed !== 'bigint') throw typeError(name, expectation, seed);
    throw rangeError(name, expectation, seed);
  }
  if (isNumber) return [seed % 2 ** 32, Math.floor(seed / 2 ** 32)];
  return [Number(seed & 0xffffffffn), Number(seed >> 32n)];
}
