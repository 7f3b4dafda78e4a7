// SPDX-License-Identifier: Apache-2.0

/**
 * From the options of createAttention to a running instance: which variant, where its module comes from, and what can
 * go wrong at each step. Nothing is remembered between calls, so a failure never affects a later one.
 */

import { Attention } from './attention.js';
import { checkChoice, checkInteger, checkOptions, typeError } from './checks.js';
import { Engine } from './engine.js';
import { AttentionError } from './errors.js';
import { PAGE_BYTES } from './memory.js';

const VERSION = '0.1.0';
const KNOWN = new Set(['variant', 'wasm', 'maxMemoryBytes']);
const VARIANTS = ['auto', 'base', 'relaxed'];
const MAX_BYTES = 65536 * PAGE_BYTES;

/** For a module that does not say how much it needs: amply more than stack and data; untouched pages cost nothing. */
const AMPLE_PAGES = 32;

/** A module with one function, f32x4.relaxed_madd of three constants. */
// prettier-ignore
const RELAXED_PROBE = [
  0, 97, 115, 109, 1, 0, 0, 0, // magic number, version
  1, 5, 1, 96, 0, 1, 123, // type: () -> v128
  3, 2, 1, 0, // a function of that type
  10, 19, 1, 17, 0, 65, 0, 253, 15, 65, 0, 253, 15, 65, 0, 253, 15, 253, 133, 2, 11, // its body
];

/**
 * @param options those of createAttention
 * @param loadVariant async (variant) => { module, initialPages }
 */
export async function create(options, loadVariant) {
  checkOptions(options, 'options', KNOWN);
  const { variant, wasm, maxMemoryBytes = MAX_BYTES } = options;
  const asked = checkChoice(variant, 'variant', VARIANTS);
  checkInteger(maxMemoryBytes, 'maxMemoryBytes', PAGE_BYTES, MAX_BYTES);
  const load = wasm === undefined ? loadVariant : loaderOf(wasm);

  let choice;
  let binary;
  try {
    choice = choose(asked, wasm !== undefined);
    binary = await load(choice.variant);
  } catch (cause) {
    throw unavailable(cause);
  }
  const memory = makeMemory(binary.initialPages ?? AMPLE_PAGES, maxMemoryBytes);
  try {
    const instance = await WebAssembly.instantiate(binary.module, { env: { memory } });
    const engine = new Engine(instance, memory, maxMemoryBytes);
    return new Attention(engine, { version: VERSION, ...choice, reproducible: choice.variant === 'base' });
  } catch (cause) {
    throw unavailable(cause);
  }
}

function unavailable(cause) {
  if (cause instanceof AttentionError) return cause;
  const isRefused = typeof WebAssembly === 'undefined' || cause instanceof WebAssembly.CompileError;
  const hint = isRefused ? " (it needs SIMD, and 'wasm-unsafe-eval' under a content security policy)" : '';
  const message = `the wasm module could not be loaded: ${cause?.message ?? cause}${hint}`;
  return new AttentionError('wasm-unavailable', message, { cause });
}

function choose(asked, isOwnModule) {
  if (asked === 'base') return { variant: 'base', why: 'asked for' };
  if (asked === 'auto' && isOwnModule) {
    return { variant: 'unknown', why: 'a module was passed without naming its variant' };
  }
  const hasRelaxed = WebAssembly.validate(Uint8Array.from(RELAXED_PROBE));
  if (asked === 'relaxed') {
    if (hasRelaxed) return { variant: 'relaxed', why: 'asked for' };
    throw new AttentionError('unsupported', "variant: this engine has no relaxed SIMD; use 'auto' or 'base'");
  }
  return hasRelaxed
    ? { variant: 'relaxed', why: 'this engine has relaxed SIMD' }
    : { variant: 'base', why: 'this engine has no relaxed SIMD' };
}

/** How to load a module from the `wasm` option. */
function loaderOf(wasm) {
  if (typeof WebAssembly !== 'undefined' && wasm instanceof WebAssembly.Module) return async () => ({ module: wasm });
  if (wasm instanceof ArrayBuffer || ArrayBuffer.isView(wasm)) return () => compile(wasm);
  if (typeof Response !== 'undefined' && wasm instanceof Response) return () => compileResponse(wasm);
  if (wasm instanceof URL) return () => compileUrl(wasm);
  throw typeError('wasm', 'a WebAssembly.Module, an ArrayBuffer or a view of one, a Response or a URL', wasm);
}

async function compile(bytes) {
  return { module: await WebAssembly.compile(bytes) };
}

async function compileResponse(response) {
  if (!response.ok) {
    throw new Error(`the response${response.url && ` of ${response.url}`} has status ${response.status}`);
  }
  return compile(await response.arrayBuffer());
}

async function compileUrl(url) {
  // Node's fetch reads no files; importing node:fs by name would trouble bundlers for browsers.
  const files = url.protocol === 'file:' && globalThis.process?.getBuiltinModule?.('node:fs/promises');
  return files ? compile(await files.readFile(url)) : compileResponse(await fetch(url));
}

function makeMemory(initialPages, maxBytes) {
  const maximum = Math.floor(maxBytes / PAGE_BYTES);
  const initial = initialPages + 1; // one for the heap's own state and the structs of a call
  if (maximum < initial) {
    throw new RangeError(`maxMemoryBytes: expected at least ${initial * PAGE_BYTES} for this module, got ${maxBytes}`);
  }
  try {
    return new WebAssembly.Memory({ initial, maximum });
  } catch (cause) {
    throw new AttentionError('out-of-memory', `no room for a wasm memory of up to ${maxBytes} bytes`, { cause });
  }
}
