// SPDX-License-Identifier: Apache-2.0

import { MaskerKind } from './abi.js';
import { checkCount, checkPositive, checkSeed, checkSize, orElse, sizeOf } from './masker-options.js';
import { coreMaskerFactory } from './masker.js';

const MOST_TABLES = 256; // with 2^8 entries each a look-up for four heads takes 1 MiB

/** Likeliest equal hashes, times the norm of the value: src/socket.c. */
export const socket = coreMaskerFactory('socket', ['heavySize', 'bits', 'tables', 'temperature', 'seed'], (options) => {
  const heavySize = checkSize(options.heavySize, 'heavySize');
  const bits = checkCount(orElse(options.bits, 4), 'bits', 1, 8);
  const tables = checkCount(orElse(options.tables, 1), 'tables', 1, MOST_TABLES);
  const temperature = checkPositive(orElse(options.temperature, 0.3), 'temperature');
  const seed = checkSeed(orElse(options.seed, 0));
  return ({ keyLength }) => ({
    kind: MaskerKind.SOCKET,
    count: sizeOf(heavySize, keyLength),
    bits,
    tables,
    temperature,
    ...seed,
  });
});
