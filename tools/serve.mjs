// SPDX-License-Identifier: Apache-2.0
//
// Serves a folder on localhost, this one if none is named, for the demo and the browser tests. PORT=n node
// tools/serve.mjs [folder] prints the address; without PORT it is 8080, or any free port where that is taken.

import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';

const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.mjs': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
};

/** The file a URL path stands for: inside `root` also after links, nothing hidden; undefined where there is none. */
async function resolveFile(root, pathname) {
  try {
    const decoded = decodeURIComponent(pathname);
    if (decoded.includes('\0') || decoded.split(/[/\\]/).some((part) => part.startsWith('.'))) return undefined;
    const path = await realpath(join(root, decoded));
    if (path !== root && !path.startsWith(root + sep)) return undefined;
    const info = await stat(path);
    if (!info.isDirectory()) return { path, size: info.size };
    return pathname.endsWith('/') ? await resolveFile(root, `${pathname}index.html`) : { redirect: `${pathname}/` };
  } catch {
    return undefined;
  }
}

/**
 * Starts the server.
 * @param {object} [options]
 * @param {number} [options.port] 0, the default, takes any free one
 * @param {string} [options.root] the folder to serve; default the repository
 * @returns {Promise<import('node:http').Server & { address(): import('node:net').AddressInfo }>} listening
 */
export async function serve({ port = 0, root = fileURLToPath(new URL('..', import.meta.url)) } = {}) {
  const folder = await realpath(root);
  const server = createServer(async (request, response) => {
    const answer = (status, headers = {}) => {
      response.writeHead(status, headers).end(status < 400 ? undefined : `${status}\n`);
    };
    if (!['GET', 'HEAD'].includes(request.method)) return answer(405, { allow: 'GET, HEAD' });
    const pathname = request.url.replace(/[?#].*$/, '').replace(/^\/+/, '/');
    const file = await resolveFile(folder, pathname);
    if (!file && pathname === '/') return answer(302, { location: '/web-demo/' });
    if (!file) return answer(404);
    if (file.redirect) return answer(301, { location: file.redirect });
    response.writeHead(200, {
      'content-type': TYPES[extname(file.path)] ?? 'application/octet-stream',
      'content-length': file.size,
      'cache-control': 'no-cache',
      'x-content-type-options': 'nosniff',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
    });
    if (request.method === 'HEAD') return response.end();
    return pipeline(createReadStream(file.path), response).catch(() => {}); // the reader went away
  });
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return server;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const wanted = process.env.PORT;
  if (wanted && !(/^\d+$/.test(wanted) && Number(wanted) < 65536)) {
    console.error(`PORT=${wanted} is not a port`);
    process.exit(1);
  }
  try {
    const [, , root] = process.argv;
    const server = await serve({ port: Number(wanted || 8080), root })
      .catch((error) => (error.code === 'EADDRINUSE' && !wanted ? serve({ root }) : Promise.reject(error)));
    console.log(`http://localhost:${server.address().port}/  (Ctrl+C ends it)`);
  } catch (error) {
    console.error(error.code === 'EADDRINUSE' ? `PORT=${wanted} is taken` : error.message);
    process.exit(1);
  }
}
