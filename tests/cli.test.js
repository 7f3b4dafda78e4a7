// SPDX-License-Identifier: Apache-2.0
// The command line as its users meet it: child processes, files, exit codes, and every flag at least once.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { FLAGS, flagsOf } from '../cli/flags.js';
import { createAttention, Mask, maskers, readHashWeights } from '../js/index.js';
import { readNpy, writeNpy } from '../js/npy.js';
import { FINISH_OPTIONS, RESULT_OPTIONS } from '../js/options.js';
import { PROBLEM_OPTIONS } from '../js/problem.js';
import { formatSafetensors, parseSafetensors } from '../js/safetensors.js';
import { readMember, readZip, writeZip } from '../js/zip.js';

const bin = fileURLToPath(new URL('../bin/masked-attention.js', import.meta.url));
const DESCRS = { float32: '<f4', float16: '<f2', bool: '|b1', int32: '<i4', float64: '<f8', uint8: '|u1' };
const [B, H, HK, SQ, SK, D] = [2, 4, 2, 6, 40, 8];
const used = new Set(); // flags that some test has passed to a command that succeeded

let folder, attention, problem;

const at = (name) => join(folder, name);

/** Runs a command in the test's folder. */
function cli(...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...args], { cwd: folder, encoding: 'utf8' });
  if (status === 0) for (const arg of args) if (/^--?[a-z]/.test(arg)) used.add(arg.replace(/=.*/, ''));
  return { status, stdout, stderr };
}

function ok(...args) {
  const { status, stdout, stderr } = cli(...args);
  assert.equal(status, 0, `${args.join(' ')}\n${stderr}`);
  return stdout;
}

/** A command that fails; says nothing on standard output, and one line on standard error. */
function fails(status, message, ...args) {
  const result = cli(...args);
  assert.match(result.stderr, message, args.join(' '));
  assert.match(result.stderr, /^masked-attention: [^\n]+\n$/);
  assert.deepEqual([result.status, result.stdout], [status, ''], args.join(' '));
}

function tensor(dims, f, dtype = 'float32') {
  const length = dims.reduce((a, b) => a * b, 1);
  const ArrayType = { float32: Float32Array, bool: Uint8Array, int32: Int32Array, float64: Float64Array }[dtype] ?? Uint16Array;
  return { data: ArrayType.from({ length }, (_, n) => f(n)), dims, dtype };
}

const npy = ({ data, dims, dtype }) => writeNpy(DESCRS[dtype], dims, data);
const npz = (tensors) => writeZip(Object.entries(tensors).map(([name, value]) => [`${name}.npy`, npy(value)]));

/** What is in a file, name -> { data, dims }. */
async function read(name) {
  const bytes = new Uint8Array(readFileSync(at(name)));
  if (name.endsWith('.safetensors')) return Object.fromEntries(parseSafetensors(bytes).tensors);
  const types = ['f4', 'f2', 'b1', 'u4'];
  if (name.endsWith('.npy')) return { output: readNpy(bytes, name, types) };
  const arrays = {};
  for (const [member, entry] of readZip(bytes, name)) {
    arrays[member.replace('.npy', '')] = readNpy(await readMember(entry, entry.length), member, types);
  }
  return arrays;
}

function same(actual, expected, what) {
  assert.deepEqual([actual.dims, actual.data], [expected.dims, expected.data], what);
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'attn-cli-'));
  attention = await createAttention({ variant: 'base' });
  problem = {
    queries: tensor([B, H, SQ, D], (n) => 2 * Math.sin(n * n)),
    keys: tensor([B, HK, SK, D], (n) => Math.sin(1.3 * n * n)),
    values: tensor([B, HK, SK, D], (n) => Math.cos(n)),
  };
  const { queries, keys, values } = problem;
  for (const [name, value] of Object.entries({ q: queries, k: keys, v: values })) writeFileSync(at(`${name}.npy`), npy(value));
  writeFileSync(at('in.npz'), npz(problem));
  writeFileSync(at('in.safetensors'), formatSafetensors(Object.entries({ q: queries, k: keys, v: values })));
});
after(() => {
  attention?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs `run` on the problem with flags, and compares what it writes with the API's results for those options. */
async function agrees(flags, options) {
  ok('run', '-i', 'in.npz', '--variant', 'base', '-o', 'out.npz', ...flags);
  const written = await read('out.npz');
  const results = attention.getMaskedAttentionOutput({ ...problem, ...options });
  assert.deepEqual(Object.keys(written), Object.keys(results), flags.join(' '));
  for (const [name, result] of Object.entries(results)) same(written[name], result, `${flags.join(' ')}: ${name}`);
}

test('run: the same from three files, an .npz and a .safetensors, to each kind of file', async () => {
  const { output } = attention.getMaskedAttentionOutput(problem);
  const inputs = {
    npy: ['--queries', 'q.npy', '--keys', 'k.npy', '--values', 'v.npy'],
    short: ['-q', 'q.npy', '-k', 'k.npy', '-v', 'v.npy'],
    npz: ['--input', 'in.npz'],
    safetensors: ['-i', 'in.safetensors'],
    mixed: ['-i', 'in.safetensors', '--values', 'in.npz'],
  };
  for (const [name, flags] of Object.entries(inputs)) {
    for (const file of ['out.npy', 'out.npz', 'out.safetensors']) {
      assert.equal(ok('run', ...flags, '--variant', 'base', '--output', file), '', 'silent where it writes a file');
      same((await read(file)).output, output, `${name} to ${file}`);
    }
  }
  fails(2, /output: expected a file .*, got \.\/mask/, 'run', '-i', 'in.npz', '-o', './mask'); // which is not --mask
});

test('run: flags are the options of the API', async () => {
  const floats = tensor([1, 1, SQ, SK], (n) => -(n % 7));
  const bools = tensor([SQ, SK], (n) => n % 3, 'bool');
  const sinks = Float32Array.of(0, 1, 2, 3);
  writeFileSync(at('bias.npy'), npy(floats));
  writeFileSync(at('keep.npy'), npy({ ...bools, data: bools.data.map((n) => Number(n > 0)) }));
  writeFileSync(at('sinks.npy'), npy({ data: sinks, dims: [4], dtype: 'float32' }));
  writeFileSync(at('lengths.npy'), npy({ data: Int32Array.of(11, 40), dims: [2], dtype: 'int32' }));
  const keep = { data: bools.data.map((n) => Number(n > 0)), dims: [SQ, SK] };
  const dropout = { dropout: 0.5, training: true };
  const cases = [
    [['--causal'], { causal: true }],
    [['--window-left', '5', '--window-right=0'], { window: { left: 5, right: 0 } }],
    [['--window-left', 'Infinity', '--window-right=-0'], { window: { left: Infinity, right: 0 } }],
    [['--causal', '--query-offset', '-3'], { causal: true, queryOffset: -3 }],
    [['--causal', '--query-offset', '3,5'], { causal: true, queryOffset: [3, 5] }],
    [['--causal', '--query-offset', 'lengths.npy'], { causal: true, queryOffset: [11, 40] }],
    [['--causal', '--key-offset', '7', '--query-offset', '9'], { causal: true, keyOffset: 7, queryOffset: 9 }],
    [['--key-lengths', '3,4'], { keyLengths: Int32Array.of(3, 4) }],
    [['--key-lengths', 'lengths.npy'], { keyLengths: Int32Array.of(11, 40) }],
    [['--scaling', '-1.5e-1'], { scaling: -0.15 }],
    [['--softcap', '.5'], { softcap: 0.5 }],
    [['--alibi-slopes', '1,0.5,0.25,0.125'], { alibiSlopes: Float32Array.of(1, 0.5, 0.25, 0.125) }],
    [['--sinks', '0,1,2,3'], { sinks }],
    [['--sinks', 'sinks.npy'], { sinks }],
    [['--sinks', '-Infinity,1,2,3'], { sinks: Float32Array.of(-Infinity, 1, 2, 3) }],
    [['--attention-mask', 'bias.npy'], { attentionMask: floats }],
    [['--attention-mask', 'keep.npy'], { attentionMask: keep }],
    [['--dropout', '0.5', '--training', '--seed', '7'], { ...dropout, seed: 7 }],
    [['--dropout', '0.5', '--training', '--seed', '18446744073709551615'], { ...dropout, seed: 2n ** 64n - 1n }],
    [
      ['--dropout', '0.5', '--training', '--dropout-mask', 'keep.npy', '--dropout-placement', 'after-normalization'],
      { ...dropout, dropoutMask: keep, dropoutPlacement: 'after-normalization' },
    ],
    [['--dropout', '0.5', '--training', '--seed', '7', '--return-dropout-mask'], { ...dropout, seed: 7, returnDropoutMask: true }],
    [['--key-lengths', '0,4', '--empty-rows', 'nan'], { keyLengths: Int32Array.of(0, 4), emptyRows: 'nan' }],
    [['--output-layout', 'bhsd'], { outputLayout: 'bhsd' }],
    [['--weights'], { returnAttentionWeights: true }],
    [['--weights', '--causal'], { returnAttentionWeights: true, causal: true }],
    [['--weights', 'dense', '--weights-window', '0:2,5:9'], { returnAttentionWeights: true, weightsWindow: { rows: [0, 2], columns: [5, 9] } }],
    [['--weights', '--weights-window', ',5:9'], { returnAttentionWeights: true, weightsWindow: { columns: [5, 9] } }],
    [['--scores', 'biased', '--causal'], { returnScores: 'biased', causal: true }],
    [['--log-sum-exp'], { returnLogSumExp: true }],
    [['--progress', '--max-memory-bytes', '100000000'], {}],
  ];
  for (const [flags, options] of cases) await agrees(flags, options);
  ok('run', '-i', 'in.npz', '--wasm', fileURLToPath(new URL('../js/base.wasm', import.meta.url)), '-o', 'out.npy');
  same((await read('out.npy')).output, attention.getMaskedAttentionOutput(problem).output);
});

test('run: sparse masks and sparse weights', async () => {
  const weights = Float32Array.from({ length: B * HK * SQ * SK }, (_, n) => (n % 5 === 0 ? 0.5 : n % 7 === 0 ? 1 : 0));
  const mask = Mask.fromDense([B, HK, SQ, SK], weights);
  writeFileSync(at('mask.npy'), mask.toNpy());
  writeFileSync(at('mask.npz'), mask.toNpz());
  const inverse = ['--sparse-mask', 'mask.npy', '--mask-weighting', 'inverse'];
  await agrees(inverse, { sparseAttentionMask: mask, maskWeighting: 'inverse' });
  await agrees(['--sparse-mask', 'mask.npy'], { sparseAttentionMask: mask });
  // Rows for (2, 2) may be rows for (1, 4).
  fails(1, /sparse-mask: mask\.npz: a matrix of 24 rows, which could be several shapes; pass --sparse-mask-shape/,
    'run', '-i', 'in.npz', '--sparse-mask', 'mask.npz');
  await agrees(['--sparse-mask', 'mask.npz', '--sparse-mask-shape', `2,2,${SQ},${SK}`], { sparseAttentionMask: mask });
  const one = Mask.fromDense([1, 1, SQ, SK], weights.subarray(0, SQ * SK));
  writeFileSync(at('one.npz'), one.toNpz());
  await agrees(['--sparse-mask', 'one.npz'], { sparseAttentionMask: one });
  ok('run', '-i', 'in.npz', '--variant', 'base', '--sparse-mask', 'mask.npy', '--weights', 'sparse', '-o', 'out.safetensors');
  const written = await read('out.safetensors');
  const { weights: sparse } = attention.getMaskedAttentionOutput({
    ...problem, sparseAttentionMask: mask, returnAttentionWeights: true, weightsFormat: 'sparse',
  });
  for (const name of ['ptr', 'indices', 'values']) assert.deepEqual(written[`weights.${name}`].data, sparse[name]);
  assert.deepEqual([...written['weights.dims'].data], sparse.dims);
});

test('run: 16-bit elements, in and out', async () => {
  const half = Object.fromEntries(
    Object.entries(problem).map(([name, { dims }]) => [name, tensor(dims, (n) => 0x3800 + ((n * 37) % 0x400), 'float16')]),
  );
  const brain = Object.fromEntries(
    Object.entries(problem).map(([name, { dims }]) => [name, tensor(dims, (n) => 0x3f00 + ((n * 37) % 0x80), 'bfloat16')]),
  );
  writeFileSync(at('half.npz'), npz(half));
  writeFileSync(at('brain.safetensors'), formatSafetensors(Object.entries(brain)));
  const halfOutput = attention.getMaskedAttentionOutput({ ...half, outputDtype: 'float16' }).output;
  ok('run', '-i', 'half.npz', '--variant=base', '--output-dtype', 'float16', '-o', 'out.safetensors');
  const written = (await read('out.safetensors')).output;
  assert.deepEqual([written.dtype, written.data], ['float16', halfOutput.data]);
  ok('run', '-i', 'half.npz', '--variant=base', '--output-dtype', 'float16', '-o', 'out.npy');
  const bytes = readFileSync(at('out.npy'));
  assert.match(bytes.toString('latin1', 0, 64), /'<f2'/);
  ok('run', '-i', 'brain.safetensors', '--variant=base', '--output-dtype', 'bfloat16', '-o', 'out.safetensors');
  const narrow = (await read('out.safetensors')).output;
  same(narrow, attention.getMaskedAttentionOutput({ ...brain, outputDtype: 'bfloat16' }).output);
});

test('run: names and layouts', async () => {
  const turned = (name) => {
    const { data, dims: [b, h, s, d] } = problem[name];
    return tensor([b, s, h, d], (n) => {
      const [i, j, k, l] = [Math.floor(n / (s * h * d)), Math.floor(n / (h * d)) % s, Math.floor(n / d) % h, n % d];
      return data[((i * h + k) * s + j) * d + l];
    });
  };
  const bias = tensor([SQ, SK], (n) => n % 3);
  const file = { a: turned('queries'), 'block.b': turned('keys'), c: turned('values'), bias };
  writeFileSync(at('named.safetensors'), formatSafetensors(Object.entries(file)));
  const flags = ['--input-layout', 'bshd', '--names', 'queries=a, keys=block.b,values=c,attention-mask=bias'];
  ok('run', '-i', 'named.safetensors', ...flags, '--variant', 'base', '-o', 'out.npy');
  same((await read('out.npy')).output, attention.getMaskedAttentionOutput({ ...problem, attentionMask: bias }).output);
  fails(1, /^masked-attention: queries: named\.safetensors has no array 'queries', only .*block\.b.*; say which with --names queries=/,
    'run', '-i', 'named.safetensors');
  fails(2, /names: valuse is none of .*; did you mean values\?/, 'run', '-i', 'in.npz', '--names', 'valuse=a');
});

test('run: without --output it says what came out', () => {
  const text = ok('run', '-i', 'in.npz', '--log-sum-exp', '--variant', 'base');
  assert.match(text, /^ +dims +dtype +min +max +mean\noutput +2 x 6 x 4 x 8 +float32 .*\nlogSumExp +2 x 4 x 6 +float32 .*\n[\d.]+ ms, base\n$/);
  const { results, variant, milliseconds } = JSON.parse(ok('run', '-i', 'in.npz', '--log-sum-exp', '--json', '--key-lengths', '0,4'));
  assert.deepEqual(Object.keys(results), ['output', 'logSumExp']);
  assert.deepEqual(results.output.dims, [2, 6, 4, 8]);
  assert.equal(results.logSumExp.min, '-Infinity');
  assert.ok(['base', 'relaxed'].includes(variant) && milliseconds > 0);
});

test('run: maskers in each form, metrics and the mask', async () => {
  const list = [maskers.sink({ size: 4 }), maskers.quest({ heavySize: 0.4, pageSize: 4 })];
  const pipeline = attention.createSparseAttention(list);
  const wanted = pipeline.forward({ ...problem, causal: true, metrics: true });
  writeFileSync(at('pipeline.json'), JSON.stringify(pipeline));
  const forms = [
    'sink:4,quest:0.4:4',
    ' sink( size = 4 ), quest(heavySize=.4,pageSize=4) ',
    JSON.stringify(pipeline),
    JSON.stringify(pipeline.toJSON().maskers),
    'pipeline.json',
  ];
  for (const text of forms) {
    const flags = ['-i', 'in.npz', '--causal', '--variant', 'base', '--maskers', text, '-o', 'out.npz'];
    const { metrics, maskers: made } = JSON.parse(ok('run', ...flags, '--mask', '--metrics', '--json', '--mask-output', 'made.npz'));
    assert.deepEqual(made, pipeline.toJSON().maskers, text);
    assert.deepEqual([metrics.density, metrics.outputError], [wanted.metrics.density, wanted.metrics.outputError]);
    const written = await read('out.npz');
    same(written.output, wanted.output, text);
    assert.deepEqual(Uint32Array.from(written['mask.indices'].data), Uint32Array.from(wanted.mask.toIndices().indices));
  }
  await agrees(['--causal', '--sparse-mask', 'made.npz'], { causal: true, sparseAttentionMask: wanted.mask });
  ok('run', '-i', 'in.npz', '--maskers', 'sink:4', '--mask', 'dense', '-o', 'out.npz', '--mask-output', 'made.npy');
  assert.equal((await read('out.npz')).mask.data.reduce((a, b) => a + b), B * H * SQ * 4);
  assert.match(ok('run', '-i', 'in.npz', '--maskers', 'sink:4', '--metrics'), /density +10\.0 %\noutput error +[\d.]+ %\nmass recall +mean /);
  const { metrics } = JSON.parse(ok('run', '-i', 'in.npz', '--sparse-mask', 'made.npy', '--metrics', '--json'));
  assert.equal(metrics.density, 0.1);
});

test('compare: a table, or JSON', () => {
  const flags = ['compare', '-i', 'in.npz', '--causal', '--maskers', 'sink:4,local:8', '--maskers', 'oracleTopK:0.2', '--maskers', 'dense'];
  const lines = ok(...flags).trimEnd().split('\n');
  assert.match(lines[0], /^maskers +density +error +recall +p5 +worst +setup +mask +attention +dense +speedup +flops$/);
  assert.deepEqual(lines.slice(1).map((line) => line.split(/ {2,}/)[0]), ['sink:4,local:8', 'oracleTopK:0.2', 'dense']);
  assert.equal(new Set(lines.map((line) => line.length)).size, 1, 'aligned');
  const { rows } = JSON.parse(ok(...flags, '--json'));
  const [wanted] = attention.compare({ ...problem, causal: true }, [[maskers.sink({ size: 4 }), maskers.local({ size: 8 })]]);
  assert.equal(rows[0].density, wanted.density);
  assert.ok(Math.abs(rows[0].outputError - wanted.outputError) < 1e-4);
  assert.deepEqual(rows[0].maskers, [{ name: 'sink', size: 4 }, { name: 'local', size: 8 }]);
  const named = JSON.stringify({ name: 'mine', maskers: [{ name: 'sink', size: 4 }] });
  writeFileSync(at('named.json'), named);
  writeFileSync(at('list.json'), JSON.stringify([{ name: 'sink', size: 4 }]));
  const texts = [named, 'named.json', 'list.json', '[{"name":"sink","size":4}]', '[]'];
  const called = JSON.parse(ok('compare', '-i', 'in.npz', '--json', ...texts.flatMap((text) => ['--maskers', text])));
  assert.deepEqual(called.rows.map(({ name }) => name), ['mine', 'mine', 'list.json', 'sink', 'dense']);
});

test('weights of hashAttention: in order or by name, from .json or .safetensors', async () => {
  const matrix = { data: Float32Array.from({ length: H * D * 8 }, (_, n) => Math.sin(n * n)), dims: [H, D, 8], dtype: 'float32' };
  const bias = { data: new Float32Array(H * 8), dims: [H, 8], dtype: 'float32' };
  const networks = { query_matrix: [matrix], query_bias: [bias], key_matrix: [matrix], key_bias: [bias] };
  const file = formatSafetensors(Object.entries(networks).map(([role, [one]]) => [`layers.0.${role}.0`, one]));
  writeFileSync(at('hash.safetensors'), file);
  writeFileSync(at('hash.json'), JSON.stringify(readHashWeights(file)));
  const pipeline = attention.createSparseAttention([maskers.hashAttention({ heavySize: 5, weights: [networks] })]);
  const { output } = pipeline.forward(problem);
  for (const text of [':5:@hash.json', ':5:@hash.safetensors', '(weights=@hash.safetensors,heavySize=5)', '(heavySize=5,weights=@hash.json)']) {
    ok('run', '-i', 'in.npz', '--variant', 'base', '--maskers', `hashAttention${text}`, '-o', 'out.npz');
    same((await read('out.npz')).output, output, text);
  }
  pipeline.dispose();
  writeFileSync(at('cut.safetensors'), file.slice(0, 99));
  const fromFile = (name) => ['run', '-i', 'in.npz', '--maskers', `hashAttention:5:@${name}`];
  fails(1, /maskers: cut\.safetensors: .*header/, ...fromFile('cut.safetensors'));
  fails(1, /maskers: in\.safetensors: .*expected tensors layers/, ...fromFile('in.safetensors'));
  fails(1, /maskers: cannot read none\.safetensors: no such file/, ...fromFile('none.safetensors'));
});

test('compare: a sweep', () => {
  const flags = ['compare', '-i', 'in.npz', '--maskers', 'sink:2,oracleTopK:0.1', '--sweep', 'heavySize=4,10,0.5'];
  assert.match(ok(...flags), /^heavySize +density.*\n4 .*\n10 .*\n0\.5 .*\n$/);
  const { parameter, rows } = JSON.parse(ok(...flags, '--json'));
  assert.equal(parameter, 'heavySize');
  assert.deepEqual(rows.map(({ value, density }) => [value, density]), [[4, 0.15], [10, 0.3], [0.5, 0.55]]);
  fails(2, /sweep: .*heavySise: unknown option; did you mean heavySize/, 'compare', '-i', 'in.npz', '--maskers', 'oracleTopK:4', '--sweep', 'heavySise=1');
  fails(2, /sweep: .*heavySize: expected .* got -1/, 'compare', '-i', 'in.npz', '--maskers', 'oracleTopK:4', '--sweep', 'heavySize=-1');
  fails(2, /sweep: expected one --maskers, got 2/, 'compare', '-i', 'in.npz', '--maskers', 'sink:4', '--maskers', 'sink:5', '--sweep', 'size=1');
  fails(2, /sweep: expected parameter=value/, 'compare', '-i', 'in.npz', '--maskers', 'sink:4', '--sweep', 'size');
});

test('help and version', () => {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  assert.equal(ok('--version'), `${version}\n`);
  assert.match(ok('--help'), /run .*\n.*compare .*\n.*render /);
  for (const command of ['run', 'compare', 'render']) {
    const text = ok(command, '--help');
    assert.equal(ok(command, '-h', '--causal'), text);
    for (const name of Object.keys(FLAGS)) {
      const isListed = new RegExp(`--${name}(?![\\w-])`).test(text.slice(text.indexOf('\nInput:')));
      assert.equal(isListed, flagsOf(command).has(name), `${command} ${name}`);
    }
    assert.ok(text.split('\n').every((line) => line.length <= 120), 'lines of at most 120 characters');
    for (const name of Object.keys(maskers)) assert.match(text, new RegExp(`^  ${name}\\b`, 'm'));
  }
});

test('wrong usage: exit code 2, one line that says what is wrong', () => {
  const run = (...args) => ['run', '-i', 'in.npz', ...args];
  fails(2, /: expected a command, got none; there are run, compare, render/);
  fails(2, /: comparre: unknown command; did you mean compare\?/, 'comparre');
  fails(2, /--casual: unknown flag; did you mean --causal\?/, ...run('--casual'));
  fails(2, /--key_lengths: unknown flag; did you mean --key-lengths\?/, ...run('--key_lengths', '3'));
  fails(2, /--frobnicate: unknown flag; see masked-attention run --help/, ...run('--frobnicate'));
  fails(2, /-x: unknown flag/, ...run('-x'));
  fails(2, /--sweep: a flag of compare, not of run/, ...run('--sweep', 'size=1'));
  fails(2, /--weights: a flag of run and render, not of compare/, 'compare', '-i', 'in.npz', '--weights');
  fails(2, /unexpected argument 'q\.npy'/, ...run('q.npy'));
  fails(2, /--causal: takes no value, got 'no'/, ...run('--causal=no'));
  fails(2, /--scaling: expected N, got nothing/, ...run('--scaling'));
  fails(2, /--scaling: expected N, got nothing/, ...run('--scaling', '--causal'));
  fails(2, /--scaling: expected a number, got 'big'/, ...run('--scaling', 'big'));
  fails(2, /--seed: expected an integer >= 0, got '1\.5'/, ...run('--seed', '1.5'));
  fails(2, /--empty-rows: expected zero or nan, got 'none'/, ...run('--empty-rows', 'none'));
  fails(2, /--weights-window: expected rows,columns such as 0:4,0:16, got '4'/, ...run('--weights-window', '4'));
  fails(2, /unexpected argument 'thin'/, ...run('--weights', 'thin'));
  fails(2, /queries: missing; pass --queries FILE, or --input FILE/, 'run');
  fails(2, /keys: missing/, 'run', '-q', 'q.npy');
  fails(2, /queries: expected a file \.npy, \.npz or \.safetensors, got q\.csv/, 'run', '-q', 'q.csv');
  fails(2, /output: expected a file .npy, .npz or .safetensors, got out\.txt/, ...run('-o', 'out.txt'));
  fails(2, /output: a \.npy file holds one array, and --log-sum-exp gives another; use \.npz/, ...run('-o', 'out.npy', '--log-sum-exp'));
  fails(2, /output: NumPy has no bfloat16; use \.safetensors/, ...run('-o', 'out.npz', '--output-dtype', 'bfloat16'));
  fails(2, /mask: needs --maskers/, ...run('--mask'));
  fails(2, /mask-output: no masker, no mask/, ...run('--maskers', 'dense', '--mask-output', 'm.npy'));
  fails(2, /maskers: expected once with run/, ...run('--maskers', 'sink:4', '--maskers', 'sink:5'));
  fails(2, /maskers: missing; pass --maskers/, 'compare', '-i', 'in.npz');
  fails(2, /maskers: qest: unknown masker; did you mean quest\?/, ...run('--maskers', 'qest:4'));
  fails(2, /maskers: sink takes 1 \(size\), got 2/, ...run('--maskers', 'sink:4:5'));
  fails(2, /maskers: quest: expected parameter=value, got '4'/, ...run('--maskers', 'quest(4)'));
  fails(2, /maskers: quest: a bracket is not closed/, ...run('--maskers', 'quest(heavySize=4'));
  fails(2, /maskers: expected ':' or '\(' after sink, got '=4'/, ...run('--maskers', 'sink=4'));
  fails(2, /maskers: not valid JSON: /, ...run('--maskers', '[{'));
  fails(2, /maskers: expected JSON of an array/, ...run('--maskers', '{"name": "sink"}'));
  fails(2, /maskers\[0\] \(sink\): size: expected .* got -4/, ...run('--maskers', 'sink:-4'));
  fails(2, /maskers\[0\] \(sink\): .*unknown option/, ...run('--maskers', 'sink(width=4)'));
  fails(2, /dropout: expected a number in 0\.\.1, got 2/, ...run('--dropout', '2'));
  fails(2, /seed: required where dropout \(0\.1\) acts/, ...run('--training', '--dropout', '.1'));
  fails(2, /window-left: expected an integer >= 0, or Infinity, got -1/, ...run('--window-left=-1'));
  fails(2, /key-lengths\[1\]: expected an integer in 0\.\.40, got 41/, ...run('--key-lengths', '1,41'));
  fails(2, /alibi-slopes: expected one element per query head \(4\), got 2/, ...run('--alibi-slopes', '1,2'));
  fails(2, /weights-window\.rows\[1\]: expected/, ...run('--weights', '--weights-window', '0:99,:'));
});

test('wrong data: exit code 1, one line that says where', () => {
  const run = (...args) => ['run', '-i', 'in.npz', ...args];
  const npyOf = (...args) => npy(tensor(...args));
  writeFileSync(at('double.npy'), npyOf([B, H, SQ, D], (n) => n, 'float64'));
  writeFileSync(at('flat.npy'), npyOf([B * H, SQ, D], (n) => n));
  writeFileSync(at('other.npy'), npyOf([B, HK, SK, D + 1], (n) => n));
  writeFileSync(at('ints.npy'), npyOf([SQ, SK], (n) => n, 'int32'));
  writeFileSync(at('cut.npy'), readFileSync(at('q.npy')).subarray(0, 300));
  writeFileSync(at('empty.npy'), '');
  writeFileSync(at('text.npz'), 'hello');
  writeFileSync(at('bad.safetensors'), 'hello');
  writeFileSync(at('two.npz'), npz({ a: problem.queries, b: problem.keys }));
  fails(1, /queries: cannot read none\.npy: no such file/, 'run', '-q', 'none.npy', '-k', 'k.npy', '-v', 'v.npy');
  fails(1, /queries: expected float32, float16 or bfloat16, got float64; save array\.astype\(numpy\.float32\)/, ...run('-q', 'double.npy'));
  fails(1, /queries: expected 4 dimensions .* got 3 \(8 x 6 x 8\)/, ...run('-q', 'flat.npy'));
  fails(1, /^masked-attention: keys: dim is 9, but queries has 8/, ...run('-k', 'other.npy'));
  fails(1, /attention-mask: expected .*bool, got int32; save array\.astype\(bool\)/, ...run('--attention-mask', 'ints.npy'));
  fails(1, /attention-mask: 2 x 4 x 6 x 8 does not broadcast/, ...run('--attention-mask', 'q.npy'));
  fails(1, /dropout-mask: expected bool, got float32/, ...run('--dropout-mask', 'q.npy'));
  fails(1, /key-lengths: expected integers, got float32/, ...run('--key-lengths', 'q.npy'));
  fails(1, /queries: cut\.npy: expected \d+ bytes .*, got 300/, ...run('-q', 'cut.npy'));
  fails(1, /queries: empty\.npy: expected a \.npy file, got 0 bytes/, ...run('-q', 'empty.npy'));
  fails(1, /queries: text\.npz: it has no end record/, ...run('-q', 'text.npz'));
  fails(1, /queries: bad\.safetensors: safetensors: the file has 5 bytes/, ...run('-q', 'bad.safetensors'));
  fails(1, /values: two\.npz has no array 'values', only a, b; say which with --names values=/, ...run('-v', 'two.npz'));
  fails(1, /sparse-mask: ints\.npy: expected elements of type/, ...run('--sparse-mask', 'ints.npy'));
  fails(1, /output: cannot write .*: there is no folder nowhere/, ...run('-o', 'nowhere/out.npy'));
  fails(1, /maskers: cannot read none\.json: no such file/, ...run('--maskers', 'none.json'));
  writeFileSync(at('long.npy'), npyOf([1, 1, 2000, 8], (n) => n % 3));
  const long = ['-q', 'long.npy', '-k', 'long.npy', '-v', 'long.npy', '--scores', 'raw'];
  fails(1, /: out of memory: a block of \d+ bytes does not fit: .* \(--max-memory-bytes\)/, 'run', ...long, '--max-memory-bytes', '8000000');
  fails(2, /max-memory-bytes: expected at least \d+ for this module, got 70000/, 'run', ...long, '--max-memory-bytes', '70000');
  assert.ok(!existsSync(at('nowhere')));
});

test('progress goes to standard error, and only where it is asked for or seen', () => {
  const quiet = cli('run', '-i', 'in.npz', '-o', 'out.npy');
  assert.deepEqual([quiet.stdout, quiet.stderr], ['', '']);
  assert.equal(cli('run', '-i', 'in.npz', '-o', 'out.npy', '--progress').stderr.split('\n').at(-2), 'attention 100 %');
  assert.match(cli('run', '-i', 'in.npz', '-o', 'out.npy', '--progress', '--maskers', 'sink:4').stderr, /^attention with sink:4\n$/);
});

test('a reader that goes away ends it quietly', async () => {
  const child = spawn(process.execPath, [bin, 'run', '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  let errors = '';
  child.stderr.on('data', (chunk) => (errors += chunk));
  await new Promise((resolve) => child.on('close', resolve));
  assert.equal(errors, '');
});

test('every option of the API has a flag, every flag is tested, and what it sets exists', () => {
  const options = new Set([...PROBLEM_OPTIONS, ...FINISH_OPTIONS, ...RESULT_OPTIONS]);
  const reached = new Set(Object.values(FLAGS).flatMap(({ option = [] }) => option));
  assert.deepEqual([...options].filter((name) => !reached.has(name)), []);
  assert.deepEqual([...reached].filter((name) => !options.has(name)), []);
  const shorts = new Map(Object.entries(FLAGS).flatMap(([name, { short }]) => (short ? [[`-${short}`, name]] : [])));
  assert.equal(shorts.size, Object.values(FLAGS).filter(({ short }) => short).length, 'no letter twice');
  const passed = new Set([...used].map((arg) => shorts.get(arg) ?? arg.slice(2)));
  const here = new Set([...flagsOf('run').keys(), ...flagsOf('compare').keys()]); // those of render have their own test
  assert.deepEqual([...here].filter((name) => !passed.has(name)), []);
});
