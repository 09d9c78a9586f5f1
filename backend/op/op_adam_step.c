/* Adam (Kingma & Ba 2015, arXiv 1412.6980) on f32 multiples of the step's unit, its rates from a table. */
#include "op.h"
#include <math.h>

#define BETA1 0.9f
#define BETA2 0.999f
/* Gradients come in an unknown scale (ar_op_fq_grad), where the paper's 1e-8 may be large. */
#define EPS 1e-12f

void ar_adam_rates(float *rates, int32_t T) {
    double power1 = 1.0, power2 = 1.0;
    for (int32_t t = 0; t < T; t++) {
        power1 *= (double)BETA1;
        power2 *= (double)BETA2;
        rates[2 * t] = (float)((T - t) / (1.0 - power1));
        rates[2 * t + 1] = (float)(1.0 / (1.0 - power2));
    }
}

ar_status ar_op_adam_step(ar_graph *g, ar_tensor *p, const ar_tensor *d, ar_tensor *mean, ar_tensor *square,
                          const ar_tensor *step, const ar_tensor *rates, float lo, float hi) {
    const struct {
        const char *name;
        const ar_tensor *t;
    } operands[] = {{"p", p}, {"d", d}, {"mean", mean}, {"square", square}};
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++) {
        const ar_tensor *t = operands[i].t;
        if (!t) return ar__fail(AR_ERR_ARG, "adam_step: %s is missing", operands[i].name);
        if (t->dtype != AR_F32)
            return ar__fail(AR_ERR_DTYPE, "adam_step: %s is %s, expected f32", operands[i].name,
                            ar_dtype_name(t->dtype));
        if (ar_tensor_count(t) != ar_tensor_count(p))
            return ar__fail(AR_ERR_SHAPE, "adam_step: %s has %lld elements, p has %lld", operands[i].name,
                            (long long)ar_tensor_count(t), (long long)ar_tensor_count(p));
    }
    AR_TRY(ar__op_check("adam_step", "step", step, AR_I32, 1, 0));
    AR_TRY(ar__op_check("adam_step", "rates", rates, AR_F32, -1, 2));
    if (!(lo <= hi)) return ar__fail(AR_ERR_ARG, "adam_step: bounds %g to %g", (double)lo, (double)hi);
    int64_t count = ar_tensor_count(p);
    const ar_plan *plan = &ar__graph_device(g)->plan;
    bool even = count % plan->vw == 0; /* else one launch that runs into the padding */
    uint32_t vectors = even ? 1 : (uint32_t)((count + plan->vw - 1) / plan->vw);
    struct {
        uint32_t units, vectors;
        float lo, hi, b1, b2, eps;
    } params = {0, vectors, lo, hi, BETA1, BETA2, EPS};
    ar__emit_desc e = {
        .kernel = AR_K_adam_step,
        .specs = {plan->wg, 1},
        .params = &params,
        .operands = {{p, 0, 0}, {d, 0, 0}, {mean, 0, 0}, {square, 0, 0}, {step, 0, 0}, {rates, 0, 0}},
        .bytes = 28.0 * (double)count};
    ar__split split = {.units = even ? count / plan->vw : 1, .split = 0xfu, .items_per_unit = vectors};
    return ar__emit_split(g, &e, &split);
}
