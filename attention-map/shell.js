// SPDX-License-Identifier: Apache-2.0
/** The element's inside: the stage with its two canvases, and below it sentence, legend, buttons, table and help. */
import { HELP } from './keyboard.js';

/**
 * @param {ShadowRoot} root
 * @returns {Record<string, HTMLElement>} the parts that change
 */
export function buildShell(root) {
  const base = make('canvas', { ariaHidden: 'true' });
  const overlay = make('canvas', { ariaHidden: 'true' });
  const probe = make('div', { className: 'probe', ariaHidden: 'true' });
  const stage = make('div', { className: 'stage', tabIndex: 0, role: 'application', part: 'stage' });
  stage.append(base, overlay, probe);
  stage.setAttribute('aria-roledescription', 'attention map');
  stage.setAttribute('aria-describedby', 'help');
  const message = make('p', { className: 'message', hidden: true, part: 'message' });
  const sentence = make('p', { className: 'sentence', part: 'sentence' });
  sentence.setAttribute('aria-live', 'polite');

  const legend = make('div', { className: 'legend', part: 'legend' });
  const slot = make('slot', { name: 'legend' }, legend);
  const zoomIn = makeButton('+', 'Zoom in');
  const zoomOut = makeButton('−', 'Zoom out');
  const fit = makeButton('Fit', 'Fit the whole picture');
  const zoom = make('div', { className: 'zoom', role: 'group', ariaLabel: 'Zoom', part: 'zoom' }, zoomIn, zoomOut, fit);

  const table = make('table', {});
  const tableNote = make('p', { className: 'caption', hidden: true });
  const scroll = make('div', { className: 'scroll' }, tableNote, table);
  const tableSummary = make('summary', { textContent: 'Strongest visible cells' });
  const tableDetails = make('details', { part: 'table' }, tableSummary, scroll);
  const help = make('dl', { id: 'help' }, ...HELP.flatMap(([keys, what]) => [
    make('dt', { textContent: keys }), make('dd', { textContent: what }),
  ]));
  const helpDetails = make('details', { part: 'help' }, make('summary', { textContent: 'Keys' }), help);

  const bar = make('div', { className: 'bar' }, slot, zoom);
  const footer = make('footer', { part: 'footer' }, sentence, bar, tableDetails, helpDetails);
  root.append(stage, footer);
  stage.append(message);
  return {
    stage, base, overlay, probe, message, sentence, legend, zoomIn, zoomOut, fit, table, tableNote, tableDetails,
    tableSummary,
  };
}

function make(tag, { part, ...properties }, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  if (part) node.setAttribute('part', part);
  node.append(...children);
  return node;
}

function makeButton(text, label) {
  return make('button', { type: 'button', textContent: text, ariaLabel: label, title: label });
}
