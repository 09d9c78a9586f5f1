/* Work without running it; see work.h. */
#include "work.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static ar_status count_launch(ar_bench_work *work, const ar_launch *l) {
    const char *family = ar_kernel_family(l->kernel);
    for (int32_t i = 0; i < work->count; i++) {
        ar_bench_launches *w = &work->list[i];
        if (strcmp(w->family, family) != 0 || w->flops != l->flops || w->bytes != l->bytes) continue;
        w->count++;
        return AR_OK;
    }
    if (work->count == work->capacity) {
        int32_t capacity = work->capacity ? 2 * work->capacity : 64;
        ar_bench_launches *list = realloc(work->list, (size_t)capacity * sizeof *list);
        if (!list) return ar__fail(AR_ERR_MEMORY, "bench: no memory for %d launches", (int)capacity);
        work->list = list;
        work->capacity = capacity;
    }
    work->list[work->count++] = (ar_bench_launches){family, l->flops, l->bytes, 1};
    return AR_OK;
}

void ar_bench_work_add(void *ctx, const ar_graph *g) {
    ar_bench_work *work = ctx;
    ar_graph_stats stats;
    ar_graph_get_stats(g, &stats);
    ar_launch *launches = calloc((size_t)stats.dispatches + 1, sizeof *launches);
    if (!launches) {
        work->status = ar__fail(AR_ERR_MEMORY, "bench: no memory for %d launches", (int)stats.dispatches);
        return;
    }
    ar_graph_launches(g, launches);
    for (int32_t i = 0; work->status == AR_OK && i < stats.dispatches; i++)
        work->status = count_launch(work, &launches[i]);
    free(launches);
    work->graphs++;
}

void ar_bench_work_clear(ar_bench_work *work) {
    work->count = 0;
    work->graphs = 0;
}

void ar_bench_work_free(ar_bench_work *work) {
    free(work->list);
    *work = (ar_bench_work){0};
}

/* ---- time ---- */

/* Of one launch that does and moves so much by a kernel like this. */
static double roof_seconds(const ar_bench_peaks *p, const char *kernel, double flops, double bytes) {
    ar_bench_part part = {.seconds = 1.0, .flops = flops, .bytes = bytes};
    snprintf(part.kernel, sizeof part.kernel, "%s", kernel);
    return ar_bench_percent(p, &part) / 100.0;
}

/* How unlike two launches are: by which factors their operations and bytes differ. */
static double distance(double flops, double bytes, const ar_bench_part *p) {
    double n = p->launches;
    return fabs(log((flops + 1) / (p->flops / n + 1))) + fabs(log((bytes + 1) / (p->bytes / n + 1)));
}

/* A row that was timed by the wall clock knows its launches' times from runs of each alone, which take longer
 * together than all in one. */
static ar_bench_clock part_seconds(const ar_bench_row *row, const ar_bench_part *part) {
    double sum = 0;
    for (int32_t i = 0; i < row->time.part_count; i++) sum += row->time.parts[i].seconds;
    if (!(sum > 0)) return (ar_bench_clock){part->seconds, 0};
    double share = part->seconds / sum;
    return (ar_bench_clock){row->time.is_wall ? share * row->time.seconds : part->seconds,
                            share * row->time.cpu_seconds};
}

/* Whether a part may speak for w: a kernel of its family, or any that has the same bound. */
static bool speaks_for(const ar_bench_part *part, const ar_bench_launches *w, const ar_bench_peaks *peaks,
                       bool any) {
    if (!any) return strcmp(ar_kernel_family(part->kernel), w->family) == 0;
    const ar_bench_part wanted = {.flops = w->flops, .bytes = w->bytes};
    return strcmp(ar_bench_bound(peaks, part), ar_bench_bound(peaks, &wanted)) == 0;
}

/* Seconds of one launch by the most similar one; < 0: there is none. */
static ar_bench_clock by_similar(const ar_bench_launches *w, const ar_bench_results *r, bool any) {
    double least = 1e30;
    ar_bench_clock found = {-1, 0};
    for (int32_t i = 0; i < r->count; i++) {
        const ar_bench_row *row = &r->rows[i];
        if (ar_bench_is_peak(row->op)) continue;
        for (int32_t j = 0; row->outcome == AR_BENCH_OK && j < row->time.part_count; j++) {
            const ar_bench_part *p = &row->time.parts[j];
            double d = distance(w->flops, w->bytes, p);
            double roof = roof_seconds(&r->peaks, p->kernel, p->flops, p->bytes);
            if (d >= least || !(roof > 0) || !speaks_for(p, w, &r->peaks, any)) continue;
            least = d;
            double scale = roof_seconds(&r->peaks, p->kernel, w->flops, w->bytes) / roof;
            ar_bench_clock took = part_seconds(row, p);
            found = (ar_bench_clock){scale * took.wall, scale * took.cpu};
        }
    }
    return found;
}

void ar_bench_predict(ar_bench_prediction *p, const ar_bench_work *work, const ar_bench_results *r) {
    *p = (ar_bench_prediction){.launching = (double)work->graphs * r->peaks.submit_s};
    for (int32_t i = 0; i < work->count; i++) {
        const ar_bench_launches *w = &work->list[i];
        double n = (double)w->count;
        ar_bench_clock took = by_similar(w, r, false);
        if (took.wall < 0) {
            took = by_similar(w, r, true);
            if (took.wall < 0) took.wall = roof_seconds(&r->peaks, w->family, w->flops, w->bytes);
            p->unknown += n * took.wall;
        }
        p->seconds += n * took.wall;
        p->cpu += n * took.cpu;
        p->launching += n * r->peaks.launch_s;
        p->flops += n * w->flops;
        p->bytes += n * w->bytes;
        p->launches += w->count;
    }
    p->seconds += p->launching;
    if (p->cpu > 0) p->cpu += p->launching; /* by one thread */
}
