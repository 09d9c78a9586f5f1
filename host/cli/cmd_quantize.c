/* anyround quantize: the options, and what they mean together. The run itself is cmd_quantize_job.c. */
#include "fmt_gguf.h"
#include "place.h"
#include "quantize_job.h"
#include <math.h>
#include <string.h>

typedef struct job_options {
    const char *out, *method, *type, *embedding_type, *head_type, *format, *report, *lorc;
    const char *like, *start, *type_file;
    const char *widths, *sensitivity, *eval, *imatrix, *acts;
    double bpw, percentile;
    uint64_t size;
    ar_option_list calib, tensor_types;
    int64_t bits, group, lorc_rank, lorc_bits;
    bool sym, asym, resume, widen, allow_float, strict, dry_run, has_method, has_group, has_calib, has_bpw,
        has_size, has_lorc_rank, has_lorc_bits;
} job_options;

/* ---- options to descriptors ---- */

/* "--format, --bits": the options behind a plan's faults. */
static void list_faults(char *list, size_t bytes, const ar_output_plan *plan, const job_options *o) {
    const char *const names[AR_REQUEST_FIELDS] = {[AR_REQUEST_FORMATS] = "--format",
                                                  [AR_REQUEST_TYPE] = "--type",
                                                  [AR_REQUEST_BITS] = "--bits",
                                                  [AR_REQUEST_GROUP] = "--group",
                                                  [AR_REQUEST_SYM] = o->sym ? "--sym" : "--asym",
                                                  [AR_REQUEST_WIDEN] = "--widen",
                                                  [AR_REQUEST_EMBEDDING_TYPE] = "--embedding-type",
                                                  [AR_REQUEST_HEAD_TYPE] = "--head-type",
                                                  [AR_REQUEST_TENSOR_TYPE] = o->like ? "--like"
                                                                             : o->type_file
                                                                                 ? "--tensor-type-file"
                                                                                 : "--tensor-type"};
    *list = '\0';
    for (int32_t i = 0; i < AR_REQUEST_FIELDS; i++) {
        size_t used = strlen(list);
        if (plan->faults >> i & 1) snprintf(list + used, bytes - used, "%s%s", used ? ", " : "", names[i]);
    }
}

/* Fills types with what the options say of single tensors; nothing if they do not. */
static ar_status make_types(ar_tensor_types **types, const job_options *o) {
    if (o->like || o->type_file || o->tensor_types.count) AR_TRY(ar_tensor_types_create(types));
    for (int32_t i = 0; i < o->tensor_types.count; i++)
        AR_TRY(ar_tensor_types_add(*types, o->tensor_types.text[i]));
    if (o->type_file) AR_TRY(ar_tensor_types_read(*types, o->type_file));
    return o->like ? ar_tensor_types_like(*types, o->like) : AR_OK;
}

/* The first of those that was given. */
static const char *given(const job_options *o, const char *const *names) {
    const struct {
        const char *name;
        bool on;
    } list[] = {{"--type", o->type},
                {"--format", o->format},
                {"--bits", o->bits},
                {"--group", o->has_group},
                {"--sym", o->sym},
                {"--asym", o->asym},
                {"--widen", o->widen},
                {"--embedding-type", o->embedding_type},
                {"--head-type", o->head_type},
                {"--tensor-type", o->tensor_types.count},
                {"--tensor-type-file", o->type_file},
                {"--like", o->like},
                {"--types", o->widths},
                {"--sensitivity", o->sensitivity},
                {"--bpw", o->has_bpw},
                {"--size", o->has_size}};
    for (; *names; names++)
        for (size_t i = 0; i < sizeof list / sizeof *list; i++)
            if (list[i].on && strcmp(list[i].name, *names) == 0) return *names;
    return NULL;
}

/* What another file, or a budget, leaves nothing to say of. */
static ar_status check_together(const job_options *o) {
    static const char *const by_like[] = {"--type",
                                          "--format",
                                          "--bits",
                                          "--group",
                                          "--sym",
                                          "--asym",
                                          "--widen",
                                          "--embedding-type",
                                          "--head-type",
                                          "--tensor-type",
                                          "--tensor-type-file",
                                          "--types",
                                          "--bpw",
                                          "--size",
                                          NULL};
    static const char *const by_budget[] = {"--bits", "--widen", "--tensor-type", "--tensor-type-file", NULL};
    static const char *const without[] = {"--types", "--sensitivity", NULL};
    bool budget = o->has_bpw || o->has_size;
    const char *other = o->like ? given(o, by_like) : budget ? given(o, by_budget) : given(o, without);
    if (o->has_bpw && o->has_size) return ar__fail(AR_ERR_USAGE, "--bpw and --size: expected one of them");
    if (other && !o->like && !budget)
        return ar__fail(AR_ERR_USAGE, "%s has no effect without --bpw or --size", other);
    if (other)
        return ar__fail(AR_ERR_USAGE, "%s has no effect with %s", other,
                        o->like      ? "--like"
                        : o->has_bpw ? "--bpw"
                                     : "--size");
    return AR_OK;
}

/* Of widths, the type that what is not allotted has: the nearest to the budget, or the middle one. */
static const char *base_type(char type[16], const job_options *o) {
    const char *widths = o->widths ? o->widths : AR_ALLOT_TYPES;
    double nearest = INFINITY, wanted = o->has_bpw ? o->bpw : 4.0;
    type[0] = '\0';
    for (const char *at = widths; *at;) {
        char name[16];
        size_t n = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)n, at);
        ar_qtype t = ar__gguf_type_named(name);
        double bits = t == AR_QT_COUNT ? INFINITY : 8.0 * ar_qtype_bytes(t) / ar_qtype_elems(t);
        if (fabs(bits - wanted) < nearest) {
            nearest = fabs(bits - wanted);
            memcpy(type, name, sizeof name);
        }
        at += n + (at[n] == ',');
    }
    return type[0] ? type : NULL;
}

static ar_status ask_plan(ar_output_plan *plan, const job_options *o, const ar_tensor_types *types) {
    char base[16];
    bool gguf_name = ar__path_ends(o->out, ".gguf");
    bool wants_gguf = o->format ? strcmp(o->format, "gguf") == 0 : gguf_name;
    if (o->sym && o->asym) return ar__fail(AR_ERR_USAGE, "--sym and --asym: expected one of them");
    if (o->like) return ar_output_plan_like(plan, types);
    ar_output_request request = {
        .formats = o->format              ? o->format
                   : o->type || gguf_name ? "gguf"
                                          : "auto_round",
        .type = o->type || !(o->has_bpw || o->has_size) || !wants_gguf ? o->type : base_type(base, o),
        .bits = (int32_t)o->bits,
        .group = (int32_t)o->group,
        .sym = o->sym    ? 1
               : o->asym ? 0
                         : -1,
        .widen = o->widen};
    AR_TRY(ar_output_plan_make(plan, &request));
    AR_TRY(ar_output_plan_parts(plan, o->embedding_type, o->head_type));
    return types ? ar_output_plan_types(plan, types) : AR_OK;
}

static ar_status make_plan(ar_quantize_request *r, const job_options *o) {
    AR_TRY(check_together(o));
    AR_TRY(make_types(&r->types, o));
    ar_status status = ask_plan(&r->plan, o, r->types);
    if (status != AR_ERR_USAGE || !r->plan.faults) return status;
    char list[160];
    list_faults(list, sizeof list, &r->plan, o);
    return ar_program_blame(status, list);
}

/* An option that would change nothing is an error, not a surprise. */
static ar_status check_float(const job_options *o, const ar_offers *offers, const char *type) {
    const char *unused = o->imatrix      ? "--imatrix"
                         : o->eval       ? "--eval"
                         : o->has_method ? "--method"
                                         : ar__offers_given(offers);
    if (!unused && o->has_calib) unused = "--calib";
    if (!unused && o->allow_float) unused = "--allow-float";
    if (!unused && o->lorc) unused = "--lorc";
    if (!unused && (o->has_lorc_rank || o->has_lorc_bits)) unused = "--lorc-rank";
    if (!unused && o->acts) unused = "--acts";
    return unused ? ar__fail(AR_ERR_USAGE, "%s has no effect with --type %s", unused, type) : AR_OK;
}

/* What is done is the method's, or what a value of its options makes of it. */
static ar_status make_options(ar_quantize_request *r, const job_options *o, const ar_offers *offers) {
    const ar_option_row *zero = NULL;
    const ar_method *method = ar_method_find(o->method);
    char option[64];
    bool is_float = r->plan.scheme.bits > 8 && !method->scales;
    if (method->scales && r->acts.bits == 0)
        return ar__fail(AR_ERR_USAGE, "--method %s has no effect without --acts", method->name);
    if (is_float) AR_TRY(check_float(o, offers, r->plan.type));
    if (is_float) method = ar_method_find("rtn");
    AR_TRY(ar__offers_take(&r->options, offers, method));
    AR_TRY(ar_method_options_finish(&r->options));
    const ar_method *run = ar_method_options_method(&r->options, &zero);
    bool has_unused = o->has_calib && !(r->acts.bits > 0 && r->acts.range == AR_ACTS_STATIC);
    if (has_unused && !(method->needs & AR_NEEDS_SAMPLES))
        return ar__fail(AR_ERR_USAGE, "--calib has no effect with --method %s", method->name);
    if (zero) ar_option_row_spell(option, sizeof option, zero);
    if (has_unused && !(run->needs & AR_NEEDS_SAMPLES))
        return ar__fail(AR_ERR_USAGE, "--calib has no effect with %s 0", option);
    if (run->needs & AR_NEEDS_LOSS_GRADIENT)
        return ar__fail(AR_ERR_UNSUPPORTED, "--method %s needs the gradient of the model's loss", run->name);
    if (run != method) ar_method_options_init(&r->options, run);
    ar_method_options_put(&r->options, "seed", (double)r->common->seed);
    return AR_OK;
}

#define DEFAULT_METHOD "anneal"

/* "rtn or signround (default)" */
static void list_methods(char *list, size_t bytes, const char *mark) {
    *list = '\0';
    for (int32_t i = 0; ar_method_at(i); i++) {
        const char *name = ar_method_at(i)->name, *between = ar_method_at(i + 1) ? ", " : " or ";
        size_t used = strlen(list);
        snprintf(list + used, bytes - used, "%s%s%s", i ? between : "", name,
                 strcmp(name, DEFAULT_METHOD) == 0 ? mark : "");
    }
}

/* "auto_round, …, hf (floats), gguf", and what ask_plan takes without one. */
static void list_formats(char *list, size_t bytes) {
    *list = '\0';
    for (int32_t i = 0; ar_format_at(i); i++) {
        const ar_format *f = ar_format_at(i);
        size_t used = strlen(list);
        snprintf(list + used, bytes - used, "%s%s%s", used ? ", " : "", f->name,
                 ar_format_has_codes(f) ? "" : " (floats)");
    }
    snprintf(list + strlen(list), bytes - strlen(list), " (auto_round; by --type or OUT's name gguf)");
}

static ar_status find_method(const char *name) {
    char list[160];
    list_methods(list, sizeof list, "");
    if (ar_method_find(name)) return AR_OK;
    return ar__fail(AR_ERR_USAGE, "--method: found '%s', expected %s", name, list);
}

static ar_status take_calib(ar_option_list *files, const ar_option_list *given) {
    for (int32_t i = 0; i < given->count; i++) {
        if (strcmp(given->text[i], "self") != 0) continue;
        return given->count == 1
                   ? AR_OK
                   : ar__fail(AR_ERR_USAGE, "--calib: found self beside a file, expected one or the other");
    }
    *files = *given;
    return AR_OK;
}

static ar_status take_acts(ar_quantize_request *r, const job_options *o) {
    ar_status status = o->acts ? ar_acts_parse(&r->acts, o->acts) : AR_OK;
    if (status != AR_OK) return ar_program_blame(status, "--acts");
    r->acts_percentile = o->percentile;
    if (!(o->percentile > 0.0) || (r->acts.bits > 0 && r->acts.range == AR_ACTS_STATIC)) return AR_OK;
    return ar__fail(AR_ERR_USAGE, "--acts-percentile has no effect without static --acts");
}

static ar_status check_imatrix(const ar_quantize_request *r, const job_options *o) {
    const ar_method *method = r->options.method;
    if (!o->imatrix) return AR_OK;
    if (!ar_method_weighs_inputs(method, &r->plan.scheme))
        return ar__fail(AR_ERR_USAGE, "--imatrix has no effect with --method %s", method->name);
    bool is_static = r->acts.bits > 0 && r->acts.range == AR_ACTS_STATIC,
         reads = is_static || o->has_bpw || o->has_size || ar__quantize_finishes(&r->options);
    if (o->has_calib && (method->needs & AR_NEEDS_MOMENTS) && !reads)
        return ar__fail(AR_ERR_USAGE, "--calib has no effect with --imatrix and --method %s", method->name);
    return AR_OK;
}

static ar_status check_start(ar_quantize_request *r, const job_options *o) {
    const ar_method *method = r->options.method;
    if (!o->start || strcmp(o->start, "search") == 0) return AR_OK;
    if (strcmp(o->start, "like") != 0)
        return ar__fail(AR_ERR_USAGE, "--start: found '%s', expected search or like", o->start);
    if (!o->like) return ar__fail(AR_ERR_USAGE, "--start like needs --like FILE.gguf");
    if (!method->starts)
        return ar__fail(AR_ERR_USAGE, "--start like has no effect with --method %s", method->name);
    r->starts_like = true;
    return AR_OK;
}

static ar_status make_budget(ar_quantize_request *r, const job_options *o) {
    ar__allotment tried = {0};
    const char *option = o->has_bpw ? "--bpw" : "--size";
    bool by_gradient = o->sensitivity && strcmp(o->sensitivity, "gradient") == 0;
    if (o->sensitivity && !by_gradient && strcmp(o->sensitivity, "kl") != 0)
        return ar__fail(AR_ERR_USAGE, "--sensitivity: found '%s', expected kl or gradient", o->sensitivity);
    r->allot = (ar__allot_request){o->widths, o->bpw, o->size, NULL, by_gradient};
    ar_status status = ar__allot_widths(&tried, o->widths, &r->plan);
    ar__allotment_deinit(&tried);
    if (status == AR_ERR_USAGE) return ar_program_blame(status, o->widths ? "--types" : option);
    AR_TRY(status);
    if (!(r->options.method->needs & AR_NEEDS_SAMPLES))
        return ar__fail(AR_ERR_USAGE, "%s is not for --method %s, which reads no samples", option,
                        r->options.method->name);
    if (r->calib.count == 0) return ar__fail(AR_ERR_USAGE, "%s needs --calib FILE to measure on", option);
    return AR_OK;
}

static ar_status make_request(ar_quantize_request *r, const job_options *o, const ar_offers *offers) {
    if (!o->out) return ar__fail(AR_ERR_USAGE, "anyround quantize: -o OUT is needed");
    AR_TRY(find_method(o->method));
    AR_TRY(make_plan(r, o));
    if (o->has_group && o->group == 0)
        return ar__fail(AR_ERR_USAGE, "--group: found 0, expected a positive number, or -1 for whole rows");
    r->out = o->out;
    r->report = o->report;
    r->eval = o->eval;
    r->imatrix = o->imatrix;
    r->lorc = o->lorc;
    r->lorc_inside = !o->lorc && (o->has_lorc_rank || o->has_lorc_bits);
    r->factors = (ar__lorc_desc){(int32_t)o->lorc_rank, (int32_t)o->lorc_bits};
    r->like = o->like;
    r->type_file = o->type_file;
    r->resume = o->resume;
    r->allow_float = o->allow_float;
    r->strict = o->strict;
    r->dry_run = o->dry_run;
    if (o->lorc_bits != 8 && o->lorc_bits != 16)
        return ar__fail(AR_ERR_USAGE, "--lorc-bits: found %d, expected 8 or 16", (int)o->lorc_bits);
    AR_TRY(ar__quantize_lorc_check(r));
    AR_TRY(take_calib(&r->calib, &o->calib));
    AR_TRY(take_acts(r, o));
    AR_TRY(make_options(r, o, offers));
    AR_TRY(check_imatrix(r, o));
    AR_TRY(check_start(r, o));
    AR_TRY(ar__quantize_finish_check(r));
    return o->has_bpw || o->has_size ? make_budget(r, o) : AR_OK;
}

static int32_t list_budget(ar_option *own, job_options *o) {
    const ar_option rows[] = {
        {"--bpw", AR_OPT_REAL, &o->bpw, "X",
         "bits per weight of the linears, scales included: more where they count most", 1, 16, &o->has_bpw},
        {"--size", AR_OPT_SIZE, &o->size, "SIZE", "the same, so that the file has at most this size", 0, 0,
         &o->has_size},
        {"--types", AR_OPT_STRING, &o->widths, "T,T[,T…]",
         "with those: GGUF types, or bits of folders, to choose from (all K types; all bits)", 0, 0, NULL},
        {"--sensitivity", AR_OPT_STRING, &o->sensitivity, "S",
         "with those: what counts is told by kl (default), measured, or gradient, the loss's", 0, 0, NULL},
    };
    memcpy(own, rows, sizeof rows);
    return (int32_t)(sizeof rows / sizeof *rows);
}

/* The command's own options; returns how many. own: room for OWN_OPTIONS. */
#define OWN_OPTIONS 40
static int32_t list_options(ar_option *own, job_options *o, const char *methods, const char *formats) {
    const ar_option rows[] = {
        {"--out|-o", AR_OPT_STRING, &o->out, "OUT", "the file or folder to write", 0, 0, NULL},
        {"--method", AR_OPT_STRING, &o->method, "M", methods, 0, 0, &o->has_method},
        {"--bits", AR_OPT_INT, &o->bits, "N", "2..8 (4)", 2, 8, NULL},
        {"--group", AR_OPT_INT, &o->group, "N", "weights sharing a scale, -1 = a whole row (128; GGUF: 32)",
         -1, 1 << 20, &o->has_group},
        {"--sym", AR_OPT_FLAG, &o->sym, NULL, "symmetric, signed scales (default)", 0, 0, NULL},
        {"--asym", AR_OPT_FLAG, &o->asym, NULL, "asymmetric, with zero points", 0, 0, NULL},
        {"--type", AR_OPT_STRING, &o->type, "T",
         "GGUF type: q4_0 (default), q4_1, q5_0, q5_1, q8_0, q2_k[_s], q3_k_s|m|l, q4_k_s|m, q5_k_s|m, q6_k, "
         "f16, bf16, f32",
         0, 0, NULL},
        {"--embedding-type", AR_OPT_STRING, &o->embedding_type, "T",
         "GGUF type of the embedding (as llama-quantize has it)", 0, 0, NULL},
        {"--head-type", AR_OPT_STRING, &o->head_type, "T",
         "GGUF type of the head, and of an embedding tied to it (likewise)", 0, 0, NULL},
        {"--tensor-type", AR_OPT_LIST, &o->tensor_types, "REGEX=TYPE",
         "GGUF type of tensors with REGEX in their name (folders: 2..8, float); first counts", 0, 0, NULL},
        {"--tensor-type-file", AR_OPT_STRING, &o->type_file, "FILE", "such rules from a file, one a line", 0,
         0, NULL},
        {"--like", AR_OPT_STRING, &o->like, "FILE.gguf",
         "the types, metadata and size of another file of the same model", 0, 0, NULL},
        {"--start", AR_OPT_STRING, &o->start, "S", "like: tune from that file's codes (search)", 0, 0, NULL},
        {"--format", AR_OPT_STRING, &o->format, "F[,F…]", formats, 0, 0, NULL},
        {"--widen", AR_OPT_FLAG, &o->widen, NULL, "store 2 or 3 bits in a wider type", 0, 0, NULL},
        {"--strict", AR_OPT_FLAG, &o->strict, NULL, "a tokenizer that changes ids is an error, not a remark",
         0, 0, NULL},
        {"--allow-float", AR_OPT_FLAG, &o->allow_float, NULL,
         "go on where most weights stay float, since the formats cannot hold them", 0, 0, NULL},
        {"--calib", AR_OPT_TEXTS, &o->calib, "FILE|self",
         "calibration text, - = stdin, or .jsonl of conversations or texts; several by several --calib; or "
         "sampled from the model (default)",
         0, 0, &o->has_calib},
        {"--acts", AR_OPT_STRING, &o->acts, "A",
         "also inputs of linears, which tuning sees: BITS[:token|tensor|static][:sym|asym] (16, floats)", 0,
         0, NULL},
        {"--acts-percentile", AR_OPT_REAL, &o->percentile, "P",
         "static ranges hold P % of the tokens on either side (all)", 50, 100, NULL},
        {"--imatrix", AR_OPT_STRING, &o->imatrix, "FILE",
         "what inputs count, from llama.cpp's file (--method search then needs no calibration)", 0, 0, NULL},
        {"--dry-run", AR_OPT_FLAG, &o->dry_run, NULL, "say what it would do and take, and stop there", 0, 0,
         NULL},
        {"--resume", AR_OPT_FLAG, &o->resume, NULL, "continue OUT.part", 0, 0, NULL},
        {"--eval", AR_OPT_TEXT, &o->eval, "FILE",
         "measure what is written against MODEL on this text (- = stdin); it is kept in the file (see "
         "verify)",
         0, 0, NULL},
        {"--report", AR_OPT_STRING, &o->report, "FILE", "write an HTML report", 0, 0, NULL},
        {"--lorc", AR_OPT_STRING, &o->lorc, "FILE",
         "what quantizing leaves over, by small rank: a GGUF LoRA adapter, or FILE.safetensors", 0, 0, NULL},
        {"--lorc-rank", AR_OPT_INT, &o->lorc_rank, "N", "its rank (8); without --lorc it goes into folders",
         1, 4096, &o->has_lorc_rank},
        {"--lorc-bits", AR_OPT_INT, &o->lorc_bits, "N", "of its factors: 16 (default), or 8 but for GGUF", 8,
         16, &o->has_lorc_bits},
    };
    int32_t count = (int32_t)(sizeof rows / sizeof *rows);
    memcpy(own, rows, sizeof rows);
    return count + list_budget(own + count, o);
}

static ar_status run(const ar_command *self, int argc, char **argv) {
    ar_common common;
    job_options o = {.method = DEFAULT_METHOD, .lorc_rank = 8, .lorc_bits = 16};
    ar_option own[OWN_OPTIONS];
    char methods[160], formats[256];
    list_methods(methods, sizeof methods, " (default)");
    list_formats(formats, sizeof formats);
    int positional;
    ar_offers offers = {0};
    ar_quantize_request request = {.common = &common};
    ar_status status = AR_OK;
    AR_GO(ar__offers_make(&offers, own, list_options(own, &o, methods, formats), argc, argv));
    AR_GO(ar_args_parse(self, &common, offers.options, offers.option_count, argc, argv, &positional, 1, 1));
    if (common.help) goto done;
    request.model = argv[1];
    AR_GO(make_request(&request, &o, &offers));
    AR_GO(ar_quantize_run(&request));
done:
    ar_tensor_types_destroy(request.types);
    ar__offers_free(&offers);
    return status;
}

const ar_command ar__command_quantize = {"quantize", "quantize a model, tuned with gradients or not",
                                         "MODEL -o OUT [options]", run};
