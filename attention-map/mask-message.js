// SPDX-License-Identifier: Apache-2.0

/** Masks in messages between threads: as what they are made of, so that one of structure takes no memory for pairs. */

import { formOf, Mask, maskOfForm } from '../js/mask.js';

/** What can be posted of a mask; its arrays are copied on the way. */
export function packMask(mask) {
  return { shape: [...mask.shape], form: mask.isEmpty() ? { kind: 'empty' } : formOf(mask, 'mask') };
}

/** The mask of a message: of packMask, or of { shape, ptr, indices, weights? }, compressed sparse rows. */
export function unpackMask({ shape, form, ptr, indices, weights }) {
  if (form !== undefined) return maskOfForm(shape, form);
  return Mask.fromIndices(shape, { ptr, indices, weights });
}
