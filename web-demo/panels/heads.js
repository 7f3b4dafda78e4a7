// SPDX-License-Identifier: Apache-2.0
/** The grid of layers and heads, query heads beneath the key head that they share; sorted and filtered by a measure. */
import { html, nothing } from 'lit-html';
import { ref } from 'lit-html/directives/ref.js';

import { percent, short } from '../format.js';
import { select } from './fields.js';

const MEASURES = [
  ['index', 'their place'],
  ['entropy', 'entropy'],
  ['sinkMass', 'mass on the first keys'],
  ['locality', 'mass near the diagonal'],
  ['recall', 'mass that the mask keeps'],
  ['similarity', 'likeness to the chosen head'],
];

export function heads({ state, data, results, preview }, actions) {
  const layers = data.layers.map(({ label }, layer) => ({ label, layer, list: headsOf(layer, { data, results, state }) }));
  const all = layers.flatMap(({ list }) => list);
  const isSorted = state.sort !== 'index';
  const range = rangeOf(all);
  const shown = ({ value }) => !isSorted || value === undefined || (value >= atShare(range, state.from) && value <= atShare(range, state.to));
  const button = (one) => headButton(one, { state, preview }, actions);
  return html`
    <div class="row">
      ${select({ label: 'Sort by', name: 'sort', value: state.sort, options: MEASURES, change: (sort) => actions.change({ sort }) })}
    </div>
    ${isSorted ? filter(state, range, actions) : nothing}
    <div id="heads" role="radiogroup" aria-label="Head" @keydown=${(event) => moveByKey(event, actions)}
      @pointerleave=${() => actions.preview(undefined)}>
      ${isSorted
        ? html`<div class="group">${sorted(all).filter(shown).map(button)}</div>`
        : layers.map(({ label, list }) => html`<h3>${label}</h3>${grouped(list).map(([keyHead, group]) => html`
            <div class="group" ?data-shared=${group.length < list.length}>
              ${group.length < list.length ? html`<span class="key-head">key head ${keyHead + 1}</span>` : nothing}
              ${group.map(button)}
            </div>`)}`)}
    </div>
    <p class="note">${describe(all, data, state, preview)}</p>`;
}

/** The heads of a layer with their measures, as far as these are known. */
function headsOf(layer, { data, results, state }) {
  const { shape: [, heads], keyHeads = heads } = data.layers[layer];
  const perKeyHead = heads / keyHeads;
  const { value: statistics } = results(`heads:${layer}`);
  const { value: pictures } = results(`thumbnails:${layer}`);
  const { value: similar } = results('similar');
  return Array.from({ length: heads }, (_, head) => {
    const distance = similar?.find((other) => other.layer === layer && other.head === head)?.distance;
    const isChosen = layer === state.layer && head === state.head;
    const measures = { ...statistics?.[head], similarity: isChosen ? 1 : distance && 1 - distance };
    return {
      layer, head, measures,
      keyHead: Math.floor(head / perKeyHead),
      value: measures[state.sort],
      picture: pictures?.[head],
    };
  });
}

/** [key head, its query heads]; one group where none is shared. */
function grouped(list) {
  const groups = new Map();
  for (const one of list) groups.set(one.keyHead, [...(groups.get(one.keyHead) ?? []), one]);
  return groups.size === list.length ? [[0, list]] : [...groups];
}

function sorted(list) {
  return [...list].sort((a, b) => (b.value ?? -Infinity) - (a.value ?? -Infinity));
}

function rangeOf(list) {
  const values = list.map(({ value }) => value).filter(Number.isFinite);
  return values.length === 0 ? [0, 1] : [Math.min(...values), Math.max(...values)];
}

const atShare = ([low, high], share) => low + share * (high - low);

function filter({ from, to }, range, actions) {
  const end = (name, label, share) => html`<label class="slider"><span>${label} ${short(atShare(range, share))}</span>
    <input type="range" name=${name} min="0" max="1" step="0.01" .value=${String(share)}
      @input=${({ target }) => actions.change({ [name]: Number(target.value) })}></label>`;
  return html`<div class="row">${end('from', 'at least', from)}${end('to', 'at most', to)}</div>`;
}

function headButton({ layer, head, value, picture }, { state, preview }, actions) {
  const chosen = layer === state.layer && head === state.head;
  const previewed = preview?.layer === layer && preview.head === head;
  const name = `Layer ${layer + 1}, head ${head + 1}`;
  return html`<button type="button" role="radio" aria-checked=${chosen} tabindex=${chosen ? 0 : -1} class="head"
    data-layer=${layer} data-head=${head} data-preview=${previewed}
    aria-label=${value === undefined ? name : `${name}, ${short(value)}`}
    @click=${() => actions.change({ layer, head })} @pointerenter=${() => actions.preview({ layer, head })}>
    <canvas ${ref((canvas) => canvas && paint(canvas, picture))}></canvas>
    <span>${state.sort === 'index' ? head + 1 : `${layer + 1}.${head + 1} · ${value === undefined ? '…' : short(value, 2)}`}</span>
  </button>`;
}

/** @param {{ rows: number, columns: number, pixels: Uint8ClampedArray }} [picture] */
function paint(canvas, picture) {
  if (picture === undefined || canvas.picture === picture) return;
  canvas.picture = picture;
  canvas.width = picture.columns;
  canvas.height = picture.rows;
  canvas.getContext('2d').putImageData(new ImageData(picture.pixels, picture.columns, picture.rows), 0, 0);
}

/** Arrow keys move the choice, as in any group of radio buttons. */
function moveByKey(event, actions) {
  const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  const buttons = [...event.currentTarget.querySelectorAll('button')];
  const next = buttons[(buttons.indexOf(event.target) + step + buttons.length) % buttons.length];
  next.focus();
  actions.change({ layer: Number(next.dataset.layer), head: Number(next.dataset.head) });
}

function describe(all, data, state, preview) {
  const { layer, head } = preview ?? state;
  const one = all.find((other) => other.layer === layer && other.head === head);
  if (one?.measures.entropy === undefined) return data.hasInputs ? 'Measuring the heads …' : '';
  const { entropy, sinkMass, locality, recall } = one.measures;
  return `${preview ? 'Preview: layer' : 'Layer'} ${layer + 1}, head ${head + 1}: entropy ${short(entropy)} bits, ${
    percent(sinkMass)} on the first ${one.measures.sinkKeys} keys, ${percent(locality)} near the diagonal, ${percent(recall)} kept by the mask.`;
}
