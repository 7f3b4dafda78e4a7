// SPDX-License-Identifier: Apache-2.0
/** How a mask is made: presets, maskers one after the other with their sliders, a predicate, edits on the picture. */
import { html, nothing } from 'lit-html';

import { defaultMasker, MASKER_FORMS } from '../analysis/recipe.js';
import { presetsOf } from '../recipes.js';
import { select, slider } from './fields.js';

export function masks(model, actions) {
  const { state, data, recipes, sizes, results } = model;
  const { causal: isCausal, sparseAttentionMask } = data.layers[state.layer].problem;
  const slot = state.edited;
  const recipe = recipes[slot];
  const { error } = results(`prepare:${slot}`);
  return html`
    ${state.compare ? slots(state, actions) : nothing}
    ${presetList(presetsOf(model), recipe, actions)}
    <ol class="maskers">
      ${recipe.maskers.map((masker, n) => maskerCard(masker, n, { recipe, sizes, slot }, actions))}
    </ol>
    ${adder(recipe, { sizes, hasMask: sparseAttentionMask !== undefined }, actions)}
    ${predicate(recipe, actions)}
    ${edits(recipe, actions)}
    <label class="check"><input type="checkbox" name="causal" .checked=${isCausal || state.causal} ?disabled=${isCausal}
      @change=${({ target }) => actions.change({ causal: target.checked })}> Causal: no query looks ahead</label>
    ${error ? html`<p class="bad" role="alert">${error.message}</p>` : nothing}`;
}

function slots({ edited }, actions) {
  return html`<div class="segments" role="group" aria-label="Which mask is edited">
    ${['a', 'b'].map((slot) => html`<button type="button" aria-pressed=${edited === slot}
      @click=${() => actions.change({ edited: slot })}>Mask ${slot.toUpperCase()}</button>`)}
  </div>`;
}

function presetList(all, recipe, actions) {
  const chosen = all.findIndex((preset) => JSON.stringify(preset.recipe) === JSON.stringify(recipe));
  return html`${select({
    label: 'Preset',
    name: 'preset',
    value: String(chosen),
    options: [...(chosen < 0 ? [['-1', 'your own']] : []), ...all.map(({ label }, n) => [String(n), label])],
    change: (n) => actions.setRecipe(all[n].recipe),
  })}
  ${chosen < 0 ? nothing : html`<p class="note">${all[chosen].text}</p>`}`;
}

function maskerCard(masker, n, { recipe, sizes, slot }, actions) {
  const form = MASKER_FORMS[masker.name];
  const replace = (change) => recipe.maskers.map((other, m) => (m === n ? { ...other, ...change } : other));
  const others = recipe.maskers.filter((_, m) => m !== n);
  const moved = [...others.slice(0, n - 1), masker, ...others.slice(n - 1)];
  return html`<li data-masker=${masker.name}>
    <div class="card-head">
      <strong>${form?.label ?? masker.name}</strong>
      ${n === 0 ? nothing : html`<button type="button" class="small" aria-label="Move ${form?.label} up"
        @click=${() => actions.setRecipe({ ...recipe, maskers: moved })}>↑</button>`}
      <button type="button" class="small" aria-label="Remove ${form?.label}"
        @click=${() => actions.setRecipe({ ...recipe, maskers: others })}>✕</button>
    </div>
    ${form?.sliders(sizes).map((field) => fieldOf(field, masker, {
      slot, n,
      change: (value, gesture) => actions.setRecipe({ ...recipe, maskers: replace({ [field.name]: value }) }, gesture),
      done: actions.endGesture,
    }))}
  </li>`;
}

function fieldOf(field, masker, { slot, n, change, done }) {
  const value = masker[field.name] ?? field.default;
  const name = `${slot}.${n}.${field.name}`;
  if (field.kind === 'choice') {
    const options = field.choices.map((choice, at) => [String(at), String(choice)]);
    const chosen = String(field.choices.indexOf(value));
    return select({ ...field, name, value: chosen, options, change: (at) => change(field.choices[at]) });
  }
  return slider({ ...field, name, value, change, done });
}

function adder(recipe, { sizes, hasMask }, actions) {
  const forms = Object.entries(MASKER_FORMS).filter(([name]) => name !== 'given' || hasMask);
  return html`<label class="pick">Add a masker
    <select name="add" .value=${''} @change=${({ target }) => {
      actions.setRecipe({ ...recipe, maskers: [...recipe.maskers, defaultMasker(target.value, sizes)] });
      target.value = '';
    }}>
      <option value="" selected>…</option>
      ${forms.map(([name, { label }]) => html`<option value=${name}>${label}</option>`)}
    </select></label>`;
}

function predicate(recipe, actions) {
  return html`<label class="pick">And only where
    <input type="text" name="predicate" placeholder="q >= k && q - k < 64" spellcheck="false" autocomplete="off"
      .value=${recipe.predicate ?? ''} @change=${({ target }) => {
        const text = target.value.trim();
        actions.setRecipe({ ...recipe, predicate: text === '' ? undefined : text });
      }}></label>
    <p class="note">q and k are positions, h the head; + − * / %, comparisons, &amp;&amp; || !, abs, min, max, floor.</p>`;
}

function edits(recipe, actions) {
  const count = recipe.edits?.length ?? 0;
  if (count === 0) return nothing;
  return html`<p class="edits">${count} ${count === 1 ? 'block' : 'blocks'} drawn or erased
    <button type="button" class="small" @click=${() => actions.setRecipe({ ...recipe, edits: undefined })}>Clear</button>
  </p>`;
}
