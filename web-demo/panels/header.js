// SPDX-License-Identifier: Apache-2.0
/** The bar on top: whose attention it is, undo and redo, what to take away. */
import { html, nothing } from 'lit-html';

/** What can be saved, in the order of the menu. */
const FILES = [
  { kind: 'svg', label: 'Figure, SVG' },
  { kind: 'png', label: 'Figure, PNG', scale: 1 },
  { kind: 'png', label: 'Figure, PNG at 2x', scale: 2 },
  { kind: 'png', label: 'Figure, PNG at 4x', scale: 4 },
  { kind: 'mask-npy', label: 'Mask, .npy' },
  { kind: 'mask-npz', label: 'Mask, CSR .npz' },
  { kind: 'mask-flex', label: 'Mask, FlexAttention blocks' },
  { kind: 'weights-csv', label: 'Weights in view, CSV' },
  { kind: 'recipe-json', label: 'Recipe, JSON' },
];

export function header({ state, samples, data, canUndo, canRedo, saved }, actions) {
  const own = samples.every(({ name }) => name !== data.name);
  return html`
    <label class="pick">Data
      <select name="sample" .value=${data.name} @change=${({ target }) => actions.openSample(target.value)}>
        ${samples.map(({ name, title }) => html`<option value=${name} ?selected=${name === data.name}>${title}</option>`)}
        ${own ? html`<option value=${data.name} selected>${data.name}</option>` : nothing}
      </select>
    </label>
    <label class="button">Open files…
      <input type="file" name="files" multiple accept=".npy,.npz,.safetensors,.json,.txt"
        @change=${({ target }) => actions.openFiles(target.files)}>
    </label>
    <span class="pair">
      <button type="button" name="undo" ?disabled=${!canUndo} @click=${actions.undo} title="Ctrl+Z">Undo</button>
      <button type="button" name="redo" ?disabled=${!canRedo} @click=${actions.redo} title="Ctrl+Shift+Z">Redo</button>
    </span>
    <label class="check"><input type="checkbox" name="compare" .checked=${state.compare}
      @change=${({ target }) => actions.change({ compare: target.checked, edited: 'a' })}> Compare two masks</label>
    <details class="menu" @keydown=${closeOnEscape}>
      <summary>Save</summary>
      <div>
        ${FILES.map(({ label, ...file }) => html`
          <button type="button" @click=${() => actions.save(file)}>${label}</button>`)}
        <button type="button" @click=${actions.copyLink}>Link to this view</button>
      </div>
    </details>
    <span class="saved" role="status">${saved}</span>`;
}

function closeOnEscape(event) {
  if (event.key !== 'Escape') return;
  event.currentTarget.open = false;
  event.currentTarget.querySelector('summary').focus();
}
