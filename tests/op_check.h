/* What tests of kernels and ops share: every device found, random data from a printed seed, comparison with a
 * double reference, gradients against central differences. Include once per test program. */
#ifndef OP_CHECK_H
#define OP_CHECK_H
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "ar_backend.h"

/* Fails the test with the library's own text. */
#define CHECK_OK(call)                                                                                       \
    do {                                                                                                     \
        ar_status check_status_ = (call);                                                                    \
        if (check_status_ != AR_OK) fail_msg("%s: %s", #call, ar_error());                                   \
    } while (0)

/* ---- random data ---- */

/* AR_TEST_SEED, else a fixed number; printed once. */
static inline uint64_t check_seed(void) {
    static uint64_t seed;
    if (!seed) {
        const char *text = getenv("AR_TEST_SEED");
        seed = text ? strtoull(text, NULL, 10) : 20240229;
        print_message("AR_TEST_SEED=%llu\n", (unsigned long long)seed);
    }
    return seed;
}

/* AR_TEST_SMALL is set: in a simulator, which takes seconds for a device's milliseconds. Fewer repetitions of
 * the same work will do. */
static inline bool check_is_small(void) { return getenv("AR_TEST_SMALL") != NULL; }

/* splitmix64 */
static inline uint64_t check_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Uniform in [lo, hi). */
static inline float check_uniform(uint64_t *state, float lo, float hi) {
    return lo + (hi - lo) * (float)(check_random(state) >> 40) * 0x1p-24f;
}

/* count floats in [lo, hi); `salt` tells arrays of one test apart. free() releases. */
static inline float *check_floats(int64_t count, uint64_t salt, float lo, float hi) {
    uint64_t state = check_seed() * 1000003 + salt;
    float *x = malloc((size_t)(count ? count : 1) * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < count; i++) x[i] = check_uniform(&state, lo, hi);
    return x;
}

/* ---- devices and tensors ---- */

typedef void (*check_case)(ar_device *device, void *ctx);

/* Runs a case on every Vulkan and OpenCL device, each with `plan` = NULL or changed by `change_plan`. */
static inline void check_each_plan(check_case run, void *ctx, void (*change_plan)(ar_plan *plan)) {
    ar_device_facts facts[16];
    int32_t count = 0, used = 0;
    check_seed();
    CHECK_OK(ar_device_list(facts, &count, 16, NULL, 0));
    for (int32_t i = 0; i < count && i < 16; i++) {
        char select[24];
        if (strcmp(facts[i].api, "null") == 0) continue;
        snprintf(select, sizeof select, "%.7s:%d", facts[i].api, facts[i].index);
        ar_plan plan;
        if (ar_plan_make(&plan, &facts[i]) != AR_OK) continue; /* below the floor: not a device for us */
        if (change_plan) change_plan(&plan);
        ar_device *device = NULL;
        CHECK_OK(ar_device_open(&device, &(ar_device_desc){.select = select, .plan = &plan}));
        run(device, ctx);
        ar_device_close(device);
        used++;
    }
    if (!used) {
        print_message("no device: skipped\n");
        skip();
    }
}

static inline void check_each_device(check_case run, void *ctx) { check_each_plan(run, ctx, NULL); }

/* "vk:0" for messages. */
static inline const char *check_name(const ar_device *device) {
    static char name[24];
    const ar_device_facts *f = ar_device_get_facts(device);
    snprintf(name, sizeof name, "%.7s:%d", f->api, f->index);
    return name;
}

/* A device tensor of rows x columns (columns -1: one dimension) holding data (NULL: undefined). */
static inline ar_tensor *check_tensor(ar_device *device, ar_dtype dtype, int64_t rows, int64_t columns,
                                      const void *data) {
    ar_tensor *t = NULL;
    int64_t dims[2] = {rows, columns};
    CHECK_OK(ar_tensor_create(&t, device, dtype, columns < 0 ? 1 : 2, dims));
    if (data) CHECK_OK(ar_tensor_write(t, data, 0, ar_tensor_count(t)));
    return t;
}

/* All of a tensor; free() releases. */
static inline void *check_read(const ar_tensor *t) {
    int64_t count = ar_tensor_count(t);
    void *data = malloc((size_t)(count ? count : 1) * ar_dtype_bytes(ar_tensor_dtype(t)));
    assert_non_null(data);
    CHECK_OK(ar_tensor_read(t, data, 0, count));
    return data;
}

/* ---- comparison ---- */

/* |got - want| <= bound * (1 + |want|) for every element. */
static inline void check_close(const ar_device *device, const char *what, const float *got,
                               const double *want, int64_t count, double bound) {
    for (int64_t i = 0; i < count; i++) {
        double error = fabs((double)got[i] - want[i]);
        if (!(error <= bound * (1 + fabs(want[i]))))
            fail_msg("%s on %s: element %lld of %lld is %.9g, expected %.9g", what, check_name(device),
                     (long long)i, (long long)count, (double)got[i], want[i]);
    }
}

/* Reads t and compares. */
static inline void check_tensor_close(const ar_device *device, const char *what, const ar_tensor *t,
                                      const double *want, double bound) {
    float *got = check_read(t);
    check_close(device, what, got, want, ar_tensor_count(t), bound);
    free(got);
}

/* ---- gradients ---- */

/* An op under test: makes *y from the leaves. The check differentiates y itself if it is a scalar, mse
 * against random numbers if it has two dimensions, else its mean. */
typedef ar_status (*check_forward)(ar_graph *g, ar_tensor **y, ar_tensor **leaves, void *ctx);

typedef struct check_gradient {
    const char *what;
    check_forward forward;
    void *ctx;
    ar_tensor *leaves[8]; /* f32 device tensors, values set */
    int32_t leaf_count;
    double step; /* of the difference; 0 = 1e-2 */
    double
        bound; /* allowed |analytic - numeric|, relative to their size and the largest gradient; 0 = 1e-2 */
} check_gradient;

static inline double check_loss(ar_graph *g, const ar_tensor *y, const float *target) {
    CHECK_OK(ar_graph_run(g));
    float *value = check_read(y);
    int64_t count = ar_tensor_count(y);
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += target ? ((double)value[i] - target[i]) * ((double)value[i] - target[i]) : value[i];
    free(value);
    return sum / (double)count;
}

/* d loss along `direction` of leaf t, by central difference. */
static inline double check_slope(ar_graph *g, const ar_tensor *y, const float *target, ar_tensor *t,
                                 const float *at, const float *direction, double step) {
    int64_t count = ar_tensor_count(t);
    float *moved = malloc((size_t)count * sizeof *moved);
    double value[2];
    assert_non_null(moved);
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < count; i++) moved[i] = (float)(at[i] + (side ? -step : step) * direction[i]);
        CHECK_OK(ar_tensor_write(t, moved, 0, count));
        value[side] = check_loss(g, y, target);
    }
    CHECK_OK(ar_tensor_write(t, at, 0, count));
    free(moved);
    return (value[0] - value[1]) / (2 * step);
}

/* Eight single elements and two whole random directions of one leaf; in a simulator one direction. */
static inline void check_leaf(const ar_device *device, const check_gradient *c, ar_graph *g,
                              const ar_tensor *y, const float *target, int32_t leaf) {
    ar_tensor *t = c->leaves[leaf];
    int64_t count = ar_tensor_count(t);
    float *grad = check_read(ar_tensor_grad(t)), *at = check_read(t),
          *direction = calloc((size_t)count, sizeof *grad);
    uint64_t state = check_seed() + (uint64_t)leaf;
    double step = c->step > 0 ? c->step : 1e-2, bound = c->bound > 0 ? c->bound : 1e-2, largest = 0;
    for (int64_t i = 0; i < count; i++)
        if (fabs((double)grad[i]) > largest) largest = fabs((double)grad[i]);
    for (int probe = check_is_small() ? 9 : 0; probe < 10; probe++) {
        int64_t one = (int64_t)(check_random(&state) % (uint64_t)count);
        double analytic = 0, length = 0;
        for (int64_t i = 0; i < count; i++) {
            direction[i] = probe < 8 ? (float)(i == one) : check_uniform(&state, -1, 1) / sqrtf((float)count);
            analytic += (double)grad[i] * direction[i];
            length += (double)direction[i] * direction[i];
        }
        double numeric = check_slope(g, y, target, t, at, direction, step);
        if (!(fabs(numeric - analytic) <= bound * (fabs(numeric) + largest * sqrt(length))))
            fail_msg("%s on %s: leaf %d probe %d (element %lld): gradient %.7g, difference %.7g", c->what,
                     check_name(device), leaf, probe, (long long)one, analytic, numeric);
    }
    free(grad);
    free(at);
    free(direction);
}

static inline void check_gradients(ar_device *device, const check_gradient *c) {
    ar_graph *g = NULL;
    ar_tensor *y = NULL, *loss = NULL, *target_tensor = NULL, *leaves[8];
    float *target = NULL;
    CHECK_OK(ar_graph_create(&g, device));
    for (int32_t i = 0; i < c->leaf_count; i++) ar_tensor_set_needs_grad(leaves[i] = c->leaves[i], true);
    CHECK_OK(c->forward(g, &y, leaves, c->ctx));
    if (ar_tensor_count(y) == 1) {
        loss = y;
    } else if (ar_tensor_dim_count(y) == 2) {
        target = check_floats(ar_tensor_count(y), 77, -1, 1);
        target_tensor = check_tensor(device, AR_F32, ar_tensor_dim(y, 0), ar_tensor_dim(y, 1), target);
        CHECK_OK(ar_op_mse(g, &loss, y, target_tensor, NULL));
    } else {
        CHECK_OK(ar_op_mean(g, &loss, y));
    }
    CHECK_OK(ar_graph_backward(g, loss));
    ar_graph_keep(g, y);
    for (int32_t i = 0; i < c->leaf_count; i++) {
        if (!ar_tensor_grad(c->leaves[i])) fail_msg("%s: leaf %d got no gradient", c->what, i);
        ar_graph_keep(g, ar_tensor_grad(c->leaves[i]));
    }
    CHECK_OK(ar_graph_build(g));
    CHECK_OK(ar_graph_run(g));
    for (int32_t i = 0; i < c->leaf_count; i++) {
        CHECK_OK(ar_graph_run(g)); /* the gradient at the leaves' own values */
        check_leaf(device, c, g, y, target, i);
    }
    ar_graph_destroy(g);
    ar_tensor_destroy(target_tensor);
    free(target);
}
#endif
