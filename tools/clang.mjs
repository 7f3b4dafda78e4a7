// SPDX-License-Identifier: Apache-2.0
//
// Runs a batch of clang and wasm-ld commands with whichever LLVM there is: a native clang >= 20 with its linker,
// or else the one that npm's @yowasp/clang carries. A command whose text and input files are those of the last run
// is skipped, so that both behave alike in an incremental build.
//
//     printf '%s\n' 'clang --target=wasm32 -c src/a.c -o build/a.o' ... 'wasm-ld ... -o build/a.wasm' | node tools/clang.mjs
//     node tools/clang.mjs --which
//
// One command a line, words separated by spaces, each with its -o; links last. The environment decides:
// TOOLCHAIN=native|npm forces one, CLANG names a compiler, WASI_SDK_PATH a WASI SDK.

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';

const OLDEST_CLANG = 20; // 19 stops at a vector in inline assembly, by which vec.h orders instructions
const { TOOLCHAIN = '', CLANG = '', WASI_SDK_PATH = '', PATH = '' } = process.env;

// The WASI target has had two names. Jobs say the newer one, npm's clang knows only that; Debian's wasi-libc has only
// the older, of which clang warns.
const WASI = '--target=wasm32-wasip1';
const PROBES = {
  wasm: {
    targets: [['--target=wasm32']],
    source: `#include <wasm_simd128.h>
      v128_t f(v128_t a, v128_t b, v128_t c) { __asm__("" : "+r"(a)); return wasm_f32x4_relaxed_madd(a, b, c); }`,
    packages: `a clang >= ${OLDEST_CLANG} with wasm-ld (Debian: clang-22 lld-22)`,
  },
  wasi: {
    targets: [[WASI], ['--target=wasm32-wasi', '-Wno-deprecated']],
    source: '#include <stdio.h>\nint main(void) { return puts("hello") < 0; }',
    packages: `a clang >= ${OLDEST_CLANG} for WASI (Debian: clang-22 lld-22 wasi-libc libclang-rt-22-dev-wasm32)`,
  },
};

const run = (command, args, options) => spawnSync(command, args, { encoding: 'utf8', ...options });

function candidates() {
  if (CLANG) return [CLANG];
  const found = WASI_SDK_PATH ? [join(WASI_SDK_PATH, 'bin', 'clang')] : [];
  for (const version of ['', '-22', '-21', '-20']) found.push(`clang${version}`);
  for (const prefix of ['/opt/homebrew', '/usr/local', '/home/linuxbrew/.linuxbrew']) {
    found.push(`${prefix}/opt/llvm/bin/clang`);
  }
  return found;
}

/** What `clang` can build for the kind of target, or undefined: the version is read, then a probe compiled and linked. */
function probe(clang, kind) {
  const macros = run(clang, ['-dM', '-E', '-x', 'c', '-'], { input: '' }).stdout ?? '';
  const [, major = '0'] = /__clang_major__ (\d+)/.exec(macros) ?? [];
  const [, version = ''] = /__clang_version__ "([^"]*)"/.exec(macros) ?? [];
  if (Number(major) < OLDEST_CLANG) return undefined;
  const linker = run(clang, ['--target=wasm32', '-print-prog-name=wasm-ld']).stdout?.trim() || 'wasm-ld';
  const folder = mkdtempSync(join(tmpdir(), 'probe-'));
  try {
    writeFileSync(join(folder, 'a.c'), PROBES[kind].source);
    for (const target of PROBES[kind].targets) {
      const compile = [...target, '-O1', '-msimd128', ...(kind === 'wasm' ? ['-mrelaxed-simd'] : []), '-c', 'a.c'];
      const link = kind === 'wasm' ? [linker, '--no-entry', '--export-all', 'a.o'] : [clang, ...target, 'a.o'];
      if (run(clang, compile, { cwd: folder }).status === 0
        && run(link[0], [...link.slice(1), '-o', 'a.wasm'], { cwd: folder }).status === 0) {
        return { name: `${clang} (${version.trim()})`, clang, linker, target };
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return undefined;
}

/** The native toolchain to use, or undefined for npm's. A find is remembered under build/, a failure is not. */
function findNative(kind) {
  if (TOOLCHAIN === 'npm') return undefined;
  const key = JSON.stringify([CLANG, WASI_SDK_PATH, PATH]);
  const memory = `build/toolchain-${kind}.json`;
  if (existsSync(memory)) {
    const remembered = JSON.parse(readFileSync(memory, 'utf8'));
    if (remembered.key === key) return remembered.tools;
  }
  for (const clang of candidates()) {
    const tools = probe(clang, kind);
    if (!tools) continue;
    mkdirSync('build', { recursive: true });
    writeFileSync(memory, JSON.stringify({ key, tools }));
    return tools;
  }
  if (CLANG || TOOLCHAIN === 'native') {
    throw new Error(`${CLANG ? `CLANG=${CLANG} is not` : 'TOOLCHAIN=native needs'} ${PROBES[kind].packages}`);
  }
  return undefined;
}

function nativeToolchain({ name, clang, linker, target }) {
  const execute = ({ words }) => new Promise((resolve) => {
    const [tool, ...args] = words.flatMap((word) => (word === WASI ? target : word));
    const child = spawn(tool === 'wasm-ld' ? linker : clang, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', () => resolve(false));
    child.on('exit', (code) => resolve(code === 0));
  });
  return { name, parallel: availableParallelism(), execute };
}

/** Loads npm's LLVM. Baseline compilation and no streaming take its start from 4.5 s to 2 s and a third of the memory. */
async function loadLlvm() {
  for (const flag of ['--liftoff-only', '--no-wasm-tier-up', '--no-wasm-dynamic-tiering']) setFlagsFromString(flag);
  const llvm = await import('@yowasp/clang');
  const { Response } = globalThis;
  const { compileStreaming } = WebAssembly;
  globalThis.Response = class {
    constructor(data) { this.data = data; }
    get body() { return { pipeThrough: () => this.data }; }
    async arrayBuffer() {
      return this.data.buffer.slice(this.data.byteOffset, this.data.byteOffset + this.data.byteLength);
    }
  };
  WebAssembly.compileStreaming = async (response) => WebAssembly.compile((await response).data);
  try {
    await llvm.runLLVM(null, {}, { fetchProgress() {} });
  } finally {
    globalThis.Response = Response;
    WebAssembly.compileStreaming = compileStreaming;
  }
  return llvm;
}

/** The compiler works on a tree of files: every C file beside the source and in the -I folders, or the objects. */
function filesFor({ words, output }) {
  const tree = {};
  const folder = (path) => path.split('/').reduce((node, name) => (node[name] ??= {}), tree);
  const add = (path) => { folder(dirname(path))[path.split('/').pop()] = readFileSync(path); };
  folder(dirname(output));
  const inputs = words.filter((word) => /\.[aco]$/.test(word) && word !== output);
  inputs.forEach(add);
  const folders = words.filter((word) => word.startsWith('-I')).map((word) => word.slice(2));
  for (const path of [...folders, ...inputs.filter((word) => word.endsWith('.c')).map(dirname)]) {
    for (const name of readdirSync(path)) if (/\.[ch]$/.test(name)) add(`${path}/${name}`);
  }
  return tree;
}

function npmToolchain() {
  const { version } = JSON.parse(readFileSync('node_modules/@yowasp/clang/package.json', 'utf8'));
  let loading;
  const execute = async (job) => {
    const llvm = await (loading ??= loadLlvm());
    const write = (bytes) => { if (bytes) process.stderr.write(bytes); };
    const options = { decodeASCII: false, synchronously: true, stdout: write, stderr: write };
    // runClang starts LLVM twice, once to plan; compiling alone needs no plan.
    const start = job.words[0] === 'clang' && !job.words.includes('-c') ? llvm.runClang : llvm.runLLVM;
    try {
      const tree = start(job.words, filesFor(job), options);
      for (const path of [job.output, job.output.replace(/\.o$/, '.d')]) {
        const data = path.split('/').reduce((node, name) => node?.[name], tree);
        if (data) writeFileSync(path, data);
      }
      return true;
    } catch (error) {
      if (!(error instanceof llvm.Exit)) throw error;
      return false;
    }
  };
  return { name: `@yowasp/clang ${version}`, parallel: 1, execute };
}

function parseJob(line) {
  const words = line.trim().split(/\s+/);
  const output = words[words.indexOf('-o') + 1];
  if (!words.includes('-o') || !['clang', 'wasm-ld'].includes(words[0])) throw new Error(`not a job: ${line}`);
  return { words, output, isLink: !words.includes('-c') };
}

/** Hash of everything that decides the output, or undefined while the inputs are not known. */
function fingerprint(toolchain, { words, output, isLink }) {
  let inputs = words.filter((word) => /\.[ao]$/.test(word) && word !== output);
  if (!isLink) {
    const dependencies = output.replace(/\.o$/, '.d');
    if (!existsSync(dependencies)) return undefined;
    inputs = readFileSync(dependencies, 'utf8').replace(/^.*?:/, '').split(/[\s\\]+/).filter(Boolean);
  }
  const hash = createHash('sha256').update(`${toolchain.name}\n${words.join(' ')}`);
  for (const input of inputs) {
    if (!existsSync(input)) return undefined;
    hash.update(`\n${input}\n`).update(readFileSync(input));
  }
  return hash.digest('hex');
}

async function perform(toolchain, job) {
  const stamp = `build/stamps/${job.output.replaceAll('/', '.')}`;
  const before = fingerprint(toolchain, job);
  if (before && existsSync(job.output) && existsSync(stamp) && readFileSync(stamp, 'utf8') === before) return;
  console.log(`  ${job.words[0]} ${job.output}`);
  for (const path of [job.output, stamp]) mkdirSync(dirname(path), { recursive: true });
  rmSync(stamp, { force: true });
  if (!await toolchain.execute(job)) throw new Error(`failed: ${job.words.join(' ')}`);
  writeFileSync(stamp, fingerprint(toolchain, job));
}

/** Runs jobs that do not depend on each other, as many at once as the toolchain can. */
async function performAll(toolchain, jobs) {
  const queue = jobs.values();
  const worker = async () => { for (const job of queue) await perform(toolchain, job); };
  await Promise.all(Array.from({ length: toolchain.parallel }, worker));
}

async function main() {
  if (!['', 'native', 'npm'].includes(TOOLCHAIN)) throw new Error(`TOOLCHAIN=${TOOLCHAIN}: expected native or npm`);
  if (process.argv[2] === '--which') return console.log((findNative('wasm') ?? npmToolchain()).name);
  const jobs = readFileSync(0, 'utf8').split('\n').filter(Boolean).map(parseJob);
  const native = findNative(jobs.some(({ words }) => words.includes(WASI)) ? 'wasi' : 'wasm');
  const toolchain = native ? nativeToolchain(native) : npmToolchain();
  await performAll(toolchain, jobs.filter((job) => !job.isLink));
  await performAll(toolchain, jobs.filter((job) => job.isLink));
}

main().catch((error) => {
  console.error(`clang.mjs: ${error.message}`);
  process.exit(1); // npm's LLVM would keep the process alive
});
