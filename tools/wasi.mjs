// SPDX-License-Identifier: Apache-2.0
//
// Runs a WASI program under Node, with the current folder as its own: node tools/wasi.mjs program.wasm [arguments]

import { readFileSync } from 'node:fs';
import { WASI } from 'node:wasi';

const args = process.argv.slice(2);
const wasi = new WASI({ version: 'preview1', args, env: process.env, preopens: { '.': '.' }, returnOnExit: true });
const instance = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(args[0])), wasi.getImportObject());
process.exitCode = wasi.start(instance);
