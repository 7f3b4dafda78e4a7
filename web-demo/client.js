// SPDX-License-Identifier: Apache-2.0
/** The page's two workers: one paints the maps, the other counts, so that a long count stops no picture. */
import { packMask } from '../attention-map/mask-message.js';
import { connect } from '../attention-map/remote.js';

export class Client {
  #painter = start();
  #counter = start();

  /** Hands the tensors of a data set to both. */
  async load({ layers }) {
    const messages = layers.map(({ problem, weights }) => {
      const { sparseAttentionMask: mask, ...others } = problem ?? {};
      return { problem: problem && others, mask: mask && packMask(mask), weights };
    });
    await Promise.all([this.#painter, this.#counter].map((worker) => worker.call('load', [messages])));
  }

  /** Something about a configuration: `method` is one of the worker's. */
  paint(method, ...args) {
    return this.#painter.call(method, args);
  }

  /** The same, where it may take long. */
  count(method, ...args) {
    return this.#counter.call(method, args);
  }

  /**
   * What an <attention-map> shows.
   * @param {string} name what `prepare` or `prepareRegions` gave
   * @param {number[]} shape [batch, heads, queries, keys]
   */
  source(name, shape) {
    const methods = ['tile', 'read', 'dense', 'statistics', 'rowStatistics', 'strongest'].map((method) => [
      method,
      (request, options) => this.#painter.call(method, [name, request], options),
    ]);
    return { name, shape, ...Object.fromEntries(methods) };
  }

  /** The same for a map of regions, whose values are kinds from 1 to 3. */
  regions(name, shape) {
    const { tile, ...others } = this.source(name, shape);
    const range = { min: 1, max: 3 };
    return {
      ...others,
      tile: ({ scale, ...request }, options) => tile({ ...request, scale: { ...scale, ...range }, quick: false }, options),
      statistics: async () => ({ ...range, quantiles: Float32Array.of(1, 3), sampled: false }),
    };
  }
}

function start() {
  return connect(new Worker(new URL('./worker.js', import.meta.url), { type: 'module' }));
}
