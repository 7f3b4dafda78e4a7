// SPDX-License-Identifier: Apache-2.0
/** Words and small pieces of the page: numbers as text, the sentence about a cell, the grid of heads, the legend. */
import { gradient } from './colors.js';
import { whyOut } from './masking.js';

export const byId = (id) => document.getElementById(id);

/** @returns {string} a share as a percentage with three significant digits */
export function percent(share) {
  if (share === 0) return '0 %';
  return share < 1e-6 ? `${(100 * share).toExponential(1)} %` : `${Number((100 * share).toPrecision(3))} %`;
}

/** @returns {string} */
export function duration(milliseconds) {
  const [value, unit] = milliseconds < 1 ? [1000 * milliseconds, 'µs'] : [milliseconds, 'ms'];
  return `${Number(value.toPrecision(2))} ${unit}`;
}

/** @returns {string} what the cell under the cursor says, in words */
export function describeCell({ sample, masking, weights, layer, head, query, key }) {
  const place = `Layer ${layer + 1}, head ${head + 1}`;
  const [from, to] = [query, key].map((step) => nameStep(sample, step));
  const reason = whyOut(masking, query, key);
  if (reason) return `${place}: masked out. ${capital(from)} does not see ${to}, because ${reason}.`;
  const weight = weights[query * sample.steps + key];
  return `${place}: ${from} gives ${percent(weight)} of its attention to ${query === key ? 'itself' : to}.`;
}

function nameStep({ characters, steps }, step) {
  const character = characters[step];
  const name = character.trim() ? `“${character}”` : character ? 'a space' : 'the margin';
  return `step ${step + 1} of ${steps} (${name})`;
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);

/** Radio buttons that look like one segmented control. */
export function fillLayers(container, count) {
  container.replaceChildren(...Array.from({ length: count }, (_, layer) => {
    const input = element('input', { type: 'radio', name: 'layer', value: layer });
    return element('label', {}, input, element('span', {}, `Layer ${layer + 1}`));
  }));
}

/**
 * One button with a canvas per head; a radio group with a single tab stop, arrow keys move the choice.
 * @param {(layer: number, head: number) => void} choose
 */
export function fillHeads(container, layers, heads, choose) {
  container.setAttribute('role', 'radiogroup');
  container.setAttribute('aria-labelledby', 'heads-title');
  container.replaceChildren();
  for (let layer = 0; layer < layers; layer++) {
    container.append(element('h3', {}, `Layer ${layer + 1}`));
    for (let head = 0; head < heads; head++) {
      const name = element('span', {}, `Head ${head + 1}`);
      const button = element('button', { type: 'button' }, element('canvas', {}), name);
      button.setAttribute('role', 'radio');
      button.setAttribute('aria-label', `Layer ${layer + 1}, head ${head + 1}`);
      button.addEventListener('click', () => choose(layer, head));
      container.append(button);
    }
  }
  container.onkeydown = (event) => {
    const at = headButtons(container).indexOf(event.target);
    const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -heads, ArrowDown: heads }[event.key];
    if (at < 0 || move === undefined) return;
    event.preventDefault();
    const count = layers * heads;
    const next = (at + move + count) % count;
    choose(Math.floor(next / heads), next % heads);
    headButtons(container)[next].focus();
  };
}

export function headButtons(container) {
  return [...container.querySelectorAll('button')];
}

export function checkHead(container, chosen) {
  headButtons(container).forEach((button, index) => {
    button.setAttribute('aria-checked', index === chosen);
    button.tabIndex = index === chosen ? 0 : -1;
  });
}

export function fillLegend(ticks) {
  document.querySelector('.ramp').style.background = gradient;
  document.querySelector('.ticks').replaceChildren(...ticks.map((tick) => element('span', {}, tick)));
}

/** A row for each masker, without figures yet; a radio button chooses the one whose curve is drawn. */
export function fillMaskers(table, labels) {
  const rows = Object.entries(labels).map(([name, label]) => {
    const input = element('input', { type: 'radio', name: 'masker', value: name });
    const heading = element('th', { scope: 'row' }, element('label', {}, input, label));
    const row = element('tr', {}, heading, ...Array.from({ length: 4 }, () => element('td', {}, '…')));
    row.dataset.masker = name;
    return row;
  });
  table.tBodies[0].replaceChildren(...rows);
}

export function showMasker(table, name, { density, massRecall, outputError }) {
  const figures = [density, massRecall.mean, massRecall.worst, outputError].map((share) => percent(Number(share.toPrecision(2))));
  const row = table.querySelector(`tr[data-masker="${name}"]`);
  [...row.querySelectorAll('td')].forEach((cell, n) => (cell.textContent = figures[n]));
}

/** A status or an error in plain words. */
export function showMessage(text, bad = false) {
  const message = byId('message');
  message.hidden = !text;
  message.textContent = text;
  message.classList.toggle('bad', bad);
  message.setAttribute('role', bad ? 'alert' : 'status');
}

function element(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}
