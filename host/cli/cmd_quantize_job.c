/* anyround quantize: one tuning run, one or several files. State lives in OUT.part until every file has been
 * written, read back and compared; --resume continues it. */
#include "output.h"
#include "part.h"
#include "passport_measure.h"
#include "quantize_job.h"
#include "recheck.h"
#include "workplace.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

typedef struct job {
    const ar_quantize_request *r; /* own */
    ar_quantize_request own;      /* whose plan the allotment completes */
    ar__allotment allotment;
    char *out; /* what r->out leads to */
    ar_common common;
    ar_open_model *model;
    ar_device *device;
    ar_method_options options; /* the method's, settled for the samples there are */
    ar_samples samples;
    ar_snapshot texts;             /* what the samples are from, and the importance matrix */
    ar_observer program, observer; /* the second tells the first, with the time left */
    ar__job_clock clock;
    ar__job_cost cost;
    ar_workplace place;
    ar_part part;
    ar_finish_run finish;
    ar_passport passport;
    uint64_t imatrix_hash;
    ar_imatrix *imatrix; /* NULL = moments are seen */
    ar_acts acts;        /* the request's, with the grids that the state has in the end */
    ar_open_model *like; /* whose codes tuning starts from; NULL = a search */
    int64_t scales;      /* that are in the weights now */
    double start;
} job;

/* Samples and their length for ranges of inputs, where a method says nothing of it. */
#define RANGE_SAMPLES 128
#define RANGE_SEQLEN  512

static bool needs_ranges(const job *j) { return j->r->acts.bits > 0 && j->r->acts.range == AR_ACTS_STATIC; }

static bool needs_samples(const job *j) {
    ar_method_needs needs = j->options.method->needs;
    bool given = j->imatrix && (needs & AR_NEEDS_MOMENTS) && !(j->r->allot.bpw > 0.0) && !j->r->allot.bytes;
    return needs_ranges(j) || ((needs & AR_NEEDS_SAMPLES) && (!given || ar__quantize_finishes(&j->options)));
}

static ar_status moments(void *ctx, float *dst, const ar_block *block, int32_t i) {
    const job *j = ctx;
    return ar_imatrix_linear(j->imatrix, dst, &j->model->config, block, i);
}

/* What a run of hours would stumble over. */
static ar_status open_imatrix(job *j) {
    ar_status status = AR_OK;
    if (!j->r->imatrix) return AR_OK;
    AR_TRY(ar_snapshot_add(&j->texts, j->r->imatrix));
    AR_TRY(ar_imatrix_open(&j->imatrix, j->r->imatrix));
    j->imatrix_hash = 0xcbf29ce484222325u;
    AR_TRY(ar__quantize_hash_file(&j->imatrix_hash, j->r->imatrix));
    for (int32_t b = 0; b < j->model->model.block_count && status == AR_OK; b++) {
        const ar_block *block = &j->model->model.blocks[b];
        for (int32_t i = 0; i < block->linear_count && status == AR_OK; i++) {
            float *values = ar__alloc((size_t)block->linears[i].I, sizeof *values);
            status = values ? moments(j, values, block, i) : AR_ERR_MEMORY;
            free(values);
        }
    }
    return status;
}

static bool choose(void *ctx, const ar_block *block, int32_t i, ar_scheme *scheme) {
    const job *j = ctx;
    return ar_output_plan_choose(&j->r->plan, &j->model->config, block, i, scheme);
}

/* While it runs, where a method that scales is to write floats: whole rows in 8 bits. */
static bool choose_to_run(void *ctx, const ar_block *block, int32_t i, ar_scheme *scheme) {
    const job *j = ctx;
    if (!j->options.method->scales || j->r->plan.scheme.bits <= 8) return choose(ctx, block, i, scheme);
    *scheme = (ar_scheme){.bits = 8, .group = -1, .zero = AR_ZERO_SYM};
    return true;
}

/* ---- what the result depends on ---- */

static ar_status make_manifest(const job *j, ar_part_manifest *m) {
    const ar_scheme *s = &j->r->plan.scheme;
    const ar_device_facts *f = ar_device_get_facts(j->device);
    const ar_plan *p = ar_device_get_plan(j->device);
    ar_memory_stats memory;
    uint64_t input = 0;
    char formats[128] = "", value[160];
    const char *name = NULL;
    AR_TRY(ar__quantize_hash_model(&input, j->model));
    ar_device_memory(j->device, &memory);
    for (int32_t i = 0; i < j->r->plan.format_count; i++) {
        strncat(formats, i ? "," : "", sizeof formats - strlen(formats) - 1);
        strncat(formats, j->r->plan.formats[i], sizeof formats - strlen(formats) - 1);
    }
    ar__part_manifest_add(m, "version", "%s", ar_version());
    ar__part_manifest_add(m, "model", "%016llx", (unsigned long long)input);
    ar__part_manifest_add(m, "method", "%s", j->options.method->name);
    ar__part_manifest_add(m, "formats", "%s%s%s", formats, j->r->plan.type[0] ? ":" : "", j->r->plan.type);
    if (j->allotment.schemes)
        ar__part_manifest_add(m, "allotment", "%016llx",
                              (unsigned long long)ar__allotment_hash(&j->allotment, &j->model->model));
    if (j->r->types)
        ar__part_manifest_add(m, "tensor types", "%016llx",
                              (unsigned long long)ar_tensor_types_hash(j->r->types));
    ar__part_manifest_add(m, "scheme", "bits %d group %d zero %d from %d", (int)s->bits, (int)s->group,
                          (int)s->zero, (int)s->zero_min);
    ar__part_manifest_add(m, "device", "%s %s", f->api, f->name);
    ar__part_manifest_add(m, "driver", "%s %s", f->driver, f->version);
    ar__part_manifest_add(m, "plan", "vw %u wg %u tile %ux%u group %ux%u lanes %u attention %u", p->vw, p->wg,
                          p->gemm_tm, p->gemm_tn, p->gemm_wgx, p->gemm_wgy, p->gemm_lanes, p->attn_wg);
    if (p->gemm_side > 0) /* what decides into how many parts a deep product is cut */
        ar__part_manifest_add(m, "tiles", "%u of %u groups", p->gemm_side, p->gemm_groups);
    ar_plan_show_variants(value, sizeof value, p);
    ar__part_manifest_add(m, "kernels", "%s", value);
    ar__part_manifest_add(m, "vram", "%llu", (unsigned long long)memory.budget);
    for (int32_t at = 0; ar_method_options_record(&name, value, sizeof value, &j->options, &at);)
        ar__part_manifest_add(m, name, "%s", value);
    if (j->r->acts.bits > 0) {
        ar_acts_show(value, &j->r->acts);
        ar__part_manifest_add(m, "acts", "%s", value);
        if (j->r->acts_percentile > 0.0)
            ar__part_manifest_add(m, "acts percentile", "%.9g", j->r->acts_percentile);
    }
    if (j->imatrix) ar__part_manifest_add(m, "imatrix", "%016llx", (unsigned long long)j->imatrix_hash);
    if (j->like) AR_TRY(ar__quantize_record_like(m, j->r->like));
    if (!needs_samples(j)) return AR_OK;
    ar__part_manifest_add(m, "calibration", "%016llx",
                          (unsigned long long)ar__quantize_hash_samples(&j->samples));
    return AR_OK;
}

/* ---- the sink ---- */

static ar_status sink_block(void *ctx, const ar_block *block, ar_qlinear *const *linears,
                            const ar_block_report *r) {
    job *j = ctx;
    AR_TRY(ar_snapshot_check(&j->model->files)); /* a state holds no block of anything but what it names */
    AR_TRY(ar__part_write(&j->part, block, linears, r));
    if (j->common.quiet || (r->step_count == 0 && !(r->loss_first > 0.0))) return AR_OK;
    char memory[16];
    ar_program_progress_end(&j->common);
    const ar_window_span *at = &r->window;
    fprintf(stderr, "block %d", (int)r->block);
    if (at->count > 1) fprintf(stderr, ", of %d to %d", (int)at->first, (int)(at->first + at->count - 1));
    if (at->ahead > 0) fprintf(stderr, ", seen behind %d", (int)(at->first + at->count + at->ahead - 1));
    fprintf(stderr, ": loss %.6g -> %.6g", r->loss_first, r->loss_best);
    if (r->heldout_first > 0.0) fprintf(stderr, ", held out %.6g -> %.6g", r->heldout_first, r->heldout_best);
    if (r->heldout_nearest != r->heldout_first) fprintf(stderr, ", nearest %.6g", r->heldout_nearest);
    if (r->step_count > 0) fprintf(stderr, " (step %d)", (int)r->best_step);
    fprintf(stderr, ", %.1f s, device memory %s\n", r->seconds,
            ar_program_bytes(memory, sizeof memory, r->device_bytes));
    return AR_OK;
}

static bool sink_finished(void *ctx, int32_t block) { return ar__part_finished(&((job *)ctx)->part, block); }

static ar_status sink_load(void *ctx, const ar_block *block, ar_qlinear **list) {
    return ar__part_load(&((job *)ctx)->part, block, list);
}

static ar_status sink_visited(void *ctx, int32_t window, const ar_block *block, ar_qlinear *const *list) {
    return ar__part_visited(&((job *)ctx)->part, window, block, list);
}

static ar_status sink_revisit(void *ctx, bool *found, int32_t window, const ar_block *block,
                              ar_qlinear **list) {
    return ar__part_revisit(&((job *)ctx)->part, found, window, block, list);
}

/* ---- output ---- */

static ar_status source_linear(void *ctx, ar_qlinear **q, int32_t block, int32_t i) {
    job *j = ctx;
    if (ar_program_interrupted()) return ar__fail(AR_ERR_INTERRUPTED, "interrupted while writing");
    const ar_part *part = j->finish.is_on ? &j->finish.scales : &j->part;
    return ar__part_linear(part, &j->model->model.blocks[block], q, i);
}

static ar_status list_files(const job *j, cJSON *files) {
    for (int32_t i = 0; i < j->r->plan.format_count; i++) {
        const char *name = j->r->plan.formats[i];
        char *path = NULL, size[16];
        AR_TRY(ar__output_path(&path, &j->r->plan, j->out, i));
        uint64_t bytes = ar__output_bytes(path);
        ar_status status = AR_OK;
        if (files) {
            cJSON *row = ar_json_push(files, cJSON_CreateObject());
            ar_json_add_string(row, "format", name);
            status = ar__quantize_add_text(row, "path", path);
            ar_json_add_number(row, "bytes", (double)bytes);
        } else {
            printf("%s: %s, %s, read back and compared\n", name, path,
                   ar_program_bytes(size, sizeof size, bytes));
        }
        free(path);
        AR_TRY(status);
    }
    return AR_OK;
}

static ar_status write_report(const job *j) {
    if (!j->r->report) return AR_OK;
    return ar__quantize_report(&(ar_run_record){.request = j->r,
                                                .out = j->out,
                                                .model = j->model,
                                                .device = j->device,
                                                .options = &j->options,
                                                .samples = &j->samples,
                                                .part = &j->part,
                                                .finish = &j->finish,
                                                .allotment = j->allotment.schemes ? &j->allotment : NULL,
                                                .start = j->start});
}

static ar_status print_json(const job *j, const char *method, const ar_memory_stats *memory) {
    cJSON *o = cJSON_CreateObject();
    ar_status status = AR_OK;
    ar_json_add_string(o, "method", method);
    if (j->passport.acts[0]) ar_json_add_string(o, "acts", j->passport.acts);
    if (j->scales > 0) ar_json_add_number(o, "scales", (double)j->scales);
    ar__quantize_list_options(ar_json_add_object(o, "options"), &j->options);
    AR_GO(list_files(j, ar_json_add_list(o, "files")));
    AR_GO(ar__quantize_list_blocks(ar_json_add_list(o, "blocks"), &j->part, j->model->model.block_count));
    ar__quantize_finish_json(&j->finish, &j->options, o);
    ar_json_add_number(o, "seconds", ar__now_s() - j->start);
    ar_json_add_number(o, "device_high_water", (double)memory->high_water);
    ar_json_add_number(o, "device_budget", (double)memory->budget);
    ar_json_add_number(o, "host_high_water", (double)j->clock.host_bytes);
    AR_GO(ar_program_json(o, true));
done:
    cJSON_Delete(o);
    return status;
}

static ar_status measure(void *ctx, ar_passport *p, const char *path) {
    job *j = ctx;
    ar_program_progress_end(&j->common);
    return ar__passport_measure(p, path, j->model, j->device, j->r->eval, &j->program);
}

/* What the files say of themselves, but for figures. */
static void make_passport(job *j) {
    ar_passport *p = &j->passport;
    const char *name = NULL;
    char value[160];
    p->is_measured = j->r->eval != NULL;
    p->options[0] = '\0';
    snprintf(p->version, sizeof p->version, "%s", ar_version());
    snprintf(p->method, sizeof p->method, "%s", j->options.method->name);
    for (int32_t at = 0; ar_method_options_record(&name, value, sizeof value, &j->options, &at);) {
        size_t used = strlen(p->options);
        snprintf(p->options + used, sizeof p->options - used, "%s%s %s", used ? ", " : "", name, value);
    }
    p->acts[0] = '\0';
    if (j->r->acts.bits > 0) ar_acts_show(p->acts, &j->r->acts);
    ar__quantize_tell_hashes(p->calibration, sizeof p->calibration, &j->samples,
                             j->imatrix ? &j->imatrix_hash : NULL);
}

/* The end of some work, or IO where what it was made from changed meanwhile. */
static ar_status end_of(const job *j, ar_status status) {
    return ar_snapshot_end(ar_snapshot_end(status, &j->model->files), &j->texts);
}

static ar_status correct(void *ctx, const char *folder) {
    job *j = ctx;
    ar_write_source src = {.model = j->model, .plan = &j->r->plan, .linear = source_linear, .ctx = j};
    return ar__quantize_lorc(j->r, folder, &src, &j->observer, &j->common);
}

static ar_write_source source_of(job *j) {
    make_passport(j);
    return (ar_write_source){.passport = &j->passport,
                             .measure = j->r->eval ? measure : NULL,
                             .correct = j->r->lorc_inside ? correct : NULL,
                             .acts = j->acts.scheme.bits > 0 ? &j->acts : NULL,
                             .model = j->model,
                             .plan = &j->r->plan,
                             .linear = source_linear,
                             .scheme = choose,
                             .ctx = j,
                             .options = &j->options,
                             .texts = &j->texts};
}

/* Nothing of the state is worth to be continued. */
static void drop_state(job *j, ar_status failed) {
    char reason[1024];
    snprintf(reason, sizeof reason, "%s", ar_error());
    ar_status status = ar__part_remove(&j->part);
    ar_program_afterword("%s", "");
    if (status != AR_OK) fprintf(stderr, "note: %s\n", ar_error());
    ar__fail(failed, "%s", reason);
}

static ar_status write_outputs(job *j) {
    ar_write_source src = source_of(j);
    const char *method = j->options.method->name;
    ar_status status = AR_OK;
    ar_memory_stats memory;
    char high[16], *staging = NULL;
    AR_GO(ar__quantize_take_grids(&j->acts, &src));
    if (j->options.method->scales) AR_GO(ar__quantize_fold(&j->scales, j->model, &src, j->device));
    status = end_of(j, ar__recheck_rows(&src));
    if (status == AR_ERR_CHECK) drop_state(j, status);
    AR_GO(status);
    AR_GO(ar_path_join(&staging, j->part.dir, "out"));
    status = ar__output_write(j->out, staging, &src, &j->observer);
    ar_program_progress_end(&j->common);
    AR_GO(status);
    AR_GO(ar__quantize_lorc(j->r, NULL, &src, &j->observer, &j->common));
    AR_GO(write_report(j));
    ar_program_results_beside(j->out);
    ar_program_results_beside(j->r->report);
    ar_device_memory(j->device, &memory);
    if (j->r->device_bytes) *j->r->device_bytes = memory.high_water;
    if (j->r->is_quiet) goto done;
    if (j->common.json) AR_GO(print_json(j, method, &memory));
    if (j->common.json) goto done;
    AR_GO(list_files(j, NULL));
    printf("%s in %.1f s, device memory at most %s\n", method, ar__now_s() - j->start,
           ar_program_bytes(high, sizeof high, memory.high_water));
done:
    free(staging);
    return status;
}

/* ---- the job ---- */

/* The places of the run, all of them checked before any work. */
static ar_status check_places(const job *j, const char *part_dir) {
    const ar_quantize_request *r = j->r;
    ar_input inputs[5 + AR_OPTION_REPEATS] = {{j->model->path, "the model"}};
    int32_t count = 1;
    for (int32_t i = 0; i < r->calib.count; i++)
        inputs[count++] = (ar_input){r->calib.text[i], "the calibration text"};
    AR_TRY(ar__output_check(&r->plan, j->out, j->model->path));
    if (r->imatrix) inputs[count++] = (ar_input){r->imatrix, "the importance matrix"};
    if (r->eval) inputs[count++] = (ar_input){r->eval, "the text to measure on"};
    if (r->like) inputs[count++] = (ar_input){r->like, "the file to be like"};
    if (r->type_file) inputs[count++] = (ar_input){r->type_file, "the types of tensors"};
    AR_TRY(ar__output_check_inputs(&r->plan, j->out, inputs, count));
    AR_TRY(ar__path_check_inputs(part_dir, true, inputs, count));
    if (r->report) AR_TRY(ar__output_check_beside("--report", r->report, &r->plan, j->out, part_dir));
    if (r->report) AR_TRY(ar__path_check_inputs(r->report, false, inputs, count));
    if (r->lorc) AR_TRY(ar__output_check_beside("--lorc", r->lorc, &r->plan, j->out, part_dir));
    if (r->lorc) AR_TRY(ar__path_check_inputs(r->lorc, false, inputs, count));
    return ar__workplace_check(part_dir);
}

static void wished_samples(ar_samples *s, const job *j) {
    s->count = (int32_t)ar_method_options_get(&j->options, "samples");
    s->T = (int32_t)ar_method_options_get(&j->options, "seqlen");
    if (s->count == 0) s->count = RANGE_SAMPLES;
    if (s->T == 0) s->T = RANGE_SEQLEN;
    if (s->T > j->model->model.max_tokens) s->T = j->model->model.max_tokens;
}

static ar_status make_samples(job *j) {
    if (!needs_samples(j)) return AR_OK;
    ar_samples wished = {0};
    wished_samples(&wished, j);
    int32_t count = wished.count, T = wished.T;
    const ar_option_list *files = &j->r->calib;
    if (!j->common.quiet) ar__quantize_tell_calibration(files, count, T);
    for (int32_t i = 0; i < files->count; i++) AR_TRY(ar_snapshot_add(&j->texts, files->text[i]));
    ar_status status = ar_calib_make(&j->samples, j->model, j->device, files->text, files->count, count, T,
                                     (uint64_t)j->common.seed, &j->observer);
    ar_program_progress_end(&j->common);
    if (status == AR_ERR_USAGE) return ar_program_blame(status, "--seqlen");
    if (status == AR_ERR_UNSUPPORTED || status == AR_ERR_DEVICE_MEMORY)
        return ar_program_blame(status, files->count ? "--calib" : "--calib FILE");
    AR_TRY(status);
    return ar__quantize_settle(&j->options, &j->samples, &j->observer);
}

/* What the device reports as its memory may vary from run to run, and the budget decides how a step is cut.
 * So a resumed run keeps the budget of the first, unless the user gives one. */
static ar_status keep_budget(job *j, const char *part_dir) {
    char *recorded = NULL;
    if (!j->r->resume || j->common.vram > 0) return AR_OK;
    AR_TRY(ar__part_recorded(&recorded, part_dir, "vram"));
    j->common.vram = strtoull(recorded, NULL, 10);
    free(recorded);
    return AR_OK;
}

static ar_quant_desc desc_of(job *j, const char *part_dir) {
    return (ar_quant_desc){.scheme = j->r->plan.scheme,
                           .choose = choose_to_run,
                           .choose_ctx = j,
                           .moments = j->imatrix ? moments : NULL,
                           .moments_ctx = j,
                           .start = j->like ? ar__quantize_like_codes : NULL,
                           .start_ctx = j->like,
                           .spill_dir = part_dir,
                           .options = &j->options,
                           .acts = j->r->acts,
                           .acts_share = j->r->acts_percentile / 100.0};
}

static ar_status run_method(job *j, const char *part_dir) {
    ar_sink sink = {sink_block, sink_finished, sink_load, j, sink_visited, sink_revisit};
    ar_quant_desc desc = desc_of(j, part_dir);
    AR_TRY(j->options.method->run(&j->model->model, j->device, needs_samples(j) ? &j->samples : NULL, &desc,
                                  &sink, &j->observer));
    if (!ar__quantize_finishes(&j->options)) return AR_OK;
    return ar__quantize_finish(&j->finish, j->r, &j->options, &j->part, j->model, j->device, &j->samples,
                               &j->observer);
}

/* Blocks are finished in order, damaged ones aside, which are found when the state is opened. */
static bool state_finished(void *ctx, int32_t block) { return block < ar__part_count(ctx); }

/* Says what is going to be done, which a quiet run does not. Samples that are still to be drawn count as what
 * was asked for. */
static ar_status say_plan(job *j, char *part_dir) {
    ar_method_options settled = j->options;
    ar_samples samples = j->samples;
    ar_write_source src = source_of(j);
    ar_quant_desc desc = desc_of(j, part_dir);
    src.options = desc.options = &settled;
    if (needs_samples(j) && !samples.ids) {
        wished_samples(&samples, j);
        AR_TRY(ar__quantize_settle(&settled, &samples, NULL));
    }
    ar_job work = {.src = &src,
                   .device = j->device,
                   .desc = &desc,
                   .samples = needs_samples(j) ? &samples : NULL,
                   .finished = j->r->resume ? state_finished : NULL,
                   .ctx = part_dir};
    if (j->program.progress) j->program.progress(j->program.ctx, &(ar_progress_event){.stage = "measure"});
    ar_status status = ar__job_cost_make(&j->cost, &work, &j->program);
    ar_program_progress_end(&j->common);
    AR_TRY(status);
    j->cost.before = ar__now_s() - j->start;
    if (j->r->dry_run && j->common.json) return ar__quantize_print_plan_json(j->r, &work, &j->cost);
    return ar__quantize_print_plan(j->r->dry_run ? stdout : stderr, j->r, &work, &j->cost);
}

/* The widths of linears, where a budget or rules decide them. */
static ar_status allot(job *j) {
    char text[200];
    make_passport(j);
    AR_TRY(ar__quantize_allot(&j->allotment, &j->own, j->model, j->device, &j->samples, &j->passport,
                              &j->program));
    if (!j->allotment.schemes || j->common.quiet) return AR_OK;
    ar__allotment_text(text, sizeof text, &j->allotment);
    fprintf(stderr, "widths: %s", text);
    if (j->r->allot.bpw > 0.0 || j->r->allot.bytes)
        fprintf(stderr, "; %s %.4g if rounded alone",
                j->r->allot.by_gradient ? "first-order loss" : "KL divergence", j->allotment.kl);
    fputc('\n', stderr);
    return AR_OK;
}

/* Samples that are drawn from the model take long: what that costs is said before. */
static ar_status begin(job *j, char *part_dir) {
    bool says = j->r->dry_run || !j->common.quiet;
    if (j->r->calib.count > 0) AR_TRY(make_samples(j));
    AR_TRY(allot(j));
    if (says) {
        ar_status status = say_plan(j, part_dir);
        if (status == AR_ERR_DEVICE_MEMORY && needs_samples(j) && j->r->calib.count == 0)
            return ar_program_blame(status, "--calib FILE");
        AR_TRY(status);
    }
    if (j->r->dry_run) return AR_OK;
    ar__job_clock_start(&j->clock, &j->observer, &j->program, says ? &j->cost : NULL);
    return j->r->calib.count > 0 ? AR_OK : make_samples(j);
}

static ar_status run_job(job *j) {
    ar_status status = AR_OK;
    char *part_dir = NULL;
    ar_part_manifest manifest = {0};
    const ar_quantize_request *r = j->r;
    AR_GO(ar_program_float_model(&j->model, r->model, &j->common));
    AR_GO(ar_model_acts(j->model, "16", false)); /* it is what the result is compared with */
    j->acts.scheme = r->acts;
    if (needs_ranges(j)) AR_GO(ar_acts_make_grids(&j->acts, j->model->model.block_count));
    AR_GO(ar__path_resolve(&j->out, r->out));
    AR_GO(ar__output_beside(&part_dir, j->out, ".part"));
    AR_GO(ar__output_accepts(&r->plan, j->model));
    AR_GO(ar_program_remarks(&r->plan, j->model, r->strict, &j->common));
    status = ar_output_plan_extras(&r->plan, j->options.method->name, j->options.method->extras);
    AR_GO(status == AR_ERR_USAGE ? ar_program_blame(status, "--format, --method") : status);
    AR_GO(ar__quantize_kept_float(r, j->model));
    AR_GO(ar__quantize_lorc_fits(r, j->model));
    AR_GO(check_places(j, part_dir));
    AR_GO(open_imatrix(j));
    if (r->starts_like) AR_GO(ar__quantize_open_like(&j->like, r->like, &j->model->model));
    if (r->eval) AR_GO(ar__passport_text(&j->passport, r->eval, j->model));
    if (!r->dry_run) AR_GO(ar__workplace_open(&j->place, part_dir));
    AR_GO(keep_budget(j, part_dir));
    AR_GO(ar_program_device(&j->device, &j->common, true));
    ar_program_observer(&j->program, &j->common);
    ar__job_clock_start(&j->clock, &j->observer, &j->program, NULL);
    AR_GO(begin(j, part_dir));
    if (r->dry_run) goto done;
    AR_GO(make_manifest(j, &manifest));
    AR_GO(ar__part_open(&j->part, part_dir, &manifest, r->resume, &j->observer));
    ar_program_afterword("finished blocks are kept in %s; continue with --resume", part_dir);
    status = end_of(j, run_method(j, part_dir));
    ar_program_progress_end(&j->common);
    bool is_hopeless = status == AR_ERR_FORMAT && !r->resume; /* this model can never be finished */
    if (status == AR_OK) status = write_outputs(j);
    if (is_hopeless || (status == AR_ERR_FORMAT && !needs_samples(j))) drop_state(j, status);
    AR_GO(status);
    AR_GO(ar__part_remove(&j->part));
    ar_program_afterword("%s", "");
done:
    free(part_dir);
    return status;
}

ar_status ar_quantize_run(const ar_quantize_request *request) {
    job j = {.own = *request, .common = *request->common, .options = request->options, .start = ar__now_s()};
    j.r = &j.own;
    if (request->is_quiet) j.common.quiet = true, j.common.progress = "none";
    ar_status status = run_job(&j);
    ar__allotment_deinit(&j.allotment);
    ar_imatrix_close(j.imatrix);
    ar_model_close(j.like);
    ar__part_close(&j.part);
    ar__part_close(&j.finish.scales);
    ar__workplace_close(&j.place);
    ar_samples_deinit(&j.samples);
    ar_snapshot_deinit(&j.texts);
    ar__job_cost_deinit(&j.cost);
    ar_acts_deinit(&j.acts);
    ar_device_close(j.device);
    ar_model_close(j.model);
    free(j.out);
    return status;
}
