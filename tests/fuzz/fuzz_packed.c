/* Any bytes as a packed folder, two bytes of length, config.json, then model.safetensors: refused, or every
 * tensor can be read whole. */
#include "ar_host.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void put(const char *folder, const char *name, const uint8_t *data, size_t bytes) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f) != 0) abort();
}

static void read_all(const ar_weights *w, int64_t i) {
    const ar_weight *t = w->vtable->at(w->impl, i);
    int64_t rows = t->dim_count > 1 ? t->dims[0] : 1, elements = 1;
    for (int32_t d = 0; d < t->dim_count; d++) elements *= t->dims[d];
    if (elements > 1 << 20) return; /* larger than any input makes: only tensors without data */
    float *values = malloc((size_t)elements * sizeof *values + 1);
    ar_qlinear q;
    if (!values) abort();
    (void)w->vtable->read(w->impl, values, i, 0, rows);
    if (w->vtable->read_codes(w->impl, &q, i) == AR_OK) ar_qlinear_deinit(&q);
    free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static char folder[] = P_tmpdir "/ar-fuzz-packed-XXXXXX";
    static bool made;
    if (bytes < 2) return 0;
    if (!made && !mkdtemp(folder)) abort();
    made = true;
    size_t config = (size_t)(data[0] | data[1] << 8);
    if (config > bytes - 2) return 0;
    put(folder, "config.json", data + 2, config);
    put(folder, "model.safetensors", data + 2 + config, bytes - 2 - config);
    ar_weights w;
    if (ar_weights_open_packed(&w, folder) != AR_OK) return 0;
    for (int64_t i = 0; i < w.vtable->count(w.impl); i++) read_all(&w, i);
    ar_weights_close(&w);
    return 0;
}
