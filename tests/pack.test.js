// SPDX-License-Identifier: Apache-2.0
// What users get: the packed tarball, installed into an empty project, runs the README's first example and
// examples/attend.mjs; it holds what it must, nothing else, and is small.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, posix } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { publint } from 'publint';
import { formatMessage } from 'publint/utils';

import { unpack } from '../js/embedded.js';
import { withEachInflater } from './calls.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const npm = (args, cwd) => execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const node = (args, cwd) =>
  execFileSync(process.execPath, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

let folder, project, packed;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'attn-pack-'));
  [packed] = JSON.parse(npm(['pack', '--ignore-scripts', '--json', '--pack-destination', folder], root));
  project = join(folder, 'project');
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'project', private: true, type: 'module' }));
  npm(['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', join(folder, packed.filename)], project);
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('package: holds the modules, their types and wasm, and no more', () => {
  const files = packed.files.map(({ path }) => path).sort();
  const wanted = [
    'CHANGELOG.md',
    'LICENSE',
    'README.md',
    'package.json',
    'attention-map/index.d.ts',
    'js/index.d.ts',
    'js/base.wasm',
    'js/relaxed.wasm',
  ];
  for (const path of wanted) assert.ok(files.includes(path), `${path} is not in the package`);
  const modules = readdirSync(join(root, 'js'))
    .filter((name) => name.endsWith('.js'))
    .map((name) => `js/${name}`);
  const programs = ['bin', 'cli', 'attention-map'].flatMap((name) =>
    readdirSync(join(root, name))
      .filter((file) => file.endsWith('.js'))
      .map((file) => `${name}/${file}`));
  assert.deepEqual(files, [...wanted, ...modules, ...programs].sort());
  // Every module that a module imports is there, and every export points at a file; what browsers load is in js/.
  for (const path of [...modules, ...programs])
    for (const [, target] of readFileSync(join(root, path), 'utf8').matchAll(/(?:from|import)\s*\(?\s*'(\.\.?\/[^']+)'/g)) {
      assert.ok(files.includes(posix.join(path, '..', target)), `${path} imports ${target}, which is not in the package`);
      if (path.startsWith('js/')) assert.ok(target.startsWith('./'), `${path} imports ${target}`);
    }
  for (const entry of Object.values(manifest.exports))
    for (const target of typeof entry === 'string' ? [entry] : Object.values(entry))
      assert.ok(files.includes(target.slice(2)), `exports names ${target}, which is not in the package`);
  assert.deepEqual(
    [manifest.dependencies, manifest.scripts.install, manifest.scripts.postinstall],
    [undefined, undefined, undefined],
  );
});

test('package: sizes', (t) => {
  const sizes = { package: packed.unpackedSize };
  for (const variant of ['base', 'relaxed']) {
    sizes[variant] = gzipSync(readFileSync(join(root, `js/${variant}.wasm`)), { level: 9 }).length;
    assert.ok(sizes[variant] <= 48_000, `${variant}.wasm is ${sizes[variant]} bytes gzipped, over 48 kB`);
  }
  assert.ok(sizes.package <= 1_200_000, `the package is ${sizes.package} bytes unpacked, over 1200 kB`);
  t.diagnostic(`unpacked ${sizes.package} bytes; gzipped wasm: base ${sizes.base}, relaxed ${sizes.relaxed}`);
});

test('package: the embedded wasm is the wasm', async () => {
  await withEachInflater(async () => {
    for (const variant of ['base', 'relaxed']) {
      const bytes = await unpack(await import(`../js/binary-${variant}.js`));
      assert.ok(Buffer.from(bytes).equals(readFileSync(join(root, `js/${variant}.wasm`))), variant);
    }
  });
});

test('package: publint has nothing to say', async () => {
  const installed = join(project, 'node_modules', manifest.name);
  const { messages, pkg } = await publint({ pkgDir: installed, pack: false, strict: true });
  assert.deepEqual(
    messages.map((message) => formatMessage(message, pkg)),
    [],
  );
});

test('package: runs the README example once installed', (t) => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const [, code] = readme.match(/<!-- example -->\s*```js\n([^]*?)```/) ?? [];
  assert.ok(code?.includes(`from '${manifest.name}'`), 'README.md has a js block marked <!-- example -->');
  const lines = code
    .trim()
    .split('\n')
    .filter((line) => line.trim());
  assert.ok(lines.length <= 12, `the ten-line example has ${lines.length} lines`);
  writeFileSync(join(project, 'readme.mjs'), code);
  const printed = node(['readme.mjs'], project);
  assert.match(printed, /\S/, 'the example prints something');
  assert.doesNotMatch(printed, /NaN|undefined/);
  t.diagnostic(printed.trim().split('\n')[0]);
});

test('package: examples/attend.mjs runs once installed', () => {
  mkdirSync(join(project, 'examples'), { recursive: true });
  cpSync(join(root, 'examples/attend.mjs'), join(project, 'examples/attend.mjs'));
  if (existsSync(join(root, 'samples'))) cpSync(join(root, 'samples'), join(project, 'samples'), { recursive: true });
  const printed = node(['examples/attend.mjs'], project);
  assert.match(printed, /\S/);
  assert.doesNotMatch(printed, /NaN|undefined/);
});

test('package: the command line runs once installed', () => {
  const printed = node([join('node_modules', manifest.name, manifest.bin['masked-attention']), '--version'], project);
  assert.equal(printed, `${manifest.version}\n`);
  assert.ok(existsSync(join(project, 'node_modules/.bin/masked-attention')), 'npm links it');
});

test('package: can be required from CommonJS', () => {
  writeFileSync(
    join(project, 'required.cjs'),
    `
    const { createAttention } = require('${manifest.name}');
    createAttention().then((attention) => console.log(attention.info().variant));
  `,
  );
  assert.match(node(['--no-warnings', 'required.cjs'], project), /^(base|relaxed)$/m);
});
