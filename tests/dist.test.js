// SPDX-License-Identifier: Apache-2.0
// The page as static files: small, nothing in it refers to another host or needs more than its security policy grants,
// each wasm variant is there once, and workers are modules of their own.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, posix } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { packed as base } from '../js/binary-base.js';
import { packed as relaxed } from '../js/binary-relaxed.js';
import { buildDemo } from '../tools/build-demo.mjs';

const MAX_GZIPPED = 350_000;
const root = fileURLToPath(new URL('..', import.meta.url));
const NAMESPACES = /https?:\/\/www\.w3\.org\/(2000\/svg|2000\/xmlns|1998\/Math|1999\/xlink|1999\/xhtml|XML\/1998\/namespace)/g;

let folder;
let files;
const contentOf = (path) => readFileSync(join(folder, path), 'utf8');
const texts = (...endings) => files.filter(({ path }) => endings.some((ending) => path.endsWith(ending)));

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'attn-dist-'));
  files = await buildDemo(folder);
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('dist: at most 350 kB, gzipped, without samples', () => {
  const own = files.filter(({ path }) => !path.startsWith('samples/'));
  const gzipped = own.reduce((sum, file) => sum + file.gzipped, 0);
  assert.ok(gzipped <= MAX_GZIPPED, `${gzipped} bytes`);
});

test('dist: index.html loads what is there, under a policy', () => {
  const html = contentOf('index.html');
  const links = [...html.matchAll(/\b(?:src|href)="([^"]+)"/g)].map(([, link]) => link);
  const local = links.filter((link) => !/^(data:|#)/.test(link));
  assert.ok(local.some((link) => link.endsWith('/app.js')) && local.some((link) => link.endsWith('.css')));
  for (const link of local) assert.ok(files.some(({ path }) => path === link), `${link} is not there`);
  const [, policy] = /http-equiv="Content-Security-Policy"\s+content="([^"]+)"/.exec(html) ?? [];
  const directives = new Map(policy.split(';').map((part) => {
    const [name, ...sources] = part.trim().split(/\s+/);
    return [name, sources.join(' ')];
  }));
  assert.equal(directives.get('default-src'), "'none'");
  assert.equal(directives.get('script-src'), "'self' 'wasm-unsafe-eval'");
  assert.equal(directives.get('style-src'), "'self'");
  assert.equal(directives.get('connect-src'), "'self'");
  assert.doesNotMatch(html, /<style|\sstyle=|<script(?![^>]*\ssrc=)/, 'nothing inline');
});

test('dist: refers to nothing outside', () => {
  for (const { path } of texts('.js', '.css', '.html')) {
    const content = contentOf(path).replaceAll(NAMESPACES, '');
    assert.doesNotMatch(content, /https?:\/\/|["'(]\/\/[a-z]/, path);
    if (path.endsWith('.css')) assert.doesNotMatch(content, /@import|url\((?!["']?data:)/, path);
  }
});

test('dist: every import is a file beside it', () => {
  const imports = /(?:(?<!["'])\bfrom|\bimport)\s*\(?\s*["']([^"'\s(){}]+)["']|new URL\(["']([^"']+\.js)["'],import\.meta\.url\)/g;
  let count = 0;
  for (const { path } of texts('.js')) {
    for (const [, imported, named] of contentOf(path).matchAll(imports)) {
      const target = imported ?? named;
      assert.match(target, /^\.\//, path);
      assert.ok(files.some((file) => file.path === posix.join(dirname(path), target)), `${path}: ${target}`);
      count++;
    }
  }
  assert.ok(count > 0, 'some imports were looked at');
});

test('dist: no eval, and no worker of a blob', () => {
  for (const { path } of texts('.js')) {
    const content = contentOf(path);
    assert.doesNotMatch(content, /\beval\(|\bnew Function\b|[^\w.]Function\(["'`]|importScripts\(/, path);
    for (const [worker] of content.matchAll(/new (?:Shared)?Worker\([^)]{0,40}/g)) {
      assert.match(worker, /^new (?:Shared)?Worker\(new URL\(["']\.\//, path);
    }
  }
});

test('dist: each wasm variant is embedded once, in a chunk of its own', () => {
  for (const packed of [base, relaxed]) {
    const holders = texts('.js').filter(({ path }) => contentOf(path).includes(packed.slice(0, 400)));
    assert.equal(holders.length, 1);
    assert.ok(holders[0].bytes < packed.length + 2000, `${holders[0].path} holds little else`);
  }
});

test('dist: every sample that the index lists, and the licences of what is bundled', () => {
  for (const { file } of JSON.parse(contentOf('samples/index.json'))) {
    assert.deepEqual(readFileSync(join(folder, 'samples', file)), readFileSync(join(root, 'samples', file)));
  }
  assert.match(contentOf('licenses.txt'), /^masked-attention [\s\S]+^jsep [\s\S]+^lit-html [\s\S]+DejaVu[\s\S]+Mike Bostock/m);
});

test('dist: a second build replaces the first, and leaves other files alone', async () => {
  writeFileSync(join(folder, 'CNAME'), 'example.org\n');
  mkdirSync(join(folder, 'assets-0123456789'));
  const again = await buildDemo(folder);
  assert.deepEqual(again.map(({ path }) => path), [...files.map(({ path }) => path), 'CNAME'].sort());
  rmSync(join(folder, 'CNAME'));
});

test('dist: a module named by URL becomes a bundle beside the others, also one out of another folder', async () => {
  const page = mkdtempSync(join(tmpdir(), 'attn-page-'));
  const out = join(page, 'out');
  try {
    const write = (name, text) => writeFileSync(join(page, name), text);
    mkdirSync(join(page, 'deep'));
    write('index.html', '<!doctype html><script type="module" src="app.js"></script>');
    write('app.js', "new Worker(new URL('./deep/inner.js', import.meta.url), { type: 'module' });");
    write('deep/inner.js', "new Worker(new URL('../worker.js', import.meta.url), { type: 'module' });\n");
    write('worker.js', 'postMessage(1);');
    const built = await buildDemo(out, page);
    const names = built.map(({ path }) => path).filter((path) => path.endsWith('.js')).map((path) => posix.basename(path));
    assert.deepEqual(names, ['app.js', 'deep-inner.js', 'worker.js']);
    const [assets] = readdirSync(out).filter((name) => name.startsWith('assets-'));
    assert.match(readFileSync(join(out, assets, 'app.js'), 'utf8'), /new URL\("\.\/deep-inner\.js",import\.meta\.url\)/);
    assert.match(readFileSync(join(out, assets, 'deep-inner.js'), 'utf8'), /new URL\("\.\/worker\.js",import\.meta\.url\)/);
    write('app.js', "new Worker(new URL('./gone.js', import.meta.url));");
    await assert.rejects(buildDemo(out, page), /there is no \.\/gone\.js/);
  } finally {
    rmSync(page, { recursive: true });
  }
});
