/* SignSGD (Bernstein et al. 2018, arXiv 1802.04434) on multiples of the step's unit: exact in f32, i32 and
 * i16. */
#include "op.h"
#include <math.h>

ar_status ar_op_sign_step(ar_graph *g, ar_tensor *p, const ar_tensor *d, const ar_tensor *step, int32_t T,
                          float lo, float hi) {
    if (!p || !d) return ar__fail(AR_ERR_ARG, "sign_step: %s is missing", p ? "d" : "p");
    if (p->dtype != AR_F32 && p->dtype != AR_I32 && p->dtype != AR_I16)
        return ar__fail(AR_ERR_DTYPE, "sign_step: p is %s, expected f32, i32 or i16",
                        ar_dtype_name(p->dtype));
    if (d->dtype != AR_F32)
        return ar__fail(AR_ERR_DTYPE, "sign_step: d is %s, expected f32", ar_dtype_name(d->dtype));
    AR_TRY(ar__op_check("sign_step", "step", step, AR_I32, 1, 0));
    int64_t count = ar_tensor_count(p);
    if (ar_tensor_count(d) != count)
        return ar__fail(AR_ERR_SHAPE, "sign_step: d has %lld elements, p has %lld",
                        (long long)ar_tensor_count(d), (long long)count);
    if (!(lo <= hi)) return ar__fail(AR_ERR_ARG, "sign_step: bounds %g to %g", (double)lo, (double)hi);
    float reach = p->dtype == AR_I16 ? 32767.0f : 16777216.0f; /* what the type counts exactly */
    const ar_plan *plan = &ar__graph_device(g)->plan;
    bool even = count % plan->vw == 0; /* else one launch that runs into the padding */
    uint32_t vectors = even ? 1 : (uint32_t)((count + plan->vw - 1) / plan->vw);
    struct {
        uint32_t units, vectors;
        int32_t T;
        float lo, hi;
    } params = {0, vectors, T, fmaxf(lo, -reach), fminf(hi, reach)};
    ar__emit_desc e = {.kernel = p->dtype == AR_I16 ? AR_K_sign_step16 : AR_K_sign_step,
                       .specs = {plan->wg, 1, plan->vw, p->dtype == AR_I32 ? 2 : 1},
                       .params = &params,
                       .operands = {{p, 0, 0}, {d, 0, 0}, {step, 0, 0}},
                       .bytes = (p->dtype == AR_I16 ? 8.0 : 12.0) * (double)count};
    ar__split split = {.units = even ? count / plan->vw : 1, .split = 3u, .items_per_unit = vectors};
    return ar__emit_split(g, &e, &split);
}
