// SPDX-License-Identifier: Apache-2.0
/** How error and recall follow density: a dot for each setting of a masker, which loads it when it is chosen. */
import { html, nothing, svg } from 'lit-html';

import { percent } from '../format.js';
import { select } from './fields.js';

const WIDTH = 320;
const HEIGHT = 190;
const MARGIN = { left: 46, right: 12, top: 10, bottom: 34 };
const LEAST = 1e-4; // of either axis, both logarithmic
const MEASURES = [['error', 'Output error'], ['lost', 'Mass lost']];

export function curve({ measure, slots, results }, actions) {
  const series = slots.map((slot) => {
    const { value } = results(`curve:${slot}`);
    const known = value?.filter((dot) => dot.value !== undefined && (measure === 'lost' || dot.error !== undefined));
    return { slot, dots: known?.map((dot) => ({ ...dot, lost: 1 - dot.recall })) ?? [] };
  });
  const all = series.flatMap(({ dots }) => dots);
  const { error } = results(`curve:${slots[0]}`);
  return html`
    ${select({ label: 'Against density', name: 'measure', value: measure, options: MEASURES, change: actions.setMeasure })}
    ${error ? html`<p class="note">${error.message}</p>` : nothing}
    ${all.length === 0 ? html`<p class="note">${results(`curve:${slots[0]}`).pending ? 'Measuring …'
      : 'Add a masker with a size to see how error falls as more is kept.'}</p>` : plot(series, measure, actions)}`;
}

function plot(series, measure, actions) {
  const dots = series.flatMap((one) => one.dots);
  const x = axis(dots.map(({ density }) => density), MARGIN.left, WIDTH - MARGIN.right);
  const y = axis(dots.map((dot) => dot[measure]), HEIGHT - MARGIN.bottom, MARGIN.top);
  const [, name] = MEASURES.find(([value]) => value === measure);
  return html`<svg class="curve" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="group" aria-label="${name} by density">
    ${x.ticks.map((tick) => svg`<line class="grid" x1=${x.at(tick)} x2=${x.at(tick)} y1=${MARGIN.top} y2=${HEIGHT - MARGIN.bottom} />
      <text x=${x.at(tick)} y=${HEIGHT - MARGIN.bottom + 14} text-anchor="middle">${percent(tick)}</text>`)}
    ${y.ticks.map((tick) => svg`<line class="grid" x1=${MARGIN.left} x2=${WIDTH - MARGIN.right} y1=${y.at(tick)} y2=${y.at(tick)} />
      <text x=${MARGIN.left - 5} y=${y.at(tick) + 4} text-anchor="end">${percent(tick)}</text>`)}
    <text x=${(MARGIN.left + WIDTH - MARGIN.right) / 2} y=${HEIGHT - 4} text-anchor="middle">density</text>
    ${series.map(({ slot, dots: own }) => svg`<g data-slot=${slot}>
      <polyline points=${own.map((dot) => `${x.at(dot.density)},${y.at(dot[measure])}`).join(' ')} />
      ${own.map((dot) => svg`<circle cx=${x.at(dot.density)} cy=${y.at(dot[measure])} r="5" tabindex="0" role="button"
        class=${dot.current ? 'current' : ''}
        aria-label="Mask ${slot.toUpperCase()} with ${dot.value}: density ${percent(dot.density)}, ${name.toLowerCase()} ${percent(dot[measure])}"
        @click=${() => actions.load(slot, dot.recipe)}
        @keydown=${(event) => ['Enter', ' '].includes(event.key) && (event.preventDefault(), actions.load(slot, dot.recipe))}>
        <title>${dot.value}: density ${percent(dot.density)}, ${name.toLowerCase()} ${percent(dot[measure])}</title></circle>`)}
    </g>`)}
  </svg>
  ${series.length > 1 ? html`<p class="note">A is drawn full, B dashed.</p>` : nothing}
  <p class="note">Choose a dot to load its setting.</p>`;
}

/** A logarithmic axis over values, with a tick at each power of ten. */
function axis(values, from, to) {
  const known = values.map((value) => Math.max(LEAST, value));
  const low = Math.floor(Math.log10(Math.min(...known)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...known))));
  return {
    at: (value) => Math.round(10 * (from + ((to - from) * (Math.log10(Math.max(LEAST, value)) - low)) / (high - low))) / 10,
    ticks: Array.from({ length: high - low + 1 }, (_, n) => 10 ** (low + n)),
  };
}
