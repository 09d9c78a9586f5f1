/* Cases of the double-quantized structures: starts, scales, W' and codes must be bit-equal to the reference,
 * gradients may round. */
#include "ref_super.h"
#include "selftest.h"
#include "super_start.h"

/* Floats, bit for bit. */
static ar_status same(ar__st *st, const char *kernel, const ar_tensor *found, const float *expected) {
    double *values = NULL;
    if (!found && st->is_empty) return AR_OK;
    AR_TRY(ar__st_doubles(st, &values, expected, ar_tensor_count(found)));
    return ar__st_same(st, kernel, found, values);
}

/* The host's start of every group. */
static ar_status host_start(ar__st *st, float **start, const ref_super *f, const ar_scheme *scheme,
                            const float *importance) {
    int64_t per = AR_SUPER_BLOCK / f->G, blocks = f->O * f->I / AR_SUPER_BLOCK,
            in_row = f->I / AR_SUPER_BLOCK;
    AR_TRY(ar__st_array(st, (void **)start, 4 * blocks * per, sizeof **start));
    for (int64_t b = 0; b < blocks; b++) {
        ar__super_fit fit;
        const float *counts = importance ? importance + b % in_row * AR_SUPER_BLOCK : NULL;
        ar__super_start(&fit, scheme, f->W + b * AR_SUPER_BLOCK, counts);
        for (int64_t j = 0; j < per; j++) {
            float *to = *start + 4 * (b * per + j);
            to[0] = fit.d, to[1] = fit.dmin, to[2] = fit.i[j], to[3] = fit.j[j];
        }
    }
    return AR_OK;
}

typedef struct super_tensors {
    ar_tensor *W, *dW, *importance, *start, *Wq, *sz, *sz2, *codes, *dv, *dmm;
} super_tensors;

static ar_status record(ar__st *st, super_tensors *t, const ref_super *f, const ar_fq_desc *desc,
                        const ar_fq_state *state) {
    const int64_t start_dims[] = {f->O, f->I / f->G, 4};
    AR_TRY(ar_graph_temp(st->g, &t->start, AR_F32, 3, start_dims));
    AR_TRY(ar_op_super_start(st->g, t->start, t->W, t->importance, &desc->scheme));
    AR_TRY(ar_op_fq_codes(st->g, &t->codes, &t->sz2, t->W, t->start, state, desc));
    st->is_empty = st->is_forward;
    if (!st->is_forward) AR_TRY(ar_op_fake_quant(st->g, &t->Wq, &t->sz, t->W, t->start, state, desc));
    if (!st->is_forward)
        AR_TRY(ar_op_fq_grad(st->g, &t->dv, &t->dmm, t->dW, t->W, t->start, t->sz, state, desc));
    ar_tensor *kept[] = {t->start, t->Wq, t->sz, t->sz2, t->codes, t->dv, t->dmm};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) ar_graph_keep(st->g, kept[i]);
    return ar__st_run(st);
}

static ar_status compare(ar__st *st, const super_tensors *t, const ref_super *f, const char *scan) {
    ref_super_out ref;
    void *memory = NULL;
    uint32_t *codes = NULL;
    int64_t n = f->O * f->I;
    AR_TRY(ar__st_array(st, &memory, (int64_t)ref_super_bytes(f), 1));
    ref_super_run(&ref, f, memory);
    AR_TRY(ar__st_array(st, (void **)&codes, n / 4, sizeof *codes));
    for (int64_t i = 0; i < n; i++) codes[i / 4] |= (uint32_t)ref.codes[i] << 8 * (i % 4);
    AR_TRY(same(st, scan, t->start, f->start));
    AR_TRY(same(st, "fq_super_scale", t->sz2, ref.sz));
    AR_TRY(same(st, "fq_super_scale", t->sz, ref.sz));
    AR_TRY(same(st, "fq_super", t->Wq, ref.Wq));
    AR_TRY(ar__st_exact(st, "fq_super_codes", t->codes, codes));
    AR_TRY(ar__st_compare(st, "fq_super_grad", t->dv, ref.dv));
    return ar__st_compare(st, "fq_super_grad", t->dmm, ref.dmm);
}

/* p: super kind, O, I, state (0 none, 1 f32, 2 i32, 3 i16), weighted by importance. Row 1 is zero, row 2
 * tiny. */
ar_status ar__st_super(ar__st *st, const int32_t *p) {
    int64_t O = p[1], I = p[2], n = O * I;
    ar_fq_desc desc = {.scheme = ar_scheme_super((ar_super)p[0])};
    int64_t groups = I / desc.scheme.group;
    const int64_t dims[] = {O, I}, pairs[] = {O, groups, 2};
    ref_super f = {.bits = desc.scheme.bits,
                   .has_min = desc.scheme.zero != AR_ZERO_SYM,
                   .O = O,
                   .I = I,
                   .G = desc.scheme.group};
    int32_t least, most, *v = NULL, *mm = NULL;
    float *W = NULL, *dW = NULL, *importance = NULL, *start = NULL;
    super_tensors t = {0};
    ar_fq_state state = {0};
    ar_dtype type = p[3] == 1 ? AR_F32 : p[3] == 2 ? AR_I32 : AR_I16;
    ar_super_limits(&least, &most, desc.scheme.super);
    f.least = least, f.most = most;
    AR_TRY(ar__st_normal(st, &W, n, 0.05f));
    AR_TRY(ar__st_normal(st, &dW, n, 1e-3f));
    AR_TRY(ar__st_normal(st, &importance, I, 1.0f));
    for (int64_t i = 0; i < I; i++) importance[i] = importance[i] * importance[i] + 1e-6f;
    for (int64_t i = I; i < 3 * I && i < n; i++) W[i] *= i < 2 * I ? 0.0f : 1e-4f;
    f.W = W, f.dW = dW;
    AR_TRY(host_start(st, &start, &f, &desc.scheme, p[4] ? importance : NULL));
    f.start = start;
    AR_TRY(ar__st_tensor(st, &t.W, AR_F32, O, I, W));
    AR_TRY(ar__st_tensor(st, &t.dW, AR_F32, O, I, dW));
    if (p[4]) AR_TRY(ar__st_tensor(st, &t.importance, AR_F32, I, 0, importance));
    if (p[3]) {
        AR_TRY(ar__st_integers(st, &v, n, -20100, 20100));
        AR_TRY(ar__st_integers(st, &mm, 2 * O * groups, -20000, 20000));
        AR_TRY(ar__st_state(st, &state.v, type, 2, dims, v));
        AR_TRY(ar__st_state(st, &state.mm, type, 3, pairs, mm));
        f.v = v, f.mm = mm;
        f.v_div = f.m_div = desc.v_div = desc.m_div = 40000.0f;
    }
    AR_TRY(record(st, &t, &f, &desc, &state));
    return compare(st, &t, &f, f.has_min ? "super_scan" : "super_scan_sym");
}

/* p: rows, I. Two runs: sums accumulate. */
ar_status ar__st_square_sums(ar__st *st, const int32_t *p) {
    int64_t rows = p[0], I = p[1];
    float *x = NULL;
    double *want = NULL;
    ar_tensor *X = NULL, *sums = NULL;
    AR_TRY(ar__st_normal(st, &x, rows * I, 1.0f));
    AR_TRY(ar__st_doubles(st, &want, NULL, I));
    for (int64_t i = 0; i < rows * I; i++) want[i % I] += 2.0 * (double)x[i] * (double)x[i];
    AR_TRY(ar__st_tensor(st, &X, AR_F32, rows, I, x));
    AR_TRY(ar_graph_temp(st->g, &sums, AR_F32, 1, &I));
    AR_TRY(ar_op_fill(st->g, sums, 0));
    AR_TRY(ar_op_square_sums(st->g, sums, X));
    AR_TRY(ar_op_square_sums(st->g, sums, X));
    ar_graph_keep(st->g, sums);
    AR_TRY(ar__st_run(st));
    return ar__st_compare(st, "square_sums", sums, want);
}
