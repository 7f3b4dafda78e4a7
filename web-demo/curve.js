// SPDX-License-Identifier: Apache-2.0
/** The picture of a sweep: output error over the share of the cells that are kept, one dot for each setting. */

const SVG = 'http://www.w3.org/2000/svg';
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [360, 200, 44, 34, 12, 12];

/**
 * @param {SVGElement} svg
 * @param {{ density: number, outputError: number }[]} points
 * @param {(share: number) => string} percent
 */
export function drawCurve(svg, points, percent) {
  const most = Math.max(...points.map(({ outputError }) => outputError), Number.MIN_VALUE);
  const x = (density) => LEFT + density * (WIDTH - LEFT - RIGHT);
  const y = (error) => HEIGHT - BOTTOM - (error / most) * (HEIGHT - BOTTOM - TOP);
  svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
  svg.replaceChildren(
    ...[0, 0.5, 1].flatMap((share) => [
      node('line', { x1: x(share), x2: x(share), y1: y(0), y2: y(most), class: 'grid' }),
      node('text', { x: x(share), y: HEIGHT - BOTTOM + 14, 'text-anchor': share === 1 ? 'end' : 'middle' }, percent(share)),
      node('line', { x1: x(0), x2: x(1), y1: y(share * most), y2: y(share * most), class: 'grid' }),
      node('text', { x: LEFT - 5, y: y(share * most) + 4, 'text-anchor': 'end' }, share === 0 ? '0' : percent(round(share * most))),
    ]),
    node('text', { x: x(0.5), y: HEIGHT - 4, 'text-anchor': 'middle' }, 'cells kept'),
    node('text', { x: x(1) - 4, y: TOP + 14, 'text-anchor': 'end' }, 'output error'),
    node('polyline', { points: points.map((point) => `${x(point.density)},${y(point.outputError)}`).join(' ') }),
    ...points.map((point) => {
      const dot = node('circle', { cx: x(point.density), cy: y(point.outputError), r: 4 });
      const text = `${percent(round(point.density))} kept: error ${percent(round(point.outputError))}`;
      dot.append(node('title', {}, text));
      return dot;
    }),
  );
}

function round(value) {
  return Number(value.toPrecision(2));
}

function node(name, attributes, text = '') {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}
