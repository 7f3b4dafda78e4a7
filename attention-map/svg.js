// SPDX-License-Identifier: Apache-2.0

/** A figure as an SVG file: text stays text, cells are rectangles or, where there are many, a picture. */

import { toBase64 } from './base64.js';
import { FAMILY } from './font.js';
import { encodePng } from './png-file.js';
import { mergeRuns } from './runs.js';
import { hexOf } from './themes.js';

const MOST_RECTS = 10_000; // cells of one image
const NONE = 0xffffffff; // no colour
// Wider fonts first: text was measured in the first, and takes no more room in the others.
const FONTS = `${FAMILY}, Verdana, Helvetica, Arial, sans-serif`;

const WRITERS = {
  rect: ({ x, y, width, height, fill }) => `<rect${attributes({ x, y, width, height })} fill="${hexOf(fill)}"/>`,
  polygon: ({ points, fill }) =>
    `<polygon points="${points.map((point) => point.map(number).join(',')).join(' ')}" fill="${hexOf(fill)}"/>`,
  line: ({ x1, y1, x2, y2, width, color }) =>
    `<line${attributes({ x1, y1, x2, y2, 'stroke-width': width })} stroke="${hexOf(color)}"/>`,
  text: ({ x, y, text, size, anchor, rotate, color }) => {
    const turn = rotate === 0 ? '' : ` transform="rotate(${number(rotate)} ${number(x)} ${number(y)})"`;
    const place = `${attributes({ x, y, 'font-size': size })} text-anchor="${anchor}"${turn}`;
    return `<text${place} fill="${hexOf(color)}">${escapeXml(text)}</text>`;
  },
  hatch: ({ rects, ...hatch }) =>
    `<path fill="url(#${patternId(hatch)})" d="${rects
      .map((rect) => rect.map(number))
      .map(([x, y, width, height]) => `M${x} ${y}h${width}v${height}h-${width}z`)
      .join('')}"/>`,
  image: (image) => (image.rows * image.columns > MOST_RECTS ? pictureOf(image) : rectsOf(image)),
};

/**
 * @param {import('./figure.js').Figure} figure
 * @param {object} [options]
 * @param {unknown} [options.metadata] JSON, for <metadata>
 * @returns {Promise<string>} the same for the same figure
 */
export async function toSvg({ width, height, title, description, shapes }, { metadata } = {}) {
  const hatches = new Map(shapes.filter(({ type }) => type === 'hatch').map((hatch) => [patternId(hatch), hatch]));
  const parts = await Promise.all(shapes.map((shape) => WRITERS[shape.type](shape)));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"` +
      ` role="img" font-family="${FONTS}">`,
    `<title>${escapeXml(title)}</title>`,
    `<desc>${escapeXml(description)}</desc>`,
    ...(metadata === undefined ? [] : [`<metadata>${escapeXml(JSON.stringify(metadata))}</metadata>`]),
    ...(hatches.size === 0 ? [] : [`<defs>${[...hatches].map(([id, hatch]) => patternOf(id, hatch)).join('')}</defs>`]),
    ...parts,
    '</svg>\n',
  ].join('\n');
}

function rectsOf({ x, y, width, height, rows, columns, pixels }) {
  const [cellWidth, cellHeight] = [width / columns, height / rows];
  const words = new Uint32Array(rows * columns);
  for (let at = 0; at < words.length; at++) {
    const [red, green, blue, alpha] = pixels.subarray(4 * at, 4 * at + 4);
    words[at] = alpha === 0 ? NONE : (red << 16) | (green << 8) | blue;
  }
  const runs = mergeRuns(rows, columns, (at) => (words[at] === NONE ? undefined : words[at]));
  const rects = runs.map((run) =>
    WRITERS.rect({
      x: x + run.column * cellWidth,
      y: y + run.row * cellHeight,
      width: run.columns * cellWidth,
      height: run.rows * cellHeight,
      fill: [run.key >> 16, (run.key >> 8) & 255, run.key & 255],
    }),
  );
  return `<g shape-rendering="crispEdges">${rects.join('')}</g>`;
}

async function pictureOf({ x, y, width, height, rows, columns, pixels }) {
  const png = await encodePng({ width: columns, height: rows, pixels });
  return (
    `<image${attributes({ x, y, width, height })}` +
    ` preserveAspectRatio="none" image-rendering="pixelated" href="data:image/png;base64,${toBase64(png)}"/>`
  );
}

/** Says all that the pattern is: where several pictures stand in one page, those of one name are the same. */
function patternId({ period, width, color }) {
  return `hatch-${period}-${width}-${hexOf(color).slice(1)}`;
}

/** A tile with one diagonal, and the corners that its neighbours' lines reach into. */
function patternOf(id, { period, width, color }) {
  const lines = `M0 ${period}L${period} 0M-1 1L1 -1M${period - 1} ${period + 1}L${period + 1} ${period - 1}`;
  return (
    `<pattern id="${id}" width="${period}" height="${period}" patternUnits="userSpaceOnUse">` +
    `<path d="${lines}" stroke="${hexOf(color)}" stroke-width="${width}"/></pattern>`
  );
}

function attributes(values) {
  return Object.entries(values)
    .map(([name, value]) => ` ${name}="${number(value)}"`)
    .join('');
}

/** At most three decimals. */
function number(value) {
  return String(Number(value.toFixed(3)));
}

/** Text in XML 1.0, which has no control characters and no halves of surrogate pairs. */
function escapeXml(text) {
  return (
    text
      .toWellFormed()
      // eslint-disable-next-line no-control-regex -- those that XML has not
      .replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, '\ufffd')
      .replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`)
  );
}
