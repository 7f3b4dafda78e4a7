// SPDX-License-Identifier: Apache-2.0

/** masked-attention run: attention over tensors in files. */

import { extname } from 'node:path';

import { formatDims } from '../js/checks.js';
import { floatsOf } from '../js/widen.js';
import { UsageError } from './errors.js';
import { checkOutput, describeTensor, writeBytes, writeTensors } from './files.js';
import { readPipeline } from './pipeline.js';
import { percent, print, printJson, Progress, short, table } from './print.js';
import { openEngine, readOptions } from './problem.js';

const MANY = ['weights', 'scores', 'log-sum-exp', 'return-dropout-mask', 'mask'];

export async function run(flags) {
  const pipeline = readMaskers(flags);
  checkFlags(flags, pipeline);
  const options = await readOptions(flags);
  const attention = await openEngine(flags);
  const progress = new Progress(process.stderr, flags.progress === true);
  try {
    const started = performance.now();
    const { mask, metrics, ...results } = await attend(attention, options, pipeline, flags, progress);
    const milliseconds = performance.now() - started;
    progress.end();
    const tensors = tensorsOf({ ...results, ...(flags.mask !== undefined && { mask: maskTensor(mask, flags.mask) }) });
    const files = writeFiles(flags, tensors, mask);
    const { version, variant } = attention.info();
    const summary = { version, variant, ...(pipeline && { maskers: pipeline.maskers }), milliseconds, metrics, files };
    if (flags.json) printJson({ ...summary, results: describeAll(tensors) });
    else if (flags.output === undefined || flags.metrics) printSummary(tensors, summary, flags);
  } finally {
    progress.end();
    attention.dispose();
  }
}

function readMaskers({ maskers }) {
  if (maskers === undefined) return undefined;
  if (maskers.length > 1) throw new UsageError('maskers: expected once with run, as compare takes several');
  return readPipeline(maskers[0]);
}

/** What the command line alone tells to be wrong, before anything is read. */
function checkFlags(flags, pipeline) {
  const { output, 'mask-output': maskOutput, 'output-dtype': dtype } = flags;
  if (output !== undefined) {
    const type = checkOutput(output, 'output', ['.npy', '.npz', '.safetensors']);
    const other = MANY.find((name) => flags[name] !== undefined);
    if (type === '.npy' && other !== undefined) {
      const hint = 'use .npz or .safetensors';
      throw new UsageError(`output: a .npy file holds one array, and --${other} gives another; ${hint}`);
    }
    if (type !== '.safetensors' && dtype === 'bfloat16') {
      throw new UsageError('output: NumPy has no bfloat16; use .safetensors, or --output-dtype float32');
    }
  }
  if (maskOutput !== undefined) checkOutput(maskOutput, 'mask-output', ['.npy', '.npz']);
  const wantsMask = ['mask', 'mask-output'].find((name) => flags[name] !== undefined);
  if (wantsMask !== undefined && pipeline === undefined) {
    throw new UsageError(`${wantsMask}: needs --maskers, which make it`);
  }
  if (wantsMask !== undefined && pipeline.maskers.length === 0) {
    throw new UsageError(`${wantsMask}: no masker, no mask`);
  }
}

async function attend(attention, options, pipeline, { metrics = false }, progress) {
  if (pipeline === undefined && !metrics) {
    return attention.getMaskedAttentionOutputAsync(options, { onProgress: (fraction) => progress.report(fraction) });
  }
  const also = metrics ? ', and without for the metrics' : '';
  progress.phase(`attention with ${pipeline?.label ?? 'the given mask'}${also}`);
  // Maskers give probabilities, by which a pipeline divides; a mask that was given means what it means without one.
  const weighting = pipeline === undefined ? { maskWeighting: options.maskWeighting ?? 'multiply' } : {};
  return attention.createSparseAttention(pipeline?.maskers ?? []).forward({ ...options, ...weighting, metrics });
}

function maskTensor(mask, format) {
  if (format === 'dense') return { data: mask.toDense(), dims: [...mask.shape], dtype: 'float32' };
  const { ptr, indices, weights } = mask.toIndices();
  return { ptr, indices, values: weights, dims: [...mask.shape], dtype: 'float32' };
}

/** Results as tensors by name; compressed sparse rows are four: .ptr, .indices, .values and .dims. */
function tensorsOf(results) {
  const tensors = {};
  for (const [name, result] of Object.entries(results)) {
    if (result.ptr === undefined) {
      tensors[name] = result;
      continue;
    }
    const { ptr, indices, values, dims, dtype } = result;
    tensors[`${name}.ptr`] = vectorOf(Uint32Array.from(ptr), 'uint32');
    tensors[`${name}.indices`] = vectorOf(Uint32Array.from(indices), 'uint32');
    tensors[`${name}.values`] = vectorOf(values, dtype);
    tensors[`${name}.dims`] = vectorOf(Uint32Array.from(dims), 'uint32');
  }
  return tensors;
}

function vectorOf(data, dtype) {
  return { data, dims: [data.length], dtype };
}

function writeFiles(flags, tensors, mask) {
  const { output, 'mask-output': maskOutput } = flags;
  const files = [];
  if (output !== undefined) {
    writeTensors(output, tensors, 'output');
    files.push(output);
  }
  if (maskOutput !== undefined) {
    writeBytes(maskOutput, extname(maskOutput).toLowerCase() === '.npy' ? mask.toNpy() : mask.toNpz(), 'mask-output');
    files.push(maskOutput);
  }
  return files;
}

function describeAll(tensors) {
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, describe(tensor)]));
}

function describe(tensor) {
  const { dims, dtype } = tensor;
  const data = ['float16', 'bfloat16'].includes(dtype) ? floatsOf(tensor) : tensor.data;
  if (data.length === 0) return { dims, dtype };
  let [min, max, sum] = [Infinity, -Infinity, 0];
  for (const value of data) {
    min = Math.min(min, value);
    max = Math.max(max, value);
    sum += value;
  }
  return { dims, dtype, min, max, mean: sum / data.length };
}

function printSummary(tensors, { variant, milliseconds, metrics, files }, flags) {
  if (flags.output === undefined) {
    const rows = Object.entries(describeAll(tensors)).map(([name, { dims, dtype, min, max, mean }]) => {
      const numbers = [min, max, mean].map((value) => (value === undefined ? '' : short(value)));
      return [name, formatDims(dims), dtype, ...numbers];
    });
    print(table([['', 'dims', 'dtype', 'min', 'max', 'mean'], ...rows]));
  }
  if (metrics !== undefined) print(describeMetrics(metrics));
  for (const file of files) print(`wrote ${file}${file === flags.output ? `: ${listOf(tensors)}` : ''}`);
  print(`${short(milliseconds)} ms, ${variant}`);
}

function listOf(tensors) {
  return Object.entries(tensors)
    .map(([name, tensor]) => `${name} ${describeTensor(tensor)}`)
    .join(', ');
}

function describeMetrics(metrics) {
  const { density, outputError, massRecall, flops, flopsDense, maskMilliseconds, attentionMilliseconds } = metrics;
  const { mean, p5, worst } = massRecall;
  return [
    ['density', percent(density)],
    ['output error', percent(outputError)],
    ['mass recall', `mean ${percent(mean)}, 5th percentile ${percent(p5)}, worst ${percent(worst)}`],
    ['flops', `${short(flops)} of ${short(flopsDense)}`],
    ['mask', `${short(maskMilliseconds)} ms`],
    ['attention', `${short(attentionMilliseconds)} ms`],
  ]
    .map(([name, value]) => `${name.padEnd(14)}${value}`)
    .join('\n');
}
