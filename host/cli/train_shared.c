/* anyround train: what texts and images share. */
#include "cmd_train.h"
#include "output.h"
#include "quantize_job.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- options as a desc ---- */

static ar_status find(int *found, const char *option, const char *name, const char *const *names,
                      const char *expected) {
    for (*found = 0; names[*found]; ++*found)
        if (strcmp(names[*found], name) == 0) return AR_OK;
    return ar__fail(AR_ERR_USAGE, "%s: found '%s', expected %s", option, name, expected);
}

ar_status ar__train_desc_make(ar_train_desc *d, const train_options *o) {
    static const char *const optimizers[] = {"adamw", "sgd", NULL}, *const schedules[] = {"cosine", "linear",
                                                                                          "constant", NULL};
    int optimizer = 0, schedule = 0;
    AR_TRY(find(&optimizer, "--optimizer", o->optimizer, optimizers, "adamw or sgd"));
    AR_TRY(find(&schedule, "--schedule", o->schedule, schedules, "cosine, linear or constant"));
    *d = (ar_train_desc){.optimizer = (ar_train_optimizer)optimizer,
                         .rate = {.schedule = (ar_schedule)schedule,
                                  .lr = o->lr > 0   ? o->lr
                                        : optimizer ? 0.05
                                                    : 1e-3,
                                  .end = o->lr_end,
                                  .warmup = (int32_t)o->warmup,
                                  .beta1 = o->beta1,
                                  .beta2 = o->beta2},
                         .eps = 1e-8f,
                         .momentum = (float)o->momentum,
                         .decay = (float)o->decay,
                         .clip = (float)o->clip,
                         .steps = (int32_t)o->steps,
                         .batch = (int32_t)o->batch,
                         .accumulate = (int32_t)o->accumulate,
                         .recompute = o->recompute};
    if (d->batch % d->accumulate)
        return ar__fail(AR_ERR_USAGE, "--accumulate: found %d, expected a divisor of --batch %d",
                        (int)d->accumulate, (int)d->batch);
    return AR_OK;
}

ar_status ar__train_widths(int32_t *out, int32_t *count, const char *option, const char *text) {
    *count = 0;
    while (*text) {
        const char *end;
        double x = ar__decimal(text, &end);
        if (end == text || !(x >= 1 && x <= 65536) || x > (double)(int32_t)x || (*end && *end != ',') ||
            *count == AR_IMAGE_LAYERS)
            return ar__fail(AR_ERR_USAGE, "%s: found '%s', expected up to %d whole numbers with commas",
                            option, text, AR_IMAGE_LAYERS);
        out[(*count)++] = (int32_t)x;
        text = *end ? end + 1 : end;
    }
    return AR_OK;
}

ar_status ar__train_pools(int32_t H, int32_t W, int32_t count) {
    if (H >> count > 0 && W >> count > 0) return AR_OK;
    return ar__fail(AR_ERR_USAGE, "--channels: %d pools halve %d x %d, expected something to be left",
                    (int)count, (int)H, (int)W);
}

/* ---- what the result depends on ---- */

void ar__train_record(train_record *r, const char *name, const char *format, ...) {
    va_list args;
    va_start(args, format);
    r->used += (size_t)snprintf(r->text + r->used, sizeof r->text - r->used, "%s: ", name);
    if (r->used < sizeof r->text)
        r->used += (size_t)vsnprintf(r->text + r->used, sizeof r->text - r->used, format, args);
    if (r->used < sizeof r->text)
        r->used += (size_t)snprintf(r->text + r->used, sizeof r->text - r->used, "\n");
    if (r->used >= sizeof r->text) r->used = sizeof r->text - 1;
    va_end(args);
}

void ar__train_record_steps(train_record *r, const train_options *o, const ar_train_desc *d,
                            const ar_common *common, const ar_device *device) {
    const ar_device_facts *f = ar_device_get_facts(device);
    const ar_plan *plan = ar_device_get_plan(device);
    ar__train_record(r, "version", "%s", ar_version());
    ar__train_record(r, "device", "%s %s %s", f->api, f->name, f->driver);
    char kernels[256];
    ar_plan_show_variants(kernels, sizeof kernels, plan);
    ar__train_record(r, "plan", "%u %u %u, %s", plan->vw, plan->gemm_tm, plan->gemm_tn, kernels);
    ar__train_record(r, "optimizer", "%s, momentum %.9g, betas %.9g %.9g", o->optimizer, o->momentum,
                     o->beta1, o->beta2);
    ar__train_record(r, "schedule", "%s, lr %.9g to %.9g, warm-up %d", o->schedule, d->rate.lr, d->rate.end,
                     (int)d->rate.warmup);
    ar__train_record(r, "steps", "%d", (int)d->steps);
    ar__train_record(r, "batch", "%d in %d passes%s", (int)d->batch, (int)d->accumulate,
                     d->recompute ? ", recomputed" : "");
    ar__train_record(r, "decay", "%.9g", o->decay);
    ar__train_record(r, "clip", "%.9g", o->clip);
    ar__train_record(r, "seed", "%lld", (long long)common->seed);
    ar__train_record(r, "evaluated", "%lld %s", (long long)o->evaluate_every, o->keep);
}

/* ---- places, results ---- */

ar_status ar__train_workplace(ar_workplace *place, char **work, const char *out, bool resume) {
    AR_TRY(ar__output_beside(work, out, ".part"));
    AR_TRY(ar__workplace_check(*work));
    AR_TRY(ar__workplace_open(place, *work));
    return resume ? AR_OK : ar__workplace_clear(*work);
}

ar_status ar__train_check_beside(const train_options *o, const char *out, const ar_input *inputs,
                                 int32_t count) {
    const struct { const char *option, *path; } files[] = {{"--curve", o->curve}, {"--report", o->report}};
    const ar_output_plan folder = {.formats = {"hf"}, .format_count = 1};
    char *work = NULL;
    ar_status status;
    AR_GO(ar__output_beside(&work, out, ".part"));
    for (int i = 0; i < 2; i++) {
        if (!files[i].path) continue;
        AR_GO(ar__output_check_beside(files[i].option, files[i].path, &folder, out, work));
        AR_GO(ar__path_check_inputs(files[i].path, false, inputs, count));
    }
    AR_GO(ar__output_check_two("--curve", o->curve, "--report", o->report));
done:
    free(work);
    return status;
}

static cJSON *number(double x) { return isfinite(x) ? cJSON_CreateNumber(x) : cJSON_CreateNull(); }

/* What was reached, on stdout. */
static ar_status print(const ar_train_result *r, const train_options *o, const ar_common *common) {
    if (!common->json) {
        char time[24];
        if (common->quiet) return AR_OK;
        printf("%s: step %d of %lld kept, loss %.4f -> %.4f", o->out, (int)r->step, (long long)o->steps,
               r->first, r->last);
        if (isfinite(r->held))
            printf(", held out %.4f (best %.4f), accuracy %.4f", r->held, r->best, r->accuracy);
        if (r->tested) printf(", %lld test images %.4f", (long long)r->tested, r->test_accuracy);
        if (r->has_gap)
            printf(", by running statistics %.4f, by those of batches %.4f", r->running_loss, r->batch_loss);
        printf(", %s\n", ar_program_time(time, sizeof time, r->seconds));
        return AR_OK;
    }
    cJSON *root = cJSON_CreateObject();
    ar_status status = ar__quantize_add_text(root, "out", o->out);
    ar_json_add_number(root, "steps", (double)o->steps);
    ar_json_add_number(root, "step", r->step);
    ar_json_add_number(root, "resumed", r->resumed);
    ar_json_put(root, "loss_first", number(r->first));
    ar_json_put(root, "loss_last", number(r->last));
    ar_json_put(root, "held_loss", number(r->held));
    ar_json_put(root, "held_best", number(r->best));
    ar_json_put(root, "held_accuracy", number(r->accuracy));
    ar_json_put(root, "test_accuracy", number(r->tested ? r->test_accuracy : NAN));
    if (r->has_gap) {
        ar_json_put(root, "held_loss_running", number(r->running_loss));
        ar_json_put(root, "held_loss_batches", number(r->batch_loss));
    }
    ar_json_put(root, "seconds", number(r->seconds));
    if (status == AR_OK) status = ar_program_json(root, false);
    cJSON_Delete(root);
    return status;
}

/* ---- statistics ---- */

ar_status ar__train_gap(ar_train_result *r, const ar_net *net, const ar_data *data, ar_device *device,
                        int32_t batch) {
    ar_train_score running, batches;
    if (data->held_count < batch) return AR_OK;
    AR_TRY(ar_net_score_gap(&running, &batches, net, data, device, batch));
    r->running_loss = running.loss;
    r->batch_loss = batches.loss;
    r->has_gap = true;
    return AR_OK;
}

/* ---- the run ---- */

/* What is said last of a run that ended before its end, if it is true: not where resuming was refused. */
static void check_afterword(const char *work, ar_status status) {
    char *path = NULL;
    if (status == AR_ERR_USAGE || ar_path_join(&path, work, "checkpoint.safetensors") != AR_OK ||
        !ar_path_exists(path))
        ar_program_afterword("%s", "");
    free(path);
}

ar_status ar__train_go(const train_run *t, const train_options *o, const ar_train_desc *desc,
                       const ar_common *common) {
    ar_observer observer;
    ar_train_result result;
    ar_train_job run = {.stage = t->stage,
                        .work = t->work,
                        .curve = o->curve,
                        .report = o->report,
                        .title = ar__path_name(o->out),
                        .run = t->record,
                        .resume = o->resume,
                        .checkpoint_every = (int32_t)o->checkpoint_every,
                        .evaluate_every = t->data->held_count > 0 ? (int32_t)o->evaluate_every : 0,
                        .keep_best = strcmp(o->keep, "best") == 0,
                        .unit_count = t->units};
    ar_program_observer(&observer, common);
    ar_program_afterword("the last checkpoint stands in %s: --resume goes on from it", t->work);
    ar_status status = ar__train_run(&result, t->trainer, t->data, desc, &run, t->values, &observer);
    if (status == AR_OK) status = t->finish(t->ctx, &result, &observer);
    ar_program_progress_end(common);
    if (status != AR_OK) check_afterword(t->work, status);
    AR_TRY(status);
    ar_program_afterword("%s", "");
    return print(&result, o, common);
}
