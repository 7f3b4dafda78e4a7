// SPDX-License-Identifier: Apache-2.0
// The declarations say what the package takes: types.test.ts has calls that must and calls that must not compile. And
// what they export is what is there.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import * as attention from '../js/index.js';

const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));

test('types: what must compile does, and what must not does not', () => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [path('node_modules/typescript/bin/tsc'), '-p', path('tests')],
    { encoding: 'utf8' },
  );
  assert.equal(status, 0, stdout + stderr);
});

test('types: every value that is declared is exported, and the other way round', () => {
  const declared = [
    ...readFileSync(path('js/index.d.ts'), 'utf8').matchAll(/^export (?:declare )?(?:class|function|const) (\w+)/gm),
  ];
  assert.deepEqual([...new Set(declared.map(([, name]) => name))].sort(), Object.keys(attention).sort());
});
