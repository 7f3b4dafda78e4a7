// SPDX-License-Identifier: Apache-2.0
// Bad input: the right class, a message that names the argument, the value and what was expected, nothing changed, and
// the next valid call works.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { AttentionError, Mask, createAttention, getNumKeyValueGroups, repeatKv } from '../js/index.js';
import * as abi from '../js/abi.js';
import { ERROR_CODES, STATUS_ERRORS, statusError } from '../js/errors.js';
import { Random, tensor } from './random.js';
import { differsAt } from './support.js';

const f32 = (...dims) => tensor(new Random(1, ...dims), dims);
const bool = (...dims) => ({ data: new Uint8Array(dims.reduce((a, b) => a * b, 1)).fill(1), dims });

const valid = () => ({ queries: f32(2, 4, 5, 8), keys: f32(2, 2, 7, 8), values: f32(2, 2, 7, 6) });
const maskShape = [2, 4, 5, 7];

function detached(array) {
  structuredClone(array.buffer, { transfer: [array.buffer] });
  return array;
}

let attention, expected;
before(async () => {
  attention = await createAttention({ variant: 'base' });
  expected = attention.getMaskedAttentionOutput(valid()).output.data;
});
after(() => attention.dispose());

/** `call` throws an error of `kind` whose message matches every pattern; memory and the next result stay the same. */
function refuses(call, kind, ...patterns) {
  const used = attention.info().usedBytes;
  assert.equal(typeof used, 'number', 'info().usedBytes');
  let error;
  try {
    call();
  } catch (thrown) {
    error = thrown;
  }
  assert.ok(error, `expected a ${kind.name ?? kind} matching ${patterns.join(', ')}, nothing was thrown`);
  if (typeof kind === 'string') {
    assert.ok(error instanceof AttentionError, String(error.stack));
    assert.equal(error.code, kind, error.message);
  } else assert.equal(error.constructor, kind, String(error.stack));
  for (const pattern of patterns) assert.match(error.message, pattern);
  assert.equal(attention.info().usedBytes, used, `bytes in use after: ${error.message}`);
  assert.equal(
    differsAt(attention.getMaskedAttentionOutput(valid()).output.data, expected),
    -1,
    `the next call after: ${error.message}`,
  );
  return error;
}

/** The asynchronous call rejects with what the synchronous one throws, and never throws itself. */
async function refusesAsync(options, { constructor, code, message }) {
  const used = attention.info().usedBytes;
  const call = attention.getMaskedAttentionOutputAsync(options);
  await assert.rejects(
    call,
    (error) => error.constructor === constructor && error.code === code && error.message === message,
  );
  assert.equal(attention.info().usedBytes, used, `bytes in use after: ${message}`);
}

const attend = (changes) => attention.getMaskedAttentionOutput({ ...valid(), ...changes });
const outCopy = () => ({ output: { data: new Float32Array(2 * 5 * 4 * 6).fill(7), dims: [2, 5, 4, 6] } });

// name: [changes to a valid call, class, what the message says...]
const badInputs = {
  // what is not a tensor
  'queries missing': [{ queries: undefined }, TypeError, /queries/, /undefined/],
  'keys null': [{ keys: null }, TypeError, /keys/, /null/],
  'values a bare array': [{ values: new Float32Array(4) }, TypeError, /values/, /data.*dims/],
  'queries a plain array': [{ queries: { data: [1, 2], dims: [1, 1, 1, 2] } }, TypeError, /queries/, /Float32Array/],
  'queries in Float64Array': [
    { queries: { data: new Float64Array(320), dims: [2, 4, 5, 8] } },
    TypeError,
    /queries/,
    /Float32Array/,
    /Float64Array/,
  ],
  'queries in Int32Array': [
    { queries: { data: new Int32Array(320), dims: [2, 4, 5, 8] } },
    TypeError,
    /queries/,
    /Int32Array/,
  ],
  'queries boolean': [{ queries: bool(2, 4, 5, 8) }, TypeError, /queries/, /bool/],
  'queries a DataView': [
    { queries: { data: new DataView(new ArrayBuffer(8)), dims: [1, 1, 1, 2] } },
    TypeError,
    /queries/,
  ],
  'Uint16Array without dtype': [
    { keys: { data: new Uint16Array(224), dims: [2, 2, 7, 8] } },
    TypeError,
    /keys/,
    /float16.*bfloat16/,
  ],
  'dtype unknown': [{ keys: { ...f32(2, 2, 7, 8), dtype: 'float64' } }, TypeError, /keys/, /float64/],
  'dtype of another array': [{ keys: { ...f32(2, 2, 7, 8), dtype: 'float16' } }, TypeError, /keys/, /float16/],
  'dims missing': [{ keys: { data: new Float32Array(4) } }, TypeError, /keys\.?dims|keys/, /undefined/],
  'dims a number': [{ keys: { data: new Float32Array(4), dims: 4 } }, TypeError, /keys/, /dim/],
  'dims of three': [{ keys: { data: new Float32Array(112), dims: [2, 7, 8] } }, RangeError, /keys/, /4 dim/],
  'dims negative': [{ keys: { data: new Float32Array(4), dims: [2, -2, 7, 8] } }, RangeError, /keys/, /-2/],
  'dims fractional': [{ keys: { data: new Float32Array(4), dims: [2, 1.5, 7, 8] } }, RangeError, /keys/, /1\.5/],
  'dims huge': [{ keys: { data: new Float32Array(4), dims: [2 ** 30, 2 ** 30, 2 ** 30, 8] } }, RangeError, /keys/],
  'dims strings': [{ keys: { ...f32(2, 2, 7, 8), dims: ['2', '2', '7', '8'] } }, TypeError, /keys/],
  // lengths and dims that disagree
  'too few elements': [
    { keys: { data: new Float32Array(223), dims: [2, 2, 7, 8] } },
    RangeError,
    /keys: expected 224 elements \(2 x 2 x 7 x 8\), got 223/,
  ],
  'too many elements': [
    { values: { data: new Float32Array(169), dims: [2, 2, 7, 6] } },
    RangeError,
    /values: expected 168 elements \(2 x 2 x 7 x 6\), got 169/,
  ],
  'batch of keys': [{ keys: f32(1, 2, 7, 8) }, RangeError, /keys/, /queries/, /batch/, /\b1\b/, /\b2\b/],
  'batch of values': [{ values: f32(3, 2, 7, 6) }, RangeError, /values/, /batch/, /\b3\b/],
  'dim of keys': [{ keys: f32(2, 2, 7, 9) }, RangeError, /keys/, /queries/, /\b9\b/, /\b8\b/],
  'length of values': [{ values: f32(2, 2, 8, 6) }, RangeError, /values/, /keys/, /\b8\b/, /\b7\b/],
  'key heads': [
    { keys: f32(2, 3, 7, 8) },
    RangeError,
    /keys/,
    /num_attention_heads \(4\) must be divisible by num_key_value_heads \(3\)/,
  ],
  'value heads': [
    { values: f32(2, 3, 7, 6) },
    RangeError,
    /values/,
    /num_attention_heads \(4\) must be divisible by num_key_value_heads \(3\)/,
  ],
  'more key heads than heads': [
    { keys: f32(2, 8, 7, 8) },
    RangeError,
    /num_attention_heads \(4\) must be divisible by num_key_value_heads \(8\)/,
  ],
  'no key heads': [{ keys: f32(2, 0, 7, 8) }, RangeError, /num_key_value_heads \(0\)/],
  // attention mask
  'mask in Int32Array': [
    { attentionMask: { data: new Int32Array(35), dims: [5, 7] } },
    TypeError,
    /attentionMask/,
    /bool/,
    /Float32Array|float/,
  ],
  'mask shorter than keys': [{ attentionMask: f32(5, 6) }, RangeError, /attentionMask/, /5 x 6/, /\b7\b/],
  'mask of other queries': [{ attentionMask: f32(4, 7) }, RangeError, /attentionMask/, /4 x 7/],
  'mask of other heads': [{ attentionMask: f32(2, 5, 7) }, RangeError, /attentionMask/, /2 x 5 x 7/],
  'mask of other batch': [{ attentionMask: f32(3, 1, 5, 7) }, RangeError, /attentionMask/, /3 x 1 x 5 x 7/],
  'mask of rank 5': [{ attentionMask: f32(1, 1, 1, 5, 7) }, RangeError, /attentionMask/, /\b5\b/],
  'mask of rank 0': [{ attentionMask: { data: new Float32Array(1), dims: [] } }, RangeError, /attentionMask/],
  'mask a Mask': [{ attentionMask: Mask.full(maskShape) }, TypeError, /attentionMask/],
  // numbers
  'scaling NaN': [{ scaling: NaN }, RangeError, /scaling/, /NaN/],
  'scaling infinite': [{ scaling: Infinity }, RangeError, /scaling/, /Infinity/],
  'scaling beyond float32': [{ scaling: 1e39 }, RangeError, /scaling/, /1e\+39/],
  'scaling a string': [{ scaling: '1' }, TypeError, /scaling/, /'1'/],
  'scaling a bigint': [{ scaling: 1n }, TypeError, /scaling/, /1n/],
  'softcap negative': [{ softcap: -1 }, RangeError, /softcap/, /-1/],
  'softcap NaN': [{ softcap: NaN }, RangeError, /softcap/, /NaN/],
  'softcap infinite': [{ softcap: Infinity }, RangeError, /softcap/, /Infinity/],
  'slopes too few': [{ alibiSlopes: new Float32Array(3) }, RangeError, /alibiSlopes/, /\b4\b/, /\b3\b/],
  'slopes a plain array': [{ alibiSlopes: [1, 1, 1, 1] }, TypeError, /alibiSlopes/],
  'slopes NaN': [{ alibiSlopes: Float32Array.of(1, NaN, 1, 1) }, RangeError, /alibiSlopes/, /NaN/],
  'sinks too many': [{ sinks: new Float32Array(5) }, RangeError, /sinks/, /\b4\b/, /\b5\b/],
  'sinks NaN': [{ sinks: Float32Array.of(NaN, 0, 0, 0) }, RangeError, /sinks/, /NaN/],
  'sinks +Infinity': [{ sinks: Float32Array.of(0, 0, 0, Infinity) }, RangeError, /sinks/, /Infinity/],
  // positions
  'causal a number': [{ causal: 1 }, TypeError, /causal/, /\b1\b/],
  'window a number': [{ window: 4 }, TypeError, /window/, /\b4\b/],
  'window negative': [{ window: { left: -1 } }, RangeError, /window/, /left/, /-1/],
  'window fractional': [{ window: { right: 1.5 } }, RangeError, /window/, /right/, /1\.5/],
  'window misspelt': [{ window: { lefft: 1 } }, TypeError, /lefft/, /left/],
  'keyOffset negative': [{ keyOffset: -1 }, RangeError, /keyOffset/, /-1/],
  'keyOffset beyond int32': [{ keyOffset: 2 ** 31 }, RangeError, /keyOffset/, /2147483648/],
  'queryOffset fractional': [{ queryOffset: 0.5 }, RangeError, /queryOffset/, /0\.5/],
  'queryOffset beyond int32': [{ queryOffset: -(2 ** 31) - 1 }, RangeError, /queryOffset/],
  'queryOffset of another batch': [
    { queryOffset: Int32Array.of(1, 2, 3) },
    RangeError,
    /queryOffset/,
    /\b2\b/,
    /\b3\b/,
  ],
  'keyLengths a number': [{ keyLengths: 7 }, TypeError, /keyLengths/],
  'keyLengths of another batch': [{ keyLengths: Int32Array.of(7) }, RangeError, /keyLengths/, /\b2\b/, /\b1\b/],
  'keyLengths negative': [{ keyLengths: Int32Array.of(7, -1) }, RangeError, /keyLengths/, /-1/, /7/],
  'keyLengths too large': [{ keyLengths: Int32Array.of(8, 7) }, RangeError, /keyLengths/, /8/, /7/],
  // dropout
  'dropout negative': [{ dropout: -0.1 }, RangeError, /dropout/, /-0\.1/],
  'dropout over 1': [{ dropout: 1.5 }, RangeError, /dropout/, /1\.5/],
  'dropout NaN': [{ dropout: NaN, training: true, seed: 1 }, RangeError, /dropout/, /NaN/],
  'dropout without seed': [{ dropout: 0.5, training: true }, TypeError, /seed/],
  'seed negative': [{ seed: -1 }, RangeError, /seed/, /-1/],
  'seed fractional': [{ seed: 0.5 }, RangeError, /seed/, /0\.5/],
  'seed beyond 64 bits': [{ seed: 1n << 64n }, RangeError, /seed/, /18446744073709551616/],
  'seed a string': [{ seed: '1' }, TypeError, /seed/],
  'training a string': [{ training: 'yes' }, TypeError, /training/, /yes/],
  'placement unknown': [{ dropoutPlacement: 'never' }, RangeError, /dropoutPlacement/, /never/, /before-normalization/],
  'dropout mask of floats': [
    { dropout: 0.5, training: true, dropoutMask: f32(2, 4, 5, 7) },
    TypeError,
    /dropoutMask/,
    /bool/,
  ],
  'dropout mask of another shape': [
    { dropout: 0.5, training: true, dropoutMask: bool(2, 4, 5, 6) },
    RangeError,
    /dropoutMask/,
  ],
  // sparse mask
  'sparse mask not a Mask': [{ sparseAttentionMask: { shape: maskShape } }, TypeError, /sparseAttentionMask/, /Mask/],
  'sparse mask of other keys': [
    { sparseAttentionMask: Mask.full([2, 4, 5, 8]) },
    RangeError,
    /sparseAttentionMask/,
    /2 x 4 x 5 x 8/,
  ],
  'sparse mask of other heads': [
    { sparseAttentionMask: Mask.full([2, 3, 5, 7]) },
    RangeError,
    /sparseAttentionMask/,
    /2 x 3 x 5 x 7/,
  ],
  'weighting unknown': [{ maskWeighting: 'divide' }, RangeError, /maskWeighting/, /divide/, /multiply/, /inverse/],
  // results
  'option misspelt': [{ atentionMask: f32(5, 7) }, TypeError, /atentionMask/, /attentionMask/],
  'option in snake case': [{ attention_mask: f32(5, 7) }, TypeError, /attention_mask/, /attentionMask/],
  'option unheard of': [{ temperature: 1 }, TypeError, /temperature/],
  'layout unknown': [{ inputLayout: 'sbhd' }, RangeError, /inputLayout/, /sbhd/, /bhsd/],
  'output layout unknown': [{ outputLayout: 'hbsd' }, RangeError, /outputLayout/, /hbsd/],
  'output dtype unknown': [{ outputDtype: 'float64' }, RangeError, /outputDtype/, /float64/],
  'empty rows unknown': [{ emptyRows: 'one' }, RangeError, /emptyRows/, /one/],
  'scores unknown': [{ returnScores: 'all' }, RangeError, /returnScores/, /all/],
  'scores a boolean': [{ returnScores: true }, TypeError, /returnScores/, /true/],
  'weights a string': [{ returnAttentionWeights: 'yes' }, TypeError, /returnAttentionWeights/],
  'window of weights beyond': [
    { returnAttentionWeights: true, weightsWindow: { rows: [0, 6], columns: [0, 7] } },
    RangeError,
    /weightsWindow/,
    /\b6\b/,
    /\b5\b/,
  ],
  'window of weights reversed': [
    { returnAttentionWeights: true, weightsWindow: { rows: [3, 2], columns: [0, 7] } },
    RangeError,
    /weightsWindow/,
  ],
  'format of weights unknown': [
    { returnAttentionWeights: true, weightsFormat: 'csr' },
    RangeError,
    /weightsFormat/,
    /csr/,
    /dense/,
    /sparse/,
  ],
  'format of weights a boolean': [{ weightsFormat: true }, TypeError, /weightsFormat/, /true/],
  'sparse weights into arrays': [
    { weightsFormat: 'sparse', out: { weights: { data: new Float32Array(280), dims: [2, 4, 5, 7] } } },
    TypeError,
    /out\.weights/,
    /weightsFormat: 'sparse'/,
  ],
  'rowMaxOver of an output': [{ rowMaxOver: 'kept' }, TypeError, /rowMaxOver/],
  // out
  'out not an object': [{ out: 1 }, TypeError, /out/],
  'out misspelt': [{ out: { ouput: outCopy().output } }, TypeError, /ouput/, /output/],
  'out of other dims': [
    { out: { output: { data: new Float32Array(240), dims: [2, 4, 5, 6] } } },
    RangeError,
    /out\.output/,
    /2 x 5 x 4 x 6/,
    /2 x 4 x 5 x 6/,
  ],
  'out for what is not wanted': [
    { returnLogSumExp: false, out: { logSumExp: { data: new Float32Array(40), dims: [2, 4, 5] } } },
    RangeError,
    /returnLogSumExp/,
    /true, or nothing/,
    /false/,
  ],
  'out of another dtype': [
    { out: { output: { data: new Uint16Array(240), dims: [2, 5, 4, 6], dtype: 'float16' } } },
    TypeError,
    /out\.output/,
    /float32/,
  ],
};

for (const [name, [changes, kind, ...patterns]] of Object.entries(badInputs))
  test(`refused: ${name}`, async () => {
    const error = refuses(() => attend(changes), kind, ...patterns);
    await refusesAsync({ ...valid(), ...changes }, error);
    const explained = refuses(() => attention.explain({ ...valid(), ...changes }), kind, ...patterns);
    assert.equal(explained.message, error.message);
  });

test('refused: what is not an options object', async () => {
  for (const options of [undefined, null, [], 'queries']) {
    const error = refuses(() => attention.getMaskedAttentionOutput(options), TypeError, /options/);
    await refusesAsync(options, error);
    assert.equal(refuses(() => attention.explain(options), TypeError, /options/).message, error.message);
  }
});

test('refused: what is not a control of an asynchronous call', async () => {
  const refused = (control, ...patterns) =>
    assert.rejects(attention.getMaskedAttentionOutputAsync(valid(), control), (error) => {
      assert.equal(error.constructor, TypeError, String(error.stack));
      for (const pattern of patterns) assert.match(error.message, pattern);
      return true;
    });
  const used = attention.info().usedBytes;
  await refused(null, /control/, /null/);
  await refused(() => {}, /control/, /function/);
  await refused({ sginal: undefined }, /control\.sginal/, /signal/);
  await refused({ onprogress: () => {} }, /control\.onprogress/, /onProgress/);
  for (const signal of [null, true, {}, new AbortController()]) await refused({ signal }, /signal/, /AbortSignal/);
  for (const onProgress of [null, 1, {}]) await refused({ onProgress }, /onProgress/, /function/);
  assert.equal(attention.info().usedBytes, used);
  const absent = { signal: undefined, onProgress: undefined };
  const { output } = await attention.getMaskedAttentionOutputAsync(valid(), absent);
  assert.equal(differsAt(output.data, expected), -1);
});

test('refused calls leave `out` as it was', () => {
  const out = outCopy();
  refuses(() => attend({ out, scaling: NaN }), RangeError, /scaling/);
  refuses(() => attend({ out, keyLengths: Int32Array.of(8, 7) }), RangeError, /keyLengths/);
  assert.ok(out.output.data.every((value) => value === 7));
});

test('refused: results that overlap an input or each other', () => {
  const buffer = new ArrayBuffer(8192);
  const at = (offset, length, dims) => ({ data: new Float32Array(buffer, offset, length), dims });
  const queries = at(0, 320, [2, 4, 5, 8]);
  const overlapping = { output: at(1276, 240, [2, 5, 4, 6]) };
  refuses(() => attend({ queries, out: overlapping }), RangeError, /out\.output/, /queries/);
  const apart = { output: at(1280, 240, [2, 5, 4, 6]) };
  attend({ queries, out: apart });
  refuses(
    () =>
      attend({
        returnAttentionWeights: true,
        out: { output: at(1280, 240, [2, 5, 4, 6]), weights: at(2236, 280, [2, 4, 5, 7]) },
      }),
    RangeError,
    /out\.(output|weights)/,
    /overlap/,
  );
});

test('refused: detached buffers', () => {
  const queries = { data: detached(new Float32Array(320)), dims: [2, 4, 5, 8] };
  refuses(() => attend({ queries }), TypeError, /queries/, /detached/);
  refuses(() => attend({ keyLengths: detached(new Int32Array(2)) }), TypeError, /keyLengths/, /detached/);
  refuses(() => attend({ sinks: detached(new Float32Array(4)) }), TypeError, /sinks/, /detached/);
  refuses(
    () => attend({ attentionMask: { data: detached(new Uint8Array(35)), dims: [5, 7] } }),
    TypeError,
    /attentionMask/,
    /detached/,
  );
  refuses(
    () => attend({ out: { output: { data: detached(new Float32Array(240)), dims: [2, 5, 4, 6] } } }),
    TypeError,
    /out\.output/,
    /detached/,
  );
  // An empty array on a live buffer is not detached.
  attention.getMaskedAttentionOutput({ queries: f32(1, 1, 0, 8), keys: f32(1, 1, 3, 8), values: f32(1, 1, 3, 8) });
  refuses(
    () => attend({ queries: { data: detached(new Float32Array(0)), dims: [2, 4, 0, 8] } }),
    TypeError,
    /queries/,
    /detached/,
  );
});

test('refused: options that the method does not take', () => {
  refuses(() => attention.getAttentionPartials({ ...valid(), sinks: new Float32Array(4) }), TypeError, /sinks/);
  refuses(
    () => attention.getAttentionNumerator({ ...valid(), returnAttentionWeights: true }),
    TypeError,
    /returnAttentionWeights/,
  );
  refuses(
    () => attention.getAttentionPartials({ ...valid(), rowMaxOver: 'all' }),
    RangeError,
    /rowMaxOver/,
    /all/,
    /kept/,
  );
});

test('an option that is undefined is absent, in every method', () => {
  const absent = { sinks: undefined, emptyRows: undefined, outputLayout: undefined, returnAttentionWeights: undefined };
  const partials = attention.getAttentionPartials({ ...valid(), ...absent, rowMaxOver: undefined });
  attention.getAttentionNumerator({ ...valid(), ...absent });
  attention.getMaskedAttentionOutput({ ...valid(), ...absent, out: undefined, window: undefined, seed: undefined });
  attention.finishPartials(partials, { sinks: undefined, emptyRows: undefined, outputLayout: undefined });
});

test('refused: partials that are none, or do not fit together', () => {
  const partials = attention.getAttentionPartials(valid());
  const other = attention.getAttentionPartials({ ...valid(), queries: f32(2, 4, 6, 8) });
  refuses(() => attention.mergePartials(), TypeError, /partials/);
  refuses(() => attention.mergePartials([]), TypeError, /partials/);
  refuses(() => attention.mergePartials([partials, null]), TypeError, /partials/);
  refuses(() => attention.mergePartials([partials, other]), RangeError, /2 x 4 x 5 x 6/, /2 x 4 x 6 x 6/);
  refuses(() => attention.mergePartials([{ ...partials, rowMax: other.rowMax }]), RangeError, /rowMax/);
  refuses(() => attention.finishPartials(undefined), TypeError, /partials/);
  refuses(() => attention.finishPartials({ ...partials, denominator: undefined }), TypeError, /denominator/);
  refuses(() => attention.finishPartials(partials, { sinks: new Float32Array(3) }), RangeError, /sinks/, /\b4\b/);
  refuses(() => attention.finishPartials(partials, { layout: 'bhsd' }), TypeError, /layout/);
});

test('refused: bad arguments of createAttention', async () => {
  const rejected = async (options, kind, ...patterns) => {
    const error = await createAttention(options).then(
      () => undefined,
      (thrown) => thrown,
    );
    assert.ok(error, `nothing was thrown, expected ${patterns}`);
    if (typeof kind === 'string') assert.equal(error.code, kind, String(error.stack));
    else assert.equal(error.constructor, kind, String(error.stack));
    for (const pattern of patterns) assert.match(error.message, pattern);
  };
  await rejected({ variant: 'fast' }, RangeError, /variant/, /fast/, /base/);
  await rejected({ variant: 1 }, TypeError, /variant/);
  await rejected({ maxMemoryBytes: -1 }, RangeError, /maxMemoryBytes/, /-1/);
  await rejected({ maxMemoryBytes: '1' }, TypeError, /maxMemoryBytes/);
  await rejected({ memory: 1 }, TypeError, /memory/, /maxMemoryBytes|wasm/);
  await rejected({ wasm: 1 }, TypeError, /wasm/);
  await rejected({ wasm: new Uint8Array(8) }, 'wasm-unavailable', /wasm/);
  await rejected({ wasm: new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]) }, 'wasm-unavailable', /./); // another module
  await rejected(null, TypeError, /options/);
  (await createAttention()).dispose();
});

test('refused: bad masks', () => {
  const shape = [1, 1, 2, 3];
  const indices = (arrays) => () => Mask.fromIndices(shape, { ptr: [0, 1, 2], indices: [0, 1], ...arrays });
  Mask.fromIndices(shape, { ptr: [0, 1, 2], indices: [0, 1] });
  refuses(() => new Mask(), TypeError, /Mask/);
  refuses(() => Mask.full([2, 3]), RangeError, /shape/);
  refuses(() => Mask.full('1x1'), TypeError, /shape/);
  refuses(() => Mask.full([1, 1, -2, 3]), RangeError, /shape/, /-2/);
  refuses(() => Mask.fromDense(shape, [1, 0, 1, 1, 0, 1]), TypeError, /weights/);
  refuses(() => Mask.fromDense(shape, new Float32Array(5)), RangeError, /weights/, /\b6\b/, /\b5\b/);
  refuses(() => Mask.fromDense(shape, Float32Array.of(1, 0, -1, 1, 0, 1)), RangeError, /weights\[2\]/, /-1/);
  refuses(() => Mask.fromDense(shape, Float32Array.of(1, 0, NaN, 1, 0, 1)), RangeError, /weights\[2\]/, /NaN/);
  refuses(
    () => Mask.fromDense(shape, Float32Array.of(1, 0, Infinity, 1, 0, 1)),
    RangeError,
    /weights\[2\]/,
    /Infinity/,
  );
  refuses(() => Mask.fromDense(shape, detached(new Float32Array(6))), TypeError, /weights/, /detached/);
  refuses(indices({ ptr: [0, 1] }), RangeError, /ptr/, /\b3\b/, /\b2\b/);
  refuses(indices({ ptr: [0, 2, 1] }), RangeError, /ptr\[2\]/, /\b1\b/);
  refuses(indices({ ptr: [1, 1, 2] }), RangeError, /ptr\[0\]/);
  refuses(indices({ ptr: [0, 1, 3] }), RangeError, /ptr|indices/, /\b3\b/);
  refuses(indices({ ptr: [0, 1, 1] }), RangeError, /indices/, /\b1\b/, /\b2\b/);
  refuses(indices({ ptr: [0, 0.5, 2] }), RangeError, /ptr\[1\]/, /0\.5/);
  refuses(indices({ ptr: undefined }), TypeError, /ptr/);
  refuses(indices({ indices: [0, 3] }), RangeError, /indices\[1\]/, /\b3\b/);
  refuses(indices({ indices: [0, -1] }), RangeError, /indices\[1\]/, /-1/);
  refuses(indices({ indices: [0, 0.5] }), RangeError, /indices\[1\]/, /0\.5/);
  refuses(indices({ indices: new Float32Array(2) }), TypeError, /indices/, /Float32Array/);
  refuses(indices({ weights: [1] }), RangeError, /weights/, /\b2\b/, /\b1\b/);
  refuses(indices({ weights: [1, -1] }), RangeError, /weights\[1\]/, /-1/);
  refuses(indices({ weights: [1, NaN] }), RangeError, /weights\[1\]/, /NaN/);
  refuses(indices({ weights: [1, 1e39] }), RangeError, /weights\[1\]/, /1e\+39/);
  refuses(indices({ columns: [1] }), TypeError, /columns/);
  refuses(indices({ indices: detached(new Int32Array(2)) }), TypeError, /indices/, /detached/);
  refuses(indices({ ptr: detached(new Int32Array(3)) }), TypeError, /ptr/, /detached/);
  refuses(() => Mask.fromRowWiseIndices(shape, [0, 1, 2]), RangeError, /indices/);
  refuses(() => Mask.fromRowWiseIndices(shape, [0, -2]), RangeError, /indices\[1\]/, /-2/);
  refuses(() => Mask.fromRowWiseIndices(shape, [0, 3]), RangeError, /indices\[1\]/, /\b3\b/);
  refuses(() => Mask.fromUpstreamIndices(shape, [0, 2], [0, 1, 2]), RangeError, /flatIndices\[1\]/, /\b2\b/);
  refuses(() => Mask.fromUpstreamIndices(shape, [0, 6], [0, 1, 2]), RangeError, /flatIndices\[1\]/, /\b6\b/);
  const mask = Mask.full(shape);
  refuses(() => mask.get(0, 0, 0, 3), RangeError, /\b3\b/);
  refuses(() => mask.get(0, 0, 0), RangeError, /get/);
  refuses(() => mask.merge(1), TypeError, /Mask/);
  refuses(() => mask.merge(Mask.full([1, 1, 2, 4])), RangeError, /1 x 1 x 2 x 3/, /1 x 1 x 2 x 4/);
  refuses(() => mask.apply(new Float32Array(5)), RangeError, /\b6\b/, /\b5\b/);
  refuses(() => mask.applyInverse(f32(1, 1, 3, 2)), RangeError, /1 x 1 x 3 x 2/);
  assert.throws(() => {
    mask.shape = [1];
  }, TypeError);
});

test('masks sort, keep the last of repeated columns, and drop zero weights', () => {
  const mask = Mask.fromIndices([1, 1, 2, 4], {
    ptr: [0, 4, 6],
    indices: [3, 1, 3, 0, 2, 1],
    weights: [0.5, 1, 0.25, 0, 2, 3],
  });
  assert.deepEqual([...mask.toDense()], [0, 1, 0, 0.25, 0, 3, 2, 0]);
  const { ptr, indices, weights } = mask.toIndices();
  assert.deepEqual(
    [[...ptr], [...indices], [...weights]],
    [
      [0, 2, 4],
      [1, 3, 1, 2],
      [1, 0.25, 3, 2],
    ],
  );
  assert.equal(mask.density(), 0.5);
  assert.equal(
    Mask.fromIndices([1, 1, 1, 3], { ptr: [0, 2], indices: [1, 1], weights: [1, 0] }).density(),
    0,
    'the last one is 0',
  );
  assert.deepEqual([...Mask.fromRowWiseIndices([1, 1, 2, 3], [2, -1, 0, 1]).toDense()], [0, 0, 1, 1, 1, 0]);
});

test('masks own copies of what they were made of', () => {
  const weights = Float32Array.of(0, 0.5, 0.25);
  const arrays = { ptr: Uint32Array.of(0, 2), indices: Uint32Array.of(1, 2), weights: Float32Array.of(0.5, 0.25) };
  const masks = [
    Mask.fromDense([1, 1, 1, 3], weights),
    Mask.fromIndices([1, 1, 1, 3], arrays),
    Mask.fromRowWiseIndices([1, 1, 1, 3], arrays.indices, arrays.weights),
    Mask.fromUpstreamIndices([1, 1, 1, 3], arrays.indices, arrays.ptr, arrays.weights),
  ];
  masks[0].toDense().fill(9);
  for (const array of Object.values(masks[1].toIndices())) array.fill(9);
  weights.fill(9);
  for (const array of Object.values(arrays)) array.fill(9);
  for (const mask of masks) assert.deepEqual([...mask.toDense()], [0, 0.5, 0.25]);
});

test('refused: bad arguments of helpers and of tensor()', () => {
  refuses(
    () => getNumKeyValueGroups(f32(1, 4, 1, 1), f32(1, 3, 1, 1)),
    RangeError,
    /num_attention_heads \(4\) must be divisible by num_key_value_heads \(3\)/,
  );
  refuses(() => repeatKv(f32(1, 4, 1), 2), RangeError, /4 dim/);
  refuses(() => repeatKv(f32(1, 4, 1, 1), 1.5), RangeError, /1\.5/);
  refuses(() => attention.tensor('1'), TypeError, /dims/);
  refuses(() => attention.tensor([-1]), RangeError, /dims/, /-1/);
  refuses(() => attention.tensor([2, 2], 'float64'), RangeError, /dtype/, /float64/);
});

test('errors: one table for both languages', () => {
  const codes = new Set(ERROR_CODES);
  assert.deepEqual([...codes].sort(), [
    'aborted',
    'disposed',
    'internal',
    'out-of-memory',
    'unsupported',
    'wasm-unavailable',
  ]);
  for (const [name, status] of Object.entries(abi.Status)) {
    assert.match(abi.StatusText[status] ?? '', /^[^.]+$/, `${name} has a sentence, without a full stop`);
    if (name === 'OK') continue;
    const kind = STATUS_ERRORS[status];
    assert.ok(kind === TypeError || kind === RangeError || codes.has(kind), `${name} has an error`);
    for (const [fieldName, field] of Object.entries(abi.Field)) {
      const error = statusError(status, field);
      if (typeof kind === 'string') {
        assert.ok(error instanceof AttentionError);
        assert.equal(error.code, kind);
      } else assert.equal(error.constructor, kind);
      assert.ok(error.message.includes(abi.StatusText[status]), error.message);
      // The core's name for the field, as the option is spelt.
      const aliases = {
        NONE: 'arguments',
        SHAPE: 'queries',
        SPARSE_MASK: 'sparseAttentionMask',
      };
      const camel = fieldName.toLowerCase().replace(/_(.)/g, (_, letter) => letter.toUpperCase());
      assert.ok(error.message.includes(aliases[fieldName] ?? camel), `${fieldName}: ${error.message}`);
    }
  }
  assert.equal(Object.keys(STATUS_ERRORS).length, Object.keys(abi.Status).length - 1);
  assert.equal(statusError(-1000, 0).code, 'internal', 'a status nobody knows');
  assert.ok(new AttentionError('disposed', 'x') instanceof Error);
  assert.equal(new AttentionError('internal', 'x', { cause: 1 }).cause, 1);
});
