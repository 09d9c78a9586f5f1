/* anyround quantize --finish: what the method delivered, its scales tuned once more; or the scales between
 * norms and linears, Quadapter's second phase. Finished blocks stay as they are in the state; what comes of
 * them stands beside them. */
#include "quantize_job.h"
#include <stdlib.h>
#include <string.h>

bool ar__quantize_finishes(const ar_method_options *o) { return ar_method_options_get(o, "finish") > 0.0; }

/* By the logits or by the text: the choices of a method that scales are none, kl and ce. */
static ar_finish_loss loss_of(const ar_method_options *o) {
    return o->method->scales && ar_method_options_get(o, "finish") > 1.0 ? AR_FINISH_CE : AR_FINISH_KL;
}

static const char *loss_name(const ar_method_options *o) { return loss_of(o) == AR_FINISH_CE ? "ce" : "kl"; }

ar_status ar__quantize_finish_check(const ar_quantize_request *r) {
    const ar_method_options *o = &r->options;
    char acts[AR_ACTS_TEXT];
    const char *idle = ar_method_options_given(o, "finish_iters")     ? "--finish-iters"
                       : ar_method_options_given(o, "finish_lr")      ? "--finish-lr"
                       : ar_method_options_given(o, "finish_samples") ? "--finish-samples"
                                                                      : NULL;
    if (idle && !ar__quantize_finishes(o))
        return ar__fail(AR_ERR_USAGE, "%s has no effect without --finish %s", idle,
                        o->method->scales ? "kl or ce" : "scales");
    if (!ar__quantize_finishes(o) || r->acts.bits == 0) return AR_OK;
    if (!o->method->scales)
        return ar__fail(AR_ERR_USAGE, "--finish scales sees float inputs: it is not for --acts");
    if (r->acts.range == AR_ACTS_STATIC) return AR_OK;
    ar_acts_show(acts, &r->acts);
    return ar__fail(AR_ERR_USAGE,
                    "--finish %s: found --acts %s, expected static ranges, which stay while scales move",
                    loss_name(o), acts);
}

static bool is_finished(const ar_part *scales, int32_t blocks) {
    bool all = true;
    for (int32_t b = 0; b < blocks && all; b++) all = ar__part_finished(scales, b);
    return all;
}

/* The state keeps a report with the first block. */
static ar_block_report as_block(const ar_finish_report *r, int32_t block) {
    return (ar_block_report){.block = block,
                             .loss_first = r->loss_first,
                             .loss_best = r->loss_best,
                             .seconds = r->seconds,
                             .best_step = r->best_step,
                             .device_bytes = r->device_bytes};
}

static ar_status recall(ar_finish_run *run) {
    ar_block_report r;
    float *history = NULL;
    AR_TRY(ar__part_report(&run->scales, &r, &history, 0));
    free(history);
    run->report = (ar_finish_report){.loss_first = r.loss_first,
                                     .loss_best = r.loss_best,
                                     .seconds = r.seconds,
                                     .best_step = r.best_step,
                                     .device_bytes = r.device_bytes};
    return AR_OK;
}

static ar_finish_desc describe(const ar_quantize_request *r, const ar_method_options *o, const char *dir) {
    return (ar_finish_desc){.seed = (uint64_t)r->common->seed,
                            .steps = (int32_t)ar_method_options_get(o, "finish_iters"),
                            .rate = ar_method_options_get(o, "finish_lr"),
                            .loss = loss_of(o),
                            .acts = r->acts,
                            .spill_dir = dir};
}

/* *own: what --finish-samples draws, nothing without it; *taken: what the pass is to read. */
static ar_status take_samples(ar_samples *own, const ar_samples **taken, const ar_quantize_request *r,
                              const ar_method_options *options, const ar_open_model *m, ar_device *device,
                              const ar_samples *tuned_on, const ar_observer *observer) {
    int32_t count = (int32_t)ar_method_options_get(options, "finish_samples");
    *taken = tuned_on;
    if (count == 0 || count == tuned_on->count) return AR_OK;
    ar_status status = ar_calib_make(own, m, device, r->calib.text, r->calib.count, count, tuned_on->T,
                                     (uint64_t)r->common->seed, observer);
    ar_program_progress_end(r->common);
    if (status == AR_OK) *taken = own;
    return status == AR_ERR_USAGE ? ar_program_blame(status, "--finish-samples") : status;
}

static ar_status finish(ar_finish_run *run, const ar_quantize_request *r, const ar_method_options *options,
                        const ar_part *part, const ar_open_model *m, ar_device *device,
                        const ar_samples *samples, const ar_observer *observer) {
    ar_status status = AR_OK;
    const ar_model *model = &m->model;
    const ar_finish_desc desc = describe(r, options, part->dir);
    ar_qlinear **linears = NULL;
    ar_samples own = {0};
    AR_TRY(ar__part_scales(&run->scales, part));
    run->is_on = true;
    if (is_finished(&run->scales, model->block_count)) return recall(run);
    linears = ar__alloc((size_t)model->block_count * AR_MAX_LINEARS, sizeof *linears);
    if (!linears) return AR_ERR_MEMORY;
    for (int32_t b = 0; b < model->block_count; b++)
        AR_GO(ar__part_load(part, &model->blocks[b], linears + b * AR_MAX_LINEARS));
    AR_GO(take_samples(&own, &samples, r, options, m, device, samples, observer));
    AR_GO((options->method->scales ? ar_finish_channels : ar_finish_scales)(
        &run->report, linears, model, device, samples, &desc, observer));
    AR_GO(ar_snapshot_check(&m->files));
    for (int32_t b = 0; b < model->block_count; b++) {
        ar_block_report as = as_block(&run->report, b);
        AR_GO(ar__part_write(&run->scales, &model->blocks[b], linears + b * AR_MAX_LINEARS, &as));
    }
done:
    for (int32_t i = 0; i < model->block_count * AR_MAX_LINEARS; i++) ar_qlinear_free(linears[i]);
    free(linears);
    ar_samples_deinit(&own);
    return status;
}

void ar__quantize_finish_text(char *text, size_t bytes, const ar_finish_run *run,
                              const ar_method_options *options) {
    const ar_finish_report *r = &run->report;
    const char *what = loss_of(options) == AR_FINISH_CE ? "cross-entropy" : "KL divergence";
    int used = snprintf(text, bytes, "%s held out %.6g -> %.6g (step %d)", what, r->loss_first, r->loss_best,
                        (int)r->best_step);
    if (r->parameters > 0 && used > 0 && (size_t)used < bytes)
        snprintf(text + used, bytes - (size_t)used, ", %lld values tuned", (long long)r->parameters);
}

ar_status ar__quantize_finish(ar_finish_run *run, const ar_quantize_request *r,
                              const ar_method_options *options, const ar_part *part, const ar_open_model *m,
                              ar_device *device, const ar_samples *samples, const ar_observer *observer) {
    AR_TRY(finish(run, r, options, part, m, device, samples, observer));
    ar_program_progress_end(r->common);
    if (r->common->quiet || r->is_quiet) return AR_OK;
    char gain[160];
    ar__quantize_finish_text(gain, sizeof gain, run, options);
    fprintf(stderr, "scales: %s, %.1f s\n", gain, run->report.seconds);
    return AR_OK;
}

void ar__quantize_finish_json(const ar_finish_run *run, const ar_method_options *options, cJSON *o) {
    char name[16], hash[24];
    const ar_finish_report *r = &run->report;
    if (!run->is_on) return;
    cJSON *f = ar_json_add_object(o, "finish");
    snprintf(name, sizeof name, "%s_first", loss_name(options));
    ar_json_add_number(f, name, r->loss_first);
    snprintf(name, sizeof name, "%s_best", loss_name(options));
    ar_json_add_number(f, name, r->loss_best);
    ar_json_add_number(f, "step", r->best_step);
    ar_json_add_number(f, "seconds", r->seconds);
    if (r->parameters > 0) ar_json_add_number(f, "parameters", (double)r->parameters);
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)r->weights_hash);
    if (r->weights_hash) ar_json_add_string(f, "weights_hash", hash);
}
