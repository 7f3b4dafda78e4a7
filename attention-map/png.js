// SPDX-License-Identifier: Apache-2.0

/** A figure as a PNG file, drawn without a browser. */

import { Drawing } from './drawing.js';
import { readOutlines, textWidth } from './font.js';
import { encodePng } from './png-file.js';

export { readPngMetadata } from './png-file.js';

const SCALES = [1, 2, 4];

/**
 * @param {import('./figure.js').Figure} figure
 * @param {object} [options]
 * @param {1 | 2 | 4} [options.scale] pixels per CSS pixel; default 1
 * @param {unknown} [options.metadata] JSON, for an iTXt chunk "masked-attention"; readPngMetadata reads it
 * @returns {Promise<Uint8Array>}
 * @throws {RangeError} for another scale
 */
export async function toPng(figure, { scale = 1, metadata } = {}) {
  if (!SCALES.includes(scale)) throw new RangeError(`scale: expected ${SCALES.join(', ')}, got ${String(scale)}`);
  return encodePng(drawFigure(figure, scale), { scale, metadata });
}

/** @returns {Drawing} the figure's pixels */
function drawFigure({ width, height, shapes }, scale) {
  const drawing = new Drawing(width * scale, height * scale);
  const outlines = readOutlines();
  for (const shape of shapes) DRAWERS[shape.type](drawing, shape, scale, outlines);
  return drawing;
}

const DRAWERS = {
  rect: (drawing, { x, y, width, height, fill }, scale) =>
    drawing.rect(scale * x, scale * y, scale * (x + width), scale * (y + height), fill),
  polygon: (drawing, { points, fill }, scale) =>
    drawing.fill([points.map((point) => point.map((value) => scale * value))], fill),
  line: (drawing, { x1, y1, x2, y2, width, color }, scale) => {
    const [across, down] = x1 === x2 ? [width / 2, 0] : [0, width / 2];
    drawing.rect(scale * (x1 - across), scale * (y1 - down), scale * (x2 + across), scale * (y2 + down), color);
  },
  image: (drawing, image, scale) => {
    const { x, y, width, height } = image;
    drawing.image(scale * x, scale * y, scale * (x + width), scale * (y + height), image);
  },
  hatch: (drawing, { rects, period, width, color }, scale) => {
    const hatch = { period: scale * period, width: scale * width, color };
    for (const [x, y, wide, high] of rects) {
      drawing.hatch(scale * x, scale * y, scale * (x + wide), scale * (y + high), hatch);
    }
  },
  text: (drawing, { x, y, text, size, anchor, rotate, color }, scale, outlines) => {
    const back = { start: 0, middle: 0.5, end: 1 }[anchor] * textWidth(text, size);
    const angle = (rotate * Math.PI) / 180;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const place = (point) => {
      const [right, down] = [size * point.x - back, -size * point.y];
      return [scale * (x + right * cos - down * sin), scale * (y + right * sin + down * cos)];
    };
    drawing.fill(
      outlines(text).map((contour) => flatten(contour, place)),
      color,
    );
  },
};

/** A contour of TrueType (see glyphs.js) as a closed line; `place` says where a point of it is. */
function flatten(contour, place) {
  const points = contour.map(({ x, y, isOn }) => ({ at: place({ x, y }), isOn }));
  const line = [];
  points.forEach(({ at, isOn }, n) => {
    if (isOn) {
      line.push(at);
      return;
    }
    const [before, after] = [points.at(n - 1), points[(n + 1) % points.length]];
    const from = before.isOn ? before.at : halfway(before.at, at);
    const to = after.isOn ? after.at : halfway(at, after.at);
    const steps = Math.ceil(Math.sqrt(distance(from, at) + distance(at, to)));
    for (let step = 1; step <= steps; step++) line.push(curveAt(from, at, to, step / (steps + 1)));
    if (!after.isOn) line.push(to);
  });
  return line;
}

function distance(a, b) {
  return Math.hypot(a[0] - b[0], a[1] - b[1]);
}

function halfway(a, b) {
  return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
}

/** A point of a quadratic Bézier curve. */
function curveAt(from, control, to, t) {
  return [0, 1].map((axis) => (1 - t) ** 2 * from[axis] + 2 * t * (1 - t) * control[axis] + t ** 2 * to[axis]);
}
