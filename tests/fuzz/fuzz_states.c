/* Any bytes as the folder of a net of few states, two bytes of length, config.json, then model.safetensors:
 * refused, or thresholds give every code that folded floats give, whatever the numbers are. */
#include "states_folder.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 14 }; /* pixels and codes of nets that are run: larger ones are right too, but slow */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void put(const char *folder, const char *name, const uint8_t *data, size_t bytes) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f) != 0) abort();
}

static void classify(const ar_states_model *m) {
    int64_t pixels = (int64_t)m->H * m->W * m->C, count = ar_states_code_count(m);
    if (pixels > MOST || count > MOST) return;
    uint8_t *image = malloc((size_t)pixels), *codes = calloc(2, (size_t)count + 1);
    float *scores = calloc(2, (size_t)m->classes * sizeof *scores);
    int32_t label = -1;
    if (!image || !codes || !scores) abort();
    for (int64_t i = 0; i < pixels; i++) image[i] = (uint8_t)(i * 37 + 11);
    for (int way = 0; way < 2; way++) {
        if (ar_states_classify(&label, scores + way * m->classes, codes + way * count, m, image, way) !=
            AR_OK)
            abort();
        if (label < 0 || label >= m->classes) abort();
    }
    if (memcmp(codes, codes + count, (size_t)count) != 0) abort();
    if (memcmp(scores, scores + m->classes, (size_t)m->classes * sizeof *scores) != 0) abort();
    free(image);
    free(codes);
    free(scores);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static char folder[] = P_tmpdir "/ar-fuzz-states-XXXXXX";
    static bool made;
    ar_states_desc d;
    ar_states_model m;
    if (bytes < 2) return 0;
    if (!made && !mkdtemp(folder)) abort();
    made = true;
    size_t config = (size_t)(data[0] | data[1] << 8);
    if (config > bytes - 2) return 0;
    put(folder, "config.json", data + 2, config);
    put(folder, AR__STATES_NUMBERS, data + 2 + config, bytes - 2 - config);
    (void)ar__states_desc_open(&d, folder);
    if (ar_states_open(&m, folder) != AR_OK) return 0;
    if (ar_states_bytes(&m) > (int64_t)bytes) abort();
    classify(&m);
    ar_states_model_deinit(&m);
    return 0;
}
