// SPDX-License-Identifier: Apache-2.0
// The JavaScript of the manuals runs, from the first block of a page to its last, and prints what the page says.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const root = new URL('..', import.meta.url);

/** All blocks as one module, each where it stands in the page; what line n logs goes out as a line of JSON, [n, text]. */
function moduleOf(page) {
  let isCode = false;
  const lines = page.split('\n').map((line, n) => {
    if (/^```/.test(line)) {
      isCode = line === '```js';
      return '';
    }
    return isCode ? line.replace(/console\.(log|table)\(/g, `print(${n + 1}, `) : '';
  });
  const body = lines.join('\n').replaceAll("from 'masked-attention'", `from '${new URL('js/index.js', root)}'`);
  return `${body}
import { format } from 'node:util';
function print(line, ...values) { console.log(JSON.stringify([line, format(...values)])); }
`;
}

/** What line n of the page says that it prints: the comment behind it, in which … stands for more digits. */
function expectationOf(line) {
  const [, comment] = /console\.log\(.*\); \/\/ (.*)$/.exec(line) ?? [];
  if (comment === undefined) return undefined;
  const [value] = comment.split(/: (?=[a-z])/); // and what it means
  return new RegExp(`^${value.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('…', '\\d*')}$`);
}

for (const name of ['maskers.md', 'masks.md']) {
  test(`docs/${name}: its blocks run and print what it says`, () => {
    const page = readFileSync(new URL(`docs/${name}`, root), 'utf8');
    const folder = mkdtempSync(join(tmpdir(), 'attn-docs-'));
    let printed;
    try {
      writeFileSync(join(folder, 'page.mjs'), moduleOf(page));
      const text = execFileSync(process.execPath, ['page.mjs'], { cwd: folder, encoding: 'utf8' });
      printed = text.trim().split('\n').map((line) => JSON.parse(line));
    } finally {
      rmSync(folder, { recursive: true });
    }
    let isCode = false;
    page.split('\n').forEach((line, n) => {
      if (/^```/.test(line)) isCode = line === '```js';
      if (!isCode || !/console\.(log|table)\(/.test(line)) return;
      const own = printed.filter(([number]) => number === n + 1).map(([, text]) => text);
      assert.ok(own.length > 0, `line ${n + 1} prints nothing`);
      for (const text of own) {
        assert.doesNotMatch(text, /\b(NaN|undefined)\b/, `line ${n + 1}`);
        assert.match(text, expectationOf(line) ?? /\S/, `line ${n + 1}`);
      }
    });
  });
}
