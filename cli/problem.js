// SPDX-License-Identifier: Apache-2.0

/** From flags to options of the API, and from the API's errors back to flags. */

import { extname } from 'node:path';

import { formatDims, nearest } from '../js/checks.js';
import { createAttention, Mask } from '../js/index.js';
import { EXIT_FAILED, EXIT_USAGE, FileError, UsageError } from './errors.js';
import { Arrays, checkDtype, readBytes } from './files.js';
import { FLAGS } from './flags.js';

const FLOATS = ['float32', 'float16', 'bfloat16'];
const INTEGERS = ['int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64'];

/** Names that the arrays of a file have unless --names says otherwise, and how each is read. */
const TENSORS = {
  queries: { aliases: ['queries', 'q', 'query', 'Q'], read: floatsOnly, isRequired: true },
  keys: { aliases: ['keys', 'k', 'key', 'K'], read: floatsOnly, isRequired: true },
  values: { aliases: ['values', 'v', 'value', 'V'], read: floatsOnly, isRequired: true },
  'attention-mask': { aliases: ['attention-mask', 'attention_mask', 'attentionMask', 'mask'], read: floatsOrBool },
  'dropout-mask': { aliases: ['dropout-mask', 'dropout_mask', 'dropoutMask'], read: boolOnly },
  'alibi-slopes': { aliases: ['alibi-slopes', 'alibi_slopes', 'alibiSlopes'], read: floatsOnly, make: toFloat32 },
  sinks: { aliases: ['sinks'], read: floatsOnly, make: toFloat32 },
  'key-lengths': { aliases: ['key-lengths', 'key_lengths', 'keyLengths'], read: integers, make: toInt32 },
  'query-offset': {
    aliases: ['query-offset', 'query_offset', 'queryOffset'],
    read: (tensor, name) => Array.from(integers(tensor, name)),
    make: (list) => (list.length === 1 ? list[0] : list),
  },
};

/** Flags whose value is that of an option of the API; the others are made by hand. */
const MADE = new Set(['window', 'sparseAttentionMask', 'out']);
const PLAIN = Object.entries(FLAGS).filter(
  ([name, { option }]) => typeof option === 'string' && !(name in TENSORS) && !MADE.has(option),
);

/**
 * Options of getMaskedAttentionOutput.
 * @param optional names of tensors that may be missing
 */
export async function readOptions(flags, optional = []) {
  const options = {};
  for (const [name, { option }] of PLAIN) if (flags[name] !== undefined) options[option] = flags[name];
  if (flags.weights !== undefined) {
    Object.assign(options, { returnAttentionWeights: true, weightsFormat: flags.weights });
  }
  if (flags['window-left'] !== undefined || flags['window-right'] !== undefined) {
    options.window = { left: flags['window-left'], right: flags['window-right'] };
  }
  const names = readNames(flags.names);
  const arrays = new Arrays();
  for (const [name, tensor] of Object.entries(TENSORS)) {
    const isRequired = tensor.isRequired && !optional.includes(name);
    const value = await readTensor(arrays, name, { ...tensor, isRequired }, flags, names);
    if (value !== undefined) options[FLAGS[name].option] = value;
  }
  if (flags['sparse-mask'] !== undefined) options.sparseAttentionMask = await readMask(flags, options);
  return options;
}

/** What --names says, name of a tensor -> name in the file. */
export function readNames(text, known = Object.keys(TENSORS)) {
  const names = new Map();
  for (const part of text?.split(',') ?? []) {
    const [, key, name] = /^\s*([^=]+?)\s*=\s*(.+?)\s*$/.exec(part) ?? [];
    if (key === undefined) throw new UsageError(`names: expected such as queries=Q,keys=K, got '${part}'`);
    if (!known.includes(key)) {
      const near = nearest(key, new Set(known));
      const hint = near === undefined ? '' : `; did you mean ${near}?`;
      throw new UsageError(`names: ${key} is none of ${known.join(', ')}${hint}`);
    }
    names.set(key, name);
  }
  return names;
}

async function readTensor(arrays, name, { aliases, read, make, isRequired }, flags, names) {
  const given = flags[name];
  if (given !== undefined && typeof given !== 'string') return make(given, name);
  const mapped = names.get(name);
  const path = given ?? (isRequired || mapped !== undefined ? flags.input : undefined);
  if (path === undefined) {
    if (isRequired) throw new UsageError(`${name}: missing; pass --${name} FILE, or --input FILE that holds them`);
    if (mapped !== undefined) throw new UsageError(`names: ${name}=${mapped} needs --input or --${name}`);
    return undefined;
  }
  const isMapped = mapped !== undefined || given === undefined;
  return read(await arrays.read(path, name, mapped === undefined ? aliases : [mapped], isMapped), name);
}

function floatsOnly(tensor, name) {
  checkDtype(tensor, FLOATS, name);
  return tensor;
}

function floatsOrBool(tensor, name) {
  checkDtype(tensor, [...FLOATS, 'bool'], name);
  return tensor;
}

function boolOnly(tensor, name) {
  if (tensor.dtype !== 'bool') {
    throw new FileError(`${name}: expected bool, got ${tensor.dtype}; save array.astype(bool)`);
  }
  return tensor;
}

function integers({ data, dims, dtype }, name) {
  // Those of 64 bits come out of .npy files as a Float64Array, out of .safetensors as bigints.
  if (!INTEGERS.includes(dtype)) throw new FileError(`${name}: expected integers, got ${dtype}`);
  if (dims.length > 1) throw new FileError(`${name}: expected 1 dimension, got ${formatDims(dims)}`);
  return toInt32(Array.from(data, Number), name);
}

function toFloat32(list) {
  return Float32Array.from(list);
}

function toInt32(list, name) {
  const array = Int32Array.from(list);
  const wrong = list.find((value, n) => value !== array[n]);
  if (wrong !== undefined) throw new FileError(`${name}: expected integers of 32 bits, got ${wrong}`);
  return array;
}

async function readMask(flags, { queries, keys, inputLayout }) {
  const path = flags['sparse-mask'];
  const shape = flags['sparse-mask-shape'];
  const type = extname(path).toLowerCase();
  if (!['.npy', '.npz'].includes(type)) throw new UsageError(`sparse-mask: expected a file .npy or .npz, got ${path}`);
  if (shape !== undefined && shape.length !== 4) {
    throw new UsageError(`sparse-mask-shape: expected batch,heads,queries,keys, got ${shape.length} numbers`);
  }
  const bytes = readBytes(path, 'sparse-mask');
  try {
    if (type === '.npy') return Mask.fromNpy(bytes, shape);
    const mask = await Mask.fromNpz(bytes, shape);
    if (shape !== undefined || queries.dims.length !== 4 || keys.dims.length !== 4) return mask;
    return await Mask.fromNpz(bytes, shapeOf(mask.shape, queries.dims, keys.dims, inputLayout));
  } catch (cause) {
    throw new FileError(`sparse-mask: ${path}: ${cause.message.replace(/^bytes: /, '')}`, { cause });
  }
}

/** The shape of a mask in a file that has but rows and columns: one row for each batch, head and query. */
function shapeOf([, , rows, columns], queries, keys, layout) {
  const [head, length] = layout === 'bshd' ? [2, 1] : [1, 2];
  const found = new Map();
  for (const batch of [1, queries[0]]) {
    for (const heads of [1, keys[head], queries[head]]) {
      if (batch * heads * queries[length] === rows) {
        found.set(`${batch},${heads}`, [batch, heads, queries[length], columns]);
      }
    }
  }
  if (found.size === 1) return found.values().next().value;
  const why = found.size === 0 ? 'which no batch and heads of this problem give' : 'which could be several shapes';
  throw new RangeError(`a matrix of ${rows} rows, ${why}; pass --sparse-mask-shape`);
}

/** An engine as the flags want it. */
export function openEngine(flags) {
  const { variant, wasm, 'max-memory-bytes': maxMemoryBytes } = flags;
  return createAttention({
    ...(variant !== undefined && { variant }),
    ...(wasm !== undefined && { wasm: readBytes(wasm, 'wasm') }),
    ...(maxMemoryBytes !== undefined && { maxMemoryBytes }),
  });
}

const FLAG_OF_OPTION = new Map([
  ...Object.entries(FLAGS).flatMap(([name, { option }]) => (typeof option === 'string' ? [[option, name]] : [])),
  ...['batch', 'head', 'rows', 'columns', 'exponent', 'decades', 'width'].map((name) => [name, name]),
  ['skipKeys', 'skip-keys'],
  ['window.left', 'window-left'],
  ['window.right', 'window-right'],
  ['maxMemoryBytes', 'max-memory-bytes'],
  ['variant', 'variant'],
  ['maskers', 'maskers'],
  ['pipelines', 'maskers'],
]);

/**
 * The message of an error in terms of flags, and the exit code: the command line is wrong where an option is
 * whose value stands in it, or should.
 */
export function explainError(error, flags) {
  if (error instanceof UsageError) return { message: error.message, code: EXIT_USAGE };
  if (error.code === 'out-of-memory') {
    const message = error.message.replace('maxMemoryBytes', '--max-memory-bytes');
    return { message: `out of memory: ${message}`, code: EXIT_FAILED };
  }
  const [option] = /^[a-z]+(?:\.(?:left|right))?(?=[:.[])/i.exec(error.message) ?? [];
  const name = FLAG_OF_OPTION.get(option);
  if (name === undefined || error instanceof FileError) return { message: error.message, code: EXIT_FAILED };
  const { kind } = FLAGS[name];
  const isInFile = kind === 'file' || (kind?.endsWith('OrFile') && typeof flags[name] === 'string');
  return { message: name + error.message.slice(option.length), code: isInFile ? EXIT_FAILED : EXIT_USAGE };
}
