// SPDX-License-Identifier: Apache-2.0

/**
 * Checks of one value each. Every message reads `name: expected ..., got ...`; a value of the wrong type is a
 * TypeError, a value of the right type that does not fit is a RangeError.
 */

const MAX_DIMENSION = 2 ** 31 - 1;

/** A value as it appears in an error message. */
export function describe(value) {
  if (typeof value === 'string') return value.length > 40 ? `'${value.slice(0, 40)}...'` : `'${value}'`;
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return String(value);
  if (Array.isArray(value)) {
    return value.length > 8 ? `an array of ${value.length}` : `[${value.map(describe).join(', ')}]`;
  }
  if (ArrayBuffer.isView(value)) {
    return `${value[Symbol.toStringTag] ?? 'DataView'}(${value.length ?? value.byteLength})`;
  }
  const { name } = value.constructor ?? {};
  if (!name || name === 'Object') return 'an object';
  return /^[AEIOU]/.test(name) ? `an ${name}` : `a ${name}`;
}

/** Dimensions as they appear in an error message: `1 x 8 x 128 x 64`. */
export function formatDims(dims) {
  return dims.length === 0 ? 'scalar' : dims.join(' x ');
}

/** `a, b or c` */
export function eitherOf(choices) {
  return choices.length === 1 ? `${choices[0]}` : `${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`;
}

export function typeError(name, expectation, value) {
  return new TypeError(`${name}: expected ${expectation}, got ${describe(value)}`);
}

export function rangeError(name, expectation, value) {
  return new RangeError(`${name}: expected ${expectation}, got ${describe(value)}`);
}

/** An object whose every key is in `known`, a Set of names. */
export function checkOptions(options, name, known) {
  if (typeof options !== 'object' || options === null || Array.isArray(options) || ArrayBuffer.isView(options)) {
    throw typeError(name, 'an object', options);
  }
  for (const key in options) {
    if (known.has(key)) continue;
    const near = nearest(key, known);
    const few = known.size === 0 ? '; there are none' : known.size <= 8 ? `; there are ${[...known].join(', ')}` : '';
    const hint = near ? `; did you mean ${near}?` : few;
    throw new TypeError(`${name === 'options' ? key : `${name}.${key}`}: unknown option${hint}`);
  }
}

export function checkBoolean(value, name) {
  if (value === undefined) return false;
  if (typeof value !== 'boolean') throw typeError(name, 'true or false', value);
  return value;
}

/** One of a few strings; the first is the default. */
export function checkChoice(value, name, choices) {
  if (value === undefined) return choices[0];
  if (choices.includes(value)) return value;
  throw (typeof value === 'string' ? rangeError : typeError)(name, eitherOf(choices.map(describe)), value);
}

/** What one of a few strings stands for, in a Map whose first entry is the default. */
export function checkCode(value, name, codes) {
  if (value === undefined) return codes.values().next().value;
  const code = codes.get(value);
  if (code !== undefined) return code;
  return codes.get(checkChoice(value, name, [...codes.keys()]));
}

/** A number that stays finite as a float32. */
export function checkFloat(value, name, expectation = 'a finite number') {
  if (typeof value !== 'number') throw typeError(name, expectation, value);
  if (!Number.isFinite(Math.fround(value))) throw rangeError(name, expectation, value);
  return value;
}

export function checkInteger(value, name, low, high) {
  if (typeof value !== 'number') throw typeError(name, `an integer in ${low}..${high}`, value);
  if (!Number.isInteger(value) || value < low || value > high) {
    throw rangeError(name, `an integer in ${low}..${high}`, value);
  }
  return value;
}

/** [begin, end] inside 0..length; all of it where there is none. */
export function checkRange(range, name, length) {
  if (range === undefined) return [0, length];
  if (!Array.isArray(range) || range.length !== 2) throw typeError(name, 'an array [begin, end]', range);
  const begin = checkInteger(range[0], `${name}[0]`, 0, length);
  return [begin, checkInteger(range[1], `${name}[1]`, begin, length)];
}

/** Checks `dims` and returns their product, or throws where it is not an exact integer. */
export function checkDims(dims, name) {
  if (!Array.isArray(dims)) throw typeError(name, 'an array of dimensions', dims);
  let count = 1;
  for (let axis = 0; axis < dims.length; axis++) {
    const size = dims[axis];
    if (!Number.isInteger(size) || size < 0 || size > MAX_DIMENSION)
      checkInteger(size, `${name}[${axis}]`, 0, MAX_DIMENSION);
    count *= size;
  }
  if (count > Number.MAX_SAFE_INTEGER) throw rangeError(name, 'a product below 2^53', dims);
  return count;
}

export function sameDims(a, b) {
  if (a.length !== b.length) return false;
  for (let axis = 0; axis < a.length; axis++) if (a[axis] !== b[axis]) return false;
  return true;
}

/** The known name closest to a mistyped one, or undefined: attention_mask, keyLenghts, returnWeights. */
export function nearest(key, known) {
  const plain = (name) => name.replaceAll('_', '').toLowerCase();
  const typed = plain(key);
  let best;
  let least = Math.min(3, Math.ceil(typed.length / 3)) + 1;
  for (const name of known) {
    const whole = plain(name);
    const isPart = typed.length > 3 && typed !== whole && isSubsequence(typed, whole);
    const distance = isPart ? 1 : editDistance(typed, whole);
    if (distance < least) [best, least] = [name, distance];
  }
  return best;
}

function isSubsequence(part, whole) {
  let found = 0;
  for (const letter of whole) if (letter === part[found]) found++;
  return found === part.length;
}

/** Levenshtein distance, two rows at a time. */
function editDistance(a, b) {
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const here = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = above[column - 1] + (a[row - 1] === b[column - 1] ? 0 : 1);
      here.push(Math.min(replaced, above[column] + 1, here[column - 1] + 1));
    }
    above = here;
  }
  return above[b.length];
}
