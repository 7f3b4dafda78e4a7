// SPDX-License-Identifier: Apache-2.0

/**
 * DejaVu Sans without a browser: how wide text is, and the outlines of its characters. Sizes are font sizes in pixels.
 * A character that is not in glyphs.js is a box, as high as wide; accents that combine, joiners and controls are
 * nothing.
 */

import { fromBase64 } from './base64.js';
import { ADVANCES, CHARACTERS, OUTLINES, UNITS } from './glyphs.js';

export const FAMILY = 'DejaVu Sans';

/** Of the font size: how far letters reach above the line that they stand on, and below it. */
export const ASCENT = 0.76;
export const DESCENT = 0.24;

const NOTHING = /^[\p{M}\p{Cf}\p{Cc}]$/u;
const BOX_ADVANCE = 1;
/** In units of the em; the inner contour turns the other way, which makes it a hole. */
const BOX = [square(0.08, -0.08, 0.84), square(0.86, -0.02, -0.72)];

const advances = readAdvances();

/** @returns {number} how far text of this size reaches, in pixels */
export function textWidth(text, size) {
  let width = 0;
  for (const character of text) width += advanceOf(character);
  return width * size;
}

/**
 * Text no wider than `width`, ended with an ellipsis where it had to be cut.
 * @returns {string}
 */
export function fitText(text, size, width) {
  if (textWidth(text, size) <= width) return text;
  const characters = [...text];
  const room = width - textWidth('…', size);
  let [count, used] = [0, 0];
  while (count < characters.length && used + advanceOf(characters[count]) * size <= room) {
    used += advanceOf(characters[count++]) * size;
  }
  return `${characters.slice(0, count).join('').trimEnd()}…`;
}

/** What draws text: (text) => contours of it, closed curves of [x, y] on and off them, at a size of 1, y upward. */
export function readOutlines() {
  const outlines = readGlyphs();
  return (text) => {
    const contours = [];
    let pen = 0;
    for (const character of text) {
      const glyph = outlines.get(character) ?? (NOTHING.test(character) ? [] : BOX);
      for (const points of glyph) contours.push(points.map(({ x, y, isOn }) => ({ x: x + pen, y, isOn })));
      pen += advanceOf(character);
    }
    return contours;
  };
}

function advanceOf(character) {
  return advances.get(character) ?? (NOTHING.test(character) ? 0 : BOX_ADVANCE);
}

function square(x, y, width) {
  const [left, right, bottom, top] = [x, x + width, y, y + Math.abs(width)];
  return [
    [left, bottom],
    [left, top],
    [right, top],
    [right, bottom],
  ].map(([px, py]) => ({ x: px, y: py, isOn: true }));
}

function readAdvances() {
  const bytes = fromBase64(ADVANCES);
  return new Map([...CHARACTERS].map((character, n) => [character, (bytes[2 * n] + 256 * bytes[2 * n + 1]) / UNITS]));
}

/** Undoes what tools/font.mjs writes: character -> contours. */
function readGlyphs() {
  const bytes = fromBase64(OUTLINES);
  let at = 0;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      value |= (byte & 127) << shift;
      if (byte < 128) return (value >>> 1) ^ -(value & 1);
    }
  };
  const readContour = (pen) => {
    const count = number();
    const flags = bytes.subarray(at, (at += Math.ceil(count / 8)));
    return Array.from({ length: count }, (_, n) => {
      pen.x += number();
      pen.y += number();
      return { x: pen.x / UNITS, y: pen.y / UNITS, isOn: ((flags[n >> 3] >> (n & 7)) & 1) === 1 };
    });
  };
  return new Map(
    [...CHARACTERS].map((character) => {
      const pen = { x: 0, y: 0 };
      return [character, Array.from({ length: number() }, () => readContour(pen))];
    }),
  );
}
