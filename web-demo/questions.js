// SPDX-License-Identifier: Apache-2.0
/** What the state needs to know, asked of the workers: the pictures at once, the slow numbers once the reader pauses. */
import { configurationOf, isLong, shownLayer } from './recipes.js';

const SETTLE_MS = 120;
const SLOW_MS = 400;
const THUMBNAIL = 64; // pixels

/** Asks for whatever is not there yet; an answer causes another drawing. */
export function ask(model, client, wanted) {
  const { state, data, pageSize, theme } = model;
  const { layer, batch, head } = state;
  const slots = state.compare ? ['a', 'b'] : ['a'];
  const names = new Set();
  const want = (name, question, make, wait) => {
    names.add(name);
    wanted.ask(name, question, make, wait);
  };

  for (const slot of slots) {
    const configuration = configurationOf(model, slot);
    const place = { batch, head };
    const previewed = configurationOf(model, slot, shownLayer(model));
    want(`prepare:${slot}`, [previewed], () => client.paint('prepare', previewed));
    if (!data.hasInputs) continue;
    want(`numbers:${slot}`, [configuration, place], () => client.count('numbers', configuration, place), SETTLE_MS);
    want(`times:${slot}`, [configuration], () => client.count('times', configuration), SLOW_MS);
    want(`curve:${slot}`, [configuration], () => client.count('curve', configuration), SLOW_MS);
  }
  if (state.compare) {
    const [a, b] = slots.map((slot) => configurationOf(model, slot));
    const previewed = slots.map((slot) => configurationOf(model, slot, shownLayer(model)));
    want('prepare:regions', previewed, () => client.paint('prepareRegions', ...previewed));
    want('regions', [a, b, batch, head], () => client.count('regions', a, b, { batch, head }), SETTLE_MS);
  }
  if (state.step !== undefined && data.hasInputs) {
    const configuration = configurationOf(model, state.edited);
    const step = { query: state.step, batch, head, pageSize };
    want('decode', [configuration, step], () => client.count('decode', configuration, step));
  }
  const shown = state.compare ? state.edited : 'a';
  const look = { scale: { kind: state.scale, exponent: state.exponent }, show: state.show, ramp: state.colors, theme };
  const wait = isLong(data.layers[layer]) ? SLOW_MS : SETTLE_MS; // the map goes first
  data.layers.forEach((_, of) => {
    const configuration = configurationOf(model, shown, of);
    if (data.hasInputs) want(`heads:${of}`, [configuration, batch], () => client.count('heads', configuration, batch), wait);
    const options = { batch, size: THUMBNAIL, ...look };
    want(`thumbnails:${of}`, [configuration, options], () => client.paint('thumbnails', configuration, options), wait);
  });
  if (state.sort === 'similarity' && data.hasInputs) {
    want('similar', [layer, head, batch], () => client.count('similar', layer, head, batch), SETTLE_MS);
  }
  if (data.hasInputs) want(`difference:${layer}`, [], () => client.count('difference', layer), SLOW_MS);
  wanted.keep(names);
}
