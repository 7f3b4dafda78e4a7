// SPDX-License-Identifier: Apache-2.0
/**
 * Draws weights on canvases: small maps for choosing a head, one large map with the line of text along both axes.
 * Masked-out cells are hatched in the page's own greys, so that they cannot be taken for tiny weights.
 */

const NAME = 22; // css pixels for an axis' name
const GAP = 4; // and between the cells and the picture of the line

/**
 * @typedef {object} HeadMap
 * @property {Float32Array} weights [steps, steps]
 * @property {number} steps
 * @property {(i: number, j: number) => boolean} isKept
 * @property {(weight: number) => string} color
 */

/** @param {HTMLCanvasElement} canvas @param {HeadMap} map */
export function drawSmall(canvas, map) {
  const ratio = window.devicePixelRatio || 1;
  const cell = Math.max(1, Math.round((canvas.clientWidth * ratio) / map.steps));
  canvas.width = canvas.height = cell * map.steps;
  drawCells(canvas.getContext('2d'), map, cell, readTheme(canvas), ratio);
}

/**
 * @param {HTMLCanvasElement} canvas its CSS width decides the size
 * @param {HeadMap & { sample: import('./sample.js').Sample, cursor?: { query: number, key: number } }} map
 * @returns {(x: number, y: number) => { query: number, key: number } | undefined} the cell at a point in CSS pixels
 */
export function drawLarge(canvas, map) {
  const ratio = window.devicePixelRatio || 1;
  const theme = readTheme(canvas);
  const ink = { plain: inkCanvas(map.sample.image, theme.text), marked: inkCanvas(map.sample.image, theme.onAccent) };
  const proportion = ink.plain.height / ink.plain.width;
  // The picture keeps its proportions, so the gutter left of and below the cells grows with them.
  const room = (canvas.clientWidth - NAME - 2 * GAP) * ratio;
  const cell = Math.max(1, Math.floor(room / (1 + proportion) / map.steps));
  const side = cell * map.steps;
  const strip = Math.round(side * proportion);
  const gutter = strip + Math.round((NAME + 2 * GAP) * ratio);
  const axis = { cell, ratio, theme, ink, strip };
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = side + gutter;
  const context = canvas.getContext('2d');

  context.save();
  context.translate(gutter, 0);
  drawCells(context, map, cell, theme, ratio);
  context.restore();
  // The keys' axis runs below; turned a quarter, the same axis stands at the left and reads downwards.
  context.save();
  context.translate(gutter, side);
  drawAxis(context, map, { ...axis, name: 'key: what is looked at', marked: map.cursor?.key });
  context.restore();
  context.save();
  context.transform(0, 1, -1, 0, gutter, 0);
  drawAxis(context, map, { ...axis, name: 'query: who is looking', marked: map.cursor?.query });
  context.restore();
  if (map.cursor) drawCursor(context, map.cursor, { cell, side, gutter, ratio });

  return (x, y) => {
    const key = Math.floor((x * ratio - gutter) / cell);
    const query = Math.floor((y * ratio) / cell);
    return Math.min(key, query) >= 0 && Math.max(key, query) < map.steps ? { query, key } : undefined;
  };
}

function drawCells(context, { weights, steps, isKept, color }, cell, theme, ratio) {
  context.fillStyle = hatch(context, theme, cell, ratio);
  context.fillRect(0, 0, cell * steps, cell * steps);
  for (let i = 0; i < steps; i++) {
    for (let j = 0; j < steps; j++) {
      if (!isKept(i, j)) continue;
      context.fillStyle = color(weights[i * steps + j]);
      context.fillRect(j * cell, i * cell, cell, cell);
    }
  }
}

function hatch(context, theme, cell, ratio) {
  const size = Math.max(4, Math.round(Math.min(6 * ratio, 2 * cell)));
  const tile = document.createElement('canvas');
  tile.width = tile.height = size;
  const pen = tile.getContext('2d');
  pen.fillStyle = theme.masked;
  pen.fillRect(0, 0, size, size);
  pen.fillStyle = theme.hatch;
  for (let n = 0; n < size; n++) pen.fillRect(size - 1 - n, n, Math.max(1, Math.round(size / 6)), 1);
  return context.createPattern(tile, 'repeat');
}

/** Drawn below the x axis: the line's picture, the part under the cursor's step marked, and the axis' name. */
function drawAxis(context, { steps }, { cell, ratio, theme, ink, strip, name, marked }) {
  const side = cell * steps;
  const gap = GAP * ratio;
  context.drawImage(ink.plain, 0, gap, side, strip);
  if (marked !== undefined) {
    context.save();
    context.beginPath();
    context.rect(marked * cell, 0, cell, strip + 2 * gap);
    context.clip();
    context.fillStyle = theme.accent;
    context.fill();
    context.drawImage(ink.marked, 0, gap, side, strip);
    context.restore();
  }
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.font = `${Math.round(12 * ratio)}px ${theme.font}`;
  context.fillStyle = theme.muted;
  context.fillText(name, side / 2, strip + 2 * gap + (NAME * ratio) / 2);
}

/** The inked rows of the line's picture, in the page's text colour on nothing: fits a light and a dark page. */
function inkCanvas({ data, width }, color) {
  const first = Math.floor(data.findIndex((value) => value < 255) / width);
  const height = Math.floor(data.findLastIndex((value) => value < 255) / width) + 1 - first;
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d');
  const pixels = context.createImageData(width, height);
  for (let n = 0; n < width * height; n++) pixels.data[4 * n + 3] = 255 - data[first * width + n];
  context.putImageData(pixels, 0, 0);
  context.globalCompositeOperation = 'source-in';
  context.fillStyle = color;
  context.fillRect(0, 0, width, height);
  return canvas;
}

function drawCursor(context, { query, key }, { cell, side, gutter, ratio }) {
  const line = Math.max(1, Math.round(ratio));
  const box = (x, y, width, height, color, outset, thickness) => {
    const grow = outset + thickness / 2;
    context.strokeStyle = color;
    context.lineWidth = thickness;
    context.strokeRect(gutter + x - grow, y - grow, width + 2 * grow, height + 2 * grow);
  };
  // Light beside dark, so that it shows on every colour.
  for (const [color, outset] of [['rgb(0 0 0 / 50%)', line], ['rgb(255 255 255 / 70%)', 0]]) {
    box(0, query * cell, side, cell, color, outset, line);
    box(key * cell, 0, cell, side, color, outset, line);
  }
  box(key * cell, query * cell, cell, cell, '#000', 2 * line, line);
  box(key * cell, query * cell, cell, cell, '#fff', 0, 2 * line);
}

function readTheme(element) {
  const style = getComputedStyle(element);
  const value = (name) => style.getPropertyValue(name).trim();
  return {
    text: style.color,
    font: style.fontFamily,
    muted: value('--muted'),
    accent: value('--accent'),
    onAccent: value('--on-accent'),
    masked: value('--masked'),
    hatch: value('--hatch'),
  };
}
