/* Speed of what is computed beside what the device can do; behind `bench` without a model. */
#ifndef AR_BENCH_KERNELS_H
#define AR_BENCH_KERNELS_H
#include "ops.h"

typedef struct ar_bench_kernels_options {
    const char *ops;    /* names separated by commas, "product,fake_quant"; NULL = all */
    const char *types;  /* of products, "Q4_0,F16"; NULL = all */
    const char *shapes; /* "0.5b,8b"; NULL = 0.5b on processors, 1b elsewhere */
    const char *n;      /* rows of activations, "1,512"; NULL = 1,4,32,512 */
    int64_t size;       /* products of size x size weights beside the shapes' ops; 0 = by the shapes */
    double distinct;    /* bytes of weights that products of few rows read in turn; 0 = beyond the caches */
    bool csv, md;
    const char *compare; /* what an earlier run printed as JSON, or NULL */
    const char *report;  /* the page to write, or NULL */
} ar_bench_kernels_options;
/* Errors: USAGE (an unknown name, and those that are known), those of the device and of files. */
ar_status ar_bench_kernels(const ar_bench_kernels_options *o, const ar_common *common);
/* Appends to r, whose peaks are known, what o's ops, types and n name at this shape, and products with
 * weights of products[i].m x k each instead of the shape's. Prints nothing. Errors: those of ar_bench_add. */
typedef struct ar_bench_product {
    int64_t m, k;
} ar_bench_product;
ar_status ar_bench_measure(ar_bench_results *r, ar_device *device, const ar_bench_kernels_options *o,
                           const ar_bench_shape *shape, const ar_bench_product *products, int32_t count);
/* A page of earlier runs alone. Errors: USAGE, FORMAT, IO. */
ar_status ar_bench_pages(const char *report, char **paths, int32_t count);
#endif
