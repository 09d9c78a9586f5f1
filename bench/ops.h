/* The ops that `bench` times, at the shapes of models. */
#ifndef AR_BENCH_OPS_H
#define AR_BENCH_OPS_H
#include "results.h"

typedef struct ar_bench_shape {
    const char *name;
    int64_t hidden, intermediate, heads, kv_heads, head_dim, vocab, layers;
} ar_bench_shape;
/* The i-th size of models that people run; NULL behind the last. */
const ar_bench_shape *ar_bench_shape_at(int32_t i);

#define AR_BENCH_TENSORS 16

/* One measurement being made: the tensors it holds, which die with it. */
typedef struct ar_bench_case {
    ar_device *device;
    const ar_bench_shape *shape;
    int64_t n; /* rows of activations */
    ar_bench_row *row;
    ar_tensor *held[AR_BENCH_TENSORS];
    int32_t held_count;
} ar_bench_case;

/* Records the op on g, its gradients too where it has some. Says m, k and dtype in c->row. */
typedef ar_status (*ar_bench_record_fn)(ar_bench_case *c, ar_graph *g);
typedef struct ar_bench_op {
    const char *name;
    bool per_n; /* what it does depends on the rows of activations */
    ar_bench_record_fn record;
} ar_bench_op;
extern const ar_bench_op ar_bench_ops[];
extern const int32_t ar_bench_op_count;

/* A tensor of numbers in +-1/2, or of zeros, that c holds. Errors: those of ar_tensor_create. */
ar_status ar_bench_numbers(ar_bench_case *c, ar_tensor **t, int64_t rows, int64_t columns);
ar_status ar_bench_zeros(ar_bench_case *c, ar_tensor **t, ar_dtype dtype, int32_t dim_count,
                         const int64_t *dims);
void ar_bench_case_end(ar_bench_case *c);
#endif
