/* Any bytes as a safetensors file: refused, or every tensor lies inside them. */
#include "fmt_safetensors.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    ar_safetensors *st;
    uint8_t nothing = 0;
    if (ar__safetensors_parse(&st, bytes ? data : &nothing, bytes, "fuzz") != AR_OK) return 0;
    for (int64_t i = 0; i < ar_safetensors_count(st); i++) {
        const ar_st_tensor *t = ar_safetensors_at(st, i);
        volatile uint8_t sum = 0;
        for (uint64_t b = 0; b < t->bytes; b++) sum = (uint8_t)(sum + t->data[b]);
        if (ar_safetensors_find(st, t->name) != t || t->dim_count > 8 || strlen(t->dtype) > 7) abort();
    }
    ar_safetensors_metadata(st, "format");
    ar_safetensors_close(st);
    return 0;
}
