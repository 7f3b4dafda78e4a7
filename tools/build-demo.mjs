// SPDX-License-Identifier: Apache-2.0
//
// The page as static files for any host, in any folder of it:
//
//     node tools/build-demo.mjs [folder]      web-demo/dist by default; prints sizes; replaces what an earlier run left
//
//     index.html           the page's own, its links pointing into the next
//     assets-<hash>/       bundles and style sheets; the hash is of all of them, so that no two versions are mixed and
//                          a host may let browsers keep them for ever
//     samples/             as they are, beside the assets as they are beside web-demo/
//     licenses.txt         of everything that is inside
//
// Entry points are what index.html loads and every module that a source names by new URL('./x.js', import.meta.url), as
// workers are. Bundles share chunks and stand in one folder, so what is found by import.meta.url is found from any of
// them.

import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const source = join(root, 'web-demo');
const samples = join(root, 'samples');

/** Modules and style sheets that index.html loads. */
const LINK = /\b(src|href)="([^":#?]+\.(?:css|m?js))"/g;
const MODULE_URL = /new URL\(\s*(['"])(\.{1,2}\/[^'"]+\.m?js)\1\s*,\s*import\.meta\.url\s*\)/g;
const ASSETS = /^assets-[0-9a-f]{10}$/;
const GENERATED = /^attention-map\/(ramps|glyphs|zoom)\.js$/;
const LICENSE_FILE = /^licen[cs]e(\.\w+)?$/i;

/** The name of an entry point beside the others: worker for the page's worker.js, attention-map-worker for another. */
function entryName(path, page) {
  const name = relative(path.startsWith(page) ? page : root, path);
  return name.replace(/\.\w+$/, '').replaceAll(/[\\/]/g, '-');
}

/** Follows modules that are named by URL: they become entry points, and the name that of their bundle. */
function moduleUrls(found, page) {
  return {
    name: 'module-urls',
    setup({ onLoad }) {
      onLoad({ filter: /\.m?js$/ }, ({ path }) => {
        const text = readFileSync(path, 'utf8');
        const missing = [];
        const contents = text.replace(MODULE_URL, (whole, quote, target) => {
          const file = resolve(dirname(path), target);
          if (!existsSync(file)) missing.push({ text: `${relative(page, path)}: there is no ${target}` });
          found.add(file);
          return `new URL(${quote}./${entryName(file, page)}.js${quote}, import.meta.url)`;
        });
        return { contents, loader: 'js', errors: missing };
      });
    },
  };
}

/** Bundles entry points and, again, with those that turn up on the way. */
async function bundle(files, page) {
  for (let entries = new Set(files); ;) {
    const found = new Set(entries);
    const result = await build({
      entryPoints: [...entries].map((file) => ({ in: file, out: entryName(file, page) })),
      outdir: 'assets',
      absWorkingDir: root,
      bundle: true,
      splitting: true,
      format: 'esm',
      target: 'es2022',
      minify: true,
      charset: 'utf8',
      chunkNames: 'chunk-[hash]',
      legalComments: 'none',
      metafile: true,
      write: false,
      logLevel: 'silent', // what it has to say is in the error
      plugins: [moduleUrls(found, page)],
    });
    if (result.warnings.length > 0) throw new Error(result.warnings.map(({ text }) => text).join('\n'));
    if (found.size === entries.size) return result;
    entries = found;
  }
}

/** What a generated module says of the package that it was made of, as its first comment. */
function noticeOf(path) {
  const text = readFileSync(join(root, path), 'utf8');
  const [comment] = /^(?:\/\/.*\n)+(?:\/\*![\s\S]*?\*\/)?/.exec(text);
  return comment.replaceAll(/^(?:\/\/|\/\*!| \*\/| \*) ?/gm, '').trim();
}

/** The texts of the licences of what was bundled. */
function licenses(inputs) {
  const packages = new Set(inputs.map((path) => /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]).filter(Boolean));
  const generated = inputs.filter((path) => GENERATED.test(path)).sort();
  const texts = [root, ...[...packages].sort().map((path) => join(root, path))].map((folder) => {
    const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const file = readdirSync(folder).find((entry) => LICENSE_FILE.test(entry));
    if (file === undefined) throw new Error(`${name} has no file that says its licence`);
    return `${name} ${version}\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`;
  });
  return [...texts, ...generated.map((path) => `${noticeOf(path)}\n`)].join(`\n${'-'.repeat(72)}\n\n`);
}

/**
 * Builds the page.
 * @param {string} [folder] where to
 * @param {string} [page] the folder of its index.html
 * @returns {Promise<{ path: string, bytes: number, gzipped: number }[]>} its files
 */
export async function buildDemo(folder = join(source, 'dist'), page = source) {
  const html = readFileSync(join(page, 'index.html'), 'utf8');
  const linked = new Map([...html.matchAll(LINK)].map(([, , path]) => [path, join(page, path)]));
  for (const [path, file] of linked) if (!existsSync(file)) throw new Error(`index.html: there is no ${path}`);
  const { outputFiles, metafile } = await bundle(linked.values(), page);

  const hash = createHash('sha256');
  const sorted = outputFiles.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  for (const { path, contents } of sorted) hash.update(basename(path)).update(contents);
  const assets = `assets-${hash.digest('hex').slice(0, 10)}`;

  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder)) {
    if (name === 'samples' || ASSETS.test(name)) rmSync(join(folder, name), { recursive: true });
  }
  mkdirSync(join(folder, assets));
  for (const { path, contents } of sorted) writeFileSync(join(folder, assets, basename(path)), contents);
  writeFileSync(join(folder, 'index.html'), html.replace(LINK, (_, attribute, path) => {
    const ending = path.endsWith('.css') ? '.css' : '.js';
    return `${attribute}="${assets}/${entryName(linked.get(path), page)}${ending}"`;
  }));
  writeFileSync(join(folder, 'licenses.txt'), licenses(Object.keys(metafile.inputs)));
  cpSync(samples, join(folder, 'samples'), { recursive: true });
  return measure(folder);
}

/** Every file of a folder, with its size and what a host that compresses sends of it. */
function measure(folder) {
  return readdirSync(folder, { recursive: true })
    .filter((path) => statSync(join(folder, path)).isFile())
    .sort()
    .map((path) => {
      const content = readFileSync(join(folder, path));
      return { path, bytes: content.length, gzipped: gzipSync(content, { level: 9 }).length };
    });
}

function report(files) {
  const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} kB`.padStart(10);
  const line = (name, bytes, gzipped) => {
    console.log(`${name.padEnd(44)}${kilobytes(bytes)}${kilobytes(gzipped)} gzipped`);
  };
  const sum = (list, key) => list.reduce((total, file) => total + file[key], 0);
  for (const { path, bytes, gzipped } of files) line(path, bytes, gzipped);
  const own = files.filter(({ path }) => !path.startsWith('samples'));
  line('without samples', sum(own, 'bytes'), sum(own, 'gzipped'));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , folder] = process.argv;
  report(await buildDemo(folder && resolve(folder)));
}
