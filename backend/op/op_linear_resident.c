/* y = f(x W'^T) with resident W': GEMV kernels decode W' in registers; more rows of x than the plan gives
 * them go through decoded panels and gemm (gemm.c). No gradients. */
#include "op.h"
#include "resident_weight.h"
#include "tiles.h"
#include <string.h>

enum { ADD_BIAS = 1, ADD_RESIDUAL = 2, SILU_GATED = 4 }; /* of shaders/gemv.h and finish.comp */
enum { GEMV_FEW = 4 };       /* columns of a group; other kernels have 1 and plan.resident_tile */
enum { TAKING_GROUPS = 32 }; /* of gemv_lanes, as many as llvmpipe has threads at most */
#define MAX_GROUPS 65535

typedef struct product {
    ar_tensor *y;
    const ar_tensor *x; /* (N, at least I), whole blocks of 32 for gemv */
    const ar_resident_weight *W;
    const ar_tensor *bias, *residual; /* NULL = none */
    const ar_tensor *norm;            /* left to gemv; NULL = none, or done already */
    float eps;
    int64_t N, O; /* of y */
    uint32_t flags;
    const ar_plan *plan; /* with the tiles for N rows */
} product;

/* ---- GEMV ---- */

static uint32_t gemv_tile(const ar_plan *plan, int64_t columns) {
    return columns == 1 ? 1 : columns <= GEMV_FEW ? GEMV_FEW : plan->resident_tile;
}

/* Columns [n0, n0 + columns) over a range of panels. */
static ar_status emit_gemv(ar_graph *g, const product *p, const ar__panels *range, int64_t n0,
                           int64_t columns) {
    const ar_resident_weight *W = p->W;
    const ar_plan *plan = p->plan;
    ar__kernel_id kernel = (ar__kernel_id)plan->variants[AR_F_gemv];
    uint32_t lanes = kernel == AR_K_gemv_lanes ? plan->resident_lanes : 0;
    int64_t height = (int64_t)W->lp * W->vw, row0 = range->first * height, rows = range->count * height;
    if (rows > W->O - row0) rows = W->O - row0;
    struct {
        uint32_t items, nb, ub, gb, pw, row0, O, ldx, ldy, n0, columns, flags, w0, I;
        float eps;
    } v = {(uint32_t)((rows + W->vw - 1) / W->vw),
           W->nb,
           W->ub,
           W->gb,
           W->pw,
           (uint32_t)row0,
           (uint32_t)W->O,
           (uint32_t)(lanes ? p->x->dims[1] : p->x->dims[1] / 4),
           (uint32_t)p->O,
           (uint32_t)n0,
           (uint32_t)columns,
           p->flags,
           range->shift,
           (uint32_t)W->I,
           p->eps};
    ar__emit_desc d = {.kernel = kernel, .params = &v};
    uint32_t wgx = lanes ? lanes : plan->resident_wgx;
    uint32_t tile = gemv_tile(plan, columns);
    uint32_t specs[] = {wgx, plan->resident_wgy, W->code, W->scale, tile, W->lp, p->norm != NULL};
    for (int i = 0; i < 7; i++) d.specs[i] = specs[i];
    d.operands[0] = range->operand;
    d.operands[1] = (ar__operand){p->x, 0, 0};
    d.operands[2] = (ar__operand){p->bias ? p->bias : p->x, 0, 0};
    d.operands[3] = (ar__operand){p->residual ? p->residual : p->x, 0, 0};
    d.operands[4] = (ar__operand){p->norm ? p->norm : p->x, 0, 0};
    d.operands[5] = (ar__operand){p->y, 0, 0};
    d.groups[0] = (v.items + wgx - 1) / wgx;
    d.groups[1] = (uint32_t)((columns + tile - 1) / tile);
    if (kernel == AR_K_gemv_lanes) {
        AR_TRY(ar__device_turn(ar__graph_device(g), &d.operands[6].t));
        uint64_t tiles = (uint64_t)d.groups[0] * d.groups[1];
        d.groups[0] = tiles < TAKING_GROUPS ? (uint32_t)tiles : TAKING_GROUPS;
        d.groups[1] = 1;
    }
    d.flops = 2.0 * (double)columns * (double)rows * (double)W->I;
    d.bytes = (double)W->pw * 4.0 * (double)rows + 4.0 * (double)(columns * (W->I + rows));
    return ar__emit(g, &d);
}

/* x with rows of whole blocks, zeros behind them. */
static ar_status pad(ar_graph *g, ar_tensor **padded, const ar_tensor *x, int64_t width) {
    struct {
        uint32_t rows, I, width;
    } v = {(uint32_t)x->dims[0], (uint32_t)x->dims[1], (uint32_t)width};
    AR_TRY(ar_graph_temp(g, padded, AR_F32, 2, (int64_t[]){x->dims[0], width}));
    uint32_t wg = ar__graph_device(g)->plan.wg;
    ar__emit_desc d = {.kernel = AR_K_pad_rows, .specs = {wg, 1}, .params = &v};
    d.operands[0] = (ar__operand){x, 0, 0};
    d.operands[1] = (ar__operand){*padded, 0, 0};
    d.bytes = 4.0 * (double)(x->dims[0] * (x->dims[1] + width));
    return ar__emit_split(g, &d,
                          &(ar__split){.units = x->dims[0], .split = 3, .items_per_unit = (uint32_t)width});
}

/* Columns and panels of one launch: as long as the plan allows a submission to be, the columns in whole
 * groups. */
static void launch_size(int64_t *columns, int64_t *panels, const product *p) {
    const ar_resident_weight *W = p->W;
    const ar_plan *plan = p->plan;
    int64_t tile = gemv_tile(plan, p->N);
    double each = 2.0 * (double)W->O * (double)W->I; /* flops of a column */
    *columns = ar__launch_units(plan, p->N, tile, each * (double)p->N, 0);
    if (*columns > MAX_GROUPS * tile) *columns = MAX_GROUPS * tile;
    double bytes = 4.0 * (double)W->pw * (double)W->O + 4.0 * (double)*columns * (double)(W->I + W->O);
    *panels = ar__launch_units(plan, W->panels, 1, each * (double)*columns, bytes);
}

static ar_status gemv(ar_graph *g, const product *whole) {
    product p = *whole;
    ar_tensor *padded = NULL;
    if (p.W->I % AR__BLOCK != 0) {
        AR_TRY(pad(g, &padded, p.x, (int64_t)p.W->nb * AR__BLOCK));
        p.x = padded;
    }
    int64_t most = 0, panels = 0;
    launch_size(&most, &panels, &p);
    for (ar__cut n = ar__cut_into(p.N, most); ar__cut_next(&n);)
        for (ar__cut c = ar__cut_into(p.W->panels, panels); ar__cut_next(&c);) {
            ar__panels range = ar__resident_bind(p.W, c.first, c.first + c.count);
            c.count = range.count;
            AR_TRY(emit_gemv(g, &p, &range, n.first, n.count));
        }
    return AR_OK;
}

/* ---- GEMM ---- */

static ar_status finish(ar_graph *g, const product *p, const ar_tensor *t) {
    struct {
        uint32_t rows, O, flags;
    } v = {0, (uint32_t)p->O, p->flags};
    const ar_device *device = ar__graph_device(g);
    bool wide = ar__wants_few_items(device) && p->O % device->plan.vw == 0;
    ar__emit_desc d = {.kernel = AR_K_finish, .specs = {device->plan.wg, 1, wide}, .params = &v};
    d.operands[0] = (ar__operand){t, 0, 0};
    const ar__operand none = {t, 0, 64}; /* something to bind: all of t may pass what one binding holds */
    d.operands[1] = p->bias ? (ar__operand){p->bias, 0, 0} : none;
    d.operands[2] = p->residual ? (ar__operand){p->residual, 0, 0} : none;
    d.operands[3] = (ar__operand){p->y, 0, 0};
    d.bytes = 8.0 * (double)(p->N * p->O);
    uint32_t split = 1u | 1u << 3 | (p->residual ? 1u << 2 : 0);
    return ar__emit_split(g, &d,
                          &(ar__split){.units = p->N,
                                       .split = split,
                                       .items_per_unit = (uint32_t)p->O / (wide ? device->plan.vw : 1)});
}

static ar_status gemm(ar_graph *g, const product *p) {
    ar_tensor *t = p->y;
    if (p->flags != 0) AR_TRY(ar_graph_temp(g, &t, AR_F32, 2, (int64_t[]){p->N, p->W->O}));
    AR_TRY(ar__gemm_resident(g, t, p->x, p->W));
    return p->flags != 0 ? finish(g, p, t) : AR_OK;
}

/* ---- the op ---- */

static ar_status check(const product *p, const ar_tensor *x, const ar_resident_weight_fuse *fuse) {
    AR_TRY(ar__op_check("linear_resident", "x", x, AR_F32, -1, p->W->I));
    if (p->bias) AR_TRY(ar__op_check("linear_resident", "bias", p->bias, AR_F32, p->W->O, 0));
    if (p->residual) AR_TRY(ar__op_check("linear_resident", "residual", p->residual, AR_F32, p->N, p->O));
    if (fuse->norm) AR_TRY(ar__op_check("linear_resident", "norm", fuse->norm, AR_F32, p->W->I, 0));
    if (fuse->silu_gated && p->W->O % 2 != 0)
        return ar__fail(AR_ERR_SHAPE, "linear_resident: %lld rows are no pairs of gate and input",
                        (long long)p->W->O);
    return AR_OK;
}

/* gemv binds x and y whole, gemm in pieces. */
static bool takes_gemv(const ar_plan *plan, const product *p) {
    int64_t widest = p->W->I > p->W->O ? p->W->I : p->W->O;
    uint64_t bytes = 4 * (uint64_t)p->N * (uint64_t)(widest + AR__BLOCK);
    return p->N <= plan->resident_columns && (p->N <= plan->resident_tile || bytes <= plan->piece_bytes);
}

/* x and y are bound whole. */
static bool takes_bytes(const ar_plan *plan, const product *p) {
    int64_t widest = 2 * p->W->I > p->W->O ? 2 * p->W->I : p->W->O;
    return ar_resident_weight_takes_bytes(p->W) &&
           4 * (uint64_t)(p->N + 8) * (uint64_t)widest <= plan->piece_bytes;
}

static ar_status by_bytes(ar_graph *g, ar_tensor **y, const product *p, const ar_resident_weight_fuse *fuse) {
    ar_tensor *bytes = NULL;
    ar_resident_weight_fuse rest = *fuse;
    const ar_device *device = p->W->device;
    bool saves_launches = ar__wants_few_items(device) && strcmp(device->facts.api, "cl") == 0;
    if (saves_launches && p->N == 1 && ar__takes_bytes_of_one(p->W))
        return ar__op_linear_bytes_one(g, y, p->x, p->W, fuse);
    rest.norm = NULL;
    AR_TRY(ar_op_acts_bytes(g, &bytes, p->x, fuse->norm, fuse->norm_eps, p->W));
    return ar_op_linear_bytes(g, y, bytes, p->N, p->W, &rest);
}

ar_status ar_op_linear_resident(ar_graph *g, ar_tensor **y, ar_tensor *x, const ar_resident_weight *W,
                                const ar_resident_weight_fuse *fuse) {
    const ar_resident_weight_fuse none = {0};
    if (!fuse) fuse = &none;
    *y = NULL;
    product p = {.x = x, .W = W, .bias = fuse->bias, .residual = fuse->residual, .O = W->O};
    p.flags = (fuse->bias ? ADD_BIAS : 0) | (fuse->residual ? ADD_RESIDUAL : 0) |
              (fuse->silu_gated ? SILU_GATED : 0);
    if (fuse->silu_gated) p.O /= 2;
    p.N = x && x->dim_count == 2 ? x->dims[0] : 0;
    AR_TRY(check(&p, x, fuse));
    if (fuse->bytes && takes_bytes(&W->device->plan, &p)) return by_bytes(g, y, &p, fuse);
    AR_TRY(ar_graph_temp(g, y, AR_F32, 2, (int64_t[]){p.N, p.O}));
    if (p.N == 0 || p.O == 0) return AR_OK;
    p.y = *y;
    ar_plan at;
    AR_TRY(ar__variant_settle(W->device, AR_F_gemv));
    const ar_plan *plan = p.plan = ar__plan_at(&at, &W->device->plan, AR_F_gemv, p.N);
    bool in_registers = takes_gemv(plan, &p);
    if (fuse->norm && in_registers && p.N <= GEMV_FEW && W->I % AR__BLOCK == 0 &&
        (uint64_t)W->O * (uint64_t)W->I <= plan->resident_norm) {
        p.norm = fuse->norm;
        p.eps = fuse->norm_eps;
    } else if (fuse->norm) {
        ar_tensor *normed = NULL;
        AR_TRY(ar_op_rms_norm(g, &normed, x, (ar_tensor *)(uintptr_t)fuse->norm, fuse->norm_eps));
        p.x = normed;
    }
    return in_registers ? gemv(g, &p) : gemm(g, &p);
}
