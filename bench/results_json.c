/* Results as JSON, written and read. */
#include "results.h"
#include <stdlib.h>
#include <string.h>

#define FORMAT_VERSION 2

static const char *clock_of(bool is_wall) { return is_wall ? "wall" : "device"; }

static cJSON *json_parts(const ar_bench_results *r, const ar_bench_timing *t) {
    cJSON *list = cJSON_CreateArray();
    for (int32_t i = 0; i < t->part_count; i++) {
        const ar_bench_part *p = &t->parts[i];
        cJSON *j = cJSON_CreateObject();
        ar_json_add_string(j, "name", p->kernel);
        ar_json_add_number(j, "launches", p->launches);
        ar_json_add_number(j, "us", p->seconds * 1e6);
        ar_json_add_number(j, "flops", p->flops);
        ar_json_add_number(j, "bytes", p->bytes);
        ar_json_add_number(j, "gflops", p->flops / p->seconds * 1e-9);
        ar_json_add_number(j, "gbs", p->bytes / p->seconds * 1e-9);
        ar_json_add_string(j, "bound", ar_bench_bound(&r->peaks, p));
        ar_json_add_number(j, "percent_of_roof", ar_bench_percent(&r->peaks, p));
        ar_json_push(list, j);
    }
    return list;
}

static cJSON *json_row(const ar_bench_results *r, const ar_bench_row *row) {
    const ar_bench_timing *t = &row->time;
    const ar_bench_part whole = ar_bench_whole(t);
    cJSON *j = cJSON_CreateObject();
    ar_json_add_string(j, "op", row->op);
    ar_json_add_string(j, "dtype", row->dtype);
    ar_json_add_string(j, "shape", row->shape);
    ar_json_add_number(j, "m", (double)row->m);
    ar_json_add_number(j, "n", (double)row->n);
    ar_json_add_number(j, "k", (double)row->k);
    ar_json_add_string(j, "status", ar_bench_outcome_name(row->outcome));
    if (row->outcome != AR_BENCH_OK) {
        ar_json_add_string(j, "reason", row->reason);
        return j;
    }
    ar_json_add_string(j, "timing", clock_of(t->is_wall));
    ar_json_add_number(j, "us", t->seconds * 1e6);
    ar_json_add_number(j, "spread", t->spread);
    ar_json_add_number(j, "wall_us", t->wall_seconds * 1e6);
    ar_json_add_number(j, "cpu_us", t->cpu_seconds * 1e6);
    ar_json_add_number(j, "flops", t->flops);
    ar_json_add_number(j, "bytes", t->bytes);
    ar_json_add_number(j, "gflops", t->flops / t->seconds * 1e-9);
    ar_json_add_number(j, "gbs", t->bytes / t->seconds * 1e-9);
    ar_json_add_number(j, "percent_of_roof", ar_bench_percent(&r->peaks, &whole));
    ar_json_put(j, "kernels", json_parts(r, t));
    return j;
}

ar_status ar_bench_print_json(const ar_bench_results *r) {
    cJSON *j = cJSON_CreateObject(), *peaks = cJSON_CreateObject(), *rows = cJSON_CreateArray();
    ar_json_add_number(j, "format_version", FORMAT_VERSION);
    ar_json_add_string(j, "device", r->device);
    ar_json_add_string(j, "driver", r->driver);
    ar_json_add_string(j, "api", r->api);
    ar_json_add_number(peaks, "copy_gbs", r->peaks.copy_bytes_s * 1e-9);
    ar_json_add_string(peaks, "copy_timing", clock_of(r->peaks.copy_is_wall));
    ar_json_add_number(peaks, "f32_gflops", r->peaks.f32_flops_s * 1e-9);
    ar_json_add_string(peaks, "f32_timing", clock_of(r->peaks.f32_is_wall));
    if (r->peaks.matrix_flops_s > 0) {
        ar_json_add_number(peaks, "matrix_gflops", r->peaks.matrix_flops_s * 1e-9);
        ar_json_add_string(peaks, "matrix_timing", clock_of(r->peaks.matrix_is_wall));
    }
    ar_json_add_number(peaks, "launch_us", r->peaks.launch_s * 1e6);
    ar_json_add_number(peaks, "submit_us", r->peaks.submit_s * 1e6);
    ar_json_put(j, "peaks", peaks);
    for (int32_t i = 0; i < r->count; i++) ar_json_push(rows, json_row(r, &r->rows[i]));
    ar_json_put(j, "rows", rows);
    ar_status status = ar_program_json(j, true);
    cJSON_Delete(j);
    return status;
}

/* ---- reading ---- */

/* A number that a division or a logarithm follows. */
static ar_status positive(double *out, const ar_json *obj, const char *key, const char *what) {
    if (!ar_json_get(obj, key)) return ar__fail(AR_ERR_FORMAT, "%s: no %s", what, key);
    return ar_json_number_or(out, obj, key, 0, 1e-30, 1e30, what);
}

static ar_status copy_text(char *out, size_t bytes, const ar_json *obj, const char *key, const char *what) {
    const char *text = NULL;
    AR_TRY(ar_json_string_or(&text, obj, key, NULL, what));
    if (!text) return ar__fail(AR_ERR_FORMAT, "%s: no %s", what, key);
    snprintf(out, bytes, "%s", text);
    return AR_OK;
}

static ar_status read_part(ar_bench_part *p, const ar_json *j, const char *what) {
    int64_t launches = 0;
    double us = 0;
    AR_TRY(copy_text(p->kernel, sizeof p->kernel, j, "name", what));
    AR_TRY(ar_json_int(&launches, j, "launches", 1, INT32_MAX, what));
    AR_TRY(positive(&us, j, "us", what));
    AR_TRY(ar_json_number_or(&p->flops, j, "flops", 0, 0, 1e30, what));
    AR_TRY(ar_json_number_or(&p->bytes, j, "bytes", 0, 0, 1e30, what));
    p->launches = (int32_t)launches;
    p->seconds = us * 1e-6;
    return AR_OK;
}

static ar_status read_time(ar_bench_timing *t, const ar_json *j, const char *what) {
    double us = 0;
    const char *clock = NULL;
    const ar_json *part, *parts = ar_json_get(j, "kernels");
    AR_TRY(positive(&us, j, "us", what));
    AR_TRY(ar_json_number_or(&t->spread, j, "spread", 0, 0, 1e30, what));
    AR_TRY(ar_json_number_or(&t->flops, j, "flops", 0, 0, 1e30, what));
    AR_TRY(ar_json_number_or(&t->bytes, j, "bytes", 0, 0, 1e30, what));
    AR_TRY(ar_json_string_or(&clock, j, "timing", "wall", what));
    AR_TRY(ar_json_number_or(&t->cpu_seconds, j, "cpu_us", 0, 0, 1e30, what));
    t->cpu_seconds *= 1e-6;
    t->seconds = us * 1e-6;
    t->is_wall = strcmp(clock, "wall") == 0;
    cJSON_ArrayForEach(part, parts) if (t->part_count < AR_BENCH_PARTS)
        AR_TRY(read_part(&t->parts[t->part_count++], part, what));
    return AR_OK;
}

static ar_status read_row(ar_bench_results *r, const ar_json *j, const char *what) {
    ar_bench_row row = {0};
    const char *status = NULL;
    AR_TRY(copy_text(row.op, sizeof row.op, j, "op", what));
    AR_TRY(copy_text(row.dtype, sizeof row.dtype, j, "dtype", what));
    AR_TRY(copy_text(row.shape, sizeof row.shape, j, "shape", what));
    AR_TRY(ar_json_int(&row.m, j, "m", 0, INT64_C(1) << 40, what));
    AR_TRY(ar_json_int(&row.n, j, "n", 0, INT64_C(1) << 40, what));
    AR_TRY(ar_json_int(&row.k, j, "k", 0, INT64_C(1) << 40, what));
    AR_TRY(ar_json_string_or(&status, j, "status", "", what));
    row.outcome = AR_BENCH_ERROR;
    for (ar_bench_outcome o = AR_BENCH_OK; o <= AR_BENCH_SKIPPED; o++)
        if (strcmp(status, ar_bench_outcome_name(o)) == 0) row.outcome = o;
    if (row.outcome == AR_BENCH_OK)
        AR_TRY(read_time(&row.time, j, what));
    else
        AR_TRY(copy_text(row.reason, sizeof row.reason, j, "reason", what));
    ar_bench_outcome outcome = row.outcome;
    AR_TRY(ar_bench_add(r, &row, AR_OK));
    r->rows[r->count - 1].outcome = outcome;
    return AR_OK;
}

static ar_status read_root(ar_bench_results *r, const ar_json *root, const char *what) {
    int64_t version = 0;
    double copy = 0, f32 = 0, matrix = 0, launch = 0, submit = 0;
    const ar_json *peaks = ar_json_get(root, "peaks"), *rows = ar_json_get(root, "rows"), *row;
    AR_TRY(ar_json_int(&version, root, "format_version", 1, 1 << 20, what));
    if (version != FORMAT_VERSION)
        return ar__fail(AR_ERR_FORMAT, "%s: format_version %d, expected %d", what, (int)version,
                        FORMAT_VERSION);
    AR_TRY(copy_text(r->device, sizeof r->device, root, "device", what));
    AR_TRY(copy_text(r->driver, sizeof r->driver, root, "driver", what));
    AR_TRY(copy_text(r->api, sizeof r->api, root, "api", what));
    if (!peaks || !cJSON_IsArray(rows))
        return ar__fail(AR_ERR_FORMAT, "%s: no peaks or no rows, expected what bench --json prints", what);
    AR_TRY(positive(&copy, peaks, "copy_gbs", what));
    AR_TRY(positive(&f32, peaks, "f32_gflops", what));
    AR_TRY(ar_json_number_or(&matrix, peaks, "matrix_gflops", 0, 0, 1e30, what));
    AR_TRY(ar_json_number_or(&launch, peaks, "launch_us", 0, 0, 1e12, what));
    AR_TRY(ar_json_number_or(&submit, peaks, "submit_us", 0, 0, 1e12, what));
    cJSON_ArrayForEach(row, rows) AR_TRY(read_row(r, row, what));
    r->peaks = (ar_bench_peaks){.copy_bytes_s = copy * 1e9,
                                .f32_flops_s = f32 * 1e9,
                                .matrix_flops_s = matrix * 1e9,
                                .launch_s = launch * 1e-6,
                                .submit_s = submit * 1e-6};
    return AR_OK;
}

ar_status ar_bench_read(ar_bench_results *r, const char *path) {
    ar_json *root = NULL;
    *r = (ar_bench_results){0};
    AR_TRY(ar_json_open(&root, path, (size_t)64 << 20));
    ar_status status = read_root(r, root, path);
    if (status != AR_OK) ar_bench_results_free(r);
    ar_json_close(root);
    return status;
}
