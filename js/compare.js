// SPDX-License-Identifier: Apache-2.0

/**
 * Pipelines of maskers side by side on one problem: how far each is from dense attention, and what it costs. Dense
 * attention is computed once for all of them.
 */

import { checkOptions, rangeError, typeError } from './checks.js';
import { denseOptions, measure, measureDense } from './metrics.js';
import { FINISH_OPTIONS, RESULT_OPTIONS } from './options.js';
import { PROBLEM_OPTIONS } from './problem.js';
import { SparseAttention, weightingOf, withResident } from './sparse-attention.js';

// A time is the least of several runs, of which there are at least one, FEW_RUNS if they fit into LONG_MS, and more while
// they take no longer than SHORT_MS together: MOST_RUNS at most, where the clock stands still (workerd).
const FEW_RUNS = 5;
const MOST_RUNS = 50;
const SHORT_MS = 50;
const LONG_MS = 200;

const KNOWN = new Set([...PROBLEM_OPTIONS, ...FINISH_OPTIONS]);

/**
 * One row of metrics for each pipeline.
 * @param problem options of getMaskedAttentionOutput but those that ask for results
 * @param pipelines { [name]: pipeline }, or an array of pipelines, which are called by their own names or their maskers;
 * a pipeline is an array of maskers, { name, maskers }, what createSparseAttention makes, or what its toJSON() returns
 */
export function compare(attention, engine, registry, problem, pipelines) {
  checkProblem(problem, 'compare');
  const entries = readPipelines(pipelines).map(({ name, where, list }) => {
    const pipeline = at(where, () => new SparseAttention(attention, engine, registry, list));
    return { name: name ?? nameOf(pipeline), pipeline };
  });
  return measureAll(attention, engine, problem, entries).map((metrics, n) => ({ name: entries[n].name, ...metrics }));
}

/**
 * One row of metrics for each value of a masker's parameter.
 * @param masker a masker or its JSON, or a pipeline of which the last masker is meant
 */
export function sweep(attention, engine, registry, problem, masker, parameter, values) {
  checkProblem(problem, 'sweep');
  const list = masker?.maskers ?? (Array.isArray(masker) ? masker : [masker]);
  if (!Array.isArray(list) || list.length === 0) throw typeError('masker', 'a masker, or an array that ends in one', masker);
  if (typeof parameter !== 'string' || parameter === '') throw typeError('parameter', "the name of a masker's option", parameter);
  if (!Array.isArray(values) || values.length === 0) throw typeError('values', 'an array with at least one value', values);
  const [last] = at('masker', () => new SparseAttention(attention, engine, registry, list)).maskers.slice(-1);
  if (typeof last.toJSON !== 'function') throw typeError('masker', 'one with toJSON(), to make others from', last);
  const pipelines = values.map((value, n) => {
    const changed = [...list.slice(0, -1), { ...last.toJSON(), [parameter]: value }];
    const pipeline = at(`values[${n}]`, () => new SparseAttention(attention, engine, registry, changed));
    return { pipeline };
  });
  return measureAll(attention, engine, problem, pipelines).map((metrics, n) => ({ value: values[n], ...metrics }));
}

function checkProblem(problem, method) {
  for (const name of RESULT_OPTIONS) {
    if (problem?.[name] === undefined) continue;
    throw new TypeError(`problem.${name}: an option of getMaskedAttentionOutput's results, which ${method} does not return`);
  }
  checkOptions(problem, 'problem', KNOWN);
}

/** [{ name, where, list }]: `name` is undefined where nobody gave one, `where` is for messages. */
function readPipelines(pipelines) {
  const isPlain = typeof pipelines === 'object' && pipelines !== null && !(pipelines instanceof SparseAttention);
  if (!isPlain || ArrayBuffer.isView(pipelines)) {
    throw typeError('pipelines', 'an object { [name]: pipeline }, or an array of pipelines', pipelines);
  }
  const read = Array.isArray(pipelines)
    ? pipelines.map((list, n) => ({ name: readName(list, n), where: `pipelines[${n}]`, list }))
    : Object.entries(pipelines).map(([name, list]) => ({ name, where: `pipelines.${name}`, list }));
  if (read.length === 0) throw rangeError('pipelines', 'at least one pipeline', pipelines);
  return read;
}

function readName(list, n) {
  if (Array.isArray(list) || list?.name === undefined) return undefined;
  if (typeof list.name !== 'string') throw typeError(`pipelines[${n}].name`, 'a string', list.name);
  return list.name;
}

function nameOf({ maskers }) {
  return maskers.length === 0 ? 'dense' : maskers.map(({ name }) => name).join(' + ');
}

/** What `make` returns; an error says where it happened. */
function at(where, make) {
  try {
    return make();
  } catch (error) {
    error.message = `${where}: ${error.message}`;
    throw error;
  }
}

function measureAll(attention, engine, problem, pipelines) {
  return withResident(attention, engine, problem, (staged) => {
    const dense = measureDense(attention, staged);
    const options = denseOptions(staged);
    const [denseMilliseconds] = leastTimes(() => [timeOf(() => attention.getMaskedAttentionOutput(options)).milliseconds]);
    return pipelines.map(({ pipeline }) => {
      try {
        return measurePipeline(attention, staged, pipeline, { ...dense, denseMilliseconds });
      } finally {
        pipeline.dispose();
      }
    });
  });
}

/**
 * Times are those of a decoding step: what maskers know of the keys is there, each run makes a new mask. What making
 * the first one takes, with clusters and indexes, is told apart.
 */
function measurePipeline(attention, staged, pipeline, { denseMilliseconds, ...dense }) {
  const run = () => {
    const { made: mask, milliseconds: maskMilliseconds } = timeOf(() => pipeline.buildMask(staged));
    const masked = { ...staged, sparseAttentionMask: mask, maskWeighting: weightingOf(mask, staged) };
    const { made: result, milliseconds } = timeOf(() => attention.getMaskedAttentionOutput(masked));
    return { mask, masked, result, times: [maskMilliseconds, milliseconds] };
  };
  const { mask, masked, result, times: first } = run();
  const [maskMilliseconds, attentionMilliseconds] = leastTimes(() => run().times);
  const { flops, flopsDense, ...errors } = measure(attention, masked, result, mask, dense);
  return {
    ...errors,
    setupMilliseconds: first[0],
    maskMilliseconds,
    attentionMilliseconds,
    denseMilliseconds,
    speedup: denseMilliseconds / (maskMilliseconds + attentionMilliseconds),
    flops,
    flopsDense,
  };
}

function timeOf(make) {
  const started = performance.now();
  const made = make();
  return { made, milliseconds: performance.now() - started };
}

/** Of what each run takes, part by part, the least. */
function leastTimes(run) {
  const started = performance.now();
  let least = run();
  for (let runs = 1; runs < MOST_RUNS; runs++) {
    if (performance.now() - started > (runs < FEW_RUNS ? LONG_MS : SHORT_MS)) break;
    const times = run();
    least = least.map((time, n) => Math.min(time, times[n]));
  }
  return least;
}
