// SPDX-License-Identifier: Apache-2.0

/** Base64, the same in Node, browsers and workers. */

const STEP = 2 ** 15; // arguments of one call

/** @param {string} text @returns {Uint8Array} */
export function fromBase64(text) {
  const letters = atob(text);
  return Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
}

/** @param {Uint8Array} bytes @returns {string} */
export function toBase64(bytes) {
  let letters = '';
  for (let at = 0; at < bytes.length; at += STEP) letters += String.fromCharCode(...bytes.subarray(at, at + STEP));
  return btoa(letters);
}
