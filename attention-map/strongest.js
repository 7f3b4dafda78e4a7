// SPDX-License-Identifier: Apache-2.0
/** The picture as text: a table of the strongest cells that are visible. */
import { percent } from './describe.js';
import { tokenLabel } from './axes.js';

/**
 * @param {HTMLTableElement} table
 * @param {object} content
 * @param {{ query: number, key: number, weight: number }[]} content.cells strongest first
 * @param {{ queries?: string[], keys?: string[] }} content.tokens
 * @param {{ rows: [number, number], columns: [number, number] }} content.visible
 * @param {(cell: { query: number, key: number }, event: Event) => void} content.choose
 */
export function fillStrongest(table, { cells, tokens, visible: { rows, columns }, choose }) {
  const caption = document.createElement('caption');
  caption.textContent = `Of queries ${rows[0]} to ${rows[1] - 1} and keys ${columns[0]} to ${columns[1] - 1}`;
  const head = row('th', ['Query', 'Key', 'Weight', 'Go to']);
  head.querySelectorAll('th').forEach((cell) => (cell.scope = 'col'));
  const name = (index, labels) => (labels ? `${index} “${tokenLabel(labels[index])}”` : String(index));
  const body = cells.map((cell) => {
    const line = row('td', [name(cell.query, tokens.queries), name(cell.key, tokens.keys), percent(cell.weight), '']);
    line.cells[2].className = 'number';
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = 'Show';
    button.setAttribute('aria-label', `Show query ${cell.query}, key ${cell.key}`);
    button.addEventListener('click', (event) => choose(cell, event));
    line.cells[3].append(button);
    return line;
  });
  const [thead, tbody] = [document.createElement('thead'), document.createElement('tbody')];
  thead.append(head);
  tbody.append(...body);
  table.replaceChildren(caption, thead, tbody);
}

function row(tag, texts) {
  const line = document.createElement('tr');
  line.append(...texts.map((text) => Object.assign(document.createElement(tag), { textContent: text })));
  return line;
}
