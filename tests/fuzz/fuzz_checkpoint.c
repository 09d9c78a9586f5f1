/* Any bytes as the checkpoint of a small net's training, on the device that computes nothing: refused as
 * damaged or as another run's, or taken with a step that the run has. The checksum is made right first, so
 * that what is behind it is met too. */
#include "fmt_safetensors.h"
#include "train.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 6 };
#define START UINT64_C(0xcbf29ce484222325) /* as train_checkpoint.c */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static ar_status give(const ar_data *d, void *input, int32_t *labels, int64_t step, int32_t first,
                      int32_t count) {
    (void)d, (void)step, (void)first;
    memset(input, 0, (size_t)count * 4 * sizeof(float));
    memset(labels, 0, (size_t)count * sizeof *labels);
    return AR_OK;
}

static const ar_data examples = {.dtype = AR_F32, .rows = 4, .width = 1, .labels = 1, .draw = give};

static ar_trainer *make_trainer(void) {
    static ar_trainer *t;
    ar_device *device = NULL;
    ar_net *net = NULL;
    ar_states_desc d = {.H = 2, .W = 2, .C = 1, .classes = 2, .mw = 3, .ma = 3, .hidden = {2}};
    ar_train_desc desc = {.optimizer = AR_TRAIN_SGD, .steps = STEPS, .batch = 1, .accumulate = 1, .clip = 1};
    d.hidden_count = 1;
    if (t) return t;
    if (ar_device_open(&device, &(ar_device_desc){.select = "null"}) != AR_OK ||
        ar_net_states_create(&net, &d, device) != AR_OK ||
        ar_trainer_create(&t, net, &examples, &desc, device) != AR_OK) {
        fprintf(stderr, "%s\n", ar_error());
        abort();
    }
    return t; /* until the program ends */
}

/* The checksum that the file would have, put where it lies. */
static void forge(uint8_t *file, size_t bytes) {
    ar_safetensors *st = NULL;
    if (ar__safetensors_parse(&st, file, bytes, "fuzz") != AR_OK) return;
    const char *run = ar_safetensors_metadata(st, "run"), *said = ar_safetensors_metadata(st, "state");
    const ar_st_tensor *end = ar_safetensors_find(st, "checksum");
    if (run && said && end && end->bytes == 8) {
        uint64_t sum = ar_hash64(ar_hash64(START, run, strlen(run)), said, strlen(said));
        for (int64_t i = 0; i < ar_safetensors_count(st); i++) {
            const ar_st_tensor *x = ar_safetensors_at(st, i);
            if (x != end)
                sum += ar_hash64(ar_hash64(START, x->name, strlen(x->name)), x->data, (size_t)x->bytes);
        }
        memcpy(file + (end->data - file), &sum, sizeof sum);
    }
    ar_safetensors_close(st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static char path[] = P_tmpdir "/ar-fuzz-checkpoint-XXXXXX";
    static bool made;
    ar_trainer *t = make_trainer();
    ar_train_mark mark = {0};
    bool found = false;
    int descriptor = -1;
    if (!made && (descriptor = mkstemp(path)) < 0) abort();
    made = true;
    uint8_t *file = malloc(bytes + 1);
    if (!file) abort();
    memcpy(file, data, bytes);
    forge(file, bytes);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(file, 1, bytes, f) != bytes || fclose(f) != 0) abort();
    free(file);
    ar_status status = ar__checkpoint_read(&found, path, t, "seed: 1\n", &mark);
    if (found != (status == AR_OK)) abort();
    if (found && (mark.step < 0 || mark.step > STEPS || ar_trainer_at(t) != mark.step)) abort();
    if (!found && status != AR_ERR_CHECK && status != AR_ERR_USAGE && status != AR_ERR_ARG) {
        fprintf(stderr, "status %d: %s\n", (int)status, ar_error());
        abort();
    }
    return 0;
}
