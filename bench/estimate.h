/* How long a model would take, from measurements of a device; behind `bench --estimate`. */
#ifndef AR_BENCH_ESTIMATE_H
#define AR_BENCH_ESTIMATE_H
#include "steps.h"

typedef struct ar_bench_estimate_options {
    const char *model;
    const char *peaks; /* what --json printed on any device; NULL = measured here, at the model's shapes */
    int64_t pp, tg;    /* prompt tokens, generated tokens; 0 = not */
    ar_bench_step_desc step; /* of tuning a block; seq 0 = not */
    bool check;              /* measures too */
} ar_bench_estimate_options;
/* Records a prompt, generation and a step of tuning as the device named by common would run them, without
 * running them, and tells the time that measurements give them and the device memory they take. Errors: USAGE
 * (more tokens than the model knows), FORMAT of peaks, those of models and devices; with check CHECK where
 * what was predicted is off by more than 30 %. */
ar_status ar_bench_estimate(const ar_bench_estimate_options *o, const ar_common *common);
#endif
