/* What was measured; see results.h. */
#include "results.h"
#include <stdlib.h>
#include <string.h>

void ar_bench_results_init(ar_bench_results *r, const ar_device *device) {
    const ar_device_facts *f = ar_device_get_facts(device);
    *r = (ar_bench_results){0};
    snprintf(r->device, sizeof r->device, "%s", f->name);
    snprintf(r->driver, sizeof r->driver, "%s %s", f->driver, f->version);
    snprintf(r->api, sizeof r->api, "%s", f->api);
}

void ar_bench_results_free(ar_bench_results *r) {
    free(r->rows);
    *r = (ar_bench_results){0};
}

static ar_bench_outcome outcome_of(ar_status status) {
    switch (status) {
    case AR_OK: return AR_BENCH_OK;
    case AR_ERR_SHAPE:
    case AR_ERR_ARG:
    case AR_ERR_UNSUPPORTED: return AR_BENCH_UNSUPPORTED;
    case AR_ERR_DEVICE_MEMORY: return AR_BENCH_SKIPPED;
    default: return AR_BENCH_ERROR;
    }
}

ar_bench_part ar_bench_whole(const ar_bench_timing *t) {
    ar_bench_part whole = {.launches = 1};
    for (int32_t i = 0; i < t->part_count; i++)
        if (i == 0 || t->parts[i].flops > whole.flops) whole = t->parts[i];
    whole.seconds = t->seconds;
    whole.flops = t->flops;
    whole.bytes = t->bytes;
    return whole;
}

/* By a row that is faster than what was measured of the hardware it runs on. */
static void raise_peaks(ar_bench_peaks *p, const ar_bench_timing *t) {
    const ar_bench_part whole = ar_bench_whole(t);
    double flops_s = t->flops / t->seconds;
    if (ar_kernel_has_matrices(whole.kernel)) {
        if (p->matrix_flops_s == 0 || flops_s <= p->matrix_flops_s) return;
        p->matrix_flops_s = flops_s;
        p->matrix_is_wall = t->is_wall;
    } else if (flops_s > p->f32_flops_s) {
        p->f32_flops_s = flops_s;
        p->f32_is_wall = t->is_wall;
    }
}

ar_status ar_bench_add(ar_bench_results *r, const ar_bench_row *row, ar_status status) {
    if (status == AR_ERR_DEVICE_LOST || status == AR_ERR_MEMORY || status == AR_ERR_INTERRUPTED)
        return status;
    if (r->count == r->capacity) {
        int32_t capacity = r->capacity ? 2 * r->capacity : 64;
        ar_bench_row *rows = realloc(r->rows, (size_t)capacity * sizeof *rows);
        if (!rows) return AR_ERR_MEMORY;
        r->rows = rows;
        r->capacity = capacity;
    }
    ar_bench_row *added = &r->rows[r->count++];
    *added = *row;
    added->outcome = outcome_of(status);
    if (status != AR_OK) snprintf(added->reason, sizeof added->reason, "%s", ar_error());
    if (status == AR_OK && !ar_bench_is_peak(row->op)) raise_peaks(&r->peaks, &added->time);
    return AR_OK;
}

bool ar_bench_is_peak(const char *op) { return strncmp(op, "peak", 4) == 0; }

double ar_bench_peak_of(const ar_bench_peaks *p, const char *kernel) {
    return p->matrix_flops_s > 0 && ar_kernel_has_matrices(kernel) ? p->matrix_flops_s : p->f32_flops_s;
}

double ar_bench_percent(const ar_bench_peaks *p, const ar_bench_part *part) {
    double moving = part->bytes / p->copy_bytes_s,
           computing = part->flops / ar_bench_peak_of(p, part->kernel);
    return 100.0 * (moving > computing ? moving : computing) / part->seconds;
}

const char *ar_bench_bound(const ar_bench_peaks *p, const ar_bench_part *part) {
    double moving = part->bytes / p->copy_bytes_s,
           computing = part->flops / ar_bench_peak_of(p, part->kernel);
    return moving > computing ? "memory" : "compute";
}

const char *ar_bench_outcome_name(ar_bench_outcome outcome) {
    static const char *const names[] = {"ok", "unsupported", "skipped", "error"};
    return names[outcome];
}

/* ---- output ---- */

static const char *clock_of(bool is_wall) { return is_wall ? "wall" : "device"; }

void ar_bench_print_peaks(const ar_bench_results *r) {
    printf("%s (%s): copy %.2f GB/s (%s time), f32 %.2f GFLOP/s (%s time)\n", r->device, r->api,
           r->peaks.copy_bytes_s * 1e-9, clock_of(r->peaks.copy_is_wall), r->peaks.f32_flops_s * 1e-9,
           clock_of(r->peaks.f32_is_wall));
    if (r->peaks.matrix_flops_s > 0)
        printf("matrix hardware %.2f GFLOP/s (%s time)\n", r->peaks.matrix_flops_s * 1e-9,
               clock_of(r->peaks.matrix_is_wall));
    printf("one more launch %.1f us, running one and reading what it gave %.1f us, beside the kernel\n",
           r->peaks.launch_s * 1e6, r->peaks.submit_s * 1e6);
    printf("%-16s %-8s %-12s %4s  %-16s %6s %11s %10s %8s %9s  %-8s %s\n", "op", "type", "shape", "n",
           "kernel", "times", "us", "GFLOP/s", "GB/s", "FLOP/byte", "bound", "% of the roof");
}

void ar_bench_print_row(const ar_bench_results *r, const ar_bench_row *row) {
    char head[80];
    snprintf(head, sizeof head, "%-16s %-8s %-12s %4d", row->op, row->dtype, row->shape, (int)row->n);
    if (row->outcome != AR_BENCH_OK) {
        printf("%s  %s: %s\n", head, ar_bench_outcome_name(row->outcome), row->reason);
        return;
    }
    for (int32_t i = 0; i < row->time.part_count; i++) {
        const ar_bench_part *p = &row->time.parts[i];
        printf("%-*s  %-16s %6d %11.1f %10.2f %8.2f %9.2f  %-8s %6.1f\n", (int)strlen(head), i ? "" : head,
               p->kernel, p->launches, p->seconds * 1e6, p->flops / p->seconds * 1e-9,
               p->bytes / p->seconds * 1e-9, p->flops / p->bytes, ar_bench_bound(&r->peaks, p),
               ar_bench_percent(&r->peaks, p));
    }
}

static void print_csv_line(const ar_bench_results *r, const ar_bench_row *row, const ar_bench_part *p) {
    printf("%s,%s,%s,%lld,%lld,%lld,%s,%d,%.3f,%.4f,%.4f,%.4f,%s,%.2f,ok\n", row->op, row->dtype, row->shape,
           (long long)row->m, (long long)row->n, (long long)row->k, p->kernel, (int)p->launches,
           p->seconds * 1e6, p->flops / p->seconds * 1e-9, p->bytes / p->seconds * 1e-9, p->flops / p->bytes,
           ar_bench_bound(&r->peaks, p), ar_bench_percent(&r->peaks, p));
}

void ar_bench_print_csv(const ar_bench_results *r) {
    puts("op,dtype,shape,m,n,k,kernel,launches,us,gflops,gbs,flop_per_byte,bound,percent_of_roof,status");
    for (int32_t i = 0; i < r->count; i++) {
        const ar_bench_row *row = &r->rows[i];
        for (int32_t j = 0; row->outcome == AR_BENCH_OK && j < row->time.part_count; j++)
            print_csv_line(r, row, &row->time.parts[j]);
        if (row->outcome != AR_BENCH_OK)
            printf("%s,%s,%s,%lld,%lld,%lld,,,,,,,,,%s\n", row->op, row->dtype, row->shape, (long long)row->m,
                   (long long)row->n, (long long)row->k, ar_bench_outcome_name(row->outcome));
    }
}

void ar_bench_print_md(const ar_bench_results *r) {
    puts("| op | type | shape | n | kernel | us | GFLOP/s | GB/s | bound | % of the roof |\n"
         "|---|---|---|--:|---|--:|--:|--:|---|--:|");
    for (int32_t i = 0; i < r->count; i++) {
        const ar_bench_row *row = &r->rows[i];
        for (int32_t j = 0; row->outcome == AR_BENCH_OK && j < row->time.part_count; j++) {
            const ar_bench_part *p = &row->time.parts[j];
            printf("| %s | %s | %s | %d | %s | %.1f | %.2f | %.2f | %s | %.1f |\n", row->op, row->dtype,
                   row->shape, (int)row->n, p->kernel, p->seconds * 1e6, p->flops / p->seconds * 1e-9,
                   p->bytes / p->seconds * 1e-9, ar_bench_bound(&r->peaks, p),
                   ar_bench_percent(&r->peaks, p));
        }
        if (row->outcome != AR_BENCH_OK)
            printf("| %s | %s | %s | %d | %s: %s | | | | | |\n", row->op, row->dtype, row->shape, (int)row->n,
                   ar_bench_outcome_name(row->outcome), row->reason);
    }
}
