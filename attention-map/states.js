// SPDX-License-Identifier: Apache-2.0

/** What becomes of a cell, or of a block of cells, by the mask alone. */
export const CellState = Object.freeze({
  /** Something of it is kept. */
  KEPT: 0,
  /** Nothing of it, but something of the aligned 64 x 64 cells around it. */
  MASKED: 1,
  /** Nothing of any 64 x 64 cells that it is in, or that are in it. */
  SKIPPED: 2,
});
