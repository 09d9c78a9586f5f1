/* anyround quantize: one tuning run, one or several files. State lives in OUT.part until every file has been
 * written, read back and compared; --resume continues it. */
#include "hf_folder.h"
#include "part.h"
#include "program.h"
#include "report.h"
#include <cjson/cJSON.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct job_options {
    const char *out, *method, *type, *format, *calib, *recipe, *select, *state, *report;
    int64_t bits, group, samples, seqlen, batch, iters, heldout, blocks;
    double lr, minmax_lr;
    bool sym, asym, no_minmax, no_quantized_input, resume, widen;
    bool has_iters, has_samples, has_seqlen, has_batch, has_lr, has_minmax_lr, has_calib, has_select, has_state, has_heldout, has_recipe, has_blocks;
} job_options;

typedef struct job {
    const job_options *o;
    const ar_common *common;
    ar_open_model *model;
    ar_device *device;
    const ar_method *method;
    ar_output_plan plan;
    ar_quant_desc desc;
    ar_samples samples;
    ar_observer observer;
    ar_part part;
    cJSON *block_rows;             /* --json */
    double start;
} job;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- options to descriptors ---- */

typedef struct recipe { const char *name; int64_t batch, iters, seqlen, samples; double lr; } recipe;
static const recipe recipes[] = { /* autoround.md 1.13 */
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

static ar_status parse_choice(int32_t *out, const char *option, const char *text, const char *const *names, int32_t count) {
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

/* An option that would change nothing is an error, not a surprise. */
static ar_status check_effective(const job_options *o, const ar_method *method) {
    if (o->no_minmax && o->has_minmax_lr) return ar__fail(AR_ERR_USAGE, "--minmax-lr has no effect with --no-minmax");
    if (o->sym && o->asym) return ar__fail(AR_ERR_USAGE, "--sym and --asym: expected one of them");
    if (method->needs_samples) return AR_OK;
    const struct { bool given; const char *name; } unused[] = {
        {o->has_calib, "--calib"}, {o->has_samples, "--samples"}, {o->has_seqlen, "--seqlen"}, {o->has_batch, "--batch"}, {o->has_iters, "--iters"},
        {o->has_lr, "--lr"}, {o->has_minmax_lr, "--minmax-lr"}, {o->no_minmax, "--no-minmax"}, {o->no_quantized_input, "--no-quantized-input"},
        {o->has_select, "--select"}, {o->has_state, "--state"}, {o->has_heldout, "--heldout"}, {o->has_recipe, "--recipe"}, {o->has_blocks, "--blocks"}};
    for (size_t i = 0; i < sizeof unused / sizeof *unused; i++)
        if (unused[i].given) return ar__fail(AR_ERR_USAGE, "%s has no effect with --method %s", unused[i].name, method->name);
    return AR_OK;
}

static bool stays_float(const job *j, const ar_block *block, int32_t i) {
    return !ar_output_plan_holds(&j->plan, block->linears[i].O, block->linears[i].I);
}

static bool choose(void *ctx, const ar_block *block, int32_t i, ar_scheme *scheme) {
    const job *j = ctx;
    *scheme = j->plan.scheme;
    return !stays_float(j, block, i);
}

static ar_status make_desc(job *j) {
    static const char *const selects[] = {"heldout", "batch", "last"}, *const states[] = {"auto", "f32", "i32", "i16"};
    const job_options *o = j->o;
    int32_t select = 0, state = 0;
    if (o->select) AR_TRY(parse_choice(&select, "--select", o->select, selects, 3));
    if (o->state) AR_TRY(parse_choice(&state, "--state", o->state, states, 4));
    if (o->has_heldout && select != AR_SELECT_HELDOUT) return ar__fail(AR_ERR_USAGE, "--heldout has no effect with --select %s", o->select);
    j->desc = (ar_quant_desc){.scheme = j->plan.scheme, .choose = choose, .choose_ctx = j,
                              .iters = j->method->needs_samples && j->plan.scheme.bits <= 8 ? (int32_t)o->iters : 0, .batch = (int32_t)o->batch,
                              .lr = (float)o->lr, .minmax_lr = (float)o->minmax_lr, .no_minmax = o->no_minmax,
                              .no_quantized_input = o->no_quantized_input, .select = (ar_select)select, .heldout = (int32_t)o->heldout,
                              .state = (ar_state_kind)state, .seed = (uint64_t)j->common->seed, .block_limit = (int32_t)o->blocks};
    return AR_OK;
}

static ar_status make_plan(job *j) {
    const job_options *o = j->o;
    size_t n = strlen(o->out);
    bool gguf_name = n > 5 && strcmp(o->out + n - 5, ".gguf") == 0;
    ar_output_request request = {.formats = o->format ? o->format : o->type || gguf_name ? "gguf" : "auto_round", .type = o->type,
                                 .bits = (int32_t)o->bits, .group = (int32_t)o->group, .sym = o->sym ? 1 : o->asym ? 0 : -1, .widen = o->widen};
    return ar_output_plan_make(&j->plan, &request);
}

/* ---- what the result depends on ---- */

static ar_status hash_file(uint64_t *hash, const char *path) {
    ar_file f = {0};
    AR_TRY(ar_file_open(&f, path));
    *hash = ar_hash64(*hash, f.data, (size_t)f.bytes);
    ar_file_close(&f);
    return AR_OK;
}

static int not_hidden(const struct dirent *e) { return e->d_name[0] != '.'; }

/* Every regular file of the model, in name order. */
static ar_status hash_model(uint64_t *hash, const char *path) {
    *hash = 0xcbf29ce484222325u;
    if (!ar_path_is_dir(path)) return hash_file(hash, path);
    struct dirent **list = NULL;
    int n = scandir(path, &list, not_hidden, alphasort);
    if (n < 0) return ar__fail(AR_ERR_IO, "%s: cannot list the folder", path);
    ar_status status = AR_OK;
    for (int i = 0; i < n; i++) {
        char *file = NULL;
        if (status == AR_OK) status = ar_path_join(&file, path, list[i]->d_name);
        if (status == AR_OK && !ar_path_is_dir(file)) {
            *hash = ar_hash64(*hash, list[i]->d_name, strlen(list[i]->d_name));
            status = hash_file(hash, file);
        }
        free(file);
        free(list[i]);
    }
    free(list);
    return status;
}

static ar_status make_manifest(const job *j, ar_part_manifest *m) {
    const ar_quant_desc *d = &j->desc;
    const ar_device_facts *f = ar_device_get_facts(j->device);
    const ar_plan *p = ar_device_get_plan(j->device);
    ar_memory_stats memory;
    uint64_t input = 0, ids = 0xcbf29ce484222325u;
    char formats[128] = "";
    AR_TRY(hash_model(&input, j->model->path));
    if (j->samples.ids) ids = ar_hash64(ids, j->samples.ids, (size_t)j->samples.count * (size_t)j->samples.T * sizeof(int32_t));
    ar_device_memory(j->device, &memory);
    for (int32_t i = 0; i < j->plan.format_count; i++) {
        strncat(formats, i ? "," : "", sizeof formats - strlen(formats) - 1);
        strncat(formats, j->plan.formats[i], sizeof formats - strlen(formats) - 1);
    }
    ar__part_manifest_add(m, "version", "%s", ar_version());
    ar__part_manifest_add(m, "model", "%016llx", (unsigned long long)input);
    ar__part_manifest_add(m, "method", "%s", d->iters > 0 ? j->method->name : "rtn");
    ar__part_manifest_add(m, "formats", "%s%s%s", formats, j->plan.type[0] ? ":" : "", j->plan.type);
    ar__part_manifest_add(m, "scheme", "bits %d group %d zero %d from %d", (int)d->scheme.bits, (int)d->scheme.group, (int)d->scheme.zero,
                         (int)d->scheme.zero_min);
    ar__part_manifest_add(m, "device", "%s %s", f->api, f->name);
    ar__part_manifest_add(m, "driver", "%s %s", f->driver, f->version);
    ar__part_manifest_add(m, "plan", "vw %u wg %u tile %ux%u group %ux%u lanes %u attention %u", p->vw, p->wg, p->gemm_tm, p->gemm_tn,
                         p->gemm_wgx, p->gemm_wgy, p->gemm_lanes, p->attn_wg);
    ar__part_manifest_add(m, "vram", "%llu", (unsigned long long)memory.budget);
    if (d->iters == 0) return AR_OK;
    ar__part_manifest_add(m, "iters", "%d", (int)d->iters);
    ar__part_manifest_add(m, "batch", "%d", (int)d->batch);
    ar__part_manifest_add(m, "lr", "%.9g", (double)d->lr);
    ar__part_manifest_add(m, "minmax_lr", "%.9g", (double)d->minmax_lr);
    ar__part_manifest_add(m, "minmax", "%d", !d->no_minmax);
    ar__part_manifest_add(m, "quantized_input", "%d", !d->no_quantized_input);
    ar__part_manifest_add(m, "select", "%d held out %d", (int)d->select, (int)d->heldout);
    ar__part_manifest_add(m, "state", "%d", (int)d->state);
    ar__part_manifest_add(m, "seed", "%llu", (unsigned long long)d->seed);
    ar__part_manifest_add(m, "blocks", "%d", (int)d->block_limit);
    ar__part_manifest_add(m, "samples", "%d x %d", (int)j->samples.count, (int)j->samples.T);
    ar__part_manifest_add(m, "calibration", "%016llx", (unsigned long long)ids);
    return AR_OK;
}

/* ---- the sink ---- */

static ar_status sink_block(void *ctx, const ar_block *block, ar_qlinear *const *linears, const ar_block_report *r) {
    job *j = ctx;
    AR_TRY(ar__part_write(&j->part, block, linears, r));
    if (j->block_rows) {
        cJSON *row = cJSON_CreateObject();
        cJSON_AddNumberToObject(row, "block", r->block);
        cJSON_AddNumberToObject(row, "loss_first", r->loss_first);
        cJSON_AddNumberToObject(row, "loss_best", r->loss_best);
        cJSON_AddNumberToObject(row, "heldout_first", r->heldout_first);
        cJSON_AddNumberToObject(row, "heldout_best", r->heldout_best);
        cJSON_AddNumberToObject(row, "step", r->best_step);
        cJSON_AddNumberToObject(row, "seconds", r->seconds);
        cJSON_AddItemToArray(j->block_rows, row);
    }
    if (j->common->quiet || r->step_count == 0) return AR_OK;
    char memory[16];
    ar_program_progress_end(j->common);
    fprintf(stderr, "block %d: loss %.6g -> %.6g", (int)r->block, r->loss_first, r->loss_best);
    if (r->heldout_first > 0.0) fprintf(stderr, ", held out %.6g -> %.6g", r->heldout_first, r->heldout_best);
    fprintf(stderr, " (step %d), %.1f s, device memory %s\n", (int)r->best_step, r->seconds,
            ar_program_bytes(memory, sizeof memory, r->device_bytes));
    return AR_OK;
}

static bool sink_finished(void *ctx, int32_t block) { return ar__part_finished(&((job *)ctx)->part, block); }

static ar_status sink_load(void *ctx, const ar_block *block, ar_qlinear **list) { return ar__part_load(&((job *)ctx)->part, block, list); }

/* ---- output ---- */

static ar_status source_linear(void *ctx, ar_qlinear **q, int32_t block, int32_t i) {
    job *j = ctx;
    return ar__part_linear(&j->part, &j->model->model.blocks[block], q, i);
}

/* OUT itself for one format; OUT/<format> (model.gguf for gguf) for several. free(). */
static ar_status output_path(const job *j, char **path, const ar_format *f) {
    if (j->plan.format_count > 1) return ar_path_join(path, j->o->out, f->is_folder ? f->name : "model.gguf");
    *path = strdup(j->o->out);
    return *path ? AR_OK : ar__fail(AR_ERR_MEMORY, "cannot copy a path");
}

static uint64_t path_bytes(const char *path) {
    if (!ar_path_is_dir(path)) {
        ar_file f = {0};
        if (ar_file_open(&f, path) != AR_OK) return 0;
        uint64_t bytes = f.bytes;
        ar_file_close(&f);
        return bytes;
    }
    uint64_t sum = 0;
    struct dirent **list = NULL;
    int n = scandir(path, &list, not_hidden, alphasort);
    for (int i = 0; i < n; i++) {
        char *file = NULL;
        if (ar_path_join(&file, path, list[i]->d_name) == AR_OK) sum += path_bytes(file);
        free(file);
        free(list[i]);
    }
    free(list);
    return sum;
}

static ar_status write_one(job *j, const ar_write_source *src, const char *name, cJSON *files) {
    const ar_format *f = ar_format_find(name);
    char *path = NULL, size[16];
    AR_TRY(output_path(j, &path, f));
    ar_status status = f->write(path, src);
    if (status == AR_OK) status = f->verify(path, src);
    if (status == AR_OK) {
        uint64_t bytes = path_bytes(path);
        if (files) {
            cJSON *row = cJSON_CreateObject();
            cJSON_AddStringToObject(row, "format", name);
            cJSON_AddStringToObject(row, "path", path);
            cJSON_AddNumberToObject(row, "bytes", (double)bytes);
            cJSON_AddItemToArray(files, row);
        } else {
            printf("%s: %s, %s, read back and compared\n", name, path, ar_program_bytes(size, sizeof size, bytes));
        }
    }
    free(path);
    return status;
}

static void list_float_layers(const job *j) {
    if (j->plan.scheme.bits > 8) return; /* a float type was asked for */
    for (int32_t b = 0; b < j->model->model.block_count; b++) {
        const ar_block *block = &j->model->model.blocks[b];
        for (int32_t i = 0; i < block->linear_count; i++) {
            if (stays_float(j, block, i) && !j->common->quiet)
                fprintf(stderr, "note: block %d %s (%lld x %lld) stays float: the format cannot hold it\n", (int)b, block->linears[i].name,
                        (long long)block->linears[i].O, (long long)block->linears[i].I);
        }
    }
}

static ar_status write_report(job *j, const ar_part_manifest *m) {
    if (!j->o->report) return AR_OK;
    ar_report_line lines[AR_PART_FIELDS + 2];
    int32_t n = 0;
    snprintf(lines[n].name, sizeof lines[n].name, "model file");
    snprintf(lines[n++].value, sizeof lines[0].value, "%.200s", j->model->path);
    for (int32_t i = 0; i < m->count; i++, n++) {
        snprintf(lines[n].name, sizeof lines[n].name, "%s", m->fields[i].name);
        snprintf(lines[n].value, sizeof lines[n].value, "%s", m->fields[i].value);
    }
    int32_t kept = 0, total = 0;
    for (int32_t b = 0; b < j->model->model.block_count; b++)
        for (int32_t i = 0; i < j->model->model.blocks[b].linear_count; i++, total++) kept += stays_float(j, &j->model->model.blocks[b], i);
    snprintf(lines[n].name, sizeof lines[n].name, "layers kept float");
    size_t used = (size_t)snprintf(lines[n].value, sizeof lines[n].value, "%d of %d", (int)kept, (int)total);
    for (int32_t b = 0; b < j->model->model.block_count; b++) {
        const ar_block *block = &j->model->model.blocks[b];
        for (int32_t i = 0; i < block->linear_count; i++)
            if (stays_float(j, block, i) && used < sizeof lines[n].value)
                used += (size_t)snprintf(lines[n].value + used, sizeof lines[n].value - used, ", %d %s", (int)b, block->linears[i].name);
    }
    n++;
    return ar__report_write(j->o->report, "anyround quantization", lines, n, &j->part, j->model->model.block_count);
}

static ar_status write_outputs(job *j, const ar_part_manifest *m) {
    ar_write_source src = {.model = j->model, .plan = &j->plan, .linear = source_linear, .ctx = j,
                           .method = j->desc.iters > 0 ? j->method->name : "rtn", .iters = j->desc.iters, .lr = j->desc.lr,
                           .minmax_lr = j->desc.minmax_lr, .sample_count = j->samples.count, .T = j->samples.T, .batch = j->desc.batch};
    cJSON *files = j->common->json ? cJSON_CreateArray() : NULL;
    ar_status status = AR_OK;
    ar_memory_stats memory;
    char high[16];
    if (j->plan.format_count > 1) AR_GO(ar_dir_create(j->o->out));
    for (int32_t i = 0; i < j->plan.format_count; i++) AR_GO(write_one(j, &src, j->plan.formats[i], files));
    AR_GO(write_report(j, m));
    ar_device_memory(j->device, &memory);
    if (files) {
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "method", src.method);
        cJSON_AddItemToObject(o, "files", files);
        files = NULL;
        cJSON_AddItemToObject(o, "blocks", j->block_rows);
        j->block_rows = NULL;
        cJSON_AddNumberToObject(o, "seconds", now_s() - j->start);
        cJSON_AddNumberToObject(o, "device_high_water", (double)memory.high_water);
        cJSON_AddNumberToObject(o, "device_budget", (double)memory.budget);
        char *text = cJSON_Print(o);
        if (text) puts(text);
        free(text);
        cJSON_Delete(o);
    } else {
        printf("%s in %.1f s, device memory at most %s\n", src.method, now_s() - j->start, ar_program_bytes(high, sizeof high, memory.high_water));
    }
done:
    cJSON_Delete(files);
    return status;
}

/* ---- the job ---- */

/* Fails early on an output that cannot be written. */
static ar_status check_output(const char *out, char **part_dir) {
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/') n--;
    *part_dir = ar__alloc(n + 6, 1);
    if (!*part_dir) return AR_ERR_MEMORY;
    memcpy(*part_dir, out, n);
    memcpy(*part_dir + n, ".part", 6);
    return AR_OK;
}

/* What would refuse the output after all the work, refuses it now. */
static ar_status check_folders(const job *j) {
    for (int32_t i = 0; i < j->plan.format_count; i++) {
        const ar_format *f = ar_format_find(j->plan.formats[i]);
        char *path = NULL;
        if (!f->is_folder) continue;
        AR_TRY(output_path(j, &path, f));
        ar_status status = ar__hf_folder_check(path, j->model->path);
        free(path);
        AR_TRY(status);
    }
    return AR_OK;
}

static ar_status make_samples(job *j) {
    if (j->desc.iters == 0) return AR_OK;
    int32_t T = (int32_t)j->o->seqlen;
    if (T > j->model->model.max_tokens) T = j->model->model.max_tokens;
    const char *path = j->o->calib && strcmp(j->o->calib, "self") != 0 ? j->o->calib : NULL;
    if (!j->common->quiet) fprintf(stderr, "calibration: %s, up to %d samples of %d tokens\n", path ? path : "self (sampled from the float model)",
                                   (int)j->o->samples, (int)T);
    ar_status status = ar_calib_make(&j->samples, j->model, j->device, path, (int32_t)j->o->samples, T, (uint64_t)j->common->seed, &j->observer);
    ar_program_progress_end(j->common);
    return status;
}

static ar_status run_job(job *j, const char *model_path) {
    ar_status status = AR_OK;
    char *part_dir = NULL;
    ar_part_manifest manifest = {0};
    ar_sink sink = {sink_block, sink_finished, sink_load, j};
    AR_GO(make_plan(j));
    AR_GO(make_desc(j));
    AR_GO(check_output(j->o->out, &part_dir));
    AR_GO(ar_model_open(&j->model, model_path));
    AR_GO(check_folders(j));
    AR_GO(ar_program_device(&j->device, j->common));
    ar_program_observer(&j->observer, j->common);
    list_float_layers(j);
    AR_GO(make_samples(j));
    AR_GO(make_manifest(j, &manifest));
    AR_GO(ar__part_open(&j->part, part_dir, &manifest, j->o->resume));
    j->desc.spill_dir = part_dir;
    status = j->method->run(&j->model->model, j->device, j->desc.iters > 0 ? &j->samples : NULL, &j->desc, &sink, &j->observer);
    ar_program_progress_end(j->common);
    if (status == AR_ERR_INTERRUPTED && !j->common->quiet) fprintf(stderr, "finished blocks are kept in %s; continue with --resume\n", part_dir);
    AR_GO(status);
    AR_GO(write_outputs(j, &manifest));
    AR_GO(ar__part_remove(&j->part));
done:
    free(part_dir);
    return status;
}

static ar_status run(const ar_command *self, int argc, char **argv) {
    ar_common common;
    job_options o = {.method = "signround", .recipe = "default"};
    const ar_option options[] = {
        {"--out|-o", AR_OPT_STRING, &o.out, "OUT", "the file or folder to write", 0, 0, NULL},
        {"--method", AR_OPT_STRING, &o.method, "M", "signround (default) or rtn", 0, 0, NULL},
        {"--bits", AR_OPT_INT, &o.bits, "N", "2..8 (4)", 2, 8, NULL},
        {"--group", AR_OPT_INT, &o.group, "N", "weights sharing a scale, -1 = a whole row (128)", -1, 1 << 20, NULL},
        {"--sym", AR_OPT_FLAG, &o.sym, NULL, "symmetric, signed scales (default)", 0, 0, NULL},
        {"--asym", AR_OPT_FLAG, &o.asym, NULL, "asymmetric, with zero points", 0, 0, NULL},
        {"--type", AR_OPT_STRING, &o.type, "T", "GGUF type: q4_0 (default), q4_1, q8_0, f16, f32", 0, 0, NULL},
        {"--format", AR_OPT_STRING, &o.format, "F[,F…]", "gguf, auto_round, gptq, fake", 0, 0, NULL},
        {"--widen", AR_OPT_FLAG, &o.widen, NULL, "store 2 or 3 bits in a wider type", 0, 0, NULL},
        {"--recipe", AR_OPT_STRING, &o.recipe, "R", "light (50 steps), default (200) or best (1000)", 0, 0, &o.has_recipe},
        {"--calib", AR_OPT_STRING, &o.calib, "FILE|self", "calibration text, or sampled from the model (default)", 0, 0, &o.has_calib},
        {"--samples", AR_OPT_INT, &o.samples, "N", "calibration samples (128)", 1, 1 << 20, &o.has_samples},
        {"--seqlen", AR_OPT_INT, &o.seqlen, "N", "tokens per sample (2048, at most the context)", 2, 1 << 20, &o.has_seqlen},
        {"--batch", AR_OPT_INT, &o.batch, "N", "samples per step (8)", 1, 4096, &o.has_batch},
        {"--iters", AR_OPT_INT, &o.iters, "N", "steps per block (200); 0 = rtn", 0, 5792, &o.has_iters},
        {"--lr", AR_OPT_REAL, &o.lr, "X", "step size of rounding offsets (1/iters)", 1e-9, 10, &o.has_lr},
        {"--minmax-lr", AR_OPT_REAL, &o.minmax_lr, "X", "step size of the range coefficients (= lr)", 1e-9, 10, &o.has_minmax_lr},
        {"--no-minmax", AR_OPT_FLAG, &o.no_minmax, NULL, "tune rounding only, not the ranges", 0, 0, NULL},
        {"--no-quantized-input", AR_OPT_FLAG, &o.no_quantized_input, NULL, "feed blocks from the float chain", 0, 0, NULL},
        {"--select", AR_OPT_STRING, &o.select, "S", "which step is kept: heldout (default), batch or last", 0, 0, &o.has_select},
        {"--heldout", AR_OPT_INT, &o.heldout, "N", "samples set aside to select the step (1/16, at most 8)", 1, 64, &o.has_heldout},
        {"--state", AR_OPT_STRING, &o.state, "S", "auto, f32, i32 or i16: how tuned values are kept", 0, 0, &o.has_state},
        {"--blocks", AR_OPT_INT, &o.blocks, "N", "tune only the first N blocks, round the others to nearest", 1, 1 << 20, &o.has_blocks},
        {"--resume", AR_OPT_FLAG, &o.resume, NULL, "continue OUT.part", 0, 0, NULL},
        {"--report", AR_OPT_STRING, &o.report, "FILE", "write an HTML report", 0, 0, NULL},
    };
    int positional;
    AR_TRY(ar_args_parse(self, &common, options, (int32_t)(sizeof options / sizeof *options), argc, argv, &positional, 1, 1));
    if (common.help) return AR_OK;
    if (!o.out) return ar__fail(AR_ERR_USAGE, "anyround quantize: -o OUT is needed");
    const ar_method *method = ar_method_find(o.method);
    if (!method) return ar__fail(AR_ERR_USAGE, "--method: found '%s', expected rtn or signround", o.method);
    AR_TRY(check_effective(&o, method));
    AR_TRY(apply_recipe(&o));
    job j = {.o = &o, .common = &common, .method = method, .start = now_s(), .block_rows = common.json ? cJSON_CreateArray() : NULL};
    ar_status status = run_job(&j, argv[1]);
    ar__part_close(&j.part);
    ar_samples_deinit(&j.samples);
    ar_device_close(j.device);
    ar_model_close(j.model);
    cJSON_Delete(j.block_rows);
    return status;
}

const ar_command ar__command_quantize = {"quantize", "quantize a model by rounding tuned with gradients", "MODEL -o OUT [options]", run};
