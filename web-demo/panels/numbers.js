// SPDX-License-Identifier: Apache-2.0
/** Density, recall, error, work and time of one mask, or of two beside each other. */
import { html, nothing } from 'lit-html';

import { amount, bytes, duration, percent, whole } from '../format.js';

/** Label, and its text from numbers(). */
const ROWS = [
  ['Cells kept', ({ density }) => percent(density)],
  ['Blocks read', ({ blocks }) => `${percent(blocks.density)} (${blocks.size}²)`],
  ['Most in one row', ({ worstRowDensity }) => percent(worstRowDensity)],
  ['Rows without a key', ({ emptyRows }) => whole(emptyRows)],
  ['Mass recall', ({ recall }) => percent(recall.mean)],
  ['… 5th percentile', ({ recall }) => percent(recall.p5)],
  ['… worst row', ({ recall }) => percent(recall.worst)],
  ['Output error', ({ error }) => percent(error?.layer)],
  ['… of this head', ({ error }, head) => percent(error?.perHead[head])],
  ['… largest', ({ error }) => (error ? error.max.toPrecision(2) : '–')],
  ['Flops', ({ flops }) => amount(flops)],
  ['… dense', ({ flopsDense }) => amount(flopsDense)],
  ['Bytes read', ({ bytes: read }) => bytes(read)],
  ['… dense', ({ bytesDense }) => bytes(bytesDense)],
];
const TIMES = [
  ['Time for the mask', ({ mask }) => duration(mask)],
  ['Time with it', ({ attention }) => duration(attention)],
  ['Time dense', ({ dense }) => duration(dense)],
];

export function numbersPanel({ state, results, slots }) {
  const columns = slots.map((slot) => ({ slot, numbers: results(`numbers:${slot}`), times: results(`times:${slot}`) }));
  const cell = ({ value, error, pending }, name, text) => html`<td class=${pending ? 'pending' : ''} title=${error?.message ?? ''}
    data-number=${name}>${value === undefined ? (pending ? '…' : '–') : text(value, state.head)}</td>`;
  const row = (which) => ([label, text]) => html`<tr><th scope="row">${label}</th>
    ${columns.map((column) => cell(column[which], label, text))}</tr>`;
  return html`<table class="numbers">
    <thead ?hidden=${slots.length === 1}><tr><td></td>${slots.map((slot) =>
      html`<th scope="col">${slot.toUpperCase()}</th>`)}</tr></thead>
    <tbody>${ROWS.map(row('numbers'))}${TIMES.map(row('times'))}</tbody>
  </table>
  ${columns.map((column) => verdict(column, slots.length > 1))}
  <p class="note">Of this head, but for the output error, flops and times, which are of all. Blocks: of so many cells to a side. Bytes: of keys and values. Recall: mass of the dense weights that is kept. Error:
    ‖masked − dense‖ / ‖dense‖. Times: here, all heads.</p>`;
}

function verdict({ slot, numbers, times: { value } }, isOneOfTwo) {
  const notes = [];
  if (value?.denseIsFaster) notes.push(`Dense is faster here: with the mask it takes ${factor(1 / value.speedup)} as long.`);
  else if (value) notes.push(`${factor(value.speedup)} as fast as dense, making the mask included.`);
  if (numbers.value?.sampled) notes.push(`Recall and error: ${numbers.value.rows} rows speak for all.`);
  if (value?.sampled) notes.push(`Times: the last ${value.rows[1] - value.rows[0]} queries.`);
  if (notes.length === 0) return nothing;
  return html`<p class="verdict" data-slot=${slot}>${isOneOfTwo ? `${slot.toUpperCase()}: ` : ''}${notes.join(' ')}</p>`;
}

const factor = (ratio) => `${Number(ratio.toPrecision(2))} times`;
