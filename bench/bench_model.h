/* Speed of a model as a user of `run` meets it; behind `bench --model`. */
#ifndef AR_BENCH_MODEL_H
#define AR_BENCH_MODEL_H
#include "program.h"

typedef struct ar_bench_model_options {
    const char *model;
    int64_t pp, tg, reps; /* prompt tokens, generated tokens, repetitions of each */
    int64_t layers;       /* only the first so many; 0 = all */
    bool md;              /* llama-bench's table instead of lines */
} ar_bench_model_options;
ar_status ar_bench_model(const ar_bench_model_options *o, const ar_common *common);
#endif
