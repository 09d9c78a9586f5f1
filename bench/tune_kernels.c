/* Coordinate descent over tiles; see tune_kernels.h. A candidate is a device opened with a plan that has it.
 */
#include "tune_kernels.h"
#include "timing.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_TRIED   128
#define LEAST_GAIN   0.03
#define SLOW         1.5  /* times the best: not measured any further */
#define MIN_SECONDS  0.05 /* of a measurement, each way */
#define CANARY       0x5ca1ab1eu
#define CANARY_FLOAT 0x1.43563cp+58f /* the same bits */
#define SHAPES       2

/* Rows of the products that are timed, on processors and on cards. For all shapes: two heights. Buckets of a
 * family that are not listed are not measured: it sees none of them, or its tiles for all shapes are theirs.
 */
typedef struct bucket_shapes {
    const char *family, *bucket;
    int32_t on_cpu[SHAPES], on_card[SHAPES];
} bucket_shapes;

static const bucket_shapes shapes_of[] = {{"gemm", AR_TUNING_ANY, {256, 128}, {2048, 512}},
                                          {"gemm", "9-64", {16, 33}, {16, 64}},
                                          {"gemv", AR_TUNING_ANY, {1, 6}, {1, 6}},
                                          {"gemv", "1", {1}, {1}},
                                          {"gemv", "2-8", {6}, {6}},
                                          {"gemv", "9-64", {16, 33}, {16, 33}}};

typedef struct search {
    const ar_common *common;
    const char *select;
    const ar_device_facts *facts;
    const ar_plan *plan; /* the device's own */
    bool is_gemv;
    const bucket_shapes *shapes;
    double until;
    ar_tuned_kernel *r;
    uint32_t seen[MOST_TRIED][AR_TILE_VALUES];
    ar_tune_told *on_try;
} search;

typedef enum verdict { BETTER, NOT_BETTER, WRONG, TOO_SLOW, IMPOSSIBLE } verdict;

static const char *const verdicts[] = {"better", "no better", "WRONG", "slow", "impossible"};

/* ---- one product: y (N, O) = x (N, I) W^T, or with W' of Q4_0 ---- */

typedef struct product {
    int64_t N, O, I;
    float *x, *w;    /* w: as f32, for both */
    uint8_t *blocks; /* Q4_0 */
    ar_tensor *dx, *dw;
    ar_resident_weight *rw;
} product;

static void drop(product *p) {
    free(p->x);
    free(p->w);
    free(p->blocks);
    ar_tensor_destroy(p->dx);
    ar_tensor_destroy(p->dw);
    ar_resident_weight_destroy(p->rw);
}

/* Rows of Q4_0 (18 bytes: an fp16 scale, 32 codes less 8) and what they mean. */
static ar_status make_blocks(product *p) {
    int64_t row = ar_qtype_row_bytes(AR_QT_Q4_0, p->I);
    p->blocks = ar__alloc((size_t)p->O, (size_t)row);
    if (!p->blocks) return AR_ERR_MEMORY;
    for (int64_t b = 0; b < p->O * row / 18; b++) {
        uint8_t *block = p->blocks + b * 18;
        float scale = (float)(1 + b % 7) / 64.0f;
        uint16_t half = ar_f32_to_f16(scale);
        memcpy(block, &half, 2);
        for (int32_t i = 0; i < 16; i++) {
            block[2 + i] = (uint8_t)((b * 31 + i * 17) * 2654435761u >> 20);
            p->w[b * 32 + i] = scale * (float)((block[2 + i] & 15) - 8);
            p->w[b * 32 + 16 + i] = scale * (float)((block[2 + i] >> 4) - 8);
        }
    }
    return AR_OK;
}

static ar_status make(product *p, ar_device *device, bool is_gemv, int64_t N, int64_t O, int64_t I) {
    *p = (product){.N = N, .O = O, .I = I};
    p->x = ar__alloc((size_t)(N * I), sizeof *p->x);
    p->w = ar__alloc((size_t)(O * I), sizeof *p->w);
    if (!p->x || !p->w) return AR_ERR_MEMORY;
    for (int64_t i = 0; i < N * I; i++) p->x[i] = (float)(i * 2654435761 % 1000) / 1000.0f - 0.5f;
    for (int64_t i = 0; i < O * I && !is_gemv; i++) p->w[i] = (float)(i * 40503 % 1000) / 1000.0f - 0.5f;
    AR_TRY(ar_tensor_create(&p->dx, device, AR_F32, 2, (const int64_t[]){N, I}));
    AR_TRY(ar_tensor_write(p->dx, p->x, 0, N * I));
    if (is_gemv) {
        AR_TRY(make_blocks(p));
        ar_resident_weight_desc part = {.type = AR_QT_Q4_0,
                                        .O = O,
                                        .I = I,
                                        .blocks = p->blocks,
                                        .row_stride = (uint64_t)ar_qtype_row_bytes(AR_QT_Q4_0, I)};
        return ar_resident_weight_create(&p->rw, device, &part, 1, false);
    }
    AR_TRY(ar_tensor_create(&p->dw, device, AR_F32, 2, (const int64_t[]){O, I}));
    return ar_tensor_write(p->dw, p->w, 0, O * I);
}

static ar_status record(const product *p, ar_graph *g, ar_tensor **y) {
    return p->rw ? ar_op_linear_resident(g, y, p->dx, p->rw, NULL) : ar_op_linear(g, y, p->dx, p->dw, NULL);
}

/* ---- right? ---- */

static bool is_right(const product *p, const float *y) {
    double error = 0, size = 0;
    for (int64_t n = 0; n < p->N; n++)
        for (int64_t o = 0; o < p->O; o++) {
            double sum = 0;
            for (int64_t i = 0; i < p->I; i++) sum += (double)p->x[n * p->I + i] * (double)p->w[o * p->I + i];
            double off = (double)y[n * p->O + o] - sum;
            error += off * off;
            size += sum * sum;
        }
    return error <= 1e-10 * size; /* NaN is none */
}

static ar_status is_untouched(bool *ok, const ar_tensor *t, float *values) {
    int64_t count = ar_tensor_count(t);
    AR_TRY(ar_tensor_read(t, values, 0, count));
    for (int64_t i = 0; i < count; i++) *ok = *ok && values[i] == CANARY_FLOAT;
    return AR_OK;
}

/* The graph places tensors that are kept by size: one as large as y goes before it, a smaller one behind. */
static ar_status compute(bool *ok, const product *p, ar_graph *g, ar_device *device, float *values) {
    ar_tensor *before = NULL, *behind = NULL, *y = NULL;
    const int64_t all = p->N * p->O, less = all > 128 ? all - 64 : all;
    AR_TRY(ar_graph_temp(g, &before, AR_F32, 1, &all));
    AR_TRY(ar_graph_temp(g, &behind, AR_F32, 1, &less));
    ar_graph_keep(g, before);
    ar_graph_keep(g, behind);
    AR_TRY(ar_op_fill(g, before, CANARY));
    AR_TRY(ar_op_fill(g, behind, CANARY));
    AR_TRY(record(p, g, &y));
    ar_graph_keep(g, y);
    AR_TRY(ar_graph_build(g));
    AR_TRY(ar_graph_run(g));
    AR_TRY(ar_device_wait(device));
    *ok = true;
    AR_TRY(is_untouched(ok, before, values));
    AR_TRY(is_untouched(ok, behind, values));
    AR_TRY(ar_tensor_read(y, values, 0, all));
    *ok = *ok && is_right(p, values);
    return AR_OK;
}

static ar_status check(bool *ok, const search *s, ar_device *device) {
    static const int64_t shapes[][3] = {{1, 67, 96}, {67, 131, 160}, {7, 300, 64}, {5, 31, 352}};
    *ok = true;
    for (size_t i = 0; *ok && i < sizeof shapes / sizeof *shapes; i++) {
        product p;
        ar_graph *g = NULL;
        float *values = ar__alloc((size_t)(shapes[i][0] * shapes[i][1]), sizeof *values);
        ar_status status = make(&p, device, s->is_gemv, shapes[i][0], shapes[i][1], shapes[i][2]);
        if (status == AR_OK) status = values ? ar_graph_create(&g, device) : AR_ERR_MEMORY;
        if (status == AR_OK) status = compute(ok, &p, g, device, values);
        ar_graph_destroy(g);
        drop(&p);
        free(values);
        AR_TRY(status);
    }
    return AR_OK;
}

/* ---- fast? ---- */

static ar_status time_shape(double *seconds, const search *s, ar_device *device, int32_t shape, double most) {
    bool is_cpu = s->facts->kind == AR_DEVICE_CPU;
    int64_t side = is_cpu ? 768 : 4096;
    int64_t N = is_cpu ? s->shapes->on_cpu[shape] : s->shapes->on_card[shape];
    product p;
    ar_graph *g = NULL;
    ar_tensor *y = NULL;
    ar_bench_timing t;
    if (s->is_gemv && is_cpu) side = 1024;
    ar_status status = make(&p, device, s->is_gemv, N, side, side);
    if (status == AR_OK) status = ar_graph_create(&g, device);
    if (status == AR_OK) status = record(&p, g, &y);
    if (status == AR_OK) status = ar_graph_build(g);
    if (status == AR_OK) status = ar_graph_run(g); /* compiles */
    if (status == AR_OK) status = ar_device_wait(device);
    ar_bench_clock began = ar_bench_now();
    if (status == AR_OK) status = ar_graph_run(g);
    if (status == AR_OK) status = ar_device_wait(device);
    ar_bench_clock took = ar_bench_since(began);
    *seconds = is_cpu ? took.cpu : took.wall; /* others have their share of the wall clock's */
    if (status == AR_OK && *seconds < SLOW * most) {
        status = ar_bench_time(&t, device, g, MIN_SECONDS);
        if (status == AR_OK) *seconds = is_cpu ? t.cpu_seconds : t.seconds;
    }
    ar_graph_destroy(g);
    drop(&p);
    return status;
}

/* ---- candidates ---- */

static bool is_seen(search *s, const uint32_t *values) {
    for (int32_t i = 0; i < s->r->tried; i++)
        if (memcmp(s->seen[i], values, sizeof s->seen[i]) == 0) return true;
    return false;
}

/* Errors: those after which the device can do nothing more; others make a candidate impossible. */
static ar_status measure(verdict *v, double *seconds, search *s, const uint32_t *values) {
    ar_plan plan = *s->plan;
    ar_device *device = NULL;
    bool ok = false;
    ar_device_desc desc = {.select = s->select, .memory_budget = s->common->vram, .plan = &plan};
    *v = IMPOSSIBLE;
    *seconds = 0;
    if (ar_plan_set_tiles(&plan, s->facts, s->r->kernel, s->r->bucket, values) != AR_OK) return AR_OK;
    AR_TRY(ar_device_open(&device, &desc));
    ar_status status = check(&ok, s, device);
    if (status == AR_OK) *v = ok ? NOT_BETTER : WRONG;
    for (int32_t i = 0; status == AR_OK && *v == NOT_BETTER && i < SHAPES && s->shapes->on_cpu[i]; i++) {
        double one = 0, most = s->r->best_s > 0 ? s->r->best_s - *seconds : 1e30;
        status = time_shape(&one, s, device, i, most);
        *seconds += one;
        if (s->r->best_s > 0 && *seconds > SLOW * s->r->best_s) *v = TOO_SLOW;
    }
    ar_device_close(device);
    if (status == AR_ERR_DEVICE_LOST || status == AR_ERR_MEMORY) return status;
    if (status != AR_OK) *v = IMPOSSIBLE;
    return AR_OK;
}

static bool is_faster(verdict v, double seconds, const search *s) {
    return v == NOT_BETTER && seconds * (1 + LEAST_GAIN) < s->r->best_s;
}

/* Whether it took the best one's place. */
static ar_status try_one(bool *better, search *s, const uint32_t *values) {
    verdict v;
    double seconds;
    *better = false;
    if (is_seen(s, values) || s->r->tried == MOST_TRIED || ar__now_s() > s->until) return AR_OK;
    if (ar_program_interrupted()) return ar__fail(AR_ERR_INTERRUPTED, "tune-kernels: interrupted");
    AR_TRY(measure(&v, &seconds, s, values));
    if (v != IMPOSSIBLE) memcpy(s->seen[s->r->tried++], values, sizeof s->seen[0]);
    if (is_faster(v, seconds, s)) { /* once more, before luck is taken for speed */
        double again;
        AR_TRY(measure(&v, &again, s, values));
        if (again > seconds) seconds = again;
    }
    if (is_faster(v, seconds, s)) v = BETTER;
    *better = v == BETTER;
    s->r->wrong += v == WRONG;
    s->r->slow += v == TOO_SLOW;
    if (*better) {
        s->r->best_s = seconds;
        memcpy(s->r->best, values, sizeof s->r->best);
    }
    if (s->on_try && v != IMPOSSIBLE) s->on_try(s->r, values, verdicts[v]);
    return AR_OK;
}

/* The next larger or smaller value: rows of a tile by fours, all else by doubling. */
static uint32_t next_value(const char *name, uint32_t v, bool up) {
    if (strcmp(name, "tm") == 0 || strcmp(name, "tile") == 0) return up ? v + 4 : v > 4 ? v - 4 : 0;
    return up ? (v < 1u << 30 ? 2 * v : 0) : v / 2;
}

static bool is_moved(const search *s, int32_t i) {
    return strcmp(s->r->bucket, AR_TUNING_ANY) == 0 || ar_tile_is_by_rows(s->r->kernel, i);
}

static ar_status descend(search *s) {
    bool any = true;
    while (any && ar__now_s() < s->until) {
        any = false;
        for (int32_t i = 0; ar_tile_name(s->r->kernel, i); i++)
            for (int32_t up = is_moved(s, i) ? 1 : -1; up >= 0; up--)
                for (bool better = true; better;) {
                    uint32_t values[AR_TILE_VALUES];
                    memcpy(values, s->r->best, sizeof values);
                    values[i] = next_value(ar_tile_name(s->r->kernel, i), values[i], up);
                    AR_TRY(try_one(&better, s, values));
                    any = any || better;
                }
    }
    return AR_OK;
}

/* One bucket, from the plan's own tiles on. */
static ar_status tune(search *s) {
    ar_tuned_kernel *r = s->r;
    verdict v;
    double again;
    r->bucket = s->shapes->bucket;
    if (!ar_plan_get_tiles(r->before, s->plan, r->kernel, r->bucket)) return AR_OK;
    memcpy(r->best, r->before, sizeof r->best);
    AR_TRY(measure(&v, &r->before_s, s, r->before));
    if (v != IMPOSSIBLE) memcpy(s->seen[r->tried++], r->before, sizeof s->seen[0]);
    if (v != NOT_BETTER)
        return ar__fail(AR_ERR_CHECK, "%s:%d (%s): %s is %s with the plan's own tiles", s->facts->api,
                        (int)s->facts->index, s->facts->name, r->kernel, verdicts[v]);
    AR_TRY(measure(&v, &again, s, r->before)); /* the first one also woke the device */
    if (v == NOT_BETTER && again < r->before_s) r->before_s = again;
    r->best_s = r->before_s;
    return descend(s);
}

/* Whether the plan takes the family's kernel for the first of these shapes, and a bucket can differ in it. */
static bool matters(const bucket_shapes *shapes, const ar_plan *plan, const char *kernel, bool is_gemv) {
    bool any = false;
    for (int32_t i = 0; ar_tile_name(kernel, i); i++) any = any || ar_tile_is_by_rows(kernel, i);
    return any && (!is_gemv || (uint32_t)shapes->on_cpu[0] <= plan->resident_columns);
}

static void find_kernel(char *kernel, size_t bytes, const search *s, const char *family) {
    ar_variant_choice choices[AR_MAX_FAMILIES];
    int32_t count = ar_plan_variants(choices, AR_MAX_FAMILIES, s->plan, s->facts);
    for (int32_t i = 0; i < count; i++)
        if (strcmp(choices[i].family, family) == 0) snprintf(kernel, bytes, "%s", choices[i].variant);
}

/* Tiles of all shapes first; buckets start from them. */
static ar_status tune_buckets(search *s, ar_plan *plan, ar_tuned_kernel *result, int32_t *found,
                              const char *family, double from, double until) {
    char kernel[sizeof result->kernel] = "";
    find_kernel(kernel, sizeof kernel, s, family);
    memset(s->is_gemv ? plan->gemv_by_rows : plan->gemm_by_rows, 0, sizeof plan->gemm_by_rows);
    for (size_t i = 0; i < sizeof shapes_of / sizeof *shapes_of; i++) {
        ar_tuned_kernel *r = &result[*found];
        bool is_any = strcmp(shapes_of[i].bucket, AR_TUNING_ANY) == 0;
        if (strcmp(shapes_of[i].family, family) != 0) continue;
        if (!is_any && (ar__now_s() > until || !matters(&shapes_of[i], plan, kernel, s->is_gemv))) continue;
        *r = (ar_tuned_kernel){0};
        memcpy(r->kernel, kernel, sizeof kernel);
        s->shapes = &shapes_of[i];
        s->r = r;
        s->until = is_any ? from + (until - from) / 2 : until;
        AR_TRY(tune(s));
        if (r->best_s <= 0) return AR_OK; /* a kernel without tiles */
        ++*found;
        if (is_any) AR_TRY(ar_plan_set_tiles(plan, s->facts, kernel, AR_TUNING_ANY, r->best));
    }
    return AR_OK;
}

ar_status ar_tune_kernel(ar_tuned_kernel *result, int32_t *found, const char *family, const ar_common *common,
                         double from, double until, ar_tune_told *on_try) {
    ar_device *device = NULL;
    char name[24];
    *found = 0;
    ar_device_desc desc = {.select = common->device, .variants = common->variants};
    AR_TRY(ar_device_open(&device, &desc)); /* its plan is untuned */
    const ar_device_facts facts = *ar_device_get_facts(device);
    ar_plan plan = *ar_device_get_plan(device);
    ar_device_close(device);
    snprintf(name, sizeof name, "%s:%d", facts.api, (int)facts.index);
    search *s = ar__alloc(1, sizeof *s);
    if (!s) return AR_ERR_MEMORY;
    *s = (search){.common = common,
                  .select = name,
                  .facts = &facts,
                  .plan = &plan,
                  .is_gemv = strcmp(family, "gemv") == 0,
                  .on_try = on_try};
    ar_status status = tune_buckets(s, &plan, result, found, family, from, until);
    free(s);
    return status;
}
