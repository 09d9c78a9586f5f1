/* anyround eval: perplexity of a model on a text, and its distance to a reference model. */
#include "eval_images.h"
#include "eval_texts.h"
#include "output.h"
#include "program.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct eval_options {
    eval_images_options images;
    const char *text, *ref, *lora, *protocol, *save_logits, *acts;
    int64_t window, skip_windows, max_windows, batch;
    bool int_products;
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

static void print_reference(const ar_eval_result *r) {
    printf("reference ppl %.5f +- %.5f  ratio %.5f +- %.5f\n", r->ref_ppl, r->ref_ppl_error, r->ppl_ratio,
           r->ppl_ratio_error);
    printf("KL %.6f +- %.6f nats  median %.6f  90%% %.6f  99%% %.6f  99.9%% %.6f  largest %.6f\n", r->kl,
           r->kl_error, r->kl_median, r->kl_p90, r->kl_p99, r->kl_p999, r->kl_max);
    if (r->first_tokens > 0) {
        printf("KL at positions 0-%d %.6f (%lld tokens)", AR_EVAL_FIRST - 1, r->kl_first,
               (long long)r->first_tokens);
        if (r->first_tokens < r->tokens) printf("  from %d on %.6f", AR_EVAL_FIRST, r->kl_later);
        putchar('\n');
    }
    printf("same top-1 %.4f +- %.4f  flipped %.4f\n", r->top1, r->top1_error, 1 - r->top1);
}

/* A number, or null where there is none. */
static cJSON *number(double x) { return isfinite(x) ? cJSON_CreateNumber(x) : cJSON_CreateNull(); }

static void add_reference(cJSON *o, const ar_eval_result *r) {
    const struct {
        const char *name;
        double value;
    } rows[] = {{"kl", r->kl},
                {"kl_error", r->kl_error},
                {"kl_median", r->kl_median},
                {"kl_p90", r->kl_p90},
                {"kl_p99", r->kl_p99},
                {"kl_p999", r->kl_p999},
                {"kl_max", r->kl_max},
                {"kl_first", r->kl_first},
                {"kl_later", r->kl_later},
                {"first_tokens", (double)r->first_tokens},
                {"top1", r->top1},
                {"top1_error", r->top1_error},
                {"flipped", 1 - r->top1},
                {"ref_ppl", r->ref_ppl},
                {"ref_ppl_error", r->ref_ppl_error},
                {"ppl_ratio", r->ppl_ratio},
                {"ppl_ratio_error", r->ppl_ratio_error}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ar_json_put(o, rows[i].name, number(rows[i].value));
    cJSON *at = ar_json_add_list(o, "kl_at");
    for (int i = 0; at && i < AR_EVAL_FIRST; i++) ar_json_push(at, number(r->kl_at[i]));
}

static ar_status print_result(const ar_eval_result *r, const ar_acts *acts, const ar_common *common) {
    char how[AR_ACTS_TEXT];
    bool has_acts = acts->bytes || acts->scheme.bits > 0;
    ar_acts_show(how, &acts->scheme);
    if (acts->bytes) snprintf(how, sizeof how, "%s", AR_ACTS_BYTES);
    if (!common->json) {
        if (has_acts) printf("activations %s\n", how);
        printf("ppl %.5f +- %.5f  nll %.6f +- %.6f  (%lld tokens in %d windows)\n", r->ppl, r->ppl_error,
               r->nll, r->nll_error, (long long)r->tokens, (int)r->windows);
        if (r->has_ref) print_reference(r);
        return AR_OK;
    }
    cJSON *o = cJSON_CreateObject();
    ar_json_add_number(o, "ppl", r->ppl);
    ar_json_add_number(o, "ppl_error", r->ppl_error);
    ar_json_add_number(o, "nll", r->nll);
    ar_json_add_number(o, "nll_error", r->nll_error);
    ar_json_add_number(o, "tokens", (double)r->tokens);
    ar_json_add_number(o, "windows", r->windows);
    if (has_acts) ar_json_add_string(o, "acts", how);
    if (r->has_ref) add_reference(o, r);
    ar_status status = ar_program_json(o, false);
    cJSON_Delete(o);
    return status;
}

/* What is written is none of what is read. */
static ar_status check_places(const char *model, const eval_options *o) {
    const ar_input inputs[] = {{model, "the model"},
                               {o->ref, "the reference model"},
                               {o->text, "the text"},
                               {o->lora, "the adapter"}};
    if (!o->save_logits) return AR_OK;
    AR_TRY(ar__output_check_file("--save-logits", o->save_logits, NULL));
    return ar__path_check_inputs(o->save_logits, false, inputs, 4);
}

/* What of the options a text is too short for. */
static ar_status blame(ar_status status) {
    if (status != AR_ERR_USAGE) return status;
    if (strstr(ar_error(), "window of ")) return ar_program_blame(status, "--window N for smaller ones");
    return strstr(ar_error(), " to skip") ? ar_program_blame(status, "--skip-windows") : status;
}

static void note_context(const ar_open_model *m, const ar_eval_desc *d, const ar_common *common) {
    if (d->protocol != AR_PROTOCOL_LINES && d->window > m->model.max_tokens && !common->quiet)
        fprintf(stderr, "note: windows have %d tokens, the model's context, not %d\n",
                (int)m->model.max_tokens, (int)d->window);
}

static ar_status evaluate(const char *path, const eval_options *o, const ar_common *common) {
    ar_status status = AR_OK;
    ar_open_model *m = NULL, *ref = NULL;
    ar_device *device = NULL;
    ar_file text = {0};
    ar_snapshot texts = {0};
    ar_observer observer;
    ar_eval_result r;
    ar_eval_desc desc = {.window = (int32_t)o->window,
                         .skip_windows = (int32_t)o->skip_windows,
                         .max_windows = (int32_t)o->max_windows,
                         .batch = (int32_t)o->batch,
                         .save_logits = o->save_logits,
                         .texts = &texts};
    AR_GO(parse_protocol(&desc.protocol, o->protocol));
    if (o->save_logits && desc.protocol != AR_PROTOCOL_LLAMACPP)
        return ar__fail(AR_ERR_USAGE, "--save-logits has no effect without --protocol llamacpp");
    AR_GO(ar_snapshot_add(&texts, o->text));
    AR_GO(ar_file_open(&text, o->text));
    AR_GO(check_places(path, o));
    AR_GO(ar_program_model(&m, path, common));
    AR_GO(ar_program_lora(m, o->lora));
    AR_GO(ar_program_acts(m, o->acts, o->int_products));
    if (o->ref) AR_GO(ar_program_model(&ref, o->ref, common));
    note_context(m, &desc, common);
    AR_GO(ar_program_device(&device, common, true));
    ar_program_observer(&observer, common);
    status = ar_eval_text(&r, m, ref, device, (const char *)text.data, (size_t)text.bytes, &desc, &observer);
    ar_program_progress_end(common);
    ar_program_results_beside(o->save_logits);
    status = blame(ar_program_name_text(status, o->text));
    if (status == AR_OK) status = print_result(&r, &m->acts, common);
done:
    ar_device_close(device);
    ar_model_close(ref);
    ar_model_close(m);
    ar_file_close(&text);
    ar_snapshot_deinit(&texts);
    return status;
}

/* A net of few states is itself alone: training's graph, outside training. */
static ar_status evaluate_states(const char *path, const eval_options *o, const ar_common *common) {
    const eval_texts_options texts = {.text = o->text,
                                      .window = o->window,
                                      .skip = o->skip_windows,
                                      .most = o->max_windows,
                                      .batch = o->batch};
    if (o->ref || o->lora || o->acts || o->int_products || o->save_logits ||
        strcmp(o->protocol, "window") != 0)
        return ar__fail(AR_ERR_USAGE,
                        "anyround eval: --ref, --lora, --acts, --int-products, --save-logits and "
                        "--protocol have no effect on a net of few states");
    return ar__eval_texts_run(path, &texts, common);
}

static ar_status run(const ar_command *self, int argc, char **argv) {
    ar_common common;
    eval_options o = {.protocol = "window"};
    const ar_option options[] = {
        {"--text", AR_OPT_TEXT, &o.text, "FILE", "the text (UTF-8), - = stdin", 0, 0, NULL},
        {"--ref", AR_OPT_STRING, &o.ref, "MODEL", "also KL divergence and top-1 agreement with this model", 0,
         0, NULL},
        {"--lora", AR_OPT_STRING, &o.lora, "FILE",
         "with this adapter: GGUF LoRA, or --lorc's tensors (not the reference)", 0, 0, NULL},
        {"--acts", AR_OPT_STRING, &o.acts, "A",
         "inputs of linears in few bits: BITS[:token|tensor|static][:sym|asym], 16, or q8: bytes for stored "
         "weights (as the model says)",
         0, 0, NULL},
        {"--int-products", AR_OPT_FLAG, &o.int_products, NULL, "multiply the codes of both as integers", 0, 0,
         NULL},
        {"--protocol", AR_OPT_STRING, &o.protocol, "P", "window (default), lines or llamacpp", 0, 0, NULL},
        {"--window", AR_OPT_INT, &o.window, "N",
         "tokens per window (512, at most the context; of few states: as trained)", 2, 1 << 24, NULL},
        {"--skip-windows", AR_OPT_INT, &o.skip_windows, "N", "leave out the first N windows or documents", 0,
         1 << 30, NULL},
        {"--max-windows", AR_OPT_INT, &o.max_windows, "N",
         "only the first N windows or documents (net of bytes: N places, evenly spread)", 1, 1 << 30, NULL},
        {"--batch", AR_OPT_INT, &o.batch, "N", "windows on the device at a time (8; images, bytes: 256)", 1,
         4096, NULL},
        {"--save-logits", AR_OPT_STRING, &o.save_logits, "FILE",
         "under --protocol llamacpp: keep the logits as llama-perplexity's --kl-divergence-base does", 0, 0,
         NULL},
        {"--images", AR_OPT_STRING, &o.images.images, "FILE",
         "of a net for images: IDX or CIFAR-10's binary form", 0, 0, NULL},
        {"--labels", AR_OPT_STRING, &o.images.labels, "FILE", "their classes, where images are IDX", 0, 0,
         NULL},
        {"--codes", AR_OPT_FLAG, &o.images.codes, NULL,
         "of a net of few states: compare every code of whole numbers with the net's own", 0, 0, NULL},
        {"--save-classes", AR_OPT_STRING, &o.images.save_classes, "FILE",
         "write the class of each image, a line each", 0, 0, NULL},
    };
    int positional;
    AR_TRY(ar_args_parse(self, &common, options, (int32_t)(sizeof options / sizeof *options), argc, argv,
                         &positional, 1, 1));
    if (common.help) return AR_OK;
    o.images.batch = (int32_t)(o.batch ? o.batch : 256);
    if (o.images.images) return ar__eval_images_run(argv[1], &o.images, &common);
    if (o.images.codes || o.images.save_classes)
        return ar__fail(AR_ERR_USAGE, "anyround eval: --codes and --save-classes have no effect on a text");
    if (!o.text)
        return ar__fail(AR_ERR_USAGE,
                        "anyround eval: --text FILE (--images FILE for nets of images) is needed");
    if (ar__eval_texts_is(argv[1])) return evaluate_states(argv[1], &o, &common);
    return evaluate(argv[1], &o, &common);
}

const ar_command ar__command_eval = {"eval",
                                     "perplexity on a text; KL divergence and top-1 against a reference",
                                     "MODEL --text FILE [options]", run};
