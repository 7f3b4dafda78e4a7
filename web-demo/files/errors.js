// SPDX-License-Identifier: Apache-2.0

/** Files that cannot be read, or data that cannot be written: the message is for the reader of the page. */
export class DataError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = 'DataError';
  }
}
