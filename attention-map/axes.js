// SPDX-License-Identifier: Apache-2.0
/** Both axes: names, and along them tokens where they fit, positions where they do not. */

const SIZE = 12; // CSS pixels of text
const NAME = 20; // for an axis' name
const GAP = 5; // between cells and labels
const LONGEST = 110; // CSS pixels of a label; longer ones end in …
const SHARE = 0.22; // of the stage that labels may take

const AXIS_NAMES = { keys: 'key (what is looked at)', queries: 'query (who looks)' };

/** @returns {string} a token in one line that can be seen: line ends, tabs and spaces that are all of it as signs */
export function tokenLabel(token) {
  const visible = token.replaceAll('\n', '↵').replaceAll('\t', '⇥').replace(/[\p{Cc}\p{Cf}]/gu, '');
  return visible.trim() === '' ? '␣'.repeat(Math.min(3, visible.length)) : visible.trim();
}

const fontOf = (theme) => `${SIZE}px ${theme.font}`;

/**
 * Room for the axes, which does not change while panning.
 * @param {CanvasRenderingContext2D} context to measure text
 * @param {{ width: number, height: number }} stage CSS pixels
 * @param {{ queries?: string[], keys?: string[] }} tokens
 * @param {[number, number]} shape [sq, sk]
 * @param {import('./theme.js').Theme} theme
 * @returns {{ left: number, top: number, width: number, height: number }} the plot
 */
export function layOut(context, { width, height }, tokens, [queries, keys], theme) {
  context.font = fontOf(theme);
  const widest = (labels, count) => {
    // What has the most characters is not always the widest: the few longest are measured.
    const longest = (labels ?? []).map(tokenLabel).sort((a, b) => b.length - a.length).slice(0, 32);
    return Math.max(...[String(count - 1), ...longest].map((label) => context.measureText(label).width));
  };
  const left = NAME + GAP + Math.ceil(Math.min(widest(tokens.queries, queries), LONGEST, SHARE * width));
  const bottom = NAME + GAP + Math.ceil(Math.min(Math.max(SIZE + 2, tokens.keys ? widest(tokens.keys, keys) : 0),
    LONGEST, SHARE * height));
  return {
    left,
    top: GAP,
    width: Math.max(1, width - left - 2 * GAP),
    height: Math.max(1, height - bottom - 2 * GAP),
  };
}

/**
 * @param {CanvasRenderingContext2D} context scaled to CSS pixels
 * @param {object} scene
 * @param {import('./theme.js').Theme} scene.theme
 * @param {{ left: number, top: number, width: number, height: number }} scene.plot
 * @param {{ x: number, y: number, k: number }} scene.transform
 * @param {[number, number]} scene.shape [sq, sk]
 * @param {{ rows: [number, number], columns: [number, number] }} scene.visible
 * @param {{ queries?: string[], keys?: string[] }} scene.tokens
 * @param {{ query: number, key: number }} [scene.cursor]
 * @param {{ width: number, height: number }} scene.stage
 */
export function drawAxes(context, { theme, plot, transform, shape, visible, tokens, cursor, stage }) {
  context.font = fontOf(theme);
  const { x, y, k } = transform;
  const right = Math.min(plot.left + plot.width, x + k * shape[1]);
  const left = Math.max(plot.left, x);
  const upper = Math.max(plot.top, y);
  const lower = Math.min(plot.top + plot.height, y + k * shape[0]);

  context.strokeStyle = theme.line;
  context.lineWidth = 1;
  context.strokeRect(left - 0.5, upper - 0.5, right - left + 1, lower - upper + 1);

  drawLabels(context, {
    theme, labels: tokens.queries, range: visible.rows, marked: cursor?.query, cell: k, isUpright: true,
    room: plot.left - NAME - GAP, from: upper, to: lower, end: stage.height,
    place: (along) => [left - GAP, along], start: y,
  });
  const room = plotRoom(plot, stage);
  drawLabels(context, {
    theme, labels: tokens.keys, range: visible.columns, marked: cursor?.key, cell: k, isUpright: false,
    room, from: left, to: right, end: stage.width,
    place: (along) => [along, lower + GAP], start: x,
  });

  context.fillStyle = theme.muted;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  const across = Math.min(stage.height - NAME / 2, lower + GAP + room + NAME / 2);
  context.fillText(AXIS_NAMES.keys, (left + right) / 2, across, right - left);
  context.save();
  context.translate(Math.max(NAME / 2, left - plot.left + NAME / 2), (upper + lower) / 2);
  context.rotate(-Math.PI / 2);
  context.fillText(AXIS_NAMES.queries, 0, 0, lower - upper);
  context.restore();
}

/** Height that `layOut` left for the labels of keys. */
const plotRoom = (plot, stage) => stage.height - plot.top - plot.height - NAME - GAP;

/** Labels of one axis: all tokens if they fit, else positions at round distances; the marked one in any case. */
function drawLabels(context, { theme, labels, range, marked, cell, isUpright, room, from, to, end, place, start }) {
  const texts = labels && cell >= SIZE - 1 ? labels.slice(...range).map(tokenLabel) : undefined;
  const widthOf = (text) => context.measureText(text).width;
  const isTurned = !isUpright && texts !== undefined && texts.some((text) => widthOf(text) > cell - 4);
  const isBelow = !isUpright && !isTurned;
  const step = texts ? 1 : tickStep(cell, isUpright ? 1.8 * SIZE : widthOf(String(range[1])) + 14);

  const write = (index, text, isMarked) => {
    const middle = start + cell * (index + 0.5);
    if (middle < from - 0.5 || middle > to + 0.5) return;
    const fitted = shorten(context, text, isBelow ? Math.min(end / 2, 200) : room);
    const half = (isBelow ? widthOf(fitted) : SIZE) / 2 + 1;
    context.save();
    context.translate(...place(Math.min(end - half, Math.max(half, middle))));
    if (isTurned) context.rotate(-Math.PI / 2);
    context.textBaseline = isBelow ? 'top' : 'middle';
    context.textAlign = isBelow ? 'center' : 'right';
    if (isMarked) {
      const width = widthOf(fitted);
      context.fillStyle = theme.accent;
      context.fillRect(isBelow ? -width / 2 - 3 : -width - 3, isBelow ? -2 : -SIZE / 2 - 2, width + 6, SIZE + 4);
    }
    context.fillStyle = isMarked ? theme.page : theme.text;
    context.fillText(fitted, 0, 0);
    context.restore();
  };

  const isSeen = marked >= range[0] && marked < range[1];
  const markedText = isSeen ? (labels ? tokenLabel(labels[marked]) : String(marked)) : '';
  // What the marked label would cover is left out.
  const near = texts ? 0 : (isUpright ? SIZE : (widthOf(markedText) + widthOf(String(range[1]))) / 2 + 8) / cell;
  for (let index = Math.ceil(range[0] / step) * step; index < range[1]; index += step) {
    if (isSeen && Math.abs(index - marked) <= near) continue;
    write(index, texts?.[index - range[0]] ?? String(index), false);
  }
  if (isSeen) write(marked, markedText, true);
}

/** @returns {number} 1, 2 or 5 times a power of ten: the smallest number of cells that takes so many pixels */
export function tickStep(cell, pixels) {
  const least = Math.max(1, pixels / cell);
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least - 1e-9);
}

function shorten(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  const characters = [...text];
  let [fits, fails] = [0, characters.length];
  while (fails - fits > 1) {
    const middle = (fits + fails) >> 1;
    if (context.measureText(`${characters.slice(0, middle).join('')}…`).width <= room) fits = middle;
    else fails = middle;
  }
  return `${characters.slice(0, fits).join('')}…`;
}
