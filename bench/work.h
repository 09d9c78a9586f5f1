/* What a recorded run does, launch by launch, and how long it would take on a device of which only
 * measurements are known. */
#ifndef AR_BENCH_WORK_H
#define AR_BENCH_WORK_H
#include "results.h"

/* Launches of one kernel that do equally much. */
typedef struct ar_bench_launches {
    const char *family;  /* ar_kernel_family */
    double flops, bytes; /* of each */
    int64_t count;
} ar_bench_launches;

typedef struct ar_bench_work {
    ar_bench_launches *list;
    int32_t count, capacity;
    int64_t graphs;   /* that were run */
    ar_status status; /* of what could not be added */
} ar_bench_work;

/* Counts g's launches: as ar_device_watch's function, whose ctx is the ar_bench_work. */
void ar_bench_work_add(void *work, const ar_graph *g);
void ar_bench_work_clear(ar_bench_work *work);
void ar_bench_work_free(ar_bench_work *work);

typedef struct ar_bench_prediction {
    double seconds, cpu; /* cpu: of all processors here; 0 where r says nothing of it */
    double launching;    /* of them: launches and graphs beside the kernels' own time */
    double unknown;      /* of them: kernels of which r has no row, taken as others of the same bound */
    double flops, bytes;
    int64_t launches;
} ar_bench_prediction;
/* The time of every launch: the roof's (ar_bench_percent), through the share of it that the kernel of the
 * same family with the most similar work reaches in r (else any with the same bound; the roof itself without
 * rows), and what a launch costs besides. */
void ar_bench_predict(ar_bench_prediction *p, const ar_bench_work *work, const ar_bench_results *r);
#endif
