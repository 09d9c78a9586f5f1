/* Norms with one gain per channel and statistics over any of images, places and channels. Images are cut into
 * (image, channel) pairs once; every reading is then a mean over pairs, in a fixed order. */
#include "op.h"

typedef struct norm_ctx {
    ar_tensor *x, *gamma, *beta, *y, *stat, *centre; /* centre: SAMPLE's means of images */
    int64_t B, P, C;
    uint32_t by_image, by_channel;
    float eps;
    ar_stats stats;
    bool constant; /* statistics have no gradient */
} norm_ctx;

/* Which pairs a norm's own statistics are over: member i of group j is pair j per_group + i per_member. */
typedef struct members {
    int64_t groups, n, per_group, per_member;
} members;

static members members_of(const norm_ctx *c, ar_stats stats) {
    if (stats == AR_STATS_BATCH) return (members){c->C, c->B, 1, c->C};
    if (stats == AR_STATS_LAYER) return (members){c->B, c->C, c->C, 1};
    return (members){1, c->B * c->C, 0, 1};
}

/* ---- checks ---- */

static ar_status check_running(const ar_spread_norm *n, int64_t C) {
    if (!(n->eps >= 0) || !(n->momentum >= 0 && n->momentum <= 1))
        return ar__fail(AR_ERR_ARG, "spread_norm: found eps %g, momentum %g, expected at least 0, 0 to 1",
                        (double)n->eps, (double)n->momentum);
    if (n->stats == AR_STATS_LAYER) return AR_OK;
    if (!n->running) return ar__fail(AR_ERR_ARG, "spread_norm: found no running statistics, expected some");
    return ar__expect("spread_norm running", n->running, AR_F32, 2,
                      (int64_t[]){n->stats == AR_STATS_BATCH ? C : 1, 2});
}

static ar_status check(const ar_tensor *x, const ar_tensor *gamma, const ar_tensor *beta,
                       const ar_spread_norm *n) {
    AR_TRY(ar__expect("spread_norm x", x, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect("spread_norm gamma", gamma, AR_F32, 1, (int64_t[]){x->dims[1]}));
    AR_TRY(ar__expect("spread_norm beta", beta, AR_F32, 1, (int64_t[]){x->dims[1]}));
    if (n->places < 1 || x->dims[0] < 1 || x->dims[0] % n->places)
        return ar__fail(AR_ERR_SHAPE, "spread_norm: x has %lld rows, expected images of %lld",
                        (long long)x->dims[0], (long long)n->places);
    return check_running(n, x->dims[1]);
}

/* ---- statistics ---- */

static ar_status emit_stat(ar_graph *g, ar_tensor *stat, const ar_tensor *part, members m, float between) {
    uint32_t group = ar__row_group(ar__graph_device(g));
    struct {
        uint32_t groups, n, per_group, per_member;
        float between;
    } p = {0, (uint32_t)m.n, (uint32_t)m.per_group, (uint32_t)m.per_member, between};
    ar__emit_desc d = {.kernel = AR_K_lbn_stat,
                       .specs = {group, 1},
                       .params = &p,
                       .operands = {{part, 0, 0}, {stat, 0, 0}},
                       .groups = {0},
                       .bytes = 16.0 * (double)(m.n * m.groups)};
    p.groups = (uint32_t)m.groups;
    ar__groups_1d(ar__graph_device(g), d.groups, (uint64_t)m.groups * group, group);
    return ar__emit(g, &d);
}

static ar_status emit_running(ar_graph *g, const ar_spread_norm *n, const ar_tensor *stat) {
    if (!n->running || n->momentum == 0) return AR_OK;
    struct {
        uint32_t n;
        float momentum;
    } p = {0, n->momentum};
    ar__emit_desc d = {.kernel = AR_K_lbn_running,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{n->running, 0, 0}, {stat, 0, 0}}};
    return ar__emit_split(g, &d, &(ar__split){.units = ar_tensor_count(stat)});
}

/* c->stat and c->centre from the batch. */
static ar_status make_stats(ar_graph *g, norm_ctx *c, const ar_spread_norm *n) {
    ar_tensor *part = NULL;
    AR_TRY(ar_graph_temp(g, &part, AR_F32, 2, (int64_t[]){c->B * c->C, 2}));
    uint32_t p[] = {0, (uint32_t)c->P, (uint32_t)c->C};
    ar__emit_desc d = {.kernel = AR_K_lbn_part,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = p,
                       .operands = {{c->x, 0, 0}, {part, 0, 0}},
                       .flops = 4.0 * (double)ar_tensor_count(c->x),
                       .bytes = 8.0 * (double)ar_tensor_count(c->x)};
    AR_TRY(ar__emit_split(g, &d, &(ar__split){.units = c->B, .split = 3, .items_per_unit = (uint32_t)c->C}));
    members m = members_of(c, c->stats);
    AR_TRY(ar_graph_temp(g, &c->stat, AR_F32, 2, (int64_t[]){m.groups, 2}));
    if (c->stats == AR_STATS_SAMPLE) {
        AR_TRY(ar_graph_temp(g, &c->centre, AR_F32, 2, (int64_t[]){c->B, 2}));
        AR_TRY(emit_stat(g, c->centre, part, members_of(c, AR_STATS_LAYER), 1));
        AR_TRY(emit_stat(g, c->stat, c->centre, (members){1, c->B, 0, 1}, 0));
    } else {
        AR_TRY(emit_stat(g, c->stat, part, m, 1));
    }
    return emit_running(g, n, c->stat);
}

/* ---- backward ---- */

static ar_status emit_part_grad(ar_graph *g, const norm_ctx *c, ar_tensor *part) {
    struct {
        uint32_t images, first, places, C, by_image, by_channel;
        float eps;
    } p = {0, 0, (uint32_t)c->P, (uint32_t)c->C, c->by_image, c->by_channel, c->eps};
    ar__emit_desc d = {.kernel = AR_K_lbn_part_grad,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{c->x, 0, 0}, {c->y->grad, 0, 0}, {c->stat, 0, 0}, {part, 0, 0}},
                       .flops = 4.0 * (double)ar_tensor_count(c->x),
                       .bytes = 8.0 * (double)ar_tensor_count(c->x)};
    ar__split split = {.units = c->B, .split = 11, .items_per_unit = (uint32_t)c->C, .pass_start = true};
    return ar__emit_split(g, &d, &split);
}

static ar_status emit_affine_grad(ar_graph *g, const norm_ctx *c, const ar_tensor *part) {
    ar_tensor *grads[2] = {0}, *to[2] = {c->gamma, c->beta};
    bool adds[2] = {0};
    for (int i = 0; i < 2; i++) AR_TRY(ar__grad(g, &grads[i], &adds[i], to[i]));
    if (!grads[0] && !grads[1]) return AR_OK;
    for (int i = 0; i < 2; i++)
        if (!grads[i]) AR_TRY(ar_graph_temp(g, &grads[i], AR_F32, 1, &c->C));
    uint32_t group = ar__graph_device(g)->plan.wg;
    uint32_t p[] = {(uint32_t)c->B, (uint32_t)c->C, (uint32_t)adds[0] | (uint32_t)adds[1] << 1};
    ar__emit_desc d = {.kernel = AR_K_lbn_affine_grad,
                       .specs = {group, 1},
                       .params = p,
                       .operands = {{part, 0, 0}, {grads[0], 0, 0}, {grads[1], 0, 0}},
                       .bytes = 8.0 * (double)ar_tensor_count(part)};
    ar__groups_1d(ar__graph_device(g), d.groups, (uint64_t)c->C, group);
    return ar__emit(g, &d);
}

static ar_status emit_slope(ar_graph *g, const norm_ctx *c, ar_tensor *slope, const ar_tensor *part,
                            members m) {
    uint32_t group = ar__row_group(ar__graph_device(g));
    struct {
        uint32_t groups, n, per_group, per_member, C;
        float scale;
    } p = {(uint32_t)m.groups,     (uint32_t)m.n,  (uint32_t)m.per_group,
           (uint32_t)m.per_member, (uint32_t)c->C, (float)(1.0 / (double)(m.n * c->P))};
    ar__emit_desc d = {.kernel = AR_K_lbn_slope,
                       .specs = {group, 1},
                       .params = &p,
                       .operands = {{part, 0, 0}, {c->gamma, 0, 0}, {slope, 0, 0}},
                       .bytes = 8.0 * (double)(m.n * m.groups)};
    ar__groups_1d(ar__graph_device(g), d.groups, (uint64_t)m.groups * group, group);
    return ar__emit(g, &d);
}

static ar_status emit_dx(ar_graph *g, const norm_ctx *c, ar_tensor *dx, const ar_tensor *slope, bool adds) {
    struct {
        uint32_t images, first, places, C, by_image, by_channel;
        float eps;
        uint32_t slopes, centred, acc;
    } p = {0,
           0,
           (uint32_t)c->P,
           (uint32_t)c->C,
           c->by_image,
           c->by_channel,
           c->eps,
           slope != NULL,
           c->centre != NULL,
           adds};
    ar__emit_desc d = {.kernel = AR_K_lbn_dx,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{c->x, 0, 0},
                                    {c->y->grad, 0, 0},
                                    {c->gamma, 0, 0},
                                    {c->stat, 0, 0},
                                    {slope ? slope : c->stat, 0, 0},
                                    {c->centre ? c->centre : c->stat, 0, 0},
                                    {dx, 0, 0}},
                       .flops = 10.0 * (double)ar_tensor_count(dx),
                       .bytes = 12.0 * (double)ar_tensor_count(dx)};
    ar__split split = {
        .units = c->B, .split = 67, .items_per_unit = (uint32_t)(c->P * c->C), .pass_start = true};
    return ar__emit_split(g, &d, &split);
}

static ar_status backward(ar_graph *g, const void *ctx) {
    const norm_ctx *c = ctx;
    ar_tensor *part = NULL, *slope = NULL, *dx = NULL;
    bool adds = false;
    if (!c->y->grad) return AR_OK;
    AR_TRY(ar_graph_temp(g, &part, AR_F32, 2, (int64_t[]){c->B * c->C, 2}));
    AR_TRY(emit_part_grad(g, c, part));
    AR_TRY(emit_affine_grad(g, c, part));
    AR_TRY(ar__grad(g, &dx, &adds, c->x));
    if (!dx) return AR_OK;
    if (!c->constant) {
        members m = members_of(c, c->stats);
        AR_TRY(ar_graph_temp(g, &slope, AR_F32, 2, (int64_t[]){m.groups, 2}));
        AR_TRY(emit_slope(g, c, slope, part, m));
    }
    return emit_dx(g, c, dx, slope, adds);
}

/* ---- forward ---- */

ar_status ar_op_fold(ar_graph *g, ar_tensor **fold, const ar_tensor *gamma, const ar_tensor *beta,
                     const ar_spread_norm *n) {
    *fold = NULL;
    AR_TRY(ar__expect("fold gamma", gamma, AR_F32, 1, (int64_t[]){-1}));
    AR_TRY(ar__expect("fold beta", beta, AR_F32, 1, gamma->dims));
    if (n->stats == AR_STATS_LAYER)
        return ar__fail(AR_ERR_ARG, "fold: found statistics of each image, expected constants");
    AR_TRY(check_running(n, gamma->dims[0]));
    AR_TRY(ar_graph_temp(g, fold, AR_F32, 2, (int64_t[]){gamma->dims[0], 2}));
    struct {
        uint32_t C, by_channel;
        float eps;
    } p = {0, n->stats == AR_STATS_BATCH, n->eps};
    ar__emit_desc d = {.kernel = AR_K_lbn_fold,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = &p,
                       .operands = {{gamma, 0, 0}, {beta, 0, 0}, {n->running, 0, 0}, {*fold, 0, 0}}};
    return ar__emit_split(g, &d, &(ar__split){.units = gamma->dims[0]});
}

static ar_status emit_affine(ar_graph *g, const norm_ctx *c, const ar_tensor *fold) {
    uint32_t p[] = {0, (uint32_t)c->C};
    ar__emit_desc d = {.kernel = AR_K_lbn_affine,
                       .specs = {ar__graph_device(g)->plan.wg, 1},
                       .params = p,
                       .operands = {{c->x, 0, 0}, {fold, 0, 0}, {c->y, 0, 0}},
                       .bytes = 8.0 * (double)ar_tensor_count(c->x)};
    ar__split split = {.units = c->B * c->P, .split = 5, .items_per_unit = (uint32_t)c->C};
    return ar__emit_split(g, &d, &split);
}

static ar_status emit_apply(ar_graph *g, const norm_ctx *c) {
    struct {
        uint32_t images, first, places, C, by_image, by_channel;
        float eps;
    } p = {0, 0, (uint32_t)c->P, (uint32_t)c->C, c->by_image, c->by_channel, c->eps};
    ar__emit_desc d = {
        .kernel = AR_K_lbn_apply,
        .specs = {ar__graph_device(g)->plan.wg, 1},
        .params = &p,
        .operands = {{c->x, 0, 0}, {c->gamma, 0, 0}, {c->beta, 0, 0}, {c->stat, 0, 0}, {c->y, 0, 0}},
        .flops = 6.0 * (double)ar_tensor_count(c->x),
        .bytes = 8.0 * (double)ar_tensor_count(c->x)};
    ar__split split = {
        .units = c->B, .split = 17, .items_per_unit = (uint32_t)(c->P * c->C), .pass_start = true};
    return ar__emit_split(g, &d, &split);
}

ar_status ar_op_spread_norm(ar_graph *g, ar_tensor **y, ar_tensor *x, ar_tensor *gamma, ar_tensor *beta,
                            const ar_spread_norm *n) {
    ar_tensor *fold = NULL;
    *y = NULL;
    AR_TRY(check(x, gamma, beta, n));
    norm_ctx c = {.x = x,
                  .gamma = gamma,
                  .beta = beta,
                  .B = x->dims[0] / n->places,
                  .P = n->places,
                  .C = x->dims[1],
                  .by_image = n->stats == AR_STATS_LAYER,
                  .by_channel = n->stats == AR_STATS_BATCH,
                  .eps = n->eps,
                  .stats = n->stats};
    c.constant = n->stats == AR_STATS_FIXED || (n->stats != AR_STATS_LAYER && !n->is_training);
    AR_TRY(ar__output(g, &c.y, AR_F32, 2, x->dims, x, gamma, beta));
    if (c.constant) {
        c.stat = n->running;
        AR_TRY(ar_op_fold(g, &fold, gamma, beta, n));
        AR_TRY(emit_affine(g, &c, fold));
    } else {
        AR_TRY(make_stats(g, &c, n));
        AR_TRY(emit_apply(g, &c));
    }
    *y = c.y;
    return c.y->needs_grad ? ar__node(g, backward, &c, sizeof c) : AR_OK;
}
