// SPDX-License-Identifier: Apache-2.0
//
// Writes the pictures of docs/masks.md, docs/masks/*.svg, from the masks themselves. Deterministic.
//
//     node tools/draw-masks.mjs

import { mkdirSync, writeFileSync } from 'node:fs';

import { Mask } from '../js/index.js';

const folder = new URL('../docs/masks/', import.meta.url);

// Of middling lightness, so that they can be read on white and on black.
const KEPT = '#3584d6';
const OUT = '#8b949e';
const OUT_OPACITY = 0.2;
const COMPUTED = '#c98a1b';
const TEXT = '#768390';

const MARGIN = 4;
const LABEL = 18; // room for a line of text
const BETWEEN = 34; // panels

const shape = [1, 1, 16, 16];
const causal = Mask.causal(shape);
const window = Mask.slidingWindow(shape, { left: 4, right: 0 });
const around = Mask.slidingWindow(shape, { left: 3, right: 3 });
const sinks = Mask.sinks(shape, 2);
const documents = Mask.documents(shape, { offsets: [0, 5, 12, 16] });

/** Token i of a tree that stands in one row sees itself and its ancestors. */
function treeMask() {
  const parents = [-1, 0, 0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 6, 8, 9, 10];
  const weights = new Uint8Array(16 * 16);
  for (let i = 0; i < 16; i++) for (let j = i; j >= 0; j = parents[j]) weights[16 * i + j] = 1;
  return Mask.fromDense(shape, weights);
}

/** Weights that fall with the distance, in eighths. */
function fadingMask() {
  const weights = Float32Array.from({ length: 256 }, (_, at) => {
    const distance = Math.floor(at / 16) - (at % 16);
    return distance < 0 ? 0 : Math.max(0, 8 - distance) / 8;
  });
  return Mask.fromDense(shape, weights);
}

/** Lists of growing length, with three weights. */
function listMask() {
  const ptr = [0];
  const indices = [];
  const weights = [];
  for (let i = 0; i < 16; i++) {
    for (let j = 0; j < 16; j++) {
      if ((7 * j + 5 * i) % 16 >= 2 + Math.floor(i / 4)) continue;
      indices.push(j);
      weights.push([1, 0.6, 0.3][(i + j) % 3]);
    }
    ptr.push(indices.length);
  }
  return Mask.fromIndices(shape, { ptr, indices, weights });
}

/** Three keys for each query; -1 stands for none. */
function topMask() {
  const indices = [];
  for (let i = 0; i < 16; i++) {
    indices.push(i);
    for (let n = 1; n < 3; n++) indices.push(n > i ? -1 : Math.floor(i * ((0.618 * i + 0.41 * n) % 1)));
  }
  return Mask.fromRowWiseIndices(shape, indices);
}

const blocks = Mask.blockSparse({
  shape,
  blockSize: 4,
  ptr: [0, 1, 3, 5, 8],
  indices: [0, 0, 1, 0, 2, 0, 1, 3],
});

/** name, title, description, and what stands side by side: masks [mask, caption, batch], and words between them. */
const pictures = [
  [
    'causal',
    'A causal mask of 16 queries and 24 keys',
    'Each query keeps the keys up to its own; the last query keeps all.',
    [[Mask.causal([1, 1, 16, 24])]],
  ],
  ['sliding-window', 'A sliding window', 'Each query keeps its own key and the four before it.', [[window]]],
  ['sinks', 'Sinks', 'Every query keeps the first two keys.', [[sinks]]],
  [
    'prefix',
    'A prefix per batch',
    'Every query of batch 0 keeps the first 6 keys, of batch 1 the first 11.',
    [
      [Mask.prefix([2, 1, 16, 16], [6, 11]), 'batch 0'],
      [Mask.prefix([2, 1, 16, 16], [6, 11]), 'batch 1', 1],
    ],
  ],
  [
    'documents',
    'Packed documents',
    'Documents of 5, 7 and 4 tokens, each seeing itself; and two documents in pieces, with padding.',
    [
      [documents, 'one after the other'],
      [Mask.documents(shape, [0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, -1, -1]), 'in pieces, with padding'],
    ],
  ],
  ['block-sparse', 'Whole blocks', 'Eight of sixteen blocks of 4 queries by 4 keys are kept.', [[blocks]]],
  [
    'from-dense-bits',
    'Pairs one by one, as bits',
    'Tokens of a tree, in one row, keep themselves and their ancestors.',
    [[treeMask()]],
  ],
  [
    'from-dense-weights',
    'Pairs one by one, with weights',
    'The weight falls by an eighth with each step of distance.',
    [[fadingMask()]],
  ],
  [
    'from-indices',
    'Lists of keys',
    'Each query lists its keys, of three weights; later ones list more.',
    [[listMask()]],
  ],
  ['from-row-wise-indices', 'Equally many keys per query', 'Each query keeps up to three keys.', [[topMask()]]],
  [
    'from-function',
    'A dilated causal pattern',
    'Each query keeps every third key up to its own.',
    [[Mask.fromFunction(shape, (b, h, i, j) => j <= i && (i - j) % 3 === 0)]],
  ],
  [
    'and',
    'and',
    'A window to both sides, and causal order: what both keep.',
    [[around, 'window'], 'and', [causal, 'causal'], '=', [around.and(causal), 'both']],
  ],
  [
    'or',
    'or',
    'A window, or sinks: what either keeps.',
    [[window, 'window'], 'or', [sinks, 'sinks'], '=', [window.or(sinks), 'either']],
  ],
  ['not', 'not', 'What a mask does not keep.', [[documents, 'documents'], 'not =', [documents.not(), 'the others']]],
  [
    'merge',
    'merge',
    'The sum of two masks of weights, at most 1.',
    [[fadingMask(), 'fading'], 'merge', [listMask(), 'lists'], '=', [fadingMask().merge(listMask()), 'sum, at most 1']],
  ],
  [
    'combination',
    'window.or(sinks).and(causal)',
    'Sinks and a window, in causal order.',
    [
      [around, 'window'],
      'or',
      [sinks, 'sinks'],
      'and',
      [causal, 'causal'],
      '=',
      [around.or(sinks).and(causal), 'all three'],
    ],
  ],
];

/** What a mask keeps of one head as runs of neighbouring keys of one weight: [query, begin, end, weight]. */
function runsOf(mask, batch) {
  const [, , queries] = mask.shape;
  const { ptr, indices, weights } = mask.rows(0, queries, { batch });
  const runs = [];
  for (let i = 0; i < queries; i++) {
    for (let at = ptr[i]; at < ptr[i + 1]; at++) {
      const last = runs.at(-1);
      if (at > ptr[i] && last[2] === indices[at] && last[3] === weights[at]) last[2]++;
      else runs.push([i, indices[at], indices[at] + 1, weights[at]]);
    }
  }
  return runs;
}

/** Runs of each weight as one path of rectangles. */
function pathOf(runs, cell) {
  return runs.map(([i, begin, end]) => `M${begin * cell} ${i * cell}h${(end - begin) * cell}v${cell}H${begin * cell}z`)
    .join('');
}

/** A pattern that draws each cell by itself, with a gap. */
function pattern(id, cell, fill, opacity) {
  const size = cell - (cell > 4 ? 1 : 0.5);
  return `<pattern id="${id}" width="${cell}" height="${cell}" patternUnits="userSpaceOnUse">` +
    `<rect width="${size}" height="${size}" fill="${fill}" fill-opacity="${opacity}"/></pattern>`;
}

function text(x, y, content, anchor = 'middle') {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}">${content}</text>`;
}

/** One mask at (x, y), and the patterns it needs. */
function panel(mask, batch, cell, x, y, patterns) {
  const [, , queries, keys] = mask.shape;
  patterns.set('out', pattern('out', cell, OUT, OUT_OPACITY));
  const parts = [`<rect width="${keys * cell}" height="${queries * cell}" fill="url(#out)"/>`];
  const runs = runsOf(mask, batch);
  for (const weight of [...new Set(runs.map((run) => run[3]))].sort((a, b) => a - b)) {
    const percent = Math.round(100 * weight);
    patterns.set(percent, pattern(`w${percent}`, cell, KEPT, (0.3 + 0.7 * weight).toFixed(2)));
    parts.push(`<path fill="url(#w${percent})" d="${pathOf(runs.filter((run) => run[3] === weight), cell)}"/>`);
  }
  return `<g transform="translate(${x} ${y})">${parts.join('')}</g>`;
}

function svg(width, height, title, description, body, patterns) {
  const size = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" ` +
    `aria-labelledby="title desc" font-family="system-ui, sans-serif" font-size="12" fill="${TEXT}">\n` +
    `<title id="title">${title}</title>\n<desc id="desc">${description}</desc>\n` +
    `<defs>${[...patterns.values()].join('')}</defs>\n${body.join('\n')}\n</svg>\n`;
}

/** Masks side by side, with words between them. */
function draw(title, description, items) {
  const masks = items.filter((item) => typeof item !== 'string');
  const cell = masks.length > 3 ? 8 : masks.length > 1 ? 9 : 12;
  const [, , queries] = masks[0][0].shape;
  const top = MARGIN + LABEL;
  const body = [];
  const patterns = new Map();
  let x = MARGIN + LABEL;
  const middle = top + (queries * cell) / 2;
  body.push(`<g transform="translate(${MARGIN + 10} ${middle}) rotate(-90)">${text(0, 0, 'queries')}</g>`);
  items.forEach((item, n) => {
    if (typeof item === 'string') {
      const wide = 8 * item.length + 16;
      body.push(text(x + wide / 2, middle + 4, item));
      x += wide;
      return;
    }
    const [mask, caption = 'keys', batch = 0] = item;
    const wide = mask.shape[3] * cell;
    if (n > 0 && typeof items[n - 1] !== 'string') x += BETWEEN;
    body.push(text(x + wide / 2, MARGIN + 10, caption), panel(mask, batch, cell, x, top, patterns));
    x += wide;
  });
  return svg(x + MARGIN, top + queries * cell + MARGIN, title, description, body, patterns);
}

/** What tiles compute: of each strip of 12 queries and tile of 128 keys the columns from the first kept to the last. */
function drawTiles() {
  const [queries, keys, cell] = [36, 256, 3];
  const dims = [1, 1, queries, keys];
  const mask = Mask.slidingWindow(dims, { left: 20, right: 0 }).or(Mask.sinks(dims, 4));
  const top = MARGIN + LABEL;
  const left = MARGIN;
  const patterns = new Map();
  const computed = [];
  for (let i = 0; i < queries; i += 12) {
    const { indices } = mask.rows(i, i + 12);
    for (let key = 0; key < keys; key += 128) {
      const columns = [...indices].filter((j) => j >= key && j < key + 128);
      if (columns.length === 0) continue;
      const begin = 8 * Math.floor(Math.min(...columns) / 8);
      const end = 8 * (Math.floor(Math.max(...columns) / 8) + 1);
      computed.push(`M${begin * cell} ${i * cell}h${(end - begin) * cell}v${12 * cell}H${begin * cell}z`);
    }
  }
  const lines = [0, 12, 24, 36].map((i) => `M0 ${i * cell}h${keys * cell}`).join('') +
    [0, 128, 256].map((j) => `M${j * cell} 0v${queries * cell}`).join('');
  const body = [
    text(left + 64 * cell, MARGIN + 10, 'tile of 128 keys'),
    text(left + 192 * cell, MARGIN + 10, 'the next'),
    `<path transform="translate(${left} ${top})" fill="${COMPUTED}" fill-opacity=".5" d="${computed.join('')}"/>`,
    panel(mask, 0, cell, left, top, patterns),
    `<path transform="translate(${left} ${top})" stroke="${TEXT}" fill="none" d="${lines}"/>`,
    text(left, top + queries * cell + 14, 'three strips of 12 queries; blue: kept; yellow: computed', 'start'),
  ];
  const description =
    'A window and four sinks, over three strips of 12 queries and two tiles of 128 keys: of each, the columns from ' +
    'the first kept to the last are computed.';
  const height = top + queries * cell + LABEL + MARGIN;
  return svg(left + keys * cell + MARGIN, height, 'What tiles compute', description, body, patterns);
}

mkdirSync(folder, { recursive: true });
const write = (name, content) => writeFileSync(new URL(`${name}.svg`, folder), content);
for (const [name, title, description, items] of pictures) write(name, draw(title, description, items));
write('tiles', drawTiles());
