/* anyround imatrix: how much each input of each linear counts, in llama.cpp's file form. */
#include "ar_error.h"
#include "output.h"
#include "program.h"
#include "quantize_job.h"
#include <cjson/cJSON.h>
#include <stdio.h>

typedef struct imatrix_options {
    const char *out;
    ar_option_list calib;
    int64_t samples, seqlen;
} imatrix_options;

static ar_status check_places(const char *model, const imatrix_options *o) {
    ar_input inputs[1 + AR_OPTION_REPEATS] = {{model, "the model"}};
    int32_t count = 1;
    for (int32_t i = 0; i < o->calib.count; i++)
        inputs[count++] = (ar_input){o->calib.text[i], "the calibration text"};
    AR_TRY(ar__output_check_file("-o", o->out, NULL));
    return ar__path_check_inputs(o->out, false, inputs, count);
}

/* On stdout. */
static ar_status tell(const imatrix_options *o, const ar_samples *s, const ar_common *common) {
    if (!common->json) {
        if (!common->quiet) printf("%s: %d samples of %d tokens\n", o->out, (int)s->count, (int)s->T);
        return AR_OK;
    }
    cJSON *root = cJSON_CreateObject();
    ar_status status = ar__quantize_add_text(root, "out", o->out);
    ar_json_add_number(root, "samples", s->count);
    ar_json_add_number(root, "seqlen", s->T);
    if (status == AR_OK) status = ar_program_json(root, false);
    cJSON_Delete(root);
    return status;
}

static ar_status make(const char *path, const imatrix_options *o, const ar_common *common) {
    ar_status status;
    ar_open_model *m = NULL;
    ar_device *device = NULL;
    ar_samples samples = {0};
    ar_snapshot texts = {0};
    ar_observer observer;
    AR_GO(check_places(path, o));
    for (int32_t i = 0; i < o->calib.count; i++) AR_GO(ar_snapshot_add(&texts, o->calib.text[i]));
    AR_GO(ar_program_float_model(&m, path, common));
    AR_GO(ar_program_device(&device, common, true));
    ar_program_observer(&observer, common);
    int32_t T = o->seqlen < m->model.max_tokens ? (int32_t)o->seqlen : m->model.max_tokens;
    status = ar_calib_make(&samples, m, device, o->calib.text, o->calib.count, (int32_t)o->samples, T,
                           (uint64_t)common->seed, &observer);
    if (status == AR_ERR_USAGE) status = ar_program_blame(status, "--seqlen");
    AR_GO(ar_snapshot_end(status, &texts));
    status = ar_imatrix_write(o->out, m, device, &samples, o->calib.text, o->calib.count, &observer);
    ar_program_progress_end(common);
    ar_program_results_beside(o->out);
    AR_GO(status);
    status = tell(o, &samples, common);
done:
    ar_snapshot_deinit(&texts);
    ar_samples_deinit(&samples);
    ar_device_close(device);
    ar_model_close(m);
    return status;
}

static ar_status run(const ar_command *self, int argc, char **argv) {
    ar_common common;
    imatrix_options o = {.samples = 128, .seqlen = 512};
    const ar_option options[] = {
        {"--out|-o", AR_OPT_STRING, &o.out, "FILE", "the file to write", 0, 0, NULL},
        {"--calib", AR_OPT_TEXTS, &o.calib, "FILE",
         "calibration text, - = stdin, or .jsonl; several by several --calib", 0, 0, NULL},
        {"--samples", AR_OPT_INT, &o.samples, "N", "samples, spread over the text (128)", 1, 1 << 20, NULL},
        {"--seqlen", AR_OPT_INT, &o.seqlen, "N", "tokens of a sample (512, at most the context)", 2, 1 << 24,
         NULL},
    };
    int positional;
    AR_TRY(ar_args_parse(self, &common, options, 4, argc, argv, &positional, 1, 1));
    if (common.help) return AR_OK;
    if (!o.out || o.calib.count == 0)
        return ar__fail(AR_ERR_USAGE, "anyround imatrix: --calib FILE and -o FILE are needed");
    return make(argv[1], &o, &common);
}

const ar_command ar__command_imatrix = {"imatrix", "what inputs count, as llama.cpp's imatrix files say it",
                                        "MODEL --calib FILE -o FILE [options]", run};
