// SPDX-License-Identifier: Apache-2.0
/** @file chromium.js - which browser tests run in, and how it is started. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** CHROMIUM, or the first of these on the path; undefined where there is none. */
export const executablePath = process.env.CHROMIUM || ['chromium', 'chromium-browser', 'google-chrome']
  .flatMap((name) => (process.env.PATH ?? '').split(':').map((folder) => join(folder, name))).find(existsSync);

const required = Boolean(process.env.CI) && process.env.CI !== 'false';
if (!executablePath && required) throw new Error('CI needs a Chromium (install one, or name it in CHROMIUM)');

/** Why tests in a browser are skipped, or false. */
export const skip = executablePath ? false : 'no Chromium found: its tests did not run (name one in CHROMIUM)';

export const args = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
