// SPDX-License-Identifier: Apache-2.0
/** @file server.js - serves a folder to a browser under a strict content security policy. */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const types = {
  '.css': 'text/css',
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

// No inline script, no eval, nothing from elsewhere; compiling wasm is the one thing granted.
const strict = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; img-src data:";

/**
 * @param {(body: string) => void} [onResult] called with what a page posts to /result
 * @param {{ folder?: string, prefix?: string, policy?: string }} [options] what stands under which path, the repository
 * under / by default
 * @returns {Promise<{ url: string, requests: string[], close(): Promise<void> }>}
 */
export async function serve(onResult, { folder = root, prefix = '/', policy = strict } = {}) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, 'http://localhost').pathname;
    requests.push(path);
    if (request.method === 'POST' && path === '/result') {
      let body = '';
      for await (const chunk of request) body += chunk;
      response.end();
      onResult?.(body);
      return;
    }
    try {
      const file = path.endsWith('/') ? `${path}index.html` : path;
      if (!file.startsWith(prefix)) throw new Error(`${file} is not under ${prefix}`);
      const content = await readFile(join(folder, normalize(file.slice(prefix.length))));
      response.writeHead(200, {
        'content-type': types[extname(file)] ?? 'application/octet-stream',
        'content-security-policy': policy,
        'cache-control': 'no-store',
      });
      response.end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  };
}
