// SPDX-License-Identifier: Apache-2.0
/**
 * Masks as text: `q >= k && q - k < 64`. q and k are the positions of query and key, h is the head; numbers, + - * / %
 * (as in JavaScript: the remainder has the sign of what is divided), comparisons, && || !, and abs, min, max, floor.
 *
 * What compares q - k, q alone, k alone, h alone, or something of q with something of k for equality (as
 * `floor(q / 64) == floor(k / 64)`) becomes a mask of structure, at any size; the rest is computed for every pair.
 */
import { Jsep } from 'jsep';
import { Mask } from '../../js/index.js';
import { PAIRS, STRETCHES } from './limits.js';

const LONGEST = 500; // characters
const MOST_LEAVES = 30; // a mask of more is made into one list of all its pairs when it is used
const MOST_HEADS = 16; // that get structured masks of their own
const MAX_BLOCK = 2 ** 16 - 1;
const FAR = 2 ** 30; // beyond any distance between positions

const NAMES = ['q', 'k', 'h'];

const ARITHMETIC = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => a / b,
  '%': (a, b) => a % b,
};
const COMPARISONS = {
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
};
const FLIPPED = { '<': '>', '<=': '>=', '>': '<', '>=': '<=', '==': '==', '!=': '!=' };
const LOGIC = { '&&': (a, b) => a && b, '||': (a, b) => a || b };
const FUNCTIONS = { abs: Math.abs, floor: Math.floor, min: Math.min, max: Math.max };
const ARGUMENTS = { abs: [1, 1], floor: [1, 1], min: [2, 8], max: [2, 8] };

/** Notes where each part begins. */
class Parser extends Jsep {
  gobbleToken() {
    this.gobbleSpaces();
    const at = this.index;
    const node = super.gobbleToken();
    if (node) node.at ??= at;
    return node;
  }
}

/**
 * @param {string} text
 * @returns {{ text: string, test: (q: number, k: number, h?: number) => boolean,
 *   mask: (shape: number[], options?: { offset?: number }) => Mask }}
 *   test says whether a pair of positions is kept; mask is over (1, 1 or the heads of the shape, queries, keys), with
 *   `offset` the position of the first query: by default keys - queries
 * @throws {TypeError} for what is no text; RangeError for what is no such condition, saying at which character
 */
export function parsePredicate(text) {
  if (typeof text !== 'string') throw new TypeError(`predicate: expected text, got ${typeof text}`);
  if (text.length > LONGEST) {
    throw new RangeError(`predicate: expected at most ${LONGEST} characters, got ${text.length}`);
  }
  const tree = expect('boolean', read(parse(text), text), text, 'a condition, such as q >= k');
  return Object.freeze({
    text,
    test: (q, k, h = 0) => evaluate(tree, { q, k, h }) === 1,
    mask: (shape, { offset = shape[3] - shape[2] } = {}) => new Builder(text, tree, shape, offset).mask,
  });
}

function parse(text) {
  let node;
  try {
    node = new Parser(text).parse();
  } catch (error) {
    if (error.description === undefined) throw error;
    throw wrong(text, error.index, error.description.replace(/ at character \d+$/, ''));
  }
  if (node.type !== 'Compound') return node;
  if (node.body.length === 0) throw new RangeError('predicate: expected a condition, such as q >= k, got nothing');
  throw wrong(text, beginOf(node.body[1]), 'expected one condition: is there no && or || before this?');
}

/** Where a node of jsep's begins: operators begin where their left side does. */
function beginOf(node) {
  return node.at ?? beginOf(node.left ?? node.test);
}

function wrong(text, at, what) {
  const rest = text.slice(at, at + 20);
  return new RangeError(`predicate: ${what}, at character ${at + 1}${rest === '' ? ' (the end)' : ` ('${rest}')`}`);
}

function expect(type, node, text, what) {
  if (node.type === type) return node;
  const got = node.type === 'boolean' ? 'a condition' : 'a number';
  const hint = node.type === 'boolean' ? ' (write a < b && b < c for a < b < c)' : '';
  throw wrong(text, node.at, `expected ${what}, got ${got}${hint}`);
}

/** jsep's node as { op, type, args, names, at }, where `names` are the variables in it. */
function read(node, text) {
  const at = beginOf(node);
  const make = (op, type, args, f) => {
    return { op, type, args, f, names: new Set(args.flatMap((arg) => [...arg.names])), at };
  };
  switch (node.type) {
    case 'Literal':
      if (typeof node.value === 'number')
        return { op: 'number', type: 'number', value: node.value, args: [], names: new Set(), at };
      if (typeof node.value === 'boolean') {
        return { op: 'number', type: 'boolean', value: Number(node.value), args: [], names: new Set(), at };
      }
      throw wrong(text, at, 'expected a number');
    case 'Identifier':
      if (!NAMES.includes(node.name)) {
        const known = Object.hasOwn(FUNCTIONS, node.name) ? `${node.name}(...)` : 'q, k or h';
        throw wrong(text, at, `expected ${known}, got ${node.name}`);
      }
      return { op: 'name', type: 'number', name: node.name, args: [], names: new Set([node.name]), at };
    case 'UnaryExpression': {
      const argument = read(node.argument, text);
      if (node.operator === '!')
        return make('!', 'boolean', [expect('boolean', argument, text, 'a condition after !')], (a) => !a);
      if (node.operator !== '-' && node.operator !== '+')
        throw wrong(text, at, `expected -, + or !, got ${node.operator}`);
      const number = expect('number', argument, text, `a number after ${node.operator}`);
      return node.operator === '+' ? number : make('negative', 'number', [number], (a) => -a);
    }
    case 'BinaryExpression': {
      const args = [read(node.left, text), read(node.right, text)];
      const operator = { '===': '==', '!==': '!=' }[node.operator] ?? node.operator;
      const pair = (table, type, result) => {
        args.forEach((arg) =>
          expect(type, arg, text, `${type === 'number' ? 'a number' : 'a condition'} beside ${operator}`),
        );
        return make(operator, result, args, table[operator]);
      };
      if (Object.hasOwn(ARITHMETIC, operator)) return pair(ARITHMETIC, 'number', 'number');
      if (Object.hasOwn(COMPARISONS, operator)) return pair(COMPARISONS, 'number', 'boolean');
      if (Object.hasOwn(LOGIC, operator)) return pair(LOGIC, 'boolean', 'boolean');
      const all = [ARITHMETIC, COMPARISONS, LOGIC].flatMap(Object.keys).join(' ');
      throw wrong(text, args[0].at, `expected one of ${all}, got ${node.operator} after what begins`);
    }
    case 'CallExpression': {
      const { name } = node.callee;
      if (node.callee.type !== 'Identifier' || !Object.hasOwn(FUNCTIONS, name)) {
        throw wrong(text, at, `expected ${Object.keys(FUNCTIONS).join(', ')}`);
      }
      const [least, most] = ARGUMENTS[name];
      if (node.arguments.length < least || node.arguments.length > most) {
        const count = least === most ? `${least} number` : `${least} to ${most} numbers`;
        throw wrong(text, at, `expected ${count} in ${name}(...), got ${node.arguments.length}`);
      }
      const args = node.arguments.map((argument) => {
        if (!argument) throw wrong(text, at, `expected a number in ${name}(...)`);
        return expect('number', read(argument, text), text, `a number in ${name}(...)`);
      });
      return make(name, 'number', args, FUNCTIONS[name]);
    }
    default:
      throw wrong(text, at, 'expected numbers, q, k, h, comparisons, && || ! and abs, min, max, floor');
  }
}

/**
 * What a tree is where q, k and h are numbers, or one of them many numbers (a Float64Array): a number, or as many;
 * conditions are 1 and 0.
 */
function evaluate(node, values) {
  if (node.op === 'number') return node.value;
  if (node.op === 'name') return values[node.name];
  const args = node.args.map((arg) => evaluate(arg, values));
  const { f } = node;
  const many = args.find((arg) => typeof arg !== 'number');
  if (many === undefined) return Number(f(...args));
  const result = new Float64Array(many.length);
  const [a, b] = args;
  if (args.length === 1) for (let n = 0; n < result.length; n++) result[n] = f(a[n]);
  else if (args.length > 2) for (let n = 0; n < result.length; n++) result[n] = f(...args.map((arg) => arg[n] ?? arg));
  else if (typeof a === 'number') for (let n = 0; n < result.length; n++) result[n] = f(a, b[n]);
  else if (typeof b === 'number') for (let n = 0; n < result.length; n++) result[n] = f(a[n], b);
  else for (let n = 0; n < result.length; n++) result[n] = f(a[n], b[n]);
  return result;
}

/** Numbers from `first` on. */
function count(length, first = 0) {
  return Float64Array.from({ length }, (_, n) => first + n);
}

/** Of a row of 0 and 1: its stretches of ones, [begin, end) each. */
function stretchesOf(row) {
  const stretches = [];
  for (let n = 0; n < row.length; n++) {
    if (row[n] !== 1) continue;
    if (n > 0 && row[n - 1] === 1) stretches.at(-1)[1]++;
    else stretches.push([n, n + 1]);
  }
  return stretches;
}

/** The mask of a tree for one shape. */
class Builder {
  #leaves = 0;

  constructor(text, tree, [, heads, queries, keys], offset) {
    Object.assign(this, { text, heads, queries, keys, offset });
    this.shape = [1, 1, queries, keys];
    this.mask = this.#maskOf(tree, undefined);
    if (this.#leaves > MOST_LEAVES && queries * keys > PAIRS) {
      throw this.#tooLarge(`has ${this.#leaves} comparisons; more than ${MOST_LEAVES} are`);
    }
  }

  /** @param {number | undefined} h the head, where it is one */
  #maskOf(node, h) {
    const names = new Set(node.names);
    if (h !== undefined) names.delete('h');
    if (names.size === 0) return this.#constant(evaluate(node, { h }) === 1);
    if (names.size === 1) return this.#ofOne([...names][0], node, h);
    if (node.op === '!') return this.#maskOf(node.args[0], h).not();
    if (Object.hasOwn(LOGIC, node.op)) {
      const [left, right] = node.args.map((arg) => this.#maskOf(arg, h));
      return node.op === '&&' ? left.and(right) : left.or(right);
    }
    return this.#ofDistance(node, h) ?? this.#ofGroups(node, h) ?? this.#ofHeads(node, h) ?? this.#ofPairs(node, h);
  }

  #constant(keeps) {
    this.#leaves++;
    return keeps ? Mask.full(this.shape) : Mask.sinks(this.shape, 0);
  }

  #ofOne(name, node, h) {
    this.#leaves++;
    const { heads, queries, keys, offset, shape } = this;
    if (name === 'h') return this.#headsMask(evaluate(node, { h: count(heads) }));
    if (name === 'q') {
      const row = evaluate(node, { q: count(queries, offset), h });
      return Mask.documents(shape, { queries: Int32Array.from(row, (keeps) => keeps - 1), keys: new Int32Array(keys) });
    }
    const row = evaluate(node, { k: count(keys), h });
    const stretches = stretchesOf(row);
    if (stretches.length === 0) return Mask.sinks(shape, 0);
    if (stretches.length === 1 && stretches[0][0] === 0) return Mask.sinks(shape, stretches[0][1]);
    if (stretches.length === 1 && stretches[0][1] === keys) return Mask.sinks(shape, stretches[0][0]).not();
    this.#checkStretches(stretches.length * queries);
    return Mask.documents(shape, {
      queries: new Int32Array(queries),
      keys: Int32Array.from(row, (keeps) => keeps - 1),
    });
  }

  #checkStretches(stretches) {
    if (stretches > STRETCHES) throw this.#tooLarge('keeps keys here and there, which is');
  }

  #headsMask(keeps) {
    const { heads, queries, keys } = this;
    const blockSize = [queries, keys].map((length) => Math.min(MAX_BLOCK, Math.max(1, length)));
    const [rows, columns] = [queries, keys].map((length, axis) => Math.ceil(length / blockSize[axis]));
    const ptr = [0];
    const indices = [];
    for (let row = 0; row < heads * rows; row++) {
      if (keeps[Math.floor(row / rows)] === 1) for (let column = 0; column < columns; column++) indices.push(column);
      ptr.push(indices.length);
    }
    return Mask.blockSparse({ shape: [1, heads, queries, keys], blockSize, ptr, indices });
  }

  /** Comparisons of s (q - k) + c, or of its absolute value, with a number: windows. */
  #ofDistance(node, h) {
    let [left, right] = node.args;
    let { op } = node;
    if (right.op === 'abs') [left, right, op] = [right, left, FLIPPED[op]];
    if (left.op !== 'abs') {
      const distance = this.#difference(left, right, h);
      return distance && this.#compare(distance, op);
    }
    if (!isConstant(right, h)) return undefined;
    const limit = evaluate(right, { h });
    const sides = [limit, -limit].map((value) =>
      this.#difference(left.args[0], { op: 'number', value, args: [], names: new Set() }, h),
    );
    if (sides.includes(undefined)) return undefined;
    const [above, below] = sides; // |x| < a where x < a and x > -a
    if (op === '<' || op === '<=') return this.#compare(above, op).and(this.#compare(below, FLIPPED[op]));
    if (op === '>' || op === '>=') return this.#compare(above, op).or(this.#compare(below, FLIPPED[op]));
    if (limit < 0 || Number.isNaN(limit)) return this.#constant(op === '!=');
    const equal = this.#compare(above, '==').or(this.#compare(below, '=='));
    return op === '==' ? equal : equal.not();
  }

  /** Two sides as { sign, limit }: `left op right` is sign (q - k) op sign limit; undefined for other things. */
  #difference(left, right, h) {
    const [a, b] = [left, right].map((side) => {
      return isConstant(side, h) ? { q: 0, k: 0, c: evaluate(side, { h }) } : affine(side, h);
    });
    if (a === undefined || b === undefined) return undefined;
    const slope = a.q - b.q;
    if (slope === 0 || slope !== b.k - a.k) return undefined;
    const rest = b.c - a.c;
    if (Math.abs(slope) !== 1 && !Number.isInteger(rest)) return undefined; // the quotient would be rounded
    return { sign: Math.sign(slope), limit: rest / slope };
  }

  #compare({ sign, limit }, op) {
    if (Number.isNaN(limit)) return this.#constant(op === '!=');
    const at = Math.max(-FAR, Math.min(FAR, limit));
    switch (sign < 0 ? FLIPPED[op] : op) {
      case '<':
        return this.#atMost(Math.ceil(at) - 1);
      case '<=':
        return this.#atMost(Math.floor(at));
      case '>':
        return this.#atLeast(Math.floor(at) + 1);
      case '>=':
        return this.#atLeast(Math.ceil(at));
      case '==':
        return Number.isInteger(at) ? this.#exactly(at) : this.#constant(false);
      default:
        return Number.isInteger(at) ? this.#exactly(at).not() : this.#constant(true);
    }
  }

  /** q - k <= distance */
  #atMost(distance) {
    this.#leaves++;
    return Mask.slidingWindow(this.shape, { left: 0, offset: this.offset - distance });
  }

  #atLeast(distance) {
    this.#leaves++;
    return Mask.causal(this.shape, { offset: this.offset - distance });
  }

  #exactly(distance) {
    this.#leaves++;
    return Mask.slidingWindow(this.shape, { left: 0, right: 0, offset: this.offset - distance });
  }

  /** Something of q equal to something of k: those of one value are a document. */
  #ofGroups(node, h) {
    if (node.op !== '==' && node.op !== '!=') return undefined;
    const isOf = (side, name) => [...side.names].every((other) => other === name || (other === 'h' && h !== undefined));
    const [left, right] = node.args;
    const sides = isOf(left, 'q') && isOf(right, 'k') ? [left, right] : [right, left];
    if (!isOf(sides[0], 'q') || !isOf(sides[1], 'k')) return undefined;
    this.#leaves++;
    const ids = new Map();
    const idOf = (value) => {
      if (Number.isNaN(value)) return -1;
      if (!ids.has(value)) ids.set(value, ids.size);
      return ids.get(value);
    };
    const keys = Int32Array.from(evaluate(sides[1], { k: count(this.keys), h }), idOf);
    const queries = Int32Array.from(evaluate(sides[0], { q: count(this.queries, this.offset), h }), idOf);
    const stretches = new Map();
    keys.forEach((id, n) => id !== keys[n - 1] && stretches.set(id, (stretches.get(id) ?? 0) + 1));
    this.#checkStretches(queries.reduce((sum, id) => sum + (stretches.get(id) ?? 0), 0));
    const equal = Mask.documents(this.shape, { queries, keys });
    return node.op === '==' ? equal : equal.not();
  }

  /** What depends on the head, where it is too large to be computed for all pairs: each head by itself. */
  #ofHeads(node, h) {
    const { heads, queries, keys } = this;
    if (h !== undefined || !node.names.has('h') || heads * queries * keys <= PAIRS || heads > MOST_HEADS)
      return undefined;
    const own = Array.from({ length: heads }, (_, n) => {
      this.#leaves++;
      return this.#headsMask(count(heads).map((head) => Number(head === n))).and(this.#maskOf(node, n));
    });
    return own.reduce((all, one) => all.or(one));
  }

  #ofPairs(node, h) {
    const { queries, keys, offset } = this;
    const heads = h === undefined && node.names.has('h') ? this.heads : 1;
    if (heads * queries * keys > PAIRS)
      throw this.#tooLarge('compares more than q - k, q or k with a number, which is');
    this.#leaves++;
    const kept = new Uint8Array(heads * queries * keys);
    const k = count(keys);
    for (let n = 0, at = 0; n < heads; n++) {
      for (let i = 0; i < queries; i++, at += keys) {
        const row = evaluate(node, { q: i + offset, k, h: h ?? n });
        if (typeof row === 'number') kept.fill(row, at, at + keys);
        else kept.set(row, at);
      }
    }
    return Mask.fromDense([1, heads, queries, keys], kept);
  }

  #tooLarge(what) {
    const size = `${this.heads} x ${this.queries} x ${this.keys}`;
    return new RangeError(`predicate: '${this.text}' ${what} computed up to 4096 x 4096 pairs, got ${size}`);
  }
}

function isConstant({ names }, h) {
  return [...names].every((name) => name === 'h' && h !== undefined);
}

/** A tree as q * q + k * k + c with integers, so that nothing is rounded; undefined where it is no such thing. */
function affine(node, h) {
  const isWhole = (form) => form !== undefined && [form.q, form.k, form.c].every(Number.isSafeInteger);
  const form = affineForm(node, h);
  return isWhole(form) ? form : undefined;
}

function affineForm(node, h) {
  if (isConstant(node, h)) return { q: 0, k: 0, c: evaluate(node, { h }) };
  if (node.names.has('h') && h === undefined) return undefined;
  if (node.op === 'name') return { q: Number(node.name === 'q'), k: Number(node.name === 'k'), c: 0 };
  const args = node.args.map((arg) => affine(arg, h));
  if (args.includes(undefined)) return undefined;
  const [a, b] = args;
  const sum = (left, right, sign) => ({
    q: left.q + sign * right.q,
    k: left.k + sign * right.k,
    c: left.c + sign * right.c,
  });
  const times = (form, factor) => ({ q: form.q * factor, k: form.k * factor, c: form.c * factor });
  switch (node.op) {
    case 'negative':
      return times(a, -1);
    case '+':
      return sum(a, b, 1);
    case '-':
      return sum(a, b, -1);
    case '*':
      if (a.q === 0 && a.k === 0) return times(b, a.c);
      return b.q === 0 && b.k === 0 ? times(a, b.c) : undefined;
    default:
      return undefined;
  }
}
