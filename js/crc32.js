// SPDX-License-Identifier: Apache-2.0

/** The checksum of zip archives and of PNG. */

/** @param {Uint8Array} bytes @returns {number} in 0 .. 2^32 - 1 */
export function crc32(bytes) {
  const table = CRC_TABLE;
  let crc = -1;
  for (let at = 0; at < bytes.length; at++) crc = table[(crc ^ bytes[at]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  return crc;
});
