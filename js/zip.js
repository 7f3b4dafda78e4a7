// SPDX-License-Identifier: Apache-2.0

/**
 * Zip archives, as far as .npz needs them: written stored, read stored or deflated. Sizes and places come from the
 * central directory and are checked before use; no zip64, no encryption, no more than one disk.
 */

import { crc32 } from './crc32.js';
import { inflate } from './inflate.js';
import { allocate } from './tensor.js';

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const LOCAL_BYTES = 30;
const CENTRAL_BYTES = 46;
const END_BYTES = 22;
const MAX_COMMENT = 65535;
const ENCRYPTED = 1;
const ZIP64 = 0xffffffff; // stands for a size or place that does not fit
const STORED = 0;
const DEFLATED = 8;
const VERSION = 20;
const DATE = (1 << 5) | 1; // 1980-01-01: the same archive for the same content

/** @param {[string, Uint8Array][]} members names, of ASCII, and contents */
export function writeZip(members) {
  let bytes = END_BYTES;
  for (const [name, content] of members) bytes += LOCAL_BYTES + CENTRAL_BYTES + 2 * name.length + content.length;
  if (bytes >= 2 ** 32) throw new RangeError(`zip: expected less than 2^32 bytes, got ${bytes}`);
  const file = allocate(Uint8Array, bytes);
  const view = new DataView(file.buffer);
  const entries = [];
  let at = 0;
  for (const [name, content] of members) {
    const entry = { name: new TextEncoder().encode(name), length: content.length, crc: crc32(content), at };
    view.setUint32(at, LOCAL, true);
    writeCommon(view, at + 4, entry);
    file.set(entry.name, at + LOCAL_BYTES);
    file.set(content, at + LOCAL_BYTES + name.length);
    at += LOCAL_BYTES + name.length + content.length;
    entries.push(entry);
  }
  const directory = at;
  for (const entry of entries) {
    view.setUint32(at, CENTRAL, true);
    view.setUint16(at + 4, VERSION, true);
    writeCommon(view, at + 6, entry);
    view.setUint32(at + 42, entry.at, true);
    file.set(entry.name, at + CENTRAL_BYTES);
    at += CENTRAL_BYTES + entry.name.length;
  }
  view.setUint32(at, END, true);
  view.setUint16(at + 8, entries.length, true);
  view.setUint16(at + 10, entries.length, true);
  view.setUint32(at + 12, at - directory, true);
  view.setUint32(at + 16, directory, true);
  return file;
}

/** The fields that local and central headers share. */
function writeCommon(view, at, { name, length, crc }) {
  view.setUint16(at, VERSION, true);
  view.setUint16(at + 8, DATE, true);
  view.setUint32(at + 10, crc, true);
  view.setUint32(at + 14, length, true);
  view.setUint32(at + 18, length, true);
  view.setUint16(at + 22, name.length, true);
}

/** The members of an archive, name -> entry; nothing is inflated. */
export function readZip(bytes, name) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = findEnd(view, name);
  const count = view.getUint16(end + 10, true);
  const directoryBytes = view.getUint32(end + 12, true);
  const directory = view.getUint32(end + 16, true);
  if (count === 0xffff || directoryBytes === ZIP64 || directory === ZIP64) throw invalid(name, 'it is zip64');
  if (view.getUint16(end + 4, true) !== 0 || view.getUint16(end + 8, true) !== count) {
    throw invalid(name, 'it spans several disks');
  }
  if (directory + directoryBytes > end) throw invalid(name, 'its directory reaches past its end');
  const members = new Map();
  for (let n = 0, at = directory; n < count; n++) {
    const stop = directory + directoryBytes;
    if (at + CENTRAL_BYTES > stop || view.getUint32(at, true) !== CENTRAL) {
      throw invalid(name, 'its directory is damaged');
    }
    const nameLength = view.getUint16(at + 28, true);
    const next = at + CENTRAL_BYTES + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
    if (next > stop) throw invalid(name, 'its directory is damaged');
    const member = new TextDecoder().decode(bytes.subarray(at + CENTRAL_BYTES, at + CENTRAL_BYTES + nameLength));
    if (members.has(member)) throw invalid(name, `it has two members ${member.slice(0, 40)}`);
    members.set(member, readEntry(bytes, view, at, directory, `${name}: ${member.slice(0, 40)}`));
    at = next;
  }
  return members;
}

function findEnd(view, name) {
  const last = view.byteLength - END_BYTES;
  for (let at = last; at >= Math.max(0, last - MAX_COMMENT); at--) {
    const bytes = END_BYTES + view.getUint16(at + 20, true);
    if (view.getUint32(at, true) === END && at + bytes === view.byteLength) return at;
  }
  throw invalid(name, 'it has no end record (truncated?)');
}

function readEntry(bytes, view, at, directory, name) {
  const method = view.getUint16(at + 10, true);
  const packedLength = view.getUint32(at + 20, true);
  const length = view.getUint32(at + 24, true);
  const local = view.getUint32(at + 42, true);
  if ((view.getUint16(at + 8, true) & ENCRYPTED) !== 0) throw invalid(name, 'it is encrypted');
  if ([packedLength, length, local].includes(ZIP64)) throw invalid(name, 'it is zip64');
  if (method !== STORED && method !== DEFLATED) throw invalid(name, `compression method ${method} is not supported`);
  if (local + LOCAL_BYTES > directory || view.getUint32(local, true) !== LOCAL) {
    throw invalid(name, 'its header is damaged');
  }
  const begin = local + LOCAL_BYTES + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
  if (begin + packedLength > directory) throw invalid(name, 'it reaches past the end');
  if (method === STORED && packedLength !== length) {
    throw invalid(name, `it stores ${packedLength} bytes and claims ${length}`);
  }
  const packed = bytes.subarray(begin, begin + packedLength);
  return { name, isDeflated: method === DEFLATED, length, crc: view.getUint32(at + 16, true), packed };
}

/** The content of one member, which may have at most `maxBytes`. */
export async function readMember({ name, isDeflated, length, crc, packed }, maxBytes) {
  if (length > maxBytes) throw invalid(name, `it claims ${length} bytes, where at most ${maxBytes} are expected`);
  const content = isDeflated ? await inflate(packed, length, name) : packed;
  if (crc32(content) !== crc) throw invalid(name, 'its checksum is wrong');
  return content;
}

function invalid(name, what) {
  return new RangeError(`${name}: ${what}`);
}
