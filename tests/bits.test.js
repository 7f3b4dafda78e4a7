// SPDX-License-Identifier: Apache-2.0
// The base variant computes the same bits as the native plain-C build: bits.c, built natively and for wasm, says a hash
// of all results for each of many seeded cases (cases.c). The package's own modules are compared through the package.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const count = 2000;
const file = (name) => new URL(`../build/tests/${name}`, import.meta.url);

/** `seed hash` lines of the native build. */
const native = (cases) =>
  execFileSync(file('bits').pathname, [String(cases)], { encoding: 'utf8', maxBuffer: 1 << 26 })
    .trim()
    .split('\n');

async function wasm(name, cases) {
  const module = await WebAssembly.compile(readFileSync(file(name)));
  assert.deepEqual(WebAssembly.Module.imports(module), [], 'it stands alone');
  const { exports } = await WebAssembly.instantiate(module);
  return Array.from({ length: cases }, (_, n) => {
    const bits = BigInt.asUintN(64, exports.bits_case(n + 1));
    return `${n + 1} ${bits.toString(16).padStart(16, '0')}`;
  });
}

test(`bits: base and native agree on ${count} cases`, async () => {
  const [expected, actual] = [native(count), await wasm('bits-base.wasm', count)];
  assert.equal(expected.length, count);
  assert.ok(
    new Set(expected.map((line) => line.split(' ')[1])).size > 0.9 * count,
    'the cases differ, so that agreement means something',
  );
  assert.ok(
    expected.every((line) => !/ 0{15}[01]$/.test(line)),
    'every case ran to its end',
  );
  for (let n = 0; n < count; n++) assert.equal(actual[n], expected[n], `case ${n + 1}`);
});
