// SPDX-License-Identifier: Apache-2.0
import { solve } from './problems.js';

self.onmessage = async ({ data: variant }) => {
  try {
    self.postMessage(await solve(variant));
  } catch (error) {
    self.postMessage({ error: String(error?.stack ?? error) });
  }
};
