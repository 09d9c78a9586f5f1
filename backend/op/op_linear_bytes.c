/* y = f(x W'^T) of x in bytes with resident W', whose codes are multiplied as integers. Kernels: acts_bytes,
 * gemv_bytes and its variants; gemv_bytes_one, both for one row. No gradients. */
#include "op.h"
#include "resident_weight.h"

enum {
    ADD_BIAS = 1,
    ADD_RESIDUAL = 2,
    SILU_GATED = 4,
    NORMED = 8
}; /* of shaders/gemv_bytes.comp, …_one.comp */
enum { BLOCK_WORDS = 12, FEW = 4, GROUPS_WANTED = 32 };
/* gemv_bytes_one: the words of x that a group holds; a group's items, at most. */
enum { ONE_WORDS = 4096, ONE_ITEMS = 64, ONE_GROUPS = 4 };
#define MAX_GROUPS 65535

/* Columns of x^T that an item multiplies at once: what the registers hold. */
static uint32_t tile_of(const ar_device *device, int64_t N) {
    uint32_t most = device->plan.vw == 16 ? 2 * FEW : FEW;
    return N == 1 ? 1 : N <= FEW ? FEW : most;
}

static bool has_fours(const ar_resident_weight *W) { return W->code == 8; }

bool ar_resident_weight_takes_bytes(const ar_resident_weight *W) {
    return W->code <= 8 && W->scale > 0 && W->I % AR__BLOCK == 0;
}

static ar_status check_takes(const ar_resident_weight *W) {
    if (ar_resident_weight_takes_bytes(W)) return AR_OK;
    return ar__fail(AR_ERR_UNSUPPORTED, "linear_bytes: %s rows of %lld, expected codes of at most 8 bits",
                    ar_qtype_name(W->type), (long long)W->I);
}

ar_status ar_op_acts_bytes(ar_graph *g, ar_tensor **bytes, const ar_tensor *x, const ar_tensor *norm,
                           float eps, const ar_resident_weight *W) {
    AR_TRY(check_takes(W));
    AR_TRY(ar__op_check("acts_bytes", "x", x, AR_F32, -1, W->I));
    if (norm) AR_TRY(ar__op_check("acts_bytes", "norm", norm, AR_F32, W->I, 0));
    const ar_device *device = ar__graph_device(g);
    int64_t N = x->dims[0];
    uint32_t nc = tile_of(device, N), tiles = (uint32_t)((N + nc - 1) / nc), group = ar__row_group(device);
    AR_TRY(
        ar_graph_temp(g, bytes, AR_U32, 2, (int64_t[]){tiles, (int64_t)W->nb * BLOCK_WORDS * (int64_t)nc}));
    if (N == 0) return AR_OK;
    struct {
        uint32_t end, row0, N, nb;
        float eps;
    } p = {0, 0, (uint32_t)N, W->nb, eps};
    double flops = 6.0 * (double)(N * W->I), bytes_moved = 5.5 * (double)(N * W->I);
    ar__emit_desc d = {.kernel = AR_K_acts_bytes,
                       .specs = {group, 1, nc, has_fours(W), norm != NULL},
                       .params = &p,
                       .operands = {{x, 0, 0}, {norm ? norm : x, 0, 0}, {*bytes, 0, 0}}};
    int64_t rows = (int64_t)tiles * nc;
    for (ar__cut c = ar__cut_by_time(&device->plan, rows, 1, flops, bytes_moved); ar__cut_next(&c);) {
        double share = (double)c.count / (double)rows;
        p.row0 = (uint32_t)c.first;
        p.end = (uint32_t)(c.first + c.count);
        d.flops = share * flops;
        d.bytes = share * bytes_moved;
        ar__groups_1d(device, d.groups, (uint64_t)c.count * group, group);
        AR_TRY(ar__emit(g, &d));
    }
    return AR_OK;
}

/* ---- the product ---- */

typedef struct product {
    const ar_tensor *y, *bytes, *bias, *residual;
    const ar_tensor *x, *norm; /* gemv_bytes_one's; else NULL */
    float eps;
    const ar_resident_weight *W;
    int64_t N, ldy;
    uint32_t nc, flags;
} product;

/* Tiles [t0, t1) of columns over a range of panels. */
static ar_status emit(ar_graph *g, const product *p, const ar__panels *range, uint32_t t0, uint32_t t1) {
    const ar_resident_weight *W = p->W;
    int64_t height = (int64_t)W->lp * W->vw, row0 = range->first * height, rows = range->count * height;
    if (rows > W->O - row0) rows = W->O - row0;
    uint32_t items = (uint32_t)((rows + W->vw - 1) / W->vw), wgx = W->device->plan.resident_wgx;
    uint32_t groups = (items + wgx - 1) / wgx, parts = (GROUPS_WANTED + groups - 1) / groups;
    if (parts > t1 - t0 || !ar__wants_few_items(W->device)) parts = t1 - t0;
    uint32_t tiles = (t1 - t0 + parts - 1) / parts;
    struct {
        uint32_t items, nb, ub, gb, pw, row0, O, ldy, t0, t1, tiles, N, flags, w0;
    } v = {items, W->nb, W->ub, W->gb,          W->pw,    (uint32_t)row0, (uint32_t)W->O, (uint32_t)p->ldy,
           t0,    t1,    tiles, (uint32_t)p->N, p->flags, range->shift};
    ar__emit_desc d = {.kernel = (ar__kernel_id)W->device->plan.variants[AR_F_gemv_bytes],
                       .specs = {wgx, 1, W->code, W->scale, p->nc, W->lp},
                       .params = &v,
                       .groups = {groups, (t1 - t0 + tiles - 1) / tiles}};
    d.operands[0] = range->operand;
    d.operands[1] = (ar__operand){p->bytes, 0, 0};
    d.operands[2] = (ar__operand){p->bias ? p->bias : p->bytes, 0, 0};
    d.operands[3] = (ar__operand){p->residual ? p->residual : p->bytes, 0, 0};
    d.operands[4] = (ar__operand){p->y, 0, 0};
    double columns = (double)(t1 - t0) * (double)p->nc;
    d.flops = 2.0 * columns * (double)rows * (double)W->I;
    d.bytes = (double)W->pw * 4.0 * (double)rows + columns * (1.5 * (double)W->I + 4.0 * (double)rows);
    return ar__emit(g, &d);
}

/* A range of panels for one row of floats, in few groups, each of which makes bytes of them. */
static ar_status emit_one(ar_graph *g, const product *p, const ar__panels *range) {
    const ar_resident_weight *W = p->W;
    int64_t height = (int64_t)W->lp * W->vw, row0 = range->first * height, rows = range->count * height;
    if (rows > W->O - row0) rows = W->O - row0;
    uint32_t items = (uint32_t)((rows + W->vw - 1) / W->vw), each = (items + ONE_GROUPS - 1) / ONE_GROUPS;
    if (each > ONE_ITEMS) each = ONE_ITEMS;
    struct {
        uint32_t items, nb, ub, gb, pw, row0, O, flags, w0, each;
        float eps;
    } v = {items,          W->nb,    W->ub,        W->gb, W->pw, (uint32_t)row0,
           (uint32_t)W->O, p->flags, range->shift, each,  p->eps};
    ar__emit_desc d = {.kernel = AR_K_gemv_bytes_one,
                       .specs = {1, 1, W->code, W->scale, 1, W->lp},
                       .params = &v,
                       .groups = {(items + each - 1) / each, 1}};
    d.operands[0] = range->operand;
    d.operands[1] = (ar__operand){p->x, 0, 0};
    d.operands[2] = (ar__operand){p->norm ? p->norm : p->x, 0, 0};
    d.operands[3] = (ar__operand){p->bias ? p->bias : p->x, 0, 0};
    d.operands[4] = (ar__operand){p->residual ? p->residual : p->x, 0, 0};
    d.operands[5] = (ar__operand){p->y, 0, 0};
    d.flops = 2.0 * (double)rows * (double)W->I;
    d.bytes = (double)W->pw * 4.0 * (double)rows + 4.0 * (double)(W->I + rows);
    return ar__emit(g, &d);
}

/* Launches no longer than a submission, of whole tiles and panels. */
static ar_status multiply(ar_graph *g, const product *p) {
    const ar_plan *plan = &p->W->device->plan;
    double flops = 2.0 * (double)p->N * (double)p->W->O * (double)p->W->I;
    int64_t tiles = (p->N + p->nc - 1) / p->nc, most = ar__launch_units(plan, tiles, 1, flops, 0);
    if (most > MAX_GROUPS) most = MAX_GROUPS;
    double share = flops * (double)most / (double)tiles;
    double bytes = 4.0 * (double)p->W->pw * (double)p->W->O;
    int64_t panels = ar__launch_units(plan, p->W->panels, 1, share, bytes);
    for (ar__cut t = ar__cut_into(tiles, most); ar__cut_next(&t);)
        for (ar__cut c = ar__cut_into(p->W->panels, panels); ar__cut_next(&c);) {
            ar__panels range = ar__resident_bind(p->W, c.first, c.first + c.count);
            c.count = range.count;
            AR_TRY(p->x ? emit_one(g, p, &range)
                        : emit(g, p, &range, (uint32_t)t.first, (uint32_t)(t.first + t.count)));
        }
    return AR_OK;
}

static ar_status check(const product *p, int64_t O, const ar_resident_weight_fuse *fuse) {
    if (p->bias) AR_TRY(ar__op_check("linear_bytes", "bias", p->bias, AR_F32, p->W->O, 0));
    if (p->residual) AR_TRY(ar__op_check("linear_bytes", "residual", p->residual, AR_F32, p->N, O));
    if (fuse->silu_gated && p->W->O % 2 != 0)
        return ar__fail(AR_ERR_SHAPE, "linear_bytes: %lld rows are no pairs of gate and input",
                        (long long)p->W->O);
    return AR_OK;
}

static product make_product(const ar_resident_weight *W, int64_t N, const ar_resident_weight_fuse *fuse) {
    product p = {.bias = fuse->bias, .residual = fuse->residual, .W = W, .N = N, .nc = tile_of(W->device, N)};
    p.ldy = fuse->silu_gated ? W->O / 2 : W->O;
    p.flags = (fuse->bias ? ADD_BIAS : 0) | (fuse->residual ? ADD_RESIDUAL : 0) |
              (fuse->silu_gated ? SILU_GATED : 0);
    return p;
}

ar_status ar_op_linear_bytes(ar_graph *g, ar_tensor **y, const ar_tensor *bytes, int64_t N,
                             const ar_resident_weight *W, const ar_resident_weight_fuse *fuse) {
    const ar_resident_weight_fuse none = {0};
    if (!fuse) fuse = &none;
    *y = NULL;
    AR_TRY(check_takes(W));
    product p = make_product(W, N, fuse);
    int64_t tiles = (N + p.nc - 1) / p.nc, words = (int64_t)W->nb * BLOCK_WORDS * (int64_t)p.nc;
    p.bytes = bytes;
    AR_TRY(ar__op_check("linear_bytes", "bytes", bytes, AR_U32, tiles, words));
    AR_TRY(check(&p, p.ldy, fuse));
    if (fuse->norm) return ar__fail(AR_ERR_ARG, "linear_bytes: a norm, expected it of acts_bytes");
    AR_TRY(ar_graph_temp(g, y, AR_F32, 2, (int64_t[]){N, p.ldy}));
    p.y = *y;
    AR_TRY(ar__variant_settle(W->device, AR_F_gemv_bytes));
    return N == 0 || p.ldy == 0 ? AR_OK : multiply(g, &p);
}

/* ---- one row of floats ---- */

bool ar__takes_bytes_of_one(const ar_resident_weight *W) {
    return ar_resident_weight_takes_bytes(W) && W->nb * BLOCK_WORDS <= ONE_WORDS;
}

ar_status ar__op_linear_bytes_one(ar_graph *g, ar_tensor **y, const ar_tensor *x, const ar_resident_weight *W,
                                  const ar_resident_weight_fuse *fuse) {
    *y = NULL;
    product p = make_product(W, 1, fuse);
    p.x = x;
    p.norm = fuse->norm;
    p.eps = fuse->norm_eps;
    if (p.norm) p.flags |= NORMED;
    AR_TRY(check(&p, p.ldy, fuse));
    AR_TRY(ar__op_check("linear_bytes", "x", x, AR_F32, 1, W->I));
    if (p.norm) AR_TRY(ar__op_check("linear_bytes", "norm", p.norm, AR_F32, W->I, 0));
    AR_TRY(ar_graph_temp(g, y, AR_F32, 2, (int64_t[]){1, p.ldy}));
    p.y = *y;
    return p.ldy == 0 ? AR_OK : multiply(g, &p);
}
