// SPDX-License-Identifier: Apache-2.0
// Calls that must compile, and calls that must not: a line below @ts-expect-error that compiles is an error itself.
// Nothing here runs; `tsc -p tests` is the test (see types.test.js).
import {
  AttentionError,
  Mask,
  calibrateChannels,
  createAttention,
  getNumKeyValueGroups,
  maskers,
  readHashWeights,
  repeatKv,
  type AsyncControl,
  type Attention,
  type AttentionErrorCode,
  type AttentionOptions,
  type AttentionResult,
  type ComparisonRow,
  type DType,
  type EngineInfo,
  type EngineOptions,
  type HashWeights,
  type MaskShape,
  type Masker,
  type MaskerJSON,
  type MaskerProblem,
  type Metrics,
  type NamedChannels,
  type Partials,
  type SparseAttention,
  type SweepRow,
  type Tensor,
  type TensorLike,
  type TensorResult,
} from 'masked-attention';
import type { AttentionMap, MapSource } from 'masked-attention/attention-map';

/** Compiles only where the two types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : never;
const same = <A, B>(_: Same<A, B>): void => {};

export async function mustCompile(): Promise<void> {
  const attention: Attention = await createAttention();
  await createAttention({ variant: 'relaxed', maxMemoryBytes: 2 ** 30 });
  await createAttention({ wasm: new Uint8Array(8) });
  await createAttention({ wasm: new ArrayBuffer(8), variant: 'base' });
  await createAttention({ wasm: new URL('https://localhost/base.wasm') });
  await createAttention({ wasm: await fetch('base.wasm') });
  await createAttention({ wasm: await WebAssembly.compile(new Uint8Array(8)) });
  const options: EngineOptions = { variant: undefined };
  await createAttention(options);

  const f32: TensorLike = { data: new Float32Array(8), dims: [1, 1, 2, 4] };
  const f16: TensorLike = { data: new Uint16Array(8), dims: [1, 1, 2, 4], dtype: 'float16' };
  const frozen = { data: new Float32Array(8), dims: [1, 1, 2, 4] } as const;
  const inputs = { queries: f32, keys: f16, values: frozen };

  // What is asked for is there, what is not is not.
  const plain = attention.getMaskedAttentionOutput(inputs);
  same<typeof plain.output, TensorResult>(true);
  const output: Float32Array = plain.output.data;
  const dims: number[] = plain.output.dims;
  const full = attention.getMaskedAttentionOutput({
    ...inputs,
    returnAttentionWeights: true,
    returnLogSumExp: true,
    returnScores: 'biased',
    returnDropoutMask: true,
  });
  const weights: Float32Array = full.weights.data;
  const logSumExp: Float32Array = full.logSumExp.data;
  const scores: Float32Array = full.scores.data;
  const dropped: Uint8Array = full.dropoutMask.data;
  const half = attention.getMaskedAttentionOutput({
    ...inputs,
    outputDtype: 'bfloat16',
    returnAttentionWeights: true,
    returnLogSumExp: true,
  });
  const narrow: Uint16Array = half.weights.data;
  const wide: Float32Array = half.logSumExp.data;
  const dtype: 'bfloat16' = half.output.dtype;
  // A flag known only at run time: the result may be there.
  const flag: boolean = Math.random() < 0.5;
  const perhaps = attention.getMaskedAttentionOutput({ ...inputs, returnAttentionWeights: flag });
  const maybe: TensorResult | undefined = perhaps.weights;

  // Every option.
  const resident: Tensor<'float32'> = attention.tensor([1, 2, 1, 4]);
  const every: AttentionOptions = {
    queries: attention.tensor([1, 1, 2, 4], 'float16'),
    keys: f32,
    values: f32,
    inputLayout: 'bshd',
    attentionMask: { data: new Uint8Array(4), dims: [2, 2] },
    causal: true,
    window: { left: 3 },
    queryOffset: [1],
    keyOffset: 0,
    keyLengths: Int32Array.of(2),
    scaling: 1,
    softcap: 30,
    alibiSlopes: new Float32Array(1),
    sinks: { data: new Float32Array(1), dims: [1] },
    sparseAttentionMask: Mask.full([1, 1, 2, 2]),
    maskWeighting: 'inverse',
    dropout: 0.5,
    training: true,
    seed: 5n,
    dropoutPlacement: 'after-normalization',
    dropoutMask: { data: new Uint8Array(4), dims: [2, 2] },
    emptyRows: 'nan',
    outputLayout: 'bhsd',
    outputDtype: 'float32',
    returnAttentionWeights: true,
    weightsFormat: 'dense',
    weightsWindow: { rows: [0, 1], columns: [0, 2] },
    returnScores: 'raw',
    returnLogSumExp: true,
    returnDropoutMask: true,
    out: { output: resident },
  };
  const result: AttentionResult = attention.getMaskedAttentionOutput({ ...every, outputDtype: 'float32' });
  attention.getMaskedAttentionOutput({
    ...inputs,
    window: { left: Infinity, right: 0 },
    queryOffset: Int32Array.of(1),
    seed: 1,
  });
  attention.getMaskedAttentionOutput({ ...inputs, attentionMask: undefined, out: undefined, sinks: undefined });

  // In slices.
  const sliced = await attention.getMaskedAttentionOutputAsync({ ...inputs, returnLogSumExp: true });
  same<typeof sliced.logSumExp, TensorResult>(true);
  const controller = new AbortController();
  const control: AsyncControl = { signal: controller.signal, onProgress: (fraction: number) => fraction.toFixed(2) };
  const slicedHalf = await attention.getMaskedAttentionOutputAsync({ ...inputs, outputDtype: 'float16' }, control);
  same<typeof slicedHalf.output, TensorResult<'float16'>>(true);
  await attention.getMaskedAttentionOutputAsync(every, { signal: { aborted: false }, onProgress: undefined });
  await attention.getMaskedAttentionOutputAsync(inputs, { signal: AbortSignal.any([AbortSignal.timeout(1000)]) });

  // Partials.
  const partials: Partials = attention.getAttentionPartials({ ...inputs, rowMaxOver: 'allowed', keyOffset: 4 });
  const merged: Partials = attention.mergePartials([partials, { ...partials, rowMax: attention.tensor([1, 1, 2]) }]);
  const finished: { output: TensorResult; logSumExp: TensorResult } = attention.finishPartials(merged, {
    sinks: new Float32Array(1),
    emptyRows: 'zero',
  });
  const numerator: TensorResult = attention.getAttentionNumerator(inputs).numerator;
  const denominator: TensorResult = attention.getAttentionDenominator(inputs).denominator;

  // Resident tensors.
  same<typeof resident.data, Float32Array>(true);
  resident.data[0] = 1;
  const bool: Uint8Array = attention.tensor([4], 'bool').data;
  const bits: Uint16Array = attention.tensor([4], 'float16').data;
  const gone: boolean = resident.disposed;
  resident.dispose();

  // Masks.
  const shape: MaskShape = [1, 1, 2, 2];
  const masks: Mask[] = [
    Mask.empty(shape),
    Mask.full(shape),
    Mask.fromDense(shape, new Float32Array(4)),
    Mask.fromDense(shape, new Uint8Array(4)),
    Mask.fromIndices(shape, { ptr: [0, 1, 2], indices: Int32Array.of(0, 1) }),
    Mask.fromIndices(shape, { ptr: Uint32Array.of(0, 1, 2), indices: [0, 1], weights: [1, 0.5] }),
    Mask.fromRowWiseIndices(shape, [0, -1], new Float32Array(2)),
    Mask.fromUpstreamIndices(shape, [0, 3], [0, 1, 2], [1, 1]),
    Mask.causal(shape),
    Mask.causal(shape, { offset: -1 }),
    Mask.slidingWindow(shape, { left: 3, right: Infinity }),
    Mask.sinks(shape, 1),
    Mask.prefix(shape, Int32Array.of(1)),
    Mask.documents(shape, [0, 1]),
    Mask.documents(shape, { queries: [0], keys: Int32Array.of(0, 1) }),
    Mask.documents(shape, { offsets: [0, 2] }),
    Mask.blockSparse({ shape, blockSize: [1, 2], ptr: [0, 1, 1], indices: [0] }),
    Mask.fromFunction(shape, (_batch, _head, query, key) => key <= query),
    Mask.fromFunction(shape, () => 0.5),
    Mask.fromFlexBlocks(shape, Mask.causal(shape).toFlexBlocks(), { partial: Mask.causal(shape) }),
    Mask.fromNpy(Mask.causal(shape).toNpy(), shape),
    Mask.causal(shape).or(Mask.full(shape)).and(Mask.sinks(shape, 1)).not(),
  ];
  const [mask] = masks as [Mask];
  const measured: [boolean, boolean, number, number, number] = [
    mask.isEmpty(),
    mask.isFull(),
    mask.density(),
    mask.get(0, 0, 1, 1),
    mask.blockMap([1, 2], { rows: [0, 1], columns: [0, 1], batch: 0, head: 0 }).skipped,
  ];
  const dense: Float32Array = mask.merge(Mask.full(shape)).toDense();
  const indices: Uint32Array = mask.toIndices().indices;
  const flat: Float32Array = mask.apply(dense);
  const applied: TensorResult = mask.applyInverse({ data: dense, dims: [1, 1, 2, 2] });
  mask.dispose();

  // Maskers, with all of their options.
  const channels: NamedChannels = calibrateChannels({ queries: f32, keys: f32, layer: 3 });
  const hashes: HashWeights = readHashWeights(new Uint8Array(8));
  const matrix = { data: [1, 2], dims: [1, 2, 1] };
  const networks = { query_matrix: [matrix], query_bias: [f32], key_matrix: [[[[1], [2]]]], key_bias: [[[0]]] };
  const all: Required<Masker>[] = [
    maskers.sink({ size: 4 }),
    maskers.local({ size: 0.1 }),
    maskers.causal(),
    maskers.causal({}),
    maskers.oracleTopK({ heavySize: 64 }),
    maskers.oracleTopP({ topP: 0.9 }),
    maskers.groupTopK({ heavySize: 64 }),
    maskers.quest({ heavySize: 64 }),
    maskers.quest({ heavySize: 64, pageSize: 32, labelBits: 8 }),
    maskers.doubleSparsity({ heavySize: 64, channels: [[0, 1]] }),
    maskers.doubleSparsity({ heavySize: 64, channels, layer: 3, channelSelection: 'k_proj', groupFactor: 8, labelBits: 16 }),
    maskers.hashAttention({ heavySize: 64, weights: hashes }),
    maskers.hashAttention({ heavySize: 64, weights: { 2: networks }, layer: 2, activation: 'gelu' }),
    maskers.pqCache({ heavySize: 64, groupFactor: 4, bits: 6, iterations: 10, initOffset: 4, metric: 'ip', seed: 1n }),
    maskers.socket({ heavySize: 64 }),
    maskers.pqCache({ heavySize: 64 }),
    maskers.socket({ heavySize: 64, bits: 8, tables: 16, temperature: 0.5, seed: 1 }),
    maskers.randomSampling({ rate: 0.1, seed: 1 }),
    maskers.randomSampling({ rate: 0.1, seed: 1, replacement: true }),
    maskers.adaptiveSampling({ baseRate: 0.1, epsilon: 0.1, delta: 0.1, seed: 1 }),
    maskers.adaptiveSampling({
      baseRate: 2,
      epsilon: 0.1,
      delta: 0.1,
      initOffset: 4,
      localOffset: 0.1,
      seed: 1,
      replacement: true,
    }),
    maskers.importanceSampling({ draws: 64, initOffset: 4, localOffset: 64, seed: 1 }),
    maskers.magicPig({ tables: 16, bits: 8, seed: 1 }),
    maskers.magicPig({ tables: 16, bits: 8, center: false, seed: 1 }),
  ];

  // Pipelines.
  const pipeline: SparseAttention = attention.createSparseAttention([...all, { name: 'sink', size: 4 }]);
  attention.createSparseAttention(pipeline);
  attention.createSparseAttention(pipeline.toJSON());
  attention.createSparseAttention(JSON.parse(JSON.stringify(pipeline)));
  const json: MaskerJSON = maskers.causal().toJSON();
  const built: Mask = pipeline.buildMask({ ...inputs, causal: true });
  const sparse = pipeline.forward({ ...inputs, returnLogSumExp: true, metrics: true });
  same<typeof sparse.logSumExp, TensorResult>(true);
  same<typeof sparse.metrics, Metrics>(true);
  const plainSparse = pipeline.forward({ ...inputs, outputDtype: 'float16', maskWeighting: 'inverse' });
  same<typeof plainSparse.output, TensorResult<'float16'>>(true);
  const kept: [Mask, Mask, number | undefined] = [built, plainSparse.mask, sparse.metrics.massRecall.worstRow?.query];
  pipeline.reset();
  {
    using other = attention.createSparseAttention([]);
    other.dispose();
  }

  // Maskers of one's own.
  const every7th: Masker = {
    name: 'every7th',
    apply({ shape, queryPositions }: MaskerProblem, previousMask, state) {
      state.calls = (state.calls ?? 0) + 1;
      return previousMask.or(Mask.fromFunction(shape, (b, _h, i, j) => (queryPositions[b]! + i - j) % 7 === 0));
    },
  };
  const sampler: Masker = {
    name: 'sampler',
    isSampling: true,
    check({ keyLength }, state) {
      if (keyLength > 9) throw new RangeError(String(state.length));
    },
    apply: (_, previous) => previous,
    toJSON: () => json,
  };
  attention.registerMasker('every', ({ n }: { n: number }) => ({ ...every7th, toJSON: () => ({ name: 'every', n }) }));
  attention.createSparseAttention([every7th, sampler, { name: 'every', n: 7 }]);

  // Comparisons.
  const rows: ComparisonRow[] = attention.compare({ ...inputs, causal: true }, [
    all,
    pipeline,
    pipeline.toJSON(),
    { name: 'window', maskers: [maskers.local({ size: 4 })] },
  ]);
  const named: ComparisonRow[] = attention.compare(
    { ...inputs, sinks: new Float32Array(1) },
    { sinks: [maskers.sink({ size: 4 })], all: pipeline, json: [{ name: 'sink', size: 4 }], dense: [] },
  );
  const sweep: SweepRow<number>[] = attention.sweep(inputs, maskers.sink({ size: 4 }), 'size', [1, 2, 4]);
  attention.sweep(inputs, pipeline, 'seed', [1, 2n]);
  attention.sweep(inputs, [maskers.sink({ size: 4 }), { name: 'local', size: 4 }], 'size', [4]);
  const parameters: readonly string[] = maskers.quest.parameters;
  const found: number[] = [...rows, ...named, ...sweep].map(({ massRecall, speedup }) => massRecall.p5 * speedup);

  // Helpers, disposal, errors.
  const groups: number = getNumKeyValueGroups(f32, resident);
  const repeated: Float32Array = repeatKv({ data: new Float32Array(8), dims: [1, 1, 2, 4] }, groups).data;
  const info: EngineInfo = attention.info();
  const bytes: number = info.memoryBytes + info.usedBytes + info.maxMemoryBytes;
  {
    using engine = await createAttention();
    using scratch = engine.tensor([1]);
    scratch.data.fill(1);
  }
  try {
    attention.dispose();
  } catch (error) {
    if (error instanceof AttentionError) {
      const code: AttentionErrorCode = error.code;
      const text: string = `${code} ${error.message} ${error.cause}`;
      void text;
    }
  }
  const anyDtype: DType = 'bool';
  void [
    output,
    dims,
    weights,
    logSumExp,
    scores,
    dropped,
    narrow,
    wide,
    dtype,
    maybe,
    result,
    finished,
    numerator,
    denominator,
    bool,
    bits,
    gone,
  ];
  void [parameters, kept, sweep.map(({ value }) => value.toFixed()), found];
  void [measured, indices, flat, applied, repeated, bytes, anyDtype];
}

export async function mustNotCompile(): Promise<void> {
  const attention = await createAttention();
  const f32: TensorLike = { data: new Float32Array(8), dims: [1, 1, 2, 4] };
  const inputs = { queries: f32, keys: f32, values: f32 };
  const shape: MaskShape = [1, 1, 2, 2];

  // @ts-expect-error an unknown variant
  await createAttention({ variant: 'fast' });
  // @ts-expect-error an unknown option
  await createAttention({ memory: 1 });
  // @ts-expect-error nothing is no module (a string compiles: the standard library's WebAssembly.Module has no members)
  await createAttention({ wasm: null });
  // @ts-expect-error values are required
  attention.getMaskedAttentionOutput({ queries: f32, keys: f32 });
  // @ts-expect-error dims are required
  attention.getMaskedAttentionOutput({ ...inputs, keys: { data: new Float32Array(8) } });
  // @ts-expect-error plain arrays are not taken
  attention.getMaskedAttentionOutput({ ...inputs, keys: { data: [1, 2], dims: [1, 1, 1, 2] } });
  // @ts-expect-error neither are doubles
  attention.getMaskedAttentionOutput({ ...inputs, keys: { data: new Float64Array(2), dims: [1, 1, 1, 2] } });
  // @ts-expect-error nor integers as a mask
  attention.getMaskedAttentionOutput({ ...inputs, attentionMask: { data: new Int32Array(2), dims: [2] } });
  // @ts-expect-error no such dtype
  attention.getMaskedAttentionOutput({ ...inputs, keys: { ...f32, dtype: 'float64' } });
  // @ts-expect-error misspelt
  attention.getMaskedAttentionOutput({ ...inputs, atentionMask: f32 });
  // @ts-expect-error upstream's spelling
  attention.getMaskedAttentionOutput({ ...inputs, attention_mask: f32 });
  // @ts-expect-error causal is a boolean
  attention.getMaskedAttentionOutput({ ...inputs, causal: 1 });
  // @ts-expect-error a window is an object
  attention.getMaskedAttentionOutput({ ...inputs, window: 4 });
  // @ts-expect-error with known sides
  attention.getMaskedAttentionOutput({ ...inputs, window: { before: 4 } });
  // @ts-expect-error key lengths stand in an Int32Array
  attention.getMaskedAttentionOutput({ ...inputs, keyLengths: 4 });
  // @ts-expect-error slopes are float32
  attention.getMaskedAttentionOutput({ ...inputs, alibiSlopes: new Float64Array(1) });
  // @ts-expect-error a sparse mask is a Mask
  attention.getMaskedAttentionOutput({ ...inputs, sparseAttentionMask: f32 });
  // @ts-expect-error one of two weightings
  attention.getMaskedAttentionOutput({ ...inputs, maskWeighting: 'divide' });
  // @ts-expect-error a seed is a number or bigint
  attention.getMaskedAttentionOutput({ ...inputs, seed: '1' });
  // @ts-expect-error layouts are named
  attention.getMaskedAttentionOutput({ ...inputs, outputLayout: 'sbhd' });
  // @ts-expect-error scores have stages
  attention.getMaskedAttentionOutput({ ...inputs, returnScores: true });
  // @ts-expect-error bool is no element type of an output
  attention.getMaskedAttentionOutput({ ...inputs, outputDtype: 'bool' });
  // @ts-expect-error a range has two ends
  attention.getMaskedAttentionOutput({ ...inputs, weightsWindow: { rows: [1] } });
  // @ts-expect-error there are no scores to write there
  attention.getMaskedAttentionOutput({ ...inputs, out: { scores: f32 } });
  // @ts-expect-error weights were not asked for
  attention.getMaskedAttentionOutput(inputs).weights.data;
  // @ts-expect-error nor here
  attention.getMaskedAttentionOutput({ ...inputs, returnAttentionWeights: false }).weights.data;
  // @ts-expect-error a promise has no output
  attention.getMaskedAttentionOutputAsync(inputs).output;
  // @ts-expect-error weights were not asked for
  (await attention.getMaskedAttentionOutputAsync(inputs)).weights.data;
  // @ts-expect-error the controller is not its signal
  attention.getMaskedAttentionOutputAsync(inputs, { signal: new AbortController() });
  // @ts-expect-error misspelt
  attention.getMaskedAttentionOutputAsync(inputs, { onprogress: () => {} });
  // @ts-expect-error progress is a number
  attention.getMaskedAttentionOutputAsync(inputs, { onProgress: (text: string) => text });
  // @ts-expect-error signal and progress are no options
  attention.getMaskedAttentionOutputAsync({ ...inputs, signal: AbortSignal.timeout(1) });
  const flag: boolean = Math.random() < 0.5;
  // @ts-expect-error perhaps they were not
  attention.getMaskedAttentionOutput({ ...inputs, returnAttentionWeights: flag }).weights.data;
  // @ts-expect-error half precision comes in another array
  const wrong: Float32Array = attention.getMaskedAttentionOutput({ ...inputs, outputDtype: 'bfloat16' }).output.data;
  // @ts-expect-error sparse weights are three arrays, not a tensor
  attention.getMaskedAttentionOutput({ ...inputs, returnAttentionWeights: true, weightsFormat: 'sparse' }).weights.data;
  // @ts-expect-error there are two formats
  attention.getMaskedAttentionOutput({ ...inputs, returnAttentionWeights: true, weightsFormat: 'csr' });
  // @ts-expect-error explaining computes nothing
  attention.explain(inputs).output;
  const values: Float32Array = attention.getMaskedAttentionOutput({
    ...inputs,
    returnAttentionWeights: true,
    weightsFormat: 'sparse',
  }).weights.values;
  const tiles: number = attention.explain(inputs).tilesPartial;
  void [values, tiles];
  // @ts-expect-error partials take no sinks
  attention.getAttentionPartials({ ...inputs, sinks: new Float32Array(1) });
  // @ts-expect-error and know two maxima
  attention.getAttentionPartials({ ...inputs, rowMaxOver: 'all' });
  // @ts-expect-error a projection has only its own
  attention.getAttentionNumerator(inputs).denominator;
  // @ts-expect-error merging takes an array
  attention.mergePartials(attention.getAttentionPartials(inputs));
  // @ts-expect-error all three are needed
  attention.finishPartials({ numerator: f32 });
  // @ts-expect-error no such dtype
  attention.tensor([1], 'int8');
  // @ts-expect-error data is replaced by nobody
  attention.tensor([1]).data = new Float32Array(1);
  // @ts-expect-error dims are fixed
  attention.tensor([1]).dims[0] = 2;
  // @ts-expect-error masks are made by static methods
  new Mask();
  // @ts-expect-error a shape has four sizes
  Mask.full([2, 2]);
  // @ts-expect-error indices need ptr
  Mask.fromIndices(shape, { indices: [0] });
  // @ts-expect-error columns are no floats
  Mask.fromRowWiseIndices(shape, new Float32Array(2));
  // @ts-expect-error masks are immutable
  Mask.full(shape).shape = [1, 1, 1, 1];
  // @ts-expect-error merging takes a mask
  Mask.full(shape).merge(new Float32Array(4));
  // @ts-expect-error a size is needed
  maskers.sink({});
  // @ts-expect-error it is a number
  maskers.local({ size: '4' });
  // @ts-expect-error there are no options
  maskers.causal({ offset: 1 });
  // @ts-expect-error misspelt
  maskers.oracleTopK({ heavysize: 4 });
  // @ts-expect-error upstream's spelling
  maskers.quest({ heavySize: 4, page_size: 16 });
  // @ts-expect-error channels are needed
  maskers.doubleSparsity({ heavySize: 4 });
  // @ts-expect-error of three projections
  maskers.doubleSparsity({ heavySize: 4, channels: [[0]], channelSelection: 'v_proj' });
  // @ts-expect-error weights are needed
  maskers.hashAttention({ heavySize: 4 });
  // @ts-expect-error activations are named
  maskers.hashAttention({ heavySize: 4, weights: {}, activation: 'elu' });
  // @ts-expect-error draws need a seed
  maskers.randomSampling({ rate: 0.1 });
  // @ts-expect-error so do planes
  maskers.magicPig({ tables: 1, bits: 1 });
  // @ts-expect-error and so do these
  maskers.importanceSampling({ draws: 4 });
  // @ts-expect-error there are two metrics
  maskers.pqCache({ heavySize: 4, seed: 1, metric: 'cosine' });
  // @ts-expect-error maskers stand in a list
  attention.createSparseAttention(maskers.sink({ size: 4 }));
  // @ts-expect-error as JSON they have names
  attention.createSparseAttention([{ size: 4 }]);
  const pipeline = attention.createSparseAttention([]);
  // @ts-expect-error metrics were not asked for
  pipeline.forward(inputs).metrics.density;
  // @ts-expect-error nor weights
  pipeline.forward({ ...inputs, metrics: true }).weights.data;
  // @ts-expect-error misspelt
  pipeline.forward({ ...inputs, metric: true });
  // @ts-expect-error a mask alone has no metrics
  pipeline.buildMask({ ...inputs, metrics: true });
  // @ts-expect-error the list is fixed
  pipeline.maskers = [];
  // @ts-expect-error a masker has a name
  attention.createSparseAttention([{ apply: (_: MaskerProblem, previous: Mask) => previous }]);
  // @ts-expect-error and returns a mask
  const wrongMasker: Masker = { name: 'wrong', apply: () => new Float32Array(4) };
  // @ts-expect-error a factory makes maskers
  attention.registerMasker('wrong', () => 1);
  // @ts-expect-error a masker is no pipeline
  attention.compare(inputs, { sinks: maskers.sink({ size: 4 }) });
  // @ts-expect-error a name is a string
  attention.compare(inputs, [{ name: 1, maskers: [] }]);
  // @ts-expect-error no results are asked for
  attention.compare({ ...inputs, returnLogSumExp: true }, [[]]);
  // @ts-expect-error there is no name but the value
  attention.sweep(inputs, maskers.sink({ size: 4 }), 'size', [4])[0]?.name;
  // @ts-expect-error values are needed
  attention.sweep(inputs, maskers.sink({ size: 4 }), 'size');
  void wrongMasker;
  // @ts-expect-error groups are needed
  repeatKv(f32);
  // @ts-expect-error the set of codes is closed
  new AttentionError('oops', 'x');
  void wrong;
}

export function usesAttentionMap(source: MapSource, weights: TensorResult): void {
  const map = document.createElement('attention-map');
  same<typeof map, AttentionMap>(true);
  map.data = { weights, tokens: ['a', 'b'] };
  map.data = { queries: weights, keys: weights, causal: true, sparseAttentionMask: Mask.sinks([1, 1, 2, 2], 1) };
  map.source = source;
  map.scale = 'log';
  map.view = { x: 0, y: 0, zoom: 4 };
  map.window = { left: 3 };
  map.describe = async ({ query, key, value }) => `${query} ${key} ${value.toFixed(2)}`;
  map.addEventListener('attention-draw', ({ detail: { rows: [begin, end], keep } }) => keep && end - begin);
  map.addEventListener('click', (event) => event.clientX);
  // @ts-expect-error not a colour map
  map.colors = 'jet';
  // @ts-expect-error a cell has a key
  map.cursor = { query: 1 };
  // @ts-expect-error a source reads cells
  map.source = { shape: [1, 1, 2, 2] };
  // @ts-expect-error nothing to draw
  map.data = { causal: true };
}
