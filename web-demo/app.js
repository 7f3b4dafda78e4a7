// SPDX-License-Identifier: Apache-2.0
/**
 * The page: state -> questions to the workers -> panels. Every change goes through change(), which brings the state
 * inside the data's sizes, writes the URL and draws; drawing asks for what the state needs and shows what is there.
 * What a test wants to know is in body.dataset.
 */
import '../attention-map/element.js';
import { THEMES } from '../attention-map/themes.js';
import { Client } from './client.js';
import { listSamples, openSample, prepare } from './data.js';
import { checkRecipe } from './analysis/recipe.js';
import { describeCell, describeRegion } from './describe-cell.js';
import { applyChoice, readFiles } from './files/dataset.js';
import { changeByDrag, changeByDrawing } from './gestures.js';
import { History } from './history.js';
import { drawPage } from './page.js';
import { ask } from './questions.js';
import { configurationOf, recipesOf, shownLayer } from './recipes.js';
import { clampState, DEFAULTS, formatState, parseState } from './state.js';
import { Wanted } from './wanted.js';

const SETTLE_MS = 150; // the URL follows once the reader pauses: browsers ration its changes
const STEP_MS = 300; // of decoding that is played
const UNDONE = ['a', 'b', 'causal']; // what undo and redo move through

const client = new Client();
const history = new History();
const wanted = new Wanted(draw);

/** Everything the panels draw from: `state` is in the URL, the rest is not. */
const model = {
  state: DEFAULTS,
  samples: [],
  data: undefined,
  choice: undefined, // of readings of dropped files
  preview: undefined, // the head under the pointer
  message: 'Loading a sample …',
  failed: false,
  saved: '',
  tool: 'look',
  blockSize: 4,
  pageSize: 4,
  measure: 'error',
  playing: undefined,
  theme: undefined, // of cells that are not kept, in small pictures
};
const dark = matchMedia('(prefers-color-scheme: dark)');
const sources = {}; // of the maps, by slot: a map takes another object for other data

const actions = {
  change,
  undo: () => restore(history.undo(undone())),
  redo: () => restore(history.redo(undone())),
  endGesture: () => history.endGesture(),
  setRecipe: (recipe, gesture) => change({ [model.state.edited]: recipe }, gesture),
  load: (slot, recipe) => change({ [slot]: recipe }),
  draw: (slot, detail) => change({ [slot]: changeByDrawing(recipesOf(model)[slot], detail) }),
  drag: (slot, { handle, value, done }) => {
    change({ [slot]: changeByDrag(recipesOf(model)[slot], handle, value) }, `drag ${slot} ${handle}`);
    if (done) history.endGesture();
  },
  preview: (preview) => show({ preview }),
  moveTo: ({ detail: { query, key, locked }, target }) => follow({ cursor: { query, key, locked } }, target),
  see: ({ detail: { x, y, zoom }, target }) => follow({ view: { x, y, zoom } }, target),
  describe: { a: (cell) => describe('a', cell), b: (cell) => describe('b', cell), regions: describeRegion },
  setTool: (tool) => show({ tool }),
  setBlockSize: (blockSize) => show({ blockSize }),
  setPageSize: (pageSize) => show({ pageSize }),
  setMeasure: (measure) => show({ measure }),
  play,
  dismiss: () => show({ message: '' }),
  openSample: (name) => opened(() => openSample(name), { keep: false }),
  openFiles,
  choose: (index) => opened(() => applyChoice(model.choice, index).then(prepareOrChoose), { keep: false }),
  closeChoice: () => show({ choice: undefined }),
  save: (file) => report(async () => {
    const { save } = await import('./save.js');
    const slot = model.state.compare ? model.state.edited : 'a';
    return save(file, { model, client, map: document.querySelector(`attention-map[data-slot="${slot}"]`) });
  }),
  copyLink: () => report(async () => {
    await navigator.clipboard.writeText(new URL(formatState(model.state), location.href).href);
    return 'Link copied';
  }),
};

addEventListener('error', ({ error, message }) => fail(error ?? new Error(message)));
addEventListener('unhandledrejection', ({ reason }) => fail(reason));
listen();
start();

async function start() {
  const { state, ignored } = parseState(location.search);
  model.state = state;
  try {
    model.samples = await listSamples();
  } catch (error) {
    return fail(error);
  }
  const known = model.samples.some(({ name }) => name === state.sample);
  await opened(() => openSample(known ? state.sample : model.samples[0].name), { keep: true });
  if (ignored.length > 0) show({ message: `This link says what the page does not know: ${ignored.join(', ')}.` });
  show({ engine: await client.paint('info') });
}

/**
 * Opens what `read` gives: a data set, or a choice of readings to ask about.
 * @param {{ keep: boolean }} options whether the state belongs to this data, as it does for a link
 */
async function opened(read, { keep }) {
  const token = (model.opening = {});
  try {
    const data = await read();
    if (token !== model.opening) return; // something else was opened meanwhile
    if (data.readings) return show({ choice: data });
    await client.load(data);
    if (token !== model.opening) return;
    take(data, keep);
  } catch (error) {
    if (token === model.opening) fail(error);
  }
}

function take(data, keep) {
  const look = ['show', 'scale', 'exponent', 'range', 'colors'].map((name) => [name, model.state[name]]);
  const state = keep ? model.state : { ...DEFAULTS, ...Object.fromEntries(look) };
  history.clear();
  for (const slot of Object.keys(sources)) delete sources[slot];
  wanted.keep(new Set());
  Object.assign(model, { data, state, choice: undefined, preview: undefined, message: '', failed: false });
  apply({ sample: data.name });
}

function prepareOrChoose(data) {
  return data.readings ? data : prepare(data);
}

async function readDropped(files) {
  const read = Array.from(files, async (file) => ({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) }));
  return readFiles(await Promise.all(read));
}

/** A recipe that was saved, dropped on the page; undefined for other files. */
async function readRecipe(files) {
  if (files.length !== 1 || !files[0].name.toLowerCase().endsWith('.json')) return undefined;
  const text = await files[0].text();
  const { maskers, predicate, edits } = text.includes('"maskers"') ? JSON.parse(text) : {};
  return maskers && checkRecipe({ maskers, ...(predicate && { predicate }), ...(edits && { edits }) });
}

async function openFiles(files) {
  const recipe = await readRecipe(files).catch(fail);
  if (recipe && !model.data?.hasInputs) show({ message: 'A recipe needs queries and keys; these data are weights alone.' });
  else if (recipe) actions.setRecipe(recipe);
  else await opened(() => readDropped(files).then(prepareOrChoose), { keep: false });
}

/** @param {string} [gesture] see History.record */
function change(changes, gesture) {
  if (UNDONE.some((name) => name in changes)) history.record(undone(), gesture);
  apply(changes);
}

function undone() {
  return Object.fromEntries(UNDONE.map((name) => [name, model.state[name]]));
}

function restore(values) {
  apply(values);
}

function apply(changes) {
  const { layers } = model.data;
  const layer = Math.min(changes.layer ?? model.state.layer, layers.length - 1);
  model.state = clampState({ ...model.state, ...changes }, { layers: layers.length, shape: layers[layer].shape });
  writeUrl();
  draw();
}

/** Changes what no link carries. */
function show(changes) {
  Object.assign(model, changes);
  draw();
}

/** Once for all changes of one turn. */
function draw() {
  if (model.drawing) return;
  model.drawing = true;
  queueMicrotask(() => {
    model.drawing = false;
    model.theme = THEMES[dark.matches ? 'dark' : 'light'];
    if (model.data) ask(model, client, wanted);
    const results = (name) => wanted.get(name);
    drawPage({ ...model, results, sources: sourcesNow(), canUndo: history.canUndo, canRedo: history.canRedo }, actions);
    document.body.dataset.state = model.failed ? 'error' : !model.data ? 'loading' : wanted.pending ? 'computing' : 'ready';
  });
}

/** What the maps show: the masks that were prepared last, so that the old picture stays until the new one is there. */
function sourcesNow() {
  for (const slot of ['a', 'b', 'regions']) {
    const name = wanted.get(`prepare:${slot}`).value;
    if (name === sources[slot]?.name) continue;
    const { shape } = model.data.layers[shownLayer(model)];
    sources[slot] = name && (slot === 'regions' ? client.regions(name, shape) : client.source(name, shape));
  }
  return sources;
}

/** The maps move together; nothing else has to be drawn for it. */
function follow(changes, moved) {
  Object.assign(model.state, changes);
  for (const map of document.querySelectorAll('attention-map')) if (map !== moved) Object.assign(map, changes);
  writeUrl();
}

function writeUrl() {
  clearTimeout(model.urlTimer);
  model.urlTimer = setTimeout(() => {
    globalThis.history.replaceState(null, '', `${location.pathname}${formatState(model.state)}`);
  }, SETTLE_MS);
}

/** The sentence below a map about the cell under its cursor: why it is kept or dropped, and what it weighs. */
async function describe(slot, cell) {
  const { batch, head, query, key } = cell;
  const answer = await client.count('explain', configurationOf(model, slot, shownLayer(model)), { batch, head, query, key });
  return describeCell(answer, cell);
}

/** Decoding, played: one query after the other, from the first again after the last. */
function play() {
  clearInterval(model.playing);
  if (model.playing !== undefined) return show({ playing: undefined });
  return show({
    playing: setInterval(() => {
      const [, , queries] = model.data.layers[model.state.layer].shape;
      if (model.state.step === undefined) play();
      else if (!wanted.get('decode').pending) change({ step: (model.state.step + 1) % queries });
    }, STEP_MS),
  });
}

/** Runs what the reader asked for and says how it went. */
async function report(run) {
  try {
    show({ saved: await run() });
  } catch (error) {
    show({ saved: error.message });
  }
}

function listen() {
  addEventListener('keydown', (event) => {
    const typing = event.target.matches?.('input:not([type="range"], [type="checkbox"]), textarea');
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== 'z' || typing || !model.data) return;
    event.preventDefault();
    if (event.shiftKey) actions.redo();
    else actions.undo();
  });
  dark.addEventListener('change', draw);
  const drag = (isOver) => document.body.toggleAttribute('data-dragging', isOver);
  addEventListener('dragover', (event) => {
    event.preventDefault();
    drag(event.dataTransfer.types.includes('Files'));
  });
  addEventListener('dragleave', ({ relatedTarget }) => relatedTarget === null && drag(false));
  addEventListener('drop', (event) => {
    event.preventDefault();
    drag(false);
    if (event.dataTransfer.files.length > 0) actions.openFiles(event.dataTransfer.files);
  });
}

/** Whatever was not caught anywhere: the reader gets to see it. */
function fail(error) {
  const message = error?.code === 'wasm-unavailable'
    ? 'This browser cannot run the package: WebAssembly with SIMD is missing or blocked.'
    : (error?.message ?? String(error));
  if (message === model.message) return; // said already; drawing itself may have failed
  show({ message, failed: model.data === undefined });
}
