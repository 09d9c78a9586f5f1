/* For tests of the fake quantizer: every device found, and one pass of range, fake_quant, fq_grad, fq_codes
 * and sign_step over one weight. */
#ifndef AR_FQ_DEVICE_H
#define AR_FQ_DEVICE_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "ar_backend.h"
#include "selftest/ref_fakequant.h"

#ifndef assert_ok
#define assert_ok(call)                                                                                      \
    do {                                                                                                     \
        ar_status ok_status_ = (call);                                                                       \
        if (ok_status_ != AR_OK) fail_msg("%s: %s: %s", #call, ar_status_text(ok_status_), ar_error());      \
    } while (0)
#endif

static inline void ref_run(ref_out *o, const ref_fq *f) { ref_fq_run(o, f, calloc(1, ref_fq_bytes(f))); }
static inline void ref_free(ref_out *o) { free(o->memory); }

enum { FQ_MAX_DEVICES = 8 };
typedef struct fq_devices {
    int32_t count;
    ar_device *device[FQ_MAX_DEVICES];
    char name[FQ_MAX_DEVICES][16];
} fq_devices;

static fq_devices devices; /* of the test program, between open_all and close_all */

static inline int open_all(void **state) {
    static ar_device_facts facts[FQ_MAX_DEVICES];
    fq_devices *d = &devices;
    (void)state;
    memset(d, 0, sizeof *d);
    assert_ok(ar_device_list(facts, &d->count, FQ_MAX_DEVICES, NULL, 0));
    for (int32_t i = 0; i < d->count; i++) {
        snprintf(d->name[i], sizeof d->name[i], "%.4s:%d", facts[i].api, (int)facts[i].index);
        print_message("  %s %s\n", d->name[i], facts[i].name);
        assert_ok(ar_device_open(&d->device[i], &(ar_device_desc){.select = d->name[i]}));
    }
    return 0;
}

static inline int close_all(void **state) {
    (void)state;
    for (int32_t i = 0; i < devices.count; i++) ar_device_close(devices.device[i]);
    return 0;
}

/* A tensor of multiples in the given state type; i32 where i16 cannot hold them. */
static inline ar_tensor *fq_state_tensor(ar_device *device, ar_dtype dtype, int32_t dim_count,
                                         const int64_t *dims, const int32_t *multiples) {
    ar_tensor *t = NULL;
    int64_t n = 1;
    for (int32_t i = 0; i < dim_count; i++) n *= dims[i];
    for (int64_t i = 0; i < n && dtype == AR_I16; i++)
        if (multiples[i] != (int16_t)multiples[i]) dtype = AR_I32;
    assert_ok(ar_tensor_create(&t, device, dtype, dim_count, dims));
    float *f = calloc((size_t)n + 1, 4);
    int16_t *h = calloc((size_t)n + 1, 2);
    for (int64_t i = 0; i < n; i++) f[i] = (float)multiples[i], h[i] = (int16_t)multiples[i];
    assert_ok(ar_tensor_write(t,
                              dtype == AR_F32   ? (void *)f
                              : dtype == AR_I16 ? (void *)h
                                                : (const void *)multiples,
                              0, n));
    free(f);
    free(h);
    return t;
}

static inline void fq_state_read(int32_t *multiples, const ar_tensor *t) {
    int64_t n = ar_tensor_count(t);
    ar_dtype dtype = ar_tensor_dtype(t);
    int32_t *raw = calloc((size_t)n + 1, 4);
    assert_ok(ar_tensor_read(t, raw, 0, n));
    for (int64_t i = 0; i < n; i++) {
        float f;
        memcpy(&f, &raw[i], 4);
        multiples[i] = dtype == AR_F32 ? (int32_t)f : dtype == AR_I16 ? ((int16_t *)raw)[i] : raw[i];
        if (dtype == AR_F32) assert_true((float)multiples[i] == f);
    }
    free(raw);
}

/* One weight on one device, its graph built; run as often as wanted. */
typedef struct fq_run {
    ar_fq_desc desc;
    ar_tensor *W, *dW, *range, *step;
    ar_fq_state st;
    ar_graph *graph;
    ar_tensor *Wq, *sz, *dv, *dmm, *codes, *codes_sz;
    int64_t O, I, groups;
} fq_run;

static inline ar_tensor *fq_upload(ar_device *device, int64_t O, int64_t I, const float *data) {
    ar_tensor *t = NULL;
    assert_ok(ar_tensor_create(&t, device, AR_F32, 2, (const int64_t[]){O, I}));
    assert_ok(ar_tensor_write(t, data, 0, O * I));
    return t;
}

/* group: the scheme's (-1 allowed). T > 0: a sign step at iteration `at` ends the graph, v in [-reach,
 * reach]. */
static inline void fq_run_open(fq_run *r, ar_device *device, const ref_fq *f, int32_t group, ar_dtype dtype,
                               int32_t T, int32_t at, float reach) {
    memset(r, 0, sizeof *r);
    r->desc =
        (ar_fq_desc){{f->bits, group, (ar_zero_kind)f->zero, f->zero_min, AR_SUPER_NONE}, f->v_div, f->m_div};
    r->O = f->O, r->I = f->I, r->groups = ar_scheme_groups(&r->desc.scheme, f->I);
    const int64_t pairs[] = {f->O, r->groups, 2}, one = 1;
    r->W = fq_upload(device, f->O, f->I, f->W);
    if (f->dW) r->dW = fq_upload(device, f->O, f->I, f->dW);
    assert_ok(ar_tensor_create(&r->range, device, AR_F32, 3, pairs));
    assert_ok(ar_tensor_create(&r->step, device, AR_I32, 1, &one));
    assert_ok(ar_tensor_write(r->step, &at, 0, 1));
    if (f->v) r->st.v = fq_state_tensor(device, dtype, 2, (const int64_t[]){f->O, f->I}, f->v);
    if (f->mm) r->st.mm = fq_state_tensor(device, dtype, 3, pairs, f->mm);
    assert_ok(ar_graph_create(&r->graph, device));
    ar_graph *g = r->graph;
    assert_ok(ar_op_group_range(g, r->range, r->W, &r->desc.scheme));
    assert_ok(ar_op_fake_quant(g, &r->Wq, &r->sz, r->W, r->range, &r->st, &r->desc));
    assert_ok(ar_op_fq_codes(g, &r->codes, &r->codes_sz, r->W, r->range, &r->st, &r->desc));
    if (f->dW) {
        assert_ok(ar_op_fq_grad(g, &r->dv, &r->dmm, r->dW, r->W, r->range, r->sz, &r->st, &r->desc));
        if (T > 0 && f->v) assert_ok(ar_op_sign_step(g, r->st.v, r->dv, r->step, T, -reach, reach));
        if (T > 0 && f->mm)
            assert_ok(ar_op_sign_step(g, r->st.mm, r->dmm, r->step, T, -floorf(f->m_div), 0.0f));
    }
    ar_tensor *kept[] = {r->Wq, r->sz, r->dv, r->dmm, r->codes, r->codes_sz};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) ar_graph_keep(g, kept[i]);
    assert_ok(ar_graph_build(g));
}

static inline void fq_run_close(fq_run *r) {
    ar_graph_destroy(r->graph);
    ar_tensor *own[] = {r->W, r->dW, r->range, r->step, r->st.v, r->st.mm};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) ar_tensor_destroy(own[i]);
}

/* All of a tensor, to be freed. */
static inline void *fq_read(const ar_tensor *t) {
    int64_t n = ar_tensor_count(t);
    void *data = calloc((size_t)n + 1, 4);
    assert_ok(ar_tensor_read(t, data, 0, n));
    return data;
}

/* Counts where the device's forward differs from the reference: codes, scales, zero points, offsets, W'. */
static inline int64_t fq_compare_forward(fq_run *r, const ref_out *ref) {
    uint8_t *codes = fq_read(r->codes);
    float *sz = fq_read(r->sz), *sz2 = fq_read(r->codes_sz), *Wq = fq_read(r->Wq);
    int64_t bad = 0;
    for (int64_t i = 0; i < r->O * r->I; i++) bad += codes[i] != ref->codes[i] || Wq[i] != ref->Wq[i];
    for (int64_t g = 0; g < r->O * r->groups; g++)
        bad += sz[4 * g] != ref->s[g] || sz[4 * g + 1] != ref->zp[g] || sz[4 * g + 2] != ref->b[g] ||
               sz[4 * g + 3] != (float)ref->live[g] || memcmp(&sz[4 * g], &sz2[4 * g], 16) != 0;
    free(codes), free(sz), free(sz2), free(Wq);
    return bad;
}

/* Counts gradients outside their tolerance: dv relative dv_bound (zeros exact), dmm bound * sum of |terms|,
 * and where the reference knows it, 2^-23 of what cancels inside the terms. */
static inline int64_t fq_compare_grad(fq_run *r, const ref_out *ref, double dv_bound, double bound) {
    float *dv = fq_read(r->dv), *dmm = fq_read(r->dmm);
    int64_t bad = 0;
    for (int64_t i = 0; i < r->O * r->I; i++)
        bad += !(fabs(dv[i] - ref->dv[i]) <= dv_bound * fabs(ref->dv[i]));
    for (int64_t g = 0; g < r->O * r->groups; g++) {
        double lo = bound * ref->dmin_abs[g], hi = bound * ref->dmax_abs[g];
        if (ref->dmin_slack) lo += 0x1p-23 * ref->dmin_slack[g], hi += 0x1p-23 * ref->dmax_slack[g];
        bad += !(fabs(dmm[2 * g] - ref->dmin[g]) <= lo) || !(fabs(dmm[2 * g + 1] - ref->dmax[g]) <= hi);
    }
    free(dv), free(dmm);
    return bad;
}
#endif
