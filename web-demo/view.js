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
  return milliseconds < 1 ? `${Number((1000 * milliseconds).toPrecision(2))} µs` : `${Number(milliseconds.toPrecision(2))} ms`;
}

/** @returns {string} what the cell under the cursor says, in words */
export function describeCell({ sample, masking, weights, block, head, query, key }) {
  const place = `Layer ${block + 1}, head ${head + 1}`;
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
export function fillBlocks(container, count) {
  container.replaceChildren(...Array.from({ length: count }, (_, block) => {
    const input = element('input', { type: 'radio', name: 'block', value: block });
    return element('label', {}, input, element('span', {}, `Layer ${block + 1}`));
  }));
}

/**
 * One button with a canvas per head; a radio group with a single tab stop, arrow keys move the choice.
 * @param {(block: number, head: number) => void} choose
 */
export function fillHeads(container, blocks, heads, choose) {
  container.setAttribute('role', 'radiogroup');
  container.setAttribute('aria-labelledby', 'heads-title');
  container.replaceChildren();
  for (let block = 0; block < blocks; block++) {
    container.append(element('h3', {}, `Layer ${block + 1}`));
    for (let head = 0; head < heads; head++) {
      const button = element('button', { type: 'button' }, element('canvas', {}), element('span', {}, `Head ${head + 1}`));
      button.setAttribute('role', 'radio');
      button.setAttribute('aria-label', `Layer ${block + 1}, head ${head + 1}`);
      button.addEventListener('click', () => choose(block, head));
      container.append(button);
    }
  }
  container.onkeydown = (event) => {
    const at = headButtons(container).indexOf(event.target);
    const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -heads, ArrowDown: heads }[event.key];
    if (at < 0 || move === undefined) return;
    event.preventDefault();
    const count = blocks * heads;
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
  const labels = ticks.map((tick) => element('span', {}, tick === 0 ? '0' : String(Number(tick.toPrecision(2)))));
  document.querySelector('.ticks').replaceChildren(...labels);
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
