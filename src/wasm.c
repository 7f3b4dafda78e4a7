/* SPDX-License-Identifier: Apache-2.0
 *
 * wasm.c - what only the WebAssembly module has. Its other entry points are exported by the linker under their
 * names in attn.h and memory.h; the memory is imported.
 */
#include <stddef.h>
#include <stdint.h>

#include "attn.h"

extern unsigned char __heap_base; /* set by wasm-ld */

size_t attn_memory_base(void);

/* The first byte above stack and data, aligned: everything from here on is the host's to divide up. */
size_t attn_memory_base(void) {
    return ((uintptr_t)&__heap_base + ATTN_ALIGNMENT - 1) / ATTN_ALIGNMENT * ATTN_ALIGNMENT;
}
