// SPDX-License-Identifier: Apache-2.0
/** What is visible, as the options from which figure.js makes a figure. */
import { makeScale } from './scale.js';

const SIDE = 1024; // pixels along the longer side, at most

/** The range of parts: of a row's largest, or of a pixel's cells that are kept. */
const PARTS = { min: 0, max: 1, quantiles: [0, 1] };

/**
 * @param {{ show: string, scale: string, exponent: number, decades: number, range: 'head' | 'row' }} options of the
 * element
 * @param {{ min: number, max: number, quantiles: Float32Array }} statistics of the head
 * @returns {object} what makeScale takes
 */
export function scaleOptions({ show, scale: kind, exponent, decades, range }, statistics) {
  if (show === 'mask') return { kind: 'linear', ...PARTS };
  return { kind, exponent, decades, ...(range === 'row' ? PARTS : statistics) };
}

/**
 * @param {object} source
 * @param {object} options of the element
 * @param {{ rows: [number, number], columns: [number, number] }} visible
 * @param {[number, number]} shape [sq, sk]
 * @returns {Promise<object>} cells, level, rows, columns, title, show, scale, ramp, range, rowMax, rowMin, highlight
 */
export async function figureOptions(source, options, { rows, columns }, [queries, keys]) {
  const { batch, head, show, range, skipKeys, colors, label, highlight } = options;
  const longest = Math.max(rows[1] - rows[0], columns[1] - columns[0]);
  const level = Math.max(0, Math.ceil(Math.log2(longest / SIDE)));
  const size = 2 ** level;
  const pixels = ([begin, end]) => [Math.floor(begin / size), Math.ceil(end / size)];
  const whole = (span, count) => pixels(span).map((pixel) => Math.min(count, pixel * size));
  const isByRow = range === 'row' && show !== 'mask';
  const common = { batch, head, show };
  const [cells, statistics, maxima] = await Promise.all([
    source.read({ ...common, level, rows: pixels(rows), columns: pixels(columns) }),
    isByRow || show === 'mask' ? undefined : source.statistics({ ...common, skipKeys }),
    isByRow ? source.rowStatistics({ ...common, skipKeys, level, rows: pixels(rows) }) : undefined,
  ]);
  return {
    cells,
    level,
    rows: whole(rows, queries),
    columns: whole(columns, keys),
    title: label,
    show,
    scale: makeScale(scaleOptions(options, statistics)),
    ramp: colors,
    range: isByRow ? 'row' : 'head',
    rowMax: maxima?.max,
    rowMin: isByRow && show === 'scores' ? maxima.min : undefined,
    highlight,
  };
}
