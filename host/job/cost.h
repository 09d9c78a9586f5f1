/* What quantizing a model takes, told before it begins, and how far it is, told while it runs. */
#ifndef AR_JOB_COST_H
#define AR_JOB_COST_H
#include "ar_host.h"

typedef struct ar_job {
    const ar_write_source *src; /* the model, its options, what is written */
    ar_device *device;
    const ar_quant_desc *desc;
    const ar_samples *samples; /* with ids NULL: they will be drawn from the model; NULL = none are needed */
    bool (*finished)(void *ctx, int32_t block); /* by an earlier run; NULL = none is */
    void *ctx;
} ar_job;

typedef struct ar__job_cost {
    ar_quant_cost quant;
    int32_t finished;                 /* blocks that an earlier run finished */
    double flops;                     /* of the tuning, and of drawing the samples */
    double calibrate, write, seconds; /* drawing the samples; writing, reading back; all that is left to do */
    double finish;                    /* values tuned behind the last block; 0 = none are */
    double before;                    /* set by the caller: seconds that passed until now */
    double *until;                    /* (blocks + 1): seconds before each block, drawing included */
    double *window_from;              /* (windows): before each window of tuned blocks */
    int32_t block_count, window_count;
    uint64_t device_bytes, host_bytes; /* most at a time; host: ar__host_memory, 0 = unknown */
    bool host_holds_device;            /* the device's memory is the host's, and within host_bytes */
    uint64_t file_bytes[8];            /* of each format */
    uint64_t disk_bytes; /* most at a time: the files, the state beside them, activations that are spilled */
} ar__job_cost;

/* Measures what has to be measured on the device; nothing is written. ar__job_cost_deinit is due even after a
 * failure. Errors: those of the method's run and of drawing samples; INTERRUPTED. */
ar_status ar__job_cost_make(ar__job_cost *cost, const ar_job *job, const ar_observer *observer);
void ar__job_cost_deinit(ar__job_cost *cost);

/* An observer that passes on what it hears, with the whole job's share and the time left, and keeps the most
 * memory of the host that there was. */
typedef struct ar__job_clock {
    const ar_observer *to;
    const ar__job_cost *cost; /* NULL = unknown: events pass as they are */
    double start;
    uint64_t host_bytes;
} ar__job_clock;
/* Begins now. clock, to and cost outlive the observer. */
void ar__job_clock_start(ar__job_clock *clock, ar_observer *observer, const ar_observer *to,
                         const ar__job_cost *cost);
#endif
