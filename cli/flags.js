// SPDX-License-Identifier: Apache-2.0

/**
 * Every flag, once: what it takes, which option of the API it sets, which commands have it, and its line of help.
 * Parsing, help and the tests read this table.
 */

import { parseArgs } from 'node:util';

import { RAMP_NAMES } from '../attention-map/raster.js';
import { SCALES } from '../attention-map/scale.js';
import { nearest } from '../js/checks.js';
import { UsageError } from './errors.js';

/** Words for values in help and in errors, and how the text of one is read: => value, or undefined where it is none. */
const KINDS = {
  file: { word: 'FILE', read: (text) => text },
  text: { word: 'TEXT', read: (text) => text },
  textOrNothing: { word: 'TEXT', read: (text) => text, mayBeEmpty: true },
  number: { word: 'N', expectation: 'a number', read: readNumber },
  seed: {
    word: 'N',
    expectation: 'an integer >= 0',
    read: (text) => (/^\d+$/.test(text) ? integerOf(text) : undefined),
  },
  count: { word: 'N', expectation: 'an integer >= 0', read: (text) => (/^\d+$/.test(text) ? Number(text) : undefined) },
  range: { word: 'A:B', expectation: 'begin:end such as 0:64', read: readRange },
  integers: { word: 'N,N..', read: (text) => listOf(text, readInteger) },
  numbersOrFile: { word: 'N,N..|FILE', read: (text) => listOf(text, readNumber) ?? text },
  integersOrFile: { word: 'N,N..|FILE', read: (text) => KINDS.integers.read(text) ?? text },
  window: { word: 'R,C', expectation: 'rows,columns such as 0:4,0:16', read: readMatrixWindow },
};

const LAYOUTS = ['bhsd', 'bshd'];
const ATTENDING = ['run', 'compare'];
const DRAWING = ['render'];
/** What arguments without a flag are, by command: of these, in order, what has not been given with its flag. */
const POSITIONAL = { render: ['queries', 'keys', 'values'] };

/**
 * By name: `kind` (none: a switch) or `choices`; `option`, or an array of several, of the API; `implied`, the value of
 * a flag that may stand alone; `only`, the commands that have it; `in`, by command, another one of that name.
 */
export const FLAGS = {
  input: { kind: 'file', short: 'i', group: 'Input', help: '.npz or .safetensors that holds queries, keys and values' },
  queries: {
    kind: 'file',
    short: 'q',
    option: 'queries',
    help: '[batch, heads, queries, dim]; .npy, .npz, .safetensors',
  },
  keys: { kind: 'file', short: 'k', option: 'keys', help: '[batch, key heads, keys, dim]' },
  values: { kind: 'file', short: 'v', option: 'values', help: '[batch, value heads, keys, value dim]' },
  names: { kind: 'text', help: 'arrays in files: queries=Q,keys=block1.keys,attention-mask=mask' },
  'input-layout': { choices: LAYOUTS, option: 'inputLayout', help: 'order of the dimensions; default bhsd' },

  'attention-mask': {
    kind: 'file',
    group: 'Masks',
    option: 'attentionMask',
    help: 'bool: what is attended to; floats: added to scores',
  },
  causal: { option: 'causal', help: 'no key after the query' },
  'window-left': { kind: 'number', option: 'window', help: 'at most so many keys before the query' },
  'window-right': { kind: 'number', option: 'window', help: 'and after it' },
  'query-offset': {
    kind: 'integersOrFile',
    option: 'queryOffset',
    help: 'position of the first query, or one per batch',
  },
  'key-offset': { kind: 'number', option: 'keyOffset', help: 'position of the first key' },
  'key-lengths': { kind: 'integersOrFile', option: 'keyLengths', help: 'keys that count, one number per batch' },
  'sparse-mask': {
    kind: 'file',
    option: 'sparseAttentionMask',
    help: 'which pairs are kept: .npy, or .npz of scipy.sparse',
  },
  'sparse-mask-shape': { kind: 'integers', help: "the mask's batch,heads,queries,keys, where they are not clear" },
  'mask-weighting': {
    choices: ['multiply', 'inverse'],
    option: 'maskWeighting',
    help: 'what weights of the mask mean',
  },
  maskers: { kind: 'text', multiple: true, help: "a pipeline: 'sink:4,quest:0.05:16', JSON, or a .json file" },

  scaling: { kind: 'number', group: 'Scores', option: 'scaling', help: 'factor of the scores; default 1 / sqrt(dim)' },
  softcap: { kind: 'number', option: 'softcap', help: 'softcap * tanh(score / softcap)' },
  'alibi-slopes': { kind: 'numbersOrFile', option: 'alibiSlopes', help: 'one number per head' },
  sinks: { kind: 'numbersOrFile', option: 'sinks', help: 'one logit per head, for the denominator' },
  dropout: { only: ATTENDING, kind: 'number', option: 'dropout', help: 'probability; acts with --training' },
  training: { only: ATTENDING, option: 'training', help: 'lets dropout act' },
  seed: { only: ATTENDING, kind: 'seed', option: 'seed', help: 'of dropout, 0 .. 2^64 - 1' },
  'dropout-placement': {
    only: ATTENDING,
    choices: ['before-normalization', 'after-normalization'],
    option: 'dropoutPlacement',
    help: 'default before-normalization',
  },
  'dropout-mask': {
    only: ATTENDING,
    kind: 'file',
    option: 'dropoutMask',
    help: 'bool: what dropout keeps, instead of a seed',
  },
  'empty-rows': {
    only: ATTENDING,
    choices: ['zero', 'nan'],
    option: 'emptyRows',
    help: 'what queries without keys give',
  },

  output: {
    kind: 'file',
    short: 'o',
    group: 'Results',
    only: ['run'],
    option: 'out',
    help: '.npy (output alone), .npz or .safetensors',
    in: { render: { kind: 'file', short: 'o', help: 'the picture: .svg or .png' } },
  },
  'output-layout': {
    only: ATTENDING,
    choices: ['bshd', 'bhsd'],
    option: 'outputLayout',
    help: 'order of the dimensions; default bshd',
  },
  'output-dtype': {
    choices: ['float32', 'float16', 'bfloat16'],
    only: ['run'],
    option: 'outputDtype',
    help: 'of output and weights',
  },
  weights: {
    choices: ['dense', 'sparse'],
    implied: 'dense',
    only: ['run'],
    option: ['returnAttentionWeights', 'weightsFormat'],
    help: 'return the attention weights',
    in: { render: { kind: 'file', short: 'w', help: 'weights to draw, in place of queries and keys' } },
  },
  'weights-window': {
    kind: 'window',
    only: ['run'],
    option: 'weightsWindow',
    help: 'part of weights and scores: 0:4,0:16 are rows, columns; : is all',
  },
  scores: {
    choices: ['raw', 'softcapped', 'biased'],
    only: ['run'],
    option: 'returnScores',
    help: 'return scores of that stage',
  },
  'log-sum-exp': { only: ['run'], option: 'returnLogSumExp', help: 'return the log-sum-exp of each row' },
  'return-dropout-mask': { only: ['run'], option: 'returnDropoutMask', help: 'return what dropout keeps' },
  mask: {
    choices: ['sparse', 'dense'],
    implied: 'sparse',
    only: ['run'],
    help: 'return the mask that --maskers made',
  },
  'mask-output': { kind: 'file', only: ['run'], help: 'write that mask as --sparse-mask reads it: .npy or .npz' },
  metrics: { only: ['run'], help: 'density, error and recall beside dense attention' },
  sweep: { kind: 'text', only: ['compare'], help: "values of the last masker's parameter: heavySize=0.01,0.02" },
  json: { help: 'one JSON object on standard output' },
  progress: { only: ['run'], help: 'progress on standard error, also where that is no terminal' },

  pipeline: { only: DRAWING, group: 'Picture', kind: 'text', help: 'the same as --maskers' },
  batch: { only: DRAWING, kind: 'count', help: 'default 0' },
  head: { only: DRAWING, kind: 'count', help: 'default 0' },
  rows: { only: DRAWING, kind: 'range', help: 'queries to draw; default all' },
  columns: { only: DRAWING, kind: 'range', help: 'keys to draw; default all' },
  show: { only: DRAWING, choices: ['weights', 'scores', 'mask'], help: 'default weights' },
  scale: { only: DRAWING, choices: SCALES, help: 'from values to colours; default power, with scores linear' },
  exponent: { only: DRAWING, kind: 'number', help: 'of the power; default 0.5' },
  decades: { only: DRAWING, kind: 'number', help: 'of the logarithm; default 4' },
  range: { only: DRAWING, choices: ['head', 'row'], help: 'what the colours span: the head, or each row by itself' },
  'skip-keys': { only: DRAWING, kind: 'count', help: 'first keys, which do not count for the range' },
  colors: { only: DRAWING, choices: RAMP_NAMES, help: 'default viridis' },
  theme: { only: DRAWING, choices: ['light', 'dark'], help: 'default light' },
  numbers: { only: DRAWING, help: 'values in cells, where they fit' },
  tokens: { only: DRAWING, kind: 'file', help: '.json: an array of strings, or { "queries": [..], "keys": [..] }' },
  title: { only: DRAWING, kind: 'textOrNothing', help: "default the head and the maskers; '' is none" },
  'no-legend': { only: DRAWING, help: 'the picture without its legend' },
  width: { only: DRAWING, kind: 'count', help: 'of the figure, in CSS pixels; default 640' },
  'png-scale': { only: DRAWING, choices: ['1', '2', '4'], help: 'pixels of .png per CSS pixel; default 2' },

  variant: { choices: ['auto', 'base', 'relaxed'], group: 'Engine', help: 'base: the same bits everywhere' },
  wasm: { kind: 'file', help: 'a module of your own' },
  'max-memory-bytes': { kind: 'number', help: 'of wasm memory' },
  help: { short: 'h', help: 'this text' },
};

/** The flags of a command, name -> flag. */
export function flagsOf(command) {
  const own = Object.entries(FLAGS).map(([name, flag]) => [name, flag.in?.[command] ?? flag]);
  return new Map(own.filter(([, { only }]) => only === undefined || only.includes(command)));
}

/** The values of a command's flags, by name; those that are not given are absent. */
export function parseFlags(command, args) {
  const flags = flagsOf(command);
  const options = Object.fromEntries(
    [...flags].map(([name, flag]) => [
      name,
      { type: takesValue(flag) ? 'string' : 'boolean', ...(flag.short && { short: flag.short }) },
    ]),
  );
  const { tokens } = parseArgs({ args: withImplied(flags, args), options, strict: false, tokens: true });
  const values = {};
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const flag = flags.get(token.name);
    if (flag === undefined) throw unknownFlag(command, flags, token);
    const value = takesValue(flag) ? readValue(token, flag) : readSwitch(token);
    if (flag.multiple) (values[token.name] ??= []).push(value);
    else values[token.name] = value;
  }
  const places = POSITIONAL[command]?.filter((name) => values[name] === undefined) ?? [];
  for (const { kind, value } of tokens) {
    if (kind !== 'positional') continue;
    const name = places.shift();
    if (name === undefined) throw new UsageError(`unexpected argument '${value}'`);
    values[name] = value;
  }
  return values;
}

function takesValue({ kind, choices }) {
  return kind !== undefined || choices !== undefined;
}

/** Writes out the value of flags that may stand alone: parseArgs knows none. */
function withImplied(flags, args) {
  return args.map((arg, n) => {
    const { implied, choices } = (arg.startsWith('--') && flags.get(arg.slice(2))) || {};
    return implied === undefined || choices.includes(args[n + 1]) ? arg : `${arg}=${implied}`;
  });
}

function readSwitch({ rawName, value }) {
  if (value !== undefined) throw new UsageError(`${rawName}: takes no value, got '${value}'`);
  return true;
}

function readValue({ rawName, value, inlineValue }, flag) {
  const { kind, choices } = flag;
  // What looks like another flag is one, unless it follows an equals sign.
  if (value === undefined || (!inlineValue && /^-(?![\d.]|Infinity)/.test(value))) {
    throw new UsageError(`${rawName}: expected ${choices?.join(', ') ?? KINDS[kind].word}, got nothing`);
  }
  const read = choices === undefined ? KINDS[kind].read(value) : choices.find((choice) => choice === value);
  if (read !== undefined && (read !== '' || KINDS[kind]?.mayBeEmpty)) return read;
  throw new UsageError(`${rawName}: expected ${expectationOf(flag)}, got '${value}'`);
}

function expectationOf({ kind, choices }) {
  if (choices !== undefined) return choices.join(' or ');
  return KINDS[kind].expectation ?? KINDS[kind].word;
}

function unknownFlag(command, flags, { name, rawName }) {
  if (Object.hasOwn(FLAGS, name)) {
    const { only, in: others = {} } = FLAGS[name];
    return new UsageError(
      `${rawName}: a flag of ${[...only, ...Object.keys(others)].join(' and ')}, not of ${command}`,
    );
  }
  const near = name.length > 1 ? nearest(name, new Set(flags.keys())) : undefined;
  const hint = near === undefined ? `see masked-attention ${command} --help` : `did you mean --${near}?`;
  return new UsageError(`${rawName}: unknown flag; ${hint}`);
}

function readNumber(text) {
  if (/^[-+]?Infinity$/.test(text)) return Number(text);
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) ? Number(text) : undefined;
}

/** A number, or a bigint where a number would be another one. */
export function integerOf(text) {
  return Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text);
}

function readInteger(text) {
  return /^-?\d+$/.test(text) ? Number(text) : undefined;
}

function listOf(text, read) {
  const list = text.split(',').map((part) => read(part.trim()));
  return list.includes(undefined) ? undefined : list;
}

/** `0:64` as [0, 64]. */
function readRange(text) {
  const match = /^(\d+):(\d+)$/.exec(text);
  return match === null ? undefined : match.slice(1).map(Number);
}

/** `0:4,0:16` as { rows: [0, 4], columns: [0, 16] }; a side that is `:` or missing is whole. */
function readMatrixWindow(text) {
  const match = /^(?:(\d+):(\d+)|:)?(?:,(?:(\d+):(\d+)|:)?)?$/.exec(text);
  if (match === null || text === '') return undefined;
  const [r0, r1, c0, c1] = match.slice(1).map((part) => part && Number(part));
  return { ...(r1 !== undefined && { rows: [r0, r1] }), ...(c1 !== undefined && { columns: [c0, c1] }) };
}

/** The lines of help on a command's flags, in groups. */
export function describeFlags(command) {
  const lines = [];
  const flags = flagsOf(command);
  for (const [name, { group }] of Object.entries(FLAGS)) {
    if (group !== undefined) lines.push('', `${group}:`);
    if (!flags.has(name)) continue;
    const { short, kind, choices, implied, help } = flags.get(name);
    const word = choices?.join('|') ?? (kind === undefined ? '' : KINDS[kind].word);
    const value = word === '' ? '' : implied === undefined ? ` ${word}` : ` [${word}]`;
    const left = `  ${short === undefined ? '    ' : `-${short}, `}--${name}${value}`;
    lines.push(left.length > 35 ? `${left}\n${' '.repeat(38)}${help}` : `${left.padEnd(38)}${help}`);
  }
  return lines.join('\n');
}
