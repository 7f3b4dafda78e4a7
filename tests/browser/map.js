// SPDX-License-Identifier: Apache-2.0
// Pictures of the worker of attention-map, for a test that drives this page: window.map has what it may do.
import { connect } from '../../attention-map/remote.js';
import { problem } from './map-problem.js';

const remote = connect(new Worker(new URL('../../attention-map/worker.js', import.meta.url), { type: 'module' }));
const theme = { masked: [200, 200, 200], hatch: [0, 0, 0], skipped: [100, 100, 100] };
const drawing = { ramp: 'viridis', theme, scale: { kind: 'linear' } };

/** Pixels of a tile, as they come out of the bitmap, in base64. */
async function pixels(options, control) {
  const { bitmap, ...rest } = await remote.call('tile', ['map', { ...drawing, ...options }], control);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext('2d');
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const size = [bitmap.width, bitmap.height];
  bitmap.close();
  const text = Array.from(data, (byte) => String.fromCharCode(byte)).join('');
  return { size, rgba: btoa(text), ...rest };
}

/** Opens a large picture, and draws its coarsest tiles: at once from the mask, then with values. */
async function open(n, dim, kind) {
  const { mask, ...given } = problem(n, dim, kind);
  const level = Math.max(0, Math.ceil(Math.log2(n / 256)));
  const place = { level, row: 0, column: 0 };
  const transfer = [given.queries.data.buffer, given.keys.data.buffer];
  const start = performance.now();
  const opened = await remote.call('open', ['map', { ...given, mask }], { transfer });
  const times = { open: performance.now() - start };
  const quick = await pixels({ ...place, quick: true });
  times.quick = performance.now() - start;
  const whole = await pixels(place);
  times.values = performance.now() - start;
  return { opened, quick, whole, times };
}

/** How long things take at a level, in milliseconds, and how long something small waits for its turn meanwhile. */
async function measure(level, row, column, show) {
  const place = { level, row, column, show };
  const time = async (method, options) => {
    const start = performance.now();
    await remote.call(method, ['map', options]);
    return performance.now() - start;
  };
  const cold = pixelsTime(place);
  await new Promise((resolve) => setTimeout(resolve, 5));
  const wait = await time('read', { level: 0, rows: [0, 1], columns: [0, 1], show: 'mask' });
  return { cold: await cold, wait, warm: await pixelsTime(place) };
}

async function pixelsTime(options) {
  const start = performance.now();
  const { bitmap } = await remote.call('tile', ['map', { ...drawing, ...options }]);
  bitmap.close();
  return performance.now() - start;
}

/** Asks for a dear tile, gives it up, and asks for another one. */
async function giveUp() {
  const controller = new AbortController();
  const given = pixels({ level: 0, row: 200, column: 100 }, { signal: controller.signal });
  controller.abort();
  const name = await given.catch((error) => error.name);
  const { size } = await pixels({ level: 0, row: 0, column: 0 });
  return { name, size };
}

/** The error that a call ends in. */
async function errorOf(method, args) {
  return remote.call(method, args).then(() => undefined, ({ name, message, code }) => ({ name, message, code }));
}

window.map = { open, pixels, measure, giveUp, errorOf };
