/* Fuzzes the check of module files: it reads nothing outside of the image, and says why it refuses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mods/mods_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* a copy of the exact size, so that reading behind it is seen */
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) abort();
    if (size) memcpy(copy, data, size);
    sv_err err = {.text = ""};
    const sv_status status = svi_mods_check_image(copy, size, &err);
    if ((status == SV_OK) == (err.text[0] != 0) || (status != SV_OK && status != SV_EINVAL)) {
        fprintf(stderr, "fuzz_module.c: status %d with the text '%s'\n", (int)status, err.text);
        abort();
    }
    free(copy);
    return 0;
}
