// SPDX-License-Identifier: Apache-2.0

/** masked-attention compare: pipelines of maskers side by side, or one over values of a parameter. */

import { UsageError } from './errors.js';
import { readPipeline, readValue, split } from './pipeline.js';
import { percent, print, printJson, short, table } from './print.js';
import { openEngine, readOptions } from './problem.js';

export async function compare(flags) {
  const pipelines = flags.maskers?.map(readPipeline);
  if (pipelines === undefined) {
    throw new UsageError('maskers: missing; pass --maskers once for each pipeline to compare');
  }
  const sweep = flags.sweep === undefined ? undefined : readSweep(flags.sweep, pipelines);
  const options = await readOptions(flags);
  const attention = await openEngine(flags);
  try {
    const rows =
      sweep === undefined
        ? compared(attention, options, pipelines)
        : swept(attention, options, pipelines[0], sweep);
    const { version, variant } = attention.info();
    if (flags.json) printJson({ version, variant, ...(sweep && { parameter: sweep.parameter }), rows });
    else printRows(rows, sweep?.parameter);
  } finally {
    attention.dispose();
  }
}

function readSweep(text, pipelines) {
  const [, parameter, list] = /^\s*(\w+)\s*=(.*)$/s.exec(text) ?? [];
  if (parameter === undefined) throw new UsageError(`sweep: expected parameter=value,value.., got '${text}'`);
  if (pipelines.length > 1) throw new UsageError(`sweep: expected one --maskers, got ${pipelines.length}`);
  if (pipelines[0].maskers.length === 0) throw new UsageError('sweep: expected --maskers with at least one masker');
  const values = split(list, ',');
  if (values.some((value) => value.trim() === '')) throw new UsageError(`sweep: a value is missing in '${text}'`);
  return { parameter, values: values.map(readValue) };
}

function compared(attention, options, pipelines) {
  const rows = attention.compare(
    options,
    pipelines.map(({ label, maskers }) => ({ name: label, maskers })),
  );
  return rows.map((row, n) => ({ ...row, maskers: pipelines[n].maskers }));
}

function swept(attention, options, { maskers }, { parameter, values }) {
  try {
    return attention.sweep(options, maskers, parameter, values);
  } catch (cause) {
    const isParameter = /^(masker|values\[\d+\]): maskers\[/.test(cause.message);
    throw isParameter ? new UsageError(`sweep: ${cause.message}`, { cause }) : cause;
  }
}

function printRows(rows, parameter) {
  const head = ['density', 'error', 'recall', 'p5', 'worst', 'setup', 'mask', 'attention', 'dense', 'speedup', 'flops'];
  const cells = rows.map((row) => {
    const { mean, p5, worst } = row.massRecall;
    const times = [row.setupMilliseconds, row.maskMilliseconds, row.attentionMilliseconds, row.denseMilliseconds];
    return [
      parameter === undefined ? row.name : String(row.value),
      ...[row.density, row.outputError, mean, p5, worst].map(percent),
      ...times.map((time) => `${short(time)} ms`),
      row.speedup.toFixed(2),
      percent(row.flopsDense === 0 ? 1 : row.flops / row.flopsDense),
    ];
  });
  print(table([[parameter ?? 'maskers', ...head], ...cells]));
}
