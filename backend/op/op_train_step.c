/* The steps of whole-model training: the norm that gradients are clipped by, AdamW and SGD, and the rates of
 * both. None has a gradient. */
#include "op.h"
#include <math.h>

/* ---- rates ---- */

static double share_left(const ar_rate_desc *desc, int32_t t, int32_t T) {
    double along = (double)t / T, left = desc->schedule == AR_SCHEDULE_COSINE
                                             ? (1 + cos(acos(-1.0) * along)) / 2
                                         : desc->schedule == AR_SCHEDULE_LINEAR ? 1 - along
                                                                                : 1;
    double warm = desc->warmup > 0 && t + 1 < desc->warmup ? (double)(t + 1) / desc->warmup : 1;
    return warm * (desc->end + (1 - desc->end) * left);
}

void ar_train_rates(float *rates, int32_t T, const ar_rate_desc *desc) {
    double power1 = 1, power2 = 1;
    for (int32_t t = 0; t < T; t++) {
        double lr = desc->lr * share_left(desc, t, T);
        power1 *= desc->beta1;
        power2 *= desc->beta2;
        rates[4 * t] = (float)lr;
        rates[4 * t + 1] = (float)(lr / (1 - power1));
        rates[4 * t + 2] = (float)(1 / (1 - power2));
        rates[4 * t + 3] = 0;
    }
}

/* ---- clipping ---- */

static ar_status emit_squares(ar_graph *g, ar_tensor *parts, const ar_tensor *d, int64_t first) {
    int64_t count = ar_tensor_count(d);
    struct {
        uint32_t n, start, first;
    } p = {0, 0, (uint32_t)first};
    ar__emit_desc e = {.kernel = AR_K_square_part,
                       .specs = {AR__SUM_WG, 1, AR__SUM_SEGMENT},
                       .params = &p,
                       .operands = {{d, 0, 0}, {parts, 0, 0}},
                       .bytes = 4.0 * (double)count};
    ar__split split = {.units = count,
                       .split = 1,
                       .items_per_unit = AR__SUM_WG,
                       .units_per_item = AR__SUM_SEGMENT,
                       .pass_start = true};
    return ar__emit_split(g, &e, &split);
}

static int64_t part_count(const ar_tensor *d) {
    return (ar_tensor_count(d) + AR__SUM_SEGMENT - 1) / AR__SUM_SEGMENT;
}

ar_status ar_op_clip(ar_graph *g, ar_tensor **factor, ar_tensor *const *d, int32_t count, float limit,
                     float scale) {
    int64_t parts_count = 0;
    ar_tensor *parts = NULL;
    *factor = NULL;
    if (count < 1 || !(limit >= 0) || !isfinite(scale))
        return ar__fail(AR_ERR_ARG, "clip: found %d tensors, limit %g and scale %g, expected some, 0 or more",
                        (int)count, (double)limit, (double)scale);
    for (int32_t i = 0; i < count; i++) {
        AR_TRY(ar__expect("clip d", d[i], AR_F32, d[i]->dim_count, d[i]->dims));
        parts_count += part_count(d[i]);
    }
    AR_TRY(ar_graph_temp(g, &parts, AR_F32, 1, &parts_count));
    AR_TRY(ar_graph_temp(g, factor, AR_F32, 1, (int64_t[]){2}));
    for (int64_t i = 0, first = 0; i < count; first += part_count(d[i]), i++)
        AR_TRY(emit_squares(g, parts, d[i], first));
    struct {
        uint32_t n;
        float limit, scale;
    } p = {(uint32_t)parts_count, limit > 0 ? limit : 3.0e38f, scale};
    ar__emit_desc e = {.kernel = AR_K_clip_final,
                       .specs = {AR__SUM_WG, 1},
                       .params = &p,
                       .operands = {{parts, 0, 0}, {*factor, 0, 0}},
                       .groups = {1, 1, 1},
                       .bytes = 4.0 * (double)parts_count};
    return ar__emit(g, &e);
}

/* ---- steps ---- */

static ar_status check_state(const char *op, const char *name, const ar_tensor *t, const ar_tensor *p) {
    if (!t) return ar__fail(AR_ERR_ARG, "%s: %s is missing", op, name);
    if (t->dtype != AR_F32)
        return ar__fail(AR_ERR_DTYPE, "%s: %s is %s, expected f32", op, name, ar_dtype_name(t->dtype));
    if (ar_tensor_count(t) != ar_tensor_count(p))
        return ar__fail(AR_ERR_SHAPE, "%s: %s has %lld elements, p has %lld", op, name,
                        (long long)ar_tensor_count(t), (long long)ar_tensor_count(p));
    return AR_OK;
}

static ar_status check_step(const char *op, const ar_train_step *s) {
    AR_TRY(ar__op_check(op, "step", s->step, AR_I32, 1, 0));
    AR_TRY(ar__op_check(op, "rates", s->rates, AR_F32, -1, 4));
    return ar__op_check(op, "factor", s->factor, AR_F32, 2, 0);
}

/* params begin with units and vectors; the first `state` operands are of p's count. */
static ar_status emit_step(ar_graph *g, ar__emit_desc *e, uint32_t *params, uint32_t split) {
    int64_t count = ar_tensor_count(e->operands[0].t);
    const ar_plan *plan = &ar__graph_device(g)->plan;
    bool even = count % plan->vw == 0; /* else one launch that runs into the padding */
    params[1] = even ? 1 : (uint32_t)((count + plan->vw - 1) / plan->vw);
    e->specs[0] = plan->wg;
    e->specs[1] = 1;
    e->params = params;
    ar__split s = {.units = even ? count / plan->vw : 1, .split = split, .items_per_unit = params[1]};
    return ar__emit_split(g, e, &s);
}

ar_status ar_op_adamw_step(ar_graph *g, ar_tensor *p, const ar_tensor *d, ar_tensor *mean, ar_tensor *square,
                           const ar_train_step *s, float beta1, float beta2, float eps) {
    AR_TRY(check_state("adamw_step", "p", p, p));
    AR_TRY(check_state("adamw_step", "d", d, p));
    AR_TRY(check_state("adamw_step", "mean", mean, p));
    AR_TRY(check_state("adamw_step", "square", square, p));
    AR_TRY(check_step("adamw_step", s));
    union {
        struct {
            uint32_t units, vectors;
            float b1, b2, eps, decay;
        } p;
        uint32_t words[6];
    } v = {{0, 0, beta1, beta2, eps, s->decay}};
    ar__emit_desc e = {.kernel = AR_K_adamw_step,
                       .operands = {{p, 0, 0},
                                    {d, 0, 0},
                                    {mean, 0, 0},
                                    {square, 0, 0},
                                    {s->step, 0, 0},
                                    {s->rates, 0, 0},
                                    {s->factor, 0, 0}},
                       .bytes = 28.0 * (double)ar_tensor_count(p)};
    return emit_step(g, &e, v.words, 0xfu);
}

ar_status ar_op_sgd_step(ar_graph *g, ar_tensor *p, const ar_tensor *d, ar_tensor *mean,
                         const ar_train_step *s, float momentum) {
    AR_TRY(check_state("sgd_step", "p", p, p));
    AR_TRY(check_state("sgd_step", "d", d, p));
    AR_TRY(check_state("sgd_step", "mean", mean, p));
    AR_TRY(check_step("sgd_step", s));
    union {
        struct {
            uint32_t units, vectors;
            float momentum, decay;
        } p;
        uint32_t words[4];
    } v = {{0, 0, momentum, s->decay}};
    ar__emit_desc e = {
        .kernel = AR_K_sgd_step,
        .operands =
            {{p, 0, 0}, {d, 0, 0}, {mean, 0, 0}, {s->step, 0, 0}, {s->rates, 0, 0}, {s->factor, 0, 0}},
        .bytes = 20.0 * (double)ar_tensor_count(p)};
    return emit_step(g, &e, v.words, 0x7u);
}
