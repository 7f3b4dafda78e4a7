// SPDX-License-Identifier: Apache-2.0

/** Evaluates forms of masks (mask-forms.js) row by row, or at one pair. */

import { nodesOf } from './mask-forms.js';
import { LEAVES, Row } from './mask-leaves.js';

/**
 * read(batch, head, query) -> Row, with batch and head of the mask's own shape; the row is good until the next read.
 * Each node is evaluated once, however often it is an operand.
 */
export function rowReader(shape, form) {
  if (form.left === undefined && form.operand === undefined) return LEAVES[form.kind].reader(form, shape);
  const nodes = nodesOf(form);
  const place = new Map(nodes.map((node, n) => [node, n]));
  const rows = new Array(nodes.length);
  const steps = nodes.map((node) => stepOf(node, shape, place, rows));
  return (batch, head, query) => {
    for (let n = 0; n < steps.length; n++) rows[n] = steps[n](batch, head, query);
    return rows[steps.length - 1];
  };
}

function stepOf(node, shape, place, rows) {
  const out = new Row();
  const left = place.get(node.left ?? node.operand);
  const right = place.get(node.right);
  switch (node.kind) {
    case 'and':
      return () => intersect(rows[left], rows[right], out);
    case 'or':
      return () => unite(rows[left], rows[right], out, Math.max);
    case 'merge':
      return () => unite(rows[left], rows[right], out, clampedSum);
    case 'not':
      return () => invert(rows[left], out, shape[3]);
    default:
      return LEAVES[node.kind].reader(node, shape);
  }
}

/** The weight of one pair. */
export function weightOf(shape, form, batch, head, query, key) {
  const weights = new Map();
  for (const node of nodesOf(form)) {
    const left = weights.get(node.left ?? node.operand);
    const right = weights.get(node.right);
    weights.set(node, weightOfNode(node, left, right) ?? LEAVES[node.kind].at(node, shape, batch, head, query, key));
  }
  return weights.get(form);
}

function weightOfNode({ kind }, left, right) {
  if (kind === 'and') return Math.fround(left * right);
  if (kind === 'or') return Math.max(left, right);
  if (kind === 'merge') return clampedSum(left, right);
  return kind === 'not' ? Number(left === 0) : undefined;
}

/** Writes the keys and weights of a row from place `at` on, and returns where they end. */
export function expandRow(row, indices, weights, at) {
  for (let n = 0; n < row.count; n++) {
    const weight = row.weights[n];
    for (let key = row.begins[n]; key < row.ends[n]; key++) {
      indices[at] = key;
      weights[at++] = weight;
    }
  }
  return at;
}

function clampedSum(a, b) {
  return Math.min(1, Math.fround(a + b));
}

function intersect(a, b, out) {
  out.count = 0;
  for (let i = 0, j = 0; i < a.count && j < b.count; ) {
    const end = Math.min(a.ends[i], b.ends[j]);
    out.push(Math.max(a.begins[i], b.begins[j]), end, Math.fround(a.weights[i] * b.weights[j]));
    if (a.ends[i] === end) i++;
    if (b.ends[j] === end) j++;
  }
  return out;
}

/** The keys of either row, with weightOf(w1, w2). */
function unite(a, b, out, weightOf) {
  out.count = 0;
  let i = 0;
  let j = 0;
  for (let at = 0; i < a.count || j < b.count; ) {
    // Up to the next place where either row changes, both have one weight.
    const inA = i < a.count && a.begins[i] <= at;
    const inB = j < b.count && b.begins[j] <= at;
    const nextA = i === a.count ? Infinity : inA ? a.ends[i] : a.begins[i];
    const nextB = j === b.count ? Infinity : inB ? b.ends[j] : b.begins[j];
    const end = Math.min(nextA, nextB);
    out.push(at, end, weightOf(inA ? a.weights[i] : 0, inB ? b.weights[j] : 0));
    if (inA && nextA === end) i++;
    if (inB && nextB === end) j++;
    at = end;
  }
  return out;
}

function invert(a, out, keys) {
  out.count = 0;
  let begin = 0;
  for (let n = 0; n < a.count; n++) {
    out.push(begin, a.begins[n], 1);
    begin = a.ends[n];
  }
  out.push(begin, keys, 1);
  return out;
}
