/* Is this a device that computes? A driver that takes every dispatch and does nothing, or computes one kernel
 * wrongly, gives results that look like any others. So whether anything happens is asked every time, and each
 * kernel is tried before the first use that anybody makes of it on this device and driver: the first file or
 * text that takes new kernels pays for those, and a model without layer norms never for theirs. The kernels
 * are tried in memory of their own, so that what the work may use, and with it how the work is cut, is the
 * same whether something has to be tried or not; on the same open device, which keeps the pipelines. */
#include "cache.h"
#include "selftest.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const ar__st_check ar__st_checks[] = {
#define FORWARD true
#define WHOLE   false
#define AR_CHECK(direction, name, kernels, bound, ...)                                                       \
    {direction, {#name, kernels, ar__st_##name, bound, {__VA_ARGS__}}},
#include "checks.def"
#undef AR_CHECK
#undef FORWARD
#undef WHOLE
};
const int32_t ar__st_check_count = (int32_t)(sizeof ar__st_checks / sizeof ar__st_checks[0]);

#define SEED     20u
#define ID_BYTES 600
#define FEW      ((uint64_t)256 << 20) /* bytes that trying may take, and never does */

struct ar__checker {
    ar_device *twin; /* made when something has to be tried */
    bool known[AR_K_COUNT];
    bool used[AR_K_COUNT]; /* by the twin */
    char *cache_dir;
    char name[ID_BYTES], options[ID_BYTES];
    ar__cache_id id;
};

static ar_status refuse(const ar_device *device, const char *what) {
    char reason[400];
    snprintf(reason, sizeof reason, "%s", what);
    return ar__fail(AR_ERR_CHECK, "%s:%d %s (%s %s) computes wrongly: %s; see anyround selftest",
                    device->facts.api, (int)device->facts.index, device->facts.name, device->facts.driver,
                    device->facts.version, reason);
}

/* ---- does anything happen ---- */

/* Twice, so that what was left in memory by a run that worked is not taken for this one's. */
static ar_status try_pulse(ar_device *device, ar_tensor *t, float value) {
    ar_status status = AR_OK;
    ar_graph *g = NULL;
    uint32_t word;
    float found[4] = {0};
    char text[80];
    memcpy(&word, &value, sizeof word);
    AR_TRY(ar_graph_create(&g, device));
    AR_GO(ar_op_fill(g, t, word));
    AR_GO(ar_graph_build(g));
    AR_GO(ar_graph_run(g));
    AR_GO(ar_tensor_read(t, found, 0, 4));
    snprintf(text, sizeof text, "kernel fill: found %g, expected %g", (double)found[3], (double)value);
    if (found[0] != value || found[3] != value) status = refuse(device, text);
done:
    ar_graph_destroy(g);
    return status;
}

ar_status ar_device_pulse(ar_device *device) {
    ar_tensor *t = NULL;
    if (strcmp(device->facts.api, "null") == 0) return AR_OK;
    AR_TRY(ar_tensor_create(&t, device, AR_F32, 1, (const int64_t[]){4}));
    ar_status status = try_pulse(device, t, 17.5f);
    if (status == AR_OK) status = try_pulse(device, t, -3.25f);
    ar_tensor_destroy(t);
    return status;
}

/* ---- does a kernel compute ---- */

static ar_status note_use(ar__checker *c, ar_device *twin, ar__kernel_id kernel) {
    (void)twin;
    c->used[kernel] = true;
    return AR_OK;
}

static ar_status open_twin(ar__checker *c, const ar_device *device) {
    if (c->twin) return AR_OK;
    AR_TRY(ar__device_twin(&c->twin, device, FEW));
    c->twin->first_use = note_use;
    c->twin->checker = c;
    return AR_OK;
}

typedef struct first {
    bool failed;
    char text[300];
} first;

static void note_failure(void *ctx, const ar_selftest_result *r) {
    first *f = ctx;
    if (r->passed || f->failed) return;
    f->failed = true;
    snprintf(f->text, sizeof f->text, "kernel %s: error %.3g, expected at most %.3g %s", r->kernel, r->error,
             r->bound, r->detail);
}

static ar_status try_check(ar__checker *c, const ar_device *device, const ar__st_check *check,
                           ar__kernel_id kernel) {
    first failure = {0};
    AR_TRY(open_twin(c, device));
    c->twin->plan = device->plan; /* another variant may have been settled on */
    ar__st_keep_f32(c->twin, kernel);
    ar__st st = {.device = c->twin,
                 .bound = check->c.bound,
                 .test = check->c.name,
                 .report = note_failure,
                 .ctx = &failure,
                 .random = SEED,
                 .is_forward = check->is_forward};
    AR_TRY(ar__st_case_run(&st, &check->c)); /* what the device refuses is its error, no wrong result */
    return failure.failed ? refuse(device, failure.text) : AR_OK;
}

static void remember(ar__checker *c, const ar__st_check *check) {
    for (int32_t k = 0; k < AR_K_COUNT; k++)
        if (c->used[k] && ar__st_names(&check->c, (ar__kernel_id)k)) c->known[k] = true;
    ar__cache_store(c->cache_dir, "checked", ar__cache_key(&c->id), &c->id, c->known, sizeof c->known);
}

/* No memory for the twin is no reason to cut the work smaller. */
static ar_status not_tried(ar_status status, ar__kernel_id kernel) {
    char reason[400];
    if (status != AR_ERR_DEVICE_MEMORY) return status;
    snprintf(reason, sizeof reason, "%s", ar_error());
    return ar__fail(AR_ERR_MEMORY, "kernel %s could not be tried: %s", ar__kernels[kernel].name, reason);
}

static ar_status first_use(ar__checker *c, ar_device *device, ar__kernel_id kernel) {
    for (int32_t i = 0; i < ar__st_check_count && !c->known[kernel]; i++) {
        const ar__st_check *check = &ar__st_checks[i];
        if (!ar__st_names(&check->c, kernel)) continue;
        AR_TRY(not_tried(try_check(c, device, check, kernel), kernel));
        remember(c, check);
    }
    return AR_OK;
}

/* ---- what is known of the device ---- */

/* All kernels' texts: with another build they are others. */
static uint64_t hash_kernels(void) {
    uint64_t hash = AR__HASH_START;
    for (int32_t i = 0; i < AR_K_COUNT; i++) {
        const ar__kernel *k = &ar__kernels[i];
        hash = ar__hash(hash, k->cl_source, strlen(k->cl_source));
        hash = ar__hash(hash, k->spirv, k->spirv_words * sizeof *k->spirv);
        hash = ar__hash(hash, k->texel_spirv, k->texel_words * sizeof *k->texel_spirv);
    }
    return hash;
}

/* What of the plan makes other programs of the same texts. */
static uint64_t hash_plan(const ar_plan *p) {
    const uint32_t shapes[] = {p->vw,
                               p->wg,
                               p->gemm_tm,
                               p->gemm_tn,
                               p->gemm_wgx,
                               p->gemm_wgy,
                               p->gemm_lanes,
                               p->gemm_side,
                               p->gemm_groups,
                               p->attn_wg,
                               p->attn_subgroups,
                               p->coop_subgroup,
                               p->coop_fragment[0],
                               p->coop_fragment[1],
                               p->coop_fragment[2],
                               p->coop_bf16[0],
                               p->coop_bf16[1],
                               p->coop_bf16[2],
                               p->resident_wgx,
                               p->resident_wgy,
                               p->resident_lp,
                               p->resident_lanes,
                               p->resident_columns,
                               p->resident_fused,
                               p->resident_tile,
                               p->offset_align,
                               p->staged,
                               p->ways >> AR_W_loads & 1};
    uint64_t hash = ar__hash(AR__HASH_START, p->variants, sizeof p->variants);
    hash = ar__hash(hash, p->gemm_by_rows, sizeof p->gemm_by_rows);
    hash = ar__hash(hash, p->gemv_by_rows, sizeof p->gemv_by_rows);
    return ar__hash(hash, shapes, sizeof shapes);
}

static void recall(ar__checker *c, const ar_device *device) {
    const ar_device_facts *f = &device->facts;
    void *found = NULL;
    size_t bytes = 0;
    snprintf(c->name, sizeof c->name, "%s %s", f->api, f->name);
    snprintf(c->options, sizeof c->options, "plan %016llx", (unsigned long long)hash_plan(&device->plan));
    c->id = (ar__cache_id){c->name, f->driver, f->version, c->options, hash_kernels()};
    if (!ar__cache_load(c->cache_dir, "checked", ar__cache_key(&c->id), &c->id, &found, &bytes)) return;
    for (size_t k = 0; k < AR_K_COUNT && bytes == sizeof c->known; k++) c->known[k] = ((char *)found)[k] == 1;
    free(found);
}

static void checker_close(ar__checker *c) {
    ar_device_close(c->twin);
    free(c->cache_dir);
    free(c);
}

ar_status ar_device_check(ar_device *device, const char *cache_dir) {
    if (strcmp(device->facts.api, "null") == 0 || device->checker) return AR_OK;
    AR_TRY(ar_device_pulse(device));
    ar__checker *c = ar__alloc(1, sizeof *c);
    if (!c) return AR_ERR_MEMORY;
    if (cache_dir) c->cache_dir = ar__alloc(strlen(cache_dir) + 1, 1);
    if (cache_dir && !c->cache_dir) {
        free(c);
        return AR_ERR_MEMORY;
    }
    if (cache_dir) memcpy(c->cache_dir, cache_dir, strlen(cache_dir));
    recall(c, device);
    device->checker = c;
    device->checker_close = checker_close;
    device->first_use = first_use;
    return AR_OK;
}
