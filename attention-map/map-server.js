// SPDX-License-Identifier: Apache-2.0

/**
 * Sources of pictures, and their tiles as bitmaps. One thing is computed at a time, the latest request first, in slices
 * between which the event loop turns. What tiles show is kept, so that other colours and scales compute nothing.
 */

import { checkOptions, rangeError, typeError } from '../js/checks.js';
import { createAttention } from '../js/index.js';
import { weightingOf } from '../js/sparse-attention.js';
import { Cache } from './cache.js';
import { unpackMask } from './mask-message.js';
import { CACHE_BYTES, MapSource } from './source.js';
import { Tasks } from './tasks.js';
import { stepsOf, tileSteps } from './tiles.js';

export class MapServer {
  #engine; // promise of an engine, once one is needed
  #ownsEngine;
  #sources = new Map(); // id -> { source, owner: its prefix in the cache }
  #cache = new Cache(CACHE_BYTES);
  #tasks = new Tasks();

  /** @param attention the engine to compute with; by default one of its own, started when it is needed */
  constructor(attention) {
    this.#ownsEngine = attention === undefined;
    if (attention !== undefined) this.#engine = Promise.resolve(attention);
  }

  /**
   * @param id any value; what was open under it is closed
   * @param data options of attention, and perhaps `maskers`, a pipeline whose mask is built here, and `mask`, a message
   * of mask-message.js; or { weights } of a result
   * @returns { shape: [b, h, sq, sk], maxLevel }
   */
  async open(id, data) {
    if (typeof data !== 'object' || data === null) throw typeError('data', 'an object', data);
    const source = data.weights === undefined ? await this.#openProblem(data) : this.#openWeights(data);
    this.add(id, source);
    return { shape: [...source.shape], maxLevel: source.maxLevel };
  }

  /** Serves a source that is there: a MapSource, or what has its `shape`, `read` and perhaps other methods. */
  add(id, source) {
    this.close(id);
    this.#sources.set(id, { source, owner: this.#cache.owner() });
  }

  close(id) {
    const found = this.#sources.get(id);
    if (found === undefined) return;
    this.#sources.delete(id);
    this.#cache.forget(found.owner);
    found.source.dispose?.();
  }

  /** Closes all sources, and the engine if it is its own. */
  async dispose() {
    for (const id of [...this.#sources.keys()]) this.close(id);
    if (this.#ownsEngine) (await this.#engine)?.dispose();
  }

  read(id, options, control) {
    return this.#run(id, 'read', options, control);
  }

  dense(id, options, control) {
    return this.#run(id, 'dense', options, control);
  }

  statistics(id, options, control) {
    return this.#run(id, 'statistics', options, control);
  }

  rowStatistics(id, options, control) {
    return this.#run(id, 'rowStatistics', options, control);
  }

  strongest(id, options, control) {
    return this.#run(id, 'strongest', options, control);
  }

  /**
   * A tile of 256 x 256 pixels of a level, fewer at the right and the bottom.
   * @param options batch, head, level, show; row and column of the tile; scale: options of makeScale but for the
   * numbers; range: `head` (default) or `row`, each row against its own largest weight; skipKeys: keys at the beginning
   * that the range leaves out; ramp and theme of raster(); quick: whether to answer at once, from the mask where values
   * are not known yet
   * @returns { bitmap: ImageBitmap, sampled: whether rows were left out, provisional: whether colours show what is
   * kept, and values are to be asked for }
   */
  async tile(id, options, { signal } = {}) {
    const { source, owner } = this.#find(id);
    const tile = await this.#tasks.run(tileSteps(source, this.#cache, owner, options), signal);
    const bitmap = await createImageBitmap(new ImageData(tile.rgba, tile.width, tile.height));
    return { bitmap, sampled: tile.sampled, provisional: tile.provisional };
  }

  async #run(id, method, options, { signal } = {}) {
    return this.#tasks.run(stepsOf(this.#find(id).source, method, options), signal);
  }

  #find(id) {
    const found = this.#sources.get(id);
    if (found === undefined) throw rangeError('id', 'that of an open source', id);
    return found;
  }

  async #openProblem({ maskers, mask, ...problem }) {
    const attention = await (this.#engine ??= createAttention());
    if (mask !== undefined) problem.sparseAttentionMask = unpackMask(mask);
    if (maskers === undefined) return new MapSource(attention, problem, { cache: this.#cache });
    const built = buildMask(attention, problem, maskers);
    const masked = { ...problem, sparseAttentionMask: built, maskWeighting: weightingOf(built, problem) };
    return new MapSource(attention, masked, { cache: this.#cache });
  }

  #openWeights({ weights, ...others }) {
    checkOptions(others, 'data', new Set()); // nothing else has a meaning here
    return MapSource.ofWeights(weights, { cache: this.#cache });
  }
}

function buildMask(attention, problem, maskers) {
  const pipeline = attention.createSparseAttention(maskers);
  try {
    return pipeline.buildMask({ ...problem, values: problem.values ?? problem.keys });
  } finally {
    pipeline.dispose();
  }
}
