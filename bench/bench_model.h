/* Speed of a model as a user of `run` meets it; behind `bench --model`. */
#ifndef AR_BENCH_MODEL_H
#define AR_BENCH_MODEL_H
#include "program.h"
#include "timing.h"

typedef struct ar_bench_model_options {
    const char *model;
    int64_t pp, tg, reps; /* prompt tokens, generated tokens, repetitions of each */
    int64_t layers;       /* only the first so many; 0 = all */
    const char *acts;     /* as `run --acts`; NULL = as the model says */
    bool md;              /* llama-bench's table instead of lines */
} ar_bench_model_options;
ar_status ar_bench_model(const ar_bench_model_options *o, const ar_common *common);
/* Seconds of the prompt and of a generated token (0 where o has none), of the best runs; prints nothing. */
ar_status ar_bench_model_seconds(ar_bench_clock *prompt, ar_bench_clock *token,
                                 const ar_bench_model_options *o, const ar_common *common);
#endif
