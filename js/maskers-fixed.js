// SPDX-License-Identifier: Apache-2.0

/** Maskers that look at no data: masks of a structure, which take no memory for queries x keys. */

import { Mask, maskOfForm } from './mask.js';
import { checkSize, sizeOf } from './masker-options.js';
import { maskerFactory } from './masker.js';

/** The first keys (Xiao et al., "Efficient Streaming Language Models with Attention Sinks", ICLR 2024). */
export const sink = maskerFactory('sink', ['size'], (options) => {
  const size = checkSize(options.size, 'size');
  return {
    apply: ({ queryLength, keyLength }, previous) =>
      previous.merge(Mask.sinks([1, 1, queryLength, keyLength], Math.min(sizeOf(size, keyLength), keyLength))),
  };
});

/** The last keys up to the query's own position. */
export const local = maskerFactory('local', ['size'], (options) => {
  const size = checkSize(options.size, 'size');
  return {
    apply: (problem, previous) => {
      const before = sizeOf(size, problem.keyLength) - 1;
      return previous.merge(before < 0 ? noKeys(problem) : bandMask(problem, before));
    },
  };
});

/** What earlier maskers kept of the keys up to the query's own position. */
export const causal = maskerFactory('causal', [], () => ({
  apply: (problem, previous) => previous.and(bandMask(problem, Infinity)),
}));

function noKeys({ queryLength, keyLength }) {
  return Mask.sinks([1, 1, queryLength, keyLength], 0);
}

/** Keys from `before` positions before the query's own up to it. */
function bandMask({ batch, queryLength, keyLength, queryPositions }, before) {
  const [offset = 0] = queryPositions;
  if (queryPositions.every((position) => position === offset)) {
    return maskOfForm([1, 1, queryLength, keyLength], { kind: 'band', before, after: 0, offset });
  }
  const begins = new Uint32Array(batch * queryLength);
  const ends = new Uint32Array(batch * queryLength);
  for (let row = 0; row < begins.length; row++) {
    const position = queryPositions[Math.floor(row / queryLength)] + (row % queryLength);
    ends[row] = Math.min(Math.max(position + 1, 0), keyLength);
    begins[row] = Math.min(Math.max(position - before, 0), ends[row]);
  }
  return maskOfForm([batch, 1, queryLength, keyLength], { kind: 'documents', batch, begins, ends, queryIds: null, keyIds: null });
}
