// SPDX-License-Identifier: Apache-2.0
/**
 * <attention-map>: a heat map of attention weights, scores or masks that is panned and zoomed from the whole picture to
 * single cells. It asks a source for tiles and cells, and draws them. Whatever changes, one method draws it, #render,
 * at most once per frame; what the user changed goes out as events from there too.
 */
import { layOut } from './axes.js';
import { checkData, tokensOf } from './data.js';
import { describeCell } from './describe.js';
import { figureOptions, scaleOptions } from './figure-options.js';
import { blocksBetween, handleDistance, handleLimit, handleLine, handleValue } from './handles.js';
import { hatchPattern } from './hatching.js';
import { Jobs } from './jobs.js';
import { actionOf } from './keyboard.js';
import { fillLegend } from './legend.js';
import { Loading } from './loading.js';
import { NUMBER_ZOOM } from './marks.js';
import { OPTIONS } from './options.js';
import { openOwnSource } from './own-source.js';
import { drawMarks, paintCells } from './picture.js';
import { listenToPointer } from './pointer.js';
import { rampColors } from './raster.js';
import { makeScale } from './scale.js';
import { buildShell } from './shell.js';
import { checkSource } from './source-check.js';
import { fillStrongest } from './strongest.js';
import { makeSheet } from './styles.js';
import { readTheme } from './theme.js';
import { cellAt, fitZoom, reveal, transformOf, viewOf, visibleCells } from './view.js';
import { Zooming } from './zooming.js';

const NO_CELL = 'Point at a cell to read it, or use the arrow keys.';
const SENTENCE_DELAY = 120; // ms: while the cursor moves on, nothing is read out
const TABLE_DELAY = 300; // ms
const TABLE_ROWS = 12;
const REACH = { touch: 24, mouse: 8, pen: 12 }; // CSS pixels around a handle

export class AttentionMap extends HTMLElement {
  static observedAttributes = Object.keys(OPTIONS).filter((name) => OPTIONS[name].attribute);

  #options = Object.fromEntries(Object.entries(OPTIONS).map(([name, { initial }]) => [name, initial]));
  #parts;
  #observer;
  #zooming;
  #pointer;

  #data;
  #own; // the worker that serves #data
  #source;
  #generation = 0; // of sources
  #shape; // [sq, sk]
  #givenTokens;
  #tokens = {};

  #size; // of the stage in CSS pixels
  #ratio = 1; // device pixels per CSS pixel
  #theme;
  #patterns;
  #plot;
  #transform;
  #wantedView; // what was asked for before there was a plot

  #loading;
  #scale;
  #legendVersion;
  #tableVersion;
  #jobs = new Jobs((error) => this.#fail(error));

  #cursor;
  #isLocked = false;
  #draft; // the rectangle that is being drawn
  #anchor; // the cell where one began that is drawn with keys
  #isHolding = false; // the space bar

  #frame;
  #isPictureStale = true;
  #isViewChanged = false;
  #isReady = false;

  static {
    for (const [name, { check }] of Object.entries(OPTIONS)) {
      Object.defineProperty(this.prototype, name, {
        configurable: true,
        enumerable: true,
        get() {
          return this.#options[name];
        },
        set(value) {
          const checked = check(name, value);
          const limit = this.#source?.shape[['batch', 'head'].indexOf(name)];
          if (checked >= limit) throw new RangeError(`${name} must be in 0..${limit - 1}, got ${value}`);
          this.#setOption(name, checked);
        },
      });
    }
  }

  constructor() {
    super();
    const root = this.attachShadow({ mode: 'open' });
    root.adoptedStyleSheets = [makeSheet()];
    this.#parts = buildShell(root);
    this.#parts.stage.ariaLabel = this.#options.label;
    this.#loading = new Loading({
      onload: () => {
        this.#isPictureStale = true;
        this.#schedule();
      },
      onerror: (error) => this.#fail(error),
    });
    this.#zooming = new Zooming(this.#parts.stage, {
      filter: (event) => this.#mayZoom(event),
      onchange: (transform, isUser) => {
        this.#transform = transform;
        this.#isPictureStale = true;
        this.#isViewChanged ||= isUser;
        this.#parts.stage.classList.toggle('fitted', this.#isFitted());
        this.#schedule();
      },
    });
    this.#listen();
    this.#observer = new ResizeObserver(([entry]) => this.#resize(entry));
  }

  connectedCallback() {
    for (const name of [...Object.keys(OPTIONS), 'data', 'source', 'tokens', 'view', 'cursor']) {
      if (!Object.hasOwn(this, name)) continue; // set before the element was defined
      const value = this[name];
      delete this[name];
      this[name] = value;
    }
    try {
      this.#observer.observe(this.#parts.stage, { box: 'device-pixel-content-box' });
    } catch {
      this.#observer.observe(this.#parts.stage); // an engine that has no such box
    }
    if (this.#data !== undefined && !this.#own) this.#open();
  }

  disconnectedCallback() {
    this.#observer.disconnect();
    // One that is only moved to another place is connected again by then.
    queueMicrotask(() => {
      if (this.isConnected) return;
      if (this.#own) this.#leave();
      this.#loading.clear();
    });
  }

  attributeChangedCallback(name, _, text) {
    const { initial } = OPTIONS[name];
    try {
      const value = text === null ? initial : OPTIONS[name].attribute(text);
      if (value !== this.#options[name]) this[name] = value;
    } catch (error) {
      if (!(error instanceof RangeError || error instanceof TypeError)) throw error; // bad attributes are ignored
    }
  }

  // ---- What it shows ----

  get source() {
    return this.#source;
  }

  // What is there already changes nothing when it is set again, as templates do whenever anything else has changed.
  set source(source) {
    if (source === this.#source && this.#data === undefined) return;
    if (source !== undefined) checkSource(source);
    const tokens = source?.tokens;
    if (source) tokensOf(tokens, source.shape.slice(2));
    this.#leave();
    this.#data = undefined;
    this.#givenTokens = tokens;
    this.#take(source);
  }

  get data() {
    return this.#data;
  }

  set data(data) {
    if (data === this.#data && data !== undefined) return;
    if (data !== undefined) checkData(data);
    this.#leave();
    this.#data = data;
    this.#givenTokens = data?.tokens;
    if (data === undefined) this.#take(undefined);
    else if (this.isConnected) this.#open();
  }

  get tokens() {
    return this.#givenTokens;
  }

  set tokens(tokens) {
    if (tokens === this.#givenTokens) return;
    if (this.#shape) this.#tokens = tokensOf(tokens, this.#shape);
    this.#givenTokens = tokens;
    this.#layOut();
    this.#tell();
  }

  get view() {
    return this.#transform ? viewOf(this.#transform, this.#plot) : this.#wantedView;
  }

  set view(view) {
    if (view !== undefined && !(['x', 'y', 'zoom'].every((name) => Number.isFinite(view?.[name])) && view.zoom > 0)) {
      throw new RangeError(`view must be { x, y, zoom } with zoom > 0, got ${JSON.stringify(view)}`);
    }
    if (!this.#transform) this.#wantedView = view;
    else if (!isSame(view, this.view, ['x', 'y', 'zoom'])) this.#show(this.#transformOf(view));
  }

  get cursor() {
    return this.#cursor && { ...this.#cursor, locked: this.#isLocked };
  }

  set cursor(cursor) {
    for (const [n, name] of cursor === undefined ? [] : ['query', 'key'].entries()) {
      const limit = this.#shape?.[n] ?? Infinity;
      const value = cursor?.[name];
      if (!(Number.isSafeInteger(value) && value >= 0 && value < limit)) {
        throw new RangeError(`cursor.${name} must be an integer in 0..${limit - 1}, got ${String(value)}`);
      }
    }
    const isLocked = Boolean(cursor?.locked);
    if (isSame(cursor, this.#cursor, ['query', 'key']) && isLocked === this.#isLocked) return;
    this.#cursor = cursor && { query: cursor.query, key: cursor.key };
    this.#isLocked = isLocked;
    this.#parts.sentence.setAttribute('aria-live', 'off'); // nobody here has moved it
    this.#tell();
    this.#schedule();
  }

  /** @returns {{ rows: [number, number], columns: [number, number] } | undefined} ranges [begin, end) of cells */
  visible() {
    return this.#transform && visibleCells(this.#transform, this.#plot, this.#shape);
  }

  /** @returns {DOMRect | undefined} where a cell stands in the window, in CSS pixels, whether it is visible or not */
  cellRect({ query, key }) {
    if (!this.#transform) return undefined;
    const { left, top } = this.#parts.stage.getBoundingClientRect();
    const { x, y, k } = this.#transform;
    return new DOMRect(left + x + k * key, top + y + k * query, k, k);
  }

  /** @returns {Promise<object>} options of figure.js that draw what is visible */
  async figure() {
    if (!this.#transform) throw new Error('attention-map shows nothing yet');
    const { queries, keys } = this.#tokens;
    const common = {
      tokens: queries || keys ? this.#tokens : undefined,
      theme: this.#theme.isDark ? 'dark' : 'light',
      numbers: this.#transform.k >= NUMBER_ZOOM,
      legend: true,
      cursor: this.#isLocked ? { ...this.#cursor } : undefined,
    };
    return { ...common, ...await figureOptions(this.#source, this.#options, this.visible(), this.#shape) };
  }

  #setOption(name, value) {
    if (value === this.#options[name]) return;
    const { attribute, changes } = OPTIONS[name];
    this.#options[name] = value;
    if (attribute && this.getAttribute(name) !== String(value)) this.setAttribute(name, value);
    if (name === 'label') this.#parts.stage.ariaLabel = value;
    if (name === 'tool') {
      this.#pointer.cancel();
      this.#stopDrawing();
      this.#parts.stage.classList.toggle('tooled', value !== 'look');
      this.#parts.stage.classList.remove('grip');
    }
    if (changes === 'cells' || changes === 'sentence') this.#tell();
    if (changes === 'cells' || changes === 'colors') this.#parts.message.hidden = true;
    this.#schedule();
  }

  // ---- Where cells come from ----

  #open() {
    const own = openOwnSource(this.#data);
    this.#own = own;
    own.source
      .then((source) => this.#own === own && this.#take(source))
      .catch((error) => this.#own === own && this.#fail(error));
  }

  /** Shows another source. If it has the shape of the last one, view and cursor stay. */
  #take(source) {
    const shape = source && [...source.shape.slice(2)];
    this.#tokens = source ? tokensOf(this.#givenTokens, shape) : {};
    this.#source = source;
    this.#generation++;
    this.#isReady = false;
    this.#tableVersion = undefined;
    this.#parts.message.hidden = true;
    this.#stopDrawing();
    if (String(shape) !== String(this.#shape)) {
      this.#loading.clear();
      const { query, key } = this.#cursor ?? {};
      if (this.#shape || !shape || query >= shape[0] || key >= shape[1]) { // else it was set for this source
        this.#cursor = undefined;
        this.#isLocked = false;
      }
      this.#shape = shape;
      this.#transform = this.#scale = this.#legendVersion = undefined;
      if (shape) this.#parts.stage.style.aspectRatio = Math.min(2, Math.max(0.5, shape[1] / shape[0]));
    }
    for (const [n, name] of source ? ['batch', 'head'].entries() : []) {
      if (this.#options[name] >= source.shape[n]) this.#setOption(name, source.shape[n] - 1);
    }
    this.#layOut();
    this.#tell();
  }

  /** Gives up what is being loaded, and the worker; what has been drawn stays until something else takes its place. */
  #leave() {
    this.#jobs.clear();
    this.#loading.stop();
    this.#own?.close();
    this.#own = this.#source = undefined;
    this.#parts.stage.ariaBusy = 'true';
  }

  #fail(error) {
    const { message } = this.#parts;
    message.textContent = error instanceof Error ? error.message : String(error);
    message.hidden = false;
    message.role = 'alert';
    this.#emit('attention-error', { error });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { bubbles: true, composed: true, detail }));
  }

  // ---- Size, colours and view ----

  #resize({ contentRect: { width, height }, devicePixelContentBoxSize }) {
    if (width === 0 || height === 0) return; // not displayed
    this.#ratio = window.devicePixelRatio || 1;
    this.#size = { width, height };
    const [box] = devicePixelContentBoxSize ?? [];
    // The box knows how an edge was rounded; where the ratio is emulated, it is in other units.
    const pixels = (exact, size) => (Math.abs(exact - size) < 1 ? exact : Math.round(size));
    for (const canvas of [this.#parts.base, this.#parts.overlay]) {
      canvas.width = pixels(box?.inlineSize, width * this.#ratio);
      canvas.height = pixels(box?.blockSize, height * this.#ratio);
    }
    this.#readTheme();
    this.#render(); // at once: the canvases are empty now
  }

  #readTheme() {
    if (!this.#size) return;
    const context = this.#parts.overlay.getContext('2d');
    this.#theme = readTheme(this.#parts.probe);
    this.#patterns = Object.fromEntries(['masked', 'skipped'].map((kind) =>
      [kind, hatchPattern(context, this.#theme, this.#ratio, kind)]));
    this.#layOut();
  }

  #layOut() {
    if (!this.#shape || !this.#size) return this.#schedule();
    const wasFitted = this.#transform === undefined || this.#isFitted();
    const view = wasFitted ? this.#wantedView : this.view;
    this.#wantedView = undefined;
    const context = this.#parts.overlay.getContext('2d');
    this.#plot = layOut(context, this.#size, this.#tokens, this.#shape, this.#theme);
    this.#zooming.bound(this.#plot, this.#shape);
    this.#show(this.#transformOf(view));
    this.#isPictureStale = true;
    return this.#schedule();
  }

  /** Of a view; without one, of the whole picture. */
  #transformOf(view = { x: 0, y: 0, zoom: 0 }) {
    return transformOf(view, this.#plot, this.#shape);
  }

  #isFitted() {
    return this.#transform.k <= 1.001 * fitZoom(this.#plot, this.#shape);
  }

  /** Whether an event pans or zooms. What is left to the page: scrolling over a picture that is seen as a whole. */
  #mayZoom(event) {
    if (!this.#transform || (event.ctrlKey && event.type !== 'wheel')) return false;
    switch (event.type) {
      case 'wheel': return !(this.#isFitted() && event.deltaY > 0);
      case 'mousedown': return event.button === 1 || (event.button === 0 && !this.#draws() && !this.#pointer.isBusy);
      case 'touchstart':
        return event.touches.length > 1 || !(this.#draws() || this.#pointer.isBusy || this.#isFitted());
      default: return !this.#draws();
    }
  }

  /** Shows a transform; see Zooming.show. */
  #show(transform, how) {
    const now = this.#transform;
    const isSame = now && ['x', 'y', 'k'].every((name) => now[name] === transform[name]);
    if (!isSame) this.#zooming.show(transform, how);
  }

  #zoomBy(factor, event) {
    if (!this.#transform) return;
    const { rows, columns } = this.visible();
    const { query, key } = this.#cursor ?? {};
    const isSeen = query >= rows[0] && query < rows[1] && key >= columns[0] && key < columns[1];
    const { x, y, k } = this.#transform;
    const point = isSeen ? [x + k * (key + 0.5), y + k * (query + 0.5)] : null;
    this.#zooming.scaleBy(factor, point, event);
  }

  #fit(event) {
    if (this.#transform) this.#show(this.#transformOf(), { event, isSmooth: true });
  }

  // ---- Drawing ----

  #schedule() {
    this.#frame ??= requestAnimationFrame(() => this.#render());
  }

  #render() {
    cancelAnimationFrame(this.#frame);
    this.#frame = undefined;
    if (this.#isViewChanged) {
      this.#isViewChanged = false;
      this.#emit('attention-view', { ...this.view, user: true });
    }
    if (!this.#transform || !this.isConnected) {
      for (const canvas of [this.#parts.base, this.#parts.overlay]) {
        canvas.getContext('2d').clearRect(0, 0, canvas.width, canvas.height);
      }
      return;
    }
    const visible = this.visible();
    const common = { shape: this.#shape, theme: this.#theme, visible, ratio: this.#ratio };
    const loaded = this.#loading.want({
      ...common, source: this.#source, generation: this.#generation, options: this.#options, zoom: this.#transform.k,
    });
    this.#updateLegend(loaded);
    this.#updateTable(visible);
    const scene = {
      ...this.#options, ...common, ...loaded,
      plot: this.#plot, transform: this.#transform, stage: this.#size, tokens: this.#tokens,
      patterns: this.#patterns, made: this.#scale, get: (tile) => this.#loading.get(tile),
      cursor: this.#cursor, isLocked: this.#isLocked, draft: this.#draft, handle: this.#handle(visible),
    };
    if (this.#isPictureStale) paintCells(this.#parts.base.getContext('2d'), scene);
    this.#isPictureStale = false;
    drawMarks(this.#parts.overlay.getContext('2d'), scene);

    const { stage } = this.#parts;
    if (stage.ariaBusy !== String(loaded.isBusy)) stage.ariaBusy = String(loaded.isBusy);
    if (!this.#isReady && this.#source && loaded.hasPicture) {
      this.#isReady = true;
      this.#emit('attention-ready', { shape: [...this.#source.shape] });
    }
  }

  #updateLegend({ statistics, version }) {
    if (!statistics || this.#legendVersion === version) return;
    this.#legendVersion = version;
    this.#scale = makeScale(scaleOptions(this.#options, statistics));
    fillLegend(this.#parts.legend, {
      ...this.#options,
      scale: this.#scale, colors: rampColors(this.#options.colors), theme: this.#theme, ratio: this.#ratio,
    });
  }

  #updateTable({ rows, columns }) {
    const { table, tableNote, tableDetails } = this.#parts;
    const { batch, head } = this.#options;
    const version = JSON.stringify([this.#generation, batch, head, rows, columns]);
    if (!tableDetails.open || !this.#source || this.#tableVersion === version) return;
    this.#tableVersion = version;
    this.#jobs.start('table', TABLE_DELAY, async (signal) => {
      let cells = [];
      let note = '';
      try {
        cells = await this.#source.strongest({ batch, head, count: TABLE_ROWS, rows, columns }, { signal });
        if (cells.length === 0) note = 'No cell here is kept.';
      } catch (error) {
        note = error.message; // as where too much is visible to list
      }
      if (signal.aborted) return;
      tableNote.textContent = note;
      tableNote.hidden = note === '';
      table.hidden = note !== '';
      fillStrongest(table, {
        cells, tokens: this.#tokens, visible: { rows, columns },
        choose: (cell, event) => {
          this.#moveCursor(cell, event);
          this.#parts.stage.focus();
        },
      });
    });
  }

  // ---- Cursor and sentence ----

  /** The user's doing. */
  #moveCursor({ query, key }, event) {
    this.#cursor = { query, key };
    this.#announceCursor();
    const shown = reveal(this.#cursor, this.#transform, this.#plot);
    this.#show(this.#transformOf(viewOf(shown, this.#plot)), { event });
  }

  #announceCursor() {
    this.#parts.sentence.setAttribute('aria-live', 'polite');
    this.#emit('attention-cursor', { ...this.#cursor, locked: this.#isLocked });
    this.#tell();
    this.#schedule();
  }

  /** Says what is under the cursor, a moment after it came there. */
  #tell() {
    const cursor = this.#cursor;
    const { sentence } = this.#parts;
    if (!cursor || !this.#source) {
      this.#jobs.giveUp('sentence');
      if (!cursor) sentence.textContent = this.#shape ? NO_CELL : '';
      return;
    }
    this.#jobs.start('sentence', SENTENCE_DELAY, async (signal) => {
      const cell = await this.#readCell(cursor, signal);
      const text = signal.aborted ? '' : await (this.#options.describe ?? describeCell)(cell);
      if (!signal.aborted) sentence.textContent = text;
    });
  }

  async #readCell({ query, key }, signal) {
    const { batch, head, show } = this.#options;
    const { states: [state], values: [value] } = await this.#source.read({
      batch, head, level: 0, rows: [query, query + 1], columns: [key, key + 1], show,
    }, { signal });
    return {
      batch, head, query, key, show, state, value,
      queryToken: this.#tokens.queries?.[query],
      keyToken: this.#tokens.keys?.[key],
      isLater: this.#isLater(query, key),
      isLocked: this.#isLocked,
    };
  }

  #isLater(query, key) {
    const { causal, queryOffset, keyOffset = 0 } = this.#data ?? this.#source;
    const [queries, keys] = this.#shape;
    const first = queryOffset?.[this.#options.batch] ?? queryOffset ?? keyOffset + keys - queries;
    return Boolean(causal) && key + keyOffset > query + first;
  }

  // ---- What the user does ----

  #draws() {
    return !this.#isHolding && ['draw', 'erase'].includes(this.#options.tool);
  }

  /** Of the tool's handle; undefined where it has none. */
  #handleValue() {
    const { tool, window: { left = Infinity } = {}, sinks } = this.#options;
    if (!this.#shape || !['window', 'sinks'].includes(tool)) return undefined;
    return Math.min(tool === 'window' ? left : sinks, handleLimit(tool, this.#shape));
  }

  #handle(visible) {
    const value = this.#handleValue();
    return value === undefined ? undefined : handleLine(this.#options.tool, value, this.#shape, visible);
  }

  #dragHandle(value, isDone) {
    const { tool } = this.#options;
    if (value !== this.#handleValue()) this.#options[tool] = tool === 'window' ? { left: value } : value;
    this.#emit('attention-drag', { handle: tool, value, done: isDone });
    this.#schedule();
  }

  #stopDrawing() {
    this.#draft = this.#anchor = undefined;
    this.#schedule();
  }

  #draw(from, to, isDone) {
    const { tool, blockSize } = this.#options;
    this.#draft = blocksBetween(from, to, blockSize, this.#shape);
    if (isDone) {
      this.#emit('attention-draw', { ...this.#draft, keep: tool === 'draw' });
      this.#stopDrawing();
    }
    this.#schedule();
  }

  #setLocked(isLocked) {
    this.#isLocked = isLocked;
    this.#announceCursor();
  }

  /** A pointer's place in the stage, in CSS pixels, and in cells. */
  #pointOf(event) {
    const box = this.#parts.stage.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    const { x, y, k } = this.#transform;
    return { px, py, column: (px - x) / k, row: (py - y) / k };
  }

  #listen() {
    const { stage, probe, zoomIn, zoomOut, fit, tableDetails } = this.#parts;
    const cellOf = (event) => {
      if (!this.#transform) return undefined;
      const { px, py } = this.#pointOf(event);
      return cellAt(px, py, this.#transform, this.#plot, this.#shape);
    };
    this.#pointer = listenToPointer(stage, {
      draws: () => this.#draws(),
      cellAt: cellOf,
      nearestCell: (event) => {
        const { row, column } = this.#pointOf(event);
        const within = (value, count) => Math.min(count - 1, Math.max(0, Math.floor(value)));
        return { query: within(row, this.#shape[0]), key: within(column, this.#shape[1]) };
      },
      isOnHandle: (event) => {
        const value = this.#handleValue();
        if (value === undefined || !this.#transform) return false;
        const { column, row } = this.#pointOf(event);
        const distance = handleDistance(this.#options.tool, value, column, row, this.#shape);
        return distance * this.#transform.k <= (REACH[event.pointerType] ?? REACH.mouse);
      },
      hover: (cell) => {
        if (this.#draws() && !this.#anchor) {
          this.#draft = cell && blocksBetween(cell, cell, this.#options.blockSize, this.#shape);
          this.#schedule();
        }
        const isSame = cell?.query === this.#cursor?.query && cell?.key === this.#cursor?.key;
        if (!cell || isSame || this.#isLocked) return;
        this.#cursor = cell;
        this.#announceCursor();
      },
      click: (cell) => {
        const isSame = cell.query === this.#cursor?.query && cell.key === this.#cursor?.key;
        this.#cursor = cell;
        this.#setLocked(!(this.#isLocked && isSame));
      },
      draw: (from, to, isDone) => this.#draw(from, to, isDone),
      giveUp: () => this.#stopDrawing(),
      dragHandle: (event, isDone) => {
        const { column, row } = this.#pointOf(event);
        this.#dragHandle(handleValue(this.#options.tool, column, row, this.#shape), isDone);
      },
    });
    stage.addEventListener('keydown', (event) => {
      if (this.#transform && this.#obey(event)) event.preventDefault();
    });
    const letGo = () => {
      this.#isHolding = false;
      stage.classList.remove('holding');
    };
    stage.addEventListener('keyup', ({ key }) => key === ' ' && letGo());
    stage.addEventListener('blur', letGo);
    stage.addEventListener('focus', (event) => {
      if (!this.#cursor && this.#transform && stage.matches(':focus-visible')) {
        const { rows, columns } = this.visible();
        this.#moveCursor({ query: rows[0], key: columns[0] }, event);
      }
    });
    zoomIn.addEventListener('click', (event) => this.#zoomBy(2, event));
    zoomOut.addEventListener('click', (event) => this.#zoomBy(0.5, event));
    fit.addEventListener('click', (event) => this.#fit(event));
    tableDetails.addEventListener('toggle', () => this.#schedule());
    probe.addEventListener('transitionend', () => this.#readTheme()); // the page's colours have changed
  }

  /** @returns {boolean} whether the key is the element's */
  #obey(event) {
    const visible = this.visible();
    const cursor = this.#cursor ?? { query: visible.rows[0], key: visible.columns[0] };
    const action = actionOf(event, { shape: this.#shape, visible, cursor });
    switch (action?.type) {
      case 'move':
        this.#moveCursor(action, event);
        if (this.#anchor) this.#draw(this.#anchor, this.#cursor, false);
        return true;
      case 'zoom':
        this.#zoomBy(action.factor, event);
        return true;
      case 'fit':
        this.#fit(event);
        return true;
      case 'handle': {
        const value = this.#handleValue();
        if (value === undefined) return false;
        const limit = handleLimit(this.#options.tool, this.#shape);
        this.#dragHandle(Math.min(limit, Math.max(0, value + action.by)), true);
        return true;
      }
      case 'enter':
        this.#enter(cursor);
        return true;
      case 'escape':
        if (this.#draft || this.#pointer.isBusy) {
          this.#pointer.cancel();
          this.#stopDrawing();
        } else if (this.#isLocked) this.#setLocked(false);
        else return false;
        return true;
      case 'table':
        this.#parts.tableDetails.open = !this.#parts.tableDetails.open;
        if (this.#parts.tableDetails.open) this.#parts.tableSummary.focus();
        return true;
      case 'hold':
        this.#isHolding = true;
        this.#parts.stage.classList.add('holding');
        return true;
      default:
        return false;
    }
  }

  #enter(cell) {
    this.#cursor = cell;
    if (!this.#draws()) this.#setLocked(!this.#isLocked);
    else if (this.#anchor) this.#draw(this.#anchor, cell, true);
    else {
      this.#anchor = cell;
      this.#draw(cell, cell, false);
    }
  }
}

function isSame(a, b, names) {
  return a === b || (a !== undefined && b !== undefined && names.every((name) => a[name] === b[name]));
}

customElements.define('attention-map', AttentionMap);
