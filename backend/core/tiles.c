/* Tiles of products: which values kernels have, where a plan keeps them, what devices can work with. */
#include "tiles.h"
#include <string.h>

typedef struct tile_set {
    ar__kernel_id kernel;
    ar__family_id family;
    const char *names[AR_TILE_VALUES + 1];
    uint32_t by_rows; /* bits: values that may differ by bucket */
} tile_set;

static const tile_set sets[] = {{AR_K_gemm, AR_F_gemm, {"tm", "tn", "wgx", "wgy"}, 15},
                                {AR_K_gemm_lanes, AR_F_gemm, {"tm", "tn"}, 3},
                                {AR_K_gemm_tiles, AR_F_gemm, {"side", "groups"}, 3},
                                {AR_K_gemv, AR_F_gemv, {"wgx", "wgy", "tile", "columns"}, 6},
                                {AR_K_gemv_lanes, AR_F_gemv, {"tile", "columns"}, 1}};

static const struct {
    const char *name;
    int64_t most;
} buckets[] = {{AR_TUNING_ANY, 0}, {"1", 1}, {"2-8", 8}, {"9-64", 64}, {"65-", INT64_MAX}};
#define BUCKETS ((int32_t)(sizeof buckets / sizeof *buckets))
_Static_assert(sizeof buckets / sizeof *buckets == AR_TILE_BUCKETS + 1, "plans hold every bucket");

const char *ar_tile_bucket(int32_t i) { return i >= 0 && i < BUCKETS ? buckets[i].name : NULL; }

/* -1: there is none of this name. */
static int32_t find_bucket(const char *name) {
    for (int32_t i = 0; i < BUCKETS; i++)
        if (strcmp(buckets[i].name, name) == 0) return i;
    return -1;
}

static const tile_set *find_set(const char *kernel) {
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (strcmp(ar__kernels[sets[i].kernel].name, kernel) == 0) return &sets[i];
    return NULL;
}

const char *ar_tile_name(const char *kernel, int32_t i) {
    const tile_set *set = find_set(kernel);
    return set && i >= 0 && i < AR_TILE_VALUES ? set->names[i] : NULL;
}

bool ar_tile_is_by_rows(const char *kernel, int32_t i) {
    const tile_set *set = find_set(kernel);
    return set && i >= 0 && i < AR_TILE_VALUES && (set->by_rows >> i & 1) != 0;
}

/* ---- where a plan has them ---- */

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

/* Those of a bucket, all zero where it has none of its own. */
static uint32_t *bucket_of(ar_plan *plan, ar__family_id family, int32_t bucket) {
    return family == AR_F_gemm ? plan->gemm_by_rows[bucket - 1] : plan->gemv_by_rows[bucket - 1];
}

static void read_fields(uint32_t values[AR_TILE_VALUES], const ar_plan *plan, const tile_set *set) {
    uint32_t *fields[AR_TILE_VALUES];
    ar_plan copy = *plan;
    list_fields(fields, &copy, set->kernel);
    for (int32_t i = 0; i < AR_TILE_VALUES; i++) values[i] = fields[i] ? *fields[i] : 0;
}

bool ar_plan_get_tiles(uint32_t values[AR_TILE_VALUES], const ar_plan *plan, const char *kernel,
                       const char *bucket) {
    const tile_set *set = find_set(kernel);
    int32_t b = find_bucket(bucket);
    memset(values, 0, AR_TILE_VALUES * sizeof *values);
    if (!set || b < 0) return false;
    read_fields(values, plan, set);
    if (b == 0) return true;
    ar_plan copy = *plan;
    const uint32_t *own = bucket_of(&copy, set->family, b);
    for (int32_t i = 0; i < AR_TILE_VALUES; i++)
        if (own[i]) values[i] = own[i];
    return true;
}

/* ---- what can be ---- */

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
                            const char *bucket, const uint32_t values[AR_TILE_VALUES]) {
    const tile_set *set = find_set(kernel);
    int32_t b = find_bucket(bucket);
    uint32_t *fields[AR_TILE_VALUES], own[AR_TILE_VALUES] = {0};
    memcpy(own, values, sizeof own);
    if (set && b > 0) { /* the rest is as for all shapes */
        read_fields(own, plan, set);
        for (int32_t i = 0; i < AR_TILE_VALUES; i++)
            if (set->by_rows >> i & 1) own[i] = values[i];
    }
    if (!set || b < 0 || !fits(plan, facts, set->kernel, own))
        return ar__fail(AR_ERR_ARG, "%s:%d (%s): tiles %u %u %u %u of %s (%s) are none that it can work with",
                        facts->api, facts->index, facts->name, values[0], values[1], values[2], values[3],
                        kernel, bucket);
    if (b > 0) {
        memcpy(bucket_of(plan, set->family, b), own, sizeof own);
        return AR_OK;
    }
    list_fields(fields, plan, set->kernel);
    for (int32_t i = 0; i < AR_TILE_VALUES; i++)
        if (fields[i]) *fields[i] = own[i];
    if (set->kernel == AR_K_gemv) plan->resident_lp = plan->resident_wgx; /* side by side in a panel */
    return AR_OK;
}

const ar_plan *ar__plan_at(ar_plan *at, const ar_plan *plan, ar__family_id family, int64_t rows) {
    const tile_set *set = find_set(ar__kernels[plan->variants[family]].name);
    uint32_t *fields[AR_TILE_VALUES];
    int32_t b = 1;
    if (!set) return plan;
    while (rows > buckets[b].most) b++;
    *at = *plan;
    const uint32_t *own = bucket_of(at, family, b);
    if (own[0] == 0) return plan;
    list_fields(fields, at, set->kernel);
    for (int32_t i = 0; i < AR_TILE_VALUES; i++)
        if (fields[i] && set->by_rows >> i & 1) *fields[i] = own[i];
    return at;
}
