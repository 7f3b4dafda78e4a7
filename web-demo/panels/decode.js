// SPDX-License-Identifier: Apache-2.0
/** Decoding: the query moves through time, and of the keys so far only some are read. */
import { html, nothing } from 'lit-html';

import { bytes, percent, whole } from '../format.js';
import { slider } from './fields.js';

export function decode({ state, sizes, results, playing, pageSize }, actions) {
  const { value, error, pending } = results('decode');
  const on = state.step !== undefined;
  return html`
    <div class="row">
      <button type="button" name="decode" aria-pressed=${on} @click=${() => actions.change({ step: on ? undefined : sizes.queries - 1 })}>
        ${on ? 'Leave decoding' : 'Step through decoding'}</button>
      ${on ? html`<button type="button" name="play" @click=${actions.play}>${playing ? 'Pause' : 'Play'}</button>` : nothing}
    </div>
    ${on ? html`
      ${slider({
        label: 'Query', name: 'step', value: state.step, min: 0, max: sizes.queries - 1, step: 1,
        change: (step) => actions.change({ step }),
      })}
      ${slider({
        label: 'Keys in a page', name: 'pageSize', value: pageSize, min: 1, max: 64, step: 1, change: actions.setPageSize,
      })}
      ${error ? html`<p class="bad" role="alert">${error.message}</p>` : nothing}
      ${value === undefined ? nothing : html`
        <div class="pages" role="img" aria-label=${sentence(value)}>
          ${value.pages.map(({ page, kept, mass }) => html`<i data-read=${kept > 0}
            title="page ${page}: ${kept} keys, ${percent(mass)} of the attention"></i>`)}
        </div>
        <p class=${pending ? 'pending' : ''} id="decode-sentence">${sentence(value)}</p>`}` : nothing}`;
}

function sentence({ length, keys, pages, read, of }) {
  const used = pages.filter(({ kept }) => kept > 0).length;
  return `Reads ${whole(keys.length)} of ${whole(length)} keys in ${whole(used)} of ${whole(pages.length)} pages: ${bytes(read)} of ${bytes(of)}.`;
}
