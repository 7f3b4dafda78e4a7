// SPDX-License-Identifier: Apache-2.0

/** A surface of opaque pixels that shapes are drawn on, with smooth edges; the same pixels everywhere. */

export class Drawing {
  /** @param {number} width pixels @param {number} height */
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.pixels = new Uint8ClampedArray(4 * width * height).fill(255);
  }

  /** A rectangle; edges within pixels cover them in part. */
  rect(x0, y0, x1, y1, color) {
    for (const [y, high] of this.#span(y0, y1, this.height)) {
      for (const [x, wide] of this.#span(x0, x1, this.width)) this.#blend(x, y, color, wide * high);
    }
  }

  /**
   * Closed lines, filled where they wind around a point.
   * @param {[number, number][][]} contours
   */
  fill(contours, color) {
    const points = contours.flat();
    if (points.length === 0) return;
    const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
    const left = Math.floor(Math.min(...xs));
    const top = Math.floor(Math.min(...ys));
    const width = Math.ceil(Math.max(...xs)) - left + 2;
    const height = Math.ceil(Math.max(...ys)) - top + 1;
    const areas = new Float64Array(width * height);
    for (const contour of contours) {
      contour.forEach(([x, y], n) => {
        const [fromX, fromY] = contour.at(n - 1);
        addEdge(areas, width, fromX - left, fromY - top, x - left, y - top);
      });
    }
    for (let y = 0; y < height; y++) {
      let sum = 0;
      for (let x = 0; x < width; x++) {
        sum += areas[y * width + x];
        if (Math.abs(sum) > 1e-4) this.#blend(left + x, top + y, color, Math.min(1, Math.abs(sum)));
      }
    }
  }

  /** Lines rising at 45 degrees within a rectangle, `period` apart along x; those of all rectangles join. */
  hatch(x0, y0, x1, y1, { period, width, color }) {
    for (const [y, high] of this.#span(y0, y1, this.height)) {
      for (const [x, wide] of this.#span(x0, x1, this.width)) {
        const along = (x + y + 1) / period;
        const distance = (Math.abs(along - Math.round(along)) * period) / Math.SQRT2;
        const cover = Math.min(1, Math.max(0, (width + 1) / 2 - distance)) * Math.min(1, width);
        if (cover > 0) this.#blend(x, y, color, cover * wide * high);
      }
    }
  }

  /**
   * RGBA pixels over a rectangle, with sharp edges where they become larger; where they become smaller, a pixel here is
   * the mean of those it covers. What has alpha 0 is not drawn.
   */
  image(x0, y0, x1, y1, { rows, columns, pixels }) {
    const [right, bottom] = [Math.round(x1), Math.round(y1)];
    const [left, top] = [Math.round(x0), Math.round(y0)];
    const across = Array.from({ length: right - left }, (_, x) => sourcesOf(x, right - left, columns));
    const down = Array.from({ length: bottom - top }, (_, y) => sourcesOf(y, bottom - top, rows));
    down.forEach((rowsHere, y) => {
      across.forEach((columnsHere, x) => {
        const color = [0, 0, 0];
        let weight = 0;
        for (const [row, high] of rowsHere) {
          for (const [column, wide] of columnsHere) {
            const at = 4 * (row * columns + column);
            const part = (high * wide * pixels[at + 3]) / 255;
            for (let channel = 0; channel < 3; channel++) color[channel] += part * pixels[at + channel];
            weight += part;
          }
        }
        const mean = color.map((sum) => sum / weight);
        if (weight > 0) this.#blend(left + x, top + y, mean, Math.min(1, weight));
      });
    });
  }

  /** The pixels of a stretch and how much of each it covers. */
  *#span(from, to, limit) {
    for (let at = Math.max(0, Math.floor(from)); at < Math.min(limit, Math.ceil(to)); at++) {
      const covered = Math.min(at + 1, to) - Math.max(at, from);
      if (covered > 0) yield [at, covered];
    }
  }

  #blend(x, y, color, cover) {
    if (x < 0 || y < 0 || x >= this.width || y >= this.height) return;
    const at = 4 * (y * this.width + x);
    for (let channel = 0; channel < 3; channel++) {
      this.pixels[at + channel] += cover * (color[channel] - this.pixels[at + channel]);
    }
  }
}

/** Which of `count` pixels the pixel `at` of `size` shows, with their parts of it, which add up to 1. */
function sourcesOf(at, size, count) {
  if (count <= size) return [[Math.floor(((at + 0.5) * count) / size), 1]];
  const [from, to] = [(at * count) / size, ((at + 1) * count) / size];
  const sources = [];
  for (let n = Math.floor(from); n < Math.min(count, Math.ceil(to)); n++) {
    sources.push([n, (Math.min(n + 1, to) - Math.max(n, from)) / (to - from)]);
  }
  return sources;
}

/**
 * Adds an edge to signed areas, of which running sums along a row are how much of each pixel the outline covers. After
 * "font-rs" (Raph Levien, 2016): https://raphlinus.github.io/rust/graphics/2016/07/13/font-raster.html
 */
function addEdge(areas, width, x0, y0, x1, y1) {
  if (y0 === y1) return;
  const direction = y0 < y1 ? 1 : -1;
  const [topX, topY, bottomX, bottomY] = y0 < y1 ? [x0, y0, x1, y1] : [x1, y1, x0, y0];
  const slope = (bottomX - topX) / (bottomY - topY);
  let x = topX;
  for (let y = Math.floor(topY); y < Math.ceil(bottomY); y++) {
    const high = Math.min(y + 1, bottomY) - Math.max(y, topY);
    const next = x + slope * high;
    const area = direction * high;
    const [left, right] = x < next ? [x, next] : [next, x];
    const first = Math.floor(left);
    const last = Math.ceil(right);
    const at = y * width + first;
    if (last <= first + 1) {
      const middle = (left + right) / 2 - first;
      areas[at] += area * (1 - middle);
      areas[at + 1] += area * middle;
    } else {
      const each = 1 / (right - left);
      const begin = 1 - (left - first);
      const end = right - last + 1;
      const firstArea = 0.5 * each * begin * begin;
      const lastArea = 0.5 * each * end * end;
      areas[at] += area * firstArea;
      if (last === first + 2) {
        areas[at + 1] += area * (1 - firstArea - lastArea);
      } else {
        const second = each * (begin + 0.5);
        areas[at + 1] += area * (second - firstArea);
        for (let n = 2; n < last - first - 1; n++) areas[at + n] += area * each;
        areas[at + last - first - 1] += area * (1 - second - (last - first - 3) * each - lastArea);
      }
      areas[at + last - first] += area * lastArea;
    }
    x = next;
  }
}
