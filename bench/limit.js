// SPDX-License-Identifier: Apache-2.0
/**
 * The roof over every contestant: how fast this engine multiplies matrices in cache and reads memory, on one thread.
 * README.md says what is compared with what.
 */

// Within a few per cent of the best of 32..256 by 4..32; one block and its panels fill half of a first-level cache.
const DEPTH = 64;
const PANELS = 8;
const COLUMNS = 8; // of a panel
const REPEATS = 500;
const READ_STEP = 128; // bytes

/**
 * @param {Uint8Array} wasm of limit.c
 * @param {number} readBytes the most that will be read
 * @returns two kinds of work: `multiply` with its `flops`, `read(bytes)` with its `bytes`
 */
export async function createLimit(wasm, readBytes) {
  const { instance } = await WebAssembly.instantiate(wasm);
  const { memory, __heap_base: heapBase, limit_rows: rows, limit_multiply: multiply, limit_read: read } = instance.exports;
  const base = Math.ceil(heapBase.value / READ_STEP) * READ_STEP;
  const multiplied = (rows() * DEPTH + PANELS * COLUMNS * (DEPTH + rows())) * 4;
  const size = Math.max(multiplied, readBytes);
  memory.grow(Math.ceil((base + size - memory.buffer.byteLength) / 65536) + 1);
  // Written, because pages that never were are all the same one; small, because products are added up.
  new Float32Array(memory.buffer, base, size / 4).fill(1e-3);
  return {
    multiply: {
      flops: 2 * rows() * COLUMNS * DEPTH * PANELS * REPEATS,
      run: () => multiply(base, DEPTH, PANELS, REPEATS),
    },
    read: (bytes) => {
      const count = Math.ceil(bytes / READ_STEP) * (READ_STEP / 4);
      return { bytes: count * 4, run: () => read(base, count) };
    },
  };
}
