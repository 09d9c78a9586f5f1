/* How long recorded work takes: launch by launch by the device's timestamps where they are valid, and by the
 * wall clock over whole replays. */
#ifndef AR_BENCH_TIMING_H
#define AR_BENCH_TIMING_H
#include "ar_backend.h"

#define AR_BENCH_PARTS       16
#define AR_BENCH_PEAK_COUNT  (INT64_C(1) << 18) /* elements: enough for the items of a large card */
#define AR_BENCH_PEAK_ROUNDS 256
#define AR_BENCH_PEAK_ROWS   1024 /* of ar_op_peak_matrix, each a group */

/* All launches of one kernel in a replay. */
typedef struct ar_bench_part {
    char kernel[24];
    int32_t launches;
    double seconds, flops, bytes;
} ar_bench_part;

typedef struct ar_bench_timing {
    double seconds;                   /* of the best replay: the device's, or wall_seconds */
    double spread;                    /* of the measurements: (worst - best) / best */
    double wall_seconds, cpu_seconds; /* of replays in a row, with the cost of submitting them */
    double flops, bytes;              /* counted from shapes, every launch's */
    bool is_wall;                     /* no valid timestamps: parts have times of the wall clock */
    ar_bench_part parts[AR_BENCH_PARTS];
    int32_t part_count; /* kernels beyond AR_BENCH_PARTS count in the sums only */
} ar_bench_timing;

/* Of the wall clock, and of all threads of this process: what a device made of processors takes, whoever else
 * has them. */
typedef struct ar_bench_clock {
    double wall, cpu;
} ar_bench_clock;
ar_bench_clock ar_bench_now(void);
/* The seconds since then. */
ar_bench_clock ar_bench_since(ar_bench_clock start);

/* Times a built graph, at least min_seconds each way. Errors: those of ar_graph_run. */
ar_status ar_bench_time(ar_bench_timing *t, ar_device *device, ar_graph *g, double min_seconds);

/* Measured on the spot: the roof. Errors: those of ops and the device. */
typedef struct ar_bench_peaks {
    double copy_bytes_s;   /* read and written, of an array beyond the caches of most processors */
    double f32_flops_s;    /* multiply-adds in registers (shaders/peak.comp), or a faster product's */
    double matrix_flops_s; /* by matrix hardware (shaders/peak_coop.comp), or a faster product's; 0 = none */
    bool copy_is_wall, f32_is_wall, matrix_is_wall;
    double
        launch_s; /* what one more launch takes beside its own time by the clock of the rows; 0 = unknown */
    double submit_s; /* of a replay of one launch and of reading what it gave; 0 = unknown */
} ar_bench_peaks;
/* ar_op_peak_matrix, y AR_BENCH_PEAK_ROWS of its rows. Errors: UNSUPPORTED where no matrix hardware does it.
 */
ar_status ar_bench_record_matrices(ar_graph *g, ar_device *device, ar_tensor *y);
ar_status ar_bench_measure_peaks(ar_bench_peaks *p, ar_device *device, double min_seconds);
#endif
