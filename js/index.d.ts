// SPDX-License-Identifier: Apache-2.0
/// <reference lib="esnext.disposable" />

/**
 * Masked attention in WebAssembly SIMD.
 *
 *     output = softmax(scaling * Q K^T + masks) V
 *
 * Shapes are written with the letters b batch, h query heads, hk key heads, hv value heads, sq queries, sk keys,
 * d dimension of queries and keys, dv dimension of values. All tensors are row-major.
 *
 * Errors: an argument of the wrong type is a `TypeError`, one of the wrong size or value a `RangeError`; both messages
 * start with the argument's name. What cannot be served for another reason is an {@link AttentionError}. Arguments are
 * checked before anything changes, so the next valid call works.
 */

/** Instances of a global class, or nothing where the project's `lib` does not have it. */
type Global<Name extends string> = typeof globalThis extends Record<Name, { prototype: infer T }> ? T : never;
type Float16Data = Global<'Float16Array'>;
type WasmModule = typeof globalThis extends { WebAssembly: { Module: { prototype: infer T } } } ? T : never;

/** Element types of floating-point tensors. `bfloat16` is the upper half of a float32. */
export type FloatDType = 'float32' | 'float16' | 'bfloat16';

/** Element types of tensors; `bool` is one byte, anything but 0 is true. */
export type DType = FloatDType | 'bool';

/** Arrays a tensor may stand in. Float64Array, BigInt64Array and plain arrays are not taken: convert them. */
export type TensorData = Float32Array | Float16Data | Uint16Array | Uint8Array;

/** The array of a new result of one dtype. */
export type DataOf<D extends DType> = D extends 'float32'
  ? Float32Array
  : D extends 'bool'
    ? Uint8Array
    : D extends 'float16'
      ? Uint16Array | Float16Data
      : Uint16Array;

/** A tensor as it is passed in: an array (also over a SharedArrayBuffer) with its dimensions. It is only read. */
export interface TensorLike {
  /** All elements and no more: as many as the product of `dims`. */
  readonly data: TensorData;
  /** Outermost dimension first. */
  readonly dims: readonly number[];
  /**
   * Default: `float32` for a Float32Array, `float16` for a Float16Array, `bool` for a Uint8Array. A Uint16Array needs
   * `float16` or `bfloat16`.
   */
  readonly dtype?: DType;
}

/** A tensor as it is handed out: a new array that belongs to the caller. */
export interface TensorResult<D extends DType = 'float32'> {
  data: DataOf<D>;
  dims: number[];
  dtype: D;
}

/**
 * A tensor that lives in the engine's wasm memory, made by {@link Attention.tensor}: calls read and write it in place,
 * without a copy. It may be passed wherever a {@link TensorLike} may, also to another engine (which copies it).
 */
export interface Tensor<D extends DType = DType> {
  readonly dims: readonly number[];
  readonly dtype: D;
  /** Number of elements. */
  readonly count: number;
  /**
   * The elements, as a view of wasm memory: write through it, and read the property again after each call, because a
   * view dies when the memory grows. `float16` and `bfloat16` are bit patterns in a Uint16Array on every engine.
   * @throws AttentionError `disposed`
   */
  readonly data: D extends 'float32' ? Float32Array : D extends 'bool' ? Uint8Array : Uint16Array;
  readonly disposed: boolean;
  /** Gives the memory back. Doing so twice is harmless; disposing the engine does it too. */
  dispose(): void;
  [Symbol.dispose](): void;
}

/** Order of the dimensions: `bhsd` = [batch, heads, length, dim], `bshd` = [batch, length, heads, dim]. */
export type Layout = 'bhsd' | 'bshd';

/** What attention is computed from. */
export interface AttentionInputs {
  /** [b, h, sq, d], float32, float16 or bfloat16 (see `inputLayout`). */
  queries: TensorLike | Tensor;
  /**
   * [b, hk, sk, d]. Query head i reads key head floor(i / (h / hk)): grouped-query attention (Ainslie et al. 2023,
   * "GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints").
   * @throws RangeError where h is not: `num_attention_heads (H) must be divisible by num_key_value_heads (HK)`
   */
  keys: TensorLike | Tensor;
  /** [b, hv, sk, dv]. hv may differ from hk, and dv from d. */
  values: TensorLike | Tensor;
  /** Order of the dimensions of queries, keys and values. Default `bhsd`. */
  inputLayout?: Layout;

  /**
   * A mask of rank 1 to 4, aligned on the right and broadcast to [b, h, sq, sk]: rank 2 is [sq, sk], a padding mask is
   * [b, 1, 1, sk]. Its last dimension is 1 or at least sk, of which the first sk are used. A float mask is added to the
   * scores; in a `bool` one (Uint8Array) nonzero means attend. Default: none.
   * @throws TypeError for integer arrays, which could mean either
   */
  attentionMask?: TensorLike | Tensor;
  /** Key positions after the query's own are masked. Default false. See `queryOffset`. */
  causal?: boolean;
  /**
   * Keys at most `left` before and `right` after the query's position, both inclusive: integers >= 0 or Infinity, which
   * a missing side is. Applies on top of `causal`. Default: none.
   */
  window?: { left?: number; right?: number };
  /**
   * Position of the first query: an integer in the range of int32, or one per batch. Default keyOffset + sk - sq: the
   * last query sees the last key, as decoding needs. PyTorch's `is_causal` is 0.
   */
  queryOffset?: number | readonly number[] | Int32Array;
  /**
   * Position of the first key, an integer >= 0. Default 0. Set it when passing one range of a longer sequence, so that
   * masks, ALiBi and dropout fall where they would in the whole.
   */
  keyOffset?: number;
  /** How many keys count, one integer in 0..sk per batch; the rest is never read into a result. Default sk. */
  keyLengths?: Int32Array;

  /** Factor of the scores, finite. Default 1 / sqrt(d), and 1 where d is 0. */
  scaling?: number;
  /**
   * Caps scores smoothly before masks: softcap * tanh(score / softcap) (Gemma Team 2024, "Gemma 2"). A number >= 0;
   * default 0, which is off.
   */
  softcap?: number;
  /**
   * [h], float32, finite: score - slope * |query position - key position| (Press et al. 2022, "Train Short, Test Long:
   * Attention with Linear Biases"). Default: none.
   */
  alibiSlopes?: Float32Array | TensorLike | Tensor<'float32'>;

  /**
   * Which pairs are kept, and with what weight; shape (b | 1, 1 | hk | h, sq, sk). A mask flagged empty and a full one
   * change nothing. Where it is neither, additive mask values <= -1e38 count as -Infinity. Default: none.
   */
  sparseAttentionMask?: Mask;
  /**
   * What weights w of the sparse mask mean: `multiply` makes exp(score) * w; `inverse` takes w for the probability with
   * which the entry was sampled and makes exp(score) / (w + 1e-6). Default `multiply`.
   */
  maskWeighting?: 'multiply' | 'inverse';

  /** Probability of dropping an entry, in 0..1. Acts only together with `training`. Default 0. */
  dropout?: number;
  /** Whether dropout acts. Default false. */
  training?: boolean;
  /**
   * Key of the generator Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): an integer
   * in 0..2^53 - 1 or a bigint in 0..2^64 - 1. The same seed drops the same entries in every call, variant and engine.
   * @throws TypeError if missing where dropout acts and there is no `dropoutMask`
   */
  seed?: number | bigint;
  /**
   * `before-normalization`: the denominator includes dropout, so rows of weights still sum to 1.
   * `after-normalization`: PyTorch's and Hugging Face's, unbiased. Default `before-normalization`.
   */
  dropoutPlacement?: 'before-normalization' | 'after-normalization';
  /** Which entries dropout keeps, instead of the generator: `bool`, rank 1 to 4, broadcast as `attentionMask` is. */
  dropoutMask?: TensorLike | Tensor<'bool'>;
}

/** What turns numerators and denominators into a result. */
export interface FinishOptions {
  /**
   * [h], float32, finite or -Infinity: a logit per head that only the denominator sees (attention sinks, as learned in
   * gpt-oss; the effect is described in Xiao et al. 2024, "Efficient Streaming Language Models with Attention Sinks").
   * Default: none.
   */
  sinks?: Float32Array | TensorLike | Tensor<'float32'>;
  /** What rows that keep no key give in output and weights: 0 or NaN (with a sink always 0). Default `zero`. */
  emptyRows?: 'zero' | 'nan';
  /** Order of the output's dimensions. Default `bshd`: [b, sq, h, dv]. */
  outputLayout?: Layout;
}

/** Arrays or resident tensors to write results to: dims and dtype must match, and no memory may be shared. */
export interface OutTensors {
  output?: TensorLike | Tensor;
  weights?: TensorLike | Tensor;
  logSumExp?: TensorLike | Tensor<'float32'>;
}

/** Which results to return, and how. Those that are not asked for are never computed. */
export interface OutputOptions<
  D extends FloatDType = FloatDType,
  W extends boolean = boolean,
  S extends ScoreStage | undefined = ScoreStage | undefined,
  L extends boolean = boolean,
  M extends boolean = boolean,
  F extends WeightsFormat | undefined = WeightsFormat | undefined,
> extends FinishOptions {
  /**
   * Element type of output and weights. Default `float32`. Narrowing rounds to nearest even and overflows to infinity.
   * `float16` comes back as a Float16Array where an input was one, otherwise as bit patterns in a Uint16Array.
   */
  outputDtype?: D;
  /** Return `weights` [b, h, sq, sk]: exactly what multiplied the values. Default false. */
  returnAttentionWeights?: W;
  /**
   * How `weights` are returned: `dense` as a tensor, `sparse` as compressed sparse rows ({@link SparseWeights}) of the
   * entries that the sparse mask has, or, without one, that the other masks allow. Default `dense`.
   * @throws TypeError for `sparse` together with `out.weights`: how long its arrays are turns out later
   * @throws RangeError for more than 2^32 - 1 entries
   */
  weightsFormat?: F;
  /**
   * The part of weights (of either format) and scores to return, as ranges [begin, end) of queries and keys. Default:
   * all.
   */
  weightsWindow?: { rows?: readonly [number, number]; columns?: readonly [number, number] };
  /**
   * Return `scores` [b, h, sq, sk]: after scaling (`raw`), after the soft cap (`softcapped`), or after ALiBi and every
   * mask but the sparse one (`biased`, -Infinity where masked). Default: none.
   */
  returnScores?: S;
  /**
   * Return `logSumExp` [b, h, sq], float32: before dropout, without sinks, with the weights of the sparse mask;
   * -Infinity where nothing is kept. Default false.
   */
  returnLogSumExp?: L;
  /** Return `dropoutMask` [b, h, sq, sk], `bool`: what dropout keeps, all 1 where it does not act. Default false. */
  returnDropoutMask?: M;
  /**
   * Write results here instead of into new arrays; a resident tensor becomes the result itself. Giving `weights` or
   * `logSumExp` asks for them.
   * @throws RangeError where one overlaps an input or another
   */
  out?: OutTensors;
}

export type ScoreStage = 'raw' | 'softcapped' | 'biased';

export type WeightsFormat = 'dense' | 'sparse';

/**
 * Weights as compressed sparse rows in new arrays: row (batch * h + head) * rows + query has the entries
 * ptr[row] .. ptr[row + 1] - 1 of `indices` and `values`.
 *
 * Its entries are those of the sparse mask, broadcast to every batch and query head: where causal order, window, key
 * lengths, attention mask or dropout took one out, its value is 0. Without a sparse mask they are what causal order,
 * window, key lengths and attention mask leave. Rows that keep no key have 0, or NaN, as `emptyRows` says, in all of
 * their entries. It takes 8 bytes per entry, and 4 more of wasm memory while it is computed.
 */
export interface SparseWeights<D extends FloatDType = 'float32'> {
  /** [b * h * rows + 1] */
  ptr: Uint32Array;
  /** Columns, ascending within a row, counted from the first of `weightsWindow`. */
  indices: Uint32Array;
  /** Exactly what multiplied the values. */
  values: TensorResult<D>['data'];
  /** [b, h, rows, columns] of the window. */
  dims: [number, number, number, number];
  /** Of the values. */
  dtype: D;
}

/** Options of {@link Attention.getMaskedAttentionOutput}. */
export type AttentionOptions<
  D extends FloatDType = FloatDType,
  W extends boolean = boolean,
  S extends ScoreStage | undefined = ScoreStage | undefined,
  L extends boolean = boolean,
  M extends boolean = boolean,
  F extends WeightsFormat | undefined = WeightsFormat | undefined,
> = AttentionInputs & OutputOptions<D, W, S, L, M, F>;

type When<F, R> = [F] extends [false | undefined]
  ? unknown
  : false extends F
    ? Partial<R>
    : undefined extends F
      ? Partial<R>
      : R;

/** The weights of each format. */
type WeightsOf<D extends FloatDType, F> = F extends 'sparse' ? SparseWeights<D> : TensorResult<D>;

/** Results of {@link Attention.getMaskedAttentionOutput}: output, and what was asked for. */
export type AttentionResult<
  D extends FloatDType = 'float32',
  W extends boolean = boolean,
  S extends ScoreStage | undefined = ScoreStage | undefined,
  L extends boolean = boolean,
  M extends boolean = boolean,
  F extends WeightsFormat | undefined = WeightsFormat | undefined,
> = {
  /** [b, sq, h, dv], or as `outputLayout` says. */
  output: TensorResult<D>;
} & When<W, { weights: WeightsOf<D, F> }> &
  When<S, { scores: TensorResult }> &
  When<L, { logSumExp: TensorResult }> &
  When<M, { dropoutMask: TensorResult<'bool'> }>;

/** What the caller of {@link Attention.getMaskedAttentionOutputAsync} keeps hold of while it runs. */
export interface AsyncControl {
  /** Aborts the call: an AbortSignal, or what has its two properties. It is looked at before and after each slice. */
  signal?: { readonly aborted: boolean; readonly reason?: unknown };
  /**
   * Called after each slice with the part of the work that is done: rising, in 0..1, and 1 once, at the end. What it
   * throws, the promise rejects with; what it returns, a promise too, is ignored.
   */
  onProgress?: (fraction: number) => void;
}

/** Attention over one range of keys before the division; those of disjoint ranges merge into those of the whole. */
export interface Partials {
  /** [b, h, sq, dv], float32: the sum of exp(score - rowMax) * value. */
  numerator: TensorResult;
  /** [b, h, sq, 1], float32: the sum of exp(score - rowMax). */
  denominator: TensorResult;
  /** [b, h, sq], float32: what the exponentials are relative to, -Infinity where there is no key. */
  rowMax: TensorResult;
}

/** Partials as they are passed in. */
export interface PartialsLike {
  readonly numerator: TensorLike | Tensor;
  readonly denominator: TensorLike | Tensor;
  readonly rowMax: TensorLike | Tensor;
}

/**
 * What {@link Attention.explain} counts. A tile is 12 neighbouring queries of one head (fewer at the end) against 128
 * neighbouring keys (fewer at the end); each of these is skipped, full or partial, however it is computed.
 */
export interface Explanation {
  /** Pairs (batch, head, query, key) that take part, after every mask; dropout is not looked at. */
  keptEntries: number;
  /** Tiles of which nothing is kept: they take no work, unless scores are asked for. */
  tilesSkipped: number;
  /** Tiles of which every pair is kept. */
  tilesFull: number;
  /** Tiles of which a part is kept. */
  tilesPartial: number;
  /** Rows (batch, head, query) of which some keys are gathered one by one, outside of tiles. */
  rowsByGather: number;
  /** Pairs of `keptEntries` that are computed so. */
  entriesByGather: number;
  /**
   * Additions and multiplications of both products, as they are computed: of a tile the columns from the first that is
   * kept to the last, in whole eights, for all of its queries; of gathered keys one row each.
   */
  flops: number;
  /**
   * Bytes of queries, keys and values that are read, and of output that is written, float32. Keys and values count once
   * for each use: a tile once per job, a gathered key once for the heads that share its reading.
   */
  bytes: number;
  /** Bytes of working memory that the call takes besides its inputs and results. */
  workspaceBytes: number;
  /** Parts that the call is divided into: (batch, group of heads that share keys and values, block of queries). */
  jobs: number;
}

export interface EngineInfo {
  /** Of the package. */
  readonly version: string;
  /** Which wasm runs; `unknown` for one that was passed as `wasm` without naming its `variant`. */
  readonly variant: 'base' | 'relaxed' | 'unknown';
  /** Whether results are the same, bit for bit, on every engine: true for `base`. */
  readonly reproducible: boolean;
  /** Why this variant. */
  readonly why: string;
  /** Size of the wasm memory. */
  readonly memoryBytes: number;
  /** Bytes of it in use: resident tensors, copies of masks, what every call needs, and what unfinished calls hold. */
  readonly usedBytes: number;
  readonly maxMemoryBytes: number;
}

/** An engine: one instance of the wasm module with its memory. Made by {@link createAttention}. */
export interface Attention {
  /**
   * Attention over all keys.
   * @throws TypeError, RangeError for wrong arguments
   * @throws AttentionError `out-of-memory`, `disposed`, `unsupported`, `internal`
   */
  getMaskedAttentionOutput<
    D extends FloatDType = 'float32',
    W extends boolean = false,
    S extends ScoreStage | undefined = undefined,
    L extends boolean = false,
    M extends boolean = false,
    F extends WeightsFormat | undefined = undefined,
  >(
    options: AttentionOptions<D, W, S, L, M, F>,
  ): AttentionResult<D, W, S, L, M, F>;

  /**
   * The same, computed in slices of about 8 ms between which the event loop turns: timers fire, pages are drawn, other
   * calls run, of this engine too. On the same thread: it takes as long as the synchronous call. Before the first slice
   * inputs are copied, after the last one results: what arrays of hundreds of megabytes take, nothing can interrupt.
   *
   * Arrays are copied when it is called, and may be changed at once. Resident tensors are read where they stand: their
   * contents must stay until the promise settles, or the results mix old and new ones; disposing of one takes effect
   * then. `out` is written at the very end, in one go. A call that fails or is aborted changes nothing, and what it
   * held is free for others.
   * @param control a signal to abort it, and a callback for its progress
   * @returns a promise that rejects with whatever the synchronous call throws, and with AttentionError `aborted`, whose
   * `cause` is the signal's reason; `disposed` also where the engine or a tensor in `out` was disposed meanwhile
   */
  getMaskedAttentionOutputAsync<
    D extends FloatDType = 'float32',
    W extends boolean = false,
    S extends ScoreStage | undefined = undefined,
    L extends boolean = false,
    M extends boolean = false,
    F extends WeightsFormat | undefined = undefined,
  >(
    options: AttentionOptions<D, W, S, L, M, F>,
    control?: AsyncControl,
  ): Promise<AttentionResult<D, W, S, L, M, F>>;

  /**
   * What {@link getMaskedAttentionOutput} would do with these options, counted without doing it: how much the masks
   * keep, in which tiles, and what that costs. Of the results that are asked for only `returnScores` matters: with it
   * every tile is computed. Takes the time of reading the masks a few times.
   * @throws what getMaskedAttentionOutput throws
   */
  explain(options: AttentionOptions): Explanation;

  /**
   * Numerator, denominator and row maximum of one range of keys, in one pass. Sinks and layout belong to
   * {@link finishPartials}. With dropout after normalisation it acts on the numerator only.
   * @param options the inputs, and `rowMaxOver`: the maximum over the keys that are `kept` (default), or over all that
   * are `allowed` before the sparse mask, which takes every tile
   */
  getAttentionPartials(options: AttentionInputs & { rowMaxOver?: 'kept' | 'allowed' }): Partials;

  /** The numerator relative to the maximum over all allowed keys. */
  getAttentionNumerator(options: AttentionInputs): Pick<Partials, 'numerator' | 'rowMax'>;

  /** The denominator relative to the maximum over all allowed keys. */
  getAttentionDenominator(options: AttentionInputs): Pick<Partials, 'denominator' | 'rowMax'>;

  /**
   * Partials over the union of disjoint ranges of keys, from those of each. Exact: the same as in one pass, up to the
   * rounding of sums.
   * @param partials at least one; their dimensions must be equal
   */
  mergePartials(partials: readonly PartialsLike[]): Partials;

  /** Output [b, sq, h, dv] and logSumExp [b, h, sq] from partials over all keys. */
  finishPartials(partials: PartialsLike, options?: FinishOptions): { output: TensorResult; logSumExp: TensorResult };

  /**
   * A pipeline of maskers for one layer: they choose, in order, which keys each query looks at, and attention computes
   * what they chose. It keeps what its maskers know of the keys from call to call, so a decoder has one per layer.
   * @param maskers maskers, or `{ name, ...options }` of ones that are registered; or what `toJSON()` gave. None at
   * all: dense attention
   * @throws TypeError, RangeError for what is no masker, and for more than one that samples
   */
  createSparseAttention(maskers: MaskerList): SparseAttention;

  /**
   * Has a masker of your own made from `{ name, ...options }`, by this instance only. One that is passed as an object
   * needs no registration.
   * @param factory options => masker
   * @throws RangeError for a name that is taken
   */
  registerMasker(name: string, factory: (options: any) => Masker): void;

  /**
   * What pipelines make of one problem: how near to dense attention, and how fast. Each starts afresh. Dense attention
   * is computed once for all of them.
   * @param problem options of getMaskedAttentionOutput but those that ask for results
   * @param pipelines `{ [name]: pipeline }`, or an array; a pipeline is what createSparseAttention takes or made, or
   * `{ name, maskers }`
   * @returns a row for each pipeline, in their order
   * @throws TypeError, RangeError for wrong arguments, saying of which pipeline
   */
  compare(
    problem: AttentionInputs & FinishOptions,
    pipelines: readonly (MaskerList | NamedPipeline)[] | { readonly [name: string]: MaskerList },
  ): ComparisonRow[];

  /**
   * What becomes of one problem for several values of an option of a masker, all else as it is.
   * @param masker a masker or its JSON; or a pipeline, of which the last masker is meant
   * @param parameter the name of the option
   * @param values at least one
   * @returns a row for each value, in their order
   */
  sweep<V>(
    problem: AttentionInputs & FinishOptions,
    masker: Masker | MaskerJSON | MaskerList,
    parameter: string,
    values: readonly V[],
  ): SweepRow<V>[];

  /**
   * A tensor of zeros in wasm memory, to be disposed of by the caller.
   * @param dims outermost first
   * @param dtype default `float32`
   * @throws AttentionError `out-of-memory`
   */
  tensor<D extends DType = 'float32'>(dims: readonly number[], dtype?: D): Tensor<D>;

  info(): EngineInfo;

  /** Gives all memory back, that of its tensors included. Every later call is an AttentionError `disposed`. */
  dispose(): void;
  [Symbol.dispose](): void;
}

export interface EngineOptions {
  /**
   * `base`: the same bits on every engine. `relaxed`: fused multiply-add, faster where the processor has it. Default
   * `auto`: relaxed where the engine has relaxed SIMD.
   * @throws AttentionError `unsupported` for `relaxed` on an engine without it
   */
  variant?: 'auto' | 'base' | 'relaxed';
  /**
   * The wasm module, where the embedded one cannot be used: `masked-attention/base.wasm` or `relaxed.wasm`, compiled,
   * as bytes, as a response, or its address. Name its `variant` to have `info()` know it. Default: the embedded one.
   */
  wasm?: WasmModule | ArrayBuffer | ArrayBufferView | Global<'Response'> | Global<'URL'>;
  /** The most that wasm memory may grow to, in bytes. Default 4 GiB. */
  maxMemoryBytes?: number;
}

/**
 * Starts an engine. A failure affects no later call.
 * @throws AttentionError `wasm-unavailable` (no WebAssembly or no SIMD, a content security policy, a module that cannot
 * be loaded; see `cause`), `unsupported`, `out-of-memory`
 */
export function createAttention(options?: EngineOptions): Promise<Attention>;

/**
 * Why a valid request could not be served:
 * - `unsupported`: not available in this version or on this engine
 * - `wasm-unavailable`: the wasm module could not be loaded or started
 * - `out-of-memory`: it needs more memory than allowed or there is; nothing has changed
 * - `aborted`: the caller aborted it
 * - `disposed`: the engine, a tensor or a mask has been disposed of
 * - `internal`: a defect of this package; the engine is lost, make a new one
 */
export type AttentionErrorCode =
  'unsupported' | 'wasm-unavailable' | 'out-of-memory' | 'aborted' | 'disposed' | 'internal';

export class AttentionError extends Error {
  constructor(code: AttentionErrorCode, message: string, options?: ErrorOptions);
  readonly name: 'AttentionError';
  readonly code: AttentionErrorCode;
}

/** Shape of a mask: [batch | 1, 1 | key heads | query heads, queries, keys]. */
export type MaskShape = readonly [number, number, number, number];

/** Integers in an array. */
export type IndexArray = Int32Array | Uint32Array | readonly number[];

/** Weights in an array: finite, >= 0. */
export type WeightArray = Float32Array | readonly number[];

/** Size of blocks: rows and columns alike, or [rows, columns]; each in 1..65535. */
export type BlockSize = number | readonly [number, number];

/** What a mask keeps of each block; blocks are row-major over `dims`. */
export interface BlockMap {
  blockSize: [number, number];
  /** [batch, heads, rows of blocks, columns of blocks] of what was counted */
  dims: [number, number, number, number];
  /** Pairs kept in each block. */
  counts: Uint32Array;
  /** 0 where nothing is kept, 2 where every pair (that there is) is kept with weight 1, else 1. */
  kinds: Uint8Array;
  /** How many blocks are of kind 0, 1 and 2. */
  skipped: number;
  partial: number;
  full: number;
}

/**
 * The tables of FlexAttention's BlockMask (torch.nn.attention.flex_attention): for each row of blocks how many are
 * partly kept (kvNumBlocks) and which (kvIndices), likewise those that are kept altogether.
 */
export interface FlexBlocks {
  /** [queries, keys] */
  blockSize: [number, number];
  /** [batch, heads, rows of blocks, columns of blocks] */
  dims: [number, number, number, number];
  /** [batch, heads, rows] */
  kvNumBlocks: Int32Array;
  /** [batch, heads, rows, columns]; of each row those that count, ascending, then the others, ascending. */
  kvIndices: Int32Array;
  fullKvNumBlocks: Int32Array;
  fullKvIndices: Int32Array;
}

/**
 * Which (query, key) pairs are kept, and with what weight: 0 = not kept, w > 0 = kept with weight w. Immutable, owns
 * copies of its arrays, is validated when it is made, needs no engine and serves any number of them, which keep copies
 * in their memory until the mask is disposed or collected.
 *
 * Masks combine: "sinks, a window, causal" is `window.or(sinks).and(causal)`. A combination takes no memory of its own
 * and no time until it is asked for rows, whichever way its parts are stored, and outlives the masks it was made of.
 * One of more than 32 leaves and operations is turned into a single leaf when a call first uses it.
 * Shapes broadcast: queries and keys are the same, batch is the same or 1, and of the heads one divides the other (head
 * h of H reads head floor(h * own / H)).
 *
 * An *empty* mask is a flag that means "no sparse masking": dense attention. A mask that keeps no pair is not empty:
 * all its rows are empty rows. (The original research code decided this by value.)
 *
 * Every method throws AttentionError `disposed` after `dispose()`.
 */
export class Mask {
  private constructor();
  readonly shape: MaskShape;

  /** No sparse masking at all. */
  static empty(shape: MaskShape): Mask;
  /** Every pair, with weight 1. Takes no memory. */
  static full(shape: MaskShape): Mask;
  /**
   * Keys up to a query's own: key <= query + offset. Takes no memory.
   * @param options.offset an integer; keys - queries by default, where the last query sees the last key
   */
  static causal(shape: MaskShape, options?: { offset?: number }): Mask;
  /**
   * Keys around a query's own: query + offset - left <= key <= query + offset + right. Takes no memory.
   * @param options.left, options.right integers >= 0, or Infinity, the default
   * @param options.offset an integer; keys - queries by default
   */
  static slidingWindow(shape: MaskShape, options: { left?: number; right?: number; offset?: number }): Mask;
  /** The first n keys, for every query (attention sinks, global tokens). */
  static sinks(shape: MaskShape, n: number): Mask;
  /** The first n keys, for every query; `n` may be one number per batch (a prefix, lengths of padded keys). */
  static prefix(shape: MaskShape, n: number | IndexArray): Mask;
  /**
   * Pairs in one document, for sequences packed one after the other. Takes memory for batch * (queries + keys).
   * @param ids an integer for each key, [keys] or [batch, keys] flattened: equal ids are one document, negative ones
   * are padding, which sees and is seen by nothing. Queries are the last of the keys; otherwise `{ queries, keys }`,
   * each with its ids. Or `{ offsets }`: where sequences begin and end, as `cu_seqlens`: [0, 100, 350]; keys beyond the
   * last are padding
   */
  static documents(
    shape: MaskShape,
    ids: IndexArray | { queries: IndexArray; keys: IndexArray } | { offsets: IndexArray },
  ): Mask;
  /**
   * Whole blocks of pairs, as compressed sparse rows of blocks: row of blocks (batch * heads + head) * ceil(queries /
   * rows) + n keeps those at columns indices[ptr[...]..], in any order. Takes memory for the blocks that are kept.
   */
  static blockSparse(options: {
    shape: MaskShape;
    blockSize: BlockSize;
    ptr: IndexArray;
    indices: IndexArray;
  }): Mask;
  /**
   * What a function says, which is called once for each pair, in row-major order. Takes a bit per pair, or 32 if there
   * are weights other than 0 and 1. If `f` throws, so does this, and no mask is made.
   * @param f returns whether a pair is kept, or its weight: finite, >= 0
   */
  static fromFunction(
    shape: MaskShape,
    f: (batch: number, head: number, query: number, key: number) => boolean | number,
  ): Mask;
  /**
   * Takes a bit per pair, or 32 if there are weights other than 0 and 1.
   * @param weights one per pair, row-major: a Float32Array, a Uint8Array (bool, nonzero = weight 1), or a tensor of
   * that shape
   * @throws RangeError for negative weights and those that are not finite
   */
  static fromDense(shape: MaskShape, weights: Float32Array | Uint8Array | TensorLike | Tensor): Mask;
  /**
   * Compressed sparse rows. Row (batch * heads + head) * queries + query keeps columns
   * indices[ptr[row] .. ptr[row + 1]), in any order; of repeated ones the last counts, and those of weight 0 are left
   * out. Ascending columns take less time.
   * @param arrays `ptr` has one entry more than there are rows and does not decrease; `indices` are columns in
   * 0 .. keys - 1; `weights`, one per index, are 1 by default
   */
  static fromIndices(shape: MaskShape, arrays: { ptr: IndexArray; indices: IndexArray; weights?: WeightArray }): Mask;
  /**
   * @param indices columns, equally many for each row (shape [..., k], flattened); -1 stands for none
   * @param weights one per index, 1 by default; those of -1 are ignored
   */
  static fromRowWiseIndices(shape: MaskShape, indices: IndexArray, weights?: WeightArray): Mask;
  /**
   * As the original research code (sparse-attention-hub) stores them: flat indices row * keys + column over all rows.
   * @param weights one per index, 1 by default
   */
  static fromUpstreamIndices(shape: MaskShape, flatIndices: IndexArray, ptr: IndexArray, weights?: WeightArray): Mask;
  /**
   * From the tables of FlexAttention's BlockMask.
   * @param tables flat; `dims` are those of the shape by default, and may have batch 1 or fewer heads; the tables of
   * full blocks may be missing or null
   * @param options.partial what partial blocks keep (the mask_mod); by default everything, as in
   * `BlockMask.from_kv_blocks`
   */
  static fromFlexBlocks(
    shape: MaskShape,
    tables: {
      blockSize: BlockSize;
      dims?: readonly number[];
      kvNumBlocks: IndexArray;
      kvIndices: IndexArray;
      fullKvNumBlocks?: IndexArray | null;
      fullKvIndices?: IndexArray | null;
    },
    options?: { partial?: Mask },
  ): Mask;
  /**
   * From a NumPy .npy file of bool, float16, float32 or float64 numbers in C order.
   * @param shape that of the file by default, whose missing batch and heads are 1; else one of as many pairs and keys
   * @throws RangeError for files that are truncated, damaged or of another kind, before anything is allocated
   */
  static fromNpy(bytes: Uint8Array | ArrayBuffer, shape?: MaskShape): Mask;
  /**
   * From an .npz file of `scipy.sparse.save_npz`, a CSR matrix with a row for each batch, head and query, compressed or
   * not (no zip64, no encryption).
   * @param shape [1, 1, rows, columns] by default
   * @throws RangeError for files that are truncated, damaged or of another kind; nothing inflates beyond what the shape
   * implies
   */
  static fromNpz(bytes: Uint8Array | ArrayBuffer, shape?: MaskShape): Promise<Mask>;

  /** Whether this is {@link Mask.empty}: a flag, not a matter of value. */
  isEmpty(): boolean;
  /** Whether every pair is kept with weight 1, however the mask was made. Reads rows up to the first that is not. */
  isFull(): boolean;
  /** The part of pairs that is kept, 0..1, counted exactly over the mask's own shape. 1 if empty. */
  density(): number;
  /** Weight of one pair, at a position inside the mask's own shape. 0 if empty. */
  get(batch: number, head: number, query: number, key: number): number;

  /** w1 * w2: what both keep. Empty counts as full. */
  and(other: Mask): Mask;
  /** max(w1, w2): what either keeps. The other mask where one is empty. */
  or(other: Mask): Mask;
  /**
   * Weight 1 where the weight is 0, and the other way round.
   * @throws RangeError if empty: "no sparse masking" has no opposite
   */
  not(): Mask;
  /** clamp(w1 + w2, 0, 1), also where one is empty. */
  merge(other: Mask): Mask;

  /**
   * x * w where a pair is kept, 0 elsewhere. An empty mask returns x itself.
   * @param x float32, of the mask's shape; as a tensor also of a shape that batch and heads of the mask broadcast to
   */
  apply(x: Float32Array): Float32Array;
  apply(x: TensorLike | Tensor): TensorResult;
  /** x / w where a pair is kept, 0 elsewhere. An empty mask returns x itself. */
  applyInverse(x: Float32Array): Float32Array;
  applyInverse(x: TensorLike | Tensor): TensorResult;

  /**
   * What is kept of each block. All blocks are full if empty. Only the rows that are asked for are read.
   * @param options.rows, options.columns ranges [begin, end) of blocks; all by default
   * @param options.batch, options.head the only one to count, in the mask's own shape; all by default
   * @throws RangeError for ranges that reach beyond the blocks there are
   */
  blockMap(
    blockSize: BlockSize,
    options?: { rows?: readonly [number, number]; columns?: readonly [number, number]; batch?: number; head?: number },
  ): BlockMap;
  /**
   * Queries i0 .. i1 - 1 of one head (0 of batch 0 by default) as compressed sparse rows in new arrays, columns
   * ascending. No entries if empty.
   */
  rows(
    i0: number,
    i1: number,
    options?: { batch?: number; head?: number },
  ): { ptr: Uint32Array; indices: Uint32Array; weights: Float32Array };
  /** All weights, row-major, in a new array. All 0 if empty. */
  toDense(): Float32Array;
  /** Compressed sparse rows in new arrays, columns ascending. No entries if empty. */
  toIndices(): { ptr: Uint32Array; indices: Uint32Array; weights: Float32Array };
  /**
   * The tables that FlexAttention's `create_block_mask` makes. A block with weights other than 1 is a partial one, and
   * so is, as in PyTorch, one that reaches past the last query or key.
   * @param blockSize 128 by default
   */
  toFlexBlocks(blockSize?: BlockSize): FlexBlocks;
  /**
   * All weights as a NumPy .npy file of the mask's shape: bool where all are 0 or 1, else float32.
   * @throws RangeError if empty: no file says "no sparse masking"
   */
  toNpy(): Uint8Array;
  /**
   * As `scipy.sparse.save_npz(compressed=False)` writes a CSR matrix with a row for each batch, head and query; data is
   * bool where all weights are 1, else float32.
   * @throws RangeError if empty: no file says "no sparse masking"
   */
  toNpz(): Uint8Array;

  /** Lets go of the arrays and of the copies in engines. Masks that were made of this one stay as they are. */
  dispose(): void;
  [Symbol.dispose](): void;
}

/**
 * A number of keys: an integer >= 1 is a count, a number strictly between 0 and 1 is a fraction of sk (rounded down).
 * Anything else is a RangeError that names the option.
 */
export type KeySize = number;

/** A seed of random draws: an integer in 0..2^53 - 1 or a bigint in 0..2^64 - 1 (JSON has no bigint). */
export type Seed = number | bigint;

/** Maskers that sample have to be given a seed. */
export interface SamplingOptions {
  /** Required. The same seed draws the same keys in every call; with variant `base`, on every engine. */
  seed: Seed;
}

/** Maskers that sample from all keys alike. */
export interface DrawOptions extends SamplingOptions {
  /** Whether a key can be drawn twice, as in the original. Default false. */
  replacement?: boolean;
}

/** Maskers that do not sample, but make their summaries by draws. */
export interface IndexSeedOptions {
  /** Of the k-means' first centroids, or of the random hyperplanes. Default 0. */
  seed?: Seed;
}

/** What a masker gets to know of a call. */
export interface MaskerProblem {
  /** The instance that runs the pipeline: a masker may compute with it. */
  readonly attention: Attention;
  /** The call's inputs, without a sparse mask. They are only read; queries, keys and values may be resident copies. */
  readonly options: AttentionInputs;
  readonly batch: number;
  readonly heads: number;
  readonly keyHeads: number;
  readonly valueHeads: number;
  readonly queryLength: number;
  readonly keyLength: number;
  readonly dim: number;
  readonly valueDim: number;
  /** [batch, heads, queryLength, keyLength] */
  readonly shape: MaskShape;
  /** [batch]: where the first query of each batch stands, counted in keys of this call. */
  readonly queryPositions: Int32Array;
}

/**
 * What chooses keys. The package's are made by {@link maskers}; one of your own is any object with a name and `apply`.
 */
export interface Masker {
  readonly name: string;
  /** Whether it draws keys at random: a pipeline takes one such masker at most. Default false. */
  readonly isSampling?: boolean;
  /**
   * The mask of what is kept after this masker.
   * @param problem what attention is computed from
   * @param previousMask what earlier maskers kept; {@link Mask.empty} for the first
   * @param state an object of this masker's own that stays from call to call until `reset()`, which calls
   * `state.index.dispose()` if there is such a thing
   */
  apply(problem: MaskerProblem, previousMask: Mask, state: Record<string, any>): Mask;
  /**
   * Throws where it cannot serve the problem, and changes nothing. All maskers of a pipeline are asked before the first
   * one is applied, so that none learns of the keys of a call that fails.
   * @param state as that of `apply`
   */
  check?(problem: MaskerProblem, state: Record<string, any>): void;
  /** `{ name, ...options }`, from which a registered factory makes it again. Default `{ name }`. */
  toJSON?(): MaskerJSON;
}

/** A masker as JSON: its name and its options. */
export interface MaskerJSON {
  readonly name: string;
  readonly [option: string]: unknown;
}

/** Maskers in the order in which they are applied. */
export type MaskerList =
  readonly (Masker | MaskerJSON)[] | { readonly maskers: readonly (Masker | MaskerJSON)[] };

/** Options of {@link SparseAttention.forward}: those of getMaskedAttentionOutput, and `metrics`. */
export type SparseAttentionOptions<
  D extends FloatDType = FloatDType,
  W extends boolean = boolean,
  S extends ScoreStage | undefined = ScoreStage | undefined,
  L extends boolean = boolean,
  M extends boolean = boolean,
  F extends WeightsFormat | undefined = WeightsFormat | undefined,
  K extends boolean = boolean,
> = AttentionOptions<D, W, S, L, M, F> & {
  /** Return `metrics`. It takes a dense call, and one more over what is kept. Default false. */
  metrics?: K;
};

/**
 * Results of {@link SparseAttention.forward}: those of getMaskedAttentionOutput, the mask, and metrics if asked for.
 */
export type SparseAttentionResult<
  D extends FloatDType = 'float32',
  W extends boolean = boolean,
  S extends ScoreStage | undefined = ScoreStage | undefined,
  L extends boolean = boolean,
  M extends boolean = boolean,
  F extends WeightsFormat | undefined = WeightsFormat | undefined,
  K extends boolean = boolean,
> = AttentionResult<D, W, S, L, M, F> & {
  /** What the maskers kept; its weights are the probabilities with which entries were chosen. */
  mask: Mask;
} & When<K, { metrics: Metrics }>;

/**
 * A pipeline of maskers for one layer, made by {@link Attention.createSparseAttention}. What its maskers know of the
 * keys lives in wasm memory and grows with them: each call has the keys of the call before and perhaps more, of the
 * same batch, key heads, value heads and dimension; only new ones are looked at. (Those of `keyLengths` where that is
 * given.) A call that throws because of its options changes nothing.
 */
export interface SparseAttention {
  /** A new array of its maskers. */
  readonly maskers: Masker[];
  /**
   * The mask that the maskers make.
   * @param inputs what getMaskedAttentionOutput takes; the first masker begins with its `sparseAttentionMask`, if any
   * @throws what getMaskedAttentionOutput throws, what a masker throws, and RangeError for fewer keys than before, or
   * keys of other dimensions: call `reset()` before another sequence
   */
  buildMask(inputs: AttentionInputs): Mask;
  /**
   * The mask that the maskers make, and attention with it. `maskWeighting` is by default `inverse`, which divides by
   * probabilities, and `multiply` where all of them are 1, which is the same but for 1e-6.
   * @throws what `buildMask` and getMaskedAttentionOutput throw
   */
  forward<
    D extends FloatDType = 'float32',
    W extends boolean = false,
    S extends ScoreStage | undefined = undefined,
    L extends boolean = false,
    M extends boolean = false,
    F extends WeightsFormat | undefined = undefined,
    K extends boolean = false,
  >(
    options: SparseAttentionOptions<D, W, S, L, M, F, K>,
  ): SparseAttentionResult<D, W, S, L, M, F, K>;
  /** Names and options of the maskers: `createSparseAttention` makes the same pipeline of it. */
  toJSON(): { maskers: MaskerJSON[] };
  /** Forgets all keys, and gives their memory back: before another sequence. */
  reset(): void;
  /** The same; it can be used again. */
  dispose(): void;
  [Symbol.dispose](): void;
}

/** How much of dense attention is kept: of each row, the sum of the dense weights of the keys that it keeps, 0..1. */
export interface MassRecall {
  mean: number;
  /** The 5th percentile: 95 % of rows keep at least that much. */
  p5: number;
  worst: number;
  /** Which row that is; undefined where no row has a key. */
  worstRow: { batch: number; head: number; query: number } | undefined;
}

/** How near attention over what is kept is to dense attention, and what both cost. */
export interface Metrics {
  /** Pairs that are kept, as a part of all pairs (query, key) of the mask, 0..1; `Mask.density()`. */
  density: number;
  /** ||output - dense output|| / ||dense output||, Euclidean norms over all elements. */
  outputError: number;
  massRecall: MassRecall;
  /** Additions and multiplications of attention with the mask, as {@link Attention.explain} counts them. */
  flops: number;
  /** The same without the mask. */
  flopsDense: number;
  /** What the maskers took, with whatever keys were new to them. */
  maskMilliseconds: number;
  /** What attention with the mask took. */
  attentionMilliseconds: number;
}

/**
 * What {@link Attention.compare} and {@link Attention.sweep} measure of each pipeline. Times are the least of some
 * runs.
 */
export interface Comparison extends Metrics {
  /** What the first mask takes, with entering all keys; `maskMilliseconds` is a later one, when all keys are known. */
  setupMilliseconds: number;
  /** What dense attention takes. */
  denseMilliseconds: number;
  /** denseMilliseconds / (maskMilliseconds + attentionMilliseconds) */
  speedup: number;
}

/** A pipeline, and what {@link Attention.compare} calls it. */
export interface NamedPipeline {
  readonly name: string;
  readonly maskers: readonly (Masker | MaskerJSON)[];
}

/** One pipeline of {@link Attention.compare}. */
export interface ComparisonRow extends Comparison {
  /** As it was given; of a pipeline in an array without one the names of its maskers, joined by ' + ', or `dense`. */
  name: string;
}

/** One value of {@link Attention.sweep}. */
export interface SweepRow<V = unknown> extends Comparison {
  value: V;
}

/** Options of {@link maskers.sink}. */
export interface SinkOptions {
  /** How many of the first keys. Required. */
  size: KeySize;
}

/** Options of {@link maskers.local}. */
export interface LocalOptions {
  /** How many keys, of which the query's own is the last. Required. */
  size: KeySize;
}

/** Options of maskers whose only one is how many keys they choose. */
export interface HeavyOptions {
  /** Keys that each row gets besides those that it has. Required. */
  heavySize: KeySize;
}

/** Options of {@link maskers.oracleTopP}. */
export interface OracleTopPOptions {
  /**
   * The part of the attention, in [0, 1], among keys that can be chosen, to be exceeded; 1 is all of them. Required.
   */
  topP: number;
}

/** Options of {@link maskers.quest}. */
export interface QuestOptions extends HeavyOptions {
  /** Keys of a page, an integer in 1..2^20. Default 16. */
  pageSize?: number;
  /** Bits of the labels, an integer in 1..16; 16 is exact. Fewer rounds them, and saves nothing. Default 16. */
  labelBits?: number;
}

/** A list of channels for each head, each in 0..d - 1 and without repetition. */
export type ChannelLists = readonly (readonly number[])[];

/** Lists of channels by name: `model.layers.<layer>.self_attn.<qk_proj | q_proj | k_proj>`. */
export interface NamedChannels {
  readonly [name: string]: ChannelLists;
}

/** Options of {@link maskers.doubleSparsity}. */
export interface DoubleSparsityOptions extends HeavyOptions {
  /**
   * Channels of each query head, the most important first, at least floor(d / groupFactor) of them; or such lists by
   * name. Required. {@link calibrateChannels} makes them.
   */
  channels: ChannelLists | NamedChannels;
  /** Which layer's lists, where `channels` is an object: an integer >= 0. Default 0. */
  layer?: number;
  /** Which of its lists, where `channels` is an object. Default `qk_proj`. */
  channelSelection?: 'qk_proj' | 'q_proj' | 'k_proj';
  /** Of d channels the first floor(d / groupFactor) are looked at: an integer in 1..d. Default 16. */
  groupFactor?: number;
  /** Bits of the labels, an integer in 1..16; 16 is exact. Up to 8 they are stored as bytes. Default 4. */
  labelBits?: number;
}

/**
 * A matrix [heads, inputs, outputs] or a bias [heads, outputs]: a tensor, plain numbers with dims, or nested arrays.
 */
export type HashTensor =
  | TensorLike
  | Tensor
  | { readonly data: readonly number[]; readonly dims: readonly number[] }
  | readonly (readonly number[])[]
  | readonly (readonly (readonly number[])[])[];

/**
 * The networks of one layer of a model, which hash its queries and its keys: of each a list over the network's own
 * layers. The first has d inputs, each other the outputs of the one before; those of the last, at most 1024, are the
 * bits of a code. Heads are query heads.
 */
export interface HashNetworks {
  readonly query_matrix: readonly HashTensor[];
  readonly query_bias: readonly HashTensor[];
  readonly key_matrix: readonly HashTensor[];
  readonly key_bias: readonly HashTensor[];
}

/** Networks by layer of the model. */
export interface LayersOfHashWeights {
  readonly [layer: number]: HashNetworks;
}

/** What {@link readHashWeights} read. */
export interface HashWeights {
  /** Plain numbers, which `hashAttention` takes as well. */
  toJSON(): LayersOfHashWeights;
}

/** Options of {@link maskers.hashAttention}. */
export interface HashAttentionOptions extends HeavyOptions {
  /** The networks that hash queries and keys. Required. {@link readHashWeights} reads them from a file. */
  weights: HashWeights | LayersOfHashWeights;
  /** Which layer of `weights`, an integer >= 0. Default 0. */
  layer?: number;
  /** Between layers of the networks. Default `silu`. */
  activation?: 'silu' | 'relu' | 'gelu' | 'tanh';
}

/** How keys are quantised: {@link maskers.pqCache} and {@link maskers.importanceSampling}. */
export interface QuantisationOptions {
  /** Channels of a sub-vector, a divisor of d. Default 8. */
  groupFactor?: number;
  /** Bits of the code of a sub-vector, an integer in 1..8: each has 2^bits centroids. Default 6. */
  bits?: number;
  /** Rounds of k-means, an integer in 0..1000. Default 10. */
  iterations?: number;
  /**
   * How many keys at the beginning are not chosen, an integer >= 0. Default 0. No fraction: they are left out of the
   * codes, which do not depend on how many keys there are.
   */
  initOffset?: number;
  /** What a sub-vector's centroid is nearest by: distance, or inner product. Default `euclidean`. */
  metric?: 'euclidean' | 'ip';
}

/** Options of {@link maskers.pqCache}. */
export interface PqCacheOptions extends HeavyOptions, QuantisationOptions, IndexSeedOptions {}

/** Options of {@link maskers.socket}. */
export interface SocketOptions extends HeavyOptions, IndexSeedOptions {
  /** Bits of the hash of each table, an integer in 1..8. Default 4. */
  bits?: number;
  /** Tables, an integer in 1..256. Default 1. */
  tables?: number;
  /** Of the query's soft hash, a number > 0: small ones are harder. Default 0.3. */
  temperature?: number;
}

/** Options of {@link maskers.randomSampling}. */
export interface RandomSamplingOptions extends DrawOptions {
  /** Draws as a part of the keys that a row can choose, in (0, 1]. Required. */
  rate: number;
}

/** Options of {@link maskers.adaptiveSampling}. */
export interface AdaptiveSamplingOptions extends DrawOptions {
  /**
   * Keys that the spread is estimated from: an integer >= 2, or a fraction in (0, 1) of those to draw from. Required.
   */
  baseRate: KeySize;
  /** Relative error of the softmax denominator, in (0, 1). Required. */
  epsilon: number;
  /** Probability, in (0, 1), with which it may be exceeded. Required. */
  delta: number;
  /** Keys at the beginning that are not drawn, or 0. Default 0. */
  initOffset?: KeySize;
  /** Keys at the end that are not drawn, or 0. Default 0. */
  localOffset?: KeySize;
}

/** Options of {@link maskers.importanceSampling}. */
export interface ImportanceSamplingOptions extends QuantisationOptions, SamplingOptions {
  /** How many draws each row makes, with replacement. Required. */
  draws: KeySize;
  /** Keys at the end that are not drawn, or 0. Default 0. */
  localOffset?: KeySize;
}

/** Options of {@link maskers.magicPig}. The seed is that of the random hyperplanes. */
export interface MagicPigOptions extends SamplingOptions {
  /** Tables L, an integer in 1..1024. Required. */
  tables: number;
  /** Bits K of the hash of each table, an integer in 1..32. Required. */
  bits: number;
  /** Whether the mean of the keys of the first call is taken from keys and queries before hashing. Default true. */
  center?: boolean;
}

/** What makes a masker of options. */
export interface MaskerFactory<Arguments extends unknown[]> {
  (...options: Arguments): Required<Masker>;
  /** The names of its options. */
  readonly parameters: readonly string[];
}

/**
 * The maskers. Each takes its options, checks them once, and gives a masker that serves any number of pipelines, which
 * hold all state. docs/maskers.md has formulas, memory and measurements.
 *
 * Shared by all: a key is chosen only if attention mask, causal order, window and key lengths allow it, and only if the
 * row does not have it already; a row for which too few are left gets them all; of equal scores the lowest index goes
 * first; NaN is never chosen. Inputs are not changed.
 *
 * Costs are those of one query of one head unless said: d dimension, sk keys, k keys that are kept. Dense attention
 * takes 2 d sk multiplications and additions for its scores, and as many for its values.
 * @throws TypeError for options of the wrong type, missing and unknown ones; RangeError for values out of range
 */
export const maskers: {
  /**
   * The first keys (Xiao et al. 2024, "Efficient Streaming Language Models with Attention Sinks"). No state, no cost:
   * the mask takes no memory for pairs.
   */
  readonly sink: MaskerFactory<[options: SinkOptions]>;
  /** The last keys up to and including the query's own position. No state, no cost. */
  readonly local: MaskerFactory<[options: LocalOptions]>;
  /**
   * Of what earlier maskers kept, the keys up to the query's own position; of an empty mask, all of these. No state, no
   * cost. With `causal: true` in the problem it changes nothing.
   */
  readonly causal: MaskerFactory<[options?: Record<string, never>]>;
  /**
   * The largest logits, after scaling, soft cap, ALiBi and attention mask. It computes all of them, 2 d sk, and so
   * saves at most the second half of attention: it is what others are measured against. No state.
   */
  readonly oracleTopK: MaskerFactory<[options: HeavyOptions]>;
  /**
   * The fewest largest logits whose exponentials sum to more than `topP` of the sum over all that can be chosen, and
   * the equals of the smallest of them. Cost and use as `oracleTopK`. No state.
   */
  readonly oracleTopP: MaskerFactory<[options: OracleTopPOptions]>;
  /**
   * One list for all query heads of a key head: the largest dot products with the sum of their queries, that is, by the
   * mean of the heads' scores. Exact, by way of a copy of the keys in 8 bits: 2 d sk of these for each group, and 2 d
   * for each key that may be among the largest; 16 + d bytes per key and key head. Gathered keys are read once for the
   * group.
   */
  readonly groupTopK: MaskerFactory<[options: HeavyOptions]>;
  /**
   * Whole pages of keys, by a bound of their dot products: sum over channels of max(q min, q max) (Tang et al. 2024,
   * "Quest: Query-Aware Sparsity for Efficient Long-Context LLM Inference"). max(3, floor(heavySize / pageSize)) pages
   * of those of which the other masks allow something. 4 d sk / pageSize; 8 d / pageSize bytes per key and key head,
   * twice that for labelBits < 16.
   */
  readonly quest: MaskerFactory<[options: QuestOptions]>;
  /**
   * The largest dot products over few channels, those that matter most offline (Yang et al. 2024, "Post-Training Sparse
   * Attention with Double Sparsity"). With c = floor(d / groupFactor): 2 c sk; 2 ceil(c / 2) + 12 bytes per key and
   * query head, 4 c for labelBits > 8.
   */
  readonly doubleSparsity: MaskerFactory<[options: DoubleSparsityOptions]>;
  /**
   * The keys whose code has the most bits in common with the query's: codes are the signs that a learned network per
   * head gives (Desai et al. 2025, "HashAttention: Semantic Sparsity for Faster Inference"). sk ceil(bits / 32) words
   * of 32 bits, and 4 ceil(bits / 32) bytes per key and query head; the networks run once for each key and query.
   */
  readonly hashAttention: MaskerFactory<[options: HashAttentionOptions]>;
  /**
   * The largest logits of keys quantised by product quantisation (Zhang et al. 2025, "PQCache: Product
   * Quantization-based KVCache for Long Context LLM Inference"). sk d / groupFactor look-ups, after 2 d 2^bits for
   * tables; d / groupFactor bytes per key and key head, and about 4 d 2^bits per key head. k-means runs once, on up to
   * 4096 keys of the first call; later ones get the nearest centroids.
   */
  readonly pqCache: MaskerFactory<[options: PqCacheOptions]>;
  /**
   * The largest products of the norm of a key's value and the probability that the query, hashed softly, falls where
   * the key does, summed over `tables` tables of `bits` random hyperplanes (SOCKET, "SOft Collision Kernel EsTimator
   * for Sparse Attention"). sk tables look-ups, after 2 d tables bits + tables 2^bits for the query; tables + 4 bytes
   * per key and key head (4 for each value head that its queries read), and 4 d tables bits per key head.
   */
  readonly socket: MaskerFactory<[options: SocketOptions]>;
  /**
   * max(1, floor(rate R)) draws, all alike, of the R keys that a row can choose. Samples: a key's weight is the
   * probability with which it is kept. No state; no score is computed.
   */
  readonly randomSampling: MaskerFactory<[options: RandomSamplingOptions]>;
  /**
   * As many draws as it takes for the softmax denominator to be within 1 +- epsilon of the true one with probability
   * 1 - delta, estimated from a look at some keys (vAttention: Desai et al. 2025, "vAttention: Verified Sparse
   * Attention"). Samples, uniformly from [initOffset, sk - localOffset). 2 d for each key that is kept or looked at. No
   * state.
   */
  readonly adaptiveSampling: MaskerFactory<[options: AdaptiveSamplingOptions]>;
  /**
   * Draws in proportion to the attention that quantised keys get: a key that is drawn has the weight 1 - (1 - p)^draws,
   * the probability of that. Samples. Cost and state as `pqCache`, and 8 bytes of working memory per key. A row with no
   * more keys than draws gets them all, with weight 1.
   */
  readonly importanceSampling: MaskerFactory<[options: ImportanceSamplingOptions]>;
  /**
   * Keys that fall where the query does in at least one of `tables` hashes of `bits` random hyperplanes, weighted by
   * the probability of that (Chen et al. 2025, "MagicPIG: LSH Sampling for Efficient LLM Generation"). Samples; how
   * many it keeps is up to the data. sk tables ceil(bits / 8) bytes compared, and 2 d for each key that is kept; 4 +
   * tables ceil(bits / 8) bytes per key and key head, and 4 tables bits (d + 1) per key head.
   */
  readonly magicPig: MaskerFactory<[options: MagicPigOptions]>;
};

/**
 * Which channels matter most in samples of a layer's queries and keys: what {@link maskers.doubleSparsity} takes, under
 * the name of that layer. Objects of several layers are merged by `{ ...one, ...other }`.
 * @param options.queries [b, h, n, d]; channels are sorted by the sum of |q_c k_c| over all pairs, as `qk_proj`.
 * Without them, of each key head by the sum of k_c^2, as `k_proj`
 * @param options.keys [b, hk, n, d]
 * @param options.layer an integer >= 0. Default 0
 * @throws TypeError, RangeError for tensors that do not fit
 */
export function calibrateChannels(options: {
  queries?: TensorLike | Tensor;
  keys: TensorLike | Tensor;
  layer?: number;
}): NamedChannels;

/**
 * Weights for {@link maskers.hashAttention} from a .safetensors file, whose tensors are called
 * `layers.<layer>.<query_matrix | query_bias | key_matrix | key_bias>.<n>` with n = 0, 1, ... over the layers of the
 * network; float32, float16 or bfloat16. Others are left out.
 * @throws TypeError, RangeError for files that are damaged or have no such tensor; what is missing of a layer is an
 * error of `hashAttention`
 */
export function readHashWeights(bytes: ArrayBuffer | Uint8Array): HashWeights;

/**
 * Keys or values [b, hk, s, d] with each head repeated `groups` times: [b, hk * groups, s, d]. Calls never need it; it
 * is here for code that does.
 * @param groups an integer >= 1
 */
export function repeatKv<D extends DType = 'float32'>(
  tensor: (TensorLike | Tensor) & { readonly dtype?: D },
  groups: number,
): TensorResult<D>;

/**
 * How many query heads share a key head: h / hk, from [b, h, sq, d] and [b, hk, sk, d].
 * @throws RangeError unless it is an integer: `num_attention_heads (H) must be divisible by num_key_value_heads (HK)`
 */
export function getNumKeyValueGroups(queries: TensorLike | Tensor, keys: TensorLike | Tensor): number;
