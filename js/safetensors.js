// SPDX-License-Identifier: Apache-2.0
/**
 * Reads and writes .safetensors files: an unsigned 64-bit header length, a JSON header, then the bytes of every tensor,
 * gap-free. The reader trusts nothing: whatever a file claims is checked before a view is made. The same module
 * serves the package, the page, the tests and the tool that makes the samples.
 */

const MAX_HEADER_BYTES = 100_000_000;

/** Element types of the format: array class and the name used in a tensor's `dtype`. 16-bit floats stay raw bits. */
const TYPES = {
  F32: { array: Float32Array, dtype: 'float32' },
  F16: { array: Uint16Array, dtype: 'float16' },
  BF16: { array: Uint16Array, dtype: 'bfloat16' },
  F64: { array: Float64Array, dtype: 'float64' },
  BOOL: { array: Uint8Array, dtype: 'bool' },
  U8: { array: Uint8Array, dtype: 'uint8' },
  I8: { array: Int8Array, dtype: 'int8' },
  U16: { array: Uint16Array, dtype: 'uint16' },
  I16: { array: Int16Array, dtype: 'int16' },
  U32: { array: Uint32Array, dtype: 'uint32' },
  I32: { array: Int32Array, dtype: 'int32' },
  U64: { array: BigUint64Array, dtype: 'uint64' },
  I64: { array: BigInt64Array, dtype: 'int64' },
};

/** What is wrong with a file, in one sentence. */
export class SafetensorsError extends RangeError {
  constructor(message, options) {
    super(`safetensors: ${message}`, options);
    this.name = 'SafetensorsError';
  }
}

/**
 * Parses a whole file. Tensors are views of the buffer where its alignment allows, copies where not.
 * @param {ArrayBuffer | Uint8Array} file
 * @typedef {{ data: ArrayBufferView, dims: number[], dtype: string }} Tensor
 * @returns {{ metadata: Map<string, string>, tensors: Map<string, Tensor> }}
 */
export function parseSafetensors(file) {
  const bytes = file instanceof Uint8Array ? file : new Uint8Array(file);
  const { header, body } = splitHeader(bytes);
  const metadata = new Map();
  const tensors = new Map();
  const spans = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') {
      for (const [key, value] of Object.entries(requireObject(entry, name))) {
        if (typeof value !== 'string') throw new SafetensorsError(`metadata "${key}" is not a string`);
        metadata.set(key, value);
      }
      continue;
    }
    const { type, dims, begin, end } = checkEntry(name, requireObject(entry, name), body.length);
    spans.push({ name, begin, end });
    tensors.set(name, { data: view(body.subarray(begin, end), type.array), dims, dtype: type.dtype });
  }
  checkCoverage(spans, body.length);
  return { metadata, tensors };
}

/**
 * Builds a file. Tensors are laid out widest elements first, so that every one of them is aligned.
 * @param {Iterable<[string, { data: ArrayBufferView, dims: readonly number[], dtype?: string }]>} tensors
 * @param {Record<string, string>} [metadata]
 * @returns {Uint8Array}
 */
export function formatSafetensors(tensors, metadata = {}) {
  const sorted = [...tensors].sort(([, a], [, b]) => b.data.BYTES_PER_ELEMENT - a.data.BYTES_PER_ELEMENT);
  const header = { __metadata__: metadata };
  let end = 0;
  for (const [name, { data, dims, dtype }] of sorted) {
    const fits = ([, type]) => data instanceof type.array && (!dtype || type.dtype === dtype);
    const [type] = Object.entries(TYPES).find(fits) ?? [];
    if (!type) throw new SafetensorsError(`"${name}": no element type for ${data.constructor.name} as ${dtype}`);
    if (product(dims) !== data.length) {
      throw new SafetensorsError(`"${name}": dims [${dims}] want ${product(dims)} elements, got ${data.length}`);
    }
    header[name] = { dtype: type, shape: [...dims], data_offsets: [end, (end += data.byteLength)] };
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const headerBytes = Math.ceil(text.length / 8) * 8;
  const file = new Uint8Array(8 + headerBytes + end).fill(0x20, 8, 8 + headerBytes); // padded with spaces
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.set(text, 8);
  for (const [name, { data }] of sorted) {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    file.set(bytes, 8 + headerBytes + header[name].data_offsets[0]);
  }
  return file;
}

function splitHeader(bytes) {
  if (bytes.length < 8) throw new SafetensorsError(`the file has ${bytes.length} bytes, too few for the header length`);
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES) throw new SafetensorsError(`a header of ${length} bytes is over the limit of 100 MB`);
  const end = 8 + Number(length);
  if (end > bytes.length) {
    throw new SafetensorsError(`the header wants ${length} bytes, but only ${bytes.length - 8} follow its length`);
  }
  let header;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, end)));
  } catch (cause) {
    throw new SafetensorsError('the header is not valid JSON', { cause });
  }
  return { header: requireObject(header, 'the header'), body: bytes.subarray(end) };
}

function requireObject(value, name) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new SafetensorsError(`"${name}" is not an object`);
  }
  return value;
}

function checkEntry(name, { dtype, shape, data_offsets: offsets }, bodyBytes) {
  if (typeof dtype !== 'string' || !Object.hasOwn(TYPES, dtype)) {
    throw new SafetensorsError(`"${name}": unknown element type ${JSON.stringify(dtype)}`);
  }
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    throw new SafetensorsError(`"${name}": shape is not a list of sizes`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount) || offsets[0] > offsets[1]) {
    throw new SafetensorsError(`"${name}": data_offsets is not [begin, end]`);
  }
  const [begin, end] = offsets;
  if (end > bodyBytes) {
    throw new SafetensorsError(`"${name}": ends at byte ${end}, but the file holds ${bodyBytes} bytes of data`);
  }
  const type = TYPES[dtype];
  const want = product(shape) * type.array.BYTES_PER_ELEMENT;
  if (want !== end - begin) {
    throw new SafetensorsError(`"${name}": ${dtype} [${shape}] takes ${want} bytes, its offsets span ${end - begin}`);
  }
  return { type, dims: shape, begin, end };
}

function checkCoverage(spans, bodyBytes) {
  let covered = 0;
  let previous = 'the header';
  for (const { name, begin, end } of spans.sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin < covered) throw new SafetensorsError(`"${name}" overlaps "${previous}"`);
    if (begin > covered) throw new SafetensorsError(`${begin - covered} bytes before "${name}" belong to no tensor`);
    covered = end;
    previous = name;
  }
  if (covered !== bodyBytes) throw new SafetensorsError(`the last ${bodyBytes - covered} bytes belong to no tensor`);
}

function view(bytes, TypedArray) {
  const aligned = bytes.byteOffset % TypedArray.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice();
  return new TypedArray(aligned.buffer, aligned.byteOffset, aligned.byteLength / TypedArray.BYTES_PER_ELEMENT);
}

function isCount(value) {
  return Number.isSafeInteger(value) && value >= 0;
}

/** Exact while it is a safe integer; beyond, it is larger than any file and so never equal to a span. */
function product(dims) {
  return dims.reduce((total, size) => total * size, 1);
}
