/* What `bench` measured on one device, and what is said of it: lines, JSON, CSV, Markdown, a page. */
#ifndef AR_BENCH_RESULTS_H
#define AR_BENCH_RESULTS_H
#include "program.h"
#include "timing.h"
#include <cjson/cJSON.h>

typedef enum ar_bench_outcome {
    AR_BENCH_OK,
    AR_BENCH_UNSUPPORTED, /* the device or the shape cannot */
    AR_BENCH_SKIPPED,     /* for want of memory */
    AR_BENCH_ERROR
} ar_bench_outcome;

/* One measurement: an op at the shape of a model, n rows of activations (0 where there are none). */
typedef struct ar_bench_row {
    char op[24], dtype[16], shape[16];
    int64_t m, n, k; /* as docs/bench.md says for the op */
    ar_bench_outcome outcome;
    char reason[160]; /* of any outcome but OK */
    ar_bench_timing time;
} ar_bench_row;

typedef struct ar_bench_results {
    char device[256], driver[256], api[8];
    ar_bench_peaks peaks;
    ar_bench_row *rows;
    int32_t count, capacity;
} ar_bench_results;

/* Of a device, nothing measured yet. */
void ar_bench_results_init(ar_bench_results *r, const ar_device *device);
void ar_bench_results_free(ar_bench_results *r);
/* Appends a row that `status` ended: of OK its time raises the peak of f32 where it is faster. Errors: those
 * after which nothing can go on (DEVICE_LOST, MEMORY, INTERRUPTED); a row's own become its outcome. */
ar_status ar_bench_add(ar_bench_results *r, const ar_bench_row *row, ar_status status);

/* Of other numbers than f32: no part of the roof, and nothing to compare f32 kernels with. */
bool ar_bench_is_peak(const char *op);
/* A row's kernels as one, under the name of the one with most operations. */
ar_bench_part ar_bench_whole(const ar_bench_timing *t);
/* What a kernel's operations are held against: the peak of f32 or, of kernels for it, of matrix hardware. */
double ar_bench_peak_of(const ar_bench_peaks *p, const char *kernel);
/* The longer of moving the part's bytes at copy speed and doing its operations at its kernel's peak, as a
 * percentage of its seconds. */
double ar_bench_percent(const ar_bench_peaks *p, const ar_bench_part *part);
/* "memory" or "compute": which of the two is longer. */
const char *ar_bench_bound(const ar_bench_peaks *p, const ar_bench_part *part);
const char *ar_bench_outcome_name(ar_bench_outcome outcome);

/* On stdout. Errors: those of ar_program_json. */
void ar_bench_print_peaks(const ar_bench_results *r);
void ar_bench_print_row(const ar_bench_results *r, const ar_bench_row *row);
void ar_bench_print_csv(const ar_bench_results *r);
void ar_bench_print_md(const ar_bench_results *r);
ar_status ar_bench_print_json(const ar_bench_results *r);

/* What bench --json printed: docs/bench.md has its form. Errors: IO, FORMAT (names the file and the entry).
 */
ar_status ar_bench_read(ar_bench_results *r, const char *path);
/* Rows of `now` beside those of `before`, with a verdict where they differ by more than both vary. */
void ar_bench_compare(const ar_bench_results *now, const ar_bench_results *before);
/* One HTML page with a roofline for each of the results. Errors: those of ar_writer_open. */
ar_status ar_bench_page(const ar_bench_results *results, int32_t count, const char *path);
#endif
