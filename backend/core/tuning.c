/* Measured tile parameters: which row is nearest to a device, and what a plan takes of it. */
#include "cache.h"
#include "variant.h"
#include <stdio.h>
#include <string.h>

/* ---- values ---- */

typedef struct tile_set {
    ar__kernel_id kernel;
    const char *names[AR_TILE_VALUES + 1];
} tile_set;

static const tile_set sets[] = {{AR_K_gemm, {"tm", "tn", "wgx", "wgy"}},
                                {AR_K_gemm_lanes, {"tm", "tn"}},
                                {AR_K_gemm_tiles, {"side", "groups"}},
                                {AR_K_gemv, {"wgx", "wgy", "tile", "columns"}},
                                {AR_K_gemv_lanes, {"tile", "columns"}}};

static const tile_set *find_set(const char *kernel) {
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (strcmp(ar__kernels[sets[i].kernel].name, kernel) == 0) return &sets[i];
    return NULL;
}

const char *ar_tile_name(const char *kernel, int32_t i) {
    const tile_set *set = find_set(kernel);
    return set && i >= 0 && i < AR_TILE_VALUES ? set->names[i] : NULL;
}

static void list_fields(uint32_t *fields[AR_TILE_VALUES], ar_plan *plan, ar__kernel_id kernel) {
    fields[0] = fields[1] = fields[2] = fields[3] = NULL;
    if (kernel == AR_K_gemm) fields[2] = &plan->gemm_wgx, fields[3] = &plan->gemm_wgy;
    if (kernel == AR_K_gemm || kernel == AR_K_gemm_lanes)
        fields[0] = &plan->gemm_tm, fields[1] = &plan->gemm_tn;
    if (kernel == AR_K_gemm_tiles) fields[0] = &plan->gemm_side, fields[1] = &plan->gemm_groups;
    if (kernel == AR_K_gemv) {
        fields[0] = &plan->resident_wgx, fields[1] = &plan->resident_wgy;
        fields[2] = &plan->resident_tile, fields[3] = &plan->resident_columns;
    }
    if (kernel == AR_K_gemv_lanes) fields[0] = &plan->resident_tile, fields[1] = &plan->resident_columns;
}

bool ar_plan_get_tiles(uint32_t values[AR_TILE_VALUES], const ar_plan *plan, const char *kernel) {
    const tile_set *set = find_set(kernel);
    uint32_t *fields[AR_TILE_VALUES];
    ar_plan copy = *plan;
    memset(values, 0, AR_TILE_VALUES * sizeof *values);
    if (!set) return false;
    list_fields(fields, &copy, set->kernel);
    for (int32_t i = 0; i < AR_TILE_VALUES; i++)
        if (fields[i]) values[i] = *fields[i];
    return true;
}

static bool is_power(uint32_t v, uint32_t most) { return v > 0 && v <= most && (v & (v - 1)) == 0; }

static bool fits_group(const ar_device_facts *f, uint32_t x, uint32_t y) {
    uint32_t larger = x > y ? x : y, smaller = x > y ? y : x;
    return (uint64_t)x * y <= f->max_group_items && larger <= f->max_group_size[0] &&
           smaller <= f->max_group_size[1];
}

/* What shaders/gemm*.comp, gemv.h and their hosts can work with; registers bound the tile. */
static bool fits(const ar_plan *plan, const ar_device_facts *f, ar__kernel_id kernel, const uint32_t *v) {
    uint32_t columns = v[1] * plan->vw, lanes = plan->gemm_lanes;
    switch (kernel) {
    case AR_K_gemm:
        return v[0] % 4 == 0 && v[0] > 0 && v[0] <= 16 && v[1] > 0 && v[1] <= 8 && v[0] * v[1] <= 64 &&
               is_power(v[2], 1024) && is_power(v[3], 1024) && fits_group(f, v[2], v[3]);
    case AR_K_gemm_lanes:
        return v[0] % 4 == 0 && v[0] > 0 && v[0] <= 16 && v[1] > 0 && v[1] <= 32 && lanes > 0 &&
               columns % (4 * lanes) == 0 && v[0] * columns <= 512;
    case AR_K_gemm_tiles:
        return is_power(v[0], f->max_group_items >= 256 ? 128 : 64) && v[0] >= 32 && v[1] > 0 && v[1] <= 8192;
    case AR_K_gemv:
        return is_power(v[0], 64) && is_power(v[1], 64) && fits_group(f, v[0], v[1]) &&
               (v[2] == 4 || v[2] == 8) && v[3] > 0 && v[3] <= 64 &&
               4 * ((uint64_t)v[0] * (plan->vw + 1) * v[2] * (v[1] - 1) + 1) <= f->shared_bytes;
    case AR_K_gemv_lanes: return (v[0] == 4 || v[0] == 8 || v[0] == 12 || v[0] == 16) && v[1] > 0;
    default: return false;
    }
}

ar_status ar_plan_set_tiles(ar_plan *plan, const ar_device_facts *facts, const char *kernel,
                            const uint32_t values[AR_TILE_VALUES]) {
    const tile_set *set = find_set(kernel);
    uint32_t *fields[AR_TILE_VALUES];
    if (!set || !fits(plan, facts, set->kernel, values))
        return ar__fail(AR_ERR_ARG, "%s:%d (%s): tiles %u %u %u %u of %s are none that it can work with",
                        facts->api, facts->index, facts->name, values[0], values[1], values[2], values[3],
                        kernel);
    list_fields(fields, plan, set->kernel);
    for (int32_t i = 0; i < AR_TILE_VALUES; i++)
        if (fields[i]) *fields[i] = values[i];
    if (set->kernel == AR_K_gemv) plan->resident_lp = plan->resident_wgx; /* side by side in a panel */
    return AR_OK;
}

/* ---- rows ---- */

uint64_t ar_kernel_hash(const char *kernel) {
    for (int32_t i = 0; i < AR_K_COUNT; i++) {
        const ar__kernel *k = &ar__kernels[i];
        if (strcmp(k->name, kernel) != 0) continue;
        uint64_t hash = ar__hash(AR__HASH_START, k->cl_source, strlen(k->cl_source));
        return k->spirv ? ar__hash(hash, k->spirv, k->spirv_words * sizeof *k->spirv) : hash;
    }
    return 0;
}

const char *ar_tuning_match_name(ar_tuning_match match) {
    static const char *const names[] = {"none", "generic", "vendor", "architecture", "exact"};
    return names[match];
}

void ar_tuning_key(ar_tuning_row *row, const ar_device_facts *f, const char *kernel, const char *bucket) {
    *row = (ar_tuning_row){.vendor_id = f->vendor_id,
                           .subgroup = f->subgroup_max,
                           .vector_width = f->vector_width,
                           .kind = f->kind,
                           .kernel_hash = ar_kernel_hash(kernel)};
    snprintf(row->api, sizeof row->api, "%s", f->api);
    snprintf(row->device, sizeof row->device, "%.127s", f->name);
    snprintf(row->driver, sizeof row->driver, "%.63s %.63s", f->driver, f->version);
    snprintf(row->kernel, sizeof row->kernel, "%.23s", kernel);
    snprintf(row->bucket, sizeof row->bucket, "%.15s", bucket);
}

static ar_tuning_match match_of(const ar_tuning_row *a, const ar_tuning_row *b) {
    if (strcmp(a->api, b->api) != 0 || strcmp(a->kernel, b->kernel) != 0 ||
        strcmp(a->bucket, b->bucket) != 0 || a->kernel_hash != b->kernel_hash || a->kind != b->kind)
        return AR_TUNING_NONE;
    if (strcmp(a->device, b->device) == 0 && strcmp(a->driver, b->driver) == 0) return AR_TUNING_EXACT;
    if (a->vendor_id != b->vendor_id) return AR_TUNING_GENERIC;
    return a->subgroup == b->subgroup && a->vector_width == b->vector_width ? AR_TUNING_ARCHITECTURE
                                                                            : AR_TUNING_VENDOR;
}

const ar_tuning_row *ar_tuning_find(ar_tuning_match *match, const ar_tuning_row *rows, int32_t count,
                                    const ar_device_facts *facts, const char *kernel, const char *bucket) {
    ar_tuning_row key;
    ar_tuning_match best = AR_TUNING_NONE;
    const ar_tuning_row *found = NULL;
    ar_tuning_key(&key, facts, kernel, bucket);
    for (int32_t i = 0; i < count; i++) {
        ar_tuning_match m = match_of(&rows[i], &key);
        if (m == AR_TUNING_NONE || m < best) continue;
        best = m;
        found = &rows[i];
    }
    if (match) *match = best;
    return found;
}

/* plan.c's QUIRK_SMALL_TILE: a driver that is known to fail with larger ones. */
static bool is_made_small(const ar_plan *plan) {
    return plan->gemm_tm == 4 && plan->gemm_tn == 1 && plan->gemm_wgx == 8 && plan->gemm_wgy == 1;
}

void ar_plan_use_tuning(ar_plan *plan, const ar_device_facts *facts, const ar_tuning_row *rows,
                        int32_t count) {
    if (is_made_small(plan)) return;
    for (int32_t i = 0; i < AR_F_COUNT; i++) {
        const char *kernel = ar__kernels[plan->variants[i]].name;
        ar_tuning_match match;
        const ar_tuning_row *row = ar_tuning_find(&match, rows, count, facts, kernel, AR_TUNING_ANY);
        if (!row || ar_plan_set_tiles(plan, facts, kernel, row->values) != AR_OK) continue;
        size_t used = strlen(plan->reasons);
        snprintf(plan->reasons + used, sizeof plan->reasons - used, "%stiles of %s as tuned (%s)",
                 used ? "; " : "", kernel, ar_tuning_match_name(match));
    }
}
