// SPDX-License-Identifier: Apache-2.0
/** The whole page as a function of the model. */
import { html, nothing, render } from 'lit-html';

import { handlesOf } from './gestures.js';
import { curve } from './panels/curve.js';
import { decode } from './panels/decode.js';
import { header } from './panels/header.js';
import { heads } from './panels/heads.js';
import { masks } from './panels/masks.js';
import { numbersPanel } from './panels/numbers.js';
import { stage } from './panels/stage.js';
import { recipesOf, sizesOf } from './recipes.js';

const MOST_PAGES = 500; // that are outlined
const NOTHING = [];

export function drawPage(model, actions) {
  const { data, message, failed, choice } = model;
  const app = document.getElementById('app');
  if (!app.dataset.drawn) app.replaceChildren(); // what the page says before its script runs
  app.dataset.drawn = true;
  render(html`
    ${message ? html`<p id="message" role=${failed ? 'alert' : 'status'} class=${failed ? 'bad' : ''}>${message}
      ${data ? html`<button type="button" class="small" @click=${actions.dismiss}>Close</button>` : nothing}</p>` : nothing}
    ${choice ? chooser(choice, actions) : nothing}
    ${data ? main(model, actions) : nothing}`, app);
}

function main(model, actions) {
  const { state, data, preview } = model;
  const recipes = recipesOf(model);
  const slots = state.compare ? ['a', 'b'] : ['a'];
  const all = {
    ...model,
    recipes,
    slots,
    sizes: sizesOf(model),
    place: preview ?? state,
    highlight: highlightOf(model),
    handles: { a: handlesOf(recipes.a), b: handlesOf(recipes.b) },
  };
  return html`
    <form class="bar" @submit=${(event) => event.preventDefault()}>${header(all, actions)}</form>
    <div class="page">
      <div class="side">
        ${panel('heads', 'Heads', heads(all, actions))}
        ${data.hasInputs ? panel('numbers', 'In numbers', numbersPanel(all)) : nothing}
      </div>
      ${panel('stage', `${data.layers[all.place.layer].label}, head ${all.place.head + 1}`, stage(all, actions))}
      <div class="side" ?hidden=${!data.hasInputs}>
        ${!data.hasInputs ? nothing : html`${panel('masks', 'Mask', masks(all, actions))}
        ${panel('curve', 'Curve', curve(all, actions))}
        ${panel('decode', 'Decoding', decode(all, actions))}`}
      </div>
    </div>
    ${about(all)}`;
}

function panel(name, title, content) {
  return html`<section class="panel" id="panel-${name}" aria-labelledby="title-${name}">
    <h2 id="title-${name}">${title}</h2>${content}</section>`;
}

/** Of a step of decoding: the query's row, and the pages that it reads. */
function highlightOf({ state, results, pageSize }) {
  const { value } = results('decode');
  if (state.step === undefined || value === undefined) return NOTHING;
  const row = [state.step, state.step + 1];
  return value.pages.filter(({ kept }) => kept > 0).slice(0, MOST_PAGES)
    .map(({ page }) => ({ rows: row, columns: [page * pageSize, (page + 1) * pageSize], kind: 'read' }));
}

function chooser({ question, readings }, actions) {
  return html`<section class="panel chooser" role="dialog" aria-labelledby="choice-title">
    <h2 id="choice-title">${question}</h2>
    <div class="row">${readings.map(({ sentence }, n) => html`
      <button type="button" @click=${() => actions.choose(n)}>${sentence}</button>`)}
      <button type="button" class="small" @click=${actions.closeChoice}>Cancel</button></div>
  </section>`;
}

function about({ state, data, engine, results }) {
  const difference = results(`difference:${state.layer}`).value;
  return html`<footer>
    ${data.notes.map((note) => html`<p>${note}</p>`)}
    <p>Computed in this browser${engine ? html`, variant <b id="variant">${engine.variant}</b> (${engine.why})` : nothing};
      nothing is uploaded.${difference === undefined ? nothing : html` The weights differ from those that the model
      recorded by <span id="difference">${difference.toExponential(1)}</span> at most.`}</p>
  </footer>`;
}
