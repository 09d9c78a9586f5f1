/* anyround quantize --finish scales: what the method delivered, its scales tuned once more. Finished blocks
 * stay as they are in the state; what comes of them stands beside them. */
#include "quantize_job.h"
#include <stdlib.h>
#include <string.h>

bool ar__quantize_finishes(const ar_method_options *o) { return ar_method_options_get(o, "finish") > 0.0; }

static bool is_finished(const ar_part *scales, int32_t blocks) {
    bool all = true;
    for (int32_t b = 0; b < blocks && all; b++) all = ar__part_finished(scales, b);
    return all;
}

/* The state keeps a report with the first block. */
static ar_block_report as_block(const ar_finish_report *r, int32_t block) {
    return (ar_block_report){.block = block,
                             .loss_first = r->kl_first,
                             .loss_best = r->kl_best,
                             .seconds = r->seconds,
                             .best_step = r->best_step,
                             .device_bytes = r->device_bytes};
}

static ar_status recall(ar_finish_run *run) {
    ar_block_report r;
    float *history = NULL;
    AR_TRY(ar__part_report(&run->scales, &r, &history, 0));
    free(history);
    run->report = (ar_finish_report){.kl_first = r.loss_first,
                                     .kl_best = r.loss_best,
                                     .seconds = r.seconds,
                                     .best_step = r.best_step,
                                     .device_bytes = r.device_bytes};
    return AR_OK;
}

static ar_status finish(ar_finish_run *run, const ar_part *part, const ar_open_model *m, ar_device *device,
                        const ar_samples *samples, uint64_t seed, const ar_observer *observer) {
    ar_status status = AR_OK;
    const ar_model *model = &m->model;
    ar_finish_desc desc = {.seed = seed, .spill_dir = part->dir};
    ar_qlinear **linears = NULL;
    AR_TRY(ar__part_scales(&run->scales, part));
    run->is_on = true;
    if (is_finished(&run->scales, model->block_count)) return recall(run);
    linears = ar__alloc((size_t)model->block_count * AR_MAX_LINEARS, sizeof *linears);
    if (!linears) return AR_ERR_MEMORY;
    for (int32_t b = 0; b < model->block_count; b++)
        AR_GO(ar__part_load(part, &model->blocks[b], linears + b * AR_MAX_LINEARS));
    AR_GO(ar_finish_scales(&run->report, linears, model, device, samples, &desc, observer));
    AR_GO(ar_snapshot_check(&m->files));
    for (int32_t b = 0; b < model->block_count; b++) {
        ar_block_report r = as_block(&run->report, b);
        AR_GO(ar__part_write(&run->scales, &model->blocks[b], linears + b * AR_MAX_LINEARS, &r));
    }
done:
    for (int32_t i = 0; i < model->block_count * AR_MAX_LINEARS; i++) ar_qlinear_free(linears[i]);
    free(linears);
    return status;
}

ar_status ar__quantize_finish(ar_finish_run *run, const ar_part *part, const ar_open_model *m,
                              ar_device *device, const ar_samples *samples, const ar_common *common,
                              const ar_observer *observer) {
    AR_TRY(finish(run, part, m, device, samples, (uint64_t)common->seed, observer));
    ar_program_progress_end(common);
    if (common->quiet) return AR_OK;
    const ar_finish_report *r = &run->report;
    fprintf(stderr, "scales: KL divergence held out %.6g -> %.6g (step %d), %.1f s\n", r->kl_first,
            r->kl_best, (int)r->best_step, r->seconds);
    return AR_OK;
}

void ar__quantize_finish_json(const ar_finish_run *run, cJSON *o) {
    if (!run->is_on) return;
    cJSON *f = ar_json_add_object(o, "finish");
    ar_json_add_number(f, "kl_first", run->report.kl_first);
    ar_json_add_number(f, "kl_best", run->report.kl_best);
    ar_json_add_number(f, "step", run->report.best_step);
    ar_json_add_number(f, "seconds", run->report.seconds);
}
