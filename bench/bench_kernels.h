/* Speed of products with packed weights beside what the device can do; behind `bench --kernels`. */
#ifndef AR_BENCH_KERNELS_H
#define AR_BENCH_KERNELS_H
#include "program.h"

typedef struct ar_bench_kernels_options {
    const char *types; /* names separated by commas, "Q4_0,F16"; NULL = all */
    int64_t size;      /* m = k; 0 = 4096 and 1024 */
    int64_t n;         /* rows of x; 0 = 1 and 512 */
} ar_bench_kernels_options;
ar_status ar_bench_kernels(const ar_bench_kernels_options *o, const ar_common *common);
#endif
