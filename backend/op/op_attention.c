/* Causal attention with grouped queries, streamed over the keys: no T x T matrix is stored (Milakov &
 * Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135). The forward keeps lse, the log of
 * every softmax's sum; the backward recomputes p from it in two kernels, each summing in a fixed order: per
 * query for dq, per key for dk and dv. A launch covers as many heads, or queries (keys) of one head, as the
 * device should run at once. */
#include "op.h"
#include "variant.h"
#include <math.h>
#include <string.h>

typedef struct attention_ctx {
    ar_tensor *q, *k, *v, *y, *lse;
    uint32_t B, T, H, K, D;
    uint32_t window; /* 1 to T; T is plain causal attention */
    float cap;       /* of the scores; 0 = none */
} attention_ctx;

/* Lanes of a head vector: the widest the device likes that divides D. */
static uint32_t head_lanes(const ar_device *device, uint32_t D) {
    uint32_t lanes = device->plan.vw < 4 ? 4 : device->plan.vw;
    while (D % lanes) lanes /= 2;
    return lanes;
}

/* The tile of an item: query rows (key rows for dk and dv) by quads of what it streams over. Measured on the
 * CPU drivers, where a loaded key should serve several queries; a GPU wants its parallelism in items. */
static void item_tile(const ar_device *device, uint32_t *rows, uint32_t *quads) {
    bool is_cpu = ar__wants_few_items(device);
    *rows = is_cpu ? 4 : 1;
    *quads = is_cpu && device->plan.vw == 4 ? 2 : 1;
}

/* Pairs of a query and a key that it sees, of the first t queries of a sequence; of its last t keys as well.
 */
static double pairs_seen(const attention_ctx *c, uint32_t t) {
    double w = t < c->window ? t : c->window;
    return w * (w + 1) / 2 + ((double)t - w) * (double)c->window;
}

/* By fragments: a tile is a group's. */
static bool is_coop(ar__kernel_id kernel) {
    return kernel == AR_K_attention_coop || kernel == AR_K_attention_dq_coop ||
           kernel == AR_K_attention_dkv_coop;
}

/* By tiles side by side whose items lend each other what they load: how many, else 1. */
static uint32_t lanes_of(ar__kernel_id kernel, const ar_device *device) {
    bool has_lanes = kernel == AR_K_attention_lanes || kernel == AR_K_attention_dq_lanes ||
                     kernel == AR_K_attention_dkv_lanes;
    return has_lanes ? ar__variant_lanes(kernel, &device->facts) : 1;
}

static bool is_by_key(ar__kernel_id kernel) {
    return kernel == AR_K_attention_dkv || kernel == AR_K_attention_dkv_across ||
           kernel == AR_K_attention_dkv_coop || kernel == AR_K_attention_dkv_lanes;
}

/* The cost of one head (a key head with its queries' heads) of one sequence. */
typedef struct head_cost {
    double pair_flops, bytes;
    uint32_t rows; /* of a tile */
    bool by_key;   /* tiles are of keys */
} head_cost;

/* Tiles [block, end) of `rows` rows, of hn heads from h0 on. */
static ar_status emit_tiles(ar_graph *g, ar__emit_desc *d, uint32_t *params, const attention_ctx *c,
                            const head_cost *cost, uint32_t block, uint32_t end) {
    uint32_t rows = cost->rows, t0 = block * rows, t1 = end * rows < c->T ? end * rows : c->T;
    double pairs = cost->by_key ? pairs_seen(c, c->T - t0) - pairs_seen(c, c->T - t1)
                                : pairs_seen(c, t1) - pairs_seen(c, t0);
    double parts = (double)c->B * params[2];
    params[3] = block;
    params[4] = end - block;
    d->params = params;
    d->flops = parts * cost->pair_flops * pairs;
    d->bytes = parts * cost->bytes * (t1 - t0) / c->T;
    uint32_t lanes = lanes_of(d->kernel, ar__graph_device(g));
    params[4] = (params[4] + lanes - 1) / lanes * lanes;
    uint32_t operands = (uint32_t)ar__kernels[d->kernel].binding_count;
    uint32_t items = is_coop(d->kernel) ? d->specs[0] : 1;
    ar__split split = {
        .units = c->B, .split = (1u << operands) - 1, .items_per_unit = params[4] * params[2] * items};
    return ar__emit_split(g, d, &split);
}

/* Whole fragments, and no more than the registers of a subgroup hold of them: dk and dv keep twice as many.
 */
static bool fits_fragments(const ar_plan *plan, uint32_t D, bool by_key) {
    return plan->attn_subgroups > 0 && D <= (by_key ? 128 : 256) && D % plan->coop_fragment[1] == 0 &&
           D % plan->coop_fragment[2] == 0;
}

#define LANE_ROWS 2 /* of a lane's tile in attention_lanes and its gradients */

/* Pairs of vectors, and tiles of a group that one submission holds; a window would move what a forward's tile
 * of keys begins with, and with it the last bits. */
static bool fits_lanes(const ar_device *device, const attention_ctx *c, ar__kernel_id kernel) {
    const ar_plan *plan = &device->plan;
    double each = (double)LANE_ROWS * lanes_of(kernel, device) * (is_by_key(kernel) ? c->H / c->K : 1) * c->D;
    double ms = ar__estimate_ms(plan, 8 * each * c->window, 16 * each);
    bool is_short = !(plan->submit_ms > 0) || ms <= plan->submit_ms;
    return is_short && c->D % 8 == 0 && c->T >= 32 && (kernel != AR_K_attention_lanes || c->window == c->T);
}

/* The kernel of a family that this attention takes: those whose lanes are keys want whole vectors of them. */
static ar__kernel_id kernel_of(const ar_device *device, const attention_ctx *c, int32_t family,
                               ar__kernel_id any) {
    const ar_plan *plan = &device->plan;
    ar__kernel_id wanted = (ar__kernel_id)plan->variants[family];
    uint32_t vw = plan->vw;
    bool fits = c->B > 0 && c->cap == 0.0f && c->T % vw == 0 && c->D % vw == 0 &&
                4 * (uint64_t)ar_tensor_count(c->k) <= plan->piece_bytes; /* as pack_k binds it */
    if (is_coop(wanted)) fits = fits_fragments(plan, c->D, is_by_key(wanted));
    if (lanes_of(wanted, device) > 1) fits = fits_lanes(device, c, wanted);
    return fits ? wanted : any;
}

/* Specialization constants of d->kernel, its HN into params[8]; rows of a tile. */
static uint32_t set_tile(ar__emit_desc *d, uint32_t *params, const ar_device *device,
                         const attention_ctx *c) {
    const ar_plan *plan = &device->plan;
    bool by_key = d->kernel == AR_K_attention_dkv_across;
    const uint32_t *of = plan->coop_fragment;
    uint32_t rows = plan->vw == 16 ? 8 : 4, quads = 0; /* accumulators, two of each, stay in registers */
    if (by_key || d->kernel == AR_K_attention_across || d->kernel == AR_K_attention_dq_across) {
        params[8] = c->D / plan->vw;
        memcpy(d->specs, (uint32_t[]){plan->attn_wg, 1, rows, params[8]}, 4 * sizeof *d->specs);
        return by_key ? plan->vw : rows;
    }
    if (is_coop(d->kernel)) {
        const uint32_t subgroup = plan->coop_subgroup, items = subgroup * plan->attn_subgroups;
        const uint32_t coop[] = {items, 1, c->D, subgroup, c->cap != 0.0f, of[0], of[1], of[2]};
        memcpy(d->specs, coop, sizeof coop);
        params[8] = c->D / 4;
        return plan->attn_subgroups / 2 * of[0];
    }
    uint32_t lanes = lanes_of(d->kernel, device);
    if (lanes > 1) {
        params[8] = c->D / 4;
        memcpy(d->specs, (uint32_t[]){lanes, 1, 4, LANE_ROWS, lanes, c->cap != 0.0f}, 6 * sizeof *d->specs);
        return LANE_ROWS;
    }
    item_tile(device, &rows, &quads);
    const uint32_t specs[] = {plan->attn_wg, 1, head_lanes(device, c->D), rows, quads, c->cap != 0.0f};
    memcpy(d->specs, specs, sizeof specs);
    params[8] = c->D / specs[2];
    return rows;
}

/* Emits d once per range of heads that the plan lets be in flight, and where a single head of one sequence is
 * too long once per range of tiles. d->params start with units, h0, hn, block0, blocks, and [8] is HN; dots
 * is how many length-D products or updates one (query, key) pair takes. */
static ar_status emit_heads(ar_graph *g, ar__emit_desc *d, uint32_t *params, const attention_ctx *c,
                            uint32_t heads, double dots) {
    const ar_device *device = ar__graph_device(g);
    const ar_plan *plan = &device->plan;
    uint32_t rows = set_tile(d, params, device, c);
    head_cost cost = {.pair_flops = 2 * dots * (double)c->D * (c->H / heads),
                      .bytes = 16 * (double)c->T * (double)c->D * (c->H / heads),
                      .rows = rows,
                      .by_key = is_by_key(d->kernel)};
    double flops = cost.pair_flops * pairs_seen(c, c->T), parts = (double)c->B * heads;
    uint32_t blocks = (c->T + rows - 1) / rows;
    int64_t share = blocks;
    if (ar__estimate_ms(plan, flops, cost.bytes) > plan->submit_ms) { /* no tile sees more than its window */
        double most = cost.pair_flops * (double)blocks * rows * c->window;
        share = ar__launch_units(plan, blocks, lanes_of(d->kernel, device), most, cost.bytes);
    }
    ar__cut h = ar__cut_by_time(plan, heads, 1, parts * flops, parts * cost.bytes);
    while (ar__cut_next(&h)) {
        params[1] = (uint32_t)h.first;
        params[2] = (uint32_t)h.count;
        for (ar__cut b = ar__cut_into(blocks, share); ar__cut_next(&b);)
            AR_TRY(emit_tiles(g, d, params, c, &cost, (uint32_t)b.first, (uint32_t)(b.first + b.count)));
    }
    return AR_OK;
}

static uint32_t float_bits(float f) {
    union {
        float f;
        uint32_t u;
    } bits = {.f = f};
    return bits.u;
}

static uint32_t scale_bits(uint32_t D) { return float_bits((float)(1.0 / sqrt((double)D))); }

/* A gradient to write: the input's own, or scratch when it needs none. */
static ar_status grad_or_scratch(ar_graph *g, ar_tensor **grad, uint32_t *accumulate, ar_tensor *t) {
    bool add = false;
    AR_TRY(ar__grad(g, grad, &add, t));
    *accumulate = add;
    return *grad ? AR_OK : ar_graph_temp(g, grad, AR_F32, 2, t->dims);
}

/* delta of every row and head or, has_tops, delta and the largest |dy|. */
static ar_status emit_delta(ar_graph *g, ar_tensor **delta, const attention_ctx *c, ar_tensor *dy,
                            bool has_tops) {
    const ar_device *device = ar__graph_device(g);
    uint32_t lanes = head_lanes(device, c->D);
    int64_t rows = c->lse->dims[0] * c->H;
    struct {
        uint32_t rows, HN;
    } p = {0, c->D / lanes};
    AR_TRY(ar_graph_temp(g, delta, AR_F32, 2, (int64_t[]){c->lse->dims[0], has_tops ? 2 * c->H : c->H}));
    ar__emit_desc d = {.kernel = AR_K_attention_delta,
                       .specs = {device->plan.wg, 1, lanes, has_tops},
                       .params = &p,
                       .operands = {{c->y, 0, 0}, {dy, 0, 0}, {*delta, 0, 0}},
                       .flops = 2.0 * (double)rows * c->D,
                       .bytes = 8.0 * (double)rows * c->D};
    ar__split split = {.units = rows, .split = 7};
    return ar__emit_split(g, &d, &split);
}

static ar_status emit_dq(ar_graph *g, const attention_ctx *c, ar_tensor *dy, ar_tensor *dq, ar_tensor *delta,
                         ar__kernel_id kernel, uint32_t acc) {
    const ar_device *device = ar__graph_device(g);
    uint32_t p[] = {0, 0, 0, 0, 0, c->T, c->H, c->K, 0, c->window, scale_bits(c->D), acc, float_bits(c->cap)};
    ar__emit_desc d = {
        .kernel = kernel,
        .operands = {
            {c->q, 0, 0}, {c->k, 0, 0}, {c->v, 0, 0}, {dy, 0, 0}, {c->lse, 0, 0}, {delta, 0, 0}, {dq, 0, 0}}};
    if (kernel == AR_K_attention_dq_across) {
        ar_tensor *kt, *vt;
        AR_TRY(ar__pack_rows(g, &kt, c->k, device->plan.vw));
        AR_TRY(ar__pack_rows(g, &vt, c->v, device->plan.vw));
        const ar__operand operands[] = {{c->q, 0, 0}, {c->k, 0, 0},   {kt, 0, 0},    {vt, 0, 0},
                                        {dy, 0, 0},   {c->lse, 0, 0}, {delta, 0, 0}, {dq, 0, 0}};
        memcpy(d.operands, operands, sizeof operands);
    }
    return emit_heads(g, &d, p, c, c->H, 3);
}

static ar_status emit_dkv(ar_graph *g, const attention_ctx *c, ar_tensor *dy, ar_tensor *delta,
                          ar__kernel_id kernel) {
    const ar_device *device = ar__graph_device(g);
    ar_tensor *dk = NULL, *dv = NULL, *k = c->k, *v = c->v;
    uint32_t acc_k = 0, acc_v = 0;
    AR_TRY(grad_or_scratch(g, &dk, &acc_k, c->k));
    AR_TRY(grad_or_scratch(g, &dv, &acc_v, c->v));
    if (kernel == AR_K_attention_dkv_across) {
        AR_TRY(ar__pack_rows(g, &k, c->k, device->plan.vw));
        AR_TRY(ar__pack_rows(g, &v, c->v, device->plan.vw));
    }
    uint32_t p[] = {
        0, 0, 0, 0, 0, c->T, c->H, c->K, 0, c->window, scale_bits(c->D), acc_k, acc_v, float_bits(c->cap)};
    ar__emit_desc d = {.kernel = kernel,
                       .operands = {{c->q, 0, 0},
                                    {k, 0, 0},
                                    {v, 0, 0},
                                    {dy, 0, 0},
                                    {c->lse, 0, 0},
                                    {delta, 0, 0},
                                    {dk, 0, 0},
                                    {dv, 0, 0}}};
    return emit_heads(g, &d, p, c, c->K, 4);
}

static ar_status backward(ar_graph *g, const void *ctx) {
    const attention_ctx *c = ctx;
    ar_tensor *dy = c->y->grad, *dq = NULL, *delta = NULL;
    uint32_t acc = 0;
    if (!dy) return AR_OK;
    AR_TRY(ar__variant_settle(dy->device, AR_F_attention_dq));
    AR_TRY(ar__variant_settle(dy->device, AR_F_attention_dkv));
    ar__kernel_id by_query = kernel_of(dy->device, c, AR_F_attention_dq, AR_K_attention_dq),
                  by_key = kernel_of(dy->device, c, AR_F_attention_dkv, AR_K_attention_dkv);
    AR_TRY(grad_or_scratch(g, &dq, &acc, c->q));
    AR_TRY(emit_delta(g, &delta, c, dy, is_coop(by_query)));
    AR_TRY(emit_dq(g, c, dy, dq, delta, by_query, acc));
    if (!c->k->needs_grad && !c->v->needs_grad) return AR_OK;
    if (is_coop(by_key) != is_coop(by_query)) AR_TRY(emit_delta(g, &delta, c, dy, is_coop(by_key)));
    return emit_dkv(g, c, dy, delta, by_key);
}

static ar_status check(const ar_tensor *q, const ar_tensor *k, const ar_tensor *v, int32_t T, int32_t D,
                       int32_t window) {
    AR_TRY(ar__expect("attention q", q, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect("attention k", k, AR_F32, 2, (int64_t[]){q->dims[0], -1}));
    AR_TRY(ar__expect("attention v", v, AR_F32, 2, (int64_t[]){q->dims[0], k->dims[1]}));
    if (T < 1 || D < 4 || D % 4 || D > 512)
        return ar__fail(AR_ERR_ARG, "attention: T %d, D %d, expected T >= 1 and D a multiple of 4 up to 512",
                        T, D);
    if (window < 0) return ar__fail(AR_ERR_ARG, "attention: window %d, expected at least 0", window);
    if (q->dims[0] % T || q->dims[1] % D || k->dims[1] % D || q->dims[1] % k->dims[1])
        return ar__fail(
            AR_ERR_SHAPE, "attention: q is (%lld, %lld) and k (%lld, %lld) but T is %d and D is %d",
            (long long)q->dims[0], (long long)q->dims[1], (long long)k->dims[0], (long long)k->dims[1], T, D);
    if (q == k || k == v || q == v)
        return ar__fail(AR_ERR_ARG, "attention: q, k and v must be different tensors");
    return AR_OK;
}

ar_status ar_op_attention(ar_graph *g, ar_tensor **y, ar_tensor *q, ar_tensor *k, ar_tensor *v, int32_t T,
                          int32_t D, int32_t window, float cap) {
    *y = NULL;
    AR_TRY(check(q, k, v, T, D, window));
    AR_TRY(ar__expect_cap("attention", cap));
    AR_TRY(ar__variant_settle(q->device, AR_F_attention));
    attention_ctx c = {.q = q, .k = k, .v = v, .T = (uint32_t)T, .D = (uint32_t)D, .cap = cap};
    c.window = (uint32_t)(window > 0 && window < T ? window : T);
    c.B = (uint32_t)(q->dims[0] / T);
    c.H = (uint32_t)(q->dims[1] / D);
    c.K = (uint32_t)(k->dims[1] / D);
    AR_TRY(ar__output(g, &c.y, AR_F32, 2, q->dims, q, k, v));
    AR_TRY(ar_graph_temp(g, &c.lse, AR_F32, 2, (int64_t[]){q->dims[0], c.H}));
    uint32_t p[] = {0, 0, 0, 0, 0, c.T, c.H, c.K, 0, c.window, scale_bits(c.D), float_bits(cap)};
    const ar_device *device = ar__graph_device(g);
    ar__emit_desc d = {.kernel = kernel_of(device, &c, AR_F_attention, AR_K_attention),
                       .operands = {{q, 0, 0}, {k, 0, 0}, {v, 0, 0}, {c.y, 0, 0}, {c.lse, 0, 0}}};
    if (d.kernel == AR_K_attention_across) {
        ar_tensor *kt;
        AR_TRY(ar__pack_rows(g, &kt, k, device->plan.vw));
        d.operands[1] = (ar__operand){kt, 0, 0};
    }
    AR_TRY(emit_heads(g, &d, p, &c, c.H, 2));
    if (c.y->needs_grad) AR_TRY(ar__node(g, backward, &c, sizeof c));
    *y = c.y;
    return AR_OK;
}
