/* anyround study: a model quantized in many ways, each measured against it; what to take, in words. Every way
 * is one line of a file, so that a study goes on where it stopped. */
#include "calib.h"
#include "fmt_gguf.h"
#include "output.h"
#include "passport_measure.h"
#include "quantize_job.h"
#include "study.h"
#include "tokenizer.h"
#include "workplace.h"
#include <stdlib.h>
#include <string.h>

#define GGUF_LAYOUTS "q2_k,q3_k_m,q4_0,q4_k_m,q5_k_m,q6_k,q8_0"
#define METHODS      "rtn,search,anneal"
#define WAYS         512

typedef struct study_options {
    const char *out, *html, *text, *types, *bits, *groups, *schemes, *methods, *acts;
    ar_option_list calib, also;
    int64_t iters, samples, seqlen, windows;
    double budget;
} study_options;

/* One way to quantize. */
typedef struct way {
    char method[32], type[16]; /* type "" = bits, group, symmetry */
    int32_t bits, group;
    bool sym;
    ar_acts_scheme acts; /* of inputs; 0 bits = floats */
} way;

typedef struct study_job {
    const study_options *o;
    ar_common common;
    const char *path; /* of the model */
    ar_open_model *model;
    ar_device *device;
    ar_file text;
    ar_workplace place; /* OUT.work: what is quantized stands there, by one study at a time */
    ar__study found;
    way ways[WAYS];
    int32_t count;
    uint64_t inputs; /* hash of what figures depend on besides the way */
    double start;
    double ref_ppl; /* the original's, as this run's points have it; 0 = there is none yet */
} study_job;

/* ---- the grid ---- */

/* The next name of a list with commas; false at its end. */
static bool next_name(char *name, size_t room, const char **list) {
    size_t n = strcspn(*list, ",");
    if (**list == '\0') return false;
    snprintf(name, room, "%.*s", (int)n, *list);
    *list += n + ((*list)[n] == ',');
    return true;
}

static ar_status next_number(int32_t *number, bool *more, const char **list, const char *option, int32_t lo,
                             int32_t hi) {
    char name[16], *end;
    *more = next_name(name, sizeof name, list);
    if (!*more) return AR_OK;
    long found = strtol(name, &end, 10);
    if (*end || !name[0] || found == 0 || found < lo || found > hi)
        return ar__fail(AR_ERR_USAGE, "%s: found '%s', expected numbers from %d to %d", option, name, (int)lo,
                        (int)hi);
    *number = (int32_t)found;
    return AR_OK;
}

/* The way with every one of --acts. */
static ar_status add_way(study_job *j, const way *w) {
    const char *list = j->o->acts;
    char name[AR_ACTS_TEXT];
    while (next_name(name, sizeof name, &list)) {
        ar_acts_scheme acts;
        if (j->count == WAYS) return ar__fail(AR_ERR_USAGE, "study: found more than %d ways", WAYS);
        ar_status status = ar_acts_parse(&acts, name);
        if (status != AR_OK) return ar_program_blame(status, "--acts");
        j->ways[j->count] = *w;
        j->ways[j->count++].acts = acts;
    }
    return AR_OK;
}

static ar_status add_types(study_job *j, const char *method, const char *types) {
    way w = {0};
    snprintf(w.method, sizeof w.method, "%s", method);
    while (next_name(w.type, sizeof w.type, &types)) {
        if (!ar__gguf_mix_find(w.type))
            return ar__fail(AR_ERR_USAGE, "--types: found '%s', expected those of quantize", w.type);
        AR_TRY(add_way(j, &w));
    }
    return AR_OK;
}

static ar_status add_schemes(study_job *j, const way *base) {
    const char *list = j->o->schemes;
    char name[16];
    way w = *base;
    while (next_name(name, sizeof name, &list)) {
        w.sym = strcmp(name, "sym") == 0;
        if (!w.sym && strcmp(name, "asym") != 0)
            return ar__fail(AR_ERR_USAGE, "--schemes: found '%s', expected sym or asym", name);
        AR_TRY(add_way(j, &w));
    }
    return AR_OK;
}

static ar_status add_bits(study_job *j, const char *method) {
    const char *bits = j->o->bits;
    way w = {0};
    bool more, again;
    snprintf(w.method, sizeof w.method, "%s", method);
    for (;;) {
        const char *groups = j->o->groups;
        AR_TRY(next_number(&w.bits, &more, &bits, "--bits", 2, 8));
        if (!more) return AR_OK;
        for (;;) {
            AR_TRY(next_number(&w.group, &again, &groups, "--groups", -1, 1 << 20));
            if (!again) break;
            AR_TRY(add_schemes(j, &w));
        }
    }
}

static ar_status make_grid(study_job *j) {
    const char *methods = j->o->methods, *types = j->o->types;
    char name[32];
    if (!types && !j->o->bits) types = GGUF_LAYOUTS;
    while (next_name(name, sizeof name, &methods)) {
        if (!ar_method_find(name))
            return ar__fail(AR_ERR_USAGE, "--methods: found '%s', expected those of quantize", name);
        if (types) AR_TRY(add_types(j, name, types));
        if (j->o->bits) AR_TRY(add_bits(j, name));
    }
    return j->count ? AR_OK : ar__fail(AR_ERR_USAGE, "--methods: found none, expected those of quantize");
}

static void name_layout(char *layout, size_t room, const way *w) {
    if (w->type[0])
        snprintf(layout, room, "%s", w->type);
    else if (w->group > 0)
        snprintf(layout, room, "%d bits g%d %s", (int)w->bits, (int)w->group, w->sym ? "sym" : "asym");
    else
        snprintf(layout, room, "%d bits rows %s", (int)w->bits, w->sym ? "sym" : "asym");
    if (w->acts.bits == 0) return;
    char acts[AR_ACTS_TEXT];
    ar_acts_show(acts, &w->acts);
    snprintf(layout + strlen(layout), room - strlen(layout), " a%s", acts);
}

/* ---- one way ---- */

/* Bits that AutoRound's folders hold are stored as they are, others as the values they stand for. */
static bool packs(const way *w) { return w->bits == 2 || w->bits == 3 || w->bits == 4 || w->bits == 8; }

static ar_status plan_way(ar_output_plan *plan, const way *w) {
    ar_output_request r = {.formats = w->type[0] ? "gguf"
                                      : packs(w) ? "auto_round"
                                                 : "fake",
                           .type = w->type[0] ? w->type : NULL,
                           .bits = w->bits,
                           .group = w->group,
                           .sym = w->type[0] ? -1 : w->sym};
    return ar_output_plan_make(plan, &r);
}

static void take_options(ar_method_options *options, const study_job *j, const ar_method *method) {
    const struct {
        const char *name;
        int64_t value;
    } rows[] = {{"iters", j->o->iters}, {"samples", j->o->samples}, {"seqlen", j->o->seqlen}, {"batch", 8}};
    ar_method_options_init(options, method);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ar_method_options_put(options, rows[i].name, (double)rows[i].value);
    ar_method_options_put(options, "seed", (double)j->common.seed);
}

static double linears_of(const ar_model *m) {
    double weights = 0.0;
    for (int32_t b = 0; b < m->block_count; b++)
        for (int32_t i = 0; i < m->blocks[b].linear_count; i++)
            weights += (double)m->blocks[b].linears[i].O * (double)m->blocks[b].linears[i].I;
    return weights;
}

/* Of bits that no packed folder here holds: codes and scales of the linears, all else as 16-bit floats. */
static uint64_t bytes_of(const way *w, uint64_t file_bytes, const ar_model *m) {
    if (w->type[0] || packs(w)) return file_bytes;
    double bits =
        (double)w->bits + (16.0 + (w->sym ? 0.0 : (double)w->bits)) / (w->group > 0 ? w->group : 1e9);
    return (uint64_t)(linears_of(m) * bits / 8.0 + 2.0 * (ar__output_weights(m) - linears_of(m)));
}

static ar_status measure_file(study_job *j, ar__study_point *p, const char *path) {
    ar_status status;
    ar_open_model *m = NULL;
    ar_observer observer;
    ar_eval_result r;
    ar_eval_desc desc = {.max_windows = (int32_t)j->o->windows};
    AR_GO(ar_model_open(&m, path));
    ar_program_observer(&observer, &j->common);
    status = ar_eval_text(&r, m, j->model, j->device, (const char *)j->text.data, (size_t)j->text.bytes,
                          &desc, &observer);
    ar_program_progress_end(&j->common);
    AR_GO(status);
    p->kl = r.kl;
    p->top1 = r.top1;
    p->ppl = r.ppl;
    p->ref_ppl = r.ref_ppl;
    p->bytes = ar__output_bytes(path);
    p->bpw = 8.0 * (double)p->bytes / ar__output_weights(&j->model->model);
    AR_GO(ar__study_errors(p, &m->model, &j->model->model));
done:
    ar_model_close(m);
    return status;
}

/* Goes on from what is left in WORK.part, if that is of this way and these options, else begins. */
static ar_status quantize(ar_quantize_request *r, const char *part) {
    r->resume = ar_path_exists(part);
    ar_status status = ar_quantize_run(r);
    if (status != AR_ERR_USAGE || !r->resume) return status;
    r->resume = false;
    return ar_quantize_run(r);
}

/* Quantizes into WORK, measures that, and removes it; *made = it was quantized. */
static ar_status try_way(study_job *j, ar__study_point *p, bool *made, const way *w, const char *work) {
    ar_status status;
    char part[4096 + 8];
    ar_quantize_request r = {.common = &j->common, .model = j->path, .out = work, .is_quiet = true};
    const ar_method *method = ar_method_find(w->method);
    uint64_t device_bytes = 0;
    double start = ar__now_s();
    *made = false;
    AR_TRY(plan_way(&r.plan, w));
    if (ar_path_exists(work)) AR_TRY(ar_dir_remove(work)); /* of a study that was killed while it measured */
    take_options(&r.options, j, method);
    r.acts = w->acts;
    bool is_static = r.acts.bits > 0 && r.acts.range == AR_ACTS_STATIC;
    if ((method->needs & AR_NEEDS_SAMPLES) || is_static) r.calib = j->o->calib;
    r.allow_float = true;
    r.device_bytes = &device_bytes;
    snprintf(part, sizeof part, "%s.part", work);
    status = quantize(&r, part);
    /* not what quantize says; a model that cannot be quantized stays so */
    ar_program_afterword("%s", status == AR_ERR_FORMAT ? "" : "the same command goes on where it stopped");
    AR_GO(status);
    *made = true;
    p->seconds = ar__now_s() - start;
    p->device_bytes = (double)device_bytes;
    AR_GO(measure_file(j, p, work));
    p->bytes = bytes_of(w, p->bytes, &j->model->model);
    p->bpw = 8.0 * (double)p->bytes / ar__output_weights(&j->model->model);
done:
    if (ar_path_exists(work) && status == AR_OK) status = ar_dir_remove(work);
    return status;
}

/* ---- the study ---- */

static void name_point(ar__study_point *p, const study_job *j, const way *w) {
    *p = (ar__study_point){0};
    snprintf(p->method, sizeof p->method, "%s", w->method);
    name_layout(p->layout, sizeof p->layout, w);
    snprintf(p->key, sizeof p->key, "%s|%s|iters %d, samples %d x %d, seed %lld|%016llx", p->method,
             p->layout, (int)j->o->iters, (int)j->o->samples, (int)j->o->seqlen, (long long)j->common.seed,
             (unsigned long long)j->inputs);
}

static ar_status hash_inputs(study_job *j) {
    const int64_t windows = j->o->windows;
    AR_TRY(ar__quantize_hash_model(&j->inputs, j->model));
    for (int32_t i = 0; i < j->o->calib.count; i++)
        AR_TRY(ar__quantize_hash_file(&j->inputs, j->o->calib.text[i]));
    AR_TRY(ar__quantize_hash_file(&j->inputs, j->o->text));
    j->inputs = ar_hash64(j->inputs, &windows, sizeof windows);
    const char *precision = j->common.precision ? j->common.precision : "f32";
    if (strcmp(precision, "f32") != 0) j->inputs = ar_hash64(j->inputs, precision, strlen(precision));
    return AR_OK;
}

static bool is_done(study_job *j, const ar__study_point *p) {
    const ar__study_point *done = ar__study_find(&j->found, p->key);
    if (done) j->ref_ppl = done->ref_ppl;
    return done;
}

static ar_status keep(study_job *j, ar__study_point *p) {
    char device[16];
    AR_TRY(ar__study_append(j->o->out, p));
    j->ref_ppl = p->ref_ppl;
    AR_TRY(ar__study_add(&j->found, p));
    if (!j->common.quiet)
        fprintf(stderr, "%s %s: %.2f MiB, KL %.5f, perplexity %.3f, %.1f s, device memory %s\n", p->method,
                p->layout, (double)p->bytes / 1048576.0, p->kl, p->ppl, p->seconds,
                ar_program_bytes(device, sizeof device, (uint64_t)p->device_bytes));
    return AR_OK;
}

/* A layout that a method or a format does not have is passed over with its reason; all else ends the study.
 */
static ar_status passes(const study_job *j, const ar__study_point *p, ar_status status) {
    if (status != AR_ERR_USAGE && status != AR_ERR_UNSUPPORTED) return status;
    if (!j->common.quiet) fprintf(stderr, "%s %s: passed over: %s\n", p->method, p->layout, ar_error());
    return AR_OK;
}

/* What no way can do without: a window of the text, a sample where samples are wanted. */
static ar_status check_texts(const study_job *j) {
    const study_options *o = j->o;
    ar_passport p = {0};
    ar_samples s = {0};
    int32_t most = j->model->model.max_tokens, T = o->seqlen < most ? (int32_t)o->seqlen : most;
    bool wanted = false;
    AR_TRY(ar__passport_text(&p, o->text, j->model));
    for (int32_t i = 0; i < j->count; i++) {
        const ar_acts_scheme *a = &j->ways[i].acts;
        bool is_static = a->bits > 0 && a->range == AR_ACTS_STATIC;
        wanted |= is_static || (ar_method_find(j->ways[i].method)->needs & AR_NEEDS_SAMPLES);
    }
    if (!wanted) return AR_OK;
    ar_status status = ar__calib_from_files(&s, j->model, o->calib.text, o->calib.count, 1, T, NULL);
    ar_samples_deinit(&s);
    return status;
}

static ar_status try_all(study_job *j) {
    char work[4096];
    int32_t passed = 0;
    snprintf(work, sizeof work, "%s/out", j->place.dir);
    for (int32_t i = 0; i < j->count; i++) {
        ar__study_point p;
        name_point(&p, j, &j->ways[i]);
        if (is_done(j, &p)) continue;
        if (j->o->budget > 0.0 && ar__now_s() - j->start > 60.0 * j->o->budget) {
            if (!j->common.quiet)
                fprintf(stderr, "the budget is used up: %d ways are left\n", (int)(j->count - i));
            break;
        }
        bool made;
        ar_status status = try_way(j, &p, &made, &j->ways[i], work);
        passed += status != AR_OK;
        status = status == AR_OK ? keep(j, &p) : made ? status : passes(j, &p, status);
        ar__study_point_deinit(&p);
        AR_TRY(status);
    }
    if (passed < j->count) return AR_OK;
    char reason[512];
    snprintf(reason, sizeof reason, "%s", ar_error());
    return ar__fail(AR_ERR_USAGE, "study: none of %d ways can be done, the last because: %s", (int)passed,
                    reason);
}

/* Of all files of a model, and of what it is measured on. */
static ar_status hash_given(uint64_t *hash, const study_job *j, const char *path) {
    ar_open_model *m;
    AR_TRY(ar_model_open(&m, path));
    ar_status status = ar__quantize_hash_model(hash, m);
    *hash = ar_hash64(*hash, &j->inputs, sizeof j->inputs);
    ar_model_close(m);
    return status;
}

/* By the file's name, as much of it as there is room for, whatever its bytes. */
static ar_status name_given(ar__study_point *p, const char *path) {
    const char *last = ar__path_name(path);
    char *name;
    AR_TRY(ar__utf8_repair(&name, last, strlen(last)));
    size_t n = strlen(name), room = sizeof p->layout - 1;
    if (n > room) n = room;
    while (n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80) n--;
    snprintf(p->layout, sizeof p->layout, "%.*s", (int)n, name);
    free(name);
    return AR_OK;
}

/* Files that others made. */
static ar_status try_also(study_job *j) {
    for (int32_t i = 0; i < j->o->also.count; i++) {
        const char *path = j->o->also.text[i];
        ar__study_point p = {.method = "given"};
        uint64_t hash;
        AR_TRY(hash_given(&hash, j, path));
        AR_TRY(name_given(&p, path));
        snprintf(p.key, sizeof p.key, "given|%s|%016llx", p.layout, (unsigned long long)hash);
        if (is_done(j, &p)) continue;
        ar_status status = measure_file(j, &p, path);
        if (status == AR_OK) status = keep(j, &p);
        ar__study_point_deinit(&p);
        AR_TRY(status);
    }
    return AR_OK;
}

static void print_smallest(const ar__study *s, int32_t class, const char *what) {
    const ar__study_point *p = ar__study_smallest(s, class);
    if (p)
        printf("the smallest with %s: %s %s, %.2f MiB\n", what, p->method, p->layout,
               (double)p->bytes / 1048576.0);
    else
        printf("the smallest with %s: none of these\n", what);
}

static void print_table(const study_job *j) {
    const ar__study *s = &j->found;
    printf("%-12s %-20s %9s %6s %10s %10s %11s %7s %6s\n", "method", "layout", "MiB", "bits", "KL",
           "same top-1", "perplexity", "device", "class");
    for (int32_t i = 0; i < s->count; i++) {
        const ar__study_point *p = &s->list[i];
        printf("%-12s %-20s %9.2f %6.2f %10.5f %9.1f%% %11.3f %7.0f %5d%s\n", p->method, p->layout,
               (double)p->bytes / 1048576.0, p->bpw, p->kl, 100.0 * p->top1, p->ppl,
               p->device_bytes / 1048576.0, (int)ar__study_class(p), p->is_best ? " *" : "");
    }
    if (s->count == 0) return;
    printf("device: MiB at most while quantizing\n* nothing of these is as small and as close. Perplexity of "
           "the original: %.3f\n",
           s->list[0].ref_ppl);
    print_smallest(s, 1, "no loss that matters (class 1, perplexity at most .1 above)");
    print_smallest(s, 2, "a small loss (class 2, at most .5 above)");
}

/* What is best and of which class too. */
static ar_status print_json(const study_job *j) {
    cJSON *o = cJSON_CreateObject(), *list = ar_json_add_list(o, "points");
    for (int32_t i = 0; i < j->found.count; i++) {
        const ar__study_point *p = &j->found.list[i];
        cJSON *row = ar_json_push(list, ar__study_json(p));
        ar_json_add_number(row, "class", ar__study_class(p));
        ar_json_add_bool(row, "best", p->is_best);
    }
    ar_status status = ar_program_json(o, true);
    cJSON_Delete(o);
    return status;
}

static void keep_comparable(study_job *j) {
    int32_t others = j->ref_ppl > 0.0 ? ar__study_keep(&j->found, j->ref_ppl) : 0;
    if (others > 0 && !j->common.quiet)
        fprintf(stderr, "%s: %d lines are left out, measured on another model, text or other windows\n",
                j->o->out, (int)others);
}

static ar_status run_study(study_job *j) {
    ar_status status;
    char work[4096];
    snprintf(work, sizeof work, "%s.work", j->o->out);
    AR_GO(make_grid(j));
    AR_GO(ar_file_open(&j->text, j->o->text));
    AR_GO(ar_program_float_model(&j->model, j->path, &j->common));
    AR_GO(check_texts(j));
    AR_GO(hash_inputs(j));
    AR_GO(ar__workplace_open(&j->place, work));
    AR_GO(ar__study_read(&j->found, j->o->out));
    AR_GO(ar_program_device(&j->device, &j->common, true));
    AR_GO(try_also(j));
    AR_GO(try_all(j));
    ar_program_afterword("%s", "");
    keep_comparable(j);
    ar__study_judge(&j->found);
    if (j->o->html)
        AR_GO(ar__study_html(j->o->html, &j->found, &j->model->model, ar__path_name(j->path),
                             ar__path_name(j->o->text)));
    if (j->common.json) AR_GO(print_json(j));
    if (!j->common.json) print_table(j);
done:
    return status;
}

static ar_status check_places(const study_job *j) {
    const study_options *o = j->o;
    ar_input inputs[2 + 2 * AR_OPTION_REPEATS] = {{j->path, "the model"}, {o->text, "the text"}};
    int32_t count = 2;
    for (int32_t i = 0; i < o->calib.count; i++)
        inputs[count++] = (ar_input){o->calib.text[i], "the calibration text"};
    for (int32_t i = 0; i < o->also.count; i++) inputs[count++] = (ar_input){o->also.text[i], "another file"};
    AR_TRY(ar__output_check_file("-o", o->out, NULL));
    AR_TRY(ar__path_check_inputs(o->out, false, inputs, count));
    if (!o->html) return AR_OK;
    AR_TRY(ar__output_check_file("--html", o->html, o->out));
    return ar__path_check_inputs(o->html, false, inputs, count);
}

static ar_status run(const ar_command *self, int argc, char **argv) {
    study_options o = {
        .methods = METHODS, .acts = "16", .iters = 50, .samples = 64, .seqlen = 256, .windows = 20};
    study_job j = {.o = &o, .start = ar__now_s()};
    const ar_option options[] = {
        {"--out|-o", AR_OPT_STRING, &o.out, "FILE.jsonl", "one line a way; what it holds is not done again",
         0, 0, NULL},
        {"--text", AR_OPT_TEXT, &o.text, "FILE", "the text to measure on, - = stdin", 0, 0, NULL},
        {"--calib", AR_OPT_TEXTS, &o.calib, "FILE", "calibration text, as for quantize, - = stdin", 0, 0,
         NULL},
        {"--types", AR_OPT_STRING, &o.types, "T,…", "GGUF types (" GGUF_LAYOUTS ")", 0, 0, NULL},
        {"--bits", AR_OPT_STRING, &o.bits, "N,…", "2 to 8, each with every group and scheme", 0, 0, NULL},
        {"--groups", AR_OPT_STRING, &o.groups, "N,…", "for --bits; -1 = whole rows (32,128)", 0, 0, NULL},
        {"--schemes", AR_OPT_STRING, &o.schemes, "S,…", "for --bits (sym,asym)", 0, 0, NULL},
        {"--methods", AR_OPT_STRING, &o.methods, "M,…", "as for quantize (" METHODS ")", 0, 0, NULL},
        {"--acts", AR_OPT_STRING, &o.acts, "A,…",
         "inputs of linears, each with every way; as for quantize (16)", 0, 0, NULL},
        {"--also", AR_OPT_LIST, &o.also, "FILE",
         "another file of this model, to stand beside; several by several", 0, 0, NULL},
        {"--iters", AR_OPT_INT, &o.iters, "N", "steps of tuned methods (50)", 1, 5792, NULL},
        {"--samples", AR_OPT_INT, &o.samples, "N", "calibration samples (64)", 2, 1 << 20, NULL},
        {"--seqlen", AR_OPT_INT, &o.seqlen, "N", "tokens of a sample (256)", 2, 1 << 20, NULL},
        {"--max-windows", AR_OPT_INT, &o.windows, "N", "windows of the text at most (20)", 1, 1 << 30, NULL},
        {"--budget", AR_OPT_REAL, &o.budget, "MINUTES", "begin nothing new after this time", 0.01, 1e6, NULL},
        {"--html", AR_OPT_STRING, &o.html, "FILE",
         "a page of it: size against KL, errors of linears, the table, advice", 0, 0, NULL},
    };
    int positional;
    AR_TRY(ar_args_parse(self, &j.common, options, (int32_t)(sizeof options / sizeof *options), argc, argv,
                         &positional, 1, 1));
    if (j.common.help) return AR_OK;
    if (!o.bits && (o.groups || o.schemes))
        return ar__fail(AR_ERR_USAGE, "%s has no effect without --bits", o.groups ? "--groups" : "--schemes");
    if (!o.groups) o.groups = "32,128";
    if (!o.schemes) o.schemes = "sym,asym";
    if (!o.out || !o.text || o.calib.count == 0)
        return ar__fail(AR_ERR_USAGE, "anyround study: -o FILE, --text FILE and --calib FILE are needed");
    j.path = argv[1];
    ar_status status = check_places(&j);
    if (status == AR_OK) status = run_study(&j);
    ar__study_deinit(&j.found);
    ar__workplace_close(&j.place);
    ar_device_close(j.device);
    ar_model_close(j.model);
    ar_file_close(&j.text);
    return status;
}

const ar_command ar__command_study = {"study", "quantize in many ways, measure each, and say what to take",
                                      "MODEL --calib FILE --text FILE -o FILE.jsonl [options]", run};
