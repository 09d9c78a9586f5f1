/* Grids by search, and soft codes on them with their true gradient (docs/methods.md, search and soft codes;
 * the softmax over neighbouring codes is that of GSQ, arXiv 2604.18556, without its noise; docs/frozen.md,
 * codes between two, after TesseraQ, arXiv 2410.19103). Kernels: group_search, super_grid, soft_start,
 * soft_forward(_any), soft_step(_any), frozen_start, frozen_forward(_any), frozen_step(_any), frozen_decide.
 */
#include "op.h"
#include <math.h>

/* A weight (O, I) in groups; unit: as many groups as share a and b. */
typedef struct shape {
    int64_t O, I, groups, units;
    uint32_t G, per_unit, hw;
    float Q;
    bool tied; /* the zero point moves with the scale */
} shape;

static ar_status shape_of(const char *op, shape *s, const ar_graph *g, const char *name, const ar_tensor *W,
                          const ar_scheme *scheme) {
    AR_TRY(ar_scheme_check(scheme));
    AR_TRY(ar__op_check(op, name, W, AR_F32, -1, -1));
    bool super = scheme->super != AR_SUPER_NONE;
    *s = (shape){.O = W->dims[0], .I = W->dims[1], .Q = (float)((1 << scheme->bits) - 1)};
    if (super && s->I % AR_SUPER_BLOCK != 0)
        return ar__fail(AR_ERR_SHAPE, "%s: %lld inputs, expected a multiple of %d", op, (long long)s->I,
                        AR_SUPER_BLOCK);
    s->groups = ar_scheme_groups(scheme, s->I);
    s->G = s->groups == 1 ? (uint32_t)s->I : (uint32_t)scheme->group;
    s->per_unit = super ? (uint32_t)(AR_SUPER_BLOCK / scheme->group) : 1;
    s->units = s->groups / s->per_unit;
    s->tied = scheme->zero != AR_ZERO_F16MIN;
    for (uint32_t hw = ar__graph_device(g)->plan.vw; hw >= 4 && s->hw == 0; hw /= 2)
        if (s->I % hw == 0 && (s->groups == 1 || s->G % hw == 0)) s->hw = hw;
    return AR_OK;
}

static ar_status check_table(const char *op, const char *name, const ar_tensor *t, int64_t rows, int64_t cols,
                             int64_t each) {
    if (!t) return ar__fail(AR_ERR_ARG, "%s: %s is missing", op, name);
    if (t->dtype != AR_F32)
        return ar__fail(AR_ERR_DTYPE, "%s: %s is %s, expected f32", op, name, ar_dtype_name(t->dtype));
    if (t->dim_count != 3 || t->dims[0] != rows || t->dims[1] != cols || t->dims[2] != each)
        return ar__fail(AR_ERR_SHAPE, "%s: %s, expected (%lld, %lld, %lld)", op, name, (long long)rows,
                        (long long)cols, (long long)each);
    return AR_OK;
}

/* ---- grids ---- */

ar_status ar_op_group_search(ar_graph *g, ar_tensor *grid, const ar_tensor *W, const ar_tensor *importance,
                             const ar_scheme *scheme) {
    shape s;
    AR_TRY(shape_of("group_search", &s, g, "W", W, scheme));
    if (scheme->super != AR_SUPER_NONE)
        return ar__fail(AR_ERR_ARG, "group_search: found a double-quantized scheme, expected plain groups");
    AR_TRY(check_table("group_search", "grid", grid, s.O, s.groups, 2));
    if (importance) AR_TRY(ar__op_check("group_search", "importance", importance, AR_F32, s.I, 0));
    struct {
        uint32_t rows, I, G, gpr, weighted, kind;
        float Q, zmin;
    } p = {0,   (uint32_t)s.I,          s.G, (uint32_t)s.groups, importance != NULL, (uint32_t)scheme->zero,
           s.Q, (float)scheme->zero_min};
    ar__operand weights = importance ? (ar__operand){importance, 0, 0} : (ar__operand){W, 0, 64};
    ar__emit_desc d = {.kernel = AR_K_group_search,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{W, 0, 0}, weights, {grid, 0, 0}},
                       .flops = 225 * 9.0 * (double)(s.O * s.I),
                       .bytes = 4.0 * (double)(s.O * s.I) + 8.0 * (double)(s.O * s.groups)};
    return ar__emit_split(g, &d, &(ar__split){.units = s.O, .split = 5u, .items_per_unit = p.gpr});
}

ar_status ar_op_super_grid(ar_graph *g, ar_tensor *grid, const ar_tensor *start, const ar_scheme *scheme) {
    AR_TRY(ar_scheme_check(scheme));
    if (!start || start->dim_count != 3) return ar__fail(AR_ERR_ARG, "super_grid: start is missing");
    AR_TRY(check_table("super_grid", "start", start, start->dims[0], start->dims[1], 4));
    AR_TRY(check_table("super_grid", "grid", grid, start->dims[0], start->dims[1], 2));
    struct {
        uint32_t n, pairs;
        float zp;
    } p = {0, scheme->zero == AR_ZERO_F16MIN, (float)(1 << (scheme->bits - 1))};
    int64_t count = start->dims[0] * start->dims[1];
    ar__emit_desc d = {.kernel = AR_K_super_grid,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{start, 0, 0}, {grid, 0, 0}},
                       .bytes = 24.0 * (double)count};
    return ar__emit_split(g, &d, &(ar__split){.units = count, .split = 3u});
}

/* ---- places and codes ---- */

ar_status ar_op_soft_start(ar_graph *g, ar_tensor *u, const ar_tensor *W, const ar_tensor *grid,
                           const ar_scheme *scheme, ar_soft_form form) {
    shape s;
    AR_TRY(shape_of("soft_start", &s, g, "W", W, scheme));
    AR_TRY(ar__op_check("soft_start", "u", u, AR_F32, s.O, s.I));
    AR_TRY(check_table("soft_start", "grid", grid, s.O, s.groups, 2));
    struct {
        uint32_t rows, I, G, gpr;
        float Q;
    } p = {0, (uint32_t)s.I, s.G, (uint32_t)s.groups, s.Q};
    ar__emit_desc d = {.kernel = form == AR_SOFT_TWO ? AR_K_frozen_start : AR_K_soft_start,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{W, 0, 0}, {grid, 0, 0}, {u, 0, 0}},
                       .bytes = 8.0 * (double)(s.O * s.I) + 8.0 * (double)(s.O * s.groups)};
    return ar__emit_split(g, &d, &(ar__split){.units = s.O, .split = 7u, .items_per_unit = p.gpr});
}

/* What forward and step share. */
typedef struct places {
    uint32_t rows, RV, GV, NG, gpr, upr;
    float Q;
    uint32_t tied;
} places;

static places places_of(const shape *s) {
    uint32_t each = s->hw ? s->hw : 1;
    return (places){0,
                    (uint32_t)s->I / each,
                    s->G / each,
                    s->per_unit,
                    (uint32_t)s->groups,
                    (uint32_t)s->units,
                    s->Q,
                    s->tied};
}

/* Of the forward: shifts spare its many items whole divisions. */
typedef struct forward_places {
    uint32_t rows, RV, LV, lshift, GV, gshift, gpr, nshift;
    float Q;
    uint32_t tied, hard;
} forward_places;

static forward_places forward_places_of(const shape *s, bool hard) {
    places p = places_of(s);
    bool whole = s->I % s->G == 0; /* groups follow each other without a short one */
    uint32_t LV = whole ? p.GV : p.RV;
    return (forward_places){
        0,   p.RV,   LV,  ar__shift_of(LV), p.GV, ar__shift_of(p.GV), whole ? 1 : p.gpr, ar__shift_of(p.NG),
        p.Q, p.tied, hard};
}

static ar_status check_soft(const char *op, const shape *s, const ar_soft *soft) {
    AR_TRY(ar__op_check(op, "u", soft->u, AR_F32, s->O, s->I));
    AR_TRY(check_table(op, "grid", soft->grid, s->O, s->groups, 2));
    AR_TRY(check_table(op, "ab", soft->ab, s->O, s->units, soft->form == AR_SOFT_TWO ? 8 : 4));
    if (soft->square) AR_TRY(ar__op_check(op, "square", soft->square, AR_F32, s->O, s->I));
    AR_TRY(ar__op_check(op, "rates", soft->rates, AR_F32, -1, 4));
    return ar__op_check(op, "step", soft->step, AR_I32, 1, 0);
}

ar_status ar_op_soft_quant(ar_graph *g, ar_tensor **Wq, const ar_soft *soft, bool hard) {
    shape s;
    *Wq = NULL;
    AR_TRY(shape_of("soft_quant", &s, g, "u", soft->u, &soft->scheme));
    AR_TRY(check_soft("soft_quant", &s, soft));
    ar_tensor *y = NULL;
    AR_TRY(ar__output(g, &y, AR_F32, 2, soft->u->dims, NULL, NULL, NULL));
    y->needs_grad = !hard;
    forward_places p = forward_places_of(&s, hard);
    bool two = soft->form == AR_SOFT_TWO;
    ar__emit_desc d = {.kernel = two    ? s.hw ? AR_K_frozen_forward : AR_K_frozen_forward_any
                                 : s.hw ? AR_K_soft_forward
                                        : AR_K_soft_forward_any,
                       .specs = {ar__graph_device(g)->plan.wg, 1, s.hw},
                       .params = &p,
                       .operands = {{soft->u, 0, 0},
                                    {soft->grid, 0, 0},
                                    {soft->ab, 0, 0},
                                    {y, 0, 0},
                                    {soft->rates, 0, 0},
                                    {soft->step, 0, 0}},
                       .flops = 40.0 * (double)(s.O * s.I),
                       .bytes = 8.0 * (double)(s.O * s.I) + 24.0 * (double)(s.O * s.groups)};
    if (two) d.operands[4] = d.operands[5] = (ar__operand){NULL, 0, 0};
    AR_TRY(ar__emit_split(g, &d, &(ar__split){.units = s.O, .split = 15u, .items_per_unit = p.RV}));
    *Wq = y;
    return AR_OK;
}

ar_status ar_op_soft_step(ar_graph *g, const ar_soft *soft, ar_tensor *momentum, const ar_tensor *dWq) {
    shape s;
    AR_TRY(shape_of("soft_step", &s, g, "u", soft->u, &soft->scheme));
    AR_TRY(check_soft("soft_step", &s, soft));
    AR_TRY(ar__op_check("soft_step", "momentum", momentum, AR_F32, s.O, s.I));
    AR_TRY(ar__op_check("soft_step", "dWq", dWq, AR_F32, s.O, s.I));
    places p = places_of(&s);
    ar__emit_desc d = {.kernel = s.hw ? AR_K_soft_step : AR_K_soft_step_any,
                       .specs = {ar__graph_device(g)->plan.wg, 1, s.hw},
                       .params = &p,
                       .operands = {{dWq, 0, 0},
                                    {soft->u, 0, 0},
                                    {momentum, 0, 0},
                                    {soft->grid, 0, 0},
                                    {soft->ab, 0, 0},
                                    {soft->rates, 0, 0},
                                    {soft->step, 0, 0}},
                       .flops = 60.0 * (double)(s.O * s.I),
                       .bytes = 20.0 * (double)(s.O * s.I) + 40.0 * (double)(s.O * s.groups)};
    return ar__emit_split(g, &d, &(ar__split){.units = s.O, .split = 31u, .items_per_unit = p.upr});
}

ar_status ar_op_frozen_step(ar_graph *g, const ar_soft *soft, ar_tensor *momentum, const ar_tensor *dWq) {
    shape s;
    AR_TRY(shape_of("frozen_step", &s, g, "u", soft->u, &soft->scheme));
    AR_TRY(check_soft("frozen_step", &s, soft));
    AR_TRY(ar__op_check("frozen_step", "momentum", momentum, AR_F32, s.O, s.I));
    AR_TRY(ar__op_check("frozen_step", "square", soft->square, AR_F32, s.O, s.I));
    AR_TRY(ar__op_check("frozen_step", "dWq", dWq, AR_F32, s.O, s.I));
    places p = places_of(&s);
    ar__emit_desc d = {.kernel = s.hw ? AR_K_frozen_step : AR_K_frozen_step_any,
                       .specs = {ar__graph_device(g)->plan.wg, 1, s.hw},
                       .params = &p,
                       .operands = {{dWq, 0, 0},
                                    {soft->u, 0, 0},
                                    {momentum, 0, 0},
                                    {soft->square, 0, 0},
                                    {soft->grid, 0, 0},
                                    {soft->ab, 0, 0},
                                    {soft->rates, 0, 0},
                                    {soft->step, 0, 0}},
                       .flops = 60.0 * (double)(s.O * s.I),
                       .bytes = 28.0 * (double)(s.O * s.I) + 56.0 * (double)(s.O * s.groups)};
    return ar__emit_split(g, &d, &(ar__split){.units = s.O, .split = 63u, .items_per_unit = p.upr});
}

ar_status ar_op_frozen_decide(ar_graph *g, ar_tensor *u, const ar_tensor *room, const ar_scheme *scheme) {
    AR_TRY(ar_scheme_check(scheme));
    AR_TRY(ar__op_check("frozen_decide", "u", u, AR_F32, -1, -1));
    AR_TRY(ar__op_check("frozen_decide", "room", room, AR_F32, 1, 0));
    struct {
        uint32_t n;
        float Q;
    } p = {0, (float)((1 << scheme->bits) - 1)};
    int64_t count = ar_tensor_count(u);
    ar__emit_desc d = {.kernel = AR_K_frozen_decide,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{u, 0, 0}, {room, 0, 0}},
                       .bytes = 8.0 * (double)count};
    return ar__emit_split(g, &d, &(ar__split){.units = count, .split = 1u, .units_per_item = 1});
}

void ar_frozen_rates(float *rates, int32_t T, float rate, float scale_rate) {
    double power1 = 1.0, power2 = 1.0;
    for (int32_t t = 0; t <= T; t++) {
        float *row = rates + 4 * t;
        power1 *= 0.9;
        power2 *= 0.999;
        row[0] = (float)((double)rate / T / (1.0 - power1));
        row[1] = (float)((double)scale_rate / T / (1.0 - power1));
        row[2] = (float)(1.0 / (1.0 - power2));
        row[3] = 0.0f;
    }
}

void ar_soft_rates(float *rates, int32_t T, float rate, float scale_rate) {
    static const float shares[] = {.50f, .35f, .25f, .18f, .12f, .08f, .05f, .03f, .015f, .005f};
    for (int32_t t = 0; t <= T; t++) {
        double at = (double)t / T, decay = .1 + .45 * (1.0 + cos(3.14159265358979323846 * at));
        double kappa = 100.0 + 400.0 * at, tau = 2.0 - 1.95 * at;
        int32_t stage = 2 * t < T ? -1 : (int32_t)((2 * at - 1.0) * 10.0);
        float *row = rates + 4 * t;
        row[0] = (float)(.03 * kappa / tau);
        row[1] = (float)(decay * (double)rate / T);
        row[2] = (float)(decay * (double)scale_rate / T);
        row[3] = stage < 0 ? 1.0f : shares[stage > 9 ? 9 : stage];
    }
}
