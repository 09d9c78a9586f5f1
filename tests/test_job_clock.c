/* host/job/clock.c: what of a job is done at each event, and the time left at the pace so far. */
#include "ar_error.h"
#include "cost.h"
#include "temp_files.h"
#include <math.h>

static ar_progress_event last;
static int told;

static void keep(void *ctx, const ar_progress_event *e) {
    assert_ptr_equal(ctx, &told);
    last = *e;
    told++;
}

/* 10 s of drawing, two tuned blocks of 2 + 5 x 4 + 3 s, two others of 1 s, 6 s of scales, 2 s of writing. */
static double until[] = {10, 35, 60, 61, 62};
static double from[] = {10, 35};
static const ar__job_cost cost = {.quant = {.tuned_lead = 2, .step = 4, .tuned_blocks = 2},
                                  .calibrate = 10,
                                  .finish = 6,
                                  .write = 2,
                                  .seconds = 70,
                                  .until = until,
                                  .window_from = from,
                                  .window_count = 2,
                                  .block_count = 4};

static void every_event_tells_the_share_of_the_job(void **state) {
    (void)state;
    static const struct {
        ar_progress_event event;
        double done;
    } cases[] = {{{.stage = "calibrate", .step = 96, .step_count = 192}, 5},
                 {{.stage = "calibrate", .step = 192, .step_count = 192}, 10},
                 {{.stage = "tune", .block = 0, .step = 1, .step_count = 5}, 16},
                 {{.stage = "tune", .block = 1, .step = 5, .step_count = 5, .window = 1}, 57},
                 {{.stage = "block", .block = 2}, 60},
                 {{.stage = "block", .block = 4}, 62},
                 {{.stage = "scales", .step = 20, .step_count = 60}, 64},
                 {{.stage = "write", .step = 25, .step_count = 100}, 68.5},
                 {{.stage = "write", .step = 100, .step_count = 100}, 70}};
    const ar_observer to = {.progress = keep, .ctx = &told};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ar__job_clock clock = {0};
        ar_observer o;
        ar__job_clock_start(&clock, &o, &to, &cost);
        clock.start -= 2 * cases[i].done; /* twice as long as was thought */
        o.progress(o.ctx, &cases[i].event);
        assert_string_equal(last.stage, cases[i].event.stage);
        assert_true(fabs(last.job_share - cases[i].done / 70) < 1e-9);
        /* a tenth of the job weighs what was measured beside what has passed */
        double pace = (2 * cases[i].done + 7) / (cases[i].done + 7), left = (70 - cases[i].done) * pace;
        assert_true(fabs(last.job_seconds_left - left) < 0.05 * left + 1e-9);
    }
    assert_int_equal(told, sizeof cases / sizeof *cases);
}

static void a_method_without_steps_tells_its_linears(void **state) {
    (void)state;
    const ar_observer to = {.progress = keep, .ctx = &told};
    ar__job_cost own = cost;
    ar__job_clock clock = {0};
    ar_observer o;
    own.quant.tuned_lead = 22;
    own.quant.step = 0;
    ar__job_clock_start(&clock, &o, &to, &own);
    o.progress(o.ctx,
               &(ar_progress_event){.stage = "tune", .block = 1, .step = 3, .step_count = 4, .window = 1});
    assert_true(fabs(last.job_share - (35 + 22 * 0.75) / 70) < 1e-9);
}

/* Windows of two blocks that move by one: block 0 alone, 0 and 1, 1 alone; a lead of 2 s for two blocks. */
static void windows_tell_the_share_of_the_job(void **state) {
    (void)state;
    static double ends[] = {0, 40, 60}, begins[] = {0, 15, 40};
    static const ar__job_cost windows = {
        .quant = {.tuned_lead = 2, .step = 4, .tuned_blocks = 2, .work = 2, .window = {2, 1, 0}},
        .seconds = 60,
        .until = ends,
        .window_from = begins,
        .window_count = 3,
        .block_count = 2};
    static const double done[] = {1 + 2 * 3, 15 + 2 + 4 * 3, 40 + 1 + 2 * 3};
    const ar_observer to = {.progress = keep, .ctx = &told};
    for (int32_t i = 0; i < 3; i++) {
        ar__job_clock clock = {0};
        ar_observer o;
        ar__job_clock_start(&clock, &o, &to, &windows);
        o.progress(o.ctx, &(ar_progress_event){.stage = "tune", .step = 3, .step_count = 5, .window = i});
        assert_true(fabs(last.job_share - done[i] / 60) < 1e-9);
    }
}

static void what_is_unknown_passes_as_it_is(void **state) {
    (void)state;
    const ar_observer to = {.progress = keep, .ctx = &told};
    ar__job_clock clock = {0};
    ar_observer o;
    ar__job_clock_start(&clock, &o, &to, NULL);
    o.progress(o.ctx, &(ar_progress_event){.stage = "tune", .step = 1, .step_count = 5});
    assert_true(last.job_share == 0.0 && last.job_seconds_left == 0.0);
    ar__job_clock_start(&clock, &o, &to, &cost);
    o.progress(o.ctx, &(ar_progress_event){.stage = "eval", .step = 1, .step_count = 5});
    assert_true(last.job_share == 0.0 && last.job_seconds_left == 0.0);
    const ar_observer deaf = {0}; /* who asks nothing is told nothing */
    ar__job_clock_start(&clock, &o, &deaf, &cost);
    o.progress(o.ctx, &(ar_progress_event){.stage = "eval"});
    o.warn(o.ctx, "line");
    assert_false(o.cancelled(o.ctx));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_event_tells_the_share_of_the_job),
                                       cmocka_unit_test(a_method_without_steps_tells_its_linears),
                                       cmocka_unit_test(windows_tell_the_share_of_the_job),
                                       cmocka_unit_test(what_is_unknown_passes_as_it_is)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
