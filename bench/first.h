/* How long until the first token and the first step of tuning; behind `bench --first`. */
#ifndef AR_BENCH_FIRST_H
#define AR_BENCH_FIRST_H
#include "steps.h"

typedef struct ar_bench_first_options {
    const char *model;
    ar_bench_step_desc step; /* seq 0 = not */
} ar_bench_first_options;
/* From the start of a process to the logits behind a short prompt, and to the end of a first step of
 * signround: cold, where neither we nor the driver have kept a kernel, and warm, in a next process that finds
 * what the first one kept. Each in a process of its own, with caches in a new folder that is removed. Errors:
 * IO (no such folder, no process), those of the children, which say them. */
ar_status ar_bench_first(const ar_bench_first_options *o, const ar_common *common);
#endif
