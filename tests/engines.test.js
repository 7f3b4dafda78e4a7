// SPDX-License-Identifier: Apache-2.0
// Starting, ending and running several engines; where the wasm comes from; what a trap does.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { createAttention } from '../js/index.js';
import { assertSameBits, draw, engine, hasCode } from './calls.js';
import { attend } from './oracle.js';
import { compare } from './support.js';

const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

// ---------------------------------------------------------------------------------------------- engines

test('two engines side by side, and one that outlives the other', async () => {
  const [a, b] = [await engine(), await engine()];
  const problems = Array.from({ length: 20 }, (_, n) => draw(n, [1, 2, 1, 1 + n, 3 * n + 1, 8, 8]));
  const expected = problems.map((options) => a.getMaskedAttentionOutput(options).output.data);
  const mine = a.tensor([1, 2, 1, 8]);
  mine.data.fill(0.5);
  problems.forEach((options, n) => {
    assertSameBits(b.getMaskedAttentionOutput(options).output.data, expected[n]);
    assertSameBits(a.getMaskedAttentionOutput(options).output.data, expected[n]);
  });
  // A tensor of one engine is an ordinary array to the other, also as out.
  const [, , three] = problems;
  const query = { ...three, queries: mine };
  assertSameBits(b.getMaskedAttentionOutput(query).output.data, a.getMaskedAttentionOutput(query).output.data);
  const out = { output: a.tensor([1, 1, 2, 8]) };
  const result = b.getMaskedAttentionOutput({ ...query, out }).output;
  assert.equal(result, out.output);
  assertSameBits(out.output.data, a.getMaskedAttentionOutput(query).output.data);
  a.dispose();
  a.dispose();
  problems.forEach((options, n) => assertSameBits(b.getMaskedAttentionOutput(options).output.data, expected[n]));
  for (const method of [
    'getMaskedAttentionOutput',
    'getAttentionPartials',
    'getAttentionNumerator',
    'getAttentionDenominator',
    'mergePartials',
    'finishPartials',
    'tensor',
    'info',
  ])
    assert.throws(() => a[method](three), hasCode('disposed'), method);
  if (Symbol.dispose) {
    b[Symbol.dispose]();
    assert.throws(() => b.info(), hasCode('disposed'));
  }
});

test('info() says what runs', async () => {
  const attention = await createAttention();
  const info = attention.info();
  assert.equal(info.version, manifest.version);
  assert.ok(['base', 'relaxed'].includes(info.variant));
  assert.equal(info.reproducible, info.variant === 'base');
  assert.match(info.why, /\S/);
  assert.ok(info.memoryBytes > 0 && info.memoryBytes % 65536 === 0);
  assert.ok(info.usedBytes > 0 && info.usedBytes < info.memoryBytes);
  attention.dispose();
});

test('wasm: a Module, bytes, a view, a Response, a URL', async () => {
  const file = new URL('../js/base.wasm', import.meta.url);
  const bytes = new Uint8Array(readFileSync(file));
  const padded = new Uint8Array(bytes.length + 7);
  padded.set(bytes, 7);
  const expected = (await engine()).getMaskedAttentionOutput(draw()).output.data;
  const sources = [
    await WebAssembly.compile(bytes),
    bytes,
    bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
    padded.subarray(7),
    new Response(bytes, { headers: { 'content-type': 'application/wasm' } }),
    new Response(bytes), // whatever the server calls it
  ];
  if (process.getBuiltinModule) sources.push(file);
  for (const wasm of sources) {
    const attention = await createAttention({ wasm, variant: 'base' });
    assert.equal(attention.info().variant, 'base');
    assertSameBits(attention.getMaskedAttentionOutput(draw()).output.data, expected);
    attention.dispose();
  }
});

test('a failed start does not poison the next one', async () => {
  const failures = [
    { wasm: new Uint8Array(4) },
    { wasm: new Response('not found', { status: 404 }) },
    { maxMemoryBytes: 65536 },
    { wasm: trapping().subarray(0, 30) },
    { variant: 'none' },
  ];
  for (const options of failures) {
    await assert.rejects(createAttention(options));
    const attention = await createAttention();
    const problem = draw();
    const { output } = attention.getMaskedAttentionOutput(problem);
    const found = compare('output', output.data, attend(problem), attend(problem, Math.fround), problem);
    assert.equal(found.message, undefined);
    attention.dispose();
  }
});

/** A module with the core's exports whose computations trap. */
function trapping() {
  const text = (string) => [string.length, ...Buffer.from(string)];
  const section = (id, content) => [
    id,
    (content.length % 128) + (content.length > 127 ? 128 : 0),
    ...(content.length > 127 ? [content.length >> 7] : []),
    ...content,
  ];
  const address = [
    'attn_memory_base',
    'attn_heap_init',
    'attn_heap_alloc',
    'attn_heap_used',
    'attn_heap_shortfall',
    'attn_heap_extend',
    'attn_heap_free',
  ];
  const traps = [
    'attn_plan_init',
    'attn_run',
    'attn_run_slice',
    'attn_list_entries',
    'attn_explain',
    'attn_partials_merge',
    'attn_partials_finish',
    'attn_convert',
    'attn_masker_plan_init',
    'attn_masker_append',
    'attn_masker_choose',
  ];
  const exported = [...address.map((name) => [name, 0]), ...traps.map((name) => [name, 1])];
  return Uint8Array.from([
    ...Buffer.from('\0asm\x01\0\0\0'),
    ...section(1, [1, 0x60, 0, 1, 0x7f]), // () -> i32
    ...section(2, [1, ...text('env'), ...text('memory'), 2, 0, 1]),
    ...section(3, [2, 0, 0]),
    ...section(7, [exported.length, ...exported.flatMap(([name, index]) => [...text(name), 0, index])]),
    ...section(10, [2, 6, 0, 0x41, 0x80, 0x80, 0x04, 0x0b, 3, 0, 0x00, 0x0b]), // i32.const 65536; unreachable
  ]);
}

test('a trap ends the instance, and only that one', async () => {
  const attention = await createAttention({ wasm: trapping(), variant: 'base' });
  const made = attention.tensor([1]);
  assert.throws(
    () => attention.getMaskedAttentionOutput(draw()),
    (error) => hasCode('internal')(error) && error.cause instanceof WebAssembly.RuntimeError,
  );
  assert.throws(() => attention.getMaskedAttentionOutput(draw()), hasCode('disposed'));
  assert.throws(() => attention.info(), hasCode('disposed'));
  assert.throws(() => made.data, hasCode('disposed'));
  attention.dispose();
  const next = await engine();
  next.getMaskedAttentionOutput(draw());
  next.dispose();
});
