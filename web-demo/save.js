// SPDX-License-Identifier: Apache-2.0
/** What the reader takes away: the picture, the mask, the weights in view, the recipe. */
import { figure } from '../attention-map/figure.js';
import { toPng } from '../attention-map/png.js';
import { toSvg } from '../attention-map/svg.js';
import { fileName } from './files/exports.js';
import { configurationOf, recipesOf } from './recipes.js';
import { formatState } from './state.js';

const KEPT_MS = 10_000; // some browsers begin to read a while later

/**
 * Makes files and hands them to the browser.
 * @param {{ kind: string, scale?: number }} what
 * @param {object} page model, client, and the <attention-map> that shows the mask which is edited
 * @returns {Promise<string>} what was done, in words
 */
export async function save({ kind, scale }, { model, client, map }) {
  const { state, data } = model;
  const { batch, head } = state;
  const { label, shape } = data.layers[state.layer];
  const about = { name: data.title, layer: label, batch: shape[0] > 1 ? batch : undefined, head };
  if (kind !== 'svg' && kind !== 'png') {
    const options = { kind, about, batch, head, tokens: data.tokens, ...map.visible() };
    return download(await client.count('exportFiles', configurationOf(model, state.edited), options));
  }
  const metadata = { data: data.title, recipe: recipesOf(model)[state.edited], view: formatState(state) };
  const picture = figure(await map.figure());
  const name = fileName(about, state.show, scale > 1 ? `@${scale}x.${kind}` : `.${kind}`);
  if (kind === 'svg') return download([{ name, type: 'image/svg+xml', content: await toSvg(picture, { metadata }) }]);
  return download([{ name, type: 'image/png', content: await toPng(picture, { scale, metadata }) }]);
}

function download(files) {
  for (const { name, type, content } of files) {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
  }
  return `Saved ${files.map(({ name }) => name).join(' and ')}`;
}
