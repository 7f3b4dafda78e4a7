// SPDX-License-Identifier: Apache-2.0

/**
 * What a mask is made of: frozen plain objects, leaves that hold arrays or numbers and nodes that combine two others.
 *   { kind: 'empty' }                                   no sparse masking at all; never an operand
 *   { kind: 'full' }                                    every pair, with weight 1
 *   { kind: 'band', before, after, offset }             -before <= key - (query + offset) <= after
 *   { kind: 'columns', batch, counts }                  the first counts[b] keys
 *   { kind: 'documents', batch, begins, ends, queryIds, keyIds }   keys begin <= j < end, of the query's id
 *   { kind: 'blocks', batch, heads, blockRows, blockColumns, ptr, indices }   CSR over blocks
 *   { kind: 'bits', batch, heads, words, wordsPerRow }  key j is bit j & 31 of word j >>> 5 of its row
 *   { kind: 'dense', batch, heads, weights }            a float32 per pair
 *   { kind: 'csr', batch, heads, ptr, indices, weights, kept }     see csr.js
 *   { kind: 'and' | 'or' | 'merge', left, right, isUnit }          of weights w1 and w2: w1 * w2, max, clamp of the sum
 *   { kind: 'not', operand, isUnit }                    1 where the weight is 0, else 0
 * A leaf has batch 1 or that of the mask, and heads that divide the mask's: head h of H reads floor(h * heads / H).
 * Operands are shared freely, so what is made here is a graph, and as deep as a caller likes: nothing recurses.
 */

import { formatDims } from './checks.js';

export const EMPTY = Object.freeze({ kind: 'empty' });
export const FULL = Object.freeze({ kind: 'full' });
export const NOTHING = Object.freeze({ kind: 'columns', batch: 1, counts: Uint32Array.of(0) });

const WEIGHTED = new Set(['dense', 'csr']);
const ARRAYS = ['counts', 'begins', 'ptr', 'words', 'weights']; // each leaf that owns arrays has one of these

/** Whether every weight is 0 or 1, as far as it can be told without looking at them. */
export function isUnit(form) {
  return form.isUnit ?? (!WEIGHTED.has(form.kind) || (form.kind === 'csr' && form.weights === null));
}

export function andForms(left, right) {
  if (left.kind === 'empty') return right;
  if (right.kind === 'empty' || right.kind === 'full') return left;
  if (left.kind === 'full') return right;
  return combine('and', left, right);
}

export function orForms(left, right) {
  if (left.kind === 'empty') return right;
  if (right.kind === 'empty') return left;
  if ((left.kind === 'full' && isUnit(right)) || (right.kind === 'full' && isUnit(left))) return FULL;
  return combine('or', left, right);
}

export function mergeForms(left, right) {
  if (left.kind === 'full' || right.kind === 'full') return FULL;
  if (left.kind !== 'empty' && right.kind !== 'empty') return combine('merge', left, right);
  const other = left.kind === 'empty' ? right : left;
  return other.kind === 'empty' || isUnit(other) ? other : combine('merge', other, NOTHING);
}

export function notForm(operand) {
  if (operand.kind === 'empty') {
    throw new RangeError('not: an empty mask means "no sparse masking", which has no opposite; use Mask.full');
  }
  if (operand.kind === 'full') return NOTHING;
  if (operand.kind === 'not' && isUnit(operand.operand)) return operand.operand;
  return Object.freeze({ kind: 'not', operand, isUnit: true });
}

function combine(kind, left, right) {
  return Object.freeze({ kind, left, right, isUnit: isUnit(left) && isUnit(right) });
}

/** The distinct nodes of a form, each after its operands; the form itself is the last. */
export function nodesOf(form) {
  const nodes = new Set();
  const stack = [form];
  while (stack.length > 0) {
    const node = stack[stack.length - 1];
    const depth = stack.length;
    for (const operand of [node.left, node.right, node.operand]) {
      if (operand !== undefined && !nodes.has(operand)) stack.push(operand);
    }
    if (stack.length === depth) nodes.add(stack.pop());
  }
  return [...nodes];
}

/** The distinct leaves of a form that own arrays. */
export function leavesOf(form) {
  return nodesOf(form).filter((node) => ARRAYS.some((name) => node[name] !== undefined));
}

/** How many batches and heads of a form can differ: [batch, heads]; the others repeat them. */
export function extentOf(form) {
  let batch = 1;
  let heads = 1;
  for (const node of nodesOf(form)) {
    if (node.batch !== undefined && node.batch !== 1) ({ batch } = node);
    if (node.heads !== undefined && node.heads !== heads) heads = leastCommonMultiple(heads, node.heads);
  }
  return [batch, heads];
}

function leastCommonMultiple(a, b) {
  let [divisor, rest] = [a, b];
  while (rest > 0) [divisor, rest] = [rest, divisor % rest];
  return divisor === 0 ? 0 : (a / divisor) * b;
}

/** The shape that two masks have together; `name` is how messages call the other. */
export function broadcastShapes(shape, other, name) {
  const [batch, heads] = [commonSize(shape[0], other[0], false), commonSize(shape[1], other[1], true)];
  if (batch === undefined || heads === undefined || shape[2] !== other[2] || shape[3] !== other[3]) {
    throw new RangeError(
      `${name}: expected a shape that broadcasts with ${formatDims(shape)} (the same queries and keys; batch equal ` +
        `or 1; heads equal, or one a multiple of the other), got ${formatDims(other)}`,
    );
  }
  return Object.freeze([batch, heads, shape[2], shape[3]]);
}

function commonSize(a, b, mayDivide) {
  if (a === b || b === 1) return a;
  if (a === 1) return b;
  const [small, large] = a < b ? [a, b] : [b, a];
  return mayDivide && large % small === 0 ? large : undefined;
}
