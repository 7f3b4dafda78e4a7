// SPDX-License-Identifier: Apache-2.0

/**
 * Calls of another thread's methods. Both ends of a port (a Worker, a worker's own scope, a MessagePort):
 *   { call: number, method, args }   { abort: number }       from the caller
 *   { call: number, result } or { call: number, error: { name, message, code } }   from the other end
 */

const ERRORS = { TypeError, RangeError };

/**
 * Lets the other end of a port call an object's methods. Each gets, after its own arguments, { signal }: an AbortSignal
 * that says when the caller does not want the result any more. What it returns, or resolves to, is copied; ImageBitmaps
 * among its properties are transferred.
 * @returns { close() }
 */
export function expose(port, object) {
  const calls = new Map(); // number -> AbortController

  const answer = async ({ call, method, args }) => {
    const controller = new AbortController();
    calls.set(call, controller);
    try {
      if (method in Object.prototype || typeof object[method] !== 'function') {
        throw new TypeError(`method: expected the name of one, got '${method}'`);
      }
      const result = await object[method](...args, { signal: controller.signal });
      if (controller.signal.aborted) closeBitmaps(result);
      else port.postMessage({ call, result }, bitmapsOf(result));
    } catch (error) {
      const { name, message, code } = Object(error);
      const text = message ?? String(error);
      if (!controller.signal.aborted) port.postMessage({ call, error: { name: name ?? 'Error', message: text, code } });
    } finally {
      calls.delete(call);
    }
  };

  const listen = ({ data }) => {
    if (data.abort === undefined) answer(data);
    else calls.get(data.abort)?.abort();
  };
  port.addEventListener('message', listen);
  port.start?.();

  return {
    close() {
      port.removeEventListener('message', listen);
      for (const controller of calls.values()) controller.abort();
    },
  };
}

/**
 * The caller's end.
 * @returns { call(method, args, { signal, transfer }): a promise of the result; close() }. The promise rejects with the
 * error of the other end, with the signal's reason once it is aborted, and when the port is closed or the worker fails
 */
export function connect(port) {
  const calls = new Map(); // number -> { resolve, reject }
  let count = 0;
  let broken; // why nothing can be called any more

  const settle = ({ data: { call, result, error } }) => {
    const found = calls.get(call);
    if (found === undefined) {
      closeBitmaps(result); // nobody waits for it
      return;
    }
    if (error === undefined) found.resolve(result);
    else found.reject(errorOf(error));
  };
  const fail = (event) => breakOff(new Error(event.message || 'the worker failed, or could not be loaded'));
  const breakOff = (reason) => {
    broken ??= reason;
    for (const { reject } of [...calls.values()]) reject(broken);
  };
  const listeners = { message: settle, error: fail, messageerror: fail };
  for (const [type, listener] of Object.entries(listeners)) port.addEventListener(type, listener);
  port.start?.();

  return {
    call(method, args = [], { signal, transfer = [] } = {}) {
      if (broken !== undefined) return Promise.reject(broken);
      if (signal?.aborted) return Promise.reject(signal.reason);
      const call = count++;
      return new Promise((resolve, reject) => {
        const abort = () => {
          port.postMessage({ abort: call });
          end(reject)(signal.reason);
        };
        const end = (settlePromise) => (value) => {
          calls.delete(call);
          signal?.removeEventListener('abort', abort);
          settlePromise(value);
        };
        port.postMessage({ call, method, args }, transfer); // throws, and so rejects, where it cannot be copied
        calls.set(call, { resolve: end(resolve), reject: end(reject) });
        signal?.addEventListener('abort', abort);
      });
    },
    close() {
      for (const [type, listener] of Object.entries(listeners)) port.removeEventListener(type, listener);
      breakOff(new Error('the connection has been closed'));
      port.close?.();
    },
  };
}

function bitmapsOf(result) {
  const { ImageBitmap } = globalThis;
  if (ImageBitmap === undefined || typeof result !== 'object' || result === null) return [];
  return Object.values(result).filter((value) => value instanceof ImageBitmap);
}

function closeBitmaps(result) {
  for (const bitmap of bitmapsOf(result)) bitmap.close();
}

function errorOf({ name, message, code }) {
  const error = new (ERRORS[name] ?? Error)(message);
  if (error.name !== name) error.name = name;
  if (code !== undefined) error.code = code;
  return error;
}
