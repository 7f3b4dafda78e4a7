// SPDX-License-Identifier: Apache-2.0

/** The command line: which command, its flags, and how it ends. */

import { readFileSync } from 'node:fs';

import { nearest } from '../js/checks.js';
import { maskers } from '../js/index.js';
import { compare } from './compare.js';
import { EXIT_OK, EXIT_USAGE } from './errors.js';
import { describeFlags, parseFlags } from './flags.js';
import { print } from './print.js';
import { explainError } from './problem.js';
import { render } from './render.js';
import { run } from './run.js';

const COMMANDS = {
  run: {
    call: run,
    line: 'attention over tensors in files',
    usage: `Usage: masked-attention run -q FILE -k FILE -v FILE [-o FILE] [flags]
       masked-attention run -i FILE [-o FILE] [flags]

Computes attention over queries, keys and values. Without --output it says what came out.`,
  },
  compare: {
    call: compare,
    line: 'pipelines of maskers side by side',
    usage: `Usage: masked-attention compare -i FILE --maskers TEXT --maskers TEXT.. [flags]
       masked-attention compare -i FILE --maskers TEXT --sweep PARAMETER=N,N.. [flags]

Compares pipelines of maskers with dense attention: density, output error, recall of the attention's mass (mean, 5th
percentile, worst row), times, speedup, and flops as a part of the dense ones.`,
  },
  render: {
    call: render,
    line: 'a head as a picture',
    usage: `Usage: masked-attention render Q.npy K.npy -o figure.svg [flags]
       masked-attention render -i FILE -o figure.png [flags]
       masked-attention render -w WEIGHTS -o figure.svg [flags]

Draws the attention weights of a head (or its scores, or what is kept) with axes and a legend. Of more than 1024
queries or keys a pixel is a block of them.`,
  },
};

const PIPELINES = `A pipeline is sink:4,local:256,quest:0.05:16 with values in the order of the parameters, or with
their names, quest(heavySize=0.05,pageSize=16); or JSON, or a .json file. @file.json as a value is what that file
holds, @file.safetensors the weights of hashAttention in it.
${Object.entries(maskers)
  .map(([name, { parameters = [] }]) => `  ${name}${parameters.length === 0 ? '' : `: ${parameters.join(', ')}`}`)
  .join('\n')}`;

const HELP = `Usage: masked-attention COMMAND [flags]

Commands:
${Object.entries(COMMANDS)
  .map(([name, { line }]) => `  ${name.padEnd(12)}${line}`)
  .join('\n')}

masked-attention COMMAND --help lists its flags, masked-attention --version tells the version.
Exit codes: 0 done, 1 failed (files, data, memory), 2 the command line is wrong.`;

/** Runs a command. @returns the exit code */
export async function main(args) {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', leaveQuietly);
  const [command, ...rest] = args;
  if (command === '--help' || command === '-h') return say(HELP);
  if (command === '--version') {
    return say(JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version);
  }
  if (!Object.hasOwn(COMMANDS, command ?? '')) return refuse(unknownCommand(command));
  const { call, usage } = COMMANDS[command];
  let flags = {};
  try {
    flags = parseFlags(command, rest);
    if (flags.help) return say(`${usage}\n${describeFlags(command)}\n\n${PIPELINES}`);
    await call(flags);
    return EXIT_OK;
  } catch (error) {
    const { message, code } = explainError(error, flags);
    return refuse(message, code);
  }
}

function unknownCommand(command) {
  if (command === undefined) {
    return `expected a command, got none; there are ${Object.keys(COMMANDS).join(', ')}; see --help`;
  }
  const near = nearest(command, new Set(Object.keys(COMMANDS)));
  return `${command}: unknown command; ${near === undefined ? 'see masked-attention --help' : `did you mean ${near}?`}`;
}

function say(text) {
  print(text);
  return EXIT_OK;
}

function refuse(message, code = EXIT_USAGE) {
  process.stderr.write(`masked-attention: ${message}\n`);
  return code;
}

/** Who reads our output may stop to. */
function leaveQuietly(error) {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
}
