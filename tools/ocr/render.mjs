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

const folder = join(dirname(createRequire(import.meta.url).resolve('@fontsource/noto-sans-sc/package.json')), 'files');
for (const file of readdirSync(folder)) {
  // One file per range of characters; registered under one name they act as one font.
  if (file.endsWith('-400-normal.woff2')) GlobalFonts.registerFromPath(join(folder, file), FONT);
}

/**
 * @param {string} text
 * @param {{ size: number, padding: number }} style pixels
 * @returns {{ pixels: Uint8Array, width: number, characters: { text: string, from: number, to: number }[] }}
 *   pixels [48, width], 0 = black; characters with their horizontal extent in pixels
 */
export function renderLine(text, { size, padding }) {
  const font = `${size}px "${FONT}"`;
  const measure = createCanvas(1, 1).getContext('2d');
  measure.font = font;
  const advance = (prefix) => measure.measureText(prefix).width;
  const width = Math.ceil((advance(text) + 2 * padding) / STEP) * STEP;

  const context = createCanvas(width, HEIGHT).getContext('2d');
  context.fillStyle = '#fff';
  context.fillRect(0, 0, width, HEIGHT);
  context.fillStyle = '#000';
  context.font = font;
  context.textBaseline = 'middle';
  context.fillText(text, padding, HEIGHT / 2);
  const rgba = context.getImageData(0, 0, width, HEIGHT).data;
  const pixels = Uint8Array.from({ length: width * HEIGHT }, (_, index) => rgba[4 * index]);

  let prefix = '';
  const characters = [...text].map((character) => {
    const from = padding + advance(prefix);
    prefix += character;
    return { text: character, from: Math.round(from), to: Math.round(padding + advance(prefix)) };
  });
  return { pixels, width, characters };
}
