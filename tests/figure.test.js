// SPDX-License-Identifier: Apache-2.0
// Finished figures: nothing overlaps or is cut off, pixels are those that were looked at (UPDATE_FIGURES=1 writes them
// anew, to be looked at), SVG is well formed, and files say how they were made.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';

import fc from 'fast-check';
import pixelmatch from 'pixelmatch';
import { PNG } from 'pngjs';

import { Drawing } from '../attention-map/drawing.js';
import { figure } from '../attention-map/figure.js';
import { ASCENT, DESCENT, fitText, readOutlines, textWidth } from '../attention-map/font.js';
import { encodePng, readPngMetadata } from '../attention-map/png-file.js';
import { toPng } from '../attention-map/png.js';
import { mergeRuns } from '../attention-map/runs.js';
import { makeScale } from '../attention-map/scale.js';
import { CellState } from '../attention-map/states.js';
import { toSvg } from '../attention-map/svg.js';
import { readSample } from '../web-demo/files/sample.js';
import { withEachInflater } from './calls.js';
import { causal, cellsOf, figures, plain, TOKENS, wave } from './figures.js';

const folder = new URL('vectors/figures/', import.meta.url);
const THRESHOLD = 0.1; // of pixelmatch: how far a colour may be off, as rounding differs between engines
const MOST_DIFFERENT = 0; // pixels

const sampleFile = readFileSync(new URL('../samples/attention.safetensors', import.meta.url));
const { text: sampleText } = readSample(sampleFile);
const FIGURES = figures(sampleFile);

/** The box around a text, [left, top, right, bottom]. */
function boxOf({ x, y, text, size, anchor, rotate }) {
  const width = textWidth(text, size);
  const left = -{ start: 0, middle: 0.5, end: 1 }[anchor] * width;
  if (rotate === 0) return [x + left, y - ASCENT * size, x + left + width, y + DESCENT * size];
  return [x - ASCENT * size, y - left - width, x + DESCENT * size, y - left];
}

/** Throws where text lies on text or on the picture, or anything reaches over the edge. */
function assertTidy({ width, height, shapes }, where) {
  const texts = shapes.filter(({ type }) => type === 'text').map((shape) => [...boxOf(shape), shape]);
  const [cells] = shapes.filter(({ type }) => type === 'image');
  const inPlot = ({ x, y }) => x > cells.x && x < cells.x + cells.width && y > cells.y && y < cells.y + cells.height;
  for (const [n, [left, top, right, bottom, shape]] of texts.entries()) {
    const what = `${where}: '${shape.text}'`;
    assert.ok(left >= 0 && top >= 0 && right <= width && bottom <= height, `${what} is cut off`);
    for (const [otherLeft, otherTop, otherRight, otherBottom, other] of texts.slice(n + 1)) {
      const overlap = [
        Math.min(right, otherRight) - Math.max(left, otherLeft),
        Math.min(bottom, otherBottom) - Math.max(top, otherTop),
      ];
      // Ascenders of one line may reach into the descenders of another: of digits and most words neither is there.
      assert.ok(overlap[0] <= 0.5 || overlap[1] <= 0.3 * shape.size, `${what} and '${other.text}' overlap`);
    }
    const isNumber = inPlot(shape);
    const touches =
      right > cells.x && left < cells.x + cells.width && bottom > cells.y + 1 && top < cells.y + cells.height - 1;
    assert.ok(isNumber || !touches, `${what} lies on the picture`);
  }
  for (const shape of shapes.filter(({ type }) => type === 'image' || type === 'rect')) {
    assert.ok(shape.x >= 0 && shape.y >= 0 && shape.width > 0 && shape.height > 0, `${where}: ${shape.type}`);
    assert.ok(shape.x + shape.width <= width && shape.y + shape.height <= height, `${where}: ${shape.type}`);
  }
  const numbers = JSON.stringify(shapes.map(({ pixels: _, ...shape }) => shape));
  assert.doesNotMatch(numbers, /null/, `${where}: a number is none`);
}

test('figures: nothing overlaps, nothing is cut off', () => {
  for (const [name, options] of Object.entries(FIGURES)) assertTidy(figure(options), name);
  const sides = fc.constantFrom(1, 2, 3, 7, 15, 38, 64, 100, 333);
  const words = fc.constantFrom(
    '',
    'word',
    'a longer title that has some words',
    'x'.repeat(200),
    'many words '.repeat(40),
  );
  const any = fc.record({
    ...{
      rows: sides,
      columns: sides,
      first: fc.constantFrom(0, 5, 99_999),
      width: fc.constantFrom(240, 320, 640, 1200),
    },
    ...{ hasTokens: fc.boolean(), numbers: fc.boolean(), legend: fc.boolean(), title: words, subtitle: words },
    ...{ kind: fc.constantFrom('linear', 'power', 'log', 'percentile'), range: fc.constantFrom('head', 'row') },
    ...{ show: fc.constantFrom('weights', 'scores', 'mask'), level: fc.constantFrom(0, 3) },
    high: fc.constantFrom(1, 3e-7, 12345),
  });
  const check = ({ rows, columns, first, hasTokens, kind, high, level, ...options }) => {
    const list = Array.from({ length: first + Math.max(rows, columns) }, (_, n) => TOKENS[n % TOKENS.length]);
    const stateOf = (row, column) => (column > row + 9 ? CellState.SKIPPED : causal(row, column));
    const made = figure({
      ...options,
      level,
      cells: cellsOf(rows, columns, wave, stateOf),
      rows: [first * 2 ** level, (first + rows) * 2 ** level],
      columns: [0, columns * 2 ** level],
      tokens: hasTokens ? { queries: list, keys: list } : undefined,
      scale: makeScale({ kind, min: 0, max: high, largest: 2 * high, quantiles: [0, high / 9, high] }),
      rowMax: new Float32Array(rows).fill(1),
    });
    assertTidy(made, JSON.stringify({ rows, columns, first, hasTokens, kind, high, level, ...options }));
  };
  fc.assert(fc.property(any, check), { numRuns: 150 });
  assert.throws(() => assertTidy({ ...figure(FIGURES.tokens), width: 300 }, 'narrower'), /is cut off/);
});

test('figures: cells are whole pixels, square where there are enough, and hatched where masked', () => {
  const { shapes } = figure(FIGURES['sample-light']);
  const cells = shapes.find(({ type }) => type === 'image');
  assert.equal(cells.width / cells.columns, cells.height / cells.rows);
  assert.ok(Number.isInteger(cells.width / cells.columns));
  assert.ok(shapes.some(({ type }) => type === 'hatch'));
  const labels = shapes.filter(({ type, rotate }) => type === 'text' && rotate === 0).map(({ text }) => text);
  assert.ok(
    ['masked out', 'skipped block of 64 × 64', sampleText, 'key (what is looked at)'].every((text) =>
      labels.includes(text),
    ),
  );
  const texts = (options) =>
    figure(options)
      .shapes.filter(({ type }) => type === 'text')
      .map(({ text }) => text);
  assert.ok(!texts({ ...FIGURES['sample-light'], legend: false }).includes('masked out'));
  assert.ok(texts(FIGURES['sample-dark']).includes('> 0.06'), 'what is clipped is told');
  assert.ok(texts(FIGURES.coarse).some((text) => text.startsWith('A pixel is a block of 512 × 512 cells')));
  assert.ok(texts(FIGURES.scores).includes('not a number'));
  const numbers = (options) => texts(options).filter((text) => /^(\.\d\d\d?|1|0|≈0)$/.test(text)).length;
  assert.ok(numbers(plain(9, 9, { numbers: true })) >= 45 && numbers(plain(100, 100, { numbers: true })) < 20);
});

test('figures: what is wrong is named', () => {
  const wrong = [
    [{ row: [0, 1] }, /^TypeError: row: unknown option; did you mean rows\?/],
    [{ rows: [0, 9] }, /^RangeError: rows: expected the rows of cells, 4 at level 0, got 0,9/],
    [{ columns: undefined }, /^RangeError: columns: /],
    [{ theme: 'sepia' }, /^RangeError: theme: expected light or dark, got sepia/],
    [{ show: 'sizes' }, /^RangeError: show: expected weights or scores or mask/],
    [{ ramp: 'jet' }, /^RangeError: ramp: expected one of viridis/],
    [{ range: 'row' }, /^RangeError: rowMax: expected 4 values with range row, got undefined/],
    [{ width: 10 }, /^RangeError: width: expected an integer >= 240, got 10/],
    [{ scale: 'log' }, /^TypeError: scale: expected what makeScale returns/],
  ];
  for (const [options, message] of wrong) assert.throws(() => figure(plain(4, 4, options)), message);
});

for (const [name, options] of Object.entries(FIGURES)) {
  test(`PNG: ${name} looks as it did`, async () => {
    const bytes = await toPng(figure(options));
    const path = new URL(`${name}.png`, folder);
    if (process.env.UPDATE_FIGURES) {
      mkdirSync(folder, { recursive: true });
      const packed = { colorType: 2, deflateLevel: 9, deflateStrategy: 0, filterType: 0 };
      writeFileSync(path, PNG.sync.write(PNG.sync.read(Buffer.from(bytes)), packed));
    }
    const [actual, expected] = [bytes, readFileSync(path)].map((file) => PNG.sync.read(Buffer.from(file)));
    assert.deepEqual([actual.width, actual.height], [expected.width, expected.height]);
    const { width, height } = actual;
    const different = pixelmatch(actual.data, expected.data, undefined, width, height, {
      threshold: THRESHOLD,
      includeAA: true,
    });
    assert.ok(different <= MOST_DIFFERENT, `${different} pixels differ`);
  });
}

test('PNG: at other sizes the same picture, with its density and its settings', async () => {
  const made = figure(FIGURES.mask);
  const metadata = { maskers: [{ name: 'sink', size: 4 }], title: 'Ünïcode — 注意' };
  const sizes = [];
  for (const scale of [1, 2, 4]) {
    const bytes = await toPng(made, { scale, metadata });
    const { width, height, data } = PNG.sync.read(Buffer.from(bytes));
    assert.deepEqual([width, height], [scale * made.width, scale * made.height]);
    assert.deepEqual(readPngMetadata(bytes), metadata);
    const at = Buffer.from(bytes).indexOf('pHYs');
    sizes.push(new DataView(bytes.buffer, bytes.byteOffset).getUint32(at + 4));
    const cells = made.shapes.find(({ type }) => type === 'image');
    const corner = 4 * (Math.floor((cells.y + 3) * scale) * width + Math.floor((cells.x + 3) * scale));
    assert.deepEqual([...data.subarray(corner, corner + 3)], [...cells.pixels.subarray(0, 3)], 'the first cell');
  }
  assert.deepEqual(sizes, [3780, 7559, 15118], 'pixels per metre');
  await assert.rejects(toPng(made, { scale: 3 }), /^RangeError: scale: expected 1, 2, 4, got 3/);
  assert.equal(readPngMetadata(await toPng(made)), undefined);
});

test('PNG: the same pixels by zlib and by streams; alpha stays; files that are none are refused', async () => {
  const pixels = Uint8ClampedArray.from({ length: 4 * 30 }, (_, n) => (n * 37) % 256);
  await withEachInflater(async () => {
    const bytes = await encodePng({ width: 6, height: 5, pixels }, { metadata: { a: 1 } });
    assert.deepEqual([...PNG.sync.read(Buffer.from(bytes)).data], [...pixels]);
    assert.throws(() => readPngMetadata(bytes.subarray(0, 60)), /^RangeError: bytes: a PNG file that is cut off/);
    const damaged = bytes.slice();
    damaged[Buffer.from(bytes).indexOf('{"a":1}')] = 120;
    assert.throws(() => readPngMetadata(damaged), /settings in the PNG file are damaged/);
  });
  assert.throws(() => readPngMetadata(new Uint8Array(50)), /^RangeError: bytes: expected a PNG file/);
});

test('drawing: areas are covered by as much as shapes cover', () => {
  const coverOf = (draw) => {
    const drawing = new Drawing(20, 20);
    draw(drawing);
    let sum = 0;
    for (let at = 0; at < drawing.pixels.length; at += 4) sum += 1 - drawing.pixels[at] / 255;
    return sum;
  };
  const black = [0, 0, 0];
  const triangle = [
    [2.3, 3.1],
    [15.7, 5.2],
    [7.5, 17.9],
  ];
  const area = Math.abs((13.4 * 14.8 - 5.2 * 2.1) / 2);
  const near = (actual, expected) => assert.ok(Math.abs(actual - expected) < 0.3, `${actual}, not ${expected}`);
  near(
    coverOf((drawing) => drawing.fill([triangle], black)),
    area,
  );
  near(
    coverOf((drawing) => drawing.fill([[...triangle].reverse()], black)),
    area,
  );
  near(
    coverOf((drawing) => drawing.rect(1.25, 2.5, 9.75, 4.25, black)),
    8.5 * 1.75,
  );
  near(
    coverOf((drawing) => drawing.fill([triangle.map(([x, y]) => [x + 30, y])], black)),
    0,
  );
  const hatch = { period: 4, width: Math.SQRT1_2, color: black };
  near(coverOf((drawing) => drawing.hatch(0, 0, 20, 20, hatch)) / 400, Math.SQRT1_2 / (4 / Math.SQRT2) - 0.01);
  const checks = Uint8ClampedArray.from({ length: 4 * 1600 }, (_, n) => (n % 4 === 3 || (n >> 2) % 2 === 0 ? 255 : 0));
  near(coverOf((drawing) => drawing.image(0, 0, 20, 20, { rows: 40, columns: 40, pixels: checks })) / 400, 0.5);
});

test('font: widths add up, text is cut to fit, every character that is promised has an outline', () => {
  assert.ok(textWidth('iiii', 10) < textWidth('mmmm', 10));
  assert.equal(textWidth('ab', 20), textWidth('a', 20) + textWidth('b', 20));
  assert.deepEqual([textWidth('\u0301\u200d', 10), textWidth('世', 10)], [0, 10], 'marks have no width, others one em');
  assert.equal(fitText('short', 10, 100), 'short');
  const cut = fitText('a much longer piece of text', 10, 60);
  assert.match(cut, /^a much.*…$/);
  assert.ok(textWidth(cut, 10) <= 60);
  const outlines = readOutlines();
  const codes = [...Array(0x17f).keys()].filter(
    (code) => (code > 0x20 && code < 0x7f) || (code > 0xa0 && code < 0x100 && code !== 0xad),
  );
  const greek = 'ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩαβγδεζηθικλμνξοπρςστυφχψω';
  const box = JSON.stringify(outlines('世'));
  for (const character of [...String.fromCodePoint(...codes), ...greek, ...'←↑→↓Ġ▁␣↵≤≥≈−×∞√∑']) {
    const contours = outlines(character);
    assert.ok(contours.length > 0 && JSON.stringify(contours) !== box, character);
    const points = contours.flat();
    assert.ok(
      points.every(({ x, y }) => x > -0.2 && x < 1.3 && y > -0.4 && y < 1.2),
      character,
    );
  }
});

test('runs: cells are covered once, by few rectangles', () => {
  const grid = fc.array(fc.constantFrom(0, 1, undefined), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(grid, fc.integer({ min: 1, max: 9 }), (keys, columns) => {
      const rows = Math.ceil(keys.length / columns);
      const covered = new Array(rows * columns).fill(undefined);
      for (const run of mergeRuns(rows, columns, (at) => keys[at])) {
        for (let row = run.row; row < run.row + run.rows; row++) {
          for (let column = run.column; column < run.column + run.columns; column++) {
            assert.equal(covered[row * columns + column], undefined, 'twice');
            covered[row * columns + column] = run.key;
          }
        }
      }
      assert.deepEqual(
        covered,
        Array.from(covered, (_, at) => keys[at]),
      );
    }),
  );
  assert.equal(mergeRuns(50, 50, () => 7).length, 1);
  assert.equal(mergeRuns(3, 3, (at) => (at % 3 <= Math.floor(at / 3) ? 1 : 2)).length, 5);
});

/** Elements of an SVG file; throws unless they are closed in order and their text is escaped. */
function parseXml(text) {
  const open = [];
  const elements = [];
  for (const [, content, tag] of text.matchAll(/([^<]*)<([^>]*)>/g)) {
    assert.doesNotMatch(content, /&(?!#\d+;)|>/);
    if (elements.length > 0) elements.at(-1).after = content;
    const [, closing, name, rest, empty] =
      /^(\/?)([a-z]+)((?: [a-z0-9:-]+="[^"<&]*")*)(\/?)$/i.exec(tag) ?? assert.fail(`not a tag: <${tag}>`);
    if (closing) assert.equal(open.pop(), name);
    else if (!empty) open.push(name);
    const attributes = Object.fromEntries(
      [...rest.matchAll(/ ([a-z0-9:-]+)="([^"]*)"/gi)].map(([, key, value]) => [key, value]),
    );
    elements.push({ name: closing + name, attributes });
  }
  assert.deepEqual(open, []);
  return elements.filter(({ name }) => !name.startsWith('/'));
}

const unescape = (text) => text.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(code));

test('SVG: well formed, all text is text, settings in the metadata, the same every time', async () => {
  for (const [name, options] of Object.entries(FIGURES)) {
    const made = figure({ ...options, title: `<"A" & 'B'> \u0000\ud800 ${name}` });
    const metadata = { text: '</metadata><script>&"', list: [1, 2] };
    const svg = await toSvg(made, { metadata });
    assert.equal(svg, await toSvg(figure({ ...options, title: `<"A" & 'B'> \u0000\ud800 ${name}` }), { metadata }));
    assert.doesNotMatch(svg, /NaN|undefined|Infinity|<script|style=|[\0\ud800-\udbff](?![\udc00-\udfff])/);
    const elements = parseXml(svg);
    const [root] = elements;
    assert.deepEqual([root.name, root.attributes.viewBox], ['svg', `0 0 ${made.width} ${made.height}`]);
    const texts = elements.filter(({ name: tag }) => tag === 'text').map(({ after }) => unescape(after));
    assert.equal(texts.length, made.shapes.filter(({ type }) => type === 'text').length);
    assert.equal(
      texts[0],
      `<"A" & 'B'> \ufffd\ufffd ${name}`.replace(/\ufffd\ufffd/, (mark) => mark),
    );
    assert.deepEqual(JSON.parse(unescape(elements.find(({ name: tag }) => tag === 'metadata').after)), metadata);
    assert.match(
      elements.find(({ name: tag }) => tag === 'desc').after,
      /^Attention (weights|scores|mask) of queries \d+ to \d+/,
    );
    assert.equal(
      elements.some(({ name: tag }) => tag === 'image'),
      name === 'coarse',
      'few cells are rectangles',
    );
  }
});

test('SVG: rectangles show each cell where it is; many cells are a picture of as many pixels', async () => {
  const made = figure(FIGURES.mask);
  const cells = made.shapes.find(({ type }) => type === 'image');
  const elements = parseXml(await toSvg(made));
  const from = elements.findIndex(({ name }) => name === 'g');
  const side = cells.width / cells.columns;
  const drawn = new Array(cells.rows * cells.columns).fill('');
  for (const { name, attributes } of elements.slice(from + 1)) {
    if (name !== 'rect') break;
    const { x, y, width, height } = Object.fromEntries(
      Object.entries(attributes).map(([key, value]) => [key, Number(value)]),
    );
    for (let row = (y - cells.y) / side; row < (y - cells.y + height) / side; row++) {
      for (let column = (x - cells.x) / side; column < (x - cells.x + width) / side; column++) {
        drawn[row * cells.columns + column] += attributes.fill;
      }
    }
  }
  const colors = drawn.map((_, n) => `#${Buffer.from(cells.pixels.subarray(4 * n, 4 * n + 3)).toString('hex')}`);
  assert.deepEqual(drawn, colors);

  const large = figure(FIGURES.coarse);
  const { attributes } = parseXml(await toSvg(large)).find(({ name }) => name === 'image');
  const { width, height, data } = PNG.sync.read(Buffer.from(attributes.href.split(',')[1], 'base64'));
  assert.deepEqual([width, height, attributes['image-rendering']], [196, 196, 'pixelated']);
  assert.deepEqual([...data], [...large.shapes.find(({ type }) => type === 'image').pixels]);
});
