// SPDX-License-Identifier: Apache-2.0
/**
 * The page: state -> compute.js -> heatmap.js. Every change goes through update(), which brings the state inside the
 * sample's sizes, writes the URL, computes what the masks changed and draws. What a test wants to know is in
 * body.dataset.
 */
import { weightColors } from './colors.js';
import { drawCurve } from './curve.js';
import { drawLarge, drawSmall } from './heatmap.js';
import { density, isKept } from './masking.js';
import { readSample } from './sample.js';
import { clampState, formatState, parseState } from './state.js';
import {
  byId, checkHead, describeCell, duration, fillLayers, fillHeads, fillLegend, fillMaskers, headButtons, percent, showMasker,
  showMessage,
} from './view.js';

const SAMPLES = new URL('../samples/', import.meta.url);
const MODEL_TOLERANCE = 5e-7;
const SETTLE_MS = 150; // times and the URL follow once the reader pauses
const PRESETS = [
  { name: 'None', causal: false, left: Infinity, right: Infinity, sinks: 0 },
  { name: 'Causal', causal: true, left: Infinity, right: Infinity, sinks: 0 },
  { name: 'Window ±4', causal: false, left: 4, right: 4, sinks: 0 },
  { name: 'Window and sinks', causal: true, left: 6, right: Infinity, sinks: 2 },
];

const page = { state: parseState(location.search) };
addEventListener('error', ({ error, message }) => fail(error ?? new Error(message)));
addEventListener('unhandledrejection', ({ reason }) => fail(reason));
start();

async function start() {
  page.compute = await loadPart('./compute.js');
  page.maskers = await loadPart('./maskers.js');
  page.engine = await page.compute.openEngine();
  page.index = await fetchSample('index.json').then((response) => response.json());
  byId('sample').replaceChildren(...page.index.map(({ name, text }) => new Option(text, name)));
  const { variant, why } = page.engine.info();
  document.body.dataset.variant = variant;
  byId('fact-variant').textContent = variant;
  byId('why').textContent = why;
  listen();
  const known = page.index.some(({ name }) => name === page.state.sample);
  await loadSample(known ? page.state.sample : page.index[0].name);
}

/** A module that needs the package. */
function loadPart(path) {
  return import(path).catch((cause) => {
    const message = 'The package is not there. Build it with “make” in the repository, then reload this page.';
    throw new Error(message, { cause });
  });
}

async function fetchSample(file) {
  const response = await fetch(new URL(file, SAMPLES)).catch((cause) => ({ ok: false, cause }));
  if (response.ok) return response;
  throw new Error(`The sample file “${file}” could not be loaded from the server.`, { cause: response.cause });
}

/** Computes the dense weights of every layer once: what the masked ones are compared with. */
async function loadSample(name) {
  document.body.dataset.state = 'loading';
  page.wanted = name;
  const { file } = page.index.find((entry) => entry.name === name);
  const sample = readSample(await (await fetchSample(file)).arrayBuffer());
  if (name !== page.wanted) return; // another one was chosen meanwhile
  page.sample = sample;
  page.dense = sample.blocks.map((_, layer) => page.compute.attend(page.engine, sample, layer));
  page.difference = Math.max(...sample.blocks.map(({ weights }, layer) =>
    page.compute.maxDifference(page.dense[layer].weights, weights.data)));
  page.heads = sample.blocks[0].queries.dims[1];
  page.masking = undefined;
  fillLayers(byId('layers'), sample.blocks.length);
  fillHeads(byId('heads'), sample.blocks.length, page.heads, (layer, head) => update({ layer, head }));
  page.compared = undefined;
  document.querySelector('main').hidden = false;
  showMessage('');
  update({ sample: name });
}

function update(change) {
  const { sample, heads } = page;
  const sizes = { layers: sample.blocks.length, heads, steps: sample.steps, maskers: Object.keys(page.maskers.MASKERS) };
  page.state = clampState({ ...page.state, ...change }, sizes);
  writeUrl();
  const { causal, left, right, sinks } = page.state;
  const masking = { causal, left, right, sinks };
  if (!page.masking || Object.keys(masking).some((name) => masking[name] !== page.masking[name])) {
    page.masking = masking;
    page.masked?.forEach((result) => result.dispose());
    page.masked = sample.blocks.map((_, layer) => page.compute.attend(page.engine, sample, layer, masking));
  }
  showControls();
  draw();
  showFacts();
  showMaskers();
  document.body.dataset.state = 'ready';
}

/** Browsers ration changes of the URL, so not on every move of the pointer. */
function writeUrl() {
  clearTimeout(page.urlTimer);
  page.urlTimer = setTimeout(() => {
    history.replaceState(null, '', `${location.pathname}${formatState(page.state)}`);
  }, SETTLE_MS);
}

function draw() {
  const { sample, state, masking, masked, heads } = page;
  const largest = Math.max(...masked.map(({ weights }) => maxOf(weights)));
  const colors = (layer, head) =>
    weightColors(state.scale, (state.shared ? largest : maxOf(headOf(masked[layer].weights, head))) || 1);
  const map = (layer, head) => ({
    weights: headOf(masked[layer].weights, head),
    steps: sample.steps,
    color: colors(layer, head).color,
    isKept: (i, j) => isKept(masking, i, j),
  });
  headButtons(byId('heads')).forEach((button, index) =>
    drawSmall(button.querySelector('canvas'), map(Math.floor(index / heads), index % heads)));
  checkHead(byId('heads'), state.layer * heads + state.head);
  fillLegend(colors(state.layer, state.head).ticks);
  byId('detail-title').textContent = `Layer ${state.layer + 1}, head ${state.head + 1}`;
  page.drawDetail = (cursor) => {
    page.cellAt = drawLarge(byId('large'), { ...map(state.layer, state.head), sample, cursor });
  };
  showCursor();
}

/** The part of [heads, ...] that belongs to one head. */
function headOf(data, head) {
  const size = data.length / page.heads;
  return data.subarray(head * size, (head + 1) * size);
}

function maxOf(data) {
  return data.reduce((a, b) => Math.max(a, b), 0);
}

function showCursor() {
  const { state, sample, masking, masked } = page;
  const { layer, head, query, key } = state;
  const weights = headOf(masked[layer].weights, head);
  const placed = query !== undefined && key !== undefined;
  page.drawDetail(placed ? { query, key } : undefined);
  byId('sentence').textContent = placed
    ? describeCell({ sample, masking, weights, layer, head, query, key })
    : `${sample.steps} steps look at ${sample.steps} steps; rows add up to 1.`;
}

function showControls() {
  const { state, sample } = page;
  byId('sample').value = state.sample;
  byId('scale').value = state.scale;
  byId('causal').checked = state.causal;
  byId('shared').checked = state.shared;
  document.querySelector(`input[name="layer"][value="${state.layer}"]`).checked = true;
  for (const side of ['left', 'right']) {
    const most = sample.steps - 1;
    byId(side).max = most;
    byId(side).value = Math.min(state[side], most);
    byId(`${side}-value`).textContent = state[side] === Infinity ? 'all' : state[side];
    byId(side).setAttribute('aria-valuetext', state[side] === Infinity ? 'all steps' : `${state[side]} steps`);
  }
  byId('keys').max = sample.steps;
  byId('keys').value = state.keys;
  byId('keys-value').textContent = `${state.keys} of ${sample.steps}`;
  document.querySelector(`input[name="masker"][value="${state.masker}"]`).checked = true;
  byId('sinks').value = state.sinks;
  byId('sinks-value').textContent = state.sinks;
}

function showFacts() {
  const { compute, state, sample, masking, dense, masked } = page;
  const kept = density(masking, sample.steps);
  const outputs = [masked, dense].map((results) => results[state.layer].output);
  const error = compute.relativeError(...outputs);
  const headError = compute.relativeError(...outputs.map((output) => headOf(output, state.head)));
  const leak = Math.max(...masked.map(({ weights }) => compute.maxMaskedWeight(weights, sample.steps, masking)));
  byId('fact-density').textContent = percent(kept);
  byId('fact-head-error').textContent = percent(headError);
  byId('fact-error').textContent = percent(error);
  byId('fact-difference').textContent = `by ${page.difference.toExponential(1)} at most`;
  byId('fact-difference').classList.toggle('bad', !(page.difference <= MODEL_TOLERANCE) || leak > 0);
  Object.assign(document.body.dataset, {
    sample: state.sample, density: kept, error, modelDifference: page.difference, maskedWeight: leak,
  });
  clearTimeout(page.measureTimer);
  page.measureTimer = setTimeout(showTimes, SETTLE_MS);
}

function showTimes() {
  const { state, dense, masked } = page;
  byId('fact-dense-time').textContent = duration(dense[state.layer].milliseconds());
  byId('fact-masked-time').textContent = duration(masked[state.layer].milliseconds());
}

/** Once the reader pauses: the maskers one after the other, so that the page stays at hand, then the curve. */
function showMaskers() {
  const { compute, engine, sample, state: { layer, causal, keys, masker } } = page;
  const wanted = JSON.stringify([layer, causal, keys, masker]);
  if (wanted === page.compared) return;
  page.compared = wanted;
  clearTimeout(page.maskersTimer);
  document.body.dataset.maskers = 'computing';
  const problem = compute.layerProblem(sample, layer, causal);
  const { MASKERS, compareMasker, sweepMasker } = page.maskers;
  const turns = Object.keys(MASKERS).map((name) => () =>
    showMasker(byId('maskers'), name, compareMasker(engine, problem, name, keys)));
  turns.push(() => {
    drawCurve(byId('curve'), sweepMasker(engine, problem, masker), percent);
    byId('curve-title').textContent = `${MASKERS[masker].label}: error by how much is kept`;
    document.body.dataset.maskers = 'ready';
  });
  const turn = (n) => {
    turns[n]();
    if (n + 1 < turns.length) page.maskersTimer = setTimeout(turn, 0, n + 1);
  };
  page.maskersTimer = setTimeout(turn, SETTLE_MS, 0);
}

function listen() {
  const controls = byId('controls');
  const { MASKERS } = page.maskers;
  fillMaskers(byId('maskers'), Object.fromEntries(Object.entries(MASKERS).map(([name, { label }]) => [name, label])));
  byId('presets').append(...PRESETS.map(({ name, ...masking }) => {
    const button = Object.assign(document.createElement('button'), { type: 'button', textContent: name });
    button.addEventListener('click', () => update(masking));
    return button;
  }));
  controls.addEventListener('submit', (event) => event.preventDefault());
  const change = ({ target: { name, value, checked } }) => {
    if (name === 'sample') loadSample(value);
    else if (name === 'causal' || name === 'shared') update({ [name]: checked });
    else update({ [name]: ['scale', 'masker'].includes(name) ? value : Number(value) });
  };
  for (const panel of [controls, byId('maskers-panel')]) panel.addEventListener('input', change);

  const large = byId('large');
  const moveTo = (cell) => {
    if (!cell || (cell.query === page.state.query && cell.key === page.state.key)) return;
    Object.assign(page.state, cell);
    writeUrl();
    showCursor();
  };
  large.addEventListener('pointermove', ({ offsetX, offsetY }) => moveTo(page.cellAt(offsetX, offsetY)));
  large.addEventListener('pointerdown', ({ offsetX, offsetY }) => moveTo(page.cellAt(offsetX, offsetY)));
  large.addEventListener('keydown', (event) => {
    const last = page.sample.steps - 1;
    const { query = 0, key = 0 } = page.state;
    const inside = (step) => Math.max(0, Math.min(last, step));
    const cell = {
      ArrowLeft: { query, key: inside(key - 1) },
      ArrowRight: { query, key: inside(key + 1) },
      ArrowUp: { query: inside(query - 1), key },
      ArrowDown: { query: inside(query + 1), key },
      Home: { query, key: 0 },
      End: { query, key: last },
    }[event.key];
    if (!cell) return;
    event.preventDefault();
    moveTo(cell);
  });

  // Not inside the observer's own call: drawing may change sizes again.
  new ResizeObserver(() => requestAnimationFrame(() => page.masked && draw())).observe(byId('heads'));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
}

/** Whatever was not caught anywhere: the reader gets to see it, the browser's console has it anyway. */
function fail(error) {
  const sentence = error.code === 'wasm-unavailable'
    ? 'This browser cannot run the package: WebAssembly with SIMD is missing or blocked.'
    : error.message;
  showMessage(sentence, true);
  document.body.dataset.state = 'error';
}
