// SPDX-License-Identifier: Apache-2.0
/** @file firefox.js - what a page posts when Firefox shows it; no driver is needed. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { serve } from './server.js';

const SILENCE_MS = 60_000;

/** FIREFOX, or the first of these on the path; undefined where there is none. */
export const firefoxPath = process.env.FIREFOX || ['firefox-esr', 'firefox']
  .flatMap((name) => (process.env.PATH ?? '').split(':').map((folder) => join(folder, name))).find(existsSync);

/** Why tests in Firefox are skipped, or false. */
export const skip = firefoxPath ? false : 'no Firefox found: its smoke tests did not run (name one in FIREFOX)';

/**
 * @param {string} path of the page, which posts JSON to /result
 * @param {object} [options] of serve()
 * @returns {Promise<unknown>} what it posted; its first start sometimes hangs on a busy machine, so there is a second
 */
export async function inFirefox(path, options) {
  try {
    return await attempt(path, options);
  } catch (error) {
    if (error.code !== 'no answer') throw error;
    return attempt(path, options);
  }
}

async function attempt(path, options) {
  let answer;
  const answered = new Promise((resolve) => {
    answer = resolve;
  });
  const server = await serve(answer, options);
  const home = mkdtempSync(join(tmpdir(), 'attn-firefox-'));
  const child = spawn(firefoxPath, ['--headless', '--no-remote', '--profile', home, server.url + path], {
    env: { ...process.env, HOME: home },
    stdio: 'ignore',
    detached: true,
  });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  let timer;
  const silence = new Promise((_, reject) => {
    const error = Object.assign(new Error(`Firefox did not answer within ${SILENCE_MS / 1000} s`), { code: 'no answer' });
    timer = setTimeout(() => reject(error), SILENCE_MS);
  });
  try {
    return JSON.parse(await Promise.race([answered, silence]));
  } finally {
    clearTimeout(timer);
    try {
      process.kill(-child.pid, 'SIGKILL'); // its group: the content processes as well
    } catch {
      // it is gone already
    }
    await exited;
    await server.close();
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  }
}
