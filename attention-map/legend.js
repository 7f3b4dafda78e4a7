// SPDX-License-Identifier: Apache-2.0
/** The legend: the ramp with its ticks, what is clipped, and what the two hatches mean. */
import { hatchPattern } from './hatching.js';
import { cssOf } from './theme.js';

const NAMES = { weights: 'weight', scores: 'score', mask: 'part that is kept' };

/**
 * @param {HTMLElement} container
 * @param {object} legend
 * @param {{ ticks: { position: number, label: string }[], clipped: { below?: string, above?: string } }} legend.scale
 * @param {Uint8Array} legend.colors 256 times red, green and blue
 * @param {import('./theme.js').Theme} legend.theme
 * @param {number} legend.ratio device pixels per CSS pixel
 * @param {'weights' | 'scores' | 'mask'} legend.show
 * @param {'head' | 'row'} legend.range
 * @param {number} legend.skipKeys
 */
export function fillLegend(container, { scale, colors, theme, ratio, show, range, skipKeys }) {
  const ramp = element('div', 'ramp');
  ramp.append(
    caption(show, range, skipKeys), rampCanvas(colors), tickLine(scale.ticks),
    ...clippedLine(scale.clipped),
  );
  const swatches = element('div', 'swatches');
  swatches.append(
    swatch('masked', 'masked out', theme, ratio), swatch('skipped', 'block of 64 × 64 skipped', theme, ratio),
  );
  container.replaceChildren(ramp, swatches);
}

function caption(show, range, skipKeys) {
  const parts = [range === 'row' ? `${NAMES[show]}, as a part of its row's largest` : NAMES[show]];
  if (skipKeys > 0) parts.push(skipKeys === 1 ? 'range without key 0' : `range without keys 0 to ${skipKeys - 1}`);
  return element('div', 'caption', parts.join('; '));
}

function rampCanvas(colors) {
  const canvas = document.createElement('canvas');
  canvas.width = 256;
  canvas.height = 1;
  const context = canvas.getContext('2d');
  const pixels = context.createImageData(256, 1);
  for (let n = 0; n < 256; n++) {
    pixels.data.set(colors.subarray(3 * n, 3 * n + 3), 4 * n);
    pixels.data[4 * n + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
  canvas.setAttribute('aria-hidden', 'true');
  return canvas;
}

function tickLine(ticks) {
  const line = element('div', 'ticks');
  for (const { position, label } of ticks) {
    const tick = element('span', '', label);
    tick.style.insetInlineStart = `${100 * position}%`;
    tick.style.transform = `translateX(${-100 * position}%)`; // those at the ends stay inside
    line.append(tick);
  }
  return line;
}

function clippedLine(clipped) {
  const texts = [clipped?.below && `◂ ${clipped.below}`, clipped?.above && `${clipped.above} ▸`].filter(Boolean);
  return texts.length > 0 ? [element('div', 'caption clipped', texts.join(' · '))] : [];
}

function swatch(kind, text, theme, ratio) {
  const item = element('div', 'swatch');
  const canvas = document.createElement('canvas');
  canvas.width = Math.round(26 * ratio);
  canvas.height = Math.round(14 * ratio);
  const context = canvas.getContext('2d');
  context.fillStyle = cssOf(theme.cells[kind]);
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = hatchPattern(context, theme, ratio, kind);
  context.fillRect(0, 0, canvas.width, canvas.height);
  canvas.setAttribute('aria-hidden', 'true');
  item.append(canvas, text);
  return item;
}

function element(tag, className, text = '') {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.textContent = text;
  return node;
}
