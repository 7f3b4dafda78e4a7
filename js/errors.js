// SPDX-License-Identifier: Apache-2.0

/**
 * Errors of the package. TypeError and RangeError say which argument is wrong; AttentionError says why a
 * valid request could not be served. The core's status codes map to both through one table.
 */

import { FieldText, Status, StatusText } from './abi.js';

/** Why a valid request could not be served; `code` is one of ERROR_CODES. */
export class AttentionError extends Error {
  constructor(code, message, options) {
    super(message, options);
    this.name = 'AttentionError';
    this.code = code;
  }
}

export const ERROR_CODES = Object.freeze([
  'unsupported',
  'wasm-unavailable',
  'out-of-memory',
  'aborted',
  'disposed',
  'internal',
]);

/** What each status of the core becomes: an error class, or a code of AttentionError. */
export const STATUS_ERRORS = Object.freeze({
  [Status.ERROR_NULL]: 'internal',
  [Status.ERROR_DTYPE]: TypeError,
  [Status.ERROR_SIZE]: RangeError,
  [Status.ERROR_SHAPE]: RangeError,
  [Status.ERROR_HEADS]: RangeError,
  [Status.ERROR_VALUE]: RangeError,
  [Status.ERROR_INDEX]: RangeError,
  [Status.ERROR_WORKSPACE]: 'internal',
  [Status.ERROR_JOBS]: 'internal',
});

/** Fields whose option is not simply the camelCase of their name in C. */
const ARGUMENTS = {
  none: 'arguments',
  shape: 'queries, keys and values',
  sparse_mask: 'sparseAttentionMask',
};

/** The error for a status other than OK; `field` is the core's number for the offending field. */
export function statusError(status, field) {
  const text = FieldText[field] ?? FieldText[0];
  const argument = ARGUMENTS[text] ?? text.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
  const message = `${argument}: ${StatusText[status] ?? `unknown status ${status}`}`;
  const kind = STATUS_ERRORS[status] ?? 'internal';
  return typeof kind === 'string' ? new AttentionError(kind, message) : new kind(message);
}

/** Throws the error for a status other than OK. */
export function checkStatus(status, field) {
  if (status !== Status.OK) throw statusError(status, field);
}
