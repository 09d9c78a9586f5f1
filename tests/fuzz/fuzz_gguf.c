/* Any bytes as a GGUF file: refused, or every tensor reads from inside them, as values, as codes and raw. */
#include "fmt_gguf.h"
#include <stdlib.h>
#include <string.h>

static void read_all(const ar_weights *w) {
    for (int64_t i = 0; i < w->vtable->count(w->impl); i++) {
        const ar_weight *t = w->vtable->at(w->impl, i);
        int64_t rows = t->dim_count > 1 ? t->dims[0] : 1, width = 1;
        for (int32_t d = t->dim_count > 1 ? 1 : 0; d < t->dim_count; d++) width *= t->dims[d];
        float *values =
            malloc((size_t)(rows * width) * sizeof *values); /* at most 32 values a byte of the file */
        if (!values || w->vtable->read(w->impl, values, i, 0, rows) != AR_OK) abort();
        free(values);
        ar_qlinear q;
        if (w->vtable->read_codes(w->impl, &q, i) == AR_OK) ar_qlinear_deinit(&q);
        ar_qtype type;
        const uint8_t *blocks;
        uint64_t stride = 0;
        if (w->vtable->raw(w->impl, &type, &blocks, &stride, i) != AR_OK) abort();
        uint8_t last = 0;
        for (int64_t row = 0; row < rows; row++) {
            int64_t stored = w->vtable->raw_row(w->impl, i, row);
            if (stored < 0 || stored >= rows) abort();
            last ^= blocks[(uint64_t)(stored + 1) * stride - 1];
        }
        if (stride == 0 && last) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    ar_weights w;
    ar_config config;
    ar_tokenizer *t = NULL;
    ar__gguf g;
    uint8_t nothing = 0;
    if (ar__gguf_open_bytes(&w, &config, &t, bytes ? data : &nothing, bytes, "fuzz") == AR_OK) {
        read_all(&w);
        ar_weights_close(&w);
        ar_tokenizer_close(t);
    }
    if (ar__gguf_parse(&g, bytes ? data : &nothing, bytes, "fuzz") != AR_OK)
        return 0; /* a vocabulary alone */
    if (ar__gguf_tokenizer(&t, &g) == AR_OK) ar_tokenizer_close(t);
    ar__gguf_deinit(&g);
    return 0;
}
