// SPDX-License-Identifier: Apache-2.0
//
// The five rules that keep the C sources simple (see CONTRIBUTING.md), as searches over their text. Every rule is
// also shown a text that breaks it, so that a search that finds nothing means something.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import test from 'node:test';

const root = new URL('..', import.meta.url);
const read = (path) => readFileSync(new URL(path, root), 'utf8');

/** C text without comments, strings and continued lines. */
const bare = (text) => text.replace(/\\\n/g, ' ')
  .replace(/\/\*[^]*?\*\/|\/\/.*|"(?:[^"\\\n]|\\.)*"/g, (match) => (match.startsWith('"') ? match : ' '));

const sources = new Map(readdirSync(new URL('src', root)).sort().map((name) => [name, bare(read(`src/${name}`))]));
const makefile = new Map([['Makefile', read('Makefile').replace(/^#.*$/gm, '')]]);

/** What of `pattern` (with flag g) stands in the files that `applies` to. */
function search(files, applies, pattern) {
  return [...files].filter(([name]) => applies(name))
    .flatMap(([name, text]) => [...text.matchAll(pattern)].map(([match]) => `${name}: ${match.trim()}`));
}

/** Variables with static storage that are not constant. */
function mutableStatics(files) {
  return [...files].flatMap(([name, text]) => {
    const code = text.replace(/^[ \t]*#.*$/gm, '').replace(/"(?:[^"\\\n]|\\.)*"/g, '""').replace(/\bextern ""\s*\{/g, '');
    const local = [...code.matchAll(/\bstatic\b[^;{}()=]*[;=]/g)].map(([match]) => match);
    // At file scope: with bodies taken away, a function's leaves a semicolon, a struct's or an initialiser's nothing.
    let flat = code;
    for (let before; before !== flat;) {
      before = flat;
      flat = flat.replace(/\)\s*\{[^{}]*\}/g, ');').replace(/([^)\s])\s*\{[^{}]*\}/g, '$1');
    }
    const outer = flat.split(';').map((statement) => statement.trim().replace(/\s+/g, ' ').replace(/=.*/, '='))
      .filter((statement) => /^[\w*\s[\]]+=?$/.test(statement))
      .filter((statement) => !/^(extern|typedef)\b|^(struct|enum|union)( \w+)?$/.test(statement));
    return [...local, ...outer].filter((declaration) => !/\bconst\b[^*]*$/.test(declaration))
      .map((declaration) => `${name}: ${declaration.trim()}`);
  });
}

const rules = [
  {
    name: '1. plan.c holds no floating-point arithmetic',
    find: (files) => search(files, (name) => name === 'plan.c', /\b(float|double)\b|\b\d+\.\d*|\.\d+f?\b/g),
    broken: { 'plan.c': 'x = 0.5f * (float)n;' },
  },
  {
    name: '1. kernels know no mask, no problem and no plan',
    find: (files) => search(files, (name) => /^(tile|vec)/.test(name),
      /\bATTN_MASK\w*|\battn_(mask|problem|plan|dropout)\w*|#\s*include "(attn|mask|plan|dropout)\.h"/g),
    broken: { 'tile_f32.c': 'void f(const struct attn_mask *mask);' },
  },
  {
    name: '2. only vec.h asks for the target',
    find: (files) => search(files, (name) => name !== 'vec.h', /^[ \t]*#\s*(if|elif)(?!def __cplusplus$).*\b_\w+.*$/gm),
    broken: { 'run.c': '#if defined(__wasm_simd128__)\n#endif' },
  },
  {
    name: '3. no source changes how it is compiled',
    find: (files) => search(files, () => true,
      /__attribute__\s*\(\(\s*_*(target|optimize)\w*|#\s*pragma.*\b(target|optimize|contract|FP_CONTRACT)\b|_Pragma\(".*(target|optimize|contract)/g),
    broken: { 'run.c': '__attribute__((target("avx2"))) void f(void);' },
  },
  {
    name: '3. no file has flags of its own',
    files: makefile,
    find: (files) => search(files, () => true, /^[^\t\n:=]+:[^:=\n]*\b\w*(flags|FLAGS|every|wasm_\w+)\b[^\n]*=.*$/gm),
    broken: { Makefile: '$(out)/src/run.o: flags += -O3' },
  },
  {
    name: '3. no struct depends on the instruction set',
    find: (files) => search(files, (name) => !name.startsWith('vec'), /\bstruct \w+ \{[^}]*\b(vec|v128_t)\b[^}]*\}/g),
    broken: { 'softmax.h': 'struct state { vec max; };' },
  },
  {
    name: '4. only check.c and check_masker.c validate, for the entry points in attn.c',
    find: (files) => search(files, (name) => /\.c$/.test(name) && !['attn.c', 'check.c', 'check_masker.c'].includes(name), /\bATTN_ERROR_\w+/g),
    broken: { 'run.c': 'if (!plan) return ATTN_ERROR_NULL;' },
  },
  {
    name: '5. no mutable static data',
    find: mutableStatics,
    broken: { 'run.c': 'static int calls;\nint f(void) { return calls++; }' },
  },
  {
    name: '5. a plan holds no pointers',
    find: (files) => search(files, (name) => name === 'attn.h', /struct attn_plan \{[^}]*\*[^}]*\}/g),
    broken: { 'attn.h': 'struct attn_plan { size_t jobs; float *rows; };' },
  },
];

for (const { name, files = sources, find, broken } of rules) {
  test(name, () => {
    assert.notDeepEqual(find(new Map(Object.entries(broken))), []);
    assert.deepEqual(find(files), []);
  });
}

test('5. mutable static data is found wherever it hides', () => {
  const found = (text) => mutableStatics(new Map([['a.c', text]])).length > 0;
  for (const text of ['int table[3] = {1, 2, 3};', 'struct a { int b; };\nstruct a state;', 'static const char *name = "";',
    'void f(void) { static float cache[4]; }', 'int f(int a) { return a; }\nstatic size_t n = 0;']) {
    assert.ok(found(text), text);
  }
  for (const text of ['static const int table[] = {1, 2};', 'static const char *const names[] = {"a"};', 'struct a { int b; };',
    'extern unsigned char __heap_base;', 'typedef int a;', 'static int f(int a) { int b = a; return b; }', 'enum a { B, C };',
    'static inline int f(void);\nint g(void);']) {
    assert.ok(!found(text), text);
  }
});

test('5. the modules import their memory, of the size they say, and nothing else', async () => {
  for (const variant of ['base', 'relaxed']) {
    const bytes = readFileSync(new URL(`js/${variant}.wasm`, root));
    const { initialPages } = await import(`../js/binary-${variant}.js`);
    if (!WebAssembly.validate(bytes)) continue; // relaxed SIMD on Node 20
    const module = new WebAssembly.Module(bytes);
    assert.deepEqual(WebAssembly.Module.imports(module), [{ module: 'env', name: 'memory', kind: 'memory' }]);
    const instantiate = (initial) => new WebAssembly.Instance(module, { env: { memory: new WebAssembly.Memory({ initial }) } });
    assert.ok(instantiate(initialPages).exports.attn_memory_base() <= initialPages * 65536);
    assert.throws(() => instantiate(initialPages - 1), WebAssembly.LinkError);
  }
});

test('no relaxed instruction without the relaxed flag', () => {
  assert.ok(WebAssembly.validate(readFileSync(new URL('js/base.wasm', root))));
});
