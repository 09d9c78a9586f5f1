/* What a case function uses: makes inputs that die with the case, runs what was recorded, compares and
 * reports. */
#include "selftest.h"
#include "ref.h"
#include "variant.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- inputs ---- */

/* splitmix64 (Steele et al. 2014). */
uint64_t ar__st_random(ar__st *st) {
    uint64_t z = st->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

ar_status ar__st_array(ar__st *st, void **array, int64_t count, size_t each) {
    *array = NULL;
    if (st->array_count == AR__ST_HELD)
        return ar__fail(AR_ERR_ARG, "selftest: a case holds over %d arrays", AR__ST_HELD);
    void *made = ar__alloc(count > 0 ? (size_t)count : 1, each);
    if (!made) return AR_ERR_MEMORY;
    *array = st->arrays[st->array_count++] = made;
    return AR_OK;
}

/* Box and Muller's transform. */
static float normal(ar__st *st) {
    double u = (double)(ar__st_random(st) >> 11 | 1) * 0x1p-53,
           v = (double)(ar__st_random(st) >> 11) * 0x1p-53;
    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

ar_status ar__st_normal(ar__st *st, float **values, int64_t count, float scale) {
    AR_TRY(ar__st_array(st, (void **)values, count, sizeof **values));
    for (int64_t i = 0; i < count; i++) (*values)[i] = scale * normal(st);
    return AR_OK;
}

ar_status ar__st_integers(ar__st *st, int32_t **values, int64_t count, int32_t low, int32_t high) {
    AR_TRY(ar__st_array(st, (void **)values, count, sizeof **values));
    uint64_t span = (uint64_t)((int64_t)high - low + 1);
    for (int64_t i = 0; i < count; i++) (*values)[i] = (int32_t)(low + (int64_t)(ar__st_random(st) % span));
    return AR_OK;
}

ar_status ar__st_doubles(ar__st *st, double **copy, const float *values, int64_t count) {
    AR_TRY(ar__st_array(st, (void **)copy, count, sizeof **copy));
    for (int64_t i = 0; values && i < count; i++) (*copy)[i] = (double)values[i];
    return AR_OK;
}

ar_status ar__st_tensor(ar__st *st, ar_tensor **t, ar_dtype dtype, int64_t rows, int64_t cols,
                        const void *values) {
    *t = NULL;
    if (st->tensor_count == AR__ST_HELD)
        return ar__fail(AR_ERR_ARG, "selftest: a case holds over %d tensors", AR__ST_HELD);
    AR_TRY(ar_tensor_create(t, st->device, dtype, cols ? 2 : 1, (int64_t[]){rows, cols}));
    st->tensors[st->tensor_count++] = *t;
    return values ? ar_tensor_write(*t, values, 0, ar_tensor_count(*t)) : AR_OK;
}

ar_status ar__st_leaf(ar__st *st, ar_tensor **t, double **values, int64_t rows, int64_t cols, float scale) {
    int64_t count = rows * (cols ? cols : 1);
    float *made = NULL;
    AR_TRY(ar__st_normal(st, &made, count, scale));
    AR_TRY(ar__st_doubles(st, values, made, count));
    AR_TRY(ar__st_tensor(st, t, AR_F32, rows, cols, made));
    ar_tensor_set_needs_grad(*t, true);
    return AR_OK;
}

bool ar__st_rounds(const ar_device *device, int32_t family) {
    return ar__kernel_needs(ar__kernels[device->plan.variants[family]].name) & AR_ROUNDS;
}

/* ---- running ---- */

ar_status ar__st_loss(ar__st *st, ar_tensor **loss, double **dy, ar_tensor *y, const double *y_ref) {
    int64_t N = ar_tensor_dim(y, 0), I = ar_tensor_dim(y, 1);
    double *target_ref = NULL;
    ar_tensor *target = NULL;
    if (st->is_forward) { /* of nothing */
        AR_TRY(ar__st_doubles(st, dy, NULL, N * I));
        AR_TRY(ar__st_leaf(st, &y, &target_ref, 0, I, 1.0f));
        N = 0;
    }
    st->is_empty = N * I == 0;
    AR_TRY(ar__st_leaf(st, &target, &target_ref, N, I, 1.0f));
    ar_tensor_set_needs_grad(target, false);
    AR_TRY(ar_op_mse(st->g, loss, y, target, NULL));
    if (!st->is_forward) AR_TRY(ar__st_doubles(st, dy, NULL, N * I));
    ref_mse_grad(*dy, y_ref, target_ref, NULL, (int)N, (int)I);
    return AR_OK;
}

ar_status ar__st_run(ar__st *st) {
    AR_TRY(ar_graph_build(st->g));
    AR_TRY(ar_graph_run(st->g));
    return ar_device_wait(st->device);
}

/* ---- comparing ---- */

void ar__st_report(ar__st *st, const char *kernel, double error, double bound, const char *detail) {
    ar_selftest_result r = {.kernel = kernel, .test = st->test, .error = error, .bound = bound};
    r.passed = error <= bound; /* false for NaN */
    snprintf(r.detail, sizeof r.detail, "%s", detail);
    st->failed = st->failed || !r.passed;
    st->report(st->ctx, &r);
}

static ar_status read_back(ar__st *st, const char *kernel, const ar_tensor *t, void **values) {
    if (!t) return ar__fail(AR_ERR_CHECK, "selftest: %s made no output to compare", kernel);
    AR_TRY(ar__st_array(st, values, ar_tensor_count(t), ar_dtype_bytes(ar_tensor_dtype(t))));
    return ar_tensor_read(t, *values, 0, ar_tensor_count(t));
}

ar_status ar__st_compare(ar__st *st, const char *kernel, const ar_tensor *found, const double *expected) {
    float *got = NULL;
    if (!found && st->is_empty) return AR_OK;
    AR_TRY(read_back(st, kernel, found, (void **)&got));
    double worst = 0, largest = 0;
    int64_t at = 0, count = ar_tensor_count(found);
    for (int64_t i = 0; i < count; i++) {
        double d = fabs((double)got[i] - expected[i]);
        if (fabs(expected[i]) > largest) largest = fabs(expected[i]);
        if (!(d <= worst)) worst = isnan(d) ? INFINITY : d, at = i;
    }
    char detail[160] = "";
    if (count)
        snprintf(detail, sizeof detail, "of %lld worst at %lld: found %.9g, expected %.9g", (long long)count,
                 (long long)at, (double)got[at], expected[at]);
    if (largest == 0) largest = st->least;
    ar__st_report(st, kernel, worst == 0 ? 0 : worst / largest, st->bound, detail);
    return AR_OK;
}

ar_status ar__st_exact(ar__st *st, const char *kernel, const ar_tensor *found, const void *expected) {
    unsigned char *got = NULL;
    const unsigned char *bytes = expected;
    AR_TRY(read_back(st, kernel, found, (void **)&got));
    size_t each = ar_dtype_bytes(ar_tensor_dtype(found));
    int64_t differ = 0, at = 0, count = ar_tensor_count(found);
    for (int64_t i = 0; i < count; i++)
        if (memcmp(got + (size_t)i * each, bytes + (size_t)i * each, each) != 0) {
            if (differ == 0) at = i;
            differ++;
        }
    char detail[160] = "";
    uint32_t is = 0, should = 0; /* little-endian, as all devices are */
    if (differ) memcpy(&is, got + (size_t)at * each, each), memcpy(&should, bytes + (size_t)at * each, each);
    snprintf(detail, sizeof detail,
             differ ? "of %lld, the first at %lld: found bits %x, expected %x" : "of %lld", (long long)count,
             (long long)at, is, should);
    ar__st_report(st, kernel, (double)differ, 0, detail);
    return AR_OK;
}

ar_status ar__st_same(ar__st *st, const char *kernel, const ar_tensor *found, const double *expected) {
    double bound = st->bound;
    st->bound = 0;
    ar_status status = ar__st_compare(st, kernel, found, expected);
    st->bound = bound;
    return status;
}

ar_status ar__st_state(ar__st *st, ar_tensor **t, ar_dtype dtype, int32_t dim_count, const int64_t *dims,
                       const int32_t *multiples) {
    float *f = NULL;
    int16_t *h = NULL;
    *t = NULL;
    if (st->tensor_count == AR__ST_HELD) return ar__fail(AR_ERR_ARG, "selftest: too many tensors");
    AR_TRY(ar_tensor_create(t, st->device, dtype, dim_count, dims));
    st->tensors[st->tensor_count++] = *t;
    int64_t count = ar_tensor_count(*t);
    AR_TRY(ar__st_array(st, (void **)&f, count, sizeof *f));
    AR_TRY(ar__st_array(st, (void **)&h, count, sizeof *h));
    for (int64_t i = 0; i < count; i++) f[i] = (float)multiples[i], h[i] = (int16_t)multiples[i];
    const void *data = dtype == AR_F32 ? (const void *)f : dtype == AR_I16 ? (const void *)h : multiples;
    return ar_tensor_write(*t, data, 0, count);
}
