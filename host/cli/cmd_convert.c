/* anyround convert: a model from one kind of file to another, in floats and without tuning. */
#include "output.h"
#include "program.h"
#include "quantize_job.h"
#include "workplace.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct convert_options {
    const char *out, *type, *format, *acts;
    bool strict;
} convert_options;

/* The type of the largest matrix every model has, the embedding; f32 where that is not a float type. */
static const char *own_type(const ar_open_model *m) {
    const char *type = ar_family_embedding(m)->type;
    return strcmp(type, "F16") == 0 ? "f16" : strcmp(type, "BF16") == 0 ? "bf16" : "f32";
}

/* Whichever case it is written in. */
static ar_status find_type(const char **type, const char *name) {
    static const char *const types[] = {"f32", "f16", "bf16"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        *type = types[i];
        if (strcasecmp(types[i], name) == 0) return AR_OK;
    }
    return ar__fail(AR_ERR_USAGE,
                    "--type: found '%s', expected f32, f16 or bf16 (quantize writes the others)", name);
}

static ar_status make_plan(ar_output_plan *plan, const convert_options *o, const ar_open_model *m) {
    bool gguf_name = ar__path_ends(o->out, ".gguf");
    const char *format = o->format ? o->format : gguf_name ? "gguf" : "hf", *type;
    AR_TRY(find_type(&type, o->type ? o->type : own_type(m)));
    const ar_format *f = ar_format_find(format);
    if (!f || !f->holds_floats)
        return ar__fail(AR_ERR_USAGE, "--format: found '%s', expected gguf or hf", format);
    *plan = (ar_output_plan){.scheme = {.bits = 16, .group = -1},
                             .embedding = AR_QT_COUNT,
                             .head = AR_QT_COUNT,
                             .formats = {f->name},
                             .format_count = 1};
    memcpy(plan->type, type, strlen(type) + 1);
    return AR_OK;
}

static ar_status no_linear(void *ctx, ar_qlinear **q, int32_t block, int32_t i) {
    (void)ctx;
    (void)block;
    (void)i;
    *q = NULL;
    return AR_OK;
}

/* Inputs as the model says, or was told to. */
static void take_acts(ar_write_source *src, ar_passport *passport) {
    const ar_acts *acts = &src->model->acts;
    if (acts->scheme.bits == 0) return;
    snprintf(passport->version, sizeof passport->version, "%s", ar_version());
    ar_acts_show(passport->acts, &acts->scheme);
    src->passport = passport;
    src->acts = acts;
}

/* On stdout. */
static ar_status tell(const convert_options *o, const ar_output_plan *plan, const char *out,
                      const ar_common *common) {
    if (!common->json) {
        if (!common->quiet)
            printf("%s: %s, %s, read back and compared\n", o->out, plan->formats[0], plan->type);
        return AR_OK;
    }
    cJSON *root = cJSON_CreateObject();
    ar_status status = ar__quantize_add_text(root, "out", o->out);
    ar_json_add_string(root, "format", plan->formats[0]);
    ar_json_add_string(root, "type", plan->type);
    ar_json_add_number(root, "bytes", (double)ar__output_bytes(out));
    if (status == AR_OK) status = ar_program_json(root, false);
    cJSON_Delete(root);
    return status;
}

static ar_status convert(const char *path, const convert_options *o, const ar_common *common) {
    ar_status status = AR_OK;
    ar_open_model *m = NULL;
    ar_output_plan plan;
    ar_workplace place = {0};
    ar_observer observer;
    ar_passport passport = {.method = "convert"};
    char *out = NULL, *work = NULL, *staging = NULL;
    AR_GO(ar_program_float_model(&m, path, common));
    AR_GO(ar_program_acts(m, o->acts, false));
    AR_GO(make_plan(&plan, o, m));
    AR_GO(ar__path_resolve(&out, o->out));
    AR_GO(ar__output_check(&plan, out, path));
    AR_GO(ar__output_accepts(&plan, m));
    AR_GO(ar_program_remarks(&plan, m, o->strict, common));
    AR_GO(ar__output_beside(&work, out, ".part"));
    AR_GO(ar__path_check_inputs(work, true, &(ar_input){path, "the model"}, 1));
    AR_GO(ar__workplace_check(work));
    AR_GO(ar__workplace_open(&place, work));
    AR_GO(ar_path_join(&staging, work, "out"));
    ar_write_source src = {.model = m, .plan = &plan, .linear = no_linear};
    take_acts(&src, &passport);
    ar_program_observer(&observer, common);
    status = ar__output_write(out, staging, &src, &observer);
    ar_program_progress_end(common);
    AR_GO(status);
    ar_program_results_beside(out);
    AR_GO(tell(o, &plan, out, common));
done:
    ar__workplace_close(&place);
    free(out);
    free(work);
    free(staging);
    ar_model_close(m);
    return status;
}

static ar_status run(const ar_command *self, int argc, char **argv) {
    ar_common common;
    convert_options o = {0};
    const ar_option options[] = {
        {"--out|-o", AR_OPT_STRING, &o.out, "DST", "the .gguf file or folder to write", 0, 0, NULL},
        {"--type", AR_OPT_STRING, &o.type, "T", "f32, f16 or bf16 (as the source's embedding)", 0, 0, NULL},
        {"--format", AR_OPT_STRING, &o.format, "F", "gguf or hf (by DST's name)", 0, 0, NULL},
        {"--acts", AR_OPT_STRING, &o.acts, "A",
         "record that inputs of linears are in few bits: BITS[:token|tensor][:sym|asym], or 16 (as in SRC)",
         0, 0, NULL},
        {"--strict", AR_OPT_FLAG, &o.strict, NULL, "a tokenizer that changes ids is an error, not a remark",
         0, 0, NULL},
    };
    int positional;
    AR_TRY(ar_args_parse(self, &common, options, 5, argc, argv, &positional, 1, 1));
    if (common.help) return AR_OK;
    if (!o.out) return ar__fail(AR_ERR_USAGE, "anyround convert: -o DST is needed");
    return convert(argv[1], &o, &common);
}

const ar_command ar__command_convert = {
    "convert", "float Hugging Face folders to GGUF and back, without tuning", "SRC -o DST [options]", run};
