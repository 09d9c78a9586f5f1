/* A training run: steps, looking at held-out examples, checkpoints, the curve; see train.h. */
#include "train.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECENT 20 /* losses whose mean tells that they diverge */

typedef struct run {
    ar_train_result *r;
    ar_trainer *t;
    const ar_data *data;
    const ar_train_desc *desc;
    const ar_train_job *job;
    ar_train_values *values;
    const ar_observer *observer;
    char *checkpoint, *best_path, *curve_path;
    FILE *curve;
    double recent[RECENT], started;
    ar_train_mark mark;
} run;

static void warn(const run *u, const char *line) {
    if (u->observer && u->observer->warn) u->observer->warn(u->observer->ctx, line);
}

/* ---- the curve ---- */

/* Lines of an earlier run up to its checkpoint stay; what it did behind that comes again. */
static ar_status open_curve(run *u) {
    char *text = NULL;
    size_t bytes = 0;
    if (!u->job->curve && !u->job->report) return AR_OK;
    if (u->mark.step > 0 && ar_path_exists(u->curve_path))
        AR_TRY(ar_file_read_text(&text, &bytes, u->curve_path, (size_t)1 << 30));
    u->curve = fopen(u->curve_path, "w");
    for (char *line = text; u->curve && line && *line;) {
        char *end = strchr(line, '\n');
        int step = 0;
        if (!end || sscanf(line, "{\"step\":%d,", &step) != 1 || step > u->mark.step) break;
        fwrite(line, 1, (size_t)(end + 1 - line), u->curve);
        line = end + 1;
    }
    free(text);
    return u->curve ? AR_OK : ar__fail(AR_ERR_IO, "%s: cannot write", u->curve_path);
}

static ar_status add_step(run *u, double loss, double norm, double rate) {
    if (u->curve && (fprintf(u->curve, "{\"step\":%d,\"loss\":%.9g,\"norm\":%.9g,\"lr\":%.9g}\n",
                             (int)ar_trainer_at(u->t), loss, norm, rate) < 0 ||
                     fflush(u->curve) != 0))
        return ar__fail(AR_ERR_IO, "%s: cannot write", u->curve_path);
    return AR_OK;
}

static ar_status add_score(run *u, const ar_train_score *s) {
    if (u->curve && (fprintf(u->curve, "{\"step\":%d,\"held_loss\":%.9g,\"held_accuracy\":%.9g}\n",
                             (int)ar_trainer_at(u->t), s->loss, s->accuracy) < 0 ||
                     fflush(u->curve) != 0))
        return ar__fail(AR_ERR_IO, "%s: cannot write", u->curve_path);
    return AR_OK;
}

/* ---- losses ---- */

/* Above half as much again as where it began, for a while: no schedule that works does that. */
static ar_status check_loss(run *u, double loss, double norm) {
    int32_t at = ar_trainer_at(u->t);
    double mean = 0;
    u->recent[at % RECENT] = loss;
    for (int i = 0; i < RECENT; i++) mean += u->recent[i] / RECENT;
    bool is_finite = isfinite(loss) && isfinite(norm);
    if (is_finite && (at - u->r->resumed < RECENT || mean < 1.5 * u->mark.first + 0.5)) return AR_OK;
    return ar__fail(AR_ERR_ARG,
                    "the loss diverges: found %.4g at step %d (%.4g at the first; norm of gradients %.4g), "
                    "expected it to fall: try a third of the rate, a longer warm-up, or clipping at 1",
                    loss, (int)at, u->mark.first, norm);
}

static ar_status look(run *u) {
    ar_train_score s;
    if (u->data->held_count < 1) return AR_OK;
    AR_TRY(ar_trainer_evaluate(u->t, &s));
    AR_TRY(add_score(u, &s));
    u->r->held = s.loss;
    u->r->accuracy = s.accuracy;
    if (!(s.loss < u->mark.best)) return AR_OK;
    u->mark.best = s.loss;
    ar_train_mark mark = u->mark;
    mark.step = ar_trainer_at(u->t);
    return u->job->keep_best ? ar__checkpoint_write(u->best_path, u->t, u->job->run, &mark) : AR_OK;
}

/* ---- progress ---- */

static void tell(const run *u, double loss) {
    int32_t at = ar_trainer_at(u->t), done = at - u->r->resumed;
    if (!u->observer || !u->observer->progress) return;
    double seconds = ar__now_s() - u->started;
    u->observer->progress(
        u->observer->ctx,
        &(ar_progress_event){.stage = u->job->stage,
                             .step = at,
                             .step_count = u->desc->steps,
                             .loss_first = u->mark.first,
                             .loss_best = isfinite(u->mark.best) ? u->mark.best : 0,
                             .loss_last = loss,
                             .tokens_per_s = seconds > 0 ? done * u->job->unit_count / seconds : 0,
                             .seconds = seconds,
                             .job_share = (double)at / u->desc->steps,
                             .job_seconds_left = done > 0 ? seconds / done * (u->desc->steps - at) : 0});
}

static bool is_cancelled(const run *u) {
    return u->observer && u->observer->cancelled && u->observer->cancelled(u->observer->ctx);
}

/* ---- the run ---- */

static ar_status resume(run *u) {
    bool found = false;
    if (!u->job->resume) return AR_OK;
    ar_status status = ar__checkpoint_read(&found, u->checkpoint, u->t, u->job->run, &u->mark);
    if (status == AR_ERR_CHECK) {
        char line[600];
        snprintf(line, sizeof line, "%s; training begins again", ar_error());
        warn(u, line);
        status = AR_OK;
    } else if (status == AR_OK && !found) {
        warn(u, "found no checkpoint: training begins at the first step");
    }
    u->r->resumed = found ? u->mark.step : 0;
    if (!found) u->mark = (ar_train_mark){.best = INFINITY};
    return status;
}

static bool is_due(int32_t at, int32_t every, int32_t last) {
    return every > 0 && (at % every == 0 || at == last);
}

/* Nothing that was done is lost. */
static ar_status stop(run *u) {
    if (u->mark.step > u->r->resumed)
        AR_TRY(ar__checkpoint_write(u->checkpoint, u->t, u->job->run, &u->mark));
    return ar__fail(AR_ERR_INTERRUPTED, "interrupted at step %d", (int)ar_trainer_at(u->t));
}

static ar_status one_step(run *u) {
    double loss, norm, rate = ar_trainer_rate(u->t);
    const ar_train_job *job = u->job;
    if (is_cancelled(u)) return stop(u);
    AR_TRY(ar_trainer_step(u->t, &loss, &norm));
    int32_t at = ar_trainer_at(u->t);
    if (at == 1) u->mark.first = loss;
    u->r->last = loss;
    AR_TRY(add_step(u, loss, norm, rate));
    AR_TRY(check_loss(u, loss, norm));
    if (is_due(at, job->evaluate_every, u->desc->steps)) AR_TRY(look(u));
    u->mark.step = at;
    if (is_due(at, job->checkpoint_every, u->desc->steps))
        AR_TRY(ar__checkpoint_write(u->checkpoint, u->t, job->run, &u->mark));
    tell(u, loss);
    return AR_OK;
}

/* The parameters that are kept, on the host. */
static ar_status take_values(run *u) {
    ar_train_mark best;
    bool found = false;
    u->r->step = ar_trainer_at(u->t);
    if (u->job->keep_best && u->data->held_count > 0) {
        AR_TRY(ar__checkpoint_read(&found, u->best_path, u->t, u->job->run, &best));
        if (found) u->r->step = best.step;
    }
    return ar__train_values_read(u->values);
}

static ar_status finish_curve(run *u) {
    if (!u->curve) return AR_OK;
    bool closed = fclose(u->curve) == 0;
    u->curve = NULL;
    if (!closed) return ar__fail(AR_ERR_IO, "%s: cannot write", u->curve_path);
    if (u->job->report)
        AR_TRY(ar__train_report_write(u->job->report, u->job->title, u->curve_path, u->job->run, u->r));
    return u->job->curve ? ar_path_move(u->curve_path, u->job->curve) : AR_OK;
}

ar_status ar__train_run(ar_train_result *r, ar_trainer *t, const ar_data *data, const ar_train_desc *desc,
                        const ar_train_job *job, ar_train_values *values, const ar_observer *observer) {
    ar_status status;
    *r = (ar_train_result){.held = NAN, .best = NAN};
    run u = {.r = r,
             .t = t,
             .data = data,
             .desc = desc,
             .job = job,
             .values = values,
             .observer = observer,
             .mark = {.best = INFINITY}};
    AR_GO(ar_path_join(&u.checkpoint, job->work, "checkpoint.safetensors"));
    AR_GO(ar_path_join(&u.best_path, job->work, "best.safetensors"));
    AR_GO(ar_path_join(&u.curve_path, job->work, "curve.jsonl"));
    AR_GO(resume(&u));
    AR_GO(open_curve(&u));
    u.started = ar__now_s();
    tell(&u, 0);
    while (ar_trainer_at(t) < desc->steps) AR_GO(one_step(&u));
    r->seconds = ar__now_s() - u.started;
    r->first = u.mark.first;
    if (isfinite(u.mark.best)) r->best = u.mark.best;
    AR_GO(take_values(&u));
    AR_GO(finish_curve(&u));
done:
    if (u.curve) fclose(u.curve);
    free(u.checkpoint);
    free(u.best_path);
    free(u.curve_path);
    return status;
}
