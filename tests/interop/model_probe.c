/* What the interop scripts ask of the library, for the program has no command for it.
 *   model_probe MODEL encode        ids of each line of stdin, without BOS
 *   model_probe MODEL logits DEVICE the ids on stdin: logits of every position, raw f32, on stdout */
#include "ar_host.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ar_status encode(const ar_open_model *m) {
    char *line = NULL;
    size_t room = 0;
    ssize_t bytes;
    ar_status status = AR_OK;
    while (status == AR_OK && (bytes = getline(&line, &room, stdin)) > 0) {
        int32_t *ids = NULL;
        int64_t count = 0;
        if (line[bytes - 1] == '\n') bytes--;
        status = ar_tokenizer_encode(m->tokenizer, &ids, &count, line, (size_t)bytes, false);
        for (int64_t i = 0; status == AR_OK && i < count; i++) printf("%s%d", i ? " " : "", (int)ids[i]);
        putchar('\n');
        free(ids);
    }
    free(line);
    return status;
}

static ar_status logits(const ar_open_model *m, const char *select) {
    ar_device *device = NULL;
    int32_t ids[4096];
    int64_t count = 0;
    while (count < 4096 && scanf("%d", &ids[count]) == 1) count++;
    size_t values = (size_t)count * (size_t)m->model.vocab;
    float *out = calloc(values ? values : 1, sizeof *out);
    ar_status status = out ? ar_device_open(&device, &(ar_device_desc){.select = select}) : AR_ERR_MEMORY;
    if (status == AR_OK) status = ar_model_logits(out, m, device, ids, count, count);
    if (status == AR_OK) fwrite(out, sizeof *out, values, stdout);
    free(out);
    ar_device_close(device);
    return status;
}

int main(int argc, char **argv) {
    ar_open_model *m = NULL;
    bool encodes = argc == 3 && strcmp(argv[2], "encode") == 0;
    if (!encodes && !(argc == 4 && strcmp(argv[2], "logits") == 0)) return 2;
    ar_status status = ar_model_open(&m, argv[1]);
    if (status == AR_OK) status = encodes ? encode(m) : logits(m, argv[3]);
    if (status != AR_OK) fprintf(stderr, "%s\n", ar_error());
    ar_model_close(m);
    return status != AR_OK;
}
