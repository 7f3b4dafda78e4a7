// SPDX-License-Identifier: Apache-2.0

/**
 * How each kind of leaf is read (mask-forms.js says what they hold): `reader` makes read(batch, head, query) -> Row,
 * which is good until the next read, and `at` is the weight of one pair. What a row costs follows what it keeps.
 */

import { findColumn, weightAt } from './csr.js';

/** One row of a mask: stretches of neighbouring keys with one positive weight, ascending and as few as there can be. */
export class Row {
  count = 0;
  begins = new Uint32Array(4);
  ends = new Uint32Array(4);
  weights = new Float32Array(4);

  /** Adds keys begin .. end - 1, which come after those that are there. */
  push(begin, end, weight) {
    if (begin >= end || weight === 0) return;
    const last = this.count - 1;
    if (last >= 0 && this.ends[last] === begin && this.weights[last] === weight) {
      this.ends[last] = end;
      return;
    }
    if (this.count === this.begins.length) this.#grow();
    this.begins[this.count] = begin;
    this.ends[this.count] = end;
    this.weights[this.count++] = weight;
  }

  #grow() {
    const { begins, ends, weights } = this;
    (this.begins = new Uint32Array(2 * this.count)).set(begins);
    (this.ends = new Uint32Array(2 * this.count)).set(ends);
    (this.weights = new Float32Array(2 * this.count)).set(weights);
  }

  /** How many keys it keeps. */
  get kept() {
    let kept = 0;
    for (let n = 0; n < this.count; n++) kept += this.ends[n] - this.begins[n];
    return kept;
  }
}

export const LEAVES = {
  empty: { reader: () => () => new Row(), at: () => 0 },

  full: { reader: interval(() => 0, (form, [, , , keys]) => keys), at: () => 1 },

  band: {
    reader: interval(
      (form, shape, b, h, i) => Math.max(0, i + form.offset - form.before),
      (form, shape, b, h, i) => Math.min(shape[3], i + form.offset + form.after + 1),
    ),
    at({ before, after, offset }, shape, b, h, i, j) {
      const distance = j - i - offset;
      return -before <= distance && distance <= after ? 1 : 0;
    },
  },

  columns: {
    reader: interval(
      () => 0,
      (form, shape, b) => Math.min(shape[3], form.counts[form.batch === 1 ? 0 : b]),
    ),
    at: ({ batch, counts }, shape, b, h, i, j) => (j < counts[batch === 1 ? 0 : b] ? 1 : 0),
  },

  documents: {
    reader: (form, shape) => (form.keyIds === null ? DOCUMENT(form, shape) : readerOfScattered(form, shape)),
    at(form, shape, b, h, i, j) {
      const [batch, query] = [form.batch === 1 ? 0 : b, batchRow(form, shape, b, i)];
      if (j < form.begins[query] || j >= form.ends[query]) return 0;
      return form.keyIds === null || form.keyIds[batch * shape[3] + j] === form.queryIds[query] ? 1 : 0;
    },
  },

  blocks: {
    reader(form, shape) {
      const row = new Row();
      let last = -1;
      return (b, h, i) => {
        const blockRow = blockRowOf(form, shape, b, h, i);
        if (blockRow === last) return row;
        last = blockRow;
        row.count = 0;
        for (let at = form.ptr[blockRow]; at < form.ptr[blockRow + 1]; at++) {
          const begin = form.indices[at] * form.blockColumns;
          row.push(begin, Math.min(shape[3], begin + form.blockColumns), 1);
        }
        return row;
      };
    },
    at: (form, shape, b, h, i, j) =>
      findColumn(form, blockRowOf(form, shape, b, h, i), Math.floor(j / form.blockColumns)) < 0 ? 0 : 1,
  },

  bits: {
    reader(form, shape) {
      const row = new Row();
      return (b, h, i) => {
        row.count = 0;
        pushBits(row, form.words, leafRow(form, shape, b, h, i) * form.wordsPerRow, form.wordsPerRow, shape[3]);
        return row;
      };
    },
    at: (form, shape, b, h, i, j) =>
      (form.words[leafRow(form, shape, b, h, i) * form.wordsPerRow + (j >>> 5)] >>> (j & 31)) & 1,
  },

  dense: {
    reader(form, shape) {
      const row = new Row();
      const keys = shape[3];
      return (b, h, i) => {
        const first = leafRow(form, shape, b, h, i) * keys;
        row.count = 0;
        for (let j = 0; j < keys; j++) row.push(j, j + 1, form.weights[first + j]);
        return row;
      };
    },
    at: (form, shape, b, h, i, j) => form.weights[leafRow(form, shape, b, h, i) * shape[3] + j],
  },

  csr: {
    reader(form, shape) {
      const row = new Row();
      return (b, h, i) => {
        const at = leafRow(form, shape, b, h, i);
        row.count = 0;
        for (let n = form.ptr[at]; n < form.ptr[at + 1]; n++) {
          row.push(form.indices[n], form.indices[n] + 1, weightAt(form, n));
        }
        return row;
      };
    },
    at(form, shape, b, h, i, j) {
      const at = findColumn(form, leafRow(form, shape, b, h, i), j);
      return at < 0 ? 0 : weightAt(form, at);
    },
  },
};

const DOCUMENT = interval(
  (form, shape, b, h, i) => form.begins[batchRow(form, shape, b, i)],
  (form, shape, b, h, i) => form.ends[batchRow(form, shape, b, i)],
);

/** The reader of a leaf whose rows are one stretch each. */
function interval(beginOf, endOf) {
  return (form, shape) => {
    const row = new Row();
    return (b, h, i) => {
      row.count = 0;
      row.push(beginOf(form, shape, b, h, i), endOf(form, shape, b, h, i), 1);
      return row;
    };
  };
}

/** The reader of documents that lie in several pieces: finds the pieces once, for all rows. */
function readerOfScattered(form, shape) {
  const keys = shape[3];
  const none = new Row();
  const documents = Array.from({ length: form.batch }, (_, b) => {
    const rows = new Map();
    for (let j = 0; j < keys; j++) {
      const id = form.keyIds[b * keys + j];
      if (id < 0) continue;
      if (!rows.has(id)) rows.set(id, new Row());
      rows.get(id).push(j, j + 1, 1);
    }
    return rows;
  });
  return (b, h, i) => documents[form.batch === 1 ? 0 : b].get(form.queryIds[batchRow(form, shape, b, i)]) ?? none;
}

/** Adds the stretches of ones in `count` words; the bits past `keys` are 0. */
function pushBits(row, words, first, count, keys) {
  let begin = -1; // of the stretch that is open
  for (let n = 0; n < count; n++) {
    const word = words[first + n] | 0;
    let changes = begin < 0 ? word : ~word; // its lowest bit is where the next stretch begins or ends
    while (changes !== 0) {
      const bit = 31 - Math.clz32(changes & -changes);
      if (begin < 0) begin = 32 * n + bit;
      else {
        row.push(begin, 32 * n + bit, 1);
        begin = -1;
      }
      changes = ~changes & (-1 << bit);
    }
  }
  if (begin >= 0) row.push(begin, keys, 1);
}

function batchRow(form, shape, b, i) {
  return (form.batch === 1 ? 0 : b) * shape[2] + i;
}

function leafHead(form, shape, b, h) {
  return (form.batch === 1 ? 0 : b) * form.heads + Math.floor((h * form.heads) / shape[1]);
}

function leafRow(form, shape, b, h, i) {
  return leafHead(form, shape, b, h) * shape[2] + i;
}

function blockRowOf(form, shape, b, h, i) {
  return leafHead(form, shape, b, h) * Math.ceil(shape[2] / form.blockRows) + Math.floor(i / form.blockRows);
}
