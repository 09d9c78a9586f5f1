/* Shared inside backend/selftest/: what a case function uses. A case is a row of cases.def and a function
 *   ar_status ar__st_<name>(ar__st *st, const int32_t *p)
 * that makes inputs from the seed, records and runs the op, and compares with a reference. Everything
 * obtained through st dies with the case. */
#ifndef AR_SELFTEST_H
#define AR_SELFTEST_H
#include "internal.h"

#define AR__ST_PARAMS 8
#define AR__ST_HELD   96

typedef struct ar__st {
    ar_device *device;
    ar_graph *g;
    uint64_t random;
    double bound;
    double least; /* what errors are relative to where all that is expected is 0 */
    const char *test;
    ar_selftest_fn report;
    void *ctx;
    bool failed;     /* some comparison of the run failed */
    bool is_forward; /* gradients are left out */
    bool is_empty;   /* the loss had no elements: nothing has a gradient */
    ar_tensor *tensors[AR__ST_HELD];
    void *arrays[AR__ST_HELD];
    int32_t tensor_count, array_count;
} ar__st;

typedef struct ar__st_case {
    const char *name, *kernels; /* kernels it covers, separated by blanks */
    ar_status (*run)(ar__st *st, const int32_t *p);
    double bound;
    int32_t p[AR__ST_PARAMS];
} ar__st_case;
extern const ar__st_case ar__st_cases[];
extern const int32_t ar__st_case_count;

/* Runs the case as st says; st->failed tells how its comparisons went. Errors: those of the ops and the
 * device. */
ar_status ar__st_case_run(ar__st *st, const ar__st_case *c);

/* What ar_device_check runs: checks.def. */
typedef struct ar__st_check {
    bool is_forward;
    ar__st_case c;
} ar__st_check;
extern const ar__st_check ar__st_checks[];
extern const int32_t ar__st_check_count;

/* Whether c names the kernel. */
bool ar__st_names(const ar__st_case *c, ar__kernel_id kernel);
/* The same, or another one of its family. */
bool ar__st_covers(const ar__st_case *c, ar__kernel_id kernel);
/* Where the plan would round operands to fp16, f32 instead, but for the family of `kernel`, which takes it:
 * only a family's own cases allow for rounding. */
void ar__st_keep_f32(ar_device *device, ar__kernel_id kernel);
/* Whether the plan's variant of the family rounds operands to fp16. */
bool ar__st_rounds(const ar_device *device, int32_t family);
#define AR__ST_F16 1e-3 /* bound of what operands rounded to fp16, 2^-11 of each, give */

/* ar_selftest over some rows only, or over changed ones. Each runs under the device's plan, then once more
 * under every other kernel variant that it covers and the device can run. */
ar_status ar__selftest_cases(ar_device *device, const ar__st_case *cases, int32_t count, const char *filter,
                             int32_t repeat, uint64_t seed, ar_selftest_fn report, void *ctx);

#define AR_CASE(name, kernels, bound, ...) ar_status ar__st_##name(ar__st *st, const int32_t *p);
#include "cases.def"
#undef AR_CASE

uint64_t ar__st_random(ar__st *st);
/* Host arrays: zeroed; normal numbers times scale; integers in [low, high]; a float array as doubles. */
ar_status ar__st_array(ar__st *st, void **array, int64_t count, size_t each);
ar_status ar__st_normal(ar__st *st, float **values, int64_t count, float scale);
ar_status ar__st_integers(ar__st *st, int32_t **values, int64_t count, int32_t low, int32_t high);
ar_status ar__st_doubles(ar__st *st, double **copy, const float *values, int64_t count);

/* A device tensor holding values; cols 0 makes it one-dimensional. */
ar_status ar__st_tensor(ar__st *st, ar_tensor **t, ar_dtype dtype, int64_t rows, int64_t cols,
                        const void *values);
/* The same, normal numbers times scale, with the values as doubles; needs a gradient. */
ar_status ar__st_leaf(ar__st *st, ar_tensor **t, double **values, int64_t rows, int64_t cols, float scale);

/* loss = mean((y - target)^2) against random targets, and the reference's dy for it. */
ar_status ar__st_loss(ar__st *st, ar_tensor **loss, double **dy, ar_tensor *y, const double *y_ref);
/* Builds the graph, runs it and waits. Keep what will be compared before. */
ar_status ar__st_run(ar__st *st);

/* Reads a kept tensor (NULL fails) and compares: error = max |found - expected| / max |expected|, against the
 * case's bound; / st->least where all is 0. */
ar_status ar__st_compare(ar__st *st, const char *kernel, const ar_tensor *found, const double *expected);

/* The same, to the bit (+0 = -0). */
ar_status ar__st_same(ar__st *st, const char *kernel, const ar_tensor *found, const double *expected);

/* A kept tensor of multiples in the state type: f32, i16 or i32. */
ar_status ar__st_state(ar__st *st, ar_tensor **t, ar_dtype dtype, int32_t dim_count, const int64_t *dims,
                       const int32_t *multiples);
/* The same for integers and bits: error = how many differ, bound 0. */
ar_status ar__st_exact(ar__st *st, const char *kernel, const ar_tensor *found, const void *expected);
/* A result the case worked out itself. */
void ar__st_report(ar__st *st, const char *kernel, double error, double bound, const char *detail);
#endif
