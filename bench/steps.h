/* Steps of tuning, timed. */
#ifndef AR_BENCH_STEPS_H
#define AR_BENCH_STEPS_H
#include "program.h"
#include "timing.h"

typedef struct ar_bench_step_desc {
    int64_t seq, batch, steps, bits, group; /* tokens of a sample, samples of a step, steps to time */
} ar_bench_step_desc;
/* Median seconds of one step of signround on m's blocks, from the gaps between finished steps after the first
 * two. on_step is told of every one that finished and ends it all where it says false; NULL = nobody. Errors:
 * those of the method, CHECK (none was timed). */
ar_status ar_bench_steps(ar_bench_clock *median, const ar_open_model *m, ar_device *device,
                         const ar_bench_step_desc *desc, bool (*on_step)(void *ctx), void *ctx);
#endif
