/* anyround quantize: the options, and what they mean together. The run itself is cmd_quantize_job.c. */
#include "quantize_job.h"
#include <string.h>

typedef struct job_options {
    const char *out, *method, *type, *embedding_type, *head_type, *format, *calib, *recipe, *optimizer,
        *select, *state, *report;
    int64_t bits, group, samples, seqlen, batch, iters, heldout, blocks;
    double lr, minmax_lr;
    bool sym, asym, no_minmax, no_quantized_input, resume, widen;
    bool has_method, has_group, has_iters, has_samples, has_seqlen, has_batch, has_lr, has_minmax_lr,
        has_calib, has_select, has_state, has_heldout, has_recipe, has_blocks;
} job_options;

/* ---- options to descriptors ---- */

typedef struct recipe {
    const char *name;
    int64_t batch, iters, seqlen, samples;
    double lr;
} recipe;
static const recipe recipes[] = {
    /* as auto-round's recipes of these names */
    {"default", 8, 200, 2048, 128, 0.0},
    {"best", 8, 1000, 2048, 512, 0.0},
    {"light", 8, 50, 2048, 128, 5e-3},
};

static ar_status apply_recipe(job_options *o) {
    const recipe *r = NULL;
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
        if (strcmp(recipes[i].name, o->recipe) == 0) r = &recipes[i];
    if (!r) return ar__fail(AR_ERR_USAGE, "--recipe: found '%s', expected light, default or best", o->recipe);
    if (!o->has_batch) o->batch = r->batch;
    if (!o->has_iters) o->iters = r->iters;
    if (!o->has_seqlen) o->seqlen = r->seqlen;
    if (!o->has_samples) o->samples = r->samples;
    if (!o->has_lr && !o->has_iters) o->lr = r->lr;
    return AR_OK;
}

static ar_status parse_choice(int32_t *out, const char *option, const char *text, const char *const *names,
                              int32_t count) {
    char list[160] = "";
    for (int32_t i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = i;
            return AR_OK;
        }
        strncat(list, i ? ", " : "", sizeof list - strlen(list) - 1);
        strncat(list, names[i], sizeof list - strlen(list) - 1);
    }
    return ar__fail(AR_ERR_USAGE, "%s: found '%s', expected one of %s", option, text, list);
}

/* The first of the options that only tuning reads; NULL if none was given. */
static const char *tuning_option(const job_options *o) {
    const struct {
        bool given;
        const char *name;
    } list[] = {{o->has_calib, "--calib"},     {o->has_samples, "--samples"},
                {o->has_seqlen, "--seqlen"},   {o->has_batch, "--batch"},
                {o->has_lr, "--lr"},           {o->has_minmax_lr, "--minmax-lr"},
                {o->no_minmax, "--no-minmax"}, {o->no_quantized_input, "--no-quantized-input"},
                {o->optimizer, "--optimizer"}, {o->has_select, "--select"},
                {o->has_state, "--state"},     {o->has_heldout, "--heldout"},
                {o->has_recipe, "--recipe"},   {o->has_blocks, "--blocks"}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i].given) return list[i].name;
    return NULL;
}

/* An option that would change nothing is an error, not a surprise. */
static ar_status check_effective(const job_options *o, const ar_method *method, const ar_output_plan *plan) {
    bool is_float = plan->scheme.bits > 8;
    const char *unused = is_float && o->has_method ? "--method" : NULL;
    if (o->has_group && o->group == 0)
        return ar__fail(AR_ERR_USAGE, "--group: found 0, expected a positive number, or -1 for whole rows");
    if (o->no_minmax && o->has_minmax_lr)
        return ar__fail(AR_ERR_USAGE, "--minmax-lr has no effect with --no-minmax");
    if (o->has_recipe && o->has_batch && o->has_iters && o->has_seqlen && o->has_samples)
        return ar__fail(AR_ERR_USAGE,
                        "--recipe has no effect with --batch, --iters, --seqlen and --samples all given");
    if (!unused && o->has_iters && (is_float || !method->needs_samples)) unused = "--iters";
    if (!unused && (is_float || !method->needs_samples || (o->has_iters && o->iters == 0)))
        unused = tuning_option(o);
    if (!unused) return AR_OK;
    if (is_float) return ar__fail(AR_ERR_USAGE, "%s has no effect with --type %s", unused, plan->type);
    if (!method->needs_samples)
        return ar__fail(AR_ERR_USAGE, "%s has no effect with --method %s", unused, method->name);
    return ar__fail(AR_ERR_USAGE, "%s has no effect with --iters 0", unused);
}

static ar_status make_plan(ar_output_plan *plan, const job_options *o) {
    size_t n = strlen(o->out);
    bool gguf_name = n > 5 && strcmp(o->out + n - 5, ".gguf") == 0;
    if (o->sym && o->asym) return ar__fail(AR_ERR_USAGE, "--sym and --asym: expected one of them");
    ar_output_request request = {.formats = o->format              ? o->format
                                            : o->type || gguf_name ? "gguf"
                                                                   : "auto_round",
                                 .type = o->type,
                                 .bits = (int32_t)o->bits,
                                 .group = (int32_t)o->group,
                                 .sym = o->sym    ? 1
                                        : o->asym ? 0
                                                  : -1,
                                 .widen = o->widen};
    AR_TRY(ar_output_plan_make(plan, &request));
    return ar_output_plan_parts(plan, o->embedding_type, o->head_type);
}

static ar_status make_desc(ar_quantize_request *r, const job_options *o) {
    static const char *const selects[] = {"heldout", "batch", "last"},
                             *const states[] = {"auto", "f32", "i32", "i16"},
                             *const optimizers[] = {"sign", "adam"};
    bool tuned = r->method->needs_samples && r->plan.scheme.bits <= 8;
    int32_t optimizer = 0, select = 0, state = 0;
    if (o->optimizer) AR_TRY(parse_choice(&optimizer, "--optimizer", o->optimizer, optimizers, 2));
    if (o->select) AR_TRY(parse_choice(&select, "--select", o->select, selects, 3));
    if (o->state) AR_TRY(parse_choice(&state, "--state", o->state, states, 4));
    ar_sample_split split; /* there may be fewer samples, but no more */
    if (optimizer == AR_OPTIMIZER_ADAM && state > AR_STATE_F32)
        return ar__fail(AR_ERR_USAGE, "--state: found %s, expected auto or f32 with --optimizer adam",
                        o->state);
    if (o->has_heldout && select != AR_SELECT_HELDOUT)
        return ar__fail(AR_ERR_USAGE, "--heldout has no effect with --select %s", o->select);
    r->desc = (ar_quant_desc){.scheme = r->plan.scheme,
                              .iters = tuned ? (int32_t)o->iters : 0,
                              .batch = (int32_t)o->batch,
                              .lr = (float)o->lr,
                              .minmax_lr = (float)o->minmax_lr,
                              .no_minmax = o->no_minmax,
                              .no_quantized_input = o->no_quantized_input,
                              .select = (ar_select)select,
                              .heldout = (int32_t)o->heldout,
                              .optimizer = (ar_optimizer)optimizer,
                              .state = (ar_state_kind)state,
                              .seed = (uint64_t)r->common->seed,
                              .block_limit = (int32_t)o->blocks};
    return r->desc.iters > 0 ? ar_sample_split_make(&split, &r->desc, (int32_t)o->samples) : AR_OK;
}

static ar_status run(const ar_command *self, int argc, char **argv) {
    ar_common common;
    job_options o = {.method = "signround", .recipe = "default"};
    const ar_option options[] = {
        {"--out|-o", AR_OPT_STRING, &o.out, "OUT", "the file or folder to write", 0, 0, NULL},
        {"--method", AR_OPT_STRING, &o.method, "M", "signround (default) or rtn", 0, 0, &o.has_method},
        {"--bits", AR_OPT_INT, &o.bits, "N", "2..8 (4)", 2, 8, NULL},
        {"--group", AR_OPT_INT, &o.group, "N", "weights sharing a scale, -1 = a whole row (128; GGUF: 32)",
         -1, 1 << 20, &o.has_group},
        {"--sym", AR_OPT_FLAG, &o.sym, NULL, "symmetric, signed scales (default)", 0, 0, NULL},
        {"--asym", AR_OPT_FLAG, &o.asym, NULL, "asymmetric, with zero points", 0, 0, NULL},
        {"--type", AR_OPT_STRING, &o.type, "T",
         "GGUF type: q4_0 (default), q4_1, q5_0, q5_1, q8_0, q2_k[_s], q3_k_s|m|l, q4_k_s|m, q5_k_s|m, q6_k, "
         "f16, bf16, f32",
         0, 0, NULL},
        {"--embedding-type", AR_OPT_STRING, &o.embedding_type, "T",
         "GGUF type of the embedding (as llama-quantize has it)", 0, 0, NULL},
        {"--head-type", AR_OPT_STRING, &o.head_type, "T",
         "GGUF type of the head, and of an embedding tied to it (likewise)", 0, 0, NULL},
        {"--format", AR_OPT_STRING, &o.format, "F[,F…]",
         "auto_round, auto_round_awq, gptq, gptq_v2, awq, compressed_tensors, gguf, fake", 0, 0, NULL},
        {"--widen", AR_OPT_FLAG, &o.widen, NULL, "store 2 or 3 bits in a wider type", 0, 0, NULL},
        {"--recipe", AR_OPT_STRING, &o.recipe, "R", "light (50 steps), default (200) or best (1000)", 0, 0,
         &o.has_recipe},
        {"--calib", AR_OPT_STRING, &o.calib, "FILE|self",
         "calibration text, or sampled from the model (default)", 0, 0, &o.has_calib},
        {"--samples", AR_OPT_INT, &o.samples, "N", "calibration samples (128)", 1, 1 << 20, &o.has_samples},
        {"--seqlen", AR_OPT_INT, &o.seqlen, "N", "tokens per sample (2048, at most the context)", 2, 1 << 20,
         &o.has_seqlen},
        {"--batch", AR_OPT_INT, &o.batch, "N", "samples per step, at most those not set aside (8)", 1, 4096,
         &o.has_batch},
        {"--iters", AR_OPT_INT, &o.iters, "N", "steps per block (200); 0 = rtn", 0, 5792, &o.has_iters},
        {"--optimizer", AR_OPT_STRING, &o.optimizer, "O", "sign (default: signed gradient descent) or adam",
         0, 0, NULL},
        {"--lr", AR_OPT_REAL, &o.lr, "X", "step size of rounding offsets (1/iters)", 1e-9, 10, &o.has_lr},
        {"--minmax-lr", AR_OPT_REAL, &o.minmax_lr, "X",
         "step size of the range coefficients (= lr; K types lr/16)", 1e-9, 10, &o.has_minmax_lr},
        {"--no-minmax", AR_OPT_FLAG, &o.no_minmax, NULL, "tune rounding only, not the ranges", 0, 0, NULL},
        {"--no-quantized-input", AR_OPT_FLAG, &o.no_quantized_input, NULL, "feed blocks from the float chain",
         0, 0, NULL},
        {"--select", AR_OPT_STRING, &o.select, "S", "which step is kept: heldout (default), batch or last", 0,
         0, &o.has_select},
        {"--heldout", AR_OPT_INT, &o.heldout, "N",
         "samples, of those, set aside to select the step (1/16, at most 8)", 1, 64, &o.has_heldout},
        {"--state", AR_OPT_STRING, &o.state, "S", "auto, f32, i32 or i16: how tuned values are kept", 0, 0,
         &o.has_state},
        {"--blocks", AR_OPT_INT, &o.blocks, "N", "tune only the first N blocks, round the others to nearest",
         1, 1 << 20, &o.has_blocks},
        {"--resume", AR_OPT_FLAG, &o.resume, NULL, "continue OUT.part", 0, 0, NULL},
        {"--report", AR_OPT_STRING, &o.report, "FILE", "write an HTML report", 0, 0, NULL},
    };
    int positional;
    AR_TRY(ar_args_parse(self, &common, options, (int32_t)(sizeof options / sizeof *options), argc, argv,
                         &positional, 1, 1));
    if (common.help) return AR_OK;
    if (!o.out) return ar__fail(AR_ERR_USAGE, "anyround quantize: -o OUT is needed");
    const ar_method *method = ar_method_find(o.method);
    if (!method) return ar__fail(AR_ERR_USAGE, "--method: found '%s', expected rtn or signround", o.method);
    ar_quantize_request request = {.common = &common,
                                   .model = argv[1],
                                   .out = o.out,
                                   .report = o.report,
                                   .resume = o.resume,
                                   .has_batch = o.has_batch,
                                   .method = method,
                                   .calib = o.calib && strcmp(o.calib, "self") != 0 ? o.calib : NULL};
    AR_TRY(make_plan(&request.plan, &o));
    AR_TRY(check_effective(&o, method, &request.plan));
    AR_TRY(apply_recipe(&o));
    AR_TRY(make_desc(&request, &o));
    request.samples = (int32_t)o.samples;
    request.seqlen = (int32_t)o.seqlen;
    return ar_quantize_run(&request);
}

const ar_command ar__command_quantize = {"quantize", "quantize a model by rounding tuned with gradients",
                                         "MODEL -o OUT [options]", run};
