/* How long a step of signround takes; see steps.h. */
#include "steps.h"
#include <stdlib.h>
#include <string.h>

#define MAX_STEPS 1000

typedef struct step_times {
    ar_bench_clock at[MAX_STEPS];
    int32_t count;
    bool (*on_step)(void *ctx);
    void *ctx;
    bool stopped;
} step_times;

static void on_progress(void *ctx, const ar_progress_event *e) {
    step_times *t = ctx;
    if (strcmp(e->stage, "tune") != 0 || t->count == MAX_STEPS) return;
    t->at[t->count++] = ar_bench_now();
    if (t->on_step && !t->on_step(t->ctx)) t->stopped = true;
}

static bool is_stopped(void *ctx) { return ((const step_times *)ctx)->stopped; }

static ar_status drop_block(void *ctx, const ar_block *block, ar_qlinear *const *linears,
                            const ar_block_report *report) {
    (void)ctx;
    (void)block;
    (void)linears;
    (void)report;
    return AR_OK;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static ar_status make_samples(ar_samples *s, const ar_open_model *m, const ar_bench_step_desc *o) {
    s->count = (int32_t)(2 * o->batch);
    s->T = (int32_t)o->seq;
    s->ids = ar__alloc((size_t)s->count, (size_t)s->T * sizeof *s->ids);
    if (!s->ids) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < (int64_t)s->count * s->T; i++)
        s->ids[i] = (int32_t)(ar_random_unit(7, 0, (uint64_t)i) * (double)m->model.vocab);
    return AR_OK;
}

/* Of signround, whose steps are timed: an option's name here is what a user would write. */
static ar_status set_options(ar_method_options *options, const ar_bench_step_desc *o) {
    ar_method_options_init(options, ar_method_find("signround"));
    ar_method_options_put(options, "iters", (double)o->steps + 2);
    ar_method_options_put(options, "batch", (double)o->batch);
    ar_method_options_put(options, "seed", 1);
    return ar_method_options_set(options, "select", "batch");
}

ar_status ar_bench_steps(ar_bench_clock *median, const ar_open_model *m, ar_device *device,
                         const ar_bench_step_desc *o, bool (*on_step)(void *ctx), void *ctx) {
    ar_samples samples = {0};
    step_times *times = ar__alloc(1, sizeof *times);
    double gaps[MAX_STEPS], cpu[MAX_STEPS];
    int32_t gap_count = 0;
    ar_status status = times ? make_samples(&samples, m, o) : AR_ERR_MEMORY;
    if (times) times->on_step = on_step, times->ctx = ctx;
    ar_method_options options;
    ar_quant_desc desc = {.scheme = {(int32_t)o->bits, (int32_t)o->group, AR_ZERO_INT, 0, AR_SUPER_NONE},
                          .options = &options};
    if (status == AR_OK) status = set_options(&options, o);
    ar_sink sink = {.block = drop_block};
    ar_observer observer = {.progress = on_progress, .cancelled = is_stopped, .ctx = times};
    if (status == AR_OK)
        status = ar_method_find("signround")->run(&m->model, device, &samples, &desc, &sink, &observer);
    if (status == AR_ERR_INTERRUPTED && times->stopped) status = AR_OK;
    for (int32_t i = 2; status == AR_OK && i < times->count; i++)
        gaps[gap_count] = times->at[i].wall - times->at[i - 1].wall,
        cpu[gap_count++] = times->at[i].cpu - times->at[i - 1].cpu;
    if (status == AR_OK && gap_count < 1) status = ar__fail(AR_ERR_CHECK, "bench: no step was timed");
    if (status == AR_OK) {
        qsort(gaps, (size_t)gap_count, sizeof *gaps, by_value);
        qsort(cpu, (size_t)gap_count, sizeof *cpu, by_value);
        *median = (ar_bench_clock){gaps[gap_count / 2], cpu[gap_count / 2]};
    }
    free(samples.ids);
    free(times);
    return status;
}
