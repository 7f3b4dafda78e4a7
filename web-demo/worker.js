// SPDX-License-Identifier: Apache-2.0
/**
 * What the page has computed off its thread. It holds one set of tensors and an engine; every method is a function of
 * a configuration { layer, causal, recipe } over them. The page starts two of these: one paints, one counts.
 */
import { MapServer } from '../attention-map/map-server.js';
import { unpackMask } from '../attention-map/mask-message.js';
import { raster } from '../attention-map/raster.js';
import { expose } from '../attention-map/remote.js';
import { makeScale } from '../attention-map/scale.js';
import { MapSource } from '../attention-map/source.js';
import { createAttention } from '../js/index.js';
import { weightingOf } from '../js/sparse-attention.js';
import { curve } from './analysis/curve.js';
import { decodeStep } from './analysis/decode.js';
import { headStatistics, similarHeads, thumbnail } from './analysis/heads.js';
import { numbers, times } from './analysis/numbers.js';
import { buildMask, checkRecipe } from './analysis/recipe.js';
import { compareMasks, RegionSource } from './analysis/regions.js';
import { explainCell } from './analysis/why.js';
import { exportFiles } from './export.js';

const KEPT = 8; // sources

/** Masks and sources of the configurations that were last asked for, each made once. */
class Workbench extends MapServer {
  #attention;
  #layers = [];
  #made = new Map(); // name of a source -> what it was made of, the last used last

  /** @param {Promise<object>} attention an engine */
  constructor(attention) {
    super(attention);
    this.#attention = attention;
  }

  async info() {
    return (await this.#attention).info();
  }

  /** Takes the tensors of all layers; what was there before goes. */
  load(layers) {
    for (const name of [...this.#made.keys()]) this.#drop(name);
    this.#layers = layers.map(({ problem, mask, weights }) => ({
      problem: mask === undefined ? problem : { ...problem, sparseAttentionMask: unpackMask(mask) },
      weights,
    }));
  }

  /** By how much the weights of a layer differ from those that the data brought along, at most; undefined without. */
  async difference(layer) {
    const { problem, weights: recorded } = this.#layers[layer];
    if (recorded === undefined) return undefined;
    const attention = await this.#attention;
    const { weights } = attention.getMaskedAttentionOutput({ ...problem, returnAttentionWeights: true });
    return weights.data.reduce((most, weight, n) => Math.max(most, Math.abs(weight - recorded.data[n])), 0);
  }

  /** Makes the source of a configuration. @returns its name, to ask for tiles with */
  async prepare(configuration) {
    return (await this.#make(configuration)).name;
  }

  /** Makes the source that tells two masks apart. */
  async prepareRegions(a, b) {
    const name = JSON.stringify([a, b]);
    const [one, other] = [await this.#make(a), await this.#make(b)];
    const [, heads] = one.source.shape;
    const makeRegions = () => new RegionSource(one.built.effective, other.built.effective, { heads });
    this.#keep(name, () => ({ name, source: makeRegions() }));
    return name;
  }

  async numbers(configuration, place) {
    const { attention, problem, built } = await this.#make(configuration);
    return numbers(attention, problem, built, place);
  }

  async times(configuration) {
    const { attention, problem } = await this.#make(configuration);
    return times(attention, problem, configuration.recipe);
  }

  heads(configuration, batch) {
    return this.#use(configuration, ({ attention, problem, built }) =>
      headStatistics(attention, problem, built.mask, { batch }));
  }

  /** The heads of all layers, by how little they differ from one: [{ layer, head, distance }]. */
  async similar(layer, head, batch) {
    const attention = await this.#attention;
    const among = this.#layers.map(({ problem }) => problem);
    return similarHeads(attention, among[layer], head, { batch, among });
  }

  /** Small pictures of all heads, as pixels. @returns [{ rows, columns, pixels: RGBA }] */
  thumbnails(configuration, { scale, ramp, theme, ...what }) {
    const { batch, show } = what;
    return this.#use(configuration, async ({ source }) => {
      const pictures = [];
      for (let head = 0; head < source.shape[1]; head++) {
        await new Promise((resolve) => setTimeout(resolve)); // maps that are looked at go between
        const cells = thumbnail(source, { ...what, head });
        const range = show === 'mask' ? { min: 0, max: 1 } : source.statistics({ batch, head, show });
        const pixels = raster(cells, { scale: makeScale({ ...scale, ...range }), ramp, theme });
        pictures.push({ rows: cells.rows, columns: cells.columns, pixels });
      }
      return pictures;
    });
  }

  async curve(configuration) {
    const { attention, problem } = await this.#make(configuration);
    return curve(attention, problem, configuration.recipe);
  }

  async explain(configuration, place) {
    const { attention, problem, built } = await this.#make(configuration);
    return explainCell(attention, problem, configuration.recipe, built, place);
  }

  async decode(configuration, step) {
    const { attention, problem } = await this.#make(configuration);
    return decodeStep(attention, problem, configuration.recipe, step);
  }

  /** How many cells of a head both masks keep, one of them, or none. */
  async regions(a, b, place) {
    const [one, other] = [await this.#make(a), await this.#make(b)];
    const [, heads] = one.source.shape;
    return compareMasks(one.built.effective, other.built.effective, { ...place, heads });
  }

  /** Files of the mask or of cells: [{ name, type, content }]. */
  async exportFiles(configuration, options) {
    const { source } = await this.#make(configuration);
    return exportFiles(source, configuration.recipe, options);
  }

  /** What belongs to a configuration; it is kept for a while, and served under its name. */
  async #make(configuration) {
    const attention = await this.#attention;
    const name = JSON.stringify(configuration);
    return this.#keep(name, () => ({ name, ...this.#build(attention, configuration) }));
  }

  /** The same for one use: of layers that nobody looks at, nothing is kept. */
  async #use(configuration, use) {
    const attention = await this.#attention;
    const kept = this.#made.get(JSON.stringify(configuration));
    if (kept !== undefined) return use(kept);
    const { source, built, ...others } = this.#build(attention, configuration);
    try {
      return await use({ source, built, ...others });
    } finally {
      source.dispose();
      built?.mask.dispose();
    }
  }

  #build(attention, { layer, causal, recipe }) {
    const { problem: own, weights } = this.#layers[layer];
    if (own === undefined) return { attention, source: MapSource.ofWeights(weights) };
    const problem = { ...own, causal: causal || own.causal };
    const built = buildMask(attention, problem, checkRecipe(recipe));
    const { mask } = built;
    const masked = { ...problem, sparseAttentionMask: mask, maskWeighting: weightingOf(mask, problem) };
    return { attention, problem, built, source: new MapSource(attention, masked) };
  }

  #keep(name, make) {
    const made = this.#made.get(name) ?? make();
    if (this.#made.has(name)) this.#made.delete(name);
    else this.add(name, made.source);
    this.#made.set(name, made);
    if (this.#made.size > KEPT) this.#drop(this.#made.keys().next().value);
    return made;
  }

  #drop(name) {
    const { built } = this.#made.get(name);
    this.#made.delete(name);
    this.close(name); // which disposes of the source
    built?.mask.dispose();
  }
}

expose(self, new Workbench(createAttention()));
