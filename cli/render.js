// SPDX-License-Identifier: Apache-2.0

/** masked-attention render: a head as a picture. */

import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

import { figure } from '../attention-map/figure.js';
import { toPng } from '../attention-map/png.js';
import { makeScale, quantilesOf } from '../attention-map/scale.js';
import { MapSource } from '../attention-map/source.js';
import { toSvg } from '../attention-map/svg.js';
import { formatDims } from '../js/checks.js';
import { weightingOf } from '../js/sparse-attention.js';
import { floatsOf } from '../js/widen.js';
import { FileError, UsageError } from './errors.js';
import { Arrays, checkDtype, checkOutput, readBytes, writeBytes } from './files.js';
import { FLAGS, flagsOf } from './flags.js';
import { readPipeline } from './pipeline.js';
import { printJson } from './print.js';
import { openEngine, readNames, readOptions } from './problem.js';

const MOST_PIXELS = 1024; // of a side: with more, a pixel is a block of cells
const DEFAULTS = { show: 'weights', colors: 'viridis', theme: 'light', range: 'head', 'png-scale': '2' };
const WEIGHT_NAMES = ['weights', 'attention_weights', 'attention', 'attentions', 'attn'];
/** What given weights can be drawn with; other flags say how to compute them. */
const FOR_WEIGHTS = new Set(['weights', 'names', 'output', 'json', 'help']);
const FLOATS = ['float32', 'float16', 'bfloat16'];
const MOST_TEXT = 2 ** 14; // of maskers in metadata: some hold tables

export async function render(given) {
  const flags = { ...DEFAULTS, ...given };
  const pipeline = readMaskers(flags);
  const type = checkFlags(flags);
  const tokens = flags.tokens === undefined ? undefined : readTokens(flags.tokens);
  const attention = flags.weights === undefined ? await openEngine(flags) : undefined;
  let source;
  try {
    source = attention === undefined ? await openWeights(flags) : await openProblem(attention, flags, pipeline);
    const place = placeOf(source.shape, flags);
    const { level, rows, columns } = place;
    const { cells, range, rowMax, rowMin } = readCells(source, place, flags);
    const { show, range: over, colors: ramp, theme, width } = flags;
    const drawn = figure({
      ...{ cells, level, rows, columns, rowMax, rowMin, show, range: over, ramp, theme, width },
      scale: makeScale(range),
      tokens: tokens === undefined ? undefined : tokensOf(tokens, source.shape, flags.tokens),
      title: flags.title ?? titleOf(source.shape, place, pipeline),
      numbers: flags.numbers === true,
      legend: !flags['no-legend'],
    });
    const metadata = describe(source, place, flags, pipeline, range);
    const content =
      type === '.png'
        ? await toPng(drawn, { scale: Number(flags['png-scale']), metadata })
        : new TextEncoder().encode(await toSvg(drawn, { metadata }));
    writeBytes(flags.output, content, 'output');
    if (flags.json) printJson({ file: flags.output, width: drawn.width, height: drawn.height, ...metadata });
  } finally {
    source?.dispose();
    attention?.dispose();
  }
}

function readMaskers({ maskers = [], pipeline = [] }) {
  const texts = [...maskers, pipeline].flat();
  if (texts.length > 1) throw new UsageError('maskers: expected one pipeline, as one picture shows one mask');
  return texts.length === 0 ? undefined : readPipeline(texts[0]);
}

/** What the command line alone tells to be wrong. @returns the kind of file */
function checkFlags(flags) {
  if (flags.output === undefined) throw new UsageError('output: missing; pass --output FILE, .svg or .png');
  if (flags.weights !== undefined) {
    const drawing = (name) => FLAGS[name].only?.includes('render') && name !== 'pipeline';
    const other = [...flagsOf('render').keys()].find(
      (name) => flags[name] !== undefined && !FOR_WEIGHTS.has(name) && !drawing(name),
    );
    if (other !== undefined) throw new UsageError(`${other}: needs queries and keys, got --weights`);
    if (flags.show === 'scores') throw new UsageError('show: scores need queries and keys, got --weights');
  }
  return checkOutput(flags.output, 'output', ['.svg', '.png']);
}

/** Cells that are computed. */
async function openProblem(attention, flags, pipeline) {
  const options = await readOptions(flags, ['values']);
  if (pipeline === undefined) return new MapSource(attention, options);
  const values = options.values ?? options.keys; // maskers do not look at them
  const mask = attention.createSparseAttention(pipeline.maskers).buildMask({ ...options, values });
  const maskWeighting = weightingOf(mask, options);
  return new MapSource(attention, { ...options, sparseAttentionMask: mask, maskWeighting });
}

/** Weights in a file: [b, h, sq, sk], whose first dimensions may be missing, or as `run --weights sparse` writes. */
async function openWeights({ weights: path, names }) {
  const mapped = readNames(names, ['weights']).get('weights');
  const arrays = new Arrays();
  const called = mapped === undefined ? WEIGHT_NAMES : [mapped];
  const file = await arrays.open(path, 'weights');
  const sparse = called.find((name) => file.names.includes(`${name}.ptr`));
  const read = async (name, isMapped = true) => arrays.read(path, 'weights', [name].flat(), isMapped);
  if (sparse === undefined) {
    const { data, dims, dtype } = await read(called, mapped !== undefined);
    checkDtype({ dtype }, FLOATS, 'weights');
    if (dims.length < 2 || dims.length > 4) {
      throw new FileError(`weights: expected 4 dimensions [batch, heads, queries, keys], got ${formatDims(dims)}`);
    }
    const padded = [...Array(4 - dims.length).fill(1), ...dims];
    return MapSource.ofWeights({ data: floatsOf({ data, dtype }), dims: padded, dtype: 'float32' });
  }
  const [ptr, indices, values, dims] = await Promise.all(
    ['ptr', 'indices', 'values', 'dims'].map((part) => read(`${sparse}.${part}`)),
  );
  return MapSource.ofWeights({
    ptr: Uint32Array.from(ptr.data),
    indices: Uint32Array.from(indices.data),
    values: floatsOf(values),
    dims: Array.from(dims.data),
    dtype: 'float32',
  });
}

/** Which part of which head, and how many cells a pixel is of. */
function placeOf([batches, heads, queries, keys], { batch = 0, head = 0, rows = [0, queries], columns = [0, keys] }) {
  checkBelow(batch, batches, 'batch');
  checkBelow(head, heads, 'head');
  checkRange(rows, queries, 'rows');
  checkRange(columns, keys, 'columns');
  const longest = Math.max(rows[1] - rows[0], columns[1] - columns[0]);
  return { batch, head, rows, columns, level: Math.max(0, Math.ceil(Math.log2(longest / MOST_PIXELS))) };
}

function checkBelow(value, count, name) {
  if (value >= count) throw new UsageError(`${name}: expected 0 .. ${count - 1}, got ${value}`);
}

function checkRange([begin, end], count, name) {
  if (begin < end && end <= count) return;
  throw new UsageError(`${name}: expected begin:end within 0:${count}, got ${begin}:${end}`);
}

/** The cells, and what the colours span, as makeScale takes it. */
function readCells(source, { batch, head, level, rows, columns }, flags) {
  const { show, range, 'skip-keys': skipKeys = 0, exponent, decades } = flags;
  const [pixelRows, pixelColumns] = [rows, columns].map(([begin, end]) => [
    Math.floor(begin / 2 ** level),
    Math.ceil(end / 2 ** level),
  ]);
  const cells = source.read({ batch, head, level, rows: pixelRows, columns: pixelColumns, show });
  const { scale: kind = show === 'weights' ? 'power' : 'linear' } = flags;
  if (show === 'mask') return { cells, range: { kind, exponent, decades, min: 0, max: 1 } };
  const asked = { batch, head, show, skipKeys };
  if (range === 'head') {
    const { min, max, quantiles } = source.statistics(asked);
    const [least, largest] = extremes(cells.values);
    return { cells, range: { kind, exponent, decades, min, max, quantiles, least, largest } };
  }
  const { max: rowMax, min } = source.rowStatistics({ ...asked, level, rows: pixelRows });
  const rowMin = show === 'scores' ? min : new Float32Array(min.length);
  const parts = cells.values.map((value, at) => {
    const row = Math.floor(at / cells.columns);
    return (value - rowMin[row]) / (rowMax[row] - rowMin[row]);
  });
  const [least, largest] = extremes(parts);
  const bounds = { min: 0, max: 1, quantiles: quantilesOf(parts), least, largest };
  return { cells, rowMax, rowMin, range: { kind, exponent, decades, ...bounds } };
}

function extremes(values) {
  let [least, largest] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < least) least = value;
    if (value > largest) largest = value;
  }
  return [least, largest];
}

function readTokens(path) {
  const bytes = readBytes(path, 'tokens');
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new FileError(`tokens: ${path}: not valid JSON: ${cause.message}`, { cause });
  }
}

/** Tokens of queries and keys. One list is of the keys, the last of which are the queries. */
function tokensOf(value, [, , queries, keys], path) {
  const lists = Array.isArray(value) ? { queries: value.slice(keys - queries), keys: value } : value;
  for (const [name, count] of Object.entries({ queries, keys })) {
    const list = lists?.[name];
    const isList = Array.isArray(list) && list.every((token) => typeof token === 'string');
    if (isList && list.length === count) continue;
    const got = isList ? `${list.length}` : 'something else';
    throw new FileError(`tokens: ${path}: expected ${count} strings for the ${name}, got ${got}`);
  }
  return lists;
}

function titleOf([batches, heads], { batch, head }, pipeline) {
  const parts = [batches > 1 && `batch ${batch}`, heads > 1 && `head ${head}`, pipeline?.label];
  return parts.filter((part) => typeof part === 'string').join(', ');
}

/** What the picture was made with, for the file's metadata. */
function describe({ shape }, place, flags, pipeline, { kind, exponent, decades, min, max }) {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  const own = flagsOf('render');
  const given = Object.entries(flags).map(([name, value]) => [
    name,
    own.get(name).kind === 'file' ? basename(value) : value,
  ]);
  const maskers = JSON.stringify(pipeline?.maskers, (_, value) => (typeof value === 'bigint' ? String(value) : value));
  return {
    'masked-attention': version,
    shape,
    ...place,
    scale: { kind, exponent, decades, min, max },
    ...(maskers?.length <= MOST_TEXT && { maskers: JSON.parse(maskers) }),
    flags: Object.fromEntries(given),
  };
}
