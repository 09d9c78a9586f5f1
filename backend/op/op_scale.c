/* Weights of codes that stay, whose scales are tuned (docs/frozen.md, scales at the end). Kernels:
 * scale_forward, scale_grad. */
#include "op.h"

typedef struct shape {
    uint32_t rows, I, words, G, NG, gpr, upr, tied;
} shape;

static ar_status check_table(const char *op, const char *name, const ar_tensor *t, int64_t rows,
                             int64_t cols) {
    if (!t) return ar__fail(AR_ERR_ARG, "%s: %s is missing", op, name);
    if (t->dtype != AR_F32)
        return ar__fail(AR_ERR_DTYPE, "%s: %s is %s, expected f32", op, name, ar_dtype_name(t->dtype));
    if (t->dim_count != 3 || t->dims[0] != rows || t->dims[1] != cols || t->dims[2] != 2)
        return ar__fail(AR_ERR_SHAPE, "%s: %s, expected (%lld, %lld, 2)", op, name, (long long)rows,
                        (long long)cols);
    return AR_OK;
}

static ar_status shape_of(const char *op, shape *s, const ar_coded *w) {
    AR_TRY(ar_scheme_check(w->scheme));
    if (w->I < 1) return ar__fail(AR_ERR_SHAPE, "%s: %lld inputs", op, (long long)w->I);
    int64_t words = (w->I + 3) / 4, groups = ar_scheme_groups(w->scheme, w->I);
    bool super = w->scheme->super != AR_SUPER_NONE;
    uint32_t per = super ? (uint32_t)(AR_SUPER_BLOCK / w->scheme->group) : 1;
    AR_TRY(ar__op_check(op, "codes", w->codes, AR_I32, -1, words));
    AR_TRY(check_table(op, "grid", w->grid, w->codes->dims[0], groups));
    AR_TRY(check_table(op, "ab", w->ab, w->codes->dims[0], groups / per));
    *s = (shape){.I = (uint32_t)w->I,
                 .words = (uint32_t)words,
                 .G = groups == 1 ? (uint32_t)w->I : (uint32_t)w->scheme->group,
                 .NG = per,
                 .gpr = (uint32_t)groups,
                 .upr = (uint32_t)(groups / per),
                 .tied = w->scheme->zero != AR_ZERO_F16MIN};
    return AR_OK;
}

ar_status ar_op_scale_quant(ar_graph *g, ar_tensor **Wq, const ar_coded *w, bool has_grad) {
    shape p;
    *Wq = NULL;
    AR_TRY(shape_of("scale_quant", &p, w));
    int64_t dims[] = {w->codes->dims[0], w->I};
    ar_tensor *y = NULL;
    AR_TRY(ar__output(g, &y, AR_F32, 2, dims, NULL, NULL, NULL));
    y->needs_grad = has_grad;
    ar__emit_desc d = {.kernel = AR_K_scale_forward,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{w->codes, 0, 0}, {w->grid, 0, 0}, {w->ab, 0, 0}, {y, 0, 0}},
                       .flops = 6.0 * (double)(dims[0] * dims[1]),
                       .bytes = 5.0 * (double)(dims[0] * dims[1])};
    AR_TRY(ar__emit_split(g, &d, &(ar__split){.units = dims[0], .split = 15u, .items_per_unit = p.I}));
    *Wq = y;
    return AR_OK;
}

ar_status ar_op_scale_grad(ar_graph *g, ar_tensor *dab, const ar_coded *w, const ar_tensor *dWq) {
    shape p;
    AR_TRY(shape_of("scale_grad", &p, w));
    int64_t O = w->codes->dims[0];
    AR_TRY(check_table("scale_grad", "dab", dab, O, p.upr));
    AR_TRY(ar__op_check("scale_grad", "dWq", dWq, AR_F32, O, w->I));
    ar__emit_desc d = {.kernel = AR_K_scale_grad,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{w->codes, 0, 0}, {w->grid, 0, 0}, {dab, 0, 0}, {dWq, 0, 0}},
                       .flops = 4.0 * (double)(O * w->I),
                       .bytes = 5.0 * (double)(O * w->I)};
    return ar__emit_split(g, &d, &(ar__split){.units = O, .split = 15u, .items_per_unit = p.upr});
}
