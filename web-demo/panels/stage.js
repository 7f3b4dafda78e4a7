// SPDX-License-Identifier: Apache-2.0
/** The maps: one mask, or two and what they differ in, with how they are coloured and what the pointer does. */
import { html, nothing } from 'lit-html';

import { whole } from '../format.js';
import { CHOICES } from '../state.js';
import { select, slider } from './fields.js';

const TOOLS = [
  ['look', 'Look'],
  ['draw', 'Keep blocks'],
  ['erase', 'Drop blocks'],
  ['window', 'Drag window'],
  ['sinks', 'Drag sinks'],
];
const BLOCKS = [1, 2, 4, 8, 16, 32, 64];

export function stage(model, actions) {
  const { state, slots } = model;
  return html`
    ${toolbar(model, actions)}
    <div class="maps" data-count=${slots.length + (state.compare ? 1 : 0)}>
      ${slots.map((slot) => map(slot, model, actions))}
      ${state.compare ? regions(model, actions) : nothing}
    </div>`;
}

function toolbar(model, actions) {
  const { state, tool, blockSize } = model;
  return html`<div class="toolbar">
    <div class="segments" role="group" aria-label="What dragging on the map does">
      ${TOOLS.map(([name, label]) => html`<button type="button" data-tool=${name} aria-pressed=${tool === name}
        @click=${() => actions.setTool(name)}>${label}</button>`)}
    </div>
    ${tool === 'draw' || tool === 'erase' ? select({
      label: 'Block', name: 'blockSize', value: String(blockSize), change: (size) => actions.setBlockSize(Number(size)),
      options: BLOCKS.map((size) => [String(size), `${size} x ${size}`]),
    }) : nothing}
    <details class="menu"><summary>Colours: ${state.show}, ${state.scale}</summary>
      <div class="form">${colors(state, (name) => (value) => actions.change({ [name]: value }))}</div>
    </details>
  </div>`;
}

function colors(state, change) {
  return html`
    ${select({
      label: 'Show', name: 'show', value: state.show, change: change('show'),
      options: [['weights', 'weights'], ['scores', 'scores before softmax'], ['mask', 'mask']],
    })}
    ${select({
      label: 'Scale', name: 'scale', value: state.scale, change: change('scale'),
      options: [['linear', 'linear'], ['power', 'power'], ['log', 'logarithm'], ['percentile', 'percentile']],
    })}
    ${state.scale === 'power' ? slider({
      label: 'Exponent', name: 'exponent', value: state.exponent, min: 0.1, max: 1, step: 0.05, change: change('exponent'),
    }) : nothing}
    ${select({
      label: 'Range', name: 'range', value: state.range, change: change('range'),
      options: [['head', 'of the head'], ['row', 'of each row']],
    })}
    <label class="pick">First keys that the range leaves out
      <input type="number" name="skipKeys" min="0" .value=${String(state.skipKeys)}
        @change=${({ target }) => change('skipKeys')(Math.max(0, Math.floor(Number(target.value))))}></label>
    ${select({
      label: 'Colours', name: 'colors', value: state.colors, change: change('colors'),
      options: CHOICES.colors.map((name) => [name, name]),
    })}`;
}

function map(slot, model, actions) {
  const { state, data, sources, tool, blockSize, handles, highlight, place } = model;
  return html`<figure>
    <figcaption ?hidden=${!state.compare}>Mask ${slot.toUpperCase()}</figcaption>
    <attention-map data-slot=${slot} .source=${sources[slot]} .tokens=${data.tokens} .batch=${state.batch} .head=${place.head}
      .show=${state.show} .scale=${state.scale} .exponent=${state.exponent} .range=${state.range}
      .skipKeys=${state.skipKeys} .colors=${state.colors} .tool=${tool} .blockSize=${blockSize}
      .window=${handles[slot].window} .sinks=${handles[slot].sinks} .highlight=${highlight} .view=${state.view}
      .cursor=${state.cursor} .describe=${data.hasInputs ? actions.describe[slot] : undefined}
      .label=${`Layer ${place.layer + 1}, head ${place.head + 1}${state.compare ? `, mask ${slot.toUpperCase()}` : ''}`}
      @attention-cursor=${actions.moveTo} @attention-view=${actions.see}
      @attention-draw=${({ detail }) => actions.draw(slot, detail)}
      @attention-drag=${({ detail }) => actions.drag(slot, detail)}></attention-map>
  </figure>`;
}

function regions({ state, data, sources, results, place }, actions) {
  const { value } = results('regions');
  return html`<figure>
    <figcaption>Kept by both, only A, only B</figcaption>
    <attention-map data-slot="regions" .source=${sources.regions} .tokens=${data.tokens} .batch=${state.batch}
      .head=${place.head} scale="linear" colors="regions" .view=${state.view} .cursor=${state.cursor}
      .describe=${actions.describe.regions} label="Where the masks differ"
      @attention-cursor=${actions.moveTo} @attention-view=${actions.see}>
      <p slot="legend" class="region-legend"><span data-region="both"></span>both <span data-region="a"></span>only A
        <span data-region="b"></span>only B</p>
    </attention-map>
    ${value === undefined ? nothing : html`<p class="note" id="regions-counts">${counts(value)}</p>`}
  </figure>`;
}

function counts({ both, onlyA, onlyB, neither }) {
  return `Both keep ${whole(both)} cells, only A ${whole(onlyA)}, only B ${whole(onlyB)}, neither ${whole(neither)}.`;
}
