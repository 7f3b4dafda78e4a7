/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_driver.c - stands in for libFuzzer where there is none:  fuzz_NAME [file ...]
 * Runs the files, or without any a few thousand inputs of random bytes. Not guided by coverage.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz_input.h"

#define RUNS 20000
#define MOST_BYTES 4096

int main(int argc, char **argv) {
    uint8_t *data = malloc(MOST_BYTES);
    if (!data) return 2;
    for (int n = 1; n < argc; n++) {
        FILE *file = fopen(argv[n], "rb");
        if (!file) return fprintf(stderr, "cannot read %s\n", argv[n]), 2;
        LLVMFuzzerTestOneInput(data, fread(data, 1, MOST_BYTES, file));
        fclose(file);
    }
    for (uint32_t run = 0; argc < 2 && run < RUNS; run++) {
        struct case_random random = case_random_init(run, 0);
        const size_t size = case_random_next(&random) % (run % 8 ? 256 : MOST_BYTES);
        for (size_t n = 0; n < size; n++) data[n] = (uint8_t)(case_random_next(&random) >> 24);
        LLVMFuzzerTestOneInput(data, size);
    }
    printf("%s: %d inputs\n", argv[0], argc < 2 ? RUNS : argc - 1);
    free(data);
    return 0;
}
