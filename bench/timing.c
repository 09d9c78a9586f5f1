/* Timing of recorded work, and the device's peaks; see timing.h. */
#include "timing.h"
#include "ar_error.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COPY_BYTES (INT64_C(128) << 20)
#define LAUNCHES   64
#define READS      32
#define MEASURES   3 /* by the wall clock, of which the best counts */

static double clock_s(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

ar_bench_clock ar_bench_now(void) {
    return (ar_bench_clock){clock_s(CLOCK_MONOTONIC), clock_s(CLOCK_PROCESS_CPUTIME_ID)};
}

ar_bench_clock ar_bench_since(ar_bench_clock start) {
    ar_bench_clock now = ar_bench_now();
    return (ar_bench_clock){now.wall - start.wall, now.cpu - start.cpu};
}

/* The least wall-clock seconds and the least processor seconds of one replay, each by itself, over
 * measurements of several replays in a row until min_seconds have passed. */
static ar_status time_replays(ar_bench_timing *t, ar_device *device, ar_graph *g, double min_seconds) {
    int32_t replays = 1;
    double worst = 0;
    t->wall_seconds = 1e30;
    AR_TRY(ar_graph_run(g)); /* compiles, fills caches */
    AR_TRY(ar_device_wait(device));
    for (int32_t i = 0; i < MEASURES;) {
        ar_bench_clock start = ar_bench_now();
        for (int32_t r = 0; r < replays; r++) AR_TRY(ar_graph_run(g));
        AR_TRY(ar_device_wait(device));
        ar_bench_clock took = ar_bench_since(start);
        double wall = took.wall, cpu = took.cpu;
        if (wall < min_seconds && replays < 4096) {
            replays *= 2;
            continue;
        }
        if (wall / replays > worst) worst = wall / replays;
        if (wall / replays < t->wall_seconds) t->wall_seconds = wall / replays;
        if (i == 0 || cpu / replays < t->cpu_seconds) t->cpu_seconds = cpu / replays;
        i++;
    }
    t->spread = worst / t->wall_seconds - 1;
    return AR_OK;
}

static void add_launch(ar_bench_timing *t, const ar_launch *l) {
    int32_t i = 0;
    while (i < t->part_count && strcmp(t->parts[i].kernel, l->kernel) != 0) i++;
    if (i == AR_BENCH_PARTS) return;
    ar_bench_part *p = &t->parts[i];
    if (i == t->part_count) {
        *p = (ar_bench_part){0};
        snprintf(p->kernel, sizeof p->kernel, "%s", l->kernel);
        t->part_count++;
    }
    p->launches++;
    p->seconds += l->us * 1e-6;
    p->flops += l->flops;
    p->bytes += l->bytes;
}

/* The launches of the best profile until min_seconds have passed, two at least. */
static ar_status profile(ar_bench_timing *t, ar_graph *g, ar_launch *launches, int32_t count,
                         double min_seconds) {
    double began = clock_s(CLOCK_MONOTONIC), best = 1e30, worst = 0;
    for (int32_t i = 0; i < 2 || clock_s(CLOCK_MONOTONIC) - began < min_seconds; i++) {
        bool is_wall = false;
        double sum = 0;
        AR_TRY(ar_graph_profile(g, launches, &is_wall));
        for (int32_t j = 0; j < count; j++) sum += launches[j].us * 1e-6;
        t->is_wall |= is_wall || !(sum > 0); /* a clock that stands still is none */
        if (sum > worst) worst = sum;
        if (sum >= best) continue;
        best = sum;
        t->part_count = 0;
        for (int32_t j = 0; j < count; j++) add_launch(t, &launches[j]);
    }
    t->seconds = t->is_wall ? t->wall_seconds : best;
    if (!t->is_wall) t->spread = worst / best - 1;
    return AR_OK;
}

ar_status ar_bench_time(ar_bench_timing *t, ar_device *device, ar_graph *g, double min_seconds) {
    ar_graph_stats stats;
    *t = (ar_bench_timing){0};
    AR_TRY(time_replays(t, device, g, min_seconds));
    ar_graph_get_stats(g, &stats);
    t->flops = stats.flops;
    t->bytes = stats.bytes;
    ar_launch *launches = calloc((size_t)stats.dispatches + 1, sizeof *launches);
    if (!launches) return AR_ERR_MEMORY;
    ar_status status = profile(t, g, launches, stats.dispatches, min_seconds);
    free(launches);
    return status;
}

/* ---- the roof ---- */

static ar_status measure_copy(ar_bench_peaks *p, ar_device *device, double min_seconds) {
    ar_status status = AR_OK;
    ar_tensor *from = NULL, *to = NULL;
    ar_graph *g = NULL;
    ar_bench_timing t;
    int64_t count = COPY_BYTES / 4;
    AR_GO(ar_tensor_create(&from, device, AR_F32, 1, &count));
    AR_GO(ar_tensor_create(&to, device, AR_F32, 1, &count));
    AR_GO(ar_graph_create(&g, device));
    AR_GO(ar_op_fill(g, from, 0));
    AR_GO(ar_op_copy(g, to, from));
    AR_GO(ar_graph_build(g));
    AR_GO(ar_graph_run(g));
    ar_graph_destroy(g);
    g = NULL;
    AR_GO(ar_graph_create(&g, device));
    AR_GO(ar_op_copy(g, to, from));
    AR_GO(ar_graph_build(g));
    AR_GO(ar_bench_time(&t, device, g, min_seconds));
    p->copy_bytes_s = 2.0 * (double)COPY_BYTES / t.seconds;
    p->copy_is_wall = t.is_wall;
done:
    ar_graph_destroy(g);
    ar_tensor_destroy(from);
    ar_tensor_destroy(to);
    return status;
}

typedef ar_status (*record_fn)(ar_graph *g, ar_device *device, ar_tensor *y);

static ar_status record_f32(ar_graph *g, ar_device *device, ar_tensor *y) {
    (void)device;
    return ar_op_peak(g, y, AR_BENCH_PEAK_ROUNDS, 0.75f, 0.5f);
}

ar_status ar_bench_record_matrices(ar_graph *g, ar_device *device, ar_tensor *y) {
    AR_TRY(ar_op_peak_matrix(g, y, AR_BENCH_PEAK_ROUNDS));
    if (ar_device_has_matrices(device)) return AR_OK; /* it may have given way to plain products just now */
    return ar__fail(AR_ERR_UNSUPPORTED, "the plan takes no matrix hardware: `devices` says why");
}

static ar_status time_peak(ar_bench_timing *t, ar_device *device, int64_t count, record_fn record,
                           double min_seconds) {
    ar_status status = AR_OK;
    ar_tensor *y = NULL;
    ar_graph *g = NULL;
    AR_GO(ar_tensor_create(&y, device, AR_F32, 1, &count));
    AR_GO(ar_graph_create(&g, device));
    AR_GO(record(g, device, y));
    AR_GO(ar_graph_build(g));
    AR_GO(ar_bench_time(t, device, g, min_seconds));
done:
    ar_graph_destroy(g);
    ar_tensor_destroy(y);
    return status;
}

static ar_status measure_f32(ar_bench_peaks *p, ar_device *device, double min_seconds) {
    ar_bench_timing t;
    AR_TRY(time_peak(&t, device, AR_BENCH_PEAK_COUNT, record_f32, min_seconds));
    p->f32_flops_s = t.flops / t.seconds;
    p->f32_is_wall = t.is_wall;
    return AR_OK;
}

static ar_status measure_matrices(ar_bench_peaks *p, ar_device *device, double min_seconds) {
    ar_bench_timing t;
    const int64_t count = AR_BENCH_PEAK_ROWS * ar_peak_matrix_row(device);
    ar_status status = time_peak(&t, device, count, ar_bench_record_matrices, min_seconds);
    if (status == AR_ERR_UNSUPPORTED) return AR_OK;
    if (status != AR_OK) return status;
    p->matrix_flops_s = t.flops / t.seconds;
    p->matrix_is_wall = t.is_wall;
    return AR_OK;
}

/* So many launches that wait for each other and do next to nothing. */
static ar_status time_launches(ar_bench_timing *t, ar_device *device, ar_tensor *y, int32_t count,
                               double min_seconds) {
    ar_graph *g = NULL;
    ar_status status = ar_graph_create(&g, device);
    for (int32_t i = 0; status == AR_OK && i < count; i++) status = ar_op_fill(g, y, (uint32_t)i);
    if (status == AR_OK) status = ar_graph_build(g);
    if (status == AR_OK) status = ar_bench_time(t, device, g, min_seconds);
    ar_graph_destroy(g);
    return status;
}

/* Seconds to run one launch and read a number that it gave, the best of READS. */
static ar_status time_read(double *seconds, ar_device *device, ar_tensor *y) {
    ar_graph *g = NULL;
    float value;
    ar_status status = ar_graph_create(&g, device);
    if (status == AR_OK) status = ar_op_fill(g, y, 1);
    if (status == AR_OK) status = ar_graph_build(g);
    *seconds = 1e30;
    for (int32_t i = 0; status == AR_OK && i < READS; i++) {
        double began = clock_s(CLOCK_MONOTONIC);
        status = ar_graph_run(g);
        if (status == AR_OK) status = ar_tensor_read(y, &value, 0, 1);
        double took = clock_s(CLOCK_MONOTONIC) - began;
        if (took < *seconds) *seconds = took;
    }
    ar_graph_destroy(g);
    return status;
}

/* Where rows are timed by the wall clock, launches alone, all of it is in them. */
static ar_status measure_overhead(ar_bench_peaks *p, ar_device *device, double min_seconds) {
    ar_bench_timing one, many;
    ar_tensor *y = NULL;
    int64_t count = 64;
    AR_TRY(ar_tensor_create(&y, device, AR_F32, 1, &count));
    ar_status status = time_launches(&one, device, y, 1, min_seconds);
    if (status == AR_OK) status = time_launches(&many, device, y, LAUNCHES, min_seconds);
    if (status == AR_OK) status = time_read(&p->submit_s, device, y);
    ar_tensor_destroy(y);
    if (status != AR_OK) return status;
    double more = (many.wall_seconds - one.wall_seconds) / (LAUNCHES - 1);
    double own = many.is_wall ? more : many.seconds / LAUNCHES;
    p->launch_s = more > own ? more - own : 0;
    p->submit_s = p->submit_s > more ? p->submit_s - more : 0;
    return AR_OK;
}

ar_status ar_bench_measure_peaks(ar_bench_peaks *p, ar_device *device, double min_seconds) {
    AR_TRY(measure_copy(p, device, min_seconds));
    AR_TRY(measure_f32(p, device, min_seconds));
    AR_TRY(measure_matrices(p, device, min_seconds));
    return measure_overhead(p, device, min_seconds / 2);
}
