/* Generation: keys and values of new tokens into the caches, and attention over them. Two kernels do the same
 * sums: a group per query and head where the plan takes attention_one and there are few queries, else an item
 * per tile of queries. attention_append does all of it for one token, where items are few anyway. */
#include "op.h"
#include <math.h>
#include <string.h>

#define FEW_QUERIES 8 /* up to here a group per query keeps more of a GPU busy than items with tiles do */

/* ---- append ---- */

enum { HEADS_OF_GROUP = 8, MOST_QUERIES = 4 /* of an item on a CPU */ };

static ar_status check_columns(const char *name, const ar_columns *c, int64_t rows, int64_t count) {
    AR_TRY(ar__expect(name, c->t, AR_F32, 2, (int64_t[]){rows, -1}));
    if (c->first < 0 || c->count != count || c->first + count > c->t->dims[1])
        return ar__fail(AR_ERR_SHAPE, "%s: columns %lld to %lld of %lld, expected %lld of them", name,
                        (long long)c->first, (long long)(c->first + c->count), (long long)c->t->dims[1],
                        (long long)count);
    return AR_OK;
}

static ar_status check_caches(const char *op, const ar_tensor *k, const ar_tensor *v, int64_t rows) {
    AR_TRY(ar__expect(op, k, AR_F16, 4, (int64_t[]){-1, -1, -1, -1}));
    AR_TRY(ar__expect(op, v, AR_F16, 4, k->dims));
    int64_t D = k->dims[3];
    if (D < 4 || D % 4 || D > 512)
        return ar__fail(AR_ERR_ARG, "%s: D %d, expected a multiple of 4 up to 512", op, (int)D);
    if (k->dims[0] < 1 || k->dims[1] < 1 || rows % k->dims[0] || rows / k->dims[0] > k->dims[2])
        return ar__fail(AR_ERR_SHAPE, "%s: %lld rows for %lld caches of %lld positions", op, (long long)rows,
                        (long long)k->dims[0], (long long)k->dims[2]);
    return AR_OK;
}

static ar_status check_append(const ar_columns *q, const ar_columns *k, const ar_columns *v,
                              const ar_tensor *k_cache, const ar_tensor *v_cache, const ar_tensor *angles,
                              const ar_tensor *pos) {
    int64_t rows = q->t->dims[0];
    AR_TRY(check_caches("cache_append", k_cache, v_cache, rows));
    int64_t B = k_cache->dims[0], D = k_cache->dims[3], KD = k_cache->dims[1] * D, T = rows / B;
    AR_TRY(ar__expect("cache_append pos", pos, AR_I32, 1, (int64_t[]){1}));
    AR_TRY(check_columns("cache_append q", q, rows, q->count));
    AR_TRY(check_columns("cache_append k", k, rows, KD));
    AR_TRY(check_columns("cache_append v", v, rows, KD));
    if (q->count < D || q->count % D)
        return ar__fail(AR_ERR_SHAPE, "cache_append q: %lld columns, D %d", (long long)q->count, (int)D);
    if (angles) AR_TRY(ar__expect("cache_append angles", angles, AR_F32, 3, (int64_t[]){T, -1, 2}));
    if (angles && (angles->dims[1] < 1 || 2 * angles->dims[1] > D))
        return ar__fail(AR_ERR_SHAPE, "cache_append angles: %lld pairs, expected 1 to D/2 of D %d",
                        (long long)angles->dims[1], (int)D);
    return AR_OK;
}

ar_status ar_op_cache_append(ar_graph *g, ar_tensor **rq, const ar_columns *q, const ar_columns *k,
                             const ar_columns *v, ar_tensor *k_cache, ar_tensor *v_cache,
                             const ar_tensor *angles, const ar_tensor *pos) {
    *rq = NULL;
    AR_TRY(check_append(q, k, v, k_cache, v_cache, angles, pos));
    int64_t rows = q->t->dims[0], B = k_cache->dims[0], D = k_cache->dims[3], KD = k_cache->dims[1] * D,
            T = rows / B;
    ar_tensor *out = NULL;
    AR_TRY(ar__output(g, &out, AR_F32, 2, (int64_t[]){rows, q->count}, NULL, NULL, NULL));
    *rq = out;
    if (rows == 0) return AR_OK;
    struct {
        uint32_t rows, T, C, D, pairs, HD, KD, ldq, q0, ldk, k0, ldv, v0;
    } p = {(uint32_t)rows,
           (uint32_t)T,
           (uint32_t)k_cache->dims[2],
           (uint32_t)D,
           angles ? (uint32_t)angles->dims[1] : 0,
           (uint32_t)q->count,
           (uint32_t)KD,
           (uint32_t)q->t->dims[1],
           (uint32_t)q->first,
           (uint32_t)k->t->dims[1],
           (uint32_t)k->first,
           (uint32_t)v->t->dims[1],
           (uint32_t)v->first};
    const ar_device *device = ar__graph_device(g);
    const ar_tensor *table = angles ? angles : q->t; /* something to bind */
    bool by_heads = ar__wants_few_items(device) && strcmp(device->facts.api, "cl") == 0 && p.pairs % 2 == 0;
    uint32_t wg = by_heads ? HEADS_OF_GROUP : device->plan.wg,
             items = by_heads ? (p.HD + 2 * p.KD) / p.D : p.HD / 2 + p.KD;
    ar__emit_desc d = {.kernel = AR_K_cache_append,
                       .specs = {wg, 1, by_heads},
                       .params = &p,
                       .operands = {{q->t, 0, 0},
                                    {k->t, 0, 0},
                                    {v->t, 0, 0},
                                    {table, 0, 0},
                                    {pos, 0, 0},
                                    {out, 0, 0},
                                    {k_cache, 0, 0},
                                    {v_cache, 0, 0}},
                       .bytes = (double)rows * (8.0 * (double)q->count + 12.0 * (double)KD)};
    ar__groups_1d(device, d.groups, (uint64_t)rows * items, wg);
    return ar__emit(g, &d);
}

/* ---- attention ---- */

typedef struct cached {
    const ar_tensor *q, *k, *v, *pos, *y;
    uint32_t B, T, H, K, C, D, window;
    float scale, cap;
    double flops, bytes;
} cached;

/* Launches of as many of `units` units of `items` items as the plan lets be in flight; their params start
 * with how many and which first. */
static ar_status emit_range(ar_graph *g, const ar__emit_desc *whole, int64_t units, uint32_t items) {
    const ar_device *device = ar__graph_device(g);
    uint32_t params[AR_MAX_PARAMS] = {0};
    memcpy(params, whole->params, (size_t)ar__kernels[whole->kernel].param_count * 4);
    ar__cut c = ar__cut_by_time(&device->plan, units, 1, whole->flops, whole->bytes);
    while (ar__cut_next(&c)) {
        ar__emit_desc d = *whole;
        d.flops *= (double)c.count / (double)units;
        d.bytes *= (double)c.count / (double)units;
        params[0] = (uint32_t)c.count;
        params[1] = (uint32_t)c.first;
        d.params = params;
        ar__groups_1d(device, d.groups, (uint64_t)c.count * items, d.specs[0]);
        AR_TRY(ar__emit(g, &d));
    }
    return AR_OK;
}

static ar_status emit_one(ar_graph *g, const cached *c) {
    const ar_device *device = ar__graph_device(g);
    uint32_t wg = ar__row_group(device), words = c->D / 2;
    struct {
        uint32_t units, unit0, T, H, KH, C, D, window;
        float scale, cap;
    } p = {0, 0, c->T, c->H, c->K, c->C, c->D, c->window, c->scale, c->cap};
    ar__emit_desc d = {.kernel = AR_K_attention_one,
                       .specs = {wg, 1, (words + wg - 1) / wg, c->cap != 0.0f},
                       .params = &p,
                       .operands = {{c->q, 0, 0}, {c->k, 0, 0}, {c->v, 0, 0}, {c->pos, 0, 0}, {c->y, 0, 0}},
                       .flops = c->flops,
                       .bytes = c->bytes};
    return emit_range(g, &d, (int64_t)c->B * c->T * c->H, wg);
}

/* The specs of cached.h: at most `lanes` lanes, as many as D takes; on a CPU an item serves several queries,
 * which share every key. */
static void tile_specs(uint32_t specs[7], const ar_device *device, const cached *c, uint32_t lanes) {
    bool is_cpu = ar__wants_few_items(device);
    uint32_t rows = 1;
    while (c->D % lanes) lanes /= 2;
    while (is_cpu && rows < MOST_QUERIES && rows < c->T * (c->H / c->K)) rows *= 2;
    uint32_t quads = is_cpu && lanes == 4 ? 2 : 1;
    uint32_t of[7] = {device->plan.attn_wg,
                      1,
                      lanes,
                      rows,
                      quads,
                      c->cap != 0.0f,
                      lanes > 4 * quads ? lanes / (4 * quads) : 1};
    memcpy(specs, of, sizeof of);
}

static uint32_t most_lanes(const ar_device *device) { return device->plan.vw < 4 ? 4 : device->plan.vw; }

static ar_status emit_tiles(ar_graph *g, const cached *c, ar__kernel_id kernel) {
    const ar_device *device = ar__graph_device(g);
    ar__emit_desc d = {.kernel = kernel,
                       .operands = {{c->q, 0, 0}, {c->k, 0, 0}, {c->v, 0, 0}, {c->pos, 0, 0}, {c->y, 0, 0}},
                       .flops = c->flops,
                       .bytes = c->bytes};
    tile_specs(d.specs, device, c, most_lanes(device));
    uint32_t lanes = d.specs[2], rows = d.specs[3], R = c->H / c->K;
    struct {
        uint32_t items, item0, T, R, KH, C, HN, window;
        float scale, cap;
    } p = {0, 0, c->T, R, c->K, c->C, c->D / lanes, c->window, c->scale, c->cap};
    d.params = &p;
    return emit_range(g, &d, (int64_t)c->B * c->K * ((c->T * R + rows - 1) / rows), 1);
}

ar__kernel_id ar__cached_kernel(const ar_device *device, int64_t queries) {
    ar__kernel_id kernel = (ar__kernel_id)device->plan.variants[AR_F_attention_cached];
    return kernel == AR_K_attention_one && queries > FEW_QUERIES ? AR_K_attention_cached : kernel;
}

/* q (B T, H D) */
static cached describe(const ar_tensor *q, const ar_tensor *k_cache, const ar_tensor *v_cache,
                       const ar_tensor *pos, float scale, int32_t window, float cap) {
    int64_t B = k_cache->dims[0], K = k_cache->dims[1], C = k_cache->dims[2], D = k_cache->dims[3];
    double seen = window > 0 && window < C ? window : (double)C / 2; /* nobody knows pos yet */
    return (cached){.q = q,
                    .k = k_cache,
                    .v = v_cache,
                    .pos = pos,
                    .B = (uint32_t)B,
                    .T = (uint32_t)(q->dims[0] / B),
                    .H = (uint32_t)(q->dims[1] / D),
                    .K = (uint32_t)K,
                    .C = (uint32_t)C,
                    .D = (uint32_t)D,
                    .window = (uint32_t)window,
                    .scale = scale != 0.0f ? scale : (float)(1.0 / sqrt((double)D)),
                    .cap = cap,
                    .flops = 4.0 * (double)ar_tensor_count(q) * seen,
                    .bytes = 4.0 * (double)(B * K * D) * seen};
}

ar_status ar_op_attention_cached(ar_graph *g, ar_tensor **y, const ar_tensor *q, const ar_tensor *k_cache,
                                 const ar_tensor *v_cache, const ar_tensor *pos, float scale, int32_t window,
                                 float cap) {
    *y = NULL;
    AR_TRY(ar__variant_settle(ar__graph_device(g), AR_F_attention_cached));
    AR_TRY(ar__expect_cap("attention_cached", cap));
    AR_TRY(ar__expect("attention_cached q", q, AR_F32, 2, (int64_t[]){-1, -1}));
    AR_TRY(ar__expect("attention_cached pos", pos, AR_I32, 1, (int64_t[]){1}));
    AR_TRY(check_caches("attention_cached", k_cache, v_cache, q->dims[0]));
    int64_t K = k_cache->dims[1], D = k_cache->dims[3];
    if (q->dims[1] < K * D || q->dims[1] % (K * D) || window < 0)
        return ar__fail(
            AR_ERR_SHAPE,
            "attention_cached: q has %lld columns, window %d, expected a multiple of %lld heads of %lld",
            (long long)q->dims[1], window, (long long)K, (long long)D);
    ar_tensor *out = NULL;
    AR_TRY(ar__output(g, &out, AR_F32, 2, q->dims, NULL, NULL, NULL));
    *y = out;
    if (q->dims[0] == 0) return AR_OK;
    cached c = describe(q, k_cache, v_cache, pos, scale, window, cap);
    c.y = out;
    ar__kernel_id kernel = ar__cached_kernel(ar__graph_device(g), c.T);
    return kernel == AR_K_attention_one ? emit_one(g, &c) : emit_tiles(g, &c, kernel);
}

/* ---- both ---- */

/* Lanes that attention_append can take x, a head and its rotated dims by; 0: not in one launch. */
static uint32_t joined_lanes(const ar_device *device, const ar_columns *q, const ar_columns *k,
                             const ar_columns *v, const ar_tensor *k_cache, const ar_tensor *angles) {
    int64_t D = k_cache->dims[3], R = q->count / k->count, lanes = most_lanes(device);
    int64_t pairs = angles ? angles->dims[1] : 0;
    if (!(device->plan.ways >> AR_W_append & 1) || q->t != k->t || q->t != v->t) return 0;
    if (q->t->dims[0] != k_cache->dims[0] || q->count % k->count || R > MOST_QUERIES) return 0;
    int64_t all = D | pairs | q->t->dims[1] | q->first | k->first | v->first; /* what lanes divide */
    while (lanes > 4 && all % lanes) lanes /= 2;
    return all % lanes ? 0 : (uint32_t)lanes;
}

static ar_status emit_joined(ar_graph *g, const cached *c, const ar_columns *q, int64_t k_first,
                             int64_t v_first, const ar_tensor *angles, uint32_t most) {
    const ar_tensor *table = angles ? angles : q->t; /* something to bind */
    ar__emit_desc d = {.kernel = AR_K_attention_append,
                       .operands = {{q->t, 0, 0},
                                    {table, 0, 0},
                                    {c->pos, 0, 0},
                                    {c->q, 0, 0},
                                    {c->k, 0, 0},
                                    {c->v, 0, 0},
                                    {c->y, 0, 0}},
                       .flops = c->flops,
                       .bytes = c->bytes};
    tile_specs(d.specs, ar__graph_device(g), c, most);
    uint32_t lanes = d.specs[2], R = c->H / c->K;
    d.specs[3] = R > 2 ? 4 : R;
    if (strcmp(ar__graph_device(g)->facts.api, "cl") == 0) d.specs[0] = 1; /* groups are calls there */
    struct {
        uint32_t items, item0, R, KH, C, HN, window;
        float scale, cap;
        uint32_t PN, ldn, qn, kn, vn;
    } p = {0,
           0,
           R,
           c->K,
           c->C,
           c->D / lanes,
           c->window,
           c->scale,
           c->cap,
           angles ? (uint32_t)angles->dims[1] / lanes : 0,
           (uint32_t)q->t->dims[1] / lanes,
           (uint32_t)q->first / lanes,
           (uint32_t)k_first / lanes,
           (uint32_t)v_first / lanes};
    d.params = &p;
    return emit_range(g, &d, (int64_t)c->B * c->K, 1);
}

ar_status ar_op_attention_append(ar_graph *g, ar_tensor **y, const ar_columns *q, const ar_columns *k,
                                 const ar_columns *v, ar_tensor *k_cache, ar_tensor *v_cache,
                                 const ar_tensor *angles, const ar_tensor *pos, float scale, int32_t window,
                                 float cap) {
    ar_device *device = ar__graph_device(g);
    ar_tensor *rq = NULL, *out = NULL;
    *y = NULL;
    AR_TRY(check_append(q, k, v, k_cache, v_cache, angles, pos));
    if (joined_lanes(device, q, k, v, k_cache, angles))
        AR_TRY(ar__way_settle(device, AR_W_append, AR_K_attention_append));
    uint32_t lanes = joined_lanes(device, q, k, v, k_cache, angles);
    if (!lanes) {
        AR_TRY(ar_op_cache_append(g, &rq, q, k, v, k_cache, v_cache, angles, pos));
        return ar_op_attention_cached(g, y, rq, k_cache, v_cache, pos, scale, window, cap);
    }
    AR_TRY(ar__expect_cap("attention_append", cap));
    if (window < 0)
        return ar__fail(AR_ERR_SHAPE, "attention_append: window %d, expected 0 (none) or more", window);
    AR_TRY(ar__output(g, &rq, AR_F32, 2, (int64_t[]){q->t->dims[0], q->count}, NULL, NULL, NULL));
    AR_TRY(ar__output(g, &out, AR_F32, 2, rq->dims, NULL, NULL, NULL));
    *y = out;
    if (rq->dims[0] == 0) return AR_OK;
    cached c = describe(rq, k_cache, v_cache, pos, scale, window, cap);
    c.y = out;
    return emit_joined(g, &c, q, k->first, v->first, angles, lanes);
}
