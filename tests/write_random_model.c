/* write_random_model FOLDER: reads FOLDER/config.json and writes FOLDER/model.safetensors, random fp16
 * weights of that shape (bench/random_model.h), row by row, so that it may be larger than memory. */
#include <stdio.h>
#include <stdlib.h>
#include "ar_error.h"
#include "random_model.h"

static ar_status declare(ar_st_writer *w, const ar_weights *weights) {
    for (int64_t i = 0; i < weights->vtable->count(weights->impl); i++) {
        const ar_weight *t = weights->vtable->at(weights->impl, i);
        AR_TRY(ar_st_writer_declare(w, t->name, "F16", t->dim_count, t->dims));
    }
    return AR_OK;
}

static ar_status write_rows(ar_st_writer *w, const ar_weights *weights, int64_t i, float *row,
                            uint16_t *halves) {
    const ar_weight *t = weights->vtable->at(weights->impl, i);
    int64_t rows = t->dim_count > 1 ? t->dims[0] : 1, width = t->dims[t->dim_count - 1];
    for (int64_t r = 0; r < rows; r++) {
        AR_TRY(weights->vtable->read(weights->impl, row, i, r, 1));
        for (int64_t k = 0; k < width; k++) halves[k] = ar_f32_to_f16(row[k]);
        AR_TRY(ar_st_writer_data(w, halves, (size_t)width * sizeof *halves));
    }
    return AR_OK;
}

static ar_status write_model(const char *config_path, const char *path) {
    ar_status status = AR_OK;
    ar_config c;
    ar_open_model *m = NULL;
    ar_st_writer *w = NULL;
    float *row = NULL;
    uint16_t *halves = NULL;
    AR_GO(ar_config_open(&c, config_path));
    AR_GO(ar_random_model_open(&m, &c, 1));
    size_t width = (size_t)(c.hidden > c.intermediate ? c.hidden : c.intermediate);
    row = ar__alloc(width, sizeof *row);
    halves = ar__alloc(width, sizeof *halves);
    if (!row || !halves) AR_GO(AR_ERR_MEMORY);
    AR_GO(ar_st_writer_create(&w));
    AR_GO(declare(w, &m->weights));
    AR_GO(ar_st_writer_begin(w, path));
    for (int64_t i = 0; i < m->weights.vtable->count(m->weights.impl); i++)
        AR_GO(write_rows(w, &m->weights, i, row, halves));
    AR_GO(ar_st_writer_finish(&w));
done:
    ar_st_writer_abort(&w);
    free(row);
    free(halves);
    ar_random_model_close(m);
    return status;
}

int main(int argc, char **argv) {
    char config[4096], path[4096];
    if (argc != 2) return 2;
    snprintf(config, sizeof config, "%s/config.json", argv[1]);
    snprintf(path, sizeof path, "%s/model.safetensors", argv[1]);
    if (write_model(config, path) == AR_OK) return 0;
    fprintf(stderr, "write_random_model: %s\n", ar_error());
    return 1;
}
