// SPDX-License-Identifier: Apache-2.0

/** What ends a command early, and with which exit code. */

export const EXIT_OK = 0;
export const EXIT_FAILED = 1; // files, data, memory
export const EXIT_USAGE = 2; // the command line itself

/** The command line is wrong. */
export class UsageError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = 'UsageError';
  }
}

/** A file cannot be read or written, or holds something else than it should. */
export class FileError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = 'FileError';
  }
}
