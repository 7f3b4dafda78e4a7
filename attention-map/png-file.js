// SPDX-License-Identifier: Apache-2.0

/** Pixels as a PNG file (ISO/IEC 15948), and the text in such files. */

import { crc32 } from '../js/crc32.js';
import { deflate } from './deflate.js';

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const COLOR = 2;
const COLOR_AND_ALPHA = 6;
const UNFILTERED = 0; // differences between pixels make pictures of cells no smaller
const KEYWORD = 'masked-attention';
const PIXELS_PER_METRE = 96 / 0.0254; // a CSS pixel is 1/96 inch

/**
 * @param {object} image
 * @param {number} image.width
 * @param {number} image.height
 * @param {Uint8Array | Uint8ClampedArray} image.pixels RGBA
 * @param {object} [options]
 * @param {number} [options.scale] pixels per CSS pixel; default 1
 * @param {unknown} [options.metadata] JSON, for an iTXt chunk "masked-attention"
 * @returns {Promise<Uint8Array>} 8 bits per channel, without alpha where all is opaque
 */
export async function encodePng({ width, height, pixels }, { scale = 1, metadata } = {}) {
  const hasAlpha = pixels.some((value, at) => at % 4 === 3 && value !== 255);
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8);
  header.setUint8(9, hasAlpha ? COLOR_AND_ALPHA : COLOR);
  const density = new DataView(new ArrayBuffer(9));
  density.setUint32(0, Math.round(scale * PIXELS_PER_METRE));
  density.setUint32(4, Math.round(scale * PIXELS_PER_METRE));
  density.setUint8(8, 1); // per metre
  return concat([
    Uint8Array.from(SIGNATURE),
    chunk('IHDR', new Uint8Array(header.buffer)),
    chunk('pHYs', new Uint8Array(density.buffer)),
    ...(metadata === undefined ? [] : [chunk('iTXt', textOf(metadata))]),
    chunk('IDAT', await deflate(scanlines(pixels, width, height, hasAlpha ? 4 : 3))),
    chunk('IEND', new Uint8Array(0)),
  ]);
}

/**
 * What `metadata` was when a file was written.
 * @param {Uint8Array} bytes
 * @returns {unknown} undefined where there is none
 * @throws {RangeError} where it is no PNG file, or damaged
 */
export function readPngMetadata(bytes) {
  if (SIGNATURE.some((byte, at) => bytes[at] !== byte)) throw new RangeError('bytes: expected a PNG file');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const intro = `${KEYWORD}\0\0\0\0\0`; // not compressed, without language and translated keyword
  for (let at = SIGNATURE.length; at < bytes.length;) {
    const length = at + 12 <= bytes.length ? view.getUint32(at) : Infinity;
    if (at + 12 + length > bytes.length) throw new RangeError('bytes: a PNG file that is cut off');
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const text = type === 'iTXt' ? new TextDecoder().decode(bytes.subarray(at + 8, at + 8 + length)) : '';
    at += 12 + length;
    if (!text.startsWith(intro)) continue;
    try {
      return JSON.parse(text.slice(intro.length));
    } catch (cause) {
      throw new RangeError('bytes: the settings in the PNG file are damaged', { cause });
    }
  }
  return undefined;
}

function textOf(metadata) {
  return new TextEncoder().encode(`${KEYWORD}\0\0\0\0\0${JSON.stringify(metadata)}`);
}

function scanlines(pixels, width, height, channels) {
  const bytes = new Uint8Array(height * (1 + width * channels));
  for (let y = 0, to = 0; y < height; y++) {
    bytes[to++] = UNFILTERED;
    for (let x = 0, from = 4 * y * width; x < width; x++, from += 4) {
      for (let channel = 0; channel < channels; channel++) bytes[to++] = pixels[from + channel];
    }
  }
  return bytes;
}

function chunk(type, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  for (let n = 0; n < 4; n++) bytes[4 + n] = type.charCodeAt(n);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

function concat(parts) {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
