/* Models for the bench: files, or random ones of a size that people run. */
#ifndef AR_BENCH_OPEN_H
#define AR_BENCH_OPEN_H
#include "program.h"

/* name is a model's path, or "random:SIZE:TYPE", as random:1b:q4_0: a Llama with random weights of that size
 * (bench --shapes) and storage type. Errors: USAGE (no such size or type), those of ar_model_open. */
ar_status ar_bench_open(ar_open_model **m, const char *name);
void ar_bench_close(ar_open_model *m);
#endif
