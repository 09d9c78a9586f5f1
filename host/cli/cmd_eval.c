/* anyround eval: perplexity of a model on a text, and its distance to a reference model. */
#include "program.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

typedef struct eval_options {
    const char *text, *ref, *protocol, *save_logits;
    int64_t window, skip_windows, max_windows, batch;
} eval_options;

static ar_status parse_protocol(ar_protocol *p, const char *name) {
    static const char *const names[] = {"window", "lines", "llamacpp"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(name, names[i]) == 0) {
            *p = (ar_protocol)i;
            return AR_OK;
        }
    }
    return ar__fail(AR_ERR_USAGE, "--protocol: found '%s', expected window, lines or llamacpp", name);
}

static void print_result(const ar_eval_result *r, const ar_common *common) {
    if (!common->json) {
        printf("ppl %.5f  nll %.6f  (%lld tokens in %d windows)\n", r->ppl, r->nll, (long long)r->tokens,
               (int)r->windows);
        if (r->has_ref)
            printf("reference ppl %.5f  KL %.6f nats  same top-1 %.4f\n", r->ref_ppl, r->kl, r->top1);
        return;
    }
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "ppl", r->ppl);
    cJSON_AddNumberToObject(o, "nll", r->nll);
    cJSON_AddNumberToObject(o, "tokens", (double)r->tokens);
    cJSON_AddNumberToObject(o, "windows", r->windows);
    if (r->has_ref) {
        cJSON_AddNumberToObject(o, "kl", r->kl);
        cJSON_AddNumberToObject(o, "top1", r->top1);
        cJSON_AddNumberToObject(o, "ref_ppl", r->ref_ppl);
    }
    char *text = cJSON_PrintUnformatted(o);
    if (text) puts(text);
    free(text);
    cJSON_Delete(o);
}

static ar_status evaluate(const char *path, const eval_options *o, const ar_common *common) {
    ar_status status = AR_OK;
    ar_open_model *m = NULL, *ref = NULL;
    ar_device *device = NULL;
    ar_file text = {0};
    ar_observer observer;
    ar_eval_result r;
    ar_eval_desc desc = {.window = (int32_t)o->window,
                         .skip_windows = (int32_t)o->skip_windows,
                         .max_windows = (int32_t)o->max_windows,
                         .batch = (int32_t)o->batch,
                         .save_logits = o->save_logits};
    AR_GO(parse_protocol(&desc.protocol, o->protocol));
    AR_GO(ar_file_open(&text, o->text));
    AR_GO(ar_model_open(&m, path));
    if (o->ref) AR_GO(ar_model_open(&ref, o->ref));
    AR_GO(ar_program_device(&device, common));
    ar_program_observer(&observer, common);
    status = ar_eval_text(&r, m, ref, device, (const char *)text.data, (size_t)text.bytes, &desc, &observer);
    ar_program_progress_end(common);
    if (status == AR_OK) print_result(&r, common);
done:
    ar_device_close(device);
    ar_model_close(ref);
    ar_model_close(m);
    ar_file_close(&text);
    return status;
}

static ar_status run(const ar_command *self, int argc, char **argv) {
    ar_common common;
    eval_options o = {.protocol = "window"};
    const ar_option options[] = {
        {"--text", AR_OPT_STRING, &o.text, "FILE", "the text (UTF-8)", 0, 0, NULL},
        {"--ref", AR_OPT_STRING, &o.ref, "MODEL", "also KL divergence and top-1 agreement with this model", 0,
         0, NULL},
        {"--protocol", AR_OPT_STRING, &o.protocol, "P", "window (default), lines or llamacpp", 0, 0, NULL},
        {"--window", AR_OPT_INT, &o.window, "N", "tokens per window (512, at most the context)", 2, 1 << 24,
         NULL},
        {"--skip-windows", AR_OPT_INT, &o.skip_windows, "N", "leave out the first N windows or documents", 0,
         1 << 30, NULL},
        {"--max-windows", AR_OPT_INT, &o.max_windows, "N", "only the first N windows or documents", 1,
         1 << 30, NULL},
        {"--batch", AR_OPT_INT, &o.batch, "N", "windows on the device at a time (8)", 1, 4096, NULL},
        {"--save-logits", AR_OPT_STRING, &o.save_logits, "FILE",
         "keep the logits as llama-perplexity's --kl-divergence-base does", 0, 0, NULL},
    };
    int positional;
    AR_TRY(ar_args_parse(self, &common, options, 8, argc, argv, &positional, 1, 1));
    if (common.help) return AR_OK;
    if (!o.text) return ar__fail(AR_ERR_USAGE, "anyround eval: --text FILE is needed");
    return evaluate(argv[1], &o, &common);
}

const ar_command ar__command_eval = {"eval",
                                     "perplexity on a text; KL divergence and top-1 against a reference",
                                     "MODEL --text FILE [options]", run};
