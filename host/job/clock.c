/* How far a job is as a whole: its cost says what each part takes beside the others, the clock how fast this
 * machine gets through them now. */
#include "cost.h"
#include "ar_error.h"
#include "memory.h"
#include <string.h>

#define PRIOR 0.1 /* share of the job for which what was measured counts beside what has passed */

/* Seconds of the cost that are done so many steps into a window of blocks. */
static double done_in_window(const ar__job_cost *c, const ar_progress_event *e) {
    ar_window_span s;
    double lead, step, all;
    if (e->window < 0 || e->window >= c->window_count) return -1.0;
    ar_window_at(&s, &c->quant.window, c->block_count, c->quant.tuned_blocks, e->window);
    ar_quant_cost_window(&lead, &step, &all, &c->quant, &s);
    bool has_steps = step > 0.0; /* else a method tells its linears as it is done with them */
    if (!has_steps) lead *= e->step_count > 0 ? (double)e->step / e->step_count : 0.0;
    return c->window_from[e->window] + lead + step * e->step;
}

/* Seconds of the cost that are done at this event; below 0 = it does not say. */
static double done_at(const ar__job_cost *c, const ar_progress_event *e) {
    double share = e->step_count > 0 ? (double)e->step / e->step_count : 0.0;
    int32_t block = e->block < 0 ? 0 : e->block > c->block_count ? c->block_count : e->block;
    if (strcmp(e->stage, "calibrate") == 0) return c->calibrate * share;
    if (strcmp(e->stage, "tune") == 0) return done_in_window(c, e);
    if (strcmp(e->stage, "block") == 0) return c->until[block];
    if (strcmp(e->stage, "scales") == 0) return c->until[c->block_count] + c->finish * share;
    if (strcmp(e->stage, "write") == 0) return c->until[c->block_count] + c->finish + c->write * share;
    return -1.0;
}

static void pass_on(void *ctx, const ar_progress_event *event) {
    ar__job_clock *k = ctx;
    ar_progress_event e = *event;
    uint64_t now = ar__host_memory();
    if (now > k->host_bytes) k->host_bytes = now;
    double done = k->cost ? done_at(k->cost, &e) : -1.0, all = k->cost ? k->cost->seconds : 0.0;
    if (done >= 0.0 && all > 0.0) {
        if (done > all) done = all;
        double pace = (ar__now_s() - k->start + PRIOR * all) / (done + PRIOR * all);
        e.job_share = done / all;
        e.job_seconds_left = (all - done) * pace;
    }
    if (k->to->progress) k->to->progress(k->to->ctx, &e);
}

static bool cancelled(void *ctx) {
    const ar_observer *to = ((const ar__job_clock *)ctx)->to;
    return to->cancelled && to->cancelled(to->ctx);
}

static void warn(void *ctx, const char *line) {
    const ar_observer *to = ((const ar__job_clock *)ctx)->to;
    if (to->warn) to->warn(to->ctx, line);
}

void ar__job_clock_start(ar__job_clock *clock, ar_observer *observer, const ar_observer *to,
                         const ar__job_cost *cost) {
    uint64_t most = clock->host_bytes;
    *clock = (ar__job_clock){.to = to, .cost = cost, .start = ar__now_s(), .host_bytes = most};
    *observer = (ar_observer){.progress = pass_on, .cancelled = cancelled, .warn = warn, .ctx = clock};
}
