// SPDX-License-Identifier: Apache-2.0
/** The two canvases: the cells, which change when the view does, and what lies over them, which changes more often. */
import { drawAxes } from './axes.js';
import {
  NUMBER_ZOOM, drawCursor, drawHandle, drawHatches, drawHighlights, drawNumbers, drawSkippedOutlines,
} from './marks.js';
import { paintTiles } from './painting.js';
import { rampColors } from './raster.js';

/**
 * @typedef {object} Scene the element's options, and
 * @property {import('./theme.js').Theme} theme
 * @property {{ left: number, top: number, width: number, height: number }} plot
 * @property {{ x: number, y: number, k: number }} transform
 * @property {number} ratio device pixels per CSS pixel
 * @property {{ width: number, height: number }} stage CSS pixels
 * @property {[number, number]} shape [sq, sk]
 * @property {{ rows: [number, number], columns: [number, number] }} visible
 * @property {{ queries?: string[], keys?: string[] }} tokens
 * @property {object[]} tiles that cover the plot, as paintTiles takes them, with `top` and `get`
 * @property {object[]} chunks of single cells that have come
 * @property {{ masked: CanvasPattern, skipped: CanvasPattern }} patterns
 * @property {{ position(value: number): number }} [made] the scale
 * @property {{ query: number, key: number }} [cursor]
 * @property {boolean} isLocked
 * @property {{ rows: number[], columns: number[] }} [draft] what is being drawn
 * @property {object} [handle] see handles.js
 */

/** Tiles, hatches and numbers. @param {CanvasRenderingContext2D} context @param {Scene} scene */
export function paintCells(context, scene) {
  const { ratio, plot, chunks, transform, show, range, made } = scene;
  context.setTransform(1, 0, 0, 1, 0, 0);
  paintTiles(context, scene);
  if (chunks.length === 0) return;
  context.save();
  context.beginPath();
  context.rect(ratio * plot.left, ratio * plot.top, ratio * plot.width, ratio * plot.height);
  context.clip();
  drawHatches(context, scene);
  context.scale(ratio, ratio);
  drawSkippedOutlines(context, scene);
  if (transform.k >= NUMBER_ZOOM && show !== 'mask' && made) {
    const colors = rampColors(scene.colors);
    const colorOf = (value, low, high) => {
      const position = made.position(range === 'row' && high > low ? (value - low) / (high - low) : value);
      return colors.subarray(3 * Math.round(255 * position));
    };
    drawNumbers(context, { ...scene, colorOf });
  }
  context.restore();
}

/** Axes, cross-hair, outlines and handle. @param {CanvasRenderingContext2D} context @param {Scene} scene */
export function drawMarks(context, scene) {
  const { ratio, plot, transform: { x, y, k }, shape, tool, highlight, cursor, draft, handle } = scene;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  context.scale(ratio, ratio);
  drawAxes(context, scene);
  // Marks end where the picture ends, also where it is smaller than the plot.
  const [left, top] = [Math.max(plot.left, x), Math.max(plot.top, y)];
  const picture = {
    left,
    top,
    width: Math.min(plot.left + plot.width, x + k * shape[1]) - left,
    height: Math.min(plot.top + plot.height, y + k * shape[0]) - top,
  };
  context.save();
  context.beginPath();
  context.rect(left - 1, top - 1, picture.width + 2, picture.height + 2);
  context.clip();
  if (cursor) drawCursor(context, { ...scene, plot: picture });
  const drawn = draft ? [{ ...draft, kind: tool === 'erase' ? 'drop' : 'keep' }] : [];
  drawHighlights(context, { ...scene, highlight: [...highlight, ...drawn] });
  if (handle) drawHandle(context, { ...scene, plot: picture });
  context.restore();
}
