// SPDX-License-Identifier: Apache-2.0

/**
 * Pipelines of maskers as text: JSON, a .json file, or `name:value:value,name(parameter=value,...)`, where values stand
 * in the order of the masker's parameters, or have their names. `@file.json` as a value is what that file holds,
 * `@file.safetensors` the weights of hashAttention in it.
 */

import { extname } from 'node:path';

import { checkOptions } from '../js/checks.js';
import { maskers, readHashWeights } from '../js/index.js';
import { FileError, UsageError } from './errors.js';
import { integerOf } from './flags.js';
import { readBytes } from './files.js';

const NAMES = new Set(Object.keys(maskers));

/** @returns {{ label: string, maskers: object[] }} as createSparseAttention takes them */
export function readPipeline(text) {
  const trimmed = text.trim();
  if (/^[[{]/.test(trimmed)) return labelled(parseJson(trimmed, 'maskers'));
  const [, first] = /^(\w+)\s*[:(,]/.exec(trimmed) ?? []; // what ends in @file.json may be a masker's value
  if (/\.json$/i.test(trimmed) && !NAMES.has(first)) return labelled(readJsonFile(trimmed, 'maskers'), trimmed);
  const parts = split(trimmed, ',');
  const list = parts.length === 1 && ['', 'dense'].includes(parts[0]) ? [] : parts.map(readMasker);
  return { label: trimmed || 'dense', maskers: list };
}

/** A pipeline from JSON: called by the name in it, by `label`, or by its maskers. */
function labelled(value, label) {
  const list = value?.maskers ?? value;
  if (!Array.isArray(list)) {
    throw new UsageError('maskers: expected JSON of an array of maskers, or { "maskers": [...] }');
  }
  const { name = label ?? (list.map((masker) => masker?.name).join(' + ') || 'dense') } = value;
  return { label: String(name), maskers: list };
}

function readMasker(text) {
  const [, name, rest] = /^\s*(\w+)\s*(.*)$/s.exec(text) ?? [];
  if (name === undefined) throw new UsageError(`maskers: expected the name of a masker, got '${text}'`);
  checkName(name);
  if (rest.startsWith('(')) {
    if (!rest.trimEnd().endsWith(')')) throw new UsageError(`maskers: ${name}: a bracket is not closed`);
    return { name, ...readNamed(name, rest.trimEnd().slice(1, -1)) };
  }
  if (rest === '') return { name };
  if (!rest.startsWith(':')) throw new UsageError(`maskers: expected ':' or '(' after ${name}, got '${rest}'`);
  const values = split(rest.slice(1), ':');
  const { parameters = [] } = maskers[name];
  if (values.length > parameters.length) {
    const all = parameters.join(', ');
    const takes = all === '' ? 'no parameters in order' : `${parameters.length} (${all})`;
    throw new UsageError(`maskers: ${name} takes ${takes}, got ${values.length}`);
  }
  return { name, ...Object.fromEntries(values.map((value, n) => [parameters[n], readValue(value)])) };
}

function checkName(name) {
  try {
    checkOptions({ [name]: true }, 'options', NAMES);
  } catch (cause) {
    throw new UsageError(`maskers: ${cause.message.replace('unknown option', 'unknown masker')}`, { cause });
  }
}

function readNamed(name, text) {
  if (text.trim() === '') return {};
  return Object.fromEntries(
    split(text, ',').map((part) => {
      const [, key, value] = /^\s*(\w+)\s*=\s*(.*)$/s.exec(part) ?? [];
      if (key === undefined) throw new UsageError(`maskers: ${name}: expected parameter=value, got '${part}'`);
      return [key, readValue(value)];
    }),
  );
}

/** A value: JSON where it is JSON, a file's content after @, else the text itself. */
export function readValue(text) {
  const trimmed = text.trim();
  if (/^\d+$/.test(trimmed)) return integerOf(trimmed);
  if (trimmed.startsWith('@')) return readFile(trimmed.slice(1));
  if (/^[[{"]/.test(trimmed)) return parseJson(trimmed, 'maskers');
  try {
    return JSON.parse(trimmed.replace(/^(-?)\./, (_, sign) => `${sign}0.`));
  } catch {
    return trimmed;
  }
}

function readFile(path) {
  if (extname(path).toLowerCase() !== '.safetensors') return readJsonFile(path, 'maskers');
  const bytes = readBytes(path, 'maskers');
  try {
    return readHashWeights(bytes);
  } catch (cause) {
    throw new FileError(`maskers: ${path}: ${cause.message}`, { cause });
  }
}

function readJsonFile(path, name) {
  return parseJson(new TextDecoder().decode(readBytes(path, name)), `${name}: ${path}`);
}

function parseJson(text, name) {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new UsageError(`${name}: not valid JSON: ${cause.message}`, { cause });
  }
}

/** Splits where a separator stands outside of brackets and of quotes. */
export function split(text, separator) {
  const parts = [''];
  let depth = 0;
  let isQuoted = false;
  for (const letter of text) {
    if (letter === '"') isQuoted = !isQuoted;
    if (!isQuoted && '([{'.includes(letter)) depth++;
    if (!isQuoted && ')]}'.includes(letter)) depth--;
    if (letter === separator && depth === 0 && !isQuoted) parts.push('');
    else parts[parts.length - 1] += letter;
  }
  return parts;
}
