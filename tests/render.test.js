// SPDX-License-Identifier: Apache-2.0
// masked-attention render as its users meet it: child processes, files, exit codes, and each flag at least once.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { PNG } from 'pngjs';

import { readPngMetadata } from '../attention-map/png.js';
import { rampColors } from '../attention-map/raster.js';
import { makeScale } from '../attention-map/scale.js';
import { THEMES } from '../attention-map/themes.js';
import { FLAGS } from '../cli/flags.js';
import { createAttention, Mask } from '../js/index.js';
import { writeNpy } from '../js/npy.js';
import { formatSafetensors } from '../js/safetensors.js';
import { writeZip } from '../js/zip.js';

const bin = fileURLToPath(new URL('../bin/masked-attention.js', import.meta.url));
const samples = fileURLToPath(new URL('../samples/attention.safetensors', import.meta.url));
const [B, H, HK, SQ, SK, D] = [2, 4, 2, 6, 40, 8];
const used = new Set(); // flags that some test has passed to a command that succeeded

let folder, attention, problem;

const at = (name) => join(folder, name);
const read = (name) => readFileSync(at(name), 'utf8');
const unescape = (text) => text.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(code));
const settingsOf = (svg) => JSON.parse(unescape(/<metadata>(.*)<\/metadata>/.exec(svg)[1]));
const textsOf = (svg) => [...svg.matchAll(/<text[^>]*>([^<]*)</g)].map(([, text]) => unescape(text));

function cli(...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, 'render', ...args], {
    cwd: folder,
    encoding: 'utf8',
  });
  if (status === 0) for (const arg of args) if (/^--?[a-z]/.test(arg)) used.add(arg.replace(/=.*/, ''));
  return { status, stdout, stderr };
}

/** A picture of some flags, as text of SVG; nothing is printed. */
function draw(...args) {
  const { status, stdout, stderr } = cli(...args, '-o', 'out.svg');
  assert.deepEqual([status, stdout, stderr], [0, '', ''], args.join(' '));
  return read('out.svg');
}

function fails(status, message, ...args) {
  const result = cli(...args);
  assert.match(result.stderr, message, args.join(' '));
  assert.match(result.stderr, /^masked-attention: [^\n]+\n$/);
  assert.deepEqual([result.status, result.stdout], [status, ''], args.join(' '));
}

const tensor = (dims, f) => ({
  data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, n) => f(n)),
  ...{ dims, dtype: 'float32' },
});
const npy = ({ data, dims }) => writeNpy('<f4', dims, data);

/** The colours that a picture of few cells has, row-major: `#rrggbb` of each. */
function cellsOf(svg, rows, columns) {
  const [, group] = /<g shape-rendering="crispEdges">(.*?)<\/g>/.exec(svg);
  const rects = [...group.matchAll(/<rect x="(.*?)" y="(.*?)" width="(.*?)" height="(.*?)" fill="(.*?)"/g)];
  const boxes = rects.map(([, x, y, width, height, fill]) => ({ box: [x, y, width, height].map(Number), fill }));
  const [left, top] = [0, 1].map((axis) => Math.min(...boxes.map(({ box }) => box[axis])));
  const [right, bottom] = [0, 1].map((axis) => Math.max(...boxes.map(({ box }) => box[axis] + box[axis + 2])));
  return Array.from({ length: rows * columns }, (_, n) => {
    const x = left + ((n % columns) + 0.5) * ((right - left) / columns);
    const y = top + (Math.floor(n / columns) + 0.5) * ((bottom - top) / rows);
    return boxes.find(({ box }) => x > box[0] && x < box[0] + box[2] && y > box[1] && y < box[1] + box[3]).fill;
  });
}

const hex = (bytes) => `#${Buffer.from(bytes).toString('hex')}`;

/** What the colours of weights should be: of one head, in a range of queries and keys. */
function expectedOf(weights, isKept, { scale, ramp = 'viridis', theme = 'light', rows = [0, SQ], columns = [0, SK] }) {
  const colors = rampColors(ramp);
  const cells = [];
  for (let i = rows[0]; i < rows[1]; i++) {
    for (let j = columns[0]; j < columns[1]; j++) {
      const step = Math.round(255 * scale.position(weights[i * SK + j]));
      cells.push(hex(isKept(i, j) ? colors.subarray(3 * step, 3 * step + 3) : THEMES[theme].masked));
    }
  }
  return cells;
}

function headOf({ data }, batch, head) {
  const from = (batch * H + head) * SQ * SK;
  return data.subarray(from, from + SQ * SK);
}

function assertClose(actual, expected, what) {
  const off = actual.map((color, n) =>
    Math.max(
      ...[1, 3, 5].map((from) =>
        Math.abs(parseInt(color.slice(from, from + 2), 16) - parseInt(expected[n].slice(from, from + 2), 16)),
      ),
    ),
  );
  const worst = off.indexOf(Math.max(...off));
  assert.ok(off[worst] <= 4, `${what}: cell ${worst} is ${actual[worst]}, not ${expected[worst]}`);
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'attn-render-'));
  attention = await createAttention({ variant: 'base' });
  problem = {
    queries: tensor([B, H, SQ, D], (n) => 2 * Math.sin(n * n)),
    keys: tensor([B, HK, SK, D], (n) => Math.sin(1.3 * n * n)),
    values: tensor([B, HK, SK, D], (n) => Math.cos(n)),
  };
  for (const [name, value] of Object.entries(problem)) writeFileSync(at(`${name[0]}.npy`), npy(value));
  const named = Object.entries(problem).map(([name, value]) => [`${name}.npy`, npy(value)]);
  writeFileSync(at('in.npz'), writeZip(named));
});
after(() => {
  attention?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const weightsOf = (options) =>
  attention.getMaskedAttentionOutput({ ...problem, ...options, returnAttentionWeights: true }).weights;

test('render: the weights of a head, from files in order, by flag and in one', () => {
  const weights = headOf(weightsOf({ causal: true, queryOffset: 30 }), 1, 2);
  const max = Math.max(...weights);
  const flags = ['--causal', '--query-offset', '30', '--batch', '1', '--head', '2', '--variant', 'base'];
  const svg = draw('q.npy', 'k.npy', ...flags);
  const scale = makeScale({ kind: 'power', min: 1e-9, max });
  assertClose(
    cellsOf(svg, SQ, SK),
    expectedOf(weights, (i, j) => j <= i + 30, { scale }),
    'cells',
  );
  const bare = (text) => text.replace(/<metadata>.*<\/metadata>/, '');
  for (const input of [
    ['-q', 'q.npy', '-k', 'k.npy'],
    ['q.npy', 'k.npy', 'v.npy'],
    ['-i', 'in.npz'],
    ['k.npy', '-q', 'q.npy'],
  ]) {
    assert.equal(bare(draw(...input, ...flags)), bare(svg), input.join(' '));
  }
  const texts = textsOf(svg);
  for (const text of [
    'batch 1, head 2',
    'query (who looks)',
    'key (what is looked at)',
    'attention weight, power 0.5',
    'masked out',
  ]) {
    assert.ok(texts.includes(text), text);
  }
});

test('render: scales, ranges, colours and themes', () => {
  const weights = headOf(weightsOf({}), 0, 0);
  const max = Math.max(...weights);
  const all = () => true;
  const cases = [
    [['--scale', 'linear'], { scale: makeScale({ kind: 'linear', min: 0, max }) }],
    [
      ['--exponent', '0.25', '--colors', 'magma'],
      { ramp: 'magma', scale: makeScale({ kind: 'power', exponent: 0.25, min: 0, max }) },
    ],
    [['--scale', 'log', '--decades', '2'], { scale: makeScale({ kind: 'log', decades: 2, min: 0, max }) }],
    [
      ['--rows', '2:5', '--columns', '3:21', '--theme', 'dark'],
      { rows: [2, 5], columns: [3, 21], theme: 'dark', scale: makeScale({ kind: 'power', min: 0, max }) },
    ],
  ];
  for (const [flags, expected] of cases) {
    const { rows = [0, SQ], columns = [0, SK] } = expected;
    const svg = draw('-i', 'in.npz', ...flags);
    assertClose(
      cellsOf(svg, rows[1] - rows[0], columns[1] - columns[0]),
      expectedOf(weights, all, expected),
      flags.join(' '),
    );
  }
  const rowMax = Array.from({ length: SQ }, (_, i) => Math.max(...weights.subarray(i * SK, (i + 1) * SK)));
  const parts = weights.map((weight, n) => weight / rowMax[Math.floor(n / SK)]);
  const scale = makeScale({ kind: 'linear', min: 0, max: 1 });
  assertClose(
    cellsOf(draw('-i', 'in.npz', '--range', 'row', '--scale', 'linear'), SQ, SK),
    expectedOf(parts, all, { scale }),
    'rows',
  );
  // The first keys are left out of the range, and what lies above it is told.
  const rest = Math.max(...weights.filter((_, n) => n % SK >= 20));
  const skipping = draw('-i', 'in.npz', '--skip-keys', '20');
  assert.ok(Math.abs(settingsOf(skipping).scale.max - rest) < 1e-6, 'the largest of the others');
  assert.equal(
    textsOf(skipping).some((text) => text.startsWith('> ')),
    rest < max,
  );
  const ranks = cellsOf(draw('-i', 'in.npz', '--scale', 'percentile', '--colors', 'greys'), SQ, SK);
  const brightness = ranks.map((color) => parseInt(color.slice(1, 3), 16));
  const order = [...weights.keys()].sort((a, b) => weights[a] - weights[b]);
  order.forEach((n, rank) =>
    assert.ok(rank === 0 || brightness[n] <= brightness[order[rank - 1]] + 1, 'larger is darker'),
  );
  const byRow = draw('-i', 'in.npz', '--scale', 'percentile', '--range', 'row');
  assert.ok(textsOf(byRow).includes('attention weight / largest of its query, percentile'));
});

test('render: scores, and what is kept', () => {
  const { scores } = attention.getMaskedAttentionOutput({ ...problem, returnScores: 'biased' });
  const list = headOf(scores, 0, 1);
  const scale = makeScale({ kind: 'linear', min: Math.min(...list), max: Math.max(...list) });
  const svg = draw('-i', 'in.npz', '--head', '1', '--show', 'scores');
  assertClose(
    cellsOf(svg, SQ, SK),
    expectedOf(list, () => true, { scale }),
    'scores',
  );
  const [first] = [...list];
  const numbers = textsOf(draw('-i', 'in.npz', '--head', '1', '--show', 'scores', '--numbers', '--columns', '0:4'));
  assert.ok(numbers.includes(first.toFixed(2).replace('-', '−')), `${first} among ${numbers.join(' ')}`);
  const mask = draw('-i', 'in.npz', '--show', 'mask', '--maskers', 'local:5');
  const kept = expectedOf(new Float32Array(SQ * SK).fill(1), (i, j) => j <= i + 34 && j > i + 29, {
    scale: makeScale({ kind: 'linear', min: 0, max: 1 }),
  });
  assert.deepEqual(cellsOf(mask, SQ, SK), kept);
  assert.ok(textsOf(mask).includes('kept') && !textsOf(mask).some((text) => /attention weight/.test(text)));
});

test('render: pipelines, from text and from a file, masks in files', () => {
  writeFileSync(
    at('p.json'),
    JSON.stringify({
      name: 'mine',
      maskers: [
        { name: 'sink', size: 2 },
        { name: 'local', size: 4 },
      ],
    }),
  );
  const svg = draw('-i', 'in.npz', '--pipeline', 'p.json');
  assert.deepEqual(textsOf(svg)[0], 'batch 0, head 0, mine');
  assert.deepEqual(settingsOf(svg).maskers, [
    { name: 'sink', size: 2 },
    { name: 'local', size: 4 },
  ]);
  const byText = draw('-i', 'in.npz', '--maskers', 'sink:2,local:4');
  assert.deepEqual(cellsOf(byText, SQ, SK), cellsOf(svg, SQ, SK));
  const mask = Mask.sinks([B, H, SQ, SK], 3);
  writeFileSync(at('mask.npy'), mask.toNpy());
  const weights = headOf(weightsOf({ sparseAttentionMask: mask }), 0, 0);
  const scale = makeScale({ kind: 'power', min: 0, max: Math.max(...weights) });
  const masked = draw('-i', 'in.npz', '--sparse-mask', 'mask.npy');
  assertClose(
    cellsOf(masked, SQ, SK),
    expectedOf(weights, (_, j) => j < 3, { scale }),
    'mask',
  );
  fails(
    2,
    /maskers: expected one pipeline/,
    '-i',
    'in.npz',
    '--maskers',
    'sink:2',
    '--pipeline',
    'p.json',
    '-o',
    'x.svg',
  );
});

test('render: sampling maskers divide by their probabilities, as run does', () => {
  const svg = draw('-i', 'in.npz', '--maskers', 'sink:4,randomSampling(rate=0.5,seed=7)');
  const pipeline = attention.createSparseAttention([
    { name: 'sink', size: 4 },
    { name: 'randomSampling', rate: 0.5, seed: 7 },
  ]);
  const { weights } = pipeline.forward({ ...problem, returnAttentionWeights: true });
  const list = headOf(weights, 0, 0);
  const scale = makeScale({ kind: 'power', min: 0, max: Math.max(...list) });
  assertClose(
    cellsOf(svg, SQ, SK),
    expectedOf(list, (i, j) => list[i * SK + j] > 0, { scale }),
    'sampled',
  );
});

test('render: given weights, dense and sparse, of 2 to 4 dimensions, under names', () => {
  const weights = weightsOf({ causal: true, queryOffset: 30 });
  const scale = makeScale({ kind: 'power', min: 0, max: Math.max(...headOf(weights, 0, 3)) });
  const expected = expectedOf(headOf(weights, 0, 3), (i, j) => j <= i + 30, { scale });
  writeFileSync(at('w.npy'), npy(weights));
  assertClose(cellsOf(draw('-w', 'w.npy', '--head', '3'), SQ, SK), expected, '4 dimensions');
  writeFileSync(at('w3.npy'), npy({ data: weights.data.subarray(0, H * SQ * SK), dims: [H, SQ, SK] }));
  assertClose(cellsOf(draw('--weights', 'w3.npy', '--head', '3'), SQ, SK), expected, '3 dimensions');
  writeFileSync(at('w2.npy'), npy({ data: headOf(weights, 0, 3), dims: [SQ, SK] }));
  assertClose(cellsOf(draw('--weights', 'w2.npy'), SQ, SK), expected, '2 dimensions');
  const args = ['run', '-i', 'in.npz', '--causal', '--query-offset', '30', '--weights', 'sparse', '-o', 'sparse.npz'];
  assert.equal(spawnSync(process.execPath, [bin, ...args], { cwd: folder }).status, 0);
  assertClose(cellsOf(draw('-w', 'sparse.npz', '--head', '3'), SQ, SK), expected, 'sparse');
  const half = ['run', '-i', 'in.npz', '--causal', '--query-offset', '30', '--weights', '--output-dtype', 'float16'];
  assert.equal(spawnSync(process.execPath, [bin, ...half, '-o', 'half.npz'], { cwd: folder }).status, 0);
  assertClose(cellsOf(draw('-w', 'half.npz', '--head', '3'), SQ, SK), expected, 'float16');
  writeFileSync(
    at('w.safetensors'),
    formatSafetensors([
      ['layer.a', weights],
      ['layer.b', problem.queries],
    ]),
  );
  assertClose(
    cellsOf(draw('-w', 'w.safetensors', '--names', 'weights=layer.a', '--head', '3'), SQ, SK),
    expected,
    'named',
  );
  fails(
    1,
    /weights: w\.safetensors has no array 'weights', only layer\.a, layer\.b; say which/,
    '-w',
    'w.safetensors',
    '-o',
    'x.svg',
  );
  fails(2, /causal: needs queries and keys, got --weights/, '-w', 'w.npy', '--causal', '-o', 'x.svg');
  fails(2, /show: scores need queries and keys, got --weights/, '-w', 'w.npy', '--show', 'scores', '-o', 'x.svg');
  writeFileSync(at('w1.npy'), npy({ data: new Float32Array(4), dims: [4] }));
  fails(1, /weights: expected 4 dimensions .*, got 4/, '-w', 'w1.npy', '-o', 'x.svg');
});

test('render: tokens, titles, width and legend', () => {
  const keys = Array.from({ length: SK }, (_, n) => `key${n}`);
  writeFileSync(at('both.json'), JSON.stringify({ queries: ['a', '<b>', 'c & d', 'e', 'f', '注'], keys }));
  const svg = draw('-i', 'in.npz', '--tokens', 'both.json', '--title', 'Who & what', '--width', '800', '--no-legend');
  const texts = textsOf(svg);
  assert.ok(
    ['Who & what', '<b>', 'c & d', '注', 'key0', 'key39'].every((text) => texts.includes(text)),
    texts.join(' '),
  );
  assert.match(svg, /^<svg [^>]*width="800"/);
  assert.ok(!texts.some((text) => text.startsWith('attention weight')));
  writeFileSync(at('list.json'), JSON.stringify(keys));
  const oneList = textsOf(draw('-i', 'in.npz', '--tokens', 'list.json', '--title', ''));
  assert.ok(oneList.filter((text) => text === 'key34').length === 2, 'the last keys are the queries');
  assert.ok(!oneList.includes('head 0'));
  writeFileSync(at('few.json'), '["a"]');
  writeFileSync(at('bad.json'), '{"queries": [1]}');
  writeFileSync(at('no.json'), 'tokens');
  fails(
    1,
    /tokens: few\.json: expected 6 strings for the queries, got 0/,
    '-i',
    'in.npz',
    '--tokens',
    'few.json',
    '-o',
    'x.svg',
  );
  fails(
    1,
    /tokens: bad\.json: expected 6 strings for the queries, got something else/,
    '-i',
    'in.npz',
    '--tokens',
    'bad.json',
    '-o',
    'x.svg',
  );
  fails(1, /tokens: no\.json: not valid JSON/, '-i', 'in.npz', '--tokens', 'no.json', '-o', 'x.svg');
});

test('render: PNG of each size, with its settings, and what was drawn as JSON', () => {
  const plain = ['-i', 'in.npz', '--head', '2', '--width', '300'];
  const sizes = [];
  for (const [flags, scale] of [
    [['--png-scale', '1'], 1],
    [[], 2],
    [['--png-scale', '4'], 4],
  ]) {
    const { status, stdout } = cli(...plain, ...flags, '-o', 'out.png', '--json');
    assert.equal(status, 0);
    const said = JSON.parse(stdout);
    const bytes = new Uint8Array(readFileSync(at('out.png')));
    const { width, height } = PNG.sync.read(Buffer.from(bytes));
    assert.deepEqual([width, height], [scale * said.width, scale * said.height]);
    const { file, width: _, height: __, ...settings } = said;
    assert.deepEqual([file, readPngMetadata(bytes)], ['out.png', settings]);
    assert.deepEqual([settings.shape, settings.head, settings.level], [[B, H, SQ, SK], 2, 0]);
    assert.equal(settings.flags.input, 'in.npz');
    sizes.push(width);
  }
  assert.deepEqual(sizes, [300, 600, 1200]);
});

test('render: no more than 1024 pixels a side, whatever there is', () => {
  writeFileSync(at('long-q.npy'), npy(tensor([1, 1, 40, 4], (n) => Math.sin(n))));
  writeFileSync(at('long-k.npy'), npy(tensor([1, 1, 9000, 4], (n) => Math.sin(n * n))));
  const svg = draw('long-q.npy', 'long-k.npy', '--causal', '--query-offset', '8960', '--maskers', 'sink:4,local:256');
  const settings = settingsOf(svg);
  assert.deepEqual([settings.level, settings.columns], [4, [0, 9000]]);
  assert.ok(textsOf(svg).some((text) => text.startsWith('A pixel is a block of 16 × 16 cells')));
  assert.equal(settingsOf(draw('long-q.npy', 'long-k.npy', '--columns', '7000:8024')).level, 0);
});

test('render: layouts, and a recorded model', () => {
  const turned = (source) => {
    const [b, h, s, d] = source.dims;
    const data = new Float32Array(source.data.length);
    for (let n = 0; n < data.length; n++) {
      const [i, j, k, l] = [Math.floor(n / (s * h * d)), Math.floor(n / (h * d)) % s, Math.floor(n / d) % h, n % d];
      data[n] = source.data[((i * h + k) * s + j) * d + l];
    }
    return { data, dims: [b, s, h, d], dtype: 'float32' };
  };
  writeFileSync(at('tq.npy'), npy(turned(problem.queries)));
  writeFileSync(at('tk.npy'), npy(turned(problem.keys)));
  const expected = cellsOf(draw('-i', 'in.npz', '--head', '3', '--batch', '1'), SQ, SK);
  assert.deepEqual(
    cellsOf(draw('tq.npy', 'tk.npy', '--input-layout', 'bshd', '--head', '3', '--batch', '1'), SQ, SK),
    expected,
  );
  const names = ['--names', 'queries=block1.queries,keys=block1.keys'];
  const computed = draw('-i', samples, ...names, '--scaling', '1', '--head', '3');
  const given = draw('-w', samples, '--names', 'weights=block1.weights', '--head', '3');
  assertClose(cellsOf(computed, 38, 38), cellsOf(given, 38, 38), "the model's own weights");
});

test('render: what is wrong is one line, and exit codes', () => {
  const plain = ['-i', 'in.npz', '-o', 'x.svg'];
  fails(2, /output: missing; pass --output FILE, \.svg or \.png/, '-i', 'in.npz');
  fails(2, /output: expected a file \.svg or \.png, got x\.gif/, '-i', 'in.npz', '-o', 'x.gif');
  fails(1, /output: cannot write nowhere\/x\.svg: there is no folder nowhere/, '-i', 'in.npz', '-o', 'nowhere/x.svg');
  fails(2, /queries: missing; pass --queries FILE/, '-o', 'x.svg');
  fails(2, /head: expected 0 \.\. 3, got 4/, ...plain, '--head', '4');
  fails(2, /batch: expected 0 \.\. 1, got 2/, ...plain, '--batch', '2');
  fails(2, /--head: expected an integer >= 0, got '1\.5'/, ...plain, '--head', '1.5');
  fails(2, /rows: expected begin:end within 0:6, got 4:9/, ...plain, '--rows', '4:9');
  fails(2, /columns: expected begin:end within 0:40, got 4:4/, ...plain, '--columns', '4:4');
  fails(2, /--rows: expected begin:end such as 0:64, got '4'/, ...plain, '--rows', '4');
  fails(2, /--scale: expected linear or power or log or percentile, got 'cubic'/, ...plain, '--scale', 'cubic');
  fails(2, /exponent: expected a number > 0, got 0/, ...plain, '--exponent', '0');
  fails(2, /width: expected an integer >= 240, got 100/, ...plain, '--width', '100');
  fails(
    2,
    /skip-keys: expected an integer in 0 \.\. 40.*got 41|skip-keys: expected .* got 41/,
    ...plain,
    '--skip-keys',
    '41',
  );
  fails(2, /unexpected argument 'four\.npy'/, 'q.npy', 'k.npy', 'v.npy', 'four.npy', '-o', 'x.svg');
  fails(2, /--dropout: a flag of run and compare, not of render/, ...plain, '--dropout', '0.5');
  fails(1, /keys: dim is 8, but queries has 4|keys: .*/, 'long-q.npy', 'k.npy', '-o', 'x.svg');
  assert.ok(!existsSync(at('x.svg')));
});

test('every flag of render alone is tested', () => {
  const shorts = { '-o': 'output', '-w': 'weights' };
  const passed = new Set([...used].map((arg) => shorts[arg] ?? arg.replace(/^--?/, '')));
  const own = Object.entries(FLAGS).filter(
    ([, flag]) => flag.only?.includes('render') || flag.in?.render !== undefined,
  );
  assert.deepEqual(
    own.map(([name]) => name).filter((name) => !passed.has(name)),
    [],
  );
});
