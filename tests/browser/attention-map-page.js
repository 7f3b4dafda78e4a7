// SPDX-License-Identifier: Apache-2.0
// What the tests of <attention-map> do in the page: make maps, and note what they say.
import '../../attention-map/element.js';
import { connect } from '../../attention-map/remote.js';

const EVENTS = ['cursor', 'view', 'draw', 'drag', 'ready', 'error'].map((name) => `attention-${name}`);

/** @returns {Promise<object>} a source as the element takes it, of synthetic-worker.js */
window.synthetic = async (shape) => {
  const remote = connect(new Worker(new URL('synthetic-worker.js', import.meta.url), { type: 'module' }));
  await remote.call('open', [shape]);
  const ask = (method) => (options, control) => remote.call(method, [options], control);
  const methods = ['tile', 'read', 'statistics', 'rowStatistics', 'strongest', 'asked'];
  return { shape, causal: true, ...Object.fromEntries(methods.map((method) => [method, ask(method)])) };
};

/** A map with these properties at the end of the page; `log` is all it has said, as [type, detail]. */
window.addMap = (properties, className = '') => {
  const map = document.createElement('attention-map');
  map.className = className;
  map.log = [];
  for (const type of EVENTS) {
    map.addEventListener(type, ({ detail }) => map.log.push([type, detail.error?.message ?? detail]));
  }
  Object.assign(map, properties);
  document.querySelector('main').append(map);
  return map;
};

/** Resolves when all that is visible has come, and a frame has passed. */
window.settled = (map) => new Promise((resolve) => {
  const stage = map.shadowRoot.querySelector('.stage');
  const look = () => requestAnimationFrame(stage.ariaBusy === 'false' ? () => resolve() : look);
  requestAnimationFrame(look);
});

/** Red, green, blue and alpha of a part of a canvas, read from a copy: reading a canvas itself makes it slow. */
window.pixelsOf = (canvas, x, y, width, height) => {
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  context.drawImage(canvas, -x, -y);
  return context.getImageData(0, 0, width, height).data;
};

/** Queries and keys from a formula, so that a test can compute the same: [1, heads, length, dim]. */
window.tensor = (heads, length, dim, phase) => ({
  data: Float32Array.from({ length: heads * length * dim }, (_, n) => Math.sin(n * 0.7 + phase) * 1.5),
  dims: [1, heads, length, dim],
});

window.isReady = true;
