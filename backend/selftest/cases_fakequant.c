/* Cases of the fake quantizer and its step, and of the vector quotients they rest on: what is stored must be
 * bit-equal to the reference, gradients may round. */
#include "selftest.h"
#include "ref_fakequant.h"
#include <math.h>

/* Equal numbers (+0 = -0), the expected ones as doubles. */
/* A device tensor of n zeros, and as many doubles. */
static ar_status zeros(ar__st *st, ar_tensor **t, double **copy, int64_t n) {
    float *values = NULL;
    AR_TRY(ar__st_array(st, (void **)&values, n, sizeof *values));
    AR_TRY(ar__st_doubles(st, copy, NULL, n));
    return ar__st_tensor(st, t, AR_F32, n, 0, values);
}

static ar_dtype state_type(int32_t code) { return code == 1 ? AR_F32 : code == 2 ? AR_I32 : AR_I16; }

/* The reference's results as the tensors hold them: sz (s, zp, b, live) and the packed codes. */
static ar_status expected_stores(ar__st *st, const ref_fq *f, const ref_out *ref, double **Wq, double **sz,
                                 uint32_t **codes) {
    int64_t n = f->O * f->I, groups = f->O * ref->groups;
    AR_TRY(ar__st_doubles(st, Wq, ref->Wq, n));
    AR_TRY(ar__st_doubles(st, sz, NULL, 4 * groups));
    AR_TRY(ar__st_array(st, (void **)codes, (n + 3) / 4, sizeof **codes));
    for (int64_t g = 0; g < groups; g++) {
        double *to = *sz + 4 * g;
        to[0] = (double)ref->s[g], to[1] = (double)ref->zp[g], to[2] = (double)ref->b[g],
        to[3] = ref->live[g];
    }
    for (int64_t i = 0; i < n; i++) (*codes)[i / 4] |= (uint32_t)ref->codes[i] << 8 * (i % 4);
    return AR_OK;
}

/* Records everything and compares. */
static ar_status run_weight(ar__st *st, const ref_fq *f, const ar_fq_desc *desc, ar_dtype type) {
    int64_t n = f->O * f->I, groups = ar_scheme_groups(&desc->scheme, f->I);
    const int64_t dims[] = {f->O, f->I}, pairs[] = {f->O, groups, 2};
    ar_tensor *W = NULL, *dW = NULL, *range = NULL, *Wq = NULL, *sz = NULL, *sz2 = NULL, *codes = NULL,
              *dv = NULL, *dmm = NULL;
    double *want_Wq = NULL, *want_sz = NULL, *want_range = NULL, *want_dmm = NULL;
    uint32_t *want_codes = NULL;
    ar_fq_state state = {0};
    ref_out ref;
    void *memory = NULL;
    AR_TRY(ar__st_array(st, &memory, (int64_t)ref_fq_bytes(f), 1));
    ref_fq_run(&ref, f, memory);
    AR_TRY(ar__st_tensor(st, &W, AR_F32, f->O, f->I, f->W));
    AR_TRY(ar__st_tensor(st, &dW, AR_F32, f->O, f->I, f->dW));
    if (f->v) AR_TRY(ar__st_state(st, &state.v, type, 2, dims, f->v));
    if (f->mm) AR_TRY(ar__st_state(st, &state.mm, type, 3, pairs, f->mm));
    AR_TRY(ar_graph_temp(st->g, &range, AR_F32, 3, pairs));
    AR_TRY(ar_op_group_range(st->g, range, W, &desc->scheme));
    AR_TRY(ar_op_fq_codes(st->g, &codes, &sz2, W, range, &state, desc));
    st->is_empty = st->is_forward;
    if (!st->is_forward) AR_TRY(ar_op_fake_quant(st->g, &Wq, &sz, W, range, &state, desc));
    if (!st->is_forward) AR_TRY(ar_op_fq_grad(st->g, &dv, &dmm, dW, W, range, sz, &state, desc));
    ar_tensor *kept[] = {range, Wq, sz, sz2, codes, dv, dmm};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) ar_graph_keep(st->g, kept[i]);
    AR_TRY(ar__st_run(st));
    AR_TRY(expected_stores(st, f, &ref, &want_Wq, &want_sz, &want_codes));
    AR_TRY(ar__st_doubles(st, &want_range, ref.range, 2 * f->O * groups));
    AR_TRY(ar__st_doubles(st, &want_dmm, NULL, 2 * f->O * groups));
    for (int64_t g = 0; g < f->O * groups; g++)
        want_dmm[2 * g] = ref.dmin[g], want_dmm[2 * g + 1] = ref.dmax[g];
    AR_TRY(ar__st_same(st, "group_range", range, want_range));
    AR_TRY(ar__st_same(st, "fq_scale", sz2, want_sz));
    AR_TRY(ar__st_same(st, "fq_scale", sz, want_sz));
    bool any = f->I % 4 != 0 || (groups > 1 && f->G % 4 != 0); /* the general kernels */
    AR_TRY(ar__st_same(st, any ? "fq_forward_any" : "fq_forward", Wq, want_Wq));
    if (n % 4 == 0) AR_TRY(ar__st_exact(st, any ? "fq_codes_any" : "fq_codes", codes, want_codes));
    AR_TRY(ar__st_compare(st, any ? "fq_grad_any" : "fq_grad", dv, ref.dv));
    return ar__st_compare(st, any ? "fq_grad_any" : "fq_grad", dmm, want_dmm);
}

/* p: bits, zero kind, O, I, group, state (0 none, 1 f32, 2 i32, 3 i16). Row 1 is zero, row 2 tiny. */
ar_status ar__st_fake_quant(ar__st *st, const int32_t *p) {
    int64_t O = p[2], I = p[3], n = O * I;
    ar_fq_desc desc = {.scheme = {p[0], p[4], (ar_zero_kind)p[1], 0, AR_SUPER_NONE}};
    ref_fq f = {.bits = p[0], .zero = p[1], .O = O, .I = I, .G = p[4] < 0 || p[4] > I ? I : p[4]};
    float *W = NULL, *dW = NULL;
    int32_t *v = NULL, *mm = NULL;
    AR_TRY(ar__st_normal(st, &W, n, 0.05f));
    AR_TRY(ar__st_normal(st, &dW, n, 1e-3f));
    for (int64_t i = I; i < 3 * I && i < n; i++) W[i] *= i < 2 * I ? 0.0f : 1e-4f;
    f.W = W;
    f.dW = dW;
    if (p[5]) {
        AR_TRY(ar__st_integers(st, &v, n, -20100, 20100));
        AR_TRY(ar__st_integers(st, &mm, 2 * O * ar_scheme_groups(&desc.scheme, I), -20100, 0));
        f.v = v;
        f.mm = mm;
        f.v_div = f.m_div = desc.v_div = desc.m_div = 40000.0f;
    }
    return run_weight(st, &f, &desc, state_type(p[5]));
}

/* p: elements, state, vectors of the device on top. Three steps of one graph, step counted by hand. */
ar_status ar__st_sign_step(ar__st *st, const int32_t *p) {
    enum { T = 200, REACH = 20000 };
    int64_t n = p[0] + (int64_t)p[2] * st->device->plan.vw, one = 1;
    int32_t *want = NULL;
    float *d = NULL;
    double *want_values = NULL;
    ar_tensor *X = NULL, *D = NULL, *step = NULL;
    AR_TRY(ar__st_integers(st, &want, n, -REACH - 50, REACH));
    AR_TRY(ar__st_normal(st, &d, n, 1.0f));
    for (int64_t i = 0; i < n; i += 5) d[i] = 0.0f;
    AR_TRY(ar__st_state(st, &X, state_type(p[1]), 1, &n, want));
    AR_TRY(ar__st_tensor(st, &D, AR_F32, n, 0, d));
    AR_TRY(ar__st_tensor(st, &step, AR_I32, one, 0, NULL));
    AR_TRY(ar_op_sign_step(st->g, X, D, step, T, -REACH, REACH));
    AR_TRY(ar_graph_build(st->g));
    for (int32_t at = 0; at < 3; at++) {
        AR_TRY(ar_tensor_write(step, &at, 0, 1));
        AR_TRY(ar_graph_run(st->g));
        for (int64_t i = 0; i < n; i++) want[i] = ref_sign_step(want[i], (double)d[i], T - at, -REACH, REACH);
    }
    const char *kernel = p[1] == 3 ? "sign_step16" : "sign_step";
    if (p[1] == 2) return ar__st_exact(st, kernel, X, want);
    if (p[1] == 3) {
        int16_t *halves = NULL;
        AR_TRY(ar__st_array(st, (void **)&halves, n, sizeof *halves));
        for (int64_t i = 0; i < n; i++) halves[i] = (int16_t)want[i];
        return ar__st_exact(st, kernel, X, halves);
    }
    AR_TRY(ar__st_doubles(st, &want_values, NULL, n));
    for (int64_t i = 0; i < n; i++) want_values[i] = want[i];
    return ar__st_same(st, kernel, X, want_values);
}

enum { STEPS = 200 };

/* The two states of one weight and what both steps of them read. */
typedef struct step_case {
    ar_fq_desc desc;
    ar_fq_state apart, joined;
    ar_tensor *dy, *x, *W, *range, *step;
    int64_t N, O, I;
} step_case;

static ar_status make_state(ar__st *st, ar_fq_state *s, const step_case *c, ar_dtype type, const int32_t *v,
                            const int32_t *mm) {
    const int64_t v_dims[] = {c->O, c->I}, mm_dims[] = {c->O, ar_scheme_groups(&c->desc.scheme, c->I), 2};
    AR_TRY(ar__st_state(st, &s->v, type, 2, v_dims, v));
    return ar__st_state(st, &s->mm, type, 3, mm_dims, mm);
}

/* Every seventh input and the last output are zero: so are their gradients. */
static ar_status make_step_case(ar__st *st, step_case *c, ar_dtype type) {
    const int32_t at = 3;
    float *W = NULL, *x = NULL, *dy = NULL;
    int32_t *v = NULL, *mm = NULL;
    int64_t groups = ar_scheme_groups(&c->desc.scheme, c->I);
    AR_TRY(ar__st_normal(st, &W, c->O * c->I, 0.05f));
    AR_TRY(ar__st_normal(st, &x, c->N * c->I, 1.0f));
    AR_TRY(ar__st_normal(st, &dy, c->N * c->O, 1e-3f));
    for (int64_t i = 0; i < c->N * c->I; i++) x[i] = i % c->I % 7 == 6 ? 0.0f : x[i];
    for (int64_t n = 1; n <= c->N; n++) dy[n * c->O - 1] = 0.0f;
    AR_TRY(ar__st_integers(st, &v, c->O * c->I, -20100, 20100));
    AR_TRY(ar__st_integers(st, &mm, 2 * c->O * groups, -20100, 0));
    AR_TRY(make_state(st, &c->apart, c, type, v, mm));
    AR_TRY(make_state(st, &c->joined, c, type, v, mm));
    AR_TRY(ar__st_tensor(st, &c->W, AR_F32, c->O, c->I, W));
    AR_TRY(ar__st_tensor(st, &c->x, AR_F32, c->N, c->I, x));
    AR_TRY(ar__st_tensor(st, &c->dy, AR_F32, c->N, c->O, dy));
    AR_TRY(ar__st_tensor(st, &c->step, AR_I32, 1, 0, &at));
    AR_TRY(ar_graph_temp(st->g, &c->range, AR_F32, 3, (int64_t[]){c->O, groups, 2}));
    return ar_op_group_range(st->g, c->range, c->W, &c->desc.scheme);
}

static ar_status step_apart(ar__st *st, const step_case *c, const ar_tensor *sz) {
    ar_tensor *dW = NULL, *dv = NULL, *dmm = NULL;
    const ar_fq_state *s = &c->apart;
    AR_TRY(ar_graph_temp(st->g, &dW, AR_F32, 2, (int64_t[]){c->O, c->I}));
    AR_TRY(ar__gemm_gradient(st->g, dW, (ar__matrix){c->dy, true}, (ar__matrix){c->x, false}, c->O, c->I,
                             c->N, false));
    AR_TRY(ar_op_fq_grad(st->g, &dv, &dmm, dW, c->W, c->range, sz, s, &c->desc));
    AR_TRY(ar_op_sign_step(st->g, s->v, dv, c->step, STEPS, -20000, 20000));
    return ar_op_sign_step(st->g, s->mm, dmm, c->step, STEPS, -20000, 0);
}

static ar_status compare_states(ar__st *st, const ar_tensor *joined, const ar_tensor *apart) {
    void *want = NULL;
    AR_TRY(ar__st_array(st, &want, ar_tensor_count(apart), ar_dtype_bytes(ar_tensor_dtype(apart))));
    AR_TRY(ar_tensor_read(apart, want, 0, ar_tensor_count(apart)));
    return ar__st_exact(st, "gemm_step", joined, want);
}

static ar_status run_steps(ar__st *st, step_case *c) {
    const ar_fq_bounds bounds = {c->step, STEPS, -20000, 20000, -20000, 0};
    ar_tensor *Wq = NULL, *sz = NULL;
    bool is_taken = false;
    AR_TRY(ar_op_fake_quant(st->g, &Wq, &sz, c->W, c->range, &c->apart, &c->desc));
    AR_TRY(ar_op_fq_step(st->g, &is_taken, c->dy, c->x, c->W, c->range, sz, &c->joined, &c->desc, &bounds));
    if (!is_taken) return ar__fail(AR_ERR_CHECK, "selftest: the plan records no gemm_step");
    AR_TRY(step_apart(st, c, sz));
    AR_TRY(ar__st_run(st));
    AR_TRY(compare_states(st, c->joined.v, c->apart.v));
    return compare_states(st, c->joined.mm, c->apart.mm);
}

/* p: bits, zero kind, N, O, I, group, state: a step within its product against the same one behind it. */
ar_status ar__st_fq_step(ar__st *st, const int32_t *p) {
    step_case c = {.N = p[2], .O = p[3], .I = p[4]};
    c.desc = (ar_fq_desc){{p[0], p[5], (ar_zero_kind)p[1], 0, AR_SUPER_NONE}, 40000.0f, 40000.0f};
    AR_TRY(make_step_case(st, &c, state_type(p[6])));
    st->device->plan.ways |= 1u << AR_W_weight_step; /* try_case puts the plan back */
    return run_steps(st, &c);
}

/* p: elements. Three steps, the last of them over the bound; gradients from 1e-9 up, and zeros. */
ar_status ar__st_adam_step(ar__st *st, const int32_t *p) {
    enum { T = 200, REACH = 500 };
    int64_t n = p[0];
    float *d = NULL, rates[2 * T];
    double *want = NULL, *mean = NULL, *square = NULL;
    ar_tensor *X = NULL, *D = NULL, *M = NULL, *S = NULL, *step = NULL, *R = NULL;
    ar_adam_rates(rates, T);
    AR_TRY(ar__st_normal(st, &d, n, 1.0f));
    for (int64_t i = 0; i < n; i++) d[i] *= i % 5 == 0 ? 0.0f : i % 5 == 1 ? 1e-9f : 1.0f;
    AR_TRY(ar__st_leaf(st, &X, &want, n, 0, 1.0f));
    AR_TRY(ar__st_tensor(st, &D, AR_F32, n, 0, d));
    AR_TRY(zeros(st, &M, &mean, n));
    AR_TRY(zeros(st, &S, &square, n));
    AR_TRY(ar__st_tensor(st, &step, AR_I32, 1, 0, NULL));
    AR_TRY(ar__st_tensor(st, &R, AR_F32, T, 2, rates));
    AR_TRY(ar_op_adam_step(st->g, X, D, M, S, step, R, -REACH, REACH));
    AR_TRY(ar_graph_build(st->g));
    for (int32_t t = 0; t < 3; t++) {
        AR_TRY(ar_tensor_write(step, &t, 0, 1));
        AR_TRY(ar_graph_run(st->g));
        for (int64_t i = 0; i < n; i++)
            want[i] =
                fmax(-REACH, fmin(REACH, ref_adam_step(want[i], (double)d[i], &mean[i], &square[i], t, T)));
    }
    AR_TRY(ar__st_compare(st, "adam_step", M, mean));
    AR_TRY(ar__st_compare(st, "adam_step", S, square));
    return ar__st_compare(st, "adam_step", X, want);
}

/* p: quotients, bits of the divisors (12 or 20). Half of the dividends lie beside a halfway quotient. */
ar_status ar__st_quot(ar__st *st, const int32_t *p) {
    uint32_t vw = st->device->plan.vw;
    int64_t units = p[0] / (int32_t)vw, n = units * vw;
    float *a = NULL, *d = NULL, *inverse = NULL;
    double *want = NULL;
    ar_tensor *A = NULL, *D = NULL, *Inv = NULL, *Y = NULL;
    AR_TRY(ar__st_array(st, (void **)&a, n, sizeof *a));
    AR_TRY(ar__st_array(st, (void **)&d, units, sizeof *d));
    AR_TRY(ar__st_array(st, (void **)&inverse, units, sizeof *inverse));
    AR_TRY(ar__st_doubles(st, &want, NULL, n));
    for (int64_t i = 0; i < n; i++) {
        uint64_t r = ar__st_random(st);
        if (i % vw == 0) { /* a whole number of that many bits times a power of two */
            d[i / vw] = (float)((r >> 32 & ((1u << p[1]) - 1)) | 1u << (p[1] - 1)) * (1.0f / 1048576.0f);
            inverse[i / vw] = 1.0f / d[i / vw];
        }
        double q = (double)(r & 0xffffff) + (r >> 24 & 1 ? 0.5 : 0.0); /* 24 bits, or halfway */
        a[i] = (float)((r >> 25 & 1 ? q : -q) * (double)d[i / vw]);
        want[i] = (double)(a[i] / d[i / vw]);
    }
    AR_TRY(ar__st_tensor(st, &A, AR_F32, n, 0, a));
    AR_TRY(ar__st_tensor(st, &D, AR_F32, units, 0, d));
    AR_TRY(ar__st_tensor(st, &Inv, AR_F32, units, 0, inverse));
    AR_TRY(ar_graph_temp(st->g, &Y, AR_F32, 1, &n));
    ar_graph_keep(st->g, Y);
    struct {
        uint32_t n, bits;
    } words = {0, (uint32_t)p[1]};
    ar__emit_desc e = {.kernel = AR_K_quot_check,
                       .specs = {st->device->plan.wg, 1, vw},
                       .operands = {{A, 0, 0}, {D, 0, 0}, {Inv, 0, 0}, {Y, 0, 0}},
                       .params = &words,
                       .bytes = 8.0 * (double)n};
    AR_TRY(ar__emit_split(st->g, &e, &(ar__split){.units = units, .split = 15u}));
    AR_TRY(ar__st_run(st));
    return ar__st_same(st, "quot_check", Y, want);
}
