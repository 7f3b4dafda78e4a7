// SPDX-License-Identifier: Apache-2.0
// The base variant computes the same bits as the native plain-C build: bits.c, built natively and for wasm, says for
// each of many seeded cases (cases.c) a hash of all results, and one of what a masker knows of the keys and chooses. The
// package's own modules are compared through the package.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { before, test } from 'node:test';

const count = 2000;
const file = (name) => new URL(`../build/tests/${name}`, import.meta.url);
const hashes = ['results', 'choices'];
let native, wasm;

before(async () => {
  native = execFileSync(file('bits').pathname, [String(count)], { encoding: 'utf8', maxBuffer: 1 << 26 })
    .trim()
    .split('\n')
    .map((line) => {
      const [, results, choices] = line.split(' ');
      return { results, choices };
    });
  const module = await WebAssembly.compile(readFileSync(file('bits-base.wasm')));
  assert.deepEqual(WebAssembly.Module.imports(module), [], 'it stands alone');
  const { exports } = await WebAssembly.instantiate(module);
  const hex = (bits) => BigInt.asUintN(64, bits).toString(16).padStart(16, '0');
  wasm = native.map((_, n) => ({ results: hex(exports.bits_case(n + 1)), choices: hex(exports.bits_masker(n + 1)) }));
});

for (const name of hashes) {
  test(`bits: base and native agree on the ${name} of ${count} cases`, () => {
    assert.equal(native.length, count);
    const expected = native.map((hash) => hash[name]);
    assert.ok(new Set(expected).size > 0.9 * count, 'the cases differ, so that agreement means something');
    assert.ok(
      expected.every((hash) => !/^0{15}[01]$/.test(hash)),
      'every case ran to its end',
    );
    for (let n = 0; n < count; n++) assert.equal(wasm[n][name], expected[n], `case ${n + 1}`);
  });
}
