// SPDX-License-Identifier: Apache-2.0
/**
 * Renders a line of text as the recogniser expects it: black on white, 48 pixels high, a whole number of its 8-pixel
 * steps wide. The font comes from npm, so that every machine draws the same pixels.
 */
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createCanvas, GlobalFonts } from '@napi-rs/canvas';

export const FONT = 'Noto Sans SC';
export const HEIGHT = 48;
export const STEP = 8;
const PADDING = 4;

const folder = join(dirname(createRequire(import.meta.url).resolve('@fontsource/noto-sans-sc/package.json')), 'files');
// One file per range of characters, each a family of its own: the canvas falls through the list, glyph by glyph.
const files = readdirSync(folder).filter((file) => file.endsWith('-400-normal.woff2'));
const families = files.map((file, index) => {
  GlobalFonts.registerFromPath(join(folder, file), `${FONT} ${index}`);
  return `"${FONT} ${index}"`;
});

/**
 * @param {string} text
 * @param {number} size of the font, in pixels
 * @returns {{ pixels: Uint8Array, width: number, characters: { text: string, from: number, to: number }[] }}
 *   pixels [48, width], 0 = black; characters with their horizontal extent in pixels
 */
export function renderLine(text, size) {
  const font = `${size}px ${families}`;
  const measure = createCanvas(1, 1).getContext('2d');
  measure.font = font;
  const advance = (prefix) => measure.measureText(prefix).width;
  const width = Math.ceil((advance(text) + 2 * PADDING) / STEP) * STEP;

  const context = createCanvas(width, HEIGHT).getContext('2d');
  context.fillStyle = '#fff';
  context.fillRect(0, 0, width, HEIGHT);
  context.fillStyle = '#000';
  context.font = font;
  context.textBaseline = 'middle';
  context.fillText(text, PADDING, HEIGHT / 2);
  const rgba = context.getImageData(0, 0, width, HEIGHT).data;
  const pixels = Uint8Array.from({ length: width * HEIGHT }, (_, index) => rgba[4 * index]);

  let prefix = '';
  const characters = [...text].map((character) => {
    const from = PADDING + advance(prefix);
    prefix += character;
    return { text: character, from: Math.round(from), to: Math.round(PADDING + advance(prefix)) };
  });
  return { pixels, width, characters };
}
